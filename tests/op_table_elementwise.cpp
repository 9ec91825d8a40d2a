// Rows of the elementwise ops.
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "erfinv_reference.hpp"
#include "op_table_reference.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

// From one number to more than two SIMD batches of float, and none at all.
const std::vector<std::vector<Shape>> single_shapes{{{2, 3}}, {{}}, {{1}}, {{19}}, {{2, 1, 2}}, {{0, 3}}};

template <class F, class R>
Row unary(std::string name, Domain domain, F f, R reference, std::vector<std::string> helpers = {}) {
  return {.name = std::move(name),
          .domains = {std::move(domain)},
          .cases = {{[f](const auto& x) { return f(x[0]); }, each(reference), single_shapes}},
          .flags = elementwise,
          .helpers = std::move(helpers)};
}

// What stands for "an xtensor expression" beside a tensor of shape (..., 3), and its elements.
auto expression() { return xt::xarray<double>{0.375, 0.625, 0.375} * 2.0; }
const Array beside_array{{3}, {0.75L, 1.25L, 0.75L}};

// An op of two operands: two tensors, or a tensor and a number or an expression on either side.
template <class F, class R>
Row binary(std::string name, std::vector<Domain> domains, unsigned flags, F f, R reference,
           std::vector<std::string> helpers = {}) {
  const std::vector<std::vector<Shape>> with_expression{{{2, 3}}, {{3}}, {{2, 1}}, {{}}, {{0, 3}}};
  const auto both = each(reference);
  return {
      .name = std::move(name),
      .domains = std::move(domains),
      .cases = {{[f](const auto& x) { return f(x[0], x[1]); },
                 both,
                 {{{2, 3}, {2, 3}},
                  {{2, 3}, {3}},
                  {{3}, {2, 3}},
                  {{2, 1}, {3}},
                  {{2, 1, 3}, {2, 1}},
                  {{}, {2, 2}},
                  {{2, 2}, {}},
                  {{}, {}},
                  {{1}, {4}},
                  {{1}, {}},
                  {{2, 19}, {19}},
                  {{0, 3}, {3}},
                  {{1}, {0}}}},
                {[f](const auto& x) { return f(x[0], 0.75); }, each([=](Real a) { return reference(a, 0.75L); }),
                 single_shapes},
                {[f](const auto& x) { return f(1.25, x[0]); }, each([=](Real b) { return reference(1.25L, b); }),
                 single_shapes},
                {[f](const auto& x) { return f(2, x[0]); }, each([=](Real b) { return reference(2, b); }), {{{2, 2}}}},
                {[f](const auto& x) { return f(x[0], 1); }, each([=](Real a) { return reference(a, 1); }), {{{2, 2}}}},
                {[f](const auto& x) { return f(x[0], expression()); },
                 [both](const Arrays& x) {
                   return both({x[0], beside_array});
                 },
                 with_expression},
                {[f](const auto& x) { return f(expression(), x[0]); },
                 [both](const Arrays& x) {
                   return both({beside_array, x[0]});
                 },
                 with_expression},
                {[f](const auto& x) { return f(x[0], xt::xarray<double>(expression())); },
                 [both](const Arrays& x) {
                   return both({x[0], beside_array});
                 },
                 {{{2, 3}}}}},
      .flags = flags | elementwise | broadcasting,
      .helpers = std::move(helpers),
      .refused = {{[f](const auto& x) { return f(x[0], x[1]); }, {{2, 3}, {4}}},
                  {[f](const auto& x) { return f(x[0], x[1]); }, {{2, 3}, {2, 3, 1}}},
                  {[f](const auto& x) { return f(x[0], x[1]); }, {{3}, {0}}},
                  {[f](const auto& x) { return f(x[0], expression()); }, {{2, 2}}}}};
}

// An op that is 1 where something holds and else 0.
template <class F, class R> Row comparison(std::string name, F f, R holds) {
  const auto reference = [holds](Real a, Real b) -> Real { return holds(a, b); };
  return {.name = std::move(name),
          .cases =
              {{[f](const auto& x) { return f(x[0], x[1]); }, each(reference), {{{2, 3}, {3}}, {{}, {19}}, {{0}, {0}}}},
               {[f](const auto& x) { return f(x[0], 0.5) + 2 * f(0.5, x[0]) + 4 * f(x[0], x[0]); },
                each([reference](Real a) { return reference(a, 0.5L) + 2 * reference(0.5L, a) + 4 * reference(a, a); }),
                {{{19}}}},
               {[f](const auto& x) { return f(expression(), x[0]); },
                [reference](const Arrays& x) {
                  return each(reference)({beside_array, x[0]});
                },
                {{{2, 3}}}}},
          .flags = elementwise | broadcasting | not_differentiable,
          .refused = {{[f](const auto& x) { return f(x[0], x[1]); }, {{2, 3}, {2}}}}};
}

// Fixed conditions, and their elements.
const xt::xarray<bool> pattern{{true, false, true}, {false, false, true}};
const Array pattern_array{{2, 3}, {1, 0, 1, 0, 0, 1}};

}  // namespace

std::vector<Row> arithmetic_rows() {
  const Domain positive{.low = 0.6, .high = 2.5}, not_zero{.low = -2.5, .high = 2.5, .kinks = {0}, .margin = 0.8};
  const Domain off_axes{.low = -2, .high = 2, .kinks = {0}, .margin = 0.6};
  const Domain no_tie{.low = -1, .high = 3, .kinks = {0.75, 1, 1.25, 2}, .margin = 0.02};
  std::vector<Row> rows{
      binary(
          "add", {{}}, linear, [](auto&& a, auto&& b) { return a + b; }, [](Real a, Real b) { return a + b; }),
      binary(
          "subtract", {{}}, linear, [](auto&& a, auto&& b) { return a - b; }, [](Real a, Real b) { return a - b; }),
      binary(
          "multiply", {{}}, none, [](auto&& a, auto&& b) { return a * b; }, [](Real a, Real b) { return a * b; }),
      binary(
          "divide", {not_zero}, none, [](auto&& a, auto&& b) { return a / b; }, [](Real a, Real b) { return a / b; }),
      binary(
          "pow", {positive}, none, [](auto&& a, auto&& b) { return pow(a, b); },
          [](Real a, Real b) { return std::pow(a, b); }),
      binary(
          "maximum", {no_tie}, none, [](auto&& a, auto&& b) { return maximum(a, b); },
          [](Real a, Real b) { return std::max(a, b); }),
      binary(
          "minimum", {no_tie}, none, [](auto&& a, auto&& b) { return minimum(a, b); },
          [](Real a, Real b) { return std::min(a, b); }),
      binary(
          "atan2", {off_axes}, none, [](auto&& a, auto&& b) { return atan2(a, b); },
          [](Real a, Real b) { return std::atan2(a, b); }, {"cosine", "cosine_by_radius"}),
      binary(
          "hypot", {off_axes}, none, [](auto&& a, auto&& b) { return hypot(a, b); },
          [](Real a, Real b) { return std::hypot(a, b); }, {"cosine"}),
      binary(
          "logaddexp", {{.low = -3, .high = 3}}, none, [](auto&& a, auto&& b) { return logaddexp(a, b); },
          [](Real a, Real b) { return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b))); }),
      {.name = "pow of a negative base",
       .domains = {not_zero},
       .cases = {{[](const auto& x) { return pow(x[0], 3); }, each([](Real a) { return a * a * a; }), single_shapes},
                 {[](const auto& x) { return pow(x[0], 2); }, each([](Real a) { return a * a; }), {{{2, 3}}}},
                 {[](const auto& x) { return pow(x[0], 1); }, each([](Real a) { return a; }), {{{2, 3}}}},
                 {[](const auto& x) { return pow(x[0], 0); }, each([](Real) { return 1; }), {{{2, 3}}}},
                 {[](const auto& x) { return pow(x[0], 5); },
                  each([](Real a) { return a * a * a * a * a; }),
                  {{{2, 3}}}},
                 {[](const auto& x) { return pow(x[0], -1); }, each([](Real a) { return 1 / a; }), {{{2, 3}}}},
                 {[](const auto& x) { return pow(x[0], -2); }, each([](Real a) { return 1 / (a * a); }), {{{2, 3}}}}},
       .flags = elementwise,
       .records = {"pow"}},
      {.name = "where",
       .domains = {{.low = -2, .high = 2, .kinks = {0}}},
       .cases = {{[](const auto& x) { return where(pattern, x[0], x[1]); },
                  [](const Arrays& x) {
                    return each([](Real c, Real a, Real b) { return c != 0 ? a : b; })({pattern_array, x[0], x[1]});
                  },
                  {{{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{}, {2, 1}}, {{}, {}}, {{4, 1, 1}, {1}}, {{0, 2, 3}, {3}}}},
                 {[](const auto& x) { return where(pattern, 0.5, x[0]) + select(pattern, x[0], 2); },
                  [](const Arrays& x) {
                    return each([](Real c, Real a) { return c != 0 ? 0.5L + a : a + 2; })({pattern_array, x[0]});
                  },
                  {{{2, 3}}, {{3}}, {{}}}},
                 {[](const auto& x) { return where(x[0] > 0, x[0], x[1]); },
                  each([](Real a, Real b) { return a > 0 ? a : b; }),
                  {{{19}, {19}}, {{2, 1}, {3}}, {{0}, {1}}}}},
       .flags = broadcasting,
       .records = {"where", "add"},
       .refused = {{[](const auto& x) { return where(x[0], x[1], x[2]); }, {{2, 3}, {4}, {1}}},
                   {[](const auto& x) { return where(x[0], x[1], 0); }, {{2, 3}, {3, 2}}}}},
  };
  rows.push_back(comparison(
      "less", [](auto&& a, auto&& b) { return a < b; }, [](Real a, Real b) { return a < b; }));
  rows.push_back(comparison(
      "less_equal", [](auto&& a, auto&& b) { return a <= b; }, [](Real a, Real b) { return a <= b; }));
  rows.push_back(comparison(
      "greater", [](auto&& a, auto&& b) { return a > b; }, [](Real a, Real b) { return a > b; }));
  rows.push_back(comparison(
      "greater_equal", [](auto&& a, auto&& b) { return a >= b; }, [](Real a, Real b) { return a >= b; }));
  rows.push_back(comparison(
      "equal", [](auto&& a, auto&& b) { return equal(a, b); }, [](Real a, Real b) { return a == b; }));
  rows.push_back(comparison(
      "not_equal", [](auto&& a, auto&& b) { return not_equal(a, b); }, [](Real a, Real b) { return a != b; }));
  return rows;
}

std::vector<Row> elementwise_rows() {
  const Domain off_zero{.low = -2, .high = 2, .kinks = {0}};
  std::vector<Row> rows{
      unary(
          "negate", {}, [](const auto& x) { return -x; }, [](Real x) { return -x; }),
      unary(
          "positive", {}, [](const auto& x) { return +x; }, [](Real x) { return x; }),
      unary(
          "square", {}, [](const auto& x) { return square(x); }, [](Real x) { return x * x; }),
      unary(
          "sqrt", {.low = 0.4, .high = 4}, [](const auto& x) { return sqrt(x); }, [](Real x) { return std::sqrt(x); }),
      unary(
          "abs", off_zero, [](const auto& x) { return abs(x); }, [](Real x) { return std::abs(x); }),
      unary(
          "sign", off_zero, [](const auto& x) { return sign(x); }, [](Real x) -> Real { return x > 0 ? 1 : -1; }),
      unary(
          "exp", {}, [](const auto& x) { return exp(x); }, [](Real x) { return std::exp(x); }),
      unary(
          "expm1", {}, [](const auto& x) { return expm1(x); }, [](Real x) { return std::expm1(x); }),
      unary(
          "log", {.low = 0.4, .high = 4}, [](const auto& x) { return log(x); }, [](Real x) { return std::log(x); }),
      unary(
          "log1p", {.low = -0.6, .high = 3}, [](const auto& x) { return log1p(x); },
          [](Real x) { return std::log1p(x); }),
      unary(
          "sin", {.low = -3, .high = 3}, [](const auto& x) { return sin(x); }, [](Real x) { return std::sin(x); }),
      unary(
          "cos", {.low = -3, .high = 3}, [](const auto& x) { return cos(x); }, [](Real x) { return std::cos(x); }),
      unary(
          "tanh", {.low = -3, .high = 3}, [](const auto& x) { return tanh(x); }, [](Real x) { return std::tanh(x); }),
      unary(
          "sech_squared", {.low = -3, .high = 3}, [](const auto& x) { return sech_squared(x); },
          [](Real x) { return 1 / (std::cosh(x) * std::cosh(x)); }),
      unary(
          "sigmoid", {.low = -4, .high = 4}, [](const auto& x) { return sigmoid(x); },
          [](Real x) { return 1 / (1 + std::exp(-x)); }),
      unary(
          "softplus", {.low = -4, .high = 4}, [](const auto& x) { return softplus(x); },
          [](Real x) { return log1p_exp(x); }),
      unary(
          "relu", off_zero, [](const auto& x) { return relu(x); }, [](Real x) { return std::max(x, 0.0L); }),
      unary(
          "leaky_relu", off_zero, [](const auto& x) { return leaky_relu(x, 0.25); },
          [](Real x) { return x > 0 ? x : x / 4; }),
      unary(
          "elu", off_zero, [](const auto& x) { return elu(x, 1.5); },
          [](Real x) { return x > 0 ? x : 1.5L * std::expm1(x); }),
      unary(
          "gelu", {.low = -3, .high = 3}, [](const auto& x) { return gelu(x); },
          [](Real x) { return x / 2 * std::erfc(-x / std::sqrt(2.0L)); }),
      unary(
          "gelu_tanh", {.low = -3, .high = 3}, [](const auto& x) { return gelu_tanh(x); },
          [](Real x) {
            return x / 2 *
                   (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846264338327950288L) * (x + 0.044715L * x * x * x)));
          }),
      unary(
          "silu", {.low = -4, .high = 4}, [](const auto& x) { return silu(x); },
          [](Real x) { return x / (1 + std::exp(-x)); }),
      unary(
          "erf", {}, [](const auto& x) { return erf(x); }, [](Real x) { return std::erf(x); }),
      unary(
          "erfc", {}, [](const auto& x) { return erfc(x); }, [](Real x) { return std::erfc(x); }),
      unary(
          "clip", {.low = -2, .high = 2, .kinks = {-0.75, 1.25}}, [](const auto& x) { return clip(x, -0.75, 1.25); },
          [](Real x) { return std::clamp(x, -0.75L, 1.25L); }),
      unary(
          "tan", {.low = -1.1, .high = 1.1}, [](const auto& x) { return tan(x); }, [](Real x) { return std::tan(x); }),
      unary(
          "asin", {.low = -0.6, .high = 0.6}, [](const auto& x) { return asin(x); },
          [](Real x) { return std::asin(x); }, {"one_minus_square"}),
      unary(
          "acos", {.low = -0.6, .high = 0.6}, [](const auto& x) { return acos(x); },
          [](Real x) { return std::acos(x); }, {"one_minus_square"}),
      unary(
          "atan", {}, [](const auto& x) { return atan(x); }, [](Real x) { return std::atan(x); }, {"atan_slope"}),
      unary(
          "sinh", {}, [](const auto& x) { return sinh(x); }, [](Real x) { return std::sinh(x); }),
      unary(
          "cosh", {}, [](const auto& x) { return cosh(x); }, [](Real x) { return std::cosh(x); }),
      unary(
          "asinh", {}, [](const auto& x) { return asinh(x); }, [](Real x) { return std::asinh(x); }, {"cosine"}),
      unary(
          "acosh", {.low = 1.5, .high = 4}, [](const auto& x) { return acosh(x); },
          [](Real x) { return std::acosh(x); }),
      unary(
          "atanh", {.low = -0.7, .high = 0.7}, [](const auto& x) { return atanh(x); },
          [](Real x) { return std::atanh(x); }, {"one_minus_square"}),
      unary(
          "exp2", {}, [](const auto& x) { return exp2(x); }, [](Real x) { return std::exp2(x); }),
      unary(
          "log2", {.low = 0.4, .high = 4}, [](const auto& x) { return log2(x); }, [](Real x) { return std::log2(x); }),
      unary(
          "log10", {.low = 0.4, .high = 4}, [](const auto& x) { return log10(x); },
          [](Real x) { return std::log10(x); }),
      unary(
          "cbrt", {.low = -2, .high = 2, .kinks = {0}, .margin = 0.5}, [](const auto& x) { return cbrt(x); },
          [](Real x) { return std::cbrt(x); }),
      unary(
          "reciprocal", {.low = -2.5, .high = 2.5, .kinks = {0}, .margin = 0.8},
          [](const auto& x) { return reciprocal(x); }, [](Real x) { return 1 / x; }),
      unary(
          "floor", {.low = -1.9, .high = 1.9, .kinks = {-1, 0, 1}}, [](const auto& x) { return floor(x); },
          [](Real x) { return std::floor(x); }),
      unary(
          "ceil", {.low = -1.9, .high = 1.9, .kinks = {-1, 0, 1}}, [](const auto& x) { return ceil(x); },
          [](Real x) { return std::ceil(x); }),
      unary(
          "round", {.low = -2, .high = 2, .kinks = {-1.5, -0.5, 0.5, 1.5}}, [](const auto& x) { return round(x); },
          [](Real x) { return std::round(x); }),
      unary(
          "log_sigmoid", {.low = -4, .high = 4}, [](const auto& x) { return log_sigmoid(x); },
          [](Real x) { return -log1p_exp(-x); }),
      unary(
          "softsign", off_zero, [](const auto& x) { return softsign(x); },
          [](Real x) { return x / (1 + std::abs(x)); }),
      unary("erfinv", {.low = -0.7, .high = 0.7}, [](const auto& x) { return erfinv(x); }, erfinv_of<Real>,
            {"erfinv_slope"}),
      {.name = "map",
       .domains = {{.low = -1.5, .high = 1.5}},
       .cases =
           {{[](const auto& x) {
               return map([](auto a, auto w, auto b) { return sigmoid(a * w + b) * tanh(a) - 0.5 / (2 + b); }, x[0],
                          x[1], x[2]);
             },
             each([](Real a, Real w, Real b) { return std::tanh(a) / (1 + std::exp(-(a * w + b))) - 0.5L / (2 + b); }),
             {{{2, 3}, {2, 3}, {2, 3}}, {{2, 3}, {3}, {2, 1}}, {{}, {3}, {1}}, {{19}, {1}, {}}, {{0, 3}, {3}, {}}}},
            {[](const auto& x) { return map([](auto a) { return exp(-square(a)) + pow(a + 2, 1.5); }, x[0]); },
             each([](Real a) { return std::exp(-a * a) + std::pow(a + 2, 1.5L); }), single_shapes}},
       .flags = elementwise | broadcasting,
       .refused = {{[](const auto& x) { return map([](auto a, auto b) { return a * b; }, x[0], x[1]); },
                    {{2, 3}, {4}}}},
       .no_third_order = "map has first and second derivatives only, and says so"},
  };
  return rows;
}

}  // namespace xtape::test
