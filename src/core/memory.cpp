#include <xtape/detail/memory.hpp>
#include <xtape/error.hpp>
#include <xtape/memory.hpp>

#include "memory_counts.hpp"
#include "of_thread.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define XTAPE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define XTAPE_ASAN 1
#endif
#endif
#ifdef XTAPE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace xtape::detail {
namespace {

// Sizes: multiples of 64 up to 1024, then four to each doubling, so that at most a fifth is wasted.
constexpr std::size_t small_limit = 1024, small_classes = small_limit / 64;
constexpr std::size_t class_count = small_classes + 4 * 40;

struct SizeClass {
  std::size_t index, bytes;
};

SizeClass size_class(std::size_t bytes) noexcept {
  if (bytes <= small_limit) {
    const std::size_t units = bytes == 0 ? 1 : (bytes + 63) / 64;
    return {units - 1, units * 64};
  }
  const auto doubling =
      static_cast<std::size_t>(std::bit_width(bytes - 1)) - 1;  // 2^doubling < bytes <= 2^(doubling+1)
  const std::size_t step = std::size_t{1} << (doubling - 2);
  const std::size_t quarter = (bytes - 1 - (std::size_t{1} << doubling)) / step;  // 0 to 3
  return {small_classes + 4 * (doubling - 10) + quarter, (std::size_t{1} << doubling) + (quarter + 1) * step};
}

constexpr std::size_t bytes_of_class(std::size_t index) noexcept {
  if (index < small_classes) return (index + 1) * 64;
  const std::size_t doubling = (index - small_classes) / 4 + 10, quarter = (index - small_classes) % 4;
  return (std::size_t{1} << doubling) + (quarter + 1) * (std::size_t{1} << (doubling - 2));
}

constinit std::atomic<std::size_t> system_calls{0}, system_bytes{0};

// A free block. Those of one size are linked to chains, and chains to a list: the first block of each has the next.
struct Block {
  Block *next, *next_chain;
};

// With AddressSanitizer a block on a free list is poisoned, so that use after release is still found.
void poison([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef XTAPE_ASAN
  __asan_poison_memory_region(static_cast<std::byte*>(block) + sizeof(Block), bytes - sizeof(Block));
#endif
}
void unpoison([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef XTAPE_ASAN
  __asan_unpoison_memory_region(block, bytes);
#endif
}

void to_system(void* block, std::size_t bytes) noexcept {
  system_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  std::free(block);
}
void chain_to_system(Block* chain, std::size_t bytes) noexcept {
  while (Block* const block = chain) {
    chain = block->next;
    unpoison(block, bytes);
    to_system(block, bytes);
  }
}

// A thread keeps chains of at most so many bytes and blocks, two of each size; larger blocks are all in the common
// store.
constexpr std::size_t chain_bytes = std::size_t{1} << 18, chain_blocks = 64;
constexpr std::size_t chain_length(std::size_t index) noexcept {
  return std::min(chain_bytes / bytes_of_class(index), chain_blocks);
}

// The blocks that no thread keeps for itself, in whole chains. What one thread makes and another frees comes back this
// way, and so does all but a little of what a thread does not need at the moment. It needs no destructor.
class CommonStore {
 public:
  // Null if there is none.
  Block* take(std::size_t index) noexcept {
    const std::lock_guard lock(mutex);
    Chains& of = sizes_[index];
    Block* const chain = of.first;
    if (!chain) return nullptr;
    of.first = chain->next_chain;
    of.unused = std::min(of.unused, --of.count);
    bytes_ -= chain_size(index);
    return chain;
  }
  void give(std::size_t index, Block* chain) noexcept {
    const std::lock_guard lock(mutex);
    Chains& of = sizes_[index];
    chain->next_chain = of.first;
    of.first = chain;
    ++of.count;
    bytes_ += chain_size(index);
  }
  // Gives the system what nobody has taken since the last call, until no more than `kept` is left: the smallest first,
  // for a block that stays keeps the whole page.
  bool give_up_unused(std::size_t kept) noexcept {
    const std::lock_guard lock(mutex);
    bool any = false;
    for (std::size_t index = 0; index < class_count; ++index) {
      Chains& of = sizes_[index];
      for (std::size_t left = of.unused; left > 0 && bytes_ > kept; --left, any = true) give_up_one(index);
      of.unused = of.count;
    }
    return any;
  }
  void give_up_all() noexcept {
    const std::lock_guard lock(mutex);
    for (std::size_t index = 0; index < class_count; ++index)
      while (sizes_[index].first) give_up_one(index);
  }
  std::mutex mutex;  // a process that forks holds it, so that its child finds it free

 private:
  struct Chains {
    Block* first = nullptr;
    std::size_t count = 0, unused = 0;  // unused: the smallest that the count has been since the last give_up_unused()
  };
  static std::size_t chain_size(std::size_t index) noexcept {
    return std::max<std::size_t>(chain_length(index), 1) * bytes_of_class(index);
  }
  void give_up_one(std::size_t index) noexcept {
    Chains& of = sizes_[index];
    Block* const chain = std::exchange(of.first, of.first->next_chain);
    of.unused = std::min(of.unused, --of.count);
    bytes_ -= chain_size(index);
    chain_to_system(chain, bytes_of_class(index));
  }
  Chains sizes_[class_count];
  std::size_t bytes_ = 0;
};
constinit CommonStore common;
[[maybe_unused]] const int at_fork =
    pthread_atfork([] { common.mutex.lock(); }, [] { common.mutex.unlock(); }, [] { common.mutex.unlock(); });

// A thread's free blocks: of each size a chain that it takes from and gives to, and a whole one or none.
struct FreeLists {
  struct Chain {
    Block* head = nullptr;
    std::uint32_t room = 0;    // blocks that the chain lacks
    std::uint32_t length = 0;  // of a whole one; 0 for sizes that a thread does not keep
    Block* spare = nullptr;
  };
  Chain of[class_count];

  FreeLists() noexcept {
    for (std::size_t index = 0; index < class_count; ++index)
      of[index].room = of[index].length = static_cast<std::uint32_t>(chain_length(index));
  }
  ~FreeLists() { trim(); }

  void* take(std::size_t index) noexcept {
    Chain& chain = of[index];
    if (!chain.head) [[unlikely]] {
      chain.head = chain.spare ? std::exchange(chain.spare, nullptr) : common.take(index);
      if (!chain.head) return nullptr;
      chain.room = 0;
    }
    ++chain.room;
    return std::exchange(chain.head, chain.head->next);
  }
  void give(std::size_t index, void* memory) noexcept {
    auto* const block = static_cast<Block*>(memory);
    Chain& chain = of[index];
    if (chain.room == 0) [[unlikely]] {
      if (chain.length == 0) {
        block->next = nullptr;
        common.give(index, block);
        return;
      }
      if (chain.spare) common.give(index, chain.spare);
      chain.spare = std::exchange(chain.head, nullptr);
      chain.room = chain.length;
    }
    block->next = chain.head;
    chain.head = block;
    --chain.room;
  }
  void trim() noexcept {
    for (std::size_t index = 0; index < class_count; ++index) {
      const std::size_t bytes = bytes_of_class(index);
      chain_to_system(std::exchange(of[index].head, nullptr), bytes);
      chain_to_system(std::exchange(of[index].spare, nullptr), bytes);
      of[index].room = of[index].length;
    }
  }
};
using OwnLists = OfThread<FreeLists>;

constinit thread_local MemoryUse counts;

constexpr std::size_t unknown = std::numeric_limits<std::size_t>::max();

// The number after `label` in a file of the system, or alone in it if the label is empty; `unknown` if there is none.
std::size_t read_number(const char* path, const char* label) noexcept {
  std::FILE* const file = std::fopen(path, "re");
  if (!file) return unknown;
  char line[128];
  unsigned long long number = 0;
  bool found = false;
  while (!found && std::fgets(line, sizeof(line), file))
    if (std::strncmp(line, label, std::strlen(label)) == 0)
      found = std::sscanf(line + std::strlen(label), "%llu", &number) == 1;
  std::fclose(file);
  return found ? static_cast<std::size_t>(number) : unknown;
}

// What Linux can give without taking it from another process, in bytes; at most a container's limit.
std::size_t available_memory() noexcept {
  const std::size_t free = read_number("/proc/meminfo", "MemAvailable:"),
                    swap = read_number("/proc/meminfo", "SwapFree:");
  const std::size_t limit = read_number("/sys/fs/cgroup/memory.max", "");
  if (free == unknown) return limit;
  return std::min((free + (swap == unknown ? 0 : swap)) * 1024, limit);
}

// Linux promises memory that it does not have, and ends the process that touches it. So the system is asked what there
// is, once for each 64 MiB: that costs little beside touching them. Null if there is not enough.
void* from_system(std::size_t bytes) noexcept {
  constexpr std::size_t interval = std::size_t{1} << 26;
  static constinit std::atomic<std::size_t> since_check{0};
  if (bytes >= interval || since_check.fetch_add(bytes, std::memory_order_relaxed) + bytes >= interval) {
    since_check.store(0, std::memory_order_relaxed);
    if (const std::size_t available = available_memory();
        available != unknown && bytes > available - std::min(available, interval))
      return nullptr;
  }
  return std::aligned_alloc(64, bytes);
}

// The C library keeps small blocks that are freed: its free pages go to the system too.
void trim_heap() noexcept {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

// What the common store may keep though nobody has needed it for a while.
constexpr std::size_t kept_unused = std::size_t{1} << 26;

}  // namespace

void count_tensors(std::ptrdiff_t change) noexcept { counts.tensors += change; }
void count_bytes(std::ptrdiff_t change) noexcept {
  counts.bytes += change;
  if (counts.bytes > counts.peak_bytes) counts.peak_bytes = counts.bytes;
}

void* allocate(std::size_t bytes) {
  const SizeClass size = size_class(bytes);
  FreeLists* const own = OwnLists::get();
  if (own && size.index < class_count) {
    if (void* const block = own->take(size.index)) {
      unpoison(block, size.bytes);
      return block;
    }
  }
  system_calls.fetch_add(1, std::memory_order_relaxed);
  void* block = bytes <= size.bytes ? from_system(size.bytes) : nullptr;
  if (!block && bytes <= size.bytes) {  // there may be free blocks of other sizes
    trim_memory();
    block = from_system(size.bytes);
  }
  if (!block) {
    const std::size_t available = available_memory();
    throw MemoryError(fmt::format("out of memory: {} bytes asked for{}", bytes,
                                  available == unknown ? "" : fmt::format(", {} available", available)));
  }
  system_bytes.fetch_add(size.bytes, std::memory_order_relaxed);
  return block;
}

void deallocate(void* block, std::size_t bytes) noexcept {
  const SizeClass size = size_class(bytes);
  FreeLists* const own = OwnLists::get();
  if (!own || size.index >= class_count) {  // tensors may outlive their thread
    to_system(block, size.bytes);
    return;
  }
  poison(block, size.bytes);
  own->give(size.index, block);
}

void trim_memory() noexcept {
  if (FreeLists* const own = OwnLists::get()) own->trim();
  common.give_up_all();
  trim_heap();
}

void give_up_unused_memory() noexcept {
  if (common.give_up_unused(kept_unused)) trim_heap();
}

std::size_t system_allocations() noexcept { return system_calls.load(std::memory_order_relaxed); }

Handle<Storage> Storage::make(std::size_t bytes) {
  const std::size_t total = header + bytes;
  Handle<Storage> storage(new (allocate(total)) Storage{{}, total});
  count_bytes(static_cast<std::ptrdiff_t>(bytes));
  return storage;
}

void destroy(Storage* storage) noexcept {
  const std::size_t bytes = storage->bytes;
  storage->~Storage();
  deallocate(storage, bytes);
  count_bytes(-static_cast<std::ptrdiff_t>(bytes - Storage::header));
}

MemoryUse memory_counts() noexcept {
  MemoryUse use = counts;
  use.system_bytes = static_cast<std::ptrdiff_t>(system_bytes.load(std::memory_order_relaxed));
  return use;
}

}  // namespace xtape::detail

namespace xtape {

void reset_peak_memory() noexcept { detail::counts.peak_bytes = detail::counts.bytes; }

}  // namespace xtape
