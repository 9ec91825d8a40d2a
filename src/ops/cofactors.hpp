#pragma once
// Matrices scaled by powers of two, and cofactors of matrices of any rank.

#include <cstdint>
#include <vector>

#include "matrices.hpp"
#include "powers.hpp"

namespace xtape::detail {

// Exponents for the rows and columns of each matrix: A_ij 2^(row_i + column_j) has no row whose largest element by size
// is more than 1 or far below 1/2, and no such column, but for rows and columns of zeros. A matrix whose rows and
// columns differ little in size is left as it is.
struct Balance {
  std::size_t n = 0;
  std::vector<std::int64_t> row, column;  // (matrix, n)
  bool changes = false;                   // false if all exponents are 0
  // The exponent that scaling has multiplied a determinant by.
  std::int64_t of_determinant(std::size_t matrix) const {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < n; ++i) total += row[matrix * n + i] + column[matrix * n + i];
    return total;
  }
};
template <class T> Balance balance(const Tensor<T>& a, const Matrices& size);

// The matrices of cofactors of A: (count, n, n), of any rank, times 2^-exponent[matrix], which keeps them in range. By
// the singular values: C = det U det V U diag(prod_{j != i} s_j) Vᵀ.
template <class T> struct ScaledCofactors {
  Tensor<T> cofactors;
  std::vector<std::int64_t> exponent;
};
template <class T> ScaledCofactors<T> scaled_cofactors(const Tensor<T>& a);

}  // namespace xtape::detail
