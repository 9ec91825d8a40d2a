#pragma once
/// \file format.hpp  Tensors, shapes and tapes as text, for fmt too: fmt::print("{} {}\n", x.shape(), x).

#include <xtape/tape.hpp>
#include <xtape/tensor.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <string>

namespace xtape {

/// The elements as NumPy's lists, "[[1, 2.5], [3, 4]]", each to `digits` significant digits; of a tensor of more
/// than 1000 elements the shape, "tensor of shape (60000, 784)". "undefined" for an undefined tensor. NaN is "nan",
/// whatever its sign. Throws ValueError if digits < 1.
template <class T> std::string to_string(const Tensor<T>& x, int digits = 6);

namespace detail {
// fmt's own string formatter needs fmt/format.h, which takes longer to compile than the rest of a header.
template <class V> struct TextFormatter {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  template <class Context> auto format(const V& value, Context& context) const {
    const std::string text = to_string(value);
    return std::copy(text.begin(), text.end(), context.out());
  }
};
}  // namespace detail
}  // namespace xtape

/// \cond
template <class T> struct fmt::formatter<xtape::Tensor<T>> : xtape::detail::TextFormatter<xtape::Tensor<T>> {};
template <> struct fmt::formatter<xtape::Shape> : xtape::detail::TextFormatter<xtape::Shape> {};
template <> struct fmt::formatter<xtape::Tape> : xtape::detail::TextFormatter<xtape::Tape> {};
/// \endcond
