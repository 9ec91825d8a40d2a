#pragma once
/// \file ops/scan.hpp  Running results along an axis. The result has the input's shape.
///
/// Below, i runs along the axis. With {.reverse = true} it runs from the end: y_i takes in x_k for k >= i.
/// All throw ShapeError on an axis out of range. For NumPy's flat form take reshape(x, {-1}) and axis 0.

#include <xtape/tensor.hpp>

namespace xtape {

struct ScanOptions {
  bool reverse = false;
};

/// y_i = sum_(k <= i) x_k, compensated: the rounding error does not grow with i.    dx_i = sum_(k >= i) dy_k
///     cumsum(M, 1);  // = [[1, 3, 6], [4, 9, 15]]
///     cumsum(x, 0, {.reverse = true});  // = [6, 3, 2]
template <class T> Tensor<T> cumsum(const Tensor<T>& x, std::ptrdiff_t axis, const ScanOptions& options = {});
/// y_i = prod_(k <= i) x_k.    dx_i = y_(i-1) sum_(k >= i) dy_k prod_(i < j <= k) x_j, without division: zeros do no
/// harm
///     cumprod(x, 0);  // = [3, 3, 6]
template <class T> Tensor<T> cumprod(const Tensor<T>& x, std::ptrdiff_t axis, const ScanOptions& options = {});
/// y_i = a_i y_(i-1) + b_i with y_(-1) = 0.    db_i = g_i = dy_i + a_(i+1) g_(i+1), da_i = g_i y_(i-1)
/// The linear recurrence of order one; a and b have one shape, else ShapeError.
///     recurrence(z, x, 0);  // = [3, 7, -5]
template <class T>
Tensor<T> recurrence(const Tensor<T>& a, const Tensor<T>& b, std::ptrdiff_t axis, const ScanOptions& options = {});

}  // namespace xtape
