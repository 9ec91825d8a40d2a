// Elementwise ops of one to three tensors. Where a function has a limited domain, the program keeps inside by
// construction: log of |x| + 0.1, say.
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "../erfinv_reference.hpp"
#include "program.hpp"

namespace xtape::test {
namespace {

Jet sigmoid_of(const Jet& x) { return x.value > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
Jet softplus_of(const Jet& x) { return x.value > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
Jet tanh_of(const Jet& x) { return expm1(2 * x) / (exp(2 * x) + 1); }
Jet sinh_of(const Jet& x) { return (exp(x) - exp(-x)) / 2; }
Jet cosh_of(const Jet& x) { return (exp(x) + exp(-x)) / 2; }
Jet asinh_of(const Jet& x) { return x.value < 0 ? -asinh_of(-x) : log(x + sqrt(x * x + 1)); }
Jet erfinv_of_jet(const Jet& x) {
  const long double y = erfinv_of(x.value), slope = erfinv_slope_at(y);
  return chain(x, y, slope, 2 * y * slope * slope);
}
// Distance to the nearest whole number.
long double to_whole(long double x) { return std::abs(x - std::round(x)); }
Jet zero_of_slope(const Jet& x, Jet below) { return less(0, x) ? x : below; }

// f(x). `text`: with {} for x.
template <class F, class R> Entry unary(const char* name, const char* text, F f, R reference) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.any();
            return step(
                {x}, fmt::format(fmt::runtime(text), Draw::name(x)), [f](const auto& t) { return f(t[0]); },
                each<Jet>(reference));
          }};
}
// f(x, number), the number in a range.
template <class F, class R>
Entry with_number(const char* name, const char* text, double low, double high, F f, R reference) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.any();
            const double c = draw.number(low, high);
            return step(
                {x}, fmt::format(fmt::runtime(text), Draw::name(x), c), [f, c](const auto& t) { return f(t[0], c); },
                each<Jet>([reference, c](const Jet& v) { return reference(v, c); }));
          }};
}
template <class F, class R> Entry binary(const char* name, const char* text, F f, R reference) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.any(), y = draw.broadcastable(draw.shape(x));
            return step(
                {x, y}, fmt::format(fmt::runtime(text), Draw::name(x), Draw::name(y)),
                [f](const auto& t) { return f(t[0], t[1]); }, each<Jet>(reference));
          }};
}
// Three tensors that broadcast together: the third with the shape of the first two.
template <class F, class R> Entry ternary(const char* name, const char* text, F f, R reference) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.any(), y = draw.broadcastable(draw.shape(x));
            const std::size_t z = draw.broadcastable(joined_shape<Jet>({{draw.shape(x), {}}, {draw.shape(y), {}}}));
            return step(
                {x, y, z}, fmt::format(fmt::runtime(text), Draw::name(x), Draw::name(y), Draw::name(z)),
                [f](const auto& t) { return f(t[0], t[1], t[2]); }, each<Jet>(reference));
          }};
}

}  // namespace

std::vector<Entry> elementwise_entries() {
  using std::numbers::sqrt2_v;
  constexpr long double ln2 = std::numbers::ln2_v<long double>, ln10 = std::numbers::ln10_v<long double>,
                        pi = std::numbers::pi_v<long double>;
  return {
      unary(
          "negative", "-{}", [](const auto& x) { return -x; }, [](const Jet& x) { return -x; }),
      unary(
          "positive", "+{}", [](const auto& x) { return +x; }, [](const Jet& x) { return x; }),
      unary(
          "square", "square({})", [](const auto& x) { return square(x); }, [](const Jet& x) { return x * x; }),
      unary(
          "sqrt", "sqrt(square({}) + 0.3)", [](const auto& x) { return sqrt(square(x) + 0.3); },
          [](const Jet& x) { return sqrt(x * x + 0.3); }),
      unary(
          "abs", "abs({})", [](const auto& x) { return abs(x); }, [](const Jet& x) { return abs(x); }),
      unary(
          "sign", "sign({})", [](const auto& x) { return sign(x); },
          [](const Jet& x) { return less(x, 0)   ? Jet(-1)
                                    : less(0, x) ? Jet(1)
                                                 : Jet(0); }),
      unary(
          "exp", "exp({})", [](const auto& x) { return exp(x); }, [](const Jet& x) { return exp(x); }),
      unary(
          "expm1", "expm1({})", [](const auto& x) { return expm1(x); }, [](const Jet& x) { return expm1(x); }),
      unary(
          "log", "log(abs({}) + 0.1)", [](const auto& x) { return log(abs(x) + 0.1); },
          [](const Jet& x) { return log(abs(x) + 0.1); }),
      unary(
          "log1p", "log1p(square({}))", [](const auto& x) { return log1p(square(x)); },
          [](const Jet& x) { return log1p(x * x); }),
      unary(
          "sin", "sin({})", [](const auto& x) { return sin(x); }, [](const Jet& x) { return sin(x); }),
      unary(
          "cos", "cos({})", [](const auto& x) { return cos(x); }, [](const Jet& x) { return cos(x); }),
      unary(
          "tan", "tan(sin({}))", [](const auto& x) { return tan(sin(x)); },
          [](const Jet& x) { return sin(sin(x)) / cos(sin(x)); }),
      unary(
          "asin", "asin(0.9 * sin({}))", [](const auto& x) { return asin(0.9 * sin(x)); },
          [](const Jet& x) { return asin(0.9 * sin(x)); }),
      unary(
          "acos", "acos(0.9 * sin({}))", [](const auto& x) { return acos(0.9 * sin(x)); },
          [](const Jet& x) { return pi / 2 - asin(0.9 * sin(x)); }),
      unary(
          "atan", "atan({})", [](const auto& x) { return atan(x); }, [](const Jet& x) { return atan(x); }),
      unary(
          "sinh", "sinh({})", [](const auto& x) { return sinh(x); }, sinh_of),
      unary(
          "cosh", "cosh({})", [](const auto& x) { return cosh(x); }, cosh_of),
      unary(
          "asinh", "asinh({})", [](const auto& x) { return asinh(x); }, asinh_of),
      unary(
          "acosh", "acosh(square({}) + 1.3)", [](const auto& x) { return acosh(square(x) + 1.3); },
          [](const Jet& x) {
            const Jet y = x * x + 1.3;
            return log(y + sqrt(y * y - 1));
          }),
      unary(
          "atanh", "atanh(0.9 * sin({}))", [](const auto& x) { return atanh(0.9 * sin(x)); },
          [](const Jet& x) { return (log1p(0.9 * sin(x)) - log1p(-0.9 * sin(x))) / 2; }),
      unary(
          "exp2", "exp2({})", [](const auto& x) { return exp2(x); }, [](const Jet& x) { return exp(ln2 * x); }),
      unary(
          "log2", "log2(abs({}) + 0.1)", [](const auto& x) { return log2(abs(x) + 0.1); },
          [](const Jet& x) { return log(abs(x) + 0.1) / ln2; }),
      unary(
          "log10", "log10(abs({}) + 0.1)", [](const auto& x) { return log10(abs(x) + 0.1); },
          [](const Jet& x) { return log(abs(x) + 0.1) / ln10; }),
      unary(
          "cbrt", "cbrt({} + 0.5)", [](const auto& x) { return cbrt(x + 0.5); },
          [](const Jet& x) {
            const Jet y = x + 0.5;
            return less(y, 0) ? -pow(-y, 1 / 3.0L) : pow(y, 1 / 3.0L);
          }),
      unary(
          "reciprocal", "reciprocal(square({}) + 0.4)", [](const auto& x) { return reciprocal(square(x) + 0.4); },
          [](const Jet& x) { return pow(x * x + 0.4, -1); }),
      unary(
          "floor", "floor({} + 0.3)", [](const auto& x) { return floor(x + 0.3); },
          [](const Jet& x) { return steps(x, std::floor(x.value + 0.3), to_whole(x.value + 0.3)); }),
      unary(
          "ceil", "ceil({} + 0.3)", [](const auto& x) { return ceil(x + 0.3); },
          [](const Jet& x) { return steps(x, std::ceil(x.value + 0.3), to_whole(x.value + 0.3)); }),
      unary(
          "round", "round({} + 0.3)", [](const auto& x) { return round(x + 0.3); },
          [](const Jet& x) { return steps(x, std::floor(x.value + 0.8), to_whole(x.value + 0.8)); }),
      unary(
          "log_sigmoid", "log_sigmoid({})", [](const auto& x) { return log_sigmoid(x); },
          [](const Jet& x) { return -softplus_of(-x); }),
      unary(
          "softsign", "softsign({})", [](const auto& x) { return softsign(x); },
          [](const Jet& x) { return x / (1 + abs(x)); }),
      unary(
          "tanh", "tanh({})", [](const auto& x) { return tanh(x); }, tanh_of),
      unary(
          "sech_squared", "sech_squared({})", [](const auto& x) { return sech_squared(x); },
          [](const Jet& x) {
            const Jet c = exp(x) + exp(-x);
            return 4 / (c * c);
          }),
      unary(
          "sigmoid", "sigmoid({})", [](const auto& x) { return sigmoid(x); }, sigmoid_of),
      unary(
          "softplus", "softplus({})", [](const auto& x) { return softplus(x); }, softplus_of),
      unary(
          "relu", "relu({})", [](const auto& x) { return relu(x); }, [](const Jet& x) { return zero_of_slope(x, 0); }),
      with_number(
          "leaky_relu", "leaky_relu({}, {})", 0.01, 0.5, [](const auto& x, double c) { return leaky_relu(x, c); },
          [](const Jet& x, double c) { return zero_of_slope(x, c * x); }),
      with_number(
          "elu", "elu({}, {})", 0.5, 2, [](const auto& x, double c) { return elu(x, c); },
          [](const Jet& x, double c) { return zero_of_slope(x, c * expm1(x)); }),
      unary(
          "gelu", "gelu({})", [](const auto& x) { return gelu(x); },
          [](const Jet& x) { return 0.5L * x * (1 + erf(x / sqrt2_v<long double>)); }),
      unary(
          "gelu_tanh", "gelu_tanh({})", [](const auto& x) { return gelu_tanh(x); },
          [](const Jet& x) { return x * sigmoid_of(2 * std::sqrt(2 / pi) * (x + 0.044715L * x * x * x)); }),
      unary(
          "silu", "silu({})", [](const auto& x) { return silu(x); }, [](const Jet& x) { return x * sigmoid_of(x); }),
      unary(
          "erf", "erf({})", [](const auto& x) { return erf(x); }, [](const Jet& x) { return erf(x); }),
      unary(
          "erfc", "erfc({})", [](const auto& x) { return erfc(x); }, [](const Jet& x) { return 1 - erf(x); }),
      with_number(
          "clip", "clip({0}, -0.5, {1})", -0.4, 1.5, [](const auto& x, double c) { return clip(x, -0.5, c); },
          [](const Jet& x, double c) { return smaller(larger(x, -0.5), c); }),

      binary(
          "add", "{} + {}", [](const auto& x, const auto& y) { return x + y; },
          [](const Jet& x, const Jet& y) { return x + y; }),
      binary(
          "subtract", "{} - {}", [](const auto& x, const auto& y) { return x - y; },
          [](const Jet& x, const Jet& y) { return x - y; }),
      binary(
          "multiply", "{} * {}", [](const auto& x, const auto& y) { return x * y; },
          [](const Jet& x, const Jet& y) { return x * y; }),
      binary(
          "divide", "{} / (abs({}) + 0.4)", [](const auto& x, const auto& y) { return x / (abs(y) + 0.4); },
          [](const Jet& x, const Jet& y) { return x / (abs(y) + 0.4); }),
      binary(
          "pow", "pow(square({}) + 0.3, {})", [](const auto& x, const auto& y) { return pow(square(x) + 0.3, y); },
          [](const Jet& x, const Jet& y) { return exp(y * log(x * x + 0.3)); }),
      binary(
          "maximum", "maximum({}, {})", [](const auto& x, const auto& y) { return maximum(x, y); }, larger),
      binary(
          "minimum", "minimum({}, {})", [](const auto& x, const auto& y) { return minimum(x, y); }, smaller),

      binary(
          "atan2", "atan2(square({}) + 0.3, {})",
          [](const auto& x, const auto& y) { return atan2(square(x) + 0.3, y); },
          [](const Jet& x, const Jet& y) { return pi / 2 - atan(y / (x * x + 0.3)); }),
      binary(
          "hypot", "hypot({}, square({}) + 0.3)",
          [](const auto& x, const auto& y) { return hypot(x, square(y) + 0.3); },
          [](const Jet& x, const Jet& y) { return sqrt(x * x + (y * y + 0.3) * (y * y + 0.3)); }),
      binary(
          "logaddexp", "logaddexp({}, {})", [](const auto& x, const auto& y) { return logaddexp(x, y); },
          [](const Jet& x, const Jet& y) { return log(exp(x) + exp(y)); }),

      with_number(
          "atan2 of a number", "atan2({1}, {0})", 0.3, 2, [](const auto& x, double c) { return atan2(c, x); },
          [](const Jet& x, double c) { return pi / 2 - atan(x / c); }),
      with_number(
          "hypot of a number", "hypot({}, {})", 0.3, 2, [](const auto& x, double c) { return hypot(x, c); },
          [](const Jet& x, double c) { return sqrt(x * x + static_cast<long double>(c) * c); }),
      with_number(
          "logaddexp of a number", "logaddexp({1}, {0})", -2, 2,
          [](const auto& x, double c) { return logaddexp(c, x); },
          [](const Jet& x, double c) { return log(exp(x) + exp(Jet(c))); }),
      with_number(
          "number - x", "{1} - {0}", -2, 2, [](const auto& x, double c) { return c - x; },
          [](const Jet& x, double c) { return c - x; }),
      with_number(
          "x / number", "{} / {}", 0.5, 2, [](const auto& x, double c) { return x / c; },
          [](const Jet& x, double c) { return x / c; }),
      with_number(
          "number / x", "{1} / (square({0}) + 0.4)", 0.5, 2,
          [](const auto& x, double c) { return c / (square(x) + 0.4); },
          [](const Jet& x, double c) { return c / (x * x + 0.4); }),
      with_number(
          "x^number", "pow(abs({}) + 0.2, {})", -1.5, 3, [](const auto& x, double c) { return pow(abs(x) + 0.2, c); },
          [](const Jet& x, double c) { return pow(abs(x) + 0.2, static_cast<long double>(c)); }),
      unary(
          "x^3", "pow({}, 3)", [](const auto& x) { return pow(x, 3); }, [](const Jet& x) { return x * x * x; }),
      with_number(
          "number^x", "pow({1}, {0})", 0.2, 3, [](const auto& x, double c) { return pow(c, x); },
          [](const Jet& x, double c) { return exp(x * std::log(static_cast<long double>(c))); }),
      with_number(
          "maximum of a number", "maximum({}, {})", -1, 1, [](const auto& x, double c) { return maximum(x, c); },
          [](const Jet& x, double c) { return larger(x, c); }),

      ternary(
          "where", "where({0} > {1}, {0}, {2})",
          [](const auto& x, const auto& y, const auto& z) { return where(x > y, x, z); },
          [](const Jet& x, const Jet& y, const Jet& z) { return less(y, x) ? x : z; }),
      ternary(
          "where, condition apart", "where({} <= 0.2, {}, {})",
          [](const auto& x, const auto& y, const auto& z) { return where(x <= 0.2, y, z); },
          [](const Jet& x, const Jet& y, const Jet& z) { return less(0.2, x) ? z : y; }),
      ternary(
          "map", "map([](auto x, auto y, auto z) {{ return sigmoid(x * y + z) * tanh(z) - x; }}, {}, {}, {})",
          [](const auto& a, const auto& b, const auto& c) {
            return map([](auto x, auto y, auto z) { return sigmoid(x * y + z) * tanh(z) - x; }, a, b, c);
          },
          [](const Jet& x, const Jet& y, const Jet& z) { return sigmoid_of(x * y + z) * tanh_of(z) - x; }),
      unary(
          "map of one", "map([](auto x) {{ return select(x > 0, x * exp(-x), 0.5 * x); }}, {})",
          [](const auto& a) { return map([](auto x) { return select(x > 0, x * exp(-x), 0.5 * x); }, a); },
          [](const Jet& x) { return less(0, x) ? x * exp(-x) : 0.5 * x; }),
      unary(
          "erfinv", "erfinv(0.9 * sin({}))", [](const auto& x) { return erfinv(0.9 * sin(x)); },
          [](const Jet& x) { return erfinv_of_jet(0.9 * sin(x)); }),
  };
}

}  // namespace xtape::test
