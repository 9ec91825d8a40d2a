// The thread's recordings, and how ops are appended to them. How they are swept is in transforms/sweep.cpp.
#include "recording.hpp"
#include "../core/of_thread.hpp"
#include "node_set.hpp"
#include "watch.hpp"

#include <xtape/error.hpp>
#include <xtape/op.hpp>
#include <xtape/profile.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <unordered_set>

namespace xtape {
namespace detail {
namespace {
std::atomic<std::uint64_t> next_serial{1};
constexpr std::size_t chunk_bytes = std::size_t{1} << 16;
}  // namespace

namespace {
// What a thread knows of tapes. These have no destructors, for they are used until the last tape of static storage
// ends.
constinit thread_local Recording* innermost = nullptr;
// The innermost, unless a NoGrad was opened after it. Every op asks for it.
constinit thread_local Recording* active = nullptr;
// Unlike its id no other thread will ever have it; 0 until it opens a tape.
constinit thread_local std::uint64_t thread_number = 0;

// What it keeps for the next tape.
struct TapesOfThread {
  struct Pause {
    std::uint64_t opened;
    bool over;
  };
  Recording* idle = nullptr;  // closed recordings, linked by enclosing_
  std::vector<Pause>
      pauses;  // of each NoGrad in scope, the latest last; those that end earlier than later ones are over
  std::uint32_t tapes_ended = 0;

  ~TapesOfThread() { Recording::end_thread(idle); }
};
using OwnTapes = OfThread<TapesOfThread>;

std::uint64_t number_of_thread() noexcept {
  static constinit std::atomic<std::uint64_t> last{0};
  if (thread_number == 0) thread_number = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return thread_number;
}
}  // namespace

void Recording::end_thread(Recording* idle) noexcept {
  for (Recording* next = innermost; Recording* const recording = next;) {
    next = recording->enclosing_;
    // One that another thread has closed; the others may still be closed by any.
    if (recording->whose_.exchange(Whose::thread_ended) != Whose::abandoned) continue;
    recording->unlink();
    delete recording;
  }
  drop(idle);
}

void find_active() noexcept {
  while (innermost && innermost->abandoned() && !innermost->sweeping()) innermost->retire();
  const TapesOfThread* const own = OwnTapes::get();
  const std::uint64_t paused = own && !own->pauses.empty() ? own->pauses.back().opened : 0;
  active = innermost && !innermost->abandoned() && innermost->opened() > paused ? innermost : nullptr;
}

void* Arena::allocate_in_next(std::size_t bytes, std::size_t alignment) {
  for (;;) {
    if (chunk_ == chunks_.size()) {
      const std::size_t size = std::max(chunk_bytes, bytes + alignment);
      chunks_.push_back({nullptr, 0});
      chunks_.back() = {static_cast<std::byte*>(detail::allocate(size)), size};
    }
    const Chunk& chunk = chunks_[chunk_++];
    next_ = chunk.begin;
    end_ = chunk.begin + chunk.bytes;
    if (void* place = allocate_here(bytes, alignment)) return place;
  }
}

void Arena::reset() noexcept {
  for (const std::size_t kept = 4 * chunk_ + 4; chunk_ > 0 && chunks_.size() > kept; chunks_.pop_back())
    if (chunks_.back().begin) deallocate(chunks_.back().begin, chunks_.back().bytes);
  chunk_ = 0;
  next_ = end_ = nullptr;
}

std::size_t Arena::bytes() const noexcept {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < chunk_; ++i) sum += chunks_[i].bytes;
  return sum;
}

void Arena::release() noexcept {
  for (const Chunk& chunk : chunks_)
    if (chunk.begin) deallocate(chunk.begin, chunk.bytes);
  chunks_.clear();
}

Recording::Recording() = default;
Recording::~Recording() { clear(); }

Recording* Recording::open(const TapeOptions& options) {
  std::unique_ptr<Watch> watch;
  if (options.anomaly || options.profile) watch = std::make_unique<Watch>(options);
  find_active();
  TapesOfThread* const own = OwnTapes::get();
  Recording* recording = own ? own->idle : nullptr;
  if (recording)
    own->idle = recording->enclosing_;
  else
    recording = new Recording;
  recording->watch_ = std::move(watch);
  recording->whose_.store(Whose::thread, std::memory_order_relaxed);
  recording->serial_ = recording->opened_ = next_serial.fetch_add(1, std::memory_order_relaxed);
  recording->thread_ = number_of_thread();
  recording->enclosing_ = innermost;
  recording->enclosed_ = nullptr;
  if (innermost) innermost->enclosed_ = recording;
  innermost = active = recording;
  return recording;
}

void Recording::close(Recording* recording) noexcept {
  const bool own = recording->thread_ == thread_number;
  if (own && !recording->sweeping()) {
    recording->retire();
    find_active();
  } else if (recording->whose_.exchange(Whose::abandoned) == Whose::thread_ended && !own) {
    delete recording;  // nobody else knows of it any more
  }
}

void Recording::unlink() noexcept {
  (enclosed_ ? enclosed_->enclosing_ : innermost) = enclosing_;
  if (enclosing_) enclosing_->enclosed_ = enclosed_;
  if (active == this) active = nullptr;
}

void Recording::retire() noexcept {
  unlink();
  clear();
  watch_.reset();
  TapesOfThread* const own = OwnTapes::get();
  if (!own) {
    delete this;
    return;
  }
  enclosing_ = own->idle;
  own->idle = this;
  constexpr std::uint32_t tapes = 16;  // of which none has needed what is given up
  if (!innermost && ++own->tapes_ended % tapes == 0) give_up_unused_memory();
}

Recording* active_recording() noexcept { return active; }

std::size_t Recording::bytes() const noexcept {
  return nodes_.capacity() * sizeof(Node) + edges_.capacity() * sizeof(Edge) +
         constants_.capacity() * sizeof(ConstantInput) + arena_.bytes();
}

void count_recorded(MemoryUse& use) noexcept {
  for (const Recording* r = innermost; r; r = r->enclosing()) {
    use.nodes += static_cast<std::ptrdiff_t>(r->nodes().size());
    if (!r->nodes().empty()) use.tape_bytes += static_cast<std::ptrdiff_t>(r->bytes());
  }
}

void drop_idle_recordings() noexcept {
  if (TapesOfThread* const own = OwnTapes::get()) Recording::drop(own->idle);
}
void Recording::drop(Recording*& idle) noexcept {
  while (idle) delete std::exchange(idle, idle->enclosing_);
}

bool is_recorded(const TensorImpl& impl) noexcept {
  if (impl.link.recording == 0) return false;
  for (const Recording* r = innermost; r; r = r->enclosing())
    if (r->links(impl)) return true;
  return false;
}

bool Recording::needs_gradient(const TensorImpl& impl) const noexcept {
  if (impl.requires_grad || links(impl)) return true;
  if (impl.link.recording != 0)
    for (const Recording* r = enclosing_; r; r = r->enclosing())
      if (r->links(impl)) return true;
  return !looked_for_.empty() && std::ranges::find(looked_for_, &impl) != looked_for_.end();
}

void Recording::check_thread(const char* op) const {
  if (thread_number != thread_)
    throw TapeError(std::string(op) + ": a tape belongs to the thread that made it; make one tape per thread");
}

void Recording::forget(Node& node) noexcept {
  if (!node.pullback) return;
  node.type->destroy(node.pullback);
  node.pullback = nullptr;
  node.output = {};
  if (!node.type->owns) return;
  for (const Edge& input : inputs(node))
    if (input.kind == Edge::Kind::constant) constants_[input.at].held = {};
}

void Recording::clear() noexcept {
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) forget(*node);
  empty(nodes_);
  empty(edges_);
  empty(constants_);
  if (watch_) watch_->clear();
  arena_.reset();
  serial_ = next_serial.fetch_add(1, std::memory_order_relaxed);
}

namespace {
// The active recording, unless its tape is gone.
const Recording* recording_now() {
  if (active && active->abandoned()) [[unlikely]]
    find_active();
  return active;
}
}  // namespace

bool must_record(const Inputs& inputs) {
  const Recording* const recording = recording_now();
  if (!recording) return false;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i] && recording->needs_gradient(*inputs[i])) return true;
  return false;
}

std::uint64_t needed_gradients(const Inputs& inputs) {
  const Recording* const recording = recording_now();
  if (!recording) return 0;
  std::uint64_t needed = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i] && recording->needs_gradient(*inputs[i])) needed |= std::uint64_t{1} << std::min<std::size_t>(i, 63);
  return needed;
}

void* pullback_storage(std::size_t bytes, std::size_t alignment) { return active->pullback_storage(bytes, alignment); }

Handle<TensorImpl> append(const char* name, Handle<TensorImpl> value, const Inputs& inputs, void* pullback,
                          const PullbackType* type) {
  return active->append(name, std::move(value), inputs, pullback, type);
}

const std::size_t* Recording::keep_extents(const Shape& shape) {
  auto* extents = static_cast<std::size_t*>(arena_.allocate(shape.size() * sizeof(std::size_t), alignof(std::size_t)));
  for (std::size_t i = 0; i < shape.size(); ++i) extents[i] = shape[i];  // a few: std::copy calls memmove
  return extents;
}

std::uint32_t Recording::keep_constant(TensorImpl& input, bool seen) {
  constants_.push_back({keep_extents(input.shape), static_cast<std::uint8_t>(input.shape.size()), input.dtype,
                        input.version, seen ? Handle<TensorImpl>::share(&input) : Handle<TensorImpl>{}});
  return static_cast<std::uint32_t>(constants_.size() - 1);
}

std::optional<InputShape> Recording::shape_of(const Edge& input) const {
  if (input.kind == Edge::Kind::number) return std::nullopt;
  if (input.is_node()) return InputShape{nodes_[input.at].shape(), nodes_[input.at].dtype};
  if (input.leaf) return InputShape{input.leaf->shape, input.leaf->dtype};
  const ConstantInput& constant = constants_[input.at];
  return InputShape{Shape(std::span<const std::size_t>(constant.extents, constant.rank)), constant.dtype};
}

void Recording::add_hook(const Handle<TensorImpl>& x,
                         std::function<Handle<TensorImpl>(const Handle<TensorImpl>&)> hook) {
  check_thread("hook");
  if (!x || !needs_gradient(*x))
    throw TapeError(
        "hook: the tensor needs no gradient on this tape; make it with parameter(), or compute it from one on this "
        "tape");
  if (!watch_) watch_ = std::make_unique<Watch>(TapeOptions{});
  if (links(*x))
    watch_->node_hooks[x->link.node].push_back(std::move(hook));
  else
    watch_->hooks_of_source(x).push_back(std::move(hook));
}

Handle<TensorImpl> Recording::append(const char* name, Handle<TensorImpl> value, const Inputs& inputs, void* pullback,
                                     const PullbackType* type) {
  // From here on the pullback is ours: destroyed if anything below throws.
  struct Guard {
    void* pullback;
    const PullbackType* type;
    ~Guard() {
      if (pullback) type->destroy(pullback);
    }
  } guard{pullback, type};

  if (!value) throw TapeError(std::string(name) + ": record needs a defined value");
  if (nodes_.size() >= Edge::none) throw TapeError(std::string(name) + ": the tape is full (2^32 - 1 nodes)");
  // The value becomes this node's output. If somebody else holds the handle too, e.g. an op that returns
  // its input as it is, the output is a new tensor on the same elements.
  if (!value->refs.unique() || value->requires_grad || value->link.recording != 0)
    value = TensorImpl::view(*value, value->shape);

  if (watch_) [[unlikely]]
    watch_->recorded(nodes_.size(), name, *value, inputs);

  const std::size_t first_edge = edges_.size();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Edge edge;
    TensorImpl* input = inputs[i];
    if (!input) {
      edge.kind = Edge::Kind::number;
    } else if (links(*input)) {
      edge = {{}, input->link.node, Edge::Kind::node};
    } else if (needs_gradient(*input)) {
      edge = {Handle<TensorImpl>::share(input), input->version, Edge::Kind::leaf};
    } else {
      edge = {{}, keep_constant(*input, type->owns && !input->refs.unique()), Edge::Kind::constant};
    }
    edges_.push_back(std::move(edge));
  }

  nodes_.push_back({name, pullback, type, keep_extents(value->shape), type->takes_output ? value : Handle<TensorImpl>{},
                    static_cast<std::uint32_t>(first_edge), static_cast<std::uint32_t>(inputs.size()),
                    static_cast<std::uint8_t>(value->shape.size()), value->dtype});
  guard.pullback = nullptr;
  value->link = {serial_, static_cast<std::uint32_t>(nodes_.size() - 1)};
  return value;
}

std::vector<Handle<TensorImpl>> Recording::sources() const {
  std::vector<Handle<TensorImpl>> found;
  std::unordered_set<const TensorImpl*> seen;
  for (const Edge& edge : edges_)
    if (edge.leaf && seen.insert(edge.leaf.get()).second) found.push_back(edge.leaf);
  return found;
}

std::vector<bool> Recording::uses(const Handle<TensorImpl>& y, std::span<const Handle<TensorImpl>> tensors,
                                  std::size_t first) const {
  std::vector<bool> used(tensors.size());
  NodeSet reached;
  reached.make_room(nodes_.size());
  const auto meet = [&](std::uint32_t node, const TensorImpl* leaf) {
    bool found = false;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (tensors[i] && (links(*tensors[i]) ? tensors[i]->link.node == node : tensors[i].get() == leaf))
        found = used[i] = true;
    if (!found && node != Edge::none && node >= first) reached.insert(node);
  };
  meet(links(*y) ? y->link.node : Edge::none, y.get());
  for (std::size_t at = nodes_.size(); (at = reached.highest_below(at)) != NodeSet::none;)
    for (const Edge& edge : inputs(nodes_[at])) meet(edge.is_node() ? edge.at : Edge::none, edge.leaf.get());
  return used;
}

std::span<const Edge> Recording::edges_since(std::size_t first_node) const noexcept {
  if (first_node >= nodes_.size()) return {};
  return std::span(edges_).subspan(nodes_[first_node].first_edge);
}

}  // namespace detail

Tape::Tape(const TapeOptions& options) : recording_(detail::Recording::open(options)) {}
Tape::~Tape() { detail::Recording::close(recording_); }
void Tape::clear() {
  recording_->check_thread("clear");
  if (recording_->sweeping()) throw TapeError("clear: a sweep over this tape is running");
  recording_->clear();
}
std::vector<Tape::Impl> Tape::parameters_of(detail::DType dtype) const {
  std::vector<Impl> found = recording_->sources();
  std::erase_if(found, [dtype](const Impl& source) { return !source->requires_grad || source->dtype != dtype; });
  return found;
}
std::size_t Tape::size() const noexcept { return recording_->nodes().size(); }
bool Tape::recording() noexcept { return detail::active && !detail::active->abandoned(); }

std::vector<std::string_view> Tape::op_names() const {
  std::vector<std::string_view> names;
  for (const auto& node : recording_->nodes()) names.emplace_back(node.name);
  return names;
}

void Tape::add_hook(const Impl& x, std::function<Impl(const Impl&)> hook) { recording_->add_hook(x, std::move(hook)); }

Profile Tape::profile() const {
  const auto* watch = recording_->watch();
  if (!watch || !watch->profiler)
    throw TapeError("profile: this tape takes none; make it with Tape tape{{.profile = true}}");
  return watch->profiler->profile();
}

NoGrad::NoGrad() noexcept : opened_(detail::next_serial.fetch_add(1, std::memory_order_relaxed)) {
  if (auto* const own = detail::OwnTapes::get()) own->pauses.push_back({opened_, false});
  detail::active = nullptr;
}
NoGrad::~NoGrad() {
  if (auto* const own = detail::OwnTapes::get()) {
    auto& pauses = own->pauses;
    const auto found = std::ranges::lower_bound(pauses, opened_, {}, &detail::TapesOfThread::Pause::opened);
    if (found != pauses.end() && found->opened == opened_) found->over = true;
    while (!pauses.empty() && pauses.back().over) pauses.pop_back();
  }
  detail::find_active();
}

}  // namespace xtape
