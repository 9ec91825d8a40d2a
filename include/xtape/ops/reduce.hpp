#pragma once
/// \file ops/reduce.hpp  Reductions over all axes or over some: sum(x), sum(x, 0), sum(x, {0, -1}).
///
/// The result lacks the reduced axes; with {.keepdims = true} they stay with extent 1. Over all axes the
/// result is 0-d. Below, k runs over the elements reduced to one result and n is their number.
/// All throw ShapeError on an axis out of range or repeated.

#include <xtape/tensor.hpp>

namespace xtape {

struct ReduceOptions {
  bool keepdims = false;
};

/// y = sum_k x_k, pairwise: the rounding error grows with log n.    dx_k = dy
///     sum(M);  // = 21
///     sum(M, 0);  // = [5, 7, 9]
///     sum(M, 1, {.keepdims = true});  // = [[6], [15]]
template <class T> Tensor<T> sum(const Tensor<T>& x, const Axes& axes = all_axes, const ReduceOptions& options = {});
/// y = sum_k x_k / n, also where the sum leaves the range of T.    dx_k = dy / n. NaN for n = 0.
///     mean(M, -1);  // = [2, 5]
template <class T> Tensor<T> mean(const Tensor<T>& x, const Axes& axes = all_axes, const ReduceOptions& options = {});
/// y = max_k x_k; NaN if any is.    The first maximum in row-major order takes dy. Throws ShapeError for n = 0.
///     max(M, 0);  // = [4, 5, 6]
template <class T> Tensor<T> max(const Tensor<T>& x, const Axes& axes = all_axes, const ReduceOptions& options = {});
/// y = min_k x_k; NaN if any is.    The first minimum in row-major order takes dy. Throws ShapeError for n = 0.
///     min(x);  // = 1
template <class T> Tensor<T> min(const Tensor<T>& x, const Axes& axes = all_axes, const ReduceOptions& options = {});
/// y = log sum_k e^(x_k), without overflow; -inf for n = 0.    dx_k = dy e^(x_k - y), NaN if all
/// x_k are -inf
///     logsumexp(x);  // = 3.40761
template <class T>
Tensor<T> logsumexp(const Tensor<T>& x, const Axes& axes = all_axes, const ReduceOptions& options = {});

struct VarianceOptions {
  bool keepdims = false;
  std::size_t ddof = 0;  ///< divide by n - ddof: 0 as NumPy, 1 for the unbiased estimate; by 0 if ddof is larger
};
/// y = sum_k (x_k - mean)^2 / (n - ddof), with the mean's rounding taken off, too: exact also beside a large mean. Of
/// float it is computed in double and rounded once. Nothing overflows but y.
/// dx_k = 2 dy (x_k - mean) / (n - ddof). Where ddof >= n, the division is by 0, as in NumPy: inf or NaN.
///     var(x);  // = 0.666667
///     var(x, 0, {.ddof = 1});  // = 1
template <class T> Tensor<T> var(const Tensor<T>& x, const Axes& axes = all_axes, const VarianceOptions& options = {});
/// y = sqrt(var(x)).    dx_k = dy (x_k - mean) / (y (n - ddof)), and 0 where y = 0, where the second derivative is NaN
/// as norm's is. The squares neither overflow nor underflow. Where ddof >= n: inf or NaN, as of var, and the gradient
/// is NaN.
///     stddev(M, 1);  // = [0.816497, 0.816497]
template <class T>
Tensor<T> stddev(const Tensor<T>& x, const Axes& axes = all_axes, const VarianceOptions& options = {});

/// y = prod_k x_k; 1 for n = 0.    dx_k = dy prod_(j != k) x_j, of the factors themselves: zeros do no harm. Products
/// of some of the factors may leave the range of T.
///     prod(M, 0);  // = [4, 10, 18]
template <class T> Tensor<T> prod(const Tensor<T>& x, const Axes& axes = all_axes, const ReduceOptions& options = {});

struct NormOptions {
  double order = 2;  ///< p: any number, also inf and -inf
  bool keepdims = false;
};
/// y = (sum_k |x_k|^p)^(1/p), without overflow.    dx_k = dy sign x_k (|x_k| / y)^(p-1), and 0 where x_k = 0 or y = 0
/// (also where the limit is infinite, for p < 2 in the first derivative or the second). Where y = 0 there is no second
/// derivative: NaN, but for p = 1 and the norm of one number, where it is 0. square(norm(x)) has one, 2, which the
/// chain rule cannot find, since it meets the numbers 0 and 0 alone: write sum(square(x)).
/// p = inf, -inf: the largest, the smallest |x_k|; the first of equals in row-major order takes dy.
/// p = 0: the number of x_k other than 0.    dx = 0
/// y = 0 for n = 0; of p < 0 that throws ShapeError. Throws ValueError if p is NaN.
///     norm(x);  // = 3.74166
///     norm(x, 0, {.order = 1});  // = 6
template <class T> Tensor<T> norm(const Tensor<T>& x, const Axes& axes = all_axes, const NormOptions& options = {});

/// The index along `axis` of the first maximum (of the first NaN, if there is one). Not differentiable.
///     argmax(M, 1);  // = [2, 2]
template <class T> IndexArray argmax(const Tensor<T>& x, std::ptrdiff_t axis);
/// The flat index of the first maximum. Throws ShapeError if x is empty.
///     argmax(x);  // = 0
template <class T> std::size_t argmax(const Tensor<T>& x);
/// The index along `axis` of the first minimum (of the first NaN, if there is one). Not differentiable.
///     argmin(M, 0);  // = [0, 0, 0]
template <class T> IndexArray argmin(const Tensor<T>& x, std::ptrdiff_t axis);
/// The flat index of the first minimum. Throws ShapeError if x is empty.
///     argmin(x);  // = 1
template <class T> std::size_t argmin(const Tensor<T>& x);

}  // namespace xtape
