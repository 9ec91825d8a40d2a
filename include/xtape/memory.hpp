#pragma once
/// \file memory.hpp  What tensors and tapes hold: to find what keeps memory, and to measure a model's peak.

#include <cstddef>

namespace xtape {

/// Counts of the calling thread. A tensor freed by another thread than the one that made it counts down there,
/// so with tensors handed between threads a single thread's numbers may drift, even below 0.
struct MemoryUse {
  std::ptrdiff_t tensors = 0;     ///< tensors alive, views included
  std::ptrdiff_t nodes = 0;       ///< ops recorded on this thread's open tapes
  std::ptrdiff_t bytes = 0;       ///< elements of tensors, and indices kept for a backward sweep
  std::ptrdiff_t peak_bytes = 0;  ///< the most that `bytes` has been since reset_peak_memory()
};

/// What the calling thread holds now.
MemoryUse memory_use() noexcept;
/// The peak counts from what is held now.
void reset_peak_memory() noexcept;

}  // namespace xtape
