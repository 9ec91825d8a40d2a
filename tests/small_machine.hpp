#pragma once
// Restricted Boltzmann machines small enough to enumerate, for the tests.

#include <xtape/energy/rbm.hpp>
#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/shape.hpp>

#include <cmath>
#include <vector>

namespace small_machine {

using namespace xtape;
using D = Tensor<double>;

inline Rbm<double> machine(std::size_t visible, std::size_t hidden, std::uint64_t seed) {
  Rng rng(seed);
  return {init::normal<double>({visible, hidden}, 0.0, 1.0, rng), init::normal<double>({visible}, 0.0, 0.5, rng),
          init::normal<double>({hidden}, 0.0, 0.5, rng)};
}

// All 2^units states as rows; bit i of the row's number is unit i.
inline D all_states(std::size_t units) {
  D states = zeros<double>({std::size_t{1} << units, units});
  for (std::size_t s = 0; s < states.shape()[0]; ++s)
    for (std::size_t i = 0; i < units; ++i) states.modify()[s * units + i] = static_cast<double>((s >> i) & 1);
  return states;
}

// p(v) of every visible state, from the energies of all pairs.
inline std::vector<double> exact_distribution(const Rbm<double>& rbm) {
  const D v = all_states(rbm.visible()), h = all_states(rbm.hidden());
  std::vector<double> p(v.shape()[0], 0.0);
  double z = 0;
  for (std::size_t s = 0; s < p.size(); ++s) {
    const D row = slice(v, {range(static_cast<std::ptrdiff_t>(s), static_cast<std::ptrdiff_t>(s) + 1)});
    const D energies = energy(rbm, broadcast_to(row, {h.shape()[0], rbm.visible()}), h);
    for (const double e : energies.span()) p[s] += std::exp(-e);
    z += p[s];
  }
  for (double& value : p) value /= z;
  return p;
}

// Rows drawn from the exact distribution.
inline D exact_samples(const Rbm<double>& rbm, std::size_t n, Rng& rng) {
  const auto p = exact_distribution(rbm);
  D states = all_states(rbm.visible()), samples = zeros<double>({n, rbm.visible()});
  for (std::size_t r = 0; r < n; ++r) {
    std::size_t s = 0;
    for (double u = rng.uniform(); s + 1 < p.size() && u >= p[s]; ++s) u -= p[s];
    std::copy_n(states.data() + s * rbm.visible(), rbm.visible(), samples.modify().data() + r * rbm.visible());
  }
  return samples;
}

// Pearson's statistic of the rows' states against the expected distribution.
inline double chi_square(const D& rows, const std::vector<double>& expected) {
  const std::size_t units = rows.shape()[1], n = rows.shape()[0];
  std::vector<double> counts(expected.size(), 0.0);
  for (std::size_t r = 0; r < n; ++r) {
    std::size_t s = 0;
    for (std::size_t i = 0; i < units; ++i) s |= static_cast<std::size_t>(rows.data()[r * units + i]) << i;
    ++counts[s];
  }
  double total = 0;
  for (std::size_t s = 0; s < expected.size(); ++s) {
    const double e = expected[s] * static_cast<double>(n);
    total += (counts[s] - e) * (counts[s] - e) / e;
  }
  return total;
}

// The share of the rows in each state, (1, 2^units).
inline D frequencies(const D& rows) {
  const std::size_t units = rows.shape()[1], n = rows.shape()[0];
  D result = zeros<double>({1, std::size_t{1} << units});
  for (std::size_t r = 0; r < n; ++r) {
    std::size_t s = 0;
    for (std::size_t i = 0; i < units; ++i) s |= static_cast<std::size_t>(rows.data()[r * units + i]) << i;
    result.modify()[s] += 1.0 / static_cast<double>(n);
  }
  return result;
}

// T(v, v') = sum_h p(h|v) p(v'|h), of one Gibbs step.
inline D transition_matrix(const Rbm<double>& rbm) {
  const D v = all_states(rbm.visible()), h = all_states(rbm.hidden());
  // p(state of the right-hand side | row) from its units' probabilities.
  const auto conditional = [](const D& p, const D& states) {
    D result = ones<double>({p.shape()[0], states.shape()[0]});
    for (std::size_t r = 0; r < p.shape()[0]; ++r)
      for (std::size_t s = 0; s < states.shape()[0]; ++s)
        for (std::size_t i = 0; i < p.shape()[1]; ++i) {
          const double q = p.data()[r * p.shape()[1] + i];
          result.modify()[r * states.shape()[0] + s] *= states.data()[s * p.shape()[1] + i] == 1 ? q : 1 - q;
        }
    return result;
  };
  return matmul(conditional(hidden_probability(rbm, v).detach(), h),
                conditional(visible_probability(rbm, h).detach(), v));
}

}  // namespace small_machine
