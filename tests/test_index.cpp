// What the ops that pick and order elements do where mathematics leaves a choice: repeated and negative indices, ties,
// NaN, lists of any kind, indices out of range.
#include <xtape/error.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/index.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/sort.hpp>
#include <xtape/tape.hpp>

#include "policies.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace xtape;
using namespace xtape::test;

namespace {

using Places = std::vector<std::size_t>;

bool is(const IndexArray& x, const Places& expected) {
  return std::equal(x.begin(), x.end(), expected.begin(), expected.end());
}

// A tensor that claims more elements than it has: for ops that must refuse before they read any.
template <class T> Tensor<T> claimed(const Shape& shape) {
  return Tensor<T>(detail::TensorImpl::view(*zeros<T>({1}).impl(), shape));
}

}  // namespace

TEST_CASE("index: lists of integers of any kind") {
  const auto x = vector_of({10, 20, 30});
  const std::vector<long> list{2, 0};
  const std::array<unsigned char, 2> bytes{2, 0};
  CHECK(is(index_select(x, 0, list), {30, 10}));
  CHECK(is(index_select(x, 0, bytes), {30, 10}));
  CHECK(is(index_select(x, 0, std::span<const long>(list)), {30, 10}));
  CHECK(is(index_select(x, 0, {2, 0}), {30, 10}));
  CHECK(is(index_select(x, 0, xt::xarray<short>{2, 0}), {30, 10}));
  CHECK(is(index_select(x, 0, xt::arange<int>(2) + 1), {20, 30}));
  CHECK(is(index_select(x, 0, argsort(-x)), {30, 20, 10}));
  CHECK(is(embedding(reshape(x, {3, 1}), IndexArray{{0, 1}, {2, 2}}), {10, 20, 30, 30}));
  // In row-major order, whatever order the elements have in memory.
  xt::xarray<int, xt::layout_type::column_major> columns = xt::zeros<int>({2, 2});
  columns(0, 1) = 1;
  columns(1, 0) = 2;
  CHECK(is(embedding(reshape(x, {3, 1}), columns), {10, 20, 30, 10}));
  CHECK(Integers(columns).shape() == Shape{2, 2});
}

TEST_CASE("index: gradients of repeated indices add up") {
  const auto x = vector_of({1, 2, 3});
  CHECK(is(gradient(
               [](const auto& t) {
                 return index_select(t, 0, {0, 2, 0, -3});
               },
               x, {1, 10, 100, 1000}),
           {1101, 0, 10}));
  CHECK(is(gradient([](const auto& t) { return gather(t, {0, 2, 0, -3}, 0); }, x, {1, 10, 100, 1000}), {1101, 0, 10}));
  const Tensor<double> weight({3, 2}, {1, 2, 3, 4, 5, 6});
  CHECK(is(gradient(
               [](const auto& t) {
                 return embedding(t, xt::xarray<int>{{1, 1}, {-1, 1}});
               },
               weight, {1, 2, 10, 20, 5, 6, 100, 200}),
           {0, 0, 111, 222, 5, 6}));
  CHECK(is(scatter_add(x, {1, 1, -1}, vector_of({10, 100, 1000}), 0), {1, 112, 1003}));
  CHECK(is(index_add(weight, 0, {2, 2}, Tensor<double>({2, 2}, {10, 20, 100, 200})), {1, 2, 3, 4, 115, 226}));
  CHECK(is(x, {1, 2, 3}));  // added to a copy
}

TEST_CASE("index: an index out of range throws a ValueError that says which") {
  const Tensor<double> x = zeros<double>({2, 3});
  const auto lacks = [](const auto& f) { return message<ValueError>(f); };
  CHECK(lacks([&] {
          gather(x, xt::xarray<int>{{0, 3}, {0, 0}}, 1);
        }) == "gather: index 3 at place 1 of the list is out of range for axis 1 of shape (2, 3)");
  CHECK(lacks([&] {
          gather(x, xt::xarray<int>{{0, 0}, {0, -4}}, 1);
        }) == "gather: index -4 at place 3 of the list is out of range for axis 1 of shape (2, 3)");
  CHECK(lacks([&] {
          scatter_add(x, xt::xarray<int>{{2, 0, 0}}, ones<double>({1, 3}), 0);
        }).starts_with("scatter_add: index 2 at place 0"));
  CHECK(lacks([&] { index_select(x, 0, {0, 2}); }).starts_with("index_select: index 2 at place 1"));
  CHECK(lacks([&] { index_select(zeros<double>({0, 3}), 0, {0}); }).starts_with("index_select: index 0"));
  CHECK(lacks([&] { index_add(x, 0, {-3}, ones<double>({1, 3})); }).starts_with("index_add: index -3"));
  CHECK(lacks([&] { embedding(x, {0, 1, 2}); }).starts_with("embedding: index 2 at place 2"));
  // Beyond int64: not the negative index that the bits would be.
  for (const std::uint64_t huge : {~std::uint64_t{0}, std::uint64_t{1} << 63})
    CHECK(lacks([&] { index_select(x, 0, {huge}); }).starts_with("index_select: index 9223372036854775807"));
  CHECK(lacks([&] {
          index_select(x, 0, {std::numeric_limits<std::int64_t>::min()});
        }).starts_with("index_select: index -9223372036854775808"));
  CHECK(lacks([&] { one_hot<float>({0, 3}, 3); }) == "one_hot: label 3 at place 1 is not one of 3 classes");
  CHECK(lacks([&] { one_hot<float>({-1}, 3); }).starts_with("one_hot: label -1"));
  CHECK_THROWS_AS(one_hot<float>({0}, ~std::size_t{0}), const ShapeError&);
}

TEST_CASE("index: more than 2^32 elements are refused where single elements are picked") {
  const Shape shape{std::size_t{1} << 20, std::size_t{1} << 13};
  const auto x = claimed<float>(shape);
  const auto refused = [&](const auto& f) { return message<ShapeError>(f).ends_with("has more than 2^32 elements"); };
  const xt::xarray<int> row = xt::zeros<int>({std::size_t{1}, std::size_t{1} << 13});
  CHECK(refused([&] { gather(x, row, 0); }));
  CHECK(refused([&] { scatter_add(x, row, zeros<float>({1, 1 << 13}), 0); }));
  CHECK(refused([&] { masked_select(x, 1); }));
  CHECK(refused([&] { sort(x); }));
  CHECK(refused([&] { argsort(x); }));
  CHECK(refused([&] { topk(x, 1); }));
  CHECK(refused([&] { max(x); }));
}

TEST_CASE("index: masks") {
  const Tensor<double> x({2, 2}, {1, -2, not_a_number, 4});
  CHECK(is(masked_select(x, x > 0), {1, 4}));
  CHECK(is(masked_fill(x, not_equal(x, x), 0), {1, -2, 0, 4}));
  CHECK(is(masked_select(x, x), {1, -2, not_a_number, 4}));  // what is not 0 is true, NaN too
  CHECK(masked_select(x, 0).shape() == Shape{0});
  // Nothing of what was masked gets through, forward or backward.
  CHECK(is(gradient([](const auto& t) { return masked_fill(t, not_equal(t, t), 7); }, x, {1, 2, not_a_number, 4}),
           {1, 2, 0, 4}));
  CHECK(is(gradient(
               [](const auto& t) {
                 return masked_select(t, xt::xarray<bool>{true, false});
               },
               x, {5, 6}),
           {5, 0, 6, 0}));
  CHECK(is(masked_fill(x, xt::xarray<bool>{true, false}, -inf), {-inf, -2, -inf, 4}));
}

TEST_CASE("index: equal elements keep their order, up and down, and each its own gradient") {
  const auto x = vector_of({2, 1, 2, 1, -0.0, 0.0, 2});
  CHECK(is(argsort(x), {4, 5, 1, 3, 0, 2, 6}));
  CHECK(is(argsort(x, 0, {.descending = true}), {0, 2, 6, 1, 3, 4, 5}));
  CHECK(std::signbit(sort(x).data()[0]));
  CHECK(!std::signbit(sort(x).data()[1]));
  CHECK(is(topk(x, 4).indices, {0, 2, 6, 1}));
  CHECK(is(topk(x, 3, 0, {.largest = false}).indices, {4, 5, 1}));
  const Values seed{1, 2, 3, 4, 5, 6, 7};
  CHECK(is(gradient([](const auto& t) { return sort(t); }, x, seed), {5, 3, 6, 4, 1, 2, 7}));
  CHECK(is(gradient([](const auto& t) { return topk(t, 2).values; }, x, {1, 2}), {1, 0, 2, 0, 0, 0, 0}));
  // As max has it: of equal largest ones the first.
  CHECK(is(gradient([](const auto& t) { return topk(t, 1).values; }, x, {1}), {1, 0, 0, 0, 0, 0, 0}));
}

TEST_CASE("index: NaN comes last in a sorted axis, and first of all in topk, as in max and min") {
  const auto x = vector_of({3, not_a_number, -inf, inf, not_a_number, 0});
  CHECK(is(sort(x), {-inf, 0, 3, inf, not_a_number, not_a_number}));
  CHECK(is(sort(x, 0, {.descending = true}), {inf, 3, 0, -inf, not_a_number, not_a_number}));
  CHECK(is(argsort(x), {2, 5, 0, 3, 1, 4}));
  CHECK(is(argsort(x, -1, {.descending = true}), {3, 0, 5, 2, 1, 4}));
  CHECK(is(topk(x, 4).values, {not_a_number, not_a_number, inf, 3}));
  CHECK(is(topk(x, 4).indices, {1, 4, 3, 0}));
  CHECK(is(topk(x, 3, 0, {.largest = false}).indices, {1, 4, 2}));
  CHECK(is(topk(x, 1).indices, {1}));
  CHECK(topk(x, 1).indices.flat(0) == argmax(x));
  const auto only = vector_of({not_a_number, not_a_number});
  CHECK(is(argsort(only), {0, 1}));
  CHECK(is(topk(only, 1, 0, {.largest = false}).indices, {0}));
}

TEST_CASE("index: orders of many elements, with many ties, are those of a stable sort") {
  std::mt19937 random(4);
  for (const std::size_t n : Places{1, 2, 17, 300, 2000}) {
    Values values(3 * n);
    for (double& value : values) value = random() % 8 == 0 ? not_a_number : static_cast<double>(random() % 50) - 25;
    const Tensor<double> x({3, n}, values);
    const auto up = argsort(x), down = argsort(x, 1, {.descending = true});
    const std::size_t k = n / 3 + 1;
    const auto top = topk(x, k);
    for (std::size_t row = 0; row < 3; ++row) {
      const double* line = x.data() + row * n;
      Places order(n);
      for (std::size_t i = 0; i < n; ++i) order[i] = i;
      const auto sorted = [&](auto before) {
        Places places = order;
        std::ranges::stable_sort(places, [&](std::size_t a, std::size_t b) { return before(line[a], line[b]); });
        return places;
      };
      const auto expected_up = sorted([](double a, double b) { return a < b || (std::isnan(b) && !std::isnan(a)); });
      const auto expected_down = sorted([](double a, double b) { return a > b || (std::isnan(b) && !std::isnan(a)); });
      const auto expected_top = sorted([](double a, double b) { return a > b || (std::isnan(a) && !std::isnan(b)); });
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < n; ++i) {
        wrong += up(row, i) != expected_up[i];
        wrong += down(row, i) != expected_down[i];
        wrong += i < k && top.indices(row, i) != expected_top[i];
      }
      CHECK(wrong == 0);
    }
    const auto sorted = sort(x), gathered = gather(x, up, 1);
    CHECK(is(gathered, Values(sorted.data(), sorted.data() + sorted.size())));
  }
}
