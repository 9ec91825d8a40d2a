#pragma once
// Sums of terms f(x, y, ...) over arrays seen as (outer, n, inner), along n, on SIMD batches and in one pass: plain
// sums, scalar products, squared deviations, sums of exponentials. All pairwise: the rounding error grows with log n.

#include <xtape/detail/memory.hpp>
#include <xtape/detail/simd.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

namespace xtape::kernels {

// A batch of which `count` lanes come from p. The others hold what follows in memory, of which there are `left`
// elements from p on, or else copies of the last one.
template <class T> simd::Batch<T> load_part(const T* p, std::size_t count, std::size_t left) {
  using B = simd::Batch<T>;
  if (left >= B::size) return B::load_unaligned(p);
  alignas(64) T lanes[B::size];
  for (std::size_t i = 0; i < B::size; ++i) lanes[i] = p[std::min(i, count - 1)];
  return B::load_aligned(lanes);
}
template <class T> void store_part(T* p, std::size_t count, const simd::Batch<T>& x) {
  alignas(64) T lanes[simd::Batch<T>::size];
  x.store_aligned(lanes);
  std::copy_n(lanes, count, p);
}

// True in the first `count` lanes.
template <class B> auto first_lanes(std::size_t count) {
  using T = typename B::value_type;
  static constexpr auto numbers = [] {
    std::array<T, B::size> lanes{};
    for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i] = static_cast<T>(i);
    return lanes;
  }();
  return B::load_unaligned(numbers.data()) < B(static_cast<T>(count));
}

// The M sums of f over x[0][i], x[1][i], ... for i in [0, n), f from K batches to M. `left` elements can be read.
// With `keep`, f makes one batch more, whose n numbers are kept in y.
template <std::size_t M, bool keep = false, class T, std::size_t K, class F>
std::array<T, M> sum_terms(std::size_t n, std::array<const T*, K> x, std::size_t left, const F& f, T* y = nullptr) {
  using B = simd::Batch<T>;
  constexpr std::size_t chains = 4, leaf = 32 * B::size;
  std::array<T, M> total;
  if (n > leaf) {
    const std::size_t half = (n / 2 + leaf - 1) / leaf * leaf;  // whole leaves, so that few are short
    const std::size_t first = half < n ? half : n / 2;
    total = sum_terms<M, keep>(first, x, left, f, y);
    for (auto& p : x) p += first;
    const std::array<T, M> rest = sum_terms<M, keep>(n - first, x, left - first, f, keep ? y + first : y);
    for (std::size_t m = 0; m < M; ++m) total[m] += rest[m];
    return total;
  }
  std::array<std::array<B, M>, chains> sums;
  for (auto& chain : sums) chain.fill(B(T(0)));
  const auto add = [&](std::size_t i, std::array<B, M>& to) {
    std::array<B, K> v;
    for (std::size_t k = 0; k < K; ++k) v[k] = B::load_unaligned(x[k] + i);
    const std::array<B, M + keep> term = f(v);
    if constexpr (keep) term[M].store_unaligned(y + i);
    for (std::size_t m = 0; m < M; ++m) to[m] += term[m];
  };
  std::size_t i = 0;
  for (; i + chains * B::size <= n; i += chains * B::size)
    for (std::size_t c = 0; c < chains; ++c) add(i + c * B::size, sums[c]);
  for (; i + B::size <= n; i += B::size) add(i, sums[0]);
  if (i < n) {
    std::array<B, K> v;
    for (std::size_t k = 0; k < K; ++k) v[k] = load_part(x[k] + i, n - i, left - i);
    const std::array<B, M + keep> term = f(v);
    if constexpr (keep) store_part(y + i, n - i, term[M]);
    for (std::size_t m = 0; m < M; ++m) sums[1][m] += xsimd::select(first_lanes<B>(n - i), term[m], B(T(0)));
  }
  for (std::size_t m = 0; m < M; ++m) total[m] = xsimd::hadd((sums[0][m] + sums[1][m]) + (sums[2][m] + sums[3][m]));
  return total;
}

// The same down the columns of (n, inner), for `columns` of them from x on: out[m][j] = sum_i f(x[k][i, j], p[k][j]),
// with numbers p that belong to a column. Blocks of 32 rows are added up in groups of four, and block sums meet like
// the carries of a binary counter, in `partial`, of partial_sums(M, n) elements. y: as above.
template <class T> inline constexpr std::size_t column_tile = 64 * simd::Batch<T>::size;
inline constexpr std::size_t row_block = 32;
template <class T> std::size_t partial_sums(std::size_t m, std::size_t n) {
  return (static_cast<std::size_t>(std::bit_width(n / row_block)) + 1) * m * column_tile<T>;
}
template <std::size_t M, bool keep = false, class T, std::size_t K, std::size_t P, class F>
void sum_columns(std::size_t n, std::size_t inner, std::size_t columns, const std::array<const T*, K>& x,
                 std::size_t left, const std::array<const T*, P>& p, const std::array<T*, M>& out, T* partial,
                 const F& f, T* y = nullptr) {
  using B = simd::Batch<T>;
  constexpr std::size_t tile = column_tile<T>, group = 4;
  const auto level_sums = [partial](std::size_t level, std::size_t m) { return partial + (level * M + m) * tile; };
  alignas(64) T sums[M][tile];
  for (std::size_t j = 0; j < columns; j += tile) {
    const std::size_t here = std::min(tile, columns - j), batches = (here + B::size - 1) / B::size;
    // Adds `count` rows from row r on to the sums.
    const auto add_rows = [&]<std::size_t count>(std::size_t r) {
      for (std::size_t c = 0; c < batches * B::size; c += B::size) {
        const std::size_t lanes = std::min(B::size, here - c);
        std::array<B, P> q;
        std::ranges::transform(p, q.begin(), [&](const T* of) { return load_part(of + j + c, lanes, here - c); });
        std::array<std::array<B, M + keep>, count> term;
        for (std::size_t i = 0; i < count; ++i) {
          std::array<B, K> v;
          const std::size_t at = (r + i) * inner + j + c;
          for (std::size_t k = 0; k < K; ++k) v[k] = load_part(x[k] + at, lanes, left - at);
          term[i] = f(v, q);
          if constexpr (keep)
            lanes == B::size ? term[i][M].store_unaligned(y + at) : store_part(y + at, lanes, term[i][M]);
        }
        for (std::size_t m = 0; m < M; ++m) {
          B sum = term[0][m];
          if constexpr (count == group) sum = (sum + term[1][m]) + (term[2][m] + term[3][m]);
          (B::load_aligned(&sums[m][c]) + sum).store_aligned(&sums[m][c]);
        }
      }
    };
    std::size_t blocks = 0;
    for (std::size_t i = 0; i < n; ++blocks) {
      for (std::size_t m = 0; m < M; ++m) std::fill_n(sums[m], batches * B::size, T(0));
      const std::size_t end = std::min(n, i + row_block);
      for (; i + group <= end; i += group) add_rows.template operator()<group>(i);
      for (; i < end; ++i) add_rows.template operator()<1>(i);
      std::size_t level = 0;
      for (; (blocks >> level) & 1; ++level)
        for (std::size_t m = 0; m < M; ++m)
          for (std::size_t c = 0; c < here; ++c) sums[m][c] += level_sums(level, m)[c];
      for (std::size_t m = 0; m < M; ++m) std::copy_n(sums[m], here, level_sums(level, m));
    }
    for (std::size_t m = 0; m < M; ++m) {
      T* const total = out[m] + j;
      std::fill_n(total, here, T(0));
      for (std::size_t level = 0; blocks >> level; ++level)
        if ((blocks >> level) & 1)
          for (std::size_t c = 0; c < here; ++c) total[c] += level_sums(level, m)[c];
    }
  }
}

// out[m][o, j] = sum_i f(x[k][o, i, j], p[k][o, j]) over whole arrays.
template <std::size_t M, class T, std::size_t K, std::size_t P, class F>
void sum_terms(std::size_t outer, std::size_t n, std::size_t inner, std::array<const T*, K> x,
               std::array<const T*, P> p, std::array<T*, M> out, const F& f) {
  using B = simd::Batch<T>;
  const auto partial = xtape::detail::Storage::make(inner == 1 ? 0 : partial_sums<T>(M, n) * sizeof(T));
  std::size_t left = outer * n * inner;
  for (std::size_t o = 0; o < outer; ++o, left -= n * inner) {
    if (inner == 1) {
      std::array<B, P> q;
      std::ranges::transform(p, q.begin(), [](const T* of) { return B(*of); });
      const std::array<T, M> sums = sum_terms<M>(n, x, left, [&](const std::array<B, K>& v) { return f(v, q); });
      for (std::size_t m = 0; m < M; ++m) *out[m] = sums[m];
    } else {
      sum_columns<M, false>(n, inner, inner, x, left, p, out, static_cast<T*>(partial->data()), f);
    }
    for (auto& pointer : x) pointer += n * inner;
    for (auto& pointer : p) pointer += inner;
    for (auto& pointer : out) pointer += inner;
  }
}

}  // namespace xtape::kernels
