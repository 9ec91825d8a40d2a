#pragma once
/// \file optim.hpp  Optimisers: they read grad() and update parameters in place.

#include <xtape/tensor.hpp>

#include <vector>

namespace xtape::optim {

struct SgdOptions {
  double learning_rate = 0.1;
  double momentum = 0.0;
};

/// Stochastic gradient descent with momentum: v <- momentum v + g, p <- p - learning_rate v (as PyTorch has it).
template <class T> class Sgd {
 public:
  /// Throws ValueError on a negative learning rate or a momentum outside [0, 1), TapeError on a tensor that
  /// is not a parameter.
  Sgd(std::vector<Tensor<T>> parameters, const SgdOptions& options = {});

  /// Updates every parameter that has a gradient, and clears the gradients.
  void step();
  void zero_grad();
  /// The options may be changed between steps: a learning-rate schedule is an assignment.
  SgdOptions options;

 private:
  std::vector<Tensor<T>> parameters_;
  std::vector<Tensor<T>> velocity_;  // undefined until the first step with momentum
};

template <class T> Sgd(std::initializer_list<Tensor<T>>, SgdOptions) -> Sgd<T>;

}  // namespace xtape::optim
