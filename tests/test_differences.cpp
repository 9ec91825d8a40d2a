// gradcheck, verify and difference_gradient at numbers of every size: what is right passes, what is planted is found.

#include <doctest/doctest.h>
#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/verify.hpp>

#include <cmath>
#include <functional>
#include <utility>
#include <vector>

using namespace xtape;
using D = Tensor<double>;

namespace {

using Function = std::function<D(const D&)>;

struct Entry {
  const char* name;
  Function f, slope;
  std::vector<double> at;      // every mistake is found here
  std::vector<double> coarse;  // differences have too few digits for a mistake that is no larger than the slope
};

D step(const D& x) { return where(x > 0.0, D(1.0), D(0.0)); }

const std::vector<Entry> entries{
    {"relu",
     [](const D& x) { return relu(x); },
     step,
     {1e-300, -1e-300, 1e-20, 1e-15, 1e-10, -1e-10, 1e-6, 1e-4, -1e-4, 1.0, 1e4, 1e10},
     {}},
    {"abs",
     [](const D& x) { return abs(x); },
     [](const D& x) { return sign(x); },
     {1e-300, -1e-300, 1e-20, -1e-20, 1e-10, 1e-4, -1e-4, 0.7, 1e4},
     {}},
    {"square",
     [](const D& x) { return square(x); },
     [](const D& x) { return 2 * x; },
     {1e-100, 1e-20, -1e-10, 1e-4, 3.0, 1e8, 1e100},
     {1e-300, 1e-200}},
    {"relu squared",
     [](const D& x) { return square(relu(x)); },
     [](const D& x) { return 2 * relu(x); },
     {1e-100, 1e-15, 1e-10, -1e-10, 1e-4, 3.0},
     {1e-300}},
    {"cube",
     [](const D& x) { return x * x * x; },
     [](const D& x) { return 3 * square(x); },
     {1e-100, 1e-20, 1e-15, 1e-10, -1e-6, 1e-4, 2.0, 1e50},
     {}},
    {"x^1.5",
     [](const D& x) { return pow(x, 1.5); },
     [](const D& x) { return 1.5 * sqrt(x); },
     {1e-200, 1e-20, 1e-10, 1e-4, 0.01, 5.0, 1e10},
     {1e-300}},
    {"log",
     [](const D& x) { return log(x); },
     [](const D& x) { return 1 / x; },
     {1e-300, 1e-200, 1e-100, 1e-10, 1e-4, 5e-3, 0.02, 3.0, 1e4, 1e10, 1e100},
     {}},
    {"x log |x|",
     [](const D& x) { return x * log(abs(x)); },
     [](const D& x) { return 1 + log(abs(x)); },
     {1e-300, 1e-100, -1e-10, 1e-5, 1e-4, 0.01, 3.0},
     {}},
    {"1/x",
     [](const D& x) { return 1 / x; },
     [](const D& x) { return -1 / square(x); },
     {1e-100, 1e-20, -1e-10, 1e-4, -1e-4, 5e-3, 2.0, 1e8},
     {}},
    {"x^-5",
     [](const D& x) { return pow(x, -5.0); },
     [](const D& x) { return -5 * pow(x, -6.0); },
     {1e-20, -1e-15, 1e-11, 1e-6, 1e-4, 5e-3, 0.01, -0.01, 0.02, 2.0},
     {}},
    {"1 - cos(x)",
     [](const D& x) { return 1 - cos(x); },
     [](const D& x) { return sin(x); },
     {1e-6, 1e-5, 1e-4, -0.01, 0.7, 1e3, 1e4, -1e4, 1e5, 1e6, 1e8, 1e10, 1e12},
     {1e-300, 1e-100, 1e-20, 1e-13, 1e-11, -1e-10, 1e-8, 3e-8, 1e14}},
    {"1 - cos(1000 x)",
     [](const D& x) { return 1 - cos(1000 * x); },
     [](const D& x) { return 1000 * sin(1000 * x); },
     {1e-7, 1e-5, 1e-4, 0.01, 0.7, 100.3, 1e4, 1e6},
     {1e-300, 1e-15, 1e-13, 1e-10, 1e-8, 3e-8}},
    {"cos",
     [](const D& x) { return cos(x); },
     [](const D& x) { return -sin(x); },
     {1e-5, 1e-4, 0.7, 1e3, 1e4, -1e5, 1e6, 1e8, 1e10, 1e12},
     {1e-300, 1e-13, 1e-10, 1e-8, 1e14}},
    {"exp",
     [](const D& x) { return exp(x); },
     [](const D& x) { return exp(x); },
     {1e-300, 1e-10, -1e-4, 1.0, 50.0, 700.0, -30.0},
     {}},
    {"1000 + x",
     [](const D& x) { return 1000 + x; },
     [](const D& x) { return 1 + 0 * x; },
     {1e-300, 1e-10, -1e-5, 1.0, 1e6},
     {}},
    {"sign",
     [](const D& x) { return sign(x) + 0 * x; },
     [](const D& x) { return 0 * x; },
     {1e-6, -1e-6, 1e-4, 0.5},
     {}},
};

const std::vector<std::pair<const char*, std::function<double(double)>>> mistakes{
    {"times 1.0001", [](double right) { return 1.0001 * right; }},
    {"other sign", [](double right) { return -right; }},
    {"half of it, or of a kink", [](double right) { return right == 0 ? 0.5 : right / 2; }},
    {"none", [](double) { return 0.0; }},
};

}  // namespace

TEST_CASE("differences: right derivatives pass at numbers of every size, in both orders") {
  for (const Entry& entry : entries)
    for (const auto* points : {&entry.at, &entry.coarse})
      for (const double x : *points) {
        CAPTURE(entry.name);
        CAPTURE(x);
        const D at({1}, {x});
        const auto report = gradcheck(entry.f, at, {.second_order = true});
        CHECK_MESSAGE(report.passed, to_string(report));
        const auto by_hand = verify(
            entry.name, entry.slope(at), [&](const D& v) { return sum(entry.f(v)); }, at);
        CHECK_MESSAGE(by_hand.passed, to_string(by_hand));
      }
}

TEST_CASE("differences: planted mistakes are found at numbers of every size") {
  const auto found = [](const Entry& entry, double x, double wrong) {
    const Function f = [&](const D& v) {
      return record("planted", entry.f(v).detach(), {v}, [wrong](const D& dy) { return Gradients{wrong * dy}; });
    };
    const D at({1}, {x}), by_hand({1}, {wrong});
    const auto total = [&](const D& v) { return sum(entry.f(v)); };
    return !gradcheck(f, at).passed && !verify(entry.name, by_hand, total, at).passed;
  };
  for (const Entry& entry : entries) {
    CAPTURE(entry.name);
    for (const double x : entry.at)
      for (const auto& [name, mistake] : mistakes) {
        CAPTURE(x);
        CAPTURE(name);
        const double right = entry.slope(D({1}, {x})).item(), wrong = mistake(right);
        if (wrong != right) CHECK(found(entry, x, wrong));
      }
    for (const double x : entry.coarse)
      if (x < 1) {
        CAPTURE(x);
        CHECK(found(entry, x, entry.slope(D({1}, {x})).item() + 1));
      }
  }
}

TEST_CASE("differences: what is slopes' rounding alone is no mistake") {
  // The sum of a softmax is 1 whatever x is.
  const D x({3}, {0.3, -1.0, 2.0});
  CHECK(gradcheck([](const D& v) { return sum(exp(v) / sum(exp(v))); }, x).passed);
  CHECK(!verify(
             "softmax", D({3}, {1e-9, 0.0, 0.0}), [](const D& v) { return sum(exp(v) / sum(exp(v))); }, x)
             .passed);
}

TEST_CASE("differences: along random directions of small and large numbers") {
  for (const double x : {1e-300, 1e-100, 1e-10, 1e-4, 0.7, 1e4, 1e6, 1e8, 1e10, 1e12}) {
    CAPTURE(x);
    const D at({2}, {x, -2 * x});
    CHECK(gradcheck([](const D& v) { return cos(v); }, at, {.random_directions = 4}).passed);
    CHECK(gradcheck([](const D& v) { return abs(v); }, at, {.random_directions = 4}).passed);
  }
  const Entry& wrong = entries[0];
  const Function f = [&](const D& v) {
    return record("planted", wrong.f(v).detach(), {v}, [](const D& dy) { return Gradients{0.5 * dy}; });
  };
  CHECK(!gradcheck(f, D({2}, {1e-10, 3e-10}), {.random_directions = 3}).passed);
}

TEST_CASE("differences: ordinary numbers take four evaluations each") {
  Rng rng{4};
  const D x = init::normal<double>({50}, 0.0, 1.0, rng);
  std::size_t evaluations = 0;
  const auto f = [&](const D& v) {
    ++evaluations;
    return sin(v) * exp(v);
  };
  const auto loss = [&](const D& v) { return sum(f(v)); };
  const auto count = [&](auto&& run) {
    evaluations = 0;
    run();
    return evaluations;
  };
  CHECK(count([&] { gradcheck(f, x); }) == 4 * 50 + 2);  // f(x), also on the tape
  CHECK(count([&] { difference_gradient(loss, x); }) == 4 * 50 + 1);
  CHECK(count([&] { verify("loss", x, loss, x); }) == 4 * 50 + 1);
  // Small ones take eight at most where the second step tells.
  const D small({4}, {1e-3, -1e-5, 1e-10, 1e-100});
  CHECK(count([&] { gradcheck([&](const D& v) { return log(abs(f(v))); }, small); }) <= 8 * 4 + 2);
}
