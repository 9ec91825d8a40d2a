#include <xtape/nn.hpp>

#include <xtape/error.hpp>
#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/random.hpp>

#include "../ops/common.hpp"

namespace xtape::nn {
namespace {

template <class T> std::vector<Tensor<T>> without_names(const NamedTensors<T>& named) {
  std::vector<Tensor<T>> result;
  for (const auto& [name, tensor] : named) result.push_back(tensor);
  return result;
}
template <class T> NamedTensors<T> weight_and_bias(const Tensor<T>& weight, const Tensor<T>& bias) {
  NamedTensors<T> named{{"weight", weight}};
  if (bias.defined()) named.emplace_back("bias", bias);
  return named;
}

}  // namespace

template <class T>
Linear<T>::Linear(std::size_t inputs, std::size_t outputs, Rng& rng)
    : weight(parameter(init::he_normal<T>({inputs, outputs}, rng))), bias(parameter(zeros<T>({outputs}))) {}
template <class T> Tensor<T> Linear<T>::operator()(const Tensor<T>& x) const {
  const auto y = matmul(x, weight);
  return bias.defined() ? y + bias : y;
}
template <class T> NamedTensors<T> Linear<T>::named_parameters() const { return weight_and_bias(weight, bias); }
template <class T> std::vector<Tensor<T>> Linear<T>::parameters() const { return without_names(named_parameters()); }

template <class T>
Conv2d<T>::Conv2d(std::size_t inputs, std::size_t outputs, Pair kernel, Rng& rng, const Conv2dOptions& with)
    : bias(parameter(zeros<T>({outputs}))), options(with) {
  if (with.groups == 0 || inputs % with.groups != 0)
    throw ShapeError(fmt::format("Conv2d: {} input channels in {} groups", inputs, with.groups));
  weight = parameter(init::he_normal<T>({outputs, inputs / with.groups, kernel.h, kernel.w}, rng));
}
template <class T> Tensor<T> Conv2d<T>::operator()(const Tensor<T>& x) const {
  return bias.defined() ? conv2d(x, weight, bias, options) : conv2d(x, weight, options);
}
template <class T> NamedTensors<T> Conv2d<T>::named_parameters() const { return weight_and_bias(weight, bias); }
template <class T> std::vector<Tensor<T>> Conv2d<T>::parameters() const { return without_names(named_parameters()); }

template <class T>
BatchNorm<T>::BatchNorm(std::size_t channels)
    : gamma(parameter(ones<T>({channels}))), beta(parameter(zeros<T>({channels}))), state(channels) {}
template <class T> Tensor<T> BatchNorm<T>::operator()(const Tensor<T>& x) {
  return batch_norm(x, gamma, beta, state, {.training = training, .momentum = momentum, .epsilon = epsilon});
}

template <class T> Dropout<T>::Dropout(double with, Rng& from) : rate(with), rng(std::make_shared<Rng>(from.split())) {
  if (!(rate >= 0 && rate < 1)) throw ValueError(fmt::format("Dropout: the rate {} is not in [0, 1)", rate));
}
template <class T> Tensor<T> Dropout<T>::operator()(const Tensor<T>& x) const {
  return training ? dropout(x, rate, *rng) : x;
}

#define XTAPE_NN(T)             \
  template struct Linear<T>;    \
  template struct Conv2d<T>;    \
  template struct BatchNorm<T>; \
  template struct Dropout<T>;
XTAPE_INSTANTIATE(XTAPE_NN)

}  // namespace xtape::nn
