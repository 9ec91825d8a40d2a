#pragma once
// Linear algebra in jets, for the references: elimination, Gram-Schmidt, and Newton's method on the equations that
// define eigenvectors and singular vectors.

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "program.hpp"

namespace xtape::test {

/// One matrix of a batch.
struct JetMatrix {
  std::size_t rows, columns;
  std::vector<Jet> values;
  JetMatrix(std::size_t n, std::size_t m) : rows(n), columns(m), values(n * m) {}
  Jet& operator()(std::size_t i, std::size_t j) { return values[i * columns + j]; }
  const Jet& operator()(std::size_t i, std::size_t j) const { return values[i * columns + j]; }
};

/// A tensor of well-conditioned matrices: tanh(x) / n beside the given diagonal, n the larger extent. No row's or
/// column's tanh(x) / n adds up to more than 1.
template <class T> Tensor<T> beside_diagonal(const Tensor<T>& x, const std::vector<double>& diagonal) {
  const std::size_t rows = x.shape()[x.shape().size() - 2], columns = x.shape().back();
  std::vector<T> elements(rows * columns);
  for (std::size_t i = 0; i < std::min(rows, columns); ++i) elements[i * columns + i] = static_cast<T>(diagonal[i]);
  return tanh(x) / static_cast<double>(std::max(rows, columns)) + Tensor<T>({rows, columns}, elements);
}
JetMatrix beside_diagonal(JetMatrix x, const std::vector<double>& diagonal);
/// As a program's text has it.
std::string beside_diagonal_text(const std::string& x, const std::vector<double>& diagonal);
/// Matrices small enough, in up to four axes.
bool few_matrices(const Shape& s);
inline bool square_matrices(const Shape& s) { return few_matrices(s) && s.back() == s[s.size() - 2]; }

/// JetMatrix k of the last two axes.
JetMatrix matrix_of(const Values& x, std::size_t k);

/// f(matrix) for each of them: a JetMatrix, whose shape `result` has behind the batch's extents.
JetReference per_matrix(const Shape& result, const std::function<JetMatrix(const JetMatrix&)>& f);

JetMatrix product(const JetMatrix& a, const JetMatrix& b);
JetMatrix transposed(const JetMatrix& a);
/// A^-1 B by elimination with row pivots.
JetMatrix solution(JetMatrix a, JetMatrix b);
/// The product of the pivots.
Jet determinant(JetMatrix a);
/// L of A = L Lt.
JetMatrix cholesky_of(const JetMatrix& a);
/// Q and R of A = Q R, with a positive diagonal, by Gram-Schmidt.
std::pair<JetMatrix, JetMatrix> qr_of(const JetMatrix& a);

/// Vectors in columns, values in a row. Both want matrices whose off-diagonal part is small beside the gaps between the
/// elements of the diagonal.
struct JetEigen {
  JetMatrix vectors, values;
};
/// Of a symmetric matrix with an ascending diagonal.
JetEigen eigen_of(const JetMatrix& a);
struct JetSingular {
  JetMatrix u, v, values;
};
/// Of a matrix with a descending positive diagonal.
JetSingular singular_of(const JetMatrix& a);

}  // namespace xtape::test
