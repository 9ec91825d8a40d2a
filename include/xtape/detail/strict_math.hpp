#pragma once
/// \file detail/strict_math.hpp  Refuses flags under which the formulas in these headers are wrong.
///
/// The vectorised functions are compiled in the user's file, with the user's flags, and live on what -ffast-math gives
/// up: (x + c) - c rounds x, 1 - x^2 is (1 - x)(1 + x), NaN and infinity are looked for. No pragma takes back what the
/// flag allows: GCC does not inline across functions of different such flags, and the vector operations come from
/// headers of others. So `map` does not compile there, and says what to do. The ops are in the library, compiled with
/// its flags, and are right whatever a user's flags are.

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#define XTAPE_STRICT_MATH false
#else
#define XTAPE_STRICT_MATH true
#endif

#include <bit>
#include <cstdint>

namespace xtape::detail {

/// Defined nowhere: what the linker says is missing.
void map_needs_fno_fast_math_and_fno_unsafe_math_optimizations();

/// Clang 14 names some of the flags in no macro. But only if it may reorder sums, drop the sign of 0 or divide by a
/// reciprocal, does it know one of these without knowing x.
inline void refuse_fast_math() noexcept {
#ifdef __clang__
  double x = 1;
  __asm__("" : "+m"(x));
  const auto bits = std::bit_cast<std::uint64_t, double>;
  const double sum = (x + 1) - x;
  const std::uint64_t zero = bits(x + 0.0) ^ bits(x), quotient = bits(x / 3) ^ bits(x * (1.0 / 3));
  if (__builtin_constant_p(sum) + __builtin_constant_p(zero) + __builtin_constant_p(quotient) > 0)
    map_needs_fno_fast_math_and_fno_unsafe_math_optimizations();
#endif
}

}  // namespace xtape::detail
