#pragma once
/// \file ops/pool.hpp  Pooling of images (N, C, H, W) and of sequences (N, C, L).

#include <xtape/ops/conv.hpp>

namespace xtape {

struct PoolOptions {
  Pair window = 2;
  Pair stride = 0;   ///< 0: the window
  Pair padding = 0;  ///< on each side; at most half the window
};

/// Y = the largest element of each window; NaN if the window holds one. Padding never wins.
/// The first maximum of a window in row-major order takes its whole gradient; overlapping windows add up.
/// Y: (N, C, (H + 2 pad - window)/stride + 1 rounded down, ...). Throws ShapeError if the window does not fit.
///     max_pool2d(I, {.stride = 1});  // = [[[[5, 6], [8, 9]]]]
template <class T> Tensor<T> max_pool2d(const Tensor<T>& x, const PoolOptions& options = {});
/// Y = the sum of each window, padding counted as zeros, divided by the window's size.    dx: dy / size to each
///     avg_pool2d(I, {.stride = 1});  // = [[[[3, 4], [6, 7]]]]
template <class T> Tensor<T> avg_pool2d(const Tensor<T>& x, const PoolOptions& options = {});

/// The mean of each bin, for as many bins as asked, whatever the image's size.
/// Y_ncij = mean of X_nc over rows [floor(i H / h), ceil((i + 1) H / h)) and columns likewise, (h, w) = output
/// Neighbouring bins share a row where h does not divide H.    dx: dy / size of the bin, to each
/// Y: (N, C, h, w). Throws ShapeError if the image is empty, or an extent larger than 2^32 - 1.
///     adaptive_avg_pool2d(I, {1, 3});  // = [[[[4, 5, 6]]]]
template <class T> Tensor<T> adaptive_avg_pool2d(const Tensor<T>& x, const Pair& output);
/// Y = the mean of each channel, pairwise.    X: (N, C, H, W), Y: (N, C). Throws ShapeError if the image is empty.
///     global_avg_pool2d(I);  // = [[5]]
template <class T> Tensor<T> global_avg_pool2d(const Tensor<T>& x);
/// Y = the maximum of each channel, as max over the last two axes.    X: (N, C, H, W), Y: (N, C)
/// Throws ShapeError if the image is empty.
///     global_max_pool2d(I);  // = [[9]]
template <class T> Tensor<T> global_max_pool2d(const Tensor<T>& x);

struct Pool1dOptions {
  std::size_t window = 2;
  std::size_t stride = 0;   ///< 0: the window
  std::size_t padding = 0;  ///< on each side; at most half the window
};

/// max_pool2d of images with one row.    X: (N, C, L), Y: (N, C, (L + 2 pad - window)/stride + 1 rounded down)
///     max_pool1d(reshape(x, {1, 1, 3}), {.stride = 1});  // = [[[3, 2]]]
template <class T> Tensor<T> max_pool1d(const Tensor<T>& x, const Pool1dOptions& options = {});
/// avg_pool2d of images with one row.
///     avg_pool1d(reshape(x, {1, 1, 3}), {.stride = 1});  // = [[[2, 1.5]]]
template <class T> Tensor<T> avg_pool1d(const Tensor<T>& x, const Pool1dOptions& options = {});

}  // namespace xtape
