// Every elementwise function against a reference in long double: value and derivatives to third order, in double and
// float, as ops with a recorded sweep, with a plain sweep and, where the formula is not a plain one, inside map.
//
// The references are the derivatives in closed form, each written so that nothing cancels; the library has a formula
// for the first derivative alone, and the others follow from it by the chain rule. docs/accuracy.md holds what
//     XTAPE_PRINT_DIFFERENTIAL=1 build/tests/xtape_tests -tc="differential: each*"
// prints.
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "differential.hpp"
#include "erfinv_reference.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <numbers>
#include <random>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr double whole = std::numeric_limits<double>::max();
constexpr Real ln2 = std::numbers::ln2_v<Real>, ln10 = std::numbers::ln10_v<Real>;

// Value and derivatives, and what their errors are measured by: themselves, or where one is a sum that has a zero, the
// sum of its terms' sizes; times the argument's condition where a rounded argument already costs more than a unit.
struct Truth {
  std::array<Real, 4> value, scale;
};
Truth plain(Real y, Real d1, Real d2, Real d3) {
  return {{y, d1, d2, d3}, {std::abs(y), std::abs(d1), std::abs(d2), std::abs(d3)}};
}
Truth sums(std::array<Real, 4> value, std::array<Real, 4> scale) {
  for (Real& s : scale) s = std::abs(s);
  return {value, scale};
}

Real sign_of(Real x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
Real sigmoid_of(Real x) {
  const Real e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
Real sech2_of(Real x) {
  const Real e = std::exp(-2 * std::abs(x));
  return 4 * e / ((1 + e) * (1 + e));
}
// sigmoid and its first three derivatives, and the sum of the third's terms.
struct Sigmoids {
  Real p, first, second, third, third_scale;
  explicit Sigmoids(Real x) : p(sigmoid_of(x)) {
    const Real m = sigmoid_of(-x);
    first = p * m;
    second = -first * std::tanh(x / 2);
    third = first * (m * m - 4 * first + p * p);
    third_scale = first * (m * m + 4 * first + p * p);
  }
};
Real softplus_of(Real x) { return std::max<Real>(x, 0) + std::log1p(std::exp(-std::abs(x))); }
Truth gelu_of(Real x) {
  const Real size = std::min<Real>(std::abs(x), 200), z = std::copysign(size, x), c = 1 + z * z;
  const Real cdf = std::erfc(-x / std::numbers::sqrt2_v<Real>) / 2;
  const Real density = std::exp(-z * z / 2) * std::numbers::inv_sqrtpi_v<Real> / std::numbers::sqrt2_v<Real>;
  const Real tail = x < 0 ? c : 1;
  return sums({x * cdf, cdf + z * density, density * (2 - z * z), density * (z * z * z - 4 * z)},
              {x * cdf * tail, cdf * tail + size * density * c, density * (2 + z * z) * c,
               density * (size * size * size + 4 * size) * c});
}
Truth silu_of(Real x) {
  const Sigmoids s(x);
  const Real size = std::abs(x);
  return sums({x * s.p, s.p + x * s.first, 2 * s.first + x * s.second, 3 * s.second + x * s.third},
              {x * s.p, s.p + size * s.first, 2 * s.first + size * std::abs(s.second),
               3 * std::abs(s.second) + size * s.third_scale});
}
// of sign erf, whose value is y
Truth erf_of(Real sign, Real y, Real x) {
  const Real z = std::clamp<Real>(x, -200, 200), c = 1 + 2 * z * z;
  const Real bell = sign * 2 * std::numbers::inv_sqrtpi_v<Real> * std::exp(-z * z);
  return sums({y, bell, -2 * z * bell, (4 * z * z - 2) * bell},
              {y * (x > 0 && sign < 0 ? c : 1), bell * c, 2 * z * bell * c, (4 * z * z + 2) * bell * c});
}
Truth power_of(Real x, Real e) {
  const auto term = [&](Real factor, Real q) { return factor == 0 ? 0 : factor * std::pow(x, q); };
  return plain(std::pow(x, e), term(e, e - 1), term(e * (e - 1), e - 2), term(e * (e - 1) * (e - 2), e - 3));
}

using Bounds = std::array<double, 4>;
struct Line {
  std::string name;
  Function<double> in_double, map_double;
  Function<float> in_float, map_float;
  Truth (*truth)(Real);
  double low, high;
  Bounds bounds;     // in units in the last place, both element types
  double floor = 1;  // results below so many smallest normal numbers are measured by that
};

template <class F>
Line line(const char* name, F f, Truth (*truth)(Real), Bounds bounds, double low = -whole, double high = whole,
          double floor = 1) {
  return {name, f, {}, f, {}, truth, low, high, bounds, floor};
}
// The same, inside map as well.
template <class F>
Line mapped(const char* name, F f, Truth (*truth)(Real), Bounds bounds, double low = -whole, double high = whole) {
  const auto in_map = [f](const auto& x) { return map(f, x); };
  return {name, f, in_map, f, in_map, truth, low, high, bounds};
}
#define OP(formula) [](const auto& x) { return formula; }
#define TRUTH(...) [](Real x) -> Truth { __VA_ARGS__ }

std::vector<Line> smooth_lines() {
  return {
    line("square", OP(square(x)), TRUTH(return plain(x * x, 2 * x, 2, 0);), {1, 0, 0, 0}),
        line("sqrt", OP(sqrt(x)),
             TRUTH(const Real s = std::sqrt(x);
                   return plain(s, 0.5L / s, -0.25L / (s * s * s), 0.375L / (s * s * s * s * s));),
             {0.5, 2, 6, 10}, 0),
        line("exp", OP(exp(x)), TRUTH(const Real e = std::exp(x); return plain(e, e, e, e);), {3, 3, 3, 3}),
        line("expm1", OP(expm1(x)), TRUTH(const Real e = std::exp(x); return plain(std::expm1(x), e, e, e);),
             {3, 3, 3, 3}),
        line("log", OP(log(x)), TRUTH(return plain(std::log(x), 1 / x, -1 / x / x, 2 / x / x / x);), {2, 1, 2, 3}, 0),
        line("log1p", OP(log1p(x)),
             TRUTH(const Real u = 1 + x; return plain(std::log1p(x), 1 / u, -1 / u / u, 2 / u / u / u);), {2, 2, 4, 6},
             -1),
        line("sin", OP(sin(x)), TRUTH(const Real s = std::sin(x), c = std::cos(x); return plain(s, c, -s, -c);),
             {3, 3, 3, 3}),
        line("cos", OP(cos(x)), TRUTH(const Real s = std::sin(x), c = std::cos(x); return plain(c, -s, -c, s);),
             {3, 3, 3, 3}),
        line("tan", OP(tan(x)),
             TRUTH(const Real t = std::tan(x), u = 1 + t * t; return plain(t, u, 2 * t * u, u * (2 + 6 * t * t));),
             {3, 3, 5, 8}),
        mapped("asin", OP(asin(x)),
               TRUTH(const Real r = 1 / std::sqrt((1 - x) * (1 + x)), q = r * r * r;
                     return plain(std::asin(x), r, x * q, (1 + 2 * x * x) * q * r * r);),
               {2, 2, 8, 12}, -1, 1),
        mapped("acos", OP(acos(x)),
               TRUTH(const Real r = -1 / std::sqrt((1 - x) * (1 + x)), q = r * r * r;
                     return plain(std::acos(x), r, x * q, (1 + 2 * x * x) * q * r * r);),
               {2, 2, 8, 12}, -1, 1),
        mapped("atan", OP(atan(x)),
               TRUTH(const Real w = 1 / (1 + x * x);
                     return sums({std::atan(x), w, -2 * x * w * w, w * w * w * (6 * x * x - 2)},
                                 {std::atan(x), w, 2 * x * w * w, w * w * w * (6 * x * x + 2)});),
               {1, 2, 5, 8}),
        line("sinh", OP(sinh(x)), TRUTH(const Real s = std::sinh(x), c = std::cosh(x); return plain(s, c, s, c);),
             {3, 3, 3, 3}),
        line("cosh", OP(cosh(x)), TRUTH(const Real s = std::sinh(x), c = std::cosh(x); return plain(c, s, c, s);),
             {3, 3, 3, 3}),
        mapped("asinh", OP(asinh(x)),
               TRUTH(const Real h = std::hypot(x, 1.0L), y = std::asinh(x), r = 1 / h / h / h;
                     return sums({y, 1 / h, -x * r, (2 * x * x - 1) * r / h / h},
                                 {y, 1 / h, x * r, (2 * x * x + 1) * r / h / h});),
               {2, 2, 6, 12}),
        mapped("acosh", OP(acosh(x)),
               TRUTH(const Real s = std::sqrt(x - 1) * std::sqrt(x + 1), r = 1 / s / s / s;
                     return plain(std::acosh(x), 1 / s, -x * r, (2 * x * x + 1) * r / s / s);),
               {2, 3, 8, 12}, 1),
        mapped("atanh", OP(atanh(x)),
               TRUTH(const Real q = (1 - x) * (1 + x);
                     return plain(std::atanh(x), 1 / q, 2 * x / q / q, (2 + 6 * x * x) / q / q / q);),
               {2, 2, 5, 8}, -1, 1),
        line("exp2", OP(exp2(x)),
             TRUTH(const Real e = std::exp2(x); return plain(e, ln2 * e, ln2 * ln2 * e, ln2 * ln2 * ln2 * e);),
             {1, 2, 3, 4}),
        line("log2", OP(log2(x)),
             TRUTH(const Real r = 1 / x; return plain(std::log2(x), r / ln2, -r * r / ln2, 2 * r * r * r / ln2);),
             {2, 2, 3, 5}, 0),
        line("log10", OP(log10(x)),
             TRUTH(const Real r = 1 / x; return plain(std::log10(x), r / ln10, -r * r / ln10, 2 * r * r * r / ln10);),
             {2, 2, 3, 5}, 0),
        mapped("cbrt", OP(cbrt(x)),
               TRUTH(const Real c = std::cbrt(x), s = c * c;
                     return plain(c, 1 / (3 * s), -2 / (9 * s * s * c), 10 / (27 * s * s * s * s));),
               {1, 5, 12, 20}),
        line("reciprocal", OP(reciprocal(x)),
             TRUTH(const Real r = 1 / x; return plain(r, -r * r, 2 * r * r * r, -6 * r * r * r * r);), {1, 3, 5, 7}),
  };
}

std::vector<Line> activation_lines() {
  return {
    line("tanh", OP(tanh(x)),
         TRUTH(const Real t = std::tanh(x), s = sech2_of(x); return sums(
                   {t, s, -2 * t * s, 4 * t * t * s - 2 * s * s}, {t, s, 2 * t * s, 4 * t * t * s + 2 * s * s});),
         {3, 4, 5, 8}),
        line("sech_squared", OP(sech_squared(x)),
             TRUTH(const Real t = std::tanh(x), s = sech2_of(x);
                   return sums({s, -2 * t * s, 4 * t * t * s - 2 * s * s, 8 * t * s * (2 * s - t * t)},
                               {s, 2 * t * s, 4 * t * t * s + 2 * s * s, 8 * t * s * (2 * s + t * t)});),
             {4, 5, 8, 10}),
        line("sigmoid", OP(sigmoid(x)),
             TRUTH(const Sigmoids s(x);
                   return sums({s.p, s.first, s.second, s.third}, {s.p, s.first, s.second, s.third_scale});),
             {3, 5, 6, 6}),
        line("softplus", OP(softplus(x)),
             TRUTH(const Sigmoids s(x); return plain(softplus_of(x), s.p, s.first, s.second);), {3, 3, 5, 6}),
        line("log_sigmoid", OP(log_sigmoid(x)),
             TRUTH(const Sigmoids s(-x); return plain(-softplus_of(-x), s.p, -s.first, s.second);), {3, 3, 5, 6}),
        // At 0, where the second derivative jumps, all of them follow abs'(0) = 0.
        mapped("softsign", OP(softsign(x)),
               TRUTH(const Real u = 1 + std::abs(x), r = 1 / u, s = sign_of(x);
                     return plain(std::isinf(x) ? s : x / u, r * r, -2 * s * r * r * r, 6 * s * s * r * r * r * r);),
               {1.5, 4, 6, 8}),
        line("elu", OP(elu(x, 1.5)),
             TRUTH(const Real e = 1.5L * std::exp(x);
                   return x > 0 ? plain(x, 1, 0, 0) : plain(1.5L * std::expm1(x), e, e, e);),
             {3, 3, 3, 3}),
        // A factor e^x is subnormal where the product with x is not quite.
        line("gelu", OP(gelu(x)), gelu_of, {4, 4, 4, 4}, -whole, whole, 0x1p14),
        line("silu", OP(silu(x)), silu_of, {4, 8, 8, 10}, -whole, whole, 0x1p11),
        line("erf", OP(erf(x)), TRUTH(return erf_of(1, std::erf(x), x);), {1.5, 2, 3, 3}, -whole, whole, 0x1p14),
        line("erfc", OP(erfc(x)), TRUTH(return erf_of(-1, std::erfc(x), x);), {4, 2, 3, 3}, -whole, whole, 0x1p14),
        mapped("erfinv", OP(erfinv(x)),
               TRUTH(const Real y = erfinv_of(x), w = erfinv_slope_at(y);
                     return plain(y, w, 2 * y * w * w, (2 + 8 * y * y) * w * w * w);),
               {1.5, 3, 6, 10}, -1, 1),
        // x^-5 is subnormal where 24 times it is not.
        line("pow(x, -2)", OP(pow(x, -2)), TRUTH(return power_of(x, -2);), {2, 2, 3, 3}, -whole, whole, 32),
        line("pow(x, -0.5)", OP(pow(x, -0.5)), TRUTH(return power_of(x, -0.5L);), {2, 2, 3, 3}, 0),
        line("pow(x, 0)", OP(pow(x, 0)), TRUTH(return power_of(x, 0);), {0, 0, 0, 0}),
        line("pow(x, 1)", OP(pow(x, 1)), TRUTH(return power_of(x, 1);), {0, 0, 0, 0}),
        line("pow(x, 2.5)", OP(pow(x, 2.5)), TRUTH(return power_of(x, 2.5L);), {2, 3, 3, 3}, 0),
        line("pow(x, 3)", OP(pow(x, 3)), TRUTH(return power_of(x, 3);), {2, 2, 2, 1}),
  };
}

std::vector<Line> piecewise_lines() {
  return {
    line("negate", OP(-x), TRUTH(return plain(-x, -1, 0, 0);), {0, 0, 0, 0}),
        line("positive", OP(+x), TRUTH(return plain(x, 1, 0, 0);), {0, 0, 0, 0}),
        line("abs", OP(abs(x)), TRUTH(return plain(std::abs(x), sign_of(x), 0, 0);), {0, 0, 0, 0}),
        line("sign", OP(sign(x)), TRUTH(return plain(sign_of(x), 0, 0, 0);), {0, 0, 0, 0}),
        line("floor", OP(floor(x)), TRUTH(return plain(std::floor(x), 0, 0, 0);), {0, 0, 0, 0}),
        line("ceil", OP(ceil(x)), TRUTH(return plain(std::ceil(x), 0, 0, 0);), {0, 0, 0, 0}),
        line("round", OP(round(x)), TRUTH(return plain(std::round(x), 0, 0, 0);), {0, 0, 0, 0}),
        line("relu", OP(relu(x)), TRUTH(return plain(std::max<Real>(x, 0), x > 0, 0, 0);), {0, 0, 0, 0}),
        line("leaky_relu", OP(leaky_relu(x, 0.25)), TRUTH(return plain(x > 0 ? x : x / 4, x > 0 ? 1 : 0.25L, 0, 0);),
             {0.5, 0, 0, 0}),
        line("clip", OP(clip(x, -0.75, 1.25)),
             TRUTH(return plain(std::clamp(x, -0.75L, 1.25L), x >= -0.75L && x <= 1.25L, 0, 0);), {0, 0, 0, 0}),
  };
}

// Every exponent, the subnormal ones too; near kinks, ends of domains, zeros of sin and cos; where exp ends.
template <class T> std::vector<T> points(double low, double high) {
  using Limits = std::numeric_limits<T>;
  std::vector<T> x{0, Limits::max()};
  for (int e = Limits::min_exponent - Limits::digits + 1; e < Limits::max_exponent; ++e)
    for (const double mantissa : {1.0, 1.2345, 1.7}) x.push_back(static_cast<T>(std::ldexp(mantissa, e)));
  for (double v = 0.01; v < 120; v *= 1.01) x.push_back(static_cast<T>(v));
  for (double v = 120; v < 800; v += 3.37) x.push_back(static_cast<T>(v));
  for (double v = 0; v < 2; v += 0.02)
    for (const double end : {87, 102, 127, 148, 708, 744, 1023, 1073}) x.push_back(static_cast<T>(end + v));
  for (const double point : {0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0}) {
    x.push_back(static_cast<T>(point));
    for (int k = 1; k < 60; ++k)
      for (const double side : {-1, 1}) x.push_back(static_cast<T>(point) + static_cast<T>(side * std::ldexp(1.0, -k)));
  }
  for (int k = 1; k < 300; ++k) {
    const auto zero = static_cast<T>(k * (std::numbers::pi_v<Real> / 2));
    x.insert(x.end(), {zero, std::nextafter(zero, T(0))});
  }
  const std::size_t n = x.size();
  for (std::size_t i = 0; i < n; ++i) x.push_back(-x[i]);
  std::mt19937_64 random(5);
  for (int i = 0; i < 3000; ++i) {
    if constexpr (sizeof(T) == 8)
      x.push_back(std::bit_cast<double>(random()));
    else
      x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  }
  std::erase_if(x, [=](T v) { return !(v >= low && v <= high) || std::isinf(v); });
  return x;
}

// The largest errors of each order; those of the plain sweep count to the first.
template <class T> std::array<Worst, 4> measure(const Line& l, const Function<T>& f, int orders) {
  const std::vector<T> at = points<T>(l.low, l.high);
  const auto x = parameter(Tensor<T>({at.size()}, at));
  const Tensor<T> swept = run<T>(f, at, {at.size()}).dx;
  Tape tape;
  std::array<Tensor<T>, 4> d{f(x)};
  for (std::size_t k = 1; k <= static_cast<std::size_t>(orders); ++k) d[k] = derivative(tape, d[k - 1], x);
  std::array<Worst, 4> worst;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const Truth t = l.truth(at[i]);
    const auto see = [&](const Tensor<T>& result, std::size_t k) {
      // Below the smallest normal number results may be 0: a derivative's factors underflow earlier than it does.
      if (k > 0 && std::abs(t.value[k]) < static_cast<Real>(std::numeric_limits<T>::min()) &&
          std::abs(result.data()[i]) <= std::numeric_limits<T>::min() * static_cast<T>(l.floor))
        return;
      worst[k].see(units(result.data()[i], t.value[k], t.scale[k], l.floor), static_cast<double>(at[i]));
    };
    for (std::size_t k = 0; k <= static_cast<std::size_t>(orders); ++k) see(d[k], k);
    see(swept, 1);
  }
  return worst;
}

template <class T> void hold(const Line& l, const char* type, const Function<T>& f, int orders) {
  const std::array<Worst, 4> worst = measure<T>(l, f, orders);
  for (std::size_t k = 0; k <= static_cast<std::size_t>(orders); ++k)
    CHECK_MESSAGE(worst[k].units <= l.bounds[k], fmt::format("{} in {}, order {}: {:.4g} units off at {}", l.name, type,
                                                             k, worst[k].units, worst[k].at));
  if (printing() && orders == 3) {
    fmt::print("| {} | {} |", l.name, type);
    for (std::size_t k = 0; k < 4; ++k) fmt::print(" {:.2g} ({:g}) |", worst[k].units, l.bounds[k]);
    fmt::print("\n");
  }
}

}  // namespace

TEST_CASE("differential: each elementwise function of one argument, to third order, over the whole range") {
  if (printing()) fmt::print("| function | type | value | first | second | third |\n|---|---|---|---|---|---|\n");
  for (const auto& lines : {smooth_lines(), activation_lines(), piecewise_lines()})
    for (const Line& l : lines) {
      hold<double>(l, "double", l.in_double, 3);
      hold<float>(l, "float", l.in_float, 3);
      if (l.map_double) hold<double>(l, "double, inside map", l.map_double, 2);
      if (l.map_float) hold<float>(l, "float, inside map", l.map_float, 2);
    }
}
