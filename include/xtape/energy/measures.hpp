#pragma once
/// \file energy/measures.hpp  How good a restricted Boltzmann machine is. None is recorded on a tape.
///
/// Reconstruction error is cheap and says little: it cannot tell a machine that models the data from one that merely
/// copies its input. The likelihood can; where log Z is out of reach, see ais.hpp. Likelihoods and pseudo-likelihoods
/// are of binary data: never compare figures across ways of binarising.
///
/// v: (n, visible), n > 0. All throw ShapeError if v does not fit the machine or has no rows,
/// ValueError if an element is outside of [0, 1] or NaN.

#include <xtape/energy/rbm.hpp>

namespace xtape {

/// Cross-entropy of one mean-field step, -mean_n sum_i [v_i log r_i + (1 - v_i) log(1 - r_i)] with
/// r = σ(p(h|v) Wᵀ + b), in nats a row. For v in [0, 1]; with real-valued pixels its floor is not 0 but the pixels'
/// own entropy.
template <class T> double reconstruction_cross_entropy(const Rbm<T>& rbm, const Tensor<T>& v);

/// mean F(data) - mean F(other), in nats, in double whatever the machine. Between training and validation data: near 0
/// at first, and negative as the machine overfits (Hinton 2010, 6). Between data and the machine's samples: far below 0
/// or above if the chains have not found what the machine models, or the machine models what the data is not.
template <class T> double free_energy_gap(const Rbm<T>& rbm, const Tensor<T>& data, const Tensor<T>& other);

/// The pseudo-log-likelihood mean_n sum_i log p(v_i | v without i), exactly: with F(v flipped in i), for every i. It is
/// the difference of the two that is summed, hidden unit by unit: large inputs cost no digits.
/// Takes n · visible · hidden logarithms. Throws ValueError unless all of v is 0 or 1.
template <class T> double pseudo_log_likelihood(const Rbm<T>& rbm, const Tensor<T>& v);
/// The same from one randomly chosen i a row, times their number: unbiased, `visible` times cheaper, and noisy (a
/// standard deviation of some nats on thousands of images).
template <class T> double stochastic_pseudo_log_likelihood(const Rbm<T>& rbm, const Tensor<T>& v, Rng& rng);

/// log Z exactly, Z = sum over v and h of e^-E(v, h): by enumeration of the side with fewer units, in double.
/// Throws ValueError if both sides have more than 20 units.
template <class T> double log_partition(const Rbm<T>& rbm);

/// mean_n log p(v) = -mean F(v) - log Z, in nats a row. Throws ValueError unless all of v is 0 or 1.
template <class T> double average_log_likelihood(const Rbm<T>& rbm, const Tensor<T>& v, double log_z);

}  // namespace xtape
