#include <xtape/ops/conv.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/shape.hpp>

#include "../kernels/conv.hpp"
#include "common.hpp"

#include <algorithm>
#include <limits>

namespace xtape {
namespace {

using detail::is_addressable, detail::too_many_elements;

// ---- what was given, as the messages end ---------------------------------------------------------------------

std::string to_text(const Pair& p) { return fmt::format("({}, {})", p.h, p.w); }
std::string to_text(std::size_t n) { return fmt::format("{}", n); }

template <class Options> std::string described(const Shape& x, const Shape& w, const Options& options) {
  std::string more;
  if constexpr (requires { options.output_padding; })
    more = fmt::format(", output_padding {}", to_text(options.output_padding));
  return fmt::format("{} {}, weights {}, stride {}, padding {}{}, dilation {}, groups {}",
                     std::is_same_v<decltype(options.stride), Pair> ? "image" : "sequence", to_string(x), to_string(w),
                     to_text(options.stride), to_text(options.padding), more, to_text(options.dilation),
                     options.groups);
}

// fail(what) throws a ShapeError that says what is wrong and what was given.
template <class Options> auto failure(const char* op, const Shape& x, const Shape& w, const Options& options) {
  return [op, &x, &w, &options](const std::string& what) {
    throw ShapeError(fmt::format("{}: {}: {}", op, what, described(x, w, options)));
  };
}

// ---- checks and sizes ----------------------------------------------------------------------------------------

// Checks what conv2d and its transpose have in common.
template <class Options, class Fail>
void check_weights(const Shape& x, const Shape& w, const Options& options, const Fail& fail) {
  if (x.size() != 4 || w.size() != 4) fail("an image and weights of four axes each are needed");
  if (options.groups == 0) fail("there are 0 groups");
  if (w[0] % options.groups != 0) fail("groups do not divide the first axis of the weights");
  if (options.stride.h == 0 || options.stride.w == 0) fail("the stride is 0");
  if (options.dilation.h == 0 || options.dilation.w == 0) fail("the dilation is 0");
  // Sums with it then do not wrap around.
  if (std::max(options.padding.h, options.padding.w) > std::size_t{1} << 40) fail("the padding is larger than 2^40");
  if (w[2] == 0 || w[3] == 0) fail("the kernel is empty");
  if (!is_addressable(x) || !is_addressable(w)) fail(too_many_elements);
}

// The outputs along one axis of a padded image, or 0 if the kernel does not fit.
std::size_t outputs(std::size_t padded, std::size_t kernel, std::size_t dilation, std::size_t stride) {
  // Divided, not multiplied: dilation times kernel may wrap around.
  if (padded == 0 || kernel - 1 > (padded - 1) / dilation) return 0;
  return (padded - 1 - dilation * (kernel - 1)) / stride + 1;
}

// Checks that x and w fit, and gives the sizes of the convolution.
template <class Fail>
kernels::ConvSize conv_size(const Shape& x, const Shape& w, const Conv2dOptions& options, const Fail& fail) {
  check_weights(x, w, options, fail);
  if (x[1] % options.groups != 0) fail("groups do not divide the channels");
  if (x[1] / options.groups != w[1]) fail("channels differ");
  const std::size_t out_h = outputs(x[2] + 2 * options.padding.h, w[2], options.dilation.h, options.stride.h);
  const std::size_t out_w = outputs(x[3] + 2 * options.padding.w, w[3], options.dilation.w, options.stride.w);
  if (out_h == 0 || out_w == 0) fail("the kernel is larger than the padded image");
  // The result, and what the kernel makes of the image on the way there.
  if (!is_addressable({x[0], w[0], out_h, out_w}) || !is_addressable({w[1], w[2], w[3], out_h, out_w}))
    fail(too_many_elements);
  return {x[0] * options.groups,
          w[1],
          x[2],
          x[3],
          w[0] / options.groups,
          w[2],
          w[3],
          out_h,
          out_w,
          options.stride.h,
          options.stride.w,
          options.padding.h,
          options.padding.w,
          options.dilation.h,
          options.dilation.w,
          options.groups};
}

Shape result_shape(const kernels::ConvSize& size, const Shape& x, const Shape& w) {
  return {x[0], w[0], size.out_h, size.out_w};
}

template <class Fail>
void check_output_gradient(const kernels::ConvSize& size, const Shape& x, const Shape& w, const Shape& dy,
                           const Fail& fail) {
  const Shape expected = result_shape(size, x, w);
  if (dy != expected) fail(fmt::format("dy has shape {}, expected {}", to_string(dy), to_string(expected)));
}

template <class Fail> void check_bias(const Shape& bias, std::size_t filters, const Fail& fail) {
  if (bias != Shape{filters})
    fail(fmt::format("the bias has shape {}, expected {}", to_string(bias), to_string(Shape{filters})));
}

Conv2dOptions of_conv2d(const ConvTranspose2dOptions& options) {
  return {.stride = options.stride, .padding = options.padding, .dilation = options.dilation, .groups = options.groups};
}

// The shape of conv_transpose2d: the one that conv2d takes to x.
template <class Fail>
Shape transposed_shape(const Shape& x, const Shape& w, const ConvTranspose2dOptions& options, const Fail& fail) {
  check_weights(x, w, options, fail);
  if (x[1] != w[0]) fail("channels differ");
  if (x[2] == 0 || x[3] == 0) fail("the image is empty");
  if (options.output_padding.h >= options.stride.h || options.output_padding.w >= options.stride.w)
    fail("output_padding must be less than the stride");
  // Products that would be no extent any more end at this.
  constexpr std::size_t limit = std::numeric_limits<std::size_t>::max() / 8;
  const auto product = [](std::size_t a, std::size_t b) { return b != 0 && a > limit / b ? limit : a * b; };
  const auto extent = [&](std::size_t in, std::size_t kernel, std::size_t stride, std::size_t padding,
                          std::size_t dilation, std::size_t output_padding) {
    const std::size_t whole =
        product(in - 1, stride) + product(kernel - 1, dilation) + std::min(output_padding, limit) + 1;
    if (whole >= limit) fail(too_many_elements);
    if (whole <= 2 * padding) fail("the padding leaves nothing of the result");
    return whole - 2 * padding;
  };
  const Pair &stride = options.stride, &pad = options.padding, &dilation = options.dilation;
  const Shape shape{x[0], product(w[1], options.groups),
                    extent(x[2], w[2], stride.h, pad.h, dilation.h, options.output_padding.h),
                    extent(x[3], w[3], stride.w, pad.w, dilation.w, options.output_padding.w)};
  if (!is_addressable(shape)) fail(too_many_elements);
  conv_size(shape, w, of_conv2d(options), fail);
  return shape;
}

// ---- one direction: images with one row ----------------------------------------------------------------------

template <class Fail> void check_sequence(const Shape& x, const Shape& w, const Fail& fail) {
  if (x.size() != 3 || w.size() != 3) fail("a sequence and weights of three axes each are needed");
}
Shape as_image(const Shape& s) { return {s[0], s[1], 1, s[2]}; }
template <class T> Tensor<T> as_image(const Tensor<T>& x) { return expand_dims(x, 2); }
template <class T> Tensor<T> as_sequence(const Tensor<T>& y) { return squeeze(y, 2); }

Conv2dOptions of_one_row(const Conv1dOptions& options) {
  return {.stride = {1, options.stride},
          .padding = {0, options.padding},
          .dilation = {1, options.dilation},
          .groups = options.groups};
}
ConvTranspose2dOptions of_one_row(const ConvTranspose1dOptions& options) {
  return {.stride = {1, options.stride},
          .padding = {0, options.padding},
          .output_padding = {0, options.output_padding},
          .dilation = {1, options.dilation},
          .groups = options.groups};
}

// ---- the ops -------------------------------------------------------------------------------------------------

// The three below are the three derivatives of one trilinear form <dy, x * w>, so each one's pullback is
// made of the other two.

struct ConvPlan {
  Shape shape;
  kernels::ConvSize size;
};

// y = x * w
template <class T> struct Conv2d {
  using value_type = T;
  static constexpr OpTraits traits{.name = "conv2d", .kind = Kind::bilinear};
  Conv2dOptions options;
  Shape x_shape, w_shape;

  ConvPlan plan(const Tensor<T>& x, const Tensor<T>& w) const {
    const auto size = conv_size(x.shape(), w.shape(), options, failure("conv2d", x.shape(), w.shape(), options));
    return {result_shape(size, x.shape(), w.shape()), size};
  }
  void evaluate(Fresh<T>& y, const ConvPlan& plan, const Tensor<T>& x, const Tensor<T>& w) const {
    kernels::conv2d(plan.size, x.data(), w.data(), y.data());
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x, const Tensor<T>& w) const {
    return p.gradients([&] { return conv2d_input_gradient(p.dy, w, x_shape, options); },
                       [&] { return conv2d_weight_gradient(x, p.dy, w_shape, options); });
  }
};

// The gradient of conv2d by its input, which is what a transposed convolution computes: under the name of either.
template <class T> struct Conv2dInputGradient {
  using value_type = T;
  static constexpr OpTraits traits{.name = "conv2d_input_gradient", .kind = Kind::bilinear};
  const char* op;
  Conv2dOptions options;
  Shape x_shape, w_shape;
  const char* name() const { return op; }

  ConvPlan plan(const Tensor<T>& dy, const Tensor<T>& w) const {
    const auto fail = failure(op, x_shape, w.shape(), options);
    const auto size = conv_size(x_shape, w.shape(), options, fail);
    check_output_gradient(size, x_shape, w.shape(), dy.shape(), fail);
    return {x_shape, size};
  }
  void evaluate(Fresh<T>& dx, const ConvPlan& plan, const Tensor<T>& dy, const Tensor<T>& w) const {
    kernels::conv2d_input_gradient(plan.size, dy.data(), w.data(), dx.data());
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& dy, const Tensor<T>& w) const {
    return p.gradients([&] { return conv2d(p.dy, w, options); },
                       [&] { return conv2d_weight_gradient(p.dy, dy, w_shape, options); });
  }
};

// The gradient of conv2d by its weights.
template <class T> struct Conv2dWeightGradient {
  using value_type = T;
  static constexpr OpTraits traits{.name = "conv2d_weight_gradient", .kind = Kind::bilinear};
  Conv2dOptions options;
  Shape x_shape, w_shape;

  ConvPlan plan(const Tensor<T>& x, const Tensor<T>& dy) const {
    const auto fail = failure("conv2d_weight_gradient", x.shape(), w_shape, options);
    const auto size = conv_size(x.shape(), w_shape, options, fail);
    check_output_gradient(size, x.shape(), w_shape, dy.shape(), fail);
    return {w_shape, size};
  }
  void evaluate(Fresh<T>& dw, const ConvPlan& plan, const Tensor<T>& x, const Tensor<T>& dy) const {
    kernels::conv2d_weight_gradient(plan.size, x.data(), dy.data(), dw.data());
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x, const Tensor<T>& dy) const {
    return p.gradients([&] { return conv2d_input_gradient(dy, p.dy, x_shape, options); },
                       [&] { return conv2d(x, p.dy, options); });
  }
};

}  // namespace

template <class T> Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Conv2dOptions& options) {
  return apply(Conv2d<T>{options, x.shape(), w.shape()}, x, w);
}

template <class T>
Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias, const Conv2dOptions& options) {
  const auto fail = failure("conv2d", x.shape(), w.shape(), options);
  conv_size(x.shape(), w.shape(), options, fail);
  check_bias(bias.shape(), w.shape()[0], fail);
  return conv2d(x, w, options) + reshape(bias, Shape{bias.size(), 1, 1});
}

template <class T>
Tensor<T> conv2d_input_gradient(const Tensor<T>& dy, const Tensor<T>& w, const Shape& x_shape,
                                const Conv2dOptions& options) {
  return apply(Conv2dInputGradient<T>{"conv2d_input_gradient", options, x_shape, w.shape()}, dy, w);
}

template <class T>
Tensor<T> conv2d_weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Shape& w_shape,
                                 const Conv2dOptions& options) {
  return apply(Conv2dWeightGradient<T>{options, x.shape(), w_shape}, x, dy);
}

template <class T>
Tensor<T> conv_transpose2d(const Tensor<T>& x, const Tensor<T>& w, const ConvTranspose2dOptions& options) {
  const Shape shape =
      transposed_shape(x.shape(), w.shape(), options, failure("conv_transpose2d", x.shape(), w.shape(), options));
  return apply(Conv2dInputGradient<T>{"conv_transpose2d", of_conv2d(options), shape, w.shape()}, x, w);
}

template <class T>
Tensor<T> conv_transpose2d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias,
                           const ConvTranspose2dOptions& options) {
  const auto fail = failure("conv_transpose2d", x.shape(), w.shape(), options);
  check_bias(bias.shape(), transposed_shape(x.shape(), w.shape(), options, fail)[1], fail);
  return conv_transpose2d(x, w, options) + reshape(bias, Shape{bias.size(), 1, 1});
}

template <class T> Tensor<T> conv1d(const Tensor<T>& x, const Tensor<T>& w, const Conv1dOptions& options) {
  const auto fail = failure("conv1d", x.shape(), w.shape(), options);
  check_sequence(x.shape(), w.shape(), fail);
  conv_size(as_image(x.shape()), as_image(w.shape()), of_one_row(options), fail);
  return as_sequence(conv2d(as_image(x), as_image(w), of_one_row(options)));
}

template <class T>
Tensor<T> conv1d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias, const Conv1dOptions& options) {
  const auto fail = failure("conv1d", x.shape(), w.shape(), options);
  check_sequence(x.shape(), w.shape(), fail);
  conv_size(as_image(x.shape()), as_image(w.shape()), of_one_row(options), fail);
  check_bias(bias.shape(), w.shape()[0], fail);
  return as_sequence(conv2d(as_image(x), as_image(w), bias, of_one_row(options)));
}

template <class T>
Tensor<T> conv_transpose1d(const Tensor<T>& x, const Tensor<T>& w, const ConvTranspose1dOptions& options) {
  const auto fail = failure("conv_transpose1d", x.shape(), w.shape(), options);
  check_sequence(x.shape(), w.shape(), fail);
  transposed_shape(as_image(x.shape()), as_image(w.shape()), of_one_row(options), fail);
  return as_sequence(conv_transpose2d(as_image(x), as_image(w), of_one_row(options)));
}

template <class T>
Tensor<T> conv_transpose1d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias,
                           const ConvTranspose1dOptions& options) {
  const auto fail = failure("conv_transpose1d", x.shape(), w.shape(), options);
  check_sequence(x.shape(), w.shape(), fail);
  check_bias(bias.shape(), transposed_shape(as_image(x.shape()), as_image(w.shape()), of_one_row(options), fail)[1],
             fail);
  return as_sequence(conv_transpose2d(as_image(x), as_image(w), bias, of_one_row(options)));
}

#define XTAPE_CONV_OP(T, op, Options)                                        \
  template Tensor<T> op(const Tensor<T>&, const Tensor<T>&, const Options&); \
  template Tensor<T> op(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, const Options&);
#define XTAPE_CONV(T)                                                                                               \
  XTAPE_CONV_OP(T, conv2d, Conv2dOptions)                                                                           \
  XTAPE_CONV_OP(T, conv1d, Conv1dOptions)                                                                           \
  XTAPE_CONV_OP(T, conv_transpose2d, ConvTranspose2dOptions)                                                        \
  XTAPE_CONV_OP(T, conv_transpose1d, ConvTranspose1dOptions)                                                        \
  template Tensor<T> conv2d_input_gradient(const Tensor<T>&, const Tensor<T>&, const Shape&, const Conv2dOptions&); \
  template Tensor<T> conv2d_weight_gradient(const Tensor<T>&, const Tensor<T>&, const Shape&, const Conv2dOptions&);
XTAPE_INSTANTIATE(XTAPE_CONV)

}  // namespace xtape
