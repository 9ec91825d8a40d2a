#pragma once
/// \file detail/memory.hpp  Blocks from size-class free lists, so that a training step in steady state never reaches
/// malloc and always finds its pages warm. Each thread keeps short lists; what they cannot hold lies in a common store.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

namespace xtape::detail {

/// A block of at least `bytes` bytes, aligned to 64. Throws MemoryError if the system has no such memory.
void* allocate(std::size_t bytes);
/// Puts a block on a free list, whichever thread it comes from; `bytes` as asked for.
void deallocate(void* block, std::size_t bytes) noexcept;
/// Returns every block on the calling thread's free lists and in the common store to the system.
void trim_memory() noexcept;
/// Returns those blocks of the common store that nobody has taken since the last call, but for 64 MiB.
void give_up_unused_memory() noexcept;
/// Blocks asked of the system since the start, by all threads: constant in steady state.
std::size_t system_allocations() noexcept;
/// Adds to the calling thread's numbers of live tensors and bytes, see memory.hpp.
void count_tensors(std::ptrdiff_t change) noexcept;
void count_bytes(std::ptrdiff_t change) noexcept;

/// True if the C library knows that the process has no other thread.
inline bool single_threaded() noexcept {
#if __has_include(<sys/single_threaded.h>)
  return __libc_single_threaded != 0;
#else
  return false;
#endif
}

/// Reference count of an object that several threads may hold. An atomic addition takes as long as a dozen others, so
/// it is done only where there are threads, as in std::shared_ptr. The last owner sees 1 and needs no subtraction,
/// which is the common case of a temporary.
class RefCount {
 public:
  void increment() noexcept {
    if (single_threaded())
      count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
      count_.fetch_add(1, std::memory_order_relaxed);
  }
  /// True if that was the last reference.
  bool decrement() noexcept {
    const std::uint32_t count = count_.load(std::memory_order_acquire);
    if (count == 1) return true;
    if (!single_threaded()) return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    count_.store(count - 1, std::memory_order_relaxed);
    return false;
  }
  bool unique() const noexcept { return count_.load(std::memory_order_acquire) == 1; }

 private:
  std::atomic<std::uint32_t> count_{1};
};

/// A shared handle on an object with `retain(p)` and `release(p)` found by argument-dependent lookup.
template <class Object> class Handle {
 public:
  Handle() noexcept = default;
  /// Takes over one reference.
  explicit Handle(Object* object) noexcept : object_(object) {}
  static Handle share(Object* object) noexcept {
    if (object) retain(object);
    return Handle(object);
  }
  Handle(const Handle& other) noexcept : object_(other.object_) {
    if (object_) retain(object_);
  }
  Handle(Handle&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Handle& operator=(Handle other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() {
    if (object_) release(object_);
  }

  Object* get() const noexcept { return object_; }
  Object* operator->() const noexcept { return object_; }
  Object& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  /// Gives up the reference without releasing it.
  Object* detach() noexcept { return std::exchange(object_, nullptr); }

 private:
  Object* object_ = nullptr;
};

/// A counted block of raw memory: what a tensor's elements, a pooling op's indices or a batch's labels lie in.
struct Storage {
  RefCount refs;
  std::size_t bytes;  // of the block, this header included

  static constexpr std::size_t header = 64;  // keeps the elements on a cache line's start
  void* data() noexcept { return reinterpret_cast<std::byte*>(this) + header; }

  /// Elements of `bytes` bytes, not initialised.
  static Handle<Storage> make(std::size_t bytes);
};
inline void retain(Storage* storage) noexcept { storage->refs.increment(); }
void destroy(Storage* storage) noexcept;
inline void release(Storage* storage) noexcept {
  if (storage->refs.decrement()) destroy(storage);
}

}  // namespace xtape::detail
