#pragma once
/// \file detail/simd.hpp  Functions of xsimd batches, with xsimd's where they are right to about one unit
/// in the last place over the whole range, and mended where xsimd 8.1 is not.

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

template <class T, class A>
[[gnu::noinline, gnu::cold]] xsimd::batch<T, A> exp_by_root(const xsimd::batch<T, A>& x) noexcept {
  const xsimd::batch<T, A> root = xsimd::exp(x * xsimd::batch<T, A>(T(0.5)));
  return root * root;
}
template <class T, class A> xsimd::batch<T, A> exp(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  const B y = xsimd::exp(x);
  // xsimd gives 0 where the result is subnormal, and inf a little before it overflows.
  const auto far = xsimd::abs(x) > B(sizeof(T) == 4 ? T(87) : T(708));
  if (!xsimd::any(far)) [[likely]]
    return y;
  return xsimd::select(far, exp_by_root(x), y);
}

template <class T, class A> xsimd::batch<T, A> expm1(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  const B y = xsimd::expm1(x);
  const auto large = x > B(sizeof(T) == 4 ? T(80) : T(700));
  return xsimd::any(large) ? xsimd::select(large, simd::exp(x), y) : y;
}

// Near multiples of pi/2 beyond pi/4 the argument that xsimd reduces has lost digits that a result near 0 needs.
template <class T, class A> auto lost_digits(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  using B = xsimd::batch<T, A>;
  return (xsimd::abs(y) < B(sizeof(T) == 4 ? T(1e-4) : T(1e-10))) && (xsimd::abs(x) > B(T(1)));
}
template <class T, class A>
[[gnu::noinline, gnu::cold]] xsimd::batch<T, A> sin_each(const xsimd::batch<T, A>& x) noexcept {
  return each(x, [](T v) { return std::sin(v); });
}
template <class T, class A>
[[gnu::noinline, gnu::cold]] xsimd::batch<T, A> cos_each(const xsimd::batch<T, A>& x) noexcept {
  return each(x, [](T v) { return std::cos(v); });
}
template <class T, class A> xsimd::batch<T, A> sin(const xsimd::batch<T, A>& x) noexcept {
  const xsimd::batch<T, A> y = xsimd::sin(x);
  const auto lost = lost_digits(x, y);
  if (!xsimd::any(lost)) [[likely]]
    return y;
  return xsimd::select(lost, sin_each(x), y);
}
template <class T, class A> xsimd::batch<T, A> cos(const xsimd::batch<T, A>& x) noexcept {
  const xsimd::batch<T, A> y = xsimd::cos(x);
  const auto lost = lost_digits(x, y);
  if (!xsimd::any(lost)) [[likely]]
    return y;
  return xsimd::select(lost, cos_each(x), y);
}

/// A logarithm f, mended for subnormal numbers; log_2 is f(2).
template <class T, class A, class F>
xsimd::batch<T, A> logarithm(const xsimd::batch<T, A>& x, const F& f, long double log_2) noexcept {
  using B = xsimd::batch<T, A>;
  const B y = f(x);
  const auto subnormal = (x < B(std::numeric_limits<T>::min())) && (x > B(T(0)));
  if (!xsimd::any(subnormal)) return y;
  constexpr T scale = sizeof(T) == 4 ? T(0x1p24) : T(0x1p54);
  const T log_scale = static_cast<T>((sizeof(T) == 4 ? 24 : 54) * log_2);
  return xsimd::select(subnormal, f(x * B(scale)) - B(log_scale), y);
}
template <class T, class A> xsimd::batch<T, A> log(const xsimd::batch<T, A>& x) noexcept {
  return logarithm(
      x, [](const auto& v) { return xsimd::log(v); }, 0.693147180559945309417L);
}
template <class T, class A> xsimd::batch<T, A> log2(const xsimd::batch<T, A>& x) noexcept {
  return logarithm(
      x, [](const auto& v) { return xsimd::log2(v); }, 1);
}
template <class T, class A> xsimd::batch<T, A> log10(const xsimd::batch<T, A>& x) noexcept {
  return logarithm(
      x, [](const auto& v) { return xsimd::log10(v); }, 0.301029995663981195214L);
}

template <class T, class A> xsimd::batch<T, A> cbrt(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  const B y = xsimd::cbrt(x);
  const auto subnormal = (xsimd::abs(x) < B(std::numeric_limits<T>::min())) && (x != B(T(0)));
  if (!xsimd::any(subnormal)) return y;
  return xsimd::select(subnormal, xsimd::cbrt(x * B(T(0x1p54))) * B(T(0x1p-18)), y);
}

/// A function of double batches on a float batch: rounded from double, right to half a unit.
template <class A, class F> xsimd::batch<float, A> in_double(const xsimd::batch<float, A>& x, const F& f) noexcept {
  using D = xsimd::batch<double, A>;
  constexpr std::size_t width = xsimd::batch<float, A>::size;
  alignas(64) float values[width];
  alignas(64) double wide[width];
  x.store_aligned(values);
  for (std::size_t i = 0; i < width; ++i) wide[i] = static_cast<double>(values[i]);
  for (std::size_t i = 0; i < width; i += D::size) f(D::load_aligned(wide + i)).store_aligned(wide + i);
  for (std::size_t i = 0; i < width; ++i) values[i] = static_cast<float>(wide[i]);
  return xsimd::batch<float, A>::load_aligned(values);
}

// In double xsimd's is off by 3 units.
template <class T, class A> xsimd::batch<T, A> tan(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(x, [](const auto& v) { return xsimd::tan(v); });
  else
    return each(x, [](T v) { return std::tan(v); });
}
template <class T, class A> xsimd::batch<T, A> asin(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(x, [](const auto& v) { return xsimd::asin(v); });
  else
    return xsimd::asin(x);
}
// For |x| = tan(k pi/4 + s) it is k pi/4 + atan t, t = tan s = n / d, |t| < tan(pi/8). What t, pi/4 and their sum are
// rounded by is added to atan(t) - t, which is Cephes' quotient of polynomials (atan.c).
template <class T, class A> xsimd::batch<T, A> atan(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4) {
    return in_double(x, [](const auto& v) { return xsimd::atan(v); });
  } else {
#if !defined(__FMA__) && !defined(__ARM_FEATURE_FMA)
    // xsimd's fma is a product and a sum here, and what a product is rounded by is not to be had.
    return each(x, [](T v) { return std::atan(v); });
#else
    using B = xsimd::batch<T, A>;
    const B size = xsimd::abs(x), zero(0.0), one(1.0);
    const auto some = size > B(0.41421356237309503), far = size > B(2.4142135623730950);
    const B below = one - size, above = one + size;
    const B n = xsimd::select(far, -one, xsimd::select(some, -below, size));
    const B d = xsimd::select(far, size, xsimd::select(some, above, one));
    const B n_rest = (one - below) - size, d_rest = size - (above - one);
    const B inverse = one / d, t = n * inverse;
    const B whole = simd::fma(-t, d, n);
    const B rest = xsimd::select(far, whole, xsimd::select(some, whole - (n_rest + t * d_rest), zero)) * inverse;
    const B angle = xsimd::select(far, B(0x1.921fb54442d18p+0), xsimd::select(some, B(0x1.921fb54442d18p-1), zero));
    const B low = angle * B(0x1.1a62633145c07p-54 / 0x1.921fb54442d18p+0);
    const B z = t * t;
    const B small = xsimd::select(size > B(1e17), zero, rest * (one - z)) + low;
    B p(-8.750608600031904122785e-1), q = z + B(2.485846490142306297962e1);
    for (const double c : {-1.615753718733365076637e1, -7.500855792314704667340e1, -1.228866684490136173410e2,
                           -6.485021904942025371773e1})
      p = simd::fma(p, z, B(c));
    for (const double c :
         {1.650270098316988542046e2, 4.328810604912902668951e2, 4.853903996359136964868e2, 1.945506571482613964425e2})
      q = simd::fma(q, z, B(c));
    const B sum = angle + t, sum_rest = t - (sum - angle);
    return (sum + (sum_rest + (t * z * p / q + small))) | xsimd::bitofsign(x);
#endif
  }
}
template <class T, class A> xsimd::batch<T, A> asinh(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(x, [](const auto& v) { return xsimd::asinh(v); });
  else
    return xsimd::asinh(x);
}
// In double xsimd's is off by 1.3 units, and wrong where the result is subnormal or about to overflow.
template <class T, class A> xsimd::batch<T, A> exp2(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(x, [](const auto& v) { return xsimd::exp2(v); });
  else
    return each(x, [](T v) { return std::exp2(v); });
}
// xsimd's double ones are off by 70 (erf) to 5e7 (erfc) units, which float does not see.
template <class T, class A> xsimd::batch<T, A> erf(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(x, [](const auto& v) { return xsimd::erf(v); });
  else
    return each(x, [](T v) { return std::erf(v); });
}
template <class T, class A> xsimd::batch<T, A> erfc(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(x, [](const auto& v) { return xsimd::erfc(v); });
  else
    return each(x, [](T v) { return std::erfc(v); });
}
// xsimd's is off by 50 units and more, and pow(0, -1) is 0.
template <class T, class A> xsimd::batch<T, A> pow(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  return each(x, y, [](T v, T w) { return std::pow(v, w); });
}
// xsimd's hypot overflows; its atan2 is made of its atan.
template <class T, class A>
xsimd::batch<T, A> atan2(const xsimd::batch<T, A>& y, const xsimd::batch<T, A>& x) noexcept {
  return each(y, x, [](T v, T w) { return std::atan2(v, w); });
}
template <class T, class A>
xsimd::batch<T, A> hypot(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  return each(x, y, [](T v, T w) { return std::hypot(v, w); });
}

}  // namespace xtape::simd
