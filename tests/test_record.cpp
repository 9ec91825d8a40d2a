// Users' own ops, through the same door as the built-in ones.

#include <doctest/doctest.h>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/verify.hpp>

#include <memory>

#include "message.hpp"
#include "xtensor_headers.hpp"

using namespace xtape;
using D = Tensor<double>;

namespace {

D cube(const D& x) {
  return record("cube", D(xt::pow<3>(x.array())), {x}, [x](const D& dy) { return Gradients{3.0 * square(x) * dy}; });
}

// The result as the pullback's second argument.
D my_exp(const D& x) {
  return record("my_exp", D(xt::exp(x.array())), {x}, [](const D& dy, const D& y) { return Gradients{dy * y}; });
}

}  // namespace

TEST_CASE("record: a user's op is differentiated to any order") {
  const D x({3}, {0.5, -1.2, 2.0});
  CHECK(gradcheck([](const D& v) { return cube(v); }, x, {.second_order = true}).passed);
  CHECK(gradcheck([](const D& v) { return my_exp(v) * cube(v); }, x, {.second_order = true}).passed);
}

TEST_CASE("record: a pullback that captures its own result loses the second order, and gradcheck says so") {
  const auto wrong_exp = [](const D& x) {
    const D y = D(xt::exp(x.array()));
    return record("wrong_exp", y, {x}, [y](const D& dy) { return Gradients{dy * y}; });
  };
  const auto report = gradcheck(wrong_exp, D({2}, {0.5, 1.0}), {.second_order = true});
  CHECK(report.first_order.largest_error < 1e-8);
  CHECK(report.second_order.largest_error > 0.1);
  CHECK(!report.passed);
}

TEST_CASE("record: a gradient that nobody asked for is not computed") {
  int first = 0, second = 0;
  const auto op = [&](const D& a, const D& b) {
    return record("op", D(a.item() * b.item()), {a, b}, [&first, &second, a, b](const D& dy, Wanted wanted) {
      return wanted.gradients([&] { return ++first, dy * b; }, [&] { return ++second, dy * a; });
    });
  };
  D x = parameter(D(2.0)), y = parameter(D(5.0)), c(3.0);
  {
    Tape tape;
    tape.backward(op(x, c));
  }
  CHECK(first == 1);
  CHECK(second == 0);
  Tape tape;
  CHECK(tape.gradient(op(x, y), {y})[0].item() == 2);
  CHECK(first == 1);
  CHECK(second == 1);
}

TEST_CASE("record: what a user forgets is an error by the op's name") {
  D x = parameter(D({2}, {1, 2}));
  const auto with = [&](auto pullback) {
    return message<TapeError>([&] {
      Tape tape;
      tape.backward(sum(record("mine", D({2}, {1, 2}), {x}, pullback)));
    });
  };
  CHECK(with([](const D& dy) { return Gradients{dy, dy}; }) == "mine: the pullback returned 2 gradients for 1 inputs");
  CHECK(with([](const D&) { return Gradients{}; }) == "mine: the pullback returned 0 gradients for 1 inputs");
  CHECK(with([](const D&) { return Gradients{zeros<double>({3})}; }) ==
        "mine: the pullback returned a gradient of shape (3,) for an input of shape (2,)");
  CHECK(with([](const D&) { return Gradients{zeros<float>({2})}; }) ==
        "mine: the pullback returned a gradient of shape (2,) and another element type for an input of shape (2,)");
  CHECK(with([](const D&) { return Gradients{D()}; }) == "nothing was thrown");  // zero
  CHECK(message<TapeError>([&] {
          const Tape tape;
          record("mine", D(), {x}, [](const D& dy) { return Gradients{dy}; });
        }) == "mine: record needs a defined value");
}

TEST_CASE("record: a gradient is summed down to a broadcast input") {
  D x = parameter(D({1, 2}, {1, 2})), s = parameter(D(3.0));
  Tape tape;
  const D y = record("spread", zeros<double>({4, 3, 2}), {x, s}, [](const D& dy) { return Gradients{dy, dy}; });
  tape.backward(sum(y));
  CHECK(x.grad().shape() == Shape{1, 2});
  CHECK(x.grad().data()[0] == 12);
  CHECK(s.grad().item() == 24);
}

TEST_CASE("record: an op that returns its input, many inputs, and both element types") {
  D x = parameter(D(2.0));
  Tape tape;
  const D same = record("same", x, {x}, [](const D& dy) { return Gradients{2.0 * dy}; });
  CHECK(same.data() == x.data());
  CHECK(tape.gradient(same, {x})[0].item() == 2);

  std::vector<D> many;
  for (int i = 0; i < 100; ++i) many.push_back(parameter(D(1.0 * i)));
  const std::vector<Inputs::Input> inputs(many.begin(), many.end());
  tape.backward(record("many", D(1.0), Inputs(inputs), [](const D& dy) {
    std::vector<D> gradients;
    for (int i = 0; i < 100; ++i) gradients.push_back(dy * i);
    return Gradients(gradients);
  }));
  CHECK(many[99].grad().item() == 99);

  Tensor<float> f = parameter(Tensor<float>(1.5F));
  tape.backward(record("widen", D(1.5), {f}, [](const D& dy) { return Gradients{Tensor<float>(dy.array())}; }));
  CHECK(f.grad().item() == 1.0F);
}

TEST_CASE("record: pullbacks are destroyed once, and not kept without need") {
  const auto counter = std::make_shared<int>(0);
  D x = parameter(D(2.0));
  const auto op = [&] { return record("op", D(1.0), {x}, [counter](const D& dy) { return Gradients{dy}; }); };
  op();
  CHECK(counter.use_count() == 1);  // no tape
  {
    Tape tape;
    const D y = op();
    CHECK(counter.use_count() == 2);
    tape.backward(y);
    CHECK(counter.use_count() == 1);  // freed as the sweep passes
    op();
    CHECK(counter.use_count() == 2);
  }
  CHECK(counter.use_count() == 1);
}
