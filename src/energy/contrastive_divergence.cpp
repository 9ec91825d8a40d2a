#include <xtape/energy/contrastive_divergence.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/tape.hpp>

#include "../kernels/gemm.hpp"
#include "../kernels/gibbs.hpp"
#include "../kernels/reduce.hpp"
#include "common.hpp"

namespace xtape {
namespace {

// Inputs of the hidden units from visible states, without bias; and the other way round.
template <class T> void hidden_input(const Rbm<T>& rbm, const Tensor<T>& v, const Tensor<T>& out) {
  kernels::gemm(false, false, v.shape()[0], rbm.hidden(), rbm.visible(), v.data(), rbm.W.data(), T(0),
                out.mutable_data());
}
template <class T> void visible_input(const Rbm<T>& rbm, const Tensor<T>& h, const Tensor<T>& out) {
  kernels::gemm(false, true, h.shape()[0], rbm.visible(), rbm.hidden(), h.data(), rbm.W.data(), T(0),
                out.mutable_data());
}

template <class T> void add_to_grad(Tensor<T> parameter, const Tensor<T>& gradient) {
  const Tensor<T> before = parameter.grad();
  parameter.set_grad(before.defined() ? before + gradient : gradient);
}

// out = mean over the rows of x
template <class T> Tensor<T> row_mean(const Tensor<T>& x) {
  const Tensor<T> mean = Tensor<T>::uninitialised({x.shape()[1]});
  kernels::sum(x.data(), mean.mutable_data(), 1, x.shape()[0], x.shape()[1]);
  return mean / static_cast<T>(x.shape()[0]);
}

}  // namespace

template <class T>
T contrastive_divergence(Rbm<T>& rbm, const Tensor<T>& v, const CdOptions<std::type_identity_t<T>>& options, Rng& rng) {
  const NoGrad pause;
  detail::check_rows("contrastive_divergence", v, rbm.visible());
  if (v.shape()[0] == 0) throw ShapeError("contrastive_divergence: the batch is empty");
  if (options.k == 0) throw ValueError("contrastive_divergence: k is at least 1");
  if (options.particles) {
    detail::check_rows("contrastive_divergence: particles", *options.particles, rbm.visible());
    if (options.particles->shape()[0] == 0) throw ShapeError("contrastive_divergence: there are no particles");
  }
  const std::size_t n = v.shape()[0], visible = rbm.visible(), hidden = rbm.hidden();

  // Positive phase. From the data, its samples also start the chain.
  const Tensor<T> h0 = Tensor<T>::uninitialised({n, hidden});
  hidden_input(rbm, v, h0);
  const bool persistent = options.particles != nullptr;
  const std::size_t m = persistent ? options.particles->shape()[0] : n;
  const Tensor<T> h = Tensor<T>::uninitialised({m, hidden}), vk = Tensor<T>::uninitialised({m, visible});
  kernels::half_step<T>(h0.data(), rbm.a.data(), n, hidden, T(1), h0.mutable_data(),
                        persistent ? nullptr : h.mutable_data(), rng);
  if (persistent) {
    hidden_input(rbm, *options.particles, h);
    kernels::half_step<T>(h.data(), rbm.a.data(), m, hidden, T(1), nullptr, h.mutable_data(), rng);
  }

  // The reconstruction for the figure returned: mean field, so that it does not depend on the draws.
  const Tensor<T> logits = Tensor<T>::uninitialised({n, visible});
  visible_input(rbm, h0, logits);
  const T error = binary_cross_entropy_with_logits(logits + rbm.b.detach(), v).item() * static_cast<T>(visible);

  // Negative phase: v, h, v, ... ending with the probabilities of h.
  for (std::size_t step = 1;; ++step) {
    visible_input(rbm, h, vk);
    kernels::half_step<T>(vk.data(), rbm.b.data(), m, visible, T(1),
                          options.visible_probabilities ? vk.mutable_data() : nullptr,
                          options.visible_probabilities ? nullptr : vk.mutable_data(), rng);
    hidden_input(rbm, vk, h);
    const bool last = step == options.k;
    kernels::half_step<T>(h.data(), rbm.a.data(), m, hidden, T(1), last ? h.mutable_data() : nullptr,
                          last ? nullptr : h.mutable_data(), rng);
    if (last) break;
  }
  if (persistent) options.particles->assign(vk);

  // h holds p(h|vk) now. dW = vkᵀ h / m - v0ᵀ h0 / n: scale the smaller factor, then two products into one result.
  Tensor<T> dW = Tensor<T>::uninitialised({visible, hidden});
  const Tensor<T> positive = h0 * (T(-1) / static_cast<T>(n)), negative = h / static_cast<T>(m);
  kernels::gemm(true, false, visible, hidden, m, vk.data(), negative.data(), T(0), dW.mutable_data());
  kernels::gemm(true, false, visible, hidden, n, v.data(), positive.data(), T(1), dW.mutable_data());
  const Tensor<T> mean_h0 = row_mean(h0), mean_v0 = row_mean(v);
  Tensor<T> da = row_mean(h) - mean_h0;
  if (options.sparsity_cost != T(0)) {
    const Tensor<T> push = options.sparsity_cost * (mean_h0 - options.sparsity_target);
    da = da + push;
    dW = dW + detail::view(mean_v0, Shape{visible, 1}) * push;
  }
  add_to_grad(rbm.W, dW);
  add_to_grad(rbm.b, row_mean(vk) - mean_v0);
  add_to_grad(rbm.a, da);
  return error;
}

template float contrastive_divergence(Rbm<float>&, const Tensor<float>&, const CdOptions<float>&, Rng&);
template double contrastive_divergence(Rbm<double>&, const Tensor<double>&, const CdOptions<double>&, Rng&);

}  // namespace xtape
