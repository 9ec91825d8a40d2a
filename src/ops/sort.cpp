#include <xtape/ops/sort.hpp>

#include "../kernels/order.hpp"
#include "strided.hpp"

namespace xtape {
namespace {

using kernels::Order;

// The first `count` along an axis, in order: where they lie in x, and the shape that they have.
struct Ordered {
  detail::Indices at;
  Shape shape;
  detail::Around around;

  // The same places, counted along the axis.
  IndexArray along_axis() const {
    IndexArray result(detail::XShape(shape.begin(), shape.end()));
    for (std::size_t i = 0; i < at.size(); ++i) result.flat(i) = at.data()[i] / around.inner % around.n;
    return result;
  }
};

template <class T>
Ordered ordered(const char* op, const Tensor<T>& x, std::size_t axis, std::size_t count, const Order& order) {
  detail::check_countable(op, x.shape());
  const detail::Around around = detail::around(x.shape(), axis);
  const auto [outer, n, inner] = around;
  const Shape shape = detail::with_extent(x.shape(), axis, count);
  Ordered result{detail::Indices(shape.elements()), shape, around};
  if (result.at.size() == 0) return result;
  const auto work = detail::Storage::make(n * sizeof(kernels::Keyed<T>));
  auto* line = static_cast<kernels::Keyed<T>*>(work->data());
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t i = 0; i < inner; ++i) {
      const std::size_t start = o * n * inner + i;
      kernels::order_line(x.data() + start, n, inner, count, order, line);
      for (std::size_t j = 0; j < count; ++j)
        result.at.data()[(o * count + j) * inner + i] = static_cast<std::uint32_t>(start + line[j].place * inner);
    }
  return result;
}

// The elements along an axis in order: an op, so that another x is ordered anew. The gradient goes back to where they
// came from. The tape knows it as what it does once the places are found.
template <class T> struct Sort {
  using value_type = T;
  static constexpr OpTraits traits{.name = "gather_flat"};
  std::ptrdiff_t axis;
  Order order;
  struct State {
    detail::Indices at;
    Shape shape;
  };

  Shape shape(const Tensor<T>& x) const {
    normalise_axis("sort", axis, x.shape());
    detail::check_countable("sort", x.shape());
    return x.shape();
  }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& x) const {
    const std::size_t a = normalise_axis("sort", axis, x.shape());
    const Ordered all = ordered("sort", x, a, x.shape()[a], order);
    for (std::size_t i = 0; i < all.at.size(); ++i) y.data()[i] = x.data()[all.at.data()[i]];
    if (state) *state = {all.at, all.shape};
  }
  Gradients pull(const Pull<T, State>& p) const {
    return Gradients(detail::scatter_flat(p.dy, p.state.at, p.state.shape, p.wanted.template sum_so_far<T>(0)));
  }
};

}  // namespace

template <class T> Tensor<T> sort(const Tensor<T>& x, std::ptrdiff_t axis, const SortOptions& options) {
  return apply(Sort<T>{axis, {.descending = options.descending}}, x);
}

template <class T> IndexArray argsort(const Tensor<T>& x, std::ptrdiff_t axis, const SortOptions& options) {
  const std::size_t a = normalise_axis("argsort", axis, x.shape());
  return ordered("argsort", x, a, x.shape()[a], {.descending = options.descending}).along_axis();
}

template <class T> Topk<T> topk(const Tensor<T>& x, std::size_t k, std::ptrdiff_t axis, const TopkOptions& options) {
  const std::size_t a = normalise_axis("topk", axis, x.shape());
  if (k > x.shape()[a])
    throw ShapeError(fmt::format("topk: {} elements of axis {} of shape {}", k, a, to_string(x.shape())));
  const Ordered first = ordered("topk", x, a, k, {.descending = options.largest, .nan_first = true});
  return {detail::gather_flat(x, first.at, first.shape), first.along_axis()};
}

#define XTAPE_SORT(T)                                                                \
  template Tensor<T> sort(const Tensor<T>&, std::ptrdiff_t, const SortOptions&);     \
  template IndexArray argsort(const Tensor<T>&, std::ptrdiff_t, const SortOptions&); \
  template Topk<T> topk(const Tensor<T>&, std::size_t, std::ptrdiff_t, const TopkOptions&);
XTAPE_INSTANTIATE(XTAPE_SORT)

}  // namespace xtape
