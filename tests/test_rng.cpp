// Random numbers: known answers, and the moments that they should have.

#include <doctest/doctest.h>
#include <xtape/energy/rbm.hpp>
#include <xtape/error.hpp>
#include <xtape/init.hpp>
#include <xtape/rng.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

using xtape::Rng;

TEST_CASE("rng: the known answer of Philox4x32-10 for counter 0 and key 0") {
  Rng rng(0, 0);
  CHECK(rng() == 0x6627e8d5U);
  CHECK(rng() == 0xe169c58dU);
  CHECK(rng() == 0xbc57ac4cU);
  CHECK(rng() == 0x9b00dbd8U);
}

TEST_CASE("rng: same seed, same numbers; other seed or stream, others") {
  const auto first = [](Rng rng) { return rng(); };
  CHECK(first(Rng(7)) == first(Rng(7)));
  std::set<std::uint32_t> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed)
    for (std::uint64_t stream = 0; stream < 20; ++stream) seen.insert(first(Rng(seed, stream)));
  CHECK(seen.size() == 1000);
  Rng parent(3);
  Rng a = parent.split(), b = parent.split();
  CHECK(a() != b());
}

TEST_CASE("rng: filling takes the same words as drawing them one by one, for any length and place") {
  for (const std::uint64_t seed : {0ULL, 0x123456789abcdef0ULL})
    for (const std::size_t n : {1UL, 3UL, 4UL, 100UL, 127UL, 128UL, 129UL, 1000UL}) {
      // Also where the block's number runs over 32 bits.
      Rng filled = Rng::from_state({seed, 77, (1ULL << 34) - 160}), drawn = filled;
      std::vector<float> u(n);
      filled.fill_uniform(std::span<float>(u));
      for (const float x : u) CHECK(x == static_cast<float>(drawn() >> 8) * 0x1p-24F);
      while (drawn.state().words % 4 != 0) drawn();
      CHECK(filled.state() == drawn.state());
      std::vector<double> d(n);
      filled.fill_uniform(std::span<double>(d), -1.0, 3.0);
      for (const double x : d) CHECK(x == -1.0 + 4.0 * drawn.uniform());
    }
}

TEST_CASE("rng: the state brings a generator back, wherever it stands") {
  Rng rng(5);
  for (int i = 0; i < 9; ++i, rng()) {
    Rng again = Rng::from_state(rng.state());
    Rng here = rng;
    for (int k = 0; k < 10; ++k) CHECK(again() == here());
  }
}

TEST_CASE("rng: moments of uniform and normal numbers") {
  Rng rng(11);
  constexpr std::size_t n = 200'000;
  std::vector<double> u(n), z(n);
  rng.fill_uniform(std::span<double>(u));
  rng.fill_normal(std::span<double>(z));
  double mean_u = 0, var_u = 0, mean_z = 0, var_z = 0, skew = 0, kurtosis = 0, pairs = 0;
  for (std::size_t i = 0; i < n; ++i) {
    CHECK_UNARY(u[i] >= 0 && u[i] < 1);
    mean_u += u[i] / n;
    var_u += (u[i] - 0.5) * (u[i] - 0.5) / n;
    mean_z += z[i] / n;
    var_z += z[i] * z[i] / n;
    skew += z[i] * z[i] * z[i] / n;
    kurtosis += z[i] * z[i] * z[i] * z[i] / n;
    if (i > 0) pairs += z[i] * z[i - 1] / n;
  }
  // Five standard errors.
  const double root = std::sqrt(double(n));
  CHECK(std::abs(mean_u - 0.5) < 5 * 0.2887 / root);
  CHECK(std::abs(var_u - 1.0 / 12) < 5 * 0.0745 / root);
  CHECK(std::abs(mean_z) < 5 / root);
  CHECK(std::abs(var_z - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(skew) < 5 * std::sqrt(15.0) / root);
  CHECK(std::abs(kurtosis - 3) < 5 * std::sqrt(96.0) / root);
  CHECK(std::abs(pairs) < 5 / root);
}

TEST_CASE("rng: a filled block begins the same whatever its length") {
  for (const std::size_t n : {1UL, 2UL, 3UL, 5UL, 17UL}) {
    Rng a(9), b(9);
    std::vector<float> shorter(n), longer(n + 7);
    a.fill_normal(std::span<float>(shorter));
    b.fill_normal(std::span<float>(longer));
    for (std::size_t i = 0; i < n; ++i) CHECK(shorter[i] == longer[i]);
  }
}

TEST_CASE("rng: below() is unbiased, shuffle permutes") {
  Rng rng(13);
  std::vector<int> counts(7);
  for (int i = 0; i < 70'000; ++i) ++counts[rng.below(7)];
  double chi_square = 0;
  for (const int c : counts) chi_square += (c - 10'000.0) * (c - 10'000.0) / 10'000.0;
  CHECK(chi_square < 22.5);  // 0.1 % point of chi-square with 6 degrees of freedom
  CHECK(rng.below(1) == 0);
  CHECK(rng.below(0) == 0);
  std::vector<int> values(100);
  for (int i = 0; i < 100; ++i) values[static_cast<std::size_t>(i)] = i;
  auto shuffled = values;
  rng.shuffle(std::span<int>(shuffled));
  CHECK(shuffled != values);
  std::sort(shuffled.begin(), shuffled.end());
  CHECK(shuffled == values);
}

TEST_CASE_TEMPLATE("rng: uniform numbers stay below the upper bound, and keep their bits where they did", T, float,
                   double) {
  const std::pair<T, T> intervals[] = {{1000, 1001}, {-1, 1}, {0, 1}, {T(1), std::nextafter(T(1), T(2))}};
  for (const auto& [low, high] : intervals) {
    Rng rng(3), unit(3);
    std::vector<T> x(1'000'000), u(x.size());
    rng.fill_uniform(std::span<T>(x), low, high);
    unit.fill_uniform(std::span<T>(u));
    std::size_t outside = 0, changed = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const volatile T product = (high - low) * u[i];  // rounded before it is added, as in the generator
      const volatile T as_written = low + product;
      outside += !(x[i] >= low && x[i] < high);
      changed += as_written < high ? x[i] != as_written : x[i] != std::nextafter(high, low);
    }
    CHECK(outside == 0);
    CHECK(changed == 0);
  }
  // The difference of the bounds overflows.
  const T most = std::numeric_limits<T>::max();
  Rng rng(4);
  std::vector<T> x(10'000);
  rng.fill_uniform(std::span<T>(x), -most, most);
  double mean = 0;
  for (const T value : x) {
    CHECK_UNARY(value >= -most && value < most);
    mean += static_cast<double>(value / most) / 10'000;
  }
  CHECK(std::abs(mean) < 0.03);
  CHECK(std::abs(rng.uniform(-1e308, 1e308)) <= 1e308);
  for (int i = 0; i < 1000; ++i) CHECK(rng.uniform(1, std::nextafter(1.0, 2.0)) == 1);
  CHECK(rng.uniform(5, 5) == 5);
}

TEST_CASE_TEMPLATE("rng: arguments that make no distribution are errors, and draw nothing", T, float, double) {
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  Rng rng(5);
  std::vector<T> x(3);
  const auto uniform = [&](T low, T high) { rng.fill_uniform(std::span<T>(x), low, high); };
  const auto normal = [&](T mean, T deviation) { rng.fill_normal(std::span<T>(x), mean, deviation); };
  for (const auto& [low, high] : {std::pair<T, T>{1, 0}, {0, inf}, {-inf, 0}, {nan, 1}, {0, nan}}) {
    CHECK_THROWS_AS(uniform(low, high), xtape::ValueError);
    CHECK_THROWS_AS(rng.uniform(static_cast<double>(low), static_cast<double>(high)), xtape::ValueError);
  }
  for (const auto& [mean, deviation] : {std::pair<T, T>{0, -1}, {0, inf}, {0, nan}, {inf, 1}, {nan, 1}})
    CHECK_THROWS_AS(normal(mean, deviation), xtape::ValueError);
  CHECK(rng.state().words == 0);
  normal(2, 0);
  CHECK(x == std::vector<T>{2, 2, 2});
  // Part of a sum overflows, the sum does not.
  std::vector<T> many(1000);
  const T most = std::numeric_limits<T>::max();
  rng.fill_normal(std::span<T>(many), most, most / 2);
  CHECK(std::none_of(many.begin(), many.end(), [&](T z) { return z == -inf || z != z; }));
}

TEST_CASE("rng: what is refused has the name of the function that was called") {
  namespace init = xtape::init;
  Rng rng(5);
  std::vector<double> x(3);
  const auto message = [](const auto& call) {
    try {
      call();
    } catch (const xtape::ValueError& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(message([&] { rng.uniform(1, 0); }) == "uniform: [1, 0) is no interval of finite numbers, the lower one first");
  CHECK(message([&] { rng.fill_uniform(std::span<double>(x), 1.0, 0.0); }) ==
        "fill_uniform: [1, 0) is no interval of finite numbers, the lower one first");
  CHECK(message([&] { init::uniform<float>({3}, 1, 0, rng); }) ==
        "uniform: [1, 0) is no interval of finite numbers, the lower one first");
  CHECK(message([&] { rng.fill_normal(std::span<double>(x), 0.0, -1.0); }) ==
        "fill_normal: the standard deviation -1 is not finite and at least 0");
  CHECK(message([&] { init::normal<float>({3}, 0, -1, rng); }) ==
        "normal: the standard deviation -1 is not finite and at least 0");
  CHECK(message([&] { init::normal<double>({3}, std::nan(""), 1, rng); }) == "normal: the mean nan is not finite");
  CHECK(message([&] { xtape::Rbm<float>(4, 3, rng, -1); }) ==
        "rbm: the standard deviation -1 is not finite and at least 0");
  CHECK(message([&] { xtape::Rbm<double>(4, 3, rng, std::nan("")); }) ==
        "rbm: the standard deviation nan is not finite and at least 0");
  CHECK(rng.state().words == 0);
}
