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
  Tensor<T> dx = Tensor<T>::uninitialised(s.shape());
  const std::size_t slices = group.n * group.inner;
  if (slices == 0) return dx;
  kernels::parallel_for(group.outer, kernels::grain(4 * slices), [&](std::size_t first, std::size_t last) {
    const std::size_t at = first * slices;
    kernels::softmax_gradient<kind>(dy.data() + at, s.data() + at, dx.mutable_data() + at, last - first, group.n,
                                    group.inner);
  });
  return dx;
}

}  // namespace

template <class T> Tensor<T> detail::softmax_group(const Tensor<T>& x, const Group& group) {
  Tensor<T> y = Tensor<T>::uninitialised(x.shape());
  softmax_of<kernels::Softmax::probabilities>(x.data(), y.mutable_data(), group);
  Axes axes;  // the axes of the group
  for (std::size_t i = 0; i < x.dimension(); ++i)
    if (group.spread[i] != x.shape()[i]) axes.push_back(static_cast<std::ptrdiff_t>(i));
  return record("softmax", std::move(y), {x}, [axes, group](const Tensor<T>& dy, const Tensor<T>& s) {
    if (!Tape::recording()) return Gradients(fused_gradient<kernels::Softmax::probabilities>(dy, s, group));
    return Gradients(s * (dy - sum(dy * s, axes, {.keepdims = true})));
  });
}

template <class T> Tensor<T> softmax(const Tensor<T>& x, std::ptrdiff_t axis) {
  const auto [in, group] = detail::group_axes("softmax", x, axis, true);
  return detail::softmax_group(in, group);
}

template <class T> Tensor<T> log_softmax(const Tensor<T>& x, std::ptrdiff_t axis) {
  const auto [in, group] = detail::group_axes("log_softmax", x, axis, true);
  Tensor<T> y = Tensor<T>::uninitialised(x.shape());
  softmax_of<kernels::Softmax::logarithms>(x.data(), y.mutable_data(), group);
  return record("log_softmax", std::move(y), {x}, [axis, group = group](const Tensor<T>& dy, const Tensor<T>& log_s) {
    if (!Tape::recording()) return Gradients(fused_gradient<kernels::Softmax::logarithms>(dy, log_s, group));
    return Gradients(dy - exp(log_s) * sum(dy, axis, {.keepdims = true}));
  });
}

#define XTAPE_SOFTMAX(T)                                            \
  template Tensor<T> softmax(const Tensor<T>&, std::ptrdiff_t);     \
  template Tensor<T> log_softmax(const Tensor<T>&, std::ptrdiff_t); \
  template Tensor<T> detail::softmax_group(const Tensor<T>&, const detail::Group&);
XTAPE_INSTANTIATE(XTAPE_SOFTMAX)

}  // namespace xtape
