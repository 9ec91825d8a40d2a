#include "matrices.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

// Newton's method in power series: each step doubles the digits, and once they are there the orders of derivative.
// equations(x) gives f(x) and its Jacobian.
template <class F> JetMatrix newton(JetMatrix x, const F& equations) {
  for (int round = 0; round < 8; ++round) {
    const auto [f, jacobian] = equations(x);
    const JetMatrix change = solution(jacobian, f);
    for (std::size_t i = 0; i < x.rows; ++i) x(i, 0) = x(i, 0) - change(i, 0);
  }
  return x;
}

}  // namespace

JetMatrix beside_diagonal(JetMatrix x, const std::vector<double>& diagonal) {
  for (Jet& v : x.values) {
    // tanh, where e^(2v) does not overflow.
    const Jet e = exp(v.value > 0 ? -2 * v : 2 * v), size = (1 - e) / (1 + e);
    v = (v.value > 0 ? size : -size) / std::max(x.rows, x.columns);
  }
  for (std::size_t i = 0; i < std::min(x.rows, x.columns); ++i) x(i, i) += diagonal[i];
  return x;
}

std::string beside_diagonal_text(const std::string& x, const std::vector<double>& diagonal) {
  return fmt::format("tanh({0}) / max(rows, columns of {0}) + diag({{{1}, ...}})", x,
                     fmt::join(diagonal.begin(), diagonal.begin() + 2, ", "));
}

bool few_matrices(const Shape& s) {
  const auto small = [](std::size_t n) { return n > 0 && n < 5; };
  return s.size() > 1 && s.size() < 5 && small(s.back()) && small(s[s.size() - 2]);
}

JetMatrix matrix_of(const Values& x, std::size_t k) {
  JetMatrix m(x.shape[x.shape.size() - 2], x.shape.back());
  for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = x.values[k * m.values.size() + i];
  return m;
}

JetReference per_matrix(const Shape& result, const std::function<JetMatrix(const JetMatrix&)>& f) {
  return [=](const std::vector<Values>& t) {
    const Shape& from = t[0].shape;
    Values y{{}, {}};
    for (std::size_t d = 0; d + 2 < from.size(); ++d) y.shape.push_back(from[d]);
    const std::size_t count = y.shape.elements();
    for (const std::size_t extent : result) y.shape.push_back(extent);
    for (std::size_t k = 0; k < count; ++k) {
      const JetMatrix one = f(matrix_of(t[0], k));
      y.values.insert(y.values.end(), one.values.begin(), one.values.end());
    }
    return y;
  };
}

JetMatrix product(const JetMatrix& a, const JetMatrix& b) {
  JetMatrix c(a.rows, b.columns);
  for (std::size_t i = 0; i < c.rows; ++i)
    for (std::size_t j = 0; j < c.columns; ++j)
      for (std::size_t k = 0; k < a.columns; ++k) c(i, j) += a(i, k) * b(k, j);
  return c;
}

JetMatrix transposed(const JetMatrix& a) {
  JetMatrix t(a.columns, a.rows);
  for (std::size_t i = 0; i < t.rows; ++i)
    for (std::size_t j = 0; j < t.columns; ++j) t(i, j) = a(j, i);
  return t;
}

namespace {
// Brings the largest element of column k, from row k on, to row k; true if rows changed places.
bool pivot(JetMatrix& a, JetMatrix& b, std::size_t k) {
  std::size_t best = k;
  for (std::size_t i = k + 1; i < a.rows; ++i)
    if (std::abs(a(i, k).value) > std::abs(a(best, k).value)) best = i;
  for (JetMatrix* m : {&a, &b})
    for (std::size_t j = 0; j < m->columns && best != k; ++j) std::swap((*m)(k, j), (*m)(best, j));
  return best != k;
}
void eliminate(JetMatrix& a, JetMatrix& b, std::size_t row, std::size_t k) {
  const Jet factor = a(row, k) / a(k, k);
  for (std::size_t j = k; j < a.columns; ++j) a(row, j) = a(row, j) - factor * a(k, j);
  for (std::size_t j = 0; j < b.columns; ++j) b(row, j) = b(row, j) - factor * b(k, j);
}
}  // namespace

JetMatrix solution(JetMatrix a, JetMatrix b) {
  for (std::size_t k = 0; k < a.rows; ++k) {
    pivot(a, b, k);
    for (std::size_t i = 0; i < a.rows; ++i)
      if (i != k) eliminate(a, b, i, k);
  }
  for (std::size_t i = 0; i < b.rows; ++i)
    for (std::size_t j = 0; j < b.columns; ++j) b(i, j) = b(i, j) / a(i, i);
  return b;
}

Jet determinant(JetMatrix a) {
  JetMatrix none(a.rows, 0);
  Jet result = 1;
  for (std::size_t k = 0; k < a.rows; ++k) {
    if (pivot(a, none, k)) result = -result;
    for (std::size_t i = k + 1; i < a.rows; ++i) eliminate(a, none, i, k);
    result = result * a(k, k);
  }
  return result;
}

JetMatrix cholesky_of(const JetMatrix& a) {
  JetMatrix l(a.rows, a.rows);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      Jet s = a(i, j);
      for (std::size_t k = 0; k < j; ++k) s = s - l(i, k) * l(j, k);
      l(i, j) = i == j ? sqrt(s) : s / l(j, j);
    }
  return l;
}

std::pair<JetMatrix, JetMatrix> qr_of(const JetMatrix& a) {
  JetMatrix q = a, r(a.columns, a.columns);
  for (std::size_t j = 0; j < a.columns; ++j) {
    for (std::size_t k = 0; k < j; ++k) {
      for (std::size_t i = 0; i < a.rows; ++i) r(k, j) += q(i, k) * q(i, j);
      for (std::size_t i = 0; i < a.rows; ++i) q(i, j) = q(i, j) - r(k, j) * q(i, k);
    }
    Jet squares = 0;
    for (std::size_t i = 0; i < a.rows; ++i) squares += q(i, j) * q(i, j);
    r(j, j) = sqrt(squares);
    for (std::size_t i = 0; i < a.rows; ++i) q(i, j) = q(i, j) / r(j, j);
  }
  return {q, r};
}

// A v - w v = 0 and v v = 1.
JetEigen eigen_of(const JetMatrix& a) {
  const std::size_t n = a.rows;
  JetEigen result{JetMatrix(n, n), JetMatrix(1, n)};
  for (std::size_t e = 0; e < n; ++e) {
    JetMatrix start(n + 1, 1);
    start(e, 0) = 1;
    start(n, 0) = a(e, e).value;
    const JetMatrix x = newton(start, [&](const JetMatrix& at) {
      JetMatrix f(n + 1, 1), jacobian(n + 1, n + 1);
      f(n, 0) = -1;
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) f(i, 0) += a(i, j) * at(j, 0), jacobian(i, j) = a(i, j);
        f(i, 0) = f(i, 0) - at(n, 0) * at(i, 0);
        f(n, 0) += at(i, 0) * at(i, 0);
        jacobian(i, i) = jacobian(i, i) - at(n, 0);
        jacobian(i, n) = -at(i, 0);
        jacobian(n, i) = 2 * at(i, 0);
      }
      return std::pair(f, jacobian);
    });
    for (std::size_t i = 0; i < n; ++i) result.vectors(i, e) = x(i, 0);
    result.values(0, e) = x(n, 0);
  }
  return result;
}

// A v - s u = 0, At u - s v = 0 and u u = 1.
JetSingular singular_of(const JetMatrix& a) {
  const std::size_t n = a.rows, m = a.columns, k = std::min(n, m);
  JetSingular result{JetMatrix(n, k), JetMatrix(m, k), JetMatrix(1, k)};
  for (std::size_t e = 0; e < k; ++e) {
    JetMatrix start(n + m + 1, 1);
    start(e, 0) = 1;
    start(n + e, 0) = 1;
    start(n + m, 0) = a(e, e).value;
    const JetMatrix x = newton(start, [&](const JetMatrix& at) {
      JetMatrix f(n + m + 1, 1), jacobian(n + m + 1, n + m + 1);
      const std::size_t s = n + m;
      for (std::size_t i = 0; i < s; ++i) {
        f(i, 0) = -at(s, 0) * at(i, 0);
        jacobian(i, i) = -at(s, 0);
        jacobian(i, s) = -at(i, 0);
      }
      f(s, 0) = -1;
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < m; ++j) {
          f(i, 0) += a(i, j) * at(n + j, 0);
          f(n + j, 0) += a(i, j) * at(i, 0);
          jacobian(i, n + j) = jacobian(n + j, i) = a(i, j);
        }
        f(s, 0) += at(i, 0) * at(i, 0);
        jacobian(s, i) = 2 * at(i, 0);
      }
      return std::pair(f, jacobian);
    });
    for (std::size_t i = 0; i < n; ++i) result.u(i, e) = x(i, 0);
    for (std::size_t j = 0; j < m; ++j) result.v(j, e) = x(n + j, 0);
    result.values(0, e) = x(n + m, 0);
  }
  return result;
}

}  // namespace xtape::test
