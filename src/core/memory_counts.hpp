#pragma once
// What a thread holds beside tapes.

#include <xtape/memory.hpp>

namespace xtape::detail {

// Of the calling thread's tensors, and of all threads' memory; nothing of tapes.
MemoryUse memory_counts() noexcept;

}  // namespace xtape::detail
