#pragma once
// Training steps in xtape.

#include <xtape/optim.hpp>
#include <xtape/tape.hpp>

#include "cases.hpp"

namespace bench {

using namespace xtape;

struct Weight {
  std::string name;
  Tensor<float> value;
  Floats start;
};

inline Weight weight(std::string name, const Shape& shape, const Floats& values) {
  return {std::move(name), parameter(Tensor<float>(shape, values)), values};
}

// Trains weights by gradient descent with momentum on loss(weights, number of the step).
template <class Loss>
Running training(const std::vector<Weight>& weights, double learning_rate, double momentum, Pass pass, Loss loss) {
  struct State {
    std::vector<Weight> weights;
    std::vector<Tensor<float>> parameters;
    optim::Sgd<float> sgd;
    std::size_t steps = 0;
    float loss = 0;
  };
  std::vector<Tensor<float>> parameters;
  for (const auto& w : weights) parameters.push_back(w.value);
  State state{weights, parameters, {parameters, {.learning_rate = learning_rate, .momentum = momentum}}};
  if (pass == Pass::forward)
    return running(
        state, [loss](State& s) { s.loss = loss(s.parameters, 0).item(); },
        [](const State& s) {
          return Numbers{digest("loss", {&s.loss, 1})};
        });
  return running(
      state,
      [loss](State& s) {
        Tape tape;
        const auto value = loss(s.parameters, s.steps++);
        tape.backward(value);
        s.sgd.step();
        s.loss = value.item();
      },
      [](const State& s) {
        Numbers numbers{digest("loss", {&s.loss, 1})};
        for (const auto& w : s.weights) numbers.push_back(digest_change(w.name, w.value.span(), w.start));
        return numbers;
      });
}

}  // namespace bench
