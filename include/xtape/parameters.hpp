#pragma once
/// \file parameters.hpp  Lists of parameters, and the one rule for a tensor that is listed twice.
///
/// A model that uses one tensor in two places (tied weights: `Sequential{lin, lin}`) may list it twice. Everything that
/// takes a list of parameters lets it count once, at its first place: optimisers step it once and keep one state of it,
/// clip_gradient_norm counts and scales its gradient once, processes send it once, a file holds it under its first
/// name. Two handles are the same tensor if one is a copy of the other; parameter(), detach() and copy() make another.

#include <xtape/tensor.hpp>

#include <vector>

namespace xtape {

/// The tensors of a list in their order, without those that stood in it before.
///     distinct(std::vector{w, b, w}).size();  // = 2
template <class T> std::vector<Tensor<T>> distinct(const std::vector<Tensor<T>>& tensors);

/// How many numbers a model has: the elements of distinct(parameters).
template <class T> std::size_t parameter_count(const std::vector<Tensor<T>>& parameters);

}  // namespace xtape
