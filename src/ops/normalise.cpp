#include <xtape/ops/normalise.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/shape.hpp>

#include "moments.hpp"

namespace xtape {
namespace {

void check_epsilon(const char* op, double epsilon) {
  if (!(epsilon >= 0)) throw ValueError(fmt::format("{}: epsilon must not be negative, but is {}", op, epsilon));
}

// 1 / sqrt(variance + epsilon) of each group; the root of a variance that leaves the range of double is found without
// it.
template <class T> Tensor<T> inverse_roots(const detail::Moments<T>& moments, const Tensor<T>& x, double epsilon) {
  constexpr double small = std::numeric_limits<double>::min() / std::numeric_limits<double>::epsilon();
  const double n = static_cast<double>(x.size()) / static_cast<double>(moments.squares.size());
  Fresh<T> r("standardise", moments.squares.shape());
  bool harmless = true;
  for (std::size_t i = 0; i < r.size(); ++i) {
    const double v = moments.squares.data()[i] / n + epsilon;
    r.data()[i] = static_cast<T>(1 / std::sqrt(v));
    harmless = harmless && v > small && v <= std::numeric_limits<double>::max();
  }
  // Squares of float lie in the range of double.
  if (harmless || sizeof(T) < sizeof(double)) return std::move(r).finished();
  const Tensor<double> deviations = detail::deviations(x, moments.squares, n);
  for (std::size_t i = 0; i < r.size(); ++i)
    r.data()[i] = static_cast<T>(1 / std::hypot(deviations.data()[i], std::sqrt(epsilon)));
  return std::move(r).finished();
}

// The running statistics of a batch norm, which each batch that is standardised changes; none if undefined.
template <class T> struct Running {
  Tensor<T> mean, variance;
  double momentum = 0;

  // batch: the moments of each channel, of n values.
  void update(const detail::Moments<T>& batch, std::size_t n) {
    // Not old + w (new - old), which loses what is much smaller than the old. A weight of 0 or 1 leaves no trace of the
    // other, were it infinite.
    const auto blend = [w = momentum](T old, double fresh) {
      return static_cast<T>(w == 0   ? static_cast<double>(old)
                            : w == 1 ? fresh
                                     : (1 - w) * static_cast<double>(old) + w * fresh);
    };
    const auto means = mean.modify(), variances = variance.modify();
    for (std::size_t c = 0; c < means.size(); ++c) {
      const double m = static_cast<double>(batch.mean.data()[c]) + static_cast<double>(batch.correction.data()[c]);
      means[c] = blend(means[c], m);
      variances[c] = blend(variances[c], batch.squares.data()[c] / static_cast<double>(n - 1));
    }
  }
};

// y = (x - mean) r with r = 1 / sqrt(variance + epsilon), over each group of elements.
// dx = r ((dy - mean(dy)) - y mean(dy y))
template <class T> struct Standardise {
  using value_type = T;
  using B = simd::Batch<T>;
  static constexpr OpTraits traits{.name = "standardise", .reads_result = true};
  Axes axes;  // of the group
  double epsilon;

  // The mean in two parts, and r.
  struct State {
    Tensor<T> mean, correction, r;
  };

  Shape shape(const Tensor<T>& x, const Running<T>&) const {
    static_cast<void>(axis_flags("standardise", axes, x.shape()));
    check_epsilon("standardise", epsilon);
    return x.shape();
  }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& x, Running<T>& running) const {
    const detail::Moments<T> moments = detail::moments(x, axes);
    if (running.mean.defined()) running.update(moments, x.size() / std::max<std::size_t>(1, running.mean.size()));
    const Tensor<T> r = inverse_roots(moments, x, epsilon);
    detail::fused<T, 4>(y, {&x, &moments.mean, &moments.correction, &r},
                        [](const std::array<B, 4>& v) { return ((v[0] - v[1]) - v[2]) * v[3]; });
    if (state) *state = {moments.mean, moments.correction, r};
  }

  // r as a function of x again; the variance does not change with a constant taken off.
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& x, const Running<T>&) const {
    const Tensor<T> mean_dy = mean(p.dy, axes, {.keepdims = true}),
                    mean_dy_y = mean(p.dy * p.y, axes, {.keepdims = true});
    const Tensor<T> d = (x - p.state.mean) - p.state.correction;
    return Gradients(1 / sqrt(var(d, axes, {.keepdims = true}) + epsilon) * ((p.dy - mean_dy) - p.y * mean_dy_y));
  }
  Gradients fused_pull(const Pull<T, State>& p, const Tensor<T>&, const Running<T>&) const {
    const Tensor<T> mean_dy = mean(p.dy, axes, {.keepdims = true}),
                    mean_dy_y = mean(p.dy * p.y, axes, {.keepdims = true});
    Fresh<T> dx("standardise", p.y.shape());
    detail::fused<T, 5>(dx, {&p.dy, &mean_dy, &p.y, &mean_dy_y, &p.state.r},
                        [](const std::array<B, 5>& v) { return v[4] * ((v[0] - v[1]) - v[2] * v[3]); });
    return Gradients(std::move(dx).finished());
  }
};

}  // namespace

template <class T> Tensor<T> standardise(const Tensor<T>& x, const Axes& axes, const StandardiseOptions& options) {
  return apply(Standardise<T>{axes, options.epsilon}, x, Running<T>{});
}

template <class T>
Tensor<T> layer_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta,
                     const StandardiseOptions& options) {
  const Shape &shape = x.shape(), &group = gamma.shape();
  if (group.empty() || group.size() > shape.size() || beta.shape() != group ||
      !std::equal(group.begin(), group.end(), shape.end() - group.size()))
    throw ShapeError(fmt::format("layer_norm: gamma and beta of the last extents of x are needed, got {}, {} and {}",
                                 to_string(group), to_string(beta.shape()), to_string(shape)));
  check_epsilon("layer_norm", options.epsilon);
  Axes axes;
  for (std::size_t i = shape.size() - group.size(); i < shape.size(); ++i)
    axes.push_back(static_cast<std::ptrdiff_t>(i));
  return standardise(x, axes, options) * gamma + beta;
}

template <class T>
Tensor<T> batch_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta, BatchNormState<T>& state,
                     const BatchNormOptions& options) {
  const Shape& shape = x.shape();
  const Shape channels{shape.size() > 1 ? shape[1] : 0};
  if (shape.size() < 2 || shape.size() > 4 || gamma.shape() != channels || beta.shape() != channels ||
      state.mean.shape() != channels || state.variance.shape() != channels)
    throw ShapeError(fmt::format(
        "batch_norm: x (N, C, ...) of 2 to 4 axes, and gamma, beta and a state of shape (C,) are needed, got "
        "{}, {}, {} and a state of {} and {}",
        to_string(shape), to_string(gamma.shape()), to_string(beta.shape()), to_string(state.mean.shape()),
        to_string(state.variance.shape())));
  check_epsilon("batch_norm", options.epsilon);
  if (!(options.momentum >= 0 && options.momentum <= 1))
    throw ValueError(fmt::format("batch_norm: the momentum must be in [0, 1], but is {}", options.momentum));

  // As broadcast along all axes but the second.
  Shape along = channels;
  Axes axes = 0;
  std::size_t n = shape[0];
  for (std::size_t i = 2; i < shape.size(); ++i) {
    along.push_back(1);
    axes.push_back(static_cast<std::ptrdiff_t>(i));
    n *= shape[i];
  }
  const auto spread = [&along](const Tensor<T>& t) { return t.dimension() == along.size() ? t : reshape(t, along); };
  if (!options.training) {
    const Tensor<T> scale = gamma / sqrt(state.variance + options.epsilon);
    return (x - spread(state.mean)) * spread(scale) + spread(beta);
  }
  if (n < 2 && channels[0] > 0)
    throw ShapeError(
        fmt::format("batch_norm: training needs two values or more to a channel, got {}", to_string(shape)));
  return apply(Standardise<T>{axes, options.epsilon}, x, Running<T>{state.mean, state.variance, options.momentum}) *
             spread(gamma) +
         spread(beta);
}

#define XTAPE_NORMALISE(T)                                                                                        \
  template Tensor<T> standardise(const Tensor<T>&, const Axes&, const StandardiseOptions&);                       \
  template Tensor<T> layer_norm(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, const StandardiseOptions&); \
  template Tensor<T> batch_norm(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, BatchNormState<T>&,         \
                                const BatchNormOptions&);
XTAPE_INSTANTIATE(XTAPE_NORMALISE)

}  // namespace xtape
