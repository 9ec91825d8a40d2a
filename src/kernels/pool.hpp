#pragma once
// Pooling of contiguous images (count, height, width).

#include "reduce.hpp"
#include "windows.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace xtape::kernels {

// Calls f(output index, image start, rows, columns) for every window.
template <class Axis, class F> void for_windows(const PoolSize<Axis>& s, const F& f) {
  if (s.rows.out == 0 || s.columns.out == 0) return;
  std::size_t out = 0;
  for (std::size_t n = 0; n < s.count; ++n)
    for (std::size_t i = 0; i < s.rows.out; ++i) {
      const Window rows = s.rows(i);
      for (std::size_t j = 0; j < s.columns.out; ++j) f(out++, n * s.image_elements(), rows, s.columns(j));
    }
}

// y = the first largest element of each window, or its first NaN; at = that element's index in x.
template <class T> void max_pool2d(const PoolSize<Sliding>& s, const T* x, T* y, std::uint32_t* at) {
  const std::size_t width = s.columns.extent;
  for_windows(s, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
    std::size_t best = image + rows.first * width + columns.first;
    T value = x[best];
    for (std::size_t r = rows.first; r < rows.last; ++r)
      for (std::size_t c = columns.first; c < columns.last; ++c) {
        const std::size_t index = image + r * width + c;
        if (x[index] > value || (std::isnan(x[index]) && !std::isnan(value))) {
          value = x[index];
          best = index;
        }
      }
    y[out] = value;
    at[out] = static_cast<std::uint32_t>(best);
  });
}

// The sum of a block of rows: in the order of mean_windows where it is small, else pairwise.
template <class T> T large_block_sum(const T* x, std::size_t rows, std::size_t columns, std::size_t width);
template <class T> inline T block_sum(const T* x, std::size_t rows, std::size_t columns, std::size_t width) {
  if (rows > 16 || columns > 16) return large_block_sum(x, rows, columns, width);
  T total = 0, part = 0;
  for (std::size_t r = 0, place = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) {
      part += x[r * width + c];
      if (++place % short_sum != 0) continue;
      total += part;
      part = 0;
    }
  return total + part;
}
template <class T> T large_block_sum(const T* x, std::size_t rows, std::size_t columns, std::size_t width) {
  if (rows == 1) return sum(x, columns);
  const std::size_t half = rows / 2;
  return block_sum(x, half, columns, width) + block_sum(x + half * width, rows - half, columns, width);
}

template <class T, class Axis> void avg_pool2d(const PoolSize<Axis>& s, const T* x, T* y) {
  if constexpr (std::is_same_v<Axis, Sliding>)
    if (is_small(s)) return mean_windows(s, x, y);
  const std::size_t width = s.columns.extent;
  for_windows(s, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
    const T places = static_cast<T>(s.rows.places(rows)) * static_cast<T>(s.columns.places(columns));
    y[out] = block_sum(x + image + rows.first * width + columns.first, rows.last - rows.first,
                       columns.last - columns.first, width) /
             places;
    if (!std::isfinite(y[out])) y[out] = wide_mean(x + image, width, rows, columns, places);
  });
}

// The transpose of avg_pool2d; dx starts at 0.
template <class T, class Axis> void avg_unpool2d(const PoolSize<Axis>& s, const T* dy, T* dx) {
  if constexpr (std::is_same_v<Axis, Sliding>)
    if (is_small(s)) return mean_windows_gradient(s, dy, dx);
  const std::size_t width = s.columns.extent, elements = s.image_elements();
  // f(place in the image, what it gets) for the windows of one image after the other.
  const auto spread = [&](const PoolSize<Axis>& some, const T* from, const auto& f) {
    for_windows(some, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
      const T share = from[out] / (static_cast<T>(s.rows.places(rows)) * static_cast<T>(s.columns.places(columns)));
      for (std::size_t r = rows.first; r < rows.last; ++r)
        for (std::size_t c = columns.first; c < columns.last; ++c) f(image + r * width + c, share);
    });
  };
  if (s.overlap() <= static_cast<double>(short_sum))
    return spread(s, dy, [&](std::size_t at, T share) { dx[at] += share; });
  PoolSize<Axis> one = s;
  one.count = 1;
  std::vector<Total<T>> totals(elements);
  for (std::size_t n = 0; n < s.count; ++n, dx += elements, dy += s.rows.out * s.columns.out) {
    std::ranges::fill(totals, Total<T>());
    spread(one, dy, [&](std::size_t at, T share) { totals[at].add(share); });
    std::ranges::transform(totals, dx, [](const Total<T>& total) { return total.value(); });
  }
}

}  // namespace xtape::kernels
