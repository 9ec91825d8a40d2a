#pragma once
/// \file shard.hpp  A batch cut into parts, each of which another process works on: see docs/scaling.md.

#include <algorithm>
#include <cstddef>

namespace xtape {

/// Consecutive rows of a batch of `of` rows.
struct Rows {
  std::size_t first = 0, size = 0, of = 0;
  /// The part's weight in a mean over the batch.
  double share() const noexcept { return of == 0 ? 0 : static_cast<double>(size) / static_cast<double>(of); }
  bool operator==(const Rows&) const = default;
};

/// Part `index` of `count`. By default the only one.
struct Shard {
  std::size_t index = 0, count = 1;
  /// Its rows of a batch: the parts follow each other and differ by one row at most. None if there are too few.
  Rows rows(std::size_t batch) const noexcept {
    const std::size_t each = batch / count, longer = batch % count;
    return {index * each + std::min(index, longer), each + (index < longer ? 1U : 0U), batch};
  }
};

}  // namespace xtape
