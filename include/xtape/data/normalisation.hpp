#pragma once
/// \file data/normalisation.hpp  Data of mean 0 and deviation 1, by the statistics of the training set.
///
///     const auto normalise = data::normalisation(data::images(train));
///     normalise(data::images(test));   // by the training set's mean and deviation

#include <xtape/nn.hpp>

namespace xtape::data {

/// y = (x - mean) / deviation. A layer, too: put in front of a network it is saved with it, as buffers.
template <class T> struct Normalisation {
  Tensor<T> mean, deviation;  ///< they broadcast against x

  Tensor<T> operator()(const Tensor<T>& x) const;
  /// x = y deviation + mean
  Tensor<T> inverse(const Tensor<T>& y) const;
  std::vector<Tensor<T>> buffers() const { return {mean, deviation}; }
  nn::NamedTensors<T> named_buffers() const { return {{"mean", mean}, {"deviation", deviation}}; }
};

/// Mean and standard deviation over `axes`, which stay with extent 1: over 0 those of each feature of x (n, features),
/// over {0, 2, 3} of each channel of (N, C, H, W), over all_axes one of each. What does not vary, or by no more than T
/// can tell, has deviation 1 and becomes 0. Constants: no gradient flows through them.
/// Throws ShapeError on an axis out of range or repeated, ValueError if x has no elements there, or holds NaN or
/// infinity.
template <class T> Normalisation<T> normalisation(const Tensor<T>& x, const Axes& axes = 0);

extern template struct Normalisation<float>;
extern template struct Normalisation<double>;
extern template Normalisation<float> normalisation(const Tensor<float>&, const Axes&);
extern template Normalisation<double> normalisation(const Tensor<double>&, const Axes&);

}  // namespace xtape::data
