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
///     reshape(M, {3, -1});  // = [[1, 2], [3, 4], [5, 6]]
template <class T> Tensor<T> reshape(const Tensor<T>& x, const NewShape& shape);
/// Axes from start_axis on become one; the default keeps the batch axis. () -> (1,).
///     flatten(M, 0);  // = [1, 2, 3, 4, 5, 6]
template <class T> Tensor<T> flatten(const Tensor<T>& x, std::ptrdiff_t start_axis = 1);
/// Drops axes of extent 1: the ones named, or all.
///     squeeze(reshape(x, {1, 3, 1})).shape();  // = (3,)
template <class T> Tensor<T> squeeze(const Tensor<T>& x, const Axes& axes = all_axes);
/// Adds an axis of extent 1 at position `axis` of the result.
///     expand_dims(x, 0);  // = [[3, 1, 2]]
template <class T> Tensor<T> expand_dims(const Tensor<T>& x, std::ptrdiff_t axis);
/// Axis i of the result is axis axes[i] of x; all_axes reverses them.    dx = transpose(dy, inverse)
///     transpose(M);  // = [[1, 4], [2, 5], [3, 6]]
template <class T> Tensor<T> transpose(const Tensor<T>& x, const Axes& axes = all_axes);
/// PyTorch's name for transpose with axes.
///     permute(I, {2, 3, 0, 1}).shape();  // = (3, 3, 1, 1)
template <class T> Tensor<T> permute(const Tensor<T>& x, const Axes& axes) { return transpose(x, axes); }
/// Repeats along new axes and axes of extent 1.    dx = dy summed over them
///     broadcast_to(x, {2, 3});  // = [[3, 1, 2], [3, 1, 2]]
template <class T> Tensor<T> broadcast_to(const Tensor<T>& x, const Shape& shape);
/// Joins along an existing axis.    dx_i = the slice of dy that came from x_i
///     concatenate({x, z});  // = [3, 1, 2, 0.5, 2, -1]
template <class T> Tensor<T> concatenate(const std::vector<Tensor<T>>& tensors, std::ptrdiff_t axis = 0);
template <class T> Tensor<T> concatenate(std::initializer_list<Tensor<T>> tensors, std::ptrdiff_t axis = 0) {
  return concatenate(std::vector<Tensor<T>>(tensors), axis);
}
/// Joins along a new axis.    dx_i = dy[..., i, ...]
///     stack({x, z}, 1);  // = [[3, 0.5], [1, 2], [2, -1]]
template <class T> Tensor<T> stack(const std::vector<Tensor<T>>& tensors, std::ptrdiff_t axis = 0);
template <class T> Tensor<T> stack(std::initializer_list<Tensor<T>> tensors, std::ptrdiff_t axis = 0) {
  return stack(std::vector<Tensor<T>>(tensors), axis);
}
/// Axis source[i] becomes axis destination[i]; the others keep their order. A transpose.
///     moveaxis(I, 1, -1).shape();  // = (1, 3, 3, 1)
template <class T> Tensor<T> moveaxis(const Tensor<T>& x, const Axes& source, const Axes& destination);
/// Two axes change places. A transpose.
///     swapaxes(M, 0, 1);  // = [[1, 4], [2, 5], [3, 6]]
template <class T> Tensor<T> swapaxes(const Tensor<T>& x, std::ptrdiff_t a, std::ptrdiff_t b);
/// At least so many axes, as in NumPy: () -> (1,).
///     atleast_1d(sum(x));  // = [6]
template <class T> Tensor<T> atleast_1d(const Tensor<T>& x);
/// () -> (1, 1), (n,) -> (1, n).
///     atleast_2d(x);  // = [[3, 1, 2]]
template <class T> Tensor<T> atleast_2d(const Tensor<T>& x);
/// () -> (1, 1, 1), (n,) -> (1, n, 1), (n, m) -> (n, m, 1).
///     atleast_3d(M).shape();  // = (2, 3, 1)
template <class T> Tensor<T> atleast_3d(const Tensor<T>& x);

/// start:stop:step as in NumPy: negative bounds count from the back, bounds beyond the ends are cut.
struct Range {
  static constexpr std::ptrdiff_t open = std::numeric_limits<std::ptrdiff_t>::min();
  std::ptrdiff_t start = open;
  std::ptrdiff_t stop = open;
  std::ptrdiff_t step = 1;
};
inline Range range(std::ptrdiff_t start, std::ptrdiff_t stop, std::ptrdiff_t step = 1) { return {start, stop, step}; }
/// The whole axis.
///     slice(M, {all(), 0});  // = [1, 4]
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
/// Of many slices each adds its gradient to x's in place, which costs no more than its own size.
///     slice(M, {-1});  // = [4, 5, 6]
///     slice(M, {all(), range(0, 3, 2)});  // = [[1, 3], [4, 6]]
///     slice(x, {range(2, Range::open, -1)});  // = [2, 1, 3]
template <class T> Tensor<T> slice(const Tensor<T>& x, std::initializer_list<SliceIndex> indices);

/// How split() cuts an axis: `3` into so many equal parts, `{2, 5, 1}` into parts of these extents.
class Parts {
 public:
  template <std::integral I> Parts(I count) : values_{static_cast<std::ptrdiff_t>(count)}, equal_(true) {}
  Parts(std::initializer_list<detail::SignedIndex> extents) {
    for (const auto extent : extents) values_.push_back(extent.value);
  }
  template <std::ranges::input_range R>
  requires(std::integral<std::ranges::range_value_t<R>> && !std::same_as<R, Parts>) Parts(const R& extents) {
    for (const auto extent : extents) values_.push_back(static_cast<std::ptrdiff_t>(extent));
  }
  bool equal() const noexcept { return equal_; }
  /// The extents; their number, if they are equal.
  const std::vector<std::ptrdiff_t>& values() const noexcept { return values_; }

 private:
  std::vector<std::ptrdiff_t> values_;
  bool equal_ = false;
};
/// Consecutive slices of an axis. Throws ShapeError if equal parts do not divide it or extents do not add up to it.
/// Each part of the gradient is written into zeros of x's shape: for very many parts, work on x as a whole.
///     split(M, 3, 1)[2];  // = [[3], [6]]
///     split(x, {1, 2})[1];  // = [1, 2]
template <class T> std::vector<Tensor<T>> split(const Tensor<T>& x, const Parts& parts, std::ptrdiff_t axis = 0);
/// The slices of an axis, which they lack: what stack() has put together. Throws ShapeError on an axis out of range.
///     unstack(M)[1];  // = [4, 5, 6]
///     unstack(M, 1)[2];  // = [3, 6]
template <class T> std::vector<Tensor<T>> unstack(const Tensor<T>& x, std::ptrdiff_t axis = 0);

/// What pad() adds before and after the elements of an axis.
struct PadWidth {
  std::ptrdiff_t before = 0, after = 0;
  constexpr PadWidth() noexcept = default;
  constexpr PadWidth(detail::SignedIndex b, detail::SignedIndex a) noexcept : before(b.value), after(a.value) {}
};
/// One {before, after} for each axis.
class PadWidths : public detail::ShortList<PadWidth> {
 public:
  constexpr PadWidths() noexcept = default;
  constexpr PadWidths(std::initializer_list<PadWidth> widths) {
    for (const PadWidth& width : widths) push_back(width);
  }
};
enum class PadMode {
  constant,  ///< with a value
  reflect,   ///< mirrored at the first and the last element, which are not repeated: c b [a b c] b a
};
struct PadOptions {
  PadMode mode = PadMode::constant;
  double value = 0;
};
/// Each axis made longer at its ends: pad(x, {{1, 1}, {0, 2}}).    dx = the slice of dy that x went to; reflected
/// elements add their dy. Reflection goes back and forth for any width, as in NumPy; a single element repeats.
/// Throws ShapeError on a negative width, and if nothing is there to reflect.
///     pad(x, {{1, 2}});  // = [0, 3, 1, 2, 0, 0]
///     pad(x, {{2, 2}}, {.mode = PadMode::reflect});  // = [2, 1, 3, 1, 2, 1, 3]
template <class T> Tensor<T> pad(const Tensor<T>& x, const PadWidths& widths, const PadOptions& options = {});

/// The order of the elements along the axes, reversed.    dx = flip(dy, axes)
///     flip(x);  // = [2, 1, 3]
///     flip(M, 0);  // = [[4, 5, 6], [1, 2, 3]]
template <class T> Tensor<T> flip(const Tensor<T>& x, const Axes& axes = all_axes);

/// How far roll() moves: one number for all its axes, or one for each.
class Shifts : public detail::ShortList<std::ptrdiff_t> {
 public:
  template <std::integral I> Shifts(I shift) { push_back(static_cast<std::ptrdiff_t>(shift)); }
  Shifts(std::initializer_list<detail::SignedIndex> shifts) {
    for (const auto shift : shifts) push_back(shift.value);
  }
};
/// y[(i + shift) mod n] = x[i] along each of the axes; shifts of an axis named twice add up. Without axes the elements
/// move in row-major order, as in NumPy.    dx = roll(dy, -shifts, axes)
///     roll(x, 1);  // = [2, 3, 1]
///     roll(M, {1, -1}, {0, 1});  // = [[5, 6, 4], [2, 3, 1]]
template <class T> Tensor<T> roll(const Tensor<T>& x, const Shifts& shifts, const Axes& axes = all_axes);

/// The whole of x, repetitions[i] times along axis i: tile([a b], {2}) = [a b a b]. The shorter of shape and
/// repetitions is filled up with ones from the front.    dx = dy summed over the copies
///     tile(x, {2, 2});  // = [[3, 1, 2, 3, 1, 2], [3, 1, 2, 3, 1, 2]]
template <class T> Tensor<T> tile(const Tensor<T>& x, const Shape& repetitions);
/// Each element `count` times along an axis: repeat([a b], 2, 0) = [a a b b].    dx = dy summed over the copies
///     repeat(x, 2, 0);  // = [3, 3, 1, 1, 2, 2]
template <class T> Tensor<T> repeat(const Tensor<T>& x, std::size_t count, std::ptrdiff_t axis);

/// y[..., i] = x[i, i + offset] of the matrices that axis1 and axis2 span; empty if the offset is outside.
/// dx = dy on the diagonal, 0 elsewhere. Throws ShapeError if the axes are the same.
///     diagonal(M, 1);  // = [2, 6]
template <class T>
Tensor<T> diagonal(const Tensor<T>& x, std::ptrdiff_t offset = 0, std::ptrdiff_t axis1 = 0, std::ptrdiff_t axis2 = 1);
/// Of a matrix: its diagonal. Of a vector: the square matrix that has it as diagonal and 0 elsewhere. `offset` counts
/// diagonals upwards from the main one. Throws ShapeError on any other rank.
///     diag(A);  // = [4, 3]
///     diag(x);  // = [[3, 0, 0], [0, 1, 0], [0, 0, 2]]
template <class T> Tensor<T> diag(const Tensor<T>& x, std::ptrdiff_t offset = 0);
/// The lower triangles of matrices (the last two axes): y_ij = x_ij for j <= i + offset, else 0, also where x is NaN.
/// dx = tril(dy, offset)
///     tril(A);  // = [[4, 0], [1, 3]]
template <class T> Tensor<T> tril(const Tensor<T>& x, std::ptrdiff_t offset = 0);
/// The upper triangles: y_ij = x_ij for j >= i + offset, else 0.    dx = triu(dy, offset)
///     triu(M, 1);  // = [[0, 2, 3], [0, 0, 6]]
template <class T> Tensor<T> triu(const Tensor<T>& x, std::ptrdiff_t offset = 0);

/// Whether axis i of meshgrid's results follows vector i (ij), or the first two are exchanged (xy).
enum class Indexing { xy, ij };
struct MeshgridOptions {
  Indexing indexing = Indexing::xy;  ///< as NumPy; PyTorch has ij
};
/// The coordinates of the grid that vectors span: result k holds vector k's element for each point, along axis k.
///     meshgrid<double>({x, z})[0];  // = [[3, 1, 2], [3, 1, 2], [3, 1, 2]]
template <class T>
std::vector<Tensor<T>> meshgrid(const std::vector<Tensor<T>>& vectors, const MeshgridOptions& options = {});
/// Each tensor broadcast to the shape that all of them broadcast to.
///     broadcast_tensors<double>({M, x})[1];  // = [[3, 1, 2], [3, 1, 2]]
template <class T> std::vector<Tensor<T>> broadcast_tensors(const std::vector<Tensor<T>>& tensors);

}  // namespace xtape
