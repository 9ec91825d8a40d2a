#pragma once
#include <xtape/detail/loop.hpp>
#include <xtape/detail/operand.hpp>

#include "common.hpp"

namespace xtape::detail {

// y = f(x...) on SIMD batches over operands broadcast together. Throws ShapeError, in the op's name.
template <std::size_t K, class T, class F>
Tensor<T> broadcast_loop(const char* op, const std::array<const Operand<T>*, K>& x, const F& f) {
  using B = simd::Batch<T>;
  std::array<const Shape*, K> shapes;
  std::array<const T*, K> data;
  for (std::size_t k = 0; k < K; ++k) {
    shapes[k] = x[k]->shape();
    data[k] = x[k]->data();
  }
  const LoopPlan plan = plan_loop(op, shapes.data(), K);
  Fresh<T> y(op, plan.shape);
  run_loop<T, K, 1>(plan, data, {y.data()}, [&f](const std::array<B, K>& v) { return std::array<B, 1>{f(v)}; });
  return std::move(y).finished();
}

// The kind of a function of functions.hpp.
template <class F> constexpr Kind kind_of_function() {
  if constexpr (requires { requires F::linear; })
    return Kind::elementwise | Kind::linear;
  else if constexpr (requires { requires F::bilinear; })
    return Kind::elementwise | Kind::bilinear;
  else
    return Kind::elementwise;
}

// Where a gradient made of dy is written: over dy, if nobody else sees its elements, or to a new tensor.
template <class T> Fresh<T> gradient_from(const Tensor<T>& dy, const Shape& shape) {
  return dy.impl()->exclusive() && dy.shape() == shape ? Fresh<T>::onto(dy) : Fresh<T>(shape);
}

}  // namespace xtape::detail
