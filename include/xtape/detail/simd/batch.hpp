#pragma once
/// \file detail/simd/batch.hpp  What functions of xsimd batches are built of: parts of batches, products and sums with
/// what they are rounded by, powers of two, polynomials, float batches in double.
///
/// A term of error such as (a + b) - a is 0 to a compiler that may calculate as with real numbers (-ffast-math).
/// `kept` hides from it how a number came about.

#include <xsimd/xsimd.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace xtape::simd {

/// As many numbers as fit a vector register of the machine compiled for.
template <class T> using Batch = xsimd::batch<T>;

/// The first n numbers at p, n less than a batch, and copies of the last of them in the rest.
template <class T> Batch<T> load_some(const T* p, std::size_t n) noexcept {
#if XSIMD_WITH_AVX512F
  // A masked load touches nothing beyond them.
  const auto first = static_cast<std::uint16_t>((1U << n) - 1);
  if constexpr (sizeof(T) == 4)
    return _mm512_mask_loadu_ps(_mm512_set1_ps(p[n - 1]), first, p);
  else
    return _mm512_mask_loadu_pd(_mm512_set1_pd(p[n - 1]), static_cast<std::uint8_t>(first), p);
#else
  alignas(64) T values[Batch<T>::size];
  for (std::size_t i = 0; i < Batch<T>::size; ++i) values[i] = p[i < n ? i : n - 1];
  return Batch<T>::load_aligned(values);
#endif
}
/// Writes the first n numbers of x to p, n less than a batch.
template <class T> void store_some(const Batch<T>& x, T* p, std::size_t n) noexcept {
#if XSIMD_WITH_AVX512F
  const auto first = static_cast<std::uint16_t>((1U << n) - 1);
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, first, x);
  else
    _mm512_mask_storeu_pd(p, static_cast<std::uint8_t>(first), x);
#else
  alignas(64) T values[Batch<T>::size];
  x.store_aligned(values);
  for (std::size_t i = 0; i < n; ++i) p[i] = values[i];
#endif
}

/// x y + z, rounded once where the machine can. xsimd 8.1's is a product and a sum with AVX-512.
template <class T, class A>
xsimd::batch<T, A> fma(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y, const xsimd::batch<T, A>& z) noexcept {
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(x) == 64 && sizeof(T) == 4) return _mm512_fmadd_ps(x, y, z);
  if constexpr (sizeof(x) == 64 && sizeof(T) == 8) return _mm512_fmadd_pd(x, y, z);
#endif
  return xsimd::fma(x, y, z);
}
/// True if fma() is rounded once.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
inline constexpr bool fused = true;
#else
inline constexpr bool fused = false;
#endif

/// Applies a scalar function to each number: where only the C library is accurate.
template <class T, class A, class F> xsimd::batch<T, A> each(const xsimd::batch<T, A>& x, F&& f) noexcept {
  alignas(64) T values[xsimd::batch<T, A>::size];
  x.store_aligned(values);
  for (T& value : values) value = f(value);
  return xsimd::batch<T, A>::load_aligned(values);
}
template <class T, class A, class F>
xsimd::batch<T, A> each(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y, F&& f) noexcept {
  constexpr std::size_t width = xsimd::batch<T, A>::size;
  alignas(64) T values[width], others[width];
  x.store_aligned(values);
  y.store_aligned(others);
  for (std::size_t i = 0; i < width; ++i) values[i] = f(values[i], others[i]);
  return xsimd::batch<T, A>::load_aligned(values);
}

/// x, of which the compiler does not know how it came about.
template <class T, class A> xsimd::batch<T, A> kept(xsimd::batch<T, A> x) noexcept {
#if defined(__GNUC__) && defined(__x86_64__)
  __asm__("" : "+v"(x.data));
#endif
  return x;
}

/// The sum of a high part, and a low one of less than its last place.
template <class B> struct Pair { B high, low; };

/// a + b without error, for |a| >= |b| or a = 0.
template <class T, class A>
Pair<xsimd::batch<T, A>> sum_of(const xsimd::batch<T, A>& a, const xsimd::batch<T, A>& b) noexcept {
  const auto sum = kept(a + b);
  return {sum, b - (sum - a)};
}
/// a b without error, if nothing under- or overflows (Dekker 1971 where the machine has no fma).
template <class T, class A>
Pair<xsimd::batch<T, A>> product_of(const xsimd::batch<T, A>& a, const xsimd::batch<T, A>& b) noexcept {
  using B = xsimd::batch<T, A>;
  const B product = kept(a * b);
  if constexpr (fused) {
    return {product, simd::fma(a, b, -product)};
  } else {
    const B splitter(sizeof(T) == 4 ? T(0x1p12 + 1) : T(0x1p27 + 1));
    const B a_scaled = kept(a * splitter), b_scaled = kept(b * splitter);
    const B a_high = kept(a_scaled - kept(a_scaled - a)), b_high = kept(b_scaled - kept(b_scaled - b));
    const B a_low = kept(a - a_high), b_low = kept(b - b_high);
    return {product, a_low * b_low - (kept(kept(kept(product - a_high * b_high) - a_low * b_high) - a_high * b_low))};
  }
}

/// The product and, for |a| >= |b| or a = 0, the sum of two such numbers, off by some units of the low part's last
/// place.
template <class P, class B> Pair<B> times(const P& a, const Pair<B>& b) noexcept {
  const Pair<B> high = product_of(a.high, b.high);
  return {high.high, simd::fma(a.high, b.low, simd::fma(a.low, b.high, high.low))};
}
template <class B> Pair<B> plus(const Pair<B>& a, const Pair<B>& b) noexcept {
  const Pair<B> sum = sum_of(a.high, b.high);
  return {sum.high, sum.low + (a.low + b.low)};
}

/// c_0 x^n + ... + c_n, by Horner's rule.
template <class B, class... C> B polynomial(const B& x, double first, C... more) noexcept {
  using T = typename B::value_type;
  B sum(static_cast<T>(first));
  ((sum = simd::fma(sum, x, B(static_cast<T>(more)))), ...);
  return sum;
}

/// x, and the nearer bound beyond them. NaN stays NaN.
template <class B> B within(const B& x, double low, double high) noexcept {
  using T = typename B::value_type;
  return xsimd::max(B(static_cast<T>(low)), xsimd::min(B(static_cast<T>(high)), x));
}

/// The whole number nearest to x, for |x| < 2^31 (2^23 for float).
template <class T, class A> xsimd::batch<T, A> nearest(const xsimd::batch<T, A>& x) noexcept {
#if XSIMD_WITH_SSE2 && !XSIMD_WITH_SSE4_1
  // xsimd 8.1 adds and subtracts 2^52.
  if constexpr (sizeof(T) == 8)
    return _mm_cvtepi32_pd(_mm_cvtpd_epi32(x));
  else
    return _mm_cvtepi32_ps(_mm_cvtps_epi32(x));
#else
  return xsimd::nearbyint(x);
#endif
}

/// 2^n for a whole number n whose power is a normal number.
template <class T, class A> xsimd::batch<T, A> power_of_two(const xsimd::batch<T, A>& n) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 8) {
    // The low bits of the sum are n and the exponent's bias.
    const auto bits = xsimd::bitwise_cast<xsimd::batch<std::int64_t, A>>(n + B(0x1.8p52 + 1023));
    return xsimd::bitwise_cast<B>(bits << 52);
  } else {
    const auto bits = xsimd::bitwise_cast<xsimd::batch<std::int32_t, A>>(n + B(0x1.8p23F + 127));
    return xsimd::bitwise_cast<B>(bits << 23);
  }
}
/// x 2^n for a whole number n, |n| < 2000 (250 for float), rounded once where it is subnormal; inf where it overflows.
template <class T, class A>
xsimd::batch<T, A> scaled(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& n) noexcept {
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(x) == 64 && sizeof(T) == 4) return _mm512_scalef_ps(x, n);
  if constexpr (sizeof(x) == 64 && sizeof(T) == 8) return _mm512_scalef_pd(x, n);
#endif
  const auto half = simd::nearest(n * xsimd::batch<T, A>(T(0.5)));
  return kept(x * power_of_two(half)) * power_of_two(n - half);
}
/// The same where 2^n and the result are normal numbers.
template <class T, class A>
xsimd::batch<T, A> scaled_normal(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& n) noexcept {
#if XSIMD_WITH_AVX512F
  return scaled(x, n);
#else
  return x * power_of_two(n);
#endif
}

/// A function of double batches on float batches, rounded once.
template <class A, class F, class... X>
xsimd::batch<float, A> in_double(const F& f, const xsimd::batch<float, A>& x, const X&... more) noexcept {
  using D = xsimd::batch<double, A>;
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(x) == 64) {
    const auto low = [](__m512 v) { return D(_mm512_cvtps_pd(_mm512_castps512_ps256(v))); };
    const auto high = [](__m512 v) {
      return D(_mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1))));
    };
    const __m512d below = _mm512_castps_pd(_mm512_castps256_ps512(_mm512_cvtpd_ps(f(low(x), low(more)...))));
    return _mm512_castpd_ps(_mm512_insertf64x4(below, _mm256_castps_pd(_mm512_cvtpd_ps(f(high(x), high(more)...))), 1));
  }
#endif
#if XSIMD_WITH_AVX
  if constexpr (sizeof(x) == 32) {
    const auto low = [](__m256 v) { return D(_mm256_cvtps_pd(_mm256_castps256_ps128(v))); };
    const auto high = [](__m256 v) { return D(_mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))); };
    return _mm256_set_m128(_mm256_cvtpd_ps(f(high(x), high(more)...)), _mm256_cvtpd_ps(f(low(x), low(more)...)));
  }
#endif
#if XSIMD_WITH_SSE2
  if constexpr (sizeof(x) == 16) {
    const auto low = [](__m128 v) { return D(_mm_cvtps_pd(v)); };
    const auto high = [](__m128 v) { return D(_mm_cvtps_pd(_mm_movehl_ps(v, v))); };
    return _mm_movelh_ps(_mm_cvtpd_ps(f(low(x), low(more)...)), _mm_cvtpd_ps(f(high(x), high(more)...)));
  }
#endif
  constexpr std::size_t width = xsimd::batch<float, A>::size;
  const auto half = [](const xsimd::batch<float, A>& v, std::size_t first) {
    alignas(64) float values[width];
    alignas(64) double wide[D::size];
    v.store_aligned(values);
    for (std::size_t i = 0; i < D::size; ++i) wide[i] = static_cast<double>(values[first + i]);
    return D::load_aligned(wide);
  };
  alignas(64) double wide[width];
  for (std::size_t i = 0; i < width; i += D::size) f(half(x, i), half(more, i)...).store_aligned(wide + i);
  alignas(64) float values[width];
  for (std::size_t i = 0; i < width; ++i) values[i] = static_cast<float>(wide[i]);
  return xsimd::batch<float, A>::load_aligned(values);
}

}  // namespace xtape::simd
