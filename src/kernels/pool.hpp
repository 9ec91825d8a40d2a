#pragma once
// Pooling of contiguous images (count, height, width).

#include "reduce.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace xtape::kernels {

// Part of an axis: [first, last).
struct Window {
  std::size_t first, last;
};

// Windows of one size along an axis: the part of window i that lies inside the image.
struct Sliding {
  std::size_t extent, out, window, stride, pad;
  Window operator()(std::size_t i) const {
    const std::size_t start = i * stride, end = start + window;  // in padded coordinates
    return {start > pad ? start - pad : 0, end > pad ? std::min(end - pad, extent) : 0};
  }
  // The places that an average divides by: the padding counts.
  std::size_t places(const Window&) const { return window; }
};

// An axis divided into bins; extent and out are below 2^32.
struct Bins {
  std::size_t extent, out;
  Window operator()(std::size_t i) const { return {i * extent / out, ((i + 1) * extent + out - 1) / out}; }
  std::size_t places(const Window& bin) const { return bin.last - bin.first; }
};

// The windows of an image are those of its rows times those of its columns.
template <class Axis> struct PoolSize {
  std::size_t count;
  Axis rows, columns;
  std::size_t image_elements() const { return rows.extent * columns.extent; }
};

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

// Loops that compilers turn into vector code. best[k], at[k] become value[k step], place(k) where that is larger, or
// the first NaN. Step 0 stands for one known at run time only.
template <std::uint32_t fixed_step, class T, class Place>
void take_larger(const T* value, std::uint32_t step, std::uint32_t count, T* __restrict best,
                 std::uint32_t* __restrict at, const Place& place) {
  if constexpr (fixed_step != 0) step = fixed_step;
  for (std::uint32_t k = 0; k < count; ++k) {
    const T v = value[k * step], b = best[k];
    const bool larger = !(v <= b) & (b == b);
    best[k] = larger ? v : b;
    at[k] = larger ? place(k) : at[k];
  }
}

// Windows of one row: the maximum of `window` elements every `step`, `count` times. at: places within x.
template <std::uint32_t fixed_step, class T>
void max_along(const T* x, std::size_t window, std::uint32_t step, std::uint32_t count, T* __restrict best,
               std::uint32_t* __restrict at) {
  if constexpr (fixed_step != 0) step = fixed_step;
  for (std::uint32_t k = 0; k < count; ++k) {
    best[k] = x[k * step];
    at[k] = k * step;
  }
  for (std::size_t c = 1; c < window; ++c)
    take_larger<fixed_step>(x + c, step, count, best, at,
                            [c = static_cast<std::uint32_t>(c), step](std::uint32_t k) { return c + k * step; });
}

// Without padding: along the rows first, then over the rows of each window, from the first on.
template <class T> void max_pool2d_inside(const PoolSize<Sliding>& s, const T* x, T* y, std::uint32_t* at) {
  const std::size_t width = s.columns.extent, rows = s.rows.extent, columns = s.columns.out;
  const xtape::detail::Handle<xtape::detail::Storage> buffer =
      xtape::detail::Storage::make(rows * columns * (sizeof(T) + sizeof(std::uint32_t)));
  T* const values = static_cast<T*>(buffer->data());
  auto* const places = reinterpret_cast<std::uint32_t*>(values + rows * columns);
  const auto step = static_cast<std::uint32_t>(s.columns.stride);
  const auto along = step == 1 ? &max_along<1, T> : step == 2 ? &max_along<2, T> : &max_along<0, T>;
  // Where windows follow each other from one row into the next, all rows are one.
  const bool one_row = step * columns == width && s.columns.window <= step;
  for (std::size_t n = 0; n < s.count; ++n) {
    const std::size_t image = n * s.image_elements();
    if (one_row)
      along(x + image, s.columns.window, step, static_cast<std::uint32_t>(rows * columns), values, places);
    else
      for (std::size_t r = 0; r < rows; ++r)
        along(x + image + r * width, s.columns.window, step, static_cast<std::uint32_t>(columns), values + r * columns,
              places + r * columns);
    for (std::size_t i = 0; i < s.rows.out; ++i, y += columns, at += columns) {
      for (std::size_t r = i * s.rows.stride; r < i * s.rows.stride + s.rows.window; ++r) {
        const T* value = values + r * columns;
        const std::uint32_t* place = places + r * columns;
        const auto start = static_cast<std::uint32_t>(image + (one_row ? 0 : r * width));
        if (r == i * s.rows.stride) {
          std::copy(value, value + columns, y);
          for (std::size_t k = 0; k < columns; ++k) at[k] = start + place[k];
        } else {
          take_larger<1>(value, 1, static_cast<std::uint32_t>(columns), y, at,
                         [start, place](std::uint32_t k) { return start + place[k]; });
        }
      }
    }
  }
}

// y = the first largest element of each window, or its first NaN; at = that element's index in x.
template <class T> void max_pool2d(const PoolSize<Sliding>& s, const T* x, T* y, std::uint32_t* at) {
  if (s.rows.pad == 0 && s.columns.pad == 0) return max_pool2d_inside(s, x, y, at);
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

// The sum of a block of rows: straight where it is small, else pairwise.
template <class T> T large_block_sum(const T* x, std::size_t rows, std::size_t columns, std::size_t width);
template <class T> inline T block_sum(const T* x, std::size_t rows, std::size_t columns, std::size_t width) {
  if (rows > 16 || columns > 16) return large_block_sum(x, rows, columns, width);
  T total = 0;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) total += x[r * width + c];
  return total;
}
template <class T> T large_block_sum(const T* x, std::size_t rows, std::size_t columns, std::size_t width) {
  if (rows == 1) return sum(x, columns);
  const std::size_t half = rows / 2;
  return block_sum(x, half, columns, width) + block_sum(x + half * width, rows - half, columns, width);
}

template <class T, class Axis> void avg_pool2d(const PoolSize<Axis>& s, const T* x, T* y) {
  const std::size_t width = s.columns.extent;
  for_windows(s, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
    const T places = static_cast<T>(s.rows.places(rows)) * static_cast<T>(s.columns.places(columns));
    y[out] = block_sum(x + image + rows.first * width + columns.first, rows.last - rows.first,
                       columns.last - columns.first, width) /
             places;
  });
}

// The transpose of avg_pool2d; dx starts at 0.
template <class T, class Axis> void avg_unpool2d(const PoolSize<Axis>& s, const T* dy, T* dx) {
  const std::size_t width = s.columns.extent;
  for_windows(s, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
    const T share = dy[out] / (static_cast<T>(s.rows.places(rows)) * static_cast<T>(s.columns.places(columns)));
    for (std::size_t r = rows.first; r < rows.last; ++r)
      for (std::size_t c = columns.first; c < columns.last; ++c) dx[image + r * width + c] += share;
  });
}

}  // namespace xtape::kernels
