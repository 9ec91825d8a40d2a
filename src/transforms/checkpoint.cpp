// A node that keeps its inputs and the function: the sweep runs the function again, on a tape for itself or, if the
// sweep is recorded, on the active one.
#include <xtape/transforms.hpp>

#include "../ops/common.hpp"
#include "../tape/watch.hpp"
#include "sweep.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

namespace xtape {
namespace {

using Impl = detail::Handle<detail::TensorImpl>;
template <class T> using Tensors = std::vector<Tensor<T>>;

// Checkpoints within each other run within each other, so their number is limited by the thread's stack. Throws where
// an eighth of it is left, and at most 1 MiB. A stack that the system does not know of, as coroutines have, is not
// judged.
void check_stack() {
  constinit static thread_local const char *lowest = nullptr, *highest = nullptr;
  if (!highest) {
    pthread_attr_t attributes;
    void* address = nullptr;
    std::size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    pthread_attr_getstack(&attributes, &address, &bytes);
    pthread_attr_destroy(&attributes);
    lowest = static_cast<const char*>(address);
    highest = lowest + bytes;
  }
  const auto* const here = static_cast<const char*>(__builtin_frame_address(0));
  if (here < lowest || here > highest) return;
  const auto left = static_cast<std::size_t>(here - lowest), all = static_cast<std::size_t>(highest - lowest);
  if (left < std::min<std::size_t>(all / 8, 1 << 20))
    throw TapeError(
        "checkpoint: so many checkpoints within each other that the thread's stack is nearly used up; nest fewer, or "
        "run them on a thread with a larger stack");
}

// Every tensor that nodes from `first` on took from outside must have been among the first run's.
void check_sources(const detail::Recording& recording, std::size_t first, const std::vector<Impl>& sources) {
  std::unordered_set<const detail::TensorImpl*> known;
  std::unordered_set<std::uint32_t> known_nodes;
  for (const Impl& source : sources) {
    known.insert(source.get());
    if (recording.links(*source)) known_nodes.insert(source->link.node);
  }
  for (const detail::Edge& edge : recording.edges_since(first)) {
    const bool before = edge.is_node() && edge.at < first;
    if (!edge.leaf && !before) continue;
    if (!(before ? known_nodes.contains(edge.at) : known.contains(edge.leaf.get())))
      throw TapeError(
          "checkpoint: the function used other tensors when it ran again than in its first run; capture tensors by "
          "value, and let it depend on nothing that changes");
  }
}

// Of the elements' bits; as good as certain to differ where they do. Four words at a time, which do not wait for each
// other.
template <class T> std::uint64_t hash_of(const Tensor<T>& x) {
  std::array<std::uint64_t, 4> hash{1, 2, 3, 4}, words;
  const auto mix = [](std::uint64_t& into, std::uint64_t word) {
    into = (into ^ word) * 0x9e3779b97f4a7c15U;
    into ^= into >> 32;
  };
  constexpr std::size_t step = sizeof(words) / sizeof(T);
  for (std::size_t i = 0; i < x.size(); i += step) {
    const std::size_t count = std::min(step, x.size() - i);
    if (count < step) words = {};
    std::memcpy(words.data(), x.data() + i, count * sizeof(T));
    for (std::size_t lane = 0; lane < hash.size(); ++lane) mix(hash[lane], words[lane]);
  }
  for (std::size_t lane = 1; lane < hash.size(); ++lane) mix(hash[0], hash[lane]);
  return hash[0];
}

// What the tape keeps.
template <class T> struct Again {
  detail::RandomFunctionOfMany<T> f;
  Tensors<T> x;
  Rng rng;             // as it was
  std::uint64_t hash;  // of the first run's result
  bool anomaly;        // is searched for
  std::vector<Impl> sources;

  Gradients operator()(const Tensor<T>& dy, Wanted wanted) const {
    check_stack();
    if (Tape::recording()) return pull(*detail::active_recording(), dy, wanted, {.create_graph = true});
    const Tape tape{{.anomaly = anomaly}};
    return pull(*detail::active_recording(), dy, wanted, {});
  }

 private:
  Gradients pull(detail::Recording& recording, const Tensor<T>& dy, Wanted wanted,
                 const BackwardOptions& options) const {
    const std::size_t first = recording.nodes().size();
    Rng again = rng;
    const Tensor<T> y = f(x, again);
    check_sources(recording, first, sources);
    if (!y.defined() || y.shape() != dy.shape())
      throw TapeError(fmt::format("checkpoint: the function gave shape {} when it ran again, and {} in its first run",
                                  y.defined() ? to_string(y.shape()) : "undefined", to_string(dy.shape())));
    if (hash_of(y) != hash)
      throw TapeError(
          "checkpoint: the function gave other values when it ran again than in its first run: it draws from a "
          "generator of its own (pass one: checkpoint(f, x, rng)), a tensor that it takes was modified, or it depends "
          "on something else that changed");
    std::vector<Impl> targets;
    std::vector<std::size_t> place;
    for (std::size_t i = 0; i < sources.size(); ++i)
      if (wanted[i] && recording.needs_gradient(*sources[i])) {
        targets.push_back(sources[i]);
        place.push_back(i);
      }
    auto found = detail::gradients_of(recording, y.impl(), dy.impl(), targets, options, first);
    std::vector<Impl> of_source(sources.size());
    for (std::size_t i = 0; i < found.size(); ++i) of_source[place[i]] = std::move(found[i]);
    Gradients gradients;
    for (auto& gradient : of_source) gradients.add(std::move(gradient));
    return gradients;
  }
};

template <class T> Tensor<T> checkpointed(const detail::RandomFunctionOfMany<T>& f, const Tensors<T>& x, Rng& rng) {
  if (!Tape::recording()) return f(x, rng);
  check_stack();
  const Rng start = rng;
  const bool anomaly = detail::active_recording()->anomaly() != nullptr;
  Tensor<T> y;
  std::vector<Impl> sources;
  {
    // Shows which tensors f depends on, wherever it has them from; what it computes on the way goes with the tape.
    const Tape tape{{.anomaly = anomaly}};
    y = f(x, rng);
    if (!y.defined()) throw Error("checkpoint: the function returned an undefined tensor");
    if (!detail::active_recording()->links(*y.impl())) return y;
    sources = detail::active_recording()->sources();
  }
  std::vector<Inputs::Input> inputs;  // which look at the handle alone, whatever the element type
  for (const Impl& source : sources) inputs.emplace_back(Tensor<T>(source));
  return record("checkpoint", y.detach(), Inputs(inputs), Again<T>{f, x, start, hash_of(y), anomaly, sources});
}

}  // namespace

template <class T> Tensor<T> checkpoint(const detail::RandomFunctionOfMany<T>& f, const Tensors<T>& x, Rng& rng) {
  return checkpointed<T>(f, x, rng);
}
template <class T> Tensor<T> checkpoint(const detail::RandomFunction<T>& f, const Tensor<T>& x, Rng& rng) {
  return checkpointed<T>([f](const Tensors<T>& inputs, Rng& r) { return f(inputs[0], r); }, {x}, rng);
}
template <class T> Tensor<T> checkpoint(const detail::FunctionOfMany<T>& f, const Tensors<T>& x) {
  Rng none;
  return checkpointed<T>([f](const Tensors<T>& inputs, Rng&) { return f(inputs); }, x, none);
}
template <class T> Tensor<T> checkpoint(const detail::FunctionOf<T>& f, const Tensor<T>& x) {
  Rng none;
  return checkpointed<T>([f](const Tensors<T>& inputs, Rng&) { return f(inputs[0]); }, {x}, none);
}

#define XTAPE_CHECKPOINT(T)                                                                \
  template Tensor<T> checkpoint(const detail::FunctionOf<T>&, const Tensor<T>&);           \
  template Tensor<T> checkpoint(const detail::FunctionOfMany<T>&, const Tensors<T>&);      \
  template Tensor<T> checkpoint(const detail::RandomFunction<T>&, const Tensor<T>&, Rng&); \
  template Tensor<T> checkpoint(const detail::RandomFunctionOfMany<T>&, const Tensors<T>&, Rng&);
XTAPE_INSTANTIATE(XTAPE_CHECKPOINT)

}  // namespace xtape
