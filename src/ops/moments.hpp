#pragma once
// Means and deviations of groups of values, without history.

#include <xtape/detail/loop.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>

#include "reduce.hpp"

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
  const auto [total, size] = sums_of<2>(x, axes, std::array<const Tensor<T>*, 0>{}, [](const auto& v, const auto&) {
    return std::array<B, 2>{v[0], xsimd::abs(v[0])};
  });
  const T n = static_cast<T>(x.size()) / static_cast<T>(total.size());
  const Tensor<T> m = total / n;
  // The mean of what is left, which all but cancels. A number far larger than the sum of all sizes cuts off what then
  // adds up without rounding, and the rest is small.
  const Tensor<T> far = where(size < std::numeric_limits<T>::max() / 32, size * T(16), 0);
  const auto [upper, lower] = sums_of<2>(x, axes, std::array{&m, &far}, [](const auto& v, const auto& p) {
    const B d = v[0] - p[0], cut = (d + p[1]) - p[1];
    return std::array<B, 2>{cut, d - cut};
  });
  return {m, (upper + lower) / n};
}

// The sums of squared deviations from the mean.
template <class T> Tensor<T> squared_deviations(const Tensor<T>& x, const Axes& axes, const Centre<T>& centre) {
  using B = simd::Batch<T>;
  return std::get<0>(
      sums_of<1>(x, axes, std::array{&centre.mean, &centre.correction}, [](const auto& v, const auto& p) {
        const B d = (v[0] - p[0]) - p[1];
        return std::array<B, 1>{d * d};
      }));
}

}  // namespace xtape::detail
