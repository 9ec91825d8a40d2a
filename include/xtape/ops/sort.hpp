#pragma once
/// \file ops/sort.hpp  Elements in order of size along an axis.
///
/// Equal elements keep their order, also in descending order. The gradient goes back to where the elements came from:
/// of equal ones each keeps its own. All throw ShapeError on an axis out of range and for more than 2^32 elements.

#include <xtape/tensor.hpp>

namespace xtape {

struct SortOptions {
  bool descending = false;  ///< NaN comes last all the same
};
/// The elements from the smallest to the largest; NaN last, as in NumPy.    dx[.., order_j, ..] = dy[.., j, ..]
///     sort(x);  // = [1, 2, 3]
///     sort(x, -1, {.descending = true});  // = [3, 2, 1]
template <class T> Tensor<T> sort(const Tensor<T>& x, std::ptrdiff_t axis = -1, const SortOptions& options = {});
/// The order that sorts: sort(x) = gather(x, argsort(x), axis). Not differentiable.
///     argsort(x);  // = [1, 2, 0]
template <class T> IndexArray argsort(const Tensor<T>& x, std::ptrdiff_t axis = -1, const SortOptions& options = {});

struct TopkOptions {
  bool largest = true;  ///< or the smallest
};
template <class T> struct Topk {
  Tensor<T> values;
  IndexArray indices;  ///< along the axis
};
/// The k largest elements along an axis, the largest first: auto [values, indices] = topk(x, 5). NaN before all others,
/// as max and min have it.    dx[.., indices_j, ..] = dvalues[.., j, ..]. Throws ShapeError if k is beyond the extent.
///     topk(x, 2).values;  // = [3, 2]
///     topk(x, 2).indices;  // = [0, 2]
template <class T>
Topk<T> topk(const Tensor<T>& x, std::size_t k, std::ptrdiff_t axis = -1, const TopkOptions& options = {});

}  // namespace xtape
