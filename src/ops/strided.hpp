#pragma once
// What the ops that move elements share: axes, strides, slices along them.

#include <xtape/ops/shape.hpp>

#include "../kernels/strided.hpp"
#include "common.hpp"

#include <limits>

namespace xtape::detail {

inline std::array<std::ptrdiff_t, max_rank> strides_of(const Shape& shape) {
  std::array<std::ptrdiff_t, max_rank> strides{};
  std::ptrdiff_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= static_cast<std::ptrdiff_t>(shape[i]);
  }
  return strides;
}

// A shape seen from one of its axes: (outer, n, inner). Without elements outer is 0: no loop walks empty slices, of
// which there may be any number.
struct Around {
  std::size_t outer = 1, n = 1, inner = 1;
};
inline Around around(const Shape& shape, std::size_t axis) {
  Around result;
  for (std::size_t i = 0; i < shape.size(); ++i)
    (i < axis ? result.outer : i == axis ? result.n : result.inner) *= shape[i];
  if (result.n == 0 || result.inner == 0) result.outer = 0;
  return result;
}
inline Shape with_extent(Shape shape, std::size_t axis, std::size_t extent) {
  shape[axis] = extent;
  return shape;
}

inline constexpr auto largest_extent = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());

// The integer's size, also that of the smallest, whose negative is no ptrdiff_t.
inline std::size_t magnitude(std::ptrdiff_t n) {
  return n < 0 ? 0 - static_cast<std::size_t>(n) : static_cast<std::size_t>(n);
}

// x read along strides; shares x's elements if they are consecutive.
template <class T> Tensor<T> read_strided(const Tensor<T>& x, const kernels::Strided& s);
// The same, recorded. `kept`: the result's shape, which may lack axes of extent 1 that s has.
template <class T> Tensor<T> slice_strided(const Tensor<T>& x, const kernels::Strided& s, const Shape& kept);
// Its transpose: dy written into zeros of the shape that was sliced, or added to a sum that the sweep has lent. No
// place comes twice in s.
template <class T>
Tensor<T> unslice(const Tensor<T>& dy, const kernels::Strided& s, const Shape& shape, const Tensor<T>& sum = {});

}  // namespace xtape::detail
