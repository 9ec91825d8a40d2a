#pragma once
// How far a result derived by hand is from what the tape, differences and enumeration say, and what follows.

#include <xtape/verify.hpp>

#include <array>
#include <functional>
#include <limits>
#include <string>

namespace derivation {

using Tensor = xtape::Tensor<double>;
using Function = std::function<Tensor(const Tensor&)>;

enum Reference : std::size_t { tape, differences, enumeration };
inline constexpr std::size_t references = 3;
// Largest relative error with which a right formula may meet each.
inline constexpr std::array<double, references> tolerance{1e-9, 1e-6, 1e-9};
// Step of the differences. Rounding costs about 1e-16/step, truncation about step^4.
inline constexpr double step = 5e-4;

struct Measured {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  std::array<double, references> error{none, none, none};  // none: not held against that reference
  double tape_and_differences = 0;                         // how far these two are apart
  std::string worst;                                       // the entry with the largest error, in words
};

// unclear: references disagree with each other, or one of them says right and another wrong.
enum class Verdict { right, wrong, unclear };
Verdict judge(const Measured& m);

// A gradient derived by hand, of a loss at a point, against the tape and against differences.
Measured gradient(const Tensor& by_hand, const Function& loss, const Tensor& at);

// A gradient where there is a kink, so that differences say nothing: against the tape alone.
Measured gradient_by_tape_only(const Tensor& by_hand, const Function& loss, const Tensor& at);

// A whole Jacobian; by_hand(o) is the gradient of output o = 0, 1, ... in row-major order.
Measured jacobian(const std::function<Tensor(int)>& by_hand, const Function& f, const Tensor& at);

// Values against those of a reference.
Measured values(const Tensor& by_hand, const Tensor& truth, Reference reference);

// A statement that is true or false in each of many cases, by enumeration: the error is the share of failures.
Measured share_of_failures(int failures, int cases);

}  // namespace derivation
