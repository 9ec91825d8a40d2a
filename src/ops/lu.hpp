#pragma once
// LU factors of a batch of matrices, shared by solve, inverse, det and slogdet.

#include "matrices.hpp"

namespace xtape::detail {

template <class T> struct Lu {
  Matrices size;
  Tensor<T> factors;  // of the transposes, as kernels::lu leaves them; no history
  Indices pivot_list;
  std::ptrdiff_t singular = -1;  // the first matrix with a pivot of 0, or -1

  // LAPACK counts in int, Indices in unsigned of the same size.
  int* pivots(std::size_t matrix) const { return reinterpret_cast<int*>(pivot_list.data()) + matrix * size.rows; }
  // The diagonal of U of a matrix, which U's determinant is the product of.
  T diagonal(std::size_t matrix, std::size_t i) const {
    return factors.data()[(matrix * size.rows + i) * size.rows + i];
  }
  // The sign of the row exchanges.
  int permutation_sign(std::size_t matrix) const {
    int sign = 1;
    for (std::size_t i = 0; i < size.rows; ++i)
      if (pivots(matrix)[i] != static_cast<int>(i) + 1) sign = -sign;
    return sign;
  }
};

// Factors of NaN for a matrix that holds NaN or an infinity.
template <class T> Lu<T> lu(const char* op, const Tensor<T>& a);
// The factors of A: `known` if it is not empty, else they are computed and kept in `found`. An op has a member `known`
// where its caller may have factored already what the op is applied to. It belongs to those numbers alone: whoever
// evaluates the op on others empties it first.
template <class T> const Lu<T>& known_or_found(const char* op, const Tensor<T>& a, const Lu<T>& known, Lu<T>& found) {
  return known.factors.defined() ? known : found = lu(op, a);
}

// op(A) X = B by the factors of A, which are found if `known` is empty; recorded as "solve"; B: (..., n, m).
template <class T> Tensor<T> solve_factored(const Tensor<T>& a, const Lu<T>& known, const Tensor<T>& b, bool transpose);

// Throws ValueError that names the matrix with a pivot of 0, if there is one.
template <class T> void check_regular(const char* op, const Lu<T>& lu);

}  // namespace xtape::detail
