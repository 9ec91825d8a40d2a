// Gradients that are written over their source, that stand as one element for many, and slopes that a map keeps: what
// saves memory and time must change no number, and nothing that somebody else sees.

#include <doctest/doctest.h>
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include "message.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace xtape;
using D = Tensor<double>;

namespace {

std::vector<double> values(const D& x) { return {x.data(), x.data() + x.size()}; }
using Values = std::vector<double>;

// The gradients of sum(f(x, y)) for x = (1, 2, 3), y = (4, 5, 6).
template <class F> std::vector<Values> gradients(const F& f) {
  D x = parameter(D({3}, {1, 2, 3})), y = parameter(D({3}, {4, 5, 6}));
  Tape tape;
  tape.backward(sum(f(x, y)));
  return {values(x.grad()), values(y.grad())};
}

}  // namespace

TEST_CASE("gradients: one gradient that two ops get is not overwritten by either") {
  // add hands the same gradient to both its inputs; relu and the product would each write over it.
  const auto g = gradients([](const D& x, const D& y) { return (relu(x) + x * y) * y; });
  CHECK(g[0] == Values{4 + 16, 5 + 25, 6 + 36});
  CHECK(g[1] == Values{1 + 2 * 4, 2 + 4 * 5, 3 + 6 * 6});
  // The product computes both its gradients from the one it got.
  const auto both = gradients([](const D& x, const D& y) { return square(x) * square(y) * x; });
  CHECK(both[0] == Values{3 * 16, 3 * 4 * 25, 3 * 9 * 36});
  CHECK(both[1] == Values{2 * 4, 8 * 2 * 5, 27 * 2 * 6});
}

TEST_CASE("gradients: a seed, and a gradient that a hook keeps, stay as they are") {
  D x = parameter(D({2}, {3, -1}));
  const D seed({2}, {10, 20});
  Tape tape;
  const D h = x * 2.0, y = relu(h) * D({2}, {5, 7});
  D seen;
  tape.hook(y, [&](const D& dy) { seen = dy; });
  tape.backward(y, seed);
  CHECK(values(seed) == Values{10, 20});
  CHECK(values(seen) == Values{10, 20});
  CHECK(values(x.grad()) == Values{100, 0});
  // The gradient of a tensor in between is what it was when the sweep passed it.
  tape.clear();
  const D u = x * 2.0, v = relu(u) * 3.0;
  const auto found = tape.gradient(sum(v), {u, x});
  CHECK(values(found[0]) == Values{3, 0});
  CHECK(values(found[1]) == Values{6, 0});
}

TEST_CASE("gradients: of a sum one element stands for all, and nobody sees it") {
  D x = parameter(D({2, 3}, {1, 2, 3, 4, 5, 6})), row = parameter(D({3}, {1, 10, 100}));
  const auto sweep = [&](const D& loss, Tape& tape) {
    x.zero_grad();
    row.zero_grad();
    tape.backward(loss);
  };
  {
    Tape tape;
    sweep(sum(x), tape);
    CHECK(x.grad().shape() == Shape{2, 3});
    CHECK(values(x.grad()) == Values(6, 1.0));
  }
  {
    Tape tape;  // broadcast: summed down from the whole shape
    sweep(sum(x * row) * 2.0, tape);
    CHECK(values(x.grad()) == Values{2, 20, 200, 2, 20, 200});
    CHECK(values(row.grad()) == Values{10, 14, 18});
  }
  {
    Tape tape;  // two sums of one tensor, and one of another shape's gradient
    const D h = square(x);
    sweep(sum(h) + sum(h) * 3.0 + sum(sum(h, 1) * D({2}, {1, 2})), tape);
    CHECK(values(x.grad()) == Values{10, 20, 30, 48, 60, 72});
  }
  {
    Tape tape;
    const D h = square(x);
    D seen;
    tape.hook(h, [&](const D& dh) { seen = dh; });
    sweep(sum(h), tape);
    CHECK(seen.shape() == Shape{2, 3});
    CHECK(values(seen) == Values(6, 1.0));
  }
  {
    Tape tape;
    const D h = square(x), loss = sum(h);
    const D dh = tape.gradient(loss, {h}, {.retain_graph = true})[0];
    CHECK(values(dh) == Values(6, 1.0));
    const D dx = tape.gradient(loss, {x}, {.create_graph = true})[0];
    CHECK(values(tape.gradient(sum(dx), {x})[0]) == Values(6, 2.0));
  }
  const auto single = gradients([](const D& p, const D& q) { return reshape(p, Shape{3}) * D({1}, {2}) + 0 * q; });
  CHECK(single[0] == Values(3, 2.0));
}

TEST_CASE("record: a pullback may give one element for a tensor full of it, with as many axes") {
  D x = parameter(D({2, 2}, {1, 2, 3, 4}));
  const auto with = [&](const D& given) {
    x.zero_grad();
    Tape tape;
    tape.backward(sum(record("mine", D({2, 2}, {1, 2, 3, 4}), {x}, [&](const D&) { return Gradients(given); })));
  };
  with(D({1, 1}, {7}));
  CHECK(values(x.grad()) == Values(4, 7.0));
  CHECK(message<TapeError>([&] { with(D(7.0)); }) ==
        "mine: the pullback returned a gradient of shape () for an input of shape (2, 2)");
  CHECK(message<TapeError>([&] {
          with(D({1, 2}, {7, 8}));
        }) == "mine: the pullback returned a gradient of shape (1, 2) for an input of shape (2, 2)");
}

TEST_CASE("map: slopes are kept for a second sweep, and written over in the last") {
  const D x0({5}, {-1, 0, 1, 2, 3});
  D x = parameter(x0), w = parameter(D(2.0)), constant({5}, {1, 2, 3, 4, 5});
  Tape tape;
  const auto f = [](auto p, auto q, auto r) { return sigmoid(p * q) * r; };
  const D loss = sum(map(f, x, w, constant) * 3.0);
  std::vector<Values> dx, dw;
  for (const bool retain : {true, true, false}) {
    x.zero_grad();
    w.zero_grad();
    tape.backward(loss, {.retain_graph = retain});
    dx.push_back(values(x.grad()));
    dw.push_back(values(w.grad()));
  }
  CHECK(dx[0] == dx[1]);
  CHECK(dx[0] == dx[2]);
  CHECK(dw[0] == dw[1]);
  CHECK(dw[0] == dw[2]);
  double sum_dw = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    const double s = 1 / (1 + std::exp(-2 * x0.data()[i])), slope = 3 * s * (1 - s) * constant.data()[i];
    CHECK(dx[0][i] == doctest::Approx(2 * slope).epsilon(1e-14));
    sum_dw += slope * x0.data()[i];
  }
  CHECK(dw[0][0] == doctest::Approx(sum_dw).epsilon(1e-14));
  CHECK_FALSE(constant.grad().defined());
}

TEST_CASE("map: the value is the same on a tape and without one") {
  const D x = parameter(D({4}, {-0.7, 0.1, 0.62, 40}));
  const auto f = [](auto v) { return tanh(v) + sigmoid(3 * v); };
  const D without = map(f, x);
  Tape tape;
  CHECK(values(map(f, x)) == values(without));
}

TEST_CASE("map: a slope by what a function does not depend on is 0, however steep it is") {
  D x = parameter(D({2}, {0, 4})), y = parameter(D({2}, {1, 2}));
  Tape tape;
  tape.backward(sum(map([](auto p, auto q) { return sqrt(p) + q / 2; }, x, y)));
  CHECK(values(x.grad()) == Values{std::numeric_limits<double>::infinity(), 0.25});
  CHECK(values(y.grad()) == Values{0.5, 0.5});
  // Not at all: a gradient of zeros.
  x.zero_grad();
  Tape other;
  other.backward(sum(map([](auto p, auto q) { return q + 0 * sign(p); }, x, y)));
  CHECK(values(x.grad()) == Values{0, 0});
}
