#pragma once
/// \file detail/simd/exponential.hpp  exp, expm1, exp2, sinh and cosh of batches.
///
/// e^x = 2^n e^r with the whole number n nearest to x / log 2 and r = x - n log 2, in two parts as in fdlibm's e_exp.c;
/// e^r = 1 + r + r^2 P(r), and what 1 + r is rounded by is added to the small terms. Polynomials whose source is not
/// named take the function's values at Chebyshev's points, calculated with 113 bits.

#include <xtape/detail/simd/batch.hpp>

namespace xtape::simd {

/// (high + low) 2^power, with high between 1/2 and 2.
template <class B> struct Scaled { B high, low, power; };

/// (e^r - 1 - r - r^2 / 2) / r^3 in double, for |r| <= log(2) / 2.
template <class B> B exp_cubic(const B& r) noexcept {
  return polynomial(r, 0x1.1f731ea5352cap-29, 0x1.af4e196027428p-26, 0x1.27e4db57442fbp-22, 0x1.71de021a90822p-19,
                    0x1.a01a01a6dcaffp-16, 0x1.a01a01abef415p-13, 0x1.6c16c16c162ccp-10, 0x1.11111111100cep-7,
                    0x1.5555555555556p-5, 0x1.5555555555557p-3);
}
/// (e^r - 1 - r) / r^2 for |r| <= log(2) / 2.
template <class B> B exp_remainder(const B& r) noexcept {
  if constexpr (sizeof(typename B::value_type) == 8)
    return simd::fma(exp_cubic(r), r, B(0.5));
  else
    return polynomial(r, 0x1.a125285dbcbf1p-13, 0x1.6d4362097d81ap-10, 0x1.1110e0de7be2bp-7, 0x1.5554e8d9c7d96p-5,
                      0x1.5555555a7c16bp-3, 0x1.0000000b9847ep-1);
}

/// 2^n e^(r + rest), |r| <= log(2) / 2, |rest| of r's last place.
template <class B> Scaled<B> exp_reduced(const B& n, const B& r, const B& rest) noexcept {
  const Pair<B> sum = sum_of(B(typename B::value_type(1)), r);
  return {sum.high, sum.low + simd::fma(r * r, exp_remainder(r), rest), n};
}
/// x = n log 2 + r + rest with the whole number n nearest to x / log 2, |x| < 1000 (110 for float).
template <class B> struct Reduction { B n, r, rest; };
template <class B> Reduction<B> exp_reduction(const B& x) noexcept {
  using T = typename B::value_type;
  // The products with n are exact: the high part of log 2 ends in zeros.
  constexpr T high = sizeof(T) == 8 ? T(6.93147180369123816490e-01) : T(0x1.62ep-1);
  constexpr T low = sizeof(T) == 8 ? T(1.90821492927058770002e-10) : T(0x1.0bfbe8p-15);
  const B n = simd::nearest(x * B(T(1.44269504088896340736)));
  const B first = kept(simd::fma(-n, B(high), x));
  const B r = kept(simd::fma(-n, B(low), first));
  return {n, r, simd::fma(-n, B(low), first - r)};
}
/// e^x for such an x.
template <class B> Scaled<B> exp_parts(const B& x) noexcept {
  const auto [n, r, rest] = exp_reduction(x);
  return exp_reduced(n, r, rest);
}
/// e^(x.high + x.low).
template <class B> Scaled<B> exp_parts(const Pair<B>& x) noexcept {
  Scaled<B> e = exp_parts(x.high);
  e.low = simd::fma(x.low, e.high + e.low, e.low);
  return e;
}
template <class B> B value_of(const Scaled<B>& x) noexcept { return scaled(x.high + x.low, x.power); }
/// The same in double for -1080 < power, rounded once where it is subnormal, too, and not before to all digits.
template <class B> B rounded_once(const Scaled<B>& x) noexcept {
  const auto small = x.power < B(-1021.0);
  if (!xsimd::any(small)) [[likely]]
    return value_of(x);
  // A number added whose last place is the result's, and taken away.
  const Pair<B> digits = sum_of(x.high, x.low);
  const B shift = power_of_two(xsimd::select(small, B(-1022.0) - x.power, B(0.0)));
  const Pair<B> shifted = sum_of(shift, digits.high);
  const B subnormal = kept(shifted.high + (shifted.low + digits.low)) - shift;
  const auto coarse = small && ((digits.high <= B(1.0)) || (x.power < B(-1022.0)));
  return scaled(xsimd::select(coarse, subnormal, digits.high), x.power);
}

/// Beyond these bounds e^x is 0 and inf.
template <class B> B exp_domain(const B& x) noexcept {
  return sizeof(typename B::value_type) == 8 ? within(x, -746, 710) : within(x, -105, 89);
}

/// e^x with its exponent apart.
template <class B> Scaled<B> exp_scaled(const B& x) noexcept { return exp_parts(exp_domain(x)); }
template <class T, class A> xsimd::batch<T, A> exp(const xsimd::batch<T, A>& x) noexcept {
  return value_of(exp_scaled(x));
}

/// e^r for |r| <= log(2) / 2, and e^x for |x| < 700, in double off by 1e-13 of themselves at most: for float results.
template <class D> D exp_reduced_short(const D& r) noexcept {
  return simd::fma(
      r * r,
      polynomial(r, 0x1.72ad6ff3cc512p-19, 0x1.a136f968afca4p-16, 0x1.a019c3523dec3p-13, 0x1.6c166bbb7fd49p-10,
                 0x1.111111170f6e5p-7, 0x1.55555565d1ffbp-5, 0x1.5555555554f91p-3, 0x1.fffffffffe048p-2),
      r + D(1.0));
}
template <class D> D exp_short(const D& x) noexcept {
  const D n = simd::nearest(x * D(1.44269504088896340736));
  return exp_reduced_short(simd::fma(-n, D(0.693147180559945309417), x)) * power_of_two(n);
}

/// 2^n (1 + r) - 1 exactly, and the small terms added. All of it halved, lest 2^1024 overflow.
template <class T, class A> xsimd::batch<T, A> expm1(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  const Scaled<B> e = exp_parts(sizeof(T) == 8 ? within(x, -40, 710) : within(x, -20, 89));
  const B scale = power_of_two(e.power - B(T(1))), half(T(0.5));
  const B power = e.high * scale, y = kept(power - half);
  // The larger of the two comes first, as in sum_of.
  const B rest = xsimd::select(power > half, (power - y) - half, power - (y + half));
  const B twice = y + simd::fma(e.low, scale, rest);
  // The halves of the smallest numbers do not exist.
  return xsimd::select(xsimd::abs(x) < B(sizeof(T) == 8 ? T(0x1p-60) : T(0x1p-30)), x, twice + twice);
}

/// 2^x = 2^n e^((x - n) log 2).
template <class T, class A> xsimd::batch<T, A> exp2(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const D bounded = within(v, -155, 130), n = simd::nearest(bounded);
          return exp_reduced_short((bounded - n) * D(0.693147180559945309417)) * power_of_two(n);
        },
        x);
  } else {
    const B bounded = within(x, -1080, 1025), n = simd::nearest(bounded), fraction = bounded - n;
    const Pair<B> r = product_of(fraction, B(0x1.62e42fefa39efp-1));
    return value_of(exp_reduced(n, r.high, simd::fma(fraction, B(0x1.abc9e3b39803fp-56), r.low)));
  }
}

/// The hyperbolic parts of e^|x| = 2^n (c + s) for a float |x|, c = cosh r and s = sinh r, in double.
template <class D> struct Hyperbolic { D n, c, s; };
template <class D> Hyperbolic<D> hyperbolic_parts(const D& size) noexcept {
  const D x = within(size, 0, 110), n = simd::nearest(x * D(1.44269504088896340736));
  const D r = simd::fma(-n, D(0.693147180559945309417), x), w = r * r;
  return {n, polynomial(w, 1.0 / 40320, 1.0 / 720, 1.0 / 24, 0.5, 1.0),
          simd::fma(r * w, polynomial(w, 1.0 / 5040, 1.0 / 120, 1.0 / 6), r)};
}

/// Float in double; in double xsimd's.
template <class T, class A> xsimd::batch<T, A> cosh(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const auto [n, c, s] = hyperbolic_parts(xsimd::abs(v));
          return (c + s) * power_of_two(n - D(1.0)) + (c - s) * power_of_two(-n - D(1.0));
        },
        x);
  else
    return xsimd::cosh(x);
}
template <class T, class A> xsimd::batch<T, A> sinh(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const auto [n, c, s] = hyperbolic_parts(xsimd::abs(v));
          const D far = (c + s) * power_of_two(n - D(1.0)) - (c - s) * power_of_two(-n - D(1.0));
          return xsimd::select(n == D(0.0), s, far) | xsimd::bitofsign(v);
        },
        x);
  else
    return xsimd::sinh(x);
}

}  // namespace xtape::simd
