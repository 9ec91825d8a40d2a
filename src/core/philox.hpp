#pragma once
// Many blocks of the generator at a time. Integers, and numbers that are exact in any rounding, so that any
// instruction set gives the same bits.

#include <cstddef>
#include <cstdint>

namespace xtape::kernels {

// Blocks made at a time: several vectors of them, so that one's multiplications run while another's wait.
inline constexpr std::size_t philox_lanes = 64;
// Uniform numbers in a block of four words.
template <class T> inline constexpr std::size_t philox_numbers = 16 / sizeof(T);

// Blocks first, first + 1, ... of Philox4x32-10, philox_lanes of them, as numbers uniform on [0, 1): a word's upper 24
// bits make a float, two words' upper 53 a double.
template <class T> void philox_uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, T* out) noexcept;

}  // namespace xtape::kernels
