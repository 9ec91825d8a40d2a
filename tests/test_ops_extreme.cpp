// Accuracy over the whole range of numbers, and limits at infinity.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/softmax.hpp>
#include <xtape/tape.hpp>

#include "extreme.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;

namespace {

template <class T> constexpr T inf = infinity<T>;
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// True functions, written so that nothing cancels or overflows in long double.
Real sigmoid_of(Real x) {
  const Real e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
Real sech2_of(Real x) {
  const Real e = std::exp(-2 * std::abs(x));
  return 4 * e / ((1 + e) * (1 + e));
}
Real softplus_of(Real x) { return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x))); }
const Real root_2 = std::sqrt(2.0L), root_pi = std::sqrt(std::acos(-1.0L));
Real normal_cdf(Real x) { return std::erfc(-x / root_2) / 2; }
Real normal_density(Real x) { return std::exp(-x * x / 2) / (root_2 * root_pi); }

// Logits from tame to hopeless.
const std::vector<std::vector<double>> logits{
    {1e4, -1e4, 0},
    {1e4, 1e4, 1e4},
    {-1e4, -1e4, -1e4},
    {1e4, 1e4 - 1, 1e4 - 2},
    {-1e4, 1e4, 1e4 - 40},
    {30, 0, -30},
    {0, -40, -700},
    {745, 0, 1},
    {1, 2, 3},
    {100, 0, 50},
    {-1e4, -9999, -9998},
    {1e-300, 0, -1e-300},
};

// log sum_{j != i} e^(x_j - x_i): what all of the family is made of, to full precision.
Real log_rest(const std::vector<double>& x, std::size_t i) {
  Real m = -inf<Real>, s = 0;
  for (std::size_t j = 0; j < x.size(); ++j)
    if (j != i) m = std::max(m, static_cast<Real>(x[j]));
  for (std::size_t j = 0; j < x.size(); ++j)
    if (j != i) s += std::exp(static_cast<Real>(x[j]) - m);
  return m - static_cast<Real>(x[i]) + std::log(s);
}
Real softmax_of(const std::vector<double>& x, std::size_t i) { return sigmoid_of(-log_rest(x, i)); }
Real log_softmax_of(const std::vector<double>& x, std::size_t i) { return -softplus_of(log_rest(x, i)); }
// 1 - softmax
Real others_of(const std::vector<double>& x, std::size_t i) { return sigmoid_of(log_rest(x, i)); }

template <class T> std::vector<T> as(const std::vector<double>& x) { return std::vector<T>(x.begin(), x.end()); }

}  // namespace

TEST_CASE("extreme values: elementwise functions and their slopes are right in every digit over the whole range") {
  const double big = 1e308;
  const Elementwise functions[] = {
      function(
          "exp", [](const auto& x) { return exp(x); }, [](Real x) { return std::exp(x); },
          [](Real x) { return std::exp(x); }, -big, 709.78, 4, 4),
      function(
          "expm1", [](const auto& x) { return expm1(x); }, [](Real x) { return std::expm1(x); },
          [](Real x) { return std::exp(x); }, -big, 709.78, 4, 4),
      function(
          "log", [](const auto& x) { return log(x); }, [](Real x) { return std::log(x); }, [](Real x) { return 1 / x; },
          1e-300, big, 4, 4),
      function(
          "log1p", [](const auto& x) { return log1p(x); }, [](Real x) { return std::log1p(x); },
          [](Real x) { return 1 / (1 + x); }, -0.99, big, 4, 4),
      function(
          "sqrt", [](const auto& x) { return sqrt(x); }, [](Real x) { return std::sqrt(x); },
          [](Real x) { return 0.5L / std::sqrt(x); }, 1e-300, big, 1, 2),
      function(
          "sin", [](const auto& x) { return sin(x); }, [](Real x) { return std::sin(x); },
          [](Real x) { return std::cos(x); }, -1e4, 1e4, 4, 4),
      function(
          "cos", [](const auto& x) { return cos(x); }, [](Real x) { return std::cos(x); },
          [](Real x) { return -std::sin(x); }, -1e4, 1e4, 4, 4),
      function(
          "tanh", [](const auto& x) { return tanh(x); }, [](Real x) { return std::tanh(x); },
          [](Real x) { return sech2_of(x); }, -big, big, 4, 8),
      function(
          "sech_squared", [](const auto& x) { return sech_squared(x); }, [](Real x) { return sech2_of(x); },
          [](Real x) { return -2 * sech2_of(x) * std::tanh(x); }, -big, big, 8, 8),
      function(
          "sigmoid", [](const auto& x) { return sigmoid(x); }, [](Real x) { return sigmoid_of(x); },
          [](Real x) { return sech2_of(x / 2) / 4; }, -big, big, 4, 8),
      function(
          "softplus", [](const auto& x) { return softplus(x); }, [](Real x) { return softplus_of(x); },
          [](Real x) { return sigmoid_of(x); }, -big, big, 4, 4),
      function(
          "elu", [](const auto& x) { return elu(x); }, [](Real x) { return x > 0 ? x : std::expm1(x); },
          [](Real x) { return x > 0 ? 1 : std::exp(x); }, -big, big, 4, 4),
      function(
          "leaky_relu", [](const auto& x) { return leaky_relu(x); },
          [](Real x) { return x > 0 ? x : x * static_cast<Real>(0.01); },
          [](Real x) { return x > 0 ? 1 : static_cast<Real>(0.01); }, -1e30, 1e30, 1, 1),
      function(
          "erf", [](const auto& x) { return erf(x); }, [](Real x) { return std::erf(x); },
          [](Real x) { return 2 / root_pi * std::exp(-x * x); }, -5, 5, 2, 64),
      function(
          "erfc", [](const auto& x) { return erfc(x); }, [](Real x) { return std::erfc(x); },
          [](Real x) { return -2 / root_pi * std::exp(-x * x); }, -5, 5, 4, 64),
      function(
          "gelu", [](const auto& x) { return gelu(x); }, [](Real x) { return x * normal_cdf(x); },
          [](Real x) { return normal_cdf(x) + x * normal_density(x); }, -0.5, big, 8, 8),
      function(
          "silu", [](const auto& x) { return silu(x); }, [](Real x) { return x * sigmoid_of(x); },
          [](Real x) { return sigmoid_of(x) + x * sech2_of(x / 2) / 4; }, -1, big, 8, 8),
      function(
          "silu below its minimum", [](const auto& x) { return silu(x); }, [](Real x) { return x * sigmoid_of(x); },
          [](Real x) { return sigmoid_of(x) + x * sech2_of(x / 2) / 4; }, -80, -2, 8, 16),
  };
  for (const auto& f : functions) {
    check_whole_range<double>(f, f.in_double);
    check_whole_range<float>(f, f.in_float);
  }
}

TEST_CASE_TEMPLATE("extreme values: the tail of gelu, where the rounding of x^2 is what remains", T, double, float) {
  for (T x = -2; x > (sizeof(T) == 4 ? -12 : -37); x -= T(0.37)) {
    const auto r = run<T>([](const auto& t) { return gelu(t); }, {x}, {1});
    CAPTURE(x);
    CHECK(ulps(r.y.item(), x * normal_cdf(x)) <= 4 + 2 * x * x);
    CHECK(ulps(r.dx.item(), normal_cdf(x) + x * normal_density(x)) <= 8 + 4 * x * x);
  }
}

TEST_CASE_TEMPLATE("extreme values: limits of elementwise functions at infinity, and their slopes", T, double, float) {
  struct Limit {
    std::string name;
    Function<T> f;
    T below, slope_below, above, slope_above;
  };
  const T i = inf<T>;
  const Limit limits[] = {
      {"exp", [](const auto& x) { return exp(x); }, 0, 0, i, i},
      {"expm1", [](const auto& x) { return expm1(x); }, -1, 0, i, i},
      {"tanh", [](const auto& x) { return tanh(x); }, -1, 0, 1, 0},
      {"sech_squared", [](const auto& x) { return sech_squared(x); }, 0, 0, 0, 0},
      {"sigmoid", [](const auto& x) { return sigmoid(x); }, 0, 0, 1, 0},
      {"softplus", [](const auto& x) { return softplus(x); }, 0, 0, i, 1},
      {"relu", [](const auto& x) { return relu(x); }, 0, 0, i, 1},
      {"elu", [](const auto& x) { return elu(x, 1.5); }, T(-1.5), 0, i, 1},
      {"gelu", [](const auto& x) { return gelu(x); }, 0, 0, i, 1},
      {"silu", [](const auto& x) { return silu(x); }, 0, 0, i, 1},
      {"erf", [](const auto& x) { return erf(x); }, -1, 0, 1, 0},
      {"erfc", [](const auto& x) { return erfc(x); }, 2, 0, 0, 0},
      {"abs", [](const auto& x) { return abs(x); }, i, -1, i, 1},
      {"sign", [](const auto& x) { return sign(x); }, -1, 0, 1, 0},
      {"clip", [](const auto& x) { return clip(x, -2, 3); }, -2, 0, 3, 0},
      {"square", [](const auto& x) { return square(x); }, i, -i, i, i},
  };
  for (const Limit& limit : limits) {
    CAPTURE(limit.name);
    const auto [y, dx] = run<T>(limit.f, {-i, i}, {2});
    CHECK(y.data()[0] == limit.below);
    CHECK(y.data()[1] == limit.above);
    CHECK(dx.data()[0] == limit.slope_below);
    CHECK(dx.data()[1] == limit.slope_above);
    // The same for numbers that are only large, and the curvature there.
    const auto x = parameter(Tensor<T>({2}, {T(-1e4), T(1e4)}));
    Tape tape;
    const auto g = tape.gradient(sum(limit.f(x)), {x}, {.create_graph = true})[0];
    const auto h = g.requires_grad() ? tape.gradient(sum(g), {x})[0] : zeros<T>({2});
    if (limit.above != i || limit.slope_above == 1) {
      CHECK_MESSAGE(!std::isnan(h.data()[0]), show(h));
      CHECK_MESSAGE(!std::isnan(h.data()[1]), show(h));
    }
  }
  const auto log_at = run<T>([](const auto& x) { return log(x); }, {0, i}, {2});
  CHECK(log_at.y.data()[0] == -i);
  CHECK(log_at.y.data()[1] == i);
  CHECK(log_at.dx.data()[0] == i);
  CHECK(log_at.dx.data()[1] == 0);
  CHECK(std::isnan(run<T>([](const auto& x) { return log(x); }, {-1}, {1}).y.item()));
  CHECK(std::isnan(run<T>([](const auto& x) { return sqrt(x); }, {-1}, {1}).y.item()));
  CHECK(run<T>([](const auto& x) { return sqrt(x); }, {0}, {1}).dx.item() == i);
  CHECK(run<T>([](const auto& x) { return log1p(x); }, {-1}, {1}).y.item() == -i);
}

TEST_CASE("extreme values: NaN in, NaN out") {
  const std::pair<std::string, Function<double>> functions[] = {
      {"negate", [](const auto& x) { return -x; }},
      {"square", [](const auto& x) { return square(x); }},
      {"sqrt", [](const auto& x) { return sqrt(x); }},
      {"abs", [](const auto& x) { return abs(x); }},
      {"sign", [](const auto& x) { return sign(x); }},
      {"exp", [](const auto& x) { return exp(x); }},
      {"expm1", [](const auto& x) { return expm1(x); }},
      {"log", [](const auto& x) { return log(x); }},
      {"log1p", [](const auto& x) { return log1p(x); }},
      {"sin", [](const auto& x) { return sin(x); }},
      {"cos", [](const auto& x) { return cos(x); }},
      {"tanh", [](const auto& x) { return tanh(x); }},
      {"sigmoid", [](const auto& x) { return sigmoid(x); }},
      {"softplus", [](const auto& x) { return softplus(x); }},
      {"relu", [](const auto& x) { return relu(x); }},
      {"leaky_relu", [](const auto& x) { return leaky_relu(x); }},
      {"elu", [](const auto& x) { return elu(x); }},
      {"gelu", [](const auto& x) { return gelu(x); }},
      {"silu", [](const auto& x) { return silu(x); }},
      {"erf", [](const auto& x) { return erf(x); }},
      {"erfc", [](const auto& x) { return erfc(x); }},
      {"clip", [](const auto& x) { return clip(x, -1, 1); }},
      {"sech_squared", [](const auto& x) { return sech_squared(x); }},
      {"pow", [](const auto& x) { return pow(x, 2.5); }},
      {"softmax", [](const auto& x) { return softmax(x); }},
      {"log_softmax", [](const auto& x) { return log_softmax(x); }},
      {"logsumexp", [](const auto& x) { return logsumexp(x); }},
      {"norm", [](const auto& x) { return norm(x); }},
      {"var", [](const auto& x) { return var(x); }},
      {"sum", [](const auto& x) { return sum(x); }},
  };
  for (const auto& function : functions) {
    CAPTURE(function.first);
    const auto y = function.second(Tensor<double>({3}, {1, not_a_number, 0.5}));
    CHECK(std::isnan(y.data()[y.size() == 1 ? 0 : 1]));
  }
}

TEST_CASE_TEMPLATE("extreme values: softmax, log_softmax and logsumexp are right in every digit", T, double, float) {
  for (const auto& wide : logits) {
    const auto x = as<T>(wide);
    const std::vector<double> same(x.begin(), x.end());  // as T has them
    CAPTURE(fmt::format("{}", fmt::join(x, ", ")));
    std::vector<Real> s, log_s, others;
    for (std::size_t i = 0; i < 3; ++i) {
      s.push_back(softmax_of(same, i));
      log_s.push_back(log_softmax_of(same, i));
      others.push_back(others_of(same, i));
    }
    const auto p = run<T>([](const auto& t) { return softmax(t); }, x, {3});
    CHECK_MESSAGE(worst_ulps(p.y, s) <= 8, show(p.y));
    const auto l = run<T>([](const auto& t) { return log_softmax(t); }, x, {3}, {1, 0, 0});
    CHECK_MESSAGE(worst_ulps(l.y, log_s) <= 8, show(l.y));
    // d log s_0 / dx = onehot - s. Its first entry is a difference: relative to 1.
    CHECK(static_cast<double>(std::abs(l.dx.data()[0] - others[0])) <= 4 * std::numeric_limits<T>::epsilon());
    CHECK_MESSAGE(ulps(l.dx.data()[1], -s[1]) <= 16, show(l.dx));
    CHECK_MESSAGE(ulps(l.dx.data()[2], -s[2]) <= 16, show(l.dx));
    const auto e = run<T>([](const auto& t) { return logsumexp(t); }, x, {3});
    CHECK_MESSAGE(ulps(e.y.item(), x[0] - log_s[0]) <= 4, show(e.y));
    CHECK_MESSAGE(worst_ulps(e.dx, s) <= 8, show(e.dx));
    // Column by column gives the same as row by row, and gradients of gradients hold no NaN.
    const auto column = softmax(Tensor<T>({3, 1}, x), 0);
    CHECK(std::ranges::equal(column.span(), p.y.span()));
    const auto leaf = parameter(Tensor<T>({3}, x));
    Tape tape;
    const auto g = tape.gradient(sum(square(softmax(leaf))) + logsumexp(leaf) + sum(square(log_softmax(leaf))), {leaf},
                                 {.create_graph = true})[0];
    const auto h = tape.gradient(sum(square(g)), {leaf})[0];
    for (const T v : h.span()) CHECK(!std::isnan(v));
  }
}

TEST_CASE_TEMPLATE("extreme values: the softmax family at infinity, where the limit exists", T, double, float) {
  const T i = inf<T>;
  const auto equal_to = [](const Tensor<T>& x, const std::vector<T>& expected) {
    return std::ranges::equal(x.span(), expected, [](T a, T b) { return a == b || (std::isnan(a) && std::isnan(b)); });
  };
  const Function<T> soft = [](const auto&x) { return softmax(x); }, logs = [](const auto&x) { return log_softmax(x); },
                    lse = [](const auto&x) { return logsumexp(x); };
  auto r = run<T>(soft, {-i, 0, 0}, {3}, {3, 2, 1});
  CHECK(equal_to(r.y, {0, T(0.5), T(0.5)}));
  CHECK(equal_to(r.dx, {0, T(0.25), T(-0.25)}));
  r = run<T>(soft, {i, 0, -i}, {3}, {3, 2, 1});
  CHECK(equal_to(r.y, {1, 0, 0}));
  CHECK(equal_to(r.dx, {0, 0, 0}));
  r = run<T>(logs, {-i, 0, 0}, {3}, {0, 1, 0});
  CHECK(equal_to(r.y, {-i, std::log(T(0.5)), std::log(T(0.5))}));
  CHECK(equal_to(r.dx, {0, T(0.5), T(-0.5)}));
  r = run<T>(logs, {i, 0, 1}, {3}, {1, 0, 0});
  CHECK(equal_to(r.y, {0, -i, -i}));
  CHECK(equal_to(r.dx, {0, 0, 0}));
  r = run<T>(lse, {-i, 0, 0}, {3});
  CHECK(equal_to(r.y, {std::log(T(2))}));
  CHECK(equal_to(r.dx, {0, T(0.5), T(0.5)}));
  CHECK(equal_to(run<T>(lse, {-i, -i}, {2}).y, {-i}));
  r = run<T>(lse, {i, 0}, {2});
  CHECK(equal_to(r.y, {i}));
  CHECK(equal_to(r.dx, {1, 0}));
  CHECK(equal_to(run<T>(lse, {i, i}, {2}).y, {i}));
  // Of two infinities, or of none but -inf, softmax has no limit: NaN, not a wrong number.
  CHECK(std::isnan(run<T>(soft, {i, i}, {2}).y.data()[0]));
  CHECK(std::isnan(run<T>(soft, {-i, -i}, {2}).y.data()[0]));
  // Along any axis, over several axes too.
  const Tensor<T> x({2, 2}, {-i, 0, 0, 0});
  CHECK(equal_to(softmax(x, 0), {0, T(0.5), 1, T(0.5)}));
  CHECK(ulps(logsumexp(x, {0, 1}).item(), std::log(3.0L)) <= 2);
}

TEST_CASE_TEMPLATE("extreme values: cross_entropy is right in every digit", T, double, float) {
  for (const auto& wide : logits)
    for (std::size_t label = 0; label < 3; ++label) {
      const auto x = as<T>(wide);
      const std::vector<double> same(x.begin(), x.end());
      CAPTURE(fmt::format("{}; label {}", fmt::join(x, ", "), label));
      const std::vector<std::size_t> labels{label};
      const auto r = run<T>([&](const auto& t) { return cross_entropy(t, labels); }, x, {1, 3});
      CHECK_MESSAGE(ulps(r.y.item(), -log_softmax_of(same, label)) <= 8, show(r.y));
      std::vector<Real> dx;
      for (std::size_t i = 0; i < 3; ++i) dx.push_back(i == label ? -others_of(same, i) : softmax_of(same, i));
      CHECK_MESSAGE(worst_ulps(r.dx, dx) <= 16, show(r.dx));
    }
  const std::vector<int> second{1};
  const T i = inf<T>;
  const auto masked = run<T>([&](const auto& t) { return cross_entropy(t, second); }, {-i, 0, 0}, {1, 3});
  CHECK(masked.y.item() == doctest::Approx(std::log(2.0)));
  CHECK(masked.dx.data()[0] == 0);
  CHECK(masked.dx.data()[1] == doctest::Approx(-0.5));
  CHECK(run<T>([&](const auto& t) { return cross_entropy(t, second); }, {0, -i, 0}, {1, 3}).y.item() == i);
  const auto sure = run<T>([&](const auto& t) { return cross_entropy(t, second); }, {0, i, 0}, {1, 3});
  CHECK(sure.y.item() == 0);
  for (const T v : sure.dx.span()) CHECK(v == 0);
}

TEST_CASE_TEMPLATE("extreme values: binary_cross_entropy_with_logits is right in every digit", T, double, float) {
  for (const double wide : {1e4, 745.0, 100.0, 40.0, 17.0, 1.0, 1e-3, 1e-30, 0.0})
    for (const double sign : {1.0, -1.0})
      for (const double target : {0.0, 1.0, 0.25}) {
        const auto x = static_cast<T>(sign * wide);
        CAPTURE(x);
        CAPTURE(target);
        const auto r = run<T>([&](const auto& t) { return binary_cross_entropy_with_logits(t, target); }, {x}, {1});
        const Real z = x, t = target;
        // softplus(z) - t z = t softplus(-z) + (1 - t) softplus(z), of which nothing cancels.
        const Real loss = t * softplus_of(-z) + (1 - t) * softplus_of(z);
        const Real slope = (1 - t) * sigmoid_of(z) - t * sigmoid_of(-z);
        CHECK_MESSAGE(ulps(r.y.item(), loss) <= 8, show(r.y));
        const double allowed = target == 0.25 ? 4 * std::numeric_limits<T>::epsilon() : 0;
        CHECK_MESSAGE((ulps(r.dx.item(), slope) <= 8 || std::abs(r.dx.item() - slope) <= allowed), show(r.dx));
      }
  const T i = inf<T>;
  const auto at = [](T x, double target) {
    return run<T>([&](const auto& t) { return binary_cross_entropy_with_logits(t, target); }, {x}, {1});
  };
  CHECK(at(i, 1).y.item() == 0);
  CHECK(at(-i, 0).y.item() == 0);
  CHECK(at(i, 0).y.item() == i);
  CHECK(at(-i, 1).y.item() == i);
  CHECK(at(i, 1).dx.item() == 0);
  CHECK(at(-i, 0).dx.item() == 0);
  CHECK(at(i, 0).dx.item() == 1);
  CHECK(at(-i, 1).dx.item() == -1);
}
