#pragma once
// Rows of an array picked by a list, and added to places by a list.

#include <xtape/detail/memory.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "total.hpp"

namespace xtape::kernels {

// out (outer, m, inner), in (outer, n, inner): out[o, j, :] = in[o, rows[j], :]
template <class T>
void take_rows(std::size_t outer, std::size_t n, std::size_t inner, const std::int64_t* rows, std::size_t m,
               const T* in, T* out) {
  for (std::size_t o = 0; o < outer; ++o, in += n * inner, out += m * inner)
    if (inner == 1)
      for (std::size_t j = 0; j < m; ++j) out[j] = in[rows[j]];
    else
      for (std::size_t j = 0; j < m; ++j)
        std::copy_n(in + static_cast<std::size_t>(rows[j]) * inner, inner, out + j * inner);
}

// Terms that are added to one place one by one; sums of more are kept in more digits.
inline constexpr std::size_t few_terms = 16;

// How often each row of [0, n) has been met so far. Only counters of rows in the list are touched where that is short:
// it then takes the time of the list, however long the array.
class Counters {
 public:
  template <class Index>
  Counters(std::size_t n, const Index* rows, std::size_t m)
      : memory_(xtape::detail::Storage::make(n)), count_(static_cast<std::uint8_t*>(memory_->data())) {
    if (m > n / 16)
      std::fill_n(count_, n, std::uint8_t{0});
    else
      for (std::size_t j = 0; j < m; ++j) count_[rows[j]] = 0;
  }
  // True when the row is met more than a few times.
  template <class Index> bool crowded(Index row) { return ++count_[row] > few_terms; }

 private:
  xtape::detail::Handle<xtape::detail::Storage> memory_;
  std::uint8_t* count_;
};
template <class Index> bool crowded(std::size_t n, const Index* rows, std::size_t m) {
  if (m <= few_terms) return false;
  Counters counters(n, rows, m);
  return std::any_of(rows, rows + m, [&](Index row) { return counters.crowded(row); });
}

// For each row in the list, the places where it stands, as a chain: from the first on, next[j] is the one after place
// j. first[rows[j]] is j for the first place alone. Memory of rows that are not in the list is not touched.
struct Chains {
  static constexpr std::uint32_t end = std::numeric_limits<std::uint32_t>::max();
  xtape::detail::Handle<xtape::detail::Storage> first_memory, next_memory;
  std::uint32_t *first, *next;
  template <class Index>
  Chains(std::size_t n, const Index* rows, std::size_t m)
      : first_memory(xtape::detail::Storage::make(n * sizeof(std::uint32_t))),
        next_memory(xtape::detail::Storage::make(m * sizeof(std::uint32_t))),
        first(static_cast<std::uint32_t*>(first_memory->data())),
        next(static_cast<std::uint32_t*>(next_memory->data())) {
    for (std::size_t j = 0; j < m; ++j) first[rows[j]] = end;
    for (std::size_t j = m; j-- > 0;) {
      next[j] = first[rows[j]];
      first[rows[j]] = static_cast<std::uint32_t>(j);
    }
  }
};

// The sum of out's row and the rows of `in` in a chain, in its place.
template <class T> void add_chain(const Chains& chains, std::size_t place, std::size_t inner, const T* in, T* out) {
  constexpr std::size_t tile = 128;
  Total<T> total[tile];
  for (std::size_t c = 0; c < inner; c += tile) {
    const std::size_t columns = std::min(tile, inner - c);
    for (std::size_t i = 0; i < columns; ++i) total[i] = Total<T>(out[c + i]);
    for (std::size_t j = place; j != Chains::end; j = chains.next[j])
      for (std::size_t i = 0; i < columns; ++i) total[i].add(in[j * inner + c + i]);
    for (std::size_t i = 0; i < columns; ++i) out[c + i] = total[i].value();
  }
}

// out[rows[j]] += in[j], with a total for each place; a short list touches only those of its places.
template <class T, class Index>
void add_to_totals(std::size_t n, const Index* rows, std::size_t m, const T* in, T* out) {
  const auto memory = xtape::detail::Storage::make(n * sizeof(Total<T>));
  auto* const totals = static_cast<Total<T>*>(memory->data());
  // f(place) for the places in the list, or for all where that is shorter.
  const auto for_all = [&](const auto& f) {
    for (std::size_t i = 0; m >= n && i < n; ++i) f(i);
    for (std::size_t j = 0; m < n && j < m; ++j) f(static_cast<std::size_t>(rows[j]));
  };
  for_all([&](std::size_t at) { std::construct_at(totals + at, out[at]); });
  for (std::size_t j = 0; j < m; ++j) totals[rows[j]].add(in[j]);
  for_all([&](std::size_t at) { out[at] = totals[at].value(); });
}

// out[rows[j]] += in[j]: as they come until a place has had a few terms, from then on with totals.
template <class T, class Index> void add_places(std::size_t n, const Index* rows, std::size_t m, const T* in, T* out) {
  std::size_t j = 0;
  if (m > few_terms) {
    Counters counters(n, rows, m);
    for (; j < m && !counters.crowded(rows[j]); ++j) out[rows[j]] += in[j];
    if (j < m) add_to_totals(n, rows + j, m - j, in + j, out);
    return;
  }
  for (; j < m; ++j) out[rows[j]] += in[j];
}

// in (outer, m, inner), out (outer, n, inner): out[o, rows[j], :] += in[o, j, :]. A few terms to a row are added as
// they come, more with more digits, as in sum().
template <class T, class Index>
void add_rows(std::size_t outer, std::size_t n, std::size_t inner, const Index* rows, std::size_t m, const T* in,
              T* out) {
  if (outer == 0 || inner == 0) return;
  if (inner == 1) {
    for (std::size_t o = 0; o < outer; ++o) add_places(n, rows, m, in + o * m, out + o * n);
    return;
  }
  if (m < Chains::end && crowded(n, rows, m)) {
    const Chains chains(n, rows, m);
    for (std::size_t o = 0; o < outer; ++o, in += m * inner, out += n * inner)
      for (std::size_t j = 0; j < m; ++j)
        if (chains.first[rows[j]] == j)
          add_chain(chains, j, inner, in, out + static_cast<std::size_t>(rows[j]) * inner);
    return;
  }
  for (std::size_t o = 0; o < outer; ++o, in += m * inner, out += n * inner)
    for (std::size_t j = 0; j < m; ++j) {
      T* sum = out + static_cast<std::size_t>(rows[j]) * inner;
      for (std::size_t i = 0; i < inner; ++i) sum[i] += in[j * inner + i];
    }
}

}  // namespace xtape::kernels
