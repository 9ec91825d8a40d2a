#pragma once
// What tests over the whole range of numbers share: errors in units in the last place.

#include <xtape/tape.hpp>
#include <xtape/tensor.hpp>

#include "op_table.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace xtape::test {

template <class T> inline constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T> using Function = std::function<Tensor<T>(const Tensor<T>&)>;

// Value and gradient of sum(seed * f(x)); seed 1 everywhere if not given.
template <class T> struct Result { Tensor<T> y, dx; };
template <class T>
Result<T> run(const Function<T>& f, const std::vector<T>& values, const Shape& shape, const std::vector<T>& seed = {}) {
  const auto x = parameter(Tensor<T>(shape, values));
  Tape tape;
  const auto y = f(x);
  const auto u = seed.empty() ? ones<T>(y.shape()) : Tensor<T>(y.shape(), seed);
  return {y, tape.vjp(y, u, {x})[0]};
}

// Units in the last place of T between a and the true value. Both infinite, or both NaN: none.
template <class T> double ulps(T a, Real truth) {
  const auto rounded = static_cast<T>(truth);
  if (std::isnan(a) || std::isnan(rounded)) return std::isnan(a) && std::isnan(rounded) ? 0 : infinity<double>;
  if (std::isinf(a) || std::isinf(rounded)) return a == rounded ? 0 : infinity<double>;
  const T size = std::max(std::abs(rounded), std::numeric_limits<T>::min());
  const T unit = std::nextafter(size, infinity<T>) - size;
  return static_cast<double>(std::abs(static_cast<Real>(a) - truth) / static_cast<Real>(unit));
}

template <class T> double worst_ulps(const Tensor<T>& a, const std::vector<Real>& truth) {
  if (a.size() != truth.size()) return infinity<double>;
  double worst = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) worst = std::max(worst, ulps(a.data()[i], truth[i]));
  return worst;
}

template <class T> std::string show(const Tensor<T>& x) { return fmt::format("{}", fmt::join(x.span(), ", ")); }

struct Elementwise {
  std::string name;
  Function<double> in_double;
  Function<float> in_float;
  Real (*value)(Real);
  Real (*slope)(Real);
  double low, high;  // the domain
  double value_ulps, slope_ulps;
};

template <class F>
Elementwise function(const char* name, F f, Real (*value)(Real), Real (*slope)(Real), double low, double high,
                     double value_ulps, double slope_ulps) {
  return {name, f, f, value, slope, low, high, value_ulps, slope_ulps};
}

// Points of every size, of T's range, within the domain.
template <class T> std::vector<T> points_within(double low, double high) {
  std::vector<T> points;
  for (int exponent = std::numeric_limits<T>::min_exponent + 2; exponent < std::numeric_limits<T>::max_exponent - 2;
       ++exponent)
    for (const double mantissa : {1.0, 1.2345, 1.7}) points.push_back(static_cast<T>(std::ldexp(mantissa, exponent)));
  for (double x = 0.01; x < 120; x *= 1.003) points.push_back(static_cast<T>(x));
  for (double x = 120; x < 800; x += 1.37) points.push_back(static_cast<T>(x));
  // Where e^x is about to overflow, in float and in double.
  for (double x = 0; x < 2; x += 0.01) points.insert(points.end(), {static_cast<T>(87 + x), static_cast<T>(708 + x)});
  points.push_back(static_cast<T>(1e4));
  const std::size_t n = points.size();
  for (std::size_t i = 0; i < n; ++i) points.push_back(-points[i]);
  points.push_back(0);
  std::erase_if(points, [=](T x) { return x < low || x > high; });
  return points;
}

template <class T> void check_whole_range(const Elementwise& f, const Function<T>& op) {
  const auto points = points_within<T>(f.low, f.high);
  const auto [y, dx] = run(op, points, {points.size()});
  double worst_value = 0, worst_slope = 0;
  T value_at = 0, slope_at = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double value = ulps(y.data()[i], f.value(points[i])), slope = ulps(dx.data()[i], f.slope(points[i]));
    if (value > worst_value) worst_value = value, value_at = points[i];
    if (slope > worst_slope) worst_slope = slope, slope_at = points[i];
  }
  CAPTURE(f.name);
  CAPTURE(sizeof(T));
  CHECK_MESSAGE(worst_value <= f.value_ulps, fmt::format("{:.3g} units off at {}", worst_value, value_at));
  CHECK_MESSAGE(worst_slope <= f.slope_ulps, fmt::format("slope {:.3g} units off at {}", worst_slope, slope_at));
}

}  // namespace xtape::test
