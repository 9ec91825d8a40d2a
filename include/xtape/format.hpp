#pragma once
/// \file format.hpp  Tensors, shapes and tapes as text, for fmt too: fmt::print("{} {}\n", x.shape(), x).

#include <xtape/tensor.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <iosfwd>
#include <string>

namespace xtape {

class Tape;
std::string to_string(const Tape& tape);

/// The elements as NumPy's lists, "[[1, 2.5], [3, 4]]", each to `digits` significant digits. Of a tensor of more than
/// 1000 elements the first and the last ones along each axis, and the shape: "[0, 1, 2, ..., 58, 59, 60] of shape
/// (1200,)". "undefined" for an undefined tensor. NaN is "nan", whatever its sign. Throws ValueError if digits < 1.
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
// What operator<< writes by to_string().
template <class V> inline constexpr bool has_text = false;
template <class T> inline constexpr bool has_text<Tensor<T>> = true;
template <> inline constexpr bool has_text<Shape> = true;
template <> inline constexpr bool has_text<Tape> = true;
}  // namespace detail

/// to_string() of a tensor, a shape, a tape, a profile or a report, onto a stream of the standard library's.
template <class Traits, class V>
requires detail::has_text<V> std::basic_ostream<char, Traits>
&operator<<(std::basic_ostream<char, Traits>& out, const V& value) {
  const std::string text = to_string(value);
  return out.write(text.data(), static_cast<std::streamsize>(text.size()));
}

}  // namespace xtape

/// \cond
template <class T> struct fmt::formatter<xtape::Tensor<T>> : xtape::detail::TextFormatter<xtape::Tensor<T>> {};
template <> struct fmt::formatter<xtape::Shape> : xtape::detail::TextFormatter<xtape::Shape> {};
template <> struct fmt::formatter<xtape::Tape> : xtape::detail::TextFormatter<xtape::Tape> {};
/// \endcond
