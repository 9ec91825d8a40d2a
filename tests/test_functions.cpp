// Elementwise functions beyond the basic ones: accuracy over the whole range, limits, policies, and inside map.
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>

#include "extreme.hpp"
#include "policies.hpp"

#include <doctest/doctest.h>

using namespace xtape;
using namespace xtape::test;

TEST_CASE("functions: values and slopes are right in every digit over the whole range") {
  const double big = 1e307, tiny = 1e-300;
  const Elementwise functions[] = {
      function(
          "tan", [](const auto& x) { return tan(x); }, [](Real x) { return std::tan(x); },
          [](Real x) { return 1 + std::tan(x) * std::tan(x); }, -1e4, 1e4, 1, 4),
      function(
          "asin", [](const auto& x) { return asin(x); }, [](Real x) { return std::asin(x); },
          [](Real x) { return 1 / std::sqrt((1 - x) * (1 + x)); }, -1, 1, 1, 2),
      function(
          "acos", [](const auto& x) { return acos(x); }, [](Real x) { return std::acos(x); },
          [](Real x) { return -1 / std::sqrt((1 - x) * (1 + x)); }, -1, 1, 2, 2),
      function(
          "atan", [](const auto& x) { return atan(x); }, [](Real x) { return std::atan(x); },
          [](Real x) { return 1 / (1 + x * x); }, -1e18, 1e18, 1, 2),
      function(
          "sinh", [](const auto& x) { return sinh(x); }, [](Real x) { return std::sinh(x); },
          [](Real x) { return std::cosh(x); }, -710, 710, 2.5, 2.5),
      function(
          "cosh", [](const auto& x) { return cosh(x); }, [](Real x) { return std::cosh(x); },
          [](Real x) { return std::sinh(x); }, -710, 710, 2.5, 2.5),
      function(
          "asinh", [](const auto& x) { return asinh(x); }, [](Real x) { return std::asinh(x); },
          [](Real x) { return 1 / std::hypot(x, 1.0L); }, -big, big, 2, 2),
      function(
          "acosh", [](const auto& x) { return acosh(x); }, [](Real x) { return std::acosh(x); },
          [](Real x) { return 1 / (std::sqrt(x - 1) * std::sqrt(x + 1)); }, 1.001, big, 2, 3),
      function(
          "atanh", [](const auto& x) { return atanh(x); }, [](Real x) { return std::atanh(x); },
          [](Real x) { return 1 / ((1 - x) * (1 + x)); }, -0.9999, 0.9999, 2, 2),
      function(
          "exp2", [](const auto& x) { return exp2(x); }, [](Real x) { return std::exp2(x); },
          [](Real x) { return std::log(2.0L) * std::exp2(x); }, -big, 127.9, 1, 2),
      function(
          "log2", [](const auto& x) { return log2(x); }, [](Real x) { return std::log2(x); },
          [](Real x) { return 1 / (std::log(2.0L) * x); }, tiny, big, 2, 2),
      function(
          "log10", [](const auto& x) { return log10(x); }, [](Real x) { return std::log10(x); },
          [](Real x) { return 1 / (std::log(10.0L) * x); }, tiny, big, 2, 2),
      function(
          "cbrt", [](const auto& x) { return cbrt(x); }, [](Real x) { return std::cbrt(x); },
          [](Real x) { return 1 / (3 * std::cbrt(x) * std::cbrt(x)); }, tiny, big, 1, 4),
      function(
          "cbrt of negative numbers", [](const auto& x) { return cbrt(x); }, [](Real x) { return std::cbrt(x); },
          [](Real x) { return 1 / (3 * std::cbrt(x) * std::cbrt(x)); }, -big, -tiny, 1, 4),
      function(
          "reciprocal", [](const auto& x) { return reciprocal(x); }, [](Real x) { return 1 / x; },
          [](Real x) { return -1 / (x * x); }, 1e-18, 1e18, 1, 3),
      function(
          "log_sigmoid", [](const auto& x) { return log_sigmoid(x); },
          [](Real x) { return std::min(x, 0.0L) - std::log1p(std::exp(-std::abs(x))); },
          [](Real x) { return 1 / (1 + std::exp(x)); }, -big, big, 4, 4),
      function(
          "softsign", [](const auto& x) { return softsign(x); }, [](Real x) { return x / (1 + std::abs(x)); },
          [](Real x) { return 1 / ((1 + std::abs(x)) * (1 + std::abs(x))); }, -1e18, 1e18, 2, 4),
      function(
          "floor", [](const auto& x) { return floor(x); }, [](Real x) { return std::floor(x); },
          [](Real) -> Real { return 0; }, -big, big, 0, 0),
      function(
          "ceil", [](const auto& x) { return ceil(x); }, [](Real x) { return std::ceil(x); },
          [](Real) -> Real { return 0; }, -big, big, 0, 0),
      function(
          "round", [](const auto& x) { return round(x); }, [](Real x) { return std::round(x); },
          [](Real) -> Real { return 0; }, -big, big, 0, 0),
  };
  for (const auto& f : functions) {
    check_whole_range<double>(f, f.in_double);
    check_whole_range<float>(f, f.in_float);
  }
}

TEST_CASE_TEMPLATE("functions: of two arguments, right in every digit over the whole range", T, double, float) {
  // Pairs of sizes far apart and close together, in all quadrants.
  std::vector<T> a, b;
  const std::vector<T> points = points_within<T>(-1e30, 1e30);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const T partner = i % 3 == 0   ? points[(i * 7919) % points.size()]
                      : i % 3 == 1 ? points[i] * T(1.25)
                                   : -points[i] * T(0.75);
    if (std::abs(points[i]) < T(1e-30) || std::abs(partner) < T(1e-30)) continue;
    a.push_back(points[i]);
    b.push_back(partner);
  }
  const auto n = a.size();
  const auto check = [&](const char* name, const auto& f, const auto& truth, double limit) {
    const auto y = f(Tensor<T>({n}, a), Tensor<T>({n}, b));
    double worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < n; ++i)
      if (const double e = ulps(y.data()[i], truth(a[i], b[i])); e > worst) worst = e, at = i;
    CHECK_MESSAGE(worst <= limit, fmt::format("{}: {} units off at {}, {}", name, worst, a[at], b[at]));
  };
  check(
      "atan2", [](const auto& u, const auto& v) { return atan2(u, v); },
      [](Real u, Real v) { return std::atan2(u, v); }, 2);
  check(
      "hypot", [](const auto& u, const auto& v) { return hypot(u, v); },
      [](Real u, Real v) { return std::hypot(u, v); }, 1);
  check(
      "logaddexp", [](const auto& u, const auto& v) { return logaddexp(abs(u), abs(v)); },
      [](Real u, Real v) {
        u = std::abs(u), v = std::abs(v);
        return std::max(u, v) + std::log1p(std::exp(-std::abs(u - v)));
      },
      2);
  CHECK(n > 1000);
}

TEST_CASE("functions: limits") {
  CHECK(is(atan(vector_of({inf, -inf})), {std::atan(inf), std::atan(-inf)}));
  CHECK(is(asin(vector_of({1.5})), {not_a_number}));
  CHECK(is(acos(vector_of({-1.5})), {not_a_number}));
  CHECK(is(acosh(vector_of({0.5, 1, inf})), {not_a_number, 0, inf}));
  CHECK(is(atanh(vector_of({1, -1, 2})), {inf, -inf, not_a_number}));
  CHECK(is(erfinv(vector_of({1, -1, 2, inf, -inf, not_a_number, 0, 0x1p-1074})),
           {inf, -inf, not_a_number, not_a_number, not_a_number, not_a_number, 0, 0x1p-1074}));
  CHECK(std::signbit(erfinv(vector_of({-0.0})).item()));
  CHECK(is(sinh(vector_of({inf, -inf})), {inf, -inf}));
  CHECK(is(cosh(vector_of({inf, -inf})), {inf, inf}));
  CHECK(is(asinh(vector_of({inf, -inf})), {inf, -inf}));
  CHECK(is(exp2(vector_of({inf, -inf, -1074, 1024, 1023, 10})), {inf, 0, 0x1p-1074, inf, 0x1p1023, 1024}));
  CHECK(is(log2(vector_of({0, inf, -1, 0x1p-1074, 8})), {-inf, inf, not_a_number, -1074, 3}));
  CHECK(is(log10(vector_of({0, inf, -1})), {-inf, inf, not_a_number}));
  CHECK(log10(vector_of({1e-310})).item() == doctest::Approx(-310).epsilon(1e-15));
  CHECK(is(cbrt(vector_of({inf, -inf, -8, 0, 27})), {inf, -inf, -2, 0, 3}));
  CHECK(cbrt(vector_of({1e-315})).item() == doctest::Approx(1e-105).epsilon(1e-9));
  CHECK(is(reciprocal(vector_of({0, -0.0, inf})), {inf, -inf, 0}));
  CHECK(is(softsign(vector_of({inf, -inf})), {1, -1}));
  CHECK(is(log_sigmoid(vector_of({inf, -inf, 1e4, -1e4})), {0, -inf, 0, -1e4}));
  CHECK(is(round(vector_of({0.5, -0.5, 1.5, 2.5, 0.49999999999999994, 4503599627370497.5})),
           {1, -1, 2, 3, 0, 4503599627370498}));
  CHECK(is(logaddexp(vector_of({inf, -inf, inf, -inf, 1000}), vector_of({inf, -inf, -inf, 3, 1000})),
           {inf, -inf, inf, 3, 1000 + std::log(2.0)}));
  CHECK(is(hypot(vector_of({3e300, 3e-300, inf, 0}), vector_of({4e300, 4e-300, 1, 0})),
           {std::hypot(3e300, 4e300), std::hypot(3e-300, 4e-300), inf, 0}));
  const auto x = vector_of({not_a_number});
  for (const auto& y : {tan(x),        asin(x),     acos(x),     atan(x),     sinh(x),         cosh(x),
                        asinh(x),      acosh(x),    atanh(x),    exp2(x),     log2(x),         log10(x),
                        cbrt(x),       floor(x),    ceil(x),     round(x),    log_sigmoid(x),  softsign(x),
                        reciprocal(x), hypot(x, 1), atan2(x, 1), atan2(1, x), logaddexp(x, 0), logaddexp(0, x)})
    CHECK(std::isnan(y.item()));
}

TEST_CASE("functions: slopes at kinks, ends and the origin") {
  CHECK(is(gradient([](const auto& x) { return floor(x); }, vector_of({-1, 0, 0.5})), {0, 0, 0}));
  CHECK(is(gradient([](const auto& x) { return ceil(x); }, vector_of({-1, 0, 0.5})), {0, 0, 0}));
  CHECK(is(gradient([](const auto& x) { return round(x); }, vector_of({-0.5, 0, 0.5})), {0, 0, 0}));
  CHECK(is(gradient([](const auto& x) { return cbrt(x); }, vector_of({0, -8})), {inf, 1.0 / 12}));
  CHECK(is(gradient([](const auto& x) { return softsign(x); }, vector_of({0, inf, 1})), {1, 0, 0.25}));
  CHECK(is(gradient([](const auto& x) { return asin(x); }, vector_of({1, 0})), {inf, 1}));
  CHECK(is(gradient([](const auto& x) { return asinh(x); }, vector_of({1e300})), {1e-300}));
  CHECK(is(gradient([](const auto& x) { return erfinv(x); }, vector_of({1, -1, 2, 0})),
           {inf, inf, not_a_number, 0.88622692545275801365}));
  const Doubles origin{vector_of({0, 0}), vector_of({0, 2})};
  auto g = gradients([](const Doubles& x) { return hypot(x[0], x[1]); }, origin);
  CHECK(is(g[0], {0, 0}));
  CHECK(is(g[1], {0, 1}));
  g = gradients([](const Doubles& x) { return atan2(x[0], x[1]); }, origin);
  CHECK(is(g[0], {0, 0.5}));
  CHECK(is(g[1], {0, 0}));
  g = gradients([](const Doubles& x) { return hypot(x[0], x[1]); }, {vector_of({3e300}), vector_of({4e300})});
  CHECK(g[0].item() == doctest::Approx(0.6));
  CHECK(g[1].item() == doctest::Approx(0.8));
  g = gradients([](const Doubles& x) { return logaddexp(x[0], x[1]); },
                {vector_of({-inf, 2, inf}), vector_of({1, 2, inf})});
  CHECK(is(g[0], {0, 0.5, not_a_number}));
  CHECK(is(g[1], {1, 0.5, not_a_number}));
}

TEST_CASE("functions: inside map they are the ops of their names") {
  const auto agrees = [](const auto& in_map, const auto& op) {
    const auto derivatives = [](const auto& f) {
      Values values;
      for (int i = 0; i < 19; ++i) values.push_back(0.1 + 0.04 * i);
      const auto x = parameter(vector_of(values));
      Tape tape;
      const auto y = f(x);
      const auto g = tape.gradient(sum(y * y), {x}, {.create_graph = true})[0];
      return Doubles{y, g, tape.gradient(sum(g * g), {x})[0]};
    };
    const auto a = derivatives([&](const auto&x) { return map(in_map, x); }), b = derivatives(op);
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t i = 0; i < 19; ++i) CHECK(a[k].data()[i] == doctest::Approx(b[k].data()[i]).epsilon(1e-12));
  };
  const auto trigonometric = [](const auto& x) { return tan(x) + 2 * asin(x) + 3 * acos(x) + 4 * atan(x); };
  agrees(trigonometric, trigonometric);
  const auto hyperbolic = [](const auto& x) {
    return sinh(x) + 2 * cosh(x) + 3 * asinh(x) + 4 * acosh(x + 1) + 5 * atanh(x);
  };
  agrees(hyperbolic, hyperbolic);
  const auto powers = [](const auto& x) {
    return exp2(x) + 2 * log2(x) + 3 * log10(x) + 4 * cbrt(x) + 5 * reciprocal(x) + log_sigmoid(x) + 2 * softsign(x);
  };
  agrees(powers, powers);
  const auto whole = [](const auto& x) { return x * floor(3 * x) + x * ceil(3 * x) + square(x) * round(3 * x); };
  agrees(whole, whole);
  const auto pairs = [](const auto& x) {
    return atan2(x, 1) + 2 * atan2(2, x) + 3 * hypot(x, 1) + 4 * hypot(2, x) + logaddexp(x, 1) + 2 * logaddexp(0, x) +
           hypot(x, square(x)) + atan2(x, square(x)) + logaddexp(x, 2 * x);
  };
  agrees(pairs, pairs);
}
