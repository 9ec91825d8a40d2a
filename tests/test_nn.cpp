// Layers, and what weights start from.

#include <doctest/doctest.h>
#include <xtape/error.hpp>
#include <xtape/init.hpp>
#include <xtape/nn.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/optim.hpp>
#include <xtape/tape.hpp>

#include <algorithm>
#include <cmath>

using namespace xtape;
using D = Tensor<double>;

namespace {

template <class T> bool equal_bits(const Tensor<T>& a, const Tensor<T>& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.span(), b.span());
}

double variance(const D& x) { return var(x).item(); }
double largest(const D& x) { return max(abs(x)).item(); }

}  // namespace

TEST_CASE("init: variances are those of the formulas, within sampling error") {
  Rng rng{11};
  const Shape linear{300, 500}, convolution{40, 30, 5, 5};
  // The sample variance of n numbers with kurtosis k has the relative standard error sqrt((k - 1) / n).
  const double normal_error = std::sqrt(2.0 / 150000), uniform_error = std::sqrt(0.8 / 150000);
  const auto check = [](const D& x, double expected, double relative_error) {
    CHECK(std::abs(variance(x) / expected - 1) < 5 * relative_error);
    CHECK(std::abs(mean(x).item()) < 5 * std::sqrt(expected / static_cast<double>(x.size())));
  };
  check(init::glorot_normal<double>(linear, rng), 2.0 / 800, normal_error);
  check(init::glorot_uniform<double>(linear, rng), 2.0 / 800, uniform_error);
  check(init::he_normal<double>(linear, rng), 2.0 / 300, normal_error);
  check(init::he_uniform<double>(linear, rng), 2.0 / 300, uniform_error);
  const double smaller = std::sqrt(5.0);  // a fifth of the elements
  check(init::glorot_normal<double>(convolution, rng), 2.0 / (70 * 25), smaller * normal_error);
  check(init::he_uniform<double>(convolution, rng), 2.0 / (30 * 25), smaller * uniform_error);
  CHECK(largest(init::glorot_uniform<double>(linear, rng)) <= std::sqrt(6.0 / 800));
  CHECK(largest(init::he_uniform<double>(linear, rng)) <= std::sqrt(6.0 / 300));

  for (const Shape& few : {Shape{}, Shape{3}}) {
    CHECK_THROWS_AS(init::he_normal<double>(few, rng), ShapeError);
    CHECK_THROWS_AS(init::orthogonal<double>(few, rng), ShapeError);
  }
  CHECK(init::he_normal<float>({0, 4}, rng).size() == 0);
  CHECK(init::glorot_uniform<float>({0, 0}, rng).size() == 0);
}

TEST_CASE("init: same seed, same numbers; other seed, others") {
  Rng a{5}, b{5}, c{6};
  const auto x = init::orthogonal<float>({6, 4}, a);
  CHECK(equal_bits(x, init::orthogonal<float>({6, 4}, b)));
  CHECK(!equal_bits(x, init::orthogonal<float>({6, 4}, c)));
}

TEST_CASE("init: orthogonal has orthonormal columns or rows, times the gain") {
  Rng rng{12};
  const auto identity_error = [](const D& gram, double diagonal) {
    double worst = 0;
    for (std::size_t i = 0; i < gram.shape(0); ++i)
      for (std::size_t j = 0; j < gram.shape(0); ++j)
        worst = std::max(worst, std::abs(gram.data()[i * gram.shape(0) + j] - (i == j ? diagonal : 0)));
    return worst;
  };
  const auto tall = init::orthogonal<double>({30, 20}, rng);
  CHECK(identity_error(matmul(tall, tall, {.transpose_a = true}), 1) < 1e-14);
  const auto wide = init::orthogonal<double>({20, 30}, rng, 2.0);
  CHECK(identity_error(matmul(wide, wide, {.transpose_b = true}), 4) < 1e-14);
  const auto kernel = init::orthogonal<double>({8, 3, 3, 3}, rng);
  CHECK(kernel.shape() == Shape{8, 3, 3, 3});
  const auto rows = reshape(kernel, Shape{8, 27});
  CHECK(identity_error(matmul(rows, rows, {.transpose_b = true}), 1) < 1e-14);
  CHECK(init::orthogonal<double>({0, 3}, rng).shape() == Shape{0, 3});

  // Uniform among the orthogonal matrices: each entry's mean is 0 and its mean square 1 / n. Without positive
  // diagonals in R the first entry of each column would keep one sign.
  double first = 0, squares = 0;
  const int draws = 2000;
  for (int i = 0; i < draws; ++i) {
    const auto q = init::orthogonal<double>({3, 3}, rng);
    first += q.data()[0] / draws;
    squares += q.data()[0] * q.data()[0] / draws;
  }
  CHECK(std::abs(first) < 5 * std::sqrt(1.0 / 3 / draws));
  CHECK(std::abs(squares - 1.0 / 3) < 5 * std::sqrt((1.0 / 5 - 1.0 / 9) / draws));
}

TEST_CASE("nn: layers are the formulas, and list their parameters") {
  Rng rng{13};
  nn::Linear<double> linear(4, 3, rng);
  const auto x = init::normal<double>({5, 4}, 0, 1, rng);
  linear.bias.assign(D({3}, {1, 2, 3}));
  CHECK(equal_bits(linear(x), matmul(x, linear.weight) + linear.bias));
  CHECK(linear.parameters().size() == 2);
  CHECK(linear.weight.requires_grad());
  CHECK(linear.bias.requires_grad());
  linear.bias = {};
  CHECK(equal_bits(linear(x), matmul(x, linear.weight)));
  CHECK(linear.parameters().size() == 1);
  CHECK_THROWS_AS(linear(init::normal<double>({5, 3}, 0, 1, rng)), ShapeError);

  nn::Conv2d<double> conv(4, 6, 3, rng, {.stride = 2, .padding = 1, .groups = 2});
  CHECK(conv.weight.shape() == Shape{6, 2, 3, 3});
  const auto image = init::normal<double>({2, 4, 7, 7}, 0, 1, rng);
  CHECK(equal_bits(conv(image), conv2d(image, conv.weight, conv.bias, conv.options)));
  CHECK(conv(image).shape() == Shape{2, 6, 4, 4});
  conv.bias = {};
  CHECK(conv.parameters().size() == 1);
  CHECK(equal_bits(conv(image), conv2d(image, conv.weight, conv.options)));
  CHECK_THROWS_AS(nn::Conv2d<double>(4, 6, 3, rng, {.groups = 3}), ShapeError);
  CHECK_THROWS_AS(nn::Conv2d<double>(4, 6, 3, rng, {.groups = 0}), ShapeError);
}

TEST_CASE("nn: dropout drops in training only, and not the same twice") {
  Rng rng{14};
  nn::Dropout<double> layer(0.5, rng);
  const auto x = ones<double>({100});
  const auto first = layer(x), second = layer(x);
  CHECK(!equal_bits(first, x));
  CHECK(!equal_bits(first, second));
  const auto copy = layer;
  CHECK(!equal_bits(copy(x), layer(x)));  // from one generator, in turn
  layer.training = false;
  CHECK(equal_bits(layer(x), x));
  CHECK_THROWS_AS(nn::Dropout<double>(1.0, rng), ValueError);
  CHECK_THROWS_AS(nn::Dropout<double>(-0.1, rng), ValueError);
  CHECK_THROWS_AS(nn::Dropout<double>(NAN, rng), ValueError);
}

TEST_CASE("nn: BatchNorm learns the statistics in training and uses them after; copies share them") {
  Rng rng{17};
  nn::BatchNorm<double> layer(3);
  const nn::BatchNorm<double> copy = layer;
  for (int i = 0; i < 400; ++i) {
    const auto x = init::normal<double>({64, 3, 2}, 5, 2, rng);
    const auto y = layer(x);
    if (i > 0) continue;
    CHECK(std::abs(mean(y).item()) < 1e-12);
    CHECK(std::abs(variance(y) - 1) < 1e-5);
  }
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(std::abs(layer.state.mean.data()[c] - 5) < 0.3);
    CHECK(std::abs(layer.state.variance.data()[c] - 4) < 0.6);
  }
  layer.training = false;
  const auto x = full<double>({1, 3}, 5);
  const auto expected = (x - layer.state.mean) / sqrt(layer.state.variance + layer.epsilon);
  CHECK(max(abs(layer(x) - expected)).item() < 1e-12);
  CHECK(equal_bits(copy.state.mean, layer.state.mean));
  CHECK(layer.parameters().size() == 2);
  // A model is saved with its buffers, and these are the very tensors that training writes.
  const nn::Sequential<double> net{layer, nn::Linear<double>(3, 1, rng)};
  REQUIRE(net.buffers().size() == 2);
  CHECK(net.buffers()[0].impl().get() == layer.state.mean.impl().get());
  CHECK(net.parameters().size() == 4);
}

TEST_CASE("nn: Sequential runs layers, lambdas and ops in order, and switches their mode") {
  Rng rng{15};
  const nn::Linear<double> first(6, 5, rng), last(5, 2, rng);
  nn::Sequential<double> net{first, relu<double>, nn::Dropout<double>(0.5, rng), last,
                             [](const D& x) { return 2 * x; }};
  CHECK(net.size() == 5);
  REQUIRE(net.parameters().size() == 4);
  CHECK(net.parameters()[2].impl().get() == last.weight.impl().get());  // the very parameters, not copies
  const auto x = init::normal<double>({3, 6}, 0, 1, rng);
  const auto by_hand = 2 * last(relu(first(x)));
  CHECK(!equal_bits(net(x), by_hand));
  net.set_training(false);
  CHECK(equal_bits(net(x), by_hand));

  nn::Sequential<double> outer;
  outer.add(net);
  outer.add([](const D& y) { return flatten(y, 0); });
  CHECK(outer.parameters().size() == 4);
  outer.set_training(true);  // reaches through a Sequential within
  CHECK(!equal_bits(outer(x), flatten(by_hand, 0)));
  CHECK(equal_bits(nn::Sequential<double>{}(x), x));
}

TEST_CASE("nn: parameters and buffers have names") {
  Rng rng{18};
  struct Pair {  // a layer of a user's, without names
    nn::Linear<double> a, b;
    D operator()(const D& x) const { return a(x) + b(x); }
    std::vector<D> parameters() const { return {a.weight, b.weight}; }
  };
  nn::Linear<double> plain(3, 3, rng), bare(3, 2, rng);
  bare.bias = {};
  const nn::BatchNorm<double> norm(3);
  const nn::Sequential<double> inner{tanh<double>, bare};
  const nn::Sequential<double> net{plain, relu<double>, norm, Pair{plain, bare}, inner};
  const auto check = [](const nn::NamedTensors<double>& named, const std::vector<D>& tensors,
                        const std::vector<std::string>& names) {
    REQUIRE(named.size() == names.size());
    REQUIRE(tensors.size() == names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      CHECK(named[i].first == names[i]);
      CHECK(named[i].second.impl().get() == tensors[i].impl().get());  // the very tensors
    }
  };
  const std::vector<std::string> parameters{"0.weight", "0.bias", "2.gamma", "2.beta", "3.0", "3.1", "4.1.weight"};
  check(net.named_parameters(), net.parameters(), parameters);
  check(net.named_parameters(),
        {plain.weight, plain.bias, norm.gamma, norm.beta, plain.weight, bare.weight, bare.weight}, parameters);
  check(net.named_buffers(), {norm.state.mean, norm.state.variance}, {"2.mean", "2.variance"});
  auto all = parameters;
  all.insert(all.end(), {"2.mean", "2.variance"});
  std::vector<D> tensors = net.parameters();
  for (const auto& buffer : net.buffers()) tensors.push_back(buffer);
  check(net.named_tensors(), tensors, all);
  nn::Conv2d<double> convolution(1, 1, 3, rng);
  check(convolution.named_parameters(), {convolution.weight, convolution.bias}, {"weight", "bias"});
}

TEST_CASE("nn: a small convolutional net learns which half of an image is brighter") {
  Rng rng{16};
  nn::Sequential<float> net{nn::Conv2d<float>(1, 4, 3, rng, {.padding = 1}), relu<float>,
                            [](const Tensor<float>& x) { return max_pool2d(x); },
                            [](const Tensor<float>& x) { return flatten(x); }, nn::Linear<float>(4 * 3 * 3, 2, rng)};
  optim::Adam<float> adam{net.parameters(), {.learning_rate = 0.01}};
  const auto draw = [&] {
    const auto x = init::normal<float>({64, 1, 6, 6}, 0, 1, rng);
    const auto halves = sum(reshape(x, Shape{64, 2, 18}), -1);
    return std::pair{x, argmax(halves, 1)};
  };
  for (int step = 0; step < 300; ++step) {
    const auto [x, label] = draw();
    Tape tape;
    tape.backward(cross_entropy(net(x), label));
    adam.step();
  }
  net.set_training(false);
  std::size_t right = 0, all = 0;
  for (int i = 0; i < 10; ++i) {
    const auto [x, label] = draw();
    const auto guess = argmax(net(x), 1);
    for (std::size_t k = 0; k < label.size(); ++k, ++all) right += guess(k) == label(k);
  }
  CHECK(static_cast<double>(right) > 0.9 * static_cast<double>(all));
}
