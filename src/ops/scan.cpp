#include "scan.hpp"

#include <xtape/ops/arithmetic.hpp>

#include "../kernels/scan.hpp"
#include "reduce.hpp"

namespace xtape {

template <class T> Tensor<T> cumsum(const Tensor<T>& x, std::ptrdiff_t axis, const ScanOptions& options) {
  const auto [in, group] = detail::group_axes("cumsum", x, axis, true);
  Tensor<T> y = Tensor<T>::uninitialised(x.shape());
  kernels::cumsum(x.data(), y.mutable_data(), group.outer, group.n, group.inner, options.reverse);
  return record("cumsum", std::move(y), {x}, [axis, options](const Tensor<T>& dy) {
    return Gradients(cumsum(dy, axis, {.reverse = !options.reverse}));
  });
}

template <class T> Tensor<T> cumprod(const Tensor<T>& x, std::ptrdiff_t axis, const ScanOptions& options) {
  const auto [in, group] = detail::group_axes("cumprod", x, axis, true);
  Tensor<T> y = Tensor<T>::uninitialised(x.shape());
  kernels::cumprod(x.data(), y.mutable_data(), group.outer, group.n, group.inner, options.reverse);
  // y_i = x_i y_(i-1): the recurrence whose first y is x_0 = x_0 times 1.
  return record("cumprod", std::move(y), {x}, [x, axis, options](const Tensor<T>& dy, const Tensor<T>& products) {
    const bool reverse = options.reverse;
    const Tensor<T> g = recurrence(detail::shift(x, axis, {.back = !reverse}), dy, axis, {.reverse = !reverse});
    return Gradients(g * detail::shift(products, axis, {.back = reverse, .fill = 1}));
  });
}

template <class T>
Tensor<T> recurrence(const Tensor<T>& a, const Tensor<T>& b, std::ptrdiff_t axis, const ScanOptions& options) {
  if (a.shape() != b.shape())
    throw ShapeError(fmt::format("recurrence: shapes {} and {} differ", to_string(a.shape()), to_string(b.shape())));
  const auto [in, group] = detail::group_axes("recurrence", a, axis, true);
  Tensor<T> y = Tensor<T>::uninitialised(a.shape());
  kernels::recurrence(a.data(), b.data(), y.mutable_data(), group.outer, group.n, group.inner, options.reverse);
  return record(
      "recurrence", std::move(y), {a, b},
      [a, axis, options](const Tensor<T>& dy, const Tensor<T>& result, Wanted wanted) {
        const bool reverse = options.reverse;
        const Tensor<T> g = recurrence(detail::shift(a, axis, {.back = !reverse}), dy, axis, {.reverse = !reverse});
        return wanted.gradients([&] { return g * detail::shift(result, axis, {.back = reverse}); }, [&] { return g; });
      });
}

template <class T> Tensor<T> detail::shift(const Tensor<T>& x, std::ptrdiff_t axis, const ShiftOptions& options) {
  const auto [in, group] = detail::group_axes("shift", x, axis, true);
  Tensor<T> y = Tensor<T>::uninitialised(x.shape());
  if (x.size() > 0) {
    const std::size_t block = group.n * group.inner, moved = block - group.inner;
    for (std::size_t o = 0; o < group.outer; ++o) {
      const T* from = x.data() + o * block;
      T* to = y.mutable_data() + o * block;
      std::copy_n(from + (options.back ? group.inner : 0), moved, to + (options.back ? 0 : group.inner));
      std::fill_n(to + (options.back ? moved : 0), group.inner, static_cast<T>(options.fill));
    }
  }
  return record("shift", std::move(y), {x}, [axis, back = !options.back](const Tensor<T>& dy) {
    return Gradients(shift(dy, axis, {.back = back}));
  });
}

#define XTAPE_SCAN(T)                                                                                    \
  template Tensor<T> cumsum(const Tensor<T>&, std::ptrdiff_t, const ScanOptions&);                       \
  template Tensor<T> cumprod(const Tensor<T>&, std::ptrdiff_t, const ScanOptions&);                      \
  template Tensor<T> recurrence(const Tensor<T>&, const Tensor<T>&, std::ptrdiff_t, const ScanOptions&); \
  template Tensor<T> detail::shift(const Tensor<T>&, std::ptrdiff_t, const detail::ShiftOptions&);
XTAPE_INSTANTIATE(XTAPE_SCAN)

}  // namespace xtape
