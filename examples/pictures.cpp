#include "pictures.hpp"

#include <xtape/ops/shape.hpp>

#include <fmt/format.h>

namespace examples {
using namespace xtape;

namespace {

constexpr std::size_t most_filters = 400;

viz::GridOptions filter_options(std::size_t shown) {
  return {.scale = shown <= 100 ? 2U : 1U, .normalise = viz::Normalise::per_tile, .palette = viz::Palette::diverging};
}
viz::GridOptions tile_options(std::size_t count, std::size_t columns) {
  return {.columns = columns, .scale = count <= 100 ? 2U : 1U};
}

}  // namespace

void check_picture(const std::string& file, std::size_t count, std::size_t rows, std::size_t cols,
                   const viz::GridOptions& options) {
  try {
    viz::grid_size(count, rows, cols, options);
  } catch (const ValueError& error) {
    throw ValueError(fmt::format("{}: {}", file, error.what()));
  }
}

void check_filters(const std::string& file, std::size_t hidden, std::size_t rows, std::size_t cols) {
  const std::size_t shown = std::min(hidden, most_filters);
  check_picture(file, shown, rows, cols, filter_options(shown));
}

void check_tiles(const std::string& file, std::size_t count, std::size_t rows, std::size_t cols, std::size_t columns) {
  check_picture(file, count, rows, cols, tile_options(count, columns));
}

viz::Image filters(const Tensor<float>& weights, std::size_t rows, std::size_t cols) {
  const Tensor<float> pictures = transpose(weights.detach());
  const std::size_t shown = std::min(pictures.shape()[0], most_filters);
  return viz::grid(pictures.span().first(shown * rows * cols), shown, rows, cols, filter_options(shown));
}

viz::Image tiles(const Tensor<float>& pixels, std::size_t rows, std::size_t cols, std::size_t columns) {
  const std::size_t count = pixels.shape()[0];
  return viz::grid(pixels.span(), count, rows, cols, tile_options(count, columns));
}

viz::Image lines_of_tiles(const std::vector<Tensor<float>>& lines, std::size_t rows, std::size_t cols) {
  return tiles(concatenate(lines), rows, cols, lines.front().shape()[0]);
}

void write_curves(const std::string& path, const viz::Plot& plot) {
  if (!viz::can_plot())
    say("{} is not drawn: gnuplot is missing (Debian: gnuplot-nox)\n", path);
  else
    viz::write_plot(path, plot);
}

void LossCurves::add(double train_loss, double valid_loss) {
  epochs.push_back(static_cast<double>(epochs.size() + 1));
  train.push_back(train_loss);
  valid.push_back(valid_loss);
  if (valid_loss < valid[best]) best = valid.size() - 1;
}

void LossCurves::keep_in(data::TrainingState& state, std::size_t most_epochs) {
  state.keep("curve epochs", epochs, {.most = most_epochs});
  const auto as_many = data::ListLength::exactly(epochs.size());
  state.keep("curve training", train, as_many);
  state.keep("curve validation", valid, as_many);
  state.keep("best", best, epochs.empty() ? 0 : epochs.size() - 1);
}

void LossCurves::summarise(Summary& summary, const std::string& name) const {
  if (epochs.empty()) throw DataError("the checkpoint says that training is done, and holds no figures of any epoch");
  summary.add("best_epoch", epochs[best]);
  summary.add("best_train_" + name, train[best]);
  summary.add("best_valid_" + name, valid[best]);
  summary.add("train_" + name, train.back());
  summary.add("valid_" + name, valid.back());
}

void LossCurves::write(const std::string& path, const std::string& title, const std::string& y_label) const {
  write_curves(path, {.title = title,
                      .x_label = "epoch",
                      .y_label = y_label,
                      .series = {{.label = "training", .x = epochs, .y = train},
                                 {.label = "validation", .x = epochs, .y = valid}}});
}

}  // namespace examples
