#include <xtape/ops/conv.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/shape.hpp>

#include "../kernels/conv.hpp"
#include "common.hpp"

namespace xtape {
namespace {

// Checks that x and w fit, and gives the sizes of the convolution.
kernels::ConvSize conv_size(const char* op, const Shape& x, const Shape& w, const Conv2dOptions& options) {
  const auto fail = [&](const char* what) {
    throw ShapeError(fmt::format("{}: {}: image {}, weights {}, stride ({}, {}), padding ({}, {})", op, what,
                                 to_string(x), to_string(w), options.stride.h, options.stride.w, options.padding.h,
                                 options.padding.w));
  };
  if (x.size() != 4 || w.size() != 4) fail("(N, C, H, W) images and (out, in, kh, kw) weights are needed");
  if (x[1] != w[1]) fail("channels differ");
  if (options.stride.h == 0 || options.stride.w == 0) fail("the stride is 0");
  if (w[2] == 0 || w[3] == 0) fail("the kernel is empty");
  // Compared without sums that could wrap around.
  const auto reaches = [](std::size_t extent, std::size_t pad, std::size_t kernel) {
    return pad <= (std::size_t{1} << 40) && kernel <= extent + 2 * pad;
  };
  if (!reaches(x[2], options.padding.h, w[2]) || !reaches(x[3], options.padding.w, w[3]))
    fail("the kernel is larger than the padded image");
  return {x[0],
          x[1],
          x[2],
          x[3],
          w[0],
          w[2],
          w[3],
          (x[2] + 2 * options.padding.h - w[2]) / options.stride.h + 1,
          (x[3] + 2 * options.padding.w - w[3]) / options.stride.w + 1,
          options.stride.h,
          options.stride.w,
          options.padding.h,
          options.padding.w};
}

void check_output_gradient(const char* op, const kernels::ConvSize& size, const Shape& dy) {
  const Shape expected{size.images, size.filters, size.out_h, size.out_w};
  if (dy != expected)
    throw ShapeError(fmt::format("{}: dy has shape {}, expected {}", op, to_string(dy), to_string(expected)));
}

}  // namespace

// The three below are the three derivatives of one trilinear form <dy, x * w>, so each one's pullback is
// made of the other two.

template <class T> Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Conv2dOptions& options) {
  const auto size = conv_size("conv2d", x.shape(), w.shape(), options);
  Tensor<T> y = Tensor<T>::uninitialised({size.images, size.filters, size.out_h, size.out_w});
  kernels::conv2d(size, x.data(), w.data(), y.mutable_data());
  return record("conv2d", std::move(y), {x, w}, [x, w, options](const Tensor<T>& dy, Wanted wanted) {
    return wanted.gradients([&] { return conv2d_input_gradient(dy, w, x.shape(), options); },
                            [&] { return conv2d_weight_gradient(x, dy, w.shape(), options); });
  });
}

template <class T>
Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias, const Conv2dOptions& options) {
  const auto size = conv_size("conv2d", x.shape(), w.shape(), options);
  if (bias.shape() != Shape{size.filters})
    throw ShapeError(fmt::format("conv2d: bias {} for weights {}", to_string(bias.shape()), to_string(w.shape())));
  return conv2d(x, w, options) + reshape(bias, Shape{size.filters, 1, 1});
}

template <class T>
Tensor<T> conv2d_input_gradient(const Tensor<T>& dy, const Tensor<T>& w, const Shape& x_shape,
                                const Conv2dOptions& options) {
  const auto size = conv_size("conv2d_input_gradient", x_shape, w.shape(), options);
  check_output_gradient("conv2d_input_gradient", size, dy.shape());
  Tensor<T> dx = Tensor<T>::uninitialised(x_shape);
  kernels::conv2d_input_gradient(size, dy.data(), w.data(), dx.mutable_data());
  return record("conv2d_input_gradient", std::move(dx), {dy, w}, [dy, w, options](const Tensor<T>& g, Wanted wanted) {
    return wanted.gradients([&] { return conv2d(g, w, options); },
                            [&] { return conv2d_weight_gradient(g, dy, w.shape(), options); });
  });
}

template <class T>
Tensor<T> conv2d_weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Shape& w_shape,
                                 const Conv2dOptions& options) {
  const auto size = conv_size("conv2d_weight_gradient", x.shape(), w_shape, options);
  check_output_gradient("conv2d_weight_gradient", size, dy.shape());
  Tensor<T> dw = Tensor<T>::uninitialised(w_shape);
  kernels::conv2d_weight_gradient(size, x.data(), dy.data(), dw.mutable_data());
  return record("conv2d_weight_gradient", std::move(dw), {x, dy}, [x, dy, options](const Tensor<T>& g, Wanted wanted) {
    return wanted.gradients([&] { return conv2d_input_gradient(dy, g, x.shape(), options); },
                            [&] { return conv2d(x, g, options); });
  });
}

#define XTAPE_CONV(T)                                                                                               \
  template Tensor<T> conv2d(const Tensor<T>&, const Tensor<T>&, const Conv2dOptions&);                              \
  template Tensor<T> conv2d(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, const Conv2dOptions&);            \
  template Tensor<T> conv2d_input_gradient(const Tensor<T>&, const Tensor<T>&, const Shape&, const Conv2dOptions&); \
  template Tensor<T> conv2d_weight_gradient(const Tensor<T>&, const Tensor<T>&, const Shape&, const Conv2dOptions&);
XTAPE_INSTANTIATE(XTAPE_CONV)

}  // namespace xtape
