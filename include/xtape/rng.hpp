#pragma once
/// \file rng.hpp  Random numbers that are the same for the same seed on every machine.

#include <array>
#include <cstdint>
#include <span>
#include <utility>

namespace xtape {

/// A counter-based generator: Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as
/// easy as 1, 2, 3", SC'11). Number i of a stream is a function of (seed, stream, i) alone, so results
/// depend neither on the number of threads nor on the platform. Passed explicitly, never global.
/// Copying an Rng copies its position: both copies then give the same numbers.
/// Satisfies std::uniform_random_bit_generator.
class Rng {
 public:
  using result_type = std::uint32_t;

  /// Streams of the same seed are independent of each other.
  explicit Rng(std::uint64_t seed = 0, std::uint64_t stream = 0) noexcept : seed_(seed), stream_(stream) {}

  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return 0xffffffffU; }

  /// The next 32 random bits.
  result_type operator()() noexcept;

  /// Uniform on [0, 1) with 53 random bits.
  double uniform() noexcept;
  /// Uniform on [low, high), also where high - low overflows; low if both are equal. Throws ValueError unless both are
  /// finite and low <= high.
  double uniform(double low, double high);
  /// Standard normal, by Box & Muller (1958), with logarithm and cosine of our own so that the bits do
  /// not depend on the C library.
  double normal() noexcept;
  /// An integer, uniform on [0, n), without bias (Lemire 2019). n = 0 gives 0.
  std::uint64_t below(std::uint64_t n) noexcept;

  /// Fills with uniform numbers on [low, high); T is float (24 random bits) or double (53). A number that would be
  /// rounded to high is the one below it. Throws as uniform does, and draws nothing.
  template <class T> void fill_uniform(std::span<T> out, T low = T(0), T high = T(1));
  /// Fills with normal numbers; T is float or double. Throws ValueError, and draws nothing, unless the mean is finite
  /// and the standard deviation finite and not negative.
  template <class T> void fill_normal(std::span<T> out, T mean = T(0), T standard_deviation = T(1));

  /// Fisher-Yates shuffle, in place.
  template <class V> void shuffle(std::span<V> values) noexcept {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

  /// A generator of an independent stream; consecutive calls give different ones.
  Rng split() noexcept;

  /// The whole state, for checkpoints: seed, stream, and the number of 32-bit words drawn.
  struct State {
    std::uint64_t seed, stream, words;
    bool operator==(const State&) const = default;
  };
  State state() const noexcept { return {seed_, stream_, words_}; }
  static Rng from_state(const State& state) noexcept;

 private:
  std::uint64_t seed_, stream_;
  std::uint64_t words_ = 0;               // 32-bit words drawn so far
  std::array<std::uint32_t, 4> block_{};  // the block that word `words_` lies in, if words_ % 4 != 0
};

}  // namespace xtape
