// Batches made on a second thread.

#include <xtape/data/prefetch.hpp>
#include <xtape/detail/memory.hpp>
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <stdexcept>
#include <thread>

#include "files.hpp"

using namespace xtape;
using namespace xtape::data;

namespace {

// Pictures that say which they are.
Dataset numbered(std::size_t count, std::size_t side = 2) {
  Dataset set{.pixels = {}, .labels = {}, .rows = side, .cols = side, .classes = count};
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < side * side; ++j) set.pixels.push_back(static_cast<float>(i + 1000 * j));
    set.labels.push_back(static_cast<std::int32_t>(i));
  }
  return set;
}

bool same(const Batch& a, const Batch& b) {
  return a.x.shape() == b.x.shape() && std::ranges::equal(a.x.span(), b.x.span()) &&
         a.label.shape() == b.label.shape() && std::equal(a.label.begin(), a.label.end(), b.label.begin());
}

}  // namespace

TEST_CASE("prefetch: the same batches in the same order, prepared with the same draws") {
  for (const std::size_t count : {0U, 1U, 7U, 64U})
    for (const std::size_t ahead : {1U, 2U, 100U}) {
      const Dataset set = numbered(count);
      Rng one(5), two(5), draws_one(6), draws_two(6);
      std::vector<Batch> expected;
      for (auto [x, label] : batches(set, 3, one)) expected.push_back({dropout(x, 0.5, draws_one), label});
      std::size_t i = 0;
      const auto prepare = [&](Batch batch) { return Batch{dropout(batch.x, 0.5, draws_two), batch.label}; };
      for (auto [x, label] : prefetched(batches(set, 3, two), prepare, {.ahead = ahead})) {
        REQUIRE(i < expected.size());
        CHECK(same({x, label}, expected[i++]));
      }
      CHECK(i == expected.size());
      CHECK(one.state() == two.state());
      CHECK(draws_one.state() == draws_two.state());
      i = 0;
      Rng three(5);
      for (auto [x, label] : prefetched(batches(set, 3, three))) i += x.shape(0);
      CHECK(i == count);
    }
}

TEST_CASE("prefetch: batches are made on another thread, before they are asked for") {
  std::atomic<int> made{0};
  std::thread::id where;
  Prefetched stream(
      [&]() -> std::optional<Batch> {
        where = std::this_thread::get_id();
        ++made;
        return Batch{Tensor<float>(1.0F), Labels{0}};
      },
      {.ahead = 3});
  for (int i = 0; i < 10000 && made < 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(made == 3);  // and no more
  CHECK(stream.next().has_value());
  for (int i = 0; i < 10000 && made < 4; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(made == 4);
  CHECK(where != std::this_thread::get_id());
  // It has no end; destroying the stream ends it.
}

TEST_CASE("prefetch: an exception comes where its batch would have") {
  int calls = 0;
  Prefetched stream([&]() -> std::optional<Batch> {
    if (++calls == 3) throw DataError("picture 2 is torn");
    return Batch{Tensor<float>(static_cast<float>(calls)), Labels{calls}};
  });
  CHECK(stream.next()->x.item() == 1);
  CHECK(stream.next()->x.item() == 2);
  check_bad([&] { stream.next(); }, {"picture 2 is torn"});
  check_bad([&] { stream.next(); }, {"picture 2 is torn"});
  CHECK(calls == 3);
  Prefetched other([]() -> std::optional<Batch> { throw std::runtime_error("not ours"); });
  CHECK_THROWS_AS(other.begin(), std::runtime_error);
  check_bad<ValueError>([] { Prefetched([]() -> std::optional<Batch> { return {}; }, {.ahead = 0}); },
                        {"prefetched: 0 batches ahead"});
  const Dataset set = numbered(4);
  Rng rng(1);
  const auto refuse = [](Batch batch) -> Batch {
    if (batch.label[0] == 3) throw ValueError("three");
    return batch;
  };
  int seen = 0;
  CHECK_THROWS_AS(
      [&] {
        for (auto batch : prefetched(batches(set, 1), refuse)) ++seen;
      }(),
      ValueError);
  CHECK(seen == 3);
}

TEST_CASE("prefetch: left early; nothing asked for") {
  const Dataset set = numbered(50);
  for (std::size_t taken = 0; taken < 6; ++taken) {
    auto stream = prefetched(batches(set, 2));
    for (std::size_t i = 0; i < taken; ++i) CHECK(stream.next()->label[0] == static_cast<int>(2 * i));
  }
  auto stream = prefetched(batches(set, 50));
  CHECK(stream.next().has_value());
  CHECK(!stream.next().has_value());
  CHECK(!stream.next().has_value());
}

TEST_CASE("prefetch: memory stays with the thread it came from, and does not grow") {
  const Dataset set = numbered(64, 64);
  const auto pass = [&] {
    const auto twice = [](Batch batch) { return Batch{2 * batch.x, batch.label}; };
    std::deque<Batch> held;  // until the other thread has dropped what it made
    for (auto batch : prefetched(batches(set, 1), twice)) {
      CHECK(batch.x.data()[1] >= 2000);
      held.push_back(batch);
      if (held.size() == 6) held.pop_front();
    }
  };
  pass();
  const auto use = memory_use();
  const auto before = detail::system_allocations();
  for (int i = 0; i < 20; ++i) pass();
  CHECK(memory_use().bytes == use.bytes);
  CHECK(memory_use().tensors == use.tensors);
  // Each pass has a thread of its own, with a few blocks; 1280 batches would ask for thousands.
  CHECK(detail::system_allocations() - before < 20 * 40);
}
