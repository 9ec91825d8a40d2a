#include <xtape/ops/shape.hpp>

#include <xtape/detail/loop.hpp>

#include "../kernels/rows.hpp"
#include "strided.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace xtape {
namespace {

using detail::slice_strided;
using detail::strides_of;
using kernels::Strided;

bool is_contiguous(const Strided& s) {
  const Strided m = kernels::merged(s);
  return m.shape.empty() || (m.shape.size() == 1 && m.stride[0] == 1);
}

// start, count and step of a range along an axis of `extent` elements, by Python's rules.
struct Resolved {
  std::ptrdiff_t start, count;
};
Resolved resolve(const Range& range, std::ptrdiff_t extent) {
  const bool forward = range.step > 0;
  const auto bound = [&](std::ptrdiff_t given, std::ptrdiff_t otherwise) {
    if (given == Range::open) return otherwise;
    if (given < 0) given += extent;
    return std::clamp(given, forward ? std::ptrdiff_t{0} : std::ptrdiff_t{-1}, forward ? extent : extent - 1);
  };
  const std::ptrdiff_t start = bound(range.start, forward ? 0 : extent - 1);
  const std::ptrdiff_t stop = bound(range.stop, forward ? extent : -1);
  const std::ptrdiff_t length = forward ? stop - start : start - stop;
  // Unsigned: the negative of the smallest step is no ptrdiff_t.
  const std::size_t step = forward ? static_cast<std::size_t>(range.step) : 0 - static_cast<std::size_t>(range.step);
  return {start, length > 0 ? static_cast<std::ptrdiff_t>((static_cast<std::size_t>(length) - 1) / step + 1) : 0};
}

// The shape with an axis of extent 1 put in at position `axis`.
Shape with_axis(const char* op, const Shape& shape, std::ptrdiff_t axis) {
  const auto rank = static_cast<std::ptrdiff_t>(shape.size()) + 1;
  if (axis < -rank || axis >= rank)
    throw ShapeError(fmt::format("{}: axis {} is out of range for shape {}", op, axis, to_string(shape)));
  const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  Shape result;
  for (std::size_t i = 0; i <= shape.size(); ++i) {
    if (i == at) result.push_back(1);
    if (i < shape.size()) result.push_back(shape[i]);
  }
  return result;
}

// The same elements in the shape that was asked for.
template <class T> struct Reshape {
  using value_type = T;
  static constexpr OpTraits traits{.name = "reshape", .kind = Kind::linear};
  NewShape to;
  Shape from;

  Shape shape(const Tensor<T>& x) const {
    const auto fail = [&] {
      throw ShapeError(fmt::format("reshape: {} does not reshape to ({})", to_string(x.shape()),
                                   fmt::join(to.begin(), to.end(), ", ")));
    };
    Shape result;
    std::size_t known = 1, unknown = max_rank;
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (to[i] < -1 || (to[i] == -1 && unknown != max_rank)) fail();
      if (to[i] == -1) unknown = i;
      result.push_back(to[i] == -1 ? 1 : static_cast<std::size_t>(to[i]));
    }
    if (!detail::is_addressable(result)) fail();
    known = result.elements();
    if (unknown != max_rank) {
      if (known == 0 || x.size() % known != 0) fail();
      result[unknown] = x.size() / known;
    } else if (known != x.size()) {
      fail();
    }
    return result;
  }
  Tensor<T> view(const Tensor<T>& x) const { return detail::view(x, shape(x)); }
  Gradients pull(const Pull<T>& p) const { return Gradients(reshape(p.dy, from)); }
};

// Axis i of the result is axis axes[i] of x. The gradient is transposed by the inverse permutation.
template <class T> struct Transpose {
  using value_type = T;
  static constexpr OpTraits traits{.name = "transpose", .kind = Kind::linear};
  Axes axes;

  // x as the result walks it.
  Strided walk(const Tensor<T>& x) const {
    const std::size_t rank = x.dimension();
    const auto fail = [&] {
      throw ShapeError(fmt::format("transpose: axes ({}) are not a permutation of those of shape {}",
                                   fmt::join(axes.begin(), axes.end(), ", "), to_string(x.shape())));
    };
    if (!axes.is_all() && axes.size() != rank) fail();
    const auto strides = strides_of(x.shape());
    Strided s;
    std::array<bool, max_rank> seen{};
    for (std::size_t i = 0; i < rank; ++i) {
      const std::size_t from = source(i, x.shape());
      if (std::exchange(seen[from], true)) fail();
      s.stride[i] = strides[from];
      s.shape.push_back(x.shape()[from]);
    }
    return s;
  }
  Shape shape(const Tensor<T>& x) const { return walk(x).shape; }
  Tensor<T> view(const Tensor<T>& x) const { return detail::read_strided(x, walk(x)); }
  Gradients pull(const Pull<T>& p) const {
    const std::size_t rank = p.dy.dimension();
    std::array<std::ptrdiff_t, max_rank> inverse{};
    for (std::size_t i = 0; i < rank; ++i) inverse[source(i, p.dy.shape())] = static_cast<std::ptrdiff_t>(i);
    Axes back;
    for (std::size_t i = 0; i < rank; ++i) back.push_back(inverse[i]);
    return Gradients(transpose(p.dy, back));
  }

 private:
  // The axis of x that is axis i of the result. Only the rank of `shape` counts, which both have.
  std::size_t source(std::size_t i, const Shape& shape) const {
    return axes.is_all() ? shape.size() - 1 - i : normalise_axis("transpose", axes[i], shape);
  }
};

// x repeated along axes that it lacks or that have extent 1. The sweep sums the gradient down to x.
template <class T> struct BroadcastTo {
  using value_type = T;
  static constexpr OpTraits traits{.name = "broadcast_to", .kind = Kind::linear};
  Shape to;

  detail::LoopPlan plan(const Tensor<T>& x) const {
    bool fits = x.dimension() <= to.size();
    for (std::size_t i = 0; fits && i < x.dimension(); ++i) {
      const std::size_t extent = x.shape()[i];
      fits = extent == 1 || extent == to[to.size() - x.dimension() + i];
    }
    if (!fits)
      throw ShapeError(fmt::format("broadcast_to: {} does not broadcast to {}", to_string(x.shape()), to_string(to)));
    if (!detail::is_addressable(to))
      throw ShapeError(
          fmt::format("broadcast_to: {}: {} to {}", detail::too_many_elements, to_string(x.shape()), to_string(to)));
    // Broadcast against the shape itself.
    const std::array<const Shape*, 2> shapes{&x.shape(), &to};
    return detail::plan_loop("broadcast_to", shapes.data(), 2);
  }
  void evaluate(Fresh<T>& y, const detail::LoopPlan& plan, const Tensor<T>& x) const {
    using B = simd::Batch<T>;
    detail::run_loop<T, 1, 1>(plan, {x.data()}, {y.data()}, [](const std::array<B, 1>& v) { return v; });
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(p.dy); }
};

// The tensors one behind the other along an axis. Each one's gradient is its slice of dy.
template <class T> struct Concatenate {
  using value_type = T;
  static constexpr OpTraits traits{.name = "concatenate", .kind = Kind::linear};
  std::ptrdiff_t axis;
  using State = std::vector<std::size_t>;  // the extents along the axis

  Shape shape(const std::vector<Tensor<T>>& tensors) const {
    if (tensors.empty()) throw ShapeError("concatenate: no tensors given");
    Shape shape = tensors[0].shape();
    const std::size_t at = normalise_axis("concatenate", axis, shape);
    shape[at] = 0;
    for (const auto& tensor : tensors) {
      bool fits = tensor.dimension() == shape.size();
      for (std::size_t i = 0; fits && i < shape.size(); ++i) fits = i == at || tensor.shape()[i] == shape[i];
      if (!fits)
        throw ShapeError(fmt::format("concatenate: shapes {} and {} differ beyond axis {}",
                                     to_string(tensors[0].shape()), to_string(tensor.shape()), at));
      shape[at] += tensor.shape()[at];
      static_cast<void>(shape.elements());  // empty tensors may have extents whose sum overflows
    }
    return shape;
  }
  void evaluate(Fresh<T>& y, State* extents, const std::vector<Tensor<T>>& tensors) const {
    const std::size_t at = normalise_axis("concatenate", axis, y.shape());
    const auto [outer, n, inner] = detail::around(y.shape(), at);
    std::size_t start = 0;
    for (const auto& tensor : tensors) {
      const std::size_t run = tensor.shape()[at] * inner;
      for (std::size_t o = 0; o < outer; ++o)
        std::copy_n(tensor.data() + o * run, run, y.data() + (o * n + start) * inner);
      start += tensor.shape()[at];
      if (extents) extents->push_back(tensor.shape()[at]);
    }
  }
  Gradients pull(const Pull<T, State>& p) const {
    const std::size_t at = normalise_axis("concatenate", axis, p.dy.shape());
    Gradients gradients;
    Strided s{p.dy.shape(), strides_of(p.dy.shape()), 0};
    for (std::size_t i = 0; i < p.state.size(); ++i) {
      s.shape[at] = p.state[i];
      gradients.add(p.wanted[i] ? slice_strided(p.dy, s, s.shape).impl() : detail::Handle<detail::TensorImpl>{});
      s.offset += static_cast<std::ptrdiff_t>(p.state[i]) * s.stride[at];
    }
    return gradients;
  }
};

}  // namespace

template <class T> Tensor<T> reshape(const Tensor<T>& x, const NewShape& shape) {
  return apply(Reshape<T>{shape, x.shape()}, x);
}

template <class T> Tensor<T> flatten(const Tensor<T>& x, std::ptrdiff_t start_axis) {
  if (x.dimension() == 0 && start_axis >= -1 && start_axis <= 1) return reshape(x, {1});
  const std::size_t start = normalise_axis("flatten", start_axis, x.shape());
  Shape shape;
  std::size_t rest = 1;
  for (std::size_t i = 0; i < x.dimension(); ++i) {
    if (i < start)
      shape.push_back(x.shape()[i]);
    else
      rest *= x.shape()[i];
  }
  shape.push_back(rest);
  return reshape(x, shape);
}

template <class T> Tensor<T> squeeze(const Tensor<T>& x, const Axes& axes) {
  const auto named = axis_flags("squeeze", axes, x.shape());
  Shape shape;
  for (std::size_t i = 0; i < x.dimension(); ++i) {
    if (named[i] && !axes.is_all() && x.shape()[i] != 1)
      throw ShapeError(fmt::format("squeeze: axis {} of shape {} is not 1", i, to_string(x.shape())));
    if (!(named[i] && x.shape()[i] == 1)) shape.push_back(x.shape()[i]);
  }
  return reshape(x, shape);
}

template <class T> Tensor<T> expand_dims(const Tensor<T>& x, std::ptrdiff_t axis) {
  return reshape(x, with_axis("expand_dims", x.shape(), axis));
}

template <class T> Tensor<T> transpose(const Tensor<T>& x, const Axes& axes) { return apply(Transpose<T>{axes}, x); }

template <class T> Tensor<T> broadcast_to(const Tensor<T>& x, const Shape& shape) {
  return x.shape() == shape ? detail::unchanged("broadcast_to", x) : apply(BroadcastTo<T>{shape}, x);
}

template <class T> Tensor<T> concatenate(const std::vector<Tensor<T>>& tensors, std::ptrdiff_t axis) {
  return xtape::apply(Concatenate<T>{axis}, tensors);  // std::apply is found by the vector
}

template <class T> Tensor<T> stack(const std::vector<Tensor<T>>& tensors, std::ptrdiff_t axis) {
  if (tensors.empty()) throw ShapeError("stack: no tensors given");
  std::vector<Tensor<T>> expanded;
  for (const auto& tensor : tensors) {
    if (tensor.shape() != tensors[0].shape())
      throw ShapeError(
          fmt::format("stack: shapes {} and {} differ", to_string(tensors[0].shape()), to_string(tensor.shape())));
    expanded.push_back(reshape(tensor, with_axis("stack", tensor.shape(), axis)));
  }
  return concatenate(expanded, axis);
}

template <class T> Tensor<T> slice(const Tensor<T>& x, std::initializer_list<SliceIndex> indices) {
  if (indices.size() > x.dimension())
    throw ShapeError(fmt::format("slice: {} indices for shape {}", indices.size(), to_string(x.shape())));
  const auto strides = strides_of(x.shape());
  Strided s;
  Shape kept;
  for (std::size_t i = 0; i < x.dimension(); ++i) {
    const SliceIndex index = i < indices.size() ? indices.begin()[i] : SliceIndex(Range{});
    const auto extent = static_cast<std::ptrdiff_t>(x.shape()[i]);
    Resolved r{index.range.start, 1};
    if (index.drops_axis) {
      if (r.start < -extent || r.start >= extent)
        throw ShapeError(
            fmt::format("slice: index {} is out of range for axis {} of shape {}", r.start, i, to_string(x.shape())));
      if (r.start < 0) r.start += extent;
    } else {
      if (index.range.step == 0)
        throw ShapeError(fmt::format("slice: the step is 0 for axis {} of shape {}", i, to_string(x.shape())));
      r = resolve(index.range, extent);
      kept.push_back(static_cast<std::size_t>(r.count));
    }
    s.stride[i] = r.count > 1 ? strides[i] * index.range.step : strides[i];  // a step not taken may be of any size
    s.shape.push_back(static_cast<std::size_t>(r.count));
    s.offset += r.start * strides[i];
  }
  return slice_strided(x, s, kept);
}

namespace detail {

template <class T> Tensor<T> read_strided(const Tensor<T>& x, const Strided& s) {
  if (s.shape.elements() > 0 && is_contiguous(s)) return view(x, s.shape, static_cast<std::size_t>(s.offset));
  Fresh<T> y("slice", s.shape);
  kernels::copy_from(s, x.data(), y.data());
  return std::move(y).finished();
}

namespace {

// The elements of x that a strided walk meets; `kept` is the shape of the result. Its transpose is unslice.
template <class T> struct Slice {
  using value_type = T;
  static constexpr OpTraits traits{.name = "slice", .kind = Kind::linear};
  Strided s;
  Shape kept, whole;
  const Shape& shape(const Tensor<T>&) const { return kept; }
  Tensor<T> view(const Tensor<T>& x) const { return detail::view(read_strided(x, s), kept); }
  Gradients pull(const Pull<T>& p) const {
    return Gradients(unslice(p.dy, s, whole, p.wanted.template sum_so_far<T>(0)));
  }
};
template <class T> struct IntoSlice {
  static constexpr const char* name = "unslice";
  Strided s;
  Shape whole, kept;
  void put(Fresh<T>& y, const Tensor<T>& part) const { kernels::copy_to(s, part.data(), y.data()); }
  void add(Fresh<T>& y, const Tensor<T>& part, float* rest) const { kernels::add_to(s, part.data(), y.data(), rest); }
  Tensor<T> take(const Tensor<T>& dy) const { return slice_strided(dy, s, kept); }
};

// y[i] = x[at[i]], and its transpose, y[at[i]] += x[i].
template <class T> struct GatherFlat {
  using value_type = T;
  static constexpr OpTraits traits{.name = "gather_flat", .kind = Kind::linear};
  Indices at;
  Shape result, whole;
  const Shape& shape(const Tensor<T>&) const { return result; }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    for (std::size_t i = 0; i < at.size(); ++i) y.data()[i] = x.data()[at.data()[i]];
  }
  Gradients pull(const Pull<T>& p) const {
    return Gradients(scatter_flat(p.dy, at, whole, p.wanted.template sum_so_far<T>(0)));
  }
};
template <class T> struct IntoPlaces {
  static constexpr const char* name = "scatter_flat";
  Indices at;
  Shape whole, kept;
  void put(Fresh<T>& y, const Tensor<T>& part) const {
    kernels::add_rows(1, y.size(), 1, at.data(), at.size(), part.data(), y.data());
  }
  void add(Fresh<T>& y, const Tensor<T>& part, float* rest) const {
    if constexpr (std::is_same_v<T, float>)
      for (std::size_t i = 0; rest && i < at.size(); ++i)
        kernels::add_exactly(y.data()[at.data()[i]], rest[at.data()[i]], part.data()[i]);
    if (!rest) put(y, part);
  }
  Tensor<T> take(const Tensor<T>& dy) const { return gather_flat(dy, at, kept); }
};

}  // namespace

template <class T> Tensor<T> slice_strided(const Tensor<T>& x, const Strided& s, const Shape& kept) {
  return apply(Slice<T>{s, kept, x.shape()}, x);
}
template <class T> Tensor<T> unslice(const Tensor<T>& dy, const Strided& s, const Shape& shape, const Tensor<T>& sum) {
  return add_part(IntoSlice<T>{s, shape, dy.shape()}, dy, sum);
}
template <class T> Tensor<T> gather_flat(const Tensor<T>& x, const Indices& at, const Shape& shape) {
  return apply(GatherFlat<T>{at, shape, x.shape()}, x);
}
template <class T>
Tensor<T> scatter_flat(const Tensor<T>& x, const Indices& at, const Shape& shape, const Tensor<T>& sum) {
  return add_part(IntoPlaces<T>{at, shape, x.shape()}, x, sum);
}

}  // namespace detail

#define XTAPE_SHAPE(T)                                                                                  \
  template Tensor<T> reshape(const Tensor<T>&, const NewShape&);                                        \
  template Tensor<T> flatten(const Tensor<T>&, std::ptrdiff_t);                                         \
  template Tensor<T> squeeze(const Tensor<T>&, const Axes&);                                            \
  template Tensor<T> expand_dims(const Tensor<T>&, std::ptrdiff_t);                                     \
  template Tensor<T> transpose(const Tensor<T>&, const Axes&);                                          \
  template Tensor<T> broadcast_to(const Tensor<T>&, const Shape&);                                      \
  template Tensor<T> concatenate(const std::vector<Tensor<T>>&, std::ptrdiff_t);                        \
  template Tensor<T> stack(const std::vector<Tensor<T>>&, std::ptrdiff_t);                              \
  template Tensor<T> slice(const Tensor<T>&, std::initializer_list<SliceIndex>);                        \
  template Tensor<T> detail::read_strided(const Tensor<T>&, const Strided&);                            \
  template Tensor<T> detail::slice_strided(const Tensor<T>&, const Strided&, const Shape&);             \
  template Tensor<T> detail::unslice(const Tensor<T>&, const Strided&, const Shape&, const Tensor<T>&); \
  template Tensor<T> detail::gather_flat(const Tensor<T>&, const detail::Indices&, const Shape&);       \
  template Tensor<T> detail::scatter_flat(const Tensor<T>&, const detail::Indices&, const Shape&, const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_SHAPE)

}  // namespace xtape
