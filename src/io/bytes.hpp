#pragma once
// Numbers as bytes, and bytes in messages.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace xtape::data {

// Byte by byte, so that it holds on every machine; compilers make one instruction of it.
template <class U> void store_little_endian(U value, unsigned char* bytes) {
  for (std::size_t i = 0; i < sizeof(U); ++i) bytes[i] = static_cast<unsigned char>(value >> (8 * i));
}
template <class U> U load_little_endian(const unsigned char* bytes) {
  U value = 0;
  for (std::size_t i = 0; i < sizeof(U); ++i) value = static_cast<U>(value | static_cast<U>(bytes[i]) << (8 * i));
  return value;
}
template <class U> U load_big_endian(const unsigned char* bytes) {
  U value = 0;
  for (std::size_t i = 0; i < sizeof(U); ++i)
    value = static_cast<U>(value | static_cast<U>(bytes[sizeof(U) - 1 - i]) << (8 * i));
  return value;
}

/// The unsigned integer of V's size.
template <class V>
using Bits = std::conditional_t<sizeof(V) == 1, std::uint8_t,
                                std::conditional_t<sizeof(V) == 2, std::uint16_t,
                                                   std::conditional_t<sizeof(V) == 4, std::uint32_t, std::uint64_t>>>;

/// Text of a file, fit for a message.
inline std::string quote(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, 40)) result += c >= ' ' && c <= '~' ? c : '?';
  return result + (text.size() > 40 ? "...'" : "'");
}

}  // namespace xtape::data
