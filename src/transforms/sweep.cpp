// The backward sweep: from the root's node down to the first, each node hands its inputs what its pull rule makes of
// its own gradient.
#include "sweep.hpp"

#include <xtape/error.hpp>

#include "../ops/gradients.hpp"
#include "../tape/watch.hpp"
#include "sweep_memory.hpp"

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

// True for a uniform gradient: a single element, in as many axes as the tensor has, that stands for a tensor full of
// it.
bool is_uniform(const TensorImpl& gradient, const Shape& tensor) noexcept {
  return gradient.size == 1 && gradient.shape.size() == tensor.size();
}

constexpr const char* added = "added to the others of the same tensor";

}  // namespace

// One sweep. Sweeps can nest: a pull rule may run a tape of its own.
class Sweep final : public Sums {
 public:
  using Targets = std::span<SweepTarget>;

  // To the targets, or if that is null into grad() of the parameters.
  Sweep(Recording& over, std::size_t first, const Handle<TensorImpl>& root, Targets* targets,
        const BackwardOptions& options)
      : recording_(over),
        sweeping_(over),
        memory_(SweepMemory::take()),
        first_(first),
        nodes_(over.links(*root) && root->link.node + std::size_t{1} > first ? root->link.node + 1 - first : 0),
        at_(nodes_),
        targets_(targets),
        create_graph_(options.create_graph),
        retain_(options.create_graph || options.retain_graph) {
    memory_->make_room(nodes_, targets_ != nullptr);
    if (targets_) list_targets();
  }
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  static void check(const Recording& recording, const Handle<TensorImpl>& y, const Handle<TensorImpl>& seed,
                    const Targets* targets, const BackwardOptions& options);
  // `call_leaf_hooks`: of leaves; those of nodes are always called.
  void run(const Handle<TensorImpl>& y, const Handle<TensorImpl>& seed, bool call_leaf_hooks);

  Handle<TensorImpl> lend(std::size_t input) override;

 private:
  using Leads = SweepMemory::Leads;
  // Where the gradients of a tensor are added up.
  struct Destination {
    enum class Kind {
      node,    // its node's gradient, which is swept when its turn comes
      target,  // what the caller asked for
      hooks,   // of a leaf: kept apart until all of it is there, when its hooks are called
      grad     // a parameter's grad()
    };
    Kind kind;
    Handle<TensorImpl>* sum;
  };

  void list_targets();
  void find_reached();
  void find_leads();
  void find_turns();
  void start(const Handle<TensorImpl>& y, Handle<TensorImpl> gradient);
  bool advance() noexcept;
  void run_turn();
  void run_node(std::uint32_t index);
  void run_pullback(std::uint32_t index, Handle<TensorImpl> gradient, ProfiledPullback* timed);
  std::uint64_t wanted_inputs(std::uint32_t index) const;
  void hand_on(std::uint32_t index, Gradients& gradients, std::uint64_t wanted);

  bool inside(const Edge& edge) const noexcept { return edge.is_node() && edge.at >= first_; }
  bool wants(const Edge& edge) const noexcept;
  const TargetKey* find(std::uint32_t node, const TensorImpl* leaf) const noexcept;
  const TargetKey* find(const Edge& edge) const noexcept {
    return find(edge.is_node() ? edge.at : Edge::none, edge.leaf.get());
  }
  Handle<TensorImpl>& target(const TargetKey& key) const noexcept { return (*targets_)[key.target].gradient; }
  Handle<TensorImpl>& gradient_of(std::size_t node) noexcept { return memory_->gradients[node - first_]; }
  // The node has a gradient now, or is about to.
  void expect(std::size_t node) noexcept {
    if (node - first_ + 1 != at_) memory_->pending.insert(node - first_);
  }
  Destination destination(const Edge& edge);
  Destination end_of(const Edge& edge) const;
  void deliver(const Edge& edge, Handle<TensorImpl>&& gradient, const Step& step);
  void fit(Handle<TensorImpl>& gradient, const Shape& shape, const Step& step) const;
  void add(const Destination& to, Handle<TensorImpl>&& gradient, const Step& step) const;
  void share_targets() const;

  Watch* watch() const noexcept { return recording_.watch(); }
  AnomalySearch* anomaly() const noexcept { return recording_.anomaly(); }

  Recording& recording_;
  Recording::Sweeping sweeping_;
  SweepMemory::Owner memory_;
  std::size_t first_;  // node
  std::size_t nodes_;  // in all, from the first one on
  std::size_t at_;     // the one whose turn it is, counted from the first
  Targets* targets_;
  bool create_graph_, retain_;
  // Of leaves with hooks, in the order of Watch::source_hooks.
  std::vector<Handle<TensorImpl>> hooked_;
  // The lowest node that uses each of them, and its place among them; the highest last. Below it no more can come.
  struct Turn {
    std::size_t node, place;
  };
  std::vector<Turn> turns_;
  // The edges of the running pullback, and of which of them the sums are lent.
  std::uint32_t first_edge_ = 0, edges_ = 0;
  std::uint64_t lent_ = 0;
};

void Sweep::check(const Recording& recording, const Handle<TensorImpl>& y, const Handle<TensorImpl>& seed,
                  const Targets* targets, const BackwardOptions& options) {
  const char* op = targets ? "gradient" : "backward";
  recording.check_thread(op);
  if (!y) throw TapeError(fmt::format("{}: the tensor to differentiate is undefined", op));
  if (!recording.links(*y) && !y->requires_grad)
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
  if (options.create_graph && &recording != active_recording())
    throw TapeError(fmt::format("{}: create_graph needs the innermost tape, not paused by NoGrad", op));
  for (std::size_t i = 0; targets && i < targets->size(); ++i) {
    const auto& x = *(*targets)[i].of;
    if (!x || !recording.needs_gradient(*x))
      throw TapeError(
          fmt::format("gradient: input {} needs no gradient on this tape; make it with parameter(), or "
                      "compute it from one on this tape",
                      i));
  }
}

void Sweep::run(const Handle<TensorImpl>& y, const Handle<TensorImpl>& seed, bool call_leaf_hooks) {
  const bool turns = watch() && call_leaf_hooks && !watch()->source_hooks.empty();
  if (nodes_ > 0 && (targets_ || turns)) find_reached();
  if (turns) find_turns();
  if (nodes_ > 0 && (targets_ || turns)) find_leads();
  std::optional<NoGrad> pause;
  if (!create_graph_) pause.emplace();

  start(y, seed ? seed : filled(y->dtype, y->shape, 1.0));
  while (advance()) {
    // What is left has passed all nodes above.
    while (!turns_.empty() && turns_.back().node > first_ + at_) run_turn();
    run_node(static_cast<std::uint32_t>(first_ + at_));
  }
  while (!turns_.empty()) run_turn();
  memory_->pending.restart();
  memory_->swept = true;
  if (watch()) watch()->swept();
  if (targets_) share_targets();
}

// ---- before the first node ------------------------------------------------------------------------------

void Sweep::list_targets() {
  auto& keys = memory_->keys;
  for (std::size_t i = 0; i < targets_->size(); ++i) {
    const TensorImpl* tensor = (*targets_)[i].of->get();
    const bool recorded = recording_.links(*tensor);
    keys.push_back(
        {recorded ? tensor->link.node : Edge::none, recorded ? nullptr : tensor, static_cast<std::uint32_t>(i)});
  }
  std::sort(keys.begin(), keys.end(),
            [](const TargetKey& a, const TargetKey& b) { return a == b ? a.target < b.target : a < b; });
}

void Sweep::find_reached() {
  NodeSet& reached = memory_->reached;
  constexpr std::size_t few = 2048;  // which are all looked at in less time than it takes to find out
  if (nodes_ <= few) return reached.insert_all(nodes_);
  reached.insert(nodes_ - 1);
  for (std::size_t at = nodes_; (at = reached.highest_below(at)) != NodeSet::none;)
    for (const Edge& edge : recording_.inputs(recording_.nodes()[first_ + at]))
      if (inside(edge)) reached.insert(edge.at - first_);
}

void Sweep::find_leads() {
  auto& leads = memory_->leads;
  const auto& keys = memory_->keys;
  std::size_t key = 0;  // those of nodes come first, in their order
  memory_->reached.drain(nodes_ - 1, [&](std::size_t at) {
    if (!targets_) return;
    const std::size_t node = first_ + at;
    while (key < keys.size() && keys[key].node < node) ++key;
    leads[at] = key < keys.size() && keys[key].node == node ? Leads::is_target : Leads::nowhere;
    if (leads[at] == Leads::nowhere &&
        std::ranges::any_of(recording_.inputs(recording_.nodes()[node]), [this](const Edge& e) { return wants(e); }))
      leads[at] = Leads::to_target;
  });
}

void Sweep::find_turns() {
  const std::size_t hooked = watch()->source_hooks.size(), count = first_ + nodes_;
  hooked_.resize(hooked);
  std::vector<std::size_t> lowest(hooked, count);
  if (nodes_ > 0)
    for (std::size_t at = nodes_; (at = memory_->reached.highest_below(at)) != NodeSet::none;)
      for (const Edge& edge : recording_.inputs(recording_.nodes()[first_ + at]))
        if (edge.leaf) {
          const std::size_t place = watch()->place_of_source(edge.leaf.get());
          if (place < hooked) lowest[place] = first_ + at;
        }
  for (std::size_t place = hooked; place-- > 0;)
    turns_.push_back({lowest[place] < count ? lowest[place] : first_, place});
  std::ranges::stable_sort(turns_, {}, &Turn::node);
}

void Sweep::start(const Handle<TensorImpl>& y, Handle<TensorImpl> gradient) {
  if (nodes_ > 0) {
    gradient_of(y->link.node) = std::move(gradient);
    expect(y->link.node);
    return;
  }
  // The root is a leaf to this sweep.
  const Edge edge = recording_.links(*y) ? Edge{{}, y->link.node, Edge::Kind::node} : Edge{y, 0, Edge::Kind::leaf};
  if (wants(edge)) deliver(edge, std::move(gradient), {"backward", Edge::none, 0});
}

// ---- node by node ---------------------------------------------------------------------------------------

// To the next node that has a gradient, if there is one. That it is the next on the tape is the usual.
bool Sweep::advance() noexcept {
  NodeSet& pending = memory_->pending;
  at_ = at_ > 0 && memory_->gradients[at_ - 1] ? at_ - 1 : pending.highest_below(at_);
  if (at_ == NodeSet::none) return false;
  if (pending.contains(at_)) pending.erase(at_);
  return true;
}

// Calls the hooks of the next leaf whose gradient is all there.
void Sweep::run_turn() {
  const std::size_t place = turns_.back().place;
  turns_.pop_back();
  if (!hooked_[place]) return;
  auto& [leaf, hooks] = watch()->source_hooks[place];
  const Step step{"hook", Edge::none, 0};
  Handle<TensorImpl> gradient = watch()->run_hooks(hooks, std::move(hooked_[place]), step);
  add(end_of(Edge{leaf, 0, Edge::Kind::leaf}), std::move(gradient), step);
}

void Sweep::run_node(std::uint32_t index) {
  Handle<TensorImpl> gradient = std::move(gradient_of(index));
  if (watch()) [[unlikely]]
    gradient = watch()->hooked(index, recording_.nodes()[index].name, std::move(gradient));
  if (targets_ && memory_->leads[index - first_] == Leads::is_target) {
    target(*find(index, nullptr)) = gradient;
    if (std::ranges::none_of(recording_.inputs(recording_.nodes()[index]), [&](const Edge& e) { return wants(e); }))
      return;
  }
  if (watch() && watch()->profiler) [[unlikely]] {
    ProfiledPullback timed(*watch()->profiler, recording_.nodes()[index]);
    run_pullback(index, std::move(gradient), &timed);
  } else {
    run_pullback(index, std::move(gradient), nullptr);
  }
}

// Which inputs of a node the sweep wants gradients of, a bit for each of the first 64.
std::uint64_t Sweep::wanted_inputs(std::uint32_t index) const {
  const Node& node = recording_.nodes()[index];
  std::uint64_t wanted = 0;
  for (std::uint32_t e = 0; e < node.edge_count; ++e) {
    const Edge& edge = recording_.edge(node.first_edge + e);
    const bool constant = edge.kind == Edge::Kind::constant;
    const TensorImpl* input = constant ? recording_.constant(edge).held.get() : edge.leaf.get();
    if (input && input->version != (constant ? recording_.constant(edge).version : edge.at))
      throw TapeError(fmt::format(
          "{}: its input {} of shape {} was modified after it was recorded; sweep before you {}", node.name, e,
          to_string(input->shape), constant ? "write into a tensor that an op took" : "update parameters"));
    if (e < 64 && wants(edge)) wanted |= std::uint64_t{1} << e;
  }
  return wanted;
}

void Sweep::run_pullback(std::uint32_t index, Handle<TensorImpl> gradient, ProfiledPullback* timed) {
  const Node& node = recording_.nodes()[index];
  if (!node.pullback)
    throw TapeError(
        fmt::format("{}: swept before and freed; pass {{.retain_graph = true}} to the first sweep to "
                    "sweep again",
                    node.name));
  const std::uint64_t mask = wanted_inputs(index);
  if (gradient->rest) [[unlikely]] {  // the pull rule may write over it
    gradient->rest = {};
    gradient->version = 0;
  }
  first_edge_ = node.first_edge;
  edges_ = node.edge_count;
  lent_ = 0;
  const Handle<TensorImpl> output = node.output;
  // The search for anomalies looks at each part.
  const Wanted wanted(mask, !retain_, anomaly() ? nullptr : this);
  // From here on `node` may be gone: a recorded pull rule appends nodes.
  Gradients gradients = anomaly() ? anomaly()->run(recording_, index, std::move(gradient), output, wanted)
                                  : node.type->run(node.pullback, std::move(gradient), output, wanted);
  const std::uint32_t edges = recording_.nodes()[index].edge_count;
  if (gradients.size() != edges)
    throw TapeError(fmt::format("{}: the pullback returned {} gradients for {} inputs", recording_.nodes()[index].name,
                                gradients.size(), edges));
  if (timed) timed->count_bytes(gradients);
  if (!retain_) recording_.forget(index);
  hand_on(index, gradients, mask);
}

void Sweep::hand_on(std::uint32_t index, Gradients& gradients, std::uint64_t wanted) {
  const std::uint64_t lent = lent_;
  const char* const name = recording_.nodes()[index].name;
  const std::uint32_t first = recording_.nodes()[index].first_edge;
  for (std::uint32_t e = 0; e < gradients.size(); ++e) {
    if (!gradients[e] || !(e < 64 ? ((wanted >> e) & 1) != 0 : wants(recording_.edge(first + e)))) continue;
    if (e < 64 && ((lent >> e) & 1) != 0)
      *destination(recording_.edge(first + e)).sum = std::move(gradients[e]);  // the same tensor, or a recorded one
    else
      deliver(Edge(recording_.edge(first + e)), std::move(gradients[e]), {name, index, e});
  }
}

// ---- where gradients go ---------------------------------------------------------------------------------

// The first target that is this tensor, or null. A tensor may be given twice: the others follow.
const TargetKey* Sweep::find(std::uint32_t node, const TensorImpl* leaf) const noexcept {
  const TargetKey key{node, leaf, 0};
  const auto& keys = memory_->keys;
  if (keys.size() > 8) {
    const auto found = std::lower_bound(keys.begin(), keys.end(), key);
    return found != keys.end() && *found == key ? &*found : nullptr;
  }
  for (const TargetKey& other : keys)
    if (other == key) return &other;
  return nullptr;
}

bool Sweep::wants(const Edge& edge) const noexcept {
  if (inside(edge)) return !targets_ || memory_->leads[edge.at - first_] != Leads::nowhere;
  if (!edge.is_node() && !edge.leaf) return false;
  if (targets_) return find(edge) != nullptr;
  return edge.is_node() || edge.leaf->requires_grad;
}

// Of a tensor whose gradient is wanted.
Sweep::Destination Sweep::destination(const Edge& edge) {
  if (inside(edge)) return {Destination::Kind::node, &gradient_of(edge.at)};
  if (edge.leaf && !hooked_.empty()) {
    const std::size_t place = watch()->place_of_source(edge.leaf.get());
    if (place < hooked_.size()) return {Destination::Kind::hooks, &hooked_[place]};
  }
  return end_of(edge);
}

// Where a gradient that leaves the sweep goes, hooks left aside.
Sweep::Destination Sweep::end_of(const Edge& edge) const {
  if (targets_) return {Destination::Kind::target, &target(*find(edge))};
  return {Destination::Kind::grad, &edge.leaf->grad};
}

Handle<TensorImpl> Sweep::lend(std::size_t input) {
  if (input >= edges_ || input >= 64) return {};
  const Edge& edge = recording_.edge(first_edge_ + input);
  if (!wants(edge)) return {};
  const Destination to = destination(edge);
  Handle<TensorImpl>& sum = *to.sum;
  if (!sum || (to.kind == Destination::Kind::grad && !hooked_.empty()) || to.kind == Destination::Kind::hooks)
    return {};
  const auto is = *recording_.shape_of(edge);
  if (sum->dtype != is.dtype) return {};
  if (sum->shape != is.shape) {
    // A uniform gradient is spread now: the sum is the same to the bit as where it came spread.
    if (!is_uniform(*sum, is.shape)) return {};
    sum = spread_to_shape(sum, is.shape);
  }
  // In a recorded sweep it is an op's result; what nobody holds nobody reads, not even that op's pull rule.
  const bool free_to_write = sum->link.recording == 0 || (create_graph_ && recording_.links(*sum));
  if (!sum->refs.unique() || !sum->storage->refs.unique() || !free_to_write) return {};
  lent_ |= std::uint64_t{1} << input;
  return sum;
}

void Sweep::deliver(const Edge& edge, Handle<TensorImpl>&& gradient, const Step& step) {
  if (inside(edge)) {
    const Node& node = recording_.nodes()[edge.at];
    if (node.has_shape(gradient->shape) && node.dtype == gradient->dtype) [[likely]] {
      expect(edge.at);
      return add({Destination::Kind::node, &gradient_of(edge.at)}, std::move(gradient), step);
    }
  }
  const auto is = *recording_.shape_of(edge);
  const bool uniform = is_uniform(*gradient, is.shape);
  if (gradient->dtype != is.dtype || !(uniform || broadcasts_to(is.shape, gradient->shape)))
    throw TapeError(fmt::format("{}: the pullback returned a gradient of shape {}{} for an input of shape {}", step.op,
                                to_string(gradient->shape),
                                gradient->dtype != is.dtype ? " and another element type" : "", to_string(is.shape)));
  // A uniform gradient stays one if nobody but the next pull rule sees it, and that takes it so.
  const bool stays = uniform && inside(edge) && recording_.nodes()[edge.at].type->takes_uniform && !targets_ &&
                     !watch() && !create_graph_;
  if (gradient->shape != is.shape && !stays) fit(gradient, is.shape, step);
  if (inside(edge)) expect(edge.at);
  add(destination(edge), std::move(gradient), step);
}

// Gives a gradient the shape of its tensor.
void Sweep::fit(Handle<TensorImpl>& gradient, const Shape& shape, const Step& step) const {
  const Handle<TensorImpl> given = std::move(gradient);
  const bool uniform = is_uniform(*given, shape);
  const auto make = [&] { gradient = uniform ? spread_to_shape(given, shape) : sum_to_shape(given, shape); };
  if (anomaly()) [[unlikely]]
    anomaly()->run_step(step,
                        uniform ? "spread over its tensor" : "summed over the axes that the input was broadcast along",
                        {given.get()}, gradient, make);
  else
    make();
}

void Sweep::add(const Destination& to, Handle<TensorImpl>&& gradient, const Step& step) const {
  Handle<TensorImpl>& sum = *to.sum;
  const bool into_grad = to.kind == Destination::Kind::grad;
  // Two parameters must not end up with one gradient tensor between them.
  if (into_grad && !gradient->refs.unique() && !(create_graph_ && recording_.links(*gradient)))
    gradient = TensorImpl::view(*gradient, gradient->shape);
  if (!sum) {
    sum = std::move(gradient);
    return;
  }
  const auto make = [&] {
    // Shapes differ if one is uniform.
    if (!create_graph_ && sum->exclusive() && sum->shape == gradient->shape)
      add_in_place(*sum, *gradient);
    else {
      const std::uint32_t parts = sum->version;
      sum = add_gradients(sum, gradient);
      if (!create_graph_) sum->version = parts + 1;
    }
  };
  if (anomaly()) [[unlikely]]
    anomaly()->run_step(step, into_grad ? "added to grad()" : added, {sum.get(), gradient.get()}, sum, make);
  else
    make();
  gradient = {};  // the next input's may be the same tensor, which then has one owner less
}

// What the caller gets: of a tensor given twice the first has had the gradient so far, and what is handed out is nobody
// else's, not even the seed's, for it may be written. A recorded sweep's has a history.
void Sweep::share_targets() const {
  const auto& keys = memory_->keys;
  for (std::size_t k = 1; k < keys.size(); ++k)
    if (keys[k] == keys[k - 1]) target(keys[k]) = target(keys[k - 1]);
  for (auto& of : *targets_) {
    Handle<TensorImpl>& gradient = of.gradient;
    if (gradient && !gradient->refs.unique() && !(create_graph_ && recording_.needs_gradient(*gradient)))
      gradient = TensorImpl::view(*gradient, gradient->shape);
  }
}

std::vector<Handle<TensorImpl>> gradients_of(Recording& recording, const Handle<TensorImpl>& y,
                                             const Handle<TensorImpl>& seed, std::span<const Handle<TensorImpl>> x,
                                             const BackwardOptions& options, std::size_t first) {
  std::vector<Handle<TensorImpl>> result(x.size());
  if (y && !recording.links(*y) && !y->requires_grad) return result;
  std::vector<SweepTarget> targets;
  targets.reserve(x.size());
  for (const auto& tensor : x) targets.push_back({&tensor, {}});
  std::span<SweepTarget> all = targets;
  Sweep::check(recording, y, seed, &all, options);
  Sweep(recording, first, y, &all, options).run(y, seed, false);
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = std::move(targets[i].gradient);
  return result;
}

}  // namespace xtape::detail

namespace xtape {

void Tape::sweep(const Impl& y, const Impl& seed, std::span<Target>* targets, const BackwardOptions& options) {
  detail::Sweep::check(*recording_, y, seed, targets, options);
  detail::Sweep(*recording_, 0, y, targets, options).run(y, seed, true);
  if (!targets) return;
  for (Target& target : *targets)
    if (!target.gradient) target.gradient = detail::filled((*target.of)->dtype, (*target.of)->shape, 0.0);
}

}  // namespace xtape
