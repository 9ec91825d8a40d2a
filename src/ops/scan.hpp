#pragma once
#include <xtape/ops/scan.hpp>

#include "common.hpp"

namespace xtape::detail {

struct ShiftOptions {
  bool back = false;  // towards the start of the axis
  double fill = 0;    // what stands in the place that becomes free
};
// x moved on by one place along the axis: y_i = x_(i-1).    dx_i = dy_(i+1)
template <class T> Tensor<T> shift(const Tensor<T>& x, std::ptrdiff_t axis, const ShiftOptions& options = {});

}  // namespace xtape::detail
