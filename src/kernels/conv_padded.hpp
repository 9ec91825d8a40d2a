#pragma once
// Images with their padding written out, so that every tap of every output lies inside, at the sum of two offsets:
// that of the output's position and that of the tap.

#include <xtape/detail/memory.hpp>

#include "conv.hpp"

#include <algorithm>

namespace xtape::kernels {

// Products that are added up one after another before their sum joins the others': the rounding errors of long sums
// stay small, and what they are made of stays in the first-level cache.
constexpr std::size_t depth = 256;

// Uninitialised room of the pool's memory, aligned to 64 bytes; not for objects with destructors.
template <class T> class Scratch {
 public:
  explicit Scratch(std::size_t count) : storage_(xtape::detail::Storage::make(count * sizeof(T))) {}
  T* data() const { return static_cast<T*>(storage_->data()); }

 private:
  xtape::detail::Handle<xtape::detail::Storage> storage_;
};

struct PaddedSize {
  std::size_t height, width;
  explicit PaddedSize(const ConvSize& s) : height(s.height + 2 * s.pad_h), width(s.width + 2 * s.pad_w) {}
};

// Whether the padded image is no larger than the matrix of its patches; that exists in memory.
inline bool padding_is_small(const ConvSize& s) {
  const auto real = [](std::size_t n) { return static_cast<double>(n); };  // no product wraps around
  return (real(s.height) + 2 * real(s.pad_h)) * (real(s.width) + 2 * real(s.pad_w)) <=
         real(s.kernel_h * s.kernel_w) * real(s.positions()) + real(s.height * s.width);
}

// Where the patch of each output starts in the padded image.
inline Scratch<std::size_t> position_offsets(const ConvSize& s) {
  const PaddedSize padded(s);
  Scratch<std::size_t> offsets(s.positions());
  std::size_t* to = offsets.data();
  for (std::size_t i = 0; i < s.out_h; ++i)
    for (std::size_t j = 0; j < s.out_w; ++j) *to++ = i * s.stride_h * padded.width + j * s.stride_w;
  return offsets;
}

// Where each tap (c, p, q) lies from there.
inline Scratch<std::size_t> tap_offsets(const ConvSize& s) {
  const PaddedSize padded(s);
  Scratch<std::size_t> offsets(s.taps());
  std::size_t* to = offsets.data();
  for (std::size_t c = 0; c < s.channels; ++c)
    for (std::size_t p = 0; p < s.kernel_h; ++p)
      for (std::size_t q = 0; q < s.kernel_w; ++q)
        *to++ = (c * padded.height + p * s.dilation_h) * padded.width + q * s.dilation_w;
  return offsets;
}

// Gives images as they are, or copies one at a time between zeros.
template <class T> class PaddedImages {
 public:
  PaddedImages(const ConvSize& s, const T* x) : s_(s), size_(s), x_(x), copy_(is_needed() ? elements() : 0) {
    if (is_needed()) std::fill_n(copy_.data(), elements(), T(0));
  }
  // Image n, until the next is asked for.
  const T* operator()(std::size_t n) const {
    const T* image = x_ + n * s_.image_elements();
    if (!is_needed()) return image;
    T* to = copy_.data() + s_.pad_h * size_.width + s_.pad_w;
    for (std::size_t c = 0; c < s_.channels; ++c, to += size_.height * size_.width)
      for (std::size_t i = 0; i < s_.height; ++i, image += s_.width) std::copy_n(image, s_.width, to + i * size_.width);
    return copy_.data();
  }

 private:
  bool is_needed() const { return s_.pad_h != 0 || s_.pad_w != 0; }
  std::size_t elements() const { return s_.channels * size_.height * size_.width; }

  ConvSize s_;
  PaddedSize size_;
  const T* x_;
  Scratch<T> copy_;
};

}  // namespace xtape::kernels
