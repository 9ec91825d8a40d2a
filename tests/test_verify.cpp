// The verifier itself: it must pass what is right and find what is wrong.

#include <doctest/doctest.h>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/verify.hpp>

#include <fmt/format.h>

#include <limits>
#include <stdexcept>

using namespace xtape;
using D = Tensor<double>;

namespace {
D loss(const D& x) { return sum(square(x) * exp(x)); }
const D point({2, 2}, {0.5, -1.0, 2.0, 0.1});
D right(const D& x) { return (2 * x + square(x)) * exp(x); }
}  // namespace

TEST_CASE("verify: a right gradient passes, to rounding") {
  const auto report = verify("dL/dx", right(point), loss, point);
  CHECK(report.passed);
  CHECK(report.hand_and_tape.largest_error < 1e-14);
  CHECK(report.hand_and_differences.largest_error < 1e-9);
  const std::string text = fmt::format("{}", report);
  CHECK(text.find("dL/dx: PASS") == 0);
}

TEST_CASE("verify: a wrong gradient fails, with the worst entry and both values") {
  D wrong(point.shape(), right(point).span());
  wrong.modify()[2] *= 1.001;
  const auto report = verify("dL/dx", wrong, loss, point);
  CHECK(!report.passed);
  CHECK(report.hand_and_tape.largest_error == doctest::Approx(0.001).epsilon(0.01));
  CHECK(report.hand_and_tape.worst == std::vector<std::size_t>{1, 0});
  CHECK(report.hand_and_tape.first == wrong.data()[2]);
  CHECK(report.hand_and_tape.second == doctest::Approx(right(point).data()[2]));
  CHECK(fmt::format("{}", report).find("FAIL") != std::string::npos);
  CHECK_THROWS_AS(verify("shape", zeros<double>({3}), loss, point), ShapeError);
}

TEST_CASE("verify: NaN never passes") {
  D wrong(point.shape(), right(point).span());
  wrong.modify()[0] = std::numeric_limits<double>::quiet_NaN();
  const auto report = verify("dL/dx", wrong, loss, point);
  CHECK(!report.passed);
  CHECK(std::isinf(report.hand_and_tape.largest_error));
  CHECK(report.hand_and_tape.worst == std::vector<std::size_t>{0, 0});
}

TEST_CASE("compare_gradients: relative, with a floor for entries tiny beside the rest") {
  CHECK(compare_gradients(D({2}, {1, 100}), D({2}, {1, 101})).largest_error == doctest::Approx(1.0 / 101));
  CHECK(compare_gradients(D({2}, {1e-12, 100}), D({2}, {-1e-12, 100})).largest_error == doctest::Approx(2e-11));
  CHECK(compare_gradients(D({2}, {0, 0}), D({2}, {0, 0})).largest_error == 0);
  CHECK(compare_gradients(D({0}, {}), D({0}, {})).largest_error == 0);
}

TEST_CASE("gradcheck: whole Jacobians and random directions, and wrong pullbacks of either order") {
  const D a({2, 3}, {0.1, -0.4, 0.9, 1.3, -0.2, 0.5}), b({3, 2}, {1.1, 0.3, -0.6, 0.2, 0.8, -1.0});
  const auto f = [](const std::vector<D>& x) { return tanh(matmul(x[0], x[1])); };
  CHECK(gradcheck(f, {a, b}, {.second_order = true}).passed);
  CHECK(gradcheck(f, {a, b}, {.random_directions = 3, .second_order = true}).passed);
  const auto wrong = [](const D& x) {
    return record("wrong", D(square(x).detach()), {x}, [x](const D& dy) { return Gradients{2.001 * x * dy}; });
  };
  CHECK(!gradcheck(wrong, a).passed);
  CHECK(!gradcheck(wrong, a, {.random_directions = 2}).passed);
  const auto report = gradcheck(wrong, a);
  CHECK(report.first_order.largest_error == doctest::Approx(0.0005).epsilon(0.01));
  CHECK(report.first_order.worst.size() == 2 + 1 + 2);
  CHECK(fmt::format("{}", report).find("FAIL") != std::string::npos);
}

TEST_CASE("difference_gradient: right to ten digits") {
  CHECK(compare_gradients(difference_gradient(loss, point), right(point)).largest_error < 1e-10);
}

TEST_CASE("verify, gradcheck: a function that does not depend on x has the derivative 0") {
  const auto constant = [](const D&) { return D(3.0); };
  CHECK(verify("zero", zeros<double>({2, 2}), constant, point).passed);
  CHECK(!verify("one", ones<double>({2, 2}), constant, point).passed);
  CHECK(gradcheck(constant, point, {.second_order = true}).passed);
  CHECK(gradcheck(constant, point, {.random_directions = 2}).passed);
  // Values that depend on x, and no record of it.
  const auto detached = [](const D& x) { return sum(x.detach()); };
  CHECK(!verify("detached", ones<double>({2, 2}), detached, point).passed);
  CHECK(!gradcheck(detached, point).passed);
}

TEST_CASE("verify, gradcheck: options out of range, and nothing to compare") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {0.0, -1e-4, nan, std::numeric_limits<double>::infinity()}) {
    CHECK_THROWS_AS(verify("w", right(point), loss, point, {.step = bad}), ValueError);
    CHECK_THROWS_AS(verify("w", right(point), loss, point, {.tolerance = bad}), ValueError);
    CHECK_THROWS_AS(gradcheck(loss, point, {.step = bad}), ValueError);
    CHECK_THROWS_AS(gradcheck(loss, point, {.difference_tolerance = bad}), ValueError);
    CHECK_THROWS_AS(difference_gradient(loss, point, bad), ValueError);
  }
  CHECK_THROWS_WITH(gradcheck(loss, point, {.step = 0}), "gradcheck: the step must be positive and finite, got 0");
  const D empty = zeros<double>({0, 2});
  CHECK_THROWS_WITH(gradcheck(loss, empty),
                    "gradcheck: nothing to compare: 0 elements in 1 inputs, an output of shape ()");
  CHECK_THROWS_AS(gradcheck([&](const D&) { return empty; }, point, {.random_directions = 1}), ValueError);
  CHECK_THROWS_WITH(verify("w", empty, loss, empty), "verify: w: nothing to compare: the variable has shape (0, 2)");
}

TEST_CASE("gradcheck: elements far below the step are judged around where they are") {
  const auto logs = [](const D& x) { return log(x); };
  for (const double x : {1e-3, 1e-5, 1e-10, 1e-100}) {
    CAPTURE(x);
    const D at({3}, {x, 1.0, 3 * x});
    const auto report = gradcheck(logs, at, {.second_order = true});
    CHECK_MESSAGE(report.passed, to_string(report));
    const auto along = gradcheck(logs, at, {.random_directions = 5});
    CHECK_MESSAGE(along.passed, to_string(along));
    CHECK(verify(
              "log", 1 / at, [](const D& v) { return sum(log(v)); }, at)
              .passed);
    CHECK(gradcheck([](const D& v) { return sqrt(v) * sqrt(v); }, at).passed);
  }
  // With the one step alone log(x - 2h) is not there.
  CHECK(!gradcheck(logs, D({1}, {1e-10}), {.relative_step = 0}).passed);
}

TEST_CASE("gradcheck: a function that throws outside of its domain is judged within it") {
  const auto guarded = [](const D& x) {
    for (const double v : x.span())
      if (!(v > 0)) throw std::domain_error("only positive numbers");
    return log(x);
  };
  const auto total = [&](const D& x) { return sum(guarded(x)); };
  for (const double x : {1e-3, 1e-4, 1e-5, 1e-10, 1e-100}) {
    CAPTURE(x);
    const D at({2}, {x, 1.0});
    const auto report = gradcheck(guarded, at, {.second_order = true});
    CHECK_MESSAGE(report.passed, to_string(report));
    CHECK(gradcheck(guarded, at, {.random_directions = 3, .second_order = true}).passed);
    CHECK(verify("log", 1 / at, total, at).passed);
    CHECK(!verify("log", 1.0001 / at, total, at).passed);
    CHECK(compare_gradients(difference_gradient(total, at), 1 / at).largest_error < 1e-8);
  }
  // What throws where it is asked about throws as ever.
  CHECK_THROWS_AS(gradcheck(guarded, D({1}, {-1e-10})), std::domain_error);
  CHECK_THROWS_AS(gradcheck(guarded, D({1}, {1e-10}), {.relative_step = 0}), std::domain_error);
}

TEST_CASE("gradcheck: where rounding leaves a small step no digits, the large one counts") {
  for (const double x : {0.0, 1e-300, 1e-10, 1e-5, -1e-8}) {
    CAPTURE(x);
    const D at({2}, {x, 2.0});
    CHECK(gradcheck([](const D& v) { return 1000.0 + v; }, at).passed);
    CHECK(gradcheck([](const D& v) { return exp(v) + square(v); }, at, {.second_order = true}).passed);
    CHECK(gradcheck([](const D& v) { return sum(sin(v)); }, at, {.random_directions = 3}).passed);
  }
  CHECK(gradcheck([](const D& v) { return square(v); }, D({2}, {1e150, -1e8})).passed);
}

TEST_CASE("gradcheck: a wrong gradient of a small element is still found") {
  const auto wrong = [](const D& x) {
    return record("wrong", log(x).detach(), {x}, [x](const D& dy) { return Gradients(dy / x * 1.0001); });
  };
  const D at({2}, {1e-10, 1e-12});
  CHECK(!gradcheck(wrong, at).passed);
  CHECK(!gradcheck(wrong, at, {.random_directions = 4}).passed);
  CHECK(!verify(
             "wrong", 1.0001 / at, [](const D& x) { return sum(log(x)); }, at)
             .passed);
  CHECK_THROWS_AS(gradcheck(wrong, at, {.relative_step = -1}), ValueError);
  CHECK_THROWS_AS(difference_gradient(loss, point, 1e-4, std::numeric_limits<double>::infinity()), ValueError);
}
