// All three are sums of products a(r, t) b(t, lane) with a(r, t) = row[r][at[t]]: a number of the image is broadcast
// and meets a vector of weights (or of the result's gradient), which are packed so that filters lie side by side. No
// matrix of patches is ever made.
#include <xtape/detail/simd.hpp>

#include <array>
#include <utility>

#include "conv_padded.hpp"
#include "transpose.hpp"

namespace xtape::kernels::lanes {
namespace {

template <class T> constexpr std::size_t width = simd::Batch<T>::size;

// Outputs that meet these vectors before the next ones are loaded.
constexpr std::size_t breadth = 96;

// to[r][lane] (+)= sum_t row[r][at[t]] b[t][lane] for R rows and V vectors of lanes: all sums stay in registers.
template <class T, std::size_t R, std::size_t V>
void products(const T* const* row, const std::size_t* at, std::size_t count, const T* b, T* const* to, bool add) {
  using B = simd::Batch<T>;
  B sum[R][V];
  const T* a[R];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
    a[r] = row[r];
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) sum[r][v] = B(T(0));
  }
  for (std::size_t t = 0; t < count; ++t, b += V * B::size) {
    const std::size_t place = at[t];
    B lanes[V];
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) lanes[v] = B::load_aligned(b + v * B::size);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) {
      const B number(a[r][place]);
#pragma GCC unroll 16
      for (std::size_t v = 0; v < V; ++v) sum[r][v] = simd::fma(number, lanes[v], sum[r][v]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) {
      T* const out = to[r] + v * B::size;
      (add ? B::load_aligned(out) + sum[r][v] : sum[r][v]).store_aligned(out);
    }
}

// The same for any number of rows: row(r) and to(r) give the pointers.
template <class T, std::size_t R, std::size_t V, class Row, class To>
void blocks(std::size_t rows, const Row& row, const std::size_t* at, std::size_t count, const T* b, const To& to,
            bool add) {
  alignas(64) T nowhere[V * width<T>] = {};  // for the rows that the last block lacks
  for (std::size_t first = 0; first < rows; first += R) {
    const T* from[R];
    T* out[R];
    for (std::size_t r = 0; r < R; ++r) {
      const bool there = first + r < rows;
      from[r] = row(there ? first + r : first);
      out[r] = there ? to(first + r) : nowhere;
    }
    products<T, R, V>(from, at, count, b, out, add);
  }
}
// Blocks of a height that fits the registers, 16 of them on many machines, and wastes least.
template <class T, std::size_t V, class Row, class To>
void all_products(std::size_t rows, const Row& row, const std::size_t* at, std::size_t count, const T* b, const To& to,
                  bool add) {
  constexpr std::size_t tall = V == 1 ? 8 : 6, other = V == 1 ? 9 : 5;
  const auto waste = [rows](std::size_t height) { return (rows + height - 1) / height * height; };
  if (waste(tall) <= waste(other))
    blocks<T, tall, V>(rows, row, at, count, b, to, add);
  else
    blocks<T, other, V>(rows, row, at, count, b, to, add);
}

// ---- lanes: blocks of two vectors, the last perhaps of one -----------------------------------------------------

template <class T> std::size_t padded_lanes(std::size_t lanes) { return (lanes + width<T> - 1) / width<T> * width<T>; }

// f(first lane, lanes that exist, vectors as a constant)
template <class T, class F> void for_lanes(std::size_t lanes, const F& f) {
  std::size_t first = 0;
  for (; first + width<T> < lanes; first += 2 * width<T>)
    f(first, std::min(lanes - first, 2 * width<T>), std::integral_constant<std::size_t, 2>{});
  if (first < lanes) f(first, lanes - first, std::integral_constant<std::size_t, 1>{});
}

// to[t][lane] = from[lane][t], and zeros in the lanes that do not exist.
template <class T>
void pack(std::size_t lanes, std::size_t count, const T* from, std::size_t from_step, T* to, std::size_t to_step,
          std::size_t all_lanes) {
  transpose(lanes, count, from, from_step, to, to_step);
  for (std::size_t t = 0; t < count; ++t) std::fill(to + t * to_step + lanes, to + t * to_step + all_lanes, T(0));
}

}  // namespace

template <class T> bool fits(const ConvSize& s) { return padding_is_small(s); }

template <class T> void conv2d(const ConvSize& s, const T* x, const T* w, T* y) {
  const std::size_t taps = s.taps(), all_lanes = padded_lanes<T>(s.filters);
  const Scratch<T> weights(s.groups * taps * all_lanes), tile(breadth * 2 * width<T>);
  for (std::size_t g = 0; g < s.groups; ++g)
    for_lanes<T>(s.filters, [&](std::size_t first, std::size_t lanes, auto vectors) {
      constexpr std::size_t row = vectors * width<T>;
      pack(lanes, taps, w + s.weights_of(g) + first * taps, taps, weights.data() + (g * all_lanes + first) * taps, row,
           row);
    });
  const auto taps_at = tap_offsets(s), positions_at = position_offsets(s);
  const PaddedImages<T> images(s, x);
  for (std::size_t n = 0; n < s.images; ++n) {
    const T* image = images(n);
    for (std::size_t start = 0; start < s.positions(); start += breadth) {
      const std::size_t count = std::min(breadth, s.positions() - start);
      for_lanes<T>(s.filters, [&](std::size_t first, std::size_t lanes, auto vectors) {
        constexpr std::size_t row = vectors * width<T>;
        const T* packed = weights.data() + (n % s.groups * all_lanes + first) * taps;
        for (std::size_t t = 0; t < taps; t += depth)
          all_products<T, vectors>(
              count, [&](std::size_t r) { return image + positions_at.data()[start + r]; }, taps_at.data() + t,
              std::min(depth, taps - t), packed + t * row, [&](std::size_t r) { return tile.data() + r * row; },
              t != 0);
        transpose(count, lanes, tile.data(), row, y + n * s.result_elements() + first * s.positions() + start,
                  s.positions());
      });
    }
  }
}

template <class T> void conv2d_weight_gradient(const ConvSize& s, const T* x, const T* dy, T* dw) {
  const std::size_t taps = s.taps(), all_lanes = padded_lanes<T>(s.filters);
  const Scratch<T> sums(s.groups * taps * all_lanes), packed(depth * 2 * width<T>);
  const auto taps_at = tap_offsets(s), positions_at = position_offsets(s);
  const PaddedImages<T> images(s, x);
  // Of images with very many positions float's sums of so many meet in double.
  constexpr std::size_t longest = 32 * depth;
  const bool wide = sizeof(T) == 4 && s.positions() > 2 * longest;
  const std::size_t in_group = all_lanes * taps;
  const Scratch<double> totals(wide ? s.groups * in_group : 0);
  if (wide) std::fill_n(totals.data(), s.groups * in_group, 0.0);
  for (std::size_t n = 0; n < s.images; ++n) {
    const T* image = images(n);
    for (std::size_t start = 0; start < s.positions(); start += depth) {
      const bool fresh = wide ? start % longest == 0 : n < s.groups && start == 0;
      const std::size_t count = std::min(depth, s.positions() - start);
      for_lanes<T>(s.filters, [&](std::size_t first, std::size_t lanes, auto vectors) {
        constexpr std::size_t row = vectors * width<T>;
        T* sum = sums.data() + (n % s.groups * all_lanes + first) * taps;
        pack(lanes, count, dy + n * s.result_elements() + first * s.positions() + start, s.positions(), packed.data(),
             row, row);
        all_products<T, vectors>(
            taps, [&](std::size_t r) { return image + taps_at.data()[r]; }, positions_at.data() + start, count,
            packed.data(), [&](std::size_t r) { return sum + r * row; }, !fresh);
      });
      if (!wide || (start + depth < s.positions() && (start + depth) % longest != 0)) continue;
      const std::size_t from = n % s.groups * in_group;
      for (std::size_t i = from; i < from + in_group; ++i) totals.data()[i] += static_cast<double>(sums.data()[i]);
    }
  }
  for (std::size_t i = 0; wide && i < s.groups * in_group; ++i) sums.data()[i] = static_cast<T>(totals.data()[i]);
  for (std::size_t g = 0; g < s.groups; ++g)
    for_lanes<T>(s.filters, [&](std::size_t first, std::size_t lanes, auto vectors) {
      transpose(taps, lanes, sums.data() + (g * all_lanes + first) * taps, vectors * width<T>,
                dw + s.weights_of(g) + first * taps, taps);
    });
}

// Each output's gradient goes to all its taps: nothing meets a zero of the padding.
template <class T> void conv2d_input_gradient(const ConvSize& s, const T* dy, const T* w, T* dx) {
  const std::size_t area = s.kernel_h * s.kernel_w, all_lanes = padded_lanes<T>(s.channels);
  const PaddedSize padded(s);
  ConvSize one = s;  // the taps of one channel
  one.channels = 1;
  const Scratch<T> weights(s.groups * area * s.filters * all_lanes), sums(padded.height * padded.width * 2 * width<T>);
  const Scratch<std::size_t> filters_at(s.filters);
  for (std::size_t f = 0; f < s.filters; ++f) filters_at.data()[f] = f * s.positions();
  const auto packed_at = [&](std::size_t g, std::size_t first) {
    return weights.data() + (g * all_lanes + first) * area * s.filters;
  };
  for (std::size_t g = 0; g < s.groups; ++g)
    for_lanes<T>(s.channels, [&](std::size_t first, std::size_t lanes, auto vectors) {
      constexpr std::size_t row = vectors * width<T>;
      for (std::size_t f = 0; f < s.filters; ++f)
        pack(lanes, area, w + s.weights_of(g) + f * s.taps() + first * area, area, packed_at(g, first) + f * row,
             s.filters * row, row);
    });
  const auto taps_at = tap_offsets(one), positions_at = position_offsets(s);
  for (std::size_t n = 0; n < s.images; ++n) {
    const T* image = dy + n * s.result_elements();
    for_lanes<T>(s.channels, [&](std::size_t first, std::size_t lanes, auto vectors) {
      constexpr std::size_t row = vectors * width<T>;
      const T* packed = packed_at(n % s.groups, first);
      std::fill_n(sums.data(), padded.height * padded.width * row, T(0));
      for (std::size_t start = 0; start < s.positions(); start += breadth)
        for (std::size_t tap = 0; tap < area; ++tap)
          for (std::size_t f = 0; f < s.filters; f += depth)
            all_products<T, vectors>(
                std::min(breadth, s.positions() - start), [&](std::size_t r) { return image + start + r; },
                filters_at.data() + f, std::min(depth, s.filters - f), packed + (tap * s.filters + f) * row,
                [&](std::size_t r) {
                  return sums.data() + (positions_at.data()[start + r] + taps_at.data()[tap]) * row;
                },
                true);
      for (std::size_t i = 0; i < s.height; ++i)
        transpose(s.width, lanes, sums.data() + ((i + s.pad_h) * padded.width + s.pad_w) * row, row,
                  dx + n * s.image_elements() + (first * s.height + i) * s.width, s.height * s.width);
    });
  }
}

#define XTAPE_CONV(T)                                                           \
  template bool fits<T>(const ConvSize&);                                       \
  template void conv2d(const ConvSize&, const T*, const T*, T*);                \
  template void conv2d_input_gradient(const ConvSize&, const T*, const T*, T*); \
  template void conv2d_weight_gradient(const ConvSize&, const T*, const T*, T*);
XTAPE_CONV(float)
XTAPE_CONV(double)

}  // namespace xtape::kernels::lanes
