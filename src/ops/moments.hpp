#pragma once
// Means and deviations of groups of values, without history.

#include <xtape/detail/loop.hpp>
#include <xtape/ops/reduce.hpp>

#include "common.hpp"

namespace xtape::detail {

// y[i] = f(x[i], others...), broadcast to x's shape.
template <class T, std::size_t K, class F> Tensor<T> fused(const std::array<const Tensor<T>*, K>& x, const F& f) {
  using B = simd::Batch<T>;
  std::array<const Shape*, K> shapes;
  std::array<const T*, K> data;
  for (std::size_t k = 0; k < K; ++k) shapes[k] = &x[k]->shape(), data[k] = x[k]->data();
  Tensor<T> y = Tensor<T>::uninitialised(x[0]->shape());
  run_loop<T, K, 1>(plan_loop("moments", shapes.data(), K), data, {y.mutable_data()},
                    [&f](const std::array<B, K>& v) { return std::array<B, 1>{f(v)}; });
  return y;
}

// The mean of each group, with extent 1 along the group's axes; in two parts, since a large one does not fit a single
// number well enough.
template <class T> struct Centre { Tensor<T> mean, correction; };
template <class T> Centre<T> centre(const Tensor<T>& x, const Axes& axes) {
  using B = simd::Batch<T>;
  const NoGrad pause;
  const Tensor<T> m = mean(x, axes, {.keepdims = true});
  const Tensor<T> deviation = fused<T, 2>({&x, &m}, [](const std::array<B, 2>& v) { return v[0] - v[1]; });
  return {m, mean(deviation, axes, {.keepdims = true})};
}

// The squares of the deviations from the mean.
template <class T> Tensor<T> squared_deviations(const Tensor<T>& x, const Centre<T>& centre) {
  using B = simd::Batch<T>;
  const NoGrad pause;
  return fused<T, 3>({&x, &centre.mean, &centre.correction}, [](const std::array<B, 3>& v) {
    const B d = (v[0] - v[1]) - v[2];
    return d * d;
  });
}

}  // namespace xtape::detail
