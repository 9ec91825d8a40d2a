#include <xtape/optim.hpp>

#include <xtape/detail/loop.hpp>

#include <fmt/format.h>

namespace xtape::optim {

template <class T>
Sgd<T>::Sgd(std::vector<Tensor<T>> parameters, const SgdOptions& sgd_options)
    : options(sgd_options), parameters_(std::move(parameters)), velocity_(parameters_.size()) {
  if (!(options.learning_rate >= 0))
    throw ValueError(fmt::format("sgd: the learning rate {} is negative", options.learning_rate));
  if (!(options.momentum >= 0 && options.momentum < 1))
    throw ValueError(fmt::format("sgd: the momentum {} is not in [0, 1)", options.momentum));
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (!parameters_[i].defined() || !parameters_[i].requires_grad())
      throw TapeError(fmt::format("sgd: tensor {} is not a parameter", i));
}

template <class T> void Sgd<T>::step() {
  using B = simd::Batch<T>;
  const B rate(static_cast<T>(options.learning_rate)), momentum(static_cast<T>(options.momentum));
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Tensor<T>& p = parameters_[i];
    const Tensor<T> g = p.grad();
    if (!g.defined()) continue;
    T* value = p.modify().data();
    if (options.momentum == 0) {
      detail::run_row<T, 2, 1>(p.size(), {value, g.data()}, {1, 1}, {value},
                               [&](const std::array<B, 2>& v) { return std::array<B, 1>{v[0] - rate * v[1]}; });
    } else {
      if (!velocity_[i].defined()) velocity_[i] = zeros<T>(p.shape());
      T* velocity = velocity_[i].modify().data();
      detail::run_row<T, 3, 2>(p.size(), {value, g.data(), velocity}, {1, 1, 1}, {value, velocity},
                               [&](const std::array<B, 3>& v) {
                                 const B speed = momentum * v[2] + v[1];
                                 return std::array<B, 2>{v[0] - rate * speed, speed};
                               });
    }
    p.zero_grad();
  }
}

template <class T> void Sgd<T>::zero_grad() {
  for (auto& p : parameters_) p.zero_grad();
}

template class Sgd<float>;
template class Sgd<double>;

}  // namespace xtape::optim
