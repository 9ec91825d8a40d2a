// As Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008), have it: a tile of
// C stays in registers while a part of k passes, a tile's rows of A in the first cache, a block of B in the second.
#include "gemm_simd.hpp"

#include <xtape/detail/memory.hpp>
#include <xtape/detail/simd.hpp>

#include <algorithm>
#include <array>
#include <utility>

#include "transpose.hpp"

namespace xtape::kernels {
namespace {

template <class T> using Batch = simd::Batch<T>;

// A tile is at most so many rows by two batches: its sums fill three quarters of the registers, 32 of 64 bytes or 16.
template <class T> constexpr std::size_t tile_rows = sizeof(Batch<T>) == 64 ? 12 : 6;
template <class T> constexpr std::size_t tile_columns = 2 * Batch<T>::size;
// A tile's rows of A, of so many columns, fill about half of the first cache, and a block of B of the second.
constexpr std::size_t block_k = 392;
template <class T> constexpr std::size_t block_columns = 1024 / sizeof(T);
// B is copied into a block for more rows than this: fewer read it too seldom to pay for the copy.
constexpr std::size_t copied_for_rows = 48;

// Where a tile's sums go.
template <class T> struct Target {
  T* c;
  std::size_t ldc;
  std::size_t columns;  // of the last batch
  T beta;
};

// C = A B + beta C for one tile of `rows` rows and `batches` batches of columns. A's rows are a_row apart and its
// columns a_column, B's rows b_row.
template <class T, std::size_t rows, std::size_t batches>
void tile(std::size_t k, const T* a, std::size_t a_row, std::size_t a_column, const T* b, std::size_t b_row,
          const Target<T>& to) {
  using B = Batch<T>;
  constexpr std::size_t width = B::size;
  B sums[rows][batches];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < batches; ++v) sums[r][v] = B(T(0));
  // A pointer for three rows: there are not enough registers for one each.
  constexpr std::size_t groups = (rows + 2) / 3;
  const T* group[groups];
  for (std::size_t g = 0; g < groups; ++g) group[g] = a + 3 * g * a_row;
  for (std::size_t p = 0; p < k; ++p, b += b_row) {
    B line[batches];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < batches; ++v) line[v] = B::load_unaligned(b + v * width);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < rows; ++r) {
      const B factor(group[r / 3][r % 3 * a_row]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < batches; ++v) sums[r][v] = simd::fma(factor, line[v], sums[r][v]);
    }
#pragma GCC unroll 4
    for (std::size_t g = 0; g < groups; ++g) group[g] += a_column;
  }
  const B beta(to.beta);
  T* c = to.c;
#pragma GCC unroll 16
  for (std::size_t r = 0; r < rows; ++r, c += to.ldc)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < batches; ++v) {
      T* const at = c + v * width;
      const bool whole = v + 1 < batches || to.columns == width;
      if (to.beta != T(0))  // else what C holds is not read
        sums[r][v] = simd::fma(beta, whole ? B::load_unaligned(at) : simd::load_some(at, to.columns), sums[r][v]);
      if (whole)
        sums[r][v].store_unaligned(at);
      else
        simd::store_some(sums[r][v], at, to.columns);
    }
}

template <class T>
using Tile = void (*)(std::size_t, const T*, std::size_t, std::size_t, const T*, std::size_t, const Target<T>&);

// tiles<T>[batches - 1][rows - 1]
template <class T, std::size_t batches, std::size_t... r>
constexpr std::array<Tile<T>, sizeof...(r)> tiles_of(std::index_sequence<r...>) {
  return {&tile<T, r + 1, batches>...};
}
template <class T>
constexpr std::array<std::array<Tile<T>, tile_rows<T>>, 2> tiles = {
    tiles_of<T, 1>(std::make_index_sequence<tile_rows<T>>()), tiles_of<T, 2>(std::make_index_sequence<tile_rows<T>>())};

// to (k, tile_columns) = op(B) (k, columns), with zeros to the end of the last batch.
template <class T>
void copy_panel(bool transpose_b, std::size_t k, std::size_t columns, const T* b, std::size_t ldb, T* to) {
  constexpr std::size_t step = tile_columns<T>, width = Batch<T>::size;
  const std::size_t end = (columns + width - 1) / width * width;
  if (transpose_b)
    transpose(columns, k, b, ldb, to, step);
  else if (columns == step)
    for (std::size_t p = 0; p < k; ++p) std::copy_n(b + p * ldb, step, to + p * step);
  else
    for (std::size_t p = 0; p < k; ++p) std::copy_n(b + p * ldb, columns, to + p * step);
  if (columns < end)
    for (std::size_t p = 0; p < k; ++p) std::fill(to + p * step + columns, to + p * step + end, T(0));
}

}  // namespace

template <class T>
void simd_gemm(bool transpose_a, bool transpose_b, std::size_t n, std::size_t m, std::size_t k, const T* a,
               std::size_t lda, const T* b, std::size_t ldb, T beta, T* c, std::size_t ldc) {
  constexpr std::size_t step = tile_columns<T>, width = Batch<T>::size;
  const std::size_t a_row = transpose_a ? 1 : lda, a_column = transpose_a ? lda : 1;
  const std::size_t b_row = transpose_b ? 1 : ldb, b_column = transpose_b ? ldb : 1;
  // Parts of one size, as far as that goes.
  const auto part = [](std::size_t whole, std::size_t largest) {
    const std::size_t parts = (whole - 1) / largest + 1;
    return (whole - 1) / parts + 1;
  };
  const std::size_t depth = part(k, block_k), height = part(n, tile_rows<T>);
  const bool copy = transpose_b || n > copied_for_rows;
  const std::size_t panels = std::min(block_columns<T> / step, (m - 1) / step + 1);
  const auto storage = xtape::detail::Storage::make((copy ? panels : 1) * step * depth * sizeof(T));
  T* const block = static_cast<T*>(storage->data());

  for (std::size_t p = 0; p < k; p += depth) {
    const std::size_t kk = std::min(depth, k - p);
    for (std::size_t j0 = 0; j0 < m; j0 += block_columns<T>) {
      const std::size_t end = std::min(m, j0 + block_columns<T>);
      const auto panel_of = [&](std::size_t j) { return block + (copy ? (j - j0) * depth : 0); };
      // The last columns, if they do not fill their batches, are copied anyway.
      const auto copied = [&](std::size_t j) { return copy || (end - j < step && (end - j) % width != 0); };
      for (std::size_t j = j0; j < end; j += step)
        if (copied(j))
          copy_panel(transpose_b, kk, std::min(step, end - j), b + p * b_row + j * b_column, ldb, panel_of(j));
      for (std::size_t i = 0; i < n; i += height)
        for (std::size_t j = j0; j < end; j += step) {
          const std::size_t rows = std::min(height, n - i), columns = std::min(step, end - j);
          const std::size_t batches = (columns - 1) / width + 1;
          const bool panel = copied(j);
          tiles<T>[batches - 1][rows - 1](
              kk, a + i * a_row + p * a_column, a_row, a_column, panel ? panel_of(j) : b + p * ldb + j,
              panel ? step : ldb, {c + i * ldc + j, ldc, columns - (batches - 1) * width, p == 0 ? beta : T(1)});
        }
    }
  }
}

template void simd_gemm(bool, bool, std::size_t, std::size_t, std::size_t, const float*, std::size_t, const float*,
                        std::size_t, float, float*, std::size_t);
template void simd_gemm(bool, bool, std::size_t, std::size_t, std::size_t, const double*, std::size_t, const double*,
                        std::size_t, double, double*, std::size_t);

}  // namespace xtape::kernels
