#pragma once
// Products of many factors, where partial products may leave the range of numbers.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace xtape::kernels {

// A product as part * 2^exponent, the part between 1/2 and 1 by size; or 0 or NaN.
struct ScaledProduct {
  double part = 1;
  std::int64_t exponent = 0;

  void multiply(double factor) {
    int of_factor = 0, of_part = 0;
    part = std::frexp(part * std::frexp(factor, &of_factor), &of_part);
    if (std::isfinite(part) && part != 0) exponent += of_factor + of_part;
  }
  // part * 2^(exponent + more), 0 or infinite where that leaves the range of double.
  double value(std::int64_t more = 0) const {
    constexpr std::int64_t limit = 5000;
    return std::ldexp(part, static_cast<int>(std::clamp(exponent + more, -limit, limit)));
  }
  // log |part * 2^(exponent + more)|. The part is taken near 1 first: what the two summands have in common is small.
  double log_size(std::int64_t more = 0) const {
    const bool low = std::abs(part) < 0.70710678118654752440;
    return std::log(std::abs(low ? 2 * part : part)) +
           static_cast<double>(exponent + more - (low ? 1 : 0)) * 0.693147180559945309417;
  }
};

}  // namespace xtape::kernels
