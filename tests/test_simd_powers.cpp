// pow, atan2 and hypot on SIMD batches against the C library in long double: over the whole range of numbers, where the
// result over- or underflows, near a base of 1, and at every pair of special numbers; and that a result depends on its
// own arguments alone.

#include <doctest/doctest.h>
#include <xtape/functions.hpp>
#include <xtape/ops/arithmetic.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace xtape;

namespace {

using Reference = long double;
template <class T> using Limits = std::numeric_limits<T>;
template <class T> struct Points { std::vector<T> x, y; };

// The error in units of the last place; inf if one is not a number and the other is, or the signs of zeros differ.
template <class T> double units(T y, Reference exact) {
  constexpr double wrong = Limits<double>::infinity();
  const T rounded = static_cast<T>(exact);
  if (std::isnan(y) || std::isnan(rounded)) return std::isnan(y) && std::isnan(rounded) ? 0 : wrong;
  if (y == rounded) return y == T(0) && std::signbit(y) != std::signbit(rounded) ? wrong : 0;
  if (std::isinf(y) || std::isinf(rounded)) return wrong;
  const T size = std::abs(rounded), unit = std::nextafter(size, Limits<T>::infinity()) - size;
  return static_cast<double>(std::abs(static_cast<Reference>(y) - exact) / unit);
}

template <class T, class F, class G>
void check(const char* name, Points<T> p, const F& f, const G& exact, double most) {
  using B = simd::Batch<T>;
  while (p.x.size() % B::size != 0) p.x.push_back(1), p.y.push_back(1);
  double worst = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < p.x.size(); i += B::size) {
    alignas(64) T r[B::size];
    f(B::load_unaligned(p.x.data() + i), B::load_unaligned(p.y.data() + i)).store_aligned(r);
    for (std::size_t j = 0; j < B::size; ++j)
      if (const double e = units(r[j], exact(p.x[i + j], p.y[i + j])); e > worst) worst = e, at = i + j;
  }
  CHECK_MESSAGE(worst <= most, name, ": ", worst, " units off at (", static_cast<double>(p.x[at]), ", ",
                static_cast<double>(p.y[at]), ")");
}
const auto batch_pow = [](const auto& x, const auto& y) { return simd::pow(x, y); };
const auto batch_atan2 = [](const auto& x, const auto& y) { return simd::atan2(x, y); };
const auto batch_hypot = [](const auto& x, const auto& y) { return simd::hypot(x, y); };
const auto exact_pow = [](Reference x, Reference y) { return std::pow(x, y); };
const auto exact_atan2 = [](Reference x, Reference y) { return std::atan2(x, y); };
const auto exact_hypot = [](Reference x, Reference y) { return std::hypot(x, y); };

template <class T> struct Random {
  std::mt19937_64 bits{7};
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  T number() {
    if constexpr (sizeof(T) == 8)
      return std::bit_cast<double>(static_cast<std::uint64_t>(bits()));
    else
      return std::bit_cast<float>(static_cast<std::uint32_t>(bits()));
  }
  // Numbers below `count` by f(), which may give NaN for none.
  template <class F> Points<T> points(std::size_t count, const F& f) {
    Points<T> p;
    while (p.x.size() < count) {
      const auto [x, y] = f();
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      p.x.push_back(x);
      p.y.push_back(y);
    }
    return p;
  }
  int exponent(int count) { return static_cast<int>(bits() % static_cast<unsigned>(count)); }
};

template <class T> Points<T> special_pairs() {
  constexpr T inf = Limits<T>::infinity(), most = Limits<T>::max(), least = Limits<T>::min();
  std::vector<T> values{0,
                        1,
                        2,
                        3,
                        7,
                        T(0.5),
                        T(1.5),
                        T(2.5),
                        inf,
                        Limits<T>::quiet_NaN(),
                        most,
                        most / 3,
                        least,
                        least / 3,
                        Limits<T>::denorm_min(),
                        std::nextafter(T(1), T(2)),
                        std::nextafter(T(1), T(0)),
                        T(16777215),
                        T(16777216),
                        T(33554433.0),
                        T(9007199254740991.0),
                        T(9007199254740992.0),
                        T(1024)};
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) values.push_back(-values[i]);
  Points<T> p;
  for (const T x : values)
    for (const T y : values) p.x.push_back(x), p.y.push_back(y);
  return p;
}

}  // namespace

TEST_CASE_TEMPLATE("simd: pow is right to 0.65 units of the last place, subnormal results too", T, float, double) {
  constexpr bool wide = sizeof(T) == 4;  // computed in double
  // Without fma float's is the C library's, whose authors give it 0.82.
  constexpr double of_float = simd::fused ? 0.501 : 0.82, most = wide ? of_float : 0.65;
  constexpr double top = wide ? 88.72 : 709.78, bottom = wide ? -104 : -745.2;
  constexpr int digits = Limits<T>::digits;
  constexpr std::size_t n = 40'000;
  Random<T> random;
  // The exponent with which x^y is e^t.
  const auto pair = [](T x, double t) { return std::pair{x, static_cast<T>(t / std::log(static_cast<double>(x)))}; };
  const auto anywhere = [&] { return bottom + random.uniform() * (top - bottom); };
  const auto hold = [&](const char* name, auto f) { check(name, random.points(n, f), batch_pow, exact_pow, most); };
  check("special numbers", special_pairs<T>(), batch_pow, exact_pow, most);
  hold("common numbers", [&] {
    return std::pair{static_cast<T>(random.uniform() * 10), static_cast<T>(random.uniform() * 20 - 10)};
  });
  hold("all bases", [&] { return pair(std::abs(random.number()), anywhere()); });
  hold("near 1", [&] {
    return pair(static_cast<T>(1 + std::ldexp(random.uniform() - 0.5, -random.exponent(digits))), anywhere());
  });
  hold("between roots of 1/2 and 2", [&] { return pair(static_cast<T>(0.7 + random.uniform() * 0.72), anywhere()); });
  hold("near overflow", [&] { return pair(std::abs(random.number()), top - 0.01 + random.uniform() * 0.02); });
  hold("where subnormal",
       [&] { return pair(std::abs(random.number()), bottom - 1 + random.uniform() * (wide ? 18 : 38)); });
  hold("of subnormal numbers", [&] {
    return std::pair{Limits<T>::min() * static_cast<T>(random.uniform()), static_cast<T>(random.uniform() * 2 - 1)};
  });
  hold("of negative numbers", [&] {
    return std::pair{static_cast<T>(-4 * random.uniform()), static_cast<T>(random.exponent(60) - 30)};
  });
  hold("small exponents", [&] {
    return std::pair{static_cast<T>(random.uniform() * 4),
                     static_cast<T>(std::ldexp(random.uniform() - 0.5, -random.exponent(60)))};
  });
  hold("any numbers", [&] { return std::pair{random.number(), random.number()}; });
}

TEST_CASE_TEMPLATE("simd: atan2 and hypot are right to less than a unit of the last place", T, float, double) {
  constexpr double angle = sizeof(T) == 4 ? 0.501 : 0.8, radius = sizeof(T) == 4 ? 0.501 : 0.8;
  constexpr std::size_t n = 40'000;
  Random<T> random;
  const auto both = [&](const char* name, const Points<T>& p) {
    check(name, p, batch_atan2, exact_atan2, angle);
    check(name, p, batch_hypot, exact_hypot, radius);
  };
  const auto hold = [&](const char* name, auto f) { both(name, random.points(n, f)); };
  const auto sign = [&] { return random.bits() % 2 == 0 ? T(1) : T(-1); };
  both("special numbers", special_pairs<T>());
  hold("common numbers", [&] {
    return std::pair{static_cast<T>(random.uniform() * 2 - 1), static_cast<T>(random.uniform() * 2 - 1)};
  });
  hold("any numbers", [&] { return std::pair{random.number(), random.number()}; });
  hold("alike", [&] {
    const T x = random.number();
    return std::pair{x, x * static_cast<T>(std::ldexp(random.uniform() * 2 - 1, random.exponent(9) - 4))};
  });
  hold("where octants meet", [&] {
    const double x = random.uniform(), off = 1 + std::ldexp(random.uniform() - 0.5, -random.exponent(52));
    const T a = sign() * static_cast<T>(x);
    const T b = sign() * static_cast<T>(x * off * (random.bits() % 2 == 0 ? 1 : 0.41421356237309503));
    return random.bits() % 2 == 0 ? std::pair{a, b} : std::pair{b, a};
  });
  hold("subnormal numbers", [&] {
    const auto number = [&] { return sign() * Limits<T>::min() * static_cast<T>(random.uniform()); };
    return std::pair{number(), number()};
  });
  hold("largest numbers", [&] {
    const auto number = [&] { return sign() * Limits<T>::max() * static_cast<T>(random.uniform()); };
    return std::pair{number(), number()};
  });
}

// Beside rare neighbours in its batch, which take another way, and at the end of an array, a result has the same bits.
TEST_CASE_TEMPLATE("simd: results of pow, atan2 and hypot do not depend on their neighbours", T, float, double) {
  constexpr std::size_t n = 1003;
  Random<T> random;
  std::vector<T> x(n), y(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = static_cast<T>(random.uniform() * 4);
    y[i] = static_cast<T>(random.uniform() * 20 - 10);
  }
  const auto run = [&](const std::vector<T>& u, const std::vector<T>& v, std::size_t from) {
    const std::vector<T> a(u.begin() + static_cast<std::ptrdiff_t>(from), u.end()),
        b(v.begin() + static_cast<std::ptrdiff_t>(from), v.end());
    const Tensor<T> p({a.size()}, a), q({b.size()}, b);
    return std::vector{pow(p, q), atan2(p, q), hypot(p, q)};
  };
  std::vector<T> rare = x;
  const std::vector<T> others{
      0, -2, Limits<T>::infinity(), Limits<T>::quiet_NaN(), Limits<T>::denorm_min(), Limits<T>::max()};
  for (std::size_t i = 0; i < n; i += 3) rare[i] = others[i / 3 % others.size()];
  const auto plain = run(x, y, 0), beside = run(rare, y, 0), shifted = run(x, y, 5);
  for (std::size_t k = 0; k < plain.size(); ++k) {
    std::size_t beside_differ = 0, shifted_differ = 0;
    for (std::size_t i = 0; i < n; ++i)
      if (i % 3 != 0) beside_differ += plain[k].data()[i] != beside[k].data()[i];
    for (std::size_t i = 5; i < n; ++i) shifted_differ += plain[k].data()[i] != shifted[k].data()[i - 5];
    CHECK(beside_differ == 0);
    CHECK(shifted_differ == 0);
  }
}
