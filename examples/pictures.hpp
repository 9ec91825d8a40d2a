#pragma once
// The pictures that the training programs write.

#include <xtape/data/dataset.hpp>
#include <xtape/tensor.hpp>
#include <xtape/viz/image.hpp>
#include <xtape/viz/plot.hpp>

#include <string>
#include <vector>

#include "common.hpp"

namespace examples {

// Hidden units' weights, W: (visible, hidden), a tile a unit; at most 400 of them.
xtape::viz::Image filters(const xtape::Tensor<float>& weights, std::size_t rows, std::size_t cols);

// Rows of pixels in [0, 1], a tile each, `columns` a line (0: as square as can be).
xtape::viz::Image tiles(const xtape::Tensor<float>& pixels, std::size_t rows, std::size_t cols,
                        std::size_t columns = 0);

// Before training: whether these can be drawn. Each throws ValueError that begins with the file's name if there would
// be more pixels than a picture may have.
void check_picture(const std::string& file, std::size_t count, std::size_t rows, std::size_t cols,
                   const xtape::viz::GridOptions& options);
void check_filters(const std::string& file, std::size_t hidden, std::size_t rows, std::size_t cols);
void check_tiles(const std::string& file, std::size_t count, std::size_t rows, std::size_t cols,
                 std::size_t columns = 0);

// Lines of tiles, one below the other: an original, what was made of it, ... Each of `lines` has as many rows.
xtape::viz::Image lines_of_tiles(const std::vector<xtape::Tensor<float>>& lines, std::size_t rows, std::size_t cols);

// Curves, if gnuplot is there; else a line that says so. Curves without a point to draw are left out.
void write_curves(const std::string& path, const xtape::viz::Plot& plot);

// A loss after every epoch, on training and on validation data.
struct LossCurves {
  std::vector<double> epochs, train, valid;
  std::size_t best = 0;  // index of the smallest on validation data

  void add(double train_loss, double valid_loss);
  void keep_in(xtape::data::TrainingState& state, std::size_t most_epochs);
  // best_epoch, and the losses there and at the end, under the given name.
  void summarise(Summary& summary, const std::string& name) const;
  void write(const std::string& path, const std::string& title, const std::string& y_label) const;
};

}  // namespace examples
