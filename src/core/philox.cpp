#include "philox.hpp"

namespace xtape::kernels {
namespace {

// Counters on the way through the rounds, word by word.
struct Blocks {
  std::uint32_t c0[philox_lanes], c1[philox_lanes], c2[philox_lanes], c3[philox_lanes];
};

// As Random123's philox4x32 with ten rounds, written so that the compiler vectorises over the blocks and keeps them in
// registers: a test holds the two together.
inline void philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, Blocks& b) noexcept {
  for (std::size_t i = 0; i < philox_lanes; ++i) {
    b.c0[i] = static_cast<std::uint32_t>(first + i);
    b.c1[i] = static_cast<std::uint32_t>((first + i) >> 32);
    b.c2[i] = static_cast<std::uint32_t>(stream);
    b.c3[i] = static_cast<std::uint32_t>(stream >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U)
    for (std::size_t i = 0; i < philox_lanes; ++i) {
      const std::uint64_t u = std::uint64_t{0xD2511F53U} * b.c0[i], v = std::uint64_t{0xCD9E8D57U} * b.c2[i];
      b.c0[i] = static_cast<std::uint32_t>(v >> 32) ^ b.c1[i] ^ k0;
      b.c1[i] = static_cast<std::uint32_t>(v);
      b.c2[i] = static_cast<std::uint32_t>(u >> 32) ^ b.c3[i] ^ k1;
      b.c3[i] = static_cast<std::uint32_t>(u);
    }
}

// Signed: their conversion is one instruction.
float to_unit(std::uint32_t word) noexcept {
  return static_cast<float>(static_cast<std::int32_t>(word >> 8)) * 0x1p-24F;
}
double to_unit(std::uint32_t high, std::uint32_t low) noexcept {
  const std::uint64_t bits = ((static_cast<std::uint64_t>(high) << 32) | low) >> 11;
  return static_cast<double>(static_cast<std::int64_t>(bits)) * 0x1p-53;
}

}  // namespace

template <> void philox_uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, float* out) noexcept {
  Blocks b;
  philox(seed, stream, first, b);
  for (std::size_t i = 0; i < philox_lanes; ++i) {
    out[4 * i] = to_unit(b.c0[i]);
    out[4 * i + 1] = to_unit(b.c1[i]);
    out[4 * i + 2] = to_unit(b.c2[i]);
    out[4 * i + 3] = to_unit(b.c3[i]);
  }
}

template <> void philox_uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, double* out) noexcept {
  Blocks b;
  philox(seed, stream, first, b);
  for (std::size_t i = 0; i < philox_lanes; ++i) {
    out[2 * i] = to_unit(b.c0[i], b.c1[i]);
    out[2 * i + 1] = to_unit(b.c2[i], b.c3[i]);
  }
}

}  // namespace xtape::kernels
