#pragma once
// Functions compiled with other flags than the tests: no -march, and xtensor's SIMD switched on.

#include <xtape/map.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

namespace other_flags {

struct Sizes {
  std::size_t tensor, index_array, array, tape;
  bool operator==(const Sizes&) const = default;
};
Sizes sizes();
xtape::Tensor<double> twice(const xtape::Tensor<double>& x);
xtape::IndexArray places(const xtape::Tensor<double>& x);

// The same function in files of both flags: of what the linker finds twice it keeps one, but registers of two sizes
// must not mix.
template <class T> xtape::Tensor<T> fused(const xtape::Tensor<T>& x) {
  return xtape::map([](const auto& v) { return sqrt(exp(v) + 1) * tanh(v); }, x);
}
xtape::Tensor<float> fused_there(const xtape::Tensor<float>& x);

// Of moved_xtensor.cpp: (4, 5).
xtape::Tensor<double> from_new_headers();

}  // namespace other_flags
