#pragma once
/// \file integers.hpp  Lists of integers: class labels, and the indices of ops that pick elements.

#include <xtape/tensor.hpp>

#include <cstdint>
#include <limits>
#include <ranges>

namespace xtape {

/// A copy of integers of any kind, in the pool's memory: of an xtensor expression, whose shape it has, or of a list
/// (std::vector, std::span, {0, 2, 1}), which is 1-d. bool counts as 0 and 1; for masks see masked_select.
class Integers {
 public:
  template <XExpression E>
  requires std::integral<typename E::value_type> Integers(const E& values) : Integers(Shape(values.shape())) {
    std::size_t i = 0;
    const auto end = values.template end<xt::layout_type::row_major>();
    for (auto value = values.template begin<xt::layout_type::row_major>(); value != end; ++value) put(i++, *value);
  }
  template <std::ranges::sized_range R>
  requires(std::integral<std::ranges::range_value_t<R>> && !XExpression<R> &&
           !std::same_as<std::remove_cvref_t<R>, Integers>) Integers(const R& values)
      : Integers(Shape{std::ranges::size(values)}) {
    std::size_t i = 0;
    for (const auto value : values) put(i++, value);
  }
  template <std::integral I> Integers(std::initializer_list<I> values) : Integers(Shape{values.size()}) {
    std::size_t i = 0;
    for (const I value : values) put(i++, value);
  }
  /// value(0), value(1), ... in row-major order.
  template <std::invocable<std::size_t> F> Integers(const Shape& shape, const F& value) : Integers(shape) {
    for (std::size_t i = 0; i < size_; ++i) put(i, value(i));
  }
  const Shape& shape() const noexcept { return shape_; }
  std::size_t size() const noexcept { return size_; }
  std::int64_t operator[](std::size_t i) const noexcept { return values()[i]; }
  const std::int64_t* begin() const noexcept { return values(); }
  const std::int64_t* end() const noexcept { return values() + size_; }

 private:
  explicit Integers(const Shape& shape)
      : storage_(detail::Storage::make(shape.elements() * sizeof(std::int64_t))),
        shape_(shape),
        size_(shape.elements()) {}
  std::int64_t* values() const noexcept { return static_cast<std::int64_t*>(storage_->data()); }
  template <class I> void put(std::size_t i, I value) noexcept {
    // Beyond int64 is beyond every axis: it must not wrap around to a negative index.
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    if constexpr (std::unsigned_integral<I> && sizeof(I) >= sizeof most)
      values()[i] = value > static_cast<I>(most) ? most : static_cast<std::int64_t>(value);
    else
      values()[i] = static_cast<std::int64_t>(value);
  }
  detail::Handle<detail::Storage> storage_;
  Shape shape_;
  std::size_t size_;
};

}  // namespace xtape
