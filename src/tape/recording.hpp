#pragma once
// What a Tape holds: nodes, edges and pullbacks, and the sweep over them.

#include <xtape/memory.hpp>
#include <xtape/tape.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

namespace xtape::detail {

struct Watch;
class AnomalySearch;

// Where a sweep stands: at an input of an op, or at its output.
struct Step {
  static constexpr std::uint32_t output = 0xffffffffU;
  const char* op;
  std::uint32_t node;  // Edge::none: at no op
  std::uint32_t input;
};

// For vectors in the pool's memory, which what they give up goes back to.
template <class T> struct PoolAllocator {
  using value_type = T;
  PoolAllocator() noexcept = default;
  template <class U> PoolAllocator(const PoolAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(detail::allocate(n * sizeof(T))); }
  void deallocate(T* block, std::size_t n) noexcept { detail::deallocate(block, n * sizeof(T)); }
  bool operator==(const PoolAllocator&) const noexcept { return true; }
};
template <class T> using PoolVector = std::vector<T, PoolAllocator<T>>;

// Empties a vector and keeps its memory, unless that is much more than was needed this time.
template <class T> void empty(PoolVector<T>& of) noexcept {
  const bool too_large = !of.empty() && of.capacity() > 4096 && of.size() < of.capacity() / 8;
  of.clear();
  if (too_large) PoolVector<T>().swap(of);
}

// Memory for pullbacks and shapes: chunks filled from the front, all given up together.
class Arena {
 public:
  ~Arena() { release(); }
  void* allocate(std::size_t bytes, std::size_t alignment) {
    void* place = allocate_here(bytes, alignment);
    return place ? place : allocate_in_next(bytes, alignment);
  }
  void reset() noexcept;               // keeps the chunks, unless there are many more than were needed this time
  std::size_t bytes() const noexcept;  // of the chunks in use

 private:
  struct Chunk {
    std::byte* begin;
    std::size_t bytes;
  };
  // In what is left of the current chunk, or null.
  void* allocate_here(std::size_t bytes, std::size_t alignment) noexcept {
    const std::size_t gap = (alignment - reinterpret_cast<std::uintptr_t>(next_) % alignment) % alignment;
    if (static_cast<std::size_t>(end_ - next_) < gap + bytes || !next_) return nullptr;
    void* place = next_ + gap;
    next_ += gap + bytes;
    return place;
  }
  void* allocate_in_next(std::size_t bytes, std::size_t alignment);
  void release() noexcept;
  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0;                       // the next one
  std::byte *next_ = nullptr, *end_ = nullptr;  // of the current one
};

// One input of a node.
struct Edge {
  enum class Kind : std::uint8_t {
    node,      // the result of an earlier node
    leaf,      // a tensor that gradients stop at: a parameter, or one that was recorded on an enclosing tape
    constant,  // a tensor that needs no gradient
    number     // no tensor: a number stands in its place
  };
  static constexpr std::uint32_t none = 0xffffffffU;  // no node's number
  Handle<TensorImpl> leaf;                            // null unless it is one
  std::uint32_t at = 0;  // a node's number; a leaf's version when it was recorded; a constant's place among them
  Kind kind = Kind::number;

  bool is_node() const noexcept { return kind == Kind::node; }
};

// What is remembered of a constant. One that the pullback may see, and somebody else may write, is held to notice
// that: a pullback that holds no tensors needs none of them, and if nobody else holds a tensor, nobody writes it.
struct ConstantInput {
  const std::size_t* extents;  // in the arena
  std::uint8_t rank;
  DType dtype;
  std::uint32_t version;    // when it was recorded
  Handle<TensorImpl> held;  // until the node is swept
};

struct Node {
  const char* name;
  void* pullback;  // null once swept
  const PullbackType* type;
  const std::size_t* extents;  // of the output, in the arena
  Handle<TensorImpl> output;   // only if the pullback takes it
  std::uint32_t first_edge;
  std::uint32_t edge_count;
  std::uint8_t rank;
  DType dtype;

  Shape shape() const { return Shape(std::span<const std::size_t>(extents, rank)); }
  bool has_shape(const Shape& other) const noexcept {
    if (other.size() != rank) return false;
    for (std::size_t i = 0; i < rank; ++i)
      if (other[i] != extents[i]) return false;
    return true;
  }
};

// An input of a node, as far as it is known: undefined tensors have no shape.
struct InputShape {
  Shape shape;
  DType dtype;
};

class Recording {
 public:
  // Recordings are kept per thread and used again, so that opening a tape reaches no malloc.
  static Recording* open(const TapeOptions& options);
  static void close(Recording* recording) noexcept;
  // What happens to a thread's recordings when it ends: the open ones belong to whoever closes them.
  static void end_thread(Recording* idle) noexcept;
  static void drop(Recording*& idle) noexcept;  // all of a list
  // Out of its thread's list, to be used again.
  void retire() noexcept;

  const Recording* enclosing() const noexcept { return enclosing_; }
  // Its number among the thread's tapes and pauses.
  std::uint64_t opened() const noexcept { return opened_; }
  bool links(const TensorImpl& impl) const noexcept { return impl.link.recording == serial_; }
  // A parameter, or recorded here or on an enclosing tape, or one of the tensors that are looked for.
  bool needs_gradient(const TensorImpl& impl) const noexcept;
  void clear() noexcept;
  // Its tape was destroyed by another thread, or by a sweep over it: nothing more is recorded. Its thread clears it
  // when it comes by next and no sweep runs on it, for it may be in the middle of computing.
  bool abandoned() const noexcept { return whose_.load(std::memory_order_acquire) == Whose::abandoned; }
  bool sweeping() const noexcept { return sweeps_ > 0; }
  // A sweep over the recording, for as long as it is in scope.
  class Sweeping {
   public:
    explicit Sweeping(Recording& over) noexcept : over_(over) { ++over_.sweeps_; }
    ~Sweeping() { --over_.sweeps_; }
    Sweeping(const Sweeping&) = delete;
    Sweeping& operator=(const Sweeping&) = delete;

   private:
    Recording& over_;
  };
  // Throws TapeError on another thread than the one that opened it.
  void check_thread(const char* op) const;
  ~Recording();

  void* pullback_storage(std::size_t bytes, std::size_t alignment) { return arena_.allocate(bytes, alignment); }
  Handle<TensorImpl> append(const char* name, Handle<TensorImpl> value, const Inputs& inputs, void* pullback,
                            const PullbackType* type);
  // What the nodes depend on that was not recorded here, each once, in the order of first use.
  std::vector<Handle<TensorImpl>> sources() const;

  void add_hook(const Handle<TensorImpl>& x, std::function<Handle<TensorImpl>(const Handle<TensorImpl>&)> hook);

  // Constants that are recorded as sources while they are looked for: to see whether a result was computed from them.
  std::vector<const TensorImpl*>& looked_for() noexcept { return looked_for_; }
  // Of each tensor, whether y was computed from it by nodes from `first` on, and not through another of them.
  std::vector<bool> uses(const Handle<TensorImpl>& y, std::span<const Handle<TensorImpl>> tensors,
                         std::size_t first) const;

  const PoolVector<Node>& nodes() const noexcept { return nodes_; }
  const Edge& edge(std::size_t index) const noexcept { return edges_[index]; }
  const ConstantInput& constant(const Edge& edge) const noexcept { return constants_[edge.at]; }
  // Gives up what a node's pullback keeps: it cannot be swept again.
  void forget(std::uint32_t node) noexcept { forget(nodes_[node]); }
  // Of nodes, edges and pullbacks.
  std::size_t bytes() const noexcept;
  std::span<const Edge> edges_since(std::size_t first_node) const noexcept;
  std::span<const Edge> inputs(const Node& node) const noexcept {
    return std::span(edges_).subspan(node.first_edge, node.edge_count);
  }
  std::optional<InputShape> shape_of(const Edge& input) const;
  Watch* watch() const noexcept { return watch_.get(); }
  AnomalySearch* anomaly() const noexcept;  // null unless asked for

 private:
  Recording();
  const std::size_t* keep_extents(const Shape& shape);
  // Its place among the constants. `seen`: by the pullback, and others may write it.
  std::uint32_t keep_constant(TensorImpl& input, bool seen);
  void forget(Node& node) noexcept;
  void unlink() noexcept;

  std::uint64_t serial_ = 0, opened_ = 0;
  Recording *enclosing_ = nullptr, *enclosed_ = nullptr;  // the next older and the next younger one of this thread
  std::uint64_t thread_ = 0;                              // its number
  // Its thread deletes it, or uses it again; or another thread that closes it after that one has ended.
  enum class Whose { thread, abandoned, thread_ended };
  std::atomic<Whose> whose_{Whose::thread};
  PoolVector<Node> nodes_;
  PoolVector<Edge> edges_;
  PoolVector<ConstantInput> constants_;
  std::vector<const TensorImpl*> looked_for_;
  Arena arena_;
  int sweeps_ = 0;                // running now
  std::unique_ptr<Watch> watch_;  // hooks, profile, search for anomalies; null on a tape without any
};

// The recording that ops of this thread go onto, or null.
Recording* active_recording() noexcept;
// Looks for active recordings again, after one was abandoned.
void find_active() noexcept;
// Adds the nodes and bytes of all of the thread's open recordings.
void count_recorded(MemoryUse& use) noexcept;
// Gives up those that the thread keeps to use them again.
void drop_idle_recordings() noexcept;

}  // namespace xtape::detail
