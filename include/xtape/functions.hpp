#pragma once
/// \file functions.hpp  Every elementwise function: its value and its derivative, side by side.
///
/// A function is a struct with
///   value(x):          on a SIMD batch
///   pull(dy, x):       dy times the derivative at x, or
///   pull(dy, Result y) the same from the result y = f(x), where that loses no digits;
///   value_and_slope(x): both on a SIMD batch, where they share an exponential. Optional; map() takes it.
/// and `uses_input = false` if the derivative is the same everywhere, so that neither need be kept for it.
/// `pull` is written once and serves everywhere: on SIMD batches for the fused backward pass, on Duals
/// inside map(), and on Tensors when the sweep itself is recorded for higher derivatives. The formula may
/// therefore use only functions of this page, + - * /, comparisons, select() and numbers.

#include <xtape/functions/binary.hpp>
#include <xtape/functions/unary.hpp>

XTAPE_INLINED_BEGIN

namespace xtape {
namespace fn {

// ---- the chain rule ------------------------------------------------------------------------------------

/// True if F's pull() starts from the result.
template <class F, class V>
concept PullsFromResult = requires(const F& f, const V& v) {
  f.pull(v, Result<V>{v});
};

/// True if F gives value and slope together on a batch V.
template <class F, class V>
concept GivesSlope = xsimd::is_batch<V>::value && requires(const F& f, const V& v) {
  f.value_and_slope(v);
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
template <class F> inline constexpr bool slope_is_uniform = requires { requires !F::uses_input; };
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
  if constexpr (N > 0 && GivesSlope<F, V>) {
    const ValueAndSlope<V> y = f.value_and_slope(x.value);
    return xtape::detail::make_dual<V, N>(y.value, x.directions, [&](std::size_t i) { return x.partial[i] * y.slope; });
  } else {
    const V y = detail::evaluate(f, x.value);
    return xtape::detail::make_dual<V, N>(
        y, x.directions,
        [&](std::size_t i) {
          return detail::unwrap<V>(pull(f, detail::wrap(x.partial[i]), detail::wrap(x.value), detail::wrap(y)));
        },
        detail::slope_is_uniform<F> ? x.uniform : 0);
  }
}

template <class F, class V, std::size_t N>
Dual<V, N> apply(const F& f, const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  const V y = detail::evaluate(f, a.value, b.value);
  return xtape::detail::make_dual<V, N>(y, a.directions | b.directions, [&](std::size_t i) -> V {
    const auto by_a = [&] {
      return detail::unwrap<V>(f.pull_a(detail::wrap(a.partial[i]), detail::wrap(a.value), detail::wrap(b.value)));
    };
    const auto by_b = [&] {
      return detail::unwrap<V>(f.pull_b(detail::wrap(b.partial[i]), detail::wrap(a.value), detail::wrap(b.value)));
    };
    if (!b.varies(i)) return by_a();
    if (!a.varies(i)) return by_b();
    return by_a() + by_b();
  });
}

}  // namespace fn

// ---- the functions by name, on Duals: what the formulas above and map() call -----------------------------

#define XTAPE_FUNCTION(name, Struct) \
  template <class V, std::size_t N> Dual<V, N> name(const Dual<V, N>& x) noexcept { return fn::apply(fn::Struct{}, x); }
#include <xtape/functions/list.hpp>

#define XTAPE_DUAL_FUNCTION(name, Struct)                                                                      \
  template <class V, std::size_t N> Dual<V, N> name(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {       \
    return fn::apply(fn::Struct{}, a, b);                                                                      \
  }                                                                                                            \
  template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> name(S a, const Dual<V, N>& b) noexcept { \
    return fn::apply(fn::Struct{}, detail::constant<Dual<V, N>>(a), b);                                        \
  }
#define XTAPE_DUAL_WITH_NUMBER(name, Struct)                                                                   \
  XTAPE_DUAL_FUNCTION(name, Struct)                                                                            \
  template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> name(const Dual<V, N>& a, S b) noexcept { \
    return fn::apply(fn::Struct{}, a, detail::constant<Dual<V, N>>(b));                                        \
  }
XTAPE_DUAL_WITH_NUMBER(maximum, Maximum)
XTAPE_DUAL_WITH_NUMBER(minimum, Minimum)
XTAPE_DUAL_WITH_NUMBER(atan2, Atan2)
XTAPE_DUAL_WITH_NUMBER(hypot, Hypot)
XTAPE_DUAL_WITH_NUMBER(logaddexp, Logaddexp)
XTAPE_DUAL_FUNCTION(pow, Pow)
#undef XTAPE_DUAL_WITH_NUMBER
#undef XTAPE_DUAL_FUNCTION

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

XTAPE_INLINED_END
