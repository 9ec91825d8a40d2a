#pragma once
/// \file verify.hpp  Holding gradients against each other: derived by hand, by the tape, by differences.

#include <xtape/format.hpp>
#include <xtape/tape.hpp>

#include <functional>
#include <string>
#include <vector>

namespace xtape {

struct VerifyOptions {
  /// Largest relative error allowed between two exact gradients (by hand and by the tape).
  double tolerance = 1e-9;
  /// Largest relative error allowed against differences.
  double difference_tolerance = 1e-6;
  /// Step of the differences, relative to max(1, |x_i|). Where third and fourth differences doubt what it gives, as
  /// next to a kink or a pole, finer steps are tried as well: `step` itself, step / 8 and relative_step |x_i|. Choose
  /// points that hold no kink within the finest of them (relu at 0, ties in a maximum).
  double step = 1e-4;
  /// For |x_i| less than a hundred steps, and not 0: log at 1e-10 is judged by what it does around 1e-10, and 1 + x by
  /// the larger step, which rounding leaves digits. Where the function throws a std::exception at a larger step, as
  /// outside of its domain, the finer ones count. 0: the one step only, for all elements.
  double relative_step = 1e-3;
  /// gradcheck: 0 compares the whole Jacobian; n compares u'Jv along n random pairs of directions.
  std::size_t random_directions = 0;
  /// gradcheck: also check the gradient of the gradient.
  bool second_order = false;
  /// Of the random directions and weights.
  std::uint64_t seed = 1;
};

/// Two gradients compared entry by entry. The relative error of entry i is
///     |a_i - b_i| / max(|a_i|, |b_i|, 1e-3 max_j |b_j|),
/// so that an entry tiny beside the others is not judged by its rounding noise. inf if either is NaN.
/// verify() and gradcheck() take as equal, with the error 0, what deviates from a difference by more than the tolerance
/// but by no more than differences can tell: the rounding of the function's values, 4 eps max|f| / h, and noise that a
/// subtraction within the function leaves, which shows in differences that get no better with a finer step.
struct GradientComparison {
  double largest_error = 0;        ///< relative, see above
  std::vector<std::size_t> worst;  ///< index of the entry with the largest error
  double first = 0, second = 0;    ///< the two values there
};

/// What verify() found. Print it with fmt or to_string.
struct GradientReport {
  std::string name;
  GradientComparison hand_and_tape, hand_and_differences, tape_and_differences;
  double tolerance = 0, difference_tolerance = 0;
  /// The hand-derived gradient agrees with the tape's and with differences, and the two with each other.
  bool passed = false;
};

/// What gradcheck() found: the tape's Jacobian (first) against differences (second). Of the index, the first
/// entries are the output's, then the input's number, then the entry within the input.
struct GradcheckReport {
  GradientComparison first_order, second_order;
  double tolerance = 0;
  bool passed = false;
};

/// Compares two tensors of the same shape as described at GradientComparison. Throws ShapeError if they differ.
GradientComparison compare_gradients(const Tensor<double>& a, const Tensor<double>& b);

/// d loss / dx by central differences of fourth order, (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h, with
/// a truncation error of h^4 f'''''/30 (Abramowitz & Stegun 25.3.6). loss maps x to one element. The steps are those of
/// VerifyOptions. Throws ValueError for a step that is not positive, or a relative one that is negative or not finite.
Tensor<double> difference_gradient(const std::function<Tensor<double>(const Tensor<double>&)>& loss,
                                   const Tensor<double>& x, double step = 1e-4, double relative_step = 1e-3);

/// Holds a gradient derived by hand against the tape and against differences, in double.
///     fmt::print("{}\n", verify("dLoss/dW", hand_derived, loss, W));
/// `loss` computes a tensor of one element from x with xtape ops; `hand_derived` has x's shape. The tape's gradient
/// of a loss that does not depend on x by recorded ops is 0, which the differences confirm or not.
/// Throws ShapeError for another shape, ValueError if x is empty, for a step or a tolerance that is not positive.
GradientReport verify(const std::string& name, const Tensor<double>& hand_derived,
                      const std::function<Tensor<double>(const Tensor<double>&)>& loss, const Tensor<double>& x,
                      const VerifyOptions& options = {});

/// Checks the tape's derivatives of any function of tensors against differences. Throws ValueError if there is none
/// to compare (an empty output, or inputs without elements), for a step or a tolerance that is not positive.
GradcheckReport gradcheck(const std::function<Tensor<double>(const std::vector<Tensor<double>>&)>& f,
                          const std::vector<Tensor<double>>& inputs, const VerifyOptions& options = {});
inline GradcheckReport gradcheck(const std::function<Tensor<double>(const Tensor<double>&)>& f, const Tensor<double>& x,
                                 const VerifyOptions& options = {}) {
  return gradcheck([&f](const std::vector<Tensor<double>>& inputs) { return f(inputs[0]); },
                   std::vector<Tensor<double>>{x}, options);
}

/// The report as text, one line a comparison: its last word is PASS or FAIL.
std::string to_string(const GradientReport& report);
std::string to_string(const GradcheckReport& report);
template <> inline constexpr bool detail::has_text<GradientReport> = true;
template <> inline constexpr bool detail::has_text<GradcheckReport> = true;

}  // namespace xtape

/// \cond
template <> struct fmt::formatter<xtape::GradientReport> : xtape::detail::TextFormatter<xtape::GradientReport> {};
template <> struct fmt::formatter<xtape::GradcheckReport> : xtape::detail::TextFormatter<xtape::GradcheckReport> {};
/// \endcond
