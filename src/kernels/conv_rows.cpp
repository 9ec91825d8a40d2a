// Vectors of neighbouring outputs: a weight is broadcast and meets neighbours of the image's rows, so nothing is
// packed.
#include <xtape/detail/simd.hpp>

#include "conv_padded.hpp"

namespace xtape::kernels::rows {
namespace {

template <class T> using B = simd::Batch<T>;
template <class T> constexpr std::size_t width = B<T>::size;

// ---- forward ---------------------------------------------------------------------------------------------------

// The vectors that cover the results of one filter: the last of each row ends with it, over part of the one before.
struct Vectors {
  std::size_t count;
  Scratch<std::size_t> in, out;  // where each starts in the padded image and in the result
};
template <class T> Vectors vectors_of(const ConvSize& s) {
  const std::size_t in_row = (s.out_w + width<T> - 1) / width<T>, count = s.out_h * in_row;
  Vectors v{count, Scratch<std::size_t>(count), Scratch<std::size_t>(count)};
  const std::size_t down = s.stride_h * PaddedSize(s).width;
  for (std::size_t i = 0; i < s.out_h; ++i)
    for (std::size_t k = 0; k < in_row; ++k) {
      const std::size_t j = std::min(k * width<T>, s.out_w - width<T>);
      v.in.data()[i * in_row + k] = i * down + j;
      v.out.data()[i * in_row + k] = i * s.out_w + j;
    }
  return v;
}

// F filters over four vectors of outputs.
template <class T, std::size_t F>
void convolve(const T* const* in, const std::size_t* taps_at, std::size_t taps, const T* w, T* const* out,
              std::size_t positions) {
  alignas(64) T total[F * 4 * width<T>];  // in memory: the registers hold the sums that grow
  for (std::size_t start = 0; start < taps; start += depth) {
    B<T> sum[F][4];
#pragma GCC unroll 4
    for (auto& filter : sum)
#pragma GCC unroll 4
      for (auto& v : filter) v = B<T>(T(0));
    for (std::size_t t = start; t < std::min(start + depth, taps); ++t) {
      B<T> x[4];
#pragma GCC unroll 4
      for (std::size_t v = 0; v < 4; ++v) x[v] = B<T>::load_unaligned(in[v] + taps_at[t]);
#pragma GCC unroll 4
      for (std::size_t f = 0; f < F; ++f)
#pragma GCC unroll 4
        for (std::size_t v = 0; v < 4; ++v) sum[f][v] = simd::fma(B<T>(w[f * taps + t]), x[v], sum[f][v]);
    }
#pragma GCC unroll 4
    for (std::size_t f = 0; f < F; ++f)
#pragma GCC unroll 4
      for (std::size_t v = 0; v < 4; ++v) {
        T* const to = total + (f * 4 + v) * width<T>;
        (start == 0 ? sum[f][v] : sum[f][v] + B<T>::load_aligned(to)).store_aligned(to);
      }
  }
#pragma GCC unroll 4
  for (std::size_t f = 0; f < F; ++f)
#pragma GCC unroll 4
    for (std::size_t v = 0; v < 4; ++v)
      B<T>::load_aligned(total + (f * 4 + v) * width<T>).store_unaligned(out[v] + f * positions);
}

// ---- the weights' gradient -------------------------------------------------------------------------------------

constexpr std::size_t block = 5;  // taps whose sums stay in registers

// sum[f][k] += the products of filter f's gradient with the image behind tap k in output rows [begin, end), lane by
// lane.
template <class T, std::size_t F>
void collect(const ConvSize& s, std::size_t begin, std::size_t end, const T* const* in, const T* dy, B<T>* const* to) {
  const std::size_t down = s.stride_h * PaddedSize(s).width, whole = s.out_w / width<T> * width<T>;
  // The last vector of a row ends with it; what the one before has counted is masked out.
  const std::size_t tail = s.out_w - width<T>;
  alignas(64) T number[width<T>];
  for (std::size_t k = 0; k < width<T>; ++k) number[k] = static_cast<T>(k);
  const auto fresh = B<T>::load_aligned(number) >= B<T>(static_cast<T>(whole - tail));
  const auto unseen = [&](const B<T>& v) { return xsimd::select(fresh, v, B<T>(T(0))); };
  B<T> sum[F][block];
#pragma GCC unroll 8
  for (auto& filter : sum)
#pragma GCC unroll 8
    for (auto& v : filter) v = B<T>(T(0));
  const auto add = [&](std::size_t x_at, const B<T>(&d)[F], auto mask) {
#pragma GCC unroll 8
    for (std::size_t k = 0; k < block; ++k) {
      const auto x = mask(B<T>::load_unaligned(in[k] + x_at));
#pragma GCC unroll 8
      for (std::size_t f = 0; f < F; ++f) sum[f][k] = simd::fma(d[f], x, sum[f][k]);
    }
  };
  for (std::size_t i = begin; i < end; ++i) {
    const T* const row = dy + i * s.out_w;
    B<T> d[F];
    for (std::size_t j = 0; j < whole; j += width<T>) {
#pragma GCC unroll 8
      for (std::size_t f = 0; f < F; ++f) d[f] = B<T>::load_unaligned(row + f * s.positions() + j);
      add(i * down + j, d, [](const B<T>& v) { return v; });
    }
    if (whole == s.out_w) continue;
#pragma GCC unroll 8
    for (std::size_t f = 0; f < F; ++f) d[f] = unseen(B<T>::load_unaligned(row + f * s.positions() + tail));
    add(i * down + tail, d, unseen);
  }
#pragma GCC unroll 8
  for (std::size_t f = 0; f < F; ++f)
#pragma GCC unroll 8
    for (std::size_t k = 0; k < block; ++k) to[f][k] += sum[f][k];
}

// g(first filter, number of filters as a constant): as many at a time as sums fit the registers, 16 of them but for the
// widest vectors.
template <class T, class G> void for_filters(std::size_t filters, const G& g) {
  std::size_t f = 0;
  if constexpr (width<T> * sizeof(T) >= 64)
    for (; f + 4 <= filters; f += 4) g(f, std::integral_constant<std::size_t, 4>{});
  for (; f + 2 <= filters; f += 2) g(f, std::integral_constant<std::size_t, 2>{});
  if (f < filters) g(f, std::integral_constant<std::size_t, 1>{});
}

}  // namespace

template <class T> bool fits(const ConvSize& s) {
  return s.stride_w == 1 && s.out_w >= width<T> && padding_is_small(s);
}

template <class T> void conv2d(const ConvSize& s, const T* x, const T* w, T* y) {
  const std::size_t taps = s.taps();
  const auto taps_at = tap_offsets(s);
  const Vectors vectors = vectors_of<T>(s);
  const PaddedImages<T> images(s, x);
  for (std::size_t n = 0; n < s.images; ++n) {
    const T* image = images(n);
    T* result = y + n * s.result_elements();
    for (std::size_t first = 0; first < vectors.count; first += 4)
      for_filters<T>(s.filters, [&](std::size_t f, auto filters) {
        const T* in[4];
        T* out[4];
        for (std::size_t v = 0; v < 4; ++v) {
          const std::size_t k = std::min(first + v, vectors.count - 1);  // the last one again
          in[v] = image + vectors.in.data()[k];
          out[v] = result + f * s.positions() + vectors.out.data()[k];
        }
        convolve<T, filters>(in, taps_at.data(), taps, w + s.weights_of(n) + f * taps, out, s.positions());
      });
  }
}

template <class T> void conv2d_weight_gradient(const ConvSize& s, const T* x, const T* dy, T* dw) {
  const std::size_t taps = s.taps(), all_taps = (taps + block - 1) / block * block;
  const auto taps_at = tap_offsets(s);
  const PaddedImages<T> images(s, x);
  const Scratch<B<T>> sums(s.groups * s.filters * all_taps);
  std::fill_n(sums.data(), s.groups * s.filters * all_taps, B<T>(T(0)));
  // So many products are added up one by one in each lane, as far as whole rows go.
  const std::size_t rows = std::max<std::size_t>(depth * width<T> / s.out_w, 1);
  for (std::size_t n = 0; n < s.images; ++n) {
    const T* image = images(n);
    B<T>* const of_group = sums.data() + n % s.groups * s.filters * all_taps;
    for_filters<T>(s.filters, [&](std::size_t f, auto filters) {
      for (std::size_t first = 0; first < taps; first += block) {
        const T* in[block];
        for (std::size_t k = 0; k < block; ++k) in[k] = image + taps_at.data()[std::min(first + k, taps - 1)];
        B<T>* to[filters];
        for (std::size_t k = 0; k < filters; ++k) to[k] = of_group + (f + k) * all_taps + first;
        for (std::size_t begin = 0; begin < s.out_h; begin += rows)
          collect<T, filters>(s, begin, std::min(begin + rows, s.out_h), in,
                              dy + n * s.result_elements() + f * s.positions(), to);
      }
    });
  }
  for (std::size_t f = 0; f < s.groups * s.filters; ++f)
    for (std::size_t t = 0; t < taps; ++t) dw[f * taps + t] = xsimd::hadd(sums.data()[f * all_taps + t]);
}

#define XTAPE_CONV(T)                                            \
  template bool fits<T>(const ConvSize&);                        \
  template void conv2d(const ConvSize&, const T*, const T*, T*); \
  template void conv2d_weight_gradient(const ConvSize&, const T*, const T*, T*);
XTAPE_CONV(float)
XTAPE_CONV(double)

}  // namespace xtape::kernels::rows
