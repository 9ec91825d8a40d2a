#pragma once
// Sums and extrema of contiguous arrays seen as (outer, n, inner), reduced over n.

#include <xtape/detail/loop.hpp>

#include "terms.hpp"
#include "total.hpp"

#include <cmath>
#include <cstdint>

namespace xtape::kernels {

// The sum of x[0..n).
template <class T> T sum(const T* x, std::size_t n) {
  using B = simd::Batch<T>;
  return sum_terms<1, false, T, 1>(n, {x}, n, [](const std::array<B, 1>& v) { return v; })[0];
}

// The mean of x[0..n), also where the sum leaves the range of T.
template <class T> T mean(const T* x, std::size_t n) {
  const T y = sum(x, n) / static_cast<T>(n);
  if (std::isfinite(y)) return y;
  Wide<T> total = 0;
  for (std::size_t i = 0; i < n; ++i) total += static_cast<Wide<T>>(x[i]);
  return static_cast<T>(total / static_cast<Wide<T>>(n));
}

// out[o, j] = sum_i x[o, i, j]
template <class T> void sum(const T* x, T* out, std::size_t outer, std::size_t n, std::size_t inner) {
  using B = simd::Batch<T>;
  sum_terms<1, T, 1, 0>(outer, n, inner, {x}, {}, {out},
                        [](const std::array<B, 1>& v, const std::array<B, 0>&) { return v; });
}

// out[o, j] = prod_i x[o, i, j]
template <class T> void product(const T* x, T* out, std::size_t outer, std::size_t n, std::size_t inner) {
  using B = simd::Batch<T>;
  constexpr std::size_t width = B::size;
  for (std::size_t o = 0; o < outer; ++o) {
    const T* base = x + o * n * inner;
    T* total = out + o * inner;
    std::fill(total, total + inner, T(1));
    std::size_t i = 0;
    if (inner == 1 && n >= 2 * width) {  // many chains of factors, not one
      B chains(T(1));
      for (; i + width <= n; i += width) chains *= B::load_unaligned(base + i);
      alignas(64) T factors[width];
      chains.store_aligned(factors);
      for (const T factor : factors) *total *= factor;
    }
    for (; i < n; ++i)
      for (std::size_t j = 0; j < inner; ++j) total[j] *= base[i * inner + j];
  }
}

// The place of the first largest (or smallest) of x[0..n), or of the first NaN. n > 0.
template <bool greater, class T> std::size_t first_extreme(const T* x, std::size_t n) {
  using B = simd::Batch<T>;
  constexpr std::size_t width = B::size;
  const auto better = [](const auto& a, const auto& b) { return greater ? a > b : a < b; };
  T best = x[0];
  bool numbers = !std::isnan(best);
  std::size_t i = 0;
  if (n >= 2 * width) {
    // Two chains of comparisons; where both are NaN is settled below.
    B a = B::load_unaligned(x), b = B::load_unaligned(x + width);
    auto all_numbers = (a == a) && (b == b);
    for (i = 2 * width; i + 2 * width <= n; i += 2 * width) {
      const B u = B::load_unaligned(x + i), v = B::load_unaligned(x + i + width);
      a = xsimd::select(better(u, a), u, a);
      b = xsimd::select(better(v, b), v, b);
      all_numbers = all_numbers && (u == u) && (v == v);
    }
    alignas(64) T lanes[width];
    xsimd::select(better(b, a), b, a).store_aligned(lanes);
    numbers = xsimd::all(all_numbers);
    for (const T lane : lanes) best = better(lane, best) ? lane : best;
  }
  for (; i < n; ++i) {
    best = better(x[i], best) ? x[i] : best;
    numbers = numbers && !std::isnan(x[i]);
  }
  i = 0;
  if (!numbers) {
    while (!std::isnan(x[i])) ++i;
    return i;
  }
  while (i + width <= n && !xsimd::any(B::load_unaligned(x + i) == B(best))) i += width;
  while (x[i] != best) ++i;
  return i;
}

// out[o, j] = the extreme x[o, i, j] over i, at[o, j] = its index in x: of the first one, or of the first
// NaN. Greater: a maximum, else a minimum. n > 0.
template <bool greater, class T>
void extreme(const T* x, T* out, std::uint32_t* at, std::size_t outer, std::size_t n, std::size_t inner) {
  const auto better = [](T v, T best) {
    return (greater ? v > best : v < best) || (std::isnan(v) && !std::isnan(best));
  };
  for (std::size_t o = 0; o < outer; ++o) {
    const T* base = x + o * n * inner;
    T* best = out + o * inner;
    std::uint32_t* where = at + o * inner;
    for (std::size_t j = 0; j < inner; ++j) {
      best[j] = base[j];
      where[j] = static_cast<std::uint32_t>(o * n * inner + j);
    }
    if (inner == 1) {
      const std::size_t index = first_extreme<greater>(base, n);
      *best = base[index];
      *where = static_cast<std::uint32_t>(o * n + index);
      continue;
    }
    for (std::size_t i = 1; i < n; ++i)
      for (std::size_t j = 0; j < inner; ++j)
        if (better(base[i * inner + j], best[j])) {
          best[j] = base[i * inner + j];
          where[j] = static_cast<std::uint32_t>((o * n + i) * inner + j);
        }
  }
}

}  // namespace xtape::kernels
