#pragma once
// Central differences that know what they cannot tell.

#include <xtape/tensor.hpp>

#include <functional>
#include <optional>
#include <vector>

namespace xtape {

struct Steps {
  double step, relative;  // those of VerifyOptions; relative == 0: one step only
};

// A derivative by differences. A number that deviates from it by no more than `floor` cannot be told from it: the
// function's values are rounded, and a difference of two of them has no more digits than they leave.
struct Slope {
  double value, floor;
};

using TensorFunction = std::function<Tensor<double>(const Tensor<double>&)>;

// The derivatives of each element of f by element i of x, where f(x) == here. Takes further steps, down to step / 8 and
// to relative |x_i|, only where the first gives an element of f a derivative that its own measures doubt.
// `size` stands in for |x_i| where steps are chosen.
std::vector<Slope> slopes(const TensorFunction& f, const Tensor<double>& x, std::size_t i, const Tensor<double>& here,
                          const Steps& steps, std::optional<double> size = {});

}  // namespace xtape
