#include <xtape/energy/contrastive_divergence.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/tape.hpp>

#include "common.hpp"

#include <cmath>
#include <limits>
#include <optional>

namespace xtape {
namespace {

template <class T> void add_to_grad(Tensor<T> parameter, const Tensor<T>& gradient) {
  const Tensor<T> before = parameter.grad();
  parameter.set_grad(before.defined() ? before + gradient : gradient);
}

// States drawn from their probabilities.
template <class T> Tensor<T> sampled_states(const Tensor<T>& p, Rng& rng) {
  Fresh<T> states("contrastive_divergence", p.shape());
  rng.fill_uniform(states.span(), T(0), T(1));
  for (std::size_t i = 0; i < p.size(); ++i) states.data()[i] = states.data()[i] < p.data()[i] ? T(1) : T(0);
  return std::move(states).finished();
}

// Sum over the rows of x, divided by `rows`: their mean, if they are all.
template <class T> Tensor<T> row_mean(const Tensor<T>& x, std::size_t rows) {
  Fresh<T> sum("contrastive_divergence", {x.shape()[1]});
  kernels::sum(x.data(), sum.data(), 1, x.shape()[0], x.shape()[1]);
  return std::move(sum).finished() / static_cast<T>(rows);
}

// All of x, or the part of more that the caller says it is.
template <class T> Rows checked_rows(const char* op, const Tensor<T>& x, std::size_t units, const Rows& given) {
  if (given == Rows{}) {
    detail::check_some_rows(op, x, units);
    return {0, x.shape()[0], x.shape()[0]};
  }
  detail::check_rows(op, x, units);
  if (given.size != x.shape()[0] || given.of == 0 || given.first > given.of || given.size > given.of - given.first)
    throw ValueError(fmt::format("{}: shape {} is not the {} rows from {} on of {}", op, to_string(x.shape()),
                                 given.size, given.first, given.of));
  return given;
}

}  // namespace

template <class T>
T contrastive_divergence(Rbm<T>& rbm, const Tensor<T>& v, const CdOptions<std::type_identity_t<T>>& options, Rng& rng) {
  const NoGrad pause;
  const Rows rows = checked_rows("contrastive_divergence", v, rbm.visible(), options.rows);
  if (options.k == 0) throw ValueError("contrastive_divergence: k is at least 1");
  const Rows chains = options.particles ? checked_rows("contrastive_divergence: particles", *options.particles,
                                                       rbm.visible(), options.particle_rows)
                                        : rows;
  const bool part = rows.size != rows.of || chains.size != chains.of;
  if (part && (options.sparsity_cost != T(0) || options.hidden_samples))
    throw ValueError("contrastive_divergence: a sparsity cost and hidden samples need all rows of the batch");
  detail::check_unit_interval("contrastive_divergence", v);
  if (options.particles) detail::check_unit_interval("contrastive_divergence: particles", *options.particles);
  if (!(std::isfinite(options.sparsity_cost) && options.sparsity_cost >= T(0)) ||
      !(options.sparsity_target >= T(0) && options.sparsity_target <= T(1)))
    throw ValueError(fmt::format(
        "contrastive_divergence: the sparsity cost {} must be finite and not negative, its target {} in [0, 1]",
        options.sparsity_cost, options.sparsity_target));
  const std::size_t n = rows.size, visible = rbm.visible(), hidden = rbm.hidden();

  // Positive phase. From the data, its samples also start the chain.
  Fresh<T> from_data("contrastive_divergence", {n, hidden});
  detail::hidden_input(rbm, n, v.data(), from_data.data());
  const bool persistent = options.particles != nullptr;
  const std::size_t m = chains.size;
  Fresh<T> h_chain("contrastive_divergence", {m, hidden}), v_chain("contrastive_divergence", {m, visible});
  kernels::half_steps<T>(from_data.data(), rbm.a.data(), n, hidden, T(1), from_data.data(),
                         persistent ? nullptr : h_chain.data(), rng, rows.first, rows.of);
  Tensor<T> h0 = std::move(from_data).finished();
  if (persistent) {
    detail::hidden_input(rbm, m, options.particles->data(), h_chain.data());
    kernels::half_steps<T>(h_chain.data(), rbm.a.data(), m, hidden, T(1), nullptr, h_chain.data(), rng, chains.first,
                           chains.of);
  }

  // The reconstruction for the figure returned: mean field, so that it does not depend on the draws.
  T error = std::numeric_limits<T>::quiet_NaN();
  if (options.reconstruction_error && n > 0) {
    Fresh<T> input("contrastive_divergence", {n, visible});
    detail::visible_input(rbm, n, h0.data(), input.data());
    const Tensor<T> logits = std::move(input).finished() + rbm.b.detach();
    error = binary_cross_entropy_with_logits(logits, v).item() * static_cast<T>(visible);
  }

  // Negative phase: v, h, v, ... The last v and h are what the statistics ask for.
  std::optional<Fresh<T>> states;  // the last visible ones, where probabilities stand for them in the statistics
  for (std::size_t step = 1;; ++step) {
    const bool last = step == options.k, mean_v = last && options.visible_probabilities;
    if (mean_v) states.emplace("contrastive_divergence", v_chain.shape());
    detail::visible_input(rbm, m, h_chain.data(), v_chain.data());
    kernels::half_steps<T>(v_chain.data(), rbm.b.data(), m, visible, T(1), mean_v ? v_chain.data() : nullptr,
                           (mean_v ? *states : v_chain).data(), rng, chains.first, chains.of);
    detail::hidden_input(rbm, m, v_chain.data(), h_chain.data());
    const bool mean_h = last && !options.hidden_samples;
    kernels::half_steps<T>(h_chain.data(), rbm.a.data(), m, hidden, T(1), mean_h ? h_chain.data() : nullptr,
                           mean_h ? nullptr : h_chain.data(), rng, chains.first, chains.of);
    if (last) break;
  }
  const Tensor<T> vk = std::move(v_chain).finished(), h = std::move(h_chain).finished();
  const Tensor<T> activity = row_mean(h0, rows.of);
  // The mean field h0 has served the reconstruction.
  if (options.hidden_samples) h0 = sampled_states(h0, rng);

  // dW = vkᵀ h / m - v0ᵀ h0 / n: scale the smaller factor, then two products into one result.
  Fresh<T> difference("contrastive_divergence", {visible, hidden});
  const Tensor<T> positive = h0 * (T(-1) / static_cast<T>(rows.of)), negative = h / static_cast<T>(chains.of);
  kernels::gemm(true, false, visible, hidden, m, vk.data(), negative.data(), T(0), difference.data());
  kernels::gemm(true, false, visible, hidden, n, v.data(), positive.data(), T(1), difference.data());
  Tensor<T> dW = std::move(difference).finished();
  const Tensor<T> mean_v0 = row_mean(v, rows.of);
  Tensor<T> da = row_mean(h, chains.of) - (options.hidden_samples ? row_mean(h0, rows.of) : activity);
  if (options.sparsity_cost != T(0)) {
    const Tensor<T> push = options.sparsity_cost * (activity - options.sparsity_target);
    da = da + push;
    dW = dW + detail::view(mean_v0, Shape{visible, 1}) * push;
  }
  // Last, and by a new handle: the particles may share their elements with the data.
  if (persistent) *options.particles = states ? std::move(*states).finished() : vk;
  add_to_grad(rbm.W, dW);
  add_to_grad(rbm.b, row_mean(vk, chains.of) - mean_v0);
  add_to_grad(rbm.a, da);
  return error;
}

template float contrastive_divergence(Rbm<float>&, const Tensor<float>&, const CdOptions<float>&, Rng&);
template double contrastive_divergence(Rbm<double>&, const Tensor<double>&, const CdOptions<double>&, Rng&);

}  // namespace xtape
