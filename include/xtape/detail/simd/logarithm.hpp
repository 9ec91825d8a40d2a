#pragma once
/// \file detail/simd/logarithm.hpp  Logarithms, cube root, powers, and the inverse hyperbolic functions that are made
/// of logarithms, of batches.

#include <xtape/detail/simd/exponential.hpp>

namespace xtape::simd {

/// A logarithm f of xsimd's, mended for subnormal numbers; log_2 is f(2).
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

/// x = m 2^n for a positive normal number x, with m between sqrt(1/2) and sqrt(2), n a whole number.
template <class B> struct Split { B m, n; };
template <class A> Split<xsimd::batch<double, A>> split(const xsimd::batch<double, A>& x) noexcept {
  using B = xsimd::batch<double, A>;
  using I = xsimd::batch<std::uint64_t, A>;
  constexpr std::uint64_t one = 0x3ff0000000000000, root_of_half = 0x3fe6a09e667f3bcd;
  // The exponent counts up at powers of two times sqrt(1/2).
  const I bits = xsimd::bitwise_cast<I>(x) + I(one - root_of_half);
  const I m = (bits & I(std::uint64_t{0x000fffffffffffff})) + I(root_of_half);
  // The exponent as the low bits of 2^52 + exponent.
  const B biased = xsimd::bitwise_cast<B>((bits >> 52) | I(std::uint64_t{0x4330000000000000}));
  return {xsimd::bitwise_cast<B>(m), biased - B(0x1p52 + 1023)};
}

/// log x for a positive normal number x, off by 1e-13 of itself at most: for float results. With s = (m - 1) / (m + 1)
/// it is n log 2 + 2 artanh s.
template <class D> D log_short(const D& x) noexcept {
  const auto [m, n] = split(x);
  const D s = (m - D(1.0)) / (m + D(1.0)), w = s * s;
  const D q = polynomial(w, 0x1.9194764012089p-3, 0x1.c620d3d5e3c79p-3, 0x1.2494386cc6395p-2, 0x1.9999962b4ece1p-2,
                         0x1.5555555671929p-1, 0x1.fffffffffff12p+0);
  return simd::fma(n, D(0.693147180559945309417), s * q);
}

/// log(x + sqrt(x^2 + 1)), near 0 Taylor's polynomial.
template <class T, class A> xsimd::batch<T, A> asinh(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const D size = xsimd::abs(v), w = size * size;
          const D near = simd::fma(size * w, polynomial(w, 3.0 / 40, -1.0 / 6), size);
          const D far = log_short(size + xsimd::sqrt(w + D(1.0)));
          return xsimd::select(size < D(0x1p-9), near, xsimd::select(size <= D(0x1p128), far, size)) |
                 xsimd::bitofsign(v);
        },
        x);
  else
    return xsimd::asinh(x);
}

/// log(x + sqrt(x^2 - 1)); NaN for x < 1.
template <class T, class A> xsimd::batch<T, A> acosh(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  // xsimd 8.1 has the square, or a number that has overflowed, of what is far below 1.
  return xsimd::select(x < B(T(1)), B(std::numeric_limits<T>::quiet_NaN()), xsimd::acosh(x));
}

}  // namespace xtape::simd
