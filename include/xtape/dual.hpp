#pragma once
/// \file dual.hpp  Dual numbers over SIMD batches: what a function runs on inside a fused map.

#include <xtape/detail/simd.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

// In between, every function is inlined: a call would put vectors onto the stack and back, whatever -Os thinks. GCC
// does so for all that the loop calls (detail/loop.hpp), Clang for no more than what stands in the loop itself.
#ifdef __clang__
#define XTAPE_INLINED_BEGIN \
  _Pragma("clang attribute push(__attribute__((always_inline)), apply_to = function)") static_assert(true);
#define XTAPE_INLINED_END _Pragma("clang attribute pop") static_assert(true);
#else
#define XTAPE_INLINED_BEGIN
#define XTAPE_INLINED_END
#endif

XTAPE_INLINED_BEGIN

namespace xtape {

/// A value and its derivatives along N directions: v + sum_i p_i e_i with e_i e_j = 0. V is a SIMD batch,
/// or a Dual again for second derivatives. N = 0 is a plain value.
///
/// No loop runs over the partials here and in functions.hpp, and no conditional operator stands between two of them:
/// indexed by a variable, or with an address that is chosen, they lie in memory at -O2 and -Os, where no loop is
/// unrolled.
template <class V, std::size_t N> struct Dual {
  V value;
  std::array<V, N> partial{};
  /// Bit i is set where partial[i] counts; elsewhere it is 0 and not even computed. The bits are known to the compiler:
  /// they follow from the formula.
  unsigned directions = 0;
  /// Bit i is set where partial[i] is the same whatever the inputs' values are: 2 of 2 x + 1. Known likewise.
  unsigned uniform = 0;

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

/// A Dual of given value, whose partials are partial(0), ..., partial(N - 1) where they count, those of `uniform`
/// whatever the inputs' values are.
template <class V, std::size_t N, class P>
Dual<V, N> make_dual(const V& value, unsigned directions, const P& partial, unsigned uniform = 0) noexcept {
  const auto counted = [&](std::size_t i) -> V {
    if (((directions >> i) & 1U) == 0) return constant<V>(0);
    return partial(i);
  };
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return Dual<V, N>{value, {counted(I)...}, directions, uniform};
  }
  (std::make_index_sequence<N>{});
}

/// The uniform partials of a sum.
template <class V, std::size_t N> unsigned uniform_in_both(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  return (a.uniform | ~a.directions) & (b.uniform | ~b.directions) & (a.directions | b.directions);
}

/// dx/de_i.
template <class V, std::size_t N> V partial_of(const Dual<V, N>& x, std::size_t i) noexcept {
  if (x.varies(i)) return x.partial[i];
  return constant<V>(0);
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
  return make_dual<V, N>(select_value(mask, a.value, b.value), a.directions | b.directions,
                         [&](std::size_t i) { return select_value(mask, partial_of(a, i), partial_of(b, i)); });
}

}  // namespace detail

template <class V, std::size_t N> Dual<V, N> operator+(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  return detail::make_dual<V, N>(
      a.value + b.value, a.directions | b.directions,
      [&](std::size_t i) -> V {
        if (!b.varies(i)) return a.partial[i];
        if (!a.varies(i)) return b.partial[i];
        return a.partial[i] + b.partial[i];
      },
      detail::uniform_in_both(a, b));
}
template <class V, std::size_t N> Dual<V, N> operator-(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  return detail::make_dual<V, N>(
      a.value - b.value, a.directions | b.directions,
      [&](std::size_t i) -> V {
        if (!b.varies(i)) return a.partial[i];
        if (!a.varies(i)) return -b.partial[i];
        return a.partial[i] - b.partial[i];
      },
      detail::uniform_in_both(a, b));
}
template <class V, std::size_t N> Dual<V, N> operator-(const Dual<V, N>& a) noexcept {
  return detail::make_dual<V, N>(
      -a.value, a.directions, [&](std::size_t i) { return -a.partial[i]; }, a.uniform);
}
template <class V, std::size_t N> Dual<V, N> operator+(const Dual<V, N>& a) noexcept { return a; }
/// d(ab) = da b + a db
template <class V, std::size_t N> Dual<V, N> operator*(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  return detail::make_dual<V, N>(a.value * b.value, a.directions | b.directions, [&](std::size_t i) -> V {
    if (!b.varies(i)) return a.partial[i] * b.value;
    if (!a.varies(i)) return a.value * b.partial[i];
    return a.partial[i] * b.value + a.value * b.partial[i];
  });
}
/// d(a/b) = (da - (a/b) db) / b
template <class V, std::size_t N> Dual<V, N> operator/(const Dual<V, N>& a, const Dual<V, N>& b) noexcept {
  const V ratio = a.value / b.value;
  return detail::make_dual<V, N>(ratio, a.directions | b.directions, [&](std::size_t i) -> V {
    if (!b.varies(i)) return a.partial[i] / b.value;
    if (!a.varies(i)) return -(ratio * b.partial[i]) / b.value;
    return (a.partial[i] - ratio * b.partial[i]) / b.value;
  });
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
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator*(const Dual<V, N>& a, S c) noexcept {
  const V factor = detail::constant<V>(c);
  return detail::make_dual<V, N>(
      a.value * factor, a.directions, [&](std::size_t i) { return a.partial[i] * factor; }, a.uniform);
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator*(S c, const Dual<V, N>& a) noexcept {
  return a * c;
}
template <class V, std::size_t N, detail::Arithmetic S> Dual<V, N> operator/(const Dual<V, N>& a, S c) noexcept {
  const V divisor = detail::constant<V>(c);
  return detail::make_dual<V, N>(
      a.value / divisor, a.directions, [&](std::size_t i) { return a.partial[i] / divisor; }, a.uniform);
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

XTAPE_INLINED_END
