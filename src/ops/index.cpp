#include <xtape/ops/index.hpp>

#include <xtape/detail/loop.hpp>
#include <xtape/ops/arithmetic.hpp>

#include "../kernels/rows.hpp"
#include "strided.hpp"

namespace xtape {
namespace {

using detail::Indices;

[[noreturn]] void throw_index(const char* op, const Integers& indices, std::size_t place, std::size_t axis,
                              const Shape& shape) {
  throw ValueError(fmt::format("{}: index {} at place {} of the list is out of range for axis {} of shape {}", op,
                               indices[place], place, axis, to_string(shape)));
}

// The indices counted from the front of an axis. Throws ValueError on one out of range.
Integers from_front(const char* op, const Integers& indices, std::size_t axis, const Shape& shape) {
  const auto extent = static_cast<std::int64_t>(shape[axis]);
  return Integers(indices.shape(), [&](std::size_t i) {
    const std::int64_t index = indices[i];
    if (index < -extent || index >= extent) throw_index(op, indices, i, axis, shape);
    return index < 0 ? index + extent : index;
  });
}

// Where in x the elements lie that indices of x's rank pick along an axis.
Indices places(const char* op, const Integers& indices, std::size_t axis, const Shape& x) {
  const Shape& shape = indices.shape();
  if (shape.size() != x.size() || detail::with_extent(shape, axis, x[axis]) != x)
    throw ShapeError(fmt::format("{}: indices of shape {} for shape {}: they may differ along axis {} alone", op,
                                 to_string(shape), to_string(x), axis));
  detail::check_countable(op, x);
  const Integers index = from_front(op, indices, axis, x);
  const auto [outer, m, inner] = detail::around(shape, axis);
  Indices at(index.size());
  std::size_t k = 0;
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t j = 0; j < m; ++j)
      for (std::size_t i = 0; i < inner; ++i, ++k)
        at.data()[k] = static_cast<std::uint32_t>((o * x[axis] + static_cast<std::size_t>(index[k])) * inner + i);
  return at;
}

void check_list(const char* op, const Integers& indices) {
  if (indices.shape().size() != 1)
    throw ShapeError(fmt::format("{}: a 1-d list of indices is needed, got shape {}", op, to_string(indices.shape())));
}

// sum += source, slice by slice.
template <class T> void accumulate(const Tensor<T>& source, std::size_t axis, const Integers& rows, Fresh<T>& sum) {
  const auto [outer, n, inner] = detail::around(sum.shape(), axis);
  kernels::add_rows(outer, n, inner, rows.begin(), rows.size(), source.data(), sum.data());
}

// The same with what rounding leaves out.
void accumulate_exactly(const Tensor<float>& source, std::size_t axis, const Integers& rows, Fresh<float>& sum,
                        float* rest) {
  const auto [outer, n, inner] = detail::around(sum.shape(), axis);
  const float* in = source.data();
  for (std::size_t o = 0; o < outer; ++o)
    for (const std::int64_t row : rows) {
      const std::size_t first = (o * n + static_cast<std::size_t>(row)) * inner;
      for (std::size_t i = 0; i < inner; ++i) kernels::add_exactly(sum.data()[first + i], rest[first + i], *in++);
    }
}

// Slices along an axis picked by indices from the front.
template <class T> struct IndexSelect {
  using value_type = T;
  static constexpr OpTraits traits{.name = "index_select", .kind = Kind::linear};
  std::size_t axis;
  Shape whole;

  Shape shape(const Tensor<T>& x, const Integers& rows) const {
    return detail::with_extent(x.shape(), axis, rows.size());
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& x, const Integers& rows) const {
    const auto [outer, n, inner] = detail::around(x.shape(), axis);
    kernels::take_rows(outer, n, inner, rows.begin(), rows.size(), x.data(), y.data());
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>&, const Integers& rows) const;
};
template <class T> Tensor<T> take_slices(const Tensor<T>& x, std::size_t axis, const Integers& rows) {
  return apply(IndexSelect<T>{axis, x.shape()}, x, rows);
}

// The transpose: slices added up in zeros, or to a sum that the sweep has lent.
template <class T> struct IntoSlices {
  static constexpr const char* name = "add_slices";
  std::size_t axis;
  Integers rows;
  Shape whole;
  void put(Fresh<T>& y, const Tensor<T>& part) const { accumulate(part, axis, rows, y); }
  void add(Fresh<T>& y, const Tensor<T>& part, float* rest) const {
    if constexpr (std::is_same_v<T, float>)
      if (rest) accumulate_exactly(part, axis, rows, y, rest);
    if (!rest) put(y, part);
  }
  Tensor<T> take(const Tensor<T>& dy) const { return take_slices(dy, axis, rows); }
};
template <class T> Gradients IndexSelect<T>::pull(const Pull<T>& p, const Tensor<T>&, const Integers& rows) const {
  return Gradients(detail::add_part(IntoSlices<T>{axis, rows, whole}, p.dy, p.wanted.template sum_so_far<T>(0)));
}

// x with the elements of `source` added at places of it.
template <class T> struct ScatterAdd {
  using value_type = T;
  static constexpr OpTraits traits{.name = "scatter_add", .kind = Kind::linear};
  Shape source_shape;
  const Shape& shape(const Tensor<T>& x, const Tensor<T>&, const Indices&) const { return x.shape(); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x, const Tensor<T>& source, const Indices& at) const {
    std::ranges::copy(x.span(), y.data());
    kernels::add_rows(1, x.size(), 1, at.data(), at.size(), source.data(), y.data());
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>&, const Tensor<T>&, const Indices& at) const {
    return p.gradients([&] { return p.dy; }, [&] { return detail::gather_flat(p.dy, at, source_shape); });
  }
};

// x with slices of `source` added to those that rows picks.
template <class T> struct IndexAdd {
  using value_type = T;
  static constexpr OpTraits traits{.name = "index_add", .kind = Kind::linear};
  std::size_t axis;
  const Shape& shape(const Tensor<T>& x, const Tensor<T>&, const Integers&) const { return x.shape(); }
  void evaluate(Fresh<T>& y, const Tensor<T>& x, const Tensor<T>& source, const Integers& rows) const {
    std::ranges::copy(x.span(), y.data());
    accumulate(source, axis, rows, y);
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>&, const Tensor<T>&, const Integers& rows) const {
    return p.gradients([&] { return p.dy; }, [&] { return take_slices(p.dy, axis, rows); });
  }
};

// 1 at the place of each label along a new last axis, else 0.
template <class T> struct OneHot {
  using value_type = T;
  static constexpr OpTraits traits{.name = "one_hot", .differentiable = false};
  std::size_t classes;

  Shape shape(const Integers& labels) const {
    if (labels.shape().size() >= max_rank)
      throw ShapeError(fmt::format("one_hot: labels of at most {} axes are needed, got shape {}", max_rank - 1,
                                   to_string(labels.shape())));
    Shape shape = labels.shape();
    shape.push_back(classes);
    if (!detail::is_addressable(shape))
      throw ShapeError(fmt::format("one_hot: {}: {} classes for labels of shape {}", detail::too_many_elements, classes,
                                   to_string(labels.shape())));
    return shape;
  }
  void evaluate(Fresh<T>& y, const Integers& labels) const {
    std::fill_n(y.data(), y.size(), T(0));
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] < 0 || static_cast<std::uint64_t>(labels[i]) >= classes)
        throw ValueError(fmt::format("one_hot: label {} at place {} is not one of {} classes", labels[i], i, classes));
      y.data()[i * classes + static_cast<std::size_t>(labels[i])] = T(1);
    }
  }
};

template <class T> void check_mask(const char* op, const Tensor<T>& x, const detail::Operand<T>& mask) {
  if (mask.is_number()) return;
  const std::array<const Shape*, 2> shapes{&x.shape(), mask.shape()};
  if (detail::plan_loop(op, shapes.data(), 2).shape != x.shape())
    throw ShapeError(fmt::format("{}: a mask of shape {} does not broadcast to shape {}", op, to_string(*mask.shape()),
                                 to_string(x.shape())));
}

}  // namespace

template <class T> Tensor<T> gather(const Tensor<T>& x, const Integers& indices, std::ptrdiff_t axis) {
  const std::size_t a = normalise_axis("gather", axis, x.shape());
  return detail::gather_flat(x, places("gather", indices, a, x.shape()), indices.shape());
}

template <class T>
Tensor<T> scatter_add(const Tensor<T>& x, const Integers& indices, const Tensor<T>& source, std::ptrdiff_t axis) {
  const std::size_t a = normalise_axis("scatter_add", axis, x.shape());
  if (source.shape() != indices.shape())
    throw ShapeError(fmt::format("scatter_add: a source of shape {} for indices of shape {}, into shape {}",
                                 to_string(source.shape()), to_string(indices.shape()), to_string(x.shape())));
  const Indices at = places("scatter_add", indices, a, x.shape());
  return apply(ScatterAdd<T>{source.shape()}, x, source, at);
}

template <class T> Tensor<T> index_select(const Tensor<T>& x, std::ptrdiff_t axis, const Integers& indices) {
  const std::size_t a = normalise_axis("index_select", axis, x.shape());
  check_list("index_select", indices);
  return take_slices(x, a, from_front("index_select", indices, a, x.shape()));
}

template <class T>
Tensor<T> index_add(const Tensor<T>& x, std::ptrdiff_t axis, const Integers& indices, const Tensor<T>& source) {
  const std::size_t a = normalise_axis("index_add", axis, x.shape());
  check_list("index_add", indices);
  if (source.shape() != detail::with_extent(x.shape(), a, indices.size()))
    throw ShapeError(fmt::format("index_add: a source of shape {} for {} indices into axis {} of shape {}",
                                 to_string(source.shape()), indices.size(), a, to_string(x.shape())));
  return apply(IndexAdd<T>{a}, x, source, from_front("index_add", indices, a, x.shape()));
}

template <class T> Tensor<T> embedding(const Tensor<T>& weight, const Integers& indices) {
  if (weight.dimension() != 2 || indices.shape().size() >= max_rank)
    throw ShapeError(fmt::format("embedding: a matrix and indices of at most {} axes are needed, got shapes {} and {}",
                                 max_rank - 1, to_string(weight.shape()), to_string(indices.shape())));
  Shape shape = indices.shape();
  shape.push_back(weight.shape()[1]);
  return reshape(take_slices(weight, 0, from_front("embedding", indices, 0, weight.shape())), shape);
}

template <class T> Tensor<T> one_hot(const Integers& labels, std::size_t classes) {
  return apply(OneHot<T>{classes}, labels);
}

namespace detail {

template <class T> Tensor<T> masked_select(const Tensor<T>& x, const Operand<T>& mask) {
  check_mask("masked_select", x, mask);
  check_countable("masked_select", x.shape());
  const Tensor<T> spread = broadcast_to(mask.is_number() ? Tensor<T>(mask.number) : mask.tensor.detach(), x.shape());
  std::size_t count = 0;
  for (const T value : spread.span()) count += value != T(0);
  const Indices at(count);
  for (std::size_t i = 0, next = 0; next < count; ++i) {  // without a branch that depends on the mask
    at.data()[next] = static_cast<std::uint32_t>(i);
    next += spread.data()[i] != T(0);
  }
  return gather_flat(x, at, Shape{count});
}

template <class T> Tensor<T> masked_fill(const Tensor<T>& x, const Operand<T>& mask, double value) {
  check_mask("masked_fill", x, mask);
  return where<T>(mask, value, x);
}

}  // namespace detail

#define XTAPE_INDEX(T)                                                                                 \
  template Tensor<T> gather(const Tensor<T>&, const Integers&, std::ptrdiff_t);                        \
  template Tensor<T> scatter_add(const Tensor<T>&, const Integers&, const Tensor<T>&, std::ptrdiff_t); \
  template Tensor<T> index_select(const Tensor<T>&, std::ptrdiff_t, const Integers&);                  \
  template Tensor<T> index_add(const Tensor<T>&, std::ptrdiff_t, const Integers&, const Tensor<T>&);   \
  template Tensor<T> embedding(const Tensor<T>&, const Integers&);                                     \
  template Tensor<T> one_hot(const Integers&, std::size_t);                                            \
  template Tensor<T> detail::masked_select(const Tensor<T>&, const detail::Operand<T>&);               \
  template Tensor<T> detail::masked_fill(const Tensor<T>&, const detail::Operand<T>&, double);
XTAPE_INSTANTIATE(XTAPE_INDEX)

}  // namespace xtape
