#pragma once
/// \file optim.hpp  Optimisers: they read grad() and update parameters in place. The options of each may be
/// changed between steps: a learning-rate schedule is an assignment.

#include <xtape/tensor.hpp>

#include <vector>

namespace xtape::optim {

struct SgdOptions {
  double learning_rate = 0.1;
  double momentum = 0.0;
  bool nesterov = false;      ///< look ahead along the velocity (Sutskever et al. 2013); needs momentum
  double weight_decay = 0.0;  ///< adds weight_decay p to the gradient
};

/// Stochastic gradient descent, g <- g + weight_decay p; v <- momentum v + g; p <- p - learning_rate v, or with
/// Nesterov's momentum p <- p - learning_rate (g + momentum v). As PyTorch has it.
template <class T> class Sgd {
 public:
  /// Throws ValueError on options outside their range, TapeError on a tensor that is not a parameter.
  Sgd(std::vector<Tensor<T>> parameters, const SgdOptions& options = {});

  /// Updates every parameter that has a gradient, and clears the gradients. Throws ValueError on bad options, TapeError
  /// if no parameter has a gradient: no sweep has reached any.
  void step();
  void zero_grad();
  SgdOptions options;

  /// All that the next steps depend on beside parameters and gradients.
  struct State {
    SgdOptions options;
    std::vector<Tensor<T>> velocity;  ///< of each parameter; undefined where it has made no step with momentum
  };
  /// As it is now: later steps leave it alone.
  State state() const;
  /// Throws ShapeError, and changes nothing, if the state does not fit the parameters; ValueError on bad options.
  void set_state(const State& state);

 private:
  std::vector<Tensor<T>> parameters_;
  std::vector<Tensor<T>> velocity_;  // undefined until the first step with momentum
};

template <class T> Sgd(std::initializer_list<Tensor<T>>, SgdOptions) -> Sgd<T>;

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;  ///< decay of the mean and of the mean square of the gradient
  double epsilon = 1e-8;
  double weight_decay = 0.0;  ///< decoupled: p <- p - learning_rate weight_decay p (Loshchilov & Hutter 2019)
};

/// Adam (Kingma & Ba 2015): m <- beta1 m + (1 - beta1) g, s <- beta2 s + (1 - beta2) g²,
/// p <- p - learning_rate m̂ / (sqrt ŝ + epsilon) with m̂ = m / (1 - beta1^t), ŝ = s / (1 - beta2^t).
template <class T> class Adam {
 public:
  /// Throws ValueError on options outside their range, TapeError on a tensor that is not a parameter.
  Adam(std::vector<Tensor<T>> parameters, const AdamOptions& options = {});

  /// Updates every parameter that has a gradient, and clears the gradients. Throws ValueError on bad options, TapeError
  /// if no parameter has a gradient: no sweep has reached any.
  void step();
  void zero_grad();
  AdamOptions options;

  /// Of one parameter. Tensors are undefined until its first step.
  struct Moments {
    Tensor<T> mean, square;
    std::size_t steps = 0;  ///< of this parameter: it may be without a gradient now and then
  };
  /// All that the next steps depend on beside parameters and gradients.
  struct State {
    AdamOptions options;
    std::vector<Moments> moments;
  };
  /// As it is now: later steps leave it alone.
  State state() const;
  /// Throws ShapeError, and changes nothing, if the state does not fit the parameters; ValueError on bad options.
  void set_state(const State& state);

 private:
  std::vector<Tensor<T>> parameters_;
  std::vector<Moments> moments_;
};

template <class T> Adam(std::initializer_list<Tensor<T>>, AdamOptions) -> Adam<T>;

/// Scales all gradients by one factor so that their joint Euclidean norm is at most `largest`; returns the norm
/// before. Parameters without a gradient count as 0. Throws ValueError unless largest > 0.
template <class T> double clip_gradient_norm(const std::vector<Tensor<T>>& parameters, double largest);

}  // namespace xtape::optim
