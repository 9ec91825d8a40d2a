#pragma once
/// \file data/augment.hpp  Images moved and turned a little, so that a model sees more of them than there are.
///
/// An image is the last two axes, (..., H, W), rows from top to bottom. A pixel takes the value at the place that it
/// comes from, between four pixels by bilinear interpolation; what comes from outside is `fill`. Results are data: no
/// gradient flows through, and an input that requires one is a TapeError.

#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

namespace xtape::data {

struct ResampleOptions {
  double fill = 0;
};

/// Every image `down` and `right` by so many pixels, which may be fractions. Exact for whole numbers.
/// Throws ShapeError for fewer than two axes, ValueError for a shift that is infinite or NaN.
template <class T>
Tensor<T> shifted(const Tensor<T>& images, double down, double right, const ResampleOptions& options = {});

/// Every image turned about its centre, counter-clockwise. Exact for multiples of 90 degrees, as np.rot90 has them, if
/// the image is square or its sides are both odd or both even; corners that leave the frame are lost.
/// Throws ShapeError for fewer than two axes, ValueError for an angle that is infinite or NaN.
template <class T> Tensor<T> rotated(const Tensor<T>& images, double degrees, const ResampleOptions& options = {});

struct AugmentOptions {
  double shift = 2;      ///< pixels down and right: uniform from -shift to shift
  double rotation = 10;  ///< degrees: uniform from -rotation to rotation
  double fill = 0;
};

/// Each image along the first axis turned, then shifted, at random; the channels of one image (N, C, H, W) alike. Three
/// draws an image, whatever the options.
/// Throws ShapeError for fewer than three axes, ValueError for ranges that are negative, infinite or NaN.
template <class T> Tensor<T> augmented(const Tensor<T>& images, const AugmentOptions& options, Rng& rng);

#define XTAPE_AUGMENT(T)                                                                       \
  extern template Tensor<T> shifted(const Tensor<T>&, double, double, const ResampleOptions&); \
  extern template Tensor<T> rotated(const Tensor<T>&, double, const ResampleOptions&);         \
  extern template Tensor<T> augmented(const Tensor<T>&, const AugmentOptions&, Rng&);
XTAPE_AUGMENT(float)
XTAPE_AUGMENT(double)
#undef XTAPE_AUGMENT

}  // namespace xtape::data
