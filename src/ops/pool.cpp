#include <xtape/ops/pool.hpp>

#include "../kernels/pool.hpp"
#include "common.hpp"

namespace xtape {
namespace {

kernels::PoolSize pool_size(const char* op, const Shape& x, const PoolOptions& options) {
  const Pair window = options.window, pad = options.padding;
  const Pair stride(options.stride.h ? options.stride.h : window.h, options.stride.w ? options.stride.w : window.w);
  const auto fail = [&](const char* what) {
    throw ShapeError(fmt::format("{}: {}: image {}, window ({}, {}), padding ({}, {})", op, what, to_string(x),
                                 window.h, window.w, pad.h, pad.w));
  };
  if (x.size() != 4) fail("(N, C, H, W) images are needed");
  if (window.h == 0 || window.w == 0) fail("the window is empty");
  if (pad.h > window.h / 2 || pad.w > window.w / 2) fail("the padding is more than half the window");
  // Written without sums that could wrap around. With that, every window holds part of the image.
  const auto fits = [](std::size_t size, std::size_t extent, std::size_t padding) {
    return extent > 0 && padding <= (std::size_t{1} << 40) && (size <= extent || size - extent <= 2 * padding);
  };
  if (!fits(window.h, x[2], pad.h) || !fits(window.w, x[3], pad.w)) fail("the window is larger than the padded image");
  if (x.elements() > 0xffffffffU) fail("more than 2^32 elements");
  return {x[0] * x[1],
          x[2],
          x[3],
          (x[2] + 2 * pad.h - window.h) / stride.h + 1,
          (x[3] + 2 * pad.w - window.w) / stride.w + 1,
          window.h,
          window.w,
          stride.h,
          stride.w,
          pad.h,
          pad.w};
}

// Spreads dy evenly over each window: the transpose of avg_pool2d.
template <class T> Tensor<T> avg_unpool2d(const Tensor<T>& dy, const Shape& x_shape, const PoolOptions& options) {
  const auto size = pool_size("avg_unpool2d", x_shape, options);
  Tensor<T> dx = zeros<T>(x_shape);
  kernels::avg_unpool2d(size, dy.data(), dx.mutable_data());
  return record("avg_unpool2d", std::move(dx), {dy},
                [options](const Tensor<T>& g) { return Gradients(avg_pool2d(g, options)); });
}

}  // namespace

template <class T> Tensor<T> max_pool2d(const Tensor<T>& x, const PoolOptions& options) {
  const auto size = pool_size("max_pool2d", x.shape(), options);
  Tensor<T> y = Tensor<T>::uninitialised({x.shape()[0], x.shape()[1], size.out_h, size.out_w});
  const detail::Indices at(y.size());
  kernels::max_pool2d(size, x.data(), y.mutable_data(), at.data());
  return record("max_pool2d", std::move(y), {x}, [at, shape = x.shape()](const Tensor<T>& dy) {
    return Gradients(detail::scatter_flat(dy, at, shape));
  });
}

template <class T> Tensor<T> avg_pool2d(const Tensor<T>& x, const PoolOptions& options) {
  const auto size = pool_size("avg_pool2d", x.shape(), options);
  Tensor<T> y = Tensor<T>::uninitialised({x.shape()[0], x.shape()[1], size.out_h, size.out_w});
  kernels::avg_pool2d(size, x.data(), y.mutable_data());
  return record("avg_pool2d", std::move(y), {x}, [shape = x.shape(), options](const Tensor<T>& dy) {
    return Gradients(avg_unpool2d(dy, shape, options));
  });
}

#define XTAPE_POOL(T)                                                  \
  template Tensor<T> max_pool2d(const Tensor<T>&, const PoolOptions&); \
  template Tensor<T> avg_pool2d(const Tensor<T>&, const PoolOptions&);
XTAPE_INSTANTIATE(XTAPE_POOL)

}  // namespace xtape
