// Lists of parameters: one that is listed twice, one that an optimiser does not know, and numbers at the ends of T.

#include <xtape/data/model.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/data/training_state.hpp>
#include <xtape/init.hpp>
#include <xtape/mpi/gradient_average.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/optim.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "files.hpp"

using namespace xtape;
using D = Tensor<double>;
using F = Tensor<float>;

namespace {

// sum w³ and its step by the optimiser.
template <class Optimiser> void step_cube(Optimiser& optimiser, const D& w) {
  Tape tape;
  tape.backward(sum(w * w * w));
  optimiser.step();
}

template <class T> Tensor<T> with_gradient(std::initializer_list<T> gradient) {
  Tensor<T> w = parameter(zeros<T>({gradient.size()}));
  w.set_grad(Tensor<T>({gradient.size()}, gradient));
  return w;
}

}  // namespace

TEST_CASE("parameters: distinct keeps the first place of each; copies of a handle are one tensor") {
  const D w = parameter(D({2}, {1, 2})), b = parameter(D(3.0)), also_w = w;
  const auto few = distinct(std::vector{w, b, also_w, w, b});
  REQUIRE(few.size() == 2);
  CHECK(few[0].impl().get() == w.impl().get());
  CHECK(few[1].impl().get() == b.impl().get());
  CHECK(distinct(std::vector{w, w.detach(), parameter(w)}).size() == 3);
  CHECK(distinct(std::vector<D>{}).empty());
  CHECK(parameter_count(std::vector{w, b, w}) == 3);
}

TEST_CASE("parameters: tied weights are clipped, stepped and kept once") {
  Tensor w = parameter(D(0.0));
  w.set_grad(D(100.0));
  CHECK(optim::clip_gradient_norm({w, w}, 1) == 100);
  CHECK(w.grad().item() == 1);

  const D once = parameter(D({2}, {1, -2})), twice = parameter(D({2}, {1, -2}));
  optim::Sgd<double> sgd_once({once}, {.momentum = 0.9}), sgd_twice({twice, twice}, {.momentum = 0.9});
  optim::Adam<double> adam_once({once}), adam_twice({twice, twice});
  for (int i = 0; i < 3; ++i) {
    step_cube(sgd_once, once);
    step_cube(sgd_twice, twice);
    step_cube(adam_once, once);
    step_cube(adam_twice, twice);
    CHECK(std::ranges::equal(once.span(), twice.span()));
  }
  CHECK(sgd_twice.state().velocity.size() == 1);
  CHECK(adam_twice.state().moments.size() == 1);
  CHECK(adam_twice.state().moments[0].steps == 3);
}

TEST_CASE("parameters: a layer that a Sequential has twice is counted, clipped and stepped once") {
  Rng rng(1);
  const nn::Linear<double> layer(3, 3, rng);
  const nn::Sequential<double> net{layer, nn::Sequential<double>{layer}};
  CHECK(net.parameters().size() == 4);
  CHECK(parameter_count(net.parameters()) == 9 + 3);
  optim::Sgd<double> sgd{net.parameters(), {.learning_rate = 1, .momentum = 0.5}};
  CHECK(sgd.state().velocity.size() == 2);
  D bias = layer.bias;
  bias.set_grad(D({3}, {3, 0, 4}));
  CHECK(optim::clip_gradient_norm(net.parameters(), 100) == 5);
  sgd.step();
  CHECK(bias.data()[2] == -4);
}

TEST_CASE("parameters: a file has tied weights once, and is read under any of their names") {
  const Folder folder;
  const std::string path = folder / "tied.safetensors";
  const D w = parameter(D({2}, {1, 2}));
  const nn::NamedTensors<double> tied{{"in", w}, {"out", w}};
  data::save_model(path, tied);
  CHECK(data::read_safetensors<double>(path).tensors.size() == 1);
  D(w).assign(D({2}, {7, 7}));
  data::load_model(path, tied);
  CHECK(w.data()[1] == 2);

  const auto with = [&](std::map<std::string, D> tensors) {
    data::write_safetensors(path, data::TensorFile<double>{.tensors = std::move(tensors), .metadata = {}});
  };
  with({{"out", D({2}, {3, 4})}});
  data::load_model(path, tied, {.unmarked = true});
  CHECK(w.data()[1] == 4);
  with({{"in", D({2}, {5, 6})}, {"out", D({2}, {5, 6})}});
  data::load_model(path, tied, {.unmarked = true});
  CHECK(w.data()[1] == 6);
  with({{"in", D({2}, {5, 6})}, {"out", D({2}, {5, 8})}});
  check_bad([&] { data::load_model(path, tied, {.unmarked = true}); },
            {"tensors 'in' and 'out' differ, the model's are one"});
  with({{"other", D({2}, {5, 6})}});
  check_bad([&] { data::load_model(path, tied, {.unmarked = true}); }, {"there is no tensor 'in' in it"});
  CHECK(w.data()[1] == 6);

  data::TrainingState state;
  state.parameters("net", std::vector{w, w});
  state.write(path);
  data::TrainingState again;
  again.read(path);
  again.parameters("net", std::vector{w, w});
}

TEST_CASE("parameters: tied weights travel to other processes once") {
  const mpi::World world;
  const D w = parameter(zeros<double>({10})), b = parameter(D(1.0));
  // Each parameter a piece of its own.
  CHECK(mpi::GradientAverage<double>(world, std::vector{w, b, w}, {.piece_bytes = 1}).pieces() == 2);
}

TEST_CASE("clip_gradient_norm: squares and norms beyond T's range") {
  F big = with_gradient<float>({3e38F, 3e38F});
  CHECK(optim::clip_gradient_norm({big}, 1) == doctest::Approx(4.2426406e38).epsilon(1e-6));
  for (const float g : big.grad().span()) CHECK(g == doctest::Approx(0.70710678).epsilon(1e-6));

  D huge = with_gradient<double>({1.5e308, -1.5e308});  // of norm 2.1e308, which double cannot hold
  CHECK(std::isinf(optim::clip_gradient_norm({huge}, 2)));
  CHECK(huge.grad().data()[0] == doctest::Approx(std::sqrt(2.0)).epsilon(1e-15));
  CHECK(huge.grad().data()[1] == doctest::Approx(-std::sqrt(2.0)).epsilon(1e-15));
  D a = with_gradient<double>({3e200}), b = with_gradient<double>({4e200});
  CHECK(optim::clip_gradient_norm({a, b}, 1e-200) == doctest::Approx(5e200).epsilon(1e-15));
  CHECK(a.grad().item() == doctest::Approx(6e-201).epsilon(1e-15));

  F tiny = with_gradient<float>({3e-42F, -4e-42F});
  const double length = optim::clip_gradient_norm({tiny}, 1e-43);
  CHECK(length == doctest::Approx(std::hypot(double(3e-42F), double(4e-42F))).epsilon(1e-6));
  D least = with_gradient<double>({3e-310, -4e-310});
  CHECK(optim::clip_gradient_norm({least}, 1.0) == doctest::Approx(5e-310).epsilon(1e-12));
  CHECK(least.grad().data()[0] == 3e-310);
  D zero = with_gradient<double>({0, 0});
  CHECK(optim::clip_gradient_norm({zero}, 1.0) == 0);
}

TEST_CASE("clip_gradient_norm: gradients that are not finite stay as they are, or are an error") {
  constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const auto check = [&](double bad, const std::string& text) {
    D fine = with_gradient<double>({100}), w = with_gradient<double>({bad, 3});
    CHECK(!std::isfinite(optim::clip_gradient_norm({fine, w}, 1)));
    CHECK(fine.grad().item() == 100);
    CHECK(w.grad().data()[1] == 3);
    check_bad<ValueError>(
        [&] {
          optim::clip_gradient_norm({fine, w}, 1, {.error_if_nonfinite = true});
        },
        {"clip_gradient_norm: the gradient of parameter 1, of shape (2,), holds " + text});
    CHECK(fine.grad().item() == 100);
  };
  check(inf, "inf");
  check(-inf, "-inf");
  check(nan, "nan");
  F w = with_gradient<float>({3e38F, 3e38F});  // the norm overflows, the gradient does not
  CHECK_NOTHROW(optim::clip_gradient_norm({w}, 1, {.error_if_nonfinite = true}));
}

TEST_CASE("adam: a gradient whose square overflows moves its element by the rate, and does not hold it for ever") {
  F w = parameter(zeros<float>({2}));
  optim::Adam<float> adam({w}, {.learning_rate = 1, .beta1 = 0.5, .beta2 = 0.5});
  D reference = parameter(zeros<double>({2}));
  optim::Adam<double> exact({reference}, {.learning_rate = 1, .beta1 = 0.5, .beta2 = 0.5});
  for (int i = 0; i < 400; ++i) {
    const double first = i == 0 ? 9e18 : 1;
    w.set_grad(F({2}, {i == 0 ? 1e20F : 1.0F, static_cast<float>(first)}));
    reference.set_grad(D({2}, {first, first}));
    adam.step();
    exact.step();
    if (i == 0) CHECK(w.data()[0] == doctest::Approx(-1));
    CHECK(w.data()[1] == doctest::Approx(reference.data()[1]).epsilon(1e-4));
  }
  CHECK(w.data()[0] == doctest::Approx(w.data()[1]).epsilon(0.1));
  // Infinity is no large number: it shows.
  w.set_grad(F({2}, {std::numeric_limits<float>::infinity(), 1}));
  adam.step();
  CHECK(!std::isfinite(w.data()[0]));
  CHECK(std::isfinite(w.data()[1]));
}

TEST_CASE("sgd: a velocity that would overflow does not stay infinite") {
  for (const bool nesterov : {false, true}) {
    F w = parameter(zeros<float>({3}));
    optim::Sgd<float> sgd({w}, {.learning_rate = 1e-38, .momentum = 0.5, .nesterov = nesterov});
    for (int i = 0; i < 3; ++i) {
      w.set_grad(F({3}, {3e38F, -3e38F, 1e37F}));
      sgd.step();
    }
    CHECK(std::isfinite(w.data()[0]));
    CHECK(w.data()[0] == -w.data()[1]);
    const float after = w.data()[0];
    for (int i = 0; i < 300; ++i) {
      w.set_grad(F({3}, {-1e37F, 0, 0}));
      sgd.step();
    }
    CHECK(w.data()[0] > after);
    w.set_grad(F({3}, {std::nanf(""), 0, std::numeric_limits<float>::infinity()}));
    sgd.step();
    CHECK(std::isnan(w.data()[0]));
    CHECK(std::isinf(w.data()[2]));
  }
}

TEST_CASE_TEMPLATE("optimisers: options that T cannot hold are errors, those that it can are none", T, float, double) {
  const Tensor<T> w = with_gradient<T>({0});
  const auto adam = [&](const optim::AdamOptions& options) { optim::Adam<T>({w}, options); };
  const auto sgd = [&](const optim::SgdOptions& options) { optim::Sgd<T>({w}, options); };
  constexpr bool is_float = std::is_same_v<T, float>;
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const double over = is_float ? 1e39 : inf, nearly_one = is_float ? 1 - 1e-9 : 1.0;
  for (const double bad : {-1.0, inf, nan, over}) {
    CHECK_THROWS_AS(adam({.learning_rate = bad}), ValueError);
    CHECK_THROWS_AS(adam({.weight_decay = bad}), ValueError);
    CHECK_THROWS_AS(adam({.epsilon = bad}), ValueError);
    CHECK_THROWS_AS(sgd({.learning_rate = bad}), ValueError);
    CHECK_THROWS_AS(sgd({.weight_decay = bad}), ValueError);
  }
  for (const double bad : {-0.1, nan, inf, nearly_one}) {
    CHECK_THROWS_AS(adam({.beta1 = bad}), ValueError);
    CHECK_THROWS_AS(adam({.beta2 = bad}), ValueError);
    CHECK_THROWS_AS(sgd({.momentum = bad}), ValueError);
  }
  CHECK_THROWS_AS(adam({.epsilon = is_float ? 1e-60 : 1e-200}), ValueError);
  CHECK_THROWS_AS(adam({.learning_rate = is_float ? 1e30 : 1e200, .weight_decay = is_float ? 1e30 : 1e200}),
                  ValueError);
  CHECK_NOTHROW(sgd({.learning_rate = 1e-60}));  // of a schedule's end: 0 in float

  // The least epsilon makes no NaN of a zero gradient, and bounds the step of one whose square vanishes.
  Tensor<T> x = parameter(zeros<T>({3}));
  const double least = is_float ? 1.1e-19 : 1.5e-154;
  optim::Adam<T> small({x}, {.learning_rate = 1, .epsilon = least});
  x.set_grad(Tensor<T>({3}, {0, static_cast<T>(least), static_cast<T>(1e-4 * least)}));
  small.step();
  CHECK(x.data()[0] == 0);
  CHECK(x.data()[1] == doctest::Approx(-0.5).epsilon(0.02));
  CHECK(x.data()[2] == doctest::Approx(-1e-4).epsilon(0.02));
}

TEST_CASE("optimisers: parameters with a gradient that one does not know are told, and an error if asked for") {
  D w = parameter(D(2.0)), forgotten = parameter(D({3}, {1, 2, 3})), unused = parameter(D(1.0));
  F other = parameter(F(1.0F));
  const auto first_step = [&](auto&& optimiser, bool in_scope = true) {
    {
      Tape tape;
      const auto loss = w * w + sum(forgotten);
      tape.backward(loss);
      if (in_scope) optimiser.step();
    }
    if (!in_scope) optimiser.step();
  };
  {
    Tape tape;
    tape.backward(w * w + sum(forgotten * forgotten) * (w + 0 * unused));
    square(other);
    CHECK(tape.parameters<double>().size() == 3);
    CHECK(tape.parameters<float>().size() == 1);
    const optim::Sgd<double> sgd({w});
    const optim::Adam<double> adam({forgotten});
    unused.zero_grad();
    const auto unknown = sgd.unknown(tape.parameters<double>());
    REQUIRE(unknown.size() == 1);
    CHECK(unknown[0].impl().get() == forgotten.impl().get());
    CHECK(adam.unknown({forgotten, w, w}).size() == 1);
    CHECK(adam.unknown(unknown).empty());
  }
  for (D p : {w, forgotten}) p.zero_grad();
  const std::string expected =
      "1 of 2 parameters on the tape have a gradient, but are none of this optimiser's; the "
      "first has shape (3,)";
  const double before = w.item();
  check_bad<TapeError>([&] { first_step(optim::Sgd<double>({w}, {.check_complete = true})); }, {"sgd: " + expected});
  CHECK(w.item() == before);
  check_bad<TapeError>([&] { first_step(optim::Adam<double>({w}, {.check_complete = true})); }, {"adam: " + expected});
  check_bad<TapeError>([&] { first_step(optim::Adam<double>({w}, {.check_complete = true}), false); },
                       {"adam: check_complete needs the tape"});
  optim::Adam<double> complete({w, forgotten}, {.check_complete = true});
  first_step(complete);
  first_step(complete, false);  // in the first step alone
  first_step(optim::Sgd<double>({w}));
}

TEST_CASE("optimisers: are deduced from a list without options") {
  const F w = parameter(F(1.0F));
  optim::Adam adam{{w}};
  optim::Sgd sgd{{w, w}};
  CHECK(adam.state().moments.size() == 1);
  CHECK(sgd.state().velocity.size() == 1);
}
