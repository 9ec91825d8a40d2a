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

/// [0, count) cut into equal parts: calls body(context, first, last) for each, on several threads where they are free.
/// `grains` tells how much work there is.
void run_parts(std::size_t count, std::size_t parts, std::size_t grains,
               void (*body)(void* context, std::size_t first, std::size_t last), void* context);

/// Into how many parts parallel_for cuts [0, count) now: depends on the setting alone.
inline std::size_t part_count(std::size_t count, std::size_t grain) noexcept {
  const std::size_t threads = thread_setting.load(std::memory_order_relaxed);
  if (threads == 1 || count / 2 < std::max<std::size_t>(grain, 1)) return 1;
  return inside_parallel() ? 1 : std::min(threads, count / std::max<std::size_t>(grain, 1));
}

/// A part should take four microseconds or more. These are elementary operations on elements in the cache: additions,
/// comparisons, copies of a quarter of a nanosecond each.
inline constexpr std::size_t part_work = 1 << 14;

/// body(first, last) for parts that make up [0, count), none smaller than `grain`. The parts are the same whatever the
/// other threads do; a loop inside the body is not cut again. If bodies throw, the exception of the first such part
/// reaches the caller, after all of them have ended.
template <class Body> void parallel_for(std::size_t count, std::size_t grain, Body&& body) {
  if (count == 0) return;
  const std::size_t parts = part_count(count, grain);
  if (parts == 1) {
    body(std::size_t{0}, count);
    return;
  }
  using B = std::remove_reference_t<Body>;
  run_parts(
      count, parts, count / std::max<std::size_t>(grain, 1),
      [](void* context, std::size_t first, std::size_t last) { (*static_cast<B*>(context))(first, last); },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

}  // namespace xtape::detail
