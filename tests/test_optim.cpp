// Optimisers, against their updates written out.

#include <doctest/doctest.h>
#include <xtape/error.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/optim.hpp>
#include <xtape/schedule.hpp>
#include <xtape/tape.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace xtape;
using D = Tensor<double>;

namespace {

constexpr double start[] = {1, -2, 3};

// Five steps of an optimiser on sum w³, against `update`, which changes a value given its gradient and step.
template <class Optimiser, class Options, class Update> void compare(const Options& options, const Update& update) {
  D w = parameter(D({3}, {1, -2, 3})), untouched = parameter(D(7.0));
  Optimiser optimiser({w, untouched}, options);
  double value[] = {start[0], start[1], start[2]};
  for (int step = 1; step <= 5; ++step) {
    {
      Tape tape;
      tape.backward(sum(w * w * w));
    }
    optimiser.step();
    CHECK(!w.grad().defined());
    for (std::size_t i = 0; i < 3; ++i) {
      update(i, value[i], 3 * value[i] * value[i], step);
      CHECK(w.data()[i] == doctest::Approx(value[i]).epsilon(1e-14));
    }
  }
  CHECK(untouched.item() == 7);
  CHECK(w.requires_grad());
}

}  // namespace

TEST_CASE("sgd: momentum, Nesterov's momentum and weight decay as written") {
  for (const double momentum : {0.0, 0.9})
    for (const bool nesterov : {false, true})
      for (const double decay : {0.0, 0.3}) {
        if (nesterov && momentum == 0) continue;
        double velocity[3] = {};
        compare<optim::Sgd<double>>(
            optim::SgdOptions{.learning_rate = 0.02, .momentum = momentum, .nesterov = nesterov, .weight_decay = decay},
            [&](std::size_t i, double& p, double g, int) {
              g += decay * p;
              velocity[i] = momentum * velocity[i] + g;
              p -= 0.02 * (nesterov ? g + momentum * velocity[i] : velocity[i]);
            });
      }
}

TEST_CASE("adam: as written, with decoupled weight decay") {
  for (const double decay : {0.0, 0.3}) {
    double m[3] = {}, s[3] = {};
    compare<optim::Adam<double>>(
        optim::AdamOptions{.learning_rate = 0.1, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = decay},
        [&](std::size_t i, double& p, double g, int t) {
          m[i] = 0.8 * m[i] + 0.2 * g;
          s[i] = 0.95 * s[i] + 0.05 * g * g;
          const double mean = m[i] / (1 - std::pow(0.8, t)), square = s[i] / (1 - std::pow(0.95, t));
          p = p - 0.1 * decay * p - 0.1 * mean / (std::sqrt(square) + 1e-8);
        });
  }
}

TEST_CASE("clip_gradient_norm: one factor for all, nothing below the bound") {
  D a = parameter(D({2}, {0, 0})), b = parameter(D(0.0)), none = parameter(D(0.0));
  const auto set = [&] {
    a.set_grad(D({2}, {3, 0}));
    b.set_grad(D(4.0));
  };
  set();
  CHECK(optim::clip_gradient_norm<double>({a, b, none}, 10) == 5);
  CHECK(a.grad().data()[0] == 3);
  CHECK(optim::clip_gradient_norm<double>({a, b, none}, 1) == 5);
  CHECK(a.grad().data()[0] == doctest::Approx(0.6));
  CHECK(b.grad().item() == doctest::Approx(0.8));
  CHECK(!none.grad().defined());
  CHECK_THROWS_AS(optim::clip_gradient_norm<double>({a}, 0), ValueError);
}

TEST_CASE("optimisers: bad settings") {
  D w = parameter(D(1.0)), constant(1.0);
  const auto sgd = [](std::vector<D> parameters, optim::SgdOptions options) {
    return optim::Sgd<double>(std::move(parameters), options);
  };
  CHECK_THROWS_AS(sgd({w}, {.learning_rate = -1}), ValueError);
  CHECK_THROWS_AS(sgd({w}, {.momentum = 1}), ValueError);
  CHECK_THROWS_AS(sgd({w}, {.nesterov = true}), ValueError);
  CHECK_THROWS_AS(sgd({w}, {.weight_decay = -1}), ValueError);
  CHECK_THROWS_AS(sgd({constant}, {}), TapeError);
  CHECK_THROWS_AS(optim::Adam<double>({w}, {.beta2 = 1}), ValueError);
  CHECK_THROWS_AS(optim::Adam<double>({w}, {.epsilon = 0}), ValueError);
  auto late = sgd({w}, {});
  late.options.learning_rate = std::nan("");
  CHECK_THROWS_AS(late.step(), ValueError);
}

TEST_CASE("schedules: where they start, pass and end") {
  using namespace xtape::schedule;
  CHECK(progress(0, 10) == 0);
  CHECK(progress(5, 10) == 0.5);
  CHECK(progress(20, 10) == 1);
  CHECK(progress(0, 0) == 1);
  CHECK(linear(0.5, 0.1, 0.25) == doctest::Approx(0.4));
  CHECK(exponential(1, 0.01, 0.5) == doctest::Approx(0.1));
  CHECK(cosine(3, 1, 0) == 3);
  CHECK(cosine(3, 1, 0.5) == doctest::Approx(2));
  CHECK(cosine(3, 1, 1.0 / 3) == doctest::Approx(2.5));
  CHECK(cosine(3, 1, 1) == doctest::Approx(1));
  CHECK(steps(8, 0.5, 10, 9) == 8);
  CHECK(steps(8, 0.5, 10, 10) == 4);
  CHECK(steps(8, 0.5, 10, 39) == 1);
  CHECK(steps(8, 0.5, 0, 39) == 8);
  CHECK(warmup(4, 0) == 0.25);
  CHECK(warmup(4, 3) == 1);
  CHECK(warmup(0, 0) == 1);
  // The ratio of the rates overflows, the rate between them does not.
  CHECK(exponential(1e-300, 1e300, 0.5) == doctest::Approx(1));
  CHECK(exponential(0.3, 0.007, 0) == 0.3);
  CHECK(exponential(0.3, 0.007, 1) == 0.007);
  CHECK(linear(0, 0, 0.5) == 0);
  CHECK(steps(8, 0, 10, 9) == 8);
  CHECK(steps(8, 0, 10, 10) == 0);
}

TEST_CASE("schedules: rates, factors and progress that make no rate are errors") {
  using namespace xtape::schedule;
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  for (const double bad : {-0.1, -inf, inf, nan}) {
    CAPTURE(bad);
    for (const auto schedule : {linear, exponential, cosine}) {
      CHECK_THROWS_AS(schedule(bad, 0.1, 0.5), ValueError);
      CHECK_THROWS_AS(schedule(0.1, bad, 0.5), ValueError);
      CHECK_THROWS_AS(schedule(0.1, 0.01, bad), ValueError);
    }
    CHECK_THROWS_AS(steps(bad, 0.5, 10, 1), ValueError);
    CHECK_THROWS_AS(steps(0.1, bad, 10, 1), ValueError);
  }
  for (const auto schedule : {linear, exponential, cosine}) CHECK_THROWS_AS(schedule(0.1, 0.01, 1.5), ValueError);
  CHECK_THROWS_WITH(exponential(0.1, 0, 0.5), "exponential: the end 0 is not positive and finite");
  CHECK_THROWS_AS(exponential(0, 0.1, 0.5), ValueError);
  CHECK_THROWS_WITH(linear(-1, 0, 0.5), "linear: the start -1 is not at least 0 and finite");
}

TEST_CASE("optimisers: a state is of its time, and is refused where it does not fit") {
  const auto w = parameter(Tensor<double>({2}, {1, 2}));
  const auto step = [&](auto& optimiser) {
    Tensor<double>(w).set_grad(Tensor<double>({2}, {0.5, -3}));
    optimiser.step();
  };
  optim::Sgd<double> sgd({w}, {.momentum = 0.9});
  CHECK(!sgd.state().velocity[0].defined());
  step(sgd);
  const auto state = sgd.state();
  const std::vector<double> before(state.velocity[0].span().begin(), state.velocity[0].span().end());
  step(sgd);
  CHECK(std::vector<double>(state.velocity[0].span().begin(), state.velocity[0].span().end()) == before);
  const std::vector<double> start(w.span().begin(), w.span().end());
  const auto from_state = [&](optim::Sgd<double>& optimiser) {
    Tensor<double>(w).assign(Tensor<double>({2}, start));
    optimiser.set_state(state);
    step(optimiser);
    return std::vector<double>(w.span().begin(), w.span().end());
  };
  optim::Sgd<double> fresh({w});
  const auto once = from_state(sgd);
  CHECK(once == from_state(fresh));
  CHECK(once == from_state(fresh));  // and the state is still what it was
  CHECK_THROWS_AS(sgd.set_state({state.options, {}}), ShapeError);
  CHECK_THROWS_AS(sgd.set_state({state.options, {Tensor<double>({3}, {1, 2, 3})}}), ShapeError);
  CHECK_THROWS_AS(sgd.set_state({{.momentum = 2}, state.velocity}), ValueError);
  CHECK(std::ranges::equal(sgd.state().velocity[0].span(), fresh.state().velocity[0].span()));

  optim::Adam<double> adam({w}, {.learning_rate = 0.1});
  CHECK(adam.state().moments[0].steps == 0);
  step(adam);
  auto moments = adam.state();
  step(adam);
  CHECK(moments.moments[0].steps == 1);
  CHECK(adam.state().moments[0].steps == 2);
  CHECK(!std::ranges::equal(moments.moments[0].mean.span(), adam.state().moments[0].mean.span()));
  moments.moments[0].mean = {};
  CHECK_THROWS_WITH_AS(adam.set_state(moments), "adam: the state of parameter 0 is missing, expected (2,)", ShapeError);
  CHECK_THROWS_AS(adam.set_state({{}, {}}), ShapeError);
}
