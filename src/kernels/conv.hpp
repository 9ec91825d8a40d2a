#pragma once
// Two-dimensional convolution of contiguous NCHW arrays.

#include <cstddef>

namespace xtape::kernels {

// Of one group. With g groups an array of N images with C channels is one of N g images with C/g channels:
// image n meets the weights of group n mod g.
struct ConvSize {
  std::size_t images, channels, height, width;  // of the input
  std::size_t filters, kernel_h, kernel_w;      // of the weights
  std::size_t out_h, out_w;                     // of the output
  std::size_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  std::size_t groups;

  std::size_t positions() const { return out_h * out_w; }
  std::size_t taps() const { return channels * kernel_h * kernel_w; }  // products that one output adds up
  std::size_t image_elements() const { return channels * height * width; }
  std::size_t result_elements() const { return filters * positions(); }
  std::size_t weight_elements() const { return filters * taps(); }
  // Where the weights of image n's group start.
  std::size_t weights_of(std::size_t n) const { return n % groups * weight_elements(); }
};

// y = x * w
template <class T> void conv2d(const ConvSize& size, const T* x, const T* w, T* y);
// dx = the transpose of x -> y, applied to dy
template <class T> void conv2d_input_gradient(const ConvSize& size, const T* dy, const T* w, T* dx);
// dw = the transpose of w -> y, applied to dy
template <class T> void conv2d_weight_gradient(const ConvSize& size, const T* x, const T* dy, T* dw);

// The three ways to compute them; conv.cpp chooses. Padding holds zeros in all of them, so a weight that is infinite
// makes NaN where it meets them. Nothing may be empty here.

// The matrix of all patches, times the weights by BLAS: of any size.
namespace columns {
template <class T> void conv2d(const ConvSize& size, const T* x, const T* w, T* y);
template <class T> void conv2d_input_gradient(const ConvSize& size, const T* dy, const T* w, T* dx);
template <class T> void conv2d_weight_gradient(const ConvSize& size, const T* x, const T* dy, T* dw);
}  // namespace columns

// Filters (for the input's gradient: channels) side by side in vectors, whatever stride and dilation.
namespace lanes {
template <class T> bool fits(const ConvSize& size);
template <class T> void conv2d(const ConvSize& size, const T* x, const T* w, T* y);
template <class T> void conv2d_input_gradient(const ConvSize& size, const T* dy, const T* w, T* dx);
template <class T> void conv2d_weight_gradient(const ConvSize& size, const T* x, const T* dy, T* dw);
}  // namespace lanes

// Neighbours of a row side by side in vectors: for few filters, with a stride of 1 along rows of a vector's length.
namespace rows {
template <class T> bool fits(const ConvSize& size);
template <class T> void conv2d(const ConvSize& size, const T* x, const T* w, T* y);
template <class T> void conv2d_weight_gradient(const ConvSize& size, const T* x, const T* dy, T* dw);
}  // namespace rows

}  // namespace xtape::kernels
