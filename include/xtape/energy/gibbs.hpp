#pragma once
/// \file energy/gibbs.hpp  Block Gibbs sampling from a restricted Boltzmann machine.

#include <xtape/energy/rbm.hpp>

namespace xtape {

/// A batch of Markov chains v -> h -> v -> ... whose stationary distribution is the machine's p(v). Reads the
/// machine's parameters at every step, so a chain may go on while the machine is trained. Not recorded.
template <class T> class GibbsChain {
 public:
  /// Chains start at the rows of `visible`, (chains, visible). The machine must outlive the chain.
  /// Throws ShapeError if the rows do not fit the machine.
  GibbsChain(const Rbm<T>& rbm, const Tensor<T>& visible, Rng& rng);
  /// Chains start at fair coin tosses.
  GibbsChain(const Rbm<T>& rbm, std::size_t chains, Rng& rng);

  /// n full steps: h ~ p(h|v), then v ~ p(v|h).
  void step(std::size_t n = 1);

  /// The current states, 0 or 1 from the first step on.
  const Tensor<T>& visible() const { return v_; }
  /// The hidden states that the visible ones were drawn from. Undefined before the first step.
  const Tensor<T>& hidden() const { return h_; }
  /// p(v|h) that the visible states were drawn from: smoother pictures than the states. Undefined before the
  /// first step.
  const Tensor<T>& visible_probability() const { return p_; }

 private:
  const Rbm<T>* rbm_;
  Rng rng_;
  Tensor<T> v_, h_, p_;
};

}  // namespace xtape
