#pragma once
// OpenBLAS takes a buffer at a thread's first call, and asks for it again and again, for ever, where it cannot be had.

namespace xtape::kernels {

// Throws MemoryError at a thread's first call if the process's limit of address space (ulimit -v) leaves no room for
// the buffer. Without such a limit the buffer can be had, and nothing is looked at.
void check_blas_memory();

// To be called before whatever calls OpenBLAS.
inline void need_blas_memory() {
  constinit static thread_local bool there = false;
  if (there) [[likely]]
    return;
  check_blas_memory();
  there = true;
}

}  // namespace xtape::kernels
