// The tape: what is recorded, and what a sweep gives back.

#include <doctest/doctest.h>
#include <xtape/init.hpp>
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>
#include <xtape/transforms.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "message.hpp"

using namespace xtape;

namespace {

using D = Tensor<double>;

D leaf(double value) { return parameter(D(value)); }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("tape: backward accumulates into grad(), zero_grad clears it") {
  D x = leaf(3), unused = leaf(1);
  for (int round = 1; round <= 3; ++round) {
    Tape tape;
    tape.backward(x * x);
    CHECK(x.grad().item() == 6.0 * round);
  }
  CHECK(!unused.grad().defined());
  x.zero_grad();
  CHECK(!x.grad().defined());
}

TEST_CASE("tape: a held gradient is not changed by a later sweep, nor shared between parameters") {
  D x = leaf(3), y = leaf(4);
  const auto sweep = [&] {
    Tape tape;
    tape.backward(x + y);
  };
  sweep();
  const D held = x.grad();
  sweep();
  CHECK(held.item() == 1);
  CHECK(x.grad().item() == 2);
  D gx = x.grad();
  gx.assign(D(100.0));
  CHECK(y.grad().item() == 2);
}

TEST_CASE("tape: gradient touches no grad(), reaches intermediates, repeats, gives zeros where nothing flows") {
  D x = leaf(3), apart = parameter(zeros<double>({2, 3}));
  Tape tape;
  const D h = x * x;
  const D y = h * h * x;
  const D other = sum(apart);
  const auto g = tape.gradient(y, {x, h, x, y}, {.retain_graph = true});
  CHECK(g[0].item() == doctest::Approx(5 * 81));
  CHECK(g[1].item() == doctest::Approx(2 * 9 * 3));
  CHECK(g[2].item() == g[0].item());
  CHECK(g[3].item() == 1);
  CHECK(!x.grad().defined());
  const auto [none] = tape.gradient(y, {apart}, {.retain_graph = true});
  CHECK(none.shape() == Shape{2, 3});
  CHECK(sum(abs(none)).item() == 0);
  CHECK(contains(message<TapeError>([&] { tape.gradient(y, {D(1.0)}); }), "parameter()"));
}

TEST_CASE("tape: derivatives of every order of x^4") {
  D x = leaf(1.5);
  Tape tape;
  D y = x * x * x * x;
  const double expected[] = {4 * 1.5 * 1.5 * 1.5, 12 * 1.5 * 1.5, 24 * 1.5, 24};
  for (const double e : expected) {
    y = tape.gradient(y, {x}, {.create_graph = true})[0];
    CHECK(y.item() == doctest::Approx(e).epsilon(1e-14));
  }
}

TEST_CASE("tape: the Hessian of x1^2 x2 + sin x2") {
  D x = parameter(D({2}, {1.2, 0.7}));
  Tape tape;
  const D a = slice(x, {0}), b = slice(x, {1});
  const D g = tape.gradient(a * a * b + sin(b), {x}, {.create_graph = true})[0];
  const auto row = [&](int i) { return tape.gradient(slice(g, {i}), {x}, {.retain_graph = true})[0]; };
  CHECK(row(0).data()[0] == doctest::Approx(2 * 0.7).epsilon(1e-15));
  CHECK(row(0).data()[1] == doctest::Approx(2 * 1.2).epsilon(1e-15));
  CHECK(row(1).data()[0] == doctest::Approx(2 * 1.2).epsilon(1e-15));
  CHECK(row(1).data()[1] == doctest::Approx(-std::sin(0.7)).epsilon(1e-15));
}

TEST_CASE("tape: a second sweep needs retain_graph") {
  D x = leaf(2);
  Tape tape;
  const D y = exp(x);
  tape.backward(y, {.retain_graph = true});
  tape.backward(y);
  CHECK(x.grad().item() == doctest::Approx(2 * std::exp(2.0)));
  const std::string text = message<TapeError>([&] { tape.backward(y); });
  CHECK(contains(text, "exp"));
  CHECK(contains(text, "retain_graph"));
}

TEST_CASE("tape: a parameter modified between record and sweep is refused, by the op's name") {
  D w = parameter(ones<double>({2, 2})), x = ones<double>({2, 2});
  {
    Tape tape;
    const D y = sum(matmul(x, w));
    w.assign(w.array() * 2.0);
    const std::string text = message<TapeError>([&] { tape.backward(y); });
    CHECK(contains(text, "matmul"));
    CHECK(contains(text, "modified"));
    CHECK(!w.grad().defined());
  }
  Tape tape;
  tape.backward(sum(matmul(x, w)));
  CHECK(w.grad().data()[0] == 2);
}

TEST_CASE("tape: a constant that a pullback needs, modified between record and sweep, is refused too") {
  D w = parameter(D({2}, {3, 5})), x = D({2}, {1, 2});
  {
    Tape tape;
    const D first = sum(w * x);
    x.assign(D({2}, {10, 20}));  // the next batch in the same buffer
    const D second = sum(w * x);
    CHECK(
        message<TapeError>([&] { tape.backward(first + second, {.retain_graph = true}); }) ==
        "multiply: its input 1 of shape (2,) was modified after it was recorded; sweep before you write into a tensor "
        "that an op took");
    w.zero_grad();
    tape.backward(second);
    CHECK(w.grad().data()[1] == 20);
    CHECK(contains(tape.dump({{w, "w"}}), "w (2,), constant (2,)"));
  }
  {
    // Its pullback needs no x; what needs a view of it has kept the values.
    Tape tape;
    const D y = sum(w + x) + sum(w * reshape(x, {2}));
    x.modify()[0] = 7;
    w.zero_grad();
    tape.backward(y);
    CHECK(w.grad().data()[0] == 11);
  }
  {
    // A node that was swept holds it no more.
    Tape tape;
    const D v = parameter(ones<double>({1000}));
    const auto before = memory_use().bytes;
    {
      const D large = ones<double>({1000}), same = large;
      tape.gradient(sum(v * large), {v});
    }
    CHECK(memory_use().bytes < before + 8000);
  }
}

TEST_CASE("tape: a gradient is nobody else's: not the seed, not the gradient of the same tensor given twice") {
  const D x = parameter(D({2}, {3, 5}));
  Tape tape;
  const D h = x * 2.0, seed({2}, {1, 2});
  for (auto& gradient : tape.vjp(h, seed, {h, h, x}, {.retain_graph = true})) gradient.modify()[0] = 100;
  CHECK(seed.data()[0] == 1);
  auto [g1, g2] = tape.gradient(sum(h), {x, x}, {.retain_graph = true});
  g1.modify()[0] = 100;
  CHECK(g2.data()[0] == 2);
  auto [ga, gb] = tape.gradient(sum(x + h), {x, h}, {.retain_graph = true});
  gb.modify()[0] = 100;
  CHECK(ga.data()[0] == 3);
  // A seed with a history keeps it where the sweep is recorded.
  const D s = x * 3.0;
  const auto [recorded] = tape.vjp(h, s, {h}, {.create_graph = true});
  CHECK(tape.gradient(sum(recorded), {x})[0].data()[0] == 3);
}

TEST_CASE("tape: only leaves can be assigned") {
  D x = leaf(2);
  D kept;
  {
    Tape tape;
    D y = x * 2.0;
    CHECK_THROWS_AS(y.assign(D(1.0)), TapeError);
    CHECK_THROWS_AS(y.set_requires_grad(true), TapeError);
    kept = y;
  }
  kept.assign(D(1.0));  // its tape has ended: a constant
  CHECK(kept.item() == 1);
}

TEST_CASE("tape: nothing is recorded without need") {
  D x = leaf(2), c = D(3.0);
  CHECK(!(x * c).requires_grad());  // no tape
  Tape tape;
  CHECK(!(c * c).requires_grad());
  CHECK(tape.size() == 0);
  {
    const NoGrad pause;
    CHECK(!(x * c).requires_grad());
    Tape inner;
    CHECK((x * c).requires_grad());
  }
  CHECK((x * c).requires_grad());
  CHECK(tape.size() == 1);
  CHECK(tape.op_names() == std::vector<std::string_view>{"multiply"});
  tape.clear();
  CHECK(tape.size() == 0);
}

TEST_CASE("tape: nested tapes are independent") {
  D x = leaf(3);
  Tape outer;
  const D h = x * x;
  D from_inner;
  {
    Tape inner;
    const D y = h * h;
    CHECK(inner.size() == 1);
    const auto [gh] = inner.gradient(y, {h}, {.retain_graph = true});  // an enclosing tape's tensor is an input
    CHECK(gh.item() == 18);
    CHECK_THROWS_AS(outer.backward(y), TapeError);
    inner.backward(y);
    CHECK(!x.grad().defined());  // and the sweep stops there
    from_inner = y;
  }
  CHECK(outer.size() == 1);
  outer.backward(h * from_inner);  // of an ended tape: a constant
  CHECK(x.grad().item() == 6 * 81);
}

TEST_CASE("tape: misuse says what to do") {
  D x = parameter(ones<double>({3}));
  Tape tape;
  const D y = x * 2.0;
  CHECK(contains(message<TapeError>([&] { tape.backward(y); }), "seed"));
  CHECK(contains(message<TapeError>([&] { tape.backward(y, ones<double>({2})); }), "(2,)"));
  CHECK(contains(message<TapeError>([&] { tape.backward(D(1.0)); }), "not recorded"));
  CHECK(contains(message<TapeError>([&] { tape.backward(D()); }), "undefined"));
  {
    Tape inner;
    CHECK(contains(message<TapeError>([&] { tape.gradient(sum(y), {x}, {.create_graph = true}); }), "not recorded"));
    CHECK(contains(message<TapeError>([&] { tape.vjp(y, y.detach(), {x}, {.create_graph = true}); }), "innermost"));
  }
  std::string text;
  std::thread([&] { text = message<TapeError>([&] { tape.backward(y, ones<double>({3})); }); }).join();
  CHECK(contains(text, "thread"));
  tape.backward(y, D({3}, {1, 10, 100}));
  CHECK(x.grad().data()[2] == 200);
  const D z = sum(x);
  tape.clear();
  CHECK(contains(message<TapeError>([&] { tape.backward(z); }), "cleared"));
}

TEST_CASE("tape: y itself, and a parameter as the loss") {
  D x = leaf(5);
  Tape tape;
  tape.backward(x);
  CHECK(x.grad().item() == 1);
  CHECK(tape.gradient(x, {x})[0].item() == 1);
}

TEST_CASE("tape: an exception in a pullback leaves tape and pools usable") {
  D x = leaf(2);
  Tape tape;
  const D bad = record("bad", D(1.0), {x}, [](const D&) -> Gradients { throw std::runtime_error("planted"); });
  const D good = x * x;
  CHECK_THROWS_WITH(tape.backward(bad + good), "planted");
  x.zero_grad();
  tape.backward(x * x);
  CHECK(x.grad().item() == 4);
}

TEST_CASE("tape: a million ops sweep and free without recursion, in linear time") {
  const auto seconds = [](std::size_t n) {
    D x = leaf(1);
    const auto start = std::chrono::steady_clock::now();
    {
      Tape tape;
      D y = x;
      for (std::size_t i = 0; i < n; ++i) y = -y;
      CHECK(tape.size() == n);
      tape.backward(y);
    }
    CHECK(x.grad().item() == 1);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  seconds(100'000);
  const double small = seconds(100'000), large = seconds(1'000'000);
  CHECK(large < 100 * small + 1);
}

TEST_CASE("tape: a diamond ladder 60 deep has 2^60 paths and takes 60 steps") {
  D x = leaf(1);
  Tape tape;
  D y = x;
  for (int i = 0; i < 60; ++i) y = 0.5 * y + 0.5 * y;
  CHECK(tape.size() == 180);
  tape.backward(y);
  CHECK(x.grad().item() == 1);
}

namespace {

// The shortest of a few runs.
template <class F> double seconds(F&& f) {
  double best = 1e9;
  for (int run = 0; run < 5; ++run) {
    const auto start = std::chrono::steady_clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

TEST_CASE("tape: the gradient with respect to many tensors takes time in proportion") {
  const auto time_of = [](std::size_t count) {
    std::vector<D> x;
    Tape tape;
    D y = leaf(0);
    for (std::size_t i = 0; i < count; ++i) {
      x.push_back(leaf(static_cast<double>(i)));
      x.push_back(x.back() * 2.0);
      y = y + x.back();
    }
    std::vector<D> g;
    const double time = seconds([&] { g = tape.gradient(y, x, {.retain_graph = true}); });
    for (std::size_t i = 0; i < g.size(); ++i) CHECK(g[i].item() == (i % 2 == 0 ? 2 : 1));
    return time;
  };
  const double few = time_of(500), many = time_of(8000);
  CHECK_MESSAGE(many < 80 * few, few, " s and ", many, " s");
}

TEST_CASE("tape: a sweep over a part, at the end of a long tape, costs what the part does") {
  const auto time_of = [](int before) {
    const D x = leaf(3);
    Tape tape;
    for (int i = 0; i < before; ++i) x * 2.0;
    const D h = x * 1.0;
    return seconds([&] {
      for (int i = 0; i < 20; ++i) CHECK(grad([](const D& t) { return t * t; }, h).item() == 6);
    });
  };
  const double alone = time_of(0), late = time_of(300000);
  CHECK_MESSAGE(late < 10 * alone, alone, " s and ", late, " s");
}

TEST_CASE("tape: a hook and clear() belong to the tape's thread") {
  const D x = leaf(3);
  Tape tape;
  const D y = x * x;
  std::string hooked, cleared;
  std::thread([&] {
    hooked = message<TapeError>([&] { tape.hook(y, [](const D&) {}); });
    cleared = message<TapeError>([&] { tape.clear(); });
  }).join();
  CHECK(hooked == "hook: a tape belongs to the thread that made it; make one tape per thread");
  CHECK(cleared == "clear: a tape belongs to the thread that made it; make one tape per thread");
  CHECK(tape.size() == 1);
}

TEST_CASE("tape: a tensor of an inner tape is none of the outer one's") {
  const D x = leaf(3);
  Tape outer;
  const D y = x * x;
  Tape inner;
  const D z = x * y;
  CHECK(contains(message<TapeError>([&] { outer.hook(z, [](const D&) {}); }), "hook: the tensor needs no gradient"));
  CHECK(contains(message<TapeError>([&] { outer.gradient(y, {z}); }), "gradient: input 0 needs no gradient"));
  CHECK(inner.gradient(z, {y})[0].item() == 3);  // the other way round it is an input
  CHECK(outer.gradient(y, {x})[0].item() == 6);
}

TEST_CASE("tape: NoGrad ends in any order with tapes") {
  const D x = leaf(3);
  const auto recorded = [&] { return (x * x).requires_grad(); };
  {
    std::optional<Tape> tape;
    {
      const NoGrad pause;
      tape.emplace();
      CHECK(recorded());
    }
    CHECK(recorded());
    tape.reset();
    CHECK(!Tape::recording());
  }
  Tape tape;
  CHECK(recorded());
  {
    std::optional<Tape> inner(std::in_place);
    std::optional<NoGrad> first(std::in_place), second(std::in_place);
    inner.reset();
    CHECK(!recorded());  // still in scope
    first.reset();
    CHECK(!recorded());
    second.reset();
    CHECK(recorded());
  }
  {
    std::optional<NoGrad> pause(std::in_place);
    std::optional<Tape> inner(std::in_place);
    CHECK(recorded());
    inner.reset();
    CHECK(!recorded());
    inner.emplace();
    pause.reset();
    inner.reset();
  }
  CHECK(recorded());
}

TEST_CASE("tape: one tape per thread, parameters shared") {
  Rng rng(3);
  const D w = parameter(init::normal<double>({8, 8}, 0.0, 1.0, rng)), x = init::normal<double>({8, 8}, 0.0, 1.0, rng);
  const auto gradient = [&] {
    Tape tape;
    return tape.gradient(sum(tanh(matmul(x, w))), {w})[0];
  };
  const D expected = gradient();
  std::vector<D> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) result = gradient();
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results)  // which outlive the threads whose pools they came from
    CHECK(std::equal(result.data(), result.data() + 64, expected.data()));
}

TEST_CASE("tape: tapes may end in any order, before or after their tensors") {
  D x = leaf(2);
  auto first = std::make_unique<Tape>();
  const D a = x * x;
  auto second = std::make_unique<Tape>();
  const D b = x * a;
  first.reset();
  second->backward(b);
  CHECK(x.grad().item() == 4);  // a is a constant now
  second.reset();
  CHECK(!Tape::recording());
  CHECK(!b.requires_grad());
}
