#include <xtape/ops/likelihood.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "broadcast.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace xtape::detail {
namespace {

// An operand as a tensor; a number becomes one of no axes.
template <class T> Tensor<T> tensor_of(const Operand<T>& x) { return x.is_number() ? Tensor<T>(x.number) : x.tensor; }

// log p(t | x) = t x - softplus(x) for t in {0, 1}.    dx = dy (t - sigmoid(x)), dt = dy x
template <class T> struct BernoulliLogLikelihood {
  using value_type = T;
  static constexpr OpTraits traits{.name = "bernoulli_log_likelihood", .kind = Kind::elementwise};

  LoopPlan plan(const Tensor<T>& x, const Tensor<T>& t) const {
    const std::array<const Shape*, 2> shapes{&x.shape(), &t.shape()};
    return plan_loop(traits.name, shapes.data(), shapes.size());
  }
  void evaluate(Fresh<T>& y, const LoopPlan& plan, const Tensor<T>& x, const Tensor<T>& t) const {
    using B = simd::Batch<T>;
    run_loop<T, 2, 1>(plan, {x.data(), t.data()}, {y.data()}, [](const std::array<B, 2>& v) {
      // The linear parts of t x and softplus(x) taken together: exact where t is 0 or 1, also at x = +-inf.
      const B zero(T(0)), weight = xsimd::select(v[0] > zero, v[1] - B(T(1)), v[1]);
      return std::array<B, 1>{xsimd::select(weight == zero, zero, weight * v[0]) -
                              xsimd::log1p(simd::exp(-xsimd::abs(v[0])))};
    });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x, const Tensor<T>& t) const {
    // t - sigmoid(x), without cancellation where t is 0 or 1.
    return p.gradients([&] { return p.dy * (t * sigmoid(-x) - (1 - t) * sigmoid(x)); }, [&] { return p.dy * x; });
  }
};

// log p(x | m, v) = -(log 2 pi + v + z^2) / 2 with z = (x - m) exp(-v / 2), where v is the logarithm of the variance.
// dx = -dy z exp(-v / 2) = -dm, dv = dy (z^2 - 1) / 2
template <class T> struct GaussianLogLikelihood {
  using value_type = T;
  static constexpr OpTraits traits{.name = "gaussian_log_likelihood", .kind = Kind::elementwise};

  LoopPlan plan(const Tensor<T>& x, const Tensor<T>& mean, const Tensor<T>& log_variance) const {
    const std::array<const Shape*, 3> shapes{&x.shape(), &mean.shape(), &log_variance.shape()};
    return plan_loop(traits.name, shapes.data(), shapes.size());
  }
  void evaluate(Fresh<T>& y, const LoopPlan& plan, const Tensor<T>& x, const Tensor<T>& mean,
                const Tensor<T>& log_variance) const {
    using B = simd::Batch<T>;
    constexpr double log_2_pi = 1.83787706640934548356;
    run_loop<T, 3, 1>(plan, {x.data(), mean.data(), log_variance.data()}, {y.data()}, [](const std::array<B, 3>& v) {
      // The root of the variance, not the variance: its range is twice as large. At the mean z is 0, however large
      // the precision.
      const B half(T(0.5)), d = v[0] - v[1];
      const B z = xsimd::select(d == B(T(0)), d, d * simd::exp(-half * v[2]));
      return std::array<B, 1>{-half * (B(static_cast<T>(log_2_pi)) + v[2] + z * z)};
    });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x, const Tensor<T>& mean, const Tensor<T>& log_variance) const {
    // Where the precision overflows at the mean, a number stands for it, whose product with 0 is 0.
    constexpr T largest = std::numeric_limits<T>::max();
    const T limit = -2 * std::log(largest);
    const Tensor<T> d = x - mean;
    Tensor<T> precision;
    if (std::ranges::any_of(log_variance.span(), [limit](T w) { return w <= limit; })) {
      const Tensor<T> lost = equal(d, 0) * (log_variance <= limit);
      precision = where(lost, largest, exp(-0.5 * where(lost, 0, log_variance)));
    } else {
      precision = exp(-0.5 * log_variance);
    }
    const Tensor<T> z = d * precision;
    return p.gradients([&] { return -(p.dy * (z * precision)); }, [&] { return p.dy * (z * precision); },
                       [&] { return p.dy * (0.5 * (square(z) - 1)); });
  }
};

}  // namespace

template <class T> Tensor<T> bernoulli_log_likelihood(const Operand<T>& logits, const Operand<T>& target) {
  return xtape::apply(BernoulliLogLikelihood<T>{}, tensor_of(logits), tensor_of(target));
}

template <class T>
Tensor<T> gaussian_log_likelihood(const Operand<T>& x, const Operand<T>& mean, const Operand<T>& log_variance) {
  return xtape::apply(GaussianLogLikelihood<T>{}, tensor_of(x), tensor_of(mean), tensor_of(log_variance));
}

#define XTAPE_LIKELIHOOD(T)                                                          \
  template Tensor<T> bernoulli_log_likelihood(const Operand<T>&, const Operand<T>&); \
  template Tensor<T> gaussian_log_likelihood(const Operand<T>&, const Operand<T>&, const Operand<T>&);
XTAPE_INSTANTIATE(XTAPE_LIKELIHOOD)

}  // namespace xtape::detail
