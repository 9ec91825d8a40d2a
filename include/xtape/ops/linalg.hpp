#pragma once
/// \file ops/linalg.hpp  Products of matrices and vectors, through BLAS.

#include <xtape/tensor.hpp>

namespace xtape {

struct MatmulOptions {
  bool transpose_a = false;  ///< use the transpose of the first matrix; a flag to GEMM, not a copy
  bool transpose_b = false;
};

/// Y = A B        A: (n, k), B: (k, m), Y: (n, m); with a flag, A: (k, n) or B: (m, k).
/// dA = dY Bᵀ,    dB = Aᵀ dY
/// Batched: a first axis of extent b on A, B or both (one of them may be 1) gives Y: (b, n, m).
/// Throws ShapeError if the inner dimensions or the batches differ, or on other numbers of axes.
template <class T> Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b, const MatmulOptions& options = {});

/// y = sum_i a_i b_i        a, b: (n,), y: ()
/// da = dy b,    db = dy a
template <class T> Tensor<T> dot(const Tensor<T>& a, const Tensor<T>& b);

/// Y_ij = a_i b_j        a: (n,), b: (m,), Y: (n, m)
/// da = dY b,    db = dYᵀ a
template <class T> Tensor<T> outer(const Tensor<T>& a, const Tensor<T>& b);

}  // namespace xtape
