#pragma once
// Pieces of text that the tape's views share.

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace xtape::detail {

// "800 B", "12.5 kB", "3.1 MB": powers of 1000.
inline std::string bytes_text(std::size_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  const char* unit = " kMGTPE";
  while (value >= 999.95) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}B", value, *unit);
}

// For between double quotes, in JSON and in Graphviz's language.
inline std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '"' || c == '\\')
      (result += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20)
      result += ' ';
    else
      result += c;
  }
  return result;
}

}  // namespace xtape::detail
