#pragma once
// Matrix products in float by oneDNN, where the library was found and is faster than OpenBLAS.

#include <cstddef>

namespace xtape::kernels {

// C = op(A) op(B) + beta C as gemm() has it, of matrices whose rows lie lda, ldb and ldc apart. False, and nothing is
// done, if OpenBLAS is as good for these extents.
bool onednn_gemm(bool transpose_a, bool transpose_b, std::size_t n, std::size_t m, std::size_t k, const float* a,
                 std::size_t lda, const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc);

}  // namespace xtape::kernels
