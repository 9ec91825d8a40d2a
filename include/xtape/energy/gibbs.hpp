#pragma once
/// \file energy/gibbs.hpp  Block Gibbs sampling from a restricted Boltzmann machine.

#include <xtape/energy/rbm.hpp>

#include <vector>

namespace xtape {

struct GibbsOptions {
  /// Parallel tempering (Swendsen & Wang 1986; for machines Desjardins et al. 2010): every chain has one replica
  /// for each inverse temperature β, which samples e^(-β E). Before each step neighbouring replicas u, v swap with
  /// probability min(1, p_u(v) p_v(u) / (p_u(u) p_v(v))), so that chains cross between modes where it is hot.
  /// The first must be 1, the one that counts; then falling, at least 0. Empty: one replica, β = 1.
  std::vector<double> inverse_temperatures = {};
};

/// A batch of Markov chains v -> h -> v -> ... whose stationary distribution is the machine's p(v). Reads the
/// machine's parameters at every step, so a chain may go on while the machine is trained. Not recorded.
template <class T> class GibbsChain {
 public:
  /// Chains start at the rows of `visible`, (chains, visible). The chain holds the machine's parameters and follows
  /// their updates in place.
  /// Throws ShapeError if the rows do not fit the machine, ValueError on inverse temperatures out of order.
  GibbsChain(const Rbm<T>& rbm, const Tensor<T>& visible, Rng& rng, const GibbsOptions& options = {});
  /// Chains start at fair coin tosses.
  GibbsChain(const Rbm<T>& rbm, std::size_t chains, Rng& rng, const GibbsOptions& options = {});

  /// n full steps: h ~ p(h|v), then v ~ p(v|h).
  void step(std::size_t n = 1);
  /// Thinned samples: `count` times, `every` steps and then the states of all chains -> (count · chains, visible),
  /// the first `chains` rows being the earliest. Throws ValueError for every = 0, ShapeError if so
  /// many do not fit the address space.
  Tensor<T> samples(std::size_t count, std::size_t every);

  /// The current states, 0 or 1 from the first step on.
  const Tensor<T>& visible() const { return v_; }
  /// The hidden states that the visible ones were drawn from. Undefined before the first step.
  const Tensor<T>& hidden() const { return h_; }
  /// p(v|h) that the visible states were drawn from: smoother pictures than the states. Undefined before the
  /// first step.
  const Tensor<T>& visible_probability() const { return p_; }
  /// The share of proposed swaps between neighbouring replicas that were made; 0 without tempering.
  double swap_rate() const {
    return proposed_ == 0 ? 0 : static_cast<double>(swapped_) / static_cast<double>(proposed_);
  }

  /// All that the next steps depend on beside the machine, and what the figures above say.
  struct State {
    Rng::State rng;
    Tensor<T> replicas;             ///< visible states, (replicas · chains, visible)
    Tensor<T> hidden, probability;  ///< of the chains at β = 1; undefined before the first step
    std::size_t steps = 0, proposed = 0, swapped = 0;
  };
  State state() const { return {rng_.state(), all_v_, h_, p_, steps_, proposed_, swapped_}; }
  /// For a chain with the same inverse temperatures. Throws ShapeError unless the state has as many replicas and
  /// chains and fits the machine.
  void set_state(const State& state);

 private:
  void swap_replicas(const T* v, T* input);

  Rbm<T> rbm_;  // handles on its parameters
  Rng rng_;
  std::vector<T> beta_;
  std::size_t chains_, steps_ = 0, proposed_ = 0, swapped_ = 0;
  Tensor<T> all_v_;  // (replicas · chains, visible): all chains at beta_[0], then at beta_[1], ...
  Tensor<T> v_, h_, p_;
};

}  // namespace xtape
