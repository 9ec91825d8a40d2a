#pragma once
// Measuring an op of the table: how far its values and derivatives are from the truth.

#include "op_table.hpp"

#include <limits>
#include <string>

namespace xtape::test {

/// The largest errors allowed, relative to the entry compared, or to a hundredth of the largest entry (and of 1)
/// where it is smaller than that: digits that cancel are not the op's fault. A row's `conditioning` multiplies them.
struct Tolerances {
  double value = 4e-14;            ///< against the reference
  double first = 4e-13;            ///< first derivatives, against differences of the reference in long double
  double second = 4e-12;           ///< second derivatives along directions, likewise
  double third = 1e-8;             ///< and third ones; here differences in long double are themselves this far off
  double gradcheck = 1e-7;         ///< the library's own checks, by differences in double, first and second order
  double one_alone = 1e-15;        ///< gradients of one input alone, against those of all together
  double float_value = 2e-6;       ///< float against double
  double float_gradient = 1e-5;
};
inline constexpr Tolerances tolerances;

/// The largest error of each kind over all samples of a row. inf where shapes differ or NaN meets a number.
struct Errors {
  double value = 0, first = 0, second = 0, third = 0;
  double gradcheck_first = 0, gradcheck_second = 0;
  double float_value = 0, float_gradient = 0;
  double same_tensor = 0, one_alone = 0;
  std::string worst;  ///< the first sample that is not within the tolerances, and in what
};

/// One input to an op: a case of a row at one set of shapes, and the numbers there.
struct Sample {
  const Row* row;
  const Case* which;
  std::vector<Shape> shapes;
  Tensors<double> x;
  std::string name;  ///< "matmul case 3 (2, 3) (3, 2)"
};

/// All samples of a row. The numbers are the same in each run; each is one that float has too.
std::vector<Sample> samples_of(const Row& row);

/// Error of a against b as Tolerances has it.
double error_of(const Shape& a_shape, std::span<const double> a, const Shape& b_shape, std::span<const Real> b);

Errors measure(const Row& row);

/// Reference values at tensors.
Array reference_at(const Case& which, const Tensors<double>& x);

}  // namespace xtape::test
