// The loop on several threads, and that results do not depend on them.

#include <xtape/detail/parallel.hpp>
#include <xtape/xtape.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <mutex>
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

using Ranges = std::set<std::pair<std::size_t, std::size_t>>;

Ranges parts_of(std::size_t count, std::size_t grain) {
  Ranges parts;
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
        const Ranges parts = parts_of(count, grain);
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
    parallel_for(16, 1, [&](std::size_t, std::size_t) {
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
  CHECK(parts_of(16, 1).size() == 2);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::atomic<int> begun{0};
    parallel_for(16, 1, [&](std::size_t, std::size_t) {
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

namespace {

using Values = std::vector<std::vector<float>>;

std::vector<float> values_of(const Tensor<float>& x) { return {x.span().begin(), x.span().end()}; }

Values with_threads(std::size_t n, const std::function<Values()>& f) {
  const Threads setting(n);
  return f();
}

// f's values, and the gradients of its inputs.
Values swept(const std::vector<Tensor<float>>& inputs,
             const std::function<Tensor<float>(const std::vector<Tensor<float>>&)>& f) {
  Tape tape;
  std::vector<Tensor<float>> leaves;
  for (const auto& x : inputs) leaves.push_back(parameter(x));
  const auto y = f(leaves);
  Rng rng{99};
  tape.backward(y, init::normal<float>(y.shape(), 0, 1, rng));
  Values values{values_of(y)};
  for (const auto& x : leaves) values.push_back(values_of(x.grad()));
  return values;
}

// Bit by bit; or to a rounding error of the largest.
void check_same(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == b[i]);
}
void check_close(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].size() == b[i].size());
    float largest = 0, apart = 0;
    for (std::size_t j = 0; j < a[i].size(); ++j) {
      largest = std::max(largest, std::abs(a[i][j]));
      apart = std::max(apart, std::abs(a[i][j] - b[i][j]));
    }
    CHECK(apart <= 1e-5F * largest);
  }
}

Tensor<float> normal(const Shape& shape, std::uint64_t seed) {
  Rng rng{seed};
  return init::normal<float>(shape, 0, 1, rng);
}

// What the promise covers: everything but products of matrices and the gradients of convolutions' weights.
Values same_on_any_number_of_threads() {
  Values all;
  const auto add = [&all](const Values& more) { all.insert(all.end(), more.begin(), more.end()); };
  const auto long_row = normal({200001}, 1), other = normal({200001}, 2);
  add(swept({long_row, other}, [](const auto& x) { return sigmoid(x[0] * x[1]) + tanh(x[0]); }));
  add(swept({long_row, other},
            [](const auto& x) { return map([](auto p, auto q) { return sigmoid(p * q) * tanh(p); }, x[0], x[1]); }));
  add(swept({long_row}, [](const auto& x) { return sum(x[0]); }));
  // Broadcasts along rows, along columns, and both; extents at which parts begin inside a row of the nest.
  add(swept({normal({7, 30, 999}, 3), normal({30, 1}, 4), normal({7, 1, 999}, 5)},
            [](const auto& x) { return x[0] * x[1] - x[2]; }));
  add(swept({normal({301, 1}, 6), normal({1, 700}, 7)}, [](const auto& x) { return maximum(x[0], x[1]); }));
  add(swept({normal({300, 701}, 8)}, [](const auto& x) { return softmax(x[0]); }));
  add(swept({normal({300, 701}, 9)}, [](const auto& x) { return log_softmax(x[0]) * logsumexp(x[0], 1, {true}); }));
  add(swept({normal({300, 701}, 10)}, [](const auto& x) { return sum(x[0], 1) * max(x[0], 1); }));
  add(swept({normal({9, 40, 701}, 11)}, [](const auto& x) { return sum(x[0], 1); }));
  const auto images = normal({16, 3, 40, 41}, 12);
  add(swept({images}, [](const auto& x) { return max_pool2d(x[0]) + 2 * avg_pool2d(x[0]); }));
  add(swept({images}, [](const auto& x) { return max_pool2d(x[0], {.window = 3, .stride = 1, .padding = 1}); }));
  for (const std::size_t filters : {1, 8, 18}) {
    const auto w = normal({filters, 3, 5, 5}, 13);
    add(swept({images}, [&](const auto& x) { return conv2d(x[0], w, {.padding = 2}); }));
    add(swept({images}, [&](const auto& x) { return conv2d(x[0], w, {.stride = 2}); }));
  }
  const auto grouped = normal({8, 4, 3, 3}, 14);
  add(swept({normal({16, 8, 30, 30}, 15)}, [&](const auto& x) { return conv2d(x[0], grouped, {.groups = 2}); }));
  // Draws, with the generator left at the same place.
  Rng rng{16};
  const Rbm<float> rbm(normal({50, 301}, 17) * 0.1, zeros<float>({50}), zeros<float>({301}));
  GibbsChain<float> chain{rbm, 200, rng};
  chain.step(2);
  add({values_of(chain.visible()), values_of(chain.hidden())});
  all.push_back({static_cast<float>(rng.uniform())});
  // An optimiser's step.
  auto weights = parameter(normal({300, 701}, 18));
  optim::Sgd<float> sgd{{weights}, {.learning_rate = 0.1, .momentum = 0.9}};
  optim::Adam<float> adam{{weights}, {}};
  weights.set_grad(normal({300, 701}, 19));
  sgd.step();
  weights.set_grad(normal({300, 701}, 20));
  adam.step();
  all.push_back(values_of(weights));
  return all;
}

// Products cut by rows and by columns, transposed and not, and the gradients of weights.
Values close_on_any_number_of_threads() {
  Values all;
  const auto add = [&all](const Values& more) { all.insert(all.end(), more.begin(), more.end()); };
  for (const auto& [n, m, k] : std::vector<std::array<std::size_t, 3>>{{300, 77, 200}, {77, 300, 200}, {129, 129, 129}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        const auto a = normal(ta ? Shape{k, n} : Shape{n, k}, 21), b = normal(tb ? Shape{m, k} : Shape{k, m}, 22);
        add(swept({a, b}, [&](const auto& x) { return matmul(x[0], x[1], {.transpose_a = ta, .transpose_b = tb}); }));
      }
  for (const std::size_t filters : {1, 8, 18})
    add(swept({normal({17, 3, 30, 31}, 23), normal({filters, 3, 5, 5}, 24)},
              [](const auto& x) { return conv2d(x[0], x[1], {.padding = 1}); }));
  add(swept({normal({17, 8, 30, 30}, 25), normal({8, 4, 3, 3}, 26)},
            [](const auto& x) { return conv2d(x[0], x[1], {.groups = 2}); }));
  return all;
}

// Some steps of a classifier's training.
Values trained() {
  Rng rng{30};
  nn::Sequential<float> net{nn::Conv2d<float>(1, 6, 5, rng),
                            relu<float>,
                            [](const auto& x) { return max_pool2d(x); },
                            [](const auto& x) { return flatten(x); },
                            nn::Linear<float>(6 * 12 * 12, 64, rng),
                            relu<float>,
                            nn::Linear<float>(64, 10, rng)};
  optim::Sgd<float> sgd{net.parameters(), {.learning_rate = 0.01, .momentum = 0.9}};
  const auto x = init::uniform<float>({32, 1, 28, 28}, 0, 1, rng);
  const Labels label({32}, [](std::size_t i) { return i % 10; });
  Values losses;
  for (int step = 0; step < 3; ++step) {
    Tape tape;
    const auto loss = cross_entropy(net(x), label);
    tape.backward(loss);
    sgd.step();
    losses.push_back(values_of(loss));
  }
  for (const auto& p : net.parameters()) losses.push_back(values_of(p));
  return losses;
}

}  // namespace

TEST_CASE("threads: the same bits on any number of them, but for sums that are cut") {
  const Values one = with_threads(1, same_on_any_number_of_threads);
  for (const std::size_t n : {2, 3, 8}) {
    CAPTURE(n);
    check_same(with_threads(n, same_on_any_number_of_threads), one);
  }
}

TEST_CASE("threads: products and gradients of weights differ by rounding alone, and not from run to run") {
  for (const auto& f : {close_on_any_number_of_threads, trained}) {
    const Values one = with_threads(1, f);
    for (const std::size_t n : {2, 3, 8}) {
      CAPTURE(n);
      const Values several = with_threads(n, f);
      check_close(several, one);
      check_same(with_threads(n, f), several);
    }
  }
}

TEST_CASE("threads: several users, each with a tape, while the setting changes") {
  const Threads setting(2);
  const Values one = with_threads(1, trained);
  std::vector<Values> results(3);
  std::atomic<int> running{3};
  std::vector<std::thread> users;
  for (auto& result : results)
    users.emplace_back([&] {
      for (int round = 0; round < 3; ++round) result = trained();
      --running;
    });
  for (std::size_t n = 1; running > 0; n = n % 4 + 1) {
    set_num_threads(n);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (auto& user : users) user.join();
  for (const auto& result : results) check_close(result, one);
}

TEST_CASE("threads: a tape for each part of a batch, parameters shared") {
  Rng rng{40};
  const nn::Sequential<double> net{nn::Linear<double>(4, 16, rng), tanh<double>, nn::Linear<double>(16, 3, rng)};
  const auto parameters = net.parameters();
  const auto x = init::normal<double>({96, 4}, 0, 1, rng);
  const auto gradient = [&](std::size_t first, std::size_t last) {
    const Labels label({last - first}, [&](std::size_t i) { return (first + i) % 3; });
    Tape tape;
    return tape.gradient(cross_entropy(net(slice(x, {range(first, last)})), label), parameters);
  };
  const auto whole = gradient(0, 96);
  for (int round = 0; round < 10; ++round) {
    std::vector<std::vector<Tensor<double>>> parts(3);
    std::vector<std::thread> workers;
    for (std::size_t t = 0; t < 3; ++t) workers.emplace_back([&, t] { parts[t] = gradient(32 * t, 32 * t + 32); });
    for (auto& worker : workers) worker.join();
    for (std::size_t p = 0; p < parameters.size(); ++p)
      CHECK(max(abs((parts[0][p] + parts[1][p] + parts[2][p]) / 3.0 - whole[p])).item() < 1e-15);
  }
}
