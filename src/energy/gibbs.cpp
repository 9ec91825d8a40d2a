#include <xtape/energy/gibbs.hpp>

#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/tape.hpp>

#include "common.hpp"

#include <algorithm>
#include <cmath>

namespace xtape {
namespace {

// The first rows of x, sharing its elements.
template <class T> Tensor<T> first_rows(const Tensor<T>& x, std::size_t rows) {
  return detail::view(x, Shape{rows, x.shape()[1]});
}

}  // namespace

template <class T>
GibbsChain<T>::GibbsChain(const Rbm<T>& rbm, const Tensor<T>& visible, Rng& rng, const GibbsOptions& options)
    : rbm_(rbm), rng_(rng.split()), beta_{T(1)} {
  detail::check_rows("gibbs chain", visible, rbm.visible());
  const auto& given = options.inverse_temperatures;
  for (std::size_t t = 0; t < given.size(); ++t)
    if (!(t == 0 ? given[t] == 1 : given[t] < given[t - 1] && given[t] >= 0))
      throw ValueError(fmt::format(
          "gibbs chain: inverse temperatures start with 1 and fall to at least 0; number {} is {}", t, given[t]));
  if (!given.empty()) beta_.assign(given.begin(), given.end());
  chains_ = visible.shape()[0];
  Fresh<T> all("gibbs chain", {beta_.size() * chains_, rbm.visible()});
  for (std::size_t t = 0; t < beta_.size(); ++t)
    std::copy_n(visible.data(), visible.size(), all.data() + t * visible.size());
  all_v_ = std::move(all).finished();
  v_ = first_rows(all_v_, chains_);
}

template <class T>
GibbsChain<T>::GibbsChain(const Rbm<T>& rbm, std::size_t chains, Rng& rng, const GibbsOptions& options)
    : GibbsChain(rbm, init::uniform<T>({chains, rbm.visible()}, T(0), T(1), rng) < T(0.5), rng, options) {}

template <class T> void GibbsChain<T>::step(std::size_t n) {
  if (n == 0) return;
  const NoGrad pause;
  const std::size_t rows = beta_.size() * chains_, visible = rbm_.visible(), hidden = rbm_.hidden();
  // New tensors for each call: whoever holds the states of the last one keeps them.
  Fresh<T> h("gibbs chain", {rows, hidden}), p("gibbs chain", {rows, visible}), v("gibbs chain", {rows, visible});
  const bool tempered = beta_.size() > 1;
  // A row for each temperature.
  const auto scaled = [&](const Tensor<T>& bias) {
    Fresh<T> result("gibbs chain", {beta_.size(), bias.size()});
    T* out = result.data();
    for (const T beta : beta_)
      out = std::transform(bias.data(), bias.data() + bias.size(), out, [beta](T x) { return beta * x; });
    return std::move(result).finished();
  };
  const Tensor<T> a = scaled(rbm_.a), b = scaled(rbm_.b);
  // One product for all replicas, then each at its own temperature.
  const auto draw = [&](const T* x, const Tensor<T>& bias, T* probability, T* state) {
    const std::size_t units = bias.shape()[1];
    for (std::size_t t = 0; t < beta_.size(); ++t) {
      const std::size_t at = t * chains_ * units;
      kernels::half_steps<T>(x + at, bias.data() + t * units, chains_, units, beta_[t],
                             probability ? probability + at : nullptr, state + at, rng_);
    }
  };
  const T* from = all_v_.data();
  for (std::size_t i = 0; i < n; ++i, from = v.data()) {
    detail::hidden_input(rbm_, rows, from, h.data());
    if (tempered) swap_replicas(from, h.data());
    draw(h.data(), a, nullptr, h.data());
    detail::visible_input(rbm_, rows, h.data(), p.data());
    draw(p.data(), b, p.data(), v.data());
  }
  all_v_ = std::move(v).finished();
  v_ = first_rows(all_v_, chains_);
  h_ = first_rows(std::move(h).finished(), chains_);
  p_ = first_rows(std::move(p).finished(), chains_);
}

// Swaps rows of the hidden units' input alone: the visible states that they came from are about to be drawn anew.
// log p*_β(v) = β bᵀv + sum_j softplus(β (u_j + a_j)), u the input.
template <class T> void GibbsChain<T>::swap_replicas(const T* v, T* input) {
  const std::size_t visible = rbm_.visible(), hidden = rbm_.hidden();
  const auto row = [&](std::size_t t, std::size_t chain) { return input + (t * chains_ + chain) * hidden; };
  const auto bias = [&](std::size_t t, std::size_t chain) {
    return kernels::dot(visible, rbm_.b.data(), v + (t * chains_ + chain) * visible);
  };
  const auto log_p = [&](T beta, const T* u) { return kernels::softplus_sum(u, rbm_.a.data(), hidden, beta); };
  // Even pairs and odd pairs in turn: within one turn no replica is in two pairs.
  for (std::size_t t = steps_++ % 2; t + 1 < beta_.size(); t += 2)
    for (std::size_t chain = 0; chain < chains_; ++chain) {
      T *cold = row(t, chain), *hot = row(t + 1, chain);
      const T gain = (beta_[t] - beta_[t + 1]) * (bias(t + 1, chain) - bias(t, chain)) + log_p(beta_[t], hot) -
                     log_p(beta_[t], cold) + log_p(beta_[t + 1], cold) - log_p(beta_[t + 1], hot);
      ++proposed_;
      if (rng_.uniform() < std::exp(static_cast<double>(gain))) {
        std::swap_ranges(cold, cold + hidden, hot);
        ++swapped_;
      }
    }
}

template <class T> Tensor<T> GibbsChain<T>::samples(std::size_t count, std::size_t every) {
  if (every == 0) throw ValueError("gibbs chain: samples are taken every 1 step or more");
  const std::size_t visible = rbm_.visible();
  Fresh<T> all("gibbs chain", {count, chains_, visible});  // refuses sizes beyond the address space
  for (std::size_t i = 0; i < count; ++i) {
    step(every);
    std::copy_n(v_.data(), v_.size(), all.data() + i * v_.size());
  }
  return detail::view(std::move(all).finished(), Shape{count * chains_, visible});
}

template <class T> void GibbsChain<T>::set_state(const State& state) {
  const auto check = [&](const Tensor<T>& x, std::size_t rows, std::size_t units, bool must) {
    const Shape expected{rows, units};
    if (x.defined() ? x.shape() != expected : must)
      throw ShapeError(fmt::format("gibbs chain: a state of {}, expected {}",
                                   x.defined() ? to_string(x.shape()) : std::string("nothing"), to_string(expected)));
  };
  check(state.replicas, beta_.size() * chains_, rbm_.visible(), true);
  check(state.hidden, chains_, rbm_.hidden(), false);
  check(state.probability, chains_, rbm_.visible(), false);
  rng_ = Rng::from_state(state.rng);
  all_v_ = state.replicas;
  v_ = first_rows(all_v_, chains_);
  h_ = state.hidden;
  p_ = state.probability;
  steps_ = state.steps;
  proposed_ = state.proposed;
  swapped_ = state.swapped;
}

template class GibbsChain<float>;
template class GibbsChain<double>;

}  // namespace xtape
