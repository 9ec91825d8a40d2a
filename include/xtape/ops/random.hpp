#pragma once
/// \file ops/random.hpp  Ops that draw random numbers.

#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

namespace xtape {

/// y = x m / (1 - rate), with m_i = 0 with probability `rate`, else 1 (inverted dropout).    dx = dy m / (1 - rate)
/// Throws ValueError unless 0 <= rate < 1. With rate 0 nothing is drawn.
///     Rng rng{1};
///     dropout(ones<double>({8}), 0.5, rng);  // = [2, 2, 2, 0, 0, 2, 2, 0]
template <class T> Tensor<T> dropout(const Tensor<T>& x, double rate, Rng& rng);

}  // namespace xtape
