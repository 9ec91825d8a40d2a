// The program's own malloc goes before the C library's in every shared library, OpenBLAS's too.
#include "allocation_counter.hpp"

#include <features.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNTED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define COUNTED 0
#endif
#endif
#ifndef COUNTED
#define COUNTED 1
#endif

namespace {
constinit std::atomic<std::size_t> calls{0};
constinit std::atomic<Failures> wanted_failures{Failures::none};
constinit std::atomic<std::size_t> first_failure{0};  // the number of a call
constinit std::atomic<bool> failed{false};
}  // namespace

const bool allocations_are_counted = COUNTED;
std::size_t allocations() noexcept { return calls.load(std::memory_order_relaxed); }

void fail_allocations(Failures failures, std::size_t successes) noexcept {
  failed = false;
  first_failure = calls + successes;
  wanted_failures = failures;
}
bool allocation_failed() noexcept { return failed; }

#if COUNTED
namespace {
// Counts a call, and says whether it may succeed.
bool succeeds() noexcept {
  const std::size_t call = calls.fetch_add(1, std::memory_order_relaxed);
  const Failures failures = wanted_failures.load(std::memory_order_relaxed);
  if (failures == Failures::none || call < first_failure || (failures == Failures::one && failed)) return true;
  failed = true;
  errno = ENOMEM;
  return false;
}
}  // namespace

extern "C" {

void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

// free() stays the C library's, which the blocks come from.
void* malloc(std::size_t bytes) { return succeeds() ? __libc_malloc(bytes) : nullptr; }
void* calloc(std::size_t count, std::size_t bytes) { return succeeds() ? __libc_calloc(count, bytes) : nullptr; }
void* realloc(void* block, std::size_t bytes) { return succeeds() ? __libc_realloc(block, bytes) : nullptr; }
void* memalign(std::size_t alignment, std::size_t bytes) {
  return succeeds() ? __libc_memalign(alignment, bytes) : nullptr;
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  void* const found = memalign(alignment, bytes);
  if (!found) return ENOMEM;
  *block = found;
  return 0;
}
void* mmap(void* place, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  calls.fetch_add(1, std::memory_order_relaxed);
  return reinterpret_cast<void*>(syscall(SYS_mmap, place, bytes, protection, flags, file, offset));
}
// What it is called where files may be large.
void* mmap64(void* place, std::size_t bytes, int protection, int flags, int file, off64_t offset) {
  return mmap(place, bytes, protection, flags, file, offset);
}

}  // extern "C"
#endif
