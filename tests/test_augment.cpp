// Images moved and turned; data normalised by the training set's statistics.

#include <xtape/data/augment.hpp>
#include <xtape/data/model.hpp>
#include <xtape/data/normalisation.hpp>
#include <xtape/error.hpp>
#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "files.hpp"

using namespace xtape;
using namespace xtape::data;

namespace {

template <class T> bool same(const Tensor<T>& a, const Tensor<T>& b) {  // to the bit
  return a.shape() == b.shape() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// images (n, h, w) from value(image, row, column).
template <class T, class F> Tensor<T> images(std::size_t n, std::size_t h, std::size_t w, const F& value) {
  Tensor<T> result = zeros<T>({n, h, w});
  for (std::size_t i = 0; i < n * h * w; ++i)
    result.modify()[i] = static_cast<T>(value(i / (h * w), static_cast<int>(i / w % h), static_cast<int>(i % w)));
  return result;
}
template <class T> Tensor<T> random_images(const Shape& shape, std::uint64_t seed = 1) {
  Rng rng{seed};
  return init::normal<T>(shape, 0, 1, rng);
}
template <class T> T pixel(const Tensor<T>& x, std::size_t image, std::size_t row, std::size_t col) {
  return x.data()[(image * x.shape(1) + row) * x.shape(2) + col];
}

}  // namespace

TEST_CASE_TEMPLATE("augment: whole shifts are exact, and what comes from outside is fill", T, float, double) {
  auto x = random_images<T>({2, 4, 5});
  x.modify()[7] = std::numeric_limits<T>::quiet_NaN();
  x.modify()[8] = -T(0);
  x.modify()[9] = std::numeric_limits<T>::infinity();
  CHECK(same(shifted(x, 0, 0), x));
  for (int down = -6; down <= 6; ++down)
    for (int right = -6; right <= 6; ++right) {
      const auto expected = images<T>(2, 4, 5, [&](std::size_t i, int row, int col) {
        const int r = row - down, c = col - right;
        return r < 0 || r > 3 || c < 0 || c > 4 ? T(0.25)
                                                : pixel(x, i, static_cast<std::size_t>(r), static_cast<std::size_t>(c));
      });
      CHECK(same(shifted(x, down, right, {.fill = 0.25}), expected));
    }
  CHECK(same(shifted(x, 1e300, -1e300), zeros<T>(x.shape())));
  // A fraction is the mean of neighbours by weight.
  const auto y = random_images<T>({1, 3, 3}, 2);
  const auto half = shifted(y, 0, 0.25);
  CHECK(pixel(half, 0, 1, 2) == doctest::Approx(0.75 * pixel(y, 0, 1, 2) + 0.25 * pixel(y, 0, 1, 1)));
  CHECK(pixel(half, 0, 1, 0) == doctest::Approx(0.75 * pixel(y, 0, 1, 0)));
}

TEST_CASE_TEMPLATE("augment: multiples of 90 degrees are exact, as np.rot90 has them", T, float, double) {
  for (const std::size_t n : {0U, 1U, 2U, 5U, 8U}) {
    const auto x = random_images<T>({3, n, n});
    Tensor<T> expected = x;
    for (int quarter = 0; quarter <= 9; ++quarter) {
      CHECK(same(rotated(x, 90 * quarter), expected));
      CHECK(same(rotated(x, 90 * quarter - 360 * 7, {.fill = 3}), expected));
      // np.rot90: m[j, n - 1 - i]
      expected = images<T>(3, n, n, [&, before = expected](std::size_t i, int row, int col) {
        return pixel(before, i, static_cast<std::size_t>(col), n - 1 - static_cast<std::size_t>(row));
      });
    }
  }
  // A frame that is no square keeps its middle.
  const auto x = random_images<T>({1, 3, 7});
  CHECK(same(rotated(x, 180), flip(x, {1, 2})));
  const auto turned = rotated(x, 90, {.fill = 9});
  for (std::size_t row = 0; row < 3; ++row)
    for (std::size_t col = 0; col < 7; ++col)
      CHECK(pixel(turned, 0, row, col) == (col < 2 || col > 4 ? T(9) : pixel(x, 0, col - 2, 4 - row)));
}

TEST_CASE("augment: a plane is turned and shifted as a plane is") {
  // Bilinear interpolation is exact on it: the reference needs no interpolation.
  const auto plane = [](double row, double col) { return 0.3 * row - 1.7 * col + 0.4; };
  const auto x = images<double>(1, 21, 15, [&](std::size_t, int row, int col) { return plane(row, col); });
  for (const double degrees : {-170.0, -95.0, -37.5, -1.0, 0.001, 12.0, 45.0, 89.0, 135.0}) {
    const auto y = rotated(x, degrees, {.fill = NAN});
    const double angle = degrees * 3.14159265358979323846 / 180;
    std::size_t inside = 0;
    for (std::size_t row = 0; row < 21; ++row)
      for (std::size_t col = 0; col < 15; ++col) {
        // Counter-clockwise with y upwards: the pixel at (r, q) from the centre comes from -angle.
        const double right = static_cast<double>(col) - 7, up = 10 - static_cast<double>(row);
        const double from_right = right * std::cos(angle) + up * std::sin(angle),
                     from_up = up * std::cos(angle) - right * std::sin(angle);
        const double value = pixel(y, 0, row, col);
        if (std::abs(from_right) > 7 - 1e-9 || std::abs(from_up) > 10 - 1e-9) continue;
        ++inside;
        if (!(std::abs(value - plane(10 - from_up, 7 + from_right)) < 1e-12)) FAIL_CHECK(degrees, " ", row, " ", col);
      }
    CHECK(inside > 100);
  }
}

TEST_CASE_TEMPLATE("augment: by the generator alone, each image its own way, its channels alike", T, float, double) {
  const auto x = random_images<T>({4, 2, 9, 9});
  Rng a{3}, b{3};
  CHECK(same(augmented(x, {.shift = 0, .rotation = 0}, a), x));
  CHECK(a.state().words == 4 * 3 * 2);  // two words a draw
  augmented(x, {}, b);
  CHECK(a.state() == b.state());
  const auto one = augmented(x, {}, a), two = augmented(x, {}, b);
  CHECK(same(one, two));
  CHECK(!same(augmented(x, {}, a), one));
  // An image is moved by its own draws, whatever comes with it: degrees, down, right.
  const AugmentOptions options{.shift = 1.5, .rotation = 30, .fill = 0.5};
  Rng c{4};
  const auto all = augmented(x, options, c);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto image = slice(x, {range(i, i + 1)});
    const auto at_image = [i] { return Rng::from_state({4, 0, i * 6}); };
    Rng draws = at_image(), again = at_image(), turning = at_image(), shifting = at_image();
    CHECK(same(slice(all, {range(i, i + 1)}), augmented(image, options, again)));
    const double degrees = 30 * (2 * draws.uniform() - 1), down = 1.5 * (2 * draws.uniform() - 1),
                 right = 1.5 * (2 * draws.uniform() - 1);
    CHECK(same(augmented(image, {.shift = 0, .rotation = 30}, turning), rotated(image, degrees)));
    CHECK(same(augmented(image, {.shift = 1.5, .rotation = 0}, shifting), shifted(image, down, right)));
  }
  // Both channels of an image alike.
  const auto twin =
      concatenate(std::vector{slice(x, {range(0, 4), range(0, 1)}), slice(x, {range(0, 4), range(0, 1)})}, 1);
  const auto moved = augmented(twin, {}, c);
  CHECK(same(slice(moved, {range(0, 4), range(0, 1)}), slice(moved, {range(0, 4), range(1, 2)})));
  CHECK(augmented(zeros<T>({0, 1, 5, 5}), {}, a).shape() == Shape{0, 1, 5, 5});
}

TEST_CASE("augment: what is refused") {
  const auto x = zeros<double>({2, 3, 3});
  Rng rng;
  const double inf = HUGE_VAL;
  check_bad<ShapeError>([&] { shifted(zeros<double>({3}), 0, 0); }, {"shifted: images of 2 axes", "(3,)"});
  check_bad<ShapeError>([&] { rotated(zeros<double>({}), 0); }, {"rotated: images of 2 axes", "()"});
  check_bad<ShapeError>([&] { augmented(zeros<double>({3, 3}), {}, rng); }, {"augmented: images of 3 axes", "(3, 3)"});
  for (const double bad : {inf, -inf, static_cast<double>(NAN)}) {
    check_bad<ValueError>([&] { shifted(x, bad, 0); }, {"shifted: ", "finite"});
    check_bad<ValueError>([&] { shifted(x, 0, bad); }, {"shifted: ", "finite"});
    check_bad<ValueError>([&] { rotated(x, bad); }, {"rotated: ", "finite"});
    check_bad<ValueError>([&] { augmented(x, {.shift = bad}, rng); }, {"augmented: "});
    check_bad<ValueError>([&] { augmented(x, {.rotation = bad}, rng); }, {"augmented: "});
  }
  check_bad<ValueError>([&] { augmented(x, {.shift = -1}, rng); }, {"augmented: shift -1"});
  CHECK(rng.state().words == 0);
  check_bad<TapeError>([&] { rotated(parameter(x), 1); }, {"rotated: no gradient flows through"});
}

TEST_CASE_TEMPLATE("normalisation: by the training set's statistics, and back", T, float, double) {
  Rng rng{2};
  const T precision = 64 * std::numeric_limits<T>::epsilon();
  const auto near = [&](const Tensor<T>& a, T expected, T allowed) { return max(abs(a - expected)).item() <= allowed; };
  const auto train = init::normal<T>({500, 6}, 5, 3, rng), test = init::normal<T>({20, 6}, 5, 3, rng);
  const auto normalise = normalisation(train);
  CHECK(normalise.mean.shape() == Shape{1, 6});
  CHECK(near(mean(normalise(train), 0), 0, precision));
  CHECK(near(stddev(normalise(train), 0), 1, precision));
  const auto y = normalise(test);
  for (std::size_t i = 0; i < test.size(); ++i) {
    T m = 0, v = 0;
    for (std::size_t k = 0; k < 500; ++k) m += train.data()[k * 6 + i % 6] / 500;
    for (std::size_t k = 0; k < 500; ++k)
      v += (train.data()[k * 6 + i % 6] - m) * (train.data()[k * 6 + i % 6] - m) / 500;
    CHECK(y.data()[i] == doctest::Approx((test.data()[i] - m) / std::sqrt(v)).epsilon(1e-3));
  }
  CHECK(max(abs(normalise.inverse(y) - test)).item() < 20 * precision);
  CHECK(!normalise(test).requires_grad());

  const auto pictures = init::normal<T>({10, 3, 4, 4}, 1, 2, rng);
  const auto by_channel = normalisation(pictures, {0, 2, 3});
  CHECK(by_channel.mean.shape() == Shape{1, 3, 1, 1});
  CHECK(near(mean(by_channel(pictures), {0, 2, 3}), 0, precision));
  CHECK(normalisation(pictures, all_axes).mean.size() == 1);

  // What does not vary becomes 0, not noise; also where the mean rounds.
  for (const T constant : {T(0), T(0.1), T(1e6) + T(0.1), T(-3e-30)}) {
    const auto still = normalisation(full<T>({7, 2}, constant));
    CHECK(near(still.deviation, 1, 0));
    CHECK(near(still(full<T>({7, 2}, constant)), 0, std::abs(constant) * std::numeric_limits<T>::epsilon()));
  }
  CHECK(near(normalisation(Tensor<T>({2, 1}, {T(1e-20), T(3e-20)})).deviation, T(1e-20), T(1e-26)));
}

TEST_CASE("normalisation: what is refused; saved with a network") {
  check_bad<ValueError>([] { normalisation(zeros<double>({0, 3})); }, {"normalisation: x of shape (0, 3)"});
  check_bad<ValueError>([] { normalisation(Tensor<double>({2, 1}, {1, NAN})); }, {"normalisation: ", "nan"});
  check_bad<ValueError>([] { normalisation(Tensor<double>({2, 1}, {1, HUGE_VAL})); }, {"normalisation: "});
  check_bad<ShapeError>([] { normalisation(zeros<double>({2, 3}), 2); }, {"axis 2"});
  CHECK(normalisation(zeros<double>({3, 0})).mean.shape() == Shape{1, 0});

  const Folder folder;
  Rng rng{1};
  const auto x = init::normal<double>({9, 4}, 3, 2, rng);
  const nn::Sequential<double> net{normalisation(x), nn::Linear<double>(4, 2, rng)};
  CHECK(net.named_buffers()[0].first == "0.mean");
  save_model(folder / "net", net);
  const nn::Sequential<double> other{normalisation(x + 1.0), nn::Linear<double>(4, 2, rng)};
  load_model(folder / "net", other);
  CHECK(same(net(x).detach(), other(x).detach()));
}
