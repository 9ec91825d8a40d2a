#pragma once
/// \file detail/simd/trigonometry.hpp  sin, cos, tan and their inverses of batches; in float calculated in double.
///
/// x = n pi/2 + r, with pi/2 in three parts whose products with n are exact, as in fdlibm's e_rem_pio2.c. Beyond
/// 2^20, and where r is so near 0 that the parts do not suffice, the C library calculates. The polynomials in double
/// are those of fdlibm's k_sin.c and k_cos.c.

#include <xtape/detail/simd/batch.hpp>

namespace xtape::simd {

/// x = n pi/2 + r; `lost` where the C library must calculate.
template <class B> struct Quadrant {
  Pair<B> r;
  B n;
  typename B::batch_bool_type lost;
};
template <class B> Quadrant<B> quadrant(const B& x) noexcept {
  const B n = simd::nearest(within(x, -0x1p21, 0x1p21) * B(0.63661977236758134308));
  const B first = kept(simd::fma(-n, B(1.57079632673412561417e+00), x));
  const B second = n * B(6.07710050630396597660e-11), third = n * B(2.02226624879595063154e-21);
  const B next = kept(first - second), r = kept(next - third);
  const B low = ((next - r) - third) + (kept(first - next) - second);
  // Infinities, too.
  const auto lost = !(xsimd::abs(x) < B(0x1p20)) || ((xsimd::abs(r) < B(0x1p-40)) && (n != B(0.0)));
  return {{r, low}, n, lost};
}
/// The same for a float x, |x| < 2^20, in double: no float is that near to a multiple of pi/2.
template <class D> struct ShortQuadrant { D r, n; };
template <class D> ShortQuadrant<D> quadrant_short(const D& x) noexcept {
  const D n = simd::nearest(within(x, -0x1p21, 0x1p21) * D(0.63661977236758134308));
  const D first = kept(simd::fma(-n, D(1.57079632673412561417e+00), x));
  const D next = kept(simd::fma(-n, D(6.07710050630396597660e-11), first));
  return {simd::fma(-n, D(2.02226624879595063154e-21), next), n};
}
/// True where n is odd, for whole numbers n below 2^22.
template <class B> auto is_odd(const B& n) noexcept {
  const B half = n * B(0.5);
  return simd::nearest(half) != half;
}

/// sin and cos of r as pairs, |r| <= pi/4.
template <class B> struct SineCosine { Pair<B> sine, cosine; };
template <class B> SineCosine<B> sine_cosine(const Pair<B>& r) noexcept {
  const B z = r.high * r.high, one(1.0), half(0.5);
  const B sine = polynomial(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
                            -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01);
  const B cosine = polynomial(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
                              2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02);
  // sin(r + e) = sin r + e cos r, cos(r + e) = cos r - e r.
  const B half_square = half * z, w = kept(one - half_square);
  const B square_low = product_of(r.high, r.high).low;
  return {{r.high, simd::fma(r.high * z, sine, r.low * w)},
          {w, ((one - w) - half_square) + (z * z * cosine - simd::fma(half, square_low, r.high * r.low))}};
}
/// The same for float results, by Taylor's polynomials.
template <class D> struct ShortSineCosine { D sine, cosine; };
template <class D> ShortSineCosine<D> sine_cosine_short(const D& r) noexcept {
  const D z = r * r;
  return {
      simd::fma(r * z, polynomial(z, 1 / 6227020800.0, -1 / 39916800.0, 1 / 362880.0, -1 / 5040.0, 1 / 120.0, -1 / 6.0),
                r),
      polynomial(z, 1 / 479001600.0, -1 / 3628800.0, 1 / 40320.0, -1 / 720.0, 1 / 24.0, -0.5, 1.0)};
}

template <class T, class A>
[[gnu::noinline, gnu::cold]] xsimd::batch<T, A> sin_each(const xsimd::batch<T, A>& x) noexcept {
  return each(x, [](double v) { return static_cast<T>(std::sin(v)); });
}
template <class T, class A>
[[gnu::noinline, gnu::cold]] xsimd::batch<T, A> cos_each(const xsimd::batch<T, A>& x) noexcept {
  return each(x, [](double v) { return static_cast<T>(std::cos(v)); });
}
template <class T, class A>
[[gnu::noinline, gnu::cold]] xsimd::batch<T, A> tan_each(const xsimd::batch<T, A>& x) noexcept {
  return each(x, [](double v) { return static_cast<T>(std::tan(v)); });
}

// Near multiples of pi/2 beyond pi/4 the argument that xsimd reduces in double has lost digits that a result near 0
// needs.
template <class T, class A> auto lost_digits(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  using B = xsimd::batch<T, A>;
  return (xsimd::abs(y) < B(T(1e-10))) && (xsimd::abs(x) > B(T(1)));
}
/// sin(x + shift pi), shift 0 or 1/2, of a float x, |x| < 2^20: with x + shift pi = n pi + r it is +-sin r, |r| <=
/// pi/2.
template <class T, class A> xsimd::batch<T, A> sine_short(const xsimd::batch<T, A>& x, double shift) noexcept {
  using D = xsimd::batch<T, A>;
  using I = xsimd::batch<std::int64_t, A>;
  // The low bits of the sum are n.
  const D rounded = kept(simd::fma(x, D(0.31830988618379067154), D(shift)) + D(0x1.8p52));
  const D n = (rounded - D(0x1.8p52)) - D(shift);
  D r;
  if constexpr (fused) {
    r = simd::fma(-n, D(0x1.1a62633145c07p-53), simd::fma(-n, D(0x1.921fb54442d18p+1), x));
  } else {
    const D first = kept(x - n * D(2 * 1.57079632673412561417e+00));
    r = kept(first - n * D(2 * 6.07710050630396597660e-11)) - n * D(2 * 2.02226624879595063154e-21);
  }
  const D z = r * r;
  const D sine = r * polynomial(z, -0x1.9a64e37bdc94fp-26, 0x1.716fe3c906abep-19, -0x1.a017ce4bdc2a1p-13,
                                0x1.11110bfaf8fe8p-7, -0x1.555555441e92p-3, 0x1.ffffffffda36dp-1);
  return sine ^ xsimd::bitwise_cast<D>(xsimd::bitwise_cast<I>(rounded) << 63);
}

template <class T, class A> xsimd::batch<T, A> sin(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    const auto far = !(xsimd::abs(x) < B(T(0x1p20)));
    if (xsimd::any(far)) [[unlikely]]
      return sin_each(x);
    return in_double([](const auto& v) { return sine_short(v, 0); }, x);
  } else {
    const B y = xsimd::sin(x);
    const auto lost = lost_digits(x, y);
    if (!xsimd::any(lost)) [[likely]]
      return y;
    return xsimd::select(lost, sin_each(x), y);
  }
}
template <class T, class A> xsimd::batch<T, A> cos(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    const auto far = !(xsimd::abs(x) < B(T(0x1p20)));
    if (xsimd::any(far)) [[unlikely]]
      return cos_each(x);
    return in_double([](const auto& v) { return sine_short(v, 0.5); }, x);
  } else {
    const B y = xsimd::cos(x);
    const auto lost = lost_digits(x, y);
    if (!xsimd::any(lost)) [[likely]]
      return y;
    return xsimd::select(lost, cos_each(x), y);
  }
}

/// sin / cos, with what the quotient is rounded by; for odd n - cos / sin.
template <class T, class A> xsimd::batch<T, A> tan(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    const auto far = !(xsimd::abs(x) < B(T(0x1p20)));
    if (xsimd::any(far)) [[unlikely]]
      return tan_each(x);
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const auto [r, n] = quadrant_short(v);
          const auto [sine, cosine] = sine_cosine_short(r);
          const auto odd = is_odd(n);
          return xsimd::select(v == D(0.0), v, xsimd::select(odd, -cosine, sine) / xsimd::select(odd, sine, cosine));
        },
        x);
  } else if constexpr (!fused) {
    return tan_each(x);
  } else {
    const auto [r, n, lost] = quadrant(x);
    const auto odd = is_odd(n);
    const auto [sine, cosine] = sine_cosine(r);
    const Pair<B> s = sum_of(sine.high, sine.low), c = sum_of(cosine.high, cosine.low);
    const B above = xsimd::select(odd, -c.high, s.high), above_low = xsimd::select(odd, -c.low, s.low);
    const B below = xsimd::select(odd, s.high, c.high), below_low = xsimd::select(odd, s.low, c.low);
    const B quotient = above / below;
    const Pair<B> back = product_of(quotient, below);
    const B rest = (((above - back.high) - back.low) + (above_low - quotient * below_low)) / below;
    const B y = xsimd::select(xsimd::abs(x) < B(0x1p-28), x, quotient + rest);
    if (!xsimd::any(lost)) [[likely]]
      return y;
    return xsimd::select(lost, tan_each(x), y);
  }
}

template <class T, class A> xsimd::batch<T, A> asin(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double([](const auto& v) { return xsimd::asin(v); }, x);
  else
    return xsimd::asin(x);
}

/// atan(t) / t - 1 of z = t^2, |t| < tan(pi/8): Cephes' quotient of polynomials (atan.c).
template <class B> B atan_remainder(const B& z) noexcept {
  const B p = polynomial(z, -8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1,
                         -1.228866684490136173410e2, -6.485021904942025371773e1);
  const B q = polynomial(z, 1.0, 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2,
                         4.853903996359136964868e2, 1.945506571482613964425e2);
  return z * p / q;
}
// For |x| = tan(k pi/4 + s) it is k pi/4 + atan t, t = tan s = n / d, |t| < tan(pi/8). What t, pi/4 and their sum are
// rounded by is added to atan(t) - t.
template <class T, class A> xsimd::batch<T, A> atan(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4) {
    return in_double([](const auto& v) { return xsimd::atan(v); }, x);
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
    const B sum = angle + t, sum_rest = t - (sum - angle);
    return (sum + (sum_rest + (t * atan_remainder(z) + small))) | xsimd::bitofsign(x);
#endif
  }
}

/// atan2 of (y, x) is k pi/4 +- atan t: the smaller of |x|, |y| by the larger is t, or (1 + t) / (1 - t).
template <class B> struct Octant {
  B large, small, k;
  typename B::batch_bool_type diagonal, turned;
};
template <class B> Octant<B> octant(const B& y, const B& x) noexcept {
  const B a = xsimd::abs(y), b = xsimd::abs(x), one(1.0);
  const auto steep = a > b, left = xsimd::copysign(one, x) < B(0.0);
  const B large = xsimd::select(steep, a, b), small = xsimd::select(steep, b, a);
  const auto diagonal = small > large * B(0.41421356237309503);
  const B eighth = xsimd::select(diagonal, one, B(0.0)), right = xsimd::select(steep, B(2.0) - eighth, eighth);
  // xsimd 8.1's != and ^ of masks are wrong with SSE2 and AVX-512.
  const auto turned = (steep && !left) || (left && !steep);
  return {large, small, xsimd::select(left, B(4.0) - right, right), diagonal, turned};
}

template <class T, class A>
[[gnu::noinline, gnu::cold]] xsimd::batch<T, A> atan2_each(const xsimd::batch<T, A>& y,
                                                           const xsimd::batch<T, A>& x) noexcept {
  return each(y, x, [](T v, T w) { return std::atan2(v, w); });
}

/// atan(t) / t of z = t^2, |t| < tan(pi/8), for float results.
template <class D> D atan_short(const D& z) noexcept {
  return polynomial(z, 0x1.f65f8553f65cep-6, -0x1.e13d49ac61ae6p-5, 0x1.35cf2d4e9ecd4p-4, -0x1.73d9d70c6caf2p-4,
                    0x1.c714d4c0f8759p-4, -0x1.2492291da6c52p-3, 0x1.99999911d751cp-3, -0x1.55555554e6112p-2,
                    0x1.fffffffffff0fp-1);
}

/// As atan of y / x, in the half plane of x. Where quotients might leave the range, and at the origin, the C library's.
template <class T, class A>
xsimd::batch<T, A> atan2(const xsimd::batch<T, A>& y, const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4) {
    return in_double(
        [](const auto& v, const auto& w) {
          using D = std::decay_t<decltype(v)>;
          // Beyond all floats, but with finite quotients.
          const D far(1e100), inf(std::numeric_limits<double>::infinity());
          const auto finite = [&](const D& u) {
            return xsimd::select(xsimd::abs(u) == inf, xsimd::copysign(far, u), u);
          };
          const auto o = octant(finite(v), finite(w));
          const D d = xsimd::select(o.diagonal, o.large + o.small, o.large);
          const D n = xsimd::select(o.diagonal, o.small - o.large, o.small);
          const D t = n / xsimd::select(d == D(0.0), D(1.0), d), angle = t * atan_short(t * t);
          return simd::fma(o.k, D(0x1.921fb54442d18p-1), xsimd::select(o.turned, -angle, angle)) | xsimd::bitofsign(v);
        },
        y, x);
  } else if constexpr (!fused) {
    return atan2_each(y, x);
  } else {
    using B = xsimd::batch<T, A>;
    const B zero(0.0), one(1.0), least(0x1p-400);
    const auto [large, small, k, diagonal, turned] = octant(y, x);
    const Pair<B> below = sum_of(-large, small), above = sum_of(large, small);
    const B n = xsimd::select(diagonal, below.high, small), d = xsimd::select(diagonal, above.high, large);
    const B inverse = one / d, t = kept(n * inverse), z = t * t;
    const B whole = simd::fma(-t, d, n);
    const B rest = xsimd::select(diagonal, whole + (below.low - t * above.low), whole) * inverse;
    const B curved = simd::fma(t, atan_remainder(z), rest * (one - z));
    const Pair<B> angle = product_of(k, B(0x1.921fb54442d18p-1));
    const Pair<B> sum = sum_of(angle.high, xsimd::select(turned, -t, t));
    const B low = simd::fma(k, B(0x1.1a62633145c07p-55), angle.low) + xsimd::select(turned, -curved, curved);
    const B r = (sum.high + (sum.low + low)) | xsimd::bitofsign(y);
    const auto ordinary = (large >= least) && (large <= B(0x1p400)) && ((small >= least) || (small == zero));
    if (xsimd::all(ordinary)) [[likely]]
      return r;
    return xsimd::select(ordinary, r, atan2_each(y, x));
  }
}

}  // namespace xtape::simd
