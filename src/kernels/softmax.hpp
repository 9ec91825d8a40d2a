#pragma once
// The softmax family on arrays seen as (outer, n, inner), over n.
//
// With the maximum m = x_k taken out, L = log1p(sum_{i != k} e^(x_i - m)) keeps its digits when one element
// outweighs the rest, where log(sum e^(x_i - m)) would round to 0:
//   logsumexp = m + L,    log_softmax_i = (x_i - m) - L,    softmax_i = e^(x_i - m) / (1 + sum_{i != k}).

#include "reduce.hpp"

#include <limits>

namespace xtape::kernels {

enum class Softmax { probabilities, logarithms };

// What one slice needs: the maximum and the sum of e^(x_i - m) over the others.
template <class T> struct SliceSum { T maximum, others; };

// The slice must be contiguous; `scratch` holds n elements.
template <class T> SliceSum<T> slice_sum(const T* x, std::size_t n, T* scratch) {
  using B = simd::Batch<T>;
  std::uint32_t at = 0;
  T m;
  extreme<true>(x, &m, &at, 1, n, 1);
  if (!std::isfinite(m)) {
    // Limits: one +inf outweighs everything finite; several, or a slice of -inf alone, have none.
    if (m == std::numeric_limits<T>::infinity() && std::count(x, x + n, m) == 1) return {m, T(0)};
    if (m == -std::numeric_limits<T>::infinity() && n == 1) return {m, T(0)};
    return {m, std::numeric_limits<T>::quiet_NaN()};
  }
  xtape::detail::run_row<T, 1, 1>(n, {x}, {1}, {scratch},
                                  [m](const std::array<B, 1>& v) { return std::array<B, 1>{simd::exp(v[0] - B(m))}; });
  scratch[at] = T(0);
  return {m, sum(scratch, n)};
}

// Applies f(slice, out slice, scratch) to each slice along n, gathering it first where it is strided.
// out_n: 1 or n results a slice.
template <class T, class F>
void for_slices(const T* x, T* out, std::size_t outer, std::size_t n, std::size_t inner, std::size_t out_n, T* buffer,
                const F& f) {
  T *slice = buffer, *result = buffer + n, *scratch = buffer + 2 * n;
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t j = 0; j < inner; ++j) {
      const T* base = x + o * n * inner + j;
      T* target = out + o * out_n * inner + j;
      if (inner == 1) {
        f(base, target, scratch);
        continue;
      }
      for (std::size_t i = 0; i < n; ++i) slice[i] = base[i * inner];
      f(slice, result, scratch);
      for (std::size_t i = 0; i < out_n; ++i) target[i * inner] = result[i];
    }
}

// A buffer for for_slices, of the pool's memory.
template <class T> struct SliceBuffer {
  xtape::detail::Handle<xtape::detail::Storage> storage;
  explicit SliceBuffer(std::size_t n) : storage(xtape::detail::Storage::make((3 * n + 1) * sizeof(T))) {}
  T* data() const { return static_cast<T*>(storage->data()); }
};

template <class T> void logsumexp(const T* x, T* y, std::size_t outer, std::size_t n, std::size_t inner) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  if (n == 0) {
    std::fill(y, y + outer * inner, -infinity);
    return;
  }
  const SliceBuffer<T> buffer(n);
  for_slices(x, y, outer, n, inner, 1, buffer.data(), [n](const T* slice, T* result, T* scratch) {
    const auto s = slice_sum(slice, n, scratch);
    *result = std::isfinite(s.maximum) ? s.maximum + std::log1p(s.others) : s.maximum;
  });
}

template <Softmax kind, class T> void softmax(const T* x, T* y, std::size_t outer, std::size_t n, std::size_t inner) {
  using B = simd::Batch<T>;
  if (n == 0) return;
  const SliceBuffer<T> buffer(n);
  for_slices(x, y, outer, n, inner, n, buffer.data(), [n](const T* slice, T* result, T* scratch) {
    const SliceSum<T> s = slice_sum(slice, n, scratch);
    const T m = s.maximum, others = s.others;
    if (!std::isfinite(m)) {
      for (std::size_t i = 0; i < n; ++i) {
        const bool top = slice[i] == m;
        const T value = kind == Softmax::probabilities ? T(top) : (top ? T(0) : -std::numeric_limits<T>::infinity());
        result[i] = value + others;  // NaN where the limit does not exist
      }
      return;
    }
    if constexpr (kind == Softmax::probabilities) {
      const B total(T(1) + others);
      xtape::detail::run_row<T, 1, 1>(n, {slice}, {1}, {result}, [m, total](const std::array<B, 1>& v) {
        return std::array<B, 1>{simd::exp(v[0] - B(m)) / total};
      });
    } else {
      const B rest(std::log1p(others));
      xtape::detail::run_row<T, 1, 1>(n, {slice}, {1}, {result}, [m, rest](const std::array<B, 1>& v) {
        return std::array<B, 1>{(v[0] - B(m)) - rest};
      });
    }
  });
}

}  // namespace xtape::kernels
