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

[[noreturn]] void throw_no_elements(const char* op, const Shape& shape) {
  throw ShapeError(fmt::format("{}: no elements along the reduced axes of shape {}", op, to_string(shape)));
}

template <bool greater, class T>
Tensor<T> extreme(const char* name, const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  const auto [in, group] = detail::group_axes(name, x, axes, options.keepdims);
  if (group.n == 0 && group.outer * group.inner > 0) throw_no_elements(name, x.shape());
  detail::check_countable(name, x.shape());
  Tensor<T> y = Tensor<T>::uninitialised(group.kept);
  const detail::Indices at(y.size());
  if (group.n > 0) kernels::extreme<greater>(in.data(), y.mutable_data(), at.data(), group.outer, group.n, group.inner);
  return record(name, std::move(y), {in}, [at, shape = in.shape()](const Tensor<T>& dy, Wanted wanted) {
    return Gradients(detail::scatter_flat(dy, at, shape, wanted.sum_so_far<T>(0)));
  });
}

template <bool greater, class T> IndexArray extreme_index(const char* op, const Tensor<T>& x, std::ptrdiff_t axis) {
  const NoGrad pause;
  const auto [in, group] = detail::group_axes(op, x, axis, false);
  if (group.n == 0 && group.outer * group.inner > 0) throw_no_elements(op, x.shape());
  IndexArray result(detail::XShape(group.kept.begin(), group.kept.end()));
  const Tensor<T> values = Tensor<T>::uninitialised(group.kept);
  const detail::Indices at(values.size());
  if (group.n > 0)
    kernels::extreme<greater>(in.data(), values.mutable_data(), at.data(), group.outer, group.n, group.inner);
  for (std::size_t i = 0; i < values.size(); ++i) result.flat(i) = at.data()[i] / group.inner % group.n;
  return result;
}
template <bool greater, class T> std::size_t extreme_index(const char* op, const Tensor<T>& x) {
  if (x.size() == 0) throw_no_elements(op, x.shape());
  return extreme_index<greater>(op, detail::view(x, Shape{x.size()}), 0).flat(0);
}

// The sum over n, on several threads. Whatever their number, the same parts are summed in the same order.
template <class T> void sum_group(const T* x, T* y, const detail::Group& group) {
  const std::size_t n = group.n, row = n * group.inner;
  constexpr std::size_t stretch = kernels::part_work;
  if (group.outer == 1 && group.inner == 1 && n > stretch) {
    const std::size_t stretches = (n - 1) / stretch + 1;
    const Tensor<T> sums = Tensor<T>::uninitialised({stretches});
    kernels::parallel_for(stretches, 2, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i)
        sums.mutable_data()[i] = kernels::sum(x + i * stretch, std::min(stretch, n - i * stretch));
    });
    *y = kernels::sum(sums.data(), stretches);
    return;
  }
  kernels::parallel_for(group.outer, kernels::grain(row), [&](std::size_t first, std::size_t last) {
    kernels::sum(x + first * row, y + first * group.inner, last - first, n, group.inner);
  });
}

// Number of elements reduced to one result.
template <class T> std::size_t count(const char* op, const Tensor<T>& x, const Axes& axes) {
  const auto reduced = axis_flags(op, axes, x.shape());
  std::size_t n = 1;
  for (std::size_t i = 0; i < x.dimension(); ++i)
    if (reduced[i]) n *= x.shape()[i];
  return n;
}

// What a sum of squares is divided by: n - ddof, but not less than 0.
double degrees_of_freedom(std::size_t n, std::size_t ddof) { return n > ddof ? static_cast<double>(n - ddof) : 0.0; }

// x - mean(x), recorded. The mean m is taken off first, as a constant: of a large one the rounding is then found as the
// mean of what is left.
template <class T> Tensor<T> deviation(const Tensor<T>& x, const Tensor<T>& m, const Axes& axes) {
  const Tensor<T> rest = x - m;
  return rest - mean(rest, axes, {.keepdims = true});
}

}  // namespace

template <class T> Tensor<T> sum(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  // Axes that are no neighbours are summed one stretch after the other, from the back: no transpose.
  const auto [last, others] = detail::last_stretch(axis_flags("sum", axes, x.shape()), x.shape());
  if (!others.empty()) {
    const Tensor<T> y = sum(sum(x, last, {.keepdims = true}), others, {.keepdims = true});
    return options.keepdims ? y : reshape(y, detail::reduced_shape("sum", x.shape(), axes, false));
  }
  const auto [in, group] = detail::group_axes("sum", x, axes, options.keepdims);
  Tensor<T> y = Tensor<T>::uninitialised(group.kept);
  sum_group(in.data(), y.mutable_data(), group);
  return record("sum", std::move(y), {in}, [from = group.spread, shape = in.shape()](const Tensor<T>& dy) {
    // A single number stands for all of them, which need not be written down.
    if (dy.size() == 1 && !Tape::recording()) return Gradients(reshape(dy, from));
    return Gradients(detail::spread(dy, from, shape));
  });
}

template <class T> Tensor<T> mean(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  const auto n = static_cast<T>(count("mean", x, axes));
  const Shape from = detail::reduced_shape("mean", x.shape(), axes, true);
  Tensor<T> y;
  {
    const NoGrad pause;
    y = sum(x, axes, options);
    for (T& v : std::span<T>(y.mutable_data(), y.size())) v /= n;
    const auto overflowed = [](T v) { return !std::isfinite(v); };
    if (std::ranges::any_of(y.span(), overflowed)) {
      const auto wide = detail::wide_means(x, from);
      std::ranges::transform(wide, y.mutable_data(), [](auto mean) { return static_cast<T>(mean); });
    }
  }
  return record("mean", std::move(y), {x}, [from, n, shape = x.shape()](const Tensor<T>& dy) {
    const Tensor<T> share = reshape(dy / n, from);
    // A single number stands for all of them, as in sum's gradient.
    return Gradients(share.size() == 1 && !Tape::recording() ? share : broadcast_to(share, shape));
  });
}

template <class T> Tensor<T> max(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  return extreme<true>("max", x, axes, options);
}
template <class T> Tensor<T> min(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  return extreme<false>("min", x, axes, options);
}

template <class T> Tensor<T> logsumexp(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  const auto [in, group] = detail::group_axes("logsumexp", x, axes, options.keepdims);
  Tensor<T> y = Tensor<T>::uninitialised(group.kept);
  const std::size_t slices = group.n * group.inner, inner = group.inner;
  kernels::parallel_for(
      group.outer, kernels::grain(8 * slices), [&, &from = in, n = group.n](std::size_t first, std::size_t last) {
        kernels::logsumexp(from.data() + first * slices, y.mutable_data() + first * inner, last - first, n, inner);
      });
  // y as a function of `in` again, so that its derivative is the softmax over the same group.
  return record("logsumexp", std::move(y), {in},
                [in = in, group = group](const Tensor<T>& dy) {  // named anew for Clang 14
                  return Gradients(detail::spread(dy, group.spread, in.shape()) * detail::softmax_group(in, group));
                });
}

template <class T> Tensor<T> var(const Tensor<T>& x, const Axes& axes, const VarianceOptions& options) {
  const double divisor = degrees_of_freedom(count("var", x, axes), options.ddof);
  const detail::Moments<T> moments = detail::moments(x, axes);
  Tensor<T> y = Tensor<T>::uninitialised(detail::reduced_shape("var", x.shape(), axes, options.keepdims));
  for (std::size_t i = 0; i < y.size(); ++i) y.mutable_data()[i] = static_cast<T>(moments.squares.data()[i] / divisor);
  if (std::ranges::any_of(moments.squares.span(), [](double s) { return !std::isfinite(s); }))
    for (std::size_t i = 0; const auto& s : detail::wide_moments(x, moments.squares.shape()).squares)
      y.mutable_data()[i++] = static_cast<T>(s / static_cast<kernels::Wide<T>>(divisor));
  const Shape from = moments.squares.shape();
  return record("var", std::move(y), {x}, [x, from, divisor, axes, m = moments.mean](const Tensor<T>& dy) {
    return Gradients(reshape(dy, from) * (deviation(x, m, axes) * static_cast<T>(2 / divisor)));
  });
}

namespace {

// 0, with the derivative NaN where x and its own slope are 0: inf 0.
template <class T> Tensor<T> no_slope(const Tensor<T>& x) { return sqrt(x); }

// The slopes of a norm where it is 0: 0 by choice. They have no derivative there, but for the norm of one number, which
// is its size.
template <class T> Tensor<T> slope_at_zero(const Tensor<T>& x, const Tensor<T>& length) {
  return x.size() == length.size() ? Tensor<T>(T(0)) : no_slope(length);
}

}  // namespace

template <class T> Tensor<T> stddev(const Tensor<T>& x, const Axes& axes, const VarianceOptions& options) {
  const double divisor = degrees_of_freedom(count("stddev", x, axes), options.ddof);
  const detail::Moments<T> moments = detail::moments(x, axes);
  const Tensor<double> roots = detail::deviations(x, moments.squares, divisor);
  Tensor<T> y = Tensor<T>::uninitialised(detail::reduced_shape("stddev", x.shape(), axes, options.keepdims));
  std::ranges::transform(roots.span(), y.mutable_data(), [](double root) { return static_cast<T>(root); });
  return record(
      "stddev", std::move(y), {x},
      [x, from = roots.shape(), divisor, axes, m = moments.mean](const Tensor<T>& dy, const Tensor<T>& result) {
        const Tensor<T> length = reshape(result, from), zero = equal(length, 0);
        const Tensor<T> direction =
            where(zero, slope_at_zero(x, length), deviation(x, m, axes) / where(zero, 1, length));
        return Gradients(reshape(dy, from) * direction / static_cast<T>(divisor));
      });
}

namespace {

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
  const Tensor<T> y = Tensor<T>::uninitialised(group.kept);
  kernels::product(factors.data(), y.mutable_data(), group.outer, group.n, group.inner);
  return detail::times_powers(y, [&](std::size_t i) { return exponents.groups[i]; });
}

}  // namespace

template <class T> Tensor<T> prod(const Tensor<T>& x, const Axes& axes, const ReduceOptions& options) {
  const auto [in, group] = detail::group_axes("prod", x, axes, options.keepdims);
  Tensor<T> y = Tensor<T>::uninitialised(group.kept);
  kernels::product(in.data(), y.mutable_data(), group.outer, group.n, group.inner);
  // Factors far from 1 are scaled by powers of two.
  constexpr T ample = std::numeric_limits<T>::max() * std::numeric_limits<T>::epsilon();
  const auto is_harmless = [](T v) { return std::abs(v) <= ample && std::abs(v) >= 1 / ample; };
  FactorExponents exponents;
  if (!std::ranges::all_of(y.span(), is_harmless)) {
    exponents = factor_exponents(in.data(), group);
    y = scaled_product(in, group, exponents);
  }
  return record("prod", std::move(y), {in}, [in = in, group = group, exponents](const Tensor<T>& dy) {  // for Clang 14
    const bool scaled = !exponents.factors.empty();
    // Each factor's gradient is the product of those before it and those after it.
    const Tensor<T> factors = reshape(in, Shape{group.outer, group.n, group.inner});
    const Tensor<T> small =
        scaled ? detail::times_powers(factors, [&](std::size_t i) { return -exponents.factors[i]; }) : factors;
    const Tensor<T> before = detail::shift(cumprod(small, 1), 1, {.fill = 1});
    const Tensor<T> after = detail::shift(cumprod(small, 1, {.reverse = true}), 1, {.back = true, .fill = 1});
    Tensor<T> others = before * after;
    if (scaled)
      others =
          detail::times_powers(others, [&](std::size_t i) { return exponents.group_of(i) - exponents.factors[i]; });
    return Gradients(detail::spread(dy, group.spread, in.shape()) * reshape(others, in.shape()));
  });
}

namespace {

// The Euclidean norm. `from`: the shape with the reduced axes of extent 1, `kept`: the result's.
template <class T>
Tensor<T> euclidean_norm(const Tensor<T>& x, const Axes& axes, const Shape& from, const Shape& kept) {
  Tensor<T> y;
  {
    const NoGrad pause;
    // A sum of squares far from both ends of the range has lost nothing.
    constexpr T small = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    const Tensor<T> squares =
        std::get<0>(detail::sums_of<1>(x, axes, std::array<const Tensor<T>*, 0>{},
                                       [](const auto& v, const auto&) { return std::array{v[0] * v[0]}; }));
    const auto harmless = [](T square) { return square > small && square <= std::numeric_limits<T>::max(); };
    if (std::ranges::all_of(squares.span(), harmless)) {
      y = detail::view(sqrt(squares), kept);
    } else if (x.size() == 0) {
      y = zeros<T>(kept);
    } else {
      // Scaled by the largest element: squares neither overflow nor underflow.
      const Tensor<T> largest = max(abs(x), axes, {.keepdims = true});
      const Tensor<T> scale = where(largest > 0, where(largest < std::numeric_limits<T>::infinity(), largest, 1), 1);
      y = reshape(sqrt(sum(square(x / scale), axes, {.keepdims = true})) * scale, kept);
    }
  }
  return record("norm", std::move(y), {x}, [x, from](const Tensor<T>& dy, const Tensor<T>& result) {
    const Tensor<T> length = reshape(result, from), zero = equal(length, 0);
    return Gradients(reshape(dy, from) * where(zero, slope_at_zero(x, length), x / where(zero, 1, length)));
  });
}

// The same for any other order but 0 and infinity; x is not empty.
template <class T>
Tensor<T> power_norm(const Tensor<T>& x, double p, const Axes& axes, const Shape& from, const Shape& kept) {
  Tensor<T> y;
  {
    const NoGrad pause;
    // Scaled by the element that outweighs the others.
    const Tensor<T> size = abs(x);
    const Tensor<T> top = p > 0 ? max(size, axes, {.keepdims = true}) : min(size, axes, {.keepdims = true});
    const Tensor<T> scale = where(top > 0, where(top < std::numeric_limits<T>::infinity(), top, 1), 1);
    y = reshape(pow(sum(pow(size / scale, p), axes, {.keepdims = true}), 1 / p) * scale, kept);
  }
  return record("norm", std::move(y), {x}, [x, from, p](const Tensor<T>& dy, const Tensor<T>& result) {
    const Tensor<T> length = reshape(result, from), zero = equal(x, 0) + equal(length, 0);
    // The power is taken at 1 where it is not wanted.
    const Tensor<T> ratio = where(zero, 1, abs(x) / where(equal(length, 0), 1, length));
    const Tensor<T> at_zero = where(equal(length, 0), slope_at_zero(x, length), 0);
    return Gradients(reshape(dy, from) * where(zero, at_zero, sign(x) * pow(ratio, p - 1)));
  });
}

}  // namespace

template <class T> Tensor<T> norm(const Tensor<T>& x, const Axes& axes, const NormOptions& options) {
  const double p = options.order;
  if (std::isnan(p)) throw ValueError("norm: the order is not a number");
  const Shape from = detail::reduced_shape("norm", x.shape(), axes, true);
  const Shape kept = detail::reduced_shape("norm", x.shape(), axes, options.keepdims);
  if (p == 2) return euclidean_norm(x, axes, from, kept);
  if (p == 1) return sum(abs(x), axes, {.keepdims = options.keepdims});
  if (p == 0) {
    Tensor<T> y = sum(not_equal(x, 0), axes, {.keepdims = options.keepdims});
    return record("norm", std::move(y), {x}, [from, shape = x.shape()](const Tensor<T>& dy) {
      return Gradients(detail::spread(dy * 0, from, shape));
    });
  }
  if (x.size() == 0) {
    if (p < 0 && kept.elements() > 0) throw_no_elements("norm", x.shape());
    return sum(x, axes, {.keepdims = options.keepdims});
  }
  if (std::isinf(p))
    return p > 0 ? max(abs(x), axes, {.keepdims = options.keepdims})
                 : min(abs(x), axes, {.keepdims = options.keepdims});
  return power_norm(x, p, axes, from, kept);
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
  template Tensor<T> var(const Tensor<T>&, const Axes&, const VarianceOptions&);     \
  template Tensor<T> stddev(const Tensor<T>&, const Axes&, const VarianceOptions&);  \
  template Tensor<T> prod(const Tensor<T>&, const Axes&, const ReduceOptions&);      \
  template Tensor<T> norm(const Tensor<T>&, const Axes&, const NormOptions&);        \
  template IndexArray argmax(const Tensor<T>&, std::ptrdiff_t);                      \
  template std::size_t argmax(const Tensor<T>&);                                     \
  template IndexArray argmin(const Tensor<T>&, std::ptrdiff_t);                      \
  template std::size_t argmin(const Tensor<T>&);                                     \
  template Tensor<T> detail::sum_to(const Tensor<T>&, const Shape&);
XTAPE_INSTANTIATE(XTAPE_REDUCE)

}  // namespace xtape
