#include <xtape/data/normalisation.hpp>
#include <xtape/error.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace xtape::data {

template <class T> Tensor<T> Normalisation<T>::operator()(const Tensor<T>& x) const { return (x - mean) / deviation; }
template <class T> Tensor<T> Normalisation<T>::inverse(const Tensor<T>& y) const { return y * deviation + mean; }

template <class T> Normalisation<T> normalisation(const Tensor<T>& x, const Axes& axes) {
  const auto data = x.detach();
  Normalisation<T> result{mean(data, axes, {.keepdims = true}), stddev(data, axes, {.keepdims = true})};
  const auto deviations = result.deviation.modify();
  for (std::size_t i = 0; i < deviations.size(); ++i) {
    const T mean = result.mean.data()[i];
    if (!std::isfinite(mean) || !std::isfinite(deviations[i]))
      throw ValueError(fmt::format("normalisation: x of shape {} has mean {} and deviation {} at {}",
                                   to_string(x.shape()), mean, deviations[i], i));
    // Values that are equal may still differ from their mean by a rounding.
    if (deviations[i] <= std::numeric_limits<T>::epsilon() * std::abs(mean)) deviations[i] = 1;
  }
  return result;
}

template struct Normalisation<float>;
template struct Normalisation<double>;
template Normalisation<float> normalisation(const Tensor<float>&, const Axes&);
template Normalisation<double> normalisation(const Tensor<double>&, const Axes&);

}  // namespace xtape::data
