#include <xtape/error.hpp>
#include <xtape/viz/image.hpp>

#include <fmt/format.h>

#include "pixel.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace xtape::viz {
namespace {

constexpr std::size_t most_pixels = std::size_t{1} << 28;
constexpr std::size_t longest_side = 1'000'000;  // libpng takes no more

// Products of sizes that are only compared: too large is as good as infinite.
template <class... Sizes> std::size_t saturating_product(std::size_t first, Sizes... rest) {
  std::size_t product = first;
  for (const std::size_t factor : {static_cast<std::size_t>(rest)...})
    if (__builtin_mul_overflow(product, factor, &product)) product = static_cast<std::size_t>(-1);
  return product;
}

struct Range {
  double low, high;
};

Range finite_range(std::span<const float> values) {
  Range range{INFINITY, -INFINITY};
  for (const float v : values)
    if (std::isfinite(v)) range = {std::min<double>(range.low, v), std::max<double>(range.high, v)};
  return range.low <= range.high ? range : Range{0.0, 0.0};
}

Range about_zero(Range range) {
  const double most = std::max(std::abs(range.low), std::abs(range.high));
  return {-most, most};
}

/// Where `value` lies in the range, from 0 to 1.
double position(double value, Range range) {
  if (range.high > range.low) return std::clamp((value - range.low) / (range.high - range.low), 0.0, 1.0);
  return value < range.low ? 0.0 : value > range.low ? 1.0 : 0.5;
}

std::uint8_t to_byte(double unit) { return static_cast<std::uint8_t>(std::lround(255.0 * std::clamp(unit, 0.0, 1.0))); }

Colour mix(Colour a, Colour b, double t) {
  const auto channel = [&](std::uint8_t from, std::uint8_t to) { return to_byte((from + t * (to - from)) / 255.0); };
  return {channel(a.red, b.red), channel(a.green, b.green), channel(a.blue, b.blue)};
}

constexpr Colour black{0, 0, 0}, white{255, 255, 255}, blue{33, 102, 172}, red{178, 24, 43};

Colour paint(float value, Range range, Palette palette) {
  if (std::isnan(value)) return black;
  const double t = position(value, range);
  if (palette == Palette::grey) return {to_byte(t), to_byte(t), to_byte(t)};
  return t < 0.5 ? mix(white, blue, 1.0 - 2.0 * t) : mix(white, red, 2.0 * t - 1.0);
}

void fill(Image& image, std::size_t x, std::size_t y, std::size_t width, std::size_t height, Colour colour) {
  for (std::size_t v = y; v < y + height; ++v)
    for (std::size_t u = x; u < x + width; ++u) set_pixel(image, u, v, colour);
}

}  // namespace

GridSize grid_size(std::size_t count, std::size_t rows, std::size_t cols, const GridOptions& options) {
  if (count == 0 || rows == 0 || cols == 0)
    throw ShapeError(fmt::format("grid: {} tiles of {} x {} are no picture", count, rows, cols));
  if (options.scale == 0) throw ValueError("grid: scale is 0, expected 1 or more");
  auto across = options.columns;
  if (across == 0) across = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  across = std::min(across, count);
  const std::size_t down = (count + across - 1) / across;
  const auto extent = [&](std::size_t tiles, std::size_t length) {
    // Each factor is checked before it is used, so that the sum cannot overflow.
    const std::size_t inside = saturating_product(tiles, length, options.scale);
    const std::size_t between = saturating_product(tiles + 1, options.padding);
    return inside > most_pixels || between > most_pixels ? most_pixels + 1 : inside + between;
  };
  const GridSize size{.width = extent(across, cols), .height = extent(down, rows), .columns = across};
  if (saturating_product(size.width, size.height) > most_pixels)
    throw ValueError(fmt::format("grid: {} x {} tiles of {} x {} at scale {} make more than 2^28 pixels", down, across,
                                 rows, cols, options.scale));
  if (std::max(size.width, size.height) > longest_side)
    throw ValueError(fmt::format("grid: {} x {} tiles of {} x {} at scale {} make a side of more than {} pixels", down,
                                 across, rows, cols, options.scale, longest_side));
  return size;
}

Image grid(std::span<const float> values, std::size_t count, std::size_t rows, std::size_t cols, GridOptions options) {
  if (count == 0 || rows == 0 || cols == 0 || values.size() != saturating_product(count, rows, cols))
    throw ShapeError(fmt::format("grid: {} values do not make {} tiles of {} x {}", values.size(), count, rows, cols));
  if (!(options.low < options.high) || !std::isfinite(options.low) || !std::isfinite(options.high))
    throw ValueError(
        fmt::format("grid: the range {} to {} is not one of finite low < high", options.low, options.high));

  const auto [width, height, across] = grid_size(count, rows, cols, options);
  Image image{.width = width,
              .height = height,
              .channels = options.palette == Palette::grey ? std::size_t{1} : std::size_t{3},
              .pixels = {}};
  image.pixels.assign(image.width * image.height * image.channels, options.background);

  Range range{options.low, options.high};
  if (options.normalise == Normalise::global) range = finite_range(values);
  for (std::size_t i = 0; i < count; ++i) {
    const auto tile = values.subspan(i * rows * cols, rows * cols);
    if (options.normalise == Normalise::per_tile) range = finite_range(tile);
    const Range used = options.palette == Palette::diverging ? about_zero(range) : range;
    const std::size_t left = options.padding + i % across * (cols * options.scale + options.padding);
    const std::size_t top = options.padding + i / across * (rows * options.scale + options.padding);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c)
        fill(image, left + c * options.scale, top + r * options.scale, options.scale, options.scale,
             paint(tile[r * cols + c], used, options.palette));
  }
  return image;
}

Image confusion_matrix(std::span<const std::size_t> counts, std::size_t classes) {
  if (classes < 1 || classes > 100)
    throw ValueError(fmt::format("confusion_matrix: {} classes, expected 1 to 100", classes));
  if (counts.size() != classes * classes)
    throw ShapeError(fmt::format("confusion_matrix: {} counts, expected {} x {}", counts.size(), classes, classes));

  constexpr std::size_t scale = 2, margin = 12, line = 1;
  const std::string largest = fmt::format("{}", *std::max_element(counts.begin(), counts.end()));
  const std::string last = fmt::format("{}", classes - 1);
  const std::string_view true_axis = "true", predicted_axis = "predicted";
  const std::size_t height = text_height(scale);
  const std::size_t cell_width = std::max(text_width(largest, scale), text_width(last, scale)) + 12;
  const std::size_t cell_height = std::max<std::size_t>(height + 14, std::min<std::size_t>(cell_width, 40));
  const std::size_t left = margin + text_width(true_axis, scale) + margin + text_width(last, scale) + margin;
  const std::size_t top = margin + height + margin + height + margin;
  const std::size_t table_width = classes * (cell_width + line) + line;
  const std::size_t table_height = classes * (cell_height + line) + line;

  Image image{.width = std::max(left + table_width, left + text_width(predicted_axis, scale)) + margin,
              .height = top + table_height + margin,
              .channels = 3,
              .pixels = {}};
  image.pixels.assign(image.width * image.height * image.channels, 255);
  const auto centred = [&](std::size_t x, std::size_t y, std::size_t w, std::size_t h, std::string_view text,
                           Colour c) {
    const std::size_t wide = text_width(text, scale);
    draw_text(image, x + (w > wide ? (w - wide) / 2 : 0), y + (h - height) / 2, text, c, scale);
  };

  centred(left, margin, table_width, height, predicted_axis, black);
  centred(margin, top, text_width(true_axis, scale), table_height, true_axis, black);
  fill(image, left, top, table_width, table_height, {208, 208, 208});
  for (std::size_t i = 0; i < classes; ++i) {
    const std::string label = fmt::format("{}", i);
    const std::size_t y = top + line + i * (cell_height + line);
    centred(left + line + i * (cell_width + line), top - margin - height, cell_width, height, label, black);
    draw_text(image, left - margin - text_width(label, scale), y + (cell_height - height) / 2, label, black, scale);

    const auto row = counts.subspan(i * classes, classes);
    double total = 0.0;
    for (const std::size_t count : row) total += static_cast<double>(count);
    for (std::size_t j = 0; j < classes; ++j) {
      const std::size_t x = left + line + j * (cell_width + line);
      const double share = total > 0.0 ? static_cast<double>(row[j]) / total : 0.0;
      // The square root lets a few mistakes in a thousand be seen.
      const double strength = std::sqrt(share);
      fill(image, x, y, cell_width, cell_height, mix(white, i == j ? blue : red, strength));
      const Colour ink = row[j] == 0 ? Colour{176, 176, 176} : strength > 0.6 ? white : black;
      centred(x, y, cell_width, cell_height, fmt::format("{}", row[j]), ink);
    }
  }
  return image;
}

}  // namespace xtape::viz
