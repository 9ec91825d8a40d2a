#include "gemm.hpp"

#include <xtape/detail/memory.hpp>
#include <xtape/detail/simd.hpp>
#include <xtape/error.hpp>

#include <cblas.h>

#include <algorithm>
#include <limits>

#include "blas_memory.hpp"
#include "gemm_simd.hpp"
#include "parallel.hpp"

namespace xtape::kernels {
namespace {

// CBLAS counts in int.
blasint to_blas(std::size_t n) {
  if (n > static_cast<std::size_t>(std::numeric_limits<blasint>::max()))
    throw ShapeError("matmul: an extent is larger than BLAS can address");
  return static_cast<blasint>(n);
}

void call(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint n, blasint m, blasint k, const float* a, blasint lda,
          const float* b, blasint ldb, float beta, float* c, blasint ldc) {
  need_blas_memory();
  cblas_sgemm(CblasRowMajor, ta, tb, n, m, k, 1.0F, a, lda, b, ldb, beta, c, ldc);
}
void call(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint n, blasint m, blasint k, const double* a, blasint lda,
          const double* b, blasint ldb, double beta, double* c, blasint ldc) {
  need_blas_memory();
  cblas_dgemm(CblasRowMajor, ta, tb, n, m, k, 1.0, a, lda, b, ldb, beta, c, ldc);
}
void call(CBLAS_TRANSPOSE t, blasint rows, blasint columns, const float* a, blasint lda, const float* x, float beta,
          float* y) {
  need_blas_memory();
  cblas_sgemv(CblasRowMajor, t, rows, columns, 1.0F, a, lda, x, 1, beta, y, 1);
}
void call(CBLAS_TRANSPOSE t, blasint rows, blasint columns, const double* a, blasint lda, const double* x, double beta,
          double* y) {
  need_blas_memory();
  cblas_dgemv(CblasRowMajor, t, rows, columns, 1.0, a, lda, x, 1, beta, y, 1);
}

// Where a product is cut: whole blocks of this many rows or columns, so that kernels meet few short ones.
constexpr std::size_t block = 8;
// Multiplications that take two to five microseconds: what a part has at least.
constexpr std::size_t part_products = 1 << 18;

// With registers of 64 bytes our products of 16 to 64 rows take from two thirds to all of OpenBLAS's time, and of more
// rows as long. Of fewer, or with fewer products to add up, and with smaller registers, OpenBLAS is faster or as fast.
template <class T> bool own_product(std::size_t n, std::size_t k) {
  constexpr std::size_t fewest = 12;
  return sizeof(simd::Batch<T>) == 64 && n >= fewest && k >= fewest;
}

// C = a b^T + beta C, of two vectors: each row is written once, and nothing need be laid out for that.
template <class T> void outer_product(std::size_t n, std::size_t m, const T* a, const T* b, T beta, T* c) {
  parallel_for(n, part_work / m + 1, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      T* const row = c + i * m;
      const T factor = a[i];
      if (beta == T(0))
        for (std::size_t j = 0; j < m; ++j) row[j] = factor * b[j];
      else
        for (std::size_t j = 0; j < m; ++j) row[j] = factor * b[j] + beta * row[j];
    }
  });
}

// The product of two matrices, the longer side of the result cut for several threads.
template <class T>
void matrix_product(bool ta, bool tb, std::size_t n, std::size_t m, std::size_t k, const T* a, std::size_t lda,
                    const T* b, std::size_t ldb, T beta, T* c) {
  const bool by_rows = n >= m, own = own_product<T>(n, k);
  const std::size_t length = by_rows ? n : m, other = by_rows ? m : n;
  parallel_for((length - 1) / block + 1, part_products / (block * other) / k + 1,
               [&](std::size_t from, std::size_t to) {
                 const std::size_t first = from * block, size = std::min(to * block, length) - first;
                 const std::size_t rows = by_rows ? size : n, columns = by_rows ? m : size;
                 const T* const a_part = by_rows ? a + first * (ta ? 1 : lda) : a;
                 const T* const b_part = by_rows ? b : b + first * (tb ? ldb : 1);
                 T* const c_part = c + first * (by_rows ? m : 1);
                 if (own)
                   simd_gemm(ta, tb, rows, columns, k, a_part, lda, b_part, ldb, beta, c_part, m);
                 else
                   call(ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, to_blas(rows), to_blas(columns),
                        to_blas(k), a_part, to_blas(lda), b_part, to_blas(ldb), beta, c_part, to_blas(m));
               });
}

// No extent is 0. Rows of a and b lie lda and ldb elements apart.
template <class T>
void product(bool ta, bool tb, std::size_t n, std::size_t m, std::size_t k, const T* a, std::size_t lda, const T* b,
             std::size_t ldb, T beta, T* c) {
  // A product with a vector: GEMV takes a fifth of the time of GEMM.
  if ((n == 1 || m == 1) && beta == T(0)) std::fill(c, c + n * m, T(0));  // GEMV may multiply what c holds by 0
  if (n == 1) {
    tb ? call(CblasNoTrans, to_blas(m), to_blas(k), b, to_blas(ldb), a, beta, c)
       : call(CblasTrans, to_blas(k), to_blas(m), b, to_blas(ldb), a, beta, c);
  } else if (m == 1) {
    ta ? call(CblasTrans, to_blas(k), to_blas(n), a, to_blas(lda), b, beta, c)
       : call(CblasNoTrans, to_blas(n), to_blas(k), a, to_blas(lda), b, beta, c);
  } else if (k == 1 && (ta || lda == 1) && (!tb || ldb == 1)) {
    outer_product(n, m, a, b, beta, c);
  } else {
    matrix_product(ta, tb, n, m, k, a, lda, b, ldb, beta, c);
  }
}

// A sum of so many products keeps its digits in float. BLAS adds those of matrices up in stretches of its own, those of
// a matrix and a vector one by one.
template <class T> constexpr std::size_t longest_sum(std::size_t n, std::size_t m) {
  constexpr std::size_t any = std::numeric_limits<std::size_t>::max() / 2;
  if (sizeof(T) > 4) return any;
  return n == 1 || m == 1 ? std::size_t{1} << 11 : std::size_t{1} << 13;
}

// Sums of more: of parts that are added up in double.
template <class T>
void product_in_parts(bool ta, bool tb, std::size_t n, std::size_t m, std::size_t k, std::size_t longest, const T* a,
                      const T* b, T beta, T* c) {
  const std::size_t lda = ta ? n : k, ldb = tb ? k : m, size = n * m;
  const auto sums_memory = detail::Storage::make(size * sizeof(double)),
             part_memory = detail::Storage::make(size * sizeof(T));
  auto* const sums = static_cast<double*>(sums_memory->data());
  auto* const part = static_cast<T*>(part_memory->data());
  std::fill_n(sums, size, 0.0);
  for (std::size_t first = 0; first < k; first += longest) {
    product(ta, tb, n, m, std::min(longest, k - first), a + first * (ta ? lda : 1), lda, b + first * (tb ? 1 : ldb),
            ldb, T(0), part);
    for (std::size_t i = 0; i < size; ++i) sums[i] += static_cast<double>(part[i]);
  }
  for (std::size_t i = 0; i < size; ++i)
    c[i] = static_cast<T>(beta == T(0) ? sums[i] : sums[i] + static_cast<double>(beta * c[i]));
}

}  // namespace

template <class T>
void gemm(bool transpose_a, bool transpose_b, std::size_t n, std::size_t m, std::size_t k, const T* a, const T* b,
          T beta, T* c) {
  if (n == 0 || m == 0) return;
  if (k == 0) {
    if (beta == T(0))
      std::fill(c, c + n * m, T(0));
    else
      std::transform(c, c + n * m, c, [beta](T v) { return beta * v; });
    return;
  }
  const std::size_t lda = transpose_a ? n : k, ldb = transpose_b ? k : m;
  if (const std::size_t part = longest_sum<T>(n, m); k > 2 * part)
    product_in_parts(transpose_a, transpose_b, n, m, k, part, a, b, beta, c);
  else
    product(transpose_a, transpose_b, n, m, k, a, lda, b, ldb, beta, c);
}

template <> float dot(std::size_t n, const float* x, const float* y) {
  constexpr std::size_t longest = 1 << 12;  // that keeps its digits in float
  if (n <= longest) return cblas_sdot(to_blas(n), x, 1, y, 1);
  double sum = 0;
  for (std::size_t i = 0; i < n; i += longest)
    sum += static_cast<double>(cblas_sdot(to_blas(std::min(longest, n - i)), x + i, 1, y + i, 1));
  return static_cast<float>(sum);
}
template <> double dot(std::size_t n, const double* x, const double* y) { return cblas_ddot(to_blas(n), x, 1, y, 1); }

template void gemm(bool, bool, std::size_t, std::size_t, std::size_t, const float*, const float*, float, float*);
template void gemm(bool, bool, std::size_t, std::size_t, std::size_t, const double*, const double*, double, double*);

}  // namespace xtape::kernels
