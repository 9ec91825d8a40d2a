#pragma once
// Matrix products of contiguous row-major matrices, by BLAS or on SIMD batches, whichever is faster.

#include <cstddef>

namespace xtape::kernels {

// C = op(A) op(B) + beta C with op(A): (n, k), op(B): (k, m), C: (n, m); op is the transpose where asked.
// Any extent may be 0.
template <class T>
void gemm(bool transpose_a, bool transpose_b, std::size_t n, std::size_t m, std::size_t k, const T* a, const T* b,
          T beta, T* c);

// sum_i x_i y_i
template <class T> T dot(std::size_t n, const T* x, const T* y);

}  // namespace xtape::kernels
