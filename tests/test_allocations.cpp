// A program of its own: a training step in steady state asks nothing of the system, whichever library it is in.

#include <xtape/xtape.hpp>

#include "allocation_counter.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include <cblas.h>
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>

using namespace xtape;

namespace {

// Calls in five steps, after two in which memory is taken and kept. Blocks that others gave back do not count.
std::size_t calls_in_steady_state(const std::function<void()>& step) {
  detail::trim_memory();
  step();
  step();
  const std::size_t before = allocations();
  for (int i = 0; i < 5; ++i) step();
  return allocations() - before;
}

data::Dataset digits(std::size_t side) {
  data::Dataset set;
  set.rows = set.cols = side;
  set.classes = 10;
  Rng rng(1);
  const auto pixels = init::uniform<float>({64, side * side}, 0.F, 1.F, rng);
  set.pixels.assign(pixels.span().begin(), pixels.span().end());
  for (std::size_t i = 0; i < 64; ++i) set.labels.push_back(static_cast<int>(i % 10));
  return set;
}

// Trains on one batch after the other of sixteen images, by both optimisers. Of fewer than twelve OpenBLAS forms the
// products, which on processors with AVX-512 may call malloc.
void check_classifier(const nn::Sequential<float>& model, const data::Dataset& set) {
  optim::Sgd sgd{model.parameters(), {.learning_rate = 0.1, .momentum = 0.9}};
  optim::Adam adam{model.parameters()};
  const auto batches = data::batches(set, 16);
  auto batch = batches.begin();
  const auto train = [&](auto& optimiser) {
    if (batch == batches.end()) batch = batches.begin();
    const auto [x, label] = *batch;
    {
      Tape tape;
      const auto loss = cross_entropy(model(x), label);
      tape.backward(loss);
      optim::clip_gradient_norm(model.parameters(), 1.0);
      optimiser.step();
    }
    ++batch;
  };
  CHECK(calls_in_steady_state([&] { train(sgd); }) == 0);
  CHECK(calls_in_steady_state([&] { train(adam); }) == 0);
}

}  // namespace

TEST_CASE("allocations: all kinds are counted, in every library") {
  const auto counted = [](const auto& call) {
    const std::size_t before = allocations();
    call();
    return allocations() - before;
  };
  // Or the compiler leaves out what it sees to be freed unused.
  void* volatile block = nullptr;
  const auto free_it = [&](void* fresh) {
    block = fresh;
    std::free(block);
  };
  CHECK(counted([&] { free_it(std::malloc(10)); }) == 1);
  CHECK(counted([&] { free_it(std::calloc(10, 10)); }) == 1);
  CHECK(counted([&] { free_it(std::realloc(nullptr, 10)); }) == 1);
  CHECK(counted([&] { free_it(std::aligned_alloc(64, 64)); }) == 1);
  CHECK(counted([&] {
          block = ::operator new(10);
          ::operator delete(block);
        }) == 1);
  CHECK(counted([&] {
          block = ::operator new(64, std::align_val_t(64));
          ::operator delete(block, std::align_val_t(64));
        }) == 1);
  CHECK(counted([&] {
          block = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          munmap(block, 4096);
        }) == 1);
  detail::deallocate(detail::allocate(64), 64);  // the first makes the thread's lists
  detail::trim_memory();
  CHECK(counted([&] { detail::deallocate(detail::allocate(1'000'000), 1'000'000); }) == 1);  // in libxtape
  CHECK(counted([&] { detail::deallocate(detail::allocate(1'000'000), 1'000'000); }) == 0);
}

TEST_CASE("allocations: a multi-layer perceptron") {
  Rng rng(1);
  const auto set = digits(28);
  const nn::Linear<float> hidden(784, 100, rng), output(100, 10, rng);
  check_classifier(nn::Sequential<float>{hidden, relu<float>, output}, set);
}

TEST_CASE("allocations: the convolutional net of train_classifier") {
  Rng rng(1);
  const auto set = digits(28);
  const auto as_images = [](const Tensor<float>& x) { return reshape(x, Shape{x.shape(0), 1, 28, 28}); };
  const auto pool = [](const Tensor<float>& x) { return max_pool2d(x); };
  const auto flat = [](const Tensor<float>& x) { return flatten(x); };
  const nn::Conv2d<float> conv1(1, 16, 5, rng), conv2(16, 32, 5, rng);
  const nn::Linear<float> dense1(512, 128, rng), dense2(128, 10, rng);
  check_classifier(nn::Sequential<float>{as_images, conv1, relu<float>, pool, conv2, relu<float>, pool, flat, dense1,
                                         relu<float>, dense2},
                   set);
}

TEST_CASE("allocations: autoencoders, tied and untied, with inputs dropped, and one fused op") {
  Rng rng(1);
  const auto normal = [&](const Shape& shape) { return parameter(init::normal<float>(shape, 0.F, 0.1F, rng)); };
  const Tensor w = normal({784, 50}), a = normal({50}), u = normal({50, 784}), b = normal({784});
  const Tensor x = init::uniform<float>({32, 784}, 0.F, 1.F, rng);
  optim::Sgd sgd{{w, a, u, b}, {.learning_rate = 0.1, .momentum = 0.5}};
  const auto train = [&](const auto& logits) {
    Tape tape;
    const auto h = sigmoid(matmul(dropout(x, 0.1, rng), w) + a);
    tape.backward(binary_cross_entropy_with_logits(logits(h), x));
    sgd.step();
  };
  CHECK(calls_in_steady_state([&] { train([&](const auto& h) { return matmul(h, u) + b; }); }) == 0);
  CHECK(calls_in_steady_state([&] { train([&](const auto& h) { return matmul(h, w, {.transpose_b = true}) + b; }); }) ==
        0);
  CHECK(calls_in_steady_state([&] {
          Tape tape;
          tape.backward(mse_loss(map([](auto p, auto q) { return tanh(p) * q; }, matmul(x, w), a), 0.5F));
          sgd.step();
        }) == 0);
}

TEST_CASE("allocations: contrastive divergence and Gibbs sampling") {
  Rng rng(1);
  Rbm<float> rbm(784, 50, rng);
  optim::Sgd sgd{rbm.parameters(), {.learning_rate = 0.1, .momentum = 0.5, .weight_decay = 1e-4}};
  const Tensor v = init::uniform<float>({32, 784}, 0.F, 1.F, rng);
  Tensor particles = init::uniform<float>({20, 784}, 0.F, 1.F, rng) < 0.5F;
  const auto steps = [&](const CdOptions<float>& options) {
    return calls_in_steady_state([&] {
      contrastive_divergence(rbm, v, options, rng);
      sgd.step();
    });
  };
  CHECK(steps({.k = 1}) == 0);
  CHECK(steps({.k = 10, .reconstruction_error = false}) == 0);
  CHECK(steps({.k = 5, .particles = &particles}) == 0);
  CHECK(steps({.k = 2,
               .visible_probabilities = true,
               .hidden_samples = true,
               .sparsity_target = 0.1F,
               .sparsity_cost = 0.01F}) == 0);

  GibbsChain chain(rbm, v, rng), tempered(rbm, v, rng, {.inverse_temperatures = {1, 0.9, 0.5, 0}});
  CHECK(calls_in_steady_state([&] { chain.step(3); }) == 0);
  CHECK(calls_in_steady_state([&] { tempered.step(3); }) == 0);
  CHECK(calls_in_steady_state([&] { static_cast<void>(chain.samples(4, 2)); }) == 0);
}

TEST_CASE("allocations: depth, and tapes within tapes") {
  Tensor w = parameter(ones<float>({8, 8}));
  const Tensor x = ones<float>({8, 8});
  CHECK(calls_in_steady_state([&] {
          Tape tape;
          Tensor<float> y = x;
          for (int i = 0; i < 300; ++i) y = tanh(matmul(y, w));
          tape.backward(sum(y));
          w.zero_grad();
        }) == 0);
  CHECK(calls_in_steady_state([&] {
          Tape tape;
          const auto [slope] = tape.gradient(sum(square(matmul(x, w))), {w}, {.create_graph = true});
          tape.backward(sum(square(slope)));
          w.zero_grad();
        }) == 0);
}

int main(int argc, char** argv) {
  if (!allocations_are_counted) {
    std::puts("skipped: malloc is a sanitizer's, or the C library is not glibc");
    return 0;
  }
  openblas_set_num_threads(1);  // on several it allocates at every product
  return doctest::Context(argc, argv).run();
}
