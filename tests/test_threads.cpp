// The loop on several threads, and that results do not depend on them.

#include <xtape/detail/parallel.hpp>
#include <xtape/error.hpp>
#include <xtape/threads.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "message.hpp"

using namespace xtape;
using detail::parallel_for;

namespace {

// The setting is the process's: each test puts back what it found.
struct Threads {
  explicit Threads(std::size_t n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  std::size_t before = num_threads();
};

using Parts = std::set<std::pair<std::size_t, std::size_t>>;

Parts parts_of(std::size_t count, std::size_t grain) {
  Parts parts;
  std::mutex lock;
  parallel_for(count, grain, [&](std::size_t first, std::size_t last) {
    const std::lock_guard guard(lock);
    parts.emplace(first, last);
  });
  return parts;
}

}  // namespace

TEST_CASE("parallel_for: equal parts, none smaller than the grain, each once") {
  for (const std::size_t threads : {1, 2, 3, 8}) {
    const Threads setting(threads);
    CHECK(num_threads() == threads);
    for (const std::size_t count : {0, 1, 2, 7, 8, 9, 100, 1001})
      for (const std::size_t grain : {0, 1, 3, 50, 2000}) {
        CAPTURE(threads);
        CAPTURE(count);
        CAPTURE(grain);
        const Parts parts = parts_of(count, grain);
        std::size_t at = 0;
        for (const auto& [first, last] : parts) {
          CHECK(first == at);
          CHECK(last > first);
          CHECK((parts.size() == 1 || last - first >= grain));
          CHECK(last - first <= count / parts.size() + 1);
          at = last;
        }
        CHECK(at == count);
        CHECK(parts.size() <= threads);
        CHECK(parts == parts_of(count, grain));
      }
  }
}

TEST_CASE("parallel_for: several threads take part") {
  const Threads setting(2);
  // Each part waits for the other: done only if two threads run them.
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> begun{0};
    parallel_for(2, 1, [&](std::size_t, std::size_t) {
      ++begun;
      while (begun < 2) std::this_thread::yield();
    });
    CHECK(begun == 2);
    if (round % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the other thread falls asleep
  }
}

TEST_CASE("parallel_for: the first part's exception reaches the caller, after all have ended") {
  for (const std::size_t threads : {1, 2, 8}) {
    const Threads setting(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<std::size_t> done{0};
      const auto throwing = [&] {
        parallel_for(8, 1, [&](std::size_t first, std::size_t last) {
          done += last - first;
          throw std::runtime_error(fmt::format("part at {}", first));
        });
      };
      CHECK(message<std::runtime_error>(throwing) == "part at 0");
      CHECK(done == 8);
      CHECK(parts_of(8, 1).size() == threads);  // and the next loop is as before
    }
  }
}

TEST_CASE("parallel_for: inside a part a loop is not cut again") {
  const Threads setting(4);
  std::atomic<std::size_t> loops{0}, sum{0};
  parallel_for(4, 1, [&](std::size_t first, std::size_t last) {
    const auto here = std::this_thread::get_id();
    for (std::size_t i = first; i < last; ++i)
      parallel_for(100, 1, [&](std::size_t begin, std::size_t end) {
        CHECK(std::this_thread::get_id() == here);
        ++loops;
        for (std::size_t j = begin; j < end; ++j) sum += j;
      });
  });
  CHECK(loops == 4);
  CHECK(sum == 4 * 4950);
}

TEST_CASE("parallel_for: from several threads at once, while the setting changes") {
  const Threads setting(3);
  std::atomic<bool> wrong{false};
  std::atomic<int> running{4};
  std::vector<std::thread> users;
  for (int user = 0; user < 4; ++user)
    users.emplace_back([&] {
      std::vector<std::size_t> squares(1000);
      for (std::size_t round = 0; round < 300; ++round) {
        parallel_for(squares.size(), 10, [&](std::size_t first, std::size_t last) {
          for (std::size_t i = first; i < last; ++i) squares[i] = i * i + round;
        });
        for (std::size_t i = 0; i < squares.size(); ++i)
          if (squares[i] != i * i + round) wrong = true;
      }
      --running;
    });
  for (std::size_t n = 1; running > 0; n = n % 9 + 1) {
    set_num_threads(n);
    std::this_thread::yield();
  }
  for (auto& user : users) user.join();
  CHECK(!wrong);
}

TEST_CASE("parallel_for: a child process makes threads of its own") {
  const Threads setting(2);
  CHECK(parts_of(2, 1).size() == 2);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::atomic<int> begun{0};
    parallel_for(2, 1, [&](std::size_t, std::size_t) {
      ++begun;
      while (begun < 2) std::this_thread::yield();
    });
    _exit(begun == 2 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("set_num_threads: 0 is one a processor, too many are refused") {
  const Threads setting(0);
  CHECK(num_threads() >= 1);
  CHECK(num_threads() <= 1024);
  CHECK(message<ValueError>([] { set_num_threads(1025); }) == "set_num_threads: 1025 threads asked for, 1024 at most");
}
