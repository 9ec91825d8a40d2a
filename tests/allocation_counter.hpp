#pragma once
// Counts what a program asks of the system: calls of malloc and its kin and of mmap, by whatever library.

#include <cstddef>

// False where a sanitizer, or a C library other than glibc, has the allocator: nothing is counted then.
extern const bool allocations_are_counted;

// Calls since the start, by all threads.
std::size_t allocations() noexcept;

// From the call after `successes` more on, none succeeds, or only that one does not, until nothing is to fail again.
enum class Failures { none, one, all_from_there };
void fail_allocations(Failures failures, std::size_t successes = 0) noexcept;
// True if one did not since that was said.
bool allocation_failed() noexcept;
