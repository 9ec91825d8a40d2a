#include <xtape/error.hpp>
#include <xtape/shape.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

namespace xtape {
namespace detail {
void throw_negative_extent(std::ptrdiff_t extent) {
  throw ShapeError(fmt::format("shape: an extent is at least 0, got {}", extent));
}
void throw_rank_too_high() { throw ShapeError(fmt::format("shape: at most {} axes", max_rank)); }
}  // namespace detail

std::size_t Shape::elements() const {
  // The elements of a double tensor must be addressable, also when another axis is empty.
  constexpr std::size_t limit = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / 16;
  std::size_t product = 1;
  bool zero = false;
  for (const std::size_t extent : *this) {
    if (extent == 0) {
      zero = true;
    } else if (__builtin_mul_overflow(product, extent, &product) || product > limit) {
      throw ShapeError(fmt::format("shape: {} has more elements than memory can address", to_string(*this)));
    }
  }
  return zero ? 0 : product;
}

std::string to_string(const Shape& shape) {
  return shape.size() == 1 ? fmt::format("({},)", shape[0])
                           : fmt::format("({})", fmt::join(shape.begin(), shape.end(), ", "));
}

std::size_t normalise_axis(const char* op, std::ptrdiff_t axis, const Shape& shape) {
  const auto rank = static_cast<std::ptrdiff_t>(shape.size());
  if (axis < -rank || axis >= rank)
    throw ShapeError(fmt::format("{}: axis {} is out of range for shape {}", op, axis, to_string(shape)));
  return static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
}

std::array<bool, max_rank> axis_flags(const char* op, const Axes& axes, const Shape& shape) {
  std::array<bool, max_rank> flags{};
  if (axes.is_all()) {
    std::fill_n(flags.begin(), shape.size(), true);
    return flags;
  }
  for (const std::ptrdiff_t axis : axes) {
    bool& flag = flags[normalise_axis(op, axis, shape)];
    if (flag) throw ShapeError(fmt::format("{}: axis {} is repeated, for shape {}", op, axis, to_string(shape)));
    flag = true;
  }
  return flags;
}

}  // namespace xtape
