#pragma once
// Two-dimensional convolution of contiguous NCHW arrays: im2col and GEMM, one image at a time.

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
};

// y = x * w
template <class T> void conv2d(const ConvSize& size, const T* x, const T* w, T* y);
// dx = the transpose of x -> y, applied to dy
template <class T> void conv2d_input_gradient(const ConvSize& size, const T* dy, const T* w, T* dx);
// dw = the transpose of w -> y, applied to dy
template <class T> void conv2d_weight_gradient(const ConvSize& size, const T* x, const T* dy, T* dw);

}  // namespace xtape::kernels
