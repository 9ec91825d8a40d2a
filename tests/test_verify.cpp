// The verifier itself: it must pass what is right and find what is wrong.

#include <doctest/doctest.h>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/verify.hpp>

#include <fmt/format.h>

#include <limits>

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
  wrong.mutable_data()[2] *= 1.001;
  const auto report = verify("dL/dx", wrong, loss, point);
  CHECK(!report.passed);
  CHECK(report.hand_and_tape.largest_error == doctest::Approx(0.001).epsilon(0.01));
  CHECK(report.hand_and_tape.worst == std::vector<std::size_t>{1, 0});
  CHECK(report.hand_and_tape.first == wrong.data()[2]);
  CHECK(report.hand_and_tape.second == doctest::Approx(right(point).data()[2]));
  CHECK(fmt::format("{}", report).find("FAIL") != std::string::npos);
  CHECK_THROWS_AS(verify("shape", zeros<double>({3}), loss, point), ShapeError);
  CHECK_THROWS_AS(verify(
                      "constant", point, [](const D&) { return D(1.0); }, point),
                  TapeError);
}

TEST_CASE("verify: NaN never passes") {
  D wrong(point.shape(), right(point).span());
  wrong.mutable_data()[0] = std::numeric_limits<double>::quiet_NaN();
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
