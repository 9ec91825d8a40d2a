#pragma once
/// \file optim.hpp  Optimisers: they read grad() and update parameters in place. The options of each may be
/// changed between steps: a learning-rate schedule is an assignment.
///
/// A parameter that is listed twice counts once, see parameters.hpp. Options are numbers that T can hold: what
/// overflows in float, or becomes 1 where less is asked for, is a ValueError. A learning rate or weight decay that is
/// too small for T is 0.

#include <xtape/parameters.hpp>
#include <xtape/tensor.hpp>

#include <vector>

namespace xtape::optim {

struct SgdOptions {
  double learning_rate = 0.1;
  double momentum = 0.0;
  bool nesterov = false;      ///< look ahead along the velocity (Sutskever et al. 2013); needs momentum
  double weight_decay = 0.0;  ///< adds weight_decay p to the gradient
  /// Let the first step() throw TapeError if a parameter on the thread's innermost tape has a gradient that this
  /// optimiser does not know: one that would silently stay as it is. The step is then made in the tape's scope.
  bool check_complete = false;
};

/// Stochastic gradient descent, g <- g + weight_decay p; v <- momentum v + g; p <- p - learning_rate v, or with
/// Nesterov's momentum p <- p - learning_rate (g + momentum v). As PyTorch has it. With momentum, finite v and
/// g + weight_decay p beyond a quarter of T's largest number are cut there, so that no overflow stays in v.
template <class T> class Sgd {
 public:
  /// Throws ValueError on options outside their range, TapeError on a tensor that is not a parameter.
  Sgd(std::vector<Tensor<T>> parameters, const SgdOptions& options = {});

  /// Updates every parameter that has a gradient, and clears the gradients. Throws ValueError on bad options, TapeError
  /// if no parameter has a gradient: no sweep has reached any; or as check_complete has it.
  void step();
  void zero_grad();
  /// Those of the given parameters that have a gradient and are not among this optimiser's: it leaves them alone.
  /// Ask between the sweep and the step, and of several optimisers one for what the other does not know:
  ///     biases.unknown(weights.unknown(tape.parameters<float>())).empty()
  std::vector<Tensor<T>> unknown(const std::vector<Tensor<T>>& parameters) const;
  SgdOptions options;

  /// All that the next steps depend on beside parameters and gradients.
  struct State {
    SgdOptions options;
    std::vector<Tensor<T>> velocity;  ///< of each distinct parameter; undefined where it has made no step with momentum
  };
  /// As it is now: later steps leave it alone.
  State state() const;
  /// Throws ShapeError, and changes nothing, if the state does not fit the parameters; ValueError on bad options.
  void set_state(const State& state);

 private:
  std::vector<Tensor<T>> parameters_;
  std::vector<Tensor<T>> velocity_;  // undefined until the first step with momentum
  bool checked_ = false;             // as check_complete asks
};

template <class T> Sgd(std::initializer_list<Tensor<T>>) -> Sgd<T>;
template <class T> Sgd(std::initializer_list<Tensor<T>>, SgdOptions) -> Sgd<T>;

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;  ///< decay of the mean and of the mean square of the gradient
  /// At least the square root of T's smallest normal number, 1.1e-19 in float: squares of smaller gradients vanish.
  double epsilon = 1e-8;
  double weight_decay = 0.0;    ///< decoupled: p <- p - learning_rate weight_decay p (Loshchilov & Hutter 2019)
  bool check_complete = false;  ///< as SgdOptions has it
};

/// Adam (Kingma & Ba 2015): m <- beta1 m + (1 - beta1) g, s <- beta2 s + (1 - beta2) g²,
/// p <- p - learning_rate m̂ / (sqrt ŝ + epsilon) with m̂ = m / (1 - beta1^t), ŝ = s / (1 - beta2^t).
/// A finite gradient beyond half the square root of T's largest number (9.2e18 in float) is cut there: its square
/// would stay infinite in s, and its element still for ever.
template <class T> class Adam {
 public:
  /// Throws ValueError on options outside their range, TapeError on a tensor that is not a parameter.
  Adam(std::vector<Tensor<T>> parameters, const AdamOptions& options = {});

  /// Updates every parameter that has a gradient, and clears the gradients. Throws ValueError on bad options, TapeError
  /// if no parameter has a gradient: no sweep has reached any; or as check_complete has it.
  void step();
  void zero_grad();
  /// Those of the given parameters that have a gradient and are not among this optimiser's: it leaves them alone.
  /// Ask between the sweep and the step, and of several optimisers one for what the other does not know:
  ///     biases.unknown(weights.unknown(tape.parameters<float>())).empty()
  std::vector<Tensor<T>> unknown(const std::vector<Tensor<T>>& parameters) const;
  AdamOptions options;

  /// Of one parameter. Tensors are undefined until its first step.
  struct Moments {
    Tensor<T> mean, square;
    std::size_t steps = 0;  ///< of this parameter: it may be without a gradient now and then
  };
  /// All that the next steps depend on beside parameters and gradients.
  struct State {
    AdamOptions options;
    std::vector<Moments> moments;  ///< of each distinct parameter
  };
  /// As it is now: later steps leave it alone.
  State state() const;
  /// Throws ShapeError, and changes nothing, if the state does not fit the parameters; ValueError on bad options.
  void set_state(const State& state);

 private:
  std::vector<Tensor<T>> parameters_;
  std::vector<Moments> moments_;
  bool checked_ = false;
};

template <class T> Adam(std::initializer_list<Tensor<T>>) -> Adam<T>;
template <class T> Adam(std::initializer_list<Tensor<T>>, AdamOptions) -> Adam<T>;

struct ClipOptions {
  /// Throw ValueError, before anything is scaled, if a gradient holds NaN or infinity. By default the gradients are
  /// then left as they are, and the norm that is returned is NaN or infinite.
  bool error_if_nonfinite = false;
};

/// Scales all gradients by one factor so that their joint Euclidean norm is at most `largest`; returns the norm
/// before. Parameters without a gradient count as 0, one that is listed twice counts once. Finite gradients are scaled
/// rightly where squares or the norm over- or underflow in T; a norm that double cannot hold is returned as infinity.
/// Throws ValueError unless largest > 0.
template <class T>
double clip_gradient_norm(const std::vector<Tensor<T>>& parameters, double largest, const ClipOptions& options = {});
template <class T>
double clip_gradient_norm(std::initializer_list<Tensor<T>> parameters, double largest,
                          const ClipOptions& options = {}) {
  return clip_gradient_norm(std::vector<Tensor<T>>(parameters), largest, options);
}

}  // namespace xtape::optim
