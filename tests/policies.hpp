#pragma once
// What tests of the ops' policies share: gradients at given points, and comparisons.

#include <xtape/tape.hpp>
#include <xtape/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "message.hpp"

namespace xtape::test {

inline constexpr double inf = std::numeric_limits<double>::infinity();
inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using Doubles = std::vector<Tensor<double>>;
using Values = std::vector<double>;

inline Tensor<double> vector_of(const Values& values) { return Tensor<double>({values.size()}, values); }

/// Gradients of sum(seed * f(x)).
template <class F> Doubles gradients(const F& f, const Doubles& inputs, const Values& seed = {}) {
  Doubles x;
  for (const auto& t : inputs) x.push_back(parameter(t));
  Tape tape;
  const auto y = f(x);
  return tape.vjp(y, seed.empty() ? ones<double>(y.shape()) : Tensor<double>(y.shape(), seed), x);
}
template <class F> Tensor<double> gradient(const F& f, const Tensor<double>& x, const Values& seed = {}) {
  return gradients([&f](const Doubles& all) { return f(all[0]); }, {x}, seed)[0];
}

/// Equal elements; NaN equals NaN.
inline bool is(const Tensor<double>& x, const Values& expected) {
  return std::ranges::equal(x.span(), expected,
                            [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); });
}

}  // namespace xtape::test
