#pragma once
/// \file dual.hpp  Dual numbers over SIMD batches: what a function runs on inside a fused map.

#include <xtape/detail/simd.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace xtape {

/// A value and its derivatives along N directions: v + sum_i p_i e_i with e_i e_j = 0. V is a SIMD batch,
/// or a Dual again for second derivatives. N = 0 is a plain value.
template <class V, std::size_t N> struct Dual {
  V value;
  std::array<V, N> partial{};
  /// Bit i is set where partial[i] counts; elsewhere it is 0 and not even computed. The bits are known to the compiler:
  /// they follow from the formula.
  unsigned directions = 0;

  bool varies(std::size_t i) const noexcept { return ((directions >> i) & 1U) != 0; }
};
/// A SIMD batch as a value of the functions in functions.hpp.
template <class T> using Lane = Dual<simd::Batch<T>, 0>;

namespace detail {

template <class V> struct ScalarOf;
template <class T, class A> struct ScalarOf<xsimd::batch<T, A>> { using type = T; };
template <class V, std::size_t N> struct ScalarOf<Dual<V, N>> : ScalarOf<V> {};
/// float or double, at the bottom of nested duals.
template <class V> using scalar_of = typename ScalarOf<V>::type;

template <class S>
concept Arithmetic = std::is_arithmetic_v<S>;

template <class V> struct Constant {
  static V make(scalar_of<V> c) noexcept { return V(c); }
};
template <class V, std::size_t N> struct Constant<Dual<V, N>> {
  static Dual<V, N> make(scalar_of<V> c) noexcept { return {Constant<V>::make(c), {}}; }
};
template <class V, Arithmetic S> V constant(S c) noexcept { return Constant<V>::make(static_cast<scalar_of<V>>(c)); }

/// dx/de_i.
template <class V, std::size_t N> V partial_of(const Dual<V, N>& x, std::size_t i) noexcept {
  return x.varies(i) ? x.partial[i] : constant<V>(0);
}

// The batch at the bottom, on which comparisons are made.
template <class T, class A> const xsimd::batch<T, A>& bottom(const xsimd::batch<T, A>& x) noexcept { return x; }
template <class V, std::size_t N> const auto& bottom(const Dual<V, N>& x) noexcept { return bottom(x.value); }

template <class M, class T, class A>
xsimd::batch<T, A> select_value(const M& mask, const xsimd::batch<T, A>& a, const xsimd::batch<T, A>& b) noexcept {
  return xsimd::select(mask, a, b);
}
template <class M, class V, std::size_t N>
Dual<V, N> select_value(const M& mask, const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  Dual<V, N> result{select_value(mask, a.value, b.value), {}, a.directions | b.directions};
  for (std::size_t i = 0; i < N; ++i)
    if (result.varies(i)) result.partial[i] = select_value(mask, partial_of(a, i), partial_of(b, i));
  return result;
}

}  // namespace detail

template <class V, std::size_t N> Dual<V, N> operator+(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  Dual<V, N> r{a.value + b.value, {}, a.directions | b.directions};
  for (std::size_t i = 0; i < N; ++i)
    r.partial[i] = !b.varies(i) ? a.partial[i] : !a.varies(i) ? b.partial[i] : a.partial[i] + b.partial[i];
  return r;
}
template <class V, std::size_t N> Dual<V, N> operator-(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  Dual<V, N> r{a.value - b.value, {}, a.directions | b.directions};
  for (std::size_t i = 0; i < N; ++i)
    r.partial[i] = !b.varies(i) ? a.partial[i] : !a.varies(i) ? -b.partial[i] : a.partial[i] - b.partial[i];
  return r;
}
template <class V, std::size_t N> Dual<V, N> operator-(const Dual<V, N>& a) noexcept {
  Dual<V, N> r{-a.value, {}, a.directions};
  for (std::size_t i = 0; i < N; ++i)
    if (a.varies(i)) r.partial[i] = -a.partial[i];
  return r;
}
template <class V, std::size_t N> Dual<V, N> operator+(const Dual<V, N>& a) noexcept { return a; }
/// d(ab) = da b + a db
template <class V, std::size_t N> Dual<V, N> operator*(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  Dual<V, N> r{a.value * b.value, {}, a.directions | b.directions};
  for (std::size_t i = 0; i < N; ++i) {
    if (a.varies(i)) r.partial[i] = a.partial[i] * b.value;
    if (b.varies(i)) r.partial[i] = a.varies(i) ? r.partial[i] + a.value * b.partial[i] : a.value * b.partial[i];
  }
  return r;
}
/// d(a/b) = (da - (a/b) db) / b
template <class V, std::size_t N> Dual<V, N> operator/(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  Dual<V, N> r{a.value / b.value, {}, a.directions | b.directions};
  for (std::size_t i = 0; i < N; ++i) {
    if (a.varies(i)) r.partial[i] = a.partial[i];
    if (b.varies(i)) r.partial[i] = a.varies(i) ? r.partial[i] - r.value * b.partial[i] : -(r.value * b.partial[i]);
    if (r.varies(i)) r.partial[i] = r.partial[i] / b.value;
  }
  return r;
}

// With a number on either side.
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator+(Dual<V, N> a, S c) noexcept {
  a.value = a.value + detail::constant<V>(c);
  return a;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator+(S c, const Dual<V, N>& a) noexcept {
  return a + c;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator-(Dual<V, N> a, S c) noexcept {
  a.value = a.value - detail::constant<V>(c);
  return a;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator-(S c, const Dual<V, N>& a) noexcept {
  return -a + c;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator*(Dual<V, N> a, S c) noexcept {
  const V factor = detail::constant<V>(c);
  a.value = a.value * factor;
  for (std::size_t i = 0; i < N; ++i)
    if (a.varies(i)) a.partial[i] = a.partial[i] * factor;
  return a;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator*(S c, const Dual<V, N>& a) noexcept {
  return a * c;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator/(Dual<V, N> a, S c) noexcept {
  const V divisor = detail::constant<V>(c);
  a.value = a.value / divisor;
  for (std::size_t i = 0; i < N; ++i)
    if (a.varies(i)) a.partial[i] = a.partial[i] / divisor;
  return a;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator/(S c, const Dual<V, N>& a) noexcept {
  return detail::constant<Dual<V, N>>(c) / a;
}

// Comparisons look at the values alone and give a mask for select().
#define XTAPE_COMPARISON(op)                                                                                    \
  template <class V, std::size_t N> auto operator op(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {       \
    return detail::bottom(a) op detail::bottom(b);                                                              \
  }                                                                                                             \
  template <class V, std::size_t N, detail::Arithmetic S> auto operator op(const Dual<V, N>& a, S c) noexcept { \
    const auto& x = detail::bottom(a);                                                                          \
    return x op std::remove_cvref_t<decltype(x)>(static_cast<detail::scalar_of<V>>(c));                         \
  }                                                                                                             \
  template <class V, std::size_t N, detail::Arithmetic S> auto operator op(S c, const Dual<V, N>& a) noexcept { \
    const auto& x = detail::bottom(a);                                                                          \
    return std::remove_cvref_t<decltype(x)>(static_cast<detail::scalar_of<V>>(c)) op x;                         \
  }
XTAPE_COMPARISON(<)
XTAPE_COMPARISON(<=)
XTAPE_COMPARISON(>)
XTAPE_COMPARISON(>=)
#undef XTAPE_COMPARISON

/// 1[a = b] as a mask.
template <class V, std::size_t N, class B> auto equal(const Dual<V, N>& a, const B& b) noexcept {
  return (a <= b) && (a >= b);
}

/// Where the mask holds a, elsewhere b; nothing of the branch not taken gets through, not even NaN.
template <class M, class V, std::size_t N>
Dual<V, N> select(const M& mask, const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  return detail::select_value(mask, a, b);
}
template <class M, class V, std::size_t N, detail::Arithmetic S>
Dual<V, N> select(const M& mask, const Dual<V, N>& a, S b) noexcept {
  return detail::select_value(mask, a, detail::constant<Dual<V, N>>(b));
}
template <class M, class V, std::size_t N, detail::Arithmetic S>
Dual<V, N> select(const M& mask, S a, const Dual<V, N>& b) noexcept {
  return detail::select_value(mask, detail::constant<Dual<V, N>>(a), b);
}

}  // namespace xtape
