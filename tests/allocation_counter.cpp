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
}

const bool allocations_are_counted = COUNTED;
std::size_t allocations() noexcept { return calls.load(std::memory_order_relaxed); }

#if COUNTED
extern "C" {

void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

// free() stays the C library's, which the blocks come from.
void* malloc(std::size_t bytes) {
  calls.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  calls.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, bytes);
}
void* realloc(void* block, std::size_t bytes) {
  calls.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(block, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  calls.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, bytes);
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
