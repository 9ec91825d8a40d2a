#pragma once
/// \file shape.hpp  The extents of a tensor, and lists of its axes.

#include <xtape/detail/same_layout.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <ranges>
#include <string>

namespace xtape {

/// The most axes a tensor can have.
inline constexpr std::size_t max_rank = 8;

namespace detail {
[[noreturn]] void throw_negative_extent(std::ptrdiff_t extent);
[[noreturn]] void throw_rank_too_high();

/// An extent written as an integer of any type: spares users the narrowing errors of {n, m} lists.
struct Extent {
  std::size_t value;
  template <std::integral I> constexpr Extent(I n) : value(static_cast<std::size_t>(n)) {
    if constexpr (std::signed_integral<I>)
      if (n < 0) throw_negative_extent(n);
  }
};
/// An axis or an extent that may be negative.
struct SignedIndex {
  std::ptrdiff_t value;
  template <std::integral I> constexpr SignedIndex(I n) : value(static_cast<std::ptrdiff_t>(n)) {}
};

/// A list of at most max_rank values, without heap memory.
template <class V> class ShortList {
 public:
  using value_type = V;
  constexpr ShortList() noexcept = default;
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr const V* begin() const noexcept { return values_.data(); }
  constexpr const V* end() const noexcept { return values_.data() + size_; }
  constexpr V* begin() noexcept { return values_.data(); }
  constexpr V* end() noexcept { return values_.data() + size_; }
  constexpr V operator[](std::size_t i) const noexcept { return values_[i]; }
  constexpr V& operator[](std::size_t i) noexcept { return values_[i]; }
  constexpr V back() const noexcept { return values_[size_ - 1]; }
  constexpr V& back() noexcept { return values_[size_ - 1]; }
  constexpr void push_back(V value) {
    if (size_ == max_rank) throw_rank_too_high();
    values_[size_++] = value;
  }
  friend constexpr bool operator==(const ShortList& a, const ShortList& b) noexcept {
    if (a.size_ != b.size_) return false;
    for (std::size_t i = 0; i < a.size_; ++i)  // a few values: std::equal calls memcmp
      if (a.values_[i] != b.values_[i]) return false;
    return true;
  }

 private:
  std::array<V, max_rank> values_{};
  std::size_t size_ = 0;
};
}  // namespace detail

/// The extents of a tensor: at most max_rank of them. Empty for a 0-d tensor, whose size is 1.
class Shape : public detail::ShortList<std::size_t> {
 public:
  constexpr Shape() noexcept = default;
  constexpr Shape(std::initializer_list<detail::Extent> extents) {
    for (const auto extent : extents) push_back(extent.value);
  }
  /// From any list of integers: xtensor's shapes, std::vector, std::array.
  template <std::ranges::input_range R>
  requires(std::integral<std::ranges::range_value_t<R>> &&
           !std::derived_from<std::remove_cvref_t<R>, Shape>) constexpr Shape(const R& extents) {
    for (const auto extent : extents) push_back(detail::Extent(extent).value);
  }
  /// Number of elements. Throws ShapeError if that does not fit the address space.
  std::size_t elements() const;
};

/// Axes of a reduction or a permutation; negative ones count from the back. Default: none.
class Axes : public detail::ShortList<std::ptrdiff_t> {
 public:
  constexpr Axes() noexcept = default;
  template <std::integral I> constexpr Axes(I axis) { push_back(static_cast<std::ptrdiff_t>(axis)); }
  constexpr Axes(std::initializer_list<detail::SignedIndex> axes) {
    for (const auto axis : axes) push_back(axis.value);
  }
  constexpr bool is_all() const noexcept { return all_; }
  static constexpr Axes all() noexcept {
    Axes axes;
    axes.all_ = true;
    return axes;
  }

 private:
  bool all_ = false;
};
/// Every axis of the tensor.
inline constexpr Axes all_axes = Axes::all();

/// "(32, 784)", "(3,)", "()": as NumPy prints it.
std::string to_string(const Shape& shape);

/// The axis counted from the front. Throws ShapeError naming op, axis and shape if out of range.
std::size_t normalise_axis(const char* op, std::ptrdiff_t axis, const Shape& shape);

/// reduced[i] tells whether axis i is among `axes`. Throws ShapeError on an axis out of range or repeated.
std::array<bool, max_rank> axis_flags(const char* op, const Axes& axes, const Shape& shape);

}  // namespace xtape
