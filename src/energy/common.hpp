#pragma once
// What the energy-based models' sources share.

#include <xtape/energy/rbm.hpp>

#include <algorithm>

#include "../kernels/gemm.hpp"
#include "../kernels/gibbs.hpp"
#include "../ops/common.hpp"

namespace xtape::detail {

template <class T> void check_rows(const char* op, const Tensor<T>& x, std::size_t units) {
  if (x.dimension() != 2 || x.shape()[1] != units)
    throw ShapeError(fmt::format("{}: rows of {} units are needed, got shape {}", op, units, to_string(x.shape())));
}
template <class T> void check_some_rows(const char* op, const Tensor<T>& x, std::size_t units) {
  check_rows(op, x, units);
  if (x.shape()[0] == 0) throw ShapeError(fmt::format("{}: there are no rows", op));
}

template <class T> void check_binary(const char* op, const Tensor<T>& v) {
  for (std::size_t i = 0; i < v.size(); ++i)
    if (v.data()[i] != T(0) && v.data()[i] != T(1))
      throw ValueError(
          fmt::format("{}: {} at row {}, unit {} is not binary", op, v.data()[i], i / v.shape()[1], i % v.shape()[1]));
}

// Every element in [0, 1]: states and probabilities. NaN is not.
template <class T> void check_unit_interval(const char* op, const Tensor<T>& v) {
  const auto outside = [](T x) { return !(x >= T(0) && x <= T(1)); };
  bool any = false;  // without a branch, so that it is vectorised
  for (const T x : v.span()) any |= outside(x);
  if (!any) return;
  const auto i = static_cast<std::size_t>(std::ranges::find_if(v.span(), outside) - v.span().begin());
  throw ValueError(
      fmt::format("{}: {} at row {}, unit {} is not in [0, 1]", op, v.data()[i], i / v.shape()[1], i % v.shape()[1]));
}

// Inputs of the hidden units from rows of visible states, without bias; and the other way round.
template <class T> void hidden_input(const Rbm<T>& rbm, std::size_t rows, const T* v, T* out) {
  kernels::gemm(false, false, rows, rbm.hidden(), rbm.visible(), v, rbm.W.data(), T(0), out);
}
template <class T> void visible_input(const Rbm<T>& rbm, std::size_t rows, const T* h, T* out) {
  kernels::gemm(false, true, rows, rbm.visible(), rbm.hidden(), h, rbm.W.data(), T(0), out);
}

}  // namespace xtape::detail
