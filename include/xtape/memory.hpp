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
  /// What the thread's open tapes hold of their own: nodes, their inputs and pullbacks. The tensors are in `bytes`.
  std::ptrdiff_t tape_bytes = 0;
  /// What all threads together have from the system, in use or free to be used again; tensors' headers and rounding up
  /// to sizes of blocks are in it. The C library adds up to a half for small blocks.
  std::ptrdiff_t system_bytes = 0;
};

/// What the calling thread holds now.
MemoryUse memory_use() noexcept;
/// The peak counts from what is held now.
void reset_peak_memory() noexcept;

/// Gives the system all memory that is free to be used again; the next step will have to ask for it.
///
/// Without it, freed memory is used again, whichever thread has freed it. What sixteen tapes in a row have not needed
/// goes back to the system by itself, but for 64 MiB. Each thread keeps at most half a MiB of each size up to 256 KiB,
/// until it ends; when the system has no more, all other free memory is given up before an allocation fails.
void trim_memory() noexcept;

}  // namespace xtape
