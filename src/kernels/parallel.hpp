#pragma once
// The kernels' name for parallel_for, see detail/parallel.hpp.

#include <xtape/detail/parallel.hpp>

namespace xtape::kernels {

using xtape::detail::parallel_for, xtape::detail::part_work, xtape::detail::Parts;

// The grain of a loop whose iterations have `work` elementary operations each.
constexpr std::size_t grain(std::size_t work) { return part_work / std::max<std::size_t>(work, 1) + 1; }

}  // namespace xtape::kernels
