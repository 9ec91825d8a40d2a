#pragma once
/// \file dataset.hpp  Labelled grey pictures in memory, without any tensor in sight.

#include <xtape/detail/same_layout.hpp>
#include <xtape/rng.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace xtape::data {

/// Labelled grey pictures, all of one size.
struct Dataset {
  std::vector<float> pixels;         ///< size() * rows * cols, row-major, in [0, 1]
  std::vector<std::int32_t> labels;  ///< size(), each in [0, classes)
  std::size_t rows = 0, cols = 0, classes = 0;

  std::size_t size() const { return labels.size(); }
  std::size_t features() const { return rows * cols; }
  /// The features() pixels of picture i, row-major. Throws ValueError unless i < size().
  std::span<const float> image(std::size_t i) const;
};

/// The pictures of `set` at `indices`, in that order; an index may occur more than once.
/// Throws ValueError if an index is not below set.size(), or if set.pixels does not hold
/// size() * rows * cols values.
Dataset subset(const Dataset& set, std::span<const std::size_t> indices);

/// All pictures of `set` in a random order. Throws as `subset` does.
Dataset shuffled(const Dataset& set, Rng& rng);

/// The first `count` pictures, or all if there are fewer.
Dataset head(const Dataset& set, std::size_t count);

/// The first `count` pictures and the others: split(shuffled(set, rng), n). Throws ValueError if there are fewer.
std::pair<Dataset, Dataset> split(const Dataset& set, std::size_t count);

/// Every pixel made 0 or 1: 1 where it is at least `threshold`.
Dataset binarised(const Dataset& set, float threshold = 0.5F);
/// Every pixel made 0 or 1, 1 with the probability that the grey level is. Likelihoods of pictures made so and of
/// pictures cut at a threshold do not compare.
Dataset sampled(const Dataset& set, Rng& rng);

/// What a model is fitted to, tuned on, and judged by.
struct Splits {
  Dataset train, valid, test;
  std::string name;  ///< for titles and reports: the folder's name, or "built-in digits"
};

}  // namespace xtape::data
