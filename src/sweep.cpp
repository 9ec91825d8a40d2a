// The backward sweep: from the root's node down to the first, each node handing its inputs what its
// pullback makes of its own gradient.
#include "recording.hpp"
#include "watch.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>
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

void accumulate(Handle<TensorImpl>& into, Handle<TensorImpl> gradient, bool create_graph) {
  if (!into)
    into = std::move(gradient);
  else if (!create_graph && into->exclusive())
    add_in_place(*into, *gradient);
  else
    into = add_gradients(into, gradient);
}

}  // namespace

// The state of one sweep. Sweeps can nest: a pullback may run a tape of its own.
struct Recording::Sweep {
  std::vector<Handle<TensorImpl>> gradients;  // of each node's output, as far as they are known
  std::vector<std::uint8_t> leads;            // to a target; empty if all nodes count
  std::vector<Tape::Target>* targets;         // null: accumulate into the parameters' grad()
  bool create_graph, retain;
  // Of sources with hooks, in the order of Watch::source_hooks: kept apart until all of it is there.
  std::vector<Handle<TensorImpl>> hooked;
  int& running;

  // The vectors' memory is kept from sweep to sweep.
  struct Scratch {
    std::vector<Handle<TensorImpl>> gradients;
    std::vector<std::uint8_t> leads;
  };
  static Scratch& scratch() {
    thread_local Scratch memory;
    return memory;
  }
  Sweep(std::size_t nodes, std::vector<Tape::Target>* to, const BackwardOptions& options, int& sweeps)
      : targets(to),
        create_graph(options.create_graph),
        retain(options.create_graph || options.retain_graph),
        running(sweeps) {
    gradients.swap(scratch().gradients);
    leads.swap(scratch().leads);
    gradients.resize(nodes);
    if (targets) leads.resize(nodes);
    ++running;
  }
  ~Sweep() {
    --running;
    gradients.clear();
    leads.clear();
    gradients.swap(scratch().gradients);
    leads.swap(scratch().leads);
  }
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  Tape::Target* target_of(const TensorImpl* source) const noexcept {
    for (auto& target : *targets)
      if (target.of->get() == source) return &target;
    return nullptr;
  }
  bool wants(const Edge& edge) const noexcept {
    if (edge.node != Edge::none) return leads.empty() || leads[edge.node] != 0;
    if (!edge.source) return false;
    return targets ? target_of(edge.source.get()) != nullptr : edge.source->requires_grad;
  }
};

void Recording::check_root(const Tape::Impl& y, const Tape::Impl& seed, const std::vector<Tape::Target>* targets,
                           const BackwardOptions& options) const {
  const char* op = targets ? "gradient" : "backward";
  if (std::this_thread::get_id() != thread_)
    throw TapeError(fmt::format("{}: a tape belongs to the thread that made it; make one tape per thread", op));
  if (!y) throw TapeError(fmt::format("{}: the tensor to differentiate is undefined", op));
  if (!links(*y) && !y->requires_grad)
    throw TapeError(
        fmt::format("{}: the tensor to differentiate was not recorded on this tape: it depends on no "
                    "parameter, was computed outside the tape's scope, or the tape was cleared since",
                    op));
  if (!seed && y->size != 1)
    throw TapeError(
        fmt::format("{}: a tensor of one element or a seed is needed, got shape {}; sum it, or pass the "
                    "gradient of the loss with respect to it",
                    op, to_string(y->shape)));
  if (seed && (seed->shape != y->shape || seed->dtype != y->dtype))
    throw TapeError(fmt::format("{}: the seed's shape {} is not {}", op, to_string(seed->shape), to_string(y->shape)));
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

void Recording::sweep(const Tape::Impl& y, const Tape::Impl& seed, std::vector<Tape::Target>* targets,
                      const BackwardOptions& options, std::size_t first) {
  check_root(y, seed, targets, options);
  const bool on_tape = links(*y);
  const std::size_t count = on_tape ? std::size_t{y->link.node} + 1 : 0;
  Sweep sweep(count, targets, options, sweeps_);
  if (watch_) sweep.hooked.resize(watch_->source_hooks.size());
  std::optional<NoGrad> pause;
  if (!options.create_graph) pause.emplace();

  if (targets) {
    for (const auto& target : *targets)
      if (links(**target.of) && (*target.of)->link.node < count) sweep.leads[(*target.of)->link.node] = 1;
    for (std::size_t i = first; i < count; ++i)
      for (std::uint32_t e = 0; e < nodes_[i].edge_count && !sweep.leads[i]; ++e)
        sweep.leads[i] = sweep.wants(edges_[nodes_[i].first_edge + e]);
  }

  Handle<TensorImpl> root = seed ? seed : filled(y->dtype, y->shape, 1.0);
  if (on_tape) {
    sweep.gradients[y->link.node] = std::move(root);
  } else {
    Edge edge;
    edge.source = y;
    edge.version = y->version;
    if (sweep.wants(edge)) deliver(sweep, edge, std::move(root), "backward");
  }

  for (std::size_t i = count; i > first; --i)
    if (sweep.gradients[i - 1]) run_node(sweep, static_cast<std::uint32_t>(i - 1));
  for (std::size_t i = 0; i < sweep.hooked.size(); ++i)
    if (sweep.hooked[i]) {
      auto& [source, hooks] = watch_->source_hooks[i];
      arrive(sweep, source, run_hooks(hooks, std::move(sweep.hooked[i])));
    }
  if (watch_) watch_->swept();

  if (!targets) return;
  for (auto& target : *targets) {
    const TapeLink& link = (*target.of)->link;
    if (links(**target.of) && link.node < std::min(first, count)) target.gradient = sweep.gradients[link.node];
    if (!target.gradient) target.gradient = sweep.target_of(target.of->get())->gradient;  // the same tensor given twice
  }
}

std::vector<Handle<TensorImpl>> Recording::gradient(const Handle<TensorImpl>& y, const Handle<TensorImpl>& seed,
                                                    std::span<const Handle<TensorImpl>> x,
                                                    const BackwardOptions& options, std::size_t first) {
  std::vector<Handle<TensorImpl>> result(x.size());
  if (!links(*y) && !y->requires_grad) return result;
  std::vector<Tape::Target> targets;
  targets.reserve(x.size());
  for (const auto& tensor : x) targets.push_back({&tensor, {}});
  sweep(y, seed, &targets, options, first);
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = std::move(targets[i].gradient);
  return result;
}

void Recording::run_node(Sweep& sweep, std::uint32_t index) {
  Handle<TensorImpl> gradient = std::move(sweep.gradients[index]);
  if (watch_) [[unlikely]]
    gradient = watch_->hooked(index, std::move(gradient));
  if (sweep.targets) {
    for (auto& target : *sweep.targets)
      if (links(**target.of) && (*target.of)->link.node == index) target.gradient = gradient;
    if (std::none_of(edges_.begin() + nodes_[index].first_edge,
                     edges_.begin() + nodes_[index].first_edge + nodes_[index].edge_count,
                     [&](const Edge& edge) { return sweep.wants(edge); }))
      return;
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
    if (edge.source && edge.source->version != edge.version)
      throw TapeError(
          fmt::format("{}: its input {} of shape {} was modified after it was recorded; sweep before you "
                      "update parameters",
                      name, e, to_string(edge.source->shape)));
    if (e < 64 && sweep.wants(edge)) mask |= std::uint64_t{1} << e;
  }

  const Handle<TensorImpl> output = node.output;
  Gradients gradients = watch_ && watch_->anomaly
                            ? watch_->anomaly->run(*this, index, std::move(gradient), output, Wanted(mask))
                            : node.type->run(node.pullback, std::move(gradient), output, Wanted(mask));
  if (gradients.size() != edges)
    throw TapeError(fmt::format("{}: the pullback returned {} gradients for {} inputs", name, gradients.size(), edges));
  if (timed) timed->count_bytes(gradients);
  if (!sweep.retain) forget(nodes_[index]);
  for (std::uint32_t e = 0; e < edges; ++e)
    if (gradients[e] && sweep.wants(edges_[first + e]))
      deliver(sweep, Edge(edges_[first + e]), std::move(gradients[e]), name);
}

void Recording::deliver(Sweep& sweep, const Edge& edge, Handle<TensorImpl> gradient, const char* name) {
  const bool inside = edge.node != Edge::none;
  const Shape shape = inside ? nodes_[edge.node].shape() : edge.source->shape;
  const DType dtype = inside ? nodes_[edge.node].dtype : edge.source->dtype;
  if (gradient->dtype != dtype || !broadcasts_to(shape, gradient->shape))
    throw TapeError(fmt::format("{}: the pullback returned a gradient of shape {}{} for an input of shape {}", name,
                                to_string(gradient->shape), gradient->dtype != dtype ? " and another element type" : "",
                                to_string(shape)));
  if (gradient->shape != shape) gradient = sum_to_shape(gradient, shape);

  if (inside) {
    accumulate(sweep.gradients[edge.node], std::move(gradient), sweep.create_graph);
    return;
  }
  const std::size_t hooked = sweep.hooked.empty() ? 0 : watch_->place_of_source(edge.source.get());
  if (hooked < sweep.hooked.size())
    accumulate(sweep.hooked[hooked], std::move(gradient), sweep.create_graph);
  else
    arrive(sweep, edge.source, std::move(gradient));
}

void Recording::arrive(Sweep& sweep, const Handle<TensorImpl>& source, Handle<TensorImpl> gradient) {
  if (sweep.targets) {
    accumulate(sweep.target_of(source.get())->gradient, std::move(gradient), sweep.create_graph);
  } else {
    // Two parameters must not end up with one gradient tensor between them.
    if (!gradient->refs.unique() && !links(*gradient)) gradient = TensorImpl::view(*gradient, gradient->shape);
    accumulate(source->grad, std::move(gradient), sweep.create_graph);
  }
}

}  // namespace xtape::detail
