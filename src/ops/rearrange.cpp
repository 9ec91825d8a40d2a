// What moves axes, cuts, tiles and takes diagonals, by reshapes, transposes, slices and broadcasts.
#include <xtape/ops/shape.hpp>

#include <xtape/detail/loop.hpp>

#include "strided.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace xtape {
namespace {

using detail::around;
using detail::largest_extent;
using detail::magnitude;
using detail::slice_strided;
using detail::strides_of;
using detail::with_extent;
using kernels::Strided;

// The shape with as many axes as asked for: `before` ones in front, then others behind.
template <class T> Tensor<T> with_rank(const Tensor<T>& x, std::size_t rank, std::size_t before) {
  Shape shape;
  for (std::size_t i = 0; i < before; ++i) shape.push_back(1);
  for (const std::size_t extent : x.shape()) shape.push_back(extent);
  while (shape.size() < rank) shape.push_back(1);
  return reshape(x, shape);
}

}  // namespace

template <class T> Tensor<T> moveaxis(const Tensor<T>& x, const Axes& source, const Axes& destination) {
  const Shape& shape = x.shape();
  if (source.size() != destination.size() || source.is_all() || destination.is_all())
    throw ShapeError(fmt::format("moveaxis: axes ({}) to ({}) of shape {}", fmt::join(source, ", "),
                                 fmt::join(destination, ", "), to_string(shape)));
  const auto moves = axis_flags("moveaxis", source, shape), taken = axis_flags("moveaxis", destination, shape);
  Axes order;
  for (std::size_t i = 0, next = 0; i < shape.size(); ++i) {
    std::size_t from = 0;
    if (taken[i]) {
      for (std::size_t k = 0; k < source.size(); ++k)
        if (normalise_axis("moveaxis", destination[k], shape) == i) from = normalise_axis("moveaxis", source[k], shape);
    } else {
      while (moves[next]) ++next;
      from = next++;
    }
    order.push_back(static_cast<std::ptrdiff_t>(from));
  }
  return transpose(x, order);
}

template <class T> Tensor<T> swapaxes(const Tensor<T>& x, std::ptrdiff_t a, std::ptrdiff_t b) {
  const std::size_t first = normalise_axis("swapaxes", a, x.shape()), second = normalise_axis("swapaxes", b, x.shape());
  Axes order;
  for (std::size_t i = 0; i < x.dimension(); ++i)
    order.push_back(static_cast<std::ptrdiff_t>(i == first ? second : i == second ? first : i));
  return transpose(x, order);
}

template <class T> Tensor<T> atleast_1d(const Tensor<T>& x) { return with_rank(x, 1, 0); }
template <class T> Tensor<T> atleast_2d(const Tensor<T>& x) { return with_rank(x, 2, x.dimension() == 1 ? 1 : 0); }
template <class T> Tensor<T> atleast_3d(const Tensor<T>& x) { return with_rank(x, 3, x.dimension() == 1 ? 1 : 0); }

template <class T> std::vector<Tensor<T>> split(const Tensor<T>& x, const Parts& parts, std::ptrdiff_t axis) {
  const std::size_t a = normalise_axis("split", axis, x.shape());
  const std::size_t extent = x.shape()[a];
  const auto fail = [&] {
    throw ShapeError(fmt::format("split: {} {}, for axis {} of shape {}", parts.equal() ? "equal parts:" : "parts of",
                                 fmt::join(parts.values(), ", "), a, to_string(x.shape())));
  };
  std::vector<std::size_t> extents;
  if (parts.equal()) {
    const std::ptrdiff_t count = parts.values()[0];
    if (count <= 0 || extent % static_cast<std::size_t>(count) != 0) fail();
    // An empty axis has any number of empty parts, but not more than memory has room for.
    if (static_cast<std::size_t>(count) > std::max<std::size_t>(extent, 1 << 20)) fail();
    extents.assign(static_cast<std::size_t>(count), extent / static_cast<std::size_t>(count));
  } else {
    std::size_t left = extent;
    for (const std::ptrdiff_t part : parts.values()) {
      if (part < 0 || static_cast<std::size_t>(part) > left) fail();
      extents.push_back(static_cast<std::size_t>(part));
      left -= extents.back();
    }
    if (left > 0) fail();
  }
  std::vector<Tensor<T>> result;
  Strided s{x.shape(), strides_of(x.shape()), 0};
  for (const std::size_t part : extents) {
    s.shape[a] = part;
    result.push_back(slice_strided(x, s, s.shape));
    s.offset += static_cast<std::ptrdiff_t>(part) * s.stride[a];
  }
  return result;
}

template <class T> std::vector<Tensor<T>> unstack(const Tensor<T>& x, std::ptrdiff_t axis) {
  const std::size_t a = normalise_axis("unstack", axis, x.shape());
  Strided s{x.shape(), strides_of(x.shape()), 0};
  s.shape[a] = 1;
  Shape kept;
  for (std::size_t i = 0; i < s.shape.size(); ++i)
    if (i != a) kept.push_back(s.shape[i]);
  // Empty parts, of which there may be any number, are refused where memory has no room for them.
  if (x.shape()[a] > std::max<std::size_t>(x.size(), 1 << 20))
    throw ShapeError(fmt::format("unstack: more empty parts than memory has room for: axis {} of shape {}", a,
                                 to_string(x.shape())));
  std::vector<Tensor<T>> result;
  for (std::size_t i = 0; i < x.shape()[a]; ++i, s.offset += s.stride[a]) result.push_back(slice_strided(x, s, kept));
  return result;
}

template <class T> Tensor<T> tile(const Tensor<T>& x, const Shape& repetitions) {
  Tensor<T> y = with_rank(x, repetitions.size(), repetitions.size() - std::min(repetitions.size(), x.dimension()));
  const std::size_t offset = y.dimension() - repetitions.size();
  const auto fail = [&] {
    throw ShapeError(fmt::format("tile: {}: repetitions {} of shape {}", detail::too_many_elements,
                                 to_string(repetitions), to_string(x.shape())));
  };
  Shape shape = y.shape();
  for (std::size_t i = offset; i < shape.size(); ++i) {
    const std::size_t count = repetitions[i - offset];
    if (count > largest_extent / std::max<std::size_t>(shape[i], 1)) fail();
    shape[i] *= count;
  }
  if (!detail::is_addressable(shape)) fail();
  for (std::size_t i = shape.size(); i-- > offset;) {
    const std::size_t count = repetitions[i - offset];
    if (count == 1) continue;
    const Shape before = y.shape();
    const auto [outer, n, inner] = around(before, i);
    const Tensor<T> copies = broadcast_to(reshape(y, Shape{outer, 1, n * inner}), Shape{outer, count, n * inner});
    y = reshape(copies, with_extent(before, i, shape[i]));
  }
  return y;
}

template <class T>
Tensor<T> diagonal(const Tensor<T>& x, std::ptrdiff_t offset, std::ptrdiff_t axis1, std::ptrdiff_t axis2) {
  const Shape& shape = x.shape();
  const std::size_t a = normalise_axis("diagonal", axis1, shape), b = normalise_axis("diagonal", axis2, shape);
  if (a == b) throw ShapeError(fmt::format("diagonal: axis {} twice, for shape {}", a, to_string(shape)));
  const auto strides = strides_of(shape);
  Strided s;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == a || i == b) continue;
    s.stride[s.shape.size()] = strides[i];
    s.shape.push_back(shape[i]);
  }
  // The diagonal starts in the first row or the first column, so far away from the corner.
  const std::size_t away = magnitude(offset), along = offset < 0 ? a : b;
  const std::size_t left = shape[along] - std::min(away, shape[along]);
  const std::size_t count = std::min(left, shape[offset < 0 ? b : a]);
  if (count > 0) s.offset = static_cast<std::ptrdiff_t>(away) * strides[along];
  s.stride[s.shape.size()] = strides[a] + strides[b];
  s.shape.push_back(count);
  return slice_strided(x, s, s.shape);
}

template <class T> Tensor<T> diag(const Tensor<T>& x, std::ptrdiff_t offset) {
  if (x.dimension() == 2) return diagonal(x, offset, 0, 1);
  if (x.dimension() != 1)
    throw ShapeError(fmt::format("diag: a vector or a matrix is needed, got {}", to_string(x.shape())));
  const std::size_t away = magnitude(offset), n = x.size() + away;
  const Shape square{n, n};
  if (!detail::is_addressable(square))
    throw ShapeError(
        fmt::format("diag: {}: offset {} for shape {}", detail::too_many_elements, offset, to_string(x.shape())));
  Strided s{x.shape(), {}, static_cast<std::ptrdiff_t>(offset < 0 ? away * n : away)};
  s.stride[0] = static_cast<std::ptrdiff_t>(n) + 1;
  return detail::unslice(x, s, square);
}

template <class T>
std::vector<Tensor<T>> meshgrid(const std::vector<Tensor<T>>& vectors, const MeshgridOptions& options) {
  if (vectors.size() > max_rank)
    throw ShapeError(fmt::format("meshgrid: at most {} vectors, got {}", max_rank, vectors.size()));
  const auto axis_of = [&](std::size_t k) {
    return options.indexing == Indexing::xy && vectors.size() > 1 && k < 2 ? 1 - k : k;
  };
  Shape grid, flat;
  for (std::size_t k = 0; k < vectors.size(); ++k) {
    flat.push_back(1);
    grid.push_back(1);
  }
  for (std::size_t k = 0; k < vectors.size(); ++k) {
    if (vectors[k].dimension() > 1)
      throw ShapeError(fmt::format("meshgrid: vectors are needed, got {}", to_string(vectors[k].shape())));
    grid[axis_of(k)] = vectors[k].size();
  }
  std::vector<Tensor<T>> result;
  for (std::size_t k = 0; k < vectors.size(); ++k)
    result.push_back(broadcast_to(reshape(vectors[k], with_extent(flat, axis_of(k), vectors[k].size())), grid));
  return result;
}

template <class T> std::vector<Tensor<T>> broadcast_tensors(const std::vector<Tensor<T>>& tensors) {
  Shape shape;
  for (const auto& tensor : tensors) {
    const std::array<const Shape*, 2> shapes{&shape, &tensor.shape()};
    shape = detail::plan_loop("broadcast_tensors", shapes.data(), 2).shape;
  }
  std::vector<Tensor<T>> result;
  for (const auto& tensor : tensors) result.push_back(broadcast_to(tensor, shape));
  return result;
}

#define XTAPE_REARRANGE(T)                                                                         \
  template Tensor<T> moveaxis(const Tensor<T>&, const Axes&, const Axes&);                         \
  template Tensor<T> swapaxes(const Tensor<T>&, std::ptrdiff_t, std::ptrdiff_t);                   \
  template Tensor<T> atleast_1d(const Tensor<T>&);                                                 \
  template Tensor<T> atleast_2d(const Tensor<T>&);                                                 \
  template Tensor<T> atleast_3d(const Tensor<T>&);                                                 \
  template std::vector<Tensor<T>> split(const Tensor<T>&, const Parts&, std::ptrdiff_t);           \
  template std::vector<Tensor<T>> unstack(const Tensor<T>&, std::ptrdiff_t);                       \
  template Tensor<T> tile(const Tensor<T>&, const Shape&);                                         \
  template Tensor<T> diagonal(const Tensor<T>&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t);   \
  template Tensor<T> diag(const Tensor<T>&, std::ptrdiff_t);                                       \
  template std::vector<Tensor<T>> meshgrid(const std::vector<Tensor<T>>&, const MeshgridOptions&); \
  template std::vector<Tensor<T>> broadcast_tensors(const std::vector<Tensor<T>>&);
XTAPE_INSTANTIATE(XTAPE_REARRANGE)

}  // namespace xtape
