#pragma once
// How reductions see a tensor.

#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "common.hpp"

namespace xtape::detail {

// A tensor as (outer, n, inner), with the n elements of each result consecutive in rows of `inner`.
struct Group {
  std::size_t outer = 1, n = 1, inner = 1;
  Shape kept;    // the result's shape
  Shape spread;  // the input's shape with the reduced axes of extent 1: what broadcasts back to the input
};

// The shape left by a reduction. Throws ShapeError on an axis out of range or repeated.
inline Shape reduced_shape(const char* op, const Shape& shape, const Axes& axes, bool keepdims) {
  const auto reduced = axis_flags(op, axes, shape);
  Shape result;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (!reduced[i] || keepdims) result.push_back(reduced[i] ? 1 : shape[i]);
  return result;
}

// The input arranged so that the reduced axes are neighbours: x itself, or a recorded transpose of it.
template <class T> struct Grouped {
  Tensor<T> x;
  Group group;
};

template <class T> Grouped<T> group_axes(const char* op, const Tensor<T>& x, const Axes& axes, bool keepdims) {
  const Shape& shape = x.shape();
  const auto reduced = axis_flags(op, axes, shape);
  Grouped<T> result{x, {}};
  Group& group = result.group;
  group.kept = reduced_shape(op, shape, axes, keepdims);
  group.spread = reduced_shape(op, shape, axes, true);
  std::size_t first = shape.size(), last = 0;
  bool together = true;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!reduced[i] || shape[i] == 1) continue;
    first = std::min(first, i);
    last = std::max(last, i);
  }
  for (std::size_t i = first; i < last; ++i) together = together && (reduced[i] || shape[i] == 1);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (reduced[i])
      group.n *= shape[i];
    else if (together && i > first)
      group.inner *= shape[i];
    else
      group.outer *= shape[i];
  }
  if (!together) {
    Axes order;  // kept axes first, each kind in its order, so that "first in row-major order" stays so
    for (const bool pass : {false, true})
      for (std::size_t i = 0; i < shape.size(); ++i)
        if (reduced[i] == pass) order.push_back(static_cast<std::ptrdiff_t>(i));
    result.x = transpose(x, order);
    group.spread = result.x.shape();
    for (std::size_t i = 0; i < order.size(); ++i)
      if (reduced[static_cast<std::size_t>(order[i])]) group.spread[i] = 1;
  }
  return result;
}

// The gradient of a result, spread over the elements that were reduced to it.
template <class T> Tensor<T> spread(const Tensor<T>& dy, const Shape& from, const Shape& shape) {
  return broadcast_to(reshape(dy, from), shape);
}

}  // namespace xtape::detail
