#pragma once
// Sums of float numbers, and of their squared deviations, in double: arrays seen as (outer, n, inner), along n.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace xtape::kernels {

// Eight numbers at once. The compiler's own vectors: xsimd 8.1 widens float to double through memory.
using Doubles = double __attribute__((vector_size(64)));
inline Doubles load_widened(const float* p) {
  using Floats = float __attribute__((vector_size(32)));
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Doubles);
}

// sum_i f(x_i) over x[0..n), f on vectors and on numbers: 32 sums in double, which have 29 digits more than float.
template <class F> double wide_sum(const float* x, std::size_t n, const F& f) {
  constexpr std::size_t width = 8, chains = 4;
  std::array<Doubles, chains> sums{};
  std::size_t i = 0;
  for (; i + chains * width <= n; i += chains * width)
    for (std::size_t c = 0; c < chains; ++c) sums[c] += f(load_widened(x + i + c * width));
  for (; i + width <= n; i += width) sums[0] += f(load_widened(x + i));
  const Doubles all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = ((all[0] + all[1]) + (all[2] + all[3])) + ((all[4] + all[5]) + (all[6] + all[7]));
  for (; i < n; ++i) total += f(static_cast<double>(x[i]));
  return total;
}

// out[o, j] = sum_i f(x[o, i, j], p[o, j])
template <class F>
void wide_sums(const float* x, std::size_t outer, std::size_t n, std::size_t inner, const double* p, double* out,
               const F& f) {
  constexpr std::size_t tile = 128;
  for (std::size_t o = 0; o < outer; ++o, x += n * inner, p += inner, out += inner) {
    if (inner == 1) {
      *out = wide_sum(x, n, [q = *p, &f](const auto& v) { return f(v, q); });
      continue;
    }
    for (std::size_t j = 0; j < inner; j += tile) {
      const std::size_t columns = std::min(tile, inner - j);
      alignas(64) double sums[tile], q[tile];
      std::fill_n(sums, columns, 0.0);
      std::copy_n(p + j, columns, q);
      for (std::size_t i = 0; i < n; ++i) {
        const float* const row = x + i * inner + j;
        for (std::size_t c = 0; c < columns; ++c) sums[c] += f(static_cast<double>(row[c]), q[c]);
      }
      std::copy_n(sums, columns, out + j);
    }
  }
}

}  // namespace xtape::kernels
