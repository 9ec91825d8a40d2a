#pragma once
// What a sweep knows while it runs, and the sets of nodes that it goes by.

#include "of_thread.hpp"
#include "recording.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <memory>

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

// The state of one sweep. Sweeps can nest: a pullback may run a tape of its own.
struct Recording::Sweep final : Sums {
  // A target, found by the node that made it, or else by the tensor itself.
  struct Key {
    std::uint32_t node;
    const TensorImpl* source;
    std::uint32_t target;
    bool operator==(const Key& other) const noexcept { return node == other.node && source == other.source; }
    bool operator<(const Key& other) const noexcept {
      return node != other.node ? node < other.node : std::less<>()(source, other.source);
    }
  };
  // Nodes are counted from `first` on.
  struct Memory {
    PoolVector<Handle<TensorImpl>> gradients;  // of each node's output, as far as they are known; after a sweep null
    NodeSet pending;                           // nodes that have a gradient and whose turn has not come
    NodeSet reached;                           // nodes that the root depends on
    PoolVector<std::uint8_t> leads;  // of nodes that are reached, if there are targets: to one of them: 1, is one: 2
    PoolVector<Key> keys;            // of the targets, sorted
    Memory* next = nullptr;
    std::size_t nodes = 0;  // of the sweep
    bool swept = false;     // to the end

    void make_room(std::size_t count, bool targets) {
      nodes = count;
      if (gradients.size() < count) gradients.resize(count);
      pending.make_room(count);
      reached.make_room(count);
      if (targets && leads.size() < count) leads.resize(count);
    }
    // As after a sweep, whether or not one came to its end.
    void reset() noexcept {
      keys.clear();
      if (std::exchange(swept, false)) return;
      std::ranges::fill(gradients, Handle<TensorImpl>());
      pending.clear();
      reached.clear();
    }
  };
  // What the thread keeps for its next sweeps: as many as have run within each other.
  struct Kept {
    Memory* first = nullptr;
    ~Kept() {
      while (first) delete std::exchange(first, first->next);
    }
  };
  struct Keep {
    void operator()(Memory* memory) const noexcept {
      constexpr std::size_t large = std::size_t{1} << 16;
      Kept* const kept = OfThread<Kept>::get();
      if (!kept || (memory->gradients.size() > large && memory->nodes < memory->gradients.size() / 8)) {
        delete memory;
        return;
      }
      memory->reset();
      memory->next = std::exchange(kept->first, memory);
    }
  };
  static Memory* take_memory() {
    Kept* const kept = OfThread<Kept>::get();
    return kept && kept->first ? std::exchange(kept->first, kept->first->next) : new Memory;
  }
  struct Running {
    int& sweeps;
    explicit Running(int& of) : sweeps(++of) {}
    ~Running() { --sweeps; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
  };

  const Recording& recording;
  Running running;
  std::unique_ptr<Memory, Keep> memory;
  std::size_t nodes;                 // in all
  std::size_t at;                    // the one whose turn it is, counted from the first
  std::size_t first;                 // node
  std::span<Tape::Target>* targets;  // null: accumulate into the parameters' grad()
  bool create_graph, retain;
  // Of sources with hooks, in the order of Watch::source_hooks: kept apart until all of it is there.
  std::vector<Handle<TensorImpl>> hooked;
  // The lowest node that uses each of them, and its place among them; the highest last. Below it no more can come.
  struct Turn {
    std::size_t node, place;
  };
  std::vector<Turn> turns;

  // The edges of that node, and of which of them the sums are lent.
  std::uint32_t first_edge = 0, edges = 0;
  std::uint64_t lent = 0;

  Sweep(const Recording& of, std::size_t begin, std::size_t end, std::span<Tape::Target>* to,
        const BackwardOptions& options, int& sweeps)
      : recording(of),
        running(sweeps),
        memory(take_memory()),
        nodes(end > begin ? end - begin : 0),
        at(nodes),
        first(begin),
        targets(to),
        create_graph(options.create_graph),
        retain(options.create_graph || options.retain_graph) {
    memory->make_room(nodes, targets != nullptr);
    if (!targets) return;
    auto& keys = memory->keys;
    for (std::size_t i = 0; i < targets->size(); ++i) {
      const TensorImpl* tensor = (*targets)[i].of->get();
      const bool inside = recording.links(*tensor);
      const std::uint32_t node = inside ? tensor->link.node : Edge::none;
      keys.push_back({node, inside ? nullptr : tensor, static_cast<std::uint32_t>(i)});
    }
    std::sort(keys.begin(), keys.end(),
              [](const Key& a, const Key& b) { return a == b ? a.target < b.target : a < b; });
  }
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  Handle<TensorImpl>& gradient_of(std::size_t node) noexcept { return memory->gradients[node - first]; }
  // It has one now, or is about to.
  void expect(std::size_t node) noexcept {
    if (node - first + 1 != at) memory->pending.insert(node - first);
  }
  // The next one that has a gradient, if there is one. That it is the next on the tape is the usual.
  bool advance() noexcept {
    NodeSet& pending = memory->pending;
    at = at > 0 && memory->gradients[at - 1] ? at - 1 : pending.highest_below(at);
    if (at == NodeSet::none) return false;
    if (pending.contains(at)) pending.erase(at);
    return true;
  }
  Handle<TensorImpl> lend(std::size_t input) override {
    if (input >= edges || input >= 64) return {};
    Handle<TensorImpl> sum = recording.lend_sum(*this, recording.edges_[first_edge + input]);
    if (sum) lent |= std::uint64_t{1} << input;
    return sum;
  }
  // The first target that is this tensor, or null. A tensor may be given twice: the others follow.
  const Key* find(std::uint32_t node, const TensorImpl* source) const noexcept {
    const Key key{node, source, 0};
    const auto& keys = memory->keys;
    if (keys.size() > 8) {
      const auto found = std::lower_bound(keys.begin(), keys.end(), key);
      return found != keys.end() && *found == key ? &*found : nullptr;
    }
    for (const Key& other : keys)
      if (other == key) return &other;
    return nullptr;
  }
  bool wants(const Edge& edge) const noexcept {
    if (edge.node != Edge::none && edge.node >= first) return !targets || memory->leads[edge.node - first] != 0;
    if (edge.node == Edge::none && !edge.source) return false;
    if (!targets) return edge.node != Edge::none || edge.source->requires_grad;
    return find(edge.node, edge.source.get()) != nullptr;
  }
};

}  // namespace xtape::detail
