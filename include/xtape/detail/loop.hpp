#pragma once
/// \file detail/loop.hpp  The elementwise loop: broadcast inputs in, contiguous outputs out, SIMD inside.

#include <xtape/detail/parallel.hpp>
#include <xtape/detail/simd.hpp>
#include <xtape/shape.hpp>

#include <array>
#include <cstddef>
#include <utility>

namespace xtape::detail {

/// At most this many inputs to one elementwise loop.
inline constexpr std::size_t max_loop_inputs = 8;

/// The least part of a loop over elements that each take a few exponentials.
inline constexpr std::size_t costly_grain = part_work / 4;

/// A broadcast loop nest with neighbouring axes merged: strides count elements. The last axis is walked
/// with stride 0 or 1 by every input.
struct LoopPlan {
  Shape shape;           // of the result
  std::size_t rank = 0;  // of the merged nest, at least 1
  std::array<std::size_t, max_rank> extent;
  std::array<std::array<std::size_t, max_rank>, max_loop_inputs> stride;
};

/// The nest over the broadcast shape of the inputs; an input may be null: a number, broadcast to all.
/// Throws ShapeError naming op and shapes.
LoopPlan plan_loop(const char* op, const Shape* const* inputs, std::size_t count);

/// One contiguous run of n outputs; step[k] is 0 for an input that stands still. All of f is inlined: a call would put
/// vectors onto the stack and back.
template <class T, std::size_t K, std::size_t M, class F>
[[gnu::flatten]] void run_row(std::size_t n, std::array<const T*, K> in, const std::array<std::size_t, K>& step,
                              std::array<T*, M> out, const F& given) {
  using B = simd::Batch<T>;
  constexpr std::size_t width = B::size;
  const F f = given;  // a copy that no store reaches: what it holds stays in registers
  std::array<B, K> x;
  std::size_t i = 0;
  if (n >= width) {
    alignas(64) T still[K][width];
    std::array<const T*, K> at = in;
    std::array<std::size_t, K> advance;
    for (std::size_t k = 0; k < K; ++k) {
      advance[k] = width * step[k];
      if (step[k] == 0) {
        B(*in[k]).store_aligned(still[k]);
        at[k] = still[k];
      }
    }
    for (; i + width <= n; i += width) {
      for (std::size_t k = 0; k < K; ++k) {
        x[k] = B::load_unaligned(at[k]);
        at[k] += advance[k];
      }
      // Unrolled by hand: indexed by a variable, y would lie in memory.
      const std::array<B, M> y = f(x);
      [&]<std::size_t... m>(std::index_sequence<m...>) { ((out[m] ? y[m].store_unaligned(out[m] + i) : void()), ...); }
      (std::make_index_sequence<M>{});
    }
  }
  if (i == n) return;
  for (std::size_t k = 0; k < K; ++k) x[k] = step[k] == 0 ? B(*in[k]) : simd::load_some(in[k] + i, n - i);
  const std::array<B, M> y = f(x);
  for (std::size_t m = 0; m < M; ++m)
    if (out[m]) simd::store_some(y[m], out[m] + i, n - i);
}

/// The same for map, whose f is a user's in the user's file: it may be large and takes its time to compile, so there is
/// one copy of it for whole batches and the rest. And the file may be compiled without unrolling: no loop runs over the
/// inputs or outputs of a batch, which would lie in memory, indexed by a variable. The library's own small formulas run
/// up to four times as fast in the loop above.
template <class T, std::size_t K, std::size_t M, class F>
[[gnu::flatten]] void run_row_once(std::size_t n, std::array<const T*, K> in, const std::array<std::size_t, K>& step,
                                   std::array<T*, M> out, const F& given) {
  using B = simd::Batch<T>;
  constexpr std::size_t width = B::size;
  const F f = given;  // a copy that no store reaches: what it holds stays in registers
  alignas(64) T still[K][width];
  std::array<const T*, K> at = in;
  std::array<std::size_t, K> advance;
  for (std::size_t k = 0; k < K; ++k) {
    advance[k] = width * step[k];
    if (step[k] == 0 && n >= width) {
      B(*in[k]).store_aligned(still[k]);
      at[k] = still[k];
    }
  }
  for (std::size_t i = 0; i < n; i += width) {
    const std::size_t left = n - i;
    const auto load = [&](std::size_t k) -> B {
      if (left < width) [[unlikely]]
        return step[k] == 0 ? B(*in[k]) : simd::load_some(at[k], left);
      const T* from = at[k];
      at[k] += advance[k];
      return B::load_unaligned(from);
    };
    const auto store = [&](const B& y, T* to) {
      if (!to) return;
      if (left < width) [[unlikely]]
        simd::store_some(y, to + i, left);
      else
        y.store_unaligned(to + i);
    };
    const std::array<B, M> y = [&]<std::size_t... k>(std::index_sequence<k...>) {
      return f(std::array<B, K>{load(k)...});
    }
    (std::make_index_sequence<K>{});
    [&]<std::size_t... m>(std::index_sequence<m...>) { (store(y[m], out[m]), ...); }
    (std::make_index_sequence<M>{});
  }
}

template <class T, std::size_t K, std::size_t M, bool once, class F>
void run_either(std::size_t n, const std::array<const T*, K>& in, const std::array<std::size_t, K>& step,
                const std::array<T*, M>& out, const F& f) {
  if constexpr (once)
    run_row_once<T, K, M>(n, in, step, out, f);
  else
    run_row<T, K, M>(n, in, step, out, f);
}

/// run_row, or with `once` run_row_once, a long row cut for several threads: into parts of at least `grain` elements.
template <class T, std::size_t K, std::size_t M, bool once = false, class F>
void run_long_row(std::size_t n, const std::array<const T*, K>& in, const std::array<std::size_t, K>& step,
                  const std::array<T*, M>& out, const F& f, std::size_t grain = part_work) {
  // Whole blocks: no two threads write to one cache line.
  constexpr std::size_t block = 1024;
  if (n < 2 * grain) return run_either<T, K, M, once>(n, in, step, out, f);
  parallel_for((n - 1) / block + 1, grain / block, [&](std::size_t from, std::size_t to) {
    const std::size_t first = from * block;
    std::array<const T*, K> part_in = in;
    for (std::size_t k = 0; k < K; ++k) part_in[k] += first * step[k];
    std::array<T*, M> part_out = out;
    for (auto& o : part_out)
      if (o) o += first;
    run_either<T, K, M, once>(std::min(to * block, n) - first, part_in, step, part_out, f);
  });
}

/// Runs f on batches over the whole nest: out[m] = f(in[0], ..., in[K-1])[m]; a null output is skipped. Several threads
/// take parts of at least `grain` elements.
template <class T, std::size_t K, std::size_t M, bool once = false, class F>
void run_loop(const LoopPlan& plan, const std::array<const T*, K>& in, const std::array<T*, M>& out, const F& f,
              std::size_t grain = part_work) {
  const std::size_t inner = plan.rank - 1, n = plan.extent[inner];
  std::size_t rows = 1;
  for (std::size_t d = 0; d < inner; ++d) rows *= plan.extent[d];
  if (rows == 0 || n == 0) return;
  std::array<std::size_t, K> step;
  for (std::size_t k = 0; k < K; ++k) step[k] = plan.stride[k][inner];
  if (rows == 1) return run_long_row<T, K, M, once>(n, in, step, out, f, grain);
  parallel_for(rows, grain / n + 1, [&](std::size_t first, std::size_t last) {
    std::array<const T*, K> row_in = in;
    std::array<T*, M> row_out = out;
    for (auto& o : row_out)
      if (o) o += first * n;
    std::array<std::size_t, max_rank> index{};
    for (std::size_t d = inner, row = first; d-- > 0 && row > 0; row /= plan.extent[d]) {
      index[d] = row % plan.extent[d];
      for (std::size_t k = 0; k < K; ++k) row_in[k] += index[d] * plan.stride[k][d];
    }
    for (std::size_t row = first;;) {
      run_either<T, K, M, once>(n, row_in, step, row_out, f);
      if (++row == last) return;
      for (auto& o : row_out)
        if (o) o += n;
      for (std::size_t d = inner; d-- > 0;) {
        for (std::size_t k = 0; k < K; ++k) row_in[k] += plan.stride[k][d];
        if (++index[d] < plan.extent[d]) break;
        for (std::size_t k = 0; k < K; ++k) row_in[k] -= plan.stride[k][d] * plan.extent[d];
        index[d] = 0;
      }
    }
  });
}

}  // namespace xtape::detail
