#pragma once
// The op table: one row per public op, and what every check in test_ops.cpp needs to know of it.
//
// To add an op, add a row to the file of its family (op_table_*.cpp). A row holds
//   - the op, as generic lambdas from a list of tensors to a tensor, for float and double at once;
//   - for each of them a reference: the same function written as plain loops in long double, which gives the
//     values and, by differences, derivatives far more exact than the tape's;
//   - input shapes, and the domain to sample from: away from kinks, and never all zeros. Samples are distinct,
//     with a gap, so there are no ties;
//   - the names that the op leaves on the tape, input that it must refuse, and reasons for what it cannot do.

#include <xtape/tensor.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace xtape::test {

template <class T> using Tensors = std::vector<Tensor<T>>;

/// A function of tensors in both precisions, from one generic lambda. The types are erased so that each check
/// is compiled once, not once per op.
struct Op {
  std::function<Tensor<double>(const Tensors<double>&)> in_double;
  std::function<Tensor<float>(const Tensors<float>&)> in_float;
  template <class F>
  requires std::is_invocable_r_v<Tensor<double>, F&, const Tensors<double>&> Op(F f) : in_double(f), in_float(f) {}
};

using Real = long double;

/// Elements in row-major order: what references compute on.
template <class E> struct ArrayOf {
  Shape shape;
  std::vector<E> values;
};
template <class E> using ReferenceOf = std::function<ArrayOf<E>(const std::vector<ArrayOf<E>>&)>;
using Array = ArrayOf<Real>;
using Arrays = std::vector<Array>;
using Reference = ReferenceOf<Real>;

/// One way to call the op: with certain options, with a number on one side, ...
struct Case {
  Op op;
  Reference reference;
  std::vector<std::vector<Shape>> shapes;  ///< each entry: one shape per input
};

/// Input that must throw a ShapeError whose message starts with the row's name and mentions the shapes.
struct Refused {
  Op op;
  std::vector<Shape> shapes;
  std::vector<Shape> mentioned{};  ///< if not those of the input
};

/// Where inputs are sampled: [low, high], at least `margin` away from each kink.
struct Domain {
  double low = -2, high = 2;
  std::vector<double> kinks{};
  double margin = 0.05;
};

enum Flags : unsigned {
  none = 0,
  /// Affine in all inputs together: f(x) - f(0) is the gradient times x.
  linear = 1,
  /// y_i depends on x_i alone: on one element after the other it gives the same bits.
  elementwise = 2,
  /// Inputs of different shapes broadcast: it gives the same as on inputs repeated by hand.
  broadcasting = 4,
  /// The result is never recorded.
  not_differentiable = 8,
  /// Computed in float, whatever its inputs are: held against the tolerances of float, and not against differences in
  /// double, whose steps it does not see.
  through_float = 16,
};

struct Row {
  std::string name;
  std::vector<Domain> domains{{}};  ///< of each input; the last one serves the rest
  std::vector<Case> cases{};
  unsigned flags = none;
  std::vector<std::string> records{};  ///< names on the tape; empty: the row's name
  std::vector<std::string> helpers{};  ///< ops without a public name that only its recorded sweep uses
  std::vector<Refused> refused{};
  std::string no_third_order{};  ///< why third derivatives are not to be had; empty: they are checked
  std::string no_float{};        ///< why float cannot be held against double; empty: it is

  std::vector<std::string> recorded_names() const { return records.empty() ? std::vector{name} : records; }
};

/// All rows.
const std::vector<Row>& op_table();

// By family.
std::vector<Row> arithmetic_rows();
std::vector<Row> elementwise_rows();
std::vector<Row> reduce_rows();
std::vector<Row> shape_rows();
std::vector<Row> axes_rows();
std::vector<Row> rearrange_rows();
std::vector<Row> index_rows();
std::vector<Row> linalg_rows();
std::vector<Row> conv_rows();
std::vector<Row> decomposition_rows();
std::vector<Row> loss_rows();
std::vector<Row> transform_rows();
std::vector<Row> scan_rows();
std::vector<Row> einsum_rows();
std::vector<Row> normalise_rows();

}  // namespace xtape::test
