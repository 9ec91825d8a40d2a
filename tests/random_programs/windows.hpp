#pragma once
// Windows that slide over images, for the references of convolution and pooling. A sequence (N, C, L) is an image of
// one row.

#include <xtape/ops/conv.hpp>

#include "program.hpp"

namespace xtape::test {

struct Windows {
  Pair size, stride, padding, dilation = 1;
  Shape out(const Shape& x, std::size_t channels) const {
    const Pair s = spread();
    return {x[0], channels, (x[2] + 2 * padding.h - s.h) / stride.h + 1, (x[3] + 2 * padding.w - s.w) / stride.w + 1};
  }
  bool fit(const Shape& x) const {
    const Pair s = spread();
    return s.h <= x[2] + 2 * padding.h && s.w <= x[3] + 2 * padding.w;
  }
  /// f(p, q, row, column) for each place of window (i, j) that lies in the image.
  template <class F> void places(const Shape& x, std::size_t i, std::size_t j, const F& f) const {
    for (std::size_t p = 0; p < size.h; ++p)
      for (std::size_t q = 0; q < size.w; ++q) {
        const std::size_t row = i * stride.h + p * dilation.h, column = j * stride.w + q * dilation.w;
        if (row >= padding.h && row < x[2] + padding.h && column >= padding.w && column < x[3] + padding.w)
          f(p, q, row - padding.h, column - padding.w);
      }
  }

 private:
  Pair spread() const { return {dilation.h * (size.h - 1) + 1, dilation.w * (size.w - 1) + 1}; }
};

/// An image or, with one row, a sequence; not without pixels.
inline bool is_image(const Shape& s, bool one_row) {
  return s.size() == (one_row ? 3 : 4) && s.back() > 0 && s[s.size() - 2 + one_row] > 0;
}
inline Shape lifted(const Shape& s) { return s.size() == 3 ? Shape{s[0], s[1], 1, s[2]} : s; }
inline Shape lowered(const Shape& s, bool one_row) { return one_row ? Shape{s[0], s[1], s[3]} : s; }

}  // namespace xtape::test
