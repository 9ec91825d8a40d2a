#include "conv.hpp"

#include <xtape/detail/simd.hpp>

#include <algorithm>

namespace xtape::kernels {
namespace {

// No products to add up. Nothing that exists then bounds the sizes of intermediate arrays.
bool is_empty(const ConvSize& s) { return s.images == 0 || s.channels == 0 || s.filters == 0; }

// Whether vectors along `lanes` filters or channels pay: they are wider than the machine's narrowest, which BLAS may
// know to exceed, and at least half full; and packing the weights is worth while.
template <class T> bool fills_lanes(const ConvSize& s, std::size_t lanes) {
  constexpr std::size_t width = simd::Batch<T>::size;
  return width * sizeof(T) > 16 && 2 * lanes >= width && s.images / s.groups * s.positions() >= 32 && lanes::fits<T>(s);
}

}  // namespace

template <class T> void conv2d(const ConvSize& s, const T* x, const T* w, T* y) {
  if (is_empty(s)) {
    std::fill(y, y + s.images * s.result_elements(), T(0));
  } else if (fills_lanes<T>(s, s.filters)) {
    lanes::conv2d(s, x, w, y);
  } else if (rows::fits<T>(s)) {
    rows::conv2d(s, x, w, y);
  } else {
    columns::conv2d(s, x, w, y);
  }
}

template <class T> void conv2d_input_gradient(const ConvSize& s, const T* dy, const T* w, T* dx) {
  if (is_empty(s)) {
    std::fill(dx, dx + s.images * s.image_elements(), T(0));
  } else if (fills_lanes<T>(s, s.channels)) {
    lanes::conv2d_input_gradient(s, dy, w, dx);
  } else {
    columns::conv2d_input_gradient(s, dy, w, dx);
  }
}

template <class T> void conv2d_weight_gradient(const ConvSize& s, const T* x, const T* dy, T* dw) {
  if (is_empty(s)) {
    std::fill(dw, dw + s.groups * s.weight_elements(), T(0));
  } else if (fills_lanes<T>(s, s.filters)) {
    lanes::conv2d_weight_gradient(s, x, dy, dw);
  } else if (rows::fits<T>(s)) {
    rows::conv2d_weight_gradient(s, x, dy, dw);
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
