#pragma once
/// \file energy/rbm.hpp  The restricted Boltzmann machine with binary units, and the gradient that trains it.
///
/// E(v, h) = -vᵀ W h - bᵀ v - aᵀ h,    p(v, h) = e^-E / Z.    Batches are rows: v is (n, visible), h (n, hidden).
/// The conditionals and energies are ordinary tape ops. Sampling and contrastive divergence are not: their
/// gradient is no backward sweep.

#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

#include <vector>

namespace xtape {

template <class T> struct Rbm {
  Tensor<T> W;  ///< (visible, hidden)
  Tensor<T> b;  ///< visible biases
  Tensor<T> a;  ///< hidden biases

  /// W ~ N(0, standard_deviation²), biases 0; all three are parameters. Throws ValueError unless the standard deviation
  /// is finite and not negative.
  Rbm(std::size_t visible, std::size_t hidden, Rng& rng, T standard_deviation = T(0.1));
  /// From given values; they become parameters. Throws ShapeError if they do not fit each other.
  Rbm(const Tensor<T>& weights, const Tensor<T>& visible_bias, const Tensor<T>& hidden_bias);

  std::size_t visible() const { return W.shape()[0]; }
  std::size_t hidden() const { return W.shape()[1]; }
  std::vector<Tensor<T>> parameters() const { return {W, b, a}; }
};

// All below throw ShapeError naming the function if v or h is not a batch of rows that fits the machine.

/// p(h_j = 1 | v) = σ(v W + a)_j        v: (n, visible) -> (n, hidden)
template <class T> Tensor<T> hidden_probability(const Rbm<T>& rbm, const Tensor<T>& v);
/// p(v_i = 1 | h) = σ(h Wᵀ + b)_i        h: (n, hidden) -> (n, visible)
template <class T> Tensor<T> visible_probability(const Rbm<T>& rbm, const Tensor<T>& h);
/// F(v) = -bᵀ v - sum_j softplus((v W + a)_j), so that p(v) = e^-F(v) / Z.    (n, visible) -> (n,)
template <class T> Tensor<T> free_energy(const Rbm<T>& rbm, const Tensor<T>& v);
/// E(v, h) of each pair of rows -> (n,)
template <class T> Tensor<T> energy(const Rbm<T>& rbm, const Tensor<T>& v, const Tensor<T>& h);

// Conditionals and energies take any real v and h, as ops that are differentiated must; samples do not.

/// h ~ p(h | v), 0 or 1. Not recorded. Throws ValueError if v is outside of [0, 1] or NaN.
template <class T> Tensor<T> sample_hidden(const Rbm<T>& rbm, const Tensor<T>& v, Rng& rng);
/// v ~ p(v | h), 0 or 1. Not recorded. Throws ValueError if h is outside of [0, 1] or NaN.
template <class T> Tensor<T> sample_visible(const Rbm<T>& rbm, const Tensor<T>& h, Rng& rng);

}  // namespace xtape
