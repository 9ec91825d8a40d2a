#include "softmax.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include "../kernels/parallel.hpp"
#include "../kernels/softmax.hpp"

namespace xtape {
namespace {

// The softmax of each slice of a group, on several threads.
template <kernels::Softmax kind, class T> void softmax_of(const T* x, T* y, const detail::Group& group) {
  const std::size_t slices = group.n * group.inner;
  if (slices == 0) return;
  kernels::parallel_for(group.outer, kernels::grain(8 * slices), [&](std::size_t first, std::size_t last) {
    kernels::softmax<kind>(x + first * slices, y + first * slices, last - first, group.n, group.inner);
  });
}

// The gradient in one pass over each slice, without history.
template <kernels::Softmax kind, class T>
Tensor<T> fused_gradient(const Tensor<T>& dy, const Tensor<T>& s, const detail::Group& group) {
  Fresh<T> dx(s.shape());
  const std::size_t slices = group.n * group.inner;
  if (slices == 0) return std::move(dx).finished();
  kernels::parallel_for(group.outer, kernels::grain(4 * slices), [&](std::size_t first, std::size_t last) {
    const std::size_t at = first * slices;
    kernels::softmax_gradient<kind>(dy.data() + at, s.data() + at, dx.data() + at, last - first, group.n, group.inner);
  });
  return std::move(dx).finished();
}

// y = exp(x) / sum exp(x) over each group of elements.
template <class T> struct Softmax {
  using value_type = T;
  static constexpr OpTraits traits{.name = "softmax", .reads_result = true};
  Axes axes;  // of the group
  detail::Group group;

  const Shape& shape(const Tensor<T>& x) const { return x.shape(); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    softmax_of<kernels::Softmax::probabilities>(x.data(), y.data(), group);
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(p.y * (p.dy - sum(p.dy * p.y, axes, {.keepdims = true}))); }
  Gradients fused_pull(const Pull<T>& p) const {
    return Gradients(fused_gradient<kernels::Softmax::probabilities>(p.dy, p.y, group));
  }
};

// Its logarithm, which keeps the digits of small probabilities.
template <class T> struct LogSoftmax {
  using value_type = T;
  static constexpr OpTraits traits{.name = "log_softmax", .reads_result = true};
  std::ptrdiff_t axis;
  detail::Group group;

  const Shape& shape(const Tensor<T>& x) const { return x.shape(); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    softmax_of<kernels::Softmax::logarithms>(x.data(), y.data(), group);
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(p.dy - exp(p.y) * sum(p.dy, axis, {.keepdims = true})); }
  Gradients fused_pull(const Pull<T>& p) const {
    return Gradients(fused_gradient<kernels::Softmax::logarithms>(p.dy, p.y, group));
  }
};

}  // namespace

template <class T> Tensor<T> detail::softmax_group(const Tensor<T>& x, const Group& group) {
  Axes axes;
  for (std::size_t i = 0; i < x.dimension(); ++i)
    if (group.spread[i] != x.shape()[i]) axes.push_back(static_cast<std::ptrdiff_t>(i));
  return apply(Softmax<T>{axes, group}, x);
}

template <class T> Tensor<T> softmax(const Tensor<T>& x, std::ptrdiff_t axis) {
  const auto [in, group] = detail::group_axes("softmax", x, axis, true);
  return detail::softmax_group(in, group);
}

template <class T> Tensor<T> log_softmax(const Tensor<T>& x, std::ptrdiff_t axis) {
  return apply(LogSoftmax<T>{axis, detail::group_axes("log_softmax", x, axis, true).group}, x);
}

#define XTAPE_SOFTMAX(T)                                            \
  template Tensor<T> softmax(const Tensor<T>&, std::ptrdiff_t);     \
  template Tensor<T> log_softmax(const Tensor<T>&, std::ptrdiff_t); \
  template Tensor<T> detail::softmax_group(const Tensor<T>&, const detail::Group&);
XTAPE_INSTANTIATE(XTAPE_SOFTMAX)

}  // namespace xtape
