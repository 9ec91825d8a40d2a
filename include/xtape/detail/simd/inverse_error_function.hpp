#pragma once
/// \file detail/simd/inverse_error_function.hpp  erfinv of batches, and its slope.
///
/// The value starts from Wichura's rational functions for the quantiles of the normal distribution (PPND16 of algorithm
/// AS 241, Applied Statistics 37, 1988): erfinv(x) is the quantile of (1 + x) / 2 divided by sqrt 2. By themselves they
/// are off by 8e-17 of the result at most. The coefficients of the numerators are his divided by sqrt 2, those of the
/// first numerator by 2 sqrt 2, because it is multiplied by x and his by x / 2.

#include <xtape/detail/simd/error_function.hpp>
#include <xtape/detail/simd/logarithm.hpp>

namespace xtape::simd {

/// erfinv(x) for |x| <= 0.85.
template <class B> B erfinv_near(const B& x) noexcept {
  const B half = B(0.5) * x, r = simd::fma(-half, half, B(0.180625));
  return x *
         (polynomial(r, 887.094069625455148302, 11819.4933470622944043, 23782.0413821143857313, 16235.8625151675753843,
                     4854.88688938438867946, 697.062665343895982385, 47.0726881123839780123, 1.19753231156709125646) /
          polynomial(r, 5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
                     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0));
}
/// erfinv(1 - p) for p <= 0.15, of r = sqrt(-log(p / 2)).
template <class B> B erfinv_tail(const B& r) noexcept {
  const B s = r - B(1.6), t = r - B(5.0);
  const B middle =
      polynomial(s, 5.47686031930446485726e-4, 0.0160681848865441896808, 0.170964790333176351605,
                 0.898349645523480404682, 2.57941828718004926989, 4.07965060933179904148, 3.2741432902020060286,
                 1.00652203360368792029) /
      polynomial(s, 1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
                 0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0);
  const auto far = t > B(0.0);
  if (!xsimd::any(far)) [[likely]]
    return middle;
  return xsimd::select(far,
                       polynomial(t, 1.42152108619216144501e-7, 1.91735933022266569472e-5, 8.78693982613809825899e-4,
                                  0.0187610911339686706249, 0.20969999137249601819, 1.2620629496172388552,
                                  3.86347936162888342385, 4.70784952191303369078) /
                           polynomial(t, 2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
                                      7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
                                      0.59983220655588793769, 1.0),
                       middle);
}
/// erfinv(x) for 0 <= x < 1, off by 6 units in the last place at most. `log` is a logarithm of batches.
template <class B, class L> B erfinv_rational(const B& x, const L& log) noexcept {
  const auto small = x <= B(0.85);
  const B near = erfinv_near(x);
  if (xsimd::all(small)) return near;
  return xsimd::select(small, near, erfinv_tail(xsimd::sqrt(-log(B(0.5) - B(0.5) * x))));
}

/// y = erfinv x, and the slope w = sqrt(pi) / 2 e^(y^2) there. Where y^2 is large, w would lose digits by what y is
/// rounded by. But 1 - x = erfc y = e^(-y^2) G(y), so that w = sqrt(pi) / 2 G(y) / (1 - x), and 1 - x is exact.
template <class B> struct InverseAndSlope { B value, slope; };
inline constexpr double half_root_pi = 0.88622692545275801365, two_by_root_pi = 1.12837916709551257390;

/// For 0 <= x < 1, in double: the rational function's y, and one step of Newton's method.
template <class B> InverseAndSlope<B> erfinv_and_slope(const B& x) noexcept {
  const B y = erfinv_rational(x, [](const B& v) { return simd::log(v); });
  const Pair<B> square = product_of(y, y);
  const Scaled<B> e = exp_parts(Pair<B>{-square.high, -square.low});
  // For x <= 1/2. There the power of two in e^(-y^2) is 1, and erf y - x is (y - x) + (erf y - y), exact but for the
  // second term's rounding.
  B slope = B(half_root_pi) / (e.high + e.low);
  B slope_by_y = B(2.0) * y * slope;
  B error = simd::fma(y, erf_near(square.high), y - x);
  const auto far = x > B(0.5);
  if (xsimd::any(far)) {
    // erf y - x = (1 - x) - erfc y, with erfc y in two parts. G' = 2 y G - 2 / sqrt(pi).
    const B rest = B(1.0) - x, scale = B(half_root_pi) / rest;
    const Pair<B> factor = erfc_factor(y), tail = times(e, factor);
    const B error_far = (rest - scaled_normal(tail.high, e.power)) - scaled_normal(tail.low, e.power);
    error = xsimd::select(far, error_far, error);
    slope_by_y = xsimd::select(far, scale * (B(2.0) * y * factor.high - B(two_by_root_pi)), slope_by_y);
    slope = xsimd::select(far, scale * (factor.high + factor.low), slope);
  }
  const B step = error * slope;
  return {y - step, slope - step * slope_by_y};
}
/// The same in double for float results.
template <class D> InverseAndSlope<D> erfinv_and_slope_short(const D& x) noexcept {
  const D y = erfinv_rational(x, [](const D& v) { return log_short(v); });
  return {y, D(half_root_pi) * erfc_factor_short(y) / (D(1.0) - x)};
}
/// The same for any x: infinite at -1 and 1, NaN beyond.
template <bool short_form, class D> InverseAndSlope<D> erfinv_parts(const D& x) noexcept {
  const D size = xsimd::abs(x), one(1.0);
  const auto parts = [&] {
    if constexpr (short_form)
      return erfinv_and_slope_short(size);
    else
      return erfinv_and_slope(size);
  }();
  const auto inside = size < one;
  using Limits = std::numeric_limits<double>;
  const D end = xsimd::select(size == one, D(Limits::infinity()), D(Limits::quiet_NaN()));
  return {xsimd::select(inside, parts.value, end) | xsimd::bitofsign(x), xsimd::select(inside, parts.slope, end)};
}

template <class T, class A> xsimd::batch<T, A> erfinv(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double([](const auto& v) { return erfinv_parts<true>(v).value; }, x);
  else
    return erfinv_parts<false>(x).value;
}
template <class T, class A> xsimd::batch<T, A> erfinv_slope(const xsimd::batch<T, A>& x) noexcept {
  if constexpr (sizeof(T) == 4)
    return in_double([](const auto& v) { return erfinv_parts<true>(v).slope; }, x);
  else
    return erfinv_parts<false>(x).slope;
}

}  // namespace xtape::simd
