// Functions of one tensor: one pass over SIMD batches forward, one backward. When the sweep itself is being
// recorded, the same pull() formula runs on tensors instead, through recorded ops.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include <xtape/functions.hpp>

#include "broadcast.hpp"

#include <cmath>

namespace xtape {
namespace {

// A function of functions.hpp as an op.
template <class F, class T> struct Unary {
  using value_type = T;
  static constexpr bool by_result = fn::PullsFromResult<F, Lane<T>>;
  static constexpr bool by_input = !by_result && !requires { requires !F::uses_input; };
  static constexpr OpTraits traits{
      .name = F::name, .kind = detail::kind_of_function<F>(), .reads_result = by_result, .takes_uniform = true};
  F f;

  const Shape& shape(const Tensor<T>& x) const { return x.shape(); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    using B = simd::Batch<T>;
    detail::run_long_row<T, 1, 1>(x.size(), {x.data()}, {1}, {y.data()},
                                  [this](const std::array<B, 1>& v) { return std::array<B, 1>{f.value(v[0])}; });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x) const requires by_input { return Gradients(formula(p.dy, x)); }
  Gradients fused_pull(const Pull<T>& p, const Tensor<T>& x) const requires by_input {
    return Gradients(in_one_pass(p.dy, x));
  }
  Gradients pull(const Pull<T>& p) const requires(!by_input) {
    return Gradients(formula(p.dy, by_result ? p.y : p.dy));
  }
  Gradients fused_pull(const Pull<T>& p) const requires(!by_input) {
    return Gradients(in_one_pass(p.dy, by_result ? p.y : p.dy));
  }

 private:
  // dy f'(saved), where `saved` is the input or the result, as pull() of functions.hpp has it.
  template <class V> V formula(const V& dy, const V& saved) const {
    if constexpr (by_result)
      return f.pull(dy, fn::Result<V>{saved});
    else
      return f.pull(dy, saved);
  }
  Tensor<T> in_one_pass(const Tensor<T>& dy, const Tensor<T>& saved) const {
    using B = simd::Batch<T>;
    // A gradient that nobody else holds is overwritten: its memory is in the cache, and one buffer less is needed.
    Fresh<T> dx = detail::gradient_from(dy, saved.shape());
    const std::size_t step = dy.size() == 1 ? 0 : 1;
    detail::run_long_row<T, 2, 1>(saved.size(), {dy.data(), saved.data()}, {step, 1}, {dx.data()},
                                  [this](const std::array<B, 2>& v) {
                                    return std::array<B, 1>{formula(Lane<T>{v[0], {}}, Lane<T>{v[1], {}}).value};
                                  });
    return std::move(dx).finished();
  }
};

template <class T, class F> Tensor<T> unary(const F& f, const Tensor<T>& x) { return xtape::apply(Unary<F, T>{f}, x); }

}  // namespace

namespace fn {
// What pull() formulas call: a function that has no name of its own among the ops.
template <class F, class T> static Tensor<T> apply(const F& f, const Tensor<T>& x) { return unary(f, x); }
}  // namespace fn

template <class T> Tensor<T> operator-(const Tensor<T>& x) { return unary(fn::Negate{}, x); }
template <class T> Tensor<T> operator+(const Tensor<T>& x) { return detail::unchanged("positive", x); }
#define XTAPE_FUNCTION(name, Struct)                                                       \
  template <class T> Tensor<T> name(const Tensor<T>& x) { return unary(fn::Struct{}, x); } \
  template Tensor<float> name(const Tensor<float>&);                                       \
  template Tensor<double> name(const Tensor<double>&);
#include <xtape/functions/list.hpp>
template <class T> Tensor<T> leaky_relu(const Tensor<T>& x, double slope) { return unary(fn::LeakyRelu{slope}, x); }
template <class T> Tensor<T> elu(const Tensor<T>& x, double alpha) { return unary(fn::Elu{alpha}, x); }
template <class T> Tensor<T> clip(const Tensor<T>& x, double low, double high) {
  if (std::isnan(low) || std::isnan(high))
    throw ValueError(fmt::format("clip: a bound is not a number: {} and {}", low, high));
  if (low > high) throw ValueError(fmt::format("clip: the lower bound {} is above the upper {}", low, high));
  return unary(fn::Clip{low, high}, x);
}
template <class T> Tensor<T> detail::pow_number(const Tensor<T>& x, double exponent) {
  return unary(fn::PowScalar{exponent}, x);
}

#define XTAPE_UNARY(T)                                       \
  template Tensor<T> operator-(const Tensor<T>&);            \
  template Tensor<T> operator+(const Tensor<T>&);            \
  template Tensor<T> leaky_relu(const Tensor<T>&, double);   \
  template Tensor<T> elu(const Tensor<T>&, double);          \
  template Tensor<T> clip(const Tensor<T>&, double, double); \
  template Tensor<T> detail::pow_number(const Tensor<T>&, double);
XTAPE_INSTANTIATE(XTAPE_UNARY)

}  // namespace xtape
