// Memory in steady state: a training step asks nothing of the system, and holds on to nothing.

#include <doctest/doctest.h>
#include <xtape/init.hpp>
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/optim.hpp>
#include <xtape/tape.hpp>

#include <unistd.h>
#include <fstream>

#include "programs.hpp"

using namespace xtape;

namespace {

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("memory: a training step in steady state asks nothing of the system") {
  // Counted by a program of its own, which puts a malloc before the C library's.
  const Run counted = run("../tests/xtape_allocation_tests", "");
  CHECK_MESSAGE(counted.status == 0, (counted.out + counted.err));
  if (counted.out.starts_with("skipped")) MESSAGE(counted.out);
}

TEST_CASE("memory: flat over 10,000 training steps") {
  Rng rng(1);
  const Tensor w = parameter(init::normal<float>({20, 5}, 0.F, 0.1F, rng));
  const Tensor x = init::normal<float>({8, 20}, 0.F, 1.F, rng);
  const std::vector<int> labels(8, 3);
  optim::Sgd sgd{{w}, {.learning_rate = 0.1}};
  std::size_t resident = 0, blocks = 0;
  for (int i = 0; i < 10'000; ++i) {
    Tape tape;
    tape.backward(cross_entropy(tanh(matmul(x, w)), labels));
    sgd.step();
    if (i == 100) {
      resident = resident_bytes();
      blocks = detail::system_allocations();
    }
  }
  CHECK(detail::system_allocations() == blocks);
  CHECK(resident_bytes() < resident + (std::size_t{1} << 20));
}

TEST_CASE("memory: blocks come back, of the size class asked for") {
  for (const std::size_t bytes : {1UL, 64UL, 65UL, 1000UL, 1024UL, 1025UL, 5000UL, 100'000UL, 3'000'000UL}) {
    void* a = detail::allocate(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(a) % 64 == 0);
    static_cast<unsigned char*>(a)[bytes - 1] = 1;
    detail::deallocate(a, bytes);
    const std::size_t calls = detail::system_allocations();
    void* b = detail::allocate(bytes);
    CHECK(b == a);
    CHECK(detail::system_allocations() == calls);
    detail::deallocate(b, bytes);
  }
  detail::trim_memory();
  const std::size_t calls = detail::system_allocations();
  detail::deallocate(detail::allocate(64), 64);
  CHECK(detail::system_allocations() == calls + 1);
}

TEST_CASE("memory: more than the machine has is an error") {
  CHECK_THROWS_AS(detail::allocate(std::size_t{1} << 62), Error);
  CHECK_THROWS_AS(zeros<double>({std::size_t{1} << 32, std::size_t{1} << 32}), ShapeError);
  CHECK_THROWS_AS(zeros<double>({std::size_t{1} << 31, std::size_t{1} << 31, 0, std::size_t{1} << 31}), ShapeError);
}

TEST_CASE("memory_use: tensors, bytes, their peak and nodes") {
  const auto before = memory_use();
  reset_peak_memory();
  CHECK(memory_use().peak_bytes == before.bytes);
  {
    const auto x = parameter(zeros<double>({10}));  // on a block of its own, which outlives the zeros'
    const auto used = memory_use();
    CHECK(used.tensors == before.tensors + 1);
    CHECK(used.bytes == before.bytes + 80);
    CHECK(used.peak_bytes == before.bytes + 160);
    const auto view = x.detach();
    CHECK(memory_use().tensors == before.tensors + 2);
    CHECK(memory_use().bytes == used.bytes);

    Tape tape;
    const auto y = square(x);
    {
      Tape inner;
      const auto z = square(x);
      CHECK(memory_use().nodes == before.nodes + 2);
    }
    CHECK(memory_use().nodes == before.nodes + 1);
  }
  const auto after = memory_use();
  CHECK(after.tensors == before.tensors);
  CHECK(after.bytes == before.bytes);
  CHECK(after.nodes == before.nodes);
  CHECK(after.peak_bytes > before.bytes);
}
