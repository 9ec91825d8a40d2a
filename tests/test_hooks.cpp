// Hooks: functions that see a gradient, and may change it, on its way.

#include <doctest/doctest.h>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>
#include <xtape/transforms.hpp>

#include "files.hpp"

using namespace xtape;
using D = Tensor<double>;

TEST_CASE("hook: on a parameter it sees the sweep's whole contribution once, before it is added to grad()") {
  D x = parameter(D({2}, {3, 5}));
  x.set_grad(D({2}, {100, 200}));
  Tape tape;
  std::vector<D> seen;
  tape.hook(x, [&](const D& g) { seen.push_back(g); });
  const D y = sum(x * x + x);  // three uses
  CHECK(seen.empty());
  tape.backward(y, {.retain_graph = true});
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].data()[0] == 7);
  CHECK(seen[0].data()[1] == 11);
  CHECK(x.grad().data()[0] == 107);
  tape.backward(y);
  REQUIRE(seen.size() == 2);
  CHECK(seen[1].data()[1] == 11);
  CHECK(x.grad().data()[1] == 222);
  CHECK(seen[0].data()[1] == 11);  // what was handed out does not change
}

TEST_CASE("hook: on a parameter it is called once the sweep has passed the parameter's first use") {
  const D first = parameter(D(2.0)), second = parameter(D(3.0)), shared = parameter(D(5.0)), unused = parameter(D(7.0));
  Tape tape;
  const D a = first * 2.0, b = a * shared, c = b * second, d = c * shared, y = d * 1.0;
  std::string order;
  const std::pair<const char*, D> hooked[] = {
      {"first ", first}, {"second ", second}, {"shared ", shared}, {"unused ", unused}, {"a ", a}, {"b ", b},
      {"c ", c}};
  for (const auto& hook : hooked) tape.hook(hook.second, [&order, name = hook.first](const D&) { order += name; });
  const D none = unused * 1.0;  // after y, and between two hooks on it
  tape.hook(unused, [&order](const D&) { order += "unused "; });
  tape.backward(y, {.retain_graph = true});
  CHECK(order == "c second b shared a first ");
  order.clear();
  tape.backward(a);
  CHECK(order == "a first ");
  tape.backward(shared);  // itself what is differentiated
  CHECK(order == "a first shared ");
  CHECK(!unused.grad().defined());
  CHECK(first.grad().item() == 2 * 5 * 3 * 5 + 2);
  CHECK(shared.grad().item() == 2 * 2 * 3 * 2 * 5 + 1);
}

TEST_CASE("hook: on an intermediate result its replacement flows on") {
  D x = parameter(D({2}, {3, 5}));
  Tape tape;
  const D h = x * 2.0;
  const D y = sum(h * h);
  tape.hook(h, [](const D& g) { return clip(g, -15, 15); });  // of 12 and 20
  const auto [gx, gh] = tape.gradient(y, {x, h}, {.retain_graph = true});
  CHECK(gh.data()[0] == 12);
  CHECK(gh.data()[1] == 15);
  CHECK(gx.data()[0] == 24);
  CHECK(gx.data()[1] == 30);
  tape.backward(y);
  CHECK(x.grad().data()[1] == 30);
}

TEST_CASE("hook: in gradient and vjp, for parameters and the loss itself, in float too") {
  Tensor<float> x = parameter(Tensor<float>({2}, {3, 5}));
  Tape tape;
  const auto y = x * x;
  tape.hook(x, [](const Tensor<float>& g) { return 10.F * g; });
  int calls = 0;
  tape.hook(y, [&](const Tensor<float>& g) {
    ++calls;
    return g + 1.F;
  });
  const auto [g] = tape.vjp(y, Tensor<float>({2}, {1, 2}), {x}, {.retain_graph = true});
  CHECK(g.data()[0] == 10 * 2 * 6);
  CHECK(g.data()[1] == 10 * 3 * 10);
  CHECK(calls == 1);
  CHECK(!x.grad().defined());
  CHECK(tape.vjp(x, Tensor<float>({2}, {1, 2}), {x})[0].data()[1] == 20);  // y is a parameter
  CHECK(calls == 1);
  const auto twice = tape.gradient(sum(y), {x, x});
  CHECK(twice[0].data()[0] == 120);
  CHECK(twice[1].data()[0] == 120);
}

TEST_CASE("hook: its ops are recorded if the sweep is") {
  D x = parameter(D(3.0));
  Tape tape;
  const D y = x * x;
  tape.hook(x, [](const D& g) { return g * g; });  // 4 x^2
  std::size_t recorded = 0;
  tape.hook(x, [&](const D& g) { recorded = g.requires_grad(); });
  const auto [g] = tape.gradient(y, {x}, {.create_graph = true});
  CHECK(g.item() == 36);
  CHECK(recorded == 1);
  tape.clear();  // and with it the hooks
  const D z = x * x;
  tape.hook(z, [](const D& dz) { return 2.0 * dz; });
  const auto [gz] = tape.gradient(z, {x}, {.create_graph = true});
  CHECK(gz.item() == 12);
  CHECK(tape.gradient(gz, {x})[0].item() == 4);
  tape.backward(x * x);
  CHECK(x.grad().item() == 6);
}

TEST_CASE("hook: several run in order, each on what the one before returned; undefined changes nothing") {
  D x = parameter(D(2.0));
  Tape tape;
  const D h = x * x, y = h * 3.0;
  std::string order;
  for (const D& of : {x, h}) {
    tape.hook(of, [&order](const D& g) { return order += 'a', g + 1.0; });
    tape.hook(of, [&order](const D&) { return order += 'b', D(); });
    tape.hook(of, [&order, count = 0](const D& g) mutable { return order += std::to_string(++count), g * 10.0; });
  }
  const D gx = tape.gradient(y, {x}, {.retain_graph = true})[0];
  CHECK(gx.item() == ((3 + 1) * 10 * 4 + 1) * 10);
  CHECK(order == "ab1ab1");
  tape.backward(y);
  CHECK(order == "ab1ab1ab2ab2");
  CHECK(x.grad().item() == gx.item());
}

TEST_CASE("hook: not called where no gradient is computed") {
  D x = parameter(D(2.0)), w = parameter(D(3.0));
  Tape tape;
  int calls = 0;
  const D apart = w * w;
  const D y = x * x;
  for (const D& of : {w, apart}) tape.hook(of, [&](const D&) { ++calls; });
  tape.backward(y, {.retain_graph = true});
  tape.gradient(y + apart, {x}, {.retain_graph = true});
  CHECK(calls == 0);
  tape.backward(y + apart);
  CHECK(calls == 2);
}

TEST_CASE("hook: on a parameter it is for the caller's sweep, not for those of checkpoints in it") {
  const D x = parameter(D({2}, {3, 5}));
  for (const bool recorded : {false, true}) {
    Tape tape;
    std::vector<D> seen;
    tape.hook(x, [&](const D& g) { return seen.push_back(g), 2.0 * g; });
    const auto f = [x](const D& t) { return t * x; };
    const D y = sum(checkpoint(f, checkpoint(f, x)));  // x^3
    const auto [g] = tape.gradient(y, {x}, {.create_graph = recorded});
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].data()[0] == 27);
    CHECK(g.data()[1] == 150);
  }
}

TEST_CASE("hook: an enclosing tape's tensor is hooked where the sweep stops") {
  D x = parameter(D(2.0));
  const Tape outer;
  const D h = x * x;
  Tape inner;
  inner.hook(h, [](const D& g) { return -g; });
  CHECK(inner.gradient(h * h, {h})[0].item() == -8);
}

TEST_CASE("hook: two parameters never share one gradient, whatever the hooks return") {
  D x = parameter(D(2.0)), y = parameter(D(3.0));
  Tape tape;
  const D both(5.0);
  for (const D& of : {x, y}) tape.hook(of, [&](const D&) { return both; });
  const D z = x * y;
  tape.backward(z, {.retain_graph = true});
  tape.backward(z);
  CHECK(x.grad().item() == 10);
  CHECK(y.grad().item() == 10);
  CHECK(both.item() == 5);
}

TEST_CASE("hook: misuse is an error, and the tape stays usable") {
  D x = parameter(D({2}, {3, 5}));
  Tape tape;
  check_bad<TapeError>([&] { tape.hook(D(1.0), [](const D&) {}); }, {"hook: ", "parameter()"});
  check_bad<TapeError>([&] { tape.hook(D(), [](const D&) {}); }, {"hook: "});

  bool bad = true;
  const D y = sum(x * x), h = x * 2.0, z = sum(h);
  for (const D& of : {x, h}) tape.hook(of, [&](const D& g) { return bad ? zeros<double>({3}) : g; });
  for (const D& of : {y, z})
    check_bad<TapeError>([&] { tape.backward(of, {.retain_graph = true}); },
                         {"hook: returned a gradient of shape (3,) for a tensor of shape (2,)"});
  CHECK(!x.grad().defined());
  bad = false;
  tape.backward(y);
  CHECK(x.grad().data()[1] == 10);

  tape.clear();
  x.zero_grad();
  bool thrown = false;
  tape.hook(x, [&](const D&) {
    if (!std::exchange(thrown, true)) throw std::runtime_error("planted");
  });
  const D again = sum(x * x);
  CHECK_THROWS_WITH(tape.backward(again, {.retain_graph = true}), "planted");
  CHECK(!x.grad().defined());
  tape.backward(again);
  CHECK(x.grad().data()[1] == 10);
}

TEST_CASE("hook: one that adds hooks or wants to clear the tape while the sweep runs") {
  D x = parameter(D(2.0)), w = parameter(D(3.0));
  Tape tape;
  const D h = x * w;
  int added = 0;
  tape.hook(h, [&, payload = std::string(100, 'x')](const D&) {
    check_bad<TapeError>([&] { tape.clear(); }, {"clear: a sweep"});
    for (int i = 0; i < 100; ++i) tape.hook(h, [&](const D&) { ++added; });
    tape.hook(w, [&](const D&) { added += 1000; });
    CHECK(payload == std::string(100, 'x'));
  });
  tape.backward(h, {.retain_graph = true});
  CHECK(added == 100);  // on w from the next sweep on
  CHECK(w.grad().item() == 2);
  tape.clear();
  CHECK(tape.size() == 0);
}
