#pragma once
// Copies between a contiguous array and one walked with any strides.

#include <xtape/detail/simd.hpp>
#include <xtape/shape.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include "compensated.hpp"

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

// Calls f(offset in a, offset in b) for all elements of two arrays of one shape.
template <class F> void for_offsets(const Strided& a, const Strided& b, const F& f) {
  std::array<std::size_t, max_rank> index{};
  std::ptrdiff_t in_a = a.offset, in_b = b.offset;
  for (std::size_t left = a.shape.elements(); left > 0; --left) {
    f(in_a, in_b);
    for (std::size_t d = a.shape.size(); d-- > 0;) {
      in_a += a.stride[d];
      in_b += b.stride[d];
      if (++index[d] < a.shape[d]) break;
      in_a -= a.stride[d] * static_cast<std::ptrdiff_t>(a.shape[d]);
      in_b -= b.stride[d] * static_cast<std::ptrdiff_t>(a.shape[d]);
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

// A block of 4 x 4 or 2 x 2 in registers: out[i, j] = in[j, i].
template <class T> void transpose_block(const T* in, std::size_t in_pitch, T* out, std::size_t out_pitch) {
  constexpr std::size_t size = 16 / sizeof(T);
  using B = xsimd::make_sized_batch_t<T, size>;
  std::array<B, size> a, b;
  for (std::size_t j = 0; j < size; ++j) a[j] = B::load_unaligned(in + j * in_pitch);
  const auto interleave = [](const std::array<B, size>& from, std::array<B, size>& to) {
    for (std::size_t j = 0; j < size / 2; ++j) {
      to[2 * j] = xsimd::zip_lo(from[j], from[j + size / 2]);
      to[2 * j + 1] = xsimd::zip_hi(from[j], from[j + size / 2]);
    }
  };
  interleave(a, b);
  if constexpr (size == 4)
    interleave(b, a);
  else
    a = b;
  for (std::size_t i = 0; i < size; ++i) a[i].store_unaligned(out + i * out_pitch);
}

// out[i, j] = in[j, i] for (rows, columns) of out; rows of `in` are `step` apart, and those of out `pitch`. In blocks
// of cache lines that are read and written as a whole: lines a power of two apart would drive each other out of the
// cache.
template <class T>
void transpose_matrix(const T* in, std::ptrdiff_t step, T* out, std::size_t pitch, std::size_t rows,
                      std::size_t columns) {
  constexpr std::size_t tile = 16, size = 16 / sizeof(T);
  alignas(64) T lines[tile * tile];
  for (std::size_t i = 0; i < rows; i += tile)
    for (std::size_t j = 0; j < columns; j += tile) {
      const T* const from = in + static_cast<std::ptrdiff_t>(i) + static_cast<std::ptrdiff_t>(j) * step;
      T* const to = out + i * pitch + j;
      const std::size_t height = std::min(tile, rows - i), width = std::min(tile, columns - j);
      const auto line = [&](std::size_t c) { return from + static_cast<std::ptrdiff_t>(c) * step; };
      if (height == tile && width == tile) {
        for (std::size_t c = 0; c < tile; ++c) std::copy_n(line(c), tile, lines + c * tile);
        for (std::size_t r = 0; r < tile; r += size)
          for (std::size_t c = 0; c < tile; c += size)
            transpose_block(lines + c * tile + r, tile, to + r * pitch + c, pitch);
      } else {
        for (std::size_t r = 0; r < height; ++r)
          for (std::size_t c = 0; c < width; ++c) to[r * pitch + c] = line(c)[r];
      }
    }
}

// out = in, gathered. Where elements that follow each other in `in` lie along another axis than the last, matrices of
// these two axes are transposed.
template <class T> void copy_from(const Strided& from, const T* in, T* out) {
  if (from.shape.elements() == 0) return;  // else an axis without elements beside a long one takes its time
  const Strided s = merged(from);
  const std::size_t rank = s.shape.size();
  for (std::size_t d = 0; d + 1 < rank; ++d) {
    if (s.stride[d] != 1) continue;
    Strided source = s, target{s.shape, {}, 0};
    std::ptrdiff_t stride = 1;
    for (std::size_t e = rank; e-- > 0;) {
      target.stride[e] = stride;
      stride *= static_cast<std::ptrdiff_t>(s.shape[e]);
    }
    // One visit to each matrix.
    for (const std::size_t axis : {d, rank - 1}) source.shape[axis] = target.shape[axis] = 1;
    const auto pitch = static_cast<std::size_t>(target.stride[d]);
    for_offsets(source, target, [&](std::ptrdiff_t offset, std::ptrdiff_t position) {
      transpose_matrix(in + offset, s.stride[rank - 1], out + position, pitch, s.shape[d], s.shape[rank - 1]);
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
  if (to.shape.elements() == 0) return;
  const Strided s = merged(to);
  const std::size_t rank = s.shape.size();
  const std::size_t n = rank == 0 ? 1 : s.shape[rank - 1];
  const std::ptrdiff_t step = rank == 0 ? 1 : s.stride[rank - 1];
  for_rows(s, [&](std::size_t position, std::ptrdiff_t offset) {
    for (std::size_t i = 0; i < n; ++i) out[offset + static_cast<std::ptrdiff_t>(i) * step] = in[position + i];
  });
}

// out, scattered, += in. No place comes twice. `rest`: of the sums, or null.
template <class T> void add_to(const Strided& to, const T* in, T* out, float* rest) {
  if (to.shape.elements() == 0) return;
  const Strided s = merged(to);
  const std::size_t rank = s.shape.size();
  const std::size_t n = rank == 0 ? 1 : s.shape[rank - 1];
  const std::ptrdiff_t step = rank == 0 ? 1 : s.stride[rank - 1];
  for_rows(s, [&](std::size_t position, std::ptrdiff_t offset) {
    const T* const from = in + position;
    T* const sum = out + offset;
    if (rest) {
      if constexpr (std::is_same_v<T, float>)
        for (std::size_t i = 0; i < n; ++i) {
          const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * step;
          add_exactly(sum[at], rest[offset + at], from[i]);
        }
    } else if (step == 1) {
      for (std::size_t i = 0; i < n; ++i) sum[i] += from[i];
    } else {
      for (std::size_t i = 0; i < n; ++i) sum[static_cast<std::ptrdiff_t>(i) * step] += from[i];
    }
  });
}

}  // namespace xtape::kernels
