#pragma once
/// \file ops/loss.hpp  Losses, each the mean over the batch (the first axis) or over all elements.

#include <xtape/detail/operand.hpp>
#include <xtape/integers.hpp>

namespace xtape {

/// Class labels: any list of integers.
using Labels = Integers;

namespace detail {
template <class T> Tensor<T> mse_loss(const Tensor<T>& x, const Operand<T>& target);
template <class T> Tensor<T> l1_loss(const Tensor<T>& x, const Operand<T>& target);
template <class T> Tensor<T> huber_loss(const Tensor<T>& x, const Operand<T>& target, double delta);
template <class T> Tensor<T> hinge_loss(const Tensor<T>& x, const Operand<T>& target);
template <class T> Tensor<T> binary_cross_entropy(const Tensor<T>& p, const Operand<T>& target);
template <class T> Tensor<T> binary_cross_entropy_with_logits(const Tensor<T>& x, const Operand<T>& target);
}  // namespace detail

/// L = mean_i (log sum_j e^(x_ij) - x_i,label_i)        x: (n, classes) logits, labels: n integers
/// dx = (softmax(x) - onehot(labels)) dL / n
/// Throws ShapeError unless x is 2-d with one row a label and at least one row, ValueError on a label out of range.
///     cross_entropy(M, {0, 2});  // = 1.40761
template <class T> Tensor<T> cross_entropy(const Tensor<T>& logits, const Labels& labels);

/// L = -mean_i p_i,label_i        p: (n, classes) log-probabilities, as log_softmax gives them.    dp = -onehot dL / n
/// From logits, cross_entropy is the same in one op. Throws as cross_entropy does.
///     nll_loss(log_softmax(M), {0, 2});  // = 1.40761
template <class T> Tensor<T> nll_loss(const Tensor<T>& log_probabilities, const Labels& labels);

/// L = sum_j p_j (log p_j - log q_j) over the last axis, mean over the others; 0 log 0 = 0, and inf where q = 0 < p.
/// dp = (log p - log q + 1) dL / n, dq = -p / q dL / n; where p = 0 both are 0, as all higher derivatives: what softmax
/// rounds to 0 adds nothing
/// The divergence of q, the model, from p, the truth: probabilities both, of one shape with n > 0 rows, else
/// ShapeError. Throws ValueError on a probability outside [0, 1].
///     kl_divergence(softmax(x), softmax(z));  // = 1.14096
template <class T> Tensor<T> kl_divergence(const Tensor<T>& p, const Tensor<T>& q);

/// L = mean |x - t| over all elements.    dx = sign(x - t) dL / size, 0 where x = t. The target has x's shape.
///     l1_loss(x, z);  // = 2.16667
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> l1_loss(const Tensor<T>& x, const U& target) {
  return detail::l1_loss<T>(x, target);
}
struct HuberOptions {
  double delta = 1;
};
/// L = mean of d^2 / 2 where |d| <= delta and delta (|d| - delta / 2) elsewhere, d = x - t, over all elements.
/// dx = clip(d, -delta, delta) dL / size. The target has x's shape. Throws ValueError unless delta > 0.
///     huber_loss(x, z);  // = 1.66667
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> huber_loss(const Tensor<T>& x, const U& target,
                                                     const HuberOptions& options = {}) {
  return detail::huber_loss<T>(x, target, options.delta);
}
/// L = mean max(0, 1 - t x) over all elements, for labels t of -1 and 1.    dx = -t dL / size where t x < 1, else 0
/// The target has x's shape. Throws ValueError on another label.
///     hinge_loss(z, sign(z));  // = 0.166667
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> hinge_loss(const Tensor<T>& x, const U& target) {
  return detail::hinge_loss<T>(x, target);
}

/// L = mean (x - t)^2 over all elements.    dx = 2 (x - t) dL / size. The target has x's shape.
///     mse_loss(x, z);  // = 5.41667
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> mse_loss(const Tensor<T>& x, const U& target) {
  return detail::mse_loss<T>(x, target);
}
/// L = -mean (t log p + (1 - t) log(1 - p)) over all elements; 0 log 0 = 0.    dp = (p - t) / (p (1 - p)) dL / size
/// Of dp the part of a class with p = 0 and t = 0, or p = 1 and t = 1, is 0.
/// Probabilities p in [0, 1] and targets t in [0, 1] of the same shape. From logits, the next one is more exact.
/// Throws ValueError on a probability outside [0, 1]; targets are not checked.
///     binary_cross_entropy(sigmoid(z), relu(sign(z)));  // = 0.304756
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> binary_cross_entropy(const Tensor<T>& p, const U& target) {
  return detail::binary_cross_entropy<T>(p, target);
}
/// L = mean (softplus(x) - t x) over all elements: the cross-entropy of sigmoid(x), for logits of any size.
/// dx = (sigmoid(x) - t) dL / size. That targets t are in [0, 1] is not checked.
///     binary_cross_entropy_with_logits(z, relu(sign(z)));  // = 0.304756
template <class T, class U>
requires Operands<Tensor<T>, U> Tensor<T> binary_cross_entropy_with_logits(const Tensor<T>& x, const U& target) {
  return detail::binary_cross_entropy_with_logits<T>(x, target);
}

}  // namespace xtape
