// How many units in the last place each elementwise function and its slope are off, over the whole range of numbers.
//
// A function of one argument in the op table needs a line here. docs/findings.md holds what
//     XTAPE_PRINT_ULPS=1 build/tests/xtape_tests -tc="ulps*"
// prints, on many more points than the test takes.
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "erfinv_reference.hpp"
#include "extreme.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cstdlib>
#include <optional>
#include <random>
#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

// The most that is allowed, in units in the last place.
struct Bounds {
  double value, slope;
};

struct Interval {
  double low, high;
};

// A function with its true value and slope, written so that nothing cancels or overflows. Held against float they are
// evaluated in double, against double in long double.
struct Line {
  std::string name;  // of the op table's row, and what part of its domain this is
  Function<double> in_double;
  Function<float> in_float;
  Real (*value)(Real), (*slope)(Real);
  double (*value_in_double)(double), (*slope_in_double)(double);
  Bounds for_double, for_float;
  Interval in_doubles, in_floats;  // the domain
};

constexpr double whole = std::numeric_limits<double>::max(), unbounded = whole;
constexpr Interval everywhere{-whole, whole}, positive{0, whole};

template <class F, class V, class S>
Line line(const char* name, F f, V value, S slope, Bounds for_double, Bounds for_float,
          Interval in_doubles = everywhere, std::optional<Interval> in_floats = {}) {
  return {name, f, f, value, slope, value, slope, for_double, for_float, in_doubles, in_floats.value_or(in_doubles)};
}

template <class X> constexpr X pi = X(3.14159265358979323846264338327950288L);
template <class X> constexpr X ln2 = X(0.693147180559945309417232121458176568L);
template <class X> constexpr X ln10 = X(2.30258509299404568401799145468436421L);

template <class X> X sigmoid_of(X x) {
  const X e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
template <class X> X sech2_of(X x) {
  const X e = std::exp(-2 * std::abs(x));
  return 4 * e / ((1 + e) * (1 + e));
}
template <class X> X softplus_of(X x) { return std::max(x, X(0)) + std::log1p(std::exp(-std::abs(x))); }
template <class X> X normal_cdf(X x) { return std::erfc(-x / std::sqrt(X(2))) / 2; }
template <class X> X normal_density(X x) { return std::exp(-x * x / 2) / std::sqrt(2 * pi<X>); }
// Twice the argument of the tanh.
template <class X> X tanh_argument(X x) { return 2 * std::sqrt(2 / pi<X>) * (x + X(0.044715L) * x * x * x); }
template <class X> X bell(X x) { return 2 / std::sqrt(pi<X>) * std::exp(-x * x); }

std::vector<Line> lines() {
  const auto zero = []<class X>(X) -> X { return 0; };
  const auto one = []<class X>(X) -> X { return 1; };
  const auto gelu_value = []<class X>(X x) { return x * normal_cdf(x); };
  const auto gelu_slope = []<class X>(X x) { return normal_cdf(x) + x * normal_density(x); };
  const auto gelu_tanh_value = []<class X>(X x) { return x * sigmoid_of(tanh_argument(x)); };
  const auto gelu_tanh_slope = []<class X>(X x) {
    const X t = tanh_argument(x), by_x = 2 * std::sqrt(2 / pi<X>) * (1 + 3 * X(0.044715L) * x * x);
    return sigmoid_of(t) + (std::isinf(t) ? X(0) : x * sech2_of(t / 2) / 4 * by_x);
  };
  const auto silu_value = []<class X>(X x) { return x * sigmoid_of(x); };
  const auto silu_slope = []<class X>(X x) { return sigmoid_of(x) + x * sech2_of(x / 2) / 4; };
  const auto log1p_slope = []<class X>(X x) { return 1 / (1 + x); };
  const auto tan_slope = []<class X>(X x) {
    const X t = std::tan(x);
    return 1 + t * t;
  };
  const auto sin_value = [](auto x) { return std::sin(x); };
  const auto cos_value = [](auto x) { return std::cos(x); };
  const auto minus_sin = [](auto x) { return -std::sin(x); };
  const auto atanh_slope = [](auto x) { return 1 / ((1 - x) * (1 + x)); };
  const auto acosh_slope = [](auto x) { return 1 / (std::sqrt(x - 1) * std::sqrt(x + 1)); };
  return {
      line(
          "negate", [](const auto& x) { return -x; }, [](auto x) { return -x; }, []<class X>(X) -> X { return -1; },
          {0, 0}, {0, 0}),
      line(
          "positive", [](const auto& x) { return +x; }, [](auto x) { return x; }, one, {0, 0}, {0, 0}),
      line(
          "square", [](const auto& x) { return square(x); }, [](auto x) { return x * x; }, [](auto x) { return 2 * x; },
          {0.5, 0}, {0.5, 0}),
      line(
          "sqrt", [](const auto& x) { return sqrt(x); }, [](auto x) { return std::sqrt(x); },
          []<class X>(X x) { return X(0.5) / std::sqrt(x); }, {0.5, 1.5}, {0.5, 1.5}, positive),
      line(
          "abs", [](const auto& x) { return abs(x); }, [](auto x) { return std::abs(x); },
          []<class X>(X x) -> X { return x > 0   ? 1
                                         : x < 0 ? -1
                                                 : 0; }, {0, 0}, {0, 0}),
      line(
          "sign", [](const auto& x) { return sign(x); }, []<class X>(X x) -> X { return x > 0   ? 1
                                                                                        : x < 0 ? -1
                                                                                                : 0; },
          zero, {0, 0}, {0, 0}),
      line(
          "exp", [](const auto& x) { return exp(x); }, [](auto x) { return std::exp(x); },
          [](auto x) { return std::exp(x); }, {3, 3}, {3, 3}),
      line(
          "expm1", [](const auto& x) { return expm1(x); }, [](auto x) { return std::expm1(x); },
          [](auto x) { return std::exp(x); }, {3, 3}, {3, 3}),
      line(
          "log", [](const auto& x) { return log(x); }, [](auto x) { return std::log(x); }, [](auto x) { return 1 / x; },
          {2, 0.5}, {2, 0.5}, positive),
      line(
          "log1p", [](const auto& x) { return log1p(x); }, [](auto x) { return std::log1p(x); }, log1p_slope, {2, 2},
          {2, 2}, Interval{-1, whole}),
      line(
          "sin, |x| <= 1e4", [](const auto& x) { return sin(x); }, sin_value, cos_value, {2, 2}, {3, 3},
          Interval{-1e4, 1e4}),
      line(
          "cos, |x| <= 1e4", [](const auto& x) { return cos(x); }, cos_value, minus_sin, {2, 2}, {3, 3},
          Interval{-1e4, 1e4}),
      line("sin", [](const auto& x) { return sin(x); }, sin_value, cos_value, {2, 2}, {3, 3}),
      line("cos", [](const auto& x) { return cos(x); }, cos_value, minus_sin, {2, 2}, {3, 3}),
      line(
          "tan", [](const auto& x) { return tan(x); }, [](auto x) { return std::tan(x); }, tan_slope, {3, 6}, {3, 6}),
      line(
          "asin", [](const auto& x) { return asin(x); }, [](auto x) { return std::asin(x); },
          [](auto x) { return 1 / std::sqrt((1 - x) * (1 + x)); }, {3, 2}, {3, 2}, Interval{-1, 1}),
      line(
          "acos", [](const auto& x) { return acos(x); }, [](auto x) { return std::acos(x); },
          [](auto x) { return -1 / std::sqrt((1 - x) * (1 + x)); }, {2, 2}, {2, 2}, Interval{-1, 1}),
      line(
          "atan", [](const auto& x) { return atan(x); }, [](auto x) { return std::atan(x); },
          [](auto x) { return 1 / (1 + x * x); }, {1, 2}, {3, 2.5}, Interval{-1e154, 1e154}, Interval{-1e19, 1e19}),
      line(
          "sinh", [](const auto& x) { return sinh(x); }, [](auto x) { return std::sinh(x); },
          [](auto x) { return std::cosh(x); }, {3, 3}, {3, 3}),
      line(
          "cosh", [](const auto& x) { return cosh(x); }, [](auto x) { return std::cosh(x); },
          [](auto x) { return std::sinh(x); }, {3, 3}, {3, 3}),
      line(
          "asinh", [](const auto& x) { return asinh(x); }, [](auto x) { return std::asinh(x); },
          []<class X>(X x) { return 1 / std::hypot(x, X(1)); }, {3, 2}, {3, 2}),
      line(
          "acosh", [](const auto& x) { return acosh(x); }, [](auto x) { return std::acosh(x); }, acosh_slope, {2, 3},
          {2, 3}, Interval{1, whole}),
      line(
          "atanh", [](const auto& x) { return atanh(x); }, [](auto x) { return std::atanh(x); }, atanh_slope, {2, 2},
          {2, 2}, Interval{-1, 1}),
      line(
          "tanh", [](const auto& x) { return tanh(x); }, [](auto x) { return std::tanh(x); },
          [](auto x) { return sech2_of(x); }, {3, 4}, {3, 4}),
      line(
          "sech_squared", [](const auto& x) { return sech_squared(x); }, [](auto x) { return sech2_of(x); },
          [](auto x) { return -2 * sech2_of(x) * std::tanh(x); }, {4, 8}, {4, 8}),
      line(
          "sigmoid", [](const auto& x) { return sigmoid(x); }, [](auto x) { return sigmoid_of(x); },
          [](auto x) { return sech2_of(x / 2) / 4; }, {3, 4}, {3, 5}),
      line(
          "log_sigmoid", [](const auto& x) { return log_sigmoid(x); }, [](auto x) { return -softplus_of(-x); },
          [](auto x) { return sigmoid_of(-x); }, {3, 3}, {3, 3}),
      line(
          "softplus", [](const auto& x) { return softplus(x); }, [](auto x) { return softplus_of(x); },
          [](auto x) { return sigmoid_of(x); }, {3, 3}, {3, 3}),
      line(
          "softsign", [](const auto& x) { return softsign(x); }, [](auto x) { return x / (1 + std::abs(x)); },
          []<class X>(X x) { return 1 / (1 + std::abs(x)) / (1 + std::abs(x)); }, {1.5, 4}, {1.5, 4},
          Interval{-1e154, 1e154}, Interval{-1e19, 1e19}),
      line(
          "relu", [](const auto& x) { return relu(x); }, []<class X>(X x) { return std::max(x, X(0)); },
          []<class X>(X x) -> X { return x > 0 ? 1 : 0; }, {0, 0}, {0, 0}),
      line(
          "leaky_relu", [](const auto& x) { return leaky_relu(x, 0.25); }, [](auto x) { return x > 0 ? x : x / 4; },
          []<class X>(X x) { return x > 0 ? X(1) : X(0.25); }, {0.5, 0}, {0.5, 0}),
      line(
          "elu", [](const auto& x) { return elu(x, 1.5); },
          []<class X>(X x) { return x > 0 ? x : X(1.5) * std::expm1(x); },
          []<class X>(X x) { return x > 0 ? X(1) : X(1.5) * std::exp(x); }, {3, 3}, {3, 3}),
      line(
          "gelu, x >= -0.5", [](const auto& x) { return gelu(x); }, gelu_value, gelu_slope, {4, 4}, {4, 4},
          Interval{-0.5, whole}),
      line(
          "gelu, -37 <= x <= -0.5: its slope is 0 at -0.75", [](const auto& x) { return gelu(x); }, gelu_value,
          gelu_slope, {5, unbounded}, {4, unbounded}, Interval{-37, -0.5}, Interval{-13, -0.5}),
      line(
          "gelu_tanh, x >= -0.5", [](const auto& x) { return gelu_tanh(x); }, gelu_tanh_value, gelu_tanh_slope, {4, 6},
          {4, 6}, Interval{-0.5, whole}),
      line(
          "gelu_tanh, x <= -0.5: its slope is 0 at -0.75", [](const auto& x) { return gelu_tanh(x); }, gelu_tanh_value,
          gelu_tanh_slope, {4, unbounded}, {4, unbounded}, Interval{-20, -0.5}, Interval{-9, -0.5}),
      line(
          "silu, x >= -1", [](const auto& x) { return silu(x); }, silu_value, silu_slope, {4, 6}, {4, 6},
          Interval{-1, whole}),
      line(
          "silu, x <= -2", [](const auto& x) { return silu(x); }, silu_value, silu_slope, {4, 16}, {4, 16},
          Interval{-80, -2}),
      line(
          "silu, x <= -2, until it is 0", [](const auto& x) { return silu(x); }, silu_value, silu_slope, {4, unbounded},
          {4, unbounded}, Interval{-800, -2}),
      line(
          "erf", [](const auto& x) { return erf(x); }, [](auto x) { return std::erf(x); },
          [](auto x) { return bell(x); }, {1, unbounded}, {1, unbounded}),
      line(
          "erfc", [](const auto& x) { return erfc(x); }, [](auto x) { return std::erfc(x); },
          [](auto x) { return -bell(x); }, {4, unbounded}, {4, unbounded}),
      line(
          "erfinv", [](const auto& x) { return erfinv(x); }, [](auto x) { return erfinv_of(x); },
          [](auto x) { return erfinv_slope_at(erfinv_of(x)); }, {1.5, 3}, {1, 1}, Interval{-1, 1}),
      line(
          "clip", [](const auto& x) { return clip(x, -0.75, 1.25); },
          []<class X>(X x) { return std::clamp(x, X(-0.75), X(1.25)); },
          []<class X>(X x) -> X { return x >= X(-0.75) && x <= X(1.25) ? 1 : 0; }, {0, 0}, {0, 0}),
      line(
          "exp2", [](const auto& x) { return exp2(x); }, [](auto x) { return std::exp2(x); },
          []<class X>(X x) { return ln2<X> * std::exp2(x); }, {1, 2}, {1, 2}, Interval{-whole, 1023.99},
          Interval{-whole, 127.99}),
      line(
          "log2", [](const auto& x) { return log2(x); }, [](auto x) { return std::log2(x); },
          []<class X>(X x) { return 1 / (ln2<X> * x); }, {2, 2}, {2, 2}, positive),
      line(
          "log10", [](const auto& x) { return log10(x); }, [](auto x) { return std::log10(x); },
          []<class X>(X x) { return 1 / (ln10<X> * x); }, {2, 2}, {2, 2}, positive),
      line(
          "cbrt", [](const auto& x) { return cbrt(x); }, [](auto x) { return std::cbrt(x); },
          []<class X>(X x) {
            const X root = std::cbrt(x);
            return 1 / (3 * root * root);
          },
          {1, 5}, {1, 5}),
      line(
          "reciprocal", [](const auto& x) { return reciprocal(x); }, [](auto x) { return 1 / x; },
          [](auto x) { return -1 / x / x; }, {0.5, 2}, {0.5, 2}),
      line(
          "floor", [](const auto& x) { return floor(x); }, [](auto x) { return std::floor(x); }, zero, {0, 0}, {0, 0}),
      line(
          "ceil", [](const auto& x) { return ceil(x); }, [](auto x) { return std::ceil(x); }, zero, {0, 0}, {0, 0}),
      line(
          "round", [](const auto& x) { return round(x); }, [](auto x) { return std::round(x); }, zero, {0, 0}, {0, 0}),
  };
}

// Numbers of every size, subnormal ones too, dense where functions bend, overflow or vanish.
std::vector<double> points_of(double, const Interval& domain, std::size_t count) {
  std::mt19937_64 random(11);
  const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  std::vector<double> points{0.0, -0.0, domain.low, domain.high, 0.013069675092846471};
  // The numbers about each power of two.
  for (int exponent = -1074; exponent < 1024; ++exponent)
    for (const double size : {std::ldexp(1.0, exponent), std::nextafter(std::ldexp(1.0, exponent), whole),
                              std::nextafter(std::ldexp(1.0, exponent), 0.0)})
      points.insert(points.end(), {size, -size});
  // Next to the zeros of sin and cos, where all digits of the argument count.
  for (int k = -7000; k <= 7000; ++k) {
    const auto zero = static_cast<double>(k * (pi<Real> / 2));
    points.insert(points.end(), {zero, std::nextafter(zero, whole), std::nextafter(zero, -whole)});
  }
  const double ranges[] = {1, 2, 10, 50, 120, 800};
  while (points.size() < count) {
    points.push_back(std::bit_cast<double>(random()));
    for (const double range : ranges) points.push_back((2 * uniform() - 1) * range);
    // Near -1, 0, 1 and pi/2, at every distance.
    const double near = std::ldexp(1 + uniform(), -static_cast<int>(random() % 60));
    for (const double point : {-1.0, 0.0, 1.0, pi<double> / 2}) points.push_back(point + (random() % 2 ? near : -near));
    // Near the ends of exp, expm1, exp2, sinh.
    for (const double end : {709.78, -745.13, -708.4, 1024.0, -1074.0, 710.47, 26.54, 27.2, -36.0, -20.0})
      points.push_back(end + (uniform() - 0.5) * 0.1);
  }
  std::erase_if(points, [&](double x) { return !(x >= domain.low && x <= domain.high); });
  return points;
}
// Bit patterns at equal distances: all exponents, both signs.
std::vector<float> points_of(float, const Interval& domain, std::size_t count) {
  std::vector<float> points{0.0F, -0.0F};
  constexpr float largest = std::numeric_limits<float>::max();
  for (int exponent = -149; exponent < 128; ++exponent) {
    const float power = std::ldexp(1.0F, exponent);
    for (const float size : {power, std::nextafter(power, largest), std::nextafter(power, 0.0F)})
      for (const float x : {size, -size})
        if (x >= domain.low && x <= domain.high) points.push_back(x);
  }
  // Near the ends of exp, sinh, erfc, gelu.
  for (const float end : {88.72F, -87.33F, -103.97F, 89.41F, 9.19F, 10.05F, -12.9F, -13.6F, -8.5F})
    for (int i = -50; i <= 50; ++i)
      if (const float x = end + static_cast<float>(i) * 0.002F; x >= domain.low && x <= domain.high)
        points.push_back(x);
  for (int k = -20'000; k <= 20'000; ++k)
    if (const auto zero = static_cast<float>(k * (pi<Real> / 2)); zero >= domain.low && zero <= domain.high)
      points.push_back(zero);
  const auto step = static_cast<std::uint64_t>((std::uint64_t{1} << 32) / count) | 1U;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += step)
    if (const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(bits)); x >= domain.low && x <= domain.high)
      points.push_back(x);
  return points;
}

struct Found {
  double value = 0, slope = 0;
  double value_at = 0, slope_at = 0;
  std::size_t points = 0;
};

template <class T> Found measure_line(const Line& l, std::size_t count) {
  const Interval domain = std::is_same_v<T, double> ? l.in_doubles : l.in_floats;
  const std::vector<T> all = points_of(T(0), domain, count);
  Found found{.points = all.size()};
  constexpr std::size_t block = 1 << 16;
  for (std::size_t first = 0; first < all.size(); first += block) {
    const std::vector<T> x(all.begin() + static_cast<std::ptrdiff_t>(first),
                           all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), first + block)));
    Result<T> r;
    if constexpr (std::is_same_v<T, double>)
      r = run<T>(l.in_double, x, {x.size()});
    else
      r = run<T>(l.in_float, x, {x.size()});
    for (std::size_t i = 0; i < x.size(); ++i) {
      Real value, slope;
      if constexpr (std::is_same_v<T, double>)
        value = l.value(x[i]), slope = l.slope(x[i]);
      else
        value = l.value_in_double(x[i]), slope = l.slope_in_double(x[i]);
      if (const double e = ulps(r.y.data()[i], value); e > found.value) found.value = e, found.value_at = x[i];
      if (const double e = ulps(r.dx.data()[i], slope); e > found.slope) found.slope = e, found.slope_at = x[i];
    }
  }
  return found;
}

bool printing() {
  const char* wanted = std::getenv("XTAPE_PRINT_ULPS");
  return wanted && *wanted && std::string_view(wanted) != "0";
}

}  // namespace

TEST_CASE("ulps: each elementwise function and its slope is within its bound over the whole range") {
  const bool print = printing();
  if (print) {
    fmt::print("| function | double: value | slope | float: value | slope |\n|---|---|---|---|---|\n");
  }
  for (const Line& l : lines()) {
    const Found d = measure_line<double>(l, print ? 1'000'000 : 60'000);
    const Found f = measure_line<float>(l, print ? (std::size_t{1} << 24) : 200'000);
    const auto check = [&](const char* what, double found, double at, double bound) {
      CHECK_MESSAGE(found <= bound, fmt::format("{}: {} {:.4g} units off at {}", l.name, what, found, at));
    };
    check("double, value", d.value, d.value_at, l.for_double.value);
    check("double, slope", d.slope, d.slope_at, l.for_double.slope);
    check("float, value", f.value, f.value_at, l.for_float.value);
    check("float, slope", f.slope, f.slope_at, l.for_float.slope);
    if (print) {
      const auto cell = [](double found, double bound) {
        return bound == unbounded ? std::string("–") : fmt::format("{:.2g} ({:g})", found, bound);
      };
      fmt::print("| {} | {} | {} | {} | {} |\n", l.name, cell(d.value, l.for_double.value),
                 cell(d.slope, l.for_double.slope), cell(f.value, l.for_float.value), cell(f.slope, l.for_float.slope));
      std::fflush(stdout);
    }
  }
}

TEST_CASE("ulps: every elementwise op of one argument is measured") {
  std::set<std::string> measured;
  for (const Line& l : lines()) measured.insert(l.name.substr(0, l.name.find(',')));
  for (const Row& row : op_table())
    if ((row.flags & elementwise) && row.recorded_names() == std::vector{row.name} &&
        !(row.flags & (broadcasting | not_differentiable | through_float)))
      CHECK_MESSAGE(measured.contains(row.name), row.name);
}

TEST_CASE_TEMPLATE("ulps: outside of its domain a function is NaN, however far", T, double, float) {
  const auto nan_at = [](const char* name, const Function<T>& f, std::vector<double> points) {
    for (const double x : points) {
      const T at = static_cast<T>(x);
      CHECK_MESSAGE(std::isnan(f(Tensor<T>({1}, {at})).data()[0]), fmt::format("{}({})", name, x));
    }
  };
  const std::vector<double> below{-2, -1e5, -1e9, -1e16, -3e38, -1e300, -infinity<double>};
  std::vector<double> beyond = below;
  for (const double x : below) beyond.push_back(-x);
#define NAN_AT(formula, points)                                 \
  nan_at(                                                       \
      #formula, [](const auto& x) { return formula; }, points); \
  nan_at(                                                       \
      "map of " #formula, [](const auto& t) { return map([](auto x) { return formula; }, t); }, points)
  NAN_AT(acosh(x), below);
  NAN_AT(acosh(x), (std::vector<double>{0.999, 0.5, 0, -0.5}));
  NAN_AT(sqrt(x), below);
  NAN_AT(log(x), below);
  NAN_AT(log2(x), below);
  NAN_AT(log10(x), below);
  NAN_AT(log1p(x), below);
  NAN_AT(pow(x, 0.5), (std::vector<double>{-2, -1e5, -1e9, -1e16, -3e38}));
  NAN_AT(asin(x), beyond);
  NAN_AT(acos(x), beyond);
  NAN_AT(atanh(x), beyond);
  NAN_AT(erfinv(x), beyond);
  NAN_AT(sin(x), (std::vector<double>{infinity<double>, -infinity<double>}));
  NAN_AT(cos(x), (std::vector<double>{infinity<double>, -infinity<double>}));
  NAN_AT(tan(x), (std::vector<double>{infinity<double>, -infinity<double>}));
#undef NAN_AT
}
