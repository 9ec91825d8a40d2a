#include <xtape/xtape.hpp>
using namespace xtape;

int main() {
  // Train a classifier of handwritten digits.
  Rng rng{7};
  const auto digits = data::builtin_digits(7);
  Tensor W1 = parameter(init::normal<float>({784, 100}, 0.f, 0.1f, rng));
  Tensor b1 = parameter(zeros<float>({100}));
  Tensor W2 = parameter(init::normal<float>({100, 10}, 0.f, 0.1f, rng));
  Tensor b2 = parameter(zeros<float>({10}));
  optim::Sgd sgd{{W1, b1, W2, b2}, {.learning_rate = 0.1, .momentum = 0.5}};

  for (auto [x, label] : data::batches(digits.train, 32, rng)) {
    Tape tape;  // records what follows
    auto h = sigmoid(matmul(x, W1) + b1);
    auto loss = cross_entropy(matmul(h, W2) + b2, label);
    tape.backward(loss);  // fills W1.grad(), ...
    sgd.step();
  }

  // Derived by hand: d/dx sum(x^2 e^x) = (2x + x^2) e^x. Is that right?
  Tensor<double> x = xt::xarray<double>{0.5, -1.0, 2.0};
  auto by_hand = (2 * x + square(x)) * exp(x);
  auto loss = [](const Tensor<double>& v) { return sum(square(v) * exp(v)); };
  fmt::print("{}\n", verify("d/dx", by_hand, loss, x));  // ends in PASS or FAIL, with the worst entry
}
