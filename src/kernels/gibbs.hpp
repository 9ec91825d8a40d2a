#pragma once
// Half a Gibbs step in one pass over the units' inputs: bias, sigmoid, uniform draw, comparison.

#include <xtape/detail/loop.hpp>
#include <xtape/functions.hpp>
#include <xtape/rng.hpp>

namespace xtape::kernels {

// x: (rows, units) inputs without bias. probability = sigmoid(scale (x + bias)), state = 1 where a uniform
// draw is below it, else 0. Either output may be null or x itself.
template <class T>
void half_step(const T* x, const T* bias, std::size_t rows, std::size_t units, T scale, T* probability, T* state,
               Rng& rng) {
  using B = simd::Batch<T>;
  // Draws for about a cache's worth of units at a time.
  constexpr std::size_t tile = 2048;
  T draws[tile];
  const B factor(scale);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < units; j += tile) {
      const std::size_t n = std::min(tile, units - j), at = r * units + j;
      if (state) rng.fill_uniform(std::span<T>(draws, n));
      xtape::detail::run_row<T, 3, 2>(n, {x + at, bias + j, draws}, {1, 1, 1},
                                      {probability ? probability + at : nullptr, state ? state + at : nullptr},
                                      [&](const std::array<B, 3>& v) {
                                        const B p = fn::Sigmoid{}.value(factor * (v[0] + v[1]));
                                        return std::array<B, 2>{p, xsimd::select(v[2] < p, B(T(1)), B(T(0)))};
                                      });
    }
}

}  // namespace xtape::kernels
