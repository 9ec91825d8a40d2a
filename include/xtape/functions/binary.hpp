#pragma once
/// \file functions/binary.hpp  Elementwise functions of two arguments: pull_a and pull_b give dy times the derivative
/// by the first and by the second. How they are written: functions.hpp. `pull_a_reads_a = false`: that formula does
/// without a, which need not be kept for it; so too `pull_b_reads_b`.

#include <xtape/dual.hpp>

XTAPE_INLINED_BEGIN

namespace xtape::fn {

struct Add {
  static constexpr const char* name = "add";
  static constexpr bool uses_inputs = false, linear = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return a + b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C&) const { return dy; }
  template <class V, class A, class C> V pull_b(const V& dy, const A&, const C&) const { return dy; }
};

struct Subtract {
  static constexpr const char* name = "subtract";
  static constexpr bool uses_inputs = false, linear = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return a - b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C&) const { return dy; }
  template <class V, class A, class C> V pull_b(const V& dy, const A&, const C&) const { return -dy; }
};

struct Multiply {
  static constexpr const char* name = "multiply";
  static constexpr bool bilinear = true, uses_inputs = true, pull_a_reads_a = false, pull_b_reads_b = false;
  template <class B> B value(const B& a, const B& b) const noexcept { return a * b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C& b) const { return dy * b; }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C&) const { return dy * a; }
};

struct Divide {
  static constexpr const char* name = "divide";
  static constexpr bool uses_inputs = true, pull_a_reads_a = false, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return a / b; }
  template <class V, class A, class C> V pull_a(const V& dy, const A&, const C& b) const { return dy / b; }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return -((dy * (a / b)) / b);
  }
};

/// a^b. By a: b a^(b-1), and 0 for b = 0. By b: a^b log a, and 0 for a = 0 < b, as are all derivatives of that; NaN for
/// a < 0. The mixed one at b = 0 is 1 / a, but for a below 1e-76 (float: 1e-9) that of these.
struct Pow {
  static constexpr const char* name = "pow";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return simd::pow(a, b); }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    // For b = 0 this is 0 a^-1, 0 inf near a = 0, as would be its derivatives: a number takes a's place there.
    // Selecting the result instead would leave out the derivative by b, and on tensors multiply the infinite one of
    // what was not taken by 0.
    constexpr double small = near_zero<V>();
    return dy * (b * pow(select(equal(b, 0), select(abs(a) >= small, a, small), a), b - 1));
  }
  /// Of larger numbers the fourth power of the reciprocal is finite.
  template <class V> static constexpr double near_zero() {
    if constexpr (requires { typename V::value_type; })
      return sizeof(typename V::value_type) == 4 ? 1e-9 : 1e-76;
    else
      return sizeof(xtape::detail::scalar_of<V>) == 4 ? 1e-9 : 1e-76;
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    const auto y = pow(a, b);
    return dy * (y * log(select(equal(y, 0), 1, a)));
  }
};

/// The larger; of equals each gets half the gradient. NaN if either is.
struct Maximum {
  static constexpr const char* name = "maximum";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
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
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
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

/// a / sqrt(a^2 + b^2), without overflow: the slope of hypot. 0 at the origin, where it has no limit, and none of its
/// derivatives, 1 / r times a sine and a sine or cosine: they are 0 / 0 = NaN there. By the quotient's chain rule the
/// one by a, 1 / r - a^2 / r^3, would cancel for |b| << |a|.
struct Cosine {
  static constexpr const char* name = "cosine";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept {
    const B r = simd::hypot(a, b), zero(typename B::value_type(0)),
            inf(std::numeric_limits<typename B::value_type>::infinity());
    const auto odd = (r == zero) || (r == inf);
    if (!xsimd::any(odd)) [[likely]]
      return a / r;
    return xsimd::select(r == zero, zero, xsimd::select(r == inf, far(a, b), a / r));
  }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    const auto sine = apply(Cosine{}, b, a);
    return dy * (sine * (sine / hypot(a, b)));  // in this order: the square may underflow
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return -(dy * (apply(Cosine{}, a, b) * (apply(Cosine{}, b, a) / hypot(a, b))));
  }

 private:
  /// Where the radius overflows, or a is infinite: 1 or -1.
  template <class B> [[gnu::noinline, gnu::cold]] static B far(const B& a, const B& b) noexcept {
    using T = typename B::value_type;
    const B quarter(T(0.25)), inf(std::numeric_limits<T>::infinity()), u = a * quarter, v = b * quarter;
    return xsimd::select((xsimd::abs(a) == inf) && (xsimd::abs(b) < inf), xsimd::copysign(B(T(1)), a),
                         u / simd::hypot(u, v));
  }
};

/// a / (a^2 + b^2), the slope of atan2, with one radius for both divisions. 0 at the origin and at infinity; at the
/// origin its derivatives are NaN, as Cosine's are.
struct CosineByRadius {
  static constexpr const char* name = "cosine_by_radius";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept {
    using T = typename B::value_type;
    const B h = simd::hypot(a, b), zero(T(0)), r = xsimd::select(h == zero, B(T(1)), h);
    return xsimd::select(r == B(std::numeric_limits<T>::infinity()), zero, (a / r) / r);
  }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    const auto cosine = apply(Cosine{}, a, b), sine = apply(Cosine{}, b, a), r = hypot(a, b);
    return dy * (((sine - cosine) / r) * ((sine + cosine) / r));
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    const auto r = hypot(a, b);
    return dy * (-2 * (apply(Cosine{}, a, b) / r) * (apply(Cosine{}, b, a) / r));
  }
};

/// The angle of the point (x, y) = (b, a), in [-pi, pi]. The gradient at the origin is 0, and NaN its derivatives.
struct Atan2 {
  static constexpr const char* name = "atan2";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return simd::atan2(a, b); }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    return dy * apply(CosineByRadius{}, b, a);
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return -(dy * apply(CosineByRadius{}, a, b));
  }
};

/// sqrt(a^2 + b^2), without overflow. The gradient at the origin is 0, and NaN its derivatives.
struct Hypot {
  static constexpr const char* name = "hypot";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return simd::hypot(a, b); }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    return dy * apply(Cosine{}, a, b);
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return dy * apply(Cosine{}, b, a);
  }
};

/// log(e^a + e^b) = max + log1p(e^-|a - b|). No gradient (NaN) at equal infinities.
struct Logaddexp {
  static constexpr const char* name = "logaddexp";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept {
    const B distance = xsimd::select(a == b, B(typename B::value_type(0)), xsimd::abs(a - b));
    return xsimd::select(a > b, a, b) + xsimd::log1p(simd::exp(-distance));
  }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    return dy * sigmoid(a - b);
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return dy * sigmoid(b - a);
  }
};

}  // namespace xtape::fn

XTAPE_INLINED_END
