#include <xtape/optim.hpp>

#include <xtape/detail/loop.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include "../tape/recording.hpp"
#include "distinct.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace xtape::optim {
namespace {

void require(bool holds, const char* optimiser, const char* option, double value, const char* range) {
  if (!holds) throw ValueError(fmt::format("{}: the {} {} is not {}", optimiser, option, value, range));
}

// T's own number for an option is what counts: it may be infinite, 0 or 1 where the option's is not.
template <class T> bool finite(double value) { return std::isfinite(static_cast<T>(value)); }
template <class T> bool part(double value) { return value >= 0 && static_cast<T>(value) < 1; }
template <class T> void require_finite(const char* optimiser, const char* option, double value) {
  require(value >= 0 && finite<T>(value), optimiser, option, value,
          std::is_same_v<T, float> ? "at least 0 and finite in float" : "at least 0 and finite");
}
template <class T>
inline constexpr const char* part_range = std::is_same_v<T, float> ? "in [0, 1), rounded to float" : "in [0, 1)";

template <class T> void check(const SgdOptions& o) {
  require_finite<T>("sgd", "learning rate", o.learning_rate);
  require(part<T>(o.momentum), "sgd", "momentum", o.momentum, part_range<T>);
  require(!o.nesterov || o.momentum > 0, "sgd", "momentum", o.momentum, "positive, as Nesterov's method needs");
  require_finite<T>("sgd", "weight decay", o.weight_decay);
}

template <class T> void check(const AdamOptions& o) {
  require_finite<T>("adam", "learning rate", o.learning_rate);
  require(part<T>(o.beta1), "adam", "beta1", o.beta1, part_range<T>);
  require(part<T>(o.beta2), "adam", "beta2", o.beta2, part_range<T>);
  static const double least = std::sqrt(static_cast<double>(std::numeric_limits<T>::min()));
  require(o.epsilon >= least && finite<T>(o.epsilon), "adam", "epsilon", o.epsilon,
          std::is_same_v<T, float> ? "at least 1.1e-19 and finite in float" : "at least 1.5e-154 and finite");
  require_finite<T>("adam", "weight decay", o.weight_decay);
  require(finite<T>(o.learning_rate * o.weight_decay), "adam", "weight decay", o.weight_decay,
          "finite times the learning rate");
}

// Finite numbers beyond the bound become it. Infinity and NaN stay, and show.
template <class B> B cut(const B& x, const B& bound, const B& infinity) {
  const B size = xsimd::abs(x);
  return xsimd::select((size > bound) & (size < infinity), xsimd::copysign(bound, x), x);
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

template <class T>
std::vector<Tensor<T>> unknown_of(const std::vector<Tensor<T>>& own, const std::vector<Tensor<T>>& given) {
  std::vector<Tensor<T>> result = distinct(given);
  std::erase_if(result, [&](const Tensor<T>& x) {
    return !x.grad().defined() ||
           std::ranges::any_of(own, [&](const auto& p) { return p.impl().get() == x.impl().get(); });
  });
  return result;
}

// What check_complete asks for; true once there was something to check.
template <class T> bool check_complete(const char* optimiser, const std::vector<Tensor<T>>& own) {
  const detail::Recording* const tape = detail::active_recording();
  if (!tape)
    throw TapeError(
        fmt::format("{}: check_complete needs the tape of the sweep; call the first step() in its scope", optimiser));
  std::vector<Tensor<T>> used;
  for (auto& source : tape->sources())
    if (source->requires_grad && source->dtype == detail::dtype_of<T>) used.emplace_back(std::move(source));
  const auto unknown = unknown_of(own, used);
  if (!unknown.empty())
    throw TapeError(
        fmt::format("{}: {} of {} parameters on the tape have a gradient, but are none of this optimiser's; the first "
                    "has shape {}",
                    optimiser, unknown.size(), used.size(), to_string(unknown[0].shape())));
  return !used.empty();
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
Sgd<T>::Sgd(std::vector<Tensor<T>> parameters, const SgdOptions& sgd_options) : options(sgd_options) {
  check<T>(options);
  check_parameters("sgd", parameters);
  parameters_ = distinct(parameters);
  velocity_.resize(parameters_.size());
}

template <class T> void Sgd<T>::step() {
  using B = simd::Batch<T>;
  check<T>(options);
  check_gradients("sgd", parameters_);
  if (options.check_complete && !checked_) checked_ = check_complete("sgd", parameters_);
  const B rate(static_cast<T>(options.learning_rate)), momentum(static_cast<T>(options.momentum));
  const B decay(static_cast<T>(options.weight_decay));
  const B bound(std::numeric_limits<T>::max() / 4), infinity(std::numeric_limits<T>::infinity());
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
                                      B slope = v[1] + decay * v[0], speed = momentum * v[2] + slope;
                                      if (xsimd::any(xsimd::abs(speed) > bound)) [[unlikely]] {
                                        slope = cut(slope, bound, infinity);
                                        speed = cut(momentum * v[2] + slope, bound, infinity);
                                      }
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

template <class T> auto Sgd<T>::unknown(const std::vector<Tensor<T>>& parameters) const -> std::vector<Tensor<T>> {
  return unknown_of(parameters_, parameters);
}

template <class T> auto Sgd<T>::state() const -> State {
  State result{options, {}};
  for (const auto& velocity : velocity_) result.velocity.push_back(snapshot(velocity));
  return result;
}

template <class T> void Sgd<T>::set_state(const State& state) {
  check<T>(state.options);
  check_count("sgd", state.velocity.size(), parameters_);
  for (std::size_t i = 0; i < parameters_.size(); ++i) check_fit("sgd", i, parameters_[i], state.velocity[i], false);
  options = state.options;
  for (std::size_t i = 0; i < parameters_.size(); ++i) velocity_[i] = snapshot(state.velocity[i]);
}

template <class T>
Adam<T>::Adam(std::vector<Tensor<T>> parameters, const AdamOptions& adam_options) : options(adam_options) {
  check<T>(options);
  check_parameters("adam", parameters);
  parameters_ = distinct(parameters);
  moments_.resize(parameters_.size());
}

template <class T> void Adam<T>::step() {
  using B = simd::Batch<T>;
  check<T>(options);
  check_gradients("adam", parameters_);
  if (options.check_complete && !checked_) checked_ = check_complete("adam", parameters_);
  const auto lane = [](double x) { return B(static_cast<T>(x)); };
  const B b1 = lane(options.beta1), c1 = lane(1 - options.beta1), b2 = lane(options.beta2),
          c2 = lane(1 - options.beta2);
  const B bound(std::sqrt(std::numeric_limits<T>::max()) / 2), infinity(std::numeric_limits<T>::infinity());
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
    T *value = p.modify().data(), *mean = m.mean.modify().data(), *squares = m.square.modify().data();
    detail::run_long_row<T, 4, 3>(p.size(), {value, g.data(), mean, squares}, {1, 1, 1, 1}, {value, mean, squares},
                                  [=](const std::array<B, 4>& v) {
                                    B slope = v[1], square = slope * slope;
                                    if (xsimd::any(square > bound * bound)) [[unlikely]] {
                                      slope = cut(slope, bound, infinity);
                                      square = slope * slope;
                                    }
                                    const B first = b1 * v[2] + c1 * slope, second = b2 * v[3] + c2 * square;
                                    const B next = keep * v[0] - rate * first / (xsimd::sqrt(second * scale) + epsilon);
                                    return std::array<B, 3>{next, first, second};
                                  });
    p.zero_grad();
  }
}

template <class T> void Adam<T>::zero_grad() {
  for (auto& p : parameters_) p.zero_grad();
}

template <class T> auto Adam<T>::unknown(const std::vector<Tensor<T>>& parameters) const -> std::vector<Tensor<T>> {
  return unknown_of(parameters_, parameters);
}

template <class T> auto Adam<T>::state() const -> State {
  State result{options, {}};
  for (const auto& m : moments_) result.moments.push_back({snapshot(m.mean), snapshot(m.square), m.steps});
  return result;
}

template <class T> void Adam<T>::set_state(const State& state) {
  check<T>(state.options);
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

namespace {

// A norm as root / scale, with a scale that is a power of two: in parts that do not over- or underflow.
struct ScaledNorm {
  double root, scale;
  double value() const { return root / scale; }
};

// The joint norm of gradients whose squares, or whose norm, may leave T's range. Not finite if an element is not.
template <class T>
ScaledNorm scaled_norm(const std::vector<Tensor<T>>& parameters, const detail::DistinctPlaces& places) {
  double largest = 0, unusual = 0;  // NaN once an element is not finite
  for (const std::size_t i : places)
    if (const Tensor<T> g = parameters[i].grad(); g.defined())
      for (const T x : g.span()) {
        largest = std::max(largest, std::abs(static_cast<double>(x)));
        unusual += static_cast<double>(x - x);
      }
  if (std::isnan(unusual)) return {unusual, 1};
  if (largest == 0) return {0, 1};
  // A step back from the largest's own exponent: its inverse would overflow for the least subnormal numbers.
  const int exponent = std::max(std::ilogb(largest), -1000);
  const double scale = std::ldexp(1.0, -exponent);
  double squares = 0;
  for (const std::size_t i : places)
    if (const Tensor<T> g = parameters[i].grad(); g.defined()) {
      double part = 0;
      for (const T x : g.span()) part += (static_cast<double>(x) * scale) * (static_cast<double>(x) * scale);
      squares += part;
    }
  return {std::sqrt(squares), scale};
}

template <class T> void refuse_nonfinite(const std::vector<Tensor<T>>& parameters) {
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (const Tensor<T> g = parameters[i].grad(); g.defined())
      for (const T x : g.span())
        if (!std::isfinite(x))
          throw ValueError(fmt::format("clip_gradient_norm: the gradient of parameter {}, of shape {}, holds {}", i,
                                       to_string(g.shape()),
                                       std::isnan(x) ? "nan"
                                       : x > 0       ? "inf"
                                                     : "-inf"));
}

template <class T> Tensor<T> scaled(const Tensor<T>& x, double first, double second) {
  Fresh<T> result("clip_gradient_norm", x.shape());
  std::transform(x.data(), x.data() + x.size(), result.data(),
                 [=](T v) { return static_cast<T>((static_cast<double>(v) * first) * second); });
  return std::move(result).finished();
}

}  // namespace

template <class T>
double clip_gradient_norm(const std::vector<Tensor<T>>& parameters, double largest, const ClipOptions& options) {
  require(largest > 0, "clip_gradient_norm", "largest norm", largest, "positive");
  const NoGrad pause;
  const detail::DistinctPlaces places(parameters);
  double length = 0;
  for (const std::size_t i : places)
    if (const Tensor<T> g = parameters[i].grad(); g.defined())
      length = std::hypot(length, static_cast<double>(norm(g).item()));
  // Nearly always T holds the norm and the factor; where not, both are found again with a scale of their own.
  const T factor = static_cast<T>(largest / length);
  if (length >= std::numeric_limits<T>::min() && std::isfinite(length) &&
      (length <= largest || std::isnormal(factor))) {
    if (length > largest)
      for (const std::size_t i : places)
        if (const Tensor<T> g = parameters[i].grad(); g.defined()) Tensor<T>(parameters[i]).set_grad(g * factor);
    return length;
  }
  const ScaledNorm norm = scaled_norm(parameters, places);
  if (!std::isfinite(norm.root)) {
    if (options.error_if_nonfinite) refuse_nonfinite(parameters);
    return length;
  }
  if (norm.value() > largest)
    for (const std::size_t i : places)
      if (const Tensor<T> g = parameters[i].grad(); g.defined())
        Tensor<T>(parameters[i]).set_grad(scaled(g, norm.scale, largest / norm.root));
  return norm.value();
}

#define XTAPE_OPTIM(T)    \
  template class Sgd<T>;  \
  template class Adam<T>; \
  template double clip_gradient_norm(const std::vector<Tensor<T>>&, double, const ClipOptions&);
XTAPE_OPTIM(float)
XTAPE_OPTIM(double)

}  // namespace xtape::optim
