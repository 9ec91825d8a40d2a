#include <xtape/data/dataset.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace xtape::data {

std::span<const float> Dataset::image(std::size_t i) const {
  if (i >= size() || pixels.size() / size() != features())
    throw ValueError(
        fmt::format("image: no picture {} among {} of {} x {} in {} pixels", i, size(), rows, cols, pixels.size()));
  return std::span(pixels).subspan(i * features(), features());
}

Dataset subset(const Dataset& set, std::span<const std::size_t> indices) {
  if (set.pixels.size() != set.size() * set.features())
    throw ValueError(fmt::format("subset: {} pixels do not make {} pictures of {} x {}", set.pixels.size(), set.size(),
                                 set.rows, set.cols));
  Dataset out{.pixels = {}, .labels = {}, .rows = set.rows, .cols = set.cols, .classes = set.classes};
  out.pixels.reserve(indices.size() * set.features());
  out.labels.reserve(indices.size());
  for (const std::size_t i : indices) {
    if (i >= set.size()) throw ValueError(fmt::format("subset: index {} among {} pictures", i, set.size()));
    const auto picture = set.image(i);
    out.pixels.insert(out.pixels.end(), picture.begin(), picture.end());
    out.labels.push_back(set.labels[i]);
  }
  return out;
}

Dataset shuffled(const Dataset& set, Rng& rng) {
  std::vector<std::size_t> order(set.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  rng.shuffle(std::span(order));
  return subset(set, order);
}

Dataset head(const Dataset& set, std::size_t count) {
  std::vector<std::size_t> order(std::min(count, set.size()));
  std::iota(order.begin(), order.end(), std::size_t{0});
  return subset(set, order);
}

std::pair<Dataset, Dataset> split(const Dataset& set, std::size_t count) {
  if (count > set.size()) throw ValueError(fmt::format("split: {} of {} pictures", count, set.size()));
  std::vector<std::size_t> rest(set.size() - count);
  std::iota(rest.begin(), rest.end(), count);
  return {head(set, count), subset(set, rest)};
}

Dataset binarised(const Dataset& set, float threshold) {
  Dataset out = set;
  for (float& pixel : out.pixels) pixel = pixel >= threshold ? 1.0F : 0.0F;
  return out;
}

Dataset sampled(const Dataset& set, Rng& rng) {
  Dataset out = set;
  std::vector<float> draws(set.features());
  for (std::size_t i = 0; i < out.pixels.size(); i += draws.size()) {
    rng.fill_uniform(std::span<float>(draws));
    for (std::size_t j = 0; j < draws.size(); ++j) out.pixels[i + j] = draws[j] < out.pixels[i + j] ? 1.0F : 0.0F;
  }
  return out;
}

}  // namespace xtape::data
