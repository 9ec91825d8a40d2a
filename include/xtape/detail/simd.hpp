#pragma once
/// \file detail/simd.hpp  Functions of xsimd batches, with xsimd's where they are right to about one unit
/// in the last place over the whole range, and our own where xsimd 8.1 is not.

#include <xtape/detail/simd/error_function.hpp>
#include <xtape/detail/simd/exponential.hpp>
#include <xtape/detail/simd/logarithm.hpp>
#include <xtape/detail/simd/trigonometry.hpp>

namespace xtape::simd {

template <class T, class A, class F>
xsimd::batch<T, A> each(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y, F&& f) noexcept {
  constexpr std::size_t width = xsimd::batch<T, A>::size;
  alignas(64) T values[width], others[width];
  x.store_aligned(values);
  y.store_aligned(others);
  for (std::size_t i = 0; i < width; ++i) values[i] = f(values[i], others[i]);
  return xsimd::batch<T, A>::load_aligned(values);
}
// xsimd's is off by 50 units and more, and pow(0, -1) is 0.
template <class T, class A> xsimd::batch<T, A> pow(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  return each(x, y, [](T v, T w) { return std::pow(v, w); });
}
/// In float in double, where squares neither over- nor underflow. xsimd's overflows.
template <class T, class A>
xsimd::batch<T, A> hypot(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    const B size = in_double([](const auto& v, const auto& w) { return xsimd::sqrt(simd::fma(v, v, w * w)); }, x, y);
    // That of infinity and NaN is infinity.
    const B infinity(std::numeric_limits<T>::infinity());
    return xsimd::select((xsimd::abs(x) == infinity) || (xsimd::abs(y) == infinity), infinity, size);
  } else {
    return each(x, y, [](T v, T w) { return std::hypot(v, w); });
  }
}
// xsimd's atan2 is made of its atan.
template <class T, class A>
xsimd::batch<T, A> atan2(const xsimd::batch<T, A>& y, const xsimd::batch<T, A>& x) noexcept {
  return each(y, x, [](T v, T w) { return std::atan2(v, w); });
}

}  // namespace xtape::simd
