#pragma once
/// \file ops/linalg.hpp  Products of matrices and vectors, through BLAS.

#include <xtape/tensor.hpp>

namespace xtape {

struct MatmulOptions {
  bool transpose_a = false;  ///< use the transpose of the first matrix; a flag to GEMM, not a copy
  bool transpose_b = false;
};

/// Y = A B        A: (..., n, k), B: (..., k, m), Y: (..., n, m); with a flag, A: (..., k, n) or B: (..., m, k).
/// dA = dY Bᵀ,    dB = Aᵀ dY, each summed over the axes along which it was broadcast
/// The axes before the last two count matrices and broadcast, without copies. A vector (k,) is one row on the left,
/// one column on the right, which Y lacks: matrix times vector gives (..., n), vector times vector (). Flags do not
/// apply to vectors.
/// Throws ShapeError if the inner dimensions differ, the batches do not broadcast, or on a 0-d tensor.
///     matmul(A, M);  // = [[8, 13, 18], [13, 17, 21]]
///     matmul(M, x);  // = [11, 29]
template <class T> Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b, const MatmulOptions& options = {});

/// y = sum_i a_i b_i        a, b: (n,), y: ()
/// da = dy b,    db = dy a
///     dot(x, z);  // = 1.5
template <class T> Tensor<T> dot(const Tensor<T>& a, const Tensor<T>& b);

/// Y_ij = a_i b_j        a: (n,), b: (m,), Y: (n, m)
/// da = dY b,    db = dYᵀ a
///     outer(x, z);  // = [[1.5, 6, -3], [0.5, 2, -1], [1, 4, -2]]
template <class T> Tensor<T> outer(const Tensor<T>& a, const Tensor<T>& b);

/// y = sum_i A_i,i+offset        A: (..., n, m), y: (...). A diagonal outside the matrix is empty: 0.
/// dA_i,i+offset = dy, 0 elsewhere. Throws ShapeError on fewer than two axes.
///     trace(A);  // = 7
template <class T> Tensor<T> trace(const Tensor<T>& a, std::ptrdiff_t offset = 0);

}  // namespace xtape
