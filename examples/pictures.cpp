#include "pictures.hpp"

#include <xtape/ops/shape.hpp>
#include <xtape/viz/png.hpp>

#include <fmt/format.h>

namespace examples {
using namespace xtape;

void write_filters(const std::string& path, const Tensor<float>& weights, std::size_t rows, std::size_t cols) {
  const Tensor<float> tiles = transpose(weights.detach());
  const std::size_t shown = std::min<std::size_t>(tiles.shape()[0], 400);
  viz::write_png(path, viz::grid(tiles.span().first(shown * rows * cols), shown, rows, cols,
                                 {.scale = shown <= 100 ? 2U : 1U,
                                  .normalise = viz::Normalise::per_tile,
                                  .palette = viz::Palette::diverging}));
}

void write_tiles(const std::string& path, const Tensor<float>& pixels, std::size_t rows, std::size_t cols,
                 std::size_t columns) {
  const std::size_t count = pixels.shape()[0];
  viz::write_png(path,
                 viz::grid(pixels.span(), count, rows, cols, {.columns = columns, .scale = count <= 100 ? 2U : 1U}));
}

void write_lines(const std::string& path, const std::vector<Tensor<float>>& lines, std::size_t rows, std::size_t cols) {
  write_tiles(path, concatenate(lines), rows, cols, lines.front().shape()[0]);
}

void write_curves(const std::string& path, const viz::Plot& plot) {
  if (!viz::can_plot())
    fmt::print("{} is not drawn: gnuplot is missing (Debian: gnuplot-nox)\n", path);
  else
    viz::write_plot(path, plot);
}

}  // namespace examples
