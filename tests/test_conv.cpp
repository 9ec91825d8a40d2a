// What convolution and pooling promise beyond the rows of the op table: how they hang together, and what they do at
// the edges: sizes that nearly wrap around, nothing to add up, NaN, ties.
#include <xtape/error.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "message.hpp"

using namespace xtape;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t most = ~std::size_t{0};

Tensor<double> random(const Shape& shape, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(shape.elements());
  for (double& v : values) v = normal(engine);
  return Tensor<double>(shape, values);
}

bool same(const Tensor<double>& a, const Tensor<double>& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.span(), b.span());
}
/// Equal but for the rounding of sums of some dozens of terms of size 1.
bool nearly_same(const Tensor<double>& a, const Tensor<double>& b) {
  return a.shape() == b.shape() && (a.size() == 0 || max(abs(a - b)).item() < 1e-13);
}
bool is(const Tensor<double>& x, const Shape& shape, const std::vector<double>& values) {
  return x.shape() == shape && std::ranges::equal(x.span(), values);
}
double inner(const Tensor<double>& a, const Tensor<double>& b) { return sum(a * b).item(); }
std::size_t count_nan(const Tensor<double>& x) {
  return static_cast<std::size_t>(std::ranges::count_if(x.span(), [](double v) { return std::isnan(v); }));
}

/// The result of f on parameters of these values, then the gradients of <seed, result> with a seed of normal numbers.
template <class F> std::vector<Tensor<double>> with_gradients(const F& f, std::vector<Tensor<double>> inputs) {
  for (auto& x : inputs) x = parameter(x);
  Tape tape;
  const Tensor<double> y = f(inputs);
  auto result = tape.vjp(y, random(y.shape(), 77), inputs);
  result.insert(result.begin(), y.detach());
  return result;
}
template <class F, class G>
bool same_with_gradients(const F& f, const G& g, const std::vector<Tensor<double>>& inputs) {
  return std::ranges::equal(with_gradients(f, inputs), with_gradients(g, inputs), same);
}

/// Runs check(options) on strides, paddings, dilations and groups in all combinations, not the same in both directions.
template <class F> void for_options(const F& check) {
  for (const Pair stride : {Pair(1), Pair(2, 3)})
    for (const Pair padding : {Pair(0), Pair(2, 1)})
      for (const Pair dilation : {Pair(1), Pair(3, 2)})
        for (const std::size_t groups : {1U, 2U, 4U})
          check(Conv2dOptions{.stride = stride, .padding = padding, .dilation = dilation, .groups = groups});
}

}  // namespace

TEST_CASE("conv: the transposed convolution is the adjoint of the convolution") {
  std::size_t checked = 0;
  for_options([&](const Conv2dOptions& o) {
    // Heights and widths that one height and width of the result stand for.
    for (const std::size_t height : {7U, 8U, 9U})
      for (const std::size_t width : {6U, 7U, 8U}) {
        const auto x = random({2, 4, height, width}, 1), w = random({8, 4 / o.groups, 2, 3}, 2);
        const auto y = conv2d(x, w, o);
        const auto g = random(y.shape(), 3);
        const auto rest = [](std::size_t extent, std::size_t pad, std::size_t d, std::size_t k, std::size_t s) {
          return (extent + 2 * pad - d * (k - 1) - 1) % s;
        };
        const ConvTranspose2dOptions back{.stride = o.stride,
                                          .padding = o.padding,
                                          .output_padding = {rest(height, o.padding.h, o.dilation.h, 2, o.stride.h),
                                                             rest(width, o.padding.w, o.dilation.w, 3, o.stride.w)},
                                          .dilation = o.dilation,
                                          .groups = o.groups};
        const auto xt = conv_transpose2d(g, w, back);
        CHECK(xt.shape() == x.shape());
        CHECK(inner(y, g) == doctest::Approx(inner(x, xt)).epsilon(1e-12));
        // And the other way round: the gradient of the transposed one is the convolution.
        const auto gradients = with_gradients([&](const auto& in) { return conv_transpose2d(in[0], w, back); }, {g});
        CHECK(same(gradients[1], conv2d(random(x.shape(), 77), w, o)));
        ++checked;
      }
  });
  CHECK(checked == 216);
  for (const std::size_t length : {9U, 10U, 11U}) {
    const auto x = random({2, 4, length}, 1), w = random({6, 2, 3}, 2);
    const auto y = conv1d(x, w, {.stride = 3, .padding = 1, .dilation = 2, .groups = 2});
    const auto g = random(y.shape(), 3);
    const auto xt =
        conv_transpose1d(g, w, {.stride = 3, .padding = 1, .output_padding = length % 3, .dilation = 2, .groups = 2});
    CHECK(xt.shape() == x.shape());
    CHECK(inner(y, g) == doctest::Approx(inner(x, xt)).epsilon(1e-12));
  }
}

TEST_CASE("conv: the transposed convolution, by hand") {
  const Tensor<double> x({1, 1, 2, 2}, {1, 2, 3, 4}), w({1, 1, 2, 2}, {1, 10, 100, 1000});
  CHECK(is(conv_transpose2d(x, w), {1, 1, 3, 3}, {1, 12, 20, 103, 1234, 2040, 300, 3400, 4000}));
  CHECK(is(conv_transpose2d(x, w, {.padding = 1}), {1, 1, 1, 1}, {1234}));
  CHECK(is(conv_transpose2d(x, w, {.stride = 2}), {1, 1, 4, 4},
           {1, 10, 2, 20, 100, 1000, 200, 2000, 3, 30, 4, 40, 300, 3000, 400, 4000}));
  CHECK(is(conv_transpose2d(x, w, {.stride = {1, 2}, .padding = {1, 0}, .output_padding = {0, 1}}), {1, 1, 1, 5},
           {103, 1030, 204, 2040, 0}));
  // What output_padding adds holds the bias alone.
  CHECK(is(conv_transpose1d(Tensor<double>({1, 1, 2}, {1, 2}), Tensor<double>({1, 2, 1}, {3, 4}),
                            Tensor<double>({2}, {10, 20}), {.stride = 2, .output_padding = 1}),
           {1, 2, 4}, {13, 10, 16, 10, 24, 20, 28, 20}));
}

TEST_CASE("conv: groups are separate convolutions, to the last bit, and so are their gradients") {
  for_options([](const Conv2dOptions& o) {
    const auto grouped = [&](const auto& in) { return conv2d(in[0], in[1], o); };
    const auto separate = [&](const auto& in) {
      Conv2dOptions one = o;
      one.groups = 1;
      const auto c = static_cast<std::ptrdiff_t>(4 / o.groups), f = static_cast<std::ptrdiff_t>(8 / o.groups);
      std::vector<Tensor<double>> parts;
      for (std::ptrdiff_t g = 0; g < static_cast<std::ptrdiff_t>(o.groups); ++g)
        parts.push_back(
            conv2d(slice(in[0], {all(), range(g * c, (g + 1) * c)}), slice(in[1], {range(g * f, (g + 1) * f)}), one));
      return concatenate(parts, 1);
    };
    CHECK(same_with_gradients(grouped, separate, {random({3, 4, 7, 8}, 1), random({8, 4 / o.groups, 2, 3}, 2)}));
  });
}

TEST_CASE("conv: a dilated kernel is one stuffed with zeros") {
  for_options([](const Conv2dOptions& o) {
    const auto dilated = [&](const auto& in) { return conv2d(in[0], in[1], o); };
    const auto stuffed = [&](const auto& in) {
      // Zeros behind each row and column of the kernel, but not at its end.
      const Shape s = in[1].shape();
      const Pair d = o.dilation;
      const auto spread = reshape(in[1], Shape{s[0], s[1], s[2], 1, s[3], 1}) * [&] {
        std::vector<double> first(d.h * d.w);
        first[0] = 1;
        return Tensor<double>({d.h, 1, d.w}, first);
      }();
      const auto whole = reshape(spread, Shape{s[0], s[1], s[2] * d.h, s[3] * d.w});
      const auto last = [](std::size_t k, std::size_t dilation) {
        return static_cast<std::ptrdiff_t>((k - 1) * dilation + 1);
      };
      Conv2dOptions dense = o;
      dense.dilation = 1;
      return conv2d(in[0], slice(whole, {all(), all(), range(0, last(s[2], d.h)), range(0, last(s[3], d.w))}), dense);
    };
    const std::vector<Tensor<double>> inputs{random({2, 4, 7, 8}, 1), random({8, 4 / o.groups, 2, 3}, 2)};
    CHECK(std::ranges::equal(with_gradients(dilated, inputs), with_gradients(stuffed, inputs), nearly_same));
  });
}

TEST_CASE("conv: in one direction, the same bits as on images with one row") {
  const std::vector<Tensor<double>> inputs{random({2, 4, 11}, 1), random({6, 2, 3}, 2), random({6}, 3)};
  CHECK(same_with_gradients(
      [](const auto& in) {
        return conv1d(in[0], in[1], in[2], {.stride = 2, .padding = 1, .dilation = 3, .groups = 2});
      },
      [](const auto& in) {
        return squeeze(conv2d(expand_dims(in[0], 2), expand_dims(in[1], 2), in[2],
                              {.stride = {1, 2}, .padding = {0, 1}, .dilation = {1, 3}, .groups = 2}),
                       2);
      },
      inputs));
  CHECK(same_with_gradients(
      [](const auto& in) {
        return conv_transpose1d(in[0], in[1], in[2],
                                {.stride = 2, .padding = 1, .output_padding = 1, .dilation = 3, .groups = 2});
      },
      [](const auto& in) {
        return squeeze(
            conv_transpose2d(
                expand_dims(in[0], 2), expand_dims(in[1], 2), in[2],
                {.stride = {1, 2}, .padding = {0, 1}, .output_padding = {0, 1}, .dilation = {1, 3}, .groups = 2}),
            2);
      },
      {random({2, 6, 5}, 1), random({6, 3, 3}, 2), random({6}, 3)}));
  CHECK(same_with_gradients(
      [](const auto& in) { return max_pool1d(in[0], {.window = 3, .stride = 2, .padding = 1}); },
      [](const auto& in) {
        return squeeze(max_pool2d(expand_dims(in[0], 2), {.window = {1, 3}, .stride = {1, 2}, .padding = {0, 1}}), 2);
      },
      {inputs[0]}));
}

TEST_CASE("conv: the smallest images, and kernels as large as the image") {
  const Tensor<double> pixel({1, 1, 1, 1}, {3}), two({1, 1, 1, 1}, {2});
  CHECK(is(conv2d(pixel, two), {1, 1, 1, 1}, {6}));
  CHECK(is(conv2d(pixel, two, {.stride = most, .dilation = most}), {1, 1, 1, 1}, {6}));
  CHECK(is(conv2d(pixel, two, {.padding = 1}), {1, 1, 3, 3}, {0, 0, 0, 0, 6, 0, 0, 0, 0}));
  CHECK(is(conv_transpose2d(pixel, two, {.stride = most, .dilation = most}), {1, 1, 1, 1}, {6}));
  CHECK(is(conv_transpose2d(pixel, two, {.stride = 3, .output_padding = {0, 2}}), {1, 1, 1, 3}, {6, 0, 0}));
  for (const Shape& shape : {Shape{1, 3, 5, 4}, Shape{1, 3, 1, 9}, Shape{1, 3, 33, 1}}) {
    const auto x = random(shape, 1), w = random(shape, 2);
    CHECK(nearly_same(reshape(conv2d(x, w), Shape{}), sum(x * w)));
    CHECK(nearly_same(conv_transpose2d(reshape(sum(x * w), Shape{1, 1, 1, 1}), w), w * sum(x * w)));
    CHECK(nearly_same(flatten(avg_pool2d(x, {.window = {shape[2], shape[3]}})), global_avg_pool2d(x)));
    CHECK(same(flatten(max_pool2d(x, {.window = {shape[2], shape[3]}})), global_max_pool2d(x)));
  }
}

TEST_CASE("conv: strides, dilations and paddings of any size") {
  const auto x = random({2, 1, 3, 3}, 1), w = random({1, 1, 2, 2}, 2);
  const auto f = [](const auto& in, const Conv2dOptions& o) { return conv2d(in[0], in[1], o); };
  // One result; with padding it lies in the corner, and of the kernel only the last weight meets the image.
  const auto corner = with_gradients([&](const auto& in) { return f(in, {.stride = most, .padding = 1}); }, {x, w});
  CHECK(same(corner[0],
             slice(x, {all(), all(), range(0, 1), range(0, 1)}) * slice(w, {all(), all(), range(1, 2), range(1, 2)})));
  CHECK(count_nan(corner[1]) + count_nan(corner[2]) == 0);
  CHECK(sum(equal(corner[1], 0)).item() == 16);
  CHECK(sum(equal(corner[2], 0)).item() == 3);
  // The kernel's two rows and columns lie on both sides of the image.
  CHECK(is(conv2d(ones<double>({1, 1, 1, 1}), w, {.padding = 3, .dilation = 6}), {1, 1, 1, 1}, {0}));
  // 2^41 results from a sequence of one element, none of them for an empty batch.
  const std::size_t huge = std::size_t{1} << 40;
  CHECK(conv1d(zeros<double>({0, 1, 1}), ones<double>({1, 1, 1}), {.padding = huge}).shape() ==
        Shape{0, 1, 2 * huge + 1});
  CHECK_THROWS_AS(conv1d(zeros<double>({0, 1, 1}), ones<double>({1, 1, 1}), {.padding = huge + 1}), const ShapeError&);
  CHECK_THROWS_AS(conv2d(zeros<double>({0, 1, 1, 1}), ones<double>({1, 1, 1, 1}), {.padding = huge}),
                  const ShapeError&);
  CHECK(
      conv_transpose1d(zeros<double>({0, 1, 3}), ones<double>({1, 1, 2}), {.stride = huge, .dilation = huge}).shape() ==
      Shape{0, 1, 3 * huge + 1});
  CHECK_THROWS_AS(conv_transpose1d(ones<double>({0, 1, 3}), ones<double>({1, 1, 2}), {.stride = most / 2 + 1}),
                  const ShapeError&);
  CHECK_THROWS_AS(conv_transpose1d(ones<double>({0, 1, 2}), ones<double>({1, 1, 3}), {.dilation = most / 2 + 1}),
                  const ShapeError&);
  CHECK_THROWS_AS(
      conv_transpose1d(ones<double>({1, 1, 1}), ones<double>({1, 1, 1}), {.stride = most, .output_padding = most - 1}),
      const ShapeError&);
  CHECK_THROWS_AS(adaptive_avg_pool2d(ones<double>({1, 1, 2, 2}), most), const ShapeError&);
  CHECK_THROWS_AS(conv2d(x, w, {.stride = {1, -1}}), const ShapeError&);
}

TEST_CASE("conv: without images, channels or filters") {
  const std::vector<Pair> cases{1, 2};
  for (const Pair& stride : cases)
    for (const std::size_t padding : {0U, 1U}) {
      const Conv2dOptions o{.stride = stride, .padding = padding};
      const auto f = [&](const auto& in) { return conv2d(in[0], in[1], o); };
      const auto all_zero = [](const Tensor<double>& x) {
        return sum(equal(x, 0)).item() == static_cast<double>(x.size());
      };
      const auto no_images = with_gradients(f, {random({0, 2, 4, 4}, 1), random({3, 2, 2, 2}, 2)});
      CHECK(no_images[0].size() + no_images[1].size() == 0);
      CHECK(all_zero(no_images[2]));
      CHECK(no_images[2].shape() == Shape{3, 2, 2, 2});
      const auto no_channels = with_gradients(f, {random({2, 0, 4, 4}, 1), random({3, 0, 2, 2}, 2)});
      CHECK(no_channels[0].size() > 0);
      CHECK(all_zero(no_channels[0]));
      CHECK(no_channels[1].shape() == Shape{2, 0, 4, 4});
      CHECK(no_channels[2].shape() == Shape{3, 0, 2, 2});
      const auto no_filters = with_gradients(f, {random({2, 2, 4, 4}, 1), random({0, 2, 2, 2}, 2)});
      CHECK(no_filters[0].size() == 0);
      CHECK(all_zero(no_filters[1]));
      CHECK(no_filters[1].shape() == Shape{2, 2, 4, 4});
    }
  // The bias of filters that see nothing.
  const Tensor<double> bias({2}, {5, 7});
  CHECK(is(conv2d(zeros<double>({1, 0, 1, 2}), zeros<double>({2, 0, 1, 1}), bias), {1, 2, 1, 2}, {5, 5, 7, 7}));
  CHECK(is(conv1d(zeros<double>({1, 0, 2}), zeros<double>({2, 0, 2}), bias), {1, 2, 1}, {5, 7}));
  CHECK(
      is(conv_transpose2d(zeros<double>({1, 0, 1, 1}), zeros<double>({0, 2, 1, 2}), bias), {1, 2, 1, 2}, {5, 5, 7, 7}));
  CHECK(is(conv_transpose1d(zeros<double>({1, 0, 1}), zeros<double>({0, 1, 2}), bias, {.groups = 2}), {1, 2, 2},
           {5, 5, 7, 7}));
  // Neither a result nor a way to it that no memory would hold.
  const auto padded =
      with_gradients([](const auto& in) { return conv2d(in[0], in[1], {.padding = std::size_t{1} << 28}); },
                     {ones<double>({1, 1, 1, 1}), ones<double>({0, 1, 1, 1})});
  CHECK(is(padded[1], {1, 1, 1, 1}, {0}));
  CHECK(padded[2].shape() == Shape{0, 1, 1, 1});
  // Any number of groups divides nothing.
  CHECK(conv2d(zeros<double>({3, 0, 2, 2}), zeros<double>({0, 0, 1, 1}), {.groups = most}).shape() ==
        Shape{3, 0, 2, 2});
  for (const Shape& shape : {Shape{0, 2, 3, 3}, Shape{2, 0, 3, 3}}) {
    const auto x = zeros<double>(shape);
    CHECK(max_pool2d(x).shape() == Shape{shape[0], shape[1], 1, 1});
    CHECK(adaptive_avg_pool2d(x, 2).shape() == Shape{shape[0], shape[1], 2, 2});
    CHECK(global_avg_pool2d(x).shape() == Shape{shape[0], shape[1]});
    CHECK(global_max_pool2d(x).shape() == Shape{shape[0], shape[1]});
  }
}

TEST_CASE("conv: NaN and infinity go where their element is used, and nowhere else") {
  auto values = random({1, 4, 5, 5}, 1);
  values.modify()[7] = not_a_number;  // channel 0, row 1, column 2
  const auto w = random({4, 2, 2, 2}, 2);
  const auto y = conv2d(values, w, {.groups = 2});
  // Four windows hold it, for the two filters of the first group.
  CHECK(count_nan(y) == 8);
  CHECK(count_nan(slice(y, {all(), range(2, 4)})) == 0);
  // Taps two apart: rows 1 - 0 and 1 - 2 < 0, columns 2 and 0.
  CHECK(count_nan(conv2d(values, w, {.dilation = 2, .groups = 2})) == 4);
  CHECK(count_nan(conv_transpose2d(values, random({4, 1, 2, 2}, 3), {.stride = 2, .groups = 2})) == 4);
  CHECK(count_nan(adaptive_avg_pool2d(values, {5, 2})) == 2);
  CHECK(count_nan(adaptive_avg_pool2d(values, {5, 5})) == 1);
  CHECK(count_nan(global_avg_pool2d(values)) == 1);
  CHECK(count_nan(global_max_pool2d(values)) == 1);
  values.modify()[7] = std::numeric_limits<double>::infinity();
  CHECK(sum(equal(conv_transpose2d(values, ones<double>({4, 1, 1, 1}), {.stride = 2, .groups = 4}), values.data()[7]))
            .item() == 1);
  CHECK(global_max_pool2d(values).data()[0] == values.data()[7]);
}

TEST_CASE("conv: the pools of whole images, and of bins") {
  const auto x = random({2, 3, 6, 8}, 1);
  CHECK(same(adaptive_avg_pool2d(x, {3, 2}), avg_pool2d(x, {.window = {2, 4}})));
  CHECK(same(adaptive_avg_pool2d(x, {6, 8}), x));
  CHECK(nearly_same(reshape(adaptive_avg_pool2d(x, 1), Shape{2, 3}), global_avg_pool2d(x)));
  // Bins of 5 places: [0, 3), [2, 5); more bins than places repeat them.
  const Tensor<double> row({1, 1, 1, 5}, {1, 2, 3, 4, 5});
  CHECK(is(adaptive_avg_pool2d(row, {1, 2}), {1, 1, 1, 2}, {2, 4}));
  CHECK(is(adaptive_avg_pool2d(row, {1, 3}), {1, 1, 1, 3}, {1.5, 3, 4.5}));
  CHECK(is(adaptive_avg_pool2d(row, {2, 10}), {1, 1, 2, 10},
           {1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5}));
  CHECK(adaptive_avg_pool2d(x, 0).shape() == Shape{2, 3, 0, 0});
  // Of equal maxima the first takes the gradient.
  const auto ties = [](const auto& f, const Shape& shape) {
    const auto p = parameter(full<double>(shape, 4));
    Tape tape;
    return tape.gradient(sum(f(p)), {p})[0];
  };
  CHECK(is(ties([](const auto& p) { return global_max_pool2d(p); }, {1, 2, 2, 2}), {1, 2, 2, 2},
           {1, 0, 0, 0, 1, 0, 0, 0}));
  CHECK(is(ties([](const auto& p) { return max_pool1d(p, {.window = 2, .stride = 1}); }, {1, 1, 3}), {1, 1, 3},
           {1, 1, 0}));
  // A million times 0.1 in float, added up pairwise: two units in the last place.
  const auto many = full<float>({1, 1, 1000, 1000}, 0.1F);
  for (const auto& mean : {global_avg_pool2d(many), adaptive_avg_pool2d(many, 1), avg_pool2d(many, {.window = 1000}),
                           adaptive_avg_pool2d(many, {1, 3})})
    for (const float m : mean.span()) CHECK(std::abs(m - 0.1F) <= 1.5e-8F);
}

TEST_CASE("conv: messages say what is wrong and all that was given") {
  const auto image = ones<double>({1, 4, 3, 3}), w = ones<double>({4, 2, 2, 2});
  CHECK(message<ShapeError>([&] {
          conv2d(image, w, {.stride = {1, 2}, .groups = 3});
        }) ==
        "conv2d: groups do not divide the first axis of the weights: image (1, 4, 3, 3), weights (4, 2, 2, 2), "
        "stride (1, 2), padding (0, 0), dilation (1, 1), groups 3");
  CHECK(message<ShapeError>([&] { conv2d(image, w, ones<double>({2}), {.groups = 2}); }) ==
        "conv2d: the bias has shape (2,), expected (4,): image (1, 4, 3, 3), weights (4, 2, 2, 2), stride (1, 1), "
        "padding (0, 0), dilation (1, 1), groups 2");
  CHECK(message<ShapeError>([&] {
          conv_transpose2d(image, w, {.stride = 2, .output_padding = {1, 2}});
        }) ==
        "conv_transpose2d: output_padding must be less than the stride: image (1, 4, 3, 3), weights (4, 2, 2, 2), "
        "stride (2, 2), padding (0, 0), output_padding (1, 2), dilation (1, 1), groups 1");
  CHECK(message<ShapeError>([] {
          conv1d(ones<double>({1, 2, 3}), ones<double>({1, 2, 2}), {.dilation = 3});
        }) ==
        "conv1d: the kernel is larger than the padded image: sequence (1, 2, 3), weights (1, 2, 2), stride 1, "
        "padding 0, dilation 3, groups 1");
  CHECK(message<ShapeError>([] {
          conv_transpose1d(ones<double>({1, 2, 3}), ones<double>({2, 2, 2}), {.padding = 2});
        }) ==
        "conv_transpose1d: the padding leaves nothing of the result: sequence (1, 2, 3), weights (2, 2, 2), stride 1, "
        "padding 2, output_padding 0, dilation 1, groups 1");
  CHECK(message<ShapeError>([&] {
          max_pool2d(image, {.window = {2, 4}, .stride = 3});
        }) ==
        "max_pool2d: the window is larger than the padded image: image (1, 4, 3, 3), window (2, 4), stride (3, 3), "
        "padding (0, 0)");
  CHECK(message<ShapeError>([] {
          avg_pool1d(ones<double>({1, 2, 3}), {.window = 2, .padding = 2});
        }) ==
        "avg_pool1d: the padding is more than half the window: sequence (1, 2, 3), window 2, stride 0, padding 2");
  CHECK(message<ShapeError>([] {
          adaptive_avg_pool2d(ones<double>({1, 2, 3}), {2, 3});
        }) == "adaptive_avg_pool2d: (N, C, H, W) images are needed: image (1, 2, 3), output (2, 3)");
  CHECK(message<ShapeError>([] {
          global_max_pool2d(ones<double>({1, 2, 0, 3}));
        }) == "global_max_pool2d: the image is empty: image (1, 2, 0, 3)");
  // What fails leaves nothing on the tape.
  Tape tape;
  const auto x = parameter(image);
  CHECK_THROWS_AS(conv2d(x, w, ones<double>({3}), {.groups = 2}), const ShapeError&);
  CHECK_THROWS_AS(conv_transpose2d(x, w, ones<double>({3})), const ShapeError&);
  CHECK(tape.size() == 0);
}
