// The backward sweep: from the root's node down to the first, each node handing its inputs what its
// pullback makes of its own gradient.
#include "sweep.hpp"
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

}  // namespace

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
  const bool turns = watch_ && source_hooks && !watch_->source_hooks.empty();
  if (count > first && (targets || turns)) find_reached(sweep);
  if (turns) find_turns(sweep);
  if (count > first && (targets || turns)) find_leads(sweep);
  std::optional<NoGrad> pause;
  if (!options.create_graph) pause.emplace();

  Handle<TensorImpl> root = seed ? seed : filled(y->dtype, y->shape, 1.0);
  if (count > first) {
    sweep.gradient_of(y->link.node) = std::move(root);
    sweep.expect(y->link.node);
  } else {
    Edge edge;
    if (count > 0)
      edge.node = y->link.node;
    else
      edge.source = y;
    if (sweep.wants(edge)) deliver(sweep, edge, std::move(root), {"backward", Edge::none, 0});
  }

  while (sweep.advance()) {
    // What is left has passed all nodes above.
    while (!sweep.turns.empty() && sweep.turns.back().node > first + sweep.at) run_turn(sweep);
    run_node(sweep, static_cast<std::uint32_t>(first + sweep.at));
  }
  while (!sweep.turns.empty()) run_turn(sweep);
  sweep.memory->pending.restart();
  sweep.memory->swept = true;
  if (watch_) watch_->swept();

  if (!targets) return;
  // Of a tensor given twice the first has the gradient.
  const auto& keys = sweep.memory->keys;
  for (std::size_t k = 1; k < keys.size(); ++k)
    if (keys[k] == keys[k - 1]) (*targets)[keys[k].target].gradient = (*targets)[keys[k - 1].target].gradient;
  for (auto& target : *targets) {
    Handle<TensorImpl>& gradient = target.gradient;
    // What the caller gets is nobody else's, not even the seed's: it may be written. A recorded sweep's has a history.
    if (gradient && !gradient->refs.unique() && !(options.create_graph && needs_gradient(*gradient)))
      gradient = TensorImpl::view(*gradient, gradient->shape);
  }
}

void Recording::find_reached(Sweep& sweep) const {
  NodeSet& reached = sweep.memory->reached;
  constexpr std::size_t few = 2048;  // which are all looked at in less time than it takes to find out
  if (sweep.nodes <= few) return reached.insert_all(sweep.nodes);
  reached.insert(sweep.nodes - 1);
  for (std::size_t at = sweep.nodes; (at = reached.highest_below(at)) != NodeSet::none;)
    for (const Edge& edge : inputs(nodes_[sweep.first + at]))
      if (edge.node != Edge::none && edge.node >= sweep.first) reached.insert(edge.node - sweep.first);
}

void Recording::find_leads(Sweep& sweep) const {
  auto& leads = sweep.memory->leads;
  const auto& keys = sweep.memory->keys;
  std::size_t key = 0;  // those of nodes come first, in their order
  sweep.memory->reached.drain(sweep.nodes - 1, [&](std::size_t at) {
    if (!sweep.targets) return;
    const std::size_t node = sweep.first + at;
    while (key < keys.size() && keys[key].node < node) ++key;
    leads[at] = key < keys.size() && keys[key].node == node ? 2 : 0;
    const Node& of = nodes_[node];
    for (std::uint32_t e = 0; e < of.edge_count && !leads[at]; ++e) leads[at] = sweep.wants(edges_[of.first_edge + e]);
  });
}

void Recording::find_turns(Sweep& sweep) const {
  const std::size_t hooked = watch_->source_hooks.size(), count = sweep.first + sweep.nodes;
  sweep.hooked.resize(hooked);
  std::vector<std::size_t> lowest(hooked, count);
  if (sweep.nodes > 0)
    for (std::size_t at = sweep.nodes; (at = sweep.memory->reached.highest_below(at)) != NodeSet::none;)
      for (const Edge& edge : inputs(nodes_[sweep.first + at]))
        if (edge.node == Edge::none && edge.source) {
          const std::size_t place = watch_->place_of_source(edge.source.get());
          if (place < hooked) lowest[place] = sweep.first + at;
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

std::vector<bool> Recording::uses(const Handle<TensorImpl>& y, std::span<const Handle<TensorImpl>> tensors,
                                  std::size_t first) const {
  std::vector<bool> used(tensors.size());
  NodeSet reached;
  reached.make_room(nodes_.size());
  const auto meet = [&](std::uint32_t node, const TensorImpl* source) {
    bool found = false;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (tensors[i] && (links(*tensors[i]) ? tensors[i]->link.node == node : tensors[i].get() == source))
        found = used[i] = true;
    if (!found && node != Edge::none && node >= first) reached.insert(node);
  };
  meet(links(*y) ? y->link.node : Edge::none, y.get());
  for (std::size_t at = nodes_.size(); (at = reached.highest_below(at)) != NodeSet::none;)
    for (const Edge& edge : inputs(nodes_[at])) meet(edge.node, edge.source.get());
  return used;
}

void Recording::run_node(Sweep& sweep, std::uint32_t index) {
  Handle<TensorImpl> gradient = std::move(sweep.gradient_of(index));
  if (watch_) [[unlikely]]
    gradient = watch_->hooked(index, nodes_[index].name, std::move(gradient));
  if (sweep.targets && sweep.memory->leads[index - sweep.first] == 2) {
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

  if (gradient->rest) [[unlikely]] {  // the pullback may write over it
    gradient->rest = {};
    gradient->version = 0;
  }
  sweep.first_edge = first;
  sweep.edges = edges;
  sweep.lent = 0;
  const Handle<TensorImpl> output = node.output;
  // The search for anomalies looks at each part.
  const Wanted wanted(mask, !sweep.retain, anomaly() ? nullptr : &sweep);
  Gradients gradients = anomaly() ? anomaly()->run(*this, index, std::move(gradient), output, wanted)
                                  : node.type->run(node.pullback, std::move(gradient), output, wanted);
  if (gradients.size() != edges)
    throw TapeError(fmt::format("{}: the pullback returned {} gradients for {} inputs", name, gradients.size(), edges));
  const std::uint64_t lent = sweep.lent;
  if (timed) timed->count_bytes(gradients);
  if (!sweep.retain) forget(nodes_[index]);
  for (std::uint32_t e = 0; e < edges; ++e)
    if (gradients[e] && (e < 64 ? ((mask >> e) & 1) != 0 : sweep.wants(edges_[first + e]))) {
      if (e < 64 && ((lent >> e) & 1) != 0) {
        *sum_of(sweep, edges_[first + e]) = std::move(gradients[e]);  // the same tensor, or a recorded one
      } else {
        deliver(sweep, Edge(edges_[first + e]), std::move(gradients[e]), {name, index, e});
      }
    }
}

Handle<TensorImpl>* Recording::sum_of(Sweep& sweep, const Edge& edge) {
  if (edge.node != Edge::none && edge.node >= sweep.first) return &sweep.gradient_of(edge.node);
  if (sweep.targets) {
    const Sweep::Key* const key = sweep.find(edge.node, edge.source.get());
    return key ? &(*sweep.targets)[key->target].gradient : nullptr;
  }
  return edge.source && sweep.hooked.empty() ? &edge.source->grad : nullptr;
}

Handle<TensorImpl> Recording::lend_sum(Sweep& sweep, const Edge& edge) const {
  Handle<TensorImpl>* const sum = sum_of(sweep, edge);
  if (!sum || !*sum) return {};
  const bool inside = edge.node != Edge::none;
  if ((*sum)->dtype != (inside ? nodes_[edge.node].dtype : edge.source->dtype)) return {};
  const Shape shape = inside ? nodes_[edge.node].shape() : edge.source->shape;
  if ((*sum)->shape != shape) {
    // A single element that stands for all is spread now: the sum is the same to the bit as where it came spread.
    if ((*sum)->size != 1 || (*sum)->shape.size() != shape.size()) return {};
    *sum = spread_to_shape(*sum, shape);
  }
  const TensorImpl& so_far = **sum;
  // In a recorded sweep it is an op's result; what nobody holds nobody reads, not even that op's pullback.
  const bool free_to_write = so_far.link.recording == 0 || (sweep.create_graph && links(so_far));
  return so_far.refs.unique() && so_far.storage->refs.unique() && free_to_write ? *sum : Handle<TensorImpl>();
}

void Recording::deliver(Sweep& sweep, const Edge& edge, Handle<TensorImpl>&& gradient, const Step& step) {
  const bool inside = edge.node != Edge::none, passed_on = inside && edge.node >= sweep.first;
  constexpr const char* added = "added to the others of the same tensor";
  if (passed_on && nodes_[edge.node].has_shape(gradient->shape) && nodes_[edge.node].dtype == gradient->dtype)
      [[likely]] {
    sweep.expect(edge.node);
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
    sweep.expect(edge.node);
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
    else {
      const std::uint32_t parts = into->version;
      into = add_gradients(into, gradient);
      if (!sweep.create_graph) into->version = parts + 1;
    }
  };
  if (anomaly()) [[unlikely]]
    anomaly()->run_step(step, what, {into.get(), gradient.get()}, into, add);
  else
    add();
  gradient = {};  // the next input's may be the same tensor, which then has one owner less
}

}  // namespace xtape::detail
