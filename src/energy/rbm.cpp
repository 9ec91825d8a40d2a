#include <xtape/energy/rbm.hpp>

#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include "../core/distributions.hpp"
#include "common.hpp"

namespace xtape {
namespace {

template <class T> Tensor<T> initial_weights(const Shape& shape, T standard_deviation, Rng& rng) {
  detail::need_deviation("rbm", standard_deviation);
  return init::normal<T>(shape, T(0), standard_deviation, rng);
}

}  // namespace

template <class T>
Rbm<T>::Rbm(std::size_t visible_units, std::size_t hidden_units, Rng& rng, T standard_deviation)
    : Rbm(initial_weights<T>({visible_units, hidden_units}, standard_deviation, rng), zeros<T>({visible_units}),
          zeros<T>({hidden_units})) {}

template <class T>
Rbm<T>::Rbm(const Tensor<T>& weights, const Tensor<T>& visible_bias, const Tensor<T>& hidden_bias)
    : W(parameter(weights)), b(parameter(visible_bias)), a(parameter(hidden_bias)) {
  if (W.dimension() != 2 || b.shape() != Shape{W.shape()[0]} || a.shape() != Shape{W.shape()[1]})
    throw ShapeError(fmt::format("rbm: weights {} do not go with visible biases {} and hidden biases {}",
                                 to_string(W.shape()), to_string(b.shape()), to_string(a.shape())));
}

template <class T> Tensor<T> hidden_probability(const Rbm<T>& rbm, const Tensor<T>& v) {
  detail::check_rows("hidden_probability", v, rbm.visible());
  return sigmoid(matmul(v, rbm.W) + rbm.a);
}

template <class T> Tensor<T> visible_probability(const Rbm<T>& rbm, const Tensor<T>& h) {
  detail::check_rows("visible_probability", h, rbm.hidden());
  return sigmoid(matmul(h, rbm.W, {.transpose_b = true}) + rbm.b);
}

template <class T> Tensor<T> free_energy(const Rbm<T>& rbm, const Tensor<T>& v) {
  detail::check_rows("free_energy", v, rbm.visible());
  return -(sum(v * rbm.b, 1) + sum(softplus(matmul(v, rbm.W) + rbm.a), 1));
}

template <class T> Tensor<T> energy(const Rbm<T>& rbm, const Tensor<T>& v, const Tensor<T>& h) {
  detail::check_rows("energy", v, rbm.visible());
  detail::check_rows("energy", h, rbm.hidden());
  if (v.shape()[0] != h.shape()[0])
    throw ShapeError(
        fmt::format("energy: as many rows of v as of h, got {} and {}", to_string(v.shape()), to_string(h.shape())));
  return -(sum((matmul(v, rbm.W) + rbm.a) * h, 1) + sum(v * rbm.b, 1));
}

template <class T> Tensor<T> sample_hidden(const Rbm<T>& rbm, const Tensor<T>& v, Rng& rng) {
  detail::check_rows("sample_hidden", v, rbm.visible());
  detail::check_unit_interval("sample_hidden", v);
  const std::size_t n = v.shape()[0];
  Fresh<T> h("sample_hidden", {n, rbm.hidden()});
  detail::hidden_input(rbm, n, v.data(), h.data());
  kernels::half_steps<T>(h.data(), rbm.a.data(), n, rbm.hidden(), T(1), nullptr, h.data(), rng);
  return std::move(h).finished();
}

template <class T> Tensor<T> sample_visible(const Rbm<T>& rbm, const Tensor<T>& h, Rng& rng) {
  detail::check_rows("sample_visible", h, rbm.hidden());
  detail::check_unit_interval("sample_visible", h);
  const std::size_t n = h.shape()[0];
  Fresh<T> v("sample_visible", {n, rbm.visible()});
  detail::visible_input(rbm, n, h.data(), v.data());
  kernels::half_steps<T>(v.data(), rbm.b.data(), n, rbm.visible(), T(1), nullptr, v.data(), rng);
  return std::move(v).finished();
}

#define XTAPE_RBM(T)                                                            \
  template struct Rbm<T>;                                                       \
  template Tensor<T> hidden_probability(const Rbm<T>&, const Tensor<T>&);       \
  template Tensor<T> visible_probability(const Rbm<T>&, const Tensor<T>&);      \
  template Tensor<T> free_energy(const Rbm<T>&, const Tensor<T>&);              \
  template Tensor<T> energy(const Rbm<T>&, const Tensor<T>&, const Tensor<T>&); \
  template Tensor<T> sample_hidden(const Rbm<T>&, const Tensor<T>&, Rng&);      \
  template Tensor<T> sample_visible(const Rbm<T>&, const Tensor<T>&, Rng&);
XTAPE_INSTANTIATE(XTAPE_RBM)

}  // namespace xtape
