#pragma once
/// \file ops/solve.hpp  Systems of linear equations, inverses and determinants, through LAPACK.
///
/// Matrices are the last two axes; the axes before them count matrices, and those of two operands broadcast. A
/// right-hand side with one axis is a vector, with more a batch of matrices, as in NumPy 2. A matrix that holds a NaN
/// or an infinity gives NaN. All throw ShapeError on shapes that do not fit. Derivatives: Giles, "An extended
/// collection of matrix derivative results for forward and reverse mode algorithmic differentiation" (2008).

#include <xtape/tensor.hpp>

namespace xtape {

struct TriangularOptions {
  bool upper = false;          ///< A is upper, not lower triangular; its other triangle is not read
  bool transpose = false;      ///< solve Aᵀ X = B
  bool unit_diagonal = false;  ///< the diagonal is taken to be 1, and not read
};

/// A X = B, A triangular        A: (..., n, n), B: (n,) or (..., n, m), X: of B's kind
/// dB = A⁻ᵀ dX,    dA = -dB Xᵀ, in the triangle that was read
/// Throws ValueError if there is a 0 on the diagonal. With {.transpose = true}: dB = A⁻¹ dX, dA = -X dBᵀ.
///     triangular_solve(tril(A), Tensor<double>({2}, {4, 7}));  // = [1, 2]
template <class T>
Tensor<T> triangular_solve(const Tensor<T>& a, const Tensor<T>& b, const TriangularOptions& options = {});

/// A X = B for A = L Lᵀ, L of cholesky        L: (..., n, n), B: (n,) or (..., n, m), X: of B's kind
/// Two triangular solves, and their derivatives. Throws ValueError if there is a 0 on L's diagonal.
///     cholesky_solve(cholesky(A), Tensor<double>({2}, {6, 7}));  // = [1, 2]
template <class T> Tensor<T> cholesky_solve(const Tensor<T>& l, const Tensor<T>& b);

/// A X = B        A: (..., n, n), B: (n,) or (..., n, m), X: of B's kind. LU factors with row pivots.
/// dB = A⁻ᵀ dX,    dA = -dB Xᵀ, with the factors that the value was computed from
/// Throws ValueError if A is singular, that is if a pivot is 0. A matrix singular but for rounding is not noticed.
///     solve(A, Tensor<double>({2}, {6, 7}));  // = [1, 2]
template <class T> Tensor<T> solve(const Tensor<T>& a, const Tensor<T>& b);

/// Y = A⁻¹        A: (..., n, n).    dA = -Yᵀ dY Yᵀ. Where A⁻¹ B is wanted, solve(A, B) is faster and more exact.
/// Throws ValueError if A is singular, as solve does.
///     inverse(A);  // = [[0.272727, -0.0909091], [-0.0909091, 0.363636]]
template <class T> Tensor<T> inverse(const Tensor<T>& a);

/// y = det A        A: (..., n, n), y: (...); 1 for n = 0.    dA = dy C, C the matrix of cofactors
/// C = y A⁻ᵀ. Of a matrix that is singular, or is but for rounding, or whose determinant leaves the range of T,
/// C = det(U) det(V) U diag(prod_{j != i} s_j) Vᵀ of the singular value decomposition, which is right there, too. Rows
/// and columns of very different size are first scaled by powers of two, and partial products may leave the range of T.
/// Second derivatives exist at any rank. Third ones of such a matrix need distinct singular values: ValueError
/// otherwise.
///     det(A);  // = 11
template <class T> Tensor<T> det(const Tensor<T>& a);

/// det A = sign exp(log_abs_det), where det A itself may leave the range of T. Of a singular matrix: 0 and -inf. The
/// logarithm is that of the product of the pivots: what would cancel in a sum of logarithms costs no digits.
template <class T> struct SignedLogDet {
  Tensor<T> sign;         ///< -1, 0 or 1; not differentiable
  Tensor<T> log_abs_det;  ///< dA = dy A⁻ᵀ
};
/// A: (..., n, n); both results: (...). Of a singular matrix log_abs_det has no gradient: the sweep throws ValueError.
///     slogdet(-A).sign;  // = 1
///     exp(slogdet(-A).log_abs_det);  // = 11
template <class T> SignedLogDet<T> slogdet(const Tensor<T>& a);

}  // namespace xtape
