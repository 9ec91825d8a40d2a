#pragma once
/// \file detail/parallel.hpp  Loops whose iterations do not depend on each other, on several threads.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace xtape::detail {

/// The setting of threads.hpp.
extern std::atomic<std::size_t> thread_setting;

/// True on a thread that is inside a part of parallel_for: what it calls runs on it alone.
bool inside_parallel() noexcept;

/// What runs part number `part`: [first, last).
using PartBody = void (*)(void* context, std::size_t part, std::size_t first, std::size_t last);
/// Runs the parts of [0, count), on several threads where they are free. `grains` tells how much work there is.
void run_parts(std::size_t count, std::size_t parts, std::size_t grains, PartBody body, void* context);

/// [0, count) cut into equal parts, one a thread but none smaller than `grain`. They depend on the setting alone, not
/// on which threads are free; inside a part nothing is cut again.
class Parts {
 public:
  Parts(std::size_t count, std::size_t grain) noexcept : count_(count) {
    const std::size_t threads = thread_setting.load(std::memory_order_relaxed);
    if (threads == 1) return;
    grains_ = count / std::max<std::size_t>(grain, 1);
    if (grains_ > 1 && !inside_parallel()) number_ = std::min(threads, grains_);
  }
  std::size_t number() const noexcept { return number_; }

  /// body(part, first, last) for all of them. If bodies throw, the exception of the first such part reaches the caller,
  /// after all have ended.
  template <class Body> void run(Body&& body) const {
    if (number_ == 1) {
      body(std::size_t{0}, std::size_t{0}, count_);
      return;
    }
    using B = std::remove_reference_t<Body>;
    const PartBody call = [](void* context, std::size_t part, std::size_t first, std::size_t last) {
      (*static_cast<B*>(context))(part, first, last);
    };
    run_parts(count_, number_, grains_, call, const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }

 private:
  std::size_t count_, number_ = 1, grains_ = 0;
};

/// A part should take five microseconds or more: what another thread has made must come from its cache. These are
/// elementary operations on elements: additions, comparisons, copies of a sixth of a nanosecond each.
inline constexpr std::size_t part_work = 1 << 15;

/// body(first, last) for the parts that make up [0, count), none smaller than `grain`.
template <class Body> void parallel_for(std::size_t count, std::size_t grain, Body&& body) {
  if (count == 0) return;
  Parts(count, grain).run([&body](std::size_t, std::size_t first, std::size_t last) { body(first, last); });
}

}  // namespace xtape::detail
