// What the ops do where mathematics leaves a choice: ties, kinks, NaN, nothing to reduce, bad parameters.
#include <xtape/error.hpp>
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/random.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>
#include <xtape/tape.hpp>

#include "policies.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

using namespace xtape;
using namespace xtape::test;

TEST_CASE("policies: of equal extrema the first in row-major order takes the whole gradient") {
  const auto maximum_of = [](const auto& x) { return max(x); };
  CHECK(is(gradient(maximum_of, vector_of({1, 3, 3, 3})), {0, 1, 0, 0}));
  CHECK(is(gradient([](const auto& x) { return min(x); }, vector_of({3, 1, 2, 1})), {0, 1, 0, 0}));
  const Tensor<double> same = full<double>({2, 2, 2}, 5);
  CHECK(is(gradient(maximum_of, same), {1, 0, 0, 0, 0, 0, 0, 0}));
  CHECK(is(gradient([](const auto& x) { return max(x, 1); }, same), {1, 1, 0, 0, 1, 1, 0, 0}));
  CHECK(is(gradient([](const auto& x) { return max(x, -1); }, same), {1, 0, 1, 0, 1, 0, 1, 0}));
  CHECK(is(gradient([](const auto& x) { return min(x, {0, 2}); }, same), {1, 0, 1, 0, 0, 0, 0, 0}));
  CHECK(argmax(vector_of({1, 3, 3})) == 1);
  CHECK(argmax(same, 1).flat(3) == 0);
  // Long enough for SIMD, with the first maximum anywhere.
  for (std::size_t first = 0; first < 40; ++first) {
    Values values(67, 1.0);
    for (std::size_t i = first; i < values.size(); i += 7) values[i] = 2;
    CHECK(gradient(maximum_of, vector_of(values)).data()[first] == 1);
    CHECK(argmax(vector_of(values)) == first);
  }
  const Tensor<double> image({1, 1, 3, 3}, {1, 2, 2, 2, 2, 1, 0, 2, 2});
  CHECK(is(gradient([](const auto& x) { return max_pool2d(x, {.window = 2, .stride = 1}); }, image, {1, 10, 100, 1000}),
           {0, 11, 0, 100, 1000, 0, 0, 0, 0}));
}

TEST_CASE("policies: of equals each side of maximum and minimum gets half the gradient") {
  const auto larger = [](const Doubles& x) { return maximum(x[0], x[1]); };
  const auto smaller = [](const Doubles& x) { return minimum(x[0], x[1]); };
  const Doubles pair{vector_of({1, 2, 3}), vector_of({1, 0, 5})};
  auto g = gradients(larger, pair);
  CHECK(is(g[0], {0.5, 1, 0}));
  CHECK(is(g[1], {0.5, 0, 1}));
  g = gradients(smaller, pair);
  CHECK(is(g[0], {0.5, 0, 1}));
  CHECK(is(g[1], {0.5, 1, 0}));
  g = gradients(larger, {vector_of({1, 1}), Tensor<double>(1.0)});
  CHECK(is(g[0], {0.5, 0.5}));
  CHECK(is(g[1], {1}));
  CHECK(is(gradient([](const auto& x) { return maximum(x, x); }, vector_of({4})), {1}));
  CHECK(is(gradient([](const auto& x) { return maximum(x, 0); }, vector_of({0, 1, -1})), {0.5, 1, 0}));
  CHECK(is(gradient([](const auto& x) { return minimum(0, x); }, vector_of({0, 1, -1})), {0.5, 0, 1}));
}

TEST_CASE("policies: slopes at kinks") {
  const auto at = vector_of({0.0, -0.0});
  CHECK(is(gradient([](const auto& x) { return relu(x); }, at), {0, 0}));
  CHECK(is(gradient([](const auto& x) { return abs(x); }, at), {0, 0}));
  CHECK(is(gradient([](const auto& x) { return sign(x); }, at), {0, 0}));
  CHECK(is(gradient([](const auto& x) { return leaky_relu(x); }, at), {0.01, 0.01}));
  CHECK(is(gradient([](const auto& x) { return elu(x, 2); }, at), {2, 2}));
  CHECK(is(gradient([](const auto& x) { return clip(x, -1, 2); }, vector_of({-1.5, -1, 0, 2, 2.5})), {0, 1, 1, 1, 0}));
  CHECK(is(clip(vector_of({-3, 0, 3}), 1, 1), {1, 1, 1}));
  CHECK(is(clip(vector_of({-3, 0, 3}), -inf, 1), {-3, 0, 1}));
  CHECK(is(sign(at), {0, 0}));
  CHECK(is(leaky_relu(vector_of({-2, 3})), {-0.02, 3}));
  CHECK(is(elu(vector_of({-1, 3})), {std::expm1(-1), 3}));
}

TEST_CASE("policies: where lets nothing through from the branch not taken") {
  const auto condition = vector_of({1, 0, 1, 0});
  const auto choose = [&](const Doubles& x) { return where(condition, x[0], x[1]); };
  const Doubles poisoned{vector_of({1, not_a_number, 2, inf}), vector_of({not_a_number, 3, -inf, 4})};
  CHECK(is(choose(poisoned), {1, 3, 2, 4}));
  auto g = gradients(choose, poisoned, {5, 6, 7, 8});
  CHECK(is(g[0], {5, 0, 7, 0}));
  CHECK(is(g[1], {0, 6, 0, 8}));
  // A NaN that comes from above reaches only the branch that was taken.
  g = gradients(choose, poisoned, {not_a_number, 6, 7, inf});
  CHECK(is(g[0], {not_a_number, 0, 7, 0}));
  CHECK(is(g[1], {0, 6, 0, inf}));
  // Broadcast: a scalar branch that is never taken.
  g = gradients([](const Doubles& x) { return where(ones<double>({3}), x[0], x[1]); },
                {vector_of({1, 2, 3}), Tensor<double>(not_a_number)});
  CHECK(is(g[0], {1, 1, 1}));
  CHECK(is(g[1], {0}));
  // The usual guard, and its second derivative.
  const auto guarded = [](const auto& x) { return where(x > 0, x * log(where(x > 0, x, 1)), 0); };
  const auto x = parameter(vector_of({0, 1, -1, 2}));
  Tape tape;
  const auto first = tape.gradient(sum(guarded(x)), {x}, {.create_graph = true})[0];
  CHECK(is(first, {0, 1, 0, std::log(2.0) + 1}));
  CHECK(is(tape.gradient(sum(first), {x})[0], {0, 1, 0, 0.5}));
  // What is not 0 is true, NaN too.
  CHECK(is(where(vector_of({0.5, -1, 0, -0.0, not_a_number}), 1, zeros<double>({5})), {1, 1, 0, 0, 1}));
}

TEST_CASE("policies: comparisons with NaN do not hold, but for not_equal") {
  const auto a = vector_of({not_a_number, not_a_number, 1}), b = vector_of({not_a_number, 1, not_a_number});
  CHECK(is(a < b, {0, 0, 0}));
  CHECK(is(a <= b, {0, 0, 0}));
  CHECK(is(a > b, {0, 0, 0}));
  CHECK(is(a >= b, {0, 0, 0}));
  CHECK(is(equal(a, b), {0, 0, 0}));
  CHECK(is(not_equal(a, b), {1, 1, 1}));
  CHECK(is(equal(vector_of({0.0, inf}), vector_of({-0.0, inf})), {1, 1}));
}

TEST_CASE("policies: NaN wins in maxima and minima, and takes the gradient") {
  const auto x = vector_of({1, not_a_number, 3, not_a_number});
  CHECK(std::isnan(max(x).item()));
  CHECK(std::isnan(min(x).item()));
  CHECK(argmax(x) == 1);
  CHECK(is(gradient([](const auto& t) { return max(t); }, x), {0, 1, 0, 0}));
  CHECK(is(gradient([](const auto& t) { return min(t); }, x), {0, 1, 0, 0}));
  const Tensor<double> table({2, 2}, {1, not_a_number, 3, 4});
  CHECK(is(max(table, 0), {3, not_a_number}));
  CHECK(is(max(table, 1), {not_a_number, 4}));
  CHECK(is(min(table, 1), {not_a_number, 3}));
  for (std::size_t at = 0; at < 40; ++at) {
    Values values(40, 1.0);
    values[at] = not_a_number;
    CHECK(std::isnan(max(vector_of(values)).item()));
    CHECK(std::isnan(min(vector_of(values)).item()));
    CHECK(argmax(vector_of(values)) == at);
  }
  const auto pooled = max_pool2d(Tensor<double>({1, 1, 2, 4}, {1, 2, 3, 4, 5, not_a_number, 7, 8}));
  CHECK(is(pooled, {not_a_number, 8}));
  // Padding never wins, not even over -inf.
  CHECK(is(max_pool2d(Tensor<double>({1, 1, 1, 2}, {-5, -inf}), {.window = {1, 3}, .stride = 2, .padding = {0, 1}}),
           {-5}));
  CHECK(is(maximum(vector_of({1, not_a_number, not_a_number}), vector_of({not_a_number, 1, not_a_number})),
           {not_a_number, not_a_number, not_a_number}));
  CHECK(is(minimum(vector_of({1, not_a_number}), vector_of({not_a_number, 1})), {not_a_number, not_a_number}));
  CHECK(std::isnan(maximum(vector_of({not_a_number}), 0).item()));
  CHECK(std::isnan(minimum(0, vector_of({not_a_number})).item()));
  CHECK(is(maximum(vector_of({-inf, inf}), vector_of({-inf, -inf})), {-inf, inf}));
  // Neither is larger: half the gradient each.
  for (const auto& f : {std::function([](const Doubles& v) { return maximum(v[0], v[1]); }),
                        std::function([](const Doubles& v) { return minimum(v[0], v[1]); })}) {
    const auto g = gradients(f, {vector_of({1, not_a_number}), vector_of({not_a_number, 1})});
    CHECK(is(g[0], {0.5, 0.5}));
    CHECK(is(g[1], {0.5, 0.5}));
  }
}

TEST_CASE("policies: gradients at NaN, and where a limit does not exist") {
  const auto at = vector_of({not_a_number, 1});
  CHECK(is(gradient([](const auto& x) { return relu(x); }, at), {0, 1}));
  CHECK(is(gradient([](const auto& x) { return leaky_relu(x, 0.25); }, at), {0.25, 1}));
  CHECK(is(gradient([](const auto& x) { return clip(x, -2, 2); }, at), {1, 1}));
  const auto lse = [](const auto& x) { return logsumexp(x); };
  CHECK(is(gradient(lse, vector_of({-inf, -inf})), {not_a_number, not_a_number}));
  CHECK(is(gradient(lse, vector_of({-inf, 0})), {0, 1}));
}

TEST_CASE("policies: the sign of 0, and a tensor without axes") {
  for (const std::size_t n : {1U, 19U}) {
    CAPTURE(n);
    const auto minus = full<double>({n}, -0.0), plus = zeros<double>({n});
    const auto minus_float = full<float>({n}, -0.0F);
    const auto negative = [](auto v) { return std::signbit(v) && v == 0; };
    CHECK(std::ranges::all_of(expm1(minus).span(), negative));
    CHECK(std::ranges::all_of(log1p(minus).span(), negative));
    CHECK(std::ranges::all_of(expm1(minus_float).span(), negative));
    CHECK(std::ranges::all_of(log1p(minus_float).span(), negative));
    CHECK(std::ranges::none_of(expm1(plus).span(), negative));
    CHECK(std::ranges::none_of(log1p(plus).span(), negative));
  }
  for (const std::ptrdiff_t start : {-1, 0, 1}) CHECK(flatten(Tensor<double>(3.0), start).shape() == Shape{1});
}

TEST_CASE("policies: reductions of nothing, and of one element") {
  const Tensor<double> nothing = zeros<double>({0}), rows = zeros<double>({2, 0});
  CHECK(sum(nothing).item() == 0);
  CHECK(std::isnan(mean(nothing).item()));
  CHECK(std::isnan(var(nothing).item()));
  CHECK(norm(nothing).item() == 0);
  CHECK(logsumexp(nothing).item() == -inf);
  CHECK(is(sum(rows, 1), {0, 0}));
  CHECK(is(logsumexp(rows, 1), {-inf, -inf}));
  CHECK(max(rows, 0).shape() == Shape{0});
  CHECK(softmax(rows, 0).shape() == Shape{2, 0});
  CHECK(is(var(Tensor<double>(3.0)), {0}));
  CHECK(std::isnan(var(vector_of({3}), all_axes, {.ddof = 1}).item()));
  CHECK(is(softmax(vector_of({-1e4})), {1}));
  CHECK(is(log_softmax(vector_of({1e4})), {0}));
  CHECK(std::isnan(mse_loss(nothing, nothing).item()));
  CHECK(sum(Tensor<double>(2.0), Axes{}).item() == 2);
  // Axes of extent 1 between reduced ones.
  const Tensor<double> x({2, 1, 3, 2}, Values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  CHECK(is(sum(x, {0, -1}), {18, 26, 34}));
  CHECK(is(gradient([](const auto& t) { return sum(t, {0, 3}); }, x, {1, 2, 3}), {1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3}));
  CHECK(is(max(x, {0, -1}), {8, 10, 12}));
}

TEST_CASE("policies: sums keep their digits") {
  // Pairwise: a plain loop over so many float numbers is off by 1e-2 and more.
  const std::size_t n = std::size_t{1} << 21;
  const auto many = full<float>({n}, 0.1F);
  const double expected = static_cast<double>(n) * static_cast<double>(0.1F);
  const auto is_close = [&](const Tensor<float>& x, double truth) {
    CHECK(std::ranges::all_of(x.span(), [=](float v) { return std::abs(v - truth) <= 1e-6 * truth; }));
  };
  is_close(sum(many), expected);
  is_close(mean(many), static_cast<double>(0.1F));
  is_close(sum(reshape(many, {-1, 2}), 0), expected / 2);
  is_close(sum(reshape(many, {2, -1, 2}), {0, 1}), expected / 2);
  is_close(sum(reshape(many, {2, -1, 2}), {0, 2}), 0.4F);
  is_close(norm(many), std::sqrt(expected * static_cast<double>(0.1F)));
}

TEST_CASE_TEMPLATE("policies: a large mean costs var and stddev no digits", T, double, float) {
  CHECK(var(vector_of({1e9, 1e9 + 1, 1e9 + 2})).item() == doctest::Approx(2.0 / 3).epsilon(1e-15));
  CHECK(var(Tensor<float>({3}, {4096, 4097, 4098})).item() == doctest::Approx(2.0 / 3).epsilon(1e-7));
  // The mean lies between two numbers of T.
  const T large = sizeof(T) == 4 ? T(1e7) : T(6e15);
  const auto x = parameter(Tensor<T>({2}, {large, large + 1}));
  Tape tape;
  const auto v = var(x), s = stddev(x);
  CHECK(v.item() == T(0.25));
  CHECK(s.item() == T(0.5));
  const auto dv = tape.gradient(v, {x}, {.create_graph = true})[0],
             ds = tape.gradient(s, {x}, {.retain_graph = true})[0];
  CHECK(std::ranges::equal(dv.span(), std::vector<T>{-0.5, 0.5}));
  for (std::size_t i = 0; i < 2; ++i) CHECK(ds.data()[i] == doctest::Approx(i ? 0.5 : -0.5).epsilon(1e-7));
  CHECK(std::ranges::equal(tape.vjp(dv, Tensor<T>({2}, {1, 0}), {x})[0].span(), std::vector<T>{0.5, -0.5}));
  for (const std::size_t n : {3U, 7U, 100U}) {
    CHECK(var(full({n}, T(0.1))).item() == 0);
    CHECK(stddev(full({n}, T(0.1))).item() == 0);
  }
}

TEST_CASE("policies: with as many degrees of freedom taken off as there are, a variance is divided by 0") {
  for (const std::size_t ddof : {std::size_t{2}, std::size_t{3}, ~std::size_t{0}}) {
    CAPTURE(ddof);
    CHECK(var(vector_of({1, 2}), all_axes, {.ddof = ddof}).item() == inf);
    CHECK(stddev(vector_of({1, 2}), all_axes, {.ddof = ddof}).item() == inf);
    CHECK(std::isnan(var(vector_of({1, 1}), all_axes, {.ddof = ddof}).item()));
    CHECK(std::isnan(stddev(vector_of({1, 1}), all_axes, {.ddof = ddof}).item()));
    CHECK(std::isnan(stddev(zeros<double>({0}), all_axes, {.ddof = ddof}).item()));
  }
}

TEST_CASE("policies: norm neither overflows nor underflows, and has gradient 0 at 0") {
  CHECK(norm(vector_of({3e200, 4e200})).item() == doctest::Approx(5e200));
  CHECK(norm(vector_of({3e-200, 4e-200})).item() == doctest::Approx(5e-200).epsilon(1e-14));
  CHECK(norm(vector_of({1, -inf})).item() == inf);
  const auto length = [](const auto& x) { return norm(x, 1); };
  CHECK(is(gradient(length, zeros<double>({2, 2})), {0, 0, 0, 0}));
  CHECK(is(gradient(length, Tensor<double>({2, 2}, {0, 0, 0, -2})), {0, 0, 0, -1}));
  const auto large = gradient(length, Tensor<double>({2, 2}, {3e200, 4e200, 3e-200, 4e-200}));
  for (std::size_t i = 0; i < 4; ++i) CHECK(large.data()[i] == doctest::Approx(i % 2 ? 0.8 : 0.6));
}

TEST_CASE("policies: powers at 0 and of negative numbers") {
  const auto power = [](const Doubles& x) { return pow(x[0], x[1]); };
  const Doubles pair{vector_of({0, 0, 2, -2, -2, 0}), vector_of({0, 2, 0, 3, 2, 1})};
  CHECK(is(power(pair), {1, 0, 1, -8, 4, 0}));
  const auto g = gradients(power, pair);
  CHECK(is(g[0], {0, 0, 0, 12, -4, 1}));
  CHECK(g[1].data()[1] == 0);  // 0^b = 0 for b > 0
  CHECK(g[1].data()[2] == std::log(2.0));
  CHECK(std::isnan(g[1].data()[3]));  // not defined for other exponents near 3
  CHECK(is(pow(vector_of({0, -0.0, 0}), vector_of({-1, -1, 0.5})), {inf, -inf, 0}));
  CHECK(is(gradient([](const auto& x) { return pow(x, 0); }, vector_of({0, -1, 2})), {0, 0, 0}));
  CHECK(is(gradient([](const auto& x) { return pow(x, 1); }, vector_of({0, -1, 2})), {1, 1, 1}));
  CHECK(is(gradient([](const auto& x) { return pow(x, 2); }, vector_of({0, -1, 2})), {0, -2, 4}));
  CHECK(is(gradient([](const auto& x) { return pow(x, -1); }, vector_of({-2, 0})), {-0.25, -inf}));
  CHECK(is(gradient([](const auto& x) { return pow(x, 0.5); }, vector_of({4, 0})), {0.25, inf}));
  CHECK(is(gradient([](const auto& x) { return pow(0, x); }, vector_of({2, 1})), {0, 0}));
  CHECK(std::isnan(pow(vector_of({-2}), 0.5).item()));
}

TEST_CASE("policies: binary_cross_entropy at certain probabilities") {
  const auto loss = [](double p, double t) { return binary_cross_entropy(vector_of({p}), t).item(); };
  CHECK(loss(0, 0) == 0);
  CHECK(loss(1, 1) == 0);
  CHECK(loss(0, 1) == inf);
  CHECK(loss(1, 0) == inf);
  CHECK(loss(1e-300, 0) == doctest::Approx(1e-300).epsilon(1e-14));
  const auto slope = [](double p, double t) {
    return gradient([t](const auto& x) { return binary_cross_entropy(x, t); }, vector_of({p})).item();
  };
  CHECK(slope(0, 0) == 1);
  CHECK(slope(1, 1) == -1);
  CHECK(slope(0.5, 1) == -2);
  CHECK(slope(0, 1) == -inf);
  CHECK(std::isnan(loss(not_a_number, 1)));
}

TEST_CASE("policies: numbers of any size as bounds, steps and extents") {
  const auto x = vector_of({0, 1, 2, 3});
  constexpr std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max(), least = -most;
  CHECK(is(slice(x, {range(1, most, most)}), {1}));
  CHECK(is(slice(x, {range(2, least, least)}), {2}));
  CHECK(is(slice(x, {range(least, most)}), {0, 1, 2, 3}));
  CHECK(is(slice(x, {range(most, least, -3)}), {3, 0}));
  CHECK(is(slice(x, {range(most, most)}), {}));
  CHECK_THROWS_AS(slice(x, {most}), const ShapeError&);
  CHECK_THROWS_AS(slice(x, {least}), const ShapeError&);
  const std::size_t huge = std::size_t{1} << 40;
  CHECK_THROWS_AS(broadcast_to(Tensor<double>(1.0), {huge, huge}), const ShapeError&);
  CHECK_THROWS_AS(reshape(x, {huge, huge, -1}), const ShapeError&);
  CHECK_THROWS_AS(max_pool2d(zeros<double>({1, 1, 4, 4}), {.window = ~std::size_t{0}}), const ShapeError&);
  CHECK_THROWS_AS(avg_pool2d(zeros<double>({1, 1, 4, 4}), {.window = ~std::size_t{0}, .padding = ~std::size_t{0} / 2}),
                  const ShapeError&);
  // Sixteen ones, and padding: the number of places in the window does not fit 64 bits.
  CHECK(is(avg_pool2d(ones<double>({1, 1, 4, 4}), {.window = huge, .padding = huge / 2}), {0x1p-76}));
  CHECK(max_pool2d(zeros<double>({1, 1, 4, 4}), {.window = 2, .stride = ~std::size_t{0}}).shape() == Shape{1, 1, 1, 1});
  // At most eight axes.
  const Tensor<double> deep = ones<double>({1, 1, 1, 1, 1, 1, 1, 1});
  CHECK_THROWS_AS(expand_dims(deep, 0), const ShapeError&);
  CHECK_THROWS_AS(stack<double>({deep, deep}), const ShapeError&);
  CHECK_THROWS_AS(Axes({0, 1, 2, 3, 4, 5, 6, 7, 8}), const ShapeError&);
  CHECK(is(sum(transpose(deep)), {1}));
}

TEST_CASE("policies: parameters out of range throw a ValueError that says which") {
  const auto x = vector_of({0.5, 2});
  CHECK(message<ValueError>([&] { clip(x, 2, 1); }) == "clip: the lower bound 2 is above the upper 1");
  CHECK(message<ValueError>([&] { clip(x, not_a_number, 1); }) == "clip: a bound is not a number: nan and 1");
  CHECK(message<ValueError>([&] { clip(x, 1, not_a_number); }) == "clip: a bound is not a number: 1 and nan");
  Rng rng(1);
  for (const double rate : {-0.1, 1.0, 1.5, not_a_number})
    CHECK(message<ValueError>([&] { dropout(x, rate, rng); }).starts_with("dropout: the rate"));
  const Tensor<double> logits = zeros<double>({2, 3});
  CHECK(message<ValueError>([&] {
          cross_entropy(logits, std::vector<int>{0, 3});
        }).starts_with("cross_entropy: label 3"));
  CHECK(message<ValueError>([&] {
          cross_entropy(logits, std::vector<int>{-1, 0});
        }).starts_with("cross_entropy: label -1"));
  CHECK(message<ValueError>([&] {
          cross_entropy(logits, std::vector<std::uint64_t>{0, ~std::uint64_t{0}});
        }).starts_with("cross_entropy: label"));
  CHECK(message<ValueError>([&] { binary_cross_entropy(x, 1); }).starts_with("binary_cross_entropy: 2"));
  CHECK(message<ValueError>([&] { binary_cross_entropy(-x, 1); }).starts_with("binary_cross_entropy: -0.5"));
  CHECK(message<ShapeError>([&] { cross_entropy(logits, std::vector<int>{0}); }) ==
        "cross_entropy: logits (n, classes) and n > 0 labels are needed, got (2, 3) and 1 labels");
}

TEST_CASE_TEMPLATE("policies: dropout", T, double, float) {
  const std::size_t n = 20000;
  const T scale = static_cast<T>(1 / (1 - 0.3));
  std::vector<T> values(n);
  std::iota(values.begin(), values.end(), T(1));
  Rng rng(5), again(5);
  const auto x = parameter(Tensor<T>({n}, values));
  Tape tape;
  const auto y = dropout(x, 0.3, rng);
  const auto dx = tape.gradient(sum(y), {x})[0];
  std::size_t kept = 0, wrong = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const T expected = y.data()[i] == 0 ? T(0) : scale;
    kept += y.data()[i] != 0;
    wrong += std::abs(dx.data()[i] - expected) > std::numeric_limits<T>::epsilon() * 2;
    wrong += std::abs(y.data()[i] - values[i] * expected) > std::numeric_limits<T>::epsilon() * 2 * values[i];
  }
  CHECK(wrong == 0);
  CHECK(std::abs(static_cast<double>(kept) / static_cast<double>(n) - 0.7) < 0.02);  // six standard deviations
  CHECK(std::ranges::equal(dropout(x, 0.3, again).span(), y.span()));
  CHECK(again.state() == rng.state());
  CHECK(!std::ranges::equal(dropout(x, 0.3, again).span(), y.span()));
  const auto before = rng.state();
  CHECK(std::ranges::equal(dropout(x, 0, rng).span(), x.span()));
  CHECK(rng.state() == before);
}

namespace {

// map of a function is that function: values, first and second derivatives, over batches and their rest.
template <class F, class G>
void map_agrees(const std::string& name, const F& in_map, const G& op, double low = 0.1, double high = 0.9) {
  CAPTURE(name);
  const auto derivatives = [&](const auto& f) {
    Values values;
    for (int i = 0; i < 19; ++i) values.push_back(low + (high - low) * i / 18);
    const auto x = parameter(vector_of(values));
    Tape tape;
    const auto y = f(x);
    const auto g = tape.gradient(sum(y * y), {x}, {.create_graph = true})[0];
    return Doubles{y, g, tape.gradient(sum(g * g), {x})[0]};
  };
  const auto a = derivatives([&](const auto&x) { return map(in_map, x); }), b = derivatives(op);
  for (std::size_t k = 0; k < 3; ++k)
    for (std::size_t i = 0; i < 19; ++i) {
      const double u = a[k].data()[i], v = b[k].data()[i];
      CHECK_MESSAGE(std::abs(u - v) <= 1e-12 * std::max(1.0, std::abs(v)), "derivative ", k, " at ", i, ": ", u,
                    " and ", v);
    }
}

}  // namespace

#define MAP_AGREES(expression, ...)                   \
  map_agrees(                                         \
      #expression, [](auto x) { return expression; }, \
      [](const Tensor<double>& x) { return expression; } __VA_OPT__(, ) __VA_ARGS__)

TEST_CASE("policies: a function inside map is the op of that name") {
  // Some together in one map, each with a weight of its own: a map takes a second to compile.
  MAP_AGREES(-x + 2 * square(x) + 3 * sqrt(x) + 4 * exp(x) + 5 * expm1(x) + 6 * log(x) + 7 * log1p(x));
  MAP_AGREES(sin(x) + 2 * cos(x) + 3 * tanh(x) + 4 * sech_squared(x) + 5 * sigmoid(x) + 6 * softplus(x), -2, 2);
  MAP_AGREES(abs(x) + 2 * sign(x) + 3 * relu(x) + 4 * leaky_relu(x) + 5 * leaky_relu(x, 0.3) + 6 * clip(x, 0.2, 0.7),
             -0.9, 1);
  MAP_AGREES(elu(x) + 2 * elu(x, 1.5) + 3 * gelu(x) + 4 * silu(x) + 5 * erf(x) + 6 * erfc(x), -2, 2.1);
  MAP_AGREES(pow(x, 3) + pow(x, -1.5) + pow(2, x) + pow(x, x + 1));
  MAP_AGREES(maximum(x, 0.47) + 2 * maximum(0.33, x) + 3 * minimum(x, 0.47) + 4 * minimum(0.33, x) +
             5 * maximum(x, sqrt(x)) + 6 * minimum(2 * x, square(x) + 0.5));
  MAP_AGREES(select(x > 0.42, exp(x), x / 3) + select(x <= 0.3, x, 0));
  MAP_AGREES((2 + x) * (x - 3) / (1 - x / 7) - 5 / (x + 2));
}

TEST_CASE("policies: map refuses a third derivative") {
  const auto x = parameter(vector_of({0.5}));
  Tape tape;
  const auto y = map([](auto a) { return exp(a); }, x);
  const auto first = tape.gradient(sum(y), {x}, {.create_graph = true})[0];
  const auto thrown = message<TapeError>([&] {
    const auto second = tape.gradient(sum(first), {x}, {.create_graph = true})[0];
    tape.gradient(sum(second), {x});
  });
  CHECK(thrown.starts_with("map: only first and second derivatives"));
}

TEST_CASE("conv2d: a stride beyond the image, of any size, leaves the first position") {
  const Tensor<double> image({1, 1, 3, 2}, {1, 2, 3, 4, 5, 6}), kernel({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  for (const std::size_t padding : {1, 2}) {
    const auto run = [&](std::size_t stride) {
      const auto x = parameter(image), w = parameter(kernel);
      Tape tape;
      const auto y = conv2d(x, w, {.stride = stride, .padding = padding});
      const auto [dx, dw] = tape.gradient(sum(y), {x, w});
      return std::tuple(Values(y.data(), y.data() + y.size()), Values(dx.data(), dx.data() + dx.size()),
                        Values(dw.data(), dw.data() + dw.size()));
    };
    const auto expected = run(100);
    CHECK(std::get<0>(expected) == Values{padding == 1 ? 5 + 6 * 2 + 8 * 3 + 9 * 4 : 9.0});
    for (const int shift : {0, 1, 2}) CHECK(run(~std::size_t{0} >> shift) == expected);
  }
}
