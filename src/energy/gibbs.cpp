#include <xtape/energy/gibbs.hpp>

#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>

#include "../kernels/gemm.hpp"
#include "../kernels/gibbs.hpp"
#include "common.hpp"

namespace xtape {

template <class T>
GibbsChain<T>::GibbsChain(const Rbm<T>& rbm, const Tensor<T>& visible, Rng& rng) : rbm_(&rbm), rng_(rng.split()) {
  detail::check_rows("gibbs chain", visible, rbm.visible());
  v_ = Tensor<T>(visible.shape(), visible.span());
}

template <class T>
GibbsChain<T>::GibbsChain(const Rbm<T>& rbm, std::size_t chains, Rng& rng)
    : GibbsChain(rbm, init::uniform<T>({chains, rbm.visible()}, T(0), T(1), rng) < T(0.5), rng) {}

template <class T> void GibbsChain<T>::step(std::size_t n) {
  if (n == 0) return;
  const std::size_t chains = v_.shape()[0], visible = rbm_->visible(), hidden = rbm_->hidden();
  // New tensors for each call: whoever holds the states of the last one keeps them.
  const Tensor<T> h = Tensor<T>::uninitialised({chains, hidden}), p = Tensor<T>::uninitialised({chains, visible});
  const Tensor<T> v = Tensor<T>::uninitialised({chains, visible});
  const T* from = v_.data();
  for (std::size_t i = 0; i < n; ++i, from = v.data()) {
    kernels::gemm(false, false, chains, hidden, visible, from, rbm_->W.data(), T(0), h.mutable_data());
    kernels::half_step<T>(h.data(), rbm_->a.data(), chains, hidden, T(1), nullptr, h.mutable_data(), rng_);
    kernels::gemm(false, true, chains, visible, hidden, h.data(), rbm_->W.data(), T(0), p.mutable_data());
    kernels::half_step<T>(p.data(), rbm_->b.data(), chains, visible, T(1), p.mutable_data(), v.mutable_data(), rng_);
  }
  h_ = h;
  p_ = p;
  v_ = v;
}

template class GibbsChain<float>;
template class GibbsChain<double>;

}  // namespace xtape
