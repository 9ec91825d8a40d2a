#pragma once
// What the comparisons with a reference in long double share.

#include <xtape/ops/reduce.hpp>

#include "extreme.hpp"

#include <cstdlib>

namespace xtape::test {

// Units in the last place of `scale`. A result in the topmost eighth of the range may have overflowed on its way.
template <class T> double units(T a, Real truth, Real scale, double floor) {
  using Limits = std::numeric_limits<T>;
  if (std::isnan(a) || std::isnan(truth)) return std::isnan(a) && std::isnan(truth) ? 0 : infinity<double>;
  if (std::isinf(a) || std::isinf(static_cast<T>(truth)))
    return std::signbit(a) == std::signbit(truth) && std::abs(truth) > static_cast<Real>(Limits::max()) / 8 &&
                   std::abs(a) > Limits::max() / 8
               ? 0
               : infinity<double>;
  const Real size = std::clamp<Real>(scale, static_cast<Real>(Limits::min()) * floor, Limits::max());
  const Real unit = std::ldexp(Real(1), std::ilogb(size) - Limits::digits + 1);
  return static_cast<double>(std::abs(static_cast<Real>(a) - truth) / unit);
}

template <class T> Tensor<T> derivative(Tape& tape, const Tensor<T>& y, const Tensor<T>& x) {
  return y.requires_grad() ? tape.gradient(sum(y), {x}, {.create_graph = true})[0] : zeros<T>(x.shape());
}

struct Worst {
  double units = 0, at = 0, other = 0;
  void see(double found, double x, double y = 0) {
    if (found > units) units = found, at = x, other = y;
  }
};

inline bool printing() {
  const char* wanted = std::getenv("XTAPE_PRINT_DIFFERENTIAL");
  return wanted && *wanted && std::string_view(wanted) != "0";
}

}  // namespace xtape::test
