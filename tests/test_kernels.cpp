// Kernels on extents that fill several batches, tiles and blocks and leave a rest, held against plain loops in long
// double.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/scan.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

#include "policies.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <numeric>

using namespace xtape;
using namespace xtape::test;

namespace {

using Real = long double;
using Reals = std::vector<Real>;

// Numbers in [-2, 2), the same everywhere; with few of them there are ties.
template <class T> Tensor<T> numbers(const Shape& shape, std::uint64_t levels = 1 << 20) {
  std::vector<T> values(shape.elements());
  std::uint64_t state = 88172645463325252U;
  for (T& value : values) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    value = static_cast<T>(static_cast<double>(state % levels) / static_cast<double>(levels) * 4 - 2);
  }
  return Tensor<T>(shape, values);
}

// |a - b| at most `units` of the element type's epsilon times the size.
template <class T> bool near(T a, Real b, Real size, Real units) {
  if (std::isnan(b)) return std::isnan(a);
  if (std::isinf(b)) return static_cast<Real>(a) == b;
  return std::abs(static_cast<Real>(a) - b) <= units * size * static_cast<Real>(std::numeric_limits<T>::epsilon());
}

// Calls f(elements of the slice, index of element i of it) for every slice along an axis.
template <class T, class F> void for_lines(const Tensor<T>& x, std::size_t axis, const F& f) {
  std::size_t outer = 1, inner = 1;
  const std::size_t n = x.shape()[axis];
  for (std::size_t i = 0; i < axis; ++i) outer *= x.shape()[i];
  for (std::size_t i = axis + 1; i < x.dimension(); ++i) inner *= x.shape()[i];
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t j = 0; j < inner; ++j) {
      const auto index = [=](std::size_t i) { return (o * n + i) * inner + j; };
      Reals line;
      for (std::size_t i = 0; i < n; ++i) line.push_back(static_cast<Real>(x.data()[index(i)]));
      f(line, index, o * inner + j);
    }
}

Real log_sum_exp(const Reals& line) {
  const Real top = *std::ranges::max_element(line);
  Real sum = 0;
  for (const Real v : line) sum += std::exp(v - top);
  return top + std::log(sum);
}

template <class T> void check_lines(const Shape& shape) {
  const Tensor<T> x = numbers<T>(shape), dy = numbers<T>(shape, 1000);
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    CAPTURE(to_string(shape));
    CAPTURE(axis);
    const auto a = static_cast<std::ptrdiff_t>(axis);
    const Tensor<T> total = sum(x, a), lengths = norm(x, a), spread = var(x, a), lse = logsumexp(x, a),
                    p = softmax(x, a), log_p = log_softmax(x, a), running = cumsum(x, a),
                    back = cumsum(x, a, {.reverse = true});
    const auto gradient_of = [&](const auto& f) {
      const Tensor<T> parameter_x = parameter(x);
      Tape tape;
      return tape.vjp(f(parameter_x), dy, {parameter_x})[0];
    };
    const Tensor<T> dp = gradient_of([a](const auto&v) { return softmax(v, a); }),
                    dlog_p = gradient_of([a](const auto&v) { return log_softmax(v, a); });
    bool right = true;
    for_lines(x, axis, [&](const Reals& line, const auto& index, std::size_t result) {
      const auto n = static_cast<Real>(line.size());
      Real sizes = 0, squares = 0, reference = 0;
      for (const Real v : line) reference += v, sizes += std::abs(v), squares += v * v;
      const Real mean = reference / n, lse_reference = log_sum_exp(line), top = *std::ranges::max_element(line);
      Real deviations = 0, dot = 0, dots = 0, sum_dy = 0, sum_dy_size = 0;
      for (std::size_t i = 0; i < line.size(); ++i) {
        deviations += (line[i] - mean) * (line[i] - mean);
        const auto g = static_cast<Real>(dy.data()[index(i)]);
        dot += g * std::exp(line[i] - lse_reference);
        dots += std::abs(g * std::exp(line[i] - lse_reference));
        sum_dy += g, sum_dy_size += std::abs(g);
      }
      right = right && near(total.data()[result], reference, sizes, 4) &&
              near(lengths.data()[result], std::sqrt(squares), std::sqrt(squares), 4) &&
              near(spread.data()[result], deviations / n, deviations / n, 8) &&
              near(lse.data()[result], lse_reference, std::abs(lse_reference) + std::abs(top), 4);
      Real so_far = 0;
      for (std::size_t i = 0; i < line.size(); ++i) {
        const std::size_t at = index(i);
        const Real q = std::exp(line[i] - lse_reference), g = static_cast<Real>(dy.data()[at]);
        so_far += line[i];
        right = right && near(p.data()[at], q, q, 12) &&
                near(log_p.data()[at], line[i] - lse_reference, std::abs(line[i] - top) + (lse_reference - top), 4) &&
                near(dp.data()[at], q * (g - dot), q * (std::abs(g) + dots), 16) &&
                near(dlog_p.data()[at], g - q * sum_dy, std::abs(g) + q * sum_dy_size, 16) &&
                near(running.data()[at], so_far, sizes, 2) &&
                near(back.data()[at], reference - so_far + line[i], sizes, 2);
      }
    });
    CHECK(right);
  }
}

// What pooling does, window by window. Of each: its value, the place it was taken from, the mean.
struct Pooled {
  Reals largest, mean;
  std::vector<std::size_t> place;
};
Pooled pooled(const Tensor<double>& x, const PoolOptions& o) {
  Pooled result;
  const std::size_t h = x.shape()[2], w = x.shape()[3];
  const std::size_t rows = (h + 2 * o.padding.h - o.window.h) / o.stride.h + 1,
                    columns = (w + 2 * o.padding.w - o.window.w) / o.stride.w + 1;
  for (std::size_t n = 0; n < x.shape()[0] * x.shape()[1]; ++n)
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j) {
        Real sum = 0;
        std::size_t best = x.size();
        for (std::size_t r = i * o.stride.h; r < i * o.stride.h + o.window.h; ++r)
          for (std::size_t c = j * o.stride.w; c < j * o.stride.w + o.window.w; ++c) {
            if (r < o.padding.h || c < o.padding.w || r - o.padding.h >= h || c - o.padding.w >= w) continue;
            const std::size_t at = (n * h + r - o.padding.h) * w + c - o.padding.w;
            sum += static_cast<Real>(x.data()[at]);
            const bool first = best == x.size();
            if (first || x.data()[at] > x.data()[best] || (std::isnan(x.data()[at]) && !std::isnan(x.data()[best])))
              best = at;
          }
        result.largest.push_back(static_cast<Real>(x.data()[best]));
        result.place.push_back(best);
        result.mean.push_back(sum / static_cast<Real>(o.window.h * o.window.w));
      }
  return result;
}

template <class T> void check_pools(const Tensor<double>& values, const PoolOptions& options) {
  CAPTURE(to_string(values.shape()));
  CAPTURE(options.window.w);
  CAPTURE(options.stride.w);
  CAPTURE(options.padding.w);
  const Tensor<T> x(values.shape(), std::vector<T>(values.span().begin(), values.span().end()));
  const Pooled expected = pooled(Tensor<double>(x.shape(), Values(x.span().begin(), x.span().end())), options);
  const Tensor<T> without = max_pool2d(x, options), mean = avg_pool2d(x, options);
  const Tensor<T> p = parameter(x), dy = numbers<T>(without.shape(), 64);
  Tape tape;
  const Tensor<T> largest = max_pool2d(p, options);
  const auto [dx, dx_mean] = std::pair{tape.vjp(largest, dy, {p})[0], tape.vjp(avg_pool2d(p, options), dy, {p})[0]};
  Reals scattered(x.size());
  bool right = true;
  for (std::size_t i = 0; i < expected.place.size(); ++i) {
    scattered[expected.place[i]] += static_cast<Real>(dy.data()[i]);
    right = right && near(largest.data()[i], expected.largest[i], 0, 0) &&
            near(without.data()[i], expected.largest[i], 0, 0) && near(mean.data()[i], expected.mean[i], 2, 16);
  }
  CHECK(right);
  for (std::size_t i = 0; i < x.size(); ++i) right = right && near(dx.data()[i], scattered[i], 16, 4);
  CHECK(right);
  // <dy, mean(x)> = <dx, x>
  Real forth = 0, back = 0;
  for (std::size_t i = 0; i < dy.size(); ++i) forth += static_cast<Real>(dy.data()[i]) * expected.mean[i];
  for (std::size_t i = 0; i < x.size(); ++i)
    back += static_cast<Real>(dx_mean.data()[i]) * static_cast<Real>(x.data()[i]);
  CHECK((std::isfinite(forth) ? near(static_cast<T>(back), forth, static_cast<Real>(x.size()), 4) : true));
}

}  // namespace

TEST_CASE("kernels: sums, moments, the softmax family and running sums along every axis") {
  for (const Shape& shape : {Shape{3, 37, 70}, Shape{2, 100, 5}, Shape{5, 1100}, Shape{1100, 9}, Shape{70, 2, 1},
                             Shape{1, 33}, Shape{40, 16}, Shape{9, 17, 3, 2}, Shape{130, 67}}) {
    check_lines<float>(shape);
    check_lines<double>(shape);
  }
}

TEST_CASE("kernels: limits of the softmax family in columns are those in rows") {
  const Tensor<double> rows(
      {7, 3}, {inf,          1, 2,    inf, inf, 0, -inf, -inf, -inf, not_a_number, 1, 2, 1, -inf, not_a_number, inf,
               not_a_number, 0, -inf, 3,   -inf});
  const Tensor<double> columns = transpose(rows);
  const auto same = [](const Tensor<double>& a, const Tensor<double>& b) {
    return is(a, Values(b.span().begin(), b.span().end()));
  };
  CHECK(same(softmax(rows, 1), transpose(softmax(columns, 0))));
  CHECK(same(log_softmax(rows, 1), transpose(log_softmax(columns, 0))));
  CHECK(same(logsumexp(rows, 1), logsumexp(columns, 0)));
  CHECK(is(logsumexp(rows, 1), {inf, inf, -inf, not_a_number, not_a_number, not_a_number, 3}));
  CHECK(is(slice(softmax(columns, 0), {all(), 0}), {1, 0, 0}));
  CHECK(is(slice(log_softmax(columns, 0), {all(), 6}), {-inf, 0, -inf}));
  CHECK(std::isnan(softmax(columns, 0).data()[1]));
  // A loss at a limit.
  CHECK(cross_entropy(slice(rows, {range(0, 1)}), Labels{0}).item() == 0);
  CHECK(cross_entropy(slice(rows, {range(0, 1)}), Labels{1}).item() == inf);
}

TEST_CASE("kernels: the mean's second part is exact, however large the first") {
  // Deviations of 1 and -1 around numbers that the sum must round.
  for (const double large : {1.0, 1e6, 1e15}) {
    Values values;
    for (int i = 0; i < 1001; ++i) values.push_back(large + (i % 2 == 0 ? 1 : -1));
    const double mean_of_rest = 1.0 / 1001, expected = 1 - mean_of_rest * mean_of_rest;
    CHECK(std::abs(var(vector_of(values)).item() - expected) <= 1e-15);
  }
  CHECK(var(full<double>({1000}, 0.1)).item() <= 1e-60);
  CHECK(std::isnan(var(vector_of({1, inf})).item()));
  CHECK(std::isfinite(var(vector_of({1e150, -1e150, 0})).item()));
}

TEST_CASE("kernels: norms at both ends of the range, and of a slice of zeros among others") {
  for (const double scale : {1e-310, 1e-170, 1.0, 1e170, 1e305}) {
    CAPTURE(scale);
    const Tensor<double> x = Tensor<double>({2, 3}, {1, 2, 2, 0, 3, 4}) * scale;
    CHECK(norm(x, 1).data()[0] == doctest::Approx(3 * scale).epsilon(1e-13));
    CHECK(norm(x, 1).data()[1] == doctest::Approx(5 * scale).epsilon(1e-13));
  }
  CHECK(is(norm(Tensor<double>({3, 2}, {0, 0, 3, 4, inf, 1}), 1), {0, 5, inf}));
}

TEST_CASE("kernels: pools of any width, window, stride and padding, with ties, NaN and infinity") {
  Tensor<double> odd = numbers<double>({2, 1, 11, 23}, 5);
  {
    const auto values = odd.modify();
    for (std::size_t i = 0; i < values.size(); i += 29) values[i] = not_a_number;
    for (std::size_t i = 0; i < 60; ++i) values[i] = -inf;
    values[100] = inf;
  }
  for (const std::size_t window : {1U, 2U, 3U, 4U, 5U})
    for (const std::size_t stride : {1U, 2U, 3U, 5U})
      for (const std::size_t padding : {0U, 1U, 2U}) {
        if (2 * padding > window) continue;
        const PoolOptions options{.window = window, .stride = stride, .padding = padding};
        check_pools<double>(odd, options);
        for (const std::size_t width : {5U, 8U, 12U, 13U, 24U, 37U}) {
          check_pools<float>(numbers<double>({1, 2, 9, width}, 7), options);
          check_pools<double>(numbers<double>({1, 2, 8, width}, 1000), options);
        }
      }
  check_pools<double>(odd, {.window = {2, 3}, .stride = {3, 2}, .padding = {1, 0}});
  check_pools<float>(numbers<double>({1, 1, 40, 50}, 50), {.window = {17, 20}, .stride = {3, 1}, .padding = {8, 2}});
}

TEST_CASE("kernels: a transpose of any permutation") {
  const Shape shape{5, 18, 3, 35};
  const Tensor<float> x = numbers<float>(shape);
  std::array<std::ptrdiff_t, 4> order{0, 1, 2, 3};
  do {
    const Tensor<float> y = transpose(x, {order[0], order[1], order[2], order[3]});
    std::array<std::size_t, 4> i{}, stride{18 * 3 * 35, 3 * 35, 35, 1};
    bool right = true;
    std::size_t at = 0;
    const auto axis = [&](std::size_t k) { return static_cast<std::size_t>(order[k]); };
    for (i[0] = 0; i[0] < shape[axis(0)]; ++i[0])
      for (i[1] = 0; i[1] < shape[axis(1)]; ++i[1])
        for (i[2] = 0; i[2] < shape[axis(2)]; ++i[2])
          for (i[3] = 0; i[3] < shape[axis(3)]; ++i[3]) {
            std::size_t from = 0;
            for (std::size_t k = 0; k < 4; ++k) from += i[k] * stride[axis(k)];
            right = right && y.data()[at++] == x.data()[from];
          }
    CHECK(right);
  } while (std::ranges::next_permutation(order).found);
  const Tensor<double> matrix = numbers<double>({33, 50});
  CHECK(std::ranges::equal(transpose(transpose(matrix)).span(), matrix.span()));
}
