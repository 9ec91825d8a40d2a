// Gaussian process regression: the log marginal likelihood and its derivatives in the hyper-parameters, by the tape
// and by the formulas of Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), chapter 5.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/solve.hpp>
#include <xtape/rng.hpp>
#include <xtape/tape.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numbers>
#include <vector>

using namespace xtape;

namespace {

using Vector = Tensor<double>;
using Theta = std::array<double, 3>;  // logs of signal variance, length scale, noise variance

struct Data {
  Vector x, y;
};
Data sample(std::size_t n) {
  Rng rng(11);
  std::vector<double> x, y;
  for (std::size_t i = 0; i < n; ++i) {
    x.push_back(6 * rng.uniform() - 3);
    y.push_back(std::sin(2 * x.back()) + 0.3 * x.back() + 0.2 * (rng.uniform() - 0.5));
  }
  return {Vector({n}, x), Vector({n}, y)};
}

// (x_i - x_j)^2
Vector square_distances(const Vector& x) { return square(expand_dims(x, 1) - expand_dims(x, 0)); }

Vector unit(std::size_t n) {
  Vector e = zeros<double>({n, n});
  for (std::size_t i = 0; i < n; ++i) e.modify()[i * n + i] = 1;
  return e;
}

// K = s exp(-d / (2 l^2)) + v 1
Vector covariance(const Vector& theta, const Vector& distances) {
  const Vector variance = exp(slice(theta, {0})), length = exp(slice(theta, {1})), noise = exp(slice(theta, {2}));
  return variance * exp(distances / (-2.0 * square(length))) + noise * unit(distances.shape(0));
}

// log p(y | x) = -1/2 yᵀ K⁻¹ y - 1/2 log |K| - n/2 log 2 pi
Vector by_cholesky(const Vector& theta, const Data& data) {
  const Vector l = cholesky(covariance(theta, square_distances(data.x)));
  const Vector half = triangular_solve(l, data.y);
  const double constant = 0.5 * static_cast<double>(data.y.size()) * std::log(2 * std::numbers::pi);
  return -0.5 * dot(half, half) - 0.5 * cholesky_log_det(l) - constant;
}
Vector by_solve(const Vector& theta, const Data& data) {
  const Vector k = covariance(theta, square_distances(data.x));
  const double constant = 0.5 * static_cast<double>(data.y.size()) * std::log(2 * std::numbers::pi);
  return -0.5 * dot(data.y, solve(k, data.y)) - 0.5 * slogdet(k).log_abs_det - constant;
}

// 1/2 tr((a aᵀ - K⁻¹) dK/dtheta_j) with a = K⁻¹ y: (5.9), in plain loops in long double.
std::array<long double, 3> analytic_gradient(const std::array<long double, 3>& theta, const Data& data) {
  using Real = long double;
  const std::size_t n = data.x.size(), width = n + 1;
  const Real variance = std::exp(theta[0]), length = std::exp(theta[1]), noise = std::exp(theta[2]);
  std::vector<Real> smooth(n * n), k(n * n), rest(n * (width));  // rest: [1, y], which becomes [K⁻¹, a]
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const Real d = static_cast<Real>(data.x.data()[i]) - static_cast<Real>(data.x.data()[j]);
      smooth[i * n + j] = variance * std::exp(-d * d / (2 * length * length));
      k[i * n + j] = smooth[i * n + j] + (i == j ? noise : 0);
      rest[i * width + j] = i == j;
      rest[i * width + n] = static_cast<Real>(data.y.data()[i]);
    }
  for (std::size_t p = 0; p < n; ++p) {  // Gauss and Jordan; K is positive definite: no exchanges
    for (std::size_t i = 0; i < n; ++i) {
      if (i == p) continue;
      const Real factor = k[i * n + p] / k[p * n + p];
      for (std::size_t j = 0; j < n; ++j) k[i * n + j] -= factor * k[p * n + j];
      for (std::size_t j = 0; j < width; ++j) rest[i * width + j] -= factor * rest[p * width + j];
    }
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < width; ++j) rest[i * width + j] /= k[i * n + i];
  std::array<Real, 3> gradient{};
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const Real weight = (rest[i * width + n] * rest[j * width + n] - rest[i * width + j]) / 2;
      const Real d = static_cast<Real>(data.x.data()[i]) - static_cast<Real>(data.x.data()[j]);
      gradient[0] += weight * smooth[i * n + j];
      gradient[1] += weight * smooth[i * n + j] * d * d / (length * length);
      gradient[2] += weight * (i == j ? noise : 0);
    }
  return gradient;
}

const std::vector<Theta> places{{0.0, -0.3, -2.5}, {0.7, 0.2, -1.0}, {-0.5, -1.2, -4.0}};
constexpr std::size_t sizes[] = {1, 2, 12, 60};

}  // namespace

TEST_CASE("gaussian process: the likelihood by Cholesky and by solve and slogdet is the same") {
  for (const std::size_t n : sizes)
    for (const Theta& place : places) {
      const Data data = sample(n);
      const Vector theta({3}, place);
      const double a = by_cholesky(theta, data).item(), b = by_solve(theta, data).item();
      CHECK(std::abs(a - b) <= 1e-11 * std::abs(a));
    }
  // One point: log of a normal density.
  const Data one{Vector({1}, {0.3}), Vector({1}, {0.7})};
  const double variance = std::exp(0.2) + std::exp(-1.0);
  CHECK(by_cholesky(Vector({3}, {0.2, 0.5, -1.0}), one).item() ==
        doctest::Approx(-0.245 / variance - 0.5 * std::log(2 * std::numbers::pi * variance)).epsilon(1e-14));
}

TEST_CASE("gaussian process: the gradient in the hyper-parameters is that of Rasmussen & Williams (5.9)") {
  for (const std::size_t n : sizes)
    for (const Theta& place : places)
      for (const auto likelihood : {by_cholesky, by_solve}) {
        const Data data = sample(n);
        const Vector theta = parameter(Vector({3}, place));
        Tape tape;
        const auto [gradient] = tape.gradient(likelihood(theta, data), {theta});
        const auto expected = analytic_gradient({place[0], place[1], place[2]}, data);
        long double size = 0;
        for (const long double e : expected) size = std::max(size, std::abs(e));
        for (std::size_t j = 0; j < 3; ++j) {
          CAPTURE(n);
          CAPTURE(j);
          CHECK(static_cast<double>(std::abs(gradient.data()[j] - expected[j]) / size) <= 1e-11);
        }
      }
}

TEST_CASE("gaussian process: the Hessian by the tape is the difference of the analytic gradient") {
  for (const std::size_t n : {2U, 12U, 40U})
    for (const Theta& place : places)
      for (const auto likelihood : {by_cholesky, by_solve}) {
        const Data data = sample(n);
        const Vector theta = parameter(Vector({3}, place));
        Tape tape;
        const auto [gradient] = tape.gradient(likelihood(theta, data), {theta}, {.create_graph = true});
        std::vector<double> hessian;
        for (std::size_t j = 0; j < 3; ++j) {
          const auto [row] = tape.gradient(slice(gradient, {j}), {theta}, {.retain_graph = true});
          hessian.insert(hessian.end(), row.data(), row.data() + 3);
        }
        double size = 0, worst = 0;
        for (const double h : hessian) size = std::max(size, std::abs(h));
        for (std::size_t j = 0; j < 3; ++j) {
          // Central differences to h^4.
          constexpr long double h = 0x1p-10L;
          const auto at = [&](long double t) {
            std::array<long double, 3> moved{place[0], place[1], place[2]};
            moved[j] += t;
            return analytic_gradient(moved, data);
          };
          const auto a = at(-2 * h), b = at(-h), c = at(h), d = at(2 * h);
          for (std::size_t i = 0; i < 3; ++i) {
            const auto difference = static_cast<double>((8 * (c[i] - b[i]) - (d[i] - a[i])) / (12 * h));
            worst = std::max(worst, std::abs(difference - hessian[j * 3 + i]));
            CHECK(std::abs(hessian[j * 3 + i] - hessian[i * 3 + j]) <= 1e-10 * size);
          }
        }
        CHECK(worst <= 1e-8 * size);
      }
}
