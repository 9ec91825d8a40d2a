#pragma once
// The backward sweep over a recording, as transforms use it. Tape::backward and Tape::gradient are defined beside it.

#include "../tape/recording.hpp"

#include <span>
#include <vector>

namespace xtape::detail {

// d<seed, y>/dx for each x by a sweep from y down to node `first`, as a part of a larger computation: hooks of leaves
// are not called. An x that was recorded before `first` is a leaf to the sweep. Undefined where y does not depend on x.
// Without a seed y has one element.
std::vector<Handle<TensorImpl>> gradients_of(Recording& recording, const Handle<TensorImpl>& y,
                                             const Handle<TensorImpl>& seed, std::span<const Handle<TensorImpl>> x,
                                             const BackwardOptions& options, std::size_t first);

}  // namespace xtape::detail
