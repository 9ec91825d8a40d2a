// Reductions of very many numbers keep their digits: in float, against sums in long double.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/scan.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

#include <algorithm>
#include <cmath>

#include "free_memory.hpp"

using namespace xtape;

namespace {

// Numbers of [0.1, 1.1), in no order that pairs would profit from.
Tensor<float> spread(std::size_t n) {
  Tensor<float> x = zeros<float>({n});
  double fraction = 0;
  for (std::size_t i = 0; i < n; ++i) {
    fraction += 0.6180339887498949;
    if (fraction >= 1) fraction -= 1;
    x.modify()[i] = static_cast<float>(0.1 + fraction);
  }
  return x;
}

void check_close(const char* what, float found, long double truth, double tolerance = 1e-6) {
  const auto error = static_cast<double>(std::abs(static_cast<long double>(found) - truth) / std::abs(truth));
  CHECK_MESSAGE(error <= tolerance, fmt::format("{}: {:.3g} off", what, error));
}

void check_reductions(std::size_t n) {
  const Tensor<float> x = spread(n);
  long double sum_x = 0, sum_squares = 0, sum_exp = 0, at_middle = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const long double v = x.data()[i];
    sum_x += v;
    sum_squares += v * v;
    sum_exp += static_cast<long double>(std::exp(static_cast<double>(x.data()[i])));
    if (i == n / 2) at_middle = sum_x;
  }
  const auto count = static_cast<long double>(n);
  const long double mean_x = sum_x / count, variance = sum_squares / count - mean_x * mean_x;
  check_close("sum", sum(x).item(), sum_x);
  check_close("mean", mean(x).item(), mean_x);
  check_close("norm", norm(x).item(), std::sqrt(sum_squares));
  check_close("norm of order 1", norm(x, all_axes, {.order = 1}).item(), sum_x);
  check_close("var", var(x).item(), variance);
  check_close("stddev", stddev(x).item(), std::sqrt(variance));
  check_close("logsumexp", logsumexp(x).item(), std::log(sum_exp));
  check_close("dot", dot(x, x).item(), sum_squares);
  check_close("matmul", matmul(reshape(x, {1, n}), reshape(x, {n, 1})).item(), sum_squares);
  // The other way round, over the axis that is not contiguous.
  check_close("sum along axis 0", sum(reshape(x, {n, 1}), 0).item(), sum_x);
  const Tensor<float> c = cumsum(x, 0);
  check_close("cumsum, in the middle", c.data()[n / 2], at_middle);
  check_close("cumsum, at the end", c.data()[n - 1], sum_x);
}

}  // namespace

TEST_CASE("long reductions: ten million floats") { check_reductions(10'000'000); }

TEST_CASE("long reductions: a hundred million floats") {
  if (!have_memory(std::size_t{3} << 30)) return;
  const std::size_t n = 100'000'000;
  const Tensor<float> x = full<float>({n}, 0.1F);
  const long double truth = static_cast<long double>(n) * static_cast<long double>(0.1F);
  check_close("sum", sum(x).item(), truth);
  check_close("mean", mean(x).item(), static_cast<long double>(0.1F));
  check_close("norm", norm(x).item(), static_cast<long double>(0.1F) * 1e4L);
  check_close("dot", dot(x, x).item(), truth * static_cast<long double>(0.1F));
  check_close("logsumexp", logsumexp(x).item(), static_cast<long double>(0.1F) + std::log(1e8L));
  CHECK(var(x).item() <= 1e-14F);
  check_close("cumsum", cumsum(x, 0).data()[n - 1], truth);
}
