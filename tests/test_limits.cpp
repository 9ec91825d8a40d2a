// Limits of memory, of length and of lifetime: an error or the right result, never a crash.

#include <xtape/xtape.hpp>

#include <unistd.h>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "free_memory.hpp"
#include "message.hpp"
#include "op_table.hpp"
#include "programs.hpp"

using namespace xtape;

namespace {

using D = Tensor<double>;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A call, and how its message begins.
struct Huge {
  std::string begins;
  std::function<void()> call;
};

}  // namespace

TEST_CASE("limits: a result larger than memory is an error by the op's name, at once, and the tape stays usable") {
  // The results have 2^40 elements, the inputs a million.
  const std::size_t n = std::size_t{1} << 20, all = n * n;
  const D one = parameter(ones<double>({1})), row = parameter(ones<double>({n}));
  const D column = reshape(row.detach(), {n, 1}), image = ones<double>({1, 1, 1, 1});
  const Huge huge[] = {
      {"", [&] { zeros<double>({all}); }},
      {"",
       [&] {
         full<float>({n, n}, 1.0F);
       }},
      {"", [&] { zeros<double>({all}); }},
      {"add: ", [&] { row + column; }},
      {"multiply: ", [&] { column* row; }},
      {"pow: ", [&] { pow(row, column); }},
      {"logaddexp: ", [&] { logaddexp(row, column); }},
      {"less: ", [&] { static_cast<void>(row < column); }},
      {"where: ", [&] { where(column > 0, row, 0); }},
      {"", [&] { map([](auto a, auto b) { return a * b; }, row, column); }},
      {"matmul: ",
       [&] {
         matmul(column, reshape(row, {1, n}));
       }},
      {"", [&] { outer(row, row); }},
      {"",
       [&] {
         einsum("i,j->ij", std::vector{row, row});
       }},
      {"broadcast_to: ",
       [&] {
         broadcast_to(row, {n, n});
       }},
      {"broadcast_to: ",
       [&] {
         broadcast_to(one, {n, n});
       }},
      {"",
       [&] {
         broadcast_tensors<double>({row, column});
       }},
      {"",
       [&] {
         meshgrid(std::vector{row, row});
       }},
      {"",
       [&] {
         tile(row, {n, 1});
       }},
      {"repeat: ", [&] { repeat(row, n, 0); }},
      {"",
       [&] {
         pad(one, {{static_cast<std::ptrdiff_t>(all), 0}});
       }},
      {"",
       [&] {
         pad(row, {{static_cast<std::ptrdiff_t>(n - 1), 0}}, {.mode = PadMode::reflect}) + column;
       }},
      {"", [&] { diag(row); }},
      {"one_hot: ",
       [&] {
         one_hot<double>({1, 2, 3}, all);
       }},
      {"",
       [&] {
         conv2d(image, ones<double>({1, 1, 1, 1}), {.padding = n / 2});
       }},
      {"",
       [&] {
         conv_transpose2d(ones<double>({1, 1, 2, 2}), image, {.stride = n});
       }},
      {"",
       [&] {
         adaptive_avg_pool2d(image, {n, n});
       }},
      {"",
       [&] {
         Rng rng(1);
         init::normal<double>({all}, 0.0, 1.0, rng);
       }},
      {"jacobian: ", [&] { jacobian([](const D& x) { return x * x; }, row.detach()); }},
  };
  Tape tape;
  for (std::size_t i = 0; i < std::size(huge); ++i) {
    CAPTURE(i);
    const auto before = memory_use();
    std::string text;
    const double seconds = seconds_of([&] { text = message<Error>(huge[i].call); });
    CHECK_MESSAGE(text.starts_with(huge[i].begins), text);
    CHECK_MESSAGE((text.find("out of memory: ") != std::string::npos ||
                   text.find("than memory can address") != std::string::npos),
                  text);
    CHECK_MESSAGE(seconds < 10, fmt::format("{}: {} s", text, seconds));
    tape.clear();
    CHECK(memory_use().bytes == before.bytes);
    CHECK(memory_use().tensors == before.tensors);
    CHECK(tape.gradient(sum(row * row), {row})[0].data()[n - 1] == 2);
    tape.clear();
  }
}

TEST_CASE("limits: sizes that overflow are an error by the op's name") {
  const std::size_t n = std::size_t{1} << 20;
  const D none = zeros<double>({n, 0}), other = zeros<double>({n, 1, 0}), third = zeros<double>({n, 1, 1, 0});
  // Each is empty, but what they broadcast to cannot be counted.
  CHECK(message<ShapeError>([&] { third + (other + none); }).starts_with("add: "));
  CHECK(message<ShapeError>([&] { maximum(third, other + none); }).starts_with("maximum: "));
  // 64 times 2^58 is 2^64.
  const std::vector<D> many(64, zeros<double>({std::size_t{1} << 58, 0}));
  CHECK(message<ShapeError>([&] { concatenate(many, 0); }).find("memory can address") != std::string::npos);
  for (const std::size_t extent : {~std::size_t{0}, std::size_t{1} << 63, (std::size_t{1} << 63) - 1})
    for (const Shape& shape : {Shape{extent}, Shape{extent, 2}, Shape{0, extent}, Shape{extent, extent}})
      CHECK_THROWS_AS(zeros<double>(shape), ShapeError);
}

TEST_CASE("limits: empty tensors with an axis of 2^40: every op ends at once, with a result or an error") {
  const std::size_t n = std::size_t{1} << 40;
  const std::vector<Shape> shapes{{n, 0},    {0, n},    {n, 0, 1},    {0, n, 1},   {n, 1, 0},
                                  {1, n, 0}, {0, 0, n}, {2, n, 0, 2}, {0, 3, n, 1}};
  std::size_t results = 0, errors = 0;
  // Their rows make well-conditioned matrices in loops of their own.
  const std::set<std::string> of_matrices{"solve", "triangular_solve", "cholesky_solve", "cholesky", "cholesky_log_det",
                                          "det",   "slogdet",          "inverse",        "qr",       "svd",
                                          "eigh",  "eigvalsh"};
  for (const auto& row : test::op_table())
    for (const auto& which : row.cases) {
      if (of_matrices.contains(row.name)) continue;
      const std::size_t inputs = which.shapes[0].size();
      for (const Shape& shape : shapes) {
        const test::Tensors<double> x(inputs, parameter(zeros<double>(shape)));
        const double seconds = seconds_of([&] {
          try {
            Tape tape;
            const D y = which.op.in_double(x);
            if (y.requires_grad())
              for (const D& g : tape.vjp(y, y.detach(), x)) CHECK(g.shape() == shape);
            ++results;
          } catch (const Error&) {
            ++errors;
          }
        });
        CHECK_MESSAGE(seconds < 10, fmt::format("{} of {}: {} s", row.name, to_string(shape), seconds));
      }
    }
  CHECK(results > 1000);
  CHECK(errors > 1000);
}

TEST_CASE("limits: what Linux would promise without having it is refused") {
  const std::size_t total = meminfo("MemTotal"), available = meminfo("MemAvailable") + meminfo("SwapFree");
  if (total < available + (std::size_t{1} << 29)) {
    MESSAGE("skipped: nearly all memory is available, or /proc/meminfo is missing");
    return;
  }
  // malloc gives it; touching it would be the end. Not initialised, so that this test is safe if it fails.
  const std::size_t bytes = available + (total - available) / 2;
  const std::string text = message<MemoryError>([&] { zeros<float>({bytes / 4}); });
  CHECK_MESSAGE(text.starts_with("out of memory: "), text);
  CHECK_MESSAGE(text.find(" available") != std::string::npos, text);
  CHECK_MESSAGE(text.find("for a tensor of shape (") != std::string::npos, text);
}

TEST_CASE("limits: under a limit of the system's, memory ends in an error, and what is given back is found again") {
  const Run run_under_limit = run("../tests/xtape_limits", "memory");
  CHECK_MESSAGE(run_under_limit.status == 0, run_under_limit.err);
}

TEST_CASE("limits: where OpenBLAS's buffers have no room, products are errors, and do not wait for ever") {
  const Run run_blas = run("../tests/xtape_limits", "blas");
  CHECK_MESSAGE(run_blas.status == 0, run_blas.err);
}

TEST_CASE("limits: tensors, tapes and NoGrads of static storage may end after their thread") {
  const Run run_static = run("../tests/xtape_limits", "static");
  CHECK_MESSAGE(run_static.status == 0, run_static.err);
  CHECK(run_static.out == "6 12\n");
}

TEST_CASE("limits: gradients at every end: of threads, of the process, before and after what the library keeps") {
  const Run ends = run("../tests/xtape_limits", "ends");
  CHECK_MESSAGE(ends.status == 0, ends.err);
  std::istringstream lines(ends.out);
  std::vector<std::string> moments;
  for (std::string line; std::getline(lines, line);) {
    CHECK_MESSAGE(line.ends_with(" 72 3456"), line);
    moments.push_back(line.substr(0, line.find(" 72")));
  }
  CHECK(moments == std::vector<std::string>{"thread", "late thread-local", "early thread-local", "unused thread",
                                            "thread", "key", "main", "main thread", "atexit", "static"});
}

TEST_CASE("limits: memory of a large tape is counted, and goes back to the system when no tape needs it") {
  const Run run_give_back = run("../tests/xtape_limits", "give_back");
  CHECK_MESSAGE(run_give_back.status == 0, (run_give_back.out + run_give_back.err));
}

TEST_CASE("limits: tensors that one thread makes and another frees are used again, and hold no more memory") {
  // Four are alive at any time.
  constexpr std::size_t bytes = std::size_t{4} << 20;
  for (const std::size_t small : {std::size_t{0}, std::size_t{1}}) {  // and as many small ones
    const std::ptrdiff_t before = memory_use().system_bytes;
    std::mutex lock;
    std::condition_variable changed;
    std::deque<std::vector<Tensor<float>>> queue;
    std::thread consumer([&] {
      for (int i = 0; i < 800; ++i) {
        std::unique_lock hold(lock);
        changed.wait(hold, [&] { return !queue.empty(); });
        queue.pop_front();
        changed.notify_all();
      }
    });
    std::ptrdiff_t most = 0;
    for (int i = 0; i < 800; ++i) {
      std::vector<Tensor<float>> made;
      if (small == 0) made.push_back(full<float>({bytes / 4}, 1.F));
      for (std::size_t k = 0; k < small * 10'000; ++k) made.push_back(full<float>({8}, 1.F));
      std::unique_lock hold(lock);
      queue.push_back(std::move(made));
      most = std::max(most, memory_use().system_bytes);
      changed.notify_all();
      changed.wait(hold, [&] { return queue.size() < 3; });
    }
    consumer.join();
    CHECK(most - before < static_cast<std::ptrdiff_t>(8 * bytes));  // it was 3.2 GB
  }
}

TEST_CASE("limits: a tape that another thread destroys while its own computes: nothing breaks") {
  const D x = parameter(ones<double>({4}));
  for (int i = 0; i < 200; ++i) {
    auto tape = std::make_unique<Tape>();
    std::atomic<bool> begun{false}, ended{false};
    std::thread other([&, &mine = tape] {
      while (!begun) std::this_thread::yield();
      // The error of a sweep on the wrong thread unwinds into the tape's end.
      CHECK_THROWS_AS(([&] {
                        const auto owner = std::move(mine);
                        owner->backward(x);
                      }()),
                      TapeError);
      ended = true;
    });
    D y = x;
    for (int k = 0; !ended || k < 100; ++k) {
      y = k % 100 == 0 ? x * 2.0 : sin(y) * 0.5 + x;
      if (k == 50) begun = true;
    }
    other.join();
    CHECK(!(x * 2.0).requires_grad());
  }
  CHECK(!Tape::recording());
  Tape tape;
  CHECK(tape.gradient(sum(x * x), {x})[0].data()[0] == 2);
}

TEST_CASE("limits: a tape that its own sweep destroys, in a hook, lets the sweep end") {
  const D x = parameter(D({2}, {1, 2}));
  for (const bool recorded : {false, true}) {
    auto tape = std::make_unique<Tape>();
    const D y = x * x, z = y * y;
    Tape& same = *tape;
    same.hook(y, [&](const D&) { tape.reset(); });
    CHECK(same.gradient(sum(z), {x}, {.create_graph = recorded})[0].data()[1] == 32);
    CHECK(!(x * x).requires_grad());
    CHECK(!Tape::recording());
  }
}

TEST_CASE("limits: 100,000 tapes and NoGrads within each other end in any order, each in no time") {
  constexpr std::size_t count = 100'000;
  const double seconds = seconds_of([&] {
    std::deque<std::unique_ptr<Tape>> tapes;
    std::deque<std::unique_ptr<NoGrad>> pauses;
    for (std::size_t i = 0; i < count; ++i) tapes.push_back(std::make_unique<Tape>());
    while (!tapes.empty()) tapes.pop_front();
    for (std::size_t i = 0; i < count; ++i) pauses.push_back(std::make_unique<NoGrad>());
    while (!pauses.empty()) pauses.pop_front();
  });
  CHECK(seconds < 2);  // it was minutes
  CHECK(!Tape::recording());
  trim_memory();
}

TEST_CASE("limits: checkpoints within each other until the stack ends: the gradient, or an error") {
  const D x = parameter(D(0.5));
  const std::function<D(const D&, int)> nested = [&](const D& t, int depth) {
    if (depth == 0) return t * 1.0;
    return checkpoint([&nested, depth](const D& in) { return nested(in, depth - 1) * 1.0; }, t);
  };
  {
    Tape tape;
    CHECK(tape.gradient(nested(x, 100), {x})[0].item() == 1);
  }
  Tape tape;
  const std::string text = message<TapeError>([&] { nested(x, 1'000'000); });
  CHECK_MESSAGE(text.starts_with("checkpoint: so many checkpoints within each other"), text);
  CHECK(tape.gradient(nested(x, 10), {x})[0].item() == 1);
}

TEST_CASE("limits: 100,000 steps of training hold no more memory than a thousand") {
  Rng rng(1);
  const auto w = parameter(init::normal<float>({6, 4}, 0.F, 0.5F, rng)), b = parameter(zeros<float>({4}));
  const auto v = parameter(init::normal<float>({4, 1}, 0.F, 0.5F, rng));
  const auto x = init::normal<float>({8, 6}, 0.F, 1.F, rng);
  optim::Adam adam{{w, b, v}, {.learning_rate = 1e-3}};
  const auto layer = [&](const Tensor<float>& t) { return tanh(matmul(t, w) + b); };
  std::size_t resident = 0, blocks = 0;
  MemoryUse held, now;
  float first = 0, last = 0;
  for (int i = 0; i < 100'000; ++i) {
    Tape tape;
    // By turns a checkpoint, dropout, and the gradient of a gradient.
    const auto h = i % 10 == 3 ? checkpoint(layer, x) : i % 10 == 5 ? dropout(layer(x), 0.1, rng) : layer(x);
    auto loss = mean(square(matmul(h, v) - 1));
    if (i % 10 == 7) loss = loss + 0.01 * sum(square(tape.gradient(loss, {w}, {.create_graph = true})[0]));
    last = loss.item();
    if (i == 0) first = last;
    tape.backward(loss);
    adam.step();
    if (i == 1000) resident = resident_bytes(), blocks = detail::system_allocations(), held = memory_use();
    if (i == 99'990) now = memory_use();
  }
  CHECK(detail::system_allocations() == blocks);
  CHECK(now.bytes == held.bytes);
  CHECK(now.tensors == held.tensors);
  if (!sanitized) CHECK(resident_bytes() < resident + (std::size_t{1} << 20));  // AddressSanitizer keeps freed memory
  CHECK_MESSAGE(last < first / 10, first, " to ", last);
}

TEST_CASE("limits: exceptions from a user's code leak nothing, and the next gradient is right") {
  const D x = parameter(D({2}, {1, 2}));
  struct Planted : std::runtime_error {
    Planted() : std::runtime_error("planted") {}
  };
  bool armed = false;
  const auto fail = [&] {
    if (armed) throw Planted();
  };
  const auto cube = [&](const D& t) {  // a custom op, which may fail before and after it is recorded
    fail();
    return record("cube", t * t.detach() * t.detach(), {t}, [t](const D& dy) { return Gradients(dy * 3 * t * t); });
  };
  const std::pair<const char*, std::function<void(Tape&)>> all[] = {
      {"pullback",
       [&](Tape& tape) {
         const D y = record("bad", x * x.detach(), {x}, [&, x](const D& dy) {
           const D held = dy * x;
           fail();
           return Gradients(2.0 * held);
         });
         tape.backward(sum(exp(y) * y));
       }},
      {"hook",
       [&](Tape& tape) {
         const D y = x * x;
         tape.hook(y, [&](const D& g) {
           fail();
           return g * 2.0;
         });
         tape.backward(sum(y * x));
       }},
      {"hook on a parameter",
       [&](Tape& tape) {
         tape.hook(x, [&](const D&) { fail(); });
         tape.backward(sum(x * x * x));
       }},
      {"custom op", [&](Tape& tape) { tape.backward(sum(cube(x * x))); }},
      {"map",
       [&](Tape& tape) {
         const D y = x * x;
         tape.backward(sum(map(
             [&](auto t) {
               fail();
               return t * t;
             },
             y)));
       }},
      {"checkpoint, when it runs again",
       [&](Tape& tape) {
         int runs = 0;
         const D y = checkpoint(
             [&](const D& t) {
               if (++runs > 1) fail();
               return t * t * t;
             },
             x * x);
         tape.backward(sum(y));
       }},
      {"the gradient of a gradient",
       [&](Tape& tape) {
         const D y = record("bad", x * x.detach(), {x}, [&, x](const D& dy) {
           return Gradients(record("worse", 2.0 * dy.detach(), {dy}, [&](const D& g) {
             fail();
             return Gradients(2.0 * g);
           }));
         });
         const D g = tape.gradient(sum(y * y), {x}, {.create_graph = true})[0];
         tape.backward(sum(g * g));
       }},
      {"transform", [&](Tape&) { hessian([&](const D& t) { return sum(cube(t)); }, x.detach()); }},
      {"a tape in a pullback",
       [&](Tape& tape) {
         const D y = record("nested", x * x.detach(), {x}, [&](const D& dy) {
           Tape inner;
           const D t = parameter(x.detach()), u = sum(t * t);
           fail();
           return Gradients(dy * inner.gradient(u, {t})[0]);
         });
         tape.backward(sum(y));
       }},
  };
  for (const auto& each : all) {
    const auto& what = each.first;
    const auto& step = each.second;
    CAPTURE(what);
    MemoryUse held;
    for (int i = 0; i < 300; ++i) {
      {
        armed = true;
        Tape tape;
        CHECK_THROWS_AS(step(tape), Planted);
        // The same tape goes on.
        armed = false;
        D(x).zero_grad();
        tape.backward(sum(x * x));
        CHECK(x.grad().data()[1] == 4);
        D(x).zero_grad();
        CHECK_NOTHROW(step(tape));
      }
      D(x).zero_grad();
      CHECK(!Tape::recording());
      if (i == 2) held = memory_use();
    }
    CHECK(memory_use().bytes == held.bytes);
    CHECK(memory_use().tensors == held.tensors);
  }
}

TEST_CASE("limits: a thread ends, and another trains on, with its tensors, and frees them") {
  std::vector<D> parameters;
  D loss;
  for (int t = 0; t < 8; ++t)
    std::thread([&] {
      Rng rng(static_cast<std::uint64_t>(t));
      D w = parameter(init::normal<double>({50, 50}, 0.0, 1.0, rng));
      Tape tape;
      loss = sum(w * w);
      tape.backward(loss);
      parameters.push_back(w);
    }).join();
  CHECK(!loss.requires_grad());  // a constant: its tape has ended
  optim::Sgd sgd{parameters, {.learning_rate = 0.25}};
  const double before = parameters[7].data()[0];
  sgd.step();
  CHECK(parameters[7].data()[0] == before - 0.25 * 2 * before);
  for (int i = 0; i < 3; ++i) {
    Tape tape;
    D all = sum(parameters[0] * parameters[0]);
    for (std::size_t p = 1; p < parameters.size(); ++p) all = all + sum(parameters[p] * parameters[p]);
    tape.backward(all);
    sgd.step();
  }
  CHECK(parameters[7].data()[0] == doctest::Approx(before / 16));
}

TEST_CASE("limits: a tape that another thread destroys, or that outlives its thread, records no more") {
  const D x = parameter(ones<double>({1000}));
  {
    auto tape = std::make_unique<Tape>();
    const D y = x * x;
    std::thread([&] { tape.reset(); }).join();
    CHECK(!(x * x).requires_grad());
    const auto before = memory_use();
    for (int i = 0; i < 1000; ++i) x* x;
    CHECK(memory_use().bytes == before.bytes);
    Tape next;
    CHECK(next.gradient(sum(x * x), {x})[0].data()[0] == 2);
  }
  std::unique_ptr<Tape> tape;
  D y;
  std::thread([&] {
    tape = std::make_unique<Tape>();
    y = x * x;
  }).join();
  CHECK(message<TapeError>([&] { tape->backward(sum(y)); }).find("thread that made it") != std::string::npos);
  CHECK(tape->size() == 1);
  tape.reset();
  CHECK(!Tape::recording());
}

TEST_CASE("limits: tapes that other threads destroy, before or after theirs has ended, leave nothing behind") {
  const D x = parameter(ones<double>({4}));
  [[maybe_unused]] std::size_t before = 0;
  for (int i = 0; i < 2000; ++i) {
    std::unique_ptr<Tape> tape;
    std::thread([&] {
      tape = std::make_unique<Tape>();
      for (int op = 0; op < 500; ++op) static_cast<void>(x * x);
      if (i % 2 == 0) std::thread([&] { tape.reset(); }).join();
    }).join();
    tape.reset();
    if (i % 100 == 99) detail::trim_memory();  // what was made there is free here
    if (i == 199) before = resident_bytes();
  }
#ifndef __SANITIZE_ADDRESS__                                   // which keeps freed memory, and finds leaks itself
  CHECK(resident_bytes() < before + (std::size_t{20} << 20));  // what one tape holds is some 100 KiB
#endif
}

TEST_CASE("limits: a million gradients of gradients, and a long tape that is never swept, end without recursion") {
  {
    D x = D(0.0);
    for (int i = 0; i < 1'000'000; ++i) {
      D next(1.0);
      next.set_grad(x);
      x = next;
    }
  }
  const auto before = memory_use();
  {
    const D x = parameter(D(1.0));
    Tape tape;
    std::vector<D> kept;
    for (int i = 0; i < 250'000; ++i) kept.push_back(exp(sin(kept.empty() ? x : kept.back())) - 1.0);
    CHECK(tape.size() == 750'000);
    // The gradient with a history of its own, as long again.
    const D g = tape.gradient(kept.back(), {x}, {.create_graph = true})[0];
    CHECK(std::isfinite(g.item()));
    CHECK(tape.size() > 1'400'000);
  }
  CHECK(memory_use().tensors == before.tensors);
  detail::trim_memory();
}
