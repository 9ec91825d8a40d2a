#include <xtape/energy/ais.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include "common.hpp"

#include <cmath>

namespace xtape {
namespace {

template <class T> std::vector<double> checked_path(const AisOptions<T>& options) {
  std::vector<double> path = options.path;
  if (path.empty())
    for (int i = 0; i < 10'000; ++i) path.push_back(i / 9'999.0);
  bool rises = path.size() > 1 && path.front() == 0 && path.back() == 1;
  for (std::size_t i = 1; i < path.size(); ++i) rises = rises && path[i] > path[i - 1];
  if (!rises) throw ValueError("annealed importance sampling: the path must rise from 0 to 1");
  return path;
}

template <class T> Tensor<T> checked_base(const Rbm<T>& rbm, const AisOptions<T>& options) {
  if (!options.base_bias.defined()) return zeros<T>({rbm.visible()});
  if (options.base_bias.shape() != Shape{rbm.visible()})
    throw ShapeError(fmt::format("annealed importance sampling: a base bias of shape {} for {} visible units",
                                 to_string(options.base_bias.shape()), rbm.visible()));
  return options.base_bias.detach();
}

// Takes the chains v, samples of p_path[0], along the path; returns log p*_1/p*_0(v_0) + log p*_2/p*_1(v_1) + ...,
// where v_t is drawn from v_{t-1} by a step that leaves p_t as it is.
template <class T>
std::vector<double> anneal(const Rbm<T>& rbm, const Tensor<T>& base, const std::vector<double>& path, Fresh<T>& v,
                           Rng& rng) {
  const std::size_t chains = v.shape()[0], visible = rbm.visible(), hidden = rbm.hidden();
  Fresh<T> u("annealed importance sampling", {chains, hidden});
  const Tensor<T> b = rbm.b.detach(), a = rbm.a.detach();
  const Tensor<T> lean = b - base;
  std::vector<double> log_weights(chains, 0.0);
  for (std::size_t t = 1; t < path.size(); ++t) {
    const T from = static_cast<T>(path[t - 1]), to = static_cast<T>(path[t]);
    detail::hidden_input(rbm, chains, v.data(), u.data());
    for (std::size_t r = 0; r < chains; ++r)
      log_weights[r] +=
          static_cast<double>((to - from) * kernels::dot(visible, lean.data(), v.data() + r * visible)) +
          static_cast<double>(kernels::softplus_change(u.data() + r * hidden, a.data(), hidden, from, to));
    if (t + 1 == path.size()) break;
    kernels::half_steps<T>(u.data(), (a * to).data(), chains, hidden, to, nullptr, u.data(), rng);
    detail::visible_input(rbm, chains, u.data(), v.data());
    kernels::half_steps<T>(v.data(), (base + lean * to).data(), chains, visible, to, nullptr, v.data(), rng);
  }
  return log_weights;
}

// log_z = log Z_0 + sign log mean w
template <class T>
AisEstimate estimate(const Rbm<T>& rbm, const Tensor<T>& base, std::vector<double> log_weights, double sign) {
  const auto n = static_cast<double>(log_weights.size());
  const double log_z0 =
      static_cast<double>(rbm.hidden()) * std::log(2.0) + sum(softplus(Tensor<double>(base.array()))).item();
  const double largest = *std::max_element(log_weights.begin(), log_weights.end());
  double mean = 0, squares = 0, spread = 0;
  for (const double w : log_weights) mean += std::exp(w - largest) / n;
  for (const double w : log_weights) {
    const double value = std::exp(w - largest);
    squares += value * value;
    spread += (value - mean) * (value - mean);
  }
  AisEstimate result;
  result.log_z = log_z0 + sign * (largest + std::log(mean));
  // A single chain says nothing of its spread.
  result.standard_error = n > 1 ? std::sqrt(spread / (n - 1) / n) / mean : std::numeric_limits<double>::infinity();
  result.effective_chains = (n * mean) * (n * mean) / squares;
  result.log_weights = std::move(log_weights);
  return result;
}

}  // namespace

template <class T>
AisEstimate annealed_importance_sampling(const Rbm<T>& rbm, const AisOptions<std::type_identity_t<T>>& options,
                                         Rng& rng) {
  const NoGrad pause;
  const auto path = checked_path(options);
  const Tensor<T> base = checked_base(rbm, options);
  if (options.chains == 0) throw ValueError("annealed importance sampling: there are no chains");
  Fresh<T> v("annealed importance sampling", {options.chains, rbm.visible()});
  std::ranges::fill(v.span(), T(0));
  kernels::half_steps<T>(v.data(), base.data(), options.chains, rbm.visible(), T(1), nullptr, v.data(), rng);
  return estimate(rbm, base, anneal(rbm, base, path, v, rng), 1);
}

template <class T>
AisEstimate reverse_annealed_importance_sampling(const Rbm<T>& rbm, const Tensor<T>& samples,
                                                 const AisOptions<std::type_identity_t<T>>& options, Rng& rng) {
  const NoGrad pause;
  auto path = checked_path(options);
  const Tensor<T> base = checked_base(rbm, options);
  detail::check_some_rows("reverse annealed importance sampling", samples, rbm.visible());
  detail::check_binary("reverse annealed importance sampling", samples);
  std::reverse(path.begin(), path.end());
  Fresh<T> v("reverse annealed importance sampling", samples.shape());
  std::ranges::copy(samples.span(), v.data());
  return estimate(rbm, base, anneal(rbm, base, path, v, rng), -1);
}

template <class T> Tensor<T> base_rate_bias(const Tensor<T>& v) {
  const NoGrad pause;
  if (v.dimension() != 2 || v.shape()[0] == 0)
    throw ShapeError(fmt::format("base_rate_bias: rows of units are needed, got shape {}", to_string(v.shape())));
  detail::check_unit_interval("base_rate_bias", v);
  const auto n = static_cast<T>(v.shape()[0]);
  const Tensor<T> on = sum(v, 0);
  return log((on + 1) / (n - on + 1));
}

std::vector<double> annealing_path(std::size_t count) {
  if (count < 30) throw ValueError("annealing_path: at least 30 inverse temperatures are needed");
  const std::size_t low = count / 29, middle = 8 * count / 29, high = count - low - middle;
  std::vector<double> path;
  for (std::size_t i = 0; i < low; ++i) path.push_back(0.5 * static_cast<double>(i) / static_cast<double>(low));
  for (std::size_t i = 0; i < middle; ++i)
    path.push_back(0.5 + 0.4 * static_cast<double>(i) / static_cast<double>(middle));
  for (std::size_t i = 0; i < high; ++i)
    path.push_back(0.9 + 0.1 * static_cast<double>(i) / static_cast<double>(high - 1));
  path.back() = 1;
  return path;
}

#define XTAPE_AIS(T)                                                                                               \
  template AisEstimate annealed_importance_sampling(const Rbm<T>&, const AisOptions<T>&, Rng&);                    \
  template AisEstimate reverse_annealed_importance_sampling(const Rbm<T>&, const Tensor<T>&, const AisOptions<T>&, \
                                                            Rng&);                                                 \
  template Tensor<T> base_rate_bias(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_AIS)

}  // namespace xtape
