#pragma once
/// \file ops/normalise.hpp  Layers that normalise: mean 0 and variance 1 over a group, then scale and shift.

#include <xtape/tensor.hpp>

namespace xtape {

struct StandardiseOptions {
  double epsilon = 1e-5;  ///< added to the variance
};
/// y = (x - mean) r with r = 1 / sqrt(var + epsilon), mean and biased variance over `axes`, in two passes with a
/// correction: a large mean costs no digits.    dx = r (dy - mean(dy) - y mean(dy y))
/// Throws ShapeError on an axis out of range or repeated, ValueError unless epsilon >= 0.
///     standardise(x, 0, {.epsilon = 0});  // = [1.22474, -1.22474, 0]
template <class T>
Tensor<T> standardise(const Tensor<T>& x, const Axes& axes = all_axes, const StandardiseOptions& options = {});

/// y = gamma standardise(x) + beta over the last axes: those of gamma's shape, which is beta's, too.
/// Throws ShapeError if they are not the last extents of x, ValueError unless epsilon >= 0.
///     layer_norm(x, ones<double>({3}), zeros<double>({3}), {.epsilon = 0});  // = [1.22474, -1.22474, 0]
template <class T>
Tensor<T> layer_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta,
                     const StandardiseOptions& options = {});

/// What batch_norm remembers of the batches that it has seen: constants to every tape.
template <class T> struct BatchNormState {
  Tensor<T> mean, variance;
  /// Mean 0 and variance 1 for each channel.
  explicit BatchNormState(std::size_t channels) : mean(zeros<T>({channels})), variance(ones<T>({channels})) {}
};

struct BatchNormOptions {
  bool training = true;
  double momentum = 0.1;  ///< the weight of the new batch in the running statistics
  double epsilon = 1e-5;  ///< added to the variance
};
/// y = gamma (x - mean) / sqrt(var + epsilon) + beta for each channel        x: (N, C), (N, C, L) or (N, C, H, W)
/// gamma, beta, state.mean, state.variance: (C)
///
/// In training: by mean and biased variance of the batch, through which the gradient flows, as in standardise(). The
/// state becomes (1 - momentum) state + momentum (mean, unbiased variance of the batch); it is written by every
/// call, also by one that a checkpoint runs again. Otherwise: by the state's mean and variance, which are constants.
///
/// Throws ShapeError unless the shapes are these, and in training on fewer than two values to a channel; ValueError
/// unless epsilon >= 0 and 0 <= momentum <= 1.
///     BatchNormState<double> state(3);
///     batch_norm(M, ones<double>({3}), zeros<double>({3}), state, {.epsilon = 0});  // = [[-1, -1, -1], [1, 1, 1]]
///     state.mean;  // = [0.25, 0.35, 0.45]
template <class T>
Tensor<T> batch_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta, BatchNormState<T>& state,
                     const BatchNormOptions& options = {});

}  // namespace xtape
