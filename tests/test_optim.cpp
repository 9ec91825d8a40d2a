// Optimisers, against the update written out.

#include <doctest/doctest.h>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/optim.hpp>
#include <xtape/tape.hpp>

using namespace xtape;
using D = Tensor<double>;

TEST_CASE("sgd: momentum as written, gradients cleared") {
  for (const double momentum : {0.0, 0.9}) {
    D w = parameter(D({3}, {1, -2, 3})), untouched = parameter(D(7.0));
    optim::Sgd<double> sgd({w, untouched}, {.learning_rate = 0.1, .momentum = momentum});
    double value[] = {1, -2, 3}, velocity[] = {0, 0, 0};
    for (int step = 0; step < 5; ++step) {
      {
        Tape tape;
        tape.backward(sum(w * w * w));
      }
      sgd.step();
      CHECK(!w.grad().defined());
      for (int i = 0; i < 3; ++i) {
        velocity[i] = momentum * velocity[i] + 3 * value[i] * value[i];
        value[i] -= 0.1 * velocity[i];
        CHECK(w.data()[i] == doctest::Approx(value[i]).epsilon(1e-14));
      }
    }
    CHECK(untouched.item() == 7);
    CHECK(w.requires_grad());
  }
}

TEST_CASE("sgd: bad settings") {
  D w = parameter(D(1.0)), constant(1.0);
  const auto make = [](std::vector<D> parameters, optim::SgdOptions options) {
    return optim::Sgd<double>(std::move(parameters), options);
  };
  CHECK_THROWS_AS(make({w}, {.learning_rate = -1}), ValueError);
  CHECK_THROWS_AS(make({w}, {.momentum = 1}), ValueError);
  CHECK_THROWS_AS(make({constant}, {}), TapeError);
}
