#pragma once
// Measuring an op of the table: how far its values and derivatives are from the truth.

#include "op_table.hpp"

#include <limits>
#include <string>

namespace xtape::test {

/// The largest errors allowed, relative to the entry compared, or to a hundredth (in float a tenth) of the
/// largest entry and of 1 where the entry is smaller: digits that cancel are not the op's fault. Derivatives along
/// directions: relative to the derivative, or to the terms summed up.
struct Tolerances {
  double value = 5e-15;       ///< against the reference
  double first = 1e-13;       ///< first derivatives, against differences of the reference in long double
  double second = 2e-12;      ///< second ones; here such differences are themselves 1e-12 off
  double third = 5e-9;        ///< and third ones, where they are 1e-9 off
  double gradcheck = 3e-8;    ///< the library's own checks, by differences in double, first and second order
  double one_alone = 1e-15;   ///< gradients of one input alone, against those of all together
  double float_value = 1e-6;  ///< float against double
  double float_gradient = 2e-6;
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

/// Numbers from the row's domains for inputs of these shapes; the same ones in each run.
Tensors<double> inputs_of(const Row& row, const std::vector<Shape>& shapes);

/// All samples of a row. The numbers are the same in each run; each is one that float has too.
std::vector<Sample> samples_of(const Row& row);

/// Error of a against b as Tolerances has it.
double error_of(const Shape& a_shape, std::span<const double> a, const Shape& b_shape, std::span<const Real> b,
                double floor = 0.01);

Errors measure(const Row& row);

/// Reference values at tensors.
Array reference_at(const Case& which, const Tensors<double>& x);

}  // namespace xtape::test
