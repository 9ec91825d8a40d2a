#pragma once
/// \file ops/likelihood.hpp  Logarithms of probabilities, elementwise and with NumPy's broadcasting: sum() them over
/// the axes of one observation. Arguments may be numbers or xtensor expressions, but for one of them.
/// All throw ShapeError if the shapes do not broadcast.

#include <xtape/detail/operand.hpp>

namespace xtape {
namespace detail {
template <class T> Tensor<T> bernoulli_log_likelihood(const Operand<T>& logits, const Operand<T>& target);
template <class T>
Tensor<T> gaussian_log_likelihood(const Operand<T>& x, const Operand<T>& mean, const Operand<T>& log_variance);
}  // namespace detail

/// y = t log sigmoid(x) + (1 - t) log sigmoid(-x) = t x - softplus(x), for logits x of any size and t in [0, 1].
/// dx = dy (t - sigmoid(x)), dt = dy x
///     bernoulli_log_likelihood(z, 1);  // = [-0.474077, -0.126928, -1.31326]
template <class A, class B>
requires Operands<A, B>
auto bernoulli_log_likelihood(A&& logits, B&& target) {
  return detail::bernoulli_log_likelihood<detail::joined_element<A, B>>(logits, target);
}
/// y = -(log 2 pi + v + z^2) / 2 with z = (x - m) e^(-v/2), v the logarithm of the variance.
/// dx = -dy z e^(-v/2), dm = dy z e^(-v/2), dv = dy (z^2 - 1) / 2. At x = m, z is 0 for any v, also where e^(-v/2)
/// overflows.
///     gaussian_log_likelihood(x, 2, 0);  // = [-1.41894, -1.41894, -0.918939]
template <class A, class B, class C>
requires Operands<A, B, C>
auto gaussian_log_likelihood(A&& x, B&& mean, C&& log_variance) {
  return detail::gaussian_log_likelihood<detail::joined_element<A, B, C>>(x, mean, log_variance);
}

}  // namespace xtape
