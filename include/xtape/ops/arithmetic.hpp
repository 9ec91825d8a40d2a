#pragma once
/// \file ops/arithmetic.hpp  Elementwise ops of two tensors, with NumPy's broadcasting. One side may be a
/// number or an xtensor expression, which is evaluated and treated as a constant.
/// All throw ShapeError if the shapes do not broadcast.

#include <xtape/detail/operand.hpp>

#include <utility>

namespace xtape {
namespace detail {

template <class T> Tensor<T> add(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> subtract(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> multiply(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> divide(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> pow(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> pow_number(const Tensor<T>& x, double exponent);
template <class T> Tensor<T> maximum(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> minimum(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> atan2(Operand<T> y, Operand<T> x);
template <class T> Tensor<T> hypot(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> logaddexp(Operand<T> a, Operand<T> b);
template <class T> Tensor<T> where(Operand<T> condition, Operand<T> x, Operand<T> y);

enum class Comparison { less, less_equal, greater, greater_equal, equal, not_equal };
template <class T> Tensor<T> compare(Comparison comparison, const Operand<T>& a, const Operand<T>& b);

}  // namespace detail

/// y = a + b.    da = dy, db = dy
///     x + z;  // = [3.5, 3, 1]
///     M + x;  // = [[4, 3, 5], [7, 6, 8]]
template <class A, class B>
requires Operands<A, B>
auto operator+(A&& a, B&& b) {
  return detail::add<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b));
}
/// y = a - b.    da = dy, db = -dy
///     10 - x;  // = [7, 9, 8]
template <class A, class B>
requires Operands<A, B>
auto operator-(A&& a, B&& b) {
  return detail::subtract<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b));
}
/// y = a b, elementwise.    da = dy b, db = dy a
///     x * z;  // = [1.5, 2, -2]
template <class A, class B>
requires Operands<A, B>
auto operator*(A&& a, B&& b) {
  return detail::multiply<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b));
}
/// y = a / b.    da = dy / b, db = -dy a / b^2
///     x / z;  // = [6, 0.5, -2]
template <class A, class B>
requires Operands<A, B>
auto operator/(A&& a, B&& b) {
  return detail::divide<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b));
}
/// y = a^b.    da = dy b a^(b-1), db = dy a^b log a; where b = 0 da = 0, where y = 0 db = 0.
/// At a = 0 and of negative a every order of derivative by a is right for whole b.
///     pow(x, 2);  // = [9, 1, 4]
///     pow(2, x);  // = [8, 2, 4]
template <class A, class B>
requires Operands<A, B>
auto pow(A&& a, B&& b) { return detail::pow<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b)); }
/// y = max(a, b); NaN if either is.    da = dy 1[a > b], db = dy 1[b > a], half each where a = b or either is NaN.
///     maximum(x, 1.5);  // = [3, 1.5, 2]
template <class A, class B>
requires Operands<A, B>
auto maximum(A&& a, B&& b) {
  return detail::maximum<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b));
}
/// y = min(a, b); NaN if either is.    da = dy 1[a < b], db = dy 1[b < a], half each where a = b or either is NaN.
///     minimum(x, z);  // = [0.5, 1, -1]
template <class A, class B>
requires Operands<A, B>
auto minimum(A&& a, B&& b) {
  return detail::minimum<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b));
}

/// The angle of the point (x, y), in [-pi, pi].    dy' = da x / (x^2 + y^2), dx = -da y / (x^2 + y^2), 0 at the origin,
/// where the second derivatives are NaN: none exists
///     atan2(x, z);  // = [1.40565, 0.463648, 2.03444]
template <class A, class B>
requires Operands<A, B>
auto atan2(A&& y, B&& x) { return detail::atan2<detail::joined_element<A, B>>(std::forward<A>(y), std::forward<B>(x)); }
/// y = sqrt(a^2 + b^2), without overflow.    da = dy a / y, db = dy b / y, 0 at the origin,
/// where the second derivatives are NaN: none exists
///     hypot(x, 4);  // = [5, 4.12311, 4.47214]
template <class A, class B>
requires Operands<A, B>
auto hypot(A&& a, B&& b) { return detail::hypot<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b)); }
/// y = log(e^a + e^b), without overflow.    da = dy sigmoid(a - b), db = dy sigmoid(b - a), NaN at equal infinities
///     logaddexp(x, z);  // = [3.07889, 2.31326, 2.04859]
template <class A, class B>
requires Operands<A, B>
auto logaddexp(A&& a, B&& b) {
  return detail::logaddexp<detail::joined_element<A, B>>(std::forward<A>(a), std::forward<B>(b));
}

/// y = x where the condition is not 0, else y; the three broadcast together.    dx = dy 1[c], dy' = dy 1[not c]
/// Nothing of the branch not taken gets through, not even NaN; backward it gets exactly 0. An op below with an infinite
/// derivative there still makes 0 * inf = NaN of that: compute such a branch at a harmless point, where(x > 0, x, 1).
/// `condition`: a tensor (of a comparison, say) or an xtensor expression of bool or numbers; not differentiated.
///     where(z > 0, log(z), 0);  // = [-0.693147, 0.693147, 0]
template <class C, class A, class B>
requires Operands<C, A, B>
auto where(C&& condition, A&& x, B&& y) {
  return detail::where<detail::joined_element<A, B, C>>(std::forward<C>(condition), std::forward<A>(x),
                                                        std::forward<B>(y));
}
/// where(), under the name that it has inside map().
///     select(x > 1, x, -x);  // = [3, -1, 2]
template <class C, class A, class B>
requires Operands<C, A, B>
auto select(C&& condition, A&& x, B&& y) {
  return detail::where<detail::joined_element<A, B, C>>(std::forward<C>(condition), std::forward<A>(x),
                                                        std::forward<B>(y));
}

/// 1 where the comparison holds and 0 elsewhere, for where(). Comparisons have no gradient and are not recorded.
///     x > z;  // = [1, 0, 1]
template <class A, class B>
requires Operands<A, B>
auto operator<(A&& a, B&& b) { return detail::compare<detail::joined_element<A, B>>(detail::Comparison::less, a, b); }
template <class A, class B>
requires Operands<A, B>
auto operator<=(A&& a, B&& b) {
  return detail::compare<detail::joined_element<A, B>>(detail::Comparison::less_equal, a, b);
}
template <class A, class B>
requires Operands<A, B>
auto operator>(A&& a, B&& b) {
  return detail::compare<detail::joined_element<A, B>>(detail::Comparison::greater, a, b);
}
template <class A, class B>
requires Operands<A, B>
auto operator>=(A&& a, B&& b) {
  return detail::compare<detail::joined_element<A, B>>(detail::Comparison::greater_equal, a, b);
}
/// 1 where a = b, elementwise (xtensor's name; == on arrays means something else there).
///     equal(x, 3);  // = [1, 0, 0]
template <class A, class B>
requires Operands<A, B>
auto equal(A&& a, B&& b) { return detail::compare<detail::joined_element<A, B>>(detail::Comparison::equal, a, b); }
template <class A, class B>
requires Operands<A, B>
auto not_equal(A&& a, B&& b) {
  return detail::compare<detail::joined_element<A, B>>(detail::Comparison::not_equal, a, b);
}

}  // namespace xtape
