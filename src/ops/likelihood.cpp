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

}  // namespace

template <class T> Tensor<T> bernoulli_log_likelihood(const Operand<T>& logits, const Operand<T>& target) {
  using B = simd::Batch<T>;
  Tensor<T> y = broadcast_loop<2, T>("bernoulli_log_likelihood", {&logits, &target}, [](const std::array<B, 2>& v) {
    // The linear parts of t x and softplus(x) taken together: exact where t is 0 or 1, also at x = +-inf.
    const B zero(T(0)), weight = xsimd::select(v[0] > zero, v[1] - B(T(1)), v[1]);
    return xsimd::select(weight == zero, zero, weight * v[0]) - xsimd::log1p(simd::exp(-xsimd::abs(v[0])));
  });
  const Tensor<T> x = tensor_of(logits), t = tensor_of(target);
  return record("bernoulli_log_likelihood", std::move(y), {x, t}, [x, t](const Tensor<T>& dy, Wanted wanted) {
    // t - sigmoid(x), without cancellation where t is 0 or 1.
    return wanted.gradients([&] { return dy * (t * sigmoid(-x) - (1 - t) * sigmoid(x)); }, [&] { return dy * x; });
  });
}

template <class T>
Tensor<T> gaussian_log_likelihood(const Operand<T>& x, const Operand<T>& mean, const Operand<T>& log_variance) {
  using B = simd::Batch<T>;
  constexpr double log_2_pi = 1.83787706640934548356;
  Tensor<T> y =
      broadcast_loop<3, T>("gaussian_log_likelihood", {&x, &mean, &log_variance}, [](const std::array<B, 3>& v) {
        // The root of the variance, not the variance: its range is twice as large. At the mean z is 0, however large
        // the precision.
        const B half(T(0.5)), d = v[0] - v[1];
        const B z = xsimd::select(d == B(T(0)), d, d * simd::exp(-half * v[2]));
        return -half * (B(static_cast<T>(log_2_pi)) + v[2] + z * z);
      });
  const Tensor<T> a = tensor_of(x), m = tensor_of(mean), v = tensor_of(log_variance);
  return record("gaussian_log_likelihood", std::move(y), {a, m, v}, [a, m, v](const Tensor<T>& dy, Wanted wanted) {
    // Where the precision overflows at the mean, a number stands for it, whose product with 0 is 0.
    constexpr T largest = std::numeric_limits<T>::max();
    const T limit = -2 * std::log(largest);
    const Tensor<T> d = a - m;
    Tensor<T> precision;
    if (std::ranges::any_of(v.span(), [limit](T w) { return w <= limit; })) {
      const Tensor<T> lost = equal(d, 0) * (v <= limit);
      precision = where(lost, largest, exp(-0.5 * where(lost, 0, v)));
    } else {
      precision = exp(-0.5 * v);
    }
    const Tensor<T> z = d * precision;
    return wanted.gradients([&] { return -(dy * (z * precision)); }, [&] { return dy * (z * precision); },
                            [&] { return dy * (0.5 * (square(z) - 1)); });
  });
}

#define XTAPE_LIKELIHOOD(T)                                                          \
  template Tensor<T> bernoulli_log_likelihood(const Operand<T>&, const Operand<T>&); \
  template Tensor<T> gaussian_log_likelihood(const Operand<T>&, const Operand<T>&, const Operand<T>&);
XTAPE_INSTANTIATE(XTAPE_LIKELIHOOD)

}  // namespace xtape::detail
