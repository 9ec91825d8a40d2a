#pragma once
// Pooling of contiguous images (count, height, width).

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace xtape::kernels {

struct PoolSize {
  std::size_t count, height, width, out_h, out_w;
  std::size_t window_h, window_w, stride_h, stride_w, pad_h, pad_w;
};

// The part of window i that lies inside the image.
struct Window {
  std::size_t first, last;
};
inline Window window_inside(std::size_t i, std::size_t stride, std::size_t window, std::size_t pad,
                            std::size_t extent) {
  const std::size_t start = i * stride, end = start + window;  // in padded coordinates
  return {start > pad ? start - pad : 0, end > pad ? (end - pad < extent ? end - pad : extent) : 0};
}

// Calls f(output index, image start, rows, columns) for every window.
template <class F> void for_windows(const PoolSize& s, const F& f) {
  std::size_t out = 0;
  for (std::size_t n = 0; n < s.count; ++n)
    for (std::size_t i = 0; i < s.out_h; ++i) {
      const Window rows = window_inside(i, s.stride_h, s.window_h, s.pad_h, s.height);
      for (std::size_t j = 0; j < s.out_w; ++j)
        f(out++, n * s.height * s.width, rows, window_inside(j, s.stride_w, s.window_w, s.pad_w, s.width));
    }
}

// y = the first largest element of each window, or its first NaN; at = that element's index in x.
template <class T> void max_pool2d(const PoolSize& s, const T* x, T* y, std::uint32_t* at) {
  for_windows(s, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
    std::size_t best = image + rows.first * s.width + columns.first;
    T value = x[best];
    for (std::size_t r = rows.first; r < rows.last; ++r)
      for (std::size_t c = columns.first; c < columns.last; ++c) {
        const std::size_t index = image + r * s.width + c;
        if (x[index] > value || (std::isnan(x[index]) && !std::isnan(value))) {
          value = x[index];
          best = index;
        }
      }
    y[out] = value;
    at[out] = static_cast<std::uint32_t>(best);
  });
}

template <class T> void avg_pool2d(const PoolSize& s, const T* x, T* y) {
  const T area = static_cast<T>(s.window_h) * static_cast<T>(s.window_w);
  for_windows(s, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
    T total = 0;
    for (std::size_t r = rows.first; r < rows.last; ++r)
      for (std::size_t c = columns.first; c < columns.last; ++c) total += x[image + r * s.width + c];
    y[out] = total / area;
  });
}

// The transpose of avg_pool2d; dx starts at 0.
template <class T> void avg_unpool2d(const PoolSize& s, const T* dy, T* dx) {
  const T area = static_cast<T>(s.window_h) * static_cast<T>(s.window_w);
  for_windows(s, [&](std::size_t out, std::size_t image, const Window& rows, const Window& columns) {
    const T share = dy[out] / area;
    for (std::size_t r = rows.first; r < rows.last; ++r)
      for (std::size_t c = columns.first; c < columns.last; ++c) dx[image + r * s.width + c] += share;
  });
}

}  // namespace xtape::kernels
