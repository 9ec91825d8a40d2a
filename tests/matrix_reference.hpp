#pragma once
// Linear algebra for references: textbook loops in long double.

#include "op_table_reference.hpp"

#include <algorithm>
#include <numeric>

namespace xtape::test {

struct Matrix {
  std::size_t n = 0, m = 0;
  std::vector<Real> v{};
  Matrix(std::size_t rows, std::size_t columns) : n(rows), m(columns), v(rows * columns) {}
  Real& operator()(std::size_t i, std::size_t j) { return v[i * m + j]; }
  Real operator()(std::size_t i, std::size_t j) const { return v[i * m + j]; }
};
inline Array array_of(const Matrix& a) { return {{a.n, a.m}, a.v}; }
inline Array array_of(const std::vector<Real>& v) { return {{v.size()}, v}; }

inline Matrix transposed(const Matrix& a) {
  Matrix t(a.m, a.n);
  for (std::size_t i = 0; i < a.n; ++i)
    for (std::size_t j = 0; j < a.m; ++j) t(j, i) = a(i, j);
  return t;
}
inline Matrix symmetric_part(const Matrix& a) {
  Matrix s = a;
  for (std::size_t i = 0; i < a.n; ++i)
    for (std::size_t j = 0; j < a.n; ++j) s(i, j) = (a(i, j) + a(j, i)) / 2;
  return s;
}
inline Matrix identity(std::size_t n) {
  Matrix e(n, n);
  for (std::size_t i = 0; i < n; ++i) e(i, i) = 1;
  return e;
}

// Gaussian elimination with row exchanges, on A and B side by side. Gives det A, and leaves B as A⁻¹ B.
inline Real eliminate(Matrix a, Matrix& b) {
  Real determinant = 1;
  for (std::size_t k = 0; k < a.n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < a.n; ++i)
      if (std::abs(a(i, k)) > std::abs(a(pivot, k))) pivot = i;
    if (pivot != k) determinant = -determinant;
    for (std::size_t j = 0; j < a.m; ++j) std::swap(a(k, j), a(pivot, j));
    for (std::size_t j = 0; j < b.m; ++j) std::swap(b(k, j), b(pivot, j));
    determinant *= a(k, k);
    for (std::size_t i = 0; i < a.n; ++i) {
      if (i == k) continue;
      const Real factor = a(i, k) / a(k, k);
      for (std::size_t j = 0; j < a.m; ++j) a(i, j) -= factor * a(k, j);
      for (std::size_t j = 0; j < b.m; ++j) b(i, j) -= factor * b(k, j);
    }
  }
  for (std::size_t i = 0; i < a.n; ++i)
    for (std::size_t j = 0; j < b.m; ++j) b(i, j) /= a(i, i);
  return determinant;
}
inline Matrix solution(const Matrix& a, Matrix b) {
  eliminate(a, b);
  return b;
}
inline Real determinant(const Matrix& a) {
  Matrix none(a.n, 0);
  return eliminate(a, none);
}

inline Matrix cholesky_factor(const Matrix& a) {
  Matrix l(a.n, a.n);
  for (std::size_t i = 0; i < a.n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      Real s = a(i, j);
      for (std::size_t k = 0; k < j; ++k) s -= l(i, k) * l(j, k);
      l(i, j) = i == j ? std::sqrt(s) : s / l(j, j);
    }
  return l;
}

// Gram-Schmidt, each vector made orthogonal twice.
struct QrFactors {
  Matrix q, r;
};
inline QrFactors gram_schmidt(const Matrix& a) {
  QrFactors f{a, Matrix(a.m, a.m)};
  for (std::size_t j = 0; j < a.m; ++j) {
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t k = 0; k < j; ++k) {
        Real projection = 0;
        for (std::size_t i = 0; i < a.n; ++i) projection += f.q(i, k) * f.q(i, j);
        for (std::size_t i = 0; i < a.n; ++i) f.q(i, j) -= projection * f.q(i, k);
        f.r(k, j) += projection;
      }
    Real squares = 0;
    for (std::size_t i = 0; i < a.n; ++i) squares += f.q(i, j) * f.q(i, j);
    f.r(j, j) = std::sqrt(squares);
    for (std::size_t i = 0; i < a.n; ++i) f.q(i, j) /= f.r(j, j);
  }
  return f;
}

// The columns of the matrices in another order, and with the first of the largest components of `of` positive.
inline void arrange(const std::vector<std::size_t>& order, const Matrix& of, std::initializer_list<Matrix*> matrices) {
  std::vector<Real> sign;
  for (std::size_t j = 0; j < of.m; ++j) {
    Real largest = 0;
    for (std::size_t i = 0; i < of.n; ++i)
      if (std::abs(of(i, j)) > std::abs(largest)) largest = of(i, j);
    sign.push_back(largest < 0 ? -1 : 1);
  }
  for (Matrix* matrix : matrices) {
    const Matrix before = *matrix;
    for (std::size_t i = 0; i < before.n; ++i)
      for (std::size_t j = 0; j < before.m; ++j) (*matrix)(i, j) = before(i, order[j]) * sign[order[j]];
  }
}
inline std::vector<std::size_t> order_by(const std::vector<Real>& values, bool ascending) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(
      order, [&](std::size_t i, std::size_t j) { return ascending ? values[i] < values[j] : values[i] > values[j]; });
  return order;
}
inline std::vector<Real> in_order(const std::vector<Real>& values, const std::vector<std::size_t>& order) {
  std::vector<Real> sorted;
  for (const std::size_t i : order) sorted.push_back(values[i]);
  return sorted;
}

// Turns columns p and q by the angle with the given tangent.
inline void turn(Matrix& a, std::size_t p, std::size_t q, Real tangent) {
  const Real c = 1 / std::sqrt(1 + tangent * tangent), s = c * tangent;
  for (std::size_t i = 0; i < a.n; ++i) {
    const Real u = a(i, p), w = a(i, q);
    a(i, p) = c * u - s * w;
    a(i, q) = s * u + c * w;
  }
}
// The smaller of the two angles that make the off-diagonal element of [[a, b], [b, d]] vanish.
inline Real jacobi_tangent(Real a, Real b, Real d) {
  if (b == 0) return 0;
  const Real theta = (d - a) / (2 * b);
  return (theta < 0 ? -1 : 1) / (std::abs(theta) + std::sqrt(1 + theta * theta));
}
inline constexpr int sweeps = 14;  // the convergence is quadratic: some 6 are enough

struct Eigen {
  std::vector<Real> values;
  Matrix vectors;
};
inline Eigen jacobi(Matrix a) {
  Matrix v = identity(a.n);
  for (int sweep = 0; sweep < sweeps; ++sweep)
    for (std::size_t p = 0; p < a.n; ++p)
      for (std::size_t q = p + 1; q < a.n; ++q) {
        const Real tangent = jacobi_tangent(a(p, p), a(p, q), a(q, q));
        turn(a, p, q, tangent);
        a = transposed(a);
        turn(a, p, q, tangent);
        turn(v, p, q, tangent);
      }
  std::vector<Real> values;
  for (std::size_t i = 0; i < a.n; ++i) values.push_back(a(i, i));
  const auto order = order_by(values, true);
  arrange(order, v, {&v});
  return {in_order(values, order), v};
}

struct Singular {
  Matrix u;
  std::vector<Real> s;
  Matrix v;
};
// Hestenes' one-sided rotations: they make the columns of A orthogonal.
inline Singular hestenes(const Matrix& a) {
  const bool wide = a.n < a.m;
  Matrix u = wide ? transposed(a) : a, v = identity(u.m);
  for (int sweep = 0; sweep < sweeps; ++sweep)
    for (std::size_t p = 0; p < u.m; ++p)
      for (std::size_t q = p + 1; q < u.m; ++q) {
        Real pp = 0, pq = 0, qq = 0;
        for (std::size_t i = 0; i < u.n; ++i) {
          pp += u(i, p) * u(i, p);
          pq += u(i, p) * u(i, q);
          qq += u(i, q) * u(i, q);
        }
        const Real tangent = jacobi_tangent(pp, pq, qq);
        turn(u, p, q, tangent);
        turn(v, p, q, tangent);
      }
  std::vector<Real> s;
  for (std::size_t j = 0; j < u.m; ++j) {
    Real squares = 0;
    for (std::size_t i = 0; i < u.n; ++i) squares += u(i, j) * u(i, j);
    s.push_back(std::sqrt(squares));
    for (std::size_t i = 0; i < u.n; ++i) u(i, j) /= s.back();
  }
  if (wide) std::swap(u, v);
  const auto order = order_by(s, false);
  const Matrix signs = u;
  arrange(order, signs, {&u, &v});
  return {u, in_order(s, order), v};
}

}  // namespace xtape::test
