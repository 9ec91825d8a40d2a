// map against the ops that it fuses: sum(sigmoid(x * w + b) * tanh(x)), forward and backward to all three tensors, the
// two in turn in one process. tools/bench_map compiles this file with each compiler and its flags, as users may.

#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

using namespace xtape;

namespace {

template <class F> double microseconds(std::size_t repeats, const F& f) {
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < repeats; ++i) f();
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  return time.count() / static_cast<double>(repeats);
}
double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class T> void compare(const char* type, std::size_t n) {
  std::vector<T> numbers(n);
  for (std::size_t i = 0; i < n; ++i) numbers[i] = static_cast<T>(i % 1000) / 500 - 1;
  const Tensor<T> numbers_of_x({n}, numbers);
  auto x = parameter(numbers_of_x), w = parameter(numbers_of_x * T(0.7)), b = parameter(numbers_of_x + T(0.1));
  const auto formula = [](const auto& u, const auto& v, const auto& c) { return sigmoid(u * v + c) * tanh(u); };
  const auto step = [&](const auto& function) {
    for (auto* p : {&x, &w, &b}) p->zero_grad();
    Tape tape;
    tape.backward(sum(function()));
  };
  const auto by_ops = [&] { step([&] { return formula(x, w, b); }); };
  const auto by_map = [&] { step([&] { return map(formula, x, w, b); }); };
  const std::size_t repeats = std::max<std::size_t>(3000000 / n, 2);
  std::vector<double> ops, fused, ratio;
  for (int round = 0; round < 15; ++round) {
    ops.push_back(microseconds(repeats, by_ops));
    fused.push_back(microseconds(repeats, by_map));
    ratio.push_back(fused.back() / ops.back());
  }
  std::printf("| %s | %zu | %.4g | %.4g | %.2f |\n", type, n, median(ops), median(fused), median(ratio));
}

}  // namespace

int main() {
  for (const std::size_t n : {1000U, 100000U, 1000000U}) compare<float>("float", n);
  compare<double>("double", 1000000);
}
