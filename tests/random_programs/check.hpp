#pragma once
// Running a program both ways and comparing.

#include "program.hpp"

#include <set>
#include <string>

namespace xtape::test {

/// What became of a program.
struct Checked {
  std::string complaint;                        ///< empty: the two agree
  bool near_kink = false;                       ///< not compared: a derivative jumps next to where it is
  bool second_order = false, in_float = false;  ///< compared in this, too
  /// The largest errors as multiples of what is allowed: value, gradient, second order, and the first two in float.
  std::array<double, 5> ratio{};
  std::set<std::string> recorded;  ///< names on the tapes
};

/// An error of double is allowed to be so many times the effect of noise of one rounding (2^-53 of the largest element)
/// put into each intermediate result, with its derivatives.
inline constexpr double allowed_noise = 64;

Checked check(const Program& program, std::uint64_t seed);

/// What the reference gives at the point t on the line that the leaves move along.
Jet reference_result(const Program& program, std::uint64_t seed, long double t);

}  // namespace xtape::test
