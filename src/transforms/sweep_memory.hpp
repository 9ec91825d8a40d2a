#pragma once
// The memory of sweeps, which a thread keeps from one to the next.

#include "../core/of_thread.hpp"
#include "../tape/node_set.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace xtape::detail {

// A target of a sweep: found by the node that made it, or else by the tensor itself.
struct TargetKey {
  std::uint32_t node;
  const TensorImpl* leaf;
  std::uint32_t target;
  bool operator==(const TargetKey& other) const noexcept { return node == other.node && leaf == other.leaf; }
  bool operator<(const TargetKey& other) const noexcept {
    return node != other.node ? node < other.node : std::less<>()(leaf, other.leaf);
  }
};

// What a sweep needs for each node. Nodes are counted from its first one on.
struct SweepMemory {
  // Whether a sweep must pass a node to reach its targets.
  enum class Leads : std::uint8_t { nowhere, to_target, is_target };

  PoolVector<Handle<TensorImpl>> gradients;  // of each node's output, as far as they are known; after a sweep null
  NodeSet pending;                           // nodes that have a gradient and whose turn has not come
  NodeSet reached;                           // nodes that the root depends on
  PoolVector<Leads> leads;                   // of nodes that are reached, if there are targets
  PoolVector<TargetKey> keys;                // of the targets, sorted
  SweepMemory* next = nullptr;
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

  // What the thread keeps for its next sweeps: as many as have run within each other.
  struct Kept {
    SweepMemory* first = nullptr;
    ~Kept() {
      while (first) delete std::exchange(first, first->next);
    }
  };
  struct Keep {
    void operator()(SweepMemory* memory) const noexcept {
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
  using Owner = std::unique_ptr<SweepMemory, Keep>;
  static Owner take() {
    Kept* const kept = OfThread<Kept>::get();
    return Owner(kept && kept->first ? std::exchange(kept->first, kept->first->next) : new SweepMemory);
  }
};

}  // namespace xtape::detail
