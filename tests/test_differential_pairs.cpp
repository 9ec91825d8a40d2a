// The elementwise functions of two arguments against closed forms in long double: value and all derivatives to third
// order; and what stands at points where a derivative does not exist.
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/transforms.hpp>

#include "differential.hpp"

#include <numbers>

using namespace xtape;
using namespace xtape::test;

namespace {

// In this order: f, fa, fb, faa, fab, fbb, faaa, faab, fabb, fbbb; and what each one's error is measured by.
using Ten = std::array<Real, 10>;
struct Truth {
  Ten value, scale;
};
constexpr std::array<std::size_t, 10> order_of{0, 1, 1, 2, 2, 2, 3, 3, 3, 3};
constexpr const char* names[]{"f", "a", "b", "aa", "ab", "bb", "aaa", "aab", "abb", "bbb"};

Truth plain(const Ten& value) {
  Ten scale;
  for (std::size_t i = 0; i < 10; ++i) scale[i] = std::abs(value[i]);
  return {value, scale};
}

Truth divide_of(Real a, Real b) {
  return plain(
      {a / b, 1 / b, -a / b / b, 0, -1 / b / b, 2 * a / b / b / b, 0, 0, 2 / b / b / b, -6 * a / b / b / b / b});
}
// s = a / r and c = b / r: each derivative is a polynomial of them over a power of the radius.
Truth hypot_of(Real a, Real b) {
  const Real r = std::hypot(a, b), s = a / r, c = b / r, q = r * r;
  return {{r, s, c, c * c / r, -s * c / r, s * s / r, -3 * s * c * c / q, c * (2 * s * s - c * c) / q,
           s * (2 * c * c - s * s) / q, -3 * s * s * c / q},
          {r, std::abs(s), std::abs(c), c * c / r, std::abs(s * c / r), s * s / r, std::abs(3 * s * c * c / q),
           std::abs(c) * (2 * s * s + c * c) / q, std::abs(s) * (2 * c * c + s * s) / q, std::abs(3 * s * s * c / q)}};
}
Truth atan2_of(Real a, Real b) {
  const Real r = std::hypot(a, b), s = a / r, c = b / r, q = r * r, t = q * r, y = std::atan2(a, b);
  const auto size = [](Real x) { return std::abs(x); };
  return {{y, c / r, -s / r, -2 * s * c / q, (s * s - c * c) / q, 2 * s * c / q, 2 * c * (3 * s * s - c * c) / t,
           2 * s * (3 * c * c - s * s) / t, 2 * c * (c * c - 3 * s * s) / t, 2 * s * (s * s - 3 * c * c) / t},
          {size(y), size(c / r), size(s / r), size(2 * s * c / q), 1 / q, size(2 * s * c / q),
           2 * size(c) * (3 * s * s + c * c) / t, 2 * size(s) * (3 * c * c + s * s) / t,
           2 * size(c) * (c * c + 3 * s * s) / t, 2 * size(s) * (s * s + 3 * c * c) / t}};
}
// The difference of the arguments is rounded, which an exponential of it multiplies by its size.
Truth logaddexp_of(Real a, Real b) {
  const Real d = a - b, e = std::exp(-std::abs(d)), larger = 1 / (1 + e), smaller = e / (1 + e), w = larger * smaller;
  const Real p = d > 0 ? larger : smaller, m = d > 0 ? smaller : larger, t = -w * std::tanh(d / 2);
  const Real k = 1 + std::abs(d), y = std::max(a, b) + std::log1p(e), terms = std::max(std::abs(a), std::abs(b)) + 1;
  return {
      {y, p, m, w, -w, w, t, -t, t, -t},
      {terms, p * k, m * k, w * k, w * k, w * k, std::abs(t) * k, std::abs(t) * k, std::abs(t) * k, std::abs(t) * k}};
}
// Of whole exponents for a <= 0, where the derivatives by b are not compared. The exponent b - 1 is rounded, by which
// the power changes as much more as log a is large.
Truth pow_of(Real a, Real b) {
  const auto term = [&](Real factor, Real q) { return factor == 0 ? 0 : factor * std::pow(a, q); };
  const Real y = std::pow(a, b), l = std::log(std::abs(a)), size = std::abs(l), k = 1 + size * (std::abs(b) + 3);
  const Real y1 = std::abs(term(1, b - 1)) * k, y2 = std::abs(term(1, b - 2)) * k;
  const Ten value{y,
                  term(b, b - 1),
                  y * l,
                  term(b * (b - 1), b - 2),
                  term(1, b - 1) * (1 + b * l),
                  y * l * l,
                  term(b * (b - 1) * (b - 2), b - 3),
                  term(1, b - 2) * (2 * b - 1 + b * (b - 1) * l),
                  term(1, b - 1) * (2 * l + b * l * l),
                  y * l * l * l};
  Truth t = plain(value);
  for (const std::size_t i : {1, 3, 6}) t.scale[i] *= k;
  t.scale[4] = y1 * (1 + std::abs(b) * size);
  t.scale[7] = y2 * (2 * std::abs(b) + 1 + std::abs(b * (b - 1)) * size);
  t.scale[8] = y1 * (2 * size + std::abs(b) * size * size);
  return t;
}

template <class T> using Pair = std::function<Tensor<T>(const Tensor<T>&, const Tensor<T>&)>;
struct Line {
  std::string name;
  Pair<double> in_double;
  Pair<float> in_float;
  Truth (*truth)(Real, Real);
  bool (*domain)(double, double);
  std::array<double, 4> bounds;  // by order, in units in the last place
};
template <class F>
Line line(const char* name, F f, Truth (*truth)(Real, Real), bool (*domain)(double, double),
          std::array<double, 4> bounds) {
  return {name, f, f, truth, domain, bounds};
}
#define PAIR(formula) [](const auto& a, const auto& b) { return formula; }

// The origin has a test of its own.
bool off_origin(double a, double b) { return a != 0 || b != 0; }
bool moderate(double a, double b) { return std::abs(a) < 1e4 && std::abs(b) < 1e4; }
// Not of exponents next to 0: their a^(b-2) overflows where b times it does not. At whole b the slopes' derivative by
// b, a term of 1 / a, is held at 1e9 in float from a = 1e-9 down. Nor where a^b underflows: the derivatives by b have
// it as a factor.
bool powers(double a, double b) {
  return a > (b == std::floor(b) ? 1e-9 : 1e-30) && a < 1e30 && (b == 0 || std::abs(b) >= 0.01) && std::abs(b) <= 4 &&
         std::pow(a, b) > 1e-30;
}
bool whole_powers(double a, double b) {
  return b == std::floor(b) && std::abs(b) <= 4 && std::abs(a) < 1e30 && (a == 0 ? b >= 0 : std::abs(a) > 1e-30);
}

std::vector<Line> lines() {
  return {
      line("divide", PAIR(a / b), divide_of, [](double, double b) { return b != 0; }, {0.5, 2, 4, 6}),
      line("hypot", PAIR(hypot(a, b)), hypot_of, off_origin, {1, 2, 5, 10}),
      line("atan2", PAIR(atan2(a, b)), atan2_of, off_origin, {1, 3, 8, 16}),
      line("logaddexp", PAIR(logaddexp(a, b)), logaddexp_of, moderate, {3, 4, 6, 8}),
      line("pow", PAIR(pow(a, b)), pow_of, powers, {1, 4, 8, 16}),
  };
}

// Pairs of numbers of all sizes, both signs, and 0.
template <class T> std::array<std::vector<T>, 2> points(bool (*domain)(double, double)) {
  std::vector<T> values{0};
  const double end = sizeof(T) == 4 ? 37 : 307;
  for (const double power : {-1.0, -0.7, -0.4, -0.2, -0.1, -0.03, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0})
    values.push_back(static_cast<T>(1.2345 * std::pow(10, power * end)));
  for (const double v : {0.01, 0.3, 0.5, 0.9, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0, 50.0, 600.0})
    values.push_back(static_cast<T>(v));
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) values.push_back(-values[i]);
  std::array<std::vector<T>, 2> pairs;
  for (const T a : values)
    for (const T b : values)
      if (domain(static_cast<double>(a), static_cast<double>(b))) pairs[0].push_back(a), pairs[1].push_back(b);
  return pairs;
}

template <class T> std::array<Tensor<T>, 10> derivatives(const Pair<T>& f, const Tensor<T>& a, const Tensor<T>& b) {
  Tape tape;
  const auto by = [&](const Tensor<T>& y, const Tensor<T>& x) { return derivative(tape, y, x); };
  const Tensor<T> y = f(a, b), fa = by(y, a), fb = by(y, b), faa = by(fa, a), fab = by(fa, b), fbb = by(fb, b);
  return {y, fa, fb, faa, fab, fbb, by(faa, a), by(faa, b), by(fbb, a), by(fbb, b)};
}

template <class T> bool overflows(const Truth& t, std::size_t order) {
  for (std::size_t k = 0; k < 10; ++k)
    if (order_of[k] <= order && !(t.scale[k] < static_cast<Real>(std::numeric_limits<T>::max()) / 32)) return true;
  return false;
}

template <class T> void hold(const Line& l, const char* type, const Pair<T>& f) {
  const auto [at_a, at_b] = points<T>(l.domain);
  const auto a = parameter(Tensor<T>({at_a.size()}, at_a)), b = parameter(Tensor<T>({at_b.size()}, at_b));
  const auto d = derivatives<T>(f, a, b);
  std::array<Worst, 4> worst;
  for (std::size_t i = 0; i < at_a.size(); ++i) {
    const Truth t = l.truth(at_a[i], at_b[i]);
    for (std::size_t k = 0; k < 10; ++k) {
      const T got = d[k].data()[i];
      // Where one derivative of an order overflows, the others may be 0 times that one.
      if (k > 0 && overflows<T>(t, order_of[k])) continue;
      // Derivatives' factors underflow a little before they do themselves.
      constexpr T tiny = 32 * std::numeric_limits<T>::min();
      if (k > 0 && std::abs(t.value[k]) < static_cast<Real>(tiny) && std::abs(got) < 2 * tiny) continue;
      worst[order_of[k]].see(units(got, t.value[k], t.scale[k], 32), static_cast<double>(at_a[i]),
                             static_cast<double>(at_b[i]));
    }
  }
  for (std::size_t k = 0; k < 4; ++k)
    CHECK_MESSAGE(worst[k].units <= l.bounds[k], fmt::format("{} in {}, order {}: {:.4g} units off at ({}, {})", l.name,
                                                             type, k, worst[k].units, worst[k].at, worst[k].other));
  if (!printing()) return;
  fmt::print("| {} | {} |", l.name, type);
  for (std::size_t k = 0; k < 4; ++k) fmt::print(" {:.2g} ({:g}) |", worst[k].units, l.bounds[k]);
  fmt::print("\n");
}

Tensor<double> second(const std::function<Tensor<double>(const Tensor<double>&)>& f, const Tensor<double>& at) {
  const auto x = parameter(at);
  Tape tape;
  return derivative(tape, derivative(tape, f(x), x), x);
}
bool all_nan(const Tensor<double>& x) {
  return std::ranges::all_of(x.span(), [](double v) { return std::isnan(v); });
}

}  // namespace

TEST_CASE("differential: each elementwise function of two arguments, all derivatives to third order") {
  for (const Line& l : lines()) {
    hold<double>(l, "double", l.in_double);
    hold<float>(l, "float", l.in_float);
  }
}

TEST_CASE_TEMPLATE("differential: powers with whole exponents by the base, at 0 and of negative bases too", T, float,
                   double) {
  const auto [at_a, at_b] = points<T>(whole_powers);
  const auto x = parameter(Tensor<T>({at_a.size()}, at_a));
  const Tensor<T> b({at_b.size()}, at_b);
  const auto hold = [&](const char* way, const Function<T>& f, std::size_t orders) {
    Tape tape;
    std::array<Tensor<T>, 4> d{f(x)};
    for (std::size_t k = 1; k <= orders; ++k) d[k] = derivative(tape, d[k - 1], x);
    for (std::size_t k = 0; k <= orders; ++k)
      for (std::size_t i = 0; i < at_a.size(); ++i) {
        const Real truth = pow_of(at_a[i], at_b[i]).value[std::array{0, 1, 3, 6}[k]];
        constexpr T tiny = 32 * std::numeric_limits<T>::min();
        if (std::abs(truth) < static_cast<Real>(tiny) && std::abs(d[k].data()[i]) < 2 * tiny) continue;
        CHECK_MESSAGE(units(d[k].data()[i], truth, std::abs(truth), 32) <= 4,
                      fmt::format("{}: {}^{}, order {}: {}", way, at_a[i], at_b[i], k, d[k].data()[i]));
      }
  };
  hold(
      "tensor", [&](const Tensor<T>& a) { return pow(a, b); }, 3);
  hold(
      "expression", [&](const Tensor<T>& a) { return pow(a, b.array() + T(0)); }, 3);
  hold(
      "map", [&](const Tensor<T>& a) { return map([](const auto& u, const auto& v) { return pow(u, v); }, a, b); }, 2);
}

TEST_CASE_TEMPLATE("differential: a broadcast exponent at 0", T, float, double) {
  const Tensor<T> b({5}, {0, 1, 2, 3, 4});
  const auto h = hessian(
      [&](const Tensor<T>& x) {
        return sum(pow(reshape(x, {3, 1}), b));
      },
      Tensor<T>({3}, {-1, 0, 1}));
  for (std::size_t i = 0; i < 9; ++i) CHECK(h.data()[i] == std::array<T, 9>{8, 0, 0, 0, 2, 0, 0, 0, 20}[i]);
}

TEST_CASE("differential: the mixed derivative of a power is 1 / a where the exponent is 0") {
  const auto a = parameter(Tensor<double>({3}, {-2, 0.5, 1e300})), b = parameter(zeros<double>({3}));
  Tape tape;
  const auto mixed = derivative(tape, derivative(tape, pow(a, b), a), b);
  CHECK(mixed.data()[1] == 2);
  CHECK(mixed.data()[2] == doctest::Approx(1e-300).epsilon(1e-12));
}

TEST_CASE("differential: at their kink norms, hypot and atan2 have gradient 0 and no second derivative") {
  const auto zero = zeros<double>({2, 3});
  const std::vector<Function<double>> kinks{
      [](const auto& x) { return norm(x, 1); },
      [](const auto& x) { return norm(x, 1, {.order = 3}); },
      [](const auto& x) { return norm(x, 1, {.order = 1.5}); },
      [](const auto& x) { return matrix_norm(x); },
      [](const auto& x) { return square(norm(x, 1)); },
      [](const auto& x) { return exp(-square(norm(x, 1))); },
      [](const auto& x) { return stddev(x, 1); },
      [](const auto& x) { return hypot(x, 2 * x); },
      [](const auto& x) { return hypot(0, x); },
      [](const auto& x) { return atan2(x, 2 * x); },
      [](const auto& x) { return map([](const auto& v) { return hypot(v, 2 * v); }, x); },
      [](const auto& x) { return map([](const auto& v) { return atan2(v, 2 * v); }, x); },
  };
  for (std::size_t k = 0; k < kinks.size(); ++k) {
    CAPTURE(k);
    const auto gradient = grad([&](const Tensor<double>& x) { return sum(kinks[k](x)); }, zero);
    CHECK(std::ranges::all_of(gradient.span(), [](double v) { return v == 0; }));
    CHECK(all_nan(second(kinks[k], zero)));
  }
  // What is to be written instead, and what the others' rows have.
  const auto h = hessian([](const Tensor<double>& x) { return exp(-sum(square(x))); }, zeros<double>({2}));
  CHECK(h.data()[0] == -2);
  CHECK(h.data()[1] == 0);
  CHECK(h.data()[3] == -2);
  const auto rows = second(kinks[0], Tensor<double>({2, 2}, {0, 0, 3, 4}));
  CHECK(std::isnan(rows.data()[0]));
  CHECK(rows.data()[2] == doctest::Approx((16.0 - 12) / 125));
  // Elements of 0 in a norm that is not.
  const auto cubes = second([](const auto& x) { return norm(x, all_axes, {.order = 3}); }, Tensor<double>({2}, {0, 2}));
  CHECK(cubes.data()[0] == 0);
  CHECK(std::abs(cubes.data()[1]) < 1e-15);
  const auto slope =
      grad([](const Tensor<double>& x) { return norm(x, all_axes, {.order = 3}); }, Tensor<double>({2}, {0, 2}));
  CHECK(slope.data()[0] == 0);
  CHECK(slope.data()[1] == 1);
  // The norm of one number is its size.
  CHECK(second([](const auto& x) { return norm(x, 1); }, zeros<double>({2, 1})).data()[0] == 0);
}

TEST_CASE("differential: the slopes of hypot where the radius overflows, and at infinity") {
  const double inf = std::numeric_limits<double>::infinity();
  const auto a = parameter(Tensor<double>({4}, {1.5e308, inf, -inf, 1})),
             b = parameter(Tensor<double>({4}, {1.5e308, 2, 3, inf}));
  Tape tape;
  const auto [da, db] = tape.gradient(sum(hypot(a, b)), {a, b});
  CHECK(da.data()[0] == doctest::Approx(std::sqrt(0.5)));
  CHECK(da.data()[1] == 1);
  CHECK(da.data()[2] == -1);
  CHECK(da.data()[3] == 0);
  CHECK(db.data()[3] == 1);
}
