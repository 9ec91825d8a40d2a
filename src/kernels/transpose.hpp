#pragma once
// Transposed copies of parts of matrices.

#include <xtape/detail/simd.hpp>

#include <cstddef>

namespace xtape::kernels {

// to[c to_step + r] = from[r from_step + c]
template <class T>
void transpose(std::size_t rows, std::size_t columns, const T* from, std::size_t from_step, T* to,
               std::size_t to_step) {
  // In squares of 16 bytes' side, whose halves every SIMD instruction set interleaves.
  constexpr std::size_t side = 16 / sizeof(T);
  using B = xsimd::make_sized_batch_t<T, side>;
  const std::size_t whole_rows = rows / side * side, whole_columns = columns / side * side;
  for (std::size_t c = 0; c < whole_columns; c += side)
    for (std::size_t r = 0; r < whole_rows; r += side) {
      B line[side], half[side];
      for (std::size_t k = 0; k < side; ++k) line[k] = B::load_unaligned(from + (r + k) * from_step + c);
      // Each step interleaves the first half of the lines with the second; log2(side) of them transpose.
      for (std::size_t n = 1; n < side; n *= 2) {
        for (std::size_t k = 0; k < side / 2; ++k) {
          half[2 * k] = xsimd::zip_lo(line[k], line[k + side / 2]);
          half[2 * k + 1] = xsimd::zip_hi(line[k], line[k + side / 2]);
        }
        for (std::size_t k = 0; k < side; ++k) line[k] = half[k];
      }
      for (std::size_t k = 0; k < side; ++k) line[k].store_unaligned(to + (c + k) * to_step + r);
    }
  for (std::size_t c = 0; c < columns; ++c)
    for (std::size_t r = c < whole_columns ? whole_rows : 0; r < rows; ++r)
      to[c * to_step + r] = from[r * from_step + c];
}

}  // namespace xtape::kernels
