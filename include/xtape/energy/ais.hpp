#pragma once
/// \file energy/ais.hpp  Annealed importance sampling: an estimate of log Z where no enumeration can reach.

#include <xtape/energy/rbm.hpp>

#include <vector>

namespace xtape {

template <class T> struct AisOptions {
  std::size_t chains = 100;
  /// Inverse temperatures from 0 to 1, rising. Empty: 10,000 evenly spaced. More of them, not more chains, are what
  /// narrows the gap between forward and reverse.
  std::vector<double> path = {};
  /// Visible biases c of the base distribution p_0(v) ∝ e^(cᵀv). Undefined: all 0, fair coins. From the data's pixel
  /// means (base_rate_bias) the way to the machine is shorter.
  Tensor<T> base_bias = {};
};

struct AisEstimate {
  double log_z = 0;
  double standard_error = 0;        ///< of log_z, from the spread of the chains' weights (delta method)
  double effective_chains = 0;      ///< (sum w)² / sum w²: if it is a few, neither figure above can be trusted
  std::vector<double> log_weights;  ///< one a chain; their log-mean-exp, and what the base has, make log_z
};

/// Annealed importance sampling (Neal 2001; for machines Salakhutdinov & Murray 2008). Chains start in the base
/// distribution and go, by one Gibbs step at each, through
///     p_β(v) ∝ e^((1 - β) cᵀv + β bᵀv) Π_j (1 + e^(β u_j)),    u = v W + a,
/// and each gathers its weight, the sum of log p*_new(v) - log p*_old(v) taken before the move with the new kernel.
/// The mean weight is an unbiased estimate of Z over the base's own, Z_0 = 2^hidden Π_i (1 + e^c_i); log_z, its
/// logarithm, is on average too small, and so flatters the likelihood: it exceeds log Z by x with probability e^-x at
/// most. So take the largest of several bases, and hold it against the reverse one.
/// Throws ValueError if the path does not rise from 0 to 1, for no chains, ShapeError if base_bias does not fit.
template <class T>
AisEstimate annealed_importance_sampling(const Rbm<T>& rbm, const AisOptions<std::type_identity_t<T>>& options,
                                         Rng& rng);

/// The same path backwards, from samples of the machine itself to the base: log_z is on average too large, if the
/// samples are exact. They are one a chain, (chains, visible), best from long tempered Gibbs chains;
/// options.chains is not read. Throws as above, ShapeError if the samples do not fit, ValueError if they are not
/// binary.
template <class T>
AisEstimate reverse_annealed_importance_sampling(const Rbm<T>& rbm, const Tensor<T>& samples,
                                                 const AisOptions<std::type_identity_t<T>>& options, Rng& rng);

/// c_i = log(m_i / (1 - m_i)) with m_i the smoothed mean of pixel i over the rows, (n m + 1) / (n + 2): finite also
/// where a pixel is always on or always off. v: (n, visible) -> (visible,). Throws ShapeError without rows,
/// ValueError if v is outside of [0, 1] or NaN.
template <class T> Tensor<T> base_rate_bias(const Tensor<T>& v);

/// `count` inverse temperatures from 0 to 1, as Salakhutdinov & Murray spread theirs: dense near 1, where the
/// distribution changes fastest (1/29 of them up to 0.5, 8/29 up to 0.9, 20/29 from there to 1).
/// Throws ValueError for a count below 30.
std::vector<double> annealing_path(std::size_t count);

}  // namespace xtape
