// What needs a process of its own: `xtape_limits memory` under a limit of the address space, `xtape_limits static` with
// tensors, a tape and a NoGrad of static storage. Status 0 if all is well.
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

using namespace xtape;

namespace {

using D = Tensor<double>;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

int fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  return 1;
}

int under_limit() {
  if (sanitized) return 0;  // their shadow memory is beyond any limit
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t limit = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{300} << 20);
  const rlimit both{limit, limit};
  if (setrlimit(RLIMIT_AS, &both) != 0) return fail("setrlimit");

  const D x = parameter(D({2}, {1, 2}));
  std::vector<D> held;
  held.reserve(1000);
  bool refused = false;
  try {
    while (held.size() < 1000) held.push_back(zeros<double>({1 << 20}));
  } catch (const MemoryError& error) {
    refused = std::strstr(error.what(), "out of memory: 8388672 bytes asked for") != nullptr &&
              std::strstr(error.what(), "for a tensor of shape (1048576,)") != nullptr;
  }
  if (!refused || held.size() < 10) return fail("not refused as it ought to be");
  // Nor is there room on a tape, which is none the worse for it.
  std::vector<D> small;
  small.reserve(100'000);
  bool refused_on_tape = false;
  {
    Tape tape;
    try {
      while (small.size() < small.capacity()) small.push_back(broadcast_to(x, {1 << 10, 2}));
    } catch (const MemoryError& error) {
      refused_on_tape = std::strstr(error.what(), "broadcast_to: out of memory: ") == error.what();
    }
    small.clear();
    if (!refused_on_tape) return fail("not refused on the tape");
    if (tape.gradient(sum(x * x), {x})[0].data()[1] != 4) return fail("a wrong gradient after the refusal");
  }
  // What was given back lies in blocks of 8 MiB, of which a larger tensor cannot be made: they go to the system first.
  const std::size_t blocks = held.size();
  held.clear();
  if (zeros<double>({(blocks - 2) << 20}).data()[0] != 0) return fail("not zero");
  std::puts("refused, and found again");
  return 0;
}

// Reports when what was made after it has ended, and its thread's state too.
struct Last {
  D x;
  explicit Last(D of) : x(std::move(of)) {}
  ~Last() {
    Tape tape;
    const D y = x * x;
    const double first = tape.gradient(y, {x}, {.create_graph = true})[0].item();
    tape.backward(y + y);
    std::printf("%g %g\n", first, x.grad().item());
  }
};

void make_statics() {
  static const Last last(parameter(D(3.0)));
  static Tape tape;
  static const D y = last.x * last.x;
  static const NoGrad pause;
  thread_local const D local = last.x * y;
  thread_local Tape local_tape;
  static_cast<void>(local);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return fail("memory or static?");
  if (std::strcmp(arguments[1], "memory") == 0) return under_limit();
  make_statics();
  return 0;
}
