#pragma once
// Means and deviations of groups of values, without history.

#include <xtape/detail/loop.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>

#include "../kernels/moments.hpp"
#include "../kernels/parallel.hpp"
#include "../kernels/total.hpp"
#include "reduce.hpp"
#include "strided.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace xtape::detail {

// y[i] = f(x[i], others...), broadcast to x's shape, which is y's.
template <class T, std::size_t K, class F>
void fused(Fresh<T>& y, const std::array<const Tensor<T>*, K>& x, const F& f) {
  using B = simd::Batch<T>;
  std::array<const Shape*, K> shapes;
  std::array<const T*, K> data;
  for (std::size_t k = 0; k < K; ++k) shapes[k] = &x[k]->shape(), data[k] = x[k]->data();
  run_loop<T, K, 1>(plan_loop("moments", shapes.data(), K), data, {y.data()},
                    [&f](const std::array<B, K>& v) { return std::array<B, 1>{f(v)}; });
}

// Calls f(element of x, its group's number) for all elements; `from`: x's shape with extent 1 along the groups' axes.
template <class T, class F> void for_groups(const Tensor<T>& x, const Shape& from, const F& f) {
  kernels::Strided all, groups;
  all.shape = groups.shape = x.shape();
  all.stride = strides_of(x.shape());
  groups.stride = strides_of(from);
  for (std::size_t i = 0; i < from.size(); ++i)
    if (from[i] == 1) groups.stride[i] = 0;
  kernels::for_offsets(all, groups, [&](std::ptrdiff_t element, std::ptrdiff_t group) {
    f(x.data()[element], static_cast<std::size_t>(group));
  });
}

// Means and sums of squared deviations with digits and range to spare: slow, for what overflows or underflows else.
template <class T> struct WideMoments { std::vector<kernels::Wide<T>> means, squares; };
template <class T> std::vector<kernels::Wide<T>> wide_means(const Tensor<T>& x, const Shape& from) {
  using W = kernels::Wide<T>;
  std::vector<W> means(from.elements(), W(0));
  for_groups(x, from, [&](T v, std::size_t group) { means[group] += static_cast<W>(v); });
  const W n = static_cast<W>(x.size()) / static_cast<W>(means.size());
  for (W& mean : means) mean /= n;
  return means;
}
template <class T> WideMoments<T> wide_moments(const Tensor<T>& x, const Shape& from) {
  using W = kernels::Wide<T>;
  WideMoments<T> result{wide_means(x, from), std::vector<W>(from.elements(), W(0))};
  for_groups(x, from, [&](T v, std::size_t group) {
    const W d = static_cast<W>(v) - result.means[group];
    result.squares[group] += d * d;
  });
  return result;
}

// The mean of each group, with extent 1 along the group's axes; in two parts, since a large one does not fit a single
// number well enough. And the sum of squared deviations from it.
template <class T> struct Moments {
  Tensor<T> mean, correction;
  Tensor<double> squares;
};

// sum f(x, p) of float in double, over groups; p: a number for each of them, or none.
template <class F>
Tensor<double> wide_sums(const Tensor<float>& x, const Axes& axes, const Tensor<double>& p, const F& f) {
  const NoGrad pause;
  const auto [last, others] = last_stretch(axis_flags("sum", axes, x.shape()), x.shape());
  const Group group = group_axes("sum", x, others.empty() ? axes : last, true).group;
  const Tensor<double> numbers = broadcast_to(p, group.kept);
  Fresh<double> written("sum", group.kept);
  const std::size_t slice = group.n * group.inner, inner = group.inner;
  kernels::parallel_for(group.outer, kernels::grain(slice), [&, n = group.n](std::size_t first, std::size_t end) {
    kernels::wide_sums(x.data() + first * slice, end - first, n, inner, numbers.data() + first * inner,
                       written.data() + first * inner, f);
  });
  const Tensor<double> sums = std::move(written).finished();
  return others.empty() ? sums : sum(sums, others, {.keepdims = true});
}

// Of float all is computed in double, and rounded once.
inline Moments<float> moments(const Tensor<float>& x, const Axes& axes) {
  const NoGrad pause;
  const Tensor<double> none = Tensor<double>(0.0);
  const Tensor<double> total = wide_sums(x, axes, none, [](const auto& v, double) { return v; });
  const Tensor<double> mean = total / (static_cast<double>(x.size()) / static_cast<double>(total.size()));
  Fresh<float> upper("moments", mean.shape()), lower("moments", mean.shape());
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double m = mean.data()[i];
    const float rounded = upper.data()[i] = static_cast<float>(m);
    lower.data()[i] = static_cast<float>(m - static_cast<double>(rounded));
  }
  const Tensor<double> squares = wide_sums(x, axes, mean, [](const auto& v, double m) {
    const auto d = v - m;
    return d * d;
  });
  return {std::move(upper).finished(), std::move(lower).finished(), squares};
}

// Of double, the mean of what is left once the mean is taken off corrects it.
inline Moments<double> moments(const Tensor<double>& x, const Axes& axes) {
  using B = simd::Batch<double>;
  constexpr double largest = std::numeric_limits<double>::max();
  const NoGrad pause;
  const auto [total, size] =
      sums_of<2>(x, axes, std::array<const Tensor<double>*, 0>{}, [](const auto& v, const auto&) {
        return std::array<B, 2>{v[0], xsimd::abs(v[0])};
      });
  const double n = static_cast<double>(x.size()) / static_cast<double>(total.size());
  const Tensor<double> m = total / n;
  // What is left all but cancels. A number far larger than the sum of all sizes cuts off what then adds up without
  // rounding, and the rest is small.
  const Tensor<double> far = where(size < largest / 32, size * 16.0, 0);
  const auto [upper, lower] = sums_of<2>(x, axes, std::array{&m, &far}, [](const auto& v, const auto& p) {
    const B d = v[0] - p[0], cut = (d + p[1]) - p[1];
    return std::array<B, 2>{cut, d - cut};
  });
  Moments<double> result{m, (upper + lower) / n, {}};
  result.squares =
      std::get<0>(sums_of<1>(x, axes, std::array<const Tensor<double>*, 2>{&result.mean, &result.correction},
                             [](const auto& v, const auto& p) {
                               const B d = (v[0] - p[0]) - p[1];
                               return std::array<B, 1>{d * d};
                             }));
  const auto overflowed = [](double s) { return !std::isfinite(s); };
  if (std::ranges::none_of(result.squares.span(), overflowed)) return result;
  const WideMoments<double> wide = wide_moments(x, result.squares.shape());
  const Shape& shape = result.squares.shape();
  Fresh<double> mean("moments", shape), correction("moments", shape), squares("moments", shape);
  for (std::size_t i = 0; i < squares.size(); ++i) {
    const bool lost = overflowed(result.squares.data()[i]);
    mean.data()[i] = lost ? static_cast<double>(wide.means[i]) : result.mean.data()[i];
    correction.data()[i] = lost ? static_cast<double>(wide.means[i] - mean.data()[i]) : result.correction.data()[i];
    squares.data()[i] = lost ? static_cast<double>(wide.squares[i]) : result.squares.data()[i];
  }
  return {std::move(mean).finished(), std::move(correction).finished(), std::move(squares).finished()};
}

// The root of each group's variance, also where the squares leave the range of double.
template <class T> Tensor<double> deviations(const Tensor<T>& x, const Tensor<double>& squares, double divisor) {
  constexpr double small = std::numeric_limits<double>::min() / std::numeric_limits<double>::epsilon();
  Fresh<double> y("moments", squares.shape());
  bool harmless = true;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double s = squares.data()[i];
    y.data()[i] = std::sqrt(s / divisor);
    harmless = harmless && s > small && s <= std::numeric_limits<double>::max();
  }
  if constexpr (sizeof(T) == 8) {  // squares of float lie in the range of double
    if (harmless || x.size() == 0) return std::move(y).finished();
    const WideMoments<T> wide = wide_moments(x, squares.shape());
    for (std::size_t i = 0; i < y.size(); ++i)
      y.data()[i] = static_cast<double>(std::sqrt(wide.squares[i] / static_cast<kernels::Wide<T>>(divisor)));
  }
  return std::move(y).finished();
}

}  // namespace xtape::detail
