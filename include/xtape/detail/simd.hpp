#pragma once
/// \file detail/simd.hpp  Functions of xsimd batches, with xsimd's where they are right to about one unit
/// in the last place over the whole range, and mended where xsimd 8.1 is not.

#include <xsimd/xsimd.hpp>

#include <cmath>
#include <limits>

namespace xtape::simd {

/// As many numbers as fit a vector register of the machine compiled for.
template <class T> using Batch = xsimd::batch<T>;

/// Applies a scalar function to each number: where only the C library is accurate.
template <class T, class A, class F> xsimd::batch<T, A> each(const xsimd::batch<T, A>& x, F&& f) noexcept {
  alignas(64) T values[xsimd::batch<T, A>::size];
  x.store_aligned(values);
  for (T& value : values) value = f(value);
  return xsimd::batch<T, A>::load_aligned(values);
}

template <class T, class A> xsimd::batch<T, A> exp(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  const B y = xsimd::exp(x);
  // xsimd gives 0 where the result is subnormal, and inf a little before it overflows.
  const auto far = xsimd::abs(x) > B(sizeof(T) == 4 ? T(87) : T(708));
  if (!xsimd::any(far)) return y;
  const B root = xsimd::exp(x * B(T(0.5)));
  return xsimd::select(far, root * root, y);
}

template <class T, class A> xsimd::batch<T, A> expm1(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  const B y = xsimd::expm1(x);
  const auto large = x > B(sizeof(T) == 4 ? T(80) : T(700));
  return xsimd::any(large) ? xsimd::select(large, simd::exp(x), y) : y;
}

template <class T, class A> xsimd::batch<T, A> log(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  const B y = xsimd::log(x);
  const auto subnormal = (x < B(std::numeric_limits<T>::min())) && (x > B(T(0)));
  if (!xsimd::any(subnormal)) return y;
  constexpr T scale = sizeof(T) == 4 ? T(0x1p24) : T(0x1p54);
  constexpr T log_scale = static_cast<T>((sizeof(T) == 4 ? 24 : 54) * 0.693147180559945309417L);
  return xsimd::select(subnormal, xsimd::log(x * B(scale)) - B(log_scale), y);
}

// xsimd's are off by 2 (float erf) to 1e5 (double erfc) units.
template <class T, class A> xsimd::batch<T, A> erf(const xsimd::batch<T, A>& x) noexcept {
  return each(x, [](T v) { return std::erf(v); });
}
template <class T, class A> xsimd::batch<T, A> erfc(const xsimd::batch<T, A>& x) noexcept {
  return each(x, [](T v) { return std::erfc(v); });
}
// xsimd's is off by 50 units and more, and pow(0, -1) is 0.
template <class T, class A> xsimd::batch<T, A> pow(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  alignas(64) T base[xsimd::batch<T, A>::size], exponent[xsimd::batch<T, A>::size];
  x.store_aligned(base);
  y.store_aligned(exponent);
  for (std::size_t i = 0; i < xsimd::batch<T, A>::size; ++i) base[i] = std::pow(base[i], exponent[i]);
  return xsimd::batch<T, A>::load_aligned(base);
}

}  // namespace xtape::simd
