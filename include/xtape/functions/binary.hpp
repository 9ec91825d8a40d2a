#pragma once
/// \file functions/binary.hpp  Elementwise functions of two arguments: pull_a and pull_b give dy times the derivative
/// by the first and by the second. How they are written: functions.hpp. `pull_a_reads_a = false`: that formula does
/// without a, which need not be kept for it; so too `pull_b_reads_b`.

#include <xtape/dual.hpp>

XTAPE_INLINED_BEGIN

namespace xtape::fn {

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
  static constexpr bool uses_inputs = true, pull_a_reads_a = false, pull_b_reads_b = false;
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

/// a^b. By a: b a^(b-1), and 0 for b = 0. By b: a^b log a, and 0 for a = 0 < b; NaN for a < 0.
struct Pow {
  static constexpr const char* name = "pow";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
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

/// The angle of the point (x, y) = (b, a), in [-pi, pi]. The gradient at the origin is 0.
struct Atan2 {
  static constexpr const char* name = "atan2";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return simd::atan2(a, b); }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    const auto r = radius(a, b);
    return dy * ((b / r) / r);
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    const auto r = radius(a, b);
    return -(dy * ((a / r) / r));
  }
  /// The distance from the origin; 1 at the origin, so that 0 can be divided by it.
  template <class A, class C> static auto radius(const A& a, const C& b) {
    const auto r = hypot(a, b);
    return select(equal(r, 0), 1, r);
  }
};

/// sqrt(a^2 + b^2), without overflow. The gradient at the origin is 0.
struct Hypot {
  static constexpr const char* name = "hypot";
  static constexpr bool uses_inputs = true, pull_a_reads_a = true, pull_b_reads_b = true;
  template <class B> B value(const B& a, const B& b) const noexcept { return simd::hypot(a, b); }
  template <class V, class A, class C> V pull_a(const V& dy, const A& a, const C& b) const {
    return dy * (a / Atan2::radius(a, b));
  }
  template <class V, class A, class C> V pull_b(const V& dy, const A& a, const C& b) const {
    return dy * (b / Atan2::radius(a, b));
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
