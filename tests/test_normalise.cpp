// Normalising layers, losses and likelihoods: large means, running statistics, certain labels, wrong parameters.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/likelihood.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/normalise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

#include "policies.hpp"

#include <doctest/doctest.h>

using namespace xtape;
using namespace xtape::test;

namespace {

// Numbers of size 1 about a mean.
template <class T> Tensor<T> noisy(const Shape& shape, double mean) {
  Tensor<T> x = zeros<T>(shape);
  for (std::size_t i = 0; i < x.size(); ++i)
    x.modify()[i] = static_cast<T>(mean + std::sin(1.7 * static_cast<double>(i * i % 1009)));
  return x;
}

// The largest error of y against the elements of x standardised in long double, as (outer, n, inner) over n.
template <class T>
double error_of_standardised(const Tensor<T>& y, const Tensor<T>& x, std::size_t outer, std::size_t n,
                             std::size_t inner) {
  double worst = 0;
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t j = 0; j < inner; ++j) {
      const auto at = [&](std::size_t i) { return (o * n + i) * inner + j; };
      // From the first element on, so that long double has digits enough.
      const auto from_first = [&](std::size_t i) {
        return static_cast<long double>(x.data()[at(i)]) - static_cast<long double>(x.data()[at(0)]);
      };
      long double mean = 0, variance = 0;
      for (std::size_t i = 0; i < n; ++i) mean += from_first(i) / static_cast<long double>(n);
      for (std::size_t i = 0; i < n; ++i) {
        const long double d = from_first(i) - mean;
        variance += d * d / static_cast<long double>(n);
      }
      for (std::size_t i = 0; i < n; ++i) {
        const long double truth = (from_first(i) - mean) / std::sqrt(variance + 1e-5L);
        worst = std::max(worst, static_cast<double>(std::abs(static_cast<long double>(y.data()[at(i)]) - truth)));
      }
    }
  return worst;
}

}  // namespace

TEST_CASE_TEMPLATE("policies: a large mean costs normalisation no digits", T, double, float) {
  const double tolerance = 8 * std::numeric_limits<T>::epsilon();
  for (const double mean : {0.0, 1e3, 1e6}) {
    CAPTURE(mean);
    const auto rows = noisy<T>({5, 1000}, mean);
    CHECK(error_of_standardised(layer_norm(rows, ones<T>({1000}), zeros<T>({1000})), rows, 5, 1000, 1) <= tolerance);
    BatchNormState<T> state(5);
    const auto columns = noisy<T>({1000, 5}, mean);
    const auto y = batch_norm(columns, ones<T>({5}), zeros<T>({5}), state);
    CHECK(error_of_standardised(y, columns, 1, 1000, 5) <= tolerance);
  }
  // The gradient of the gradient, too: that of noise and that of noise far from 0 agree.
  const auto curvature = [](double mean) {
    const auto x = parameter(noisy<T>({16}, 0));
    const auto weights = noisy<T>({16}, 0.5);
    Tape tape;
    const auto y = standardise(x + static_cast<T>(mean));
    const auto g = tape.gradient(sum(weights * square(y)), {x}, {.create_graph = true})[0];
    return tape.gradient(sum(square(g)), {x})[0];
  };
  const auto near = curvature(0), far = curvature(1 << 6);
  const double size = static_cast<double>(max(abs(near)).item());
  CHECK(static_cast<double>(max(abs(near - far)).item()) <= 512 * std::numeric_limits<T>::epsilon() * size);
}

TEST_CASE("policies: batch_norm keeps running statistics outside the tape") {
  BatchNormState<double> state(2);
  CHECK(is(state.mean, {0, 0}));
  CHECK(is(state.variance, {1, 1}));
  const Tensor<double> x({4, 2}, {1, 10, 2, 10, 3, 30, 6, 30});
  const auto gamma = parameter(ones<double>({2})), beta = parameter(zeros<double>({2}));
  Tape tape;
  const auto y = batch_norm(x, gamma, beta, state, {.momentum = 0.25});
  // Means 3 and 20; sums of squares 14 and 400, divided by 3.
  CHECK(is(state.mean, {0.75, 5}));
  CHECK(state.variance.data()[0] == doctest::Approx(0.75 + 0.25 * 14 / 3));
  CHECK(state.variance.data()[1] == doctest::Approx(0.75 + 0.25 * 400 / 3));
  CHECK(!state.mean.requires_grad());
  // The batch's own statistics, with the biased variance.
  CHECK(y.data()[0] == doctest::Approx(-2 / std::sqrt(3.5 + 1e-5)));
  const auto [by_gamma, by_beta] = tape.gradient(sum(y), {gamma, beta});
  CHECK(is(by_beta, {4, 4}));
  CHECK(std::abs(by_gamma.data()[0]) < 1e-14);

  // In evaluation the state stays, and any batch will do.
  const Values mean(state.mean.data(), state.mean.data() + 2);
  const double root = std::sqrt(state.variance.data()[0] + 1e-5);
  const auto one = batch_norm(Tensor<double>({1, 2}, {1.75, 5}), gamma, beta, state, {.training = false});
  CHECK(one.data()[0] == doctest::Approx(1 / root));
  CHECK(one.data()[1] == 0);
  CHECK(is(state.mean, mean));

  batch_norm(x, gamma, beta, state, {.momentum = 1});
  CHECK(is(state.mean, {3, 20}));
  CHECK(state.variance.data()[0] == doctest::Approx(14.0 / 3));
  // Images: channel 1 of both.
  BatchNormState<double> images(2);
  Values pixels(2 * 2 * 3 * 2);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = i / 6 % 2 == 1 ? 5 : static_cast<double>(i);
  batch_norm(Tensor<double>({2, 2, 3, 2}, pixels), gamma, beta, images, {.momentum = 1});
  CHECK(images.mean.data()[1] == 5);
  CHECK(images.variance.data()[1] == 0);
}

TEST_CASE("policies: normalisation of what does not vary") {
  const auto same = full<double>({2, 3}, 4);
  CHECK(is(standardise(same), {0, 0, 0, 0, 0, 0}));
  const auto g =
      gradient([](const auto& x) { return standardise(x, all_axes, {.epsilon = 0.25}); }, vector_of({4, 4}), {1, 0});
  CHECK(is(g, {1, -1}));
  CHECK(std::isnan(standardise(same, all_axes, {.epsilon = 0}).data()[0]));
  CHECK(std::isnan(standardise(vector_of({1, not_a_number})).data()[0]));
}

TEST_CASE("policies: parameters of normalisation out of range") {
  const auto x = ones<double>({2, 3}), three = ones<double>({3});
  BatchNormState<double> state(3), other(2);
  for (const double wrong : {-1e-9, -inf, not_a_number}) {
    CHECK(message<ValueError>([&] { standardise(x, 0, {.epsilon = wrong}); }).starts_with("standardise: epsilon"));
    CHECK(message<ValueError>([&] {
            layer_norm(x, three, three, {.epsilon = wrong});
          }).starts_with("layer_norm: epsilon"));
    CHECK(message<ValueError>([&] {
            batch_norm(x, three, three, state, {.epsilon = wrong});
          }).starts_with("batch_norm: epsilon"));
  }
  for (const double wrong : {-0.1, 1.1, not_a_number})
    CHECK(message<ValueError>([&] {
            batch_norm(x, three, three, state, {.momentum = wrong});
          }).starts_with("batch_norm: the momentum"));
  CHECK(message<ShapeError>([&] { batch_norm(x, three, three, other); }).starts_with("batch_norm: x (N, C, ...)"));
  CHECK(is(state.mean, {0, 0, 0}));  // untouched by all that failed
}

TEST_CASE("policies: losses at kinks, certain labels and wrong parameters") {
  const auto with = [](const auto& loss, double t) { return [=](const auto& x) { return loss(x, t); }; };
  const auto l1 = [](const auto& x, double t) { return l1_loss(x, t); };
  CHECK(is(gradient(with(l1, 1), vector_of({1, 3, -1})), {0, 1.0 / 3, -1.0 / 3}));
  const auto huber = [](const auto& x, double t) { return huber_loss(x, t, {.delta = 2}); };
  CHECK(is(gradient(with(huber, 0), vector_of({1, -1, 2, -2, 5, -5, 0, 1e300})),
           {0.125, -0.125, 0.25, -0.25, 0.25, -0.25, 0, 0.25}));
  CHECK(huber_loss(vector_of({0.5, 3}), 0).item() == (0.125 + 2.5) / 2);
  CHECK(huber_loss(vector_of({3}), 0, {.delta = inf}).item() == 4.5);
  CHECK(std::isnan(huber_loss(vector_of({not_a_number}), 0).item()));
  for (const double wrong : {0.0, -1.0, not_a_number})
    CHECK(
        message<ValueError>([&] { huber_loss(vector_of({3}), 0, {.delta = wrong}); }).starts_with("huber_loss: delta"));
  const auto hinge = [](const auto& x, double t) { return hinge_loss(x, t); };
  CHECK(is(gradient(with(hinge, 1), vector_of({1, 0, 2, -3})), {0, -0.25, 0, -0.25}));
  CHECK(hinge_loss(vector_of({3, -1}), -1).item() == 2);
  CHECK(message<ValueError>([&] { hinge_loss(vector_of({3}), 0); }) == "hinge_loss: label 0 is not -1 or 1");

  const auto rows = zeros<double>({2, 3});
  CHECK(message<ValueError>([&] {
          nll_loss(rows, std::vector<int>{0, 3});
        }) == "nll_loss: label 3 at row 1 is not one of 3 classes");
  CHECK(message<ShapeError>([&] {
          nll_loss(rows, std::vector<int>{0});
        }).starts_with("nll_loss: log-probabilities (n, classes)"));
  const Tensor<double> logits({2, 3}, {1, 2, -1, 0, 0.5, 3});
  const std::vector<int> labels{1, 2};
  CHECK(nll_loss(log_softmax(logits), labels).item() ==
        doctest::Approx(cross_entropy(logits, labels).item()).epsilon(1e-14));
}

TEST_CASE("policies: kl_divergence at zeros and of nearly equal distributions") {
  const auto p = vector_of({0, 0.5, 0.5}), q = vector_of({0, 0.25, 0.75});
  CHECK(kl_divergence(p, q).item() == doctest::Approx(0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3)).epsilon(1e-14));
  CHECK(is(gradients([](const Doubles& x) { return kl_divergence(x[0], x[1]); }, {p, q})[1], {0, -2, -0.5 / 0.75}));
  CHECK(kl_divergence(vector_of({0.5, 0.5}), vector_of({0, 1})).item() == inf);
  CHECK(kl_divergence(vector_of({1, 0}), vector_of({1, 0})).item() == 0);
  CHECK(kl_divergence(p, p).item() == 0);
  // sum d^2 / 2p for p + d, exact where log p - log q cancels.
  const double d = 0x1p-30;
  CHECK(kl_divergence(vector_of({0.5, 0.5}), vector_of({0.5 + d, 0.5 - d})).item() ==
        doctest::Approx(2 * d * d).epsilon(1e-6));
  // Means over the rows.
  CHECK(kl_divergence(Tensor<double>({2, 2}, {0.5, 0.5, 1, 0}), Tensor<double>({2, 2}, {0.5, 0.5, 0.5, 0.5})).item() ==
        doctest::Approx(std::log(2.0) / 2));
  CHECK(message<ValueError>([&] {
          kl_divergence(p, vector_of({0, 0.5, 1.5}));
        }) == "kl_divergence: 1.5 is not a probability");
  CHECK(message<ValueError>([&] { kl_divergence(vector_of({-0.5}), vector_of({1})); }) ==
        "kl_divergence: -0.5 is not a probability");
  // Where p = 0, nothing: also not if q is 0, too, in no order of derivative.
  const auto both = [](const Doubles& x) { return kl_divergence(x[0], x[1]); };
  const auto g = gradients(both, {p, q});
  CHECK(is(g[0], {0, std::log(0.5) - std::log(0.25) + 1, std::log(0.5) - std::log(0.75) + 1}));
  CHECK(is(gradients(both, {vector_of({0, 1}), vector_of({0.5, 0.5})})[1], {0, -2}));
}

TEST_CASE_TEMPLATE("policies: losses of probabilities rounded to 0 or 1 have first and second derivatives", T, double,
                   float) {
  const auto finite = [](const Tensor<T>& x) {
    return std::ranges::all_of(x.span(), [](T v) { return std::isfinite(v); });
  };
  const auto derivatives = [&](const auto& loss, const std::vector<Tensor<T>>& at) {
    std::vector<Tensor<T>> x;
    for (const auto& t : at) x.push_back(parameter(t));
    Tape tape;
    const auto first = tape.gradient(loss(x), x, {.create_graph = true});
    Tensor<T> scalar(T(0));
    for (const auto& g : first) {
      CHECK(finite(g));
      scalar = scalar + sum(square(g));
    }
    for (const auto& g : tape.gradient(scalar, x)) CHECK(finite(g));
    return first;
  };
  const Tensor<T> x({2, 3}, {0, -2000, 1, 0, -2000, -3000}), z({2, 3}, {1, -2000, 1, -1, 1, 2});
  derivatives([](const auto& v) { return kl_divergence(softmax(v[0]), softmax(v[1])); }, {x, z});
  const Tensor<T> certain({6}, {2000, -2000, 1000, 1, -1, 0}), target({6}, {1, 0, 1, 1, 0, T(0.5)});
  const auto first = derivatives([&](const auto& v) { return binary_cross_entropy(sigmoid(v[0]), target); }, {certain});
  CHECK(first[0].data()[3] == doctest::Approx((1 / (1 + std::exp(-1.0)) - 1) / 6).epsilon(1e-6));
}

TEST_CASE("policies: binary_cross_entropy has its mixed derivatives at certain targets, too") {
  for (const double certain : {0.0, 1.0}) {
    const auto p = parameter(vector_of({0.25})), t = parameter(vector_of({certain}));
    Tape tape;
    const auto dp = tape.gradient(binary_cross_entropy(p, t), {p}, {.create_graph = true})[0];
    CHECK(tape.gradient(sum(dp), {t})[0].item() == doctest::Approx(-4 - 1 / 0.75).epsilon(1e-14));
  }
}

TEST_CASE("policies: likelihoods of extreme arguments") {
  CHECK(is(bernoulli_log_likelihood(vector_of({inf, -inf, 1e4, -1e4, -1e4, -800}), vector_of({1, 0, 1, 0, 1, 1})),
           {0, 0, 0, 0, -1e4, -800}));
  CHECK(is(bernoulli_log_likelihood(vector_of({inf, -inf}), vector_of({0, 1})), {-inf, -inf}));
  CHECK(bernoulli_log_likelihood(vector_of({-700}), 0).item() == doctest::Approx(-std::exp(-700.0)).epsilon(1e-14));
  const auto certain = [](const auto& x) { return bernoulli_log_likelihood(x, 1); };
  CHECK(gradient(certain, vector_of({700})).item() == doctest::Approx(std::exp(-700.0)).epsilon(1e-14));

  const double half_log_2_pi = 0.5 * std::log(2 * std::acos(-1.0));
  const auto gaussian = [](const Doubles& x) { return gaussian_log_likelihood(x[0], x[1], x[2]); };
  CHECK(gaussian({vector_of({2}), vector_of({2}), vector_of({-1400})}).item() == doctest::Approx(700 - half_log_2_pi));
  CHECK(gaussian({vector_of({2}), vector_of({2}), vector_of({1400})}).item() == doctest::Approx(-700 - half_log_2_pi));
  for (const double v : {-700.0, 700.0}) {
    CAPTURE(v);
    const double d = std::exp(v / 2);  // one deviation from the mean
    const Doubles at{vector_of({d}), vector_of({0}), vector_of({v})};
    CHECK(gaussian(at).item() == doctest::Approx(-half_log_2_pi - v / 2 - 0.5).epsilon(1e-14));
    const auto g = gradients(gaussian, at);
    CHECK(g[0].item() == doctest::Approx(-std::exp(-v / 2)).epsilon(1e-12));
    CHECK(g[1].item() == doctest::Approx(std::exp(-v / 2)).epsilon(1e-12));
    CHECK(std::abs(g[2].item()) < 1e-12);
  }
  // At the mean, however large the precision.
  for (const double v : {-1400.0, -1500.0, -1e5, -inf}) {
    CAPTURE(v);
    const Doubles at{vector_of({2, 3}), vector_of({2}), vector_of({v, 0})};
    const auto y = gaussian(at);
    CHECK((v == -inf ? y.data()[0] == inf : y.data()[0] == doctest::Approx(-v / 2 - half_log_2_pi).epsilon(1e-14)));
    CHECK(y.data()[1] == doctest::Approx(-0.5 - half_log_2_pi).epsilon(1e-14));
    const auto g = gradients(gaussian, at);
    CHECK(is(g[0], {0, -1}));
    CHECK(is(g[1], {1}));
    CHECK(is(g[2], {-0.5, 0}));
    // The second derivative by x is -e^-v, beyond the range.
    const auto x = parameter(vector_of({2}));
    Tape tape;
    const auto dx = tape.gradient(sum(gaussian({x, at[1], vector_of({v})})), {x}, {.create_graph = true})[0];
    CHECK(tape.gradient(sum(dx), {x})[0].item() == -inf);
  }
  const auto in_float = parameter(Tensor<float>({1}, {2}));
  Tape tape;
  const auto y = gaussian_log_likelihood(in_float, 2, -200);
  CHECK(y.item() == doctest::Approx(100 - half_log_2_pi));
  CHECK(tape.gradient(sum(y), {in_float})[0].item() == 0);
}
