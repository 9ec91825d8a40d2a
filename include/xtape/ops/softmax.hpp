#pragma once
/// \file ops/softmax.hpp  Softmax along an axis, without overflow.

#include <xtape/tensor.hpp>

namespace xtape {

/// s_i = e^(x_i) / sum_j e^(x_j).    dx_i = s_i (dy_i - sum_j dy_j s_j)
///     softmax(x);  // = [0.665241, 0.0900306, 0.244728]
///     softmax(M, 0);  // = [[0.0474259, 0.0474259, 0.0474259], [0.952574, 0.952574, 0.952574]]
template <class T> Tensor<T> softmax(const Tensor<T>& x, std::ptrdiff_t axis = -1);
/// y_i = x_i - log sum_j e^(x_j).    dx_i = dy_i - e^(y_i) sum_j dy_j
///     log_softmax(x);  // = [-0.407606, -2.40761, -1.40761]
template <class T> Tensor<T> log_softmax(const Tensor<T>& x, std::ptrdiff_t axis = -1);

}  // namespace xtape
