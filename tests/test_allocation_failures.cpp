// Whichever call of malloc fails in a step, an exception comes out, nothing leaks, and the next step is right.

#include <xtape/xtape.hpp>

#include "allocation_counter.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <new>
#include <utility>
#include <vector>

using namespace xtape;

namespace {

using D = Tensor<double>;

// Every call in a step made to fail, alone and with all after it; how many there are.
std::size_t check_failures(const std::function<double()>& step, const std::function<void()>& clear) {
  const double expected = step();
  const auto held = memory_use();
  std::size_t calls = 0;
  for (const Failures failures : {Failures::one, Failures::all_from_there})
    for (std::size_t successes = 0;; ++successes) {
      detail::trim_memory();
      double found = expected;
      bool thrown = false, other = false;
      fail_allocations(failures, successes);
      try {
        found = step();
      } catch (const std::bad_alloc&) {
        thrown = true;
      } catch (const MemoryError&) {
        thrown = true;
      } catch (...) {
        other = true;
      }
      const bool failed = allocation_failed();
      fail_allocations(Failures::none);
      clear();  // a sweep that ended early has reached some parameters
      CHECK(!other);
      CHECK((thrown || found == expected));  // a block may be had at a second attempt
      CHECK(!Tape::recording());
      CHECK(memory_use().tensors == held.tensors);
      CHECK(memory_use().bytes == held.bytes);
      CHECK(step() == expected);
      if (!failed) break;
      ++calls;
    }
  return calls;
}

}  // namespace

TEST_CASE("allocations: whichever fails, an exception comes out, nothing leaks, and the next step is right") {
  if (!allocations_are_counted) return;
  Rng rng(1);
  const D w = parameter(init::normal<double>({5, 4}, 0.0, 1.0, rng)), b = parameter(zeros<double>({4}));
  const D x = init::normal<double>({6, 5}, 0.0, 1.0, rng);
  const std::vector<int> labels{0, 1, 2, 3, 0, 1};
  const auto model = [&](const D& t) { return softplus(matmul(t, w) + b); };
  const auto clear = [&] {
    D(w).zero_grad();
    D(b).zero_grad();
  };
  const std::pair<const char*, std::function<double()>> steps[] = {
      {"backward",
       [&] {
         clear();
         Tape tape;
         tape.backward(cross_entropy(model(x), labels));
         const double result = w.grad().data()[3] + b.grad().data()[1];
         clear();
         return result;
       }},
      {"the gradient of a gradient",
       [&] {
         Tape tape;
         const D g = tape.gradient(sum(square(model(x))), {w}, {.create_graph = true})[0];
         return tape.gradient(sum(g * g), {w})[0].data()[2];
       }},
      {"hooks, a checkpoint and a slice",
       [&] {
         Tape tape;
         const D y = checkpoint([&](const D& t) { return model(t) * 2.0; }, x);
         tape.hook(y, [](const D& g) { return clip(g, -1, 1); });
         return tape.gradient(sum(slice(y, {range(1, 4)})), {w})[0].data()[0];
       }},
      {"convolution, pooling, sorting, factors",
       [&] {
         Tape tape;
         const D image = reshape(broadcast_to(w, {2, 5, 4}), {1, 2, 5, 4});
         const D y = max_pool2d(conv2d(image, ones<double>({3, 2, 2, 2})));
         const D square_matrix = matmul(w, w, {.transpose_a = true}) + 1.0;
         return tape.gradient(sum(sort(y, -1)) + det(square_matrix), {w})[0].data()[5];
       }},
      {"a search for anomalies and a profile",
       [&] {
         Tape tape{{.anomaly = true, .profile = true}};
         const double g = tape.gradient(sum(model(x)), {w})[0].data()[0];
         return tape.profile().events.empty() ? 0 : g;
       }},
      {"hessian", [&] { return hessian([&](const D& t) { return sum(exp(t * t)); }, b).data()[0]; }},
  };
  for (const auto& step : steps) {
    INFO(step.first);
    const std::size_t calls = check_failures(step.second, clear);
    CHECK(calls > 10);
  }
}
