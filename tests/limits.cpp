// What needs a process of its own: `xtape_limits memory` and `xtape_limits blas` under a limit of the address space,
// `xtape_limits static` with tensors, a tape and a NoGrad of static storage, `xtape_limits ends` with gradients at
// every moment at which a thread or the process ends, `xtape_limits give_back` with a large tape. Status 0 if all is
// well.
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>
#include <xtape/threads.hpp>
#include <xtape/transforms.hpp>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>
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

// Everything that keeps something for its thread: a sweep, one within another, one recorded, hooks, a profile, the
// search for anomalies, a checkpoint, transforms, parallel loops, a NoGrad, large and small tensors.
void compute(const char* moment) {
  const D x = parameter(D({3}, {1, 2, 3}));
  double sum_of = 0;
  for (int i = 0; i < 3; ++i) {
    Tape tape{{.anomaly = i == 1, .profile = i == 2}};
    const D y = checkpoint([](const D& t) { return t * t * t; }, x * 1.0);
    tape.hook(y, [](const D& dy) { return dy * 2.0; });
    const D loss = sum(y) + sum(slice(y, {0})) + sum(slice(y, {0}));
    const D g = tape.gradient(loss, {x}, {.create_graph = true})[0];
    tape.backward(sum(g * g), {.retain_graph = true});
    sum_of += hvp([](const D& t) { return sum(t * t * t); }, x.detach(), ones<double>({3})).data()[2];
    const NoGrad pause;
    const D large = broadcast_to(x, {1 << 15, 3});
    sum_of += max(large * 2.0).item();
  }
  std::printf("%s %g %g\n", moment, sum_of, x.grad().data()[1]);
  std::fflush(stdout);
}
// Computes when it is destroyed.
struct AtEnd {
  const char* moment;
  ~AtEnd() {
    if (moment) compute(moment);
  }
};

// Before the library has kept anything for the thread, so that the end comes after its own.
void make_early_ends(const char* thread) {
  thread_local const AtEnd early{thread};
  static_cast<void>(early);
}
AtEnd early_static{nullptr};

int at_ends() {
  set_num_threads(2);
  early_static.moment = "static";
  std::atexit([] { compute("atexit"); });
  make_early_ends("main thread");
  std::thread([] {
    make_early_ends("early thread-local");
    compute("thread");
    thread_local const AtEnd late{"late thread-local"};
    static_cast<void>(late);
  }).join();
  // With nothing computed before, and by a destructor of the threads library, which runs last of all.
  std::thread([] { make_early_ends("unused thread"); }).join();
  pthread_key_t key;
  pthread_key_create(&key, [](void*) { compute("key"); });
  std::thread([&] {
    compute("thread");
    pthread_setspecific(key, &key);
  }).join();
  compute("main");
  return 0;
}

std::size_t resident_bytes() {
  std::size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

int give_back() {
  if (sanitized) return 0;  // they keep freed memory
  const D x = parameter(D({2}, {1, 2}));
  const auto small = [&] {
    Tape tape;
    tape.backward(sum(x * x));
  };
  const auto large = [&] {
    Tape tape;
    D y = x;
    for (int i = 0; i < 1'000'000; ++i) y = sin(y);
    const MemoryUse use = memory_use();
    // What is reported is what the process has, but for the C library's share.
    const auto resident = static_cast<double>(resident_bytes());
    const auto reported = static_cast<double>(use.system_bytes);
    std::printf("%g bytes a node, %g of the process reported\n", resident / 1e6, reported / resident);
    return use.tape_bytes > 50'000'000 && reported > 0.6 * resident && reported < 1.1 * resident;
  };
  small();
  const std::size_t before = resident_bytes();
  if (!large()) return fail("a large tape is not counted");
  for (int i = 0; i < 40; ++i) small();
  std::printf("%zu bytes more than before, and ", resident_bytes() - before);
  if (resident_bytes() > before + (std::size_t{100} << 20)) return fail("kept though no tape needs it");
  if (!large()) return fail("a large tape is not counted");
  trim_memory();
  std::printf("%zu\n", resident_bytes() - before);
  if (resident_bytes() > before + (std::size_t{20} << 20)) return fail("kept though it was to be given up");
  return 0;
}

}  // namespace

// OpenBLAS's buffer does not fit, then it does: hanging is what must not happen, so an alarm ends the process.
int blas_under_limit() {
  if (sanitized) return 0;
  alarm(20);
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const std::size_t used = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  const rlim_t whole = limit.rlim_cur;
  limit.rlim_cur = used + (rlim_t{64} << 20);
  if (setrlimit(RLIMIT_AS, &limit) != 0) return fail("setrlimit");
  const D few = ones<double>({4, 300}), square = ones<double>({300, 300}),
          symmetric = square + diag(full<double>({300}, 300.0));
  const auto refused = [](const auto& op) {
    try {
      op();
    } catch (const MemoryError& error) {
      return std::strstr(error.what(), "out of memory: OpenBLAS takes ") != nullptr &&
             std::strstr(error.what(), "(ulimit -v)") != nullptr;
    }
    return false;
  };
  if (!refused([&] { matmul(few, square); })) return fail("a product was not refused");
  if (!refused([&] { matmul(square, ones<double>({300})); })) return fail("a product with a vector was not refused");
  if (!refused([&] { cholesky(symmetric); })) return fail("a factorisation was not refused");
  limit.rlim_cur = whole;
  setrlimit(RLIMIT_AS, &limit);
  return matmul(few, square).data()[0] == 300 ? 0 : fail("a wrong product");
}

int main(int count, char** arguments) {
  if (count != 2) return fail("memory, static, ends or give_back?");
  if (std::strcmp(arguments[1], "memory") == 0) return under_limit();
  if (std::strcmp(arguments[1], "blas") == 0) return blas_under_limit();
  if (std::strcmp(arguments[1], "ends") == 0) return at_ends();
  if (std::strcmp(arguments[1], "give_back") == 0) return give_back();
  make_statics();
  return 0;
}
