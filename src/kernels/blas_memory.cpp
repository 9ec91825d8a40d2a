#include "blas_memory.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cstddef>

namespace xtape::kernels {

void check_blas_memory() {
  // As large as OpenBLAS 0.3's largest buffer, that of builds for many processors, with a little for its lists.
  constexpr std::size_t buffer = std::size_t{132} << 20;
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  void* const memory = mmap(nullptr, buffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw MemoryError(
        fmt::format("out of memory: OpenBLAS takes {} MiB of address space for each thread that multiplies matrices, "
                    "which the limit of {} MiB (ulimit -v) does not leave",
                    buffer >> 20, limit.rlim_cur >> 20));
  munmap(memory, buffer);
}

}  // namespace xtape::kernels
