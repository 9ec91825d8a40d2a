#pragma once
/// \file threads.hpp  How many threads an op may use.

#include <cstddef>

namespace xtape {

/// Lets each op use up to n threads; 0 stands for one a processor. Small work stays on the calling thread.
///
/// One setting for the whole process, products of matrices included: OpenBLAS is held to one thread, since its products
/// are cut like any other work. Ops that are already under way finish as they began. It starts as the environment
/// variable XTAPE_NUM_THREADS says, or at 1: threads of your own, each with a tape of its own, are often the better use
/// of many processors (docs/threads.md). The threads are made when an op first needs them, and sleep when there is
/// nothing to do. If several threads of yours compute at once, one of them has the others' help, and the rest do
/// without. Throws ValueError beyond 1024.
void set_num_threads(std::size_t n);
std::size_t num_threads() noexcept;

}  // namespace xtape
