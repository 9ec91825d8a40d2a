#include <xtape/init.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include "../core/distributions.hpp"
#include "../ops/common.hpp"

#include <cmath>

namespace xtape::init {
namespace {

void need_matrix(const char* name, const Shape& shape) {
  if (shape.size() < 2)
    throw ShapeError(fmt::format("{}: weights have at least two axes, got shape {}", name, to_string(shape)));
}

struct Fan {
  double in, out;
};
Fan fan_of(const char* name, const Shape& shape) {
  need_matrix(name, shape);
  if (shape.size() == 2) return {static_cast<double>(shape[0]), static_cast<double>(shape[1])};
  double window = 1;
  for (std::size_t i = 2; i < shape.size(); ++i) window *= static_cast<double>(shape[i]);
  return {static_cast<double>(shape[1]) * window, static_cast<double>(shape[0]) * window};
}

// With a fan of 0 there is no element to draw, and no variance.
template <class T> Tensor<T> normal_of_variance(const Shape& shape, double variance, Rng& rng) {
  return normal<T>(shape, T(0), std::isfinite(variance) ? static_cast<T>(std::sqrt(variance)) : T(0), rng);
}
template <class T> Tensor<T> uniform_of_variance(const Shape& shape, double variance, Rng& rng) {
  const auto limit = std::isfinite(variance) ? static_cast<T>(std::sqrt(3 * variance)) : T(0);
  return uniform<T>(shape, -limit, limit, rng);
}

}  // namespace

template <class T> Tensor<T> normal(const Shape& shape, T mean, T standard_deviation, Rng& rng) {
  detail::need_normal("normal", mean, standard_deviation);
  Fresh<T> result("normal", shape);
  rng.fill_normal(result.span(), mean, standard_deviation);
  return std::move(result).finished();
}

template <class T> Tensor<T> uniform(const Shape& shape, T low, T high, Rng& rng) {
  detail::need_interval("uniform", low, high);
  Fresh<T> result("uniform", shape);
  rng.fill_uniform(result.span(), low, high);
  return std::move(result).finished();
}

template <class T> Tensor<T> glorot_normal(const Shape& shape, Rng& rng) {
  const Fan fan = fan_of("glorot_normal", shape);
  return normal_of_variance<T>(shape, 2 / (fan.in + fan.out), rng);
}
template <class T> Tensor<T> glorot_uniform(const Shape& shape, Rng& rng) {
  const Fan fan = fan_of("glorot_uniform", shape);
  return uniform_of_variance<T>(shape, 2 / (fan.in + fan.out), rng);
}
template <class T> Tensor<T> he_normal(const Shape& shape, Rng& rng) {
  return normal_of_variance<T>(shape, 2 / fan_of("he_normal", shape).in, rng);
}
template <class T> Tensor<T> he_uniform(const Shape& shape, Rng& rng) {
  return uniform_of_variance<T>(shape, 2 / fan_of("he_uniform", shape).in, rng);
}

template <class T> Tensor<T> orthogonal(const Shape& shape, Rng& rng, T gain) {
  need_matrix("orthogonal", shape);
  if (!std::isfinite(gain)) throw ValueError(fmt::format("orthogonal: the gain {} is not finite", gain));
  const NoGrad pause;
  const std::size_t rows = shape[0], columns = rows == 0 ? 0 : shape.elements() / rows;
  const bool tall = rows >= columns;
  // R's diagonal is positive, so Q is uniform among the matrices with orthonormal columns.
  const auto q = qr(normal<T>({tall ? rows : columns, tall ? columns : rows}, T(0), T(1), rng)).q;
  return reshape((tall ? q : transpose(q)) * gain, shape);
}

#define XTAPE_INIT(T)                                       \
  template Tensor<T> normal(const Shape&, T, T, Rng&);      \
  template Tensor<T> uniform(const Shape&, T, T, Rng&);     \
  template Tensor<T> glorot_normal<T>(const Shape&, Rng&);  \
  template Tensor<T> glorot_uniform<T>(const Shape&, Rng&); \
  template Tensor<T> he_normal<T>(const Shape&, Rng&);      \
  template Tensor<T> he_uniform<T>(const Shape&, Rng&);     \
  template Tensor<T> orthogonal(const Shape&, Rng&, T gain);
XTAPE_INSTANTIATE(XTAPE_INIT)

}  // namespace xtape::init
