#pragma once
/// \file ops/conv.hpp  Two-dimensional convolution. Images are (N, C, H, W), weights (out, in, kh, kw).

#include <xtape/tensor.hpp>

namespace xtape {

/// One number for both directions, or {vertical, horizontal}. Throws ShapeError if negative.
struct Pair {
  std::size_t h, w;
  template <std::integral I> constexpr Pair(I both) : Pair(detail::Extent(both), detail::Extent(both)) {}
  constexpr Pair(detail::Extent vertical, detail::Extent horizontal) : h(vertical.value), w(horizontal.value) {}
  bool operator==(const Pair&) const = default;
};

struct Conv2dOptions {
  Pair stride = 1;
  Pair padding = 0;  ///< zeros on each side
};

/// Y_noij = sum_{c,p,q} X_{n,c,i s + p - pad, j s + q - pad} W_ocpq [+ b_o]    (cross-correlation, not flipped)
/// X: (N, C, H, W), W: (O, C, kh, kw), b: (O,), Y: (N, O, (H + 2 pad - kh)/s + 1 rounded down, ...)
/// dW_ocpq = sum_{n,i,j} dY_noij X_{n,c,i s + p - pad, ...},    dX by the same sum over o, p, q,    db_o = sum dY
/// Throws ShapeError if channels differ or the kernel is larger than the padded image.
template <class T> Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Conv2dOptions& options = {});
template <class T>
Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias, const Conv2dOptions& options = {});

/// dL/dX of conv2d from dL/dY: linear in dy and in w, and an op like any other. x_shape: of X.
template <class T>
Tensor<T> conv2d_input_gradient(const Tensor<T>& dy, const Tensor<T>& w, const Shape& x_shape,
                                const Conv2dOptions& options = {});
/// dL/dW of conv2d from dL/dY: linear in x and in dy. w_shape: of W.
template <class T>
Tensor<T> conv2d_weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Shape& w_shape,
                                 const Conv2dOptions& options = {});

}  // namespace xtape
