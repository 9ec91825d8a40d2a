#pragma once
// Matrices scaled by powers of two, and cofactors of matrices of any rank.

#include <cstdint>
#include <vector>

#include "matrices.hpp"

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

// x times 2^exponent, element by element, recorded; where x and the result have the range of T, so has what lies
// between. exponent(i): of element i.
template <class T, class F> Tensor<T> times_powers(const Tensor<T>& x, const F& exponent) {
  constexpr std::int64_t limit = std::numeric_limits<T>::max_exponent - 2;
  std::vector<std::int64_t> left(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) left[i] = exponent(i);
  Tensor<T> result = x;
  for (int factors = 0; factors < 3 && std::ranges::any_of(left, [](auto k) { return k != 0; }); ++factors) {
    const Tensor<T> powers = Tensor<T>::uninitialised(x.shape());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::int64_t here = std::clamp(left[i], -limit, limit);
      powers.mutable_data()[i] = std::ldexp(T(1), static_cast<int>(here));
      left[i] -= here;
    }
    result = result * powers;
  }
  return result;
}

// The matrices of cofactors of A: (count, n, n), of any rank, times 2^-exponent[matrix], which keeps them in range. By
// the singular values: C = det U det V U diag(prod_{j != i} s_j) Vᵀ.
template <class T> struct ScaledCofactors {
  Tensor<T> cofactors;
  std::vector<std::int64_t> exponent;
};
template <class T> ScaledCofactors<T> scaled_cofactors(const Tensor<T>& a);

}  // namespace xtape::detail
