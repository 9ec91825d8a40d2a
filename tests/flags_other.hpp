#pragma once
// Functions compiled with other flags than the tests: no -march, and xtensor's SIMD switched on.

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

}  // namespace other_flags
