#pragma once
/// \file nn.hpp  Layers: plain structs that hold parameters, are called like functions and list what an optimiser
/// updates. Copies of a layer share its tensors, which are handles, but not the flag `training`: switch a whole model
/// through Sequential::set_training.
///
///     nn::Sequential<float> net{nn::Linear<float>(784, 100, rng), relu<float>, nn::Linear<float>(100, 10, rng)};
///     optim::Sgd sgd{net.parameters(), {.learning_rate = 0.1}};
///     auto loss = cross_entropy(net(x), label);

#include <xtape/ops/conv.hpp>
#include <xtape/ops/normalise.hpp>
#include <xtape/rng.hpp>

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape::nn {

/// Tensors and what they are called, in a model's order.
template <class T> using NamedTensors = std::vector<std::pair<std::string, Tensor<T>>>;

/// y = x W + b        x: (..., inputs), W: (inputs, outputs), b: (outputs,), y: (..., outputs)
/// x may have any leading axes: one batch axis, several (n, time, inputs), or none. W starts by init::he_normal, b at
/// 0. Without bias: set `bias = {}`. Throws as matmul does.
template <class T> struct Linear {
  Tensor<T> weight, bias;

  Linear(std::size_t inputs, std::size_t outputs, Rng& rng);
  Tensor<T> operator()(const Tensor<T>& x) const;
  std::vector<Tensor<T>> parameters() const;
  NamedTensors<T> named_parameters() const;  ///< weight, bias
};

/// conv2d with weights (outputs, inputs / groups, kh, kw) and a bias for each output channel.
/// W starts by init::he_normal, b at 0. Without bias: set `bias = {}`. Throws as conv2d does.
template <class T> struct Conv2d {
  Tensor<T> weight, bias;
  Conv2dOptions options;

  Conv2d(std::size_t inputs, std::size_t outputs, Pair kernel, Rng& rng, const Conv2dOptions& options = {});
  Tensor<T> operator()(const Tensor<T>& x) const;
  std::vector<Tensor<T>> parameters() const;
  NamedTensors<T> named_parameters() const;  ///< weight, bias
};

/// batch_norm: by the batch's statistics while `training`, which the state remembers, else by the state's.
/// gamma starts at 1, beta at 0.
template <class T> struct BatchNorm {
  Tensor<T> gamma, beta;
  BatchNormState<T> state;
  double momentum = 0.1, epsilon = 1e-5;
  bool training = true;

  explicit BatchNorm(std::size_t channels);
  Tensor<T> operator()(const Tensor<T>& x);
  std::vector<Tensor<T>> parameters() const { return {gamma, beta}; }
  /// The running statistics: no optimiser updates them, but they belong into a saved model.
  std::vector<Tensor<T>> buffers() const { return {state.mean, state.variance}; }
  NamedTensors<T> named_parameters() const { return {{"gamma", gamma}, {"beta", beta}}; }
  NamedTensors<T> named_buffers() const { return {{"mean", state.mean}, {"variance", state.variance}}; }
};

/// dropout while `training`, else x as it is. Draws from a generator of its own, split from the one given; copies draw
/// from the same one, in turn. Inside checkpoint(), which runs its function twice, take the op dropout() and the
/// generator that checkpoint hands on.
template <class T> struct Dropout {
  double rate;
  std::shared_ptr<Rng> rng;
  bool training = true;

  /// Throws ValueError unless 0 <= rate < 1.
  Dropout(double rate, Rng& rng);
  Tensor<T> operator()(const Tensor<T>& x) const;
};

/// Layers one after the other. A layer is anything called with a tensor: a struct of this page, a lambda, or the
/// name of an op, `relu<float>`. It is asked for named_parameters() and named_buffers(), or if it has none for
/// parameters() and buffers(), which are called 0, 1, ... In front of a name stands the layer's number: "0.weight", and
/// "2.0.weight" in a Sequential within.
template <class T> class Sequential {
 public:
  Sequential() = default;
  template <class... Layers>
  requires(std::is_invocable_r_v<Tensor<T>, Layers&, const Tensor<T>&>&&...) explicit Sequential(Layers... layers) {
    (add(std::move(layers)), ...);
  }
  /// What is not called so does not compile, with a sentence that says why.
  template <class... Layers>
  requires(!(std::is_invocable_r_v<Tensor<T>, Layers&, const Tensor<T>&> && ...)) explicit Sequential(Layers...) {
    static_assert((std::is_invocable_r_v<Tensor<T>, Layers&, const Tensor<T>&> && ...),
                  "xtape: a layer of a Sequential is called with a Tensor<T> alone. The name of an op with options, "
                  "leaky_relu<T>, stands for a function of two arguments: write a lambda, "
                  "[](const Tensor<T>& x) { return leaky_relu(x); }");
  }
  template <class Layer> void add(Layer layer) {
    if constexpr (requires { layer.named_parameters(); })
      add_named(layer.named_parameters(), parameters_, named_parameters_);
    else if constexpr (requires { layer.parameters(); })
      add_named(numbered(layer.parameters()), parameters_, named_parameters_);
    if constexpr (requires { layer.named_buffers(); })
      add_named(layer.named_buffers(), buffers_, named_buffers_);
    else if constexpr (requires { layer.buffers(); })
      add_named(numbered(layer.buffers()), buffers_, named_buffers_);
    const auto shared = std::make_shared<Layer>(std::move(layer));
    if constexpr (requires { shared->training; })
      modes_.push_back([shared](bool training) { shared->training = training; });
    else if constexpr (requires { shared->set_training(true); })
      modes_.push_back([shared](bool training) { shared->set_training(training); });
    layers_.push_back([shared](const Tensor<T>& x) { return (*shared)(x); });
  }
  Tensor<T> operator()(const Tensor<T>& x) const {
    Tensor<T> y = x;
    for (const auto& layer : layers_) y = layer(y);
    return y;
  }
  std::size_t size() const noexcept { return layers_.size(); }
  /// Of all layers, in their order. A tensor of several layers (tied weights, one layer twice) is listed once, under
  /// the name that it has first.
  const std::vector<Tensor<T>>& parameters() const noexcept { return parameters_; }
  const std::vector<Tensor<T>>& buffers() const noexcept { return buffers_; }
  const NamedTensors<T>& named_parameters() const noexcept { return named_parameters_; }
  const NamedTensors<T>& named_buffers() const noexcept { return named_buffers_; }
  /// Parameters and buffers: what a saved model consists of, see data/model.hpp.
  NamedTensors<T> named_tensors() const {
    NamedTensors<T> all = named_parameters_;
    all.insert(all.end(), named_buffers_.begin(), named_buffers_.end());
    return all;
  }
  /// Tells the layers that behave differently then (Dropout, BatchNorm) whether they are being trained.
  void set_training(bool training) {
    for (const auto& set : modes_) set(training);
  }

 private:
  static NamedTensors<T> numbered(const std::vector<Tensor<T>>& tensors) {
    NamedTensors<T> named;
    for (const auto& tensor : tensors) named.emplace_back(std::to_string(named.size()), tensor);
    return named;
  }
  // Of the layer that comes next.
  void add_named(const NamedTensors<T>& tensors, std::vector<Tensor<T>>& all, NamedTensors<T>& all_named) const {
    for (const auto& [name, tensor] : tensors) {
      all.push_back(tensor);
      all_named.emplace_back(std::to_string(layers_.size()) + "." + name, tensor);
    }
  }

  std::vector<std::function<Tensor<T>(const Tensor<T>&)>> layers_;
  std::vector<std::function<void(bool)>> modes_;
  std::vector<Tensor<T>> parameters_, buffers_;
  NamedTensors<T> named_parameters_, named_buffers_;
};

}  // namespace xtape::nn
