#pragma once
/// \file functions/unary.hpp  Elementwise functions of one argument. How they are written: functions.hpp.

#include <xtape/dual.hpp>

XTAPE_INLINED_BEGIN

namespace xtape::fn {

/// Marks a pull() that starts from the function's result.
template <class V> struct Result { const V& y; };

/// A value, and the derivative there.
template <class B> struct ValueAndSlope { B value, slope; };

struct Negate {
  static constexpr const char* name = "negate";
  static constexpr bool uses_input = false, linear = true;
  template <class B> B value(const B& x) const noexcept { return -x; }
  template <class V> V pull(const V& dy, const V&) const { return -dy; }
};

struct Square {
  static constexpr const char* name = "square";
  template <class B> B value(const B& x) const noexcept { return x * x; }
  template <class V> V pull(const V& dy, const V& x) const { return dy * (2 * x); }
};

/// The derivative at 0 is inf, as the limit is.
struct Sqrt {
  static constexpr const char* name = "sqrt";
  template <class B> B value(const B& x) const noexcept { return xsimd::sqrt(x); }
  template <class V> V pull(const V& dy, Result<V> r) const { return dy * (0.5 / r.y); }
};

/// abs'(0) = 0.
struct Abs {
  static constexpr const char* name = "abs";
  template <class B> B value(const B& x) const noexcept { return xsimd::abs(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * sign(x); }
};

/// -1, 0 or 1; NaN stays NaN. Its derivative is 0 everywhere, at the jump too.
struct Sign {
  static constexpr const char* name = "sign";
  static constexpr bool uses_input = false;
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    return xsimd::select(x > B(T(0)), B(T(1)), xsimd::select(x < B(T(0)), B(T(-1)), x * B(T(0))));
  }
  template <class V> V pull(const V& dy, const V&) const { return dy * 0; }
};

struct Exp {
  static constexpr const char* name = "exp";
  template <class B> B value(const B& x) const noexcept { return simd::exp(x); }
  template <class V> V pull(const V& dy, Result<V> r) const { return dy * r.y; }
};

/// e^x - 1, exact near 0, of -0 too. The slope from x, since y + 1 loses digits for x << 0.
struct Expm1 {
  static constexpr const char* name = "expm1";
  template <class B> B value(const B& x) const noexcept {
    return xsimd::select(x == B(typename B::value_type(0)), x, simd::expm1(x));
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy * exp(x); }
};

struct Log {
  static constexpr const char* name = "log";
  template <class B> B value(const B& x) const noexcept { return simd::log(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy / x; }
};

/// log(1 + x), exact near 0, of -0 too.
struct Log1p {
  static constexpr const char* name = "log1p";
  template <class B> B value(const B& x) const noexcept {
    return xsimd::select(x == B(typename B::value_type(0)), x, xsimd::log1p(x));
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy / (1 + x); }
};

struct Sin {
  static constexpr const char* name = "sin";
  template <class B> B value(const B& x) const noexcept { return simd::sin(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * cos(x); }
};

struct Cos {
  static constexpr const char* name = "cos";
  template <class B> B value(const B& x) const noexcept { return simd::cos(x); }
  template <class V> V pull(const V& dy, const V& x) const { return -(dy * sin(x)); }
};

// Trigonometric and hyperbolic functions and their inverses.

struct Tan {
  static constexpr const char* name = "tan";
  template <class B> B value(const B& x) const noexcept { return simd::tan(x); }
  template <class V> V pull(const V& dy, Result<V> r) const { return dy * (1 + square(r.y)); }
};

/// 1 - x^2 as (1 - x)(1 + x): exact near the ends, where it cancels. A function of its own, since the product's chain
/// rule, (1 - x) - (1 + x), cancels near 0.
struct OneMinusSquare {
  static constexpr const char* name = "one_minus_square";
  template <class B> B value(const B& x) const noexcept {
    const B one(typename B::value_type(1));
    return (one - x) * (one + x);
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy * (-2 * x); }
};

struct Asin {
  static constexpr const char* name = "asin";
  template <class B> B value(const B& x) const noexcept { return simd::asin(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy / sqrt(apply(OneMinusSquare{}, x)); }
};

struct Acos {
  static constexpr const char* name = "acos";
  template <class B> B value(const B& x) const noexcept { return xsimd::acos(x); }
  template <class V> V pull(const V& dy, const V& x) const { return -(dy / sqrt(apply(OneMinusSquare{}, x))); }
};

/// w = 1 / (1 + x^2), the slope of atan. w' = -2 (x w) w: by the quotient's chain rule w^2 would underflow where x w^2
/// does not.
struct AtanSlope {
  static constexpr const char* name = "atan_slope";
  template <class B> B value(const B& x) const noexcept {
    const B one(typename B::value_type(1));
    return one / (one + x * x);
  }
  template <class V> V pull(const V& dy, const V& x) const {
    const V w = apply(AtanSlope{}, x);
    return dy * (-2 * (select(equal(w, 0), 0, x) * w) * w);  // 0 at infinity, not inf 0
  }
};

struct Atan {
  static constexpr const char* name = "atan";
  template <class B> B value(const B& x) const noexcept { return simd::atan(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * apply(AtanSlope{}, x); }
};

struct Sinh {
  static constexpr const char* name = "sinh";
  template <class B> B value(const B& x) const noexcept { return simd::sinh(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * cosh(x); }
};

struct Cosh {
  static constexpr const char* name = "cosh";
  template <class B> B value(const B& x) const noexcept { return simd::cosh(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * sinh(x); }
};

/// asinh' = 1 / sqrt(1 + x^2), by hypot: the square may overflow.
struct Asinh {
  static constexpr const char* name = "asinh";
  template <class B> B value(const B& x) const noexcept { return simd::asinh(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy / hypot(x, 1); }
};

/// acosh' = 1 / sqrt(x^2 - 1), by factors: nothing cancels near 1 or overflows. One after the other: their product's
/// chain rule is inf 0 at 1.
struct Acosh {
  static constexpr const char* name = "acosh";
  template <class B> B value(const B& x) const noexcept { return simd::acosh(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy / sqrt(x - 1) / sqrt(x + 1); }
};

struct Atanh {
  static constexpr const char* name = "atanh";
  template <class B> B value(const B& x) const noexcept { return xsimd::atanh(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy / apply(OneMinusSquare{}, x); }
};

// Powers and logarithms of other bases, and roots.

struct Exp2 {
  static constexpr const char* name = "exp2";
  static constexpr double log_2 = 0.69314718055994530942;
  template <class B> B value(const B& x) const noexcept { return simd::exp2(x); }
  template <class V> V pull(const V& dy, Result<V> r) const { return dy * (log_2 * r.y); }
};

struct Log2 {
  static constexpr const char* name = "log2";
  static constexpr double log2_e = 1.44269504088896340736;
  template <class B> B value(const B& x) const noexcept { return simd::log2(x); }
  template <class V> V pull(const V& dy, const V& x) const { return log2_e * (dy / x); }
};

/// In this order: 1 / x may overflow where the slope does not.
struct Log10 {
  static constexpr const char* name = "log10";
  static constexpr double log10_e = 0.43429448190325182765;
  template <class B> B value(const B& x) const noexcept { return simd::log10(x); }
  template <class V> V pull(const V& dy, const V& x) const { return (log10_e * dy) / x; }
};

/// The real cube root, of negative numbers too. The derivative at 0 is inf, as the limit is; 1 / y is squared, since
/// the chain rule of 1 / y^2 is inf 0 there.
struct Cbrt {
  static constexpr const char* name = "cbrt";
  static constexpr double third = 1.0 / 3;
  template <class B> B value(const B& x) const noexcept { return simd::cbrt(x); }
  template <class V> V pull(const V& dy, Result<V> r) const { return dy * (third * square(1 / r.y)); }
};

struct Reciprocal {
  static constexpr const char* name = "reciprocal";
  template <class B> B value(const B& x) const noexcept { return B(typename B::value_type(1)) / x; }
  template <class V> V pull(const V& dy, Result<V> r) const { return -(dy * square(r.y)); }
};

// Whole numbers. The derivative is 0 everywhere, at the jumps too.

struct Floor {
  static constexpr const char* name = "floor";
  static constexpr bool uses_input = false;
  template <class B> B value(const B& x) const noexcept { return xsimd::floor(x); }
  template <class V> V pull(const V& dy, const V&) const { return dy * 0; }
};

struct Ceil {
  static constexpr const char* name = "ceil";
  static constexpr bool uses_input = false;
  template <class B> B value(const B& x) const noexcept { return xsimd::ceil(x); }
  template <class V> V pull(const V& dy, const V&) const { return dy * 0; }
};

/// Halves go away from 0, as in std::round and xt::round.
struct Round {
  static constexpr const char* name = "round";
  static constexpr bool uses_input = false;
  template <class B> B value(const B& x) const noexcept { return xsimd::round(x); }
  template <class V> V pull(const V& dy, const V&) const { return dy * 0; }
};

/// tanh' = sech^2, not 1 - y^2, which loses all digits where y is near 1.
struct Tanh {
  static constexpr const char* name = "tanh";
  template <class B> B value(const B& x) const noexcept { return value_and_slope(x).value; }
  /// With q = 1 / (1 + e^2|x|): |y| = 1 - 2q, y' = 4q (1 - q). Near 0, where 1 - 2q cancels, xsimd has a polynomial,
  /// and 1 - y^2 does not cancel.
  template <class B> ValueAndSlope<B> value_and_slope(const B& x) const noexcept {
    using T = typename B::value_type;
    const B one(T(1)), size = xsimd::abs(x);
    const auto small = size < B(T(0.625));
    const B near = xsimd::tanh(xsimd::select(small, x, B(T(0)))), near_slope = one - near * near;
    if (xsimd::all(small)) return {near, near_slope};
    const B e = simd::exp(size * B(T(-2))), q = e / (one + e);
    return {xsimd::select(small, near, (one - (q + q)) | xsimd::bitofsign(x)),
            xsimd::select(small, near_slope, B(T(4)) * q * (one - q))};
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy * sech_squared(x); }
};

/// sech^2 x = 4 e / (1 + e)^2 with e = exp(-2|x|): the slope of tanh, and of the sigmoid at 2x.
struct SechSquared {
  static constexpr const char* name = "sech_squared";
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    const B e = simd::exp(xsimd::abs(x) * B(T(-2))), s = B(T(1)) + e;
    return B(T(4)) * e / (s * s);
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy * (-2 * (sech_squared(x) * tanh(x))); }
};

/// 1 / (1 + e^-x). sigmoid'(x) = sech^2(x/2) / 4, not y (1 - y), which loses digits where y is near 1.
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  template <class B> B value(const B& x) const noexcept { return value_and_slope(x).value; }
  /// With e = e^-|x| and r = 1 / (1 + e): y' = e r^2.
  template <class B> ValueAndSlope<B> value_and_slope(const B& x) const noexcept {
    using T = typename B::value_type;
    const B e = simd::exp(-xsimd::abs(x)), one(T(1));
    const auto negative = x < B(T(0));
    const B y = xsimd::select(negative, e, one) / (one + e), r = xsimd::select(negative, one - y, y);
    return {y, e * r * r};
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy * (0.25 * sech_squared(0.5 * x)); }
};

/// log(1 + e^x) = max(x, 0) + log1p(e^-|x|).
struct Softplus {
  static constexpr const char* name = "softplus";
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    const B zero(T(0));
    return xsimd::select(x < zero, zero, x) + xsimd::log1p(simd::exp(-xsimd::abs(x)));
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy * sigmoid(x); }
};

/// log sigmoid(x) = -softplus(-x).
struct LogSigmoid {
  static constexpr const char* name = "log_sigmoid";
  template <class B> B value(const B& x) const noexcept { return -Softplus{}.value(-x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * sigmoid(-x); }
};

/// x / (1 + |x|). softsign' = 1 / (1 + |x|)^2; 1 / (1 + |x|) is squared, since a square that overflows has no use of
/// its derivative.
struct Softsign {
  static constexpr const char* name = "softsign";
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    const B size = xsimd::abs(x);
    // The limit at infinity is the sign.
    return xsimd::select(size == B(std::numeric_limits<T>::infinity()), Sign{}.value(x), x / (B(T(1)) + size));
  }
  template <class V> V pull(const V& dy, const V& x) const { return dy * square(1 / (1 + abs(x))); }
};

/// max(x, 0); relu'(0) = 0; NaN stays NaN.
struct Relu {
  static constexpr const char* name = "relu";
  template <class B> B value(const B& x) const noexcept {
    const B zero(typename B::value_type(0));
    return xsimd::select(x <= zero, zero, x);
  }
  template <class V> V pull(const V& dy, Result<V> r) const { return select(r.y > 0, dy, 0); }
};

/// x for x > 0, else slope x.
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  double slope;
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    return xsimd::select(x > B(T(0)), x, x * B(T(slope)));
  }
  template <class V> V pull(const V& dy, const V& x) const { return select(x > 0, dy, slope * dy); }
};

/// x for x > 0, else alpha (e^x - 1).
struct Elu {
  static constexpr const char* name = "elu";
  double alpha;
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    return xsimd::select(x > B(T(0)), x, B(T(alpha)) * simd::expm1(x));
  }
  template <class V> V pull(const V& dy, const V& x) const {
    // e^x is kept from overflowing where it is not taken, for the sake of the second derivative.
    return select(x > 0, dy, alpha * (dy * exp(select(x > 0, 0, x))));
  }
};

/// x Phi(x), with the normal distribution function Phi(x) = erfc(-x / sqrt 2) / 2 (Hendrycks & Gimpel 2016);
/// GeluTanh is the approximation. gelu' = Phi(x) + x phi(x).
struct Gelu {
  static constexpr const char* name = "gelu";
  static constexpr double inv_sqrt2 = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;
  template <class B> B value(const B& x) const noexcept { return simd::gelu_value(x); }
  template <class V> V pull(const V& dy, const V& x) const {
    const V bounded = clip(x, -40, 40);  // phi is 0 beyond, and so are its derivatives, even at infinity
    return dy * (0.5 * erfc(-inv_sqrt2 * x) + inv_sqrt_2pi * (bounded * exp(-0.5 * square(bounded))));
  }
};

/// Gelu by a tanh in place of the distribution function (Hendrycks & Gimpel 2016):
/// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = x sigmoid(t) with t = x (a + b x^2).
/// gelu_tanh' = sigmoid(t) + x sigmoid'(t) (a + 3 b x^2).
struct GeluTanh {
  static constexpr const char* name = "gelu_tanh";
  static constexpr double a = 1.59576912160573071176, b = 0.044715 * a;
  template <class B> B value(const B& x) const noexcept { return simd::gelu_tanh(x); }
  template <class V> V pull(const V& dy, const V& x) const {
    const V bounded = clip(x, -25, 25);  // sigmoid' is 0 beyond, and so are its derivatives, even at infinity
    const V square_x = square(bounded), t = bounded * (a + b * square_x);
    return dy * (sigmoid(t) + bounded * (0.25 * sech_squared(0.5 * t) * (a + 3 * b * square_x)));
  }
};

/// x sigmoid(x). silu' = sigmoid(x) + x sigmoid'(x).
struct Silu {
  static constexpr const char* name = "silu";
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    return simd::times_sigmoid(x, simd::Pair<B>{x, B(T(0))});
  }
  template <class V> V pull(const V& dy, const V& x) const {
    const V bounded = clip(x, -800, 800);  // sigmoid' is 0 beyond, and so are its derivatives, even at infinity
    return dy * (sigmoid(x) + bounded * (0.25 * sech_squared(0.5 * bounded)));
  }
};

/// 2 / sqrt(pi) int_0^x e^(-t^2) dt.
struct Erf {
  static constexpr const char* name = "erf";
  static constexpr double two_by_sqrt_pi = 1.12837916709551257390;
  template <class B> B value(const B& x) const noexcept { return simd::erf(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * slope(x); }
  // 0 beyond 40, and so are its derivatives, even at infinity.
  template <class V> static V slope(const V& x) { return two_by_sqrt_pi * exp(-square(clip(x, -40, 40))); }
};

/// 1 - erf(x), exact for large x.
struct Erfc {
  static constexpr const char* name = "erfc";
  template <class B> B value(const B& x) const noexcept { return simd::erfc(x); }
  template <class V> V pull(const V& dy, const V& x) const { return -(dy * Erf::slope(x)); }
};

/// w = sqrt(pi) / 2 e^(y^2) with y = erfinv x: the slope of erfinv, whose value is computed from x, not from y. By the
/// formula's own chain rule w' = 2 y y' w, and y' = w.
struct ErfInvSlope {
  static constexpr const char* name = "erfinv_slope";
  template <class B> B value(const B& x) const noexcept { return simd::erfinv_slope(x); }
  template <class V> V pull(const V& dy, const V& x) const {
    const V w = apply(ErfInvSlope{}, x);
    return dy * (2 * (erfinv(x) * w) * w);
  }
};

/// The inverse of erf; infinite at -1 and 1, NaN beyond.
struct ErfInv {
  static constexpr const char* name = "erfinv";
  template <class B> B value(const B& x) const noexcept { return simd::erfinv(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * apply(ErfInvSlope{}, x); }
};

/// x^c for a number c. By x: c x^(c-1), and 0 for c = 0.
struct PowScalar {
  static constexpr const char* name = "pow";
  double exponent;
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    if (exponent == 1) return x;
    if (exponent == 2) return x * x;
    if (exponent == 3) return x * x * x;
    if (exponent == -1) return B(T(1)) / x;
    return simd::pow(x, B(T(exponent)));
  }
  template <class V> V pull(const V& dy, const V& x) const {
    return exponent == 0 ? dy * 0 : dy * (exponent * pow(x, exponent - 1));
  }
};

/// low for x < low, high for x > high, else x; the gradient passes at the bounds. NaN stays NaN.
struct Clip {
  static constexpr const char* name = "clip";
  double low, high;
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    return xsimd::select(x < B(T(low)), B(T(low)), xsimd::select(x > B(T(high)), B(T(high)), x));
  }
  template <class V> V pull(const V& dy, const V& x) const { return select(x < low, 0, select(x > high, 0, dy)); }
};

}  // namespace xtape::fn

XTAPE_INLINED_END
