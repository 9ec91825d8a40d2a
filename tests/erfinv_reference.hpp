#pragma once
// The inverse of erf in float, double or long double, for tests: erf and erfc of the C library, inverted by iteration.

#include <cmath>
#include <limits>
#include <numbers>

namespace xtape::test {

/// sqrt(pi) / 2 e^(y^2): the slope of erfinv where its value is y.
template <class X> X erfinv_slope_at(X y) { return std::exp(y * y) / (2 * std::numbers::inv_sqrtpi_v<X>); }

/// The number y with erf y = x. Halley's method from an approximation in closed form (Winitzki 2008), which is right to
/// two digits: each step triples the number of digits.
template <class X> X erfinv_of(X x) {
  if (x < 0) return -erfinv_of(-x);
  if (!(x < 1)) return x == 1 ? std::numeric_limits<X>::infinity() : std::numeric_limits<X>::quiet_NaN();
  X y = x / std::numbers::inv_sqrtpi_v<X> / 2;
  if (x > X(0.5)) {
    const X a = X(0.147), logarithm = std::log((1 - x) * (1 + x)), b = 2 / (std::numbers::pi_v<X> * a) + logarithm / 2;
    y = std::sqrt(std::sqrt(b * b - logarithm / a) - b);
  }
  for (int i = 0; i < 5; ++i) {
    const X error = x > X(0.5) ? (1 - x) - std::erfc(y) : std::erf(y) - x;
    const X step = error * erfinv_slope_at(y);
    y -= step / (1 + y * step);
  }
  return y;
}

}  // namespace xtape::test
