#pragma once
/// \file ops/shape.hpp  Ops that move elements and leave them as they are.
///
/// reshape, flatten, squeeze and expand_dims share the elements of their input; so does a slice of
/// consecutive elements. The others copy: a Tensor is always contiguous. For a transpose that feeds a
/// matmul use MatmulOptions instead. All throw ShapeError on shapes or axes that do not fit.

#include <xtape/tensor.hpp>

#include <limits>
#include <vector>

namespace xtape {

/// The extents asked of reshape; one of them may be -1: whatever is left.
class NewShape : public detail::ShortList<std::ptrdiff_t> {
 public:
  NewShape(std::initializer_list<detail::SignedIndex> extents) {
    for (const auto extent : extents) push_back(extent.value);
  }
  NewShape(const Shape& shape) {
    for (const std::size_t extent : shape) push_back(static_cast<std::ptrdiff_t>(extent));
  }
};

/// The same elements in row-major order.    dx = reshape(dy, x.shape())
template <class T> Tensor<T> reshape(const Tensor<T>& x, const NewShape& shape);
/// Axes from start_axis on become one; the default keeps the batch axis.
template <class T> Tensor<T> flatten(const Tensor<T>& x, std::ptrdiff_t start_axis = 1);
/// Drops axes of extent 1: the ones named, or all.
template <class T> Tensor<T> squeeze(const Tensor<T>& x, const Axes& axes = all_axes);
/// Adds an axis of extent 1 at position `axis` of the result.
template <class T> Tensor<T> expand_dims(const Tensor<T>& x, std::ptrdiff_t axis);
/// Axis i of the result is axis axes[i] of x; all_axes reverses them.    dx = transpose(dy, inverse)
template <class T> Tensor<T> transpose(const Tensor<T>& x, const Axes& axes = all_axes);
/// PyTorch's name for transpose with axes.
template <class T> Tensor<T> permute(const Tensor<T>& x, const Axes& axes) { return transpose(x, axes); }
/// Repeats along new axes and axes of extent 1.    dx = dy summed over them
template <class T> Tensor<T> broadcast_to(const Tensor<T>& x, const Shape& shape);
/// Joins along an existing axis.    dx_i = the slice of dy that came from x_i
template <class T> Tensor<T> concatenate(const std::vector<Tensor<T>>& tensors, std::ptrdiff_t axis = 0);
/// Joins along a new axis.    dx_i = dy[..., i, ...]
template <class T> Tensor<T> stack(const std::vector<Tensor<T>>& tensors, std::ptrdiff_t axis = 0);

/// start:stop:step as in NumPy: negative bounds count from the back, bounds beyond the ends are cut.
struct Range {
  static constexpr std::ptrdiff_t open = std::numeric_limits<std::ptrdiff_t>::min();
  std::ptrdiff_t start = open;
  std::ptrdiff_t stop = open;
  std::ptrdiff_t step = 1;
};
inline Range range(std::ptrdiff_t start, std::ptrdiff_t stop, std::ptrdiff_t step = 1) { return {start, stop, step}; }
/// The whole axis.
inline Range all() { return {}; }

/// What slice() takes of one axis: a range, or one index, which drops the axis.
struct SliceIndex {
  Range range;
  bool drops_axis = false;
  SliceIndex(const Range& r) : range(r) {}
  template <std::integral I>
  SliceIndex(I index) : range{static_cast<std::ptrdiff_t>(index), Range::open, 1}, drops_axis(true) {}
};
/// x[indices]: slice(x, {range(0, 2), all(), -1}); axes not named are taken whole.    dx = dy there, 0 elsewhere
template <class T> Tensor<T> slice(const Tensor<T>& x, std::initializer_list<SliceIndex> indices);

}  // namespace xtape
