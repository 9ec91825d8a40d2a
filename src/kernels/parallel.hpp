#pragma once
// The kernels' name for parallel_for, see detail/parallel.hpp, and what a part is at least.

#include <xtape/detail/parallel.hpp>

namespace xtape::kernels {

using xtape::detail::inside_parallel, xtape::detail::parallel_for, xtape::detail::part_count;

// To wake a thread and to wait for it takes a few microseconds. In units of a simple operation on an element in the
// cache (an addition, a comparison, a copy: a quarter of a nanosecond) a part is worth it from here on.
inline constexpr std::size_t part_work = 32768;

// The grain of a loop whose iterations each take `work` of these units.
constexpr std::size_t grain(std::size_t work) {
  return work < part_work ? part_work / std::max<std::size_t>(work, 1) : 1;
}

}  // namespace xtape::kernels
