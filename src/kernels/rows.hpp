#pragma once
// Rows of an array picked by a list, and added to places by a list.

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace xtape::kernels {

// out (outer, m, inner), in (outer, n, inner): out[o, j, :] = in[o, rows[j], :]
template <class T>
void take_rows(std::size_t outer, std::size_t n, std::size_t inner, const std::int64_t* rows, std::size_t m,
               const T* in, T* out) {
  for (std::size_t o = 0; o < outer; ++o, in += n * inner, out += m * inner)
    if (inner == 1)
      for (std::size_t j = 0; j < m; ++j) out[j] = in[rows[j]];
    else
      for (std::size_t j = 0; j < m; ++j)
        std::copy_n(in + static_cast<std::size_t>(rows[j]) * inner, inner, out + j * inner);
}

// in (outer, m, inner), out (outer, n, inner): out[o, rows[j], :] += in[o, j, :]
template <class T>
void add_rows(std::size_t outer, std::size_t n, std::size_t inner, const std::int64_t* rows, std::size_t m, const T* in,
              T* out) {
  for (std::size_t o = 0; o < outer; ++o, in += m * inner, out += n * inner)
    for (std::size_t j = 0; j < m; ++j) {
      T* sum = out + static_cast<std::size_t>(rows[j]) * inner;
      for (std::size_t i = 0; i < inner; ++i) sum[i] += in[j * inner + i];
    }
}

}  // namespace xtape::kernels
