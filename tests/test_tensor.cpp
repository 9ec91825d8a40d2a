// Tensors: where they come from, what they share, and how they stand beside xtensor's expressions.

#include <doctest/doctest.h>
#include <xtape/format.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <thread>
#include <vector>

#include "flags_other.hpp"
#include "xtensor_headers.hpp"

using namespace xtape;
using D = Tensor<double>;

namespace {

bool holds(const D& tensor, const Shape& shape, std::initializer_list<double> values) {
  return tensor.shape() == shape &&
         std::equal(tensor.data(), tensor.data() + tensor.size(), values.begin(), values.end());
}

}  // namespace

TEST_CASE("tensor: made from any xtensor expression") {
  const xt::xarray<double> a{{1, 2, 3}, {4, 5, 6}};
  const xt::xtensor<double, 2> fixed = a;
  const xt::xarray<double, xt::layout_type::column_major> columns = a;
  CHECK(holds(D(a), {2, 3}, {1, 2, 3, 4, 5, 6}));
  CHECK(holds(D(fixed), {2, 3}, {1, 2, 3, 4, 5, 6}));
  CHECK(holds(D(columns), {2, 3}, {1, 2, 3, 4, 5, 6}));
  CHECK(holds(D(xt::transpose(a)), {3, 2}, {1, 4, 2, 5, 3, 6}));
  CHECK(holds(D(xt::view(a, xt::all(), 1)), {2}, {2, 5}));
  CHECK(holds(D(xt::view(a, 0, xt::range(0, 3, 2))), {2}, {1, 3}));
  CHECK(holds(D(2.0 * a + 1.0), {2, 3}, {3, 5, 7, 9, 11, 13}));
  CHECK(holds(D(xt::pow<2>(a)), {2, 3}, {1, 4, 9, 16, 25, 36}));
  CHECK(holds(D(xt::xarray<int>{1, 2}), {2}, {1, 2}));
  CHECK(holds(D(xt::xarray<float>{0.5F}), {1}, {0.5}));
  CHECK(Tensor<float>(a).data()[5] == 6.0F);
  const Tensor deduced = 2.0 * a;
  static_assert(std::is_same_v<decltype(deduced), const D>);
  const Tensor single = xt::xarray<float>{1.0F};
  static_assert(std::is_same_v<decltype(single), const Tensor<float>>);
}

TEST_CASE("tensor: views, adaptors and generators in; containers, views and spans out") {
  std::vector<float> buffer{1, 2, 3, 4, 5, 6};
  CHECK(holds(D(xt::adapt(buffer, {2, 3})), {2, 3}, {1, 2, 3, 4, 5, 6}));
  CHECK(
      holds(D(xt::adapt(buffer.data(), 4, xt::no_ownership(), std::vector<std::size_t>{2, 2})), {2, 2}, {1, 2, 3, 4}));
  CHECK(holds(D(xt::adapt<xt::layout_type::column_major>(buffer, std::vector<std::size_t>{2, 3})), {2, 3},
              {1, 3, 5, 2, 4, 6}));
  CHECK(holds(D(xt::strided_view(xt::adapt(buffer, {2, 3}), {1, xt::range(2, xt::placeholders::_, -2)})), {2}, {6, 4}));
  CHECK(holds(D(xt::xtensor_fixed<double, xt::xshape<2>>{7, 8}), {2}, {7, 8}));
  CHECK(holds(D(xt::arange<int>(3)), {3}, {0, 1, 2}));
  CHECK(holds(D(xt::broadcast(xt::xarray<double>{1, 2}, {2, 2})), {2, 2}, {1, 2, 1, 2}));
  CHECK(holds(D(xt::xarray<bool>{true, false}), {2}, {1, 0}));
  CHECK(holds(D(xt::where(xt::xarray<double>{1, -1} > 0, 2.0, 3.0)), {2}, {2, 3}));

  const Tensor<double> t({2, 2}, {1, 2, 3, 4});
  const xt::xtensor<float, 2> fixed = t.array();
  CHECK(fixed(1, 0) == 3);
  const xt::xarray<double, xt::layout_type::column_major> columns = xt::transpose(t.array());
  CHECK(columns(1, 0) == 2);
  xt::xarray<double> whole = xt::zeros<double>({2, 3});
  xt::view(whole, xt::all(), xt::range(1, 3)) = t.array();
  CHECK(whole(1, 2) == 4);
  xt::adapt(buffer, {2, 3}) += whole;
  CHECK(buffer == std::vector<float>{1, 3, 5, 4, 8, 10});
  // Without a copy.
  CHECK(t.span().data() == t.data());
  CHECK(t.span().size() == 4);
  CHECK(t.array().data() == t.data());
  const Tensor<double> again = t;
  CHECK(again.data() == t.data());
  const std::vector<double> values{5, 6, 7};
  CHECK(holds(D({3}, values), {3}, {5, 6, 7}));
  CHECK(holds(D({2}, {values.data() + 1, 2}), {2}, {6, 7}));
  CHECK_THROWS_AS(D({2}, values), ShapeError);
}

TEST_CASE("tensor: array() is an xtensor expression without a copy, and outlives its tensor") {
  const D a({2, 2}, {1, 2, 3, 4});
  CHECK(a.array().data() == a.data());
  CHECK(xt::sum(a.array())() == 10);
  CHECK(xt::view(a.array(), 1, 0)() == 3);
  const xt::xarray<double> copy = a.array() * 10.0;
  CHECK(copy(1, 1) == 40);
  const auto lazy = (a + a).array() * 2.0;  // the temporary is gone when the expression is evaluated
  const D other = a * 100.0, another = a * 200.0;
  CHECK(holds(D(lazy), {2, 2}, {4, 8, 12, 16}));
}

TEST_CASE("tensor: beside arrays and numbers the result is a Tensor") {
  const D t({2}, {1, 2});
  const xt::xarray<double> array{10, 20};
  static_assert(std::is_same_v<decltype(t + array), D>);
  static_assert(std::is_same_v<decltype(array + t), D>);
  static_assert(std::is_same_v<decltype(t + (array * 2.0)), D>);
  static_assert(std::is_same_v<decltype((array * 2.0) - t), D>);
  static_assert(std::is_same_v<decltype(t * t.array()), D>);
  static_assert(std::is_same_v<decltype(2 * t), D>);
  static_assert(std::is_same_v<decltype(t / 2.0F), D>);
  static_assert(std::is_same_v<decltype(maximum(t, array)), D>);
  static_assert(std::is_same_v<decltype(minimum(array, t)), D>);
  static_assert(std::is_same_v<decltype(pow(t, array)), D>);
  static_assert(std::is_same_v<decltype(where(array > 5.0, t, 0)), D>);
  static_assert(std::is_same_v<decltype(t < array), D>);
  CHECK(holds(t + array, {2}, {11, 22}));
  CHECK(holds(array - t, {2}, {9, 18}));
  CHECK(holds(t + (array * 2.0), {2}, {21, 42}));
  CHECK(holds(array / t, {2}, {10, 10}));
  CHECK(holds(1 - t, {2}, {0, -1}));
  CHECK(holds(where(array > 15.0, t, -1), {2}, {-1, 2}));
  CHECK(holds(pow(t, 3), {2}, {1, 8}));
  D x = parameter(t);
  Tape tape;
  tape.backward(sum(array * x));
  CHECK(holds(x.grad(), {2}, {10, 20}));
}

TEST_CASE("tensor: copies, views and detach share; assign changes one leaf and no view of it") {
  D w = parameter(D({2, 2}, {1, 2, 3, 4}));
  const D copy = w, flat = reshape(w, {4}), detached = w.detach();
  const auto array = w.array();
  CHECK(copy.data() == w.data());
  CHECK(flat.data() == w.data());
  CHECK(detached.data() == w.data());
  CHECK(!detached.requires_grad());
  w.assign(w.array() * 2.0);  // reads the elements that it replaces
  CHECK(holds(w, {2, 2}, {2, 4, 6, 8}));
  CHECK(holds(copy, {2, 2}, {2, 4, 6, 8}));  // the same leaf
  CHECK(holds(flat, {4}, {1, 2, 3, 4}));
  CHECK(holds(detached, {2, 2}, {1, 2, 3, 4}));
  CHECK(array(1, 1) == 4);
  w.assign(xt::transpose(w.array()));
  CHECK(holds(w, {2, 2}, {2, 6, 4, 8}));
  CHECK_THROWS_AS(w.assign(xt::xarray<double>{1, 2}), ShapeError);
  const double* before = w.data();
  w.assign(D({2, 2}, {0, 0, 0, 0}));
  CHECK(w.data() == before);  // nobody shares the elements now: in place
}

TEST_CASE("tensor: 0-d, empty, size 1, many axes") {
  CHECK(D(3.0).item() == 3);
  CHECK(D(3.0).dimension() == 0);
  CHECK(D({1, 1}, {7}).item() == 7);
  const D empty({0, 3}, {});
  CHECK(empty.size() == 0);
  CHECK((empty + 1.0).shape() == Shape{0, 3});
  CHECK(sum(empty).item() == 0);
  CHECK(sum(empty, 1).shape() == Shape{0});
  CHECK(zeros<double>({1, 1, 1, 1, 1, 1, 1, 2}).shape(-1) == 2);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK_THROWS_AS(zeros<double>({2, -1}), ShapeError);
  CHECK_THROWS_AS(zeros<float>({1UL << 40, 1UL << 40}), ShapeError);
  CHECK_THROWS_AS(D({2}, {1, 2, 3}), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(D({2}, {1, 2}).item()), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(D({2}, {1, 2}).shape(1)), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(D().size()), Error);
  CHECK_THROWS_AS(D() + 1.0, Error);
  CHECK(to_string(Shape{}) == "()");
  CHECK(to_string(Shape{3}) == "(3,)");
  CHECK(to_string(Shape{32, 784}) == "(32, 784)");
}

TEST_CASE("tensor: outlives the thread that made it") {
  D made;
  std::thread([&] { made = D({3}, {1, 2, 3}) * 2.0; }).join();
  CHECK(holds(made, {3}, {2, 4, 6}));
}

TEST_CASE("tensor: a user's compiler flags change no public type") {
  CHECK(other_flags::sizes() == other_flags::Sizes{sizeof(D), sizeof(IndexArray), sizeof(D::Array), sizeof(Tape)});
  CHECK(holds(other_flags::twice(D({3}, {1, 2, 3})), {3}, {2, 4, 6}));
  const IndexArray from_there = other_flags::places(D({2, 2}, {1, 9, 7, 3}));
  CHECK(from_there(0) == 1);
  CHECK(from_there(1) == 0);
}

TEST_CASE("tensor: map in files of different flags, and on numbers of both at once") {
  for (std::size_t n : {1U, 3U, 4U, 7U, 8U, 15U, 16U, 33U, 100U}) {
    const Tensor<float> x = parameter(full<float>({n}, 0.25F));
    Tape tape;
    const auto y = sum(other_flags::fused(x)) + sum(other_flags::fused_there(x) * 2.0F);
    const double e = std::exp(0.25), root = std::sqrt(e + 1), t = std::tanh(0.25);
    const auto count = static_cast<double>(n);
    CHECK(y.item() == doctest::Approx(3 * count * root * t).epsilon(1e-6));
    tape.backward(y);
    for (const float g : x.grad().span())
      CHECK(g == doctest::Approx(3 * (e / (2 * root) * t + root * (1 - t * t))).epsilon(1e-6));
  }
}

TEST_CASE("tensor: xtensor's headers at their new places") {
  CHECK(holds(other_flags::from_new_headers(), {2}, {4, 5}));
}

TEST_CASE("tensor: a copy has elements of its own, and is a constant") {
  Tensor w = parameter(Tensor<float>({2}, {1, 2}));
  Tensor<float> same = w, copy = w.copy();
  CHECK(!copy.requires_grad());
  w.assign(Tensor<float>({2}, {5, 6}));
  CHECK(same.data()[0] == 5);
  CHECK(copy.data()[0] == 1);
  Tape tape;
  const auto y = w * 2;
  CHECK(!y.copy().requires_grad());
  CHECK(y.copy().data() != y.data());
  CHECK(zeros<double>({0, 3}).copy().shape() == Shape{0, 3});
  CHECK_THROWS_AS(Tensor<double>().copy(), Error);
}

TEST_CASE("tensor: of more than 64 that are concatenated each has a gradient of its own") {
  constexpr std::size_t count = 70;
  for (const std::size_t only : {std::size_t{2}, std::size_t{63}, std::size_t{66}, count}) {
    std::vector<Tensor<double>> parts;
    for (std::size_t i = 0; i < count; ++i) {
      const auto part = full<double>({2}, 1.0);
      parts.push_back(only == count || i == only ? parameter(part) : part);
    }
    std::vector<double> weights;
    for (std::size_t i = 0; i < 2 * count; ++i) weights.push_back(static_cast<double>(i));
    Tape tape;
    tape.backward(dot(concatenate(parts, 0), Tensor<double>(xt::adapt(weights))));
    for (std::size_t i = 0; i < count; ++i) {
      if (only != count && i != only) continue;
      CHECK(parts[i].grad().data()[0] == static_cast<double>(2 * i));
      CHECK(parts[i].grad().data()[1] == static_cast<double>(2 * i + 1));
    }
  }
}

TEST_CASE("tensor: concatenate and stack know their element type by their tensors") {
  const Tensor<float> x({2}, {1, 2});
  CHECK(to_string(concatenate({x, x})) == "[1, 2, 1, 2]");
  CHECK(to_string(stack({x, x}, 1)) == "[[1, 1], [2, 2]]");
  CHECK(to_string(concatenate<float>({x, x})) == "[1, 2, 1, 2]");
  CHECK(to_string(stack(std::vector{x, x})) == "[[1, 2], [1, 2]]");
}

TEST_CASE("tensor: onto a stream, and large ones by their corners") {
  std::ostringstream out;
  out << Tensor<double>({2}, {1, 2.5}) << " " << Shape{2, 3} << " " << Tape();
  CHECK(out.str() == "[1, 2.5] (2, 3) " + to_string(Tape()));
  std::vector<double> counting(1200);
  for (std::size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<double>(i);
  CHECK(to_string(Tensor<double>({1200}, counting)) == "[0, 1, 2, ..., 1197, 1198, 1199] of shape (1200,)");
  CHECK(to_string(Tensor<double>({400, 3}, counting)) ==
        "[[0, 1, 2], [3, 4, 5], [6, 7, 8], ..., [1191, 1192, 1193], [1194, 1195, 1196], [1197, 1198, 1199]] of shape "
        "(400, 3)");
  CHECK(to_string(Tensor<double>({600, 2, 1}, counting)) == "[[[0], [1]], ..., [[1198], [1199]]] of shape (600, 2, 1)");
}

TEST_CASE("tensor: as text, in NumPy's notation") {
  CHECK(to_string(Tensor<double>({2, 2}, {1, 2.5, -3, 1e10})) == "[[1, 2.5], [-3, 1e+10]]");
  CHECK(to_string(Tensor<float>(0.1f)) == "0.1");
  CHECK(to_string(Tensor<double>(1.0 / 3), 3) == "0.333");
  CHECK(to_string(zeros<double>({2, 0})) == "[[], []]");
  CHECK(to_string(zeros<double>({1001})) == "[0, 0, 0, ..., 0, 0, 0] of shape (1001,)");
  CHECK(to_string(Tensor<double>()) == "undefined");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(to_string(Tensor<double>({4}, {nan, -nan, std::copysign(nan, -1.0),
                                       -std::numeric_limits<double>::infinity()})) == "[nan, nan, nan, -inf]");
  CHECK_THROWS_WITH_AS(to_string(ones<double>({2}), 0), "to_string: at least 1 digit is needed, got 0", ValueError);
  CHECK_THROWS_AS(to_string(ones<float>({2}), -3), ValueError);
  CHECK(fmt::format("{} {}", Tensor<double>({1}, {2}), Shape{1, 2}) == "[2] (1, 2)");
}
