#pragma once
/// \file detail/simd/power.hpp  x^y of batches: e^(y log |x|), in double with the logarithm as a pair of about 65 bits,
/// since y log |x| may be 700 times as large as the error that counts; in float with both in double.

#include <xtape/detail/simd/logarithm.hpp>

namespace xtape::simd {

/// log x for a positive normal number x, off by 2^-65 of itself. With x = m 2^n and s = (m - 1) / (m + 1) it is
/// n log 2 + 2 artanh s = n log 2 + 2 s (1 + w / 3 + w^2 / 5 + w^3 Q(w)), w = s^2.
template <class B> [[gnu::always_inline]] inline Pair<B> log_pair(const B& x) noexcept {
  const auto [m, n] = split(x);
  const B one(1.0), f = m - one;
  const Pair<B> d = sum_of(one, m);
  const B inverse = one / d.high, high = kept(f * inverse);
  const Pair<B> s{high, simd::fma(-high, d.low, simd::fma(-high, d.high, f)) * inverse}, w = times(s, s);
  const B fifth = polynomial(w.high, 0x1.b2df9aca49e43p-5, 0x1.acf8627f00a61p-5, 0x1.e1eff99e23b91p-5,
                             0x1.1110f807e8c02p-4, 0x1.3b13b16b4535dp-4, 0x1.745d1745a3f62p-4, 0x1.c71c71c71c822p-4,
                             0x1.2492492492492p-3, 0x1.999999999999ap-3);
  const Pair<B> third{B(0x1.5555555555555p-2), B(0x1.5555555555555p-56)}, more = product_of(w.high, fifth);
  const Pair<B> sum = times(w, plus(third, Pair<B>{more.high, simd::fma(w.low, fifth, more.low)}));
  const Pair<B> twice{s.high + s.high, s.low + s.low}, rest = times(twice, sum);
  // The high part of log 2 ends in zeros: its product with n is exact.
  const Pair<B> first = sum_of(n * B(0x1.62e42fefa3800p-1), twice.high), all = sum_of(first.high, rest.high);
  return {all.high, (first.low + all.low) + simd::fma(n, B(0x1.ef35793c76730p-45), twice.low + rest.low)};
}

/// e^(x.high + x.low), |x.high| < 1000, where x.low may be some last places of x.high: off by a fiftieth of the last
/// place before it is rounded.
template <class B> [[gnu::always_inline]] inline Scaled<B> exp_of_pair(const Pair<B>& x) noexcept {
  const auto [n, r, rest] = exp_reduction(x.high);
  const B low = rest + x.low;
  const Pair<B> square = product_of(r, B(0.5) * r), linear = sum_of(B(1.0), r);
  const Pair<B> sum = sum_of(linear.high, square.high);
  const B small = simd::fma((r + r) * square.high, exp_cubic(r), (linear.low + sum.low) + square.low);
  return {sum.high, simd::fma(low, sum.high + small, small), n};
}

/// x^y for all numbers in double, as in the C library: where x is not positive or one of both is not finite;
/// elsewhere `power`.
template <class B> B pow_limits(const B& x, const B& y, const B& power) noexcept {
  const B zero(0.0), one(1.0), inf(std::numeric_limits<double>::infinity());
  const B size = xsimd::abs(x), half = B(0.5) * y;
  const auto endless = xsimd::abs(y) == inf, grows = (size > one) && (y > zero), falls = (size < one) && (y < zero);
  B r = xsimd::select((size == zero) || (size == inf) || endless, xsimd::select(grows || falls, inf, zero), power);
  r = xsimd::select(endless && (size == one), one, r);
  const auto whole = xsimd::floor(y) == y;
  r = xsimd::select(whole && (xsimd::floor(half) != half), r | xsimd::bitofsign(x), r);
  // xsimd 8.1's != is false of NaN with AVX-512.
  const auto none = ((x < zero) && (size < inf) && !whole) || !(x == x) || !(y == y);
  r = xsimd::select(none, B(std::numeric_limits<double>::quiet_NaN()), r);
  return xsimd::select((x == one) || (y == zero), one, r);
}
/// The same of float numbers.
template <class D> [[gnu::noinline]] D pow_of_others(const D& x, const D& y, const D& power) noexcept {
  return pow_limits(x, y, power);
}
/// Of double numbers where t is y log |x| if that is in range; of subnormal numbers x the C library's.
template <class B> [[gnu::noinline]] B pow_of_others(const B& x, const B& y, const Pair<B>& t) noexcept {
  const B bounded = exp_domain(t.high), size = xsimd::abs(x);
  const Scaled<B> e = exp_of_pair(Pair<B>{bounded, xsimd::select(bounded == t.high, t.low, B(0.0))});
  const B power = pow_limits(x, y, rounded_once(e));
  const auto subnormal = (size < B(std::numeric_limits<double>::min())) && (size > B(0.0));
  if (!xsimd::any(subnormal)) [[likely]]
    return power;
  return xsimd::select(subnormal, each(x, y, [](double v, double w) { return std::pow(v, w); }), power);
}

/// Of any double numbers. A call costs nothing that can be measured, and functions that use it compile sooner.
template <class B> [[gnu::noinline]] B pow_in_double(const B& x, const B& y) noexcept {
  const Pair<B> l = log_pair(xsimd::abs(x)), high = product_of(y, l.high);
  const Pair<B> t{high.high, simd::fma(y, l.low, high.low)};
  const auto ordinary = (x >= B(std::numeric_limits<double>::min())) &&
                        (x < B(std::numeric_limits<double>::infinity())) && (xsimd::abs(t.high) < B(708.0));
  if (!xsimd::all(ordinary)) [[unlikely]]
    return pow_of_others(x, y, t);
  const Scaled<B> e = exp_of_pair(t);
  return scaled_normal(e.high + e.low, e.power);
}

/// Off by 0.6 of the last place, subnormal results too. Without fma the C library's.
template <class T, class A> xsimd::batch<T, A> pow(const xsimd::batch<T, A>& x, const xsimd::batch<T, A>& y) noexcept {
  if constexpr (!fused) {
    return each(x, y, [](T v, T w) { return std::pow(v, w); });
  } else if constexpr (sizeof(T) == 4) {
    return in_double(
        [](const auto& v, const auto& w) {
          using D = std::decay_t<decltype(v)>;
          const D power = exp_short(within(w * log_short(xsimd::abs(v)), -200, 200));
          const D inf(std::numeric_limits<double>::infinity());
          if (xsimd::all((v > D(0.0)) && (v < inf) && (xsimd::abs(w) < inf))) [[likely]]
            return power;
          return pow_of_others(v, w, power);
        },
        x, y);
  } else {
    return pow_in_double(x, y);
  }
}

}  // namespace xtape::simd
