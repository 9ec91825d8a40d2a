// The fused map, against the same formula in unfused ops.

#include <doctest/doctest.h>
#include <xtape/init.hpp>
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/verify.hpp>

using namespace xtape;
using D = Tensor<double>;

namespace {

// Values, gradients and gradients of gradients of map(f, x, y) against f(x, y) on tensors.
template <class F> void same(const char* name, const F& f, const D& x0, const D& y0) {
  CAPTURE(name);
  const auto run = [&](auto&& function) {
    std::vector<D> results;
    const D x = parameter(x0), y = parameter(y0);
    Tape tape;
    const D z = function(x, y);
    const D weights = init::normal(z.shape(), 0.0, 1.0, *std::make_unique<Rng>(5));
    const auto first = tape.gradient(sum(z * weights), {x, y}, {.create_graph = true});
    const auto second = tape.gradient(sum(sin(first[0])) + sum(sin(first[1])), {x, y});
    return std::vector<D>{z.detach(), first[0].detach(), first[1].detach(), second[0], second[1]};
  };
  const auto fused = run([&](const D& x, const D& y) { return map(f, x, y); });
  const auto unfused = run([&](const D& x, const D& y) { return f(x, y); });
  for (std::size_t i = 0; i < fused.size(); ++i) {
    CAPTURE(i);
    const auto comparison = compare_gradients(fused[i], unfused[i]);
    CHECK(comparison.largest_error < 1e-11);
  }
}

}  // namespace

TEST_CASE("map: every function, to second order, equals the unfused op") {
  Rng rng(2);
  const D x = init::uniform({7, 5}, 0.2, 1.8, rng), y = init::uniform({7, 5}, -1.5, 1.5, rng);
  const D signs = init::uniform({7, 5}, -2.0, 2.0, rng);
#define CHECK_SAME(expression, first) \
  same(                               \
      #expression, [](const auto& a, const auto& b) { return expression; }, first, y)
  CHECK_SAME(a + b * 2.0 - 3 / (b * b + 1), x);
  CHECK_SAME(-a / (2 + b * b) + (1 - b) - +a, x);
  CHECK_SAME(square(a) * b, signs);
  CHECK_SAME(sqrt(a) * b, x);
  CHECK_SAME(abs(a) * b, signs);
  CHECK_SAME(sign(a) * b + a * b, signs);
  CHECK_SAME(exp(a * b), signs);
  CHECK_SAME(expm1(a * b), signs);
  CHECK_SAME(log(a) * b, x);
  CHECK_SAME(log1p(a) * b, x);
  CHECK_SAME(sin(a * b), signs);
  CHECK_SAME(cos(a * b), signs);
  CHECK_SAME(tanh(a * b), signs);
  CHECK_SAME(sech_squared(a * b), signs);
  CHECK_SAME(sigmoid(a * b), signs);
  CHECK_SAME(softplus(a * b), signs);
  CHECK_SAME(relu(a) * b * b, signs);
  CHECK_SAME(leaky_relu(a, 0.1) * b * b, signs);
  CHECK_SAME(elu(a, 0.7) * b * b, signs);
  CHECK_SAME(gelu(a * b), signs);
  CHECK_SAME(silu(a * b), signs);
  CHECK_SAME(erf(a * b), signs);
  CHECK_SAME(erfc(a * b), signs);
  CHECK_SAME(clip(a, -1.0, 0.5) * b * b, signs);
  CHECK_SAME(maximum(a, b) * b, signs);
  CHECK_SAME(minimum(a, b) * b + maximum(a, 0.3) * minimum(b, 0.1), signs);
  CHECK_SAME(pow(a, b), x);
  CHECK_SAME(pow(a, 3) * b + pow(b, 2), signs);
  CHECK_SAME(pow(2.0, a) * b, signs);
  CHECK_SAME(select(a > b, a * b, exp(a)), signs);
  CHECK_SAME(select(a <= 0.5, 0.25, a * b) + select(b >= a, a * a, 1.0), signs);
  CHECK_SAME(select(0.1 < a, a * b, b * b), signs);
#undef CHECK_SAME
}

TEST_CASE("map: shapes broadcast, and every length around a SIMD register") {
  Rng rng(2);
  const auto f = [](const auto& a, const auto& b) { return sigmoid(a * b + 0.5) * tanh(a); };
  const auto normal = [&](const Shape& shape) { return init::normal(shape, 0.0, 1.0, rng); };
  same("row", f, normal({6, 11}), normal({11}));
  same("column", f, normal({6, 11}), normal({6, 1}));
  same("outer", f, normal({6, 1}), normal({1, 11}));
  same("number", f, normal({6, 11}), normal({}));
  same("middle", f, normal({3, 4, 5}), normal({3, 1, 5}));
  same("empty", f, normal({0, 4}), normal({4}));
  for (std::size_t n = 0; n < 70; ++n) same("length", f, normal({n}), normal({n}));
  CHECK_THROWS_AS(map(f, normal({2, 3}), normal({4})), ShapeError);
}

TEST_CASE("map: float, captured numbers, three and six tensors") {
  Rng rng(2);
  const float scale = 3.0F;
  const Tensor<float> x = parameter(init::normal<float>({37}, 0.F, 1.F, rng));
  Tape tape;
  const auto y = map([scale](auto v) { return scale * v * v; }, x);
  tape.backward(sum(y));
  for (std::size_t i = 0; i < 37; ++i) {
    CHECK(y.data()[i] == doctest::Approx(3 * x.data()[i] * x.data()[i]));
    CHECK(x.grad().data()[i] == doctest::Approx(6 * x.data()[i]));
  }
  const D t = init::uniform({9}, 0.5, 1.5, rng);
  CHECK(gradcheck(
            [](const std::vector<D>& v) {
              return map([](auto a, auto b, auto c, auto d, auto e, auto f) { return a * b + c / d - e * f * a; }, v[0],
                         v[1], v[2], v[3], v[4], v[5]);
            },
            {t, t + 0.1, t + 0.2, t + 0.3, t + 0.4, t + 0.5}, {.second_order = true})
            .passed);
}

TEST_CASE("map: a third derivative is refused, an exception leaves the tape usable") {
  D x = parameter(D({3}, {1, 2, 3}));
  Tape tape;
  D y = sum(map([](auto v) { return v * v * v * v; }, x));
  for (int order = 0; order < 2; ++order) y = sum(tape.gradient(y, {x}, {.create_graph = true})[0]);
  CHECK(y.item() == doctest::Approx(12 * (1 + 4 + 9)));
  CHECK_THROWS_AS(tape.gradient(y, {x}, {.create_graph = true}), TapeError);
  const std::size_t before = tape.size();
  CHECK_THROWS_AS(map([](auto v) -> decltype(v) { throw std::runtime_error("planted"); }, x), std::runtime_error);
  CHECK(tape.size() == before);
  tape.backward(sum(x * x));
  CHECK(x.grad().data()[2] == 6);
}
