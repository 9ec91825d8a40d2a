#pragma once
/// \file detail/simd/error_function.hpp  erf, erfc and gelu of batches.
///
/// For x >= 0, erfc(x) = e^(-x^2) G(x), and (1 + 2x) G(x) is a polynomial of q = (x - k) / (x + k), which runs through
/// -1 to 1 (Shepherd and Laframboise, Math. Comp. 36, 1981). gelu takes the same with e^(-x^2 / 2), so that no rounding
/// of x / sqrt 2 is squared.

#include <xtape/detail/simd/exponential.hpp>

namespace xtape::simd {

/// erf(x) / x - 1 of w = x^2 <= 1/4.
template <class B> B erf_near(const B& w) noexcept {
  return polynomial(w, -0x1.39fb524e9c1f7p-23, 0x1.b776442df3041p-20, -0x1.f4bb9f7301dedp-17, 0x1.f9a2a6635fe79p-14,
                    -0x1.c02db23d41138p-11, 0x1.565bcd0aa6349p-8, -0x1.b82ce3127f739p-6, 0x1.ce2f21a042b29p-4,
                    -0x1.812746b0379e6p-2, 0x1.06eba8214db69p-3);
}
/// G(x) for 0 <= x <= 30.
template <class B> Pair<B> erfc_factor(const B& x) noexcept {
  const B one(1.0), k(3.5);
  const B q = (x - k) / (x + k);
  const B sum =
      polynomial(q, -0x1.4e1e86332670bp-30, 0x1.ff2637c201ce8p-35, 0x1.ddffa8f982388p-27, 0x1.74a62f9194ee2p-31,
                 -0x1.a120410950336p-24, -0x1.28ed97b877cd5p-27, 0x1.43784a278222cp-21, -0x1.71cfb2163843bp-25,
                 -0x1.000410c39c596p-18, 0x1.385d4ffe0ea0fp-19, 0x1.9707838d995ffp-16, -0x1.66e10c3191a93p-15,
                 -0x1.fda8de476edbfp-14, 0x1.27e65f87e4514p-11, -0x1.3cf36c18302fbp-12, -0x1.143c4c879d35bp-8,
                 0x1.38ec66725b9adp-6, -0x1.8ff5ef773e2ccp-5, 0x1.686106046a38bp-4, -0x1.d76830c350245p-4,
                 0x1.8f702ec6b34bcp-4, -0x1.59e2c284b1a14p-7, -0x1.1ebd220ea593cp-3);
  const Pair<B> p = sum_of(B(0x1.3e0a99a0ee914p+0), q * sum);
  const B twice = x + x, d = kept(one + twice);
  // What 1 + 2x is rounded by, whichever of the two is larger.
  const B d_low = xsimd::select(twice > one, one - (d - twice), twice - (d - one));
  const B inverse = one / d, high = p.high * inverse;
  const Pair<B> back = product_of(high, d);
  return {high, (((p.high - back.high) - back.low) + simd::fma(-high, d_low, p.low)) * inverse};
}

/// The same for float results, in double: erf(x) / x for x <= 1, and G(x), off by 2e-12 of themselves at most.
template <class D> D erf_near_short(const D& w) noexcept {
  return polynomial(w, 0x1.1c41ab6eec487p-20, -0x1.d2b8522d6f7cbp-17, 0x1.f57e9cee106c1p-14, -0x1.bfe158a7be278p-11,
                    0x1.56588b32275a7p-8, -0x1.b82cbae7577a7p-6, 0x1.ce2f20a7415c6p-4, -0x1.812746ade3c08p-2,
                    0x1.20dd750428cb9p+0);
}
template <class D> D erfc_factor_short(const D& x) noexcept {
  const D k(3.5), a = x + k, d = simd::fma(x, D(2.0), D(1.0)), inverse = D(1.0) / (a * d);
  return polynomial((x - k) * d * inverse, 0x1.432a46f06a616p-22, -0x1.379e2d298091dp-24, -0x1.be3200c569f82p-19,
                    0x1.3ef4a327b619ep-19, 0x1.8f494508934b2p-16, -0x1.6744d5b9e156ap-15, -0x1.fc90d133052d9p-14,
                    0x1.27e9e64cdf3e2p-11, -0x1.3d0b082040bb9p-12, -0x1.143c728c263d6p-8, 0x1.38ec78815cf5ap-6,
                    -0x1.8ff5ee8ee3ed7p-5, 0x1.68610594fedf6p-4, -0x1.d76830ce8061cp-4, 0x1.8f702ecadb2f2p-4,
                    -0x1.59e2c2815b8c4p-7, -0x1.1ebd220ea8db8p-3, 0x1.3e0a99a0ee86cp+0) *
         (a * inverse);
}

/// erfc |x| as a pair that is not yet scaled, for double.
template <class B> struct Tail {
  Pair<B> digits;
  B power;
};
template <class B> Tail<B> erfc_tail(const B& size) noexcept {
  const B bounded = xsimd::min(B(28.0), size);
  const Pair<B> square = product_of(bounded, bounded);
  const Scaled<B> e = exp_parts(Pair<B>{-square.high, -square.low});
  return {times(e, erfc_factor(bounded)), e.power};
}

template <class T, class A> xsimd::batch<T, A> erf(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const D size = xsimd::min(D(6.0), xsimd::abs(v)), w = size * size;
          const D far = D(1.0) - exp_short(-w) * erfc_factor_short(size);
          return xsimd::select(size < D(1.0), size * erf_near_short(w), far) | xsimd::bitofsign(v);
        },
        x);
  } else if constexpr (!fused) {
    return each(x, [](T v) { return std::erf(v); });
  } else {
    const B size = xsimd::abs(x), one(1.0);
    const auto small = size < B(0.5);
    const B near = simd::fma(x, erf_near(x * x), x);
    if (xsimd::all(small)) return near;
    const Tail<B> tail = erfc_tail(size);
    const Pair<B> far = sum_of(one, -scaled(tail.digits.high, tail.power));
    return xsimd::select(small, near,
                         (far.high + (far.low - scaled(tail.digits.low, tail.power))) | xsimd::bitofsign(x));
  }
}

template <class T, class A> xsimd::batch<T, A> erfc(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const D size = xsimd::min(D(12.0), xsimd::abs(v));
          const D tail = exp_short(-(size * size)) * erfc_factor_short(size);
          return xsimd::select(v < D(0.0), D(2.0) - tail, tail);
        },
        x);
  } else if constexpr (!fused) {
    return each(x, [](T v) { return std::erfc(v); });
  } else {
    const B size = xsimd::abs(x);
    const auto small = size < B(0.5);
    const Pair<B> from_1 = sum_of(B(1.0), -x);
    const B near = from_1.high + simd::fma(-x, erf_near(x * x), from_1.low);
    if (xsimd::all(small)) return near;
    const Tail<B> tail = erfc_tail(size);
    const B value = scaled(tail.digits.high + tail.digits.low, tail.power);
    return xsimd::select(small, near, xsimd::select(x < B(0.0), B(2.0) - value, value));
  }
}

/// |x| Phi(-|x|), Phi the normal distribution's function, for float results; x Phi(x) is max(x, 0) less that.
template <class D> D gelu_tail_short(const D& size) noexcept {
  return D(0.5) * size * exp_short(D(-0.5) * size * size) * erfc_factor_short(size * D(0.70710678118654752440));
}
/// The same for double.
template <class B> Tail<B> gelu_tail(const B& size) noexcept {
  const B half(0.5);
  const Pair<B> square = product_of(size, size);
  const Scaled<B> e = exp_parts(Pair<B>{-half * square.high, -half * square.low});
  const Pair<B> factor = erfc_factor(size * B(0.70710678118654752440));
  const Pair<B> tail = times(e, Pair<B>{half * factor.high, half * factor.low}), value = product_of(size, tail.high);
  return {{value.high, simd::fma(size, tail.low, value.low)}, e.power};
}

template <class T, class A> xsimd::batch<T, A> gelu_value(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const D tail = gelu_tail_short(xsimd::min(D(20.0), xsimd::abs(v)));
          return xsimd::select(v < D(0.0), -tail, v - tail);
        },
        x);
  } else if constexpr (!fused) {
    // erfc(z + e) = erfc(z) (1 - 2 z e), nearly, for what z = -x / sqrt 2 is rounded by.
    const B bounded = xsimd::max(B(-40.0), x);
    const Pair<B> z = product_of(xsimd::min(B(40.0), bounded), B(-0x1.6a09e667f3bcdp-1));
    const B rest = simd::fma(bounded, B(0x1.bdd3413b26456p-55), z.low);
    const B y = simd::erfc(z.high), correction = xsimd::select(z.high > B(1.0), B(2.0) * z.high * rest, B(0.0));
    return B(0.5) * bounded * (y - y * correction);
  } else {
    const B size = xsimd::min(B(40.0), xsimd::abs(x));
    // Near 0, x (1 + erf(x / sqrt 2)) / 2.
    const B z = x * B(0.70710678118654752440), half = x * B(0.5);
    const B near = simd::fma(half, simd::fma(z, erf_near(z * z), z), half);
    const auto small = size < B(0.7);
    if (xsimd::all(small)) return near;
    const Tail<B> tail = gelu_tail(size);
    const B below = scaled(tail.digits.high + tail.digits.low, tail.power);
    const Pair<B> sum = sum_of(x, -scaled(tail.digits.high, tail.power));
    const B above = sum.high + (sum.low - scaled(tail.digits.low, tail.power));
    return xsimd::select(small, near, xsimd::select(x < B(0.0), -below, xsimd::select(size < B(40.0), above, x)));
  }
}
/// x / (1 + e^-t), the logistic function of t times x; 0 for t = -inf.
template <class T, class A>
xsimd::batch<T, A> times_sigmoid(const xsimd::batch<T, A>& x, const Pair<xsimd::batch<T, A>>& t) noexcept {
  using B = xsimd::batch<T, A>;
  // For t < 0, x e^t / (1 + e^t), scaled last: e^t alone may be subnormal where x e^t has all digits.
  const B one(T(1)), zero(T(0)), least(sizeof(T) == 8 ? T(-760) : T(-120));
  const auto negative = t.high < zero, none = t.high < least;
  const Scaled<B> e = exp_parts(Pair<B>{xsimd::max(least, -xsimd::abs(t.high)),
                                        xsimd::select(none, zero, xsimd::select(negative, t.low, -t.low))});
  const Pair<B> power = sum_of(e.high, e.low);
  const B above = xsimd::select(negative, power.high, one), n = xsimd::select(negative, e.power, zero);
  const B bounded = xsimd::select(none, xsimd::max(x, B(T(-1))), x);
  return scaled(bounded * above / (one + scaled(power.high, e.power)), n);
}

/// x sigmoid(t) with t = x (a + b x^2), a = 2 sqrt(2 / pi) and b = 0.044715 a: gelu's form by tanh. In double t is a
/// pair: what it is rounded by counts |t| times.
template <class T, class A> xsimd::batch<T, A> gelu_tanh(const xsimd::batch<T, A>& x) noexcept {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(T) == 4) {
    return in_double(
        [](const auto& v) {
          using D = std::decay_t<decltype(v)>;
          const D bounded = xsimd::max(D(-30.0), v), w = bounded * bounded;
          const D t = bounded * simd::fma(w, D(0x1.2444f2a4d8b4bp-4), D(0x1.9884533d43651p+0));
          return bounded / (D(1.0) + exp_short(within(-t, -600, 600)));
        },
        x);
  } else {
    const B a(0x1.9884533d43651p+0), b(0x1.2444f2a4d8b4bp-4), bounded = within(x, -40, 40);
    const Pair<B> w = product_of(bounded, bounded), p = product_of(w.high, b);
    const B p_low = simd::fma(w.low, b, simd::fma(w.high, B(-0x1.6c843a29d1c70p-61), p.low));
    const B sum = kept(a + p.high), part = kept(sum - a);
    const B sum_low = (a - kept(sum - part)) + (p.high - part) + (p_low + B(-0x1.cbc0d30ebfd15p-54));
    const Pair<B> t = product_of(bounded, sum);
    return times_sigmoid(x, Pair<B>{t.high, simd::fma(bounded, sum_low, t.low)});
  }
}

}  // namespace xtape::simd
