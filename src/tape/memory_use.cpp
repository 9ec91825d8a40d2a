// What a thread holds, its tapes included.
#include <xtape/memory.hpp>

#include "../core/memory_counts.hpp"
#include "recording.hpp"

namespace xtape {

MemoryUse memory_use() noexcept {
  MemoryUse use = detail::memory_counts();
  detail::count_recorded(use);
  return use;
}

void trim_memory() noexcept {
  detail::drop_idle_recordings();
  detail::trim_memory();
}

}  // namespace xtape
