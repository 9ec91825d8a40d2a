#include "reduce.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/scan.hpp>
#include <xtape/ops/softmax.hpp>

#include "../kernels/parallel.hpp"
#include "../kernels/reduce.hpp"
#include "../kernels/softmax.hpp"
#include "../tape/recording.hpp"
#include "moments.hpp"
#include "powers.hpp"
#include "scan.hpp"
#include "softmax.hpp"

namespace xtape {
namespace {

// The largest (or smallest) element of each group; of equals the first, which gets the gradient.
template <bool greater, class T> struct Extreme {
  using value_type = T;
  static constexpr OpTraits traits{.name = greater ? "max" : "min"};
  detail::Group group;

  // Where they were.
  struct State {
    detail::Indices at;
    Shape whole;
  };
  const Shape& shape(const Tensor<T>&) const { return group.kept; }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& x) const {
    const detail::Indices at(y.size());
    if (group.n > 0) kernels::extreme<greater>(x.data(), y.data(), at.data(), group.outer, group.n, group.inner);
    if (state) *state = {at, x.shape()};
  }
  Gradients pull(const Pull<T, State>& p) const {
    return Gradients(detail::scatter_flat(p.dy, p.state.at, p.state.whole, p.wanted.template sum_so_far<T>(0)));
  }
};

template <bool greater, class T> Tensor<T> extreme(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  constexpr const char* name = Extreme<greater, T>::traits.name;
  const auto [in, group] = detail::group_axes(name, x, axes, options.keepdims);
  if (group.n == 0 && group.outer * group.inner > 0) detail::throw_no_elements(name, x.shape());
  detail::check_countable(name, x.shape());
  return apply(Extreme<greater, T>{group}, in);
}

template <bool greater, class T> IndexArray extreme_index(const char* op, const Tensor<T>& x, std::ptrdiff_t axis) {
  const NoGrad pause;
  const auto [in, group] = detail::group_axes(op, x, axis, false);
  if (group.n == 0 && group.outer * group.inner > 0) detail::throw_no_elements(op, x.shape());
  IndexArray result(detail::XShape(group.kept.begin(), group.kept.end()));
  Fresh<T> values(op, group.kept);
  const detail::Indices at(values.size());
  if (group.n > 0) kernels::extreme<greater>(in.data(), values.data(), at.data(), group.outer, group.n, group.inner);
  for (std::size_t i = 0; i < values.size(); ++i) result.flat(i) = at.data()[i] / group.inner % group.n;
  return result;
}
template <bool greater, class T> std::size_t extreme_index(const char* op, const Tensor<T>& x) {
  if (x.size() == 0) detail::throw_no_elements(op, x.shape());
  return extreme_index<greater>(op, detail::view(x, Shape{x.size()}), 0).flat(0);
}

// The sum over n, on several threads. Whatever their number, the same parts are summed in the same order.
template <class T> void sum_group(const T* x, T* y, const detail::Group& group) {
  const std::size_t n = group.n, row = n * group.inner;
  constexpr std::size_t stretch = kernels::part_work;
  if (group.outer == 1 && group.inner == 1 && n > stretch) {
    const std::size_t stretches = (n - 1) / stretch + 1;
    Fresh<T> sums("sum", {stretches});
    kernels::parallel_for(stretches, 2, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i)
        sums.data()[i] = kernels::sum(x + i * stretch, std::min(stretch, n - i * stretch));
    });
    *y = kernels::sum(sums.data(), stretches);
    return;
  }
  kernels::parallel_for(group.outer, kernels::grain(row), [&](std::size_t first, std::size_t last) {
    kernels::sum(x + first * row, y + first * group.inner, last - first, n, group.inner);
  });
}

// y = sum x over each group. A single number for dy stands for all of them, which need not be written down.
template <class T> struct Sum {
  using value_type = T;
  static constexpr OpTraits traits{.name = "sum", .kind = Kind::linear};
  detail::Group group;
  Shape whole;

  const Shape& shape(const Tensor<T>&) const { return group.kept; }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const { sum_group(x.data(), y.data(), group); }
  Gradients pull(const Pull<T>& p) const { return Gradients(detail::spread(p.dy, group.spread, whole)); }
  Gradients fused_pull(const Pull<T>& p) const {
    return p.dy.size() == 1 ? Gradients(reshape(p.dy, group.spread)) : pull(p);
  }
};

// y = sum x / n over each group of n elements.    dx = dy / n
template <class T> struct Mean {
  using value_type = T;
  static constexpr OpTraits traits{.name = "mean", .kind = Kind::linear};
  Axes axes;
  bool keepdims;

  struct State {
    Shape whole;
    T n;
  };
  struct Plan {
    Shape shape;
    T n;
  };
  Plan plan(const Tensor<T>& x) const {
    return {detail::reduced_shape("mean", x.shape(), axes, keepdims),
            static_cast<T>(detail::reduced_count("mean", x.shape(), axes))};
  }
  void evaluate(Fresh<T>& y, const Plan& plan, State* state, const Tensor<T>& x) const {
    const NoGrad pause;
    sum_into(y, x);
    for (T& v : y.span()) v /= plan.n;
    const auto overflowed = [](T v) { return !std::isfinite(v); };
    if (std::ranges::any_of(y.span(), overflowed)) {
      const auto wide = detail::wide_means(x, spread_shape(x.shape()));
      std::ranges::transform(wide, y.data(), [](auto mean) { return static_cast<T>(mean); });
    }
    if (state) *state = {x.shape(), plan.n};
  }
  Gradients pull(const Pull<T, State>& p) const {
    return Gradients(broadcast_to(reshape(p.dy / p.state.n, spread_shape(p.state.whole)), p.state.whole));
  }
  // A single number stands for all of them, as in sum's gradient.
  Gradients fused_pull(const Pull<T, State>& p) const {
    const Tensor<T> share = reshape(p.dy / p.state.n, spread_shape(p.state.whole));
    return Gradients(share.size() == 1 ? share : broadcast_to(share, p.state.whole));
  }

 private:
  Shape spread_shape(const Shape& whole) const { return detail::reduced_shape("mean", whole, axes, true); }
  void sum_into(Fresh<T>& y, const Tensor<T>& x) const {
    if (detail::last_stretch(axis_flags("mean", axes, x.shape()), x.shape()).others.empty()) {
      sum_group(x.data(), y.data(), detail::group_of("mean", x.shape(), axes, true));
    } else {
      std::ranges::copy(sum(x, axes, {.keepdims = true}).span(), y.data());
    }
  }
};

// y = log sum exp x over each group.    dx = dy softmax(x)
template <class T> struct Logsumexp {
  using value_type = T;
  static constexpr OpTraits traits{.name = "logsumexp"};
  detail::Group group;

  const Shape& shape(const Tensor<T>&) const { return group.kept; }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    const std::size_t slices = group.n * group.inner, inner = group.inner;
    kernels::parallel_for(group.outer, kernels::grain(8 * slices), [&](std::size_t first, std::size_t last) {
      kernels::logsumexp(x.data() + first * slices, y.data() + first * inner, last - first, group.n, inner);
    });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x) const {
    return Gradients(detail::spread(p.dy, group.spread, x.shape()) * detail::softmax_group(x, group));
  }
};

// Exponents k for the factors x_i in (outer, n, inner), so that products of x_i 2^-k_i stay near 1 on their way, and
// their sum for each group.
struct FactorExponents {
  std::vector<std::int64_t> factors, groups;
  std::size_t n = 1, inner = 1;
  std::int64_t group_of(std::size_t factor) const { return groups[factor / (n * inner) * inner + factor % inner]; }
};
template <class T> FactorExponents factor_exponents(const T* x, const detail::Group& group) {
  const std::size_t count = group.outer * group.inner;
  FactorExponents result{std::vector<std::int64_t>(count * group.n), std::vector<std::int64_t>(count), group.n,
                         group.inner};
  std::vector<double> products(count, 1.0);
  for (std::size_t at = 0; at < result.factors.size(); ++at) {
    const std::size_t to = at / (group.n * group.inner) * group.inner + at % group.inner;
    int k = 0;
    if (x[at] != 0 && std::isfinite(x[at])) {
      double part = std::frexp(std::abs(static_cast<double>(x[at])), &k) * products[to];
      if (part < 0.70710678118654752440) --k, part *= 2;
      products[to] = part;
    }
    result.factors[at] = k;
    result.groups[to] += k;
  }
  return result;
}

// The product where partial ones may leave the range of T.
template <class T>
Tensor<T> scaled_product(const Tensor<T>& x, const detail::Group& group, const FactorExponents& exponents) {
  const NoGrad pause;
  const Tensor<T> factors = detail::times_powers(x, [&](std::size_t i) { return -exponents.factors[i]; });
  Fresh<T> y("prod", group.kept);
  kernels::product(factors.data(), y.data(), group.outer, group.n, group.inner);
  return detail::times_powers(std::move(y).finished(), [&](std::size_t i) { return exponents.groups[i]; });
}

// y = the product of each group.    dx_i = dy times the product of those before it and those after it
template <class T> struct Prod {
  using value_type = T;
  static constexpr OpTraits traits{.name = "prod"};
  detail::Group group;

  // Empty if no factor needs to be scaled.
  struct State {
    FactorExponents exponents;
  };
  const Shape& shape(const Tensor<T>&) const { return group.kept; }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& x) const {
    kernels::product(x.data(), y.data(), group.outer, group.n, group.inner);
    // Factors far from 1 are scaled by powers of two.
    constexpr T ample = std::numeric_limits<T>::max() * std::numeric_limits<T>::epsilon();
    const auto is_harmless = [](T v) { return std::abs(v) <= ample && std::abs(v) >= 1 / ample; };
    if (std::ranges::all_of(y.span(), is_harmless)) return;
    FactorExponents exponents = factor_exponents(x.data(), group);
    std::ranges::copy(scaled_product(x, group, exponents).span(), y.data());
    if (state) state->exponents = std::move(exponents);
  }
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& x) const {
    const FactorExponents& exponents = p.state.exponents;
    const bool scaled = !exponents.factors.empty();
    const Tensor<T> factors = reshape(x, Shape{group.outer, group.n, group.inner});
    const Tensor<T> small =
        scaled ? detail::times_powers(factors, [&](std::size_t i) { return -exponents.factors[i]; }) : factors;
    const Tensor<T> before = detail::shift(cumprod(small, 1), 1, {.fill = 1});
    const Tensor<T> after = detail::shift(cumprod(small, 1, {.reverse = true}), 1, {.back = true, .fill = 1});
    Tensor<T> others = before * after;
    if (scaled)
      others =
          detail::times_powers(others, [&](std::size_t i) { return exponents.group_of(i) - exponents.factors[i]; });
    return Gradients(detail::spread(p.dy, group.spread, x.shape()) * reshape(others, x.shape()));
  }
};

}  // namespace

template <class T> Tensor<T> sum(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  // Axes that are no neighbours are summed one stretch after the other, from the back: no transpose.
  const auto [last, others] = detail::last_stretch(axis_flags("sum", axes, x.shape()), x.shape());
  if (!others.empty()) {
    const Tensor<T> y = sum(sum(x, last, {.keepdims = true}), others, {.keepdims = true});
    return options.keepdims ? y : reshape(y, detail::reduced_shape("sum", x.shape(), axes, false));
  }
  return apply(Sum<T>{detail::group_of("sum", x.shape(), axes, options.keepdims), x.shape()}, x);
}

template <class T> Tensor<T> mean(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  return apply(Mean<T>{axes, options.keepdims}, x);
}

template <class T> Tensor<T> max(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  return extreme<true>(x, axes, options);
}
template <class T> Tensor<T> min(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  return extreme<false>(x, axes, options);
}

template <class T> Tensor<T> logsumexp(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  const auto [in, group] = detail::group_axes("logsumexp", x, axes, options.keepdims);
  return apply(Logsumexp<T>{group}, in);
}

template <class T> Tensor<T> prod(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  const auto [in, group] = detail::group_axes("prod", x, axes, options.keepdims);
  return apply(Prod<T>{group}, in);
}

template <class T> IndexArray argmax(const Tensor<T>& x, std::ptrdiff_t axis) {
  return extreme_index<true>("argmax", x, axis);
}
template <class T> std::size_t argmax(const Tensor<T>& x) { return extreme_index<true>("argmax", x); }
template <class T> IndexArray argmin(const Tensor<T>& x, std::ptrdiff_t axis) {
  return extreme_index<false>("argmin", x, axis);
}
template <class T> std::size_t argmin(const Tensor<T>& x) { return extreme_index<false>("argmin", x); }

namespace detail {

template <class T> Tensor<T> sum_to(const Tensor<T>& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Axes axes;
  const std::size_t offset = x.dimension() - shape.size();
  for (std::size_t i = 0; i < x.dimension(); ++i)
    if (i < offset || (shape[i - offset] == 1 && x.shape()[i] != 1)) axes.push_back(static_cast<std::ptrdiff_t>(i));
  return reshape(sum(x, axes, {.keepdims = true}), shape);
}

Handle<TensorImpl> spread_to_shape(const Handle<TensorImpl>& gradient, const Shape& shape) {
  return gradient->dtype == DType::float32 ? broadcast_to(Tensor<float>(gradient), shape).impl()
                                           : broadcast_to(Tensor<double>(gradient), shape).impl();
}

Handle<TensorImpl> sum_to_shape(const Handle<TensorImpl>& gradient, const Shape& shape) {
  return gradient->dtype == DType::float32 ? sum_to(Tensor<float>(gradient), shape).impl()
                                           : sum_to(Tensor<double>(gradient), shape).impl();
}

}  // namespace detail

#define XTAPE_REDUCE(T)                                                              \
  template Tensor<T> sum(const Tensor<T>&, const Axes&, const ReduceOptions&);       \
  template Tensor<T> mean(const Tensor<T>&, const Axes&, const ReduceOptions&);      \
  template Tensor<T> max(const Tensor<T>&, const Axes&, const ReduceOptions&);       \
  template Tensor<T> min(const Tensor<T>&, const Axes&, const ReduceOptions&);       \
  template Tensor<T> logsumexp(const Tensor<T>&, const Axes&, const ReduceOptions&); \
  template Tensor<T> prod(const Tensor<T>&, const Axes&, const ReduceOptions&);      \
  template IndexArray argmax(const Tensor<T>&, std::ptrdiff_t);                      \
  template std::size_t argmax(const Tensor<T>&);                                     \
  template IndexArray argmin(const Tensor<T>&, std::ptrdiff_t);                      \
  template std::size_t argmin(const Tensor<T>&);                                     \
  template Tensor<T> detail::sum_to(const Tensor<T>&, const Shape&);
XTAPE_INSTANTIATE(XTAPE_REDUCE)

}  // namespace xtape
