#pragma once
// Passes over the inputs of a restricted Boltzmann machine's units.

#include <xtape/detail/loop.hpp>
#include <xtape/functions.hpp>
#include <xtape/rng.hpp>

#include "../core/philox.hpp"
#include "parallel.hpp"
#include "reduce.hpp"

namespace xtape::kernels {

// Half a Gibbs step in one pass: bias, sigmoid, uniform draw, comparison. x: (rows, units) inputs without bias.
// probability = sigmoid(scale x + bias), state = 1 where a uniform draw is below it, else 0. Either output may
// be null or x itself. Where the probability is NaN, so is the state. Each row's draws start with a new block of the
// generator.
template <class T>
void half_step(const T* x, const T* bias, std::size_t rows, std::size_t units, T scale, T* probability, T* state,
               Rng& rng) {
  using B = simd::Batch<T>;
  // Draws for what stays in the first cache: several rows, or a part of one.
  constexpr std::size_t tile = 2048, block = philox_numbers<T>;
  T draws[tile];
  const std::size_t columns = std::min(units, tile), stride = (columns + block - 1) / block * block;
  const std::size_t height = columns == 0 ? rows : std::max<std::size_t>(tile / stride, 1);
  const B factor(scale);
  const auto f = [factor](const std::array<B, 3>& v) {
    const B p = fn::Sigmoid{}.value(factor * v[0] + v[1]);
    const B on = xsimd::select(v[2] < p, B(T(1)), B(T(0)));
    return std::array<B, 2>{p, on + (p - p)};
  };
  for (std::size_t r = 0; r < rows; r += height)
    for (std::size_t j = 0; j < units; j += tile) {
      const std::size_t n = std::min(tile, units - j), m = std::min(height, rows - r);
      if (state) rng.fill_uniform(std::span<T>(draws, m == 1 ? n : m * stride));
      for (std::size_t i = 0; i < m; ++i) {
        const std::size_t at = (r + i) * units + j;
        xtape::detail::run_row<T, 3, 2>(n, {x + at, bias + j, draws + i * stride}, {1, 1, 1},
                                        {probability ? probability + at : nullptr, state ? state + at : nullptr}, f);
      }
    }
}

// The sum of f(x_i, y_i) over i in [0, n), f on batches; no overflow of the terms' own making.
template <class T, class F> T sum_of(const T* x, const T* y, std::size_t n, const F& f) {
  using B = simd::Batch<T>;
  constexpr std::size_t tile = 512;
  T terms[tile], total = 0;
  for (std::size_t i = 0; i < n; i += tile) {
    const std::size_t m = std::min(tile, n - i);
    xtape::detail::run_row<T, 2, 1>(m, {x + i, y + i}, {1, 1}, {terms},
                                    [&f](const std::array<B, 2>& v) { return std::array<B, 1>{f(v[0], v[1])}; });
    total += sum(terms, m);
  }
  return total;
}

// sum_i softplus(scale (x_i + y_i)), softplus(x) = log(1 + e^x): what a row of hidden units adds to log p*(v).
template <class T> T softplus_sum(const T* x, const T* y, std::size_t n, T scale) {
  using B = simd::Batch<T>;
  return sum_of(x, y, n,
                [factor = B(scale)](const B& a, const B& b) { return fn::Softplus{}.value(factor * (a + b)); });
}

// sum_i softplus(to (x_i + y_i)) - softplus(from (x_i + y_i)), without the cancellation of the two where `from`
// and `to` are close: log(1 + e^(t+d)) - log(1 + e^t) = log1p(sigmoid(t) expm1(d)).
template <class T> T softplus_change(const T* x, const T* y, std::size_t n, T from, T to) {
  using B = simd::Batch<T>;
  return sum_of(x, y, n, [f = B(from), g = B(to), step = B(to - from)](const B& a, const B& b) {
    const B u = a + b, d = step * u, one(T(1));
    const auto near = xsimd::abs(d) < one;
    const B change = xsimd::log1p(fn::Sigmoid{}.value(f * u) * simd::expm1(d));
    if (xsimd::all(near)) return change;
    return xsimd::select(near, change, fn::Softplus{}.value(g * u) - fn::Softplus{}.value(f * u));
  });
}

// half_step, its rows cut for several threads. A row's draws stand at a place of the generator's stream that depends on
// the row alone, so the states are the same whatever their number; and the same as those that a batch of `whole` rows
// gets, if these are its rows from `first_row` on. The generator goes on behind the draws of the whole.
template <class T>
void half_steps(const T* x, const T* bias, std::size_t rows, std::size_t units, T scale, T* probability, T* state,
                Rng& rng, std::size_t first_row, std::size_t whole) {
  const auto at_row = [start = rng.state(), units](std::size_t row) {
    constexpr std::size_t block = philox_numbers<T>;
    Rng::State there = start;
    there.words = (start.words + 3) / 4 * 4 + row * ((units + block - 1) / block * 4);
    return Rng::from_state(there);
  };
  parallel_for(rows, grain(8 * units), [&](std::size_t first, std::size_t last) {
    const std::size_t at = first * units;
    Rng own = at_row(first_row + first);
    half_step<T>(x + at, bias, last - first, units, scale, probability ? probability + at : nullptr,
                 state ? state + at : nullptr, own);
  });
  if (state && whole * units != 0) rng = at_row(whole);
}
template <class T>
void half_steps(const T* x, const T* bias, std::size_t rows, std::size_t units, T scale, T* probability, T* state,
                Rng& rng) {
  half_steps(x, bias, rows, units, scale, probability, state, rng, 0, rows);
}

}  // namespace xtape::kernels
