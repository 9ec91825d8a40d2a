#pragma once
// How reductions see a tensor.

#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "../kernels/terms.hpp"
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

// Throws ShapeError: an op that needs an element has none.
[[noreturn]] inline void throw_no_elements(const char* op, const Shape& shape) {
  throw ShapeError(fmt::format("{}: no elements along the reduced axes of shape {}", op, to_string(shape)));
}

// Number of elements reduced to one result. Throws ShapeError on an axis out of range or repeated.
inline std::size_t reduced_count(const char* op, const Shape& shape, const Axes& axes) {
  const auto reduced = axis_flags(op, axes, shape);
  std::size_t n = 1;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (reduced[i]) n *= shape[i];
  return n;
}

// How a tensor is reduced along neighbouring axes. `together`: whether they are neighbours; else a transpose must make
// them so first, and `spread` is that of the input as it is.
inline Group group_of(const char* op, const Shape& shape, const Axes& axes, bool keepdims, bool& together) {
  const auto reduced = axis_flags(op, axes, shape);
  Group group;
  group.kept = reduced_shape(op, shape, axes, keepdims);
  group.spread = reduced_shape(op, shape, axes, true);
  std::size_t first = shape.size(), last = 0;
  together = true;
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
  if (group.inner == 0) group.outer = 0;  // no results, whatever the number of empty rows
  return group;
}
// Along axes that are neighbours for certain.
inline Group group_of(const char* op, const Shape& shape, const Axes& axes, bool keepdims) {
  bool together;
  return group_of(op, shape, axes, keepdims, together);
}

// The input arranged so that the reduced axes are neighbours: x itself, or a recorded transpose of it.
template <class T> struct Grouped {
  Tensor<T> x;
  Group group;
};

template <class T> Grouped<T> group_axes(const char* op, const Tensor<T>& x, const Axes& axes, bool keepdims) {
  const Shape& shape = x.shape();
  bool together;
  Grouped<T> result{x, group_of(op, shape, axes, keepdims, together)};
  if (!together) {
    const auto reduced = axis_flags(op, axes, shape);
    Group& group = result.group;
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

// Axes to reduce, divided: the last ones that are neighbours, and the others.
struct Stretches {
  Axes last, others;
};
inline Stretches last_stretch(const std::array<bool, max_rank>& reduced, const Shape& shape) {
  Stretches result;
  bool gap = false;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (reduced[i])
      (gap ? result.others : result.last).push_back(static_cast<std::ptrdiff_t>(i));
    else
      gap = gap || (!result.last.empty() && shape[i] != 1);
  }
  return result;
}

// The M sums of f(x_i, p...) over each group of elements, in one pass, without history; with extent 1 along the axes.
// p: tensors with extent 1 along the axes, as x otherwise.
template <std::size_t M, class T, std::size_t P, class F>
std::array<Tensor<T>, M> sums_of(const Tensor<T>& x, const Axes& axes, const std::array<const Tensor<T>*, P>& p,
                                 const F& f) {
  const NoGrad pause;
  const auto [last, others] = last_stretch(axis_flags("sum", axes, x.shape()), x.shape());
  const Group group = group_axes("sum", x, others.empty() ? axes : last, true).group;
  std::array<Tensor<T>, P> spread;
  std::array<const T*, P> numbers;
  std::ranges::transform(p, spread.begin(), [&](const Tensor<T>* t) { return broadcast_to(*t, group.kept); });
  std::ranges::transform(spread, numbers.begin(), [](const Tensor<T>& t) { return t.data(); });
  auto written = [&]<std::size_t... m>(std::index_sequence<m...>) {
    return std::array<Fresh<T>, M>{(static_cast<void>(m), Fresh<T>("sum", group.kept))...};
  }
  (std::make_index_sequence<M>{});
  std::array<T*, M> out;
  std::ranges::transform(written, out.begin(), [](Fresh<T>& sums) { return sums.data(); });
  kernels::sum_terms<M, T, 1, P>(group.outer, group.n, group.inner, {x.data()}, numbers, out, f);
  std::array<Tensor<T>, M> result;
  std::ranges::transform(written, result.begin(), [](Fresh<T>& sums) { return std::move(sums).finished(); });
  if (!others.empty())
    for (auto& sums : result) sums = sum(sums, others, {.keepdims = true});
  return result;
}

// The gradient of a result, spread over the elements that were reduced to it.
template <class T> Tensor<T> spread(const Tensor<T>& dy, const Shape& from, const Shape& shape) {
  return broadcast_to(reshape(dy, from), shape);
}

}  // namespace xtape::detail
