#pragma once
/// \file ops/decompositions.hpp  Factorisations of matrices, through LAPACK.
///
/// Matrices are the last two axes; the axes before them count matrices. cholesky and eigh take the symmetric part
/// (A + Aᵀ) / 2 of what they are given: the gradient is symmetric, and right for every element of A.
/// A matrix that holds a NaN or an infinity gives NaN. All throw ShapeError on shapes that do not fit, and Error if
/// LAPACK's iteration does not converge.
///
/// Vectors are unique but for their sign, and the sign is fixed, as said at each function: results are the same in each
/// run, and differentiable as long as the values they belong to differ. Where such values are equal, or differ by no
/// more than rounding, their vectors are arbitrary: a sweep that asks for their derivatives throws ValueError, also
/// where the whole would have a derivative, as V diag(w) Vᵀ has. Vectors of a value that differs from all others have
/// derivatives beside equal ones, and a matrix of a batch that no gradient reaches refuses nothing: where the loss uses
/// vectors, exactly equal values are refused if a gradient other than 0 reaches one of them or its vector. The
/// derivatives of the values alone are right there, too. Derivatives grow like 1 / difference as values come close.
/// "Largest components" of a vector are those within a factor of 1 - sqrt(epsilon) of the largest, so that rounding
/// does not choose the sign where some are equal.

#include <xtape/tensor.hpp>

namespace xtape {

/// A = L Lᵀ, L lower triangular with a positive diagonal        A, L: (..., n, n)
/// dA = 1/2 L⁻ᵀ M L⁻¹, M symmetric with the lower triangle of Lᵀ dL (Murray, "Differentiation of the Cholesky
/// decomposition", 2016; in half of a symmetric matrix)
/// Throws ValueError if A is not positive definite, naming the first leading minor that is not.
///     cholesky(A);  // = [[2, 0], [0.5, 1.65831]]
template <class T> Tensor<T> cholesky(const Tensor<T>& a);
/// y = log det A = 2 log prod_i L_ii for A = L Lᵀ        L: (..., n, n), y: (...).    dL_ii = 2 dy / L_ii
/// NaN if an element of the diagonal is negative. The product may leave the range of T.
///     cholesky_log_det(cholesky(A));  // = 2.3979
template <class T> Tensor<T> cholesky_log_det(const Tensor<T>& l);

template <class T> struct Qr {
  Tensor<T> q;  ///< (..., n, m), orthonormal columns
  Tensor<T> r;  ///< (..., m, m), upper triangular, diagonal >= 0
};
/// A = Q R, reduced        A: (..., n, m) with n >= m. Unique for A of full rank.
/// dA = (dQ + Q M) R⁻ᵀ, M symmetric with the lower triangle of R dRᵀ - dQᵀ Q (Walter & Lehmann, "Algorithmic
/// differentiation of linear algebra functions with application in optimum experimental design", 2010)
/// Of A of lower rank, also if it is so but for rounding, there is no gradient: the sweep throws ValueError.
///     qr(A).q;  // = [[0.970143, -0.242536], [0.242536, 0.970143]]
///     qr(A).r;  // = [[4.12311, 1.69775], [0, 2.66789]]
template <class T> Qr<T> qr(const Tensor<T>& a);

template <class T> struct Eigh {
  Tensor<T> values;   ///< (..., n), ascending
  Tensor<T> vectors;  ///< (..., n, n), one in each column, of length 1
};
/// A = V diag(w) Vᵀ for the symmetric part of A: (..., n, n). In each vector the first of the largest components by
/// size is positive. dA = V (diag(dw) + F (Vᵀ dV - dVᵀ V) / 2) Vᵀ with F_ij = 1 / (w_j - w_i), elementwise (Giles 2008)
///     eigh(A).values;  // = [2.38197, 4.61803]
///     eigh(A).vectors;  // = [[-0.525731, 0.850651], [0.850651, 0.525731]]
template <class T> Eigh<T> eigh(const Tensor<T>& a);
/// The eigenvalues of the symmetric part of A, ascending: those of eigh(a) but for rounding, in half the time.
/// dA = V diag(dw) Vᵀ; V is computed for the gradient alone.
///     eigvalsh(A);  // = [2.38197, 4.61803]
template <class T> Tensor<T> eigvalsh(const Tensor<T>& a);

template <class T> struct Svd {
  Tensor<T> u;   ///< (..., n, k), orthonormal columns
  Tensor<T> s;   ///< (..., k), descending, >= 0
  Tensor<T> vt;  ///< (..., k, m), orthonormal rows
};
/// A = U diag(s) Vᵀ, reduced        A: (..., n, m), k = min(n, m). In each column of U the first of the largest
/// components by size is positive.
/// dA = U (diag(ds) + F (Uᵀ dU - dUᵀ U) S + S F (Vᵀ dV - dVᵀ V)) Vᵀ + (1 - U Uᵀ) dU S⁻¹ Vᵀ + U S⁻¹ dVᵀ (1 - V Vᵀ)
/// with F_ij = 1 / (s_j² - s_i²), elementwise (Townsend, "Differentiating the singular value decomposition", 2016)
/// Unless n = m, vectors of a singular value 0 have no derivative either. ds at s = 0 is u vᵀ, one of the subgradients.
///     svd(M).s;  // = [9.50803, 0.77287]
template <class T> Svd<T> svd(const Tensor<T>& a);

enum class MatrixNorm {
  frobenius,  ///< sqrt(sum_ij a_ij²)
  nuclear,    ///< the sum of the singular values
  spectral,   ///< the largest singular value
};
struct MatrixNormOptions {
  MatrixNorm order = MatrixNorm::frobenius;
};
/// A norm of each matrix        A: (..., n, m), y: (...)
/// dA = dy A / y;    dy U Vᵀ;    dy u vᵀ of the largest singular value. Where a norm has a kink (A = 0; lower rank; two
/// largest singular values) one of its subgradients; the Frobenius norm's second derivative at A = 0 is NaN, as norm's.
/// Without elements 0, but no spectral norm: ShapeError.
///     matrix_norm(A);  // = 5.19615
///     matrix_norm(A, {.order = MatrixNorm::spectral});  // = 4.61803
template <class T> Tensor<T> matrix_norm(const Tensor<T>& a, const MatrixNormOptions& options = {});

}  // namespace xtape
