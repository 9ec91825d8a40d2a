#pragma once
#include <xtape/ops/softmax.hpp>

#include "reduce.hpp"

namespace xtape::detail {

// Softmax over the elements of each group: along one axis or several.
template <class T> Tensor<T> softmax_group(const Tensor<T>& x, const Group& group);

}  // namespace xtape::detail
