#include "philox.hpp"

namespace xtape::kernels {

// As Random123's philox4x32 with ten rounds, written so that the compiler vectorises over the blocks: a test holds
// the two together.
void philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, std::uint32_t* words) noexcept {
  constexpr std::size_t n = philox_lanes;
  std::uint32_t c0[n], c1[n], c2[n], c3[n];
  for (std::size_t i = 0; i < n; ++i) {
    c0[i] = static_cast<std::uint32_t>(first + i);
    c1[i] = static_cast<std::uint32_t>((first + i) >> 32);
    c2[i] = static_cast<std::uint32_t>(stream);
    c3[i] = static_cast<std::uint32_t>(stream >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U)
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t a = std::uint64_t{0xD2511F53U} * c0[i], b = std::uint64_t{0xCD9E8D57U} * c2[i];
      c0[i] = static_cast<std::uint32_t>(b >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<std::uint32_t>(b);
      c2[i] = static_cast<std::uint32_t>(a >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<std::uint32_t>(a);
    }
  for (std::size_t i = 0; i < n; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

}  // namespace xtape::kernels
