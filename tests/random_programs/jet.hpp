#pragma once
// Numbers of the reference interpreter: a value in long double with its first two derivatives along a line t -> x(t).
// Functions of them know nothing of the library's formulas; they use the calculus of power series alone.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace xtape::test {

struct Jet {
  using Real = long double;
  Real value = 0, first = 0, second = 0;
  Jet() = default;
  template <class N>
  requires std::is_arithmetic_v<N> Jet(N number) : value(static_cast<Real>(number)) {}
  Jet(Real v, Real d, Real dd) : value(v), first(d), second(dd) {}
  bool operator==(const Jet&) const = default;
  Jet& operator+=(const Jet& b) {
    value += b.value, first += b.first, second += b.second;
    return *this;
  }
};

/// f(x) from f, f' and f'' at x.
inline Jet chain(const Jet& x, long double f, long double f1, long double f2) {
  return {f, f1 * x.first, f2 * x.first * x.first + f1 * x.second};
}

inline Jet operator+(Jet a, const Jet& b) { return a += b; }
inline Jet operator-(const Jet& a) { return {-a.value, -a.first, -a.second}; }
inline Jet operator-(const Jet& a, const Jet& b) { return a + -b; }
inline Jet operator*(const Jet& a, const Jet& b) {
  return {a.value * b.value, a.first * b.value + a.value * b.first,
          a.second * b.value + 2 * a.first * b.first + a.value * b.second};
}
inline Jet operator/(const Jet& a, const Jet& b) {
  const long double r = 1 / b.value;
  return a * chain(b, r, -r * r, 2 * r * r * r);
}

inline Jet exp(const Jet& x) {
  const long double y = std::exp(x.value);
  return chain(x, y, y, y);
}
inline Jet expm1(const Jet& x) {
  const long double y = std::exp(x.value);
  return chain(x, std::expm1(x.value), y, y);
}
inline Jet log(const Jet& x) {
  const long double r = 1 / x.value;
  return chain(x, std::log(x.value), r, -r * r);
}
inline Jet log1p(const Jet& x) {
  const long double r = 1 / (1 + x.value);
  return chain(x, std::log1p(x.value), r, -r * r);
}
inline Jet sqrt(const Jet& x) {
  const long double y = std::sqrt(x.value);
  return chain(x, y, 1 / (2 * y), -1 / (4 * y * y * y));
}
inline Jet sin(const Jet& x) {
  const long double s = std::sin(x.value), c = std::cos(x.value);
  return chain(x, s, c, -s);
}
inline Jet cos(const Jet& x) {
  const long double s = std::sin(x.value), c = std::cos(x.value);
  return chain(x, c, -s, -c);
}
inline Jet atan(const Jet& x) {
  const long double r = 1 / (1 + x.value * x.value);
  return chain(x, std::atan(x.value), r, -2 * x.value * r * r);
}
inline Jet asin(const Jet& x) {
  const long double r = 1 / std::sqrt(1 - x.value * x.value);
  return chain(x, std::asin(x.value), r, x.value * r * r * r);
}
inline Jet erf(const Jet& x) {
  const long double density = 2 * std::numbers::inv_sqrtpi_v<long double> * std::exp(-x.value * x.value);
  return chain(x, std::erf(x.value), density, -2 * x.value * density);
}
inline Jet pow(const Jet& x, long double p) {
  const auto power = [&](long double q) { return std::pow(x.value, q); };
  return chain(x, power(p), p * power(p - 1), p * (p - 1) * power(p - 2));
}

/// How near the interpreter came to a point where a derivative jumps: the least relative distance of two numbers
/// that it compared. Equal numbers with equal derivatives are no such point: whichever is taken, the result is the
/// same.
inline thread_local long double nearest_kink = std::numeric_limits<long double>::infinity();

inline bool less(const Jet& a, const Jet& b) {
  if (a != b) nearest_kink = std::min(nearest_kink, std::abs(a.value - b.value) / std::max(1.0L, std::abs(a.value)));
  return a.value < b.value;
}
/// A function of steps, here of this value; `to_step`: how far the nearest of them is.
inline Jet steps(const Jet& x, long double value, long double to_step) {
  if (x != Jet(x.value)) nearest_kink = std::min(nearest_kink, to_step);
  return value;
}
inline Jet larger(const Jet& a, const Jet& b) { return less(a, b) ? b : a; }
inline Jet smaller(const Jet& a, const Jet& b) { return less(b, a) ? b : a; }
inline Jet abs(const Jet& x) { return less(x, 0) ? -x : x; }

}  // namespace xtape::test
