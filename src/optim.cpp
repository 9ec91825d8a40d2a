#include <xtape/optim.hpp>

#include <xtape/detail/loop.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace xtape::optim {
namespace {

void require(bool holds, const char* optimiser, const char* option, double value, const char* range) {
  if (!holds) throw ValueError(fmt::format("{}: the {} {} is not {}", optimiser, option, value, range));
}

void check(const SgdOptions& o) {
  require(o.learning_rate >= 0, "sgd", "learning rate", o.learning_rate, "at least 0");
  require(o.momentum >= 0 && o.momentum < 1, "sgd", "momentum", o.momentum, "in [0, 1)");
  require(!o.nesterov || o.momentum > 0, "sgd", "momentum", o.momentum, "positive, as Nesterov's method needs");
  require(o.weight_decay >= 0, "sgd", "weight decay", o.weight_decay, "at least 0");
}

void check(const AdamOptions& o) {
  require(o.learning_rate >= 0, "adam", "learning rate", o.learning_rate, "at least 0");
  require(o.beta1 >= 0 && o.beta1 < 1, "adam", "beta1", o.beta1, "in [0, 1)");
  require(o.beta2 >= 0 && o.beta2 < 1, "adam", "beta2", o.beta2, "in [0, 1)");
  require(o.epsilon > 0, "adam", "epsilon", o.epsilon, "positive");
  require(o.weight_decay >= 0, "adam", "weight decay", o.weight_decay, "at least 0");
}

template <class T> void check_parameters(const char* optimiser, const std::vector<Tensor<T>>& parameters) {
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (!parameters[i].defined() || !parameters[i].impl()->requires_grad)
      throw TapeError(fmt::format("{}: tensor {} is not a parameter; make it with parameter()", optimiser, i));
}

// Parameters that a loss does not depend on have no gradient, and stay; if none has any, a sweep was forgotten.
template <class T> void check_gradients(const char* optimiser, const std::vector<Tensor<T>>& parameters) {
  if (!parameters.empty() && std::ranges::none_of(parameters, [](const auto& p) { return p.grad().defined(); }))
    throw TapeError(
        fmt::format("{}: no parameter has a gradient; call backward() of a loss that depends on them "
                    "before each step()",
                    optimiser));
}

// A handle of its own on the elements: whoever writes one of the two leaves the other alone.
template <class T> Tensor<T> snapshot(const Tensor<T>& x) { return x.defined() ? x.detach() : x; }

template <class T>
void check_count(const char* optimiser, std::size_t given, const std::vector<Tensor<T>>& parameters) {
  if (given != parameters.size())
    throw ShapeError(fmt::format("{}: a state of {} parameters, expected {}", optimiser, given, parameters.size()));
}

// What is kept of parameter i has its shape, and is there if it must be.
template <class T>
void check_fit(const char* optimiser, std::size_t i, const Tensor<T>& parameter, const Tensor<T>& kept, bool must) {
  if (kept.defined() ? kept.shape() != parameter.shape() : must)
    throw ShapeError(fmt::format("{}: the state of parameter {} is {}, expected {}", optimiser, i,
                                 kept.defined() ? to_string(kept.shape()) : std::string("missing"),
                                 to_string(parameter.shape())));
}

}  // namespace

template <class T>
Sgd<T>::Sgd(std::vector<Tensor<T>> parameters, const SgdOptions& sgd_options)
    : options(sgd_options), parameters_(std::move(parameters)), velocity_(parameters_.size()) {
  check(options);
  check_parameters("sgd", parameters_);
}

template <class T> void Sgd<T>::step() {
  using B = simd::Batch<T>;
  check(options);
  check_gradients("sgd", parameters_);
  const B rate(static_cast<T>(options.learning_rate)), momentum(static_cast<T>(options.momentum));
  const B decay(static_cast<T>(options.weight_decay));
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Tensor<T>& p = parameters_[i];
    const Tensor<T> g = p.grad();
    if (!g.defined()) continue;
    T* value = p.modify().data();
    if (options.momentum == 0) {
      detail::run_long_row<T, 2, 1>(p.size(), {value, g.data()}, {1, 1}, {value}, [=](const std::array<B, 2>& v) {
        return std::array<B, 1>{v[0] - rate * (v[1] + decay * v[0])};
      });
    } else {
      if (!velocity_[i].defined()) velocity_[i] = zeros<T>(p.shape());
      T* velocity = velocity_[i].modify().data();
      const bool nesterov = options.nesterov;
      detail::run_long_row<T, 3, 2>(p.size(), {value, g.data(), velocity}, {1, 1, 1}, {value, velocity},
                                    [=](const std::array<B, 3>& v) {
                                      const B slope = v[1] + decay * v[0], speed = momentum * v[2] + slope;
                                      const B along = nesterov ? slope + momentum * speed : speed;
                                      return std::array<B, 2>{v[0] - rate * along, speed};
                                    });
    }
    p.zero_grad();
  }
}

template <class T> void Sgd<T>::zero_grad() {
  for (auto& p : parameters_) p.zero_grad();
}

template <class T> auto Sgd<T>::state() const -> State {
  State result{options, {}};
  for (const auto& velocity : velocity_) result.velocity.push_back(snapshot(velocity));
  return result;
}

template <class T> void Sgd<T>::set_state(const State& state) {
  check(state.options);
  check_count("sgd", state.velocity.size(), parameters_);
  for (std::size_t i = 0; i < parameters_.size(); ++i) check_fit("sgd", i, parameters_[i], state.velocity[i], false);
  options = state.options;
  for (std::size_t i = 0; i < parameters_.size(); ++i) velocity_[i] = snapshot(state.velocity[i]);
}

template <class T>
Adam<T>::Adam(std::vector<Tensor<T>> parameters, const AdamOptions& adam_options)
    : options(adam_options), parameters_(std::move(parameters)), moments_(parameters_.size()) {
  check(options);
  check_parameters("adam", parameters_);
}

template <class T> void Adam<T>::step() {
  using B = simd::Batch<T>;
  check(options);
  check_gradients("adam", parameters_);
  const auto lane = [](double x) { return B(static_cast<T>(x)); };
  const B b1 = lane(options.beta1), c1 = lane(1 - options.beta1), b2 = lane(options.beta2),
          c2 = lane(1 - options.beta2);
  const B epsilon = lane(options.epsilon), keep = lane(1 - options.learning_rate * options.weight_decay);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Tensor<T>& p = parameters_[i];
    const Tensor<T> g = p.grad();
    if (!g.defined()) continue;
    Moments& m = moments_[i];
    if (m.steps == 0) {
      m.mean = zeros<T>(p.shape());
      m.square = zeros<T>(p.shape());
    }
    ++m.steps;
    const auto t = static_cast<double>(m.steps);
    // The corrections for the moments' start at 0, in double: 1 - beta2^t is small at first.
    const B rate = lane(options.learning_rate / (1 - std::pow(options.beta1, t)));
    const B scale = lane(1 / (1 - std::pow(options.beta2, t)));
    T *value = p.modify().data(), *mean = m.mean.modify().data(), *square = m.square.modify().data();
    detail::run_long_row<T, 4, 3>(p.size(), {value, g.data(), mean, square}, {1, 1, 1, 1}, {value, mean, square},
                                  [=](const std::array<B, 4>& v) {
                                    const B first = b1 * v[2] + c1 * v[1], second = b2 * v[3] + c2 * (v[1] * v[1]);
                                    const B next = keep * v[0] - rate * first / (xsimd::sqrt(second * scale) + epsilon);
                                    return std::array<B, 3>{next, first, second};
                                  });
    p.zero_grad();
  }
}

template <class T> void Adam<T>::zero_grad() {
  for (auto& p : parameters_) p.zero_grad();
}

template <class T> auto Adam<T>::state() const -> State {
  State result{options, {}};
  for (const auto& m : moments_) result.moments.push_back({snapshot(m.mean), snapshot(m.square), m.steps});
  return result;
}

template <class T> void Adam<T>::set_state(const State& state) {
  check(state.options);
  check_count("adam", state.moments.size(), parameters_);
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    for (const auto& kept : {state.moments[i].mean, state.moments[i].square})
      check_fit("adam", i, parameters_[i], kept, state.moments[i].steps > 0);
  options = state.options;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Moments& m = state.moments[i];
    moments_[i] = {snapshot(m.mean), snapshot(m.square), m.steps};
  }
}

template <class T> double clip_gradient_norm(const std::vector<Tensor<T>>& parameters, double largest) {
  require(largest > 0, "clip_gradient_norm", "largest norm", largest, "positive");
  const NoGrad pause;
  double length = 0;
  for (const auto& p : parameters)
    if (const Tensor<T> g = p.grad(); g.defined()) length = std::hypot(length, static_cast<double>(norm(g).item()));
  if (length > largest)
    for (Tensor<T> p : parameters)
      if (const Tensor<T> g = p.grad(); g.defined()) p.set_grad(g * (largest / length));
  return length;
}

#define XTAPE_OPTIM(T)    \
  template class Sgd<T>;  \
  template class Adam<T>; \
  template double clip_gradient_norm(const std::vector<Tensor<T>>&, double);
XTAPE_OPTIM(float)
XTAPE_OPTIM(double)

}  // namespace xtape::optim
