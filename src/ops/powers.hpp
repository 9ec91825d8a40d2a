#pragma once
// Numbers scaled by powers of two, which rounds nothing.

#include <xtape/op.hpp>
#include <xtape/ops/arithmetic.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace xtape::detail {

// x times 2^exponent, element by element, recorded; where x and the result have the range of T, so has what lies
// between. exponent(i): of element i.
template <class T, class F> Tensor<T> times_powers(const Tensor<T>& x, const F& exponent) {
  constexpr std::int64_t limit = std::numeric_limits<T>::max_exponent - 2;
  std::vector<std::int64_t> left(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) left[i] = exponent(i);
  Tensor<T> result = x;
  for (int factors = 0; factors < 3 && std::ranges::any_of(left, [](auto k) { return k != 0; }); ++factors) {
    Fresh<T> powers("times_powers", x.shape());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::int64_t here = std::clamp(left[i], -limit, limit);
      powers.data()[i] = std::ldexp(T(1), static_cast<int>(here));
      left[i] -= here;
    }
    result = result * std::move(powers).finished();
  }
  return result;
}

}  // namespace xtape::detail
