#include "conv_padded.hpp"
#include "gemm.hpp"

namespace xtape::kernels::columns {
namespace {

// A 1x1 kernel walks the image as it is: the image is its own column matrix.
bool is_pointwise(const ConvSize& s) {
  return s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 && s.pad_w == 0;
}

// Along one axis, the outputs j whose input place j stride + tap - pad lies inside the image: [first, last).
struct Inside {
  std::size_t first, last;
};
Inside inside(std::size_t out, std::size_t stride, std::size_t tap, std::size_t pad, std::size_t extent) {
  // The number of j with j stride < distance; any stride, without a sum that could wrap around.
  const auto below = [&](std::size_t distance) { return distance == 0 ? 0 : (distance - 1) / stride + 1; };
  const std::size_t first = below(pad > tap ? pad - tap : 0);
  const std::size_t last = std::min(out, below(extent + pad > tap ? extent + pad - tap : 0));
  return {std::min(first, last), last};
}

// Calls f(row of the column matrix, channel, tap_h, tap_w) for all of them, with taps counted in places of the image.
template <class F> void for_taps(const ConvSize& s, const F& f) {
  std::size_t row = 0;
  for (std::size_t c = 0; c < s.channels; ++c)
    for (std::size_t p = 0; p < s.kernel_h; ++p)
      for (std::size_t q = 0; q < s.kernel_w; ++q) f(row++, c, p * s.dilation_h, q * s.dilation_w);
}

// The place in the image that output (i, j) meets with a tap, where that lies inside.
std::size_t place(const ConvSize& s, std::size_t c, std::size_t i, std::size_t j, std::size_t tap_h,
                  std::size_t tap_w) {
  return (c * s.height + i * s.stride_h + tap_h - s.pad_h) * s.width + j * s.stride_w + tap_w - s.pad_w;
}

// columns[(c, p, q), (i, j)] = image[c, i stride + p dilation - pad, j stride + q dilation - pad], 0 outside
template <class T> void im2col(const ConvSize& s, const T* image, T* columns) {
  for_taps(s, [&](std::size_t row, std::size_t c, std::size_t p, std::size_t q) {
    const Inside rows = inside(s.out_h, s.stride_h, p, s.pad_h, s.height);
    const Inside cols = inside(s.out_w, s.stride_w, q, s.pad_w, s.width);
    T* out = columns + row * s.positions();
    std::fill(out, out + rows.first * s.out_w, T(0));
    std::fill(out + rows.last * s.out_w, out + s.positions(), T(0));
    for (std::size_t i = rows.first; i < rows.last; ++i) {
      T* line = out + i * s.out_w;
      std::fill(line, line + cols.first, T(0));
      std::fill(line + cols.last, line + s.out_w, T(0));
      if (cols.first == cols.last) continue;
      const T* in = image + place(s, c, i, cols.first, p, q);
      if (s.stride_w == 1)
        std::copy(in, in + (cols.last - cols.first), line + cols.first);
      else
        for (std::size_t j = cols.first; j < cols.last; ++j) line[j] = in[(j - cols.first) * s.stride_w];
    }
  });
}

// The transpose of im2col: image += what each column entry was read from.
template <class T> void col2im(const ConvSize& s, const T* columns, T* image) {
  for_taps(s, [&](std::size_t row, std::size_t c, std::size_t p, std::size_t q) {
    const Inside rows = inside(s.out_h, s.stride_h, p, s.pad_h, s.height);
    const Inside cols = inside(s.out_w, s.stride_w, q, s.pad_w, s.width);
    if (cols.first == cols.last) return;
    for (std::size_t i = rows.first; i < rows.last; ++i) {
      const T* line = columns + row * s.positions() + i * s.out_w;
      T* out = image + place(s, c, i, cols.first, p, q);
      if (s.stride_w == 1)
        for (std::size_t j = cols.first; j < cols.last; ++j) *out++ += line[j];
      else
        for (std::size_t j = cols.first; j < cols.last; ++j) out[(j - cols.first) * s.stride_w] += line[j];
    }
  });
}

// Room for one column matrix.
template <class T> Scratch<T> room(const ConvSize& s) {
  return Scratch<T>(is_pointwise(s) ? 0 : s.taps() * s.positions());
}

}  // namespace

template <class T> void conv2d(const ConvSize& s, const T* x, const T* w, T* y) {
  const auto columns = room<T>(s);
  for (std::size_t n = 0; n < s.images; ++n) {
    const T* image = x + n * s.image_elements();
    if (!is_pointwise(s)) im2col(s, image, columns.data());
    gemm(false, false, s.filters, s.positions(), s.taps(), w + s.weights_of(n),
         is_pointwise(s) ? image : columns.data(), T(0), y + n * s.result_elements());
  }
}

template <class T> void conv2d_input_gradient(const ConvSize& s, const T* dy, const T* w, T* dx) {
  if (!is_pointwise(s)) std::fill(dx, dx + s.images * s.image_elements(), T(0));
  const auto columns = room<T>(s);
  for (std::size_t n = 0; n < s.images; ++n) {
    T* image = dx + n * s.image_elements();
    gemm(true, false, s.taps(), s.positions(), s.filters, w + s.weights_of(n), dy + n * s.result_elements(), T(0),
         is_pointwise(s) ? image : columns.data());
    if (!is_pointwise(s)) col2im(s, columns.data(), image);
  }
}

template <class T> void conv2d_weight_gradient(const ConvSize& s, const T* x, const T* dy, T* dw) {
  const auto columns = room<T>(s);
  for (std::size_t n = 0; n < s.images; ++n) {
    const T* image = x + n * s.image_elements();
    if (!is_pointwise(s)) im2col(s, image, columns.data());
    // The first image of each group writes, the others add.
    gemm(false, true, s.filters, s.taps(), s.positions(), dy + n * s.result_elements(),
         is_pointwise(s) ? image : columns.data(), T(n < s.groups ? 0 : 1), dw + s.weights_of(n));
  }
}

#define XTAPE_CONV(T)                                                           \
  template void conv2d(const ConvSize&, const T*, const T*, T*);                \
  template void conv2d_input_gradient(const ConvSize&, const T*, const T*, T*); \
  template void conv2d_weight_gradient(const ConvSize&, const T*, const T*, T*);
XTAPE_CONV(float)
XTAPE_CONV(double)

}  // namespace xtape::kernels::columns
