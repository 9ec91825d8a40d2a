#include "convolution.hpp"

#include <fmt/format.h>

#include <cmath>
#include <sstream>

namespace derivation {

// Loops name the kernel's indices (r, t), where the text has (p, q): p and q are sides here.

std::string Geometry::name() const { return fmt::format("({},{},{},{})", d, k, s, p); }

ParsedGeometry parse_geometry(const std::string& text) {
  constexpr int largest = 12;
  Geometry g{};
  char comma[3] = {}, rest = 0;
  std::istringstream in(text);
  in >> g.d >> comma[0] >> g.k >> comma[1] >> g.s >> comma[2] >> g.p;
  if (!in || comma[0] != ',' || comma[1] != ',' || comma[2] != ',' || in >> rest)
    return {{}, fmt::format("'{}': expected four numbers d,k,s,p", text)};
  const auto wrong = [&](const std::string& what) { return ParsedGeometry{{}, fmt::format("{}: {}", text, what)}; };
  if (g.d < 1 || g.d > largest) return wrong(fmt::format("the image's side d must be 1 to {}", largest));
  if (g.k < 1 || g.k > g.d) return wrong("the kernel's side k must be 1 to d");
  if (g.s < 1 || (g.d - g.k) % g.s != 0) return wrong("the stride s must be at least 1 and divide d - k");
  if (g.p < 1 || g.p > g.n()) return wrong(fmt::format("the window p must be 1 to (d-k)/s + 1 = {}", g.n()));
  return {g, ""};
}

Maps convolve(const Geometry& g, const Matrix& x, const Maps& w, const Vector& b) {
  Maps y(2, g.n(), g.n());
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.n(); ++m)
      for (int n = 1; n <= g.n(); ++n) {
        y(c, m, n) = b(c);
        for (int r = 1; r <= g.k; ++r)
          for (int t = 1; t <= g.k; ++t) y(c, m, n) += w(c, r, t) * x((m - 1) * g.s + r, (n - 1) * g.s + t);
      }
  return y;
}

Position argmax(const Geometry& g, const Maps& y, int c, int m, int n) {
  Position best{1, 1};
  for (int i = 1; i <= g.p; ++i)
    for (int j = 1; j <= g.p; ++j)
      if (y(c, m + i - 1, n + j - 1) > y(c, m + best.i - 1, n + best.j - 1)) best = {i, j};
  return best;
}

Maps max_pool(const Geometry& g, const Maps& y) {
  Maps pooled(2, g.q(), g.q());
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n) {
        const auto [i, j] = argmax(g, y, c, m, n);
        pooled(c, m, n) = y(c, m + i - 1, n + j - 1);
      }
  return pooled;
}

Vector flatten(const Geometry& g, const Maps& pooled) {
  Vector f(g.features());
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n) f((c - 1) * g.q() * g.q() + (m - 1) * g.q() + n) = pooled(c, m, n);
  return f;
}

Maps row1::printed(const Geometry& g, const Matrix& x, int c, int m, int n) {
  Maps dw(2, g.k, g.k);
  for (int r = 1; r <= g.k; ++r)
    for (int t = 1; t <= g.k; ++t) dw(c, r, t) = x((m - 1) * g.s + r, (n - 1) * g.s + t);
  return dw;
}

namespace row2 {
namespace {
// sum_{m,n} dy(c, m, n, r, t) X_{(m-1)s+r, (n-1)s+t}
template <class F> Maps sum_over_maps(const Geometry& g, const Matrix& x, const F& dy) {
  Maps dw(2, g.k, g.k);
  for (int c = 1; c <= 2; ++c)
    for (int r = 1; r <= g.k; ++r)
      for (int t = 1; t <= g.k; ++t)
        for (int m = 1; m <= g.n(); ++m)
          for (int n = 1; n <= g.n(); ++n) dw(c, r, t) += dy(c, m, n, r, t) * x((m - 1) * g.s + r, (n - 1) * g.s + t);
  return dw;
}
}  // namespace

Maps one_number_a_map(const Geometry& g, const Maps& dy, const Matrix& x) {
  const Vector total = extra::dloss_db(g, dy);
  return sum_over_maps(g, x, [&](int c, int, int, int, int) { return total(c); });
}
Maps index_of_the_left(const Geometry& g, const Maps& dy, const Matrix& x) {
  return sum_over_maps(g, x,
                       [&](int c, int, int, int r, int t) { return r <= g.n() && t <= g.n() ? dy(c, r, t) : 0.0; });
}
Maps corrected(const Geometry& g, const Maps& dy, const Matrix& x) {
  return sum_over_maps(g, x, [&](int c, int m, int n, int, int) { return dy(c, m, n); });
}
}  // namespace row2

namespace row3 {
Maps printed(const Geometry& g, const Maps& y, int c, int m, int n) {
  Maps dy(2, g.n(), g.n());
  for (int i = 1; i <= g.p; ++i)
    for (int j = 1; j <= g.p; ++j) dy(c, m + i - 1, n + j - 1) = Position{i, j} == argmax(g, y, c, m, n) ? 1.0 : 0.0;
  return dy;
}
Maps every_maximum(const Geometry& g, const Maps& y, int c, int m, int n) {
  const auto [i_max, j_max] = argmax(g, y, c, m, n);
  Maps dy(2, g.n(), g.n());
  for (int i = 1; i <= g.p; ++i)
    for (int j = 1; j <= g.p; ++j)
      dy(c, m + i - 1, n + j - 1) = y(c, m + i - 1, n + j - 1) == y(c, m + i_max - 1, n + j_max - 1) ? 1.0 : 0.0;
  return dy;
}
}  // namespace row3

namespace row4 {
Maps same_index(const Geometry& g, const Maps& y, const Maps& dp) {
  Maps dy(2, g.n(), g.n());  // stays 0 where there is no window (m, n)
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n)
        for (int i = 1; i <= g.p; ++i)
          for (int j = 1; j <= g.p; ++j)
            if (Position{i, j} == argmax(g, y, c, m, n)) dy(c, m, n) += dp(c, m, n);
  return dy;
}
Maps overwriting(const Geometry& g, const Maps& y, const Maps& dp) {
  Maps dy(2, g.n(), g.n());
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n)
        for (int i = 1; i <= g.p; ++i)
          for (int j = 1; j <= g.p; ++j)
            if (Position{i, j} == argmax(g, y, c, m, n)) dy(c, m + i - 1, n + j - 1) = dp(c, m, n);
  return dy;
}
Maps corrected(const Geometry& g, const Maps& y, const Maps& dp) {
  Maps dy(2, g.n(), g.n());
  const auto exists = [&](int m, int n) { return m >= 1 && m <= g.q() && n >= 1 && n <= g.q(); };
  for (int c = 1; c <= 2; ++c)
    for (int a = 1; a <= g.n(); ++a)
      for (int b = 1; b <= g.n(); ++b)
        for (int i = 1; i <= g.p; ++i)
          for (int j = 1; j <= g.p; ++j)
            if (exists(a - i + 1, b - j + 1) && Position{i, j} == argmax(g, y, c, a - i + 1, b - j + 1))
              dy(c, a, b) += dp(c, a - i + 1, b - j + 1);
  return dy;
}
}  // namespace row4

namespace row5 {
namespace {
double index_with_side(double side, int c, int m, int n) { return (c - 1) * side * side + (m - 1) * side + n; }
}  // namespace

double side_printed(const Geometry& g) { return double(g.d - g.k + 1) / g.s - g.p + 1; }
double printed(const Geometry& g, int c, int m, int n) { return index_with_side(side_printed(g), c, m, n); }
double rounded_down(const Geometry& g, int c, int m, int n) {
  return index_with_side(std::floor(double(g.d - g.k + 1) / g.s) - g.p + 1, c, m, n);
}
double rounded_up(const Geometry& g, int c, int m, int n) {
  return index_with_side(std::ceil(double(g.d - g.k + 1) / g.s) - g.p + 1, c, m, n);
}
double corrected(const Geometry& g, int c, int m, int n) {
  return index_with_side((g.d - g.k) / g.s - g.p + 2, c, m, n);
}

bool names_a_component(const Geometry& g, double index) {
  // 4/3 is not exact in binary, so "whole" needs a margin.
  return std::abs(index - std::round(index)) < 1e-9 && std::round(index) >= 1 && std::round(index) <= g.features();
}

Maps dloss_dp(const Geometry& g, const Vector& df, const Index& index) {
  Maps dp(2, g.q(), g.q());
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n) {
        const double at = index(g, c, m, n);
        dp(c, m, n) = names_a_component(g, at) ? df(static_cast<int>(std::lround(at))) : 0.0;
      }
  return dp;
}
}  // namespace row5

namespace extra {
Matrix dloss_dx(const Geometry& g, const Maps& dy, const Maps& w) {
  Matrix dx(g.d, g.d);
  const auto in_kernel = [&](int r) { return r >= 1 && r <= g.k; };
  for (int u = 1; u <= g.d; ++u)
    for (int v = 1; v <= g.d; ++v)
      for (int c = 1; c <= 2; ++c)
        for (int m = 1; m <= g.n(); ++m)
          for (int n = 1; n <= g.n(); ++n)
            if (in_kernel(u - (m - 1) * g.s) && in_kernel(v - (n - 1) * g.s))
              dx(u, v) += dy(c, m, n) * w(c, u - (m - 1) * g.s, v - (n - 1) * g.s);
  return dx;
}
Vector dloss_db(const Geometry& g, const Maps& dy) {
  Vector db(2);
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.n(); ++m)
      for (int n = 1; n <= g.n(); ++n) db(c) += dy(c, m, n);
  return db;
}
}  // namespace extra

}  // namespace derivation
