// Functions on SIMD batches against the C library in long double, over the whole range of numbers.

#include <doctest/doctest.h>
#include <xtape/functions.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace xtape;

namespace {

using Reference = long double;

// The error in units of the last place; inf if one is not a number and the other is, or the signs of zeros differ.
template <class T> double units(T y, Reference exact) {
  constexpr double wrong = std::numeric_limits<double>::infinity();
  const T rounded = static_cast<T>(exact);
  if (std::isnan(y) || std::isnan(rounded)) return std::isnan(y) && std::isnan(rounded) ? 0 : wrong;
  if (y == rounded) return y == T(0) && std::signbit(y) != std::signbit(rounded) ? wrong : 0;
  if (std::isinf(y) || std::isinf(rounded)) return wrong;
  const T size = std::abs(rounded);
  return static_cast<double>(std::abs(static_cast<Reference>(y) - exact) / (size - std::nextafter(size, T(-1))));
}

// The largest error over numbers of [low, high], over all patterns of bits, and at special ones.
template <class T, class F, class G> void check(const char* name, F f, G exact, double low, double high, double most) {
  using B = simd::Batch<T>;
  using Limits = std::numeric_limits<T>;
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> within(low, high);
  std::vector<T> x{T(0),
                   -T(0),
                   T(1),
                   T(-1),
                   Limits::infinity(),
                   -Limits::infinity(),
                   Limits::quiet_NaN(),
                   Limits::min(),
                   Limits::denorm_min(),
                   -Limits::denorm_min(),
                   Limits::max(),
                   Limits::lowest(),
                   Limits::min() / 3,
                   T(0.5),
                   T(-0.625),
                   T(0.625)};
  for (int i = 0; i < 20000; ++i) {
    x.push_back(static_cast<T>(within(random)));
    if constexpr (sizeof(T) == 4)
      x.push_back(std::bit_cast<T>(static_cast<std::uint32_t>(random())));
    else
      x.push_back(std::bit_cast<T>(static_cast<std::uint64_t>(random())));
  }
  x.resize(x.size() / B::size * B::size);
  double worst = 0;
  T at = 0;
  for (std::size_t i = 0; i < x.size(); i += B::size) {
    alignas(64) T y[B::size];
    f(B::load_unaligned(x.data() + i)).store_aligned(y);
    for (std::size_t j = 0; j < B::size; ++j)
      if (const double error = units(y[j], exact(static_cast<Reference>(x[i + j]))); error > worst) {
        worst = error;
        at = x[i + j];
      }
  }
  CHECK_MESSAGE(worst <= most, name, " is ", worst, " units off at ", static_cast<double>(at));
}

Reference slope_of_tanh(Reference x) {
  const Reference e = std::exp(-2 * std::abs(x));
  return 4 * e / ((1 + e) * (1 + e));
}

}  // namespace

TEST_CASE_TEMPLATE("simd: functions are right in the last place or two over the whole range", T, float, double) {
  constexpr bool wide = sizeof(T) == 4;  // computed in double: right to half a unit
  const auto bound = [](double in_double) { return wide ? 0.5001 : in_double; };
  const auto run = [](const char* name, auto f, auto exact, double low, double high, double most) {
    check<T>(name, f, exact, low, high, most);
  };
#define XTAPE_CHECK(name, low, high, most) \
  run(                                     \
      #name, [](const auto& x) { return simd::name(x); }, [](Reference x) { return std::name(x); }, low, high, most)
  XTAPE_CHECK(tan, -20, 20, bound(1));
  XTAPE_CHECK(asin, -1, 1, bound(1.5));
  XTAPE_CHECK(atan, -5, 5, bound(2));
  XTAPE_CHECK(asinh, -5, 5, bound(2));
  XTAPE_CHECK(exp2, wide ? -151 : -1077, wide ? 129 : 1025, bound(1));
  XTAPE_CHECK(erf, -6, 6, bound(1.5));
  XTAPE_CHECK(erfc, -6, wide ? 11 : 28, bound(6));
  XTAPE_CHECK(exp, wide ? -104 : -746, wide ? 90 : 710, 3.5);
#undef XTAPE_CHECK
  run(
      "tanh", [](const auto& x) { return fn::Tanh{}.value(x); }, [](Reference x) { return std::tanh(x); }, -3, 3, 2);
  run(
      "tanh'", [](const auto& x) { return fn::Tanh{}.value_and_slope(x).slope; },
      [](Reference x) { return slope_of_tanh(x); }, -10, 10, 6);
  run(
      "sigmoid", [](const auto& x) { return fn::Sigmoid{}.value(x); },
      [](Reference x) { return 1 / (1 + std::exp(-x)); }, -30, 30, 4);
  run(
      "sigmoid'", [](const auto& x) { return fn::Sigmoid{}.value_and_slope(x).slope; },
      [](Reference x) { return slope_of_tanh(x / 2) / 4; }, -30, 30, 7);
}
