// checkpoint: the same values and gradients for less memory.

#include <doctest/doctest.h>
#include <xtape/init.hpp>
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/random.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>
#include <xtape/transforms.hpp>
#include <xtape/verify.hpp>

#include <cmath>
#include <cstring>
#include <memory>

#include "message.hpp"

using namespace xtape;
using D = Tensor<double>;
using Ds = std::vector<D>;

namespace {

template <class T> Tensor<T> normal(const Shape& shape, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  return init::normal(shape, T(0), static_cast<T>(scale), rng);
}

template <class T> bool same_bits(const Tensor<T>& a, const Tensor<T>& b) {
  return a.defined() && b.defined() && a.shape() == b.shape() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// A chain of blocks, each some layers with weights of their own.
template <class T> struct Chain {
  std::vector<std::vector<Tensor<T>>> weights;

  Chain(std::size_t blocks, std::size_t layers, std::size_t width) {
    for (std::size_t b = 0; b < blocks; ++b) {
      weights.emplace_back();
      for (std::size_t l = 0; l < layers; ++l)
        weights.back().push_back(
            parameter(normal<T>({width, width}, b * layers + l, 1.2 / std::sqrt(static_cast<double>(width)))));
    }
  }
  static Tensor<T> block(const Tensor<T>& x, const std::vector<Tensor<T>>& w) {
    Tensor<T> h = x;
    for (const auto& layer : w) h = tanh(matmul(h, layer) + T(0.1));
    return h;
  }
  Tensor<T> operator()(const Tensor<T>& x, bool checkpoints) const {
    Tensor<T> h = x;
    for (const auto& w : weights)
      h = checkpoints ? checkpoint([w](const Tensor<T>& t) { return block(t, w); }, h) : block(h, w);
    return sum(square(h));
  }
};

}  // namespace

TEST_CASE_TEMPLATE("checkpoint: fifty blocks: the same bits for a fifth of the memory", T, double, float) {
  const Chain<T> net(50, 4, 16);
  const Tensor<T> x = parameter(normal<T>({256, 16}, 99));
  struct Run {
    T loss;
    std::vector<Tensor<T>> gradients;
    std::ptrdiff_t peak;
    std::size_t nodes;
  };
  const auto run = [&](bool checkpoints) {
    Run result{};
    Tensor<T> leaf = x;
    const auto before = memory_use().bytes;
    reset_peak_memory();
    {
      Tape tape;
      const auto loss = net(x, checkpoints);
      result.nodes = tape.size();
      result.loss = loss.item();
      tape.backward(loss);
    }
    result.peak = memory_use().peak_bytes - before;
    result.gradients.push_back(x.grad());
    leaf.zero_grad();
    for (const auto& w : net.weights)
      for (Tensor<T> layer : w) {
        result.gradients.push_back(layer.grad());
        layer.zero_grad();
      }
    return result;
  };
  const Run plain = run(false), kept = run(true);
  CHECK(kept.loss == plain.loss);
  CHECK(kept.nodes == 50 + 2);
  CHECK(kept.gradients.size() == 201);
  for (std::size_t i = 0; i < kept.gradients.size(); ++i) CHECK(same_bits(kept.gradients[i], plain.gradients[i]));
  CHECK_MESSAGE(5 * kept.peak <= plain.peak, kept.peak, " and ", plain.peak, " bytes");
}

TEST_CASE("checkpoint: derivatives of every order, of x and of what f takes from outside") {
  const D x = normal<double>({2, 3}, 1), w = normal<double>({3, 3}, 2), b = normal<double>({3}, 3);
  const auto block = [](const D& t, const D& m, const D& c) { return t + tanh(matmul(t, m) + c) * t; };
  // f takes x and an intermediate result that is made from x and w, and itself uses both twice.
  const auto with = [&](bool checkpoints) {
    return [=](const Ds& p) {
      const D t = p[0], m = p[1] * p[1], c = p[2];
      const auto f = [=](const D& v) { return block(block(v, m, c), m, sum(v, 0) + c); };
      return sum(square(checkpoints ? checkpoint(f, t) : f(t)) * t);
    };
  };
  const auto report =
      gradcheck(with(true), {x, w, b}, {.difference_tolerance = 1e-8, .step = 1e-3, .second_order = true});
  CHECK_MESSAGE(report.passed, to_string(report));
  Ds p{parameter(x), parameter(w), parameter(b)};
  const auto third = [&](bool checkpoints) {
    Tape tape;
    D y = with(checkpoints)(p);
    for (int order = 0; order < 2; ++order) {
      const auto g = tape.gradient(y, p, {.create_graph = true});
      y = sum(sin(g[0])) + sum(sin(g[1])) + sum(sin(g[2]));
    }
    return tape.gradient(y, p);
  };
  const auto plain = third(false), kept = third(true);
  for (std::size_t k = 0; k < 3; ++k) CHECK(compare_gradients(kept[k], plain[k]).largest_error < 1e-12);
}

TEST_CASE("checkpoint: nests, in itself and in transforms") {
  const D x = parameter(normal<double>({4}, 1)), w = parameter(normal<double>({4}, 2));
  const auto inner = [w](const D& t) { return sin(t * w) + t; };
  const auto outer = [inner](const D& t) { return checkpoint(inner, checkpoint(inner, t)) * t; };
  const auto plain = [inner](const D& t) { return inner(inner(t)) * t; };
  const auto gradients = [&](const std::function<D(const D&)>& f, bool checkpoints) {
    Tape tape;
    const D y = sum(square(checkpoints ? checkpoint(f, x) : f(x)));
    const auto first = tape.gradient(y, {x, w}, {.create_graph = true});
    const auto second = tape.gradient(sum(sin(first[0])) + sum(sin(first[1])), {x, w});
    return Ds{y.detach(), first[0].detach(), first[1].detach(), second[0], second[1]};
  };
  const auto expected = gradients(plain, false), found = gradients(outer, true);
  for (std::size_t k = 0; k < expected.size(); ++k)
    CHECK(compare_gradients(found[k], expected[k]).largest_error < 1e-13);
  {
    Tape tape;
    tape.backward(sum(square(checkpoint(outer, x))));
    CHECK(compare_gradients(x.grad(), expected[1]).largest_error < 1e-14);
    CHECK(compare_gradients(w.grad(), expected[2]).largest_error < 1e-14);
  }
  const D start = normal<double>({4}, 3);
  const auto loss = [&](bool checkpoints) {
    return [&, checkpoints](const D& t) { return sum(square(checkpoints ? checkpoint(outer, t) : plain(t))); };
  };
  CHECK(compare_gradients(hessian(loss(true), start), hessian(loss(false), start)).largest_error < 1e-12);
  CHECK(compare_gradients(grad(loss(true), start), grad(loss(false), start)).largest_error < 1e-14);
  // A transform inside: gradients of what it gives.
  const auto inside = [&](bool checkpoints) {
    const auto f = [w](const D& t) { return grad([&](const D& v) { return sum(sin(v * w) * t); }, t); };
    Tape tape;
    return tape.gradient(sum(checkpoints ? checkpoint(f, x) : f(x)), {x, w});
  };
  const auto with = inside(true), without = inside(false);
  for (std::size_t k = 0; k < 2; ++k) CHECK(compare_gradients(with[k], without[k]).largest_error < 1e-14);
}

TEST_CASE("checkpoint: several tensors, parts that need no gradient, tensors of enclosing tapes") {
  const D x = parameter(normal<double>({3}, 1)), y = normal<double>({3}, 2), w = parameter(normal<double>({3}, 3));
  const auto f = [w](const Ds& t) { return t[0] * exp(t[1]) * w; };
  {
    Tape tape;
    const D z = checkpoint(f, {x, y});
    CHECK(same_bits(z.detach(), f({x, y}).detach()));
    tape.backward(sum(z));
    CHECK(compare_gradients(x.grad(), exp(y) * w).largest_error < 1e-15);
    CHECK(!y.grad().defined());
    CHECK(compare_gradients(w.grad(), x * exp(y)).largest_error < 1e-15);
  }
  {
    // Only what a sweep asks for is computed; both inputs may be one tensor.
    Tape tape;
    const D both = sum(checkpoint(f, Ds{x, x}));
    const auto [gx] = tape.gradient(both, {x});
    CHECK(compare_gradients(gx, (1 + x) * exp(x) * w).largest_error < 1e-15);
  }
  Tape outer;
  const D h = x * 2.0;
  {
    Tape inner;
    const D z = sum(checkpoint([h](const D& t) { return t * h; }, h));
    const auto [gh] = inner.gradient(z, {h});
    CHECK(compare_gradients(gh, 4 * x).largest_error < 1e-15);
    CHECK(outer.size() == 1);
  }
}

TEST_CASE("checkpoint: more tensors from outside than a mask has bits; one whose tape has ended is a constant") {
  Ds w;
  for (std::uint64_t i = 0; i < 70; ++i) w.push_back(parameter(normal<double>({3}, i)));
  const D x = parameter(normal<double>({3}, 99));
  const auto f = [w](const D& t) {
    D y = t;
    for (const D& factor : w) y = y * sin(factor);
    return y;
  };
  for (const bool recorded : {false, true}) {
    Tape tape;
    const Ds all{x, w[0], w[69]};
    const auto found = tape.gradient(sum(checkpoint(f, x)), all, {.create_graph = recorded});
    const auto expected = tape.gradient(sum(f(x)), all);
    for (std::size_t k = 0; k < 3; ++k) CHECK(same_bits(found[k].detach(), expected[k]));
  }
  auto outer = std::make_unique<Tape>();
  const D h = x * 2.0;
  Tape inner;
  const D y = sum(checkpoint([h](const D& t) { return t * h; }, w[0]));
  outer.reset();
  inner.backward(y);
  CHECK(same_bits(w[0].grad(), h));
  CHECK(!x.grad().defined());
}

TEST_CASE("checkpoint: what is not reached gets no gradient, as without") {
  const D x = parameter(normal<double>({3}, 1)), idle = parameter(normal<double>({3}, 2));
  Tape tape;
  const auto f = [idle](const D& t) {
    sum(idle * t);  // recorded, and of no consequence
    return sin(t);
  };
  tape.backward(sum(checkpoint(f, x)));
  CHECK(x.grad().defined());
  CHECK(!idle.grad().defined());
}

TEST_CASE("checkpoint: without need it is f(x), and leaves nothing on the tape") {
  const D c = normal<double>({3}, 1), p = parameter(c);
  int runs = 0;
  const auto f = [&runs](const D& t) {
    ++runs;
    return t * 2.0;
  };
  CHECK(!checkpoint(f, p).requires_grad());  // no tape
  Tape tape;
  CHECK(!checkpoint(f, c).requires_grad());
  CHECK(tape.size() == 0);
  {
    const NoGrad pause;
    CHECK(!checkpoint(f, p).requires_grad());
  }
  CHECK(runs == 3);
  // A function that gives back a tensor as it is.
  CHECK(checkpoint([](const D& t) { return t; }, p).impl().get() == p.impl().get());
  CHECK(checkpoint([p](const D&) { return p; }, c).impl().get() == p.impl().get());
  CHECK(tape.size() == 0);
  const D y = checkpoint(f, p);
  CHECK(tape.op_names() == std::vector<std::string_view>{"checkpoint"});
  tape.backward(sum(y));
  CHECK(runs == 5);
  CHECK(p.grad().data()[0] == 2);
}

TEST_CASE("checkpoint: random numbers are drawn again as they were") {
  const D x = parameter(ones<double>({1000})), w = parameter(ones<double>({1000}));
  const auto f = [w](const D& t, Rng& rng) { return dropout(dropout(t, 0.3, rng) * w, 0.5, rng); };
  const auto run = [&](bool checkpoints, bool recorded) {
    Rng rng(5);
    rng();
    Tape tape;
    const D y = checkpoints ? checkpoint(f, x, rng) : f(x, rng);
    const auto state = rng.state();
    const auto g = tape.gradient(sum(y * y), {x, w}, {.create_graph = recorded});
    CHECK(rng.state() == state);  // the sweep draws from a copy
    const double next = rng.uniform();
    return std::pair{Ds{y.detach(), g[0].detach(), g[1].detach()}, next};
  };
  const auto [expected, next] = run(false, false);
  for (const bool recorded : {false, true}) {
    const auto [found, after] = run(true, recorded);
    for (std::size_t k = 0; k < 3; ++k) CHECK(same_bits(found[k], expected[k]));
    CHECK(after == next);
  }
  Rng rng(5);
  Tape tape;
  const auto many = [f](const Ds& t, Rng& r) { return f(t[0], r) + t[1]; };
  tape.backward(sum(checkpoint(many, {x, w}, rng)));
  CHECK(x.grad().defined());
}

TEST_CASE("checkpoint: misuse is refused") {
  D x = parameter(normal<double>({3}, 1)), w = parameter(normal<double>({3}, 2));
  {
    Tape tape;
    const D y = sum(checkpoint([w](const D& t) { return t * w; }, x));
    w.assign(w.array() * 2.0);
    const auto text = message<TapeError>([&] { tape.backward(y); });
    CHECK(text.starts_with("checkpoint: its input 1 of shape (3,) was modified"));
    CHECK(!x.grad().defined());
    CHECK(!w.grad().defined());
  }
  for (const bool recorded : {false, true}) {
    D used = w;
    Tape tape;
    const D y = sum(checkpoint([&used](const D& t) { return t * used; }, x));
    used = parameter(normal<double>({3}, 3));
    const auto run = [&] { tape.gradient(y, {x}, {.create_graph = recorded, .retain_graph = true}); };
    CHECK(message<TapeError>(run).starts_with("checkpoint: the function used other tensors"));
    used = x * 1.0;  // of the tape itself
    CHECK(message<TapeError>(run).starts_with("checkpoint: the function used other tensors"));
    CHECK(Tape::recording());
  }
  {
    int n = 2;
    Tape tape;
    const D y = sum(checkpoint([&n](const D& t) { return slice(t, {range(0, n)}); }, x));
    n = 1;
    CHECK(message<TapeError>([&] { tape.backward(y); }) ==
          "checkpoint: the function gave shape (1,) when it ran again, and (2,) in its first run");
  }
  Tape tape;
  CHECK(message<Error>([&] { checkpoint([](const D&) { return D(); }, x); }) ==
        "checkpoint: the function returned an undefined tensor");
  bool fails = true;
  const auto planted = [&fails](const D& t) {
    const D y = t * t;
    if (fails) throw std::runtime_error("planted");
    return y;
  };
  CHECK_THROWS_WITH(checkpoint(planted, x), "planted");
  CHECK(tape.size() == 0);
  fails = false;
  const D y = sum(checkpoint(planted, x));
  fails = true;
  CHECK_THROWS_WITH(tape.backward(y, {.retain_graph = true}), "planted");
  fails = false;
  tape.backward(y);
  CHECK(x.grad().data()[0] == 2 * x.data()[0]);
}

TEST_CASE("checkpoint: a second run with another result is refused") {
  const D x = parameter(ones<double>({100}));
  const std::string expected = "checkpoint: the function gave other values when it ran again than in its first run";
  for (const bool recorded : {false, true}) {
    const auto refused = [&](const std::function<D(const D&)>& f, const std::function<void()>& between) {
      Tape tape;
      const D y = sum(checkpoint(f, x));
      between();
      CHECK(message<TapeError>([&] { tape.gradient(y, {x}, {.create_graph = recorded}); }).starts_with(expected));
    };
    Rng own(5);
    refused([&own](const D& t) { return dropout(t, 0.5, own); }, [] {});
    D constant = ones<double>({100});
    refused([constant](const D& t) { return t * constant; }, [&] { constant.modify()[99] = -1; });
    double sign = 1;
    refused([&sign](const D& t) { return (t - 1.0) * sign; }, [&] { sign = -1; });  // 0 and -0
    refused([&sign](const D& t) { return t * sign; }, [&] { sign = 1; });
  }
  // NaN is the same as itself.
  Tape tape;
  tape.backward(sum(checkpoint([](const D& t) { return t * std::nan(""); }, x)));
  CHECK(std::isnan(x.grad().data()[0]));
}

TEST_CASE("checkpoint: on a tape that searches for anomalies the ops within are named") {
  const D x = parameter(zeros<double>({2}));
  Tape tape{{.anomaly = true}};
  CHECK(message<AnomalyError>([&] {
          checkpoint([](const D& t) { return log(t - 1.0) * 2.0; }, x);
        }).starts_with("log: forward: nan at (0,)"));
  const D y = checkpoint([](const D& t) { return sqrt(t) * 2.0; }, x);
  CHECK(message<AnomalyError>([&] { tape.backward(sum(y)); }).starts_with("sqrt: backward: inf at (0,)"));
}
