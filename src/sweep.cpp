// The backward sweep: from the root's node down to the first, each node handing its inputs what its
// pullback makes of its own gradient.
#include "recording.hpp"
#include "watch.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>

namespace xtape::detail {
namespace {

// True if a gradient of shape `from` can be summed down to `to`: NumPy broadcasting, read backwards.
bool broadcasts_to(const Shape& to, const Shape& from) {
  if (to.size() > from.size()) return false;
  const std::size_t offset = from.size() - to.size();
  for (std::size_t i = 0; i < to.size(); ++i)
    if (to[i] != from[offset + i] && to[i] != 1) return false;
  return true;
}

}  // namespace

// The state of one sweep. Sweeps can nest: a pullback may run a tape of its own.
struct Recording::Sweep {
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
  // The vectors' memory is kept from sweep to sweep.
  struct Memory {
    std::vector<Handle<TensorImpl>> gradients;  // of each node's output from `first` on, as far as they are known
    std::vector<std::uint8_t> leads;            // to a target: 1, is one: 2; empty if all nodes count
    std::vector<Key> keys;                      // of the targets, sorted
  };
  static Memory& scratch() {
    thread_local Memory memory;
    return memory;
  }

  Memory memory;
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
  int& running;

  Sweep(const Recording& recording, std::size_t begin, std::size_t end, std::span<Tape::Target>* to,
        const BackwardOptions& options, int& sweeps)
      : first(begin),
        targets(to),
        create_graph(options.create_graph),
        retain(options.create_graph || options.retain_graph),
        running(sweeps) {
    std::swap(memory, scratch());
    const std::size_t nodes = end > begin ? end - begin : 0;
    memory.gradients.resize(nodes);
    if (targets) {
      memory.leads.resize(nodes);
      for (std::size_t i = 0; i < targets->size(); ++i) {
        const TensorImpl* tensor = (*targets)[i].of->get();
        const bool inside = recording.links(*tensor);
        const std::uint32_t node = inside ? tensor->link.node : Edge::none;
        memory.keys.push_back({node, inside ? nullptr : tensor, static_cast<std::uint32_t>(i)});
        if (inside && node >= begin && node < end) memory.leads[node - begin] = 2;
      }
      std::sort(memory.keys.begin(), memory.keys.end(),
                [](const Key& a, const Key& b) { return a == b ? a.target < b.target : a < b; });
    }
    ++running;
  }
  ~Sweep() {
    --running;
    memory.gradients.clear();
    memory.leads.clear();
    memory.keys.clear();
    std::swap(memory, scratch());
  }
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  Handle<TensorImpl>& gradient_of(std::size_t node) noexcept { return memory.gradients[node - first]; }
  // The first target that is this tensor, or null. A tensor may be given twice: the others follow.
  const Key* find(std::uint32_t node, const TensorImpl* source) const noexcept {
    const Key key{node, source, 0};
    const auto& keys = memory.keys;
    if (keys.size() > 8) {
      const auto found = std::lower_bound(keys.begin(), keys.end(), key);
      return found != keys.end() && *found == key ? &*found : nullptr;
    }
    for (const Key& other : keys)
      if (other == key) return &other;
    return nullptr;
  }
  bool wants(const Edge& edge) const noexcept {
    if (edge.node != Edge::none && edge.node >= first)
      return memory.leads.empty() || memory.leads[edge.node - first] != 0;
    if (edge.node == Edge::none && !edge.source) return false;
    if (!targets) return edge.node != Edge::none || edge.source->requires_grad;
    return find(edge.node, edge.source.get()) != nullptr;
  }
};

void Recording::check_root(const Tape::Impl& y, const Tape::Impl& seed, const std::span<Tape::Target>* targets,
                           const BackwardOptions& options) const {
  const char* op = targets ? "gradient" : "backward";
  check_thread(op);
  if (!y) throw TapeError(fmt::format("{}: the tensor to differentiate is undefined", op));
  if (!links(*y) && !y->requires_grad)
    throw TapeError(
        fmt::format("{}: the tensor to differentiate was not recorded on this tape: it depends on no "
                    "parameter, was computed outside the tape's scope, or the tape was cleared since; compute it "
                    "from a parameter() while this tape is the innermost",
                    op));
  if (!seed && y->size != 1)
    throw TapeError(
        fmt::format("{}: a tensor of one element or a seed is needed, got shape {}; sum it, or pass the "
                    "gradient of the loss with respect to it",
                    op, to_string(y->shape)));
  if (seed && (seed->shape != y->shape || seed->dtype != y->dtype))
    throw TapeError(fmt::format("{}: the seed's shape {} is not {}, that of the tensor to differentiate", op,
                                to_string(seed->shape), to_string(y->shape)));
  // A graph of the sweep can only go onto the tape that ops are being recorded on.
  if (options.create_graph && this != active_recording())
    throw TapeError(fmt::format("{}: create_graph needs the innermost tape, not paused by NoGrad", op));
  if (targets)
    for (std::size_t i = 0; i < targets->size(); ++i) {
      const auto& x = *(*targets)[i].of;
      if (!x || !needs_gradient(*x))
        throw TapeError(
            fmt::format("gradient: input {} needs no gradient on this tape; make it with parameter(), or "
                        "compute it from one on this tape",
                        i));
    }
}

void Recording::sweep(const Tape::Impl& y, const Tape::Impl& seed, std::span<Tape::Target>* targets,
                      const BackwardOptions& options, std::size_t first, bool source_hooks) {
  check_root(y, seed, targets, options);
  const std::size_t count = links(*y) ? std::size_t{y->link.node} + 1 : 0;
  Sweep sweep(*this, first, count, targets, options, sweeps_);
  if (watch_ && source_hooks && !watch_->source_hooks.empty()) find_turns(sweep, count);
  std::optional<NoGrad> pause;
  if (!options.create_graph) pause.emplace();

  if (targets)
    for (std::size_t i = first; i < count; ++i) {
      std::uint8_t& leads = sweep.memory.leads[i - first];
      for (std::uint32_t e = 0; e < nodes_[i].edge_count && !leads; ++e)
        leads = sweep.wants(edges_[nodes_[i].first_edge + e]);
    }

  Handle<TensorImpl> root = seed ? seed : filled(y->dtype, y->shape, 1.0);
  if (count > first) {
    sweep.gradient_of(y->link.node) = std::move(root);
  } else {
    Edge edge;
    if (count > 0)
      edge.node = y->link.node;
    else
      edge.source = y;
    if (sweep.wants(edge)) deliver(sweep, edge, std::move(root), {"backward", Edge::none, 0});
  }

  for (std::size_t i = count; i > first; --i) {
    if (sweep.gradient_of(i - 1)) run_node(sweep, static_cast<std::uint32_t>(i - 1));
    while (!sweep.turns.empty() && sweep.turns.back().node == i - 1) run_turn(sweep);
  }
  while (!sweep.turns.empty()) run_turn(sweep);
  if (watch_) watch_->swept();

  if (!targets) return;
  // Of a tensor given twice the first has the gradient.
  const auto& keys = sweep.memory.keys;
  for (std::size_t k = 1; k < keys.size(); ++k)
    if (keys[k] == keys[k - 1]) (*targets)[keys[k].target].gradient = (*targets)[keys[k - 1].target].gradient;
  for (auto& target : *targets) {
    Handle<TensorImpl>& gradient = target.gradient;
    // What the caller gets is nobody else's, not even the seed's: it may be written. A recorded sweep's has a history.
    if (gradient && !gradient->refs.unique() && !(options.create_graph && needs_gradient(*gradient)))
      gradient = TensorImpl::view(*gradient, gradient->shape);
  }
}

void Recording::find_turns(Sweep& sweep, std::size_t count) const {
  const std::size_t hooked = watch_->source_hooks.size();
  sweep.hooked.resize(hooked);
  std::vector<std::size_t> lowest(hooked, count);
  for (std::size_t i = sweep.first; i < count; ++i)
    for (const Edge& edge : inputs(nodes_[i]))
      if (edge.node == Edge::none && edge.source) {
        const std::size_t place = watch_->place_of_source(edge.source.get());
        if (place < hooked) lowest[place] = std::min(lowest[place], i);
      }
  for (std::size_t place = hooked; place-- > 0;)
    sweep.turns.push_back({lowest[place] < count ? lowest[place] : sweep.first, place});
  std::ranges::stable_sort(sweep.turns, {}, &Sweep::Turn::node);
}

void Recording::run_turn(Sweep& sweep) {
  const std::size_t place = sweep.turns.back().place;
  sweep.turns.pop_back();
  if (!sweep.hooked[place]) return;
  auto& [source, hooks] = watch_->source_hooks[place];
  const Step step{"hook", Edge::none, 0};
  arrive(sweep, source, watch_->run_hooks(hooks, std::move(sweep.hooked[place]), step), step);
}

std::vector<Handle<TensorImpl>> Recording::gradient(const Handle<TensorImpl>& y, const Handle<TensorImpl>& seed,
                                                    std::span<const Handle<TensorImpl>> x,
                                                    const BackwardOptions& options, std::size_t first) {
  std::vector<Handle<TensorImpl>> result(x.size());
  if (y && !links(*y) && !y->requires_grad) return result;
  std::vector<Tape::Target> targets;
  targets.reserve(x.size());
  for (const auto& tensor : x) targets.push_back({&tensor, {}});
  std::span<Tape::Target> all = targets;
  sweep(y, seed, &all, options, first, false);
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = std::move(targets[i].gradient);
  return result;
}

void Recording::run_node(Sweep& sweep, std::uint32_t index) {
  Handle<TensorImpl> gradient = std::move(sweep.gradient_of(index));
  if (watch_) [[unlikely]]
    gradient = watch_->hooked(index, nodes_[index].name, std::move(gradient));
  if (sweep.targets && sweep.memory.leads[index - sweep.first] == 2) {
    (*sweep.targets)[sweep.find(index, nullptr)->target].gradient = gradient;
    if (std::ranges::none_of(inputs(nodes_[index]), [&](const Edge& edge) { return sweep.wants(edge); })) return;
  }

  if (watch_ && watch_->profiler) [[unlikely]]
    run_profiled(sweep, index, std::move(gradient));
  else
    run_pullback(sweep, index, std::move(gradient), nullptr);
}

void Recording::run_profiled(Sweep& sweep, std::uint32_t index, Handle<TensorImpl> gradient) {
  ProfiledPullback timed(*watch_->profiler, nodes_[index]);
  run_pullback(sweep, index, std::move(gradient), &timed);
}

void Recording::run_pullback(Sweep& sweep, std::uint32_t index, Handle<TensorImpl> gradient, ProfiledPullback* timed) {
  // Copied, not referenced: with create_graph the pullback appends nodes and edges.
  const Node& node = nodes_[index];
  const char* name = node.name;
  const std::uint32_t first = node.first_edge, edges = node.edge_count;
  if (!node.pullback)
    throw TapeError(
        fmt::format("{}: swept before and freed; pass {{.retain_graph = true}} to the first sweep to "
                    "sweep again",
                    name));
  std::uint64_t mask = 0;
  for (std::uint32_t e = 0; e < edges; ++e) {
    const Edge& edge = edges_[first + e];
    const bool constant = edge.is_constant();
    const TensorImpl* input = constant ? constants_[edge.version].held.get() : edge.source.get();
    if (input && input->version != (constant ? constants_[edge.version].version : edge.version))
      throw TapeError(
          fmt::format("{}: its input {} of shape {} was modified after it was recorded; sweep before you {}", name, e,
                      to_string(input->shape), constant ? "write into a tensor that an op took" : "update parameters"));
    if (e < 64 && sweep.wants(edge)) mask |= std::uint64_t{1} << e;
  }

  const Handle<TensorImpl> output = node.output;
  const Wanted wanted(mask, !sweep.retain);
  Gradients gradients = anomaly() ? anomaly()->run(*this, index, std::move(gradient), output, wanted)
                                  : node.type->run(node.pullback, std::move(gradient), output, wanted);
  if (gradients.size() != edges)
    throw TapeError(fmt::format("{}: the pullback returned {} gradients for {} inputs", name, gradients.size(), edges));
  if (timed) timed->count_bytes(gradients);
  if (!sweep.retain) forget(nodes_[index]);
  for (std::uint32_t e = 0; e < edges; ++e)
    if (gradients[e] && (e < 64 ? ((mask >> e) & 1) != 0 : sweep.wants(edges_[first + e])))
      deliver(sweep, Edge(edges_[first + e]), std::move(gradients[e]), {name, index, e});
}

void Recording::deliver(Sweep& sweep, const Edge& edge, Handle<TensorImpl>&& gradient, const Step& step) {
  const bool inside = edge.node != Edge::none, passed_on = inside && edge.node >= sweep.first;
  constexpr const char* added = "added to the others of the same tensor";
  if (passed_on && nodes_[edge.node].has_shape(gradient->shape) && nodes_[edge.node].dtype == gradient->dtype)
      [[likely]] {
    accumulate(sweep, sweep.gradient_of(edge.node), std::move(gradient), added, step);
    return;
  }
  const Shape shape = inside ? nodes_[edge.node].shape() : edge.source->shape;
  const DType dtype = inside ? nodes_[edge.node].dtype : edge.source->dtype;
  const bool uniform = gradient->size == 1 && gradient->shape.size() == shape.size();
  if (gradient->dtype != dtype || !(uniform || broadcasts_to(shape, gradient->shape)))
    throw TapeError(fmt::format("{}: the pullback returned a gradient of shape {}{} for an input of shape {}", step.op,
                                to_string(gradient->shape), gradient->dtype != dtype ? " and another element type" : "",
                                to_string(shape)));
  // A single element stays one if nobody but the next pullback sees it, and that takes it so.
  const bool stays =
      uniform && passed_on && nodes_[edge.node].type->takes_uniform && !sweep.targets && !watch_ && !sweep.create_graph;
  if (gradient->shape != shape && !stays) {
    const Handle<TensorImpl> given = std::move(gradient);
    const auto fit = [&] { gradient = uniform ? spread_to_shape(given, shape) : sum_to_shape(given, shape); };
    if (anomaly()) [[unlikely]]
      anomaly()->run_step(
          step, uniform ? "spread over its tensor" : "summed over the axes that the input was broadcast along",
          {given.get()}, gradient, fit);
    else
      fit();
  }

  if (passed_on) {
    accumulate(sweep, sweep.gradient_of(edge.node), std::move(gradient), added, step);
    return;
  }
  if (inside) {
    arrive_at_target(sweep, edge.node, nullptr, std::move(gradient), step);
    return;
  }
  const std::size_t hooked = sweep.hooked.empty() ? 0 : watch_->place_of_source(edge.source.get());
  if (hooked < sweep.hooked.size())
    accumulate(sweep, sweep.hooked[hooked], std::move(gradient), added, step);
  else
    arrive(sweep, edge.source, std::move(gradient), step);
}

void Recording::arrive(Sweep& sweep, const Handle<TensorImpl>& source, Handle<TensorImpl>&& gradient,
                       const Step& step) {
  if (sweep.targets) {
    arrive_at_target(sweep, Edge::none, source.get(), std::move(gradient), step);
  } else {
    // Two parameters must not end up with one gradient tensor between them.
    if (!gradient->refs.unique() && !(sweep.create_graph && links(*gradient)))
      gradient = TensorImpl::view(*gradient, gradient->shape);
    accumulate(sweep, source->grad, std::move(gradient), "added to grad()", step);
  }
}

void Recording::arrive_at_target(Sweep& sweep, std::uint32_t node, const TensorImpl* source,
                                 Handle<TensorImpl>&& gradient, const Step& step) {
  auto& target = (*sweep.targets)[sweep.find(node, source)->target];
  accumulate(sweep, target.gradient, std::move(gradient), "added to the others of the same tensor", step);
}

void Recording::accumulate(const Sweep& sweep, Handle<TensorImpl>& into, Handle<TensorImpl>&& gradient,
                           const char* what, const Step& step) {
  if (!into) {
    into = std::move(gradient);
    return;
  }
  const auto add = [&] {
    // Shapes differ if one is a single element that stands for all.
    if (!sweep.create_graph && into->exclusive() && into->shape == gradient->shape)
      add_in_place(*into, *gradient);
    else
      into = add_gradients(into, gradient);
  };
  if (anomaly()) [[unlikely]]
    anomaly()->run_step(step, what, {into.get(), gradient.get()}, into, add);
  else
    add();
  gradient = {};  // the next input's may be the same tensor, which then has one owner less
}

}  // namespace xtape::detail
