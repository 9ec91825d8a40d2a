#include "conv.hpp"

#include <xtape/detail/simd.hpp>

#include <algorithm>

#include "conv_padded.hpp"
#include "parallel.hpp"

namespace xtape::kernels {
namespace {

// No products to add up. Nothing that exists then bounds the sizes of intermediate arrays.
bool is_empty(const ConvSize& s) { return s.images == 0 || s.channels == 0 || s.filters == 0; }

// The measured choice. Where vectors are the narrowest that the processor's family has, BLAS, which looks at the
// processor when it runs, may use wider ones.
template <class T> constexpr std::size_t width = simd::Batch<T>::size;
template <class T> constexpr bool wide = sizeof(simd::Batch<T>) > 16;

// What part of whole vectors so many numbers fill.
template <class T> double filling(std::size_t numbers) {
  return static_cast<double>(numbers) / static_cast<double>((numbers + width<T> - 1) / width<T> * width<T>);
}
// Whether vectors along rows pay: they must be fuller than those across filters by a factor.
template <class T> bool along_rows(const ConvSize& s, double factor) {
  return rows::fits<T>(s) && (wide<T> ? filling<T>(s.out_w) >= factor * filling<T>(s.filters) : s.filters <= 8);
}
// Whether vectors across filters or channels pay: the packed weights must be used a few times.
template <class T> bool across(const ConvSize& s) {
  return wide<T> && lanes::fits<T>(s) && s.images / s.groups * s.positions() >= 4;
}

// The batch, cut for several threads. An image of every group stays together.
Parts batch_parts(const ConvSize& s) {
  constexpr double part_products = 1 << 18;                                // take five to ten microseconds
  const auto real = [](std::size_t n) { return static_cast<double>(n); };  // no product wraps around
  const double products = real(s.groups) * real(s.filters) * real(s.positions()) * real(s.taps());
  return {s.images / s.groups, static_cast<std::size_t>(part_products / products) + 1};
}

// Computes a part of the batch; the last argument is what it writes.
template <class T> using Way = void (*)(const ConvSize&, const T*, const T*, T*);

ConvSize some_images(const ConvSize& s, std::size_t first, std::size_t last) {
  ConvSize part = s;
  part.images = (last - first) * s.groups;
  return part;
}

}  // namespace

template <class T> void conv2d(const ConvSize& s, const T* x, const T* w, T* y) {
  if (is_empty(s)) {
    std::fill(y, y + s.images * s.result_elements(), T(0));
    return;
  }
  const Way<T> way = along_rows<T>(s, 1) ? rows::conv2d<T> : across<T>(s) ? lanes::conv2d<T> : columns::conv2d<T>;
  batch_parts(s).run([&](std::size_t, std::size_t first, std::size_t last) {
    const std::size_t image = first * s.groups;
    way(some_images(s, first, last), x + image * s.image_elements(), w, y + image * s.result_elements());
  });
}

template <class T> void conv2d_input_gradient(const ConvSize& s, const T* dy, const T* w, T* dx) {
  if (is_empty(s)) {
    std::fill(dx, dx + s.images * s.image_elements(), T(0));
    return;
  }
  const Way<T> way = across<T>(s) && s.channels > 4 && 2 * s.channels >= width<T> ? lanes::conv2d_input_gradient<T>
                                                                                  : columns::conv2d_input_gradient<T>;
  batch_parts(s).run([&](std::size_t, std::size_t first, std::size_t last) {
    const std::size_t image = first * s.groups;
    way(some_images(s, first, last), dy + image * s.result_elements(), w, dx + image * s.image_elements());
  });
}

template <class T> void conv2d_weight_gradient(const ConvSize& s, const T* x, const T* dy, T* dw) {
  const std::size_t weights = s.groups * s.weight_elements();
  if (is_empty(s)) {
    std::fill(dw, dw + weights, T(0));
    return;
  }
  const Way<T> way = along_rows<T>(s, 1.5)  // each vector of the gradient is loaded again for every five taps
                         ? rows::conv2d_weight_gradient<T>
                         : across<T>(s) ? lanes::conv2d_weight_gradient<T> : columns::conv2d_weight_gradient<T>;
  // Each part has a sum of its own; they meet in the parts' order, whoever ends first.
  const Parts parts = batch_parts(s);
  const Scratch<T> sums((parts.number() - 1) * weights);
  parts.run([&](std::size_t part, std::size_t first, std::size_t last) {
    T* const out = part == 0 ? dw : sums.data() + (part - 1) * weights;
    // A sum over so many positions keeps its digits in float; those of longer stretches of images meet in double.
    constexpr std::size_t longest = 1 << 13;
    const std::size_t stretch = sizeof(T) > 4 ? last - first : std::max<std::size_t>(longest / s.positions(), 1);
    const auto collect = [&](std::size_t from, T* to) {
      const std::size_t image = from * s.groups;
      way(some_images(s, from, std::min(from + stretch, last)), x + image * s.image_elements(),
          dy + image * s.result_elements(), to);
    };
    collect(first, out);
    if (last - first <= stretch) return;
    const Scratch<double> total(weights);
    std::copy_n(out, weights, total.data());
    for (std::size_t from = first + stretch; from < last; from += stretch) {
      collect(from, out);
      for (std::size_t i = 0; i < weights; ++i) total.data()[i] += static_cast<double>(out[i]);
    }
    for (std::size_t i = 0; i < weights; ++i) out[i] = static_cast<T>(total.data()[i]);
  });
  for (std::size_t part = 1; part < parts.number(); ++part)
    for (std::size_t i = 0; i < weights; ++i) dw[i] += sums.data()[(part - 1) * weights + i];
}

#define XTAPE_CONV(T)                                                           \
  template void conv2d(const ConvSize&, const T*, const T*, T*);                \
  template void conv2d_input_gradient(const ConvSize&, const T*, const T*, T*); \
  template void conv2d_weight_gradient(const ConvSize&, const T*, const T*, T*);
XTAPE_CONV(float)
XTAPE_CONV(double)

}  // namespace xtape::kernels
