#pragma once
/// \file energy/contrastive_divergence.hpp  The gradient that trains a restricted Boltzmann machine.

#include <xtape/energy/rbm.hpp>
#include <xtape/shard.hpp>

namespace xtape {

template <class T> struct CdOptions {
  std::size_t k = 1;  ///< Gibbs steps from the data, or from the fantasy particles
  /// Fantasy particles (chains, visible) for persistent contrastive divergence: the negative phase starts
  /// from them and rebinds the handle to where it ends. Their number need not be the batch's. Null: start from the
  /// data.
  Tensor<T>* particles = nullptr;
  /// Let the last visible half-step give probabilities instead of samples to both of its statistics. Less noise,
  /// but it biases the gradient strongly (Hinton 2010, 3.2): for good reconstructions, not for likelihood.
  bool visible_probabilities = false;
  /// Let hidden samples instead of probabilities stand in both phases' statistics. As right on average, but
  /// noisier: never needed, here to be compared (Hinton 2010, 3.1).
  bool hidden_samples = false;
  /// Compute the reconstruction cross-entropy that is returned; without it the call returns NaN and saves one of CD-1's
  /// six products of matrices.
  bool reconstruction_error = true;
  /// Sparsity (Hinton 2010, 11): adds cost (q_j - target) to the gradient of a_j, with q_j hidden unit j's
  /// mean probability over the batch; its visible weights get the same through the units' input.
  T sparsity_target = T(0);
  T sparsity_cost = T(0);
  /// v is these rows of a batch, the particles are those of a larger number of chains; other processes have the others.
  /// Random numbers are the ones that the whole would get, and each phase is divided by the whole's count: the parts'
  /// gradients add up to the whole's. Either may be none. By default v is the batch and the particles are all.
  Rows rows = {}, particle_rows = {};
};

/// Contrastive divergence (Hinton 2002; persistent: Tieleman 2008). Adds to the parameters' grad()
///     dW = 1/m v^kᵀ p(h|v^k) - 1/n v⁰ᵀ p(h|v⁰),    db = mean v^k - mean v⁰,    da = mean p(h|v^k) - mean p(h|v⁰),
/// the gradient of mean F(v⁰) - mean F(v^k) with v^k held constant: what an optimiser subtracts. Each phase is
/// divided by its own count: n rows of data, m chains. Within the chain all states are samples; in both statistics
/// hidden units stand as probabilities, unless the options say otherwise.
///
/// v: (n, visible) in [0, 1]. Returns the reconstruction cross-entropy of one mean-field step from the data,
///     -mean_n sum_i [v_i log r_i + (1 - v_i) log(1 - r_i)],    r = σ(p(h|v) Wᵀ + b),    in nats an image,
/// or NaN if the options do without.
/// Throws ShapeError if v or the particles do not fit the machine, or are empty without being a part of more;
/// ValueError for k = 0, for v or particles outside of [0, 1] or NaN, for a sparsity cost that is negative or not
/// finite or a target outside of [0, 1], for rows that are not as many as v or the particles have or lie beyond the
/// whole, and for parts with a sparsity cost or hidden samples: what these do is no sum over the rows.
template <class T>
T contrastive_divergence(Rbm<T>& rbm, const Tensor<T>& v, const CdOptions<std::type_identity_t<T>>& options, Rng& rng);

}  // namespace xtape
