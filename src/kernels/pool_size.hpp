#pragma once
// The windows that pooling slides over contiguous images (count, height, width).

#include <algorithm>
#include <cstddef>

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
  // No place lies in more windows than this.
  std::size_t overlap() const { return std::min(out, (window - 1) / stride + 1); }
  // The places that an average divides by: the padding counts.
  std::size_t places(const Window&) const { return window; }
};

// An axis divided into bins; extent and out are below 2^32.
struct Bins {
  std::size_t extent, out;
  Window operator()(std::size_t i) const { return {i * extent / out, ((i + 1) * extent + out - 1) / out}; }
  std::size_t overlap() const { return std::min(out, out / extent + 2); }
  std::size_t places(const Window& bin) const { return bin.last - bin.first; }
};

// The windows of an image are those of its rows times those of its columns.
template <class Axis> struct PoolSize {
  std::size_t count;
  Axis rows, columns;
  std::size_t image_elements() const { return rows.extent * columns.extent; }
  double overlap() const { return static_cast<double>(rows.overlap()) * static_cast<double>(columns.overlap()); }
};

}  // namespace xtape::kernels
