// Variances, standard deviations and norms.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "moments.hpp"
#include "reduce.hpp"

namespace xtape {
namespace {

// What a sum of squares is divided by: n - ddof, but not less than 0.
double degrees_of_freedom(std::size_t n, std::size_t ddof) { return n > ddof ? static_cast<double>(n - ddof) : 0.0; }

// x - mean(x), recorded. The mean m is taken off first, as a constant: of a large one the rounding is then found as the
// mean of what is left.
template <class T> Tensor<T> deviation(const Tensor<T>& x, const Tensor<T>& m, const Axes& axes) {
  const Tensor<T> rest = x - m;
  return rest - mean(rest, axes, {.keepdims = true});
}

// 0, with the derivative NaN where x and its own slope are 0: inf 0.
template <class T> Tensor<T> no_slope(const Tensor<T>& x) { return sqrt(x); }

// The slopes of a norm where it is 0: 0 by choice. They have no derivative there, but for the norm of one number, which
// is its size.
template <class T> Tensor<T> slope_at_zero(const Tensor<T>& x, const Tensor<T>& length) {
  return x.size() == length.size() ? Tensor<T>(T(0)) : no_slope(length);
}

// What follows from shapes: the divisor of a sum of squares beside the result's shape.
struct VariancePlan {
  Shape shape;
  double divisor;
};
VariancePlan plan_variance(const char* op, const Shape& shape, const Axes& axes, const VarianceOptions& options) {
  const double divisor = degrees_of_freedom(detail::reduced_count(op, shape, axes), options.ddof);
  return {detail::reduced_shape(op, shape, axes, options.keepdims), divisor};
}
// What their gradients need: the mean m, with extent 1 along the axes.
template <class T> struct VarianceState {
  Tensor<T> mean;
  double divisor = 0;
};

// y = sum (x - m)^2 / divisor over each group of elements with the mean m.    dx = dy (x - m) 2 / divisor
template <class T> struct Var {
  using value_type = T;
  using State = VarianceState<T>;
  static constexpr OpTraits traits{.name = "var"};
  Axes axes;
  VarianceOptions options;

  VariancePlan plan(const Tensor<T>& x) const { return plan_variance("var", x.shape(), axes, options); }
  void evaluate(Fresh<T>& y, const VariancePlan& plan, State* state, const Tensor<T>& x) const {
    const double divisor = plan.divisor;
    const detail::Moments<T> moments = detail::moments(x, axes);
    for (std::size_t i = 0; i < y.size(); ++i) y.data()[i] = static_cast<T>(moments.squares.data()[i] / divisor);
    if (std::ranges::any_of(moments.squares.span(), [](double s) { return !std::isfinite(s); }))
      for (std::size_t i = 0; const auto& s : detail::wide_moments(x, moments.squares.shape()).squares)
        y.data()[i++] = static_cast<T>(s / static_cast<kernels::Wide<T>>(divisor));
    if (state) *state = {moments.mean, divisor};
  }
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& x) const {
    const auto& [m, divisor] = p.state;
    return Gradients(reshape(p.dy, m.shape()) * (deviation(x, m, axes) * static_cast<T>(2 / divisor)));
  }
};

// Its root.    dx = dy (x - m) / y / divisor, where y is not 0
template <class T> struct Stddev {
  using value_type = T;
  using State = VarianceState<T>;
  static constexpr OpTraits traits{.name = "stddev", .reads_result = true};
  Axes axes;
  VarianceOptions options;

  VariancePlan plan(const Tensor<T>& x) const { return plan_variance("stddev", x.shape(), axes, options); }
  void evaluate(Fresh<T>& y, const VariancePlan& plan, State* state, const Tensor<T>& x) const {
    const detail::Moments<T> moments = detail::moments(x, axes);
    const Tensor<double> roots = detail::deviations(x, moments.squares, plan.divisor);
    std::ranges::transform(roots.span(), y.data(), [](double root) { return static_cast<T>(root); });
    if (state) *state = {moments.mean, plan.divisor};
  }
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& x) const {
    const auto& [m, divisor] = p.state;
    const Tensor<T> length = reshape(p.y, m.shape()), zero = equal(length, 0);
    const Tensor<T> direction = where(zero, slope_at_zero(x, length), deviation(x, m, axes) / where(zero, 1, length));
    return Gradients(reshape(p.dy, m.shape()) * direction / static_cast<T>(divisor));
  }
};

// y = sqrt(sum x^2) over each group.    dx = dy x / y, where y is not 0
template <class T> struct EuclideanNorm {
  using value_type = T;
  static constexpr OpTraits traits{.name = "norm", .reads_result = true};
  Axes axes;
  bool keepdims;

  Shape shape(const Tensor<T>& x) const { return detail::reduced_shape("norm", x.shape(), axes, keepdims); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    const NoGrad pause;
    // A sum of squares far from both ends of the range has lost nothing.
    constexpr T small = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    const Tensor<T> squares =
        std::get<0>(detail::sums_of<1>(x, axes, std::array<const Tensor<T>*, 0>{},
                                       [](const auto& v, const auto&) { return std::array{v[0] * v[0]}; }));
    const auto harmless = [](T square) { return square > small && square <= std::numeric_limits<T>::max(); };
    if (std::ranges::all_of(squares.span(), harmless)) {
      std::ranges::copy(sqrt(squares).span(), y.data());
    } else if (x.size() == 0) {
      std::ranges::fill(y.span(), T(0));
    } else {
      // Scaled by the largest element: squares neither overflow nor underflow.
      const Tensor<T> largest = max(abs(x), axes, {.keepdims = true});
      const Tensor<T> scale = where(largest > 0, where(largest < std::numeric_limits<T>::infinity(), largest, 1), 1);
      const Tensor<T> lengths = sqrt(sum(square(x / scale), axes, {.keepdims = true})) * scale;
      std::ranges::copy(lengths.span(), y.data());
    }
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x) const {
    const Shape from = detail::reduced_shape("norm", x.shape(), axes, true);
    const Tensor<T> length = reshape(p.y, from), zero = equal(length, 0);
    return Gradients(reshape(p.dy, from) * where(zero, slope_at_zero(x, length), x / where(zero, 1, length)));
  }
};

// y = (sum |x|^order)^(1 / order) for any other order but 0 and infinity; x is not empty.
// dx = dy sign(x) (|x| / y)^(order - 1), where neither x nor y is 0
template <class T> struct PowerNorm {
  using value_type = T;
  static constexpr OpTraits traits{.name = "norm", .reads_result = true};
  Axes axes;
  bool keepdims;
  double order;

  Shape shape(const Tensor<T>& x) const { return detail::reduced_shape("norm", x.shape(), axes, keepdims); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    const NoGrad pause;
    // Scaled by the element that outweighs the others.
    const Tensor<T> size = abs(x);
    const Tensor<T> top = order > 0 ? max(size, axes, {.keepdims = true}) : min(size, axes, {.keepdims = true});
    const Tensor<T> scale = where(top > 0, where(top < std::numeric_limits<T>::infinity(), top, 1), 1);
    const Tensor<T> lengths = pow(sum(pow(size / scale, order), axes, {.keepdims = true}), 1 / order) * scale;
    std::ranges::copy(lengths.span(), y.data());
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x) const {
    const Shape from = detail::reduced_shape("norm", x.shape(), axes, true);
    const Tensor<T> length = reshape(p.y, from), zero = equal(x, 0) + equal(length, 0);
    // The power is taken at 1 where it is not wanted.
    const Tensor<T> ratio = where(zero, 1, abs(x) / where(equal(length, 0), 1, length));
    const Tensor<T> at_zero = where(equal(length, 0), slope_at_zero(x, length), 0);
    return Gradients(reshape(p.dy, from) * where(zero, at_zero, sign(x) * pow(ratio, order - 1)));
  }
};

// The number of elements that are not 0, with the gradient 0.
template <class T> struct CountNorm {
  using value_type = T;
  static constexpr OpTraits traits{.name = "norm"};
  Axes axes;
  bool keepdims;
  Shape from, whole;  // the input's shape with the reduced axes of extent 1, and as it is

  Shape shape(const Tensor<T>& x) const { return detail::reduced_shape("norm", x.shape(), axes, keepdims); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    const NoGrad pause;
    std::ranges::copy(sum(not_equal(x, 0), axes, {.keepdims = true}).span(), y.data());
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(detail::spread(p.dy * 0, from, whole)); }
};

}  // namespace

template <class T> Tensor<T> var(const Tensor<T>& x, const Axes& axes, const VarianceOptions& options) {
  return apply(Var<T>{axes, options}, x);
}

template <class T> Tensor<T> stddev(const Tensor<T>& x, const Axes& axes, const VarianceOptions& options) {
  return apply(Stddev<T>{axes, options}, x);
}

template <class T> Tensor<T> norm(const Tensor<T>& x, const Axes& axes, const NormOptions& options) {
  const double p = options.order;
  const bool keepdims = options.keepdims;
  if (std::isnan(p)) throw ValueError("norm: the order is not a number");
  const Shape kept = detail::reduced_shape("norm", x.shape(), axes, keepdims);
  if (p == 2) return apply(EuclideanNorm<T>{axes, keepdims}, x);
  if (p == 1) return sum(abs(x), axes, {.keepdims = keepdims});
  if (p == 0)
    return apply(CountNorm<T>{axes, keepdims, detail::reduced_shape("norm", x.shape(), axes, true), x.shape()}, x);
  if (x.size() == 0) {
    if (p < 0 && kept.elements() > 0) detail::throw_no_elements("norm", x.shape());
    return sum(x, axes, {.keepdims = keepdims});
  }
  if (std::isinf(p))
    return p > 0 ? max(abs(x), axes, {.keepdims = keepdims}) : min(abs(x), axes, {.keepdims = keepdims});
  return apply(PowerNorm<T>{axes, keepdims, p}, x);
}

#define XTAPE_NORM(T)                                                               \
  template Tensor<T> var(const Tensor<T>&, const Axes&, const VarianceOptions&);    \
  template Tensor<T> stddev(const Tensor<T>&, const Axes&, const VarianceOptions&); \
  template Tensor<T> norm(const Tensor<T>&, const Axes&, const NormOptions&);
XTAPE_INSTANTIATE(XTAPE_NORM)

}  // namespace xtape
