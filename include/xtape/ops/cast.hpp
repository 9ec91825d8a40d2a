#pragma once
/// \file ops/cast.hpp  From one element type to the other.

#include <xtape/tensor.hpp>

namespace xtape {

/// The same elements as float or double: cast<float>(x). To float they are rounded, beyond its range to infinity; to
/// x's own type it is a view of x.    dx = cast<T>(dy)
///     cast<float>(Tensor<double>(0.1)).item() == 0.1f;  // = true
template <class To, class T> Tensor<To> cast(const Tensor<T>& x);

}  // namespace xtape
