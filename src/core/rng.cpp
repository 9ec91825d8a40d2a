// Compiled with -ffp-contract=off: a fused multiply-add where the processor has one would make the
// normal numbers differ in their last bit between machines.
#include <xtape/error.hpp>
#include <xtape/rng.hpp>

#include <Random123/philox.h>
#include <fmt/format.h>

#include "distributions.hpp"
#include "philox.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace xtape {
namespace {

std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t block) noexcept {
  const r123::Philox4x32::ctr_type counter = {
      {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), static_cast<std::uint32_t>(stream),
       static_cast<std::uint32_t>(stream >> 32)}};
  const r123::Philox4x32::key_type key = {{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const auto words = r123::Philox4x32{}(counter, key);
  return {words[0], words[1], words[2], words[3]};
}

constexpr double pi = 3.14159265358979323846;

// log u for u in (0, 1]: u = m 2^e with m in [1/sqrt 2, sqrt 2), log m = 2 artanh((m - 1)/(m + 1)).
double portable_log(double u) noexcept {
  constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  const auto bits = std::bit_cast<std::uint64_t>(u);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 1.41421356237309504880) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1.0) / (m + 1.0), z = s * s;
  double series = 0.0;
  for (int k = 11; k >= 0; --k) series = series * z + 1.0 / (2 * k + 1);
  return exponent * ln2_high + (exponent * ln2_low + 2.0 * s * series);
}

// sin and cos of 2 pi u for u in [0, 1): the quarter turn apart, Taylor series on [-pi/4, pi/4].
std::pair<double, double> portable_sincos_2pi(double u) noexcept {
  const int quarter = static_cast<int>(4.0 * u + 0.5);
  const double x = 2.0 * pi * (u - 0.25 * quarter), z = x * x;
  double s = 0.0, c = 0.0;
  for (int k = 8; k >= 0; --k) {
    s = 1.0 - s * z / ((2 * k + 2) * (2 * k + 3));
    c = 1.0 - c * z / ((2 * k + 1) * (2 * k + 2));
  }
  s *= x;
  switch (quarter & 3) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
    default: return {-c, s};
  }
}

double to_unit(std::uint32_t high, std::uint32_t low) noexcept {
  return static_cast<double>(((static_cast<std::uint64_t>(high) << 32) | low) >> 11) * 0x1p-53;
}

// Two independent normal numbers from one block of four words.
std::pair<double, double> box_muller(const std::array<std::uint32_t, 4>& w) noexcept {
  const double radius = std::sqrt(-2.0 * portable_log(1.0 - to_unit(w[0], w[1])));
  const auto [s, c] = portable_sincos_2pi(to_unit(w[2], w[3]));
  return {radius * c, radius * s};
}

// What takes u in [0, 1) to [low, high).
template <class T> struct Interval {
  T low, high, below;  // the largest number below high, or low
  bool wide;           // high - low overflows

  Interval(const char* function, T from, T to) : low(from), high(to) {
    detail::need_interval(function, low, high);
    below = low < high ? std::nextafter(high, low) : low;
    wide = !std::isfinite(high - low);
  }
  T operator()(T u) const {
    const T x = wide ? 2 * (low / 2 + (high / 2 - low / 2) * u) : low + (high - low) * u;
    return x < high ? x : below;
  }
};

// Normal numbers of large mean and deviation, each part of which may overflow though their sum does not: |z| < 16.
template <class T> T scaled_normal(T mean, T deviation, T z) {
  const T x = mean + deviation * z;
  return std::isfinite(x) ? x : 16 * (mean / 16 + deviation / 16 * z);
}

}  // namespace

Rng::result_type Rng::operator()() noexcept {
  const auto lane = words_ % 4;
  if (lane == 0) block_ = philox(seed_, stream_, words_ / 4);
  ++words_;
  return block_[lane];
}

double Rng::uniform() noexcept {
  const auto high = (*this)();
  return to_unit(high, (*this)());
}

double Rng::uniform(double low, double high) { return Interval("uniform", low, high)(uniform()); }

double Rng::normal() noexcept {
  std::array<std::uint32_t, 4> words;
  for (auto& w : words) w = (*this)();
  return box_muller(words).first;
}

std::uint64_t Rng::below(std::uint64_t n) noexcept {
  if (n == 0) return 0;
  __extension__ using Wide = unsigned __int128;
  for (;;) {
    const std::uint64_t high = (*this)();
    const Wide product = static_cast<Wide>((high << 32) | (*this)()) * n;
    const auto low = static_cast<std::uint64_t>(product);
    if (low >= n || low >= (0 - n) % n) return static_cast<std::uint64_t>(product >> 64);
  }
}

template <class T> void Rng::fill_uniform(std::span<T> out, T low, T high) {
  const Interval<T> interval("fill_uniform", low, high);
  words_ = (words_ + 3) / 4 * 4;  // whole blocks, so that a block depends on its index alone
  constexpr std::size_t per_block = kernels::philox_numbers<T>, group = per_block * kernels::philox_lanes;
  T some[group];
  for (std::size_t i = 0; i < out.size(); i += group) {
    const std::size_t n = std::min(out.size() - i, group);
    T* const to = out.data() + i;
    kernels::philox_uniform(seed_, stream_, words_ / 4, n == group ? to : some);
    if (n < group) std::copy_n(some, n, to);
    words_ += 4 * ((n + per_block - 1) / per_block);
  }
  if (low != T(0) || high != T(1))
    for (T& x : out) x = interval(x);
}

template <class T> void Rng::fill_normal(std::span<T> out, T mean, T standard_deviation) {
  detail::need_normal("fill_normal", mean, standard_deviation);
  words_ = (words_ + 3) / 4 * 4;
  const std::uint64_t first = words_ / 4;
  const std::size_t blocks = (out.size() + 1) / 2;
  for (std::size_t b = 0; b < blocks; ++b) {
    const auto [x, y] = box_muller(philox(seed_, stream_, first + b));
    out[2 * b] = scaled_normal(mean, standard_deviation, static_cast<T>(x));
    if (2 * b + 1 < out.size()) out[2 * b + 1] = scaled_normal(mean, standard_deviation, static_cast<T>(y));
  }
  words_ += 4 * blocks;
}

Rng Rng::split() noexcept {
  // A stream number drawn from this stream: 64 random bits, so two splits collide with probability 2^-64.
  const std::uint64_t high = (*this)();
  return Rng(seed_, (high << 32) | (*this)());
}

Rng Rng::from_state(const State& state) noexcept {
  Rng rng(state.seed, state.stream);
  rng.words_ = state.words;
  if (state.words % 4 != 0) rng.block_ = philox(state.seed, state.stream, state.words / 4);
  return rng;
}

template void Rng::fill_uniform(std::span<float>, float, float);
template void Rng::fill_uniform(std::span<double>, double, double);
template void Rng::fill_normal(std::span<float>, float, float);
template void Rng::fill_normal(std::span<double>, double, double);

}  // namespace xtape
