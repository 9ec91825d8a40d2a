#pragma once
// Running sums and products of contiguous arrays seen as (outer, n, inner), along n, from either end.

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace xtape::kernels {

// Columns taken together: their state stays in the nearest cache.
inline constexpr std::size_t scan_tile = 128;

// Calls f(offset of row i, offset of the row before it, is it the first one, columns) in the order of the scan,
// for tile after tile.
template <class F> void for_scan(std::size_t outer, std::size_t n, std::size_t inner, bool reverse, const F& f) {
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t j = 0; j < inner; j += scan_tile) {
      std::size_t before = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t at = (o * n + (reverse ? n - 1 - i : i)) * inner + j;
        f(at, before, i == 0, std::min(scan_tile, inner - j));
        before = at;
      }
    }
}

// Running sums. What each addition rounds off is kept (Knuth's two-sum) and added up beside.
template <class T> void cumsum(const T* x, T* y, std::size_t outer, std::size_t n, std::size_t inner, bool reverse) {
  T sums[scan_tile], lost[scan_tile];
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t, bool first, std::size_t columns) {
    if (first) std::fill_n(sums, columns, T(0)), std::fill_n(lost, columns, T(0));
    for (std::size_t c = 0; c < columns; ++c) {
      const T s = sums[c], v = x[at + c], t = s + v, part = t - s;
      lost[c] += (s - (t - part)) + (v - part);
      sums[c] = t;
      y[at + c] = std::isfinite(t) ? t + lost[c] : t;
    }
  });
}

template <class T> void cumprod(const T* x, T* y, std::size_t outer, std::size_t n, std::size_t inner, bool reverse) {
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t before, bool first, std::size_t columns) {
    for (std::size_t c = 0; c < columns; ++c) y[at + c] = first ? x[at + c] : y[before + c] * x[at + c];
  });
}

// y_i = a_i y_(i-1) + b_i, without a_i y_(i-1) in the first row.
template <class T>
void recurrence(const T* a, const T* b, T* y, std::size_t outer, std::size_t n, std::size_t inner, bool reverse) {
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t before, bool first, std::size_t columns) {
    for (std::size_t c = 0; c < columns; ++c) y[at + c] = first ? b[at + c] : a[at + c] * y[before + c] + b[at + c];
  });
}

}  // namespace xtape::kernels
