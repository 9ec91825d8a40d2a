#include "model.hpp"

#include "softmax.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace derivation {
namespace {

// By how much the largest element of every window exceeds the next.
double smallest_gap(const Geometry& g, const Maps& y) {
  double smallest = std::numeric_limits<double>::infinity();
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n) {
        const Position best = argmax(g, y, c, m, n);
        for (int i = 1; i <= g.p; ++i)
          for (int j = 1; j <= g.p; ++j)
            if (Position{i, j} != best)
              smallest = std::min(smallest, y(c, m + best.i - 1, n + best.j - 1) - y(c, m + i - 1, n + j - 1));
      }
  return smallest;
}

double largest(const Maps& a) {
  double result = 0;
  for (const double v : a.values()) result = std::max(result, std::abs(v));
  return result;
}

}  // namespace

std::vector<Loss> make_losses(int size, xtape::Rng& rng) {
  const Vector g = normal_vector(size, 1.0, rng);
  Vector t(size);
  double sum_t = 0;
  for (double& v : t.values()) sum_t += v = rng.uniform(0.1, 1.0);
  for (double& v : t.values()) v /= sum_t;
  const Tensor g_tensor = to_tensor(g, {1, size}), t_tensor = to_tensor(t, {1, size});

  const auto linear = [g](const Vector&) { return g; };
  const auto squared = [t](const Vector& s) {
    Vector ds(s.size());
    for (int i = 1; i <= s.size(); ++i) ds(i) = s(i) - t(i);
    return ds;
  };
  const auto cross_entropy = [t](const Vector& s) {
    Vector ds(s.size());
    for (int i = 1; i <= s.size(); ++i) ds(i) = -t(i) / s(i);
    return ds;
  };
  return {
      {"linear", linear, [g_tensor](const Tensor& s) { return xtape::sum(g_tensor * s); }, {}},
      {"squared", squared, [t_tensor](const Tensor& s) { return 0.5 * xtape::sum(xtape::square(s - t_tensor)); }, t},
      {"cross-entropy", cross_entropy, [t_tensor](const Tensor& s) { return -xtape::sum(t_tensor * xtape::log(s)); },
       t}};
}

Point make_point(const Geometry& g, const Matrix& x, const Maps& w) {
  Point at{g, x, w, convolve(g, x, w, Vector(2)), {}, Vector(2), {}};
  at.pooled = max_pool(g, at.y);
  at.f = flatten(g, at.pooled);
  return at;
}

Point draw_point(const Geometry& g, xtape::Rng& rng) {
  constexpr int tries = 20000;
  for (int attempt = 0; attempt < tries; ++attempt) {
    Matrix x(g.d, g.d);
    Maps w(2, g.k, g.k);
    for (double& v : x.values()) v = rng.uniform(-1.0, 1.0);
    for (double& v : w.values()) v = 1.5 / g.k * rng.normal();
    Point at = make_point(g, x, w);
    at.bias = normal_vector(2, 1.0, rng);
    // A difference moves one weight, pixel or element of Y by two steps, times its size if that is above 1. Two
    // elements of Y then approach each other by at most 4 steps times the largest weight or element.
    const double reach = 4 * step * std::max({1.0, largest(w), largest(at.y)});
    if (smallest_gap(g, at.y) < 1.5 * reach) continue;
    if (g.p > 1 && (every_maximum_first(at) || (g.q() > 1 && no_maximum_shared(at)))) continue;
    return at;
  }
  throw xtape::ValueError(fmt::format("{}: no image without near-ties in {} draws", g.name(), tries));
}

bool every_maximum_first(const Point& at) {
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= at.g.q(); ++m)
      for (int n = 1; n <= at.g.q(); ++n)
        if (argmax(at.g, at.y, c, m, n) != Position{1, 1}) return false;
  return true;
}

bool no_maximum_shared(const Point& at) {
  Maps windows(2, at.g.n(), at.g.n());  // how many have their maximum here
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= at.g.q(); ++m)
      for (int n = 1; n <= at.g.q(); ++n) {
        const auto [i, j] = argmax(at.g, at.y, c, m, n);
        ++windows(c, m + i - 1, n + j - 1);
      }
  return largest(windows) <= 1;
}

Tensor maps(const Geometry& g, const Tensor& x, const Tensor& w) { return xtape::conv2d(x, w, {.stride = g.s}); }
Tensor pool(const Geometry& g, const Tensor& y) { return xtape::max_pool2d(y, {.window = g.p, .stride = 1}); }
Tensor loss_of_features(const Loss& loss, const Tensor& f) { return loss.on_tape(xtape::softmax(f)); }
Tensor loss_of_pooled(const Loss& loss, const Tensor& pooled) { return loss_of_features(loss, xtape::flatten(pooled)); }
Tensor loss_of_maps(const Geometry& g, const Loss& loss, const Tensor& y) { return loss_of_pooled(loss, pool(g, y)); }

Maps chain(const Point& at, const Loss& loss, const ChainRules& rules) {
  const Vector ds = loss.ds(row6::printed(at.f));
  const Vector df = rules.df(at.f, ds);
  const Maps dp = row5::dloss_dp(at.g, df, rules.index);
  const Maps dy = rules.dy(at.g, at.y, dp);
  return row2::corrected(at.g, dy, at.x);
}

xtape::Rng random_numbers(std::uint64_t seed, const Geometry& g) {
  return xtape::Rng(seed, static_cast<std::uint64_t>(((g.d * 100 + g.k) * 100 + g.s) * 100 + g.p));
}

Vector normal_vector(int size, double deviation, xtape::Rng& rng) {
  Vector v(size);
  rng.fill_normal(std::span<double>(v.values()), 0.0, deviation);
  return v;
}
Matrix normal_matrix(int rows, int columns, double deviation, xtape::Rng& rng) {
  Matrix a(rows, columns);
  rng.fill_normal(std::span<double>(a.values()), 0.0, deviation);
  return a;
}

}  // namespace derivation
