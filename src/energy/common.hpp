#pragma once
// What the energy-based models' sources share.

#include <xtape/energy/rbm.hpp>

#include "../ops/common.hpp"

namespace xtape::detail {

template <class T> void check_rows(const char* op, const Tensor<T>& x, std::size_t units) {
  if (x.dimension() != 2 || x.shape()[1] != units)
    throw ShapeError(fmt::format("{}: rows of {} units are needed, got shape {}", op, units, to_string(x.shape())));
}

}  // namespace xtape::detail
