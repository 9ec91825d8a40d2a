#pragma once
/// \file ops/pool.hpp  Pooling of images (N, C, H, W).

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
template <class T> Tensor<T> max_pool2d(const Tensor<T>& x, const PoolOptions& options = {});
/// Y = the sum of each window, padding counted as zeros, divided by the window's size.    dx: dy / size to each
template <class T> Tensor<T> avg_pool2d(const Tensor<T>& x, const PoolOptions& options = {});

}  // namespace xtape
