#pragma once
/// \file ops/index.hpp  Ops that pick elements by lists of indices or by masks.
///
/// Indices are integers of any kind (see Integers) and count from the back if negative, as in NumPy. An index that is
/// out of range throws a ValueError that names it; shapes that do not fit throw a ShapeError, and so do tensors of more
/// than 2^32 elements where single elements are picked. Indices may repeat: what goes to one place adds up, many terms
/// in more digits than T has.

#include <xtape/detail/operand.hpp>
#include <xtape/integers.hpp>

namespace xtape {

/// y[.., j, ..] = x[.., indices[.., j, ..], ..] along `axis`: NumPy's take_along_axis, torch.gather.
/// The indices have the shape of x but along the axis, where they are as long as y shall be.
/// dx = scatter_add(0, indices, dy, axis)
///     gather(M, xt::xtensor<int, 2>{{0, 2}, {-1, 0}}, 1);  // = [[1, 3], [6, 4]]
template <class T> Tensor<T> gather(const Tensor<T>& x, const Integers& indices, std::ptrdiff_t axis);
/// x, with y[.., indices[.., j, ..], ..] += source[.., j, ..] along `axis`. The source has the indices' shape, which is
/// that of x but along the axis.    dx = dy, dsource = gather(dy, indices, axis)
///     scatter_add(zeros<double>({3}), {0, 2, 0}, x, 0);  // = [5, 0, 1]
template <class T>
Tensor<T> scatter_add(const Tensor<T>& x, const Integers& indices, const Tensor<T>& source, std::ptrdiff_t axis);

/// Slice j along `axis` is slice indices[j] of x, for 1-d indices: NumPy's take.    dx = index_add(0, axis, indices,
/// dy)
///     index_select(M, 1, {2, 0, 2});  // = [[3, 1, 3], [6, 4, 6]]
template <class T> Tensor<T> index_select(const Tensor<T>& x, std::ptrdiff_t axis, const Integers& indices);
/// x, with slice j of the source along `axis` added to slice indices[j]. The source has the shape of x but along the
/// axis, where it is as long as the 1-d indices.    dx = dy, dsource = index_select(dy, axis, indices)
///     index_add(zeros<double>({4}), 0, {3, 0, 3}, x);  // = [1, 0, 0, 5]
template <class T>
Tensor<T> index_add(const Tensor<T>& x, std::ptrdiff_t axis, const Integers& indices, const Tensor<T>& source);
/// Rows of a matrix: y[i.., :] = weight[indices[i..], :]        weight: (n, d), indices: any shape, y: that and (d,)
/// dweight_k = the sum of dy's rows for which the index is k
///     embedding(M, {1, 0, 1});  // = [[4, 5, 6], [1, 2, 3], [4, 5, 6]]
template <class T> Tensor<T> embedding(const Tensor<T>& weight, const Integers& indices);
/// y[i.., c] = 1 where labels[i..] is c, else 0: a constant of the labels' shape and (classes,).
/// Labels are not indices: a negative one throws a ValueError, as one beyond the classes does.
///     one_hot<double>({2, 0}, 3);  // = [[0, 0, 1], [1, 0, 0]]
template <class T> Tensor<T> one_hot(const Integers& labels, std::size_t classes);

namespace detail {
template <class T> Tensor<T> masked_select(const Tensor<T>& x, const Operand<T>& mask);
template <class T> Tensor<T> masked_fill(const Tensor<T>& x, const Operand<T>& mask, double value);
}  // namespace detail

/// The elements where the mask is not 0, in row-major order: 1-d.    dx = dy at these places, 0 elsewhere
/// The mask, as where()'s condition a tensor or an xtensor expression, broadcasts to x's shape.
///     masked_select(M, M > 3);  // = [4, 5, 6]
template <class T, class M>
requires Operands<Tensor<T>, M> Tensor<T> masked_select(const Tensor<T>& x, const M& mask) {
  return detail::masked_select<T>(x, mask);
}
/// `value` where the mask is not 0, else x.    dx = dy where the mask is 0. The mask as in masked_select.
///     masked_fill(x, x > 2, 0);  // = [0, 1, 2]
template <class T, class M>
requires Operands<Tensor<T>, M> Tensor<T> masked_fill(const Tensor<T>& x, const M& mask, double value) {
  return detail::masked_fill<T>(x, mask, value);
}

}  // namespace xtape
