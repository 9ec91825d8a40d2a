#pragma once
/// \file init.hpp  Tensors of random numbers.

#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

namespace xtape::init {

/// Independent normal numbers.
template <class T> Tensor<T> normal(const Shape& shape, T mean, T standard_deviation, Rng& rng) {
  Tensor<T> result = Tensor<T>::uninitialised(shape);
  rng.fill_normal(std::span<T>(result.mutable_data(), result.size()), mean, standard_deviation);
  return result;
}
/// Independent numbers, uniform on [low, high).
template <class T> Tensor<T> uniform(const Shape& shape, T low, T high, Rng& rng) {
  Tensor<T> result = Tensor<T>::uninitialised(shape);
  rng.fill_uniform(std::span<T>(result.mutable_data(), result.size()), low, high);
  return result;
}

}  // namespace xtape::init
