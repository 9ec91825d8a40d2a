// What the ops that cut, pad, turn and repeat do at the edges of their domain, where there is nothing to do and where
// there is too much; slices held against Python's rules.
#include <xtape/error.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/cast.hpp>
#include <xtape/ops/einsum.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/index.hpp>
#include <xtape/ops/random.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include "policies.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <numeric>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max();
constexpr std::ptrdiff_t least = std::numeric_limits<std::ptrdiff_t>::min();

Tensor<double> counted(const Shape& shape) {
  Values values(shape.elements());
  std::iota(values.begin(), values.end(), 0);
  return Tensor<double>(shape, values);
}

// The elements that Python's x[start:stop:step] takes of range(n), by its documented rules.
Values python_slice(std::ptrdiff_t n, std::ptrdiff_t start, std::ptrdiff_t stop, std::ptrdiff_t step) {
  const auto position = [&](std::ptrdiff_t bound) {
    if (bound < 0) bound += n;
    if (bound < 0) return step < 0 ? std::ptrdiff_t{-1} : std::ptrdiff_t{0};
    if (bound >= n) return step < 0 ? n - 1 : n;
    return bound;
  };
  const std::ptrdiff_t from = start == Range::open ? (step < 0 ? n - 1 : 0) : position(start);
  const std::ptrdiff_t to = stop == Range::open ? (step < 0 ? -1 : n) : position(stop);
  Values taken;
  for (std::ptrdiff_t i = from; step < 0 ? i > to : i < to; i += step) taken.push_back(static_cast<double>(i));
  return taken;
}

}  // namespace

TEST_CASE("rearrange: slices take what Python's take, for all bounds and steps") {
  std::vector<std::ptrdiff_t> bounds{Range::open};
  for (std::ptrdiff_t b = -7; b <= 7; ++b) bounds.push_back(b);
  std::size_t compared = 0, empty = 0;
  for (const std::size_t n : std::vector<std::size_t>{0, 1, 2, 5})
    for (const std::ptrdiff_t start : bounds)
      for (const std::ptrdiff_t stop : bounds)
        for (const std::ptrdiff_t step : {1, 2, 3, 7, -1, -2, -3, -7}) {
          const Values expected = python_slice(static_cast<std::ptrdiff_t>(n), start, stop, step);
          const auto x = counted({n});
          CAPTURE(n);
          CAPTURE(start);
          CAPTURE(stop);
          CAPTURE(step);
          CHECK(is(slice(x, {range(start, stop, step)}), expected));
          // The same between other axes, of which each is taken whole.
          const auto table = counted({2, n, 2});
          const auto part = slice(table, {all(), range(start, stop, step)});
          CHECK(part.shape() == Shape{2, expected.size(), 2});
          for (std::size_t i = 0; i < expected.size(); ++i)
            CHECK(part.data()[(expected.size() + i) * 2 + 1] == static_cast<double>(2 * n + 1) + 2 * expected[i]);
          ++compared;
          empty += expected.empty();
        }
  CHECK(compared == 4 * 16 * 16 * 8);
  CHECK(empty > 1000);
  CHECK(empty < compared - 1000);
}

TEST_CASE("rearrange: a slice's gradient goes where it came from, also backwards and to nothing") {
  const auto x = parameter(counted({2, 5}));
  Tape tape;
  const auto y = slice(x, {-1, range(Range::open, Range::open, -2)});
  CHECK(is(y, {9, 7, 5}));
  CHECK(is(tape.vjp(y, vector_of({1, 2, 3}), {x}, {.retain_graph = true})[0], {0, 0, 0, 0, 0, 3, 0, 2, 0, 1}));
  const auto nothing = slice(x, {all(), range(3, 1)});
  CHECK(nothing.shape() == Shape{2, 0});
  CHECK(is(tape.vjp(nothing, zeros<double>({2, 0}), {x})[0], Values(10, 0.0)));
  // A new axis is expand_dims.
  CHECK(expand_dims(slice(x, {all(), 0}), 1).shape() == Shape{2, 1});
}

TEST_CASE("rearrange: split shares the elements of parts that are consecutive") {
  const auto x = counted({4, 2});
  const auto parts = split(x, 2);
  CHECK(parts[1].data() == x.data() + 4);
  const auto columns = split(x, {1, 1}, 1);
  CHECK(is(columns[1], {1, 3, 5, 7}));
  CHECK(split(zeros<double>({0}), std::vector<int>{}).empty());
  CHECK(split(zeros<double>({0, 2}), 3).size() == 3);
  CHECK(message<ShapeError>([&] { split(x, 3); }) == "split: equal parts: 3, for axis 0 of shape (4, 2)");
  CHECK(message<ShapeError>([&] { split(x, {3, 2}); }) == "split: parts of 3, 2, for axis 0 of shape (4, 2)");
  CHECK_THROWS_AS(split(x, {most, most, 6}), const ShapeError&);  // the sum wraps around to 4
  CHECK_THROWS_AS(split(x, {least, 4}), const ShapeError&);
  CHECK_THROWS_AS(split(x, least), const ShapeError&);
  CHECK_THROWS_AS(split(zeros<double>({0}), most), const ShapeError&);
}

TEST_CASE("rearrange: pad") {
  const auto x = vector_of({1, 2, 3});
  CHECK(is(pad(x, {{2, 1}}), {0, 0, 1, 2, 3, 0}));
  CHECK(is(pad(x, {{1, 0}}, {.value = -inf}), {-inf, 1, 2, 3}));
  CHECK(is(pad(x, {{0, 1}}, {.value = not_a_number}), {1, 2, 3, not_a_number}));
  CHECK(is(pad(x, {{2, 1}}, {.mode = PadMode::reflect}), {3, 2, 1, 2, 3, 2}));
  // numpy.pad(mode="reflect") beyond the array's extent, and of one element.
  CHECK(is(pad(x, {{5, 6}}, {.mode = PadMode::reflect}), {2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1}));
  CHECK(is(pad(vector_of({7}), {{2, 3}}, {.mode = PadMode::reflect}), {7, 7, 7, 7, 7, 7}));
  const auto image = pad(counted({2, 2}), {{1, 0}, {0, 1}}, {.mode = PadMode::reflect});
  CHECK(is(image, {2, 3, 2, 0, 1, 0, 2, 3, 2}));
  // What is reflected takes the gradient of its images, too.
  const auto w = parameter(x);
  Tape tape;
  CHECK(is(tape.vjp(pad(w, {{2, 0}}, {.mode = PadMode::reflect}), vector_of({1, 10, 100, 1000, 10000}), {w})[0],
           {100, 1010, 10001}));
  CHECK(message<ShapeError>([&] {
          pad(x, {{1, 1}, {0, 2}});
        }) == "pad: one {before, after} for each axis is needed: {{1, 1}, {0, 2}} for shape (3,)");
  CHECK(message<ShapeError>([&] { pad(x, {{least, 1}}); }).starts_with("pad: a negative width"));
  CHECK_THROWS_AS(pad(x, {{most, most}}), const ShapeError&);
  CHECK_THROWS_AS(pad(counted({2, 2}), {{most / 4, 0}, {most / 4, 0}}), const ShapeError&);
  CHECK_THROWS_AS(pad(zeros<double>({0}), {{most, most}}, {.mode = PadMode::reflect}), const ShapeError&);
}

TEST_CASE("rearrange: shifts and offsets of any size") {
  const auto x = counted({5});
  for (const std::ptrdiff_t shift : {most, least, least + 1, std::ptrdiff_t{5000000000003}}) {
    const auto place = static_cast<std::size_t>((shift % 5 + 5) % 5);
    CHECK(roll(x, shift, 0).data()[place] == 0);
    CHECK(is(roll(roll(x, shift, 0), shift == least ? most : -shift, 0),
             shift == least ? Values{1, 2, 3, 4, 0} : Values{0, 1, 2, 3, 4}));
    CHECK(is(roll(x, {shift, shift == least ? most : -shift}, {0, 0}),
             shift == least ? Values{1, 2, 3, 4, 0} : Values{0, 1, 2, 3, 4}));
  }
  CHECK(roll(zeros<double>({0, 3}), {7, least}, {0, 1}).shape() == Shape{0, 3});
  const auto table = counted({2, 3});
  for (const std::ptrdiff_t far : {most, least, std::ptrdiff_t{3}, std::ptrdiff_t{-2}}) {
    CHECK(diagonal(table, far).shape() == Shape{0});
    CHECK(is(tril(table, far), far > 0 ? Values{0, 1, 2, 3, 4, 5} : Values(6, 0.0)));
  }
  CHECK(is(triu(table, most), Values(6, 0.0)));
  CHECK(is(triu(table, least), {0, 1, 2, 3, 4, 5}));
  CHECK_THROWS_AS(diag(x, most), const ShapeError&);
  CHECK_THROWS_AS(diag(x, least), const ShapeError&);
  CHECK_THROWS_AS(diag(zeros<double>({0}), std::ptrdiff_t{1} << 31), const ShapeError&);
}

TEST_CASE("rearrange: what a triangle leaves out is 0, NaN or not, and so is its gradient") {
  const Tensor<double> x({2, 2}, {1, not_a_number, inf, 4});
  CHECK(is(tril(x), {1, 0, inf, 4}));
  CHECK(is(triu(x, 1), {0, not_a_number, 0, 0}));
  const auto w = parameter(x);
  Tape tape;
  CHECK(is(tape.vjp(tril(w), Tensor<double>({2, 2}, {1, not_a_number, 3, 4}), {w})[0], {1, 0, 3, 4}));
}

TEST_CASE("rearrange: numbers of copies, and axes") {
  const auto x = counted({2});
  CHECK(is(tile(x, {2, 2}), {0, 1, 0, 1, 0, 1, 0, 1}));
  CHECK(is(repeat(x, 3, 0), {0, 0, 0, 1, 1, 1}));
  CHECK(is(flip(counted({3, 2}), 0), {4, 5, 2, 3, 0, 1}));
  CHECK_THROWS_AS(tile(x, {1, 1, 1, 1, 1, 1, 1, 1, 2}), const ShapeError&);
  CHECK_THROWS_AS(tile(x, {std::size_t{1} << 40, std::size_t{1} << 40}), const ShapeError&);
  CHECK_THROWS_AS(repeat(x, std::size_t{1} << 62, 0), const ShapeError&);
  CHECK_THROWS_AS(tile(zeros<double>({0}), {~std::size_t{0}}), const ShapeError&);
  CHECK_THROWS_AS(repeat(zeros<double>({0}), ~std::size_t{0}, 0), const ShapeError&);
  CHECK(tile(zeros<double>({0}), {1000}).shape() == Shape{0});
  CHECK(meshgrid(std::vector<Tensor<double>>{}).empty());
  CHECK(broadcast_tensors(std::vector<Tensor<double>>{}).empty());
  CHECK_THROWS_AS(meshgrid(std::vector<Tensor<double>>(9, x)), const ShapeError&);
  // moveaxis puts the axes where it says whatever their order.
  const auto deep = zeros<double>({2, 3, 4, 5});
  CHECK(moveaxis(deep, {-1, 0}, {1, -1}).shape() == Shape{3, 5, 4, 2});
  CHECK_THROWS_AS(moveaxis(deep, all_axes, all_axes), const ShapeError&);
}

TEST_CASE("rearrange: float and double together in one model") {
  // Exactly in float: inputs and the products of few bits.
  const auto w = parameter(Tensor<double>({2}, {0.5, 0.1}));
  const auto x = parameter(Tensor<float>({2}, {3, -2}));
  Tape tape;
  const auto narrow = cast<float>(w);
  CHECK(narrow.data()[1] == 0.1F);
  const auto y = sum(square(cast<double>(narrow * x)));
  tape.backward(y);
  CHECK(y.item() == 2.25 + std::pow(static_cast<double>(0.1F * -2), 2));
  CHECK(w.grad().data()[0] == 9);
  CHECK(w.grad().data()[1] == static_cast<double>(2 * (0.1F * -2) * -2.0F));
  CHECK(x.grad().data()[0] == 1.5F);
  // Its own type is no op, and nothing else is lost on the way up.
  CHECK(cast<double>(w).data() == w.data());
  CHECK(is(cast<double>(cast<float>(vector_of({1e300, -1e300, 1e-300, not_a_number, -inf}))),
           {inf, -inf, 0, not_a_number, -inf}));
  CHECK_THROWS_AS(cast<float>(Tensor<double>()), const Error&);
  // Second derivatives: of cast(w)^3.
  const auto v = parameter(Tensor<double>({1}, {3}));
  Tape again;
  const auto wide = cast<float>(v);
  const auto first = again.gradient(sum(cast<double>(wide * wide * wide)), {v}, {.create_graph = true})[0];
  CHECK(first.item() == 27);
  CHECK(again.gradient(sum(first), {v})[0].item() == 18);
}

TEST_CASE("policies: an op that has nothing to do gives a tensor of its own") {
  Rng rng(1);
  const auto ops = std::vector<std::function<Tensor<double>(const Tensor<double>&)>>{
      [](const auto& x) { return +x; },
      [](const auto& x) { return cast<double>(x); },
      [](const auto& x) {
        return broadcast_to(x, {2, 2});
      },
      [](const auto& x) {
        return broadcast_tensors<double>({x, Tensor<double>(1.0)})[0];
      },
      [&](const auto& x) { return dropout(x, 0, rng); },
      [](const auto& x) { return atleast_1d(x); },
      [](const auto& x) { return atleast_2d(x); },
      [](const auto& x) { return roll(x, 2, 0); },
      [](const auto& x) {
        return tile(x, {1, 1});
      },
      [](const auto& x) { return tile(x, {}); },
      [](const auto& x) {
        return pad(x, {{0, 0}, {0, 0}}, {.mode = PadMode::reflect});
      },
      [](const auto& x) {
        return pad(x, {{0, 0}, {0, 0}});
      },
      [](const auto& x) { return einsum("ij->ij", std::vector{x}); },
      [](const auto& x) {
        return reshape(x, {2, 2});
      },
      [](const auto& x) {
        return transpose(x, {0, 1});
      },
      [](const auto& x) { return sum(x, Axes{}); },
  };
  const Tensor<double> values({2, 2}, {1, 2, 3, 4});
  for (std::size_t i = 0; i < ops.size(); ++i) {
    CAPTURE(i);
    const auto x = parameter(values);
    {
      Tape tape;
      const auto y = ops[i](x);
      CHECK(is(y, {1, 2, 3, 4}));
      // By y alone, not by x as well.
      const auto g = tape.gradient(sum(y * x), {y, x});
      CHECK(is(g[0], {1, 2, 3, 4}));
      CHECK(is(g[1], {2, 4, 6, 8}));
    }
    Tensor<double> y = ops[i](x);
    CHECK(!y.requires_grad());
    y.assign(zeros<double>({2, 2}));
    CHECK(is(x, {1, 2, 3, 4}));
  }
}

TEST_CASE("policies: a result too large for memory is refused in the op's name") {
  const auto x = vector_of({1, 2, 3});
  const std::size_t huge = std::size_t{1} << 40;
  constexpr std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max();
  const auto begins = [](const std::string& text, const std::string& name, const std::string& shape) {
    CHECK_MESSAGE(text.starts_with(name + ": more elements than memory can address"), text);
    CHECK_MESSAGE(text.find(shape) != std::string::npos, text);
  };
  begins(message<ShapeError>([&] { diag(x, most); }), "diag", "(3,)");
  begins(message<ShapeError>([&] { diag(x, -most - 1); }), "diag", "(3,)");
  begins(message<ShapeError>([&] { tile(x, {huge, huge}); }), "tile", "(3,)");
  begins(message<ShapeError>([&] { tile(x, {~std::size_t{0}}); }), "tile", "(3,)");
  begins(message<ShapeError>([&] { repeat(x, huge * huge / 2 + (huge << 22), 0); }), "repeat", "(3,)");
  begins(message<ShapeError>([&] { repeat(x, ~std::size_t{0}, 0); }), "repeat", "(3,)");
  begins(message<ShapeError>([&] { pad(x, {{most / 2, 0}}); }), "pad", "(3,)");
  begins(message<ShapeError>([&] { pad(x, {{most / 2, 0}}, {.mode = PadMode::reflect}); }), "pad", "(3,)");
  begins(message<ShapeError>([&] { broadcast_to(x, {huge, huge, 3}); }), "broadcast_to", "(3,)");
  begins(message<ShapeError>([&] { one_hot<double>({0, 1}, ~std::size_t{0}); }), "one_hot", "(2,)");
  CHECK(message<ShapeError>([&] {
          reshape(x, {most, 4});
        }) == "reshape: (3,) does not reshape to (9223372036854775807, 4)");
}
