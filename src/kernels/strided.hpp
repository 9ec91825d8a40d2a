#pragma once
// Copies between a contiguous array and one walked with any strides.

#include <xtape/shape.hpp>

#include <array>
#include <cstddef>

namespace xtape::kernels {

// Element (i0, i1, ...) lies at offset + sum_d i_d stride_d; strides may be negative or 0.
struct Strided {
  Shape shape;
  std::array<std::ptrdiff_t, max_rank> stride{};
  std::ptrdiff_t offset = 0;
};

// Calls f(position in row-major order, offset) at the start of every run along the last axis.
template <class F> void for_rows(const Strided& s, const F& f) {
  const std::size_t rank = s.shape.size();
  std::size_t rows = 1;
  for (std::size_t d = 0; d + 1 < rank; ++d) rows *= s.shape[d];
  const std::size_t n = rank == 0 ? 1 : s.shape[rank - 1];
  if (rows * n == 0) return;
  std::array<std::size_t, max_rank> index{};
  std::ptrdiff_t offset = s.offset;
  for (std::size_t row = 0;;) {
    f(row * n, offset);
    if (++row == rows) return;
    for (std::size_t d = rank - 1; d-- > 0;) {
      offset += s.stride[d];
      if (++index[d] < s.shape[d]) break;
      offset -= s.stride[d] * static_cast<std::ptrdiff_t>(s.shape[d]);
      index[d] = 0;
    }
  }
}

// Axes of extent 1 dropped, and neighbours merged where they are walked as one.
inline Strided merged(const Strided& s) {
  Strided m;
  m.offset = s.offset;
  for (std::size_t d = 0; d < s.shape.size(); ++d) {
    if (s.shape[d] == 1) continue;
    const std::size_t last = m.shape.size();
    if (last > 0 && m.stride[last - 1] == s.stride[d] * static_cast<std::ptrdiff_t>(s.shape[d])) {
      m.shape[last - 1] *= s.shape[d];
      m.stride[last - 1] = s.stride[d];
    } else {
      m.stride[last] = s.stride[d];
      m.shape.push_back(s.shape[d]);
    }
  }
  return m;
}

// out = in, gathered. A transposed last pair of axes goes in square blocks, so that both sides stay in cache.
template <class T> void copy_from(const Strided& from, const T* in, T* out) {
  const Strided s = merged(from);
  const std::size_t rank = s.shape.size();
  if (rank >= 2 && s.stride[rank - 2] == 1 && s.stride[rank - 1] != 1) {
    const std::size_t rows = s.shape[rank - 2], columns = s.shape[rank - 1];
    constexpr std::size_t block = 16;
    const std::ptrdiff_t step = s.stride[rank - 1];
    Strided outer = s;  // one visit to each matrix: rows and columns taken together
    outer.shape[rank - 2] = 1;
    for_rows(outer, [&](std::size_t position, std::ptrdiff_t offset) {
      const T* base = in + offset;
      T* target = out + position * rows;
      for (std::size_t r = 0; r < rows; r += block)
        for (std::size_t c = 0; c < columns; c += block)
          for (std::size_t i = r; i < std::min(rows, r + block); ++i)
            for (std::size_t j = c; j < std::min(columns, c + block); ++j)
              target[i * columns + j] = base[static_cast<std::ptrdiff_t>(i) + static_cast<std::ptrdiff_t>(j) * step];
    });
    return;
  }
  const std::size_t n = rank == 0 ? 1 : s.shape[rank - 1];
  const std::ptrdiff_t step = rank == 0 ? 1 : s.stride[rank - 1];
  for_rows(s, [&](std::size_t position, std::ptrdiff_t offset) {
    const T* base = in + offset;
    T* target = out + position;
    if (step == 1)
      std::copy(base, base + n, target);
    else if (step == -1)
      std::reverse_copy(base - (n - 1), base + 1, target);
    else
      for (std::size_t i = 0; i < n; ++i) target[i] = base[static_cast<std::ptrdiff_t>(i) * step];
  });
}

// out, scattered, = in. Places not visited keep what they hold.
template <class T> void copy_to(const Strided& to, const T* in, T* out) {
  const Strided s = merged(to);
  const std::size_t rank = s.shape.size();
  const std::size_t n = rank == 0 ? 1 : s.shape[rank - 1];
  const std::ptrdiff_t step = rank == 0 ? 1 : s.stride[rank - 1];
  for_rows(s, [&](std::size_t position, std::ptrdiff_t offset) {
    for (std::size_t i = 0; i < n; ++i) out[offset + static_cast<std::ptrdiff_t>(i) * step] = in[position + i];
  });
}

}  // namespace xtape::kernels
