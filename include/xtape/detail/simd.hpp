#pragma once
/// \file detail/simd.hpp  Functions of xsimd batches, with xsimd's where they are right to about one unit
/// in the last place over the whole range, and our own where xsimd 8.1 is not.

#include <xtape/detail/simd/error_function.hpp>
#include <xtape/detail/simd/exponential.hpp>
#include <xtape/detail/simd/inverse_error_function.hpp>
#include <xtape/detail/simd/power.hpp>
#include <xtape/detail/simd/trigonometry.hpp>

namespace xtape::simd {

/// sqrt(large^2 + small^2) in double, where no square leaves the range: the root h of the sum of squares s, and
/// (s - h^2) / (2 h) for what they are rounded by.
template <class B> B hypot_near(const B& large, const B& small) noexcept {
  const Pair<B> a = product_of(large, large), b = product_of(small, small), s = plus(a, b);
  const B h = xsimd::sqrt(s.high);
  const Pair<B> square = product_of(h, h);
  return h + (((s.high - square.high) - square.low) + s.low) / (h + h);
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
  } else if constexpr (!fused) {
    return each(x, y, [](T v, T w) { return std::hypot(v, w); });
  } else {
    const B a = xsimd::abs(x), b = xsimd::abs(y), infinity(std::numeric_limits<T>::infinity());
    const auto first = a > b;
    const B large = xsimd::select(first, a, b), small = xsimd::select(first, b, a);
    const auto near = (large < B(0x1p500)) && (large > B(0x1p-400));
    if (xsimd::all(near)) [[likely]]
      return hypot_near(large, small);
    const auto big = large >= B(0x1p500);
    const B down = xsimd::select(near, B(1.0), xsimd::select(big, B(0x1p-600), B(0x1p600)));
    const B up = xsimd::select(near, B(1.0), xsimd::select(big, B(0x1p600), B(0x1p-600)));
    const B size = xsimd::select(large == B(0.0), small, hypot_near(large * down, small * down) * up);
    return xsimd::select((a == infinity) || (b == infinity), infinity, size);
  }
}

}  // namespace xtape::simd
