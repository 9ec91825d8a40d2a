#include "conv.hpp"

#include <xtape/detail/simd.hpp>

#include <algorithm>

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

}  // namespace

template <class T> void conv2d(const ConvSize& s, const T* x, const T* w, T* y) {
  if (is_empty(s)) {
    std::fill(y, y + s.images * s.result_elements(), T(0));
  } else if (along_rows<T>(s, 1)) {
    rows::conv2d(s, x, w, y);
  } else if (across<T>(s)) {
    lanes::conv2d(s, x, w, y);
  } else {
    columns::conv2d(s, x, w, y);
  }
}

template <class T> void conv2d_input_gradient(const ConvSize& s, const T* dy, const T* w, T* dx) {
  if (is_empty(s)) {
    std::fill(dx, dx + s.images * s.image_elements(), T(0));
  } else if (across<T>(s) && s.channels > 4 && 2 * s.channels >= width<T>) {
    lanes::conv2d_input_gradient(s, dy, w, dx);
  } else {
    columns::conv2d_input_gradient(s, dy, w, dx);
  }
}

template <class T> void conv2d_weight_gradient(const ConvSize& s, const T* x, const T* dy, T* dw) {
  if (is_empty(s)) {
    std::fill(dw, dw + s.groups * s.weight_elements(), T(0));
  } else if (along_rows<T>(s, 1.5)) {  // each vector of the gradient is loaded again for every five taps
    rows::conv2d_weight_gradient(s, x, dy, dw);
  } else if (across<T>(s)) {
    lanes::conv2d_weight_gradient(s, x, dy, dw);
  } else {
    columns::conv2d_weight_gradient(s, x, dy, dw);
  }
}

#define XTAPE_CONV(T)                                                           \
  template void conv2d(const ConvSize&, const T*, const T*, T*);                \
  template void conv2d_input_gradient(const ConvSize&, const T*, const T*, T*); \
  template void conv2d_weight_gradient(const ConvSize&, const T*, const T*, T*);
XTAPE_CONV(float)
XTAPE_CONV(double)

}  // namespace xtape::kernels
