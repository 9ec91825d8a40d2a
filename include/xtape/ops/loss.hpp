#pragma once
/// \file ops/loss.hpp  Losses, each the mean over the batch (the first axis) or over all elements.

#include <xtape/detail/operand.hpp>
#include <xtape/integers.hpp>

namespace xtape {

/// Class labels: any list of integers.
using Labels = Integers;

namespace detail {
template <class T> Tensor<T> mse_loss(const Tensor<T>& x, const Operand<T>& target);
template <class T> Tensor<T> binary_cross_entropy(const Tensor<T>& p, const Operand<T>& target);
template <class T> Tensor<T> binary_cross_entropy_with_logits(const Tensor<T>& x, const Operand<T>& target);
}  // namespace detail

/// L = mean_i (log sum_j e^(x_ij) - x_i,label_i)        x: (n, classes) logits, labels: n integers
/// dx = (softmax(x) - onehot(labels)) dL / n
/// Throws ShapeError unless x is 2-d with one row a label and at least one row, ValueError on a label out of range.
template <class T> Tensor<T> cross_entropy(const Tensor<T>& logits, const Labels& labels);

/// L = mean (x - t)^2 over all elements.    dx = 2 (x - t) dL / size. The target has x's shape.
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> mse_loss(const Tensor<T>& x, const U& target) {
  return detail::mse_loss<T>(x, target);
}
/// L = -mean (t log p + (1 - t) log(1 - p)) over all elements; 0 log 0 = 0.    dp = (p - t) / (p (1 - p)) dL / size
/// Probabilities p in [0, 1] and targets t in [0, 1] of the same shape. From logits, the next one is more exact.
/// Throws ValueError on a probability outside [0, 1].
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> binary_cross_entropy(const Tensor<T>& p, const U& target) {
  return detail::binary_cross_entropy<T>(p, target);
}
/// L = mean (softplus(x) - t x) over all elements: the cross-entropy of sigmoid(x), for logits of any size.
/// dx = (sigmoid(x) - t) dL / size
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> binary_cross_entropy_with_logits(const Tensor<T>& x, const U& target) {
  return detail::binary_cross_entropy_with_logits<T>(x, target);
}

}  // namespace xtape
