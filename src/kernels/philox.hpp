#pragma once
// Many blocks of the generator at a time. Integers only, so that any instruction set gives the same bits.

#include <cstddef>
#include <cstdint>

namespace xtape::kernels {

inline constexpr std::size_t philox_lanes = 32;

// Blocks first, first + 1, ... of Philox4x32-10: four words each, one block after the other.
void philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, std::uint32_t* words) noexcept;

}  // namespace xtape::kernels
