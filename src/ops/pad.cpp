// Ops that pad, turn, roll, repeat and cut to a triangle: by strides and runs of elements, without lists of indices.
#include <xtape/ops/index.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

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

// ---- pad, flip, roll -----------------------------------------------------------------------------------

// The shape of x with so many elements more before and after those of each axis.
Shape padded_shape(const Shape& x, const PadWidths& widths, PadMode mode) {
  const auto fail = [&](const char* what) {
    std::string text;
    for (const auto& width : widths)
      text += fmt::format("{}{{{}, {}}}", text.empty() ? "" : ", ", width.before, width.after);
    throw ShapeError(fmt::format("pad: {}: {{{}}} for shape {}", what, text, to_string(x)));
  };
  if (widths.size() != x.size()) fail("one {before, after} for each axis is needed");
  Shape shape = x;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto [before, after] = widths[i];
    if (before < 0 || after < 0) fail("a negative width");
    if (mode == PadMode::reflect && shape[i] == 0 && (before > 0 || after > 0)) fail("nothing to reflect");
    for (const std::ptrdiff_t width : {before, after}) {
      if (static_cast<std::size_t>(width) > largest_extent - shape[i]) fail("a width too large");
      shape[i] += static_cast<std::size_t>(width);
    }
  }
  if (!detail::is_addressable(shape)) fail(detail::too_many_elements);
  return shape;
}

// x amidst elements of one value. The kind is linear if that is 0. The gradient is the slice of dy that x takes.
template <class T, Kind kind> struct Pad {
  using value_type = T;
  static constexpr OpTraits traits{.name = "pad", .kind = kind};
  PadWidths widths;
  T value;
  struct State {
    Shape shape;  // of x
  };

  Shape shape(const Tensor<T>& x) const { return padded_shape(x.shape(), widths, PadMode::constant); }
  Strided inner(const Shape& x, const Shape& whole) const {
    Strided s{x, strides_of(whole), 0};
    for (std::size_t i = 0; i < x.size(); ++i) s.offset += widths[i].before * s.stride[i];
    return s;
  }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& x) const {
    std::fill_n(y.data(), y.size(), value);
    kernels::copy_to(inner(x.shape(), y.shape()), x.data(), y.data());
    if (state) state->shape = x.shape();
  }
  Gradients pull(const Pull<T, State>& p) const {
    const Strided s = inner(p.state.shape, p.dy.shape());
    return Gradients(slice_strided(p.dy, s, s.shape));
  }
};

// Which elements of an axis of extent n its padded one shows: back and forth, with period 2 (n - 1).
Integers reflection(std::size_t n, const PadWidth& width, std::size_t padded) {
  const std::size_t period = n == 1 ? 1 : 2 * (n - 1);
  const std::size_t start = (period - static_cast<std::size_t>(width.before) % period) % period;
  return Integers(Shape{padded}, [=](std::size_t i) {
    const std::size_t at = (start + i) % period;
    return at < n ? at : period - at;
  });
}

// y[(i + shift) mod n] = x[i] for shifts within the extents.
using ExtentShifts = std::array<std::size_t, max_rank>;
template <class T> Tensor<T> roll_within(const Tensor<T>& x, const ExtentShifts& shifts);

template <class T> struct Roll {
  using value_type = T;
  static constexpr OpTraits traits{.name = "roll", .kind = Kind::linear};
  ExtentShifts shifts;

  const Shape& shape(const Tensor<T>& x) const { return x.shape(); }
  Tensor<T> view(const Tensor<T>& x) const {
    const Shape& shape = x.shape();
    Tensor<T> y = detail::view(x, shape);
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      if (shifts[axis] == 0) continue;
      const auto [outer, n, inner] = around(shape, axis);
      const std::size_t run = n * inner, head = (n - shifts[axis]) * inner;
      Fresh<T> next("roll", shape);
      for (std::size_t o = 0; o < outer; ++o)
        std::rotate_copy(y.data() + o * run, y.data() + o * run + head, y.data() + (o + 1) * run,
                         next.data() + o * run);
      y = std::move(next).finished();
    }
    return y;
  }
  Gradients pull(const Pull<T>& p) const {
    ExtentShifts back{};
    for (std::size_t i = 0; i < p.dy.dimension(); ++i) back[i] = shifts[i] == 0 ? 0 : p.dy.shape()[i] - shifts[i];
    return Gradients(roll_within(p.dy, back));
  }
};
template <class T> Tensor<T> roll_within(const Tensor<T>& x, const ExtentShifts& shifts) {
  return xtape::apply(Roll<T>{shifts}, x);
}

// The elements in the opposite order along some axes.
template <class T> struct Flip {
  using value_type = T;
  static constexpr OpTraits traits{.name = "flip", .kind = Kind::linear};
  Axes axes;

  Shape shape(const Tensor<T>& x) const {
    axis_flags("flip", axes, x.shape());
    return x.shape();
  }
  Tensor<T> view(const Tensor<T>& x) const {
    const auto turned = axis_flags("flip", axes, x.shape());
    Strided s{x.shape(), strides_of(x.shape()), 0};
    for (std::size_t i = 0; i < s.shape.size(); ++i) {
      if (!turned[i]) continue;
      s.offset += (static_cast<std::ptrdiff_t>(s.shape[i]) - 1) * s.stride[i];
      s.stride[i] = -s.stride[i];
    }
    return detail::read_strided(x, s);
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(flip(p.dy, axes)); }
};

// Each slice along an axis `count` times. The gradient sums over the copies.
template <class T> struct Repeat {
  using value_type = T;
  static constexpr OpTraits traits{.name = "repeat", .kind = Kind::linear};
  std::size_t count;
  std::ptrdiff_t axis;
  Shape whole;  // of x

  Shape copies(const Shape& x) const {
    const auto [outer, n, inner] = around(x, normalise_axis("repeat", axis, x));
    return {outer * n, count, inner};
  }
  Shape shape(const Tensor<T>& x) const {
    const std::size_t a = normalise_axis("repeat", axis, x.shape()), n = x.shape()[a];
    if (count > largest_extent / std::max<std::size_t>(n, 1) || !detail::is_addressable(copies(x.shape())))
      throw ShapeError(fmt::format("repeat: {}: {} times along axis {} of shape {}", detail::too_many_elements, count,
                                   a, to_string(x.shape())));
    return with_extent(x.shape(), a, n * count);
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    const Shape all = copies(x.shape());
    const std::size_t rows = y.size() == 0 ? 0 : all[0], inner = all[2];
    const T* in = x.data();
    T* out = y.data();
    for (std::size_t row = 0; row < rows; ++row, in += inner)
      if (inner == 1)
        out = std::fill_n(out, count, *in);
      else
        for (std::size_t k = 0; k < count; ++k) out = std::copy_n(in, inner, out);
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(reshape(sum(reshape(p.dy, copies(whole)), 1), whole)); }
};

// ---- diagonals and triangles ---------------------------------------------------------------------------

// The elements up to a diagonal of each matrix, or from it on; 0 elsewhere, as in the gradient.
template <bool lower, class T> struct Triangle {
  using value_type = T;
  static constexpr OpTraits traits{.name = lower ? "tril" : "triu", .kind = Kind::linear};
  std::ptrdiff_t offset;

  Shape shape(const Tensor<T>& x) const {
    if (x.dimension() < 2)
      throw ShapeError(
          fmt::format("{}: matrices or batches of them are needed, got {}", traits.name, to_string(x.shape())));
    return x.shape();
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& x) const {
    const auto rows = static_cast<std::ptrdiff_t>(x.shape(-2)), columns = static_cast<std::ptrdiff_t>(x.shape(-1));
    const std::ptrdiff_t diagonal = std::clamp(offset, -rows, columns);  // beyond, nothing changes
    const T* in = x.data();
    T* out = y.data();
    const std::size_t all_rows = columns == 0 ? 0 : x.size() / static_cast<std::size_t>(columns);
    for (std::size_t row = 0; row < all_rows; ++row, in += columns, out += columns) {
      const auto i = static_cast<std::ptrdiff_t>(row % static_cast<std::size_t>(rows));
      const std::ptrdiff_t cut = std::clamp(i + diagonal + (lower ? 1 : 0), std::ptrdiff_t{0}, columns);
      std::fill(lower ? out + cut : out, lower ? out + columns : out + cut, T(0));
      std::copy(lower ? in : in + cut, lower ? in + cut : in + columns, lower ? out : out + cut);
    }
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(xtape::apply(Triangle{offset}, p.dy)); }
};

}  // namespace

template <class T> Tensor<T> pad(const Tensor<T>& x, const PadWidths& widths, const PadOptions& options) {
  const auto value = static_cast<T>(options.value);
  if (options.mode == PadMode::constant)
    return value == T(0) ? xtape::apply(Pad<T, Kind::linear>{widths, value}, x)
                         : xtape::apply(Pad<T, Kind::general>{widths, value}, x);
  const Shape shape = padded_shape(x.shape(), widths, options.mode);
  if (shape == x.shape()) return detail::unchanged("pad", x);
  Tensor<T> y = x;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != x.shape()[i])
      y = index_select(y, static_cast<std::ptrdiff_t>(i), reflection(x.shape()[i], widths[i], shape[i]));
  return y;
}

template <class T> Tensor<T> flip(const Tensor<T>& x, const Axes& axes) { return xtape::apply(Flip<T>{axes}, x); }

template <class T> Tensor<T> roll(const Tensor<T>& x, const Shifts& shifts, const Axes& axes) {
  const Shape& shape = x.shape();
  if (axes.is_all()) {
    if (shifts.size() != 1)
      throw ShapeError(
          fmt::format("roll: shifts ({}) without axes, for shape {}", fmt::join(shifts, ", "), to_string(shape)));
    return reshape(roll(reshape(x, Shape{x.size()}), shifts, 0), shape);
  }
  if (shifts.size() != 1 && shifts.size() != axes.size())
    throw ShapeError(fmt::format("roll: shifts ({}) along axes ({}) of shape {}", fmt::join(shifts, ", "),
                                 fmt::join(axes, ", "), to_string(shape)));
  ExtentShifts within{};
  for (std::size_t k = 0; k < axes.size(); ++k) {
    const std::size_t axis = normalise_axis("roll", axes[k], shape), n = shape[axis];
    if (n == 0) continue;
    const std::ptrdiff_t shift = shifts[shifts.size() == 1 ? 0 : k];
    const std::size_t away = magnitude(shift) % n;
    within[axis] = (within[axis] + (shift < 0 ? n - away : away)) % n;
  }
  return roll_within(x, within);
}

template <class T> Tensor<T> repeat(const Tensor<T>& x, std::size_t count, std::ptrdiff_t axis) {
  return xtape::apply(Repeat<T>{count, axis, x.shape()}, x);
}

template <class T> Tensor<T> tril(const Tensor<T>& x, std::ptrdiff_t offset) {
  return xtape::apply(Triangle<true, T>{offset}, x);
}
template <class T> Tensor<T> triu(const Tensor<T>& x, std::ptrdiff_t offset) {
  return xtape::apply(Triangle<false, T>{offset}, x);
}

#define XTAPE_PAD(T)                                                             \
  template Tensor<T> pad(const Tensor<T>&, const PadWidths&, const PadOptions&); \
  template Tensor<T> flip(const Tensor<T>&, const Axes&);                        \
  template Tensor<T> roll(const Tensor<T>&, const Shifts&, const Axes&);         \
  template Tensor<T> repeat(const Tensor<T>&, std::size_t, std::ptrdiff_t);      \
  template Tensor<T> tril(const Tensor<T>&, std::ptrdiff_t);                     \
  template Tensor<T> triu(const Tensor<T>&, std::ptrdiff_t);
XTAPE_INSTANTIATE(XTAPE_PAD)

}  // namespace xtape
