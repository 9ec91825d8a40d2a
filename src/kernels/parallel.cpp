#include "parallel.hpp"

#include <xtape/error.hpp>
#include <xtape/threads.hpp>

#include <cblas.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace xtape {
namespace {

using detail::PartBody;

constexpr std::size_t most_threads = 1024;

std::size_t processors() noexcept {
  return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, most_threads);
}

// What is no number from 0 to the most counts as 1.
std::size_t setting_of_environment() noexcept {
  const char* const text = std::getenv("XTAPE_NUM_THREADS");
  if (!text) return 1;
  std::size_t n = 1;
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, n);
  if (error != std::errc{} || rest != end || n > most_threads) return 1;
  return n == 0 ? processors() : n;
}

constinit thread_local bool inside = false;

struct Inside {
  Inside() noexcept { inside = true; }
  ~Inside() { inside = false; }
};

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#endif
}

using Clock = std::chrono::steady_clock;
// How long a thread with nothing to do waits awake.
constexpr auto patience = std::chrono::microseconds(100);
// To wake a thread that sleeps takes ten to twenty microseconds, half of them the caller's: worth it from this many
// grains on. Smaller loops are shared with threads that are awake, as they are between the larger ones of a training
// step.
constexpr std::size_t waking_grains = 8;

// Waits for done() for a moment without giving up the processor: training steps run one loop after another, and to wake
// a sleeping thread takes longer than most of them. Not longer: somebody else may need the processor.
template <class Done> bool spin_until(const Done& done) noexcept {
  const auto start = Clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
  } while (Clock::now() - start < patience);
  return false;
}

// Part i of [0, count) in `parts` parts: the first count % parts of them are one longer.
std::size_t part_start(std::size_t count, std::size_t parts, std::size_t i) noexcept {
  return count / parts * i + std::min(i, count % parts);
}

// The threads that help, and the one loop they help with. Parts are taken by whoever comes first, the caller among
// them: it never waits for a thread that has not begun, say because another process holds its processor.
class Pool {
 public:
  // False if another thread has the pool, or the work is too little to wake it for.
  bool try_run(std::size_t count, std::size_t parts, std::size_t grains, PartBody body, void* context) {
    const std::unique_lock owner(owner_, std::try_to_lock);
    if (!owner) return false;
    if (grains < waking_grains && asleep_.load(std::memory_order_relaxed) == workers_.size()) return false;
    employ(std::min(thread_count(), parts) - 1);
    // No thread reads these before the ticket is out, and none that read the last ticket can take a part any more.
    body_.store(body, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    count_.store(count, std::memory_order_relaxed);
    unfinished_.store(static_cast<int>(parts), std::memory_order_relaxed);
    error_ = nullptr;
    const std::uint64_t loop = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(loop << 32 | parts << 16, std::memory_order_release);
    announced_.fetch_add(1);
    announced_.notify_all();

    take_parts();
    if (!spin_until([&] { return unfinished_.load(std::memory_order_acquire) == 0; }))
      for (int left; (left = unfinished_.load(std::memory_order_acquire)) != 0;) unfinished_.wait(left);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  static std::size_t thread_count() noexcept { return detail::thread_setting.load(std::memory_order_relaxed); }

  // Runs parts of the loop announced last until none is left. The ticket is its number, its parts and the next of them.
  void take_parts() noexcept {
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      const std::size_t parts = ticket >> 16 & 0xffff, part = ticket & 0xffff;
      if (part >= parts) return;
      const PartBody body = body_.load(std::memory_order_relaxed);
      void* const context = context_.load(std::memory_order_relaxed);
      const std::size_t count = count_.load(std::memory_order_relaxed);
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      // The part is ours, so the loop had not ended when its description was read.
      try {
        const Inside mark;
        body(context, part, part_start(count, parts, part), part_start(count, parts, part + 1));
      } catch (...) {
        const std::lock_guard lock(error_lock_);
        if (!error_ || part < error_part_) {
          error_ = std::current_exception();
          error_part_ = part;
        }
      }
      if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  void help(std::size_t number) noexcept {
    for (int seen = announced_.load(std::memory_order_acquire);;) {
      take_parts();
      if (number >= employed_.load(std::memory_order_acquire)) return;
      if (!spin_until([&] { return announced_.load(std::memory_order_acquire) != seen; })) {
        asleep_.fetch_add(1, std::memory_order_relaxed);
        announced_.wait(seen);
        asleep_.fetch_sub(1, std::memory_order_relaxed);
      }
      seen = announced_.load(std::memory_order_acquire);
    }
  }

  // Makes threads, or lets them go, until there are n; fewer if the system has no more.
  void employ(std::size_t n) {
    const std::size_t wanted = std::max(n, std::min(workers_.size(), thread_count() - 1));
    if (wanted == workers_.size()) return;
    employed_.store(wanted, std::memory_order_release);
    if (wanted < workers_.size()) {
      announced_.fetch_add(1);
      announced_.notify_all();
      for (std::size_t i = wanted; i < workers_.size(); ++i) workers_[i].join();
      workers_.resize(wanted);
      return;
    }
    // Signals are for the program's own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      workers_.reserve(wanted);
      while (workers_.size() < wanted) workers_.emplace_back(&Pool::help, this, workers_.size());
    } catch (const std::system_error&) {
      // The caller runs the parts that nobody else takes.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  std::mutex owner_;
  std::vector<std::thread> workers_;
  std::atomic<std::size_t> employed_{0};
  std::atomic<std::size_t> asleep_{0};

  std::atomic<PartBody> body_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<std::size_t> count_{0};
  std::exception_ptr error_;
  std::size_t error_part_ = 0;
  std::mutex error_lock_;

  // Each on a cache line of its own: threads wait on one while others write the next.
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<int> announced_{0};
  alignas(64) std::atomic<int> unfinished_{0};
};

// Never destroyed: its threads sleep on it until the process ends, and loops may run in the destructors of statics.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
  if (Pool* const made = the_pool.load(std::memory_order_acquire)) return *made;
  static std::mutex making;
  const std::lock_guard lock(making);
  if (Pool* const made = the_pool.load(std::memory_order_acquire)) return *made;
  // A process that forks takes none of the threads with it: it makes its own.
  static const int registered = pthread_atfork([] { making.lock(); }, [] { making.unlock(); },
                                               [] {
                                                 the_pool.store(nullptr, std::memory_order_relaxed);
                                                 making.unlock();
                                               });
  static_cast<void>(registered);
  Pool* const made = new Pool;
  the_pool.store(made, std::memory_order_release);
  return *made;
}

}  // namespace

namespace detail {

constinit std::atomic<std::size_t> thread_setting{1};

namespace {

// When the library is loaded.
[[maybe_unused]] const bool initialised = [] {
  // Products are split here, so threads of OpenBLAS's own would be too many. A program that wants them for its own work
  // may set them again.
  openblas_set_num_threads(1);
  thread_setting.store(setting_of_environment(), std::memory_order_relaxed);
  return true;
}();

}  // namespace

bool inside_parallel() noexcept { return inside; }

void run_parts(std::size_t count, std::size_t parts, std::size_t grains, PartBody body, void* context) {
  if (pool().try_run(count, parts, grains, body, context)) return;
  const Inside mark;
  for (std::size_t i = 0; i < parts; ++i)
    body(context, i, part_start(count, parts, i), part_start(count, parts, i + 1));
}

}  // namespace detail

void set_num_threads(std::size_t n) {
  if (n > most_threads)
    throw ValueError(fmt::format("set_num_threads: {} threads asked for, {} at most", n, most_threads));
  detail::thread_setting.store(n == 0 ? processors() : n, std::memory_order_relaxed);
}

std::size_t num_threads() noexcept { return detail::thread_setting.load(std::memory_order_relaxed); }

}  // namespace xtape
