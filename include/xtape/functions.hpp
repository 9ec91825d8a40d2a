#pragma once
/// \file functions.hpp  Every elementwise function: its value and its derivative, side by side.
///
/// A function is a struct with
///   value(x):          on a SIMD batch
///   pull(dy, x):       dy times the derivative at x, or
///   pull(dy, Result y) the same from the result y = f(x), where that loses no digits.
/// `pull` is written once and serves everywhere: on SIMD batches for the fused backward pass, on Duals
/// inside map(), and on Tensors when the sweep itself is recorded for higher derivatives. The formula may
/// therefore use only functions of this page, + - * /, comparisons, select() and numbers.

#include <xtape/dual.hpp>

namespace xtape {
namespace fn {

/// Marks a pull() that starts from the function's result.
template <class V> struct Result { const V& y; };

// ---- one argument ------------------------------------------------------------------------------------

struct Negate {
  static constexpr const char* name = "negate";
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

/// e^x - 1, exact near 0. From x, since y + 1 loses digits for x << 0.
struct Expm1 {
  static constexpr const char* name = "expm1";
  template <class B> B value(const B& x) const noexcept { return simd::expm1(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * exp(x); }
};

struct Log {
  static constexpr const char* name = "log";
  template <class B> B value(const B& x) const noexcept { return simd::log(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy / x; }
};

/// log(1 + x), exact near 0.
struct Log1p {
  static constexpr const char* name = "log1p";
  template <class B> B value(const B& x) const noexcept { return xsimd::log1p(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy / (1 + x); }
};

struct Sin {
  static constexpr const char* name = "sin";
  template <class B> B value(const B& x) const noexcept { return xsimd::sin(x); }
  template <class V> V pull(const V& dy, const V& x) const { return dy * cos(x); }
};

struct Cos {
  static constexpr const char* name = "cos";
  template <class B> B value(const B& x) const noexcept { return xsimd::cos(x); }
  template <class V> V pull(const V& dy, const V& x) const { return -(dy * sin(x)); }
};

/// tanh' = sech^2, not 1 - y^2, which loses all digits where y is near 1.
struct Tanh {
  static constexpr const char* name = "tanh";
  template <class B> B value(const B& x) const noexcept { return xsimd::tanh(x); }
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
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    const B e = simd::exp(-xsimd::abs(x)), one(T(1));
    return xsimd::select(x < B(T(0)), e, one) / (one + e);
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

/// x Phi(x), with the normal distribution function Phi(x) = erfc(-x / sqrt 2) / 2 (Hendrycks & Gimpel 2016),
/// not the tanh approximation. gelu' = Phi(x) + x phi(x).
struct Gelu {
  static constexpr const char* name = "gelu";
  static constexpr double inv_sqrt2 = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    // -inf times Phi(-inf) = 0 is 0, the limit.
    return xsimd::select(x < B(T(-40)), B(T(0)), B(T(0.5)) * x * simd::erfc(x * B(T(-inv_sqrt2))));
  }
  template <class V> V pull(const V& dy, const V& x) const {
    const V bounded = clip(x, -40, 40);  // phi is 0 beyond, and so are its derivatives, even at infinity
    return dy * (0.5 * erfc(-inv_sqrt2 * x) + inv_sqrt_2pi * (bounded * exp(-0.5 * square(bounded))));
  }
};

/// x sigmoid(x). silu' = sigmoid(x) + x sigmoid'(x).
struct Silu {
  static constexpr const char* name = "silu";
  template <class B> B value(const B& x) const noexcept {
    using T = typename B::value_type;
    return xsimd::select(x < B(T(-800)), B(T(0)), x * Sigmoid{}.value(x));
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

// ---- two arguments: pull_a and pull_b give dy times the derivative by the first and by the second ------

struct Add {
  static constexpr const char* name = "add";
  static constexpr bool uses_inputs = false;
  template <class B> B value(const B& a, const B& b) const noexcept { return a + b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C&) const { return dy; }
  template <class V, class A, class C> V pull_b(const V& dy, const A&, const C&) const { return dy; }
};

struct Subtract {
  static constexpr const char* name = "subtract";
  static constexpr bool uses_inputs = false;
  template <class B> B value(const B& a, const B& b) const noexcept { return a - b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C&) const { return dy; }
  template <class V, class A, class C> V pull_b(const V& dy, const A&, const C&) const { return -dy; }
};

struct Multiply {
  static constexpr const char* name = "multiply";
  static constexpr bool uses_inputs = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return a * b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C& b) const { return dy * b; }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C&) const { return dy * a; }
};

struct Divide {
  static constexpr const char* name = "divide";
  static constexpr bool uses_inputs = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return a / b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C& b) const { return dy / b; }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return -((dy * (a / b)) / b);
  }
};

/// a^b. By a: b a^(b-1), and 0 for b = 0. By b: a^b log a, and 0 for a = 0 < b; NaN for a < 0.
struct Pow {
  static constexpr const char* name = "pow";
  static constexpr bool uses_inputs = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return simd::pow(a, b); }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    return dy * select(equal(b, 0), 0, b * pow(a, b - 1));
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    const auto y = pow(a, b);
    return dy * (y * log(select(equal(y, 0), 1, a)));
  }
};

/// The larger; of equals each gets half the gradient. NaN if either is.
struct Maximum {
  static constexpr const char* name = "maximum";
  static constexpr bool uses_inputs = true;
  template <class B> B value(const B& a, const B& b) const noexcept {
    return xsimd::select(a > b, a, xsimd::select(b >= a, b, a + b));
  }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    return select(a > b, dy, select(a < b, 0, 0.5 * dy));
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return select(a < b, dy, select(a > b, 0, 0.5 * dy));
  }
};

/// The smaller; of equals each gets half the gradient. NaN if either is.
struct Minimum {
  static constexpr const char* name = "minimum";
  static constexpr bool uses_inputs = true;
  template <class B> B value(const B& a, const B& b) const noexcept {
    return xsimd::select(a < b, a, xsimd::select(b <= a, b, a + b));
  }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    return select(a < b, dy, select(a > b, 0, 0.5 * dy));
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return select(a > b, dy, select(a < b, 0, 0.5 * dy));
  }
};

// ---- the chain rule ------------------------------------------------------------------------------------

/// True if F's pull() starts from the result.
template <class F, class V>
concept PullsFromResult = requires(const F& f, const V& v) {
  f.pull(v, Result<V>{v});
};

/// dy times the derivative of f at x, where y = f(x).
template <class F, class V> V pull(const F& f, const V& dy, const V& x, const V& y) {
  if constexpr (PullsFromResult<F, V>)
    return f.pull(dy, Result<V>{y});
  else
    return f.pull(dy, x);
}

template <class F, class V, std::size_t N> Dual<V, N> apply(const F& f, const Dual<V, N>& x) noexcept;
template <class F, class V, std::size_t N>
Dual<V, N> apply(const F& f, const Dual<V, N>& a, const Dual<V, N>& b) noexcept;

namespace detail {
template <class F, class T, class A, class... X>
xsimd::batch<T, A> evaluate(const F& f, const xsimd::batch<T, A>& x, const X&... more) noexcept {
  return f.value(x, more...);
}
template <class F, class V, std::size_t N, class... X>
Dual<V, N> evaluate(const F& f, const Dual<V, N>& x, const X&... more) noexcept {
  return apply(f, x, more...);
}
// pull() takes Duals; a batch becomes a Dual without partials and back.
template <class T, class A> Dual<xsimd::batch<T, A>, 0> wrap(const xsimd::batch<T, A>& x) noexcept { return {x, {}}; }
template <class V, std::size_t N> const Dual<V, N>& wrap(const Dual<V, N>& x) noexcept { return x; }
template <class V, class W> V unwrap(const W& w) noexcept {
  if constexpr (std::is_same_v<V, W>)
    return w;
  else
    return w.value;
}
}  // namespace detail

template <class F, class V, std::size_t N> Dual<V, N> apply(const F& f, const Dual<V, N>& x) noexcept {
  Dual<V, N> y{detail::evaluate(f, x.value), {}};
  for (std::size_t i = 0; i < N; ++i)
    y.partial[i] = detail::unwrap<V>(pull(f, detail::wrap(x.partial[i]), detail::wrap(x.value), detail::wrap(y.value)));
  return y;
}

template <class F, class V, std::size_t N>
Dual<V, N> apply(const F& f, const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  Dual<V, N> y{detail::evaluate(f, a.value, b.value), {}};
  for (std::size_t i = 0; i < N; ++i)
    y.partial[i] =
        detail::unwrap<V>(f.pull_a(detail::wrap(a.partial[i]), detail::wrap(a.value), detail::wrap(b.value))) +
        detail::unwrap<V>(f.pull_b(detail::wrap(b.partial[i]), detail::wrap(a.value), detail::wrap(b.value)));
  return y;
}

}  // namespace fn

// ---- the functions by name, on Duals: what the formulas above and map() call -----------------------------

#define XTAPE_DUAL_FUNCTION(name, Struct) \
  template <class V, std::size_t N> Dual<V, N> name(const Dual<V, N>& x) noexcept { return fn::apply(fn::Struct{}, x); }
XTAPE_DUAL_FUNCTION(square, Square)
XTAPE_DUAL_FUNCTION(sqrt, Sqrt)
XTAPE_DUAL_FUNCTION(abs, Abs)
XTAPE_DUAL_FUNCTION(sign, Sign)
XTAPE_DUAL_FUNCTION(exp, Exp)
XTAPE_DUAL_FUNCTION(expm1, Expm1)
XTAPE_DUAL_FUNCTION(log, Log)
XTAPE_DUAL_FUNCTION(log1p, Log1p)
XTAPE_DUAL_FUNCTION(sin, Sin)
XTAPE_DUAL_FUNCTION(cos, Cos)
XTAPE_DUAL_FUNCTION(tanh, Tanh)
XTAPE_DUAL_FUNCTION(sech_squared, SechSquared)
XTAPE_DUAL_FUNCTION(sigmoid, Sigmoid)
XTAPE_DUAL_FUNCTION(softplus, Softplus)
XTAPE_DUAL_FUNCTION(relu, Relu)
XTAPE_DUAL_FUNCTION(gelu, Gelu)
XTAPE_DUAL_FUNCTION(silu, Silu)
XTAPE_DUAL_FUNCTION(erf, Erf)
XTAPE_DUAL_FUNCTION(erfc, Erfc)
#undef XTAPE_DUAL_FUNCTION

#define XTAPE_DUAL_FUNCTION(name, Struct)                                                                      \
  template <class V, std::size_t N> Dual<V, N> name(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {       \
    return fn::apply(fn::Struct{}, a, b);                                                                      \
  }                                                                                                            \
  template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> name(S a, const Dual<V, N>& b) noexcept { \
    return fn::apply(fn::Struct{}, detail::constant<Dual<V, N>>(a), b);                                        \
  }
XTAPE_DUAL_FUNCTION(maximum, Maximum)
XTAPE_DUAL_FUNCTION(minimum, Minimum)
XTAPE_DUAL_FUNCTION(pow, Pow)
#undef XTAPE_DUAL_FUNCTION

template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> maximum(const Dual<V, N>& a, S b) noexcept {
  return fn::apply(fn::Maximum{}, a, detail::constant<Dual<V, N>>(b));
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> minimum(const Dual<V, N>& a, S b) noexcept {
  return fn::apply(fn::Minimum{}, a, detail::constant<Dual<V, N>>(b));
}
/// A number as exponent: no logarithm of a negative base comes in.
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> pow(const Dual<V, N>& a, S exponent) noexcept {
  return fn::apply(fn::PowScalar{static_cast<double>(exponent)}, a);
}
template <class V, std::size_t N> Dual<V, N> leaky_relu(const Dual<V, N>& x, double slope = 0.01) noexcept {
  return fn::apply(fn::LeakyRelu{slope}, x);
}
template <class V, std::size_t N> Dual<V, N> elu(const Dual<V, N>& x, double alpha = 1.0) noexcept {
  return fn::apply(fn::Elu{alpha}, x);
}
template <class V, std::size_t N> Dual<V, N> clip(const Dual<V, N>& x, double low, double high) noexcept {
  return fn::apply(fn::Clip{low, high}, x);
}

}  // namespace xtape
