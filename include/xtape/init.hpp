#pragma once
/// \file init.hpp  Tensors of random numbers, and those that weights start from.
///
/// The fan of weights: for (inputs, outputs) of a linear layer fan_in = inputs, fan_out = outputs; for (out, in, k...)
/// of a convolution fan_in = in k..., fan_out = out k.... The four named after people throw ShapeError on tensors with
/// fewer than two axes.

#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

namespace xtape::init {

/// Independent normal numbers. Throws ValueError unless the mean is finite, the standard deviation finite and not
/// negative.
template <class T> Tensor<T> normal(const Shape& shape, T mean, T standard_deviation, Rng& rng);
/// Independent numbers, uniform on [low, high); low if both are equal. Throws ValueError unless both are finite and
/// low <= high.
template <class T> Tensor<T> uniform(const Shape& shape, T low, T high, Rng& rng);

/// Normal with variance 2 / (fan_in + fan_out): for tanh and sigmoid (Glorot & Bengio 2010).
template <class T> Tensor<T> glorot_normal(const Shape& shape, Rng& rng);
/// Uniform on [-a, a), a = sqrt(6 / (fan_in + fan_out)), which has the same variance.
template <class T> Tensor<T> glorot_uniform(const Shape& shape, Rng& rng);
/// Normal with variance 2 / fan_in: outputs as large as inputs after a relu (He et al. 2015).
template <class T> Tensor<T> he_normal(const Shape& shape, Rng& rng);
/// Uniform on [-a, a), a = sqrt(6 / fan_in), which has the same variance.
template <class T> Tensor<T> he_uniform(const Shape& shape, Rng& rng);

/// gain times a matrix with orthonormal columns, or rows if it is wider than tall, uniform among all such (Saxe et al.
/// 2014; Mezzadri 2007). Axes after the first count as one. Throws ShapeError on fewer than two axes,
/// ValueError unless the gain is finite.
template <class T> Tensor<T> orthogonal(const Shape& shape, Rng& rng, T gain = T(1));

}  // namespace xtape::init
