#include "numbers.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string>

namespace examples {
namespace {

template <class T> std::optional<T> all_of(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  T value = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || after != end) return std::nullopt;
  return value;
}

// `read` gives a number, or nothing; `name` says which numbers are good.
template <class T, class Holds>
CLI::Validator range(std::optional<T> (*read)(std::string_view), const Holds& holds, const std::string& kind,
                     const std::string& name) {
  return {[=](std::string& text) {
            const std::optional<T> value = read(text);
            if (!value || !holds(*value)) return fmt::format("{} is no {} {}", text, kind, name);
            text = fmt::format("{}", *value);
            return std::string();
          },
          name};
}

}  // namespace

std::optional<std::uint64_t> whole_number(std::string_view text) { return all_of<std::uint64_t>(text); }
std::optional<double> number(std::string_view text) { return all_of<double>(text); }

CLI::Validator whole(std::uint64_t low, std::uint64_t high) {
  return range(
      whole_number, [=](std::uint64_t x) { return x >= low && x <= high; }, "whole number",
      fmt::format("in [{}, {}]", low, high));
}

CLI::Validator between(double low, double high) {
  return range(
      number, [=](double x) { return x >= low && x <= high; }, "number", fmt::format("in [{}, {}]", low, high));
}

CLI::Validator positive() {
  return range(
      number, [](double x) { return x > 0 && std::isfinite(x); }, "number", "above 0");
}

}  // namespace examples
