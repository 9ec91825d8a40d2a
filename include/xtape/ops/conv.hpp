#pragma once
/// \file ops/conv.hpp  Convolution of images (N, C, H, W) and of sequences (N, C, L), and its transpose.

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
  Pair padding = 0;        ///< zeros on each side
  Pair dilation = 1;       ///< distance in the image between neighbours in the kernel
  std::size_t groups = 1;  ///< channels and filters in so many groups, each apart from the others
};

/// Y_noij = sum_{c,p,q} X_{n,c,i s + p d - pad, j s + q d - pad} W_ocpq [+ b_o]    (cross-correlation, not flipped)
/// X: (N, C, H, W), W: (O, C/groups, kh, kw), b: (O,), Y: (N, O, (H + 2 pad - d (kh - 1) - 1)/s + 1 rounded down, ...)
/// The channels c are those of filter o's group: the first O/groups filters see the first C/groups channels.
/// groups = C is the depthwise convolution. Without channels Y = 0 [+ b].
/// dW_ocpq = sum_{n,i,j} dY_noij X_{n,c,i s + p d - pad, ...},    dX by the same sum over o, p, q,    db_o = sum dY
/// Throws ShapeError if channels differ, groups do not divide channels and filters, a stride or a dilation is 0, or
/// the dilated kernel is larger than the padded image.
///     conv2d(I, K);  // = [[[[12, 16], [24, 28]]]]
///     conv2d(I, ones<double>({1, 1, 3, 3}), {.stride = 2, .padding = 1});  // = [[[[12, 16], [24, 28]]]]
template <class T> Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Conv2dOptions& options = {});
template <class T>
Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias, const Conv2dOptions& options = {});

/// dL/dX of conv2d from dL/dY: linear in dy and in w, and an op like any other. x_shape: of X.
///     conv2d_input_gradient(K, K, {1, 1, 3, 3});  // = [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]
template <class T>
Tensor<T> conv2d_input_gradient(const Tensor<T>& dy, const Tensor<T>& w, const Shape& x_shape,
                                const Conv2dOptions& options = {});
/// dL/dW of conv2d from dL/dY: linear in x and in dy. w_shape: of W.
///     conv2d_weight_gradient(I, K, {1, 1, 2, 2});  // = [[[[12, 16], [24, 28]]]]
template <class T>
Tensor<T> conv2d_weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Shape& w_shape,
                                 const Conv2dOptions& options = {});

struct Conv1dOptions {
  std::size_t stride = 1;
  std::size_t padding = 0;
  std::size_t dilation = 1;
  std::size_t groups = 1;
};

/// conv2d of images with one row.    X: (N, C, L), W: (O, C/groups, k), b: (O,), Y: (N, O, (L + 2 pad - ...)/s + 1)
///     conv1d(reshape(x, {1, 1, 3}), ones<double>({1, 1, 2}));  // = [[[4, 3]]]
template <class T> Tensor<T> conv1d(const Tensor<T>& x, const Tensor<T>& w, const Conv1dOptions& options = {});
template <class T>
Tensor<T> conv1d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias, const Conv1dOptions& options = {});

struct ConvTranspose2dOptions {
  Pair stride = 1;
  Pair padding = 0;         ///< places cut off on each side
  Pair output_padding = 0;  ///< places added at the bottom and on the right; less than the stride
  Pair dilation = 1;
  std::size_t groups = 1;
};

/// The transpose of conv2d with the same weights: <conv2d(y, W), x> = <y, conv_transpose2d(x, W)>.
/// Y_{n,c,i s + p d - pad, j s + q d - pad} = the sum of X_noij W_ocpq over all o, i, j, p, q that meet there [+ b_c]
/// X: (N, O, H, W), W: (O, C/groups, kh, kw), b: (C,), Y: (N, C, (H - 1) s - 2 pad + d (kh - 1) + 1 + output_padding,
/// ...) A conv2d with stride s takes images of s different heights to the same height; output_padding tells which is
/// meant. The gradients are conv2d(dY, W) and conv2d_weight_gradient(dY, X). Throws ShapeError where conv2d does, if
/// output_padding reaches the stride, and if the image is empty or nothing of the result is left.
///     conv_transpose2d(K, K);  // = [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]
template <class T>
Tensor<T> conv_transpose2d(const Tensor<T>& x, const Tensor<T>& w, const ConvTranspose2dOptions& options = {});
template <class T>
Tensor<T> conv_transpose2d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias,
                           const ConvTranspose2dOptions& options = {});

struct ConvTranspose1dOptions {
  std::size_t stride = 1;
  std::size_t padding = 0;
  std::size_t output_padding = 0;
  std::size_t dilation = 1;
  std::size_t groups = 1;
};

/// conv_transpose2d of images with one row.    X: (N, O, L), W: (O, C/groups, k), b: (C,), Y: (N, C, ...)
///     conv_transpose1d(reshape(x, {1, 1, 3}), ones<double>({1, 1, 2}));  // = [[[3, 4, 3, 2]]]
template <class T>
Tensor<T> conv_transpose1d(const Tensor<T>& x, const Tensor<T>& w, const ConvTranspose1dOptions& options = {});
template <class T>
Tensor<T> conv_transpose1d(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& bias,
                           const ConvTranspose1dOptions& options = {});

}  // namespace xtape
