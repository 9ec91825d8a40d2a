#include <xtape/detail/memory.hpp>
#include <xtape/error.hpp>
#include <xtape/memory.hpp>

#include "recording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
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

std::atomic<std::size_t> system_calls{0};

struct FreeBlock {
  FreeBlock* next;
};

// With AddressSanitizer a block on a free list is poisoned, so that use after release is still found.
void poison([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef XTAPE_ASAN
  __asan_poison_memory_region(static_cast<std::byte*>(block) + sizeof(FreeBlock), bytes - sizeof(FreeBlock));
#endif
}
void unpoison([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef XTAPE_ASAN
  __asan_unpoison_memory_region(block, bytes);
#endif
}

struct FreeLists {
  FreeBlock* head[class_count] = {};
  std::size_t bytes[class_count] = {};
  void trim() noexcept {
    for (std::size_t i = 0; i < class_count; ++i)
      while (FreeBlock* block = head[i]) {
        head[i] = block->next;
        unpoison(block, bytes[i]);
        std::free(block);
      }
  }
};

// Pointers and flags alone are thread-local: a library that is loaded late has little room for such variables.
constinit thread_local FreeLists* lists = nullptr;
constinit thread_local bool thread_ended = false;  // tensors may outlive the lists: they go back to the system

struct AtThreadEnd {
  ~AtThreadEnd() {
    thread_ended = true;
    lists->trim();
    delete std::exchange(lists, nullptr);
  }
};

FreeLists* make_lists() noexcept {
  if (thread_ended) return nullptr;
  lists = new (std::nothrow) FreeLists;
  if (lists) thread_local const AtThreadEnd cleanup;
  return lists;
}
// Null if the thread has none any more, or there is no memory for them.
FreeLists* free_lists() noexcept { return lists ? lists : make_lists(); }

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

}  // namespace

void count_tensors(std::ptrdiff_t change) noexcept { counts.tensors += change; }
void count_bytes(std::ptrdiff_t change) noexcept {
  counts.bytes += change;
  if (counts.bytes > counts.peak_bytes) counts.peak_bytes = counts.bytes;
}

void* allocate(std::size_t bytes) {
  const SizeClass size = size_class(bytes);
  if (FreeLists* const own = free_lists(); own && size.index < class_count) {
    if (FreeBlock* block = own->head[size.index]) {
      own->head[size.index] = block->next;
      unpoison(block, size.bytes);
      return block;
    }
  }
  system_calls.fetch_add(1, std::memory_order_relaxed);
  void* block = bytes <= size.bytes ? from_system(size.bytes) : nullptr;
  if (!block && lists && bytes <= size.bytes) {
    lists->trim();  // blocks of other sizes
    block = from_system(size.bytes);
  }
  if (!block) {
    const std::size_t available = available_memory();
    throw MemoryError(fmt::format("out of memory: {} bytes asked for{}", bytes,
                                  available == unknown ? "" : fmt::format(", {} available", available)));
  }
  return block;
}

void deallocate(void* block, std::size_t bytes) noexcept {
  const SizeClass size = size_class(bytes);
  FreeLists* const own = free_lists();
  if (!own || size.index >= class_count) {
    std::free(block);
    return;
  }
  auto* free_block = static_cast<FreeBlock*>(block);
  free_block->next = own->head[size.index];
  own->head[size.index] = free_block;
  own->bytes[size.index] = size.bytes;
  poison(block, size.bytes);
}

void trim_memory() noexcept {
  if (lists) lists->trim();
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

}  // namespace xtape::detail

namespace xtape {

MemoryUse memory_use() noexcept {
  MemoryUse use = detail::counts;
  use.nodes = detail::recorded_nodes();
  return use;
}
void reset_peak_memory() noexcept { detail::counts.peak_bytes = detail::counts.bytes; }

}  // namespace xtape
