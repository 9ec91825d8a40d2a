// What many terms are added up to in one place keeps its digits, whichever op adds them.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <xtape/xtape.hpp>

#include <cmath>

#include "free_memory.hpp"

using namespace xtape;

namespace {

constexpr std::size_t million = 1'000'000;

template <class T, class F> Tensor<T> gradient_of(const Tensor<T>& at, const F& f) {
  const auto x = parameter(at);
  Tape tape;
  return tape.gradient(f(x), {x})[0];
}

// `found` is the sum of `terms` numbers 0.1, but for so many units in the last place.
template <class T> void check_sum(const char* what, T found, std::size_t terms, double units = 2) {
  const long double truth = static_cast<long double>(T(0.1)) * static_cast<long double>(terms);
  const auto off = static_cast<double>(std::abs(static_cast<long double>(found) - truth) / truth);
  CHECK_MESSAGE(off <= units * std::numeric_limits<T>::epsilon(), fmt::format("{}: {:.3g} off", what, off));
}

Integers zeros_of(std::size_t n) {
  return Integers(Shape{n}, [](std::size_t) { return std::int64_t{0}; });
}

}  // namespace

TEST_CASE_TEMPLATE("accumulation: many indices of one place", T, float, double) {
  const std::size_t n = million;
  const Tensor<T> terms = full<T>({n}, T(0.1)), zero = zeros<T>({1});
  const Integers first = zeros_of(n);
  check_sum("scatter_add", scatter_add(zero, first, terms, 0).item(), n);
  check_sum("index_add", index_add(zero, 0, first, terms).item(), n);
  const auto through = [&](const char* op, const auto& f) {
    check_sum(op, gradient_of(zero, [&](const Tensor<T>& x) { return sum(f(x) * terms); }).item(), n);
  };
  through("gather", [&](const Tensor<T>& x) { return gather(x, first, 0); });
  through("index_select", [&](const Tensor<T>& x) { return index_select(x, 0, first); });
  through("embedding", [&](const Tensor<T>& x) { return reshape(embedding(reshape(x, {1, 1}), first), {n}); });
  through("pad", [&](const Tensor<T>& x) {
    return pad(x, {{0, static_cast<std::ptrdiff_t>(n) - 1}}, {.mode = PadMode::reflect});
  });
  through("repeat", [&](const Tensor<T>& x) { return repeat(x, n, 0); });
  through("tile", [&](const Tensor<T>& x) { return tile(x, {n}); });
  through("broadcasting", [](const Tensor<T>& x) { return x; });
}

TEST_CASE("accumulation: ones beyond the whole numbers of float") {
  const std::size_t n = 20'000'000;
  if (!have_memory(std::size_t{3} << 30)) return;
  const Tensor<float> total = scatter_add(zeros<float>({1}), zeros_of(n), ones<float>({n}), 0);
  CHECK(total.item() == 2e7F);
}

TEST_CASE_TEMPLATE("accumulation: rows that stand in a list once, a few times, often, among others", T, float, double) {
  // Row 0 often, row 2 once, row 3 sixteen times, row 4 seventeen times, row 1 never; in two blocks.
  std::vector<std::int64_t> list;
  for (int i = 0; i < 5000; ++i) list.push_back(0);
  list.push_back(2);
  for (int i = 0; i < 16; ++i) list.push_back(-2);
  for (int i = 0; i < 17; ++i) list.push_back(4);
  const std::size_t m = list.size(), width = 300;
  const Tensor<T> terms = full<T>({2, m, width}, T(0.1)), base = full<T>({2, 5, width}, T(0.5));
  const Tensor<T> y = index_add(base, 1, Integers(list), terms);
  const std::array<std::size_t, 5> counts{5000, 0, 1, 16, 17};
  for (std::size_t row = 0; row < 5; ++row)
    for (const std::size_t at : {row * width, row * width + width - 1, (5 + row) * width + 130}) {
      const long double truth = 0.5L + static_cast<long double>(T(0.1)) * static_cast<long double>(counts[row]);
      CHECK(std::abs(static_cast<long double>(y.data()[at]) - truth) <=
            4 * static_cast<long double>(std::numeric_limits<T>::epsilon()) * truth);
    }
}

TEST_CASE("accumulation: infinities and NaN stay what they are") {
  const double infinity = std::numeric_limits<double>::infinity();
  Tensor<double> terms = full<double>({40}, 1.0);
  terms.modify()[3] = infinity;
  CHECK(scatter_add(zeros<double>({1}), zeros_of(40), terms, 0).item() == infinity);
  terms.modify()[7] = -infinity;
  CHECK(std::isnan(scatter_add(zeros<double>({1}), zeros_of(40), terms, 0).item()));
}

TEST_CASE_TEMPLATE("accumulation: windows that overlap much", T, float, double) {
  const std::size_t wide = 20'000;
  const auto averaged = [&](const Tensor<T>& at, const PoolOptions& options) {
    return gradient_of(at, [&](const Tensor<T>& x) {
      const auto y = avg_pool2d(x, options);
      return sum(y * full<T>(y.shape(), T(0.1)));
    });
  };
  check_sum("avg_pool2d, wide",
            averaged(ones<T>({1, 1, 1, 2 * wide - 1}), {.window = {1, wide}, .stride = {1, 1}}).data()[wide - 1], 1);
  check_sum("avg_pool2d, 16 x 16",
            averaged(ones<T>({1, 1, 31, 31}), {.window = {16, 16}, .stride = {1, 1}}).data()[480], 1, 4);
  auto hot = zeros<T>({1, 1, 1, 2 * wide - 1});
  hot.modify()[wide - 1] = 1;
  const auto largest = gradient_of(hot, [&](const Tensor<T>& x) {
    const auto y = max_pool2d(x, {.window = {1, wide}, .stride = {1, 1}});
    return sum(y * full<T>(y.shape(), T(0.1)));
  });
  check_sum("max_pool2d, wide", largest.data()[wide - 1], wide);
  auto small = zeros<T>({1, 1, 31, 31});
  small.modify()[480] = 1;
  const auto place = gradient_of(small, [&](const Tensor<T>& x) {
    const auto y = max_pool2d(x, {.window = {16, 16}, .stride = {1, 1}});
    return sum(y * full<T>(y.shape(), T(0.1)));
  });
  check_sum("max_pool2d, 16 x 16", place.data()[480], 256);
  const auto bins = gradient_of(ones<T>({1, 1, 1, 2}), [&](const Tensor<T>& x) {
    const auto y = adaptive_avg_pool2d(x, {1000, 1000});
    return sum(y * full<T>(y.shape(), T(0.1)));
  });
  check_sum("adaptive_avg_pool2d", bins.data()[0], million / 2);
  check_sum("avg_pool2d of equal numbers", avg_pool2d(full<T>({1, 1, 16, 16}, T(0.1)), {.window = {16, 16}}).item(), 1,
            4);
}

TEST_CASE("accumulation: gradients with padded and uneven windows are those of single windows added up") {
  Rng rng(5);
  for (const PoolOptions& options : {PoolOptions{.window = {5, 6}, .stride = {1, 1}, .padding = {2, 3}},
                                     PoolOptions{.window = {9, 7}, .stride = {2, 1}, .padding = {4, 0}},
                                     PoolOptions{.window = {17, 5}, .stride = {1, 2}, .padding = {8, 2}}}) {
    const auto x = init::normal<double>({2, 3, 19, 14}, 0.0, 1.0, rng);
    Tensor<double> dy, expected = zeros<double>(x.shape());
    const auto found = gradient_of(x, [&](const Tensor<double>& v) {
      const auto y = avg_pool2d(v, options);
      if (!dy.defined()) dy = init::normal<double>(y.shape(), 0.0, 1.0, rng);
      return sum(y * dy);
    });
    const auto places = static_cast<double>(options.window.h * options.window.w);
    for (std::size_t image = 0, at = 0; image < 6; ++image)
      for (std::size_t i = 0; i < dy.shape(2); ++i)
        for (std::size_t j = 0; j < dy.shape(3); ++j, ++at)
          for (std::size_t r = 0; r < options.window.h; ++r)
            for (std::size_t c = 0; c < options.window.w; ++c) {
              const std::size_t row = i * options.stride.h + r, column = j * options.stride.w + c;
              if (row < options.padding.h || row >= 19 + options.padding.h || column < options.padding.w ||
                  column >= 14 + options.padding.w)
                continue;
              expected.modify()[(image * 19 + row - options.padding.h) * 14 + column - options.padding.w] +=
                  dy.data()[at] / places;
            }
    CHECK(max(abs(found - expected)).item() <= 1e-14);
  }
}

TEST_CASE("accumulation: layers' gradients over a large batch") {
  const std::size_t n = 1000;
  for (const std::size_t filters : {1, 8, 32}) {
    const auto weights = [&](const Shape& image, std::size_t kernel) {
      return gradient_of(ones<float>({filters, image[1], kernel, kernel}), [&](const Tensor<float>& w) {
        const auto y = conv2d(ones<float>(image), w);
        return sum(y * full<float>(y.shape(), 0.1F));
      });
    };
    CAPTURE(filters);
    check_sum("conv2d, weights of one tap", weights({n, 3, 32, 32}, 1).data()[0], n * 1024, 24);
    check_sum("conv2d, weights of nine taps", weights({n, 3, 32, 32}, 3).data()[0], n * 900, 24);
    check_sum("conv2d, weights on one large image", weights({1, 1, 500, 500}, 1).data()[0], 250'000, 40);
    const auto bias = gradient_of(zeros<float>({filters}), [&](const Tensor<float>& b) {
      const auto y = conv2d(ones<float>({n, 1, 32, 32}), ones<float>({filters, 1, 1, 1}), b);
      return sum(y * full<float>(y.shape(), 0.1F));
    });
    check_sum("conv2d, bias", bias.data()[filters - 1], n * 1024);
  }
  const auto of_rows = gradient_of(zeros<float>({3}), [&](const Tensor<float>& b) {
    return sum((zeros<float>({million, 3}) + b) * full<float>({million, 3}, 0.1F));
  });
  check_sum("a linear layer's bias", of_rows.data()[1], million);
}

TEST_CASE("accumulation: running sums and products of long rows") {
  const auto steps = full<float>({million}, 0.1F);
  check_sum("recurrence", recurrence(ones<float>({million}), steps, 0).data()[million - 1], million, 1);
  check_sum("recurrence",
            recurrence(ones<double>({million, 2}), full<double>({million, 2}, 0.1), 0).data()[2 * million - 1],
            million);
  check_sum("cumsum", cumsum(steps, 0).data()[million - 1], million, 1);
  const float factor = 1 + std::numeric_limits<float>::epsilon() * 3;
  const auto products = cumprod(full<float>({million}, factor), 0);
  for (const std::size_t at : {9, 999, 99'999, 999'999}) {
    const double truth = std::exp(static_cast<double>(at + 1) * std::log(static_cast<double>(factor)));
    CHECK(std::abs(static_cast<double>(products.data()[at]) - truth) <= 0.6e-7 * truth);
  }
}
