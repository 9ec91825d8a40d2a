// Means, deviations, determinants of numbers near the ends of the range: what fits the range is not lost on the way.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <xtape/energy/measures.hpp>
#include <xtape/xtape.hpp>

#include <cmath>
#include <limits>

using namespace xtape;

namespace {

template <class T> constexpr T huge = std::numeric_limits<T>::max() * T(0.9);

template <class T, class F> Tensor<T> gradient_of(const Tensor<T>& at, const F& f) {
  const auto x = parameter(at);
  Tape tape;
  return tape.gradient(f(x), {x})[0];
}

template <class T> void check_close(T found, long double truth, double units = 4) {
  CAPTURE(found);
  CHECK(std::abs(static_cast<long double>(found) - truth) <=
        units * static_cast<long double>(std::numeric_limits<T>::epsilon()) * std::abs(truth));
}
template <class T> void check_all(const Tensor<T>& found, long double truth, double units = 4) {
  for (const T value : found.span()) check_close(value, truth, units);
}

template <class T> Tensor<T> diagonal_of(const std::vector<T>& values) {
  return diag(Tensor<T>({values.size()}, std::span<const T>(values)));
}

}  // namespace

TEST_CASE_TEMPLATE("scales: means of huge numbers", T, float, double) {
  const T v = huge<T>;
  const Tensor<T> x = full<T>({2, 3, 4, 5}, v);
  check_all(mean(x), v);
  check_all(mean(x, 0), v);
  check_all(mean(x, {0, 2}), v);
  check_all(mean(x, {1, 3}, {.keepdims = true}), v);
  check_all(global_avg_pool2d(x), v);
  check_all(avg_pool2d(x, {.window = {2, 2}}), v);
  check_all(avg_pool2d(x, {.window = {4, 5}}), v);
  check_all(avg_pool2d(x, {.window = {3, 3}, .stride = {1, 1}}), v);
  check_all(adaptive_avg_pool2d(x, {2, 3}), v);
  check_all(adaptive_avg_pool2d(x, {1, 1}), v);
  check_all(avg_pool2d(full<T>({1, 1, 20, 20}, v), {.window = {20, 20}}), v);
  check_all(avg_pool1d(full<T>({1, 1, 20}, v), {.window = 4}), v);
  const Tensor<T> mixed({4}, {v, v, -v, v});
  check_close(mean(mixed).item(), static_cast<long double>(v) / 2);
  // Beside groups that are not huge, and infinities.
  const T infinity = std::numeric_limits<T>::infinity();
  const Tensor<T> rows({3, 2}, {v, v, 1, 2, infinity, 1});
  const Tensor<T> means = mean(rows, 1);
  CHECK(means.data()[0] == v);
  CHECK(means.data()[1] == T(1.5));
  CHECK(means.data()[2] == infinity);
  check_all(gradient_of(x, [](const Tensor<T>& y) { return mean(y); }), 1.0L / 120);
  // Losses.
  const T root = std::sqrt(v);
  check_close(mse_loss(full<T>({7}, root), 0).item(), static_cast<long double>(root) * static_cast<long double>(root));
  check_close(l1_loss(full<T>({7}, v), 0).item(), v);
  check_close(huber_loss(full<T>({7}, v), 0, {.delta = 1}).item(), v);
  check_close(cross_entropy(Tensor<T>({2, 2}, {v, 0, v, 0}), {1, 1}).item(), v);
}

TEST_CASE_TEMPLATE("scales: variances and deviations of huge and tiny numbers", T, float, double) {
  const T v = huge<T>;
  CHECK(var(full<T>({3}, v)).item() == 0);
  CHECK(stddev(full<T>({3}, v)).item() == 0);
  check_all(gradient_of(full<T>({3}, v), [](const Tensor<T>& x) { return stddev(x); }), 0);
  const Tensor<T> ends({4}, {v, -v, v, -v});
  check_close(stddev(ends).item(), v);
  check_all(abs(gradient_of(ends, [](const Tensor<T>& x) { return stddev(x); })), 0.25L);
  const T root = std::sqrt(v);
  check_close(var(Tensor<T>({4}, {root, -root, root, -root})).item(),
              static_cast<long double>(root) * static_cast<long double>(root));
  const T tiny = std::numeric_limits<T>::min() * 4;
  check_close(stddev(Tensor<T>({2}, {tiny, -tiny})).item(), tiny);
  // Along axes, beside others.
  const Tensor<T> rows({2, 2, 2}, {v, 1, -v, 3, v, 5, -v, 7});
  check_close(stddev(rows, {0, 1}).data()[0], v);
  check_close(stddev(rows, {0, 1}).data()[1], std::sqrt(5.0L));
  check_close(stddev(rows, 1).data()[2], v);
  // Layers that normalise.
  check_all(abs(standardise(ends)), 1, 64);
  check_all(abs(layer_norm(reshape(ends, {1, 4}), ones<T>({4}), zeros<T>({4}))), 1, 64);
  BatchNormState<T> state(1);
  check_all(abs(batch_norm(reshape(ends, {4, 1}), ones<T>({1}), zeros<T>({1}), state)), 1, 64);
  check_all(abs(standardise(Tensor<T>({2}, {tiny, -tiny}), all_axes, {.epsilon = 0})), 1, 64);
}

TEST_CASE_TEMPLATE("scales: where ddof leaves nothing to divide by, var and stddev and their gradients agree", T, float,
                   double) {
  for (const std::size_t ddof : {1, 2}) {
    CHECK(std::isnan(var(ones<T>({1}), all_axes, {.ddof = ddof}).item()));
    CHECK(std::isnan(stddev(ones<T>({1}), all_axes, {.ddof = ddof}).item()));
    CHECK(std::isnan(
        gradient_of(ones<T>({1}), [&](const Tensor<T>& x) { return var(x, all_axes, {.ddof = ddof}); }).item()));
    CHECK(std::isnan(
        gradient_of(ones<T>({1}), [&](const Tensor<T>& x) { return stddev(x, all_axes, {.ddof = ddof}); }).item()));
  }
  const Tensor<T> pair({2}, {1, 3});
  CHECK(std::isinf(stddev(pair, all_axes, {.ddof = 2}).item()));
  const Tensor<T> slopes = gradient_of(pair, [](const Tensor<T>& x) { return stddev(x, all_axes, {.ddof = 2}); });
  for (const T value : slopes.span()) CHECK(!std::isfinite(value));
}

TEST_CASE("scales: var and stddev of float are rounded once") {
  Rng rng(3);
  for (const double at : {0.0, 1.0, 1000.0}) {
    const Tensor<float> x = init::normal<float>({50, 101}, static_cast<float>(at), 1.0F, rng);
    const Tensor<float> v = var(x, 1), s = stddev(x, 1), columns = var(x, 0), roots = stddev(x, 0);
    const auto check = [&](std::size_t first, std::size_t step, std::size_t n, float variance, float deviation) {
      long double m = 0, squares = 0;
      for (std::size_t i = 0; i < n; ++i) m += x.data()[first + i * step];
      m /= static_cast<long double>(n);
      for (std::size_t i = 0; i < n; ++i)
        squares += (x.data()[first + i * step] - m) * (x.data()[first + i * step] - m);
      const long double truth = squares / static_cast<long double>(n);
      CHECK(std::abs(variance - truth) <= 0.501L * std::numeric_limits<float>::epsilon() * truth);
      CHECK(std::abs(deviation - std::sqrt(truth)) <=
            0.501L * std::numeric_limits<float>::epsilon() * std::sqrt(truth));
    };
    for (std::size_t r = 0; r < 50; ++r) check(r * 101, 1, 101, v.data()[r], s.data()[r]);
    for (std::size_t c = 0; c < 101; ++c) check(c, 101, 50, columns.data()[c], roots.data()[c]);
  }
}

TEST_CASE_TEMPLATE("scales: batch_norm's state is (1 - momentum) state + momentum new, also of tiny numbers", T, float,
                   double) {
  const T small = T(1e-4);
  const Tensor<T> x({2, 1}, {small, -small});
  BatchNormState<T> state(1);
  batch_norm(x, ones<T>({1}), zeros<T>({1}), state, {.momentum = 1});
  const long double square = static_cast<long double>(small) * static_cast<long double>(small);
  check_close(state.variance.item(), 2 * square, 1);
  CHECK(state.mean.item() == 0);
  BatchNormState<T> most(1);
  batch_norm(x + 1, ones<T>({1}), zeros<T>({1}), most, {.momentum = 0.9999});
  check_close(most.mean.item(), 0.9999L, 1);
  // A weight of 0 or 1 leaves no trace of the other.
  BatchNormState<T> other(1);
  other.mean.modify()[0] = std::numeric_limits<T>::infinity();
  batch_norm(x, ones<T>({1}), zeros<T>({1}), other, {.momentum = 1});
  CHECK(other.mean.item() == 0);
  batch_norm(x * std::numeric_limits<T>::infinity(), ones<T>({1}), zeros<T>({1}), other, {.momentum = 0});
  CHECK(other.mean.item() == 0);
}

TEST_CASE("scales: determinants whose products of pivots leave the range on their way") {
  std::vector<float> values(28, 1e3F);
  for (std::size_t i = 0; i < 28; i += 2) values[i + 1] = 1e-3F;
  for (const bool halves : {false, true}) {
    if (halves) std::ranges::sort(values);
    const auto a = diagonal_of(values);
    check_close(det(a).item(), 1, 16);
    const auto g = gradient_of(a, [](const Tensor<float>& x) { return det(x); });
    for (std::size_t i = 0; i < 28; ++i)
      for (std::size_t j = 0; j < 28; ++j)
        check_close(g.data()[i * 28 + j], i == j ? 1 / static_cast<long double>(values[i]) : 0, 32);
    CHECK(std::abs(slogdet(a).log_abs_det.item()) <= 1e-5F);
    CHECK(std::abs(cholesky_log_det(cholesky(a)).item()) <= 2e-5F);
  }
  const auto b = diagonal_of<double>({1e-200, 1e-200, 1e200, 1e200});
  check_close(det(b).item(), 1, 16);
  const auto g = gradient_of(b, [](const Tensor<double>& x) { return det(x); });
  for (std::size_t i = 0; i < 4; ++i) check_close(g.data()[5 * i], i < 2 ? 1e200L : 1e-200L, 32);
  // A determinant out of range, whose cofactors are in it.
  const auto out =
      gradient_of(diagonal_of<double>({1e-200, 1e-200, 1e100}), [](const Tensor<double>& x) { return det(x); });
  check_close(out.data()[0], 1e-100L, 32);
  check_close(out.data()[4], 1e-100L, 32);
  CHECK(out.data()[8] == 0);
}

TEST_CASE_TEMPLATE("scales: cofactors of a regular matrix with rows of very different size", T, float, double) {
  for (const T corner : {T(1e8), T(sizeof(T) == 4 ? 1e12 : 1e20)}) {
    const Tensor<T> a({3, 3}, {corner, 1, 2, 3, 4, 5, 6, 7, 9});
    const auto g = gradient_of(a, [](const Tensor<T>& x) { return det(x); });
    const long double c = corner;
    // The last eight elements' cofactors, by hand.
    const std::array<long double, 9> truth{1, 3, -3, 5, 9 * c - 12, -(7 * c - 6), -3, -(5 * c - 6), 4 * c - 3};
    for (std::size_t i = 0; i < 9; ++i) check_close(g.data()[i], truth[i], 256);
  }
}

TEST_CASE("scales: second derivatives of det at rank n - 2, and of badly scaled matrices") {
  // d2 det / da_00 da_11 = a_22 at diag(0, 0, 3).
  const auto at = [](const Tensor<double>& a, std::size_t i, std::size_t j) {
    const auto x = parameter(a);
    Tape tape;
    const auto [g] = tape.gradient(det(x), {x}, {.create_graph = true});
    return tape.gradient(slice(g, {i, i}), {x})[0].data()[j * 4];
  };
  CHECK(at(diagonal_of<double>({0, 0, 3}), 0, 1) == doctest::Approx(3).epsilon(1e-14));
  CHECK(std::abs(at(diagonal_of<double>({0, 0, 3}), 0, 2)) <= 1e-14);
  CHECK(at(diagonal_of<double>({1e20, 1, 1e-20}), 0, 1) == doctest::Approx(1e-20).epsilon(1e-13));
  CHECK(at(diagonal_of<double>({1e20, 1, 1e-20}), 1, 2) == doctest::Approx(1e20).epsilon(1e-13));
}

TEST_CASE("scales: logarithms of determinants whose parts cancel") {
  const std::size_t n = 512;
  std::vector<float> values(n);
  long double truth = 0;
  for (std::size_t i = 0; i < n; ++i) {
    values[i] = i % 2 ? 1e-3F * (1 + 1e-4F * static_cast<float>(i)) : 1e3F;
    truth += std::log(static_cast<long double>(values[i]));
  }
  check_close(slogdet(diagonal_of(values)).log_abs_det.item(), truth, 1);
  check_close(cholesky_log_det(diagonal_of(values)).item(), 2 * truth, 1);
  const auto slopes = gradient_of(diagonal_of(values), [](const Tensor<float>& l) { return cholesky_log_det(l); });
  for (const float v : slopes.span()) CHECK(std::isfinite(v));
}

TEST_CASE("eigh, svd: vectors of a distinct value beside equal ones have derivatives") {
  const auto a = parameter(diagonal_of<double>({0, 0, 3}));
  Tape tape;
  const auto check = [&](const Tensor<double>& gradient, double expected) {
    for (std::size_t i = 0; i < 9; ++i)
      CHECK(gradient.data()[i] == doctest::Approx(i == 2 || i == 6 ? expected : 0).epsilon(1e-14));
  };
  check(tape.gradient(slice(eigh(a).vectors, {0, 2}), {a})[0], 1.0 / 6);
  // Of the singular value 3 the vectors u and v turn by 1/3 of da's column and row.
  const auto [by_u] = tape.gradient(slice(svd(a).u, {0, 0}), {a});
  CHECK(by_u.data()[2] == doctest::Approx(1.0 / 3));
  // A degenerate matrix of the batch that the loss does not use.
  const auto batch = parameter(stack<double>({diagonal_of<double>({1, 2, 4}), diagonal_of<double>({1, 1, 1})}));
  {
    Tape other;
    const auto used = slice(eigh(batch).vectors, {0});
    const auto [g] = other.gradient(sum(used * Tensor<double>({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9})), {batch});
    for (std::size_t i = 9; i < 18; ++i) CHECK(g.data()[i] == 0);
  }
  // One that it does use is refused as ever, and so are equal values beside used vectors.
  CHECK_THROWS_AS(tape.gradient(sum(eigh(a).vectors), {a}), ValueError);
  CHECK_THROWS_AS(tape.gradient(slice(eigh(a).vectors, {0, 1}), {a}), ValueError);
}

TEST_CASE("measures: large hidden biases cost a float machine no digits") {
  Rng rng(7);
  Rbm<float> rbm(init::normal<float>({12, 40}, 0.0F, 0.5F, rng), init::normal<float>({12}, 0.0F, 1.0F, rng),
                 full<float>({40}, 1000.0F));
  for (std::size_t j = 0; j < 40; j += 3) rbm.a.modify()[j] = j % 2 ? -3.0F : 2.0F;
  const Rbm<double> wide(Tensor<double>(rbm.W.array()), Tensor<double>(rbm.b.array()), Tensor<double>(rbm.a.array()));
  Tensor<float> v = zeros<float>({8, 12});
  for (std::size_t i = 0; i < v.size(); ++i) v.modify()[i] = rng.below(2) == 1 ? 1.0F : 0.0F;
  const Tensor<double> in_double(v.array());
  CHECK(pseudo_log_likelihood(rbm, v) == doctest::Approx(pseudo_log_likelihood(wide, in_double)).epsilon(2e-6));
  const auto half = slice(v, {range(0, 4)}), rest = slice(v, {range(4, 8)});
  const double gap = free_energy_gap(wide, Tensor<double>(half.array()), Tensor<double>(rest.array()));
  CHECK(free_energy_gap(rbm, half, rest) == doctest::Approx(gap).epsilon(1e-9));
}

TEST_CASE_TEMPLATE("scales: products that leave the range on their way, and their gradients", T, float, double) {
  const T big = T(sizeof(T) == 4 ? 1e30 : 1e250), small = 1 / big;
  for (const auto& values :
       {std::vector<T>{big, big, small, small}, {small, small, small, big, big, big}, {small, big, small, big}}) {
    const Tensor<T> x({values.size()}, std::span<const T>(values));
    check_close(prod(x).item(), 1, 16);
    const auto g = gradient_of(x, [](const Tensor<T>& v) { return prod(v); });
    for (std::size_t i = 0; i < values.size(); ++i)
      check_close(g.data()[i], 1 / static_cast<long double>(values[i]), 16);
  }
  // Beside a 0, whose gradient is the product of the others; beside other groups; infinite and NaN.
  const Tensor<T> zero({5}, {0, small, small, big, big});
  CHECK(prod(zero).item() == 0);
  check_close(gradient_of(zero, [](const Tensor<T>& v) { return prod(v); }).data()[0], 1, 16);
  const Tensor<T> rows({2, 4}, {big, big, small, small, 1, 2, 3, 4});
  check_close(prod(rows, 1).data()[0], 1, 16);
  check_close(prod(rows, 1).data()[1], 24);
  CHECK(prod(Tensor<T>({2}, {big, big})).item() == std::numeric_limits<T>::infinity());
  CHECK(prod(Tensor<T>({2}, {small, small})).item() == 0);
  CHECK(std::isnan(prod(Tensor<T>({2}, {std::numeric_limits<T>::quiet_NaN(), big})).item()));
}

TEST_CASE("scales: qr has a gradient whatever the columns are measured in") {
  const Tensor<float> a({2, 2}, {1e8F, 0, 0, 1});
  const auto g = gradient_of(a, [](const Tensor<float>& x) {
    const auto r = qr(x).r;
    return slice(r, {0, 0}) + slice(r, {1, 1});
  });
  for (std::size_t i = 0; i < 4; ++i) CHECK(g.data()[i] == doctest::Approx(i % 3 == 0 ? 1 : 0));
  CHECK_THROWS_AS(
      gradient_of(Tensor<float>({2, 2}, {1e8F, 1, 2e8F, 2}), [](const Tensor<float>& x) { return sum(qr(x).q); }),
      ValueError);
}
