#pragma once
// The softmax family on arrays seen as (outer, n, inner), over n, and its gradients.
//
// With the maximum m = x_k taken out, L = log1p(sum_{i != k} e^(x_i - m)) keeps its digits when one element
// outweighs the rest, where log(sum e^(x_i - m)) would round to 0:
//   logsumexp = m + L,    log_softmax_i = (x_i - m) - L,    softmax_i = e^(x_i - m) / (1 + sum_{i != k}).
//
// Slices are taken together in groups that lie side by side: one slice where inner is 1, else a tile of columns.

#include "reduce.hpp"

#include <limits>

namespace xtape::kernels {

enum class Softmax { probabilities, logarithms };

// Columns of a tile: with 1000 rows it stays in the second cache.
inline constexpr std::size_t softmax_tile = 64;

// The largest of x[0..n), n > 0, of which `left` can be read; any of them, or NaN, if one is NaN.
template <class T> T largest(const T* x, std::size_t n, std::size_t left) {
  using B = simd::Batch<T>;
  alignas(64) T lanes[B::size];
  B a = load_part(x, std::min(n, B::size), left);
  std::size_t i = B::size;
  if (n < B::size) a = xsimd::select(first_lanes<B>(n), a, B(*x));
  B b = a, c = a, d = a;
  for (; i + 4 * B::size <= n; i += 4 * B::size) {
    a = xsimd::max(a, B::load_unaligned(x + i));
    b = xsimd::max(b, B::load_unaligned(x + i + B::size));
    c = xsimd::max(c, B::load_unaligned(x + i + 2 * B::size));
    d = xsimd::max(d, B::load_unaligned(x + i + 3 * B::size));
  }
  for (; i + B::size <= n; i += B::size) a = xsimd::max(a, B::load_unaligned(x + i));
  if (i < n) b = xsimd::max(b, B::load_unaligned(x + n - B::size));  // some of them again
  xsimd::max(xsimd::max(a, b), xsimd::max(c, d)).store_aligned(lanes);
  return *std::max_element(lanes, lanes + B::size);
}

// What slices side by side need, each its own: the maximum and the sum of e^(x_i - m) over the others.
template <class T> struct SliceSums { T maximum[softmax_tile], others[softmax_tile]; };

// Limits, where the maximum of the slice x[0], x[inner], ... is not finite: one +inf outweighs everything finite;
// several, or a slice of -inf alone, have none, nor has a slice with NaN.
template <class T> void at_limits(const T* x, std::size_t n, std::size_t inner, T& maximum, T& others) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  std::size_t top = 0;
  bool numbers = true;
  for (std::size_t i = 0; i < n; ++i) {
    top += x[i * inner] == maximum;
    numbers = numbers && !std::isnan(x[i * inner]);
  }
  const bool limit = numbers && ((maximum == infinity && top == 1) || (maximum == -infinity && n == 1));
  others = limit ? T(0) : std::numeric_limits<T>::quiet_NaN();
  if (!numbers) maximum = others;
}

// The sums of `columns` slices from x on, `left` elements before memory ends. n > 0. With `keep`, e^(x_i - m)
// is kept in y. `partial`: as sum_columns needs for two sums.
template <bool keep, class T>
SliceSums<T> slice_sums(const T* x, T* y, std::size_t n, std::size_t inner, std::size_t columns, std::size_t left,
                        T* partial) {
  using B = simd::Batch<T>;
  SliceSums<T> s;
  T ties[softmax_tile];
  if (inner == 1) {
    *s.maximum = largest(x, n, left);
  } else {
    std::copy_n(x, columns, s.maximum);
    for (std::size_t i = 1; i < n; ++i)
      for (std::size_t c = 0; c < columns; ++c) {
        const T v = x[i * inner + c];
        s.maximum[c] = v > s.maximum[c] ? v : s.maximum[c];
      }
  }
  // Elements as large as the maximum are counted, and left out of the sum.
  const auto terms = [](const std::array<B, 1>& v, const std::array<B, 1>& m) __attribute__((flatten)) {
    const B power = simd::exp(v[0] - m[0]), zero(T(0));
    const auto top = v[0] == m[0];
    std::array<B, keep ? 3 : 2> result{xsimd::select(top, zero, power), xsimd::select(top, B(T(1)), zero)};
    if constexpr (keep) result[2] = power;
    return result;
  };
  if (inner == 1) {
    const std::array<B, 1> m{B(*s.maximum)};
    const auto [others, top] = sum_terms<2, keep, T, 1>(
        n, {x}, left, [&](const std::array<B, 1>& v) { return terms(v, m); }, y);
    *s.others = others, *ties = top;
  } else {
    sum_columns<2, keep, T, 1, 1>(n, inner, columns, {x}, left, {s.maximum}, {s.others, ties}, partial, terms, y);
  }
  for (std::size_t c = 0; c < columns; ++c)
    if (std::isfinite(s.maximum[c]))
      s.others[c] += ties[c] - T(1);
    else
      at_limits(x + c, n, inner, s.maximum[c], s.others[c]);
  return s;
}

// Calls f(first element, columns, memory for partial sums) for the slices, a tile's at a time.
template <class T, class F>
void for_slices(std::size_t outer, std::size_t n, std::size_t inner, std::size_t sums, const F& f) {
  const auto partial = xtape::detail::Storage::make(inner == 1 ? 0 : partial_sums<T>(sums, n) * sizeof(T));
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t j = 0; j < inner; j += softmax_tile)
      f(o * n * inner + j, std::min(softmax_tile, inner - j), static_cast<T*>(partial->data()));
}

template <class T> void logsumexp(const T* x, T* y, std::size_t outer, std::size_t n, std::size_t inner) {
  if (n == 0) {
    std::fill(y, y + outer * inner, -std::numeric_limits<T>::infinity());
    return;
  }
  for_slices<T>(outer, n, inner, 2, [&](std::size_t at, std::size_t columns, T* partial) {
    const SliceSums<T> s = slice_sums<false, T>(x + at, nullptr, n, inner, columns, outer * n * inner - at, partial);
    for (std::size_t c = 0; c < columns; ++c, ++y)
      *y = std::isfinite(s.maximum[c]) ? s.maximum[c] + std::log1p(s.others[c]) : s.maximum[c];
  });
}

// y = f(x, p) in the rows of a tile, with numbers p that belong to the slices.
template <class T, std::size_t K, std::size_t P, class F>
void for_tile(std::size_t n, std::size_t inner, std::size_t columns, const std::array<const T*, K>& x, std::size_t left,
              const std::array<const T*, P>& p, T* y, const F& f) {
  using B = simd::Batch<T>;
  const std::size_t row = inner == 1 ? n : columns, rows = inner == 1 ? 1 : n, whole = row / B::size * B::size;
  std::array<B, P> q;
  for (std::size_t k = 0; k < P; ++k) q[k] = B(*p[k]);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t start = r * inner;
    std::array<B, K> v;
    for (std::size_t c = 0; c < whole; c += B::size) {
      for (std::size_t k = 0; k < K; ++k) v[k] = B::load_unaligned(x[k] + start + c);
      if (inner > 1)
        for (std::size_t k = 0; k < P; ++k) q[k] = B::load_unaligned(p[k] + c);
      f(v, q).store_unaligned(y + start + c);
    }
    if (whole == row) continue;
    for (std::size_t k = 0; k < K; ++k) v[k] = load_part(x[k] + start + whole, row - whole, left - start - whole);
    if (inner > 1)
      for (std::size_t k = 0; k < P; ++k) q[k] = load_part(p[k] + whole, row - whole, row - whole);
    store_part(y + start + whole, row - whole, f(v, q));
  }
}

// a / b for b >= 1 from r = 1 / b, rounded as a division is: the remainder is known exactly where a machine has fused
// operations.
template <class B> B quotient(const B& a, const B& b, const B& r) {
  const B q = a * r;
  return simd::fma(simd::fma(-q, b, a), r, q);
}

template <Softmax kind, class T> void softmax(const T* x, T* y, std::size_t outer, std::size_t n, std::size_t inner) {
  constexpr bool probabilities = kind == Softmax::probabilities;
  if (n == 0) return;
  for_slices<T>(outer, n, inner, 2, [&](std::size_t at, std::size_t columns, T* partial) {
    const T* in = x + at;
    T* out = y + at;
    const std::size_t left = outer * n * inner - at;
    SliceSums<T> s = slice_sums<probabilities>(in, out, n, inner, columns, left, partial);
    T inverse[softmax_tile];
    bool finite = true;
    for (std::size_t c = 0; c < columns; ++c) {
      finite = finite && std::isfinite(s.maximum[c]);
      s.others[c] = probabilities ? T(1) + s.others[c] : std::log1p(s.others[c]);
      inverse[c] = T(1) / s.others[c];
    }
    if constexpr (probabilities)
      for_tile<T, 1, 2>(n, inner, columns, {out}, left, {s.others, inverse}, out,
                        [](const auto& v, const auto& total) { return quotient(v[0], total[0], total[1]); });
    else
      for_tile<T, 1, 2>(n, inner, columns, {in}, left, {s.maximum, s.others}, out,
                        [](const auto& v, const auto& off) { return (v[0] - off[0]) - off[1]; });
    if (finite) return;
    for (std::size_t c = 0; c < columns; ++c) {
      const T m = s.maximum[c], none = s.others[c] - s.others[c];  // NaN where the limit does not exist
      if (std::isfinite(m)) continue;
      for (std::size_t i = 0; i < n; ++i) {
        const bool top = in[i * inner + c] == m;
        out[i * inner + c] = (probabilities ? T(top) : top ? T(0) : -std::numeric_limits<T>::infinity()) + none;
      }
    }
  });
}

// dx from dy and the result s: s_i (dy_i - sum_j dy_j s_j), or of logarithms dy_i - e^(s_i) sum_j dy_j.
template <Softmax kind, class T>
void softmax_gradient(const T* dy, const T* s, T* dx, std::size_t outer, std::size_t n, std::size_t inner) {
  using B = simd::Batch<T>;
  constexpr bool probabilities = kind == Softmax::probabilities;
  for_slices<T>(outer, n, inner, 1, [&](std::size_t at, std::size_t columns, T* partial) {
    T total[softmax_tile];
    const std::array<const T*, 2> in{dy + at, s + at};
    const std::size_t left = outer * n * inner - at;
    const auto term = [](const std::array<B, 2>& v) { return std::array<B, 1>{probabilities ? v[0] * v[1] : v[0]}; };
    if (inner == 1)
      *total = sum_terms<1>(n, in, left, term)[0];
    else
      sum_columns<1, false, T, 2, 0>(n, inner, columns, in, left, {}, {total}, partial,
                                     [&term](const std::array<B, 2>& v, const std::array<B, 0>&) { return term(v); });
    for_tile<T, 2, 1>(n, inner, columns, in, left, {total}, dx + at, [](const auto& v, const auto& t) {
      return probabilities ? v[1] * (v[0] - t[0]) : v[0] - simd::exp(v[1]) * t[0];
    });
  });
}

// terms[r] = -log softmax(x[r])[label[r]] for rows of n > 0, and what the gradient needs: maximum[r] and
// rest[r] = L of the row. False, at once, if a row's maximum is not finite.
template <class T, class Label>
bool cross_entropy(const T* x, const Label* label, std::size_t rows, std::size_t n, T* terms, T* maximum, T* rest) {
  for (std::size_t r = 0; r < rows; ++r, x += n) {
    const SliceSums<T> s = slice_sums<false, T>(x, nullptr, n, 1, 1, (rows - r) * n, nullptr);
    if (!std::isfinite(*s.maximum)) return false;
    maximum[r] = *s.maximum;
    rest[r] = std::log1p(*s.others);
    terms[r] = rest[r] - (x[static_cast<std::size_t>(label[r])] - maximum[r]);
  }
  return true;
}

// dx = scale (softmax(x) - 1 at the label). p - 1 = expm1(log p) keeps its digits for a label that is nearly certain.
template <class T, class Label>
void cross_entropy_gradient(const T* x, const Label* label, const T* maximum, const T* rest, T scale, std::size_t rows,
                            std::size_t n, T* dx) {
  for (std::size_t r = 0; r < rows; ++r, x += n, dx += n) {
    for_tile<T, 1, 2>(n, 1, 1, {x}, (rows - r) * n, {maximum + r, rest + r}, dx,
                      [scale](const auto& v, const auto& off) { return simd::exp((v[0] - off[0]) - off[1]) * scale; });
    const auto at = static_cast<std::size_t>(label[r]);
    dx[at] = std::expm1((x[at] - maximum[r]) - rest[r]) * scale;
  }
}

}  // namespace xtape::kernels
