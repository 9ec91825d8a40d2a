#pragma once
// Matrix products on SIMD batches of the width compiled for.

#include <cstddef>

namespace xtape::kernels {

// C = op(A) op(B) + beta C with op(A): (n, k), op(B): (k, m), C: (n, m), all at least 1; rows lie lda, ldb and ldc
// elements apart.
template <class T>
void simd_gemm(bool transpose_a, bool transpose_b, std::size_t n, std::size_t m, std::size_t k, const T* a,
               std::size_t lda, const T* b, std::size_t ldb, T beta, T* c, std::size_t ldc);

}  // namespace xtape::kernels
