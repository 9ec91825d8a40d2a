#pragma once
// Counts what a program asks of the system: calls of malloc and its kin and of mmap, by whatever library.

#include <cstddef>

// False where a sanitizer, or a C library other than glibc, has the allocator: nothing is counted then.
extern const bool allocations_are_counted;

// Calls since the start, by all threads.
std::size_t allocations() noexcept;
