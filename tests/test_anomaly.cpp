// The search for the first NaN or infinity, and the line of source that it names. Compiled with debug information.

#include <doctest/doctest.h>
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>
#include <xtape/tape.hpp>

#include "../src/tape/source_line.hpp"
#include "files.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

using namespace xtape;
using D = Tensor<double>;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), quiet_nan = std::numeric_limits<double>::quiet_NaN();

int planted_line = 0;  // where the anomaly is made

// What the message says of the place: the line, if the library can tell lines.
std::string place() {
#ifdef XTAPE_WITH_LIBDW
  return "called at " + std::string(__FILE__).substr(std::string(__FILE__).rfind("tests/")) + ":" +
         std::to_string(planted_line);
#else
  return "called at ";
#endif
}

// The message of the AnomalyError that f throws. The path in front of tests/ is left out.
std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const AnomalyError& error) {
    const std::string text = error.what();
    const std::size_t at = text.find("called at "), folder = text.rfind("/tests/");
    if (at == std::string::npos || folder == std::string::npos || folder < at) return text;
    CHECK(text[at + 10] == '/');
    return text.substr(0, at + 10) + text.substr(folder + 1);
  }
  return "nothing was thrown";
}

void check_message(const std::function<void()>& f, const std::string& expected) {
  const std::string text = message(f);
  CHECK_MESSAGE(text.starts_with(expected + "; " + place()), text, "\n  expected: ", expected, "; ", place());
}

// Not inlined, so that a line of the caller would be another.
[[gnu::noinline]] D planted_log(const D& x) {
  planted_line = __LINE__ + 1;
  const D y = log(x);
  return y + 1.0;
}
[[gnu::noinline]] D planted_quotient(const D& x, const D& y) {
  planted_line = __LINE__ + 1;
  const D z = x * 2.0 / y;
  return z + 1.0;
}
[[gnu::noinline]] D planted_exp(const D& x) {
  planted_line = __LINE__ + 1;
  const D y = exp(x);
  return y + 1.0;
}
// Fine at 0; its gradient there is 0 / 0.
[[gnu::noinline]] D planted_norm(const D& x) {
  planted_line = __LINE__ + 1;
  const D norm = sqrt(sum(square(x)));
  return norm * 0.0;
}

}  // namespace

TEST_CASE("anomaly: the logarithm of a negative number, by op, element, inputs and line") {
  const D x = parameter(D({2, 3}, {1, 2, 3, 4, -5, -6}));
  Tape tape{{.anomaly = true}};
  check_message([&] { planted_log(x); },
                "log: forward: nan at (1, 1) of the output of shape (2, 3), 2 of 6 elements not finite; inputs: (2, 3) "
                "finite");
  CHECK(tape.size() == 0);
#ifdef XTAPE_WITH_LIBDW
  CHECK(message([&] { planted_log(x); }).ends_with(", in planted_log"));
#endif
  tape.backward(sum(x * x));  // the tape stays usable
  CHECK(x.grad().data()[4] == -10);
}

TEST_CASE("anomaly: an operator is called where it is written") {
  const D x = parameter(D({3}, {1, 0, 2})), y = D({3}, {1, 0, 0});
  const Tape tape{{.anomaly = true}};
  check_message([&] { planted_quotient(x, y); },
                "divide: forward: nan at (1,) of the output of shape (3,), 2 of 3 elements not finite; inputs: (3,) "
                "finite, (3,) finite");
}

TEST_CASE("anomaly: overflow is infinity from finite inputs, in float and double") {
  const Tape tape{{.anomaly = true}};
  check_message(
      [&] {
        planted_exp(parameter(D({2}, {1, 1000})));
      },
      "exp: forward: inf at (1,) of the output of shape (2,), 1 of 2 elements not finite; inputs: (2,) finite");
  const Tensor<float> x = parameter(Tensor<float>(1e30F));
  const auto times = [&] { return planted_line = __LINE__, x * -1e30F; };
  check_message(
      times, "multiply: forward: -inf at () of the output of shape (), 1 of 1 elements not finite; inputs: () finite");
}

TEST_CASE("anomaly: 0/0 on the way back names the op whose gradient it is, and the line that called it forward") {
  const D x = parameter(zeros<double>({2}));
  {
    Tape plain;
    CHECK(std::isnan(plain.gradient(planted_norm(x), {x})[0].data()[0]));  // not searched
  }
  Tape tape{{.anomaly = true}};
  const D y = planted_norm(x);
  check_message(
      [&] { tape.backward(y, {.retain_graph = true}); },
      "sqrt: backward: nan at () of the gradient of input 0 of shape (), 1 of 1 elements not finite; incoming "
      "gradient: () finite; inputs: () finite");
  check_message(
      [&] { tape.gradient(y, {x}, {.create_graph = true}); },
      "sqrt: backward: nan at () of the gradient of input 0 of shape (), 1 of 1 elements not finite; first "
      "within the pullback, divide: inf at () of the output of shape (), 1 of 1 elements not finite; incoming "
      "gradient: () finite; inputs: () finite");
  CHECK(!x.grad().defined());

  tape.clear();
  const D zero = parameter(D(0.0));
  planted_line = __LINE__ + 1;
  const D root = sqrt(zero);
  check_message(
      [&] { tape.backward(root); },
      "sqrt: backward: inf at () of the gradient of input 0 of shape (), 1 of 1 elements not finite; incoming "
      "gradient: () finite; inputs: () finite");
}

TEST_CASE("anomaly: what came in as NaN is said to have come in") {
  const D x = parameter(D({1, 2}, {1, quiet_nan}));
  Tape tape{{.anomaly = true}};
  planted_line = __LINE__ + 1;  // of the function made of others, not of one of those
  check_message([&] { flatten(x); },
                "reshape: forward: nan at (0, 1) of the output of shape (1, 2), 1 of 2 elements not finite; inputs: "
                "(1, 2) with nan at (0, 1)");
  const D w = parameter(D({2}, {1, 2}));
  planted_line = __LINE__ + 1;
  const D y = w * w;
  check_message(
      [&] {
        tape.backward(y, D({2}, {1, quiet_nan}));
      },
      "multiply: backward: nan at (1,) of the gradient of input 0 of shape (2,), 1 of 2 elements not finite; "
      "incoming gradient: (2,) with nan at (1,); inputs: (2,) finite, (2,) finite");
}

TEST_CASE("anomaly: infinity that was put in is none") {
  const D x = parameter(D({2, 2}, {1, 2, 3, 4})), mask = D({2, 2}, {0, -inf, 0, 0});
  Tape tape{{.anomaly = true}};
  tape.backward(sum(softmax(x + mask)));
  CHECK(x.grad().data()[0] == 0);
  const D y = where(mask < 0.0, -inf, x);
  CHECK(y.data()[1] == -inf);
  tape.backward(sum(exp(y)));
  CHECK(x.grad().data()[1] == 0);
  CHECK((x * inf).data()[0] == inf);
  CHECK(pow(parameter(D(2.0)), inf).item() == inf);
  // Two of them may still make a NaN.
  const D both = x + mask;
  planted_line = __LINE__ + 1;
  check_message([&] { (void)(both - mask); },
                "subtract: forward: nan at (0, 1) of the output of shape (2, 2), 1 of 4 elements not finite; inputs: "
                "(2, 2) with -inf at (0, 1), (2, 2) with -inf at (0, 1)");
}

TEST_CASE("anomaly: NaN that does not get through is none: a branch not taken, an op not recorded") {
  const D x = parameter(D({2}, {1, -1}));
  Tape tape{{.anomaly = true}};
  const D not_recorded = log(x.detach());
  CHECK(std::isnan(not_recorded.data()[1]));
  tape.backward(sum(where(x > 0.0, not_recorded, x) + sum(zeros<double>({0}) * sum(x))));
  CHECK(x.grad().data()[0] == 0);
  CHECK(x.grad().data()[1] == 1);
}

TEST_CASE("anomaly: a user's op, its helpers, and what it puts right on the way") {
  const D x = parameter(D({2}, {1, -1}));
  const auto op = [&](bool put_right) {
    return record("mine", D({2}, {1, 2}), {x}, [x, put_right](const D& dy) {
      const D g = log(x) * dy;
      return Gradients{put_right ? where(x > 0.0, g, 0.0) : g};
    });
  };
  {
    Tape plain;  // nobody asked
    CHECK(std::isnan(plain.gradient(sum(op(false)), {x})[0].data()[1]));
  }
  Tape tape{{.anomaly = true}};
  const std::string expected = "mine: backward: nan at (1,) of the gradient of input 0 of shape (2,), 1 of 2 elements ";
  CHECK(message([&] { tape.gradient(sum(op(false)), {x}); }).starts_with(expected + "not finite; incoming"));
  CHECK(message([&] {
          tape.gradient(sum(op(false)), {x}, {.create_graph = true});
        }).starts_with(expected + "not finite; first within the pullback, log: nan at (1,)"));
  CHECK(tape.gradient(sum(op(true)), {x}, {.create_graph = true})[0].data()[1] == 0);
  CHECK(tape.gradient(sum(op(true)), {x})[0].data()[1] == 0);
}

TEST_CASE("anomaly: the line within lambdas, algorithms and map") {
  const D x = parameter(D(-1.0));
  const Tape tape{{.anomaly = true}};
  const std::string expected =
      "log: forward: nan at () of the output of shape (), 1 of 1 elements not finite; inputs: () finite";
  const std::vector<D> xs{x};
  std::vector<D> ys(1);
  const auto by_lambda = [](const D& v) { return planted_line = __LINE__, log(v); };
  check_message([&] { std::transform(xs.begin(), xs.end(), ys.begin(), by_lambda); }, expected);
  const auto by_name = [&] {
    planted_line = __LINE__ + 1;
    std::transform(xs.begin(), xs.end(), ys.begin(), &log<double>);
  };
  check_message(by_name, expected);
  planted_line = __LINE__ + 1;
  const std::string text = message([&] { map([](auto v) { return log(v); }, x); });
  CHECK_MESSAGE(text.find("map: forward: nan at ()") == 0, text);
  CHECK_MESSAGE(text.find(place()) != std::string::npos, text);
}

TEST_CASE("anomaly: what the sweep makes of the pullbacks' gradients, and what hooks return") {
  constexpr double large = 1.5e308;
  const auto starts = [](const std::function<void()>& f, const std::string& expected) {
    const std::string text = message(f);
    CHECK_MESSAGE(text.starts_with(expected), text);
  };
  for (const bool recorded : {false, true}) {
    const BackwardOptions options{.create_graph = recorded};
    D x = parameter(D(0.1));
    Tape tape{{.anomaly = true}};
    planted_line = __LINE__ + 1;
    const D spread = x * full<double>({2}, large);
    check_message([&] { tape.backward(spread, ones<double>({2}), options); },
                  "multiply: backward: inf at () of the gradient of input 0, summed over the axes that the input was "
                  "broadcast along, of shape (), 1 of 1 elements not finite; made of finite gradients");
    const D h = x * 1.0, twice = h * large + h * large;
    starts([&] { tape.backward(twice, options); },
           "multiply: backward: inf at () of the gradient of input 0, added to the others of the same tensor, of shape "
           "()");
    const D direct = x * large + x * large;
    starts([&] { tape.gradient(direct, {x}, options); },
           "multiply: backward: inf at () of the gradient of input 0, added to the others of the same tensor, of shape "
           "()");
    x.set_grad(D(large));
    starts([&] { tape.backward(x * large, options); },
           "multiply: backward: inf at () of the gradient of input 0, added to grad(), of shape ()");
    x.zero_grad();
    // Infinity that came in is none of the sweep's making.
    tape.backward(x + zeros<double>({2}), D({2}, {inf, 1}), options);
    CHECK(x.grad().item() == inf);
    x.zero_grad();
  }
  const D x = parameter(D({2}, {1, 2}));
  Tape tape{{.anomaly = true}};
  const auto spoil = [](const D& g) { return D(g.shape(), {g.data()[0], quiet_nan}); };
  const D h = sin(x);
  tape.hook(h, spoil);
  starts([&] { tape.backward(sum(h)); },
         "sin: backward: nan at (1,) of the gradient of the output, as a hook returned it, of shape (2,), 1 of 2 "
         "elements not finite; made of finite gradients; called at ");
  tape.hook(x, spoil);
  starts([&] { tape.backward(sum(cos(x))); },
         "hook: backward: nan at (1,) of the gradient, as a hook returned it, of shape (2,)");
}

TEST_CASE("anomaly: the start code of the program is nobody's line") {
  auto stack = detail::call_stack();
  const auto base_of = [](const void* address) {
    Dl_info info{};
    return dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
  };
  const void* const program = base_of(&planted_line);
  std::erase_if(stack, [&](void* address) { return base_of(address) == program; });
  CHECK(detail::called_at(stack) == "called from an unknown place");
  CHECK(detail::called_at({}) == "called from an unknown place");
}
