#pragma once
// Running sums and products of contiguous arrays seen as (outer, n, inner), along n, from either end.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

namespace xtape::kernels {

// Columns taken together: their state stays in the nearest cache.
inline constexpr std::size_t scan_tile = 128;
// Rows taken together where each is scanned by itself: one would wait for every sum.
inline constexpr std::size_t scan_rows = 8;

// Calls f(offset of the first element, offset of the one before it, is it the first step, elements, their distance) in
// the order of the scan, for tile after tile.
template <class F> void for_scan(std::size_t outer, std::size_t n, std::size_t inner, bool reverse, const F& f) {
  const auto scan = [&](std::size_t start, std::size_t step, std::size_t count, auto apart) {
    std::size_t before = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = start + (reverse ? n - 1 - i : i) * step;
      f(at, before, i == 0, count, apart);
      before = at;
    }
  };
  if (n == 0 || inner == 0) return;  // of whatever number of empty slices
  if (inner == 1) {
    for (std::size_t o = 0; o < outer; o += scan_rows) scan(o * n, 1, std::min(scan_rows, outer - o), n);
    return;
  }
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t j = 0; j < inner; j += scan_tile)
      scan(o * n * inner + j, inner, std::min(scan_tile, inner - j), std::integral_constant<std::size_t, 1>{});
}

// Running sums. Those of float are kept in double; of those of double what each addition rounds off (Knuth's two-sum)
// is added up beside.
inline void cumsum(const float* x, float* y, std::size_t outer, std::size_t n, std::size_t inner, bool reverse) {
  double sums[scan_tile];
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t, bool first, std::size_t columns, auto apart) {
    if (first) std::fill_n(sums, columns, 0.0);
    for (std::size_t c = 0; c < columns; ++c) {
      sums[c] += static_cast<double>(x[at + c * apart]);
      y[at + c * apart] = static_cast<float>(sums[c]);
    }
  });
}
inline void cumsum(const double* x, double* y, std::size_t outer, std::size_t n, std::size_t inner, bool reverse) {
  using T = double;
  T sums[scan_tile], lost[scan_tile];
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t, bool first, std::size_t columns, auto apart) {
    if (first) std::fill_n(sums, columns, T(0)), std::fill_n(lost, columns, T(0));
    for (std::size_t c = 0; c < columns; ++c) {
      const T s = sums[c], v = x[at + c * apart], t = s + v, part = t - s;
      lost[c] += (s - (t - part)) + (v - part);
      sums[c] = t;
      y[at + c * apart] = std::isfinite(t) ? t + lost[c] : t;
    }
  });
}

// Running products; those of float are kept in double.
inline void cumprod(const float* x, float* y, std::size_t outer, std::size_t n, std::size_t inner, bool reverse) {
  double products[scan_tile];
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t, bool first, std::size_t columns, auto apart) {
    if (first) std::fill_n(products, columns, 1.0);
    for (std::size_t c = 0; c < columns; ++c) {
      products[c] *= static_cast<double>(x[at + c * apart]);
      y[at + c * apart] = static_cast<float>(products[c]);
    }
  });
}
inline void cumprod(const double* x, double* y, std::size_t outer, std::size_t n, std::size_t inner, bool reverse) {
  for_scan(outer, n, inner, reverse,
           [&](std::size_t at, std::size_t before, bool first, std::size_t columns, auto apart) {
             for (std::size_t c = 0; c < columns; ++c)
               y[at + c * apart] = first ? x[at + c * apart] : y[before + c * apart] * x[at + c * apart];
           });
}

// y_i = a_i y_(i-1) + b_i, without a_i y_(i-1) in the first row. Those of float are kept in double; of those of double,
// what each addition rounds off goes the same way beside.
inline void recurrence(const float* a, const float* b, float* y, std::size_t outer, std::size_t n, std::size_t inner,
                       bool reverse) {
  double state[scan_tile];
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t, bool first, std::size_t columns, auto apart) {
    for (std::size_t c = 0; c < columns; ++c) {
      const double step = static_cast<double>(b[at + c * apart]);
      state[c] = first ? step : static_cast<double>(a[at + c * apart]) * state[c] + step;
      y[at + c * apart] = static_cast<float>(state[c]);
    }
  });
}
inline void recurrence(const double* a, const double* b, double* y, std::size_t outer, std::size_t n, std::size_t inner,
                       bool reverse) {
  double state[scan_tile], lost[scan_tile];
  for_scan(outer, n, inner, reverse, [&](std::size_t at, std::size_t, bool first, std::size_t columns, auto apart) {
    if (first) std::fill_n(state, columns, 0.0), std::fill_n(lost, columns, 0.0);
    for (std::size_t c = 0; c < columns; ++c) {
      const double factor = a[at + c * apart], step = b[at + c * apart];
      const double kept = first ? 0.0 : factor * state[c], next = kept + step, part = next - kept;
      lost[c] = (first ? 0.0 : factor * lost[c]) + ((kept - (next - part)) + (step - part));
      state[c] = next;
      y[at + c * apart] = std::isfinite(next) ? next + lost[c] : next;
    }
  });
}

}  // namespace xtape::kernels
