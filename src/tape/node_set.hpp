#pragma once
// A set of a recording's nodes.

#include "recording.hpp"

#include <algorithm>
#include <bit>

namespace xtape::detail {

// A set of nodes, of which none is a member to begin with, walked in order. Its cost is that of its members and,
// between the lowest and the highest of them, a sixty-fourth of the others.
class NodeSet {
 public:
  static constexpr std::size_t none = ~std::size_t{0};
  void make_room(std::size_t nodes) {
    if (words_.size() < nodes / 64 + 1) words_.resize(nodes / 64 + 1);
  }
  void insert(std::size_t node) noexcept {
    words_[node / 64] |= std::uint64_t{1} << (node % 64);
    lowest_ = std::min(lowest_, node / 64);
  }
  void erase(std::size_t node) noexcept { words_[node / 64] &= ~(std::uint64_t{1} << (node % 64)); }
  bool contains(std::size_t node) const noexcept { return ((words_[node / 64] >> (node % 64)) & 1) != 0; }
  void insert_all(std::size_t nodes) noexcept {
    for (std::size_t at = 0; at < nodes / 64; ++at) words_[at] = ~std::uint64_t{0};
    if (nodes % 64 != 0) words_[nodes / 64] = (std::uint64_t{1} << (nodes % 64)) - 1;
    lowest_ = 0;
  }
  // The highest member below `end`, or none.
  std::size_t highest_below(std::size_t end) const noexcept {
    if (end == 0 || lowest_ == none) return none;
    std::size_t at = (end - 1) / 64;
    std::uint64_t word = words_[at] & (~std::uint64_t{0} >> (63 - (end - 1) % 64));
    while (word == 0) {
      if (at <= lowest_) return none;
      word = words_[--at];
    }
    return at * 64 + 63 - static_cast<std::size_t>(std::countl_zero(word));
  }
  // Calls f(node) for each up to `last`, from the lowest on, and leaves the set empty.
  template <class F> void drain(std::size_t last, const F& f) {
    for (std::size_t at = lowest_; at <= last / 64; ++at)
      for (std::uint64_t& word = words_[at]; word != 0; word &= word - 1)
        f(at * 64 + static_cast<std::size_t>(std::countr_zero(word)));
    lowest_ = none;
  }
  // No member is left: what is inserted next is the lowest.
  void restart() noexcept { lowest_ = none; }
  void clear() noexcept {
    std::ranges::fill(words_, 0);
    lowest_ = none;
  }

 private:
  PoolVector<std::uint64_t> words_;
  std::size_t lowest_ = none;  // word
};

}  // namespace xtape::detail
