// Checksums of what the library computes, for a change that may change no bit: values, gradients and second-order
// gradients of every sample of the op table, of random programs, and three training runs, in float and double.
//   xtape_checksums > before        one line each: what, element type, value, gradient, recorded gradient, second order
//   xtape_checksums > after && diff before after
// A NaN counts as one number whatever its bits are: its sign and payload are the processor's affair.

#include <xtape/xtape.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>

#include "random_programs/program.hpp"
#include "test_ops_measure.hpp"

namespace xtape::test {
namespace {

// FNV-1a over shapes and elements.
class Checksum {
 public:
  template <class T> void add(const Tensor<T>& x) {
    for (const std::size_t extent : x.shape()) bytes(&extent, sizeof extent);
    for (T value : x.span()) {
      if (std::isnan(value)) value = std::numeric_limits<T>::quiet_NaN();
      bytes(&value, sizeof value);
    }
  }
  template <class T> void add(const Tensors<T>& tensors) {
    for (const auto& tensor : tensors) add(tensor);
  }
  void add(const std::string& text) { bytes(text.data(), text.size()); }
  std::string text() const { return fmt::format("{:016x}", hash_); }

 private:
  void bytes(const void* data, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      hash_ = (hash_ ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3ULL;
  }
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

template <class F> std::string checksum(const F& compute) {
  Checksum sum;
  try {
    compute(sum);
  } catch (const std::exception& error) {
    sum.add(error.what());
  }
  return sum.text();
}

template <class T> constexpr const char* type_name = std::is_same_v<T, float> ? "float" : "double";

template <class T> Tensor<T> call(const Op& op, const Tensors<T>& x) {
  if constexpr (std::is_same_v<T, double>)
    return op.in_double(x);
  else
    return op.in_float(x);
}

template <class T> Tensor<T> weights_for(const Tensor<T>& y, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<T> values(y.size());
  for (T& value : values) value = static_cast<T>(static_cast<double>(random() >> 40) * 0x1p-24 - 0.375);
  return Tensor<T>(y.shape(), values);
}

template <class T> Tensor<T> weighted(const Tensors<T>& y, std::uint64_t seed) {
  Tensor<T> total(T(0));
  for (std::size_t i = 0; i < y.size(); ++i) total = total + sum(y[i] * weights_for(y[i], seed + i));
  return total;
}

// f maps leaves to a list of results. Prints the checksums of one line.
template <class T, class F> void print(const std::string& name, const Tensors<T>& x, const F& f) {
  Tensors<T> leaves;
  for (const auto& input : x) leaves.push_back(parameter(input));
  const std::string value = checksum([&](Checksum& sum) { sum.add(f(x)); });
  const std::string gradient = checksum([&](Checksum& sum) {
    Tape tape;
    const auto y = weighted<T>(f(leaves), 1);
    if (!y.requires_grad()) return;
    sum.add(tape.gradient(y, leaves, {.retain_graph = true}));
    tape.backward(y);  // other paths of the sweep than gradient() takes
    for (const auto& leaf : leaves)
      if (leaf.grad().defined()) sum.add(leaf.grad());
  });
  std::string recorded;
  const std::string second = checksum([&](Checksum& sum) {
    Tape tape;
    const auto y = weighted<T>(f(leaves), 1);
    Tensors<T> g;
    recorded = checksum([&](Checksum& of) {
      if (y.requires_grad()) g = tape.gradient(y, leaves, {.create_graph = true});
      of.add(g);
    });
    const auto along = weighted<T>(g, 7);
    if (along.requires_grad()) sum.add(tape.gradient(along, leaves));
  });
  fmt::print("{} | {} | {} {} {} {}\n", name, type_name<T>, value, gradient, recorded, second);
}

Tensors<float> in_float(const Tensors<double>& x) {
  Tensors<float> result;
  for (const auto& tensor : x) result.push_back(cast<float>(tensor));
  return result;
}

template <class T> void print_sample(const Sample& sample, const Tensors<T>& x) {
  print<T>(sample.name, x, [&](const Tensors<T>& in) { return Tensors<T>{call<T>(sample.which->op, in)}; });
}

template <class T> void print_program(const Program& program, std::uint64_t seed) {
  Tensors<T> x;
  for (const Step& step : program.steps())
    if (!step.op && !step.constant) {
      std::vector<T> values;
      for (const Jet& v : step.values.values) values.push_back(static_cast<T>(v.value));
      x.push_back(Tensor<T>(step.values.shape, values));
    }
  print<T>(fmt::format("program {}", seed), x, [&](const Tensors<T>& leaves) {
    Tensors<T> lines, ends;
    std::size_t leaf = 0;
    for (const Step& step : program.steps()) {
      Tensors<T> inputs;
      for (const std::size_t i : step.inputs) inputs.push_back(lines[i]);
      if (step.op) {
        lines.push_back(call<T>(*step.op, inputs));
      } else if (!step.constant) {
        lines.push_back(leaves[leaf++]);
      } else {
        std::vector<T> values;
        for (const Jet& v : step.values.values) values.push_back(static_cast<T>(v.value));
        lines.push_back(Tensor<T>(step.values.shape, values));
      }
    }
    for (const std::size_t end : program.ends()) ends.push_back(lines[end]);
    return ends;
  });
}

Program random_program(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Instructions instructions(1 + random() % 24);
  for (Instruction& instruction : instructions)
    for (auto& number : instruction) number = static_cast<std::uint16_t>(random() % choice_limit);
  return draw_program(entries(), instructions, seed);
}

// Labels that a linear rule gives to random images, so that there is something to learn.
template <class T> Integers labels_of(const Tensor<T>& x, std::size_t classes, Rng& rng) {
  const auto rule = init::normal<T>({x.size() / x.shape()[0], classes}, T(0), T(1), rng);
  return Integers(argmax(matmul(flatten(x), rule), 1));
}

template <class T, class Model> void print_training(const char* name, Model& model, const Shape& image) {
  const std::string sum = checksum([&](Checksum& of) {
    Rng rng(5);
    Shape shape{64};
    for (const std::size_t extent : image) shape.push_back(extent);
    const auto x = init::normal<T>(shape, T(0), T(1), rng);
    const auto labels = labels_of(x, 5, rng);
    optim::Adam<T> adam{model.parameters(), {.learning_rate = 0.01, .weight_decay = 0.01}};
    for (int step = 0; step < 60; ++step) {
      Tape tape;
      const auto loss = cross_entropy(model(x), labels);
      tape.backward(loss);
      optim::clip_gradient_norm(model.parameters(), T(1));
      adam.step();
      of.add(loss);
    }
    for (const auto& parameter : model.parameters()) of.add(parameter.detach());
  });
  fmt::print("training {} | {} | {}\n", name, type_name<T>, sum);
}

template <class T> void print_rbm_training() {
  const std::string sum = checksum([&](Checksum& of) {
    Rng rng(9);
    Rbm<T> rbm(20, 12, rng);
    const auto v = init::normal<T>({50, 20}, T(0), T(1), rng) > T(0.3);
    optim::Sgd<T> sgd{{rbm.W, rbm.b, rbm.a}, {.learning_rate = 0.1, .momentum = 0.5}};
    for (int step = 0; step < 200; ++step) {
      contrastive_divergence(rbm, v, {.k = 2}, rng);
      sgd.step();
    }
    for (const auto& parameter : {rbm.W, rbm.b, rbm.a}) of.add(parameter.detach());
  });
  fmt::print("training rbm | {} | {}\n", type_name<T>, sum);
}

template <class T> void print_trainings() {
  Rng rng(3);
  nn::Sequential<T> mlp{nn::Linear<T>(12, 32, rng), relu<T>, nn::Linear<T>(32, 16, rng), tanh<T>,
                        nn::Linear<T>(16, 5, rng)};
  print_training<T>("mlp", mlp, {12});
  nn::Sequential<T> convnet{nn::Conv2d<T>(1, 6, {3, 3}, rng, {.padding = {1, 1}}),
                            relu<T>,
                            [](const Tensor<T>& x) {
                              return max_pool2d(x, {.window = {2, 2}});
                            },
                            nn::Conv2d<T>(6, 8, {3, 3}, rng),
                            relu<T>,
                            [](const Tensor<T>& x) { return flatten(x); },
                            nn::Linear<T>(8 * 4 * 4, 5, rng)};
  print_training<T>("convnet", convnet, {1, 12, 12});
  print_rbm_training<T>();
}

}  // namespace
}  // namespace xtape::test

int main() {
  using namespace xtape::test;
  xtape::set_num_threads(1);
  for (const Row& row : op_table())
    for (const Sample& sample : samples_of(row)) {
      print_sample<double>(sample, sample.x);
      print_sample<float>(sample, in_float(sample.x));
    }
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    const Program program = random_program(seed);
    print_program<double>(program, seed);
    print_program<float>(program, seed);
  }
  print_trainings<double>();
  print_trainings<float>();
}
