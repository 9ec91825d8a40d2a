// Systems of linear equations, inverses and determinants, of well-conditioned matrices.
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/solve.hpp>

#include "matrices.hpp"

namespace xtape::test {
namespace {

std::vector<double> draw_diagonal(Draw& draw) { return std::vector<double>(4, draw.of<double>({1.5, -1.5})); }

Shape batch_of(const Shape& s) {
  Shape batch;
  for (std::size_t d = 0; d + 2 < s.size(); ++d) batch.push_back(s[d]);
  return batch;
}

// f(A, B, options) for right-hand sides that are vectors, or matrices that broadcast; of_one gives X of one A and B.
template <class F, class R>
std::optional<Step> draw_system(Draw& draw, const std::string& name, const std::string& options, F f, R of_one) {
  const std::size_t a = draw.matching(square_matrices, Shape{3, 3});
  const Shape left = draw.shape(a);
  const std::vector<double> diagonal = draw_diagonal(draw);
  const std::size_t n = left.back(), how = draw.choice(3);
  const Shape fresh = how == 0 ? Shape{n, draw.of<std::size_t>({2, 1, 3, 0})} : how == 1 ? Shape{n} : Shape{2, n, 2};
  const std::size_t b = draw.matching(
      [&](const Shape& s) {
        if (s.size() == 1) return s[0] == n;
        if (s.size() < 2 || s.size() > 4 || s[s.size() - 2] != n) return false;
        const Shape rows = batch_of(s), matrices = batch_of(left);
        for (std::size_t d = 1; d <= std::min(rows.size(), matrices.size()); ++d) {
          const std::size_t p = rows[rows.size() - d], q = matrices[matrices.size() - d];
          if (p != q && p != 1 && q != 1) return false;
        }
        return true;
      },
      how == 2 && left.size() > 2 && left[left.size() - 3] != 2 ? Shape{n, 2} : fresh);
  const Shape right = draw.shape(b);
  const bool vector = right.size() == 1;
  return step(
      {a, b}, fmt::format("{}({}, {}{})", name, beside_diagonal_text(Draw::name(a), diagonal), Draw::name(b), options),
      [=](const auto& t) { return f(beside_diagonal(t[0], diagonal), t[1]); },
      [=](const std::vector<Values>& t) {
        const std::size_t m = vector ? 1 : right.back();
        Shape shape = vector ? batch_of(left) : joined_shape<Jet>({{batch_of(left), {}}, {batch_of(right), {}}});
        const Shape batch = shape;
        Values result{batch, {}};
        result.shape.push_back(n);
        if (!vector) result.shape.push_back(m);
        tabulate<Jet>(batch, [&](const Index& i) {
          JetMatrix one(n, n), rhs(n, m);
          Index at_element = i;
          at_element.resize(i.size() + 2);
          std::size_t &row = at_element[i.size()], &column = at_element[i.size() + 1];
          for (row = 0; row < n; ++row)
            for (column = 0; column < n; ++column) one(row, column) = at(t[0], at_element);
          for (row = 0; row < n; ++row)
            for (column = 0; column < m; ++column) rhs(row, column) = vector ? t[1].values[row] : at(t[1], at_element);
          const JetMatrix x = of_one(beside_diagonal(one, diagonal), rhs);
          result.values.insert(result.values.end(), x.values.begin(), x.values.end());
          return Jet(0);
        });
        return result;
      });
}

std::optional<Step> draw_solve(Draw& draw) {
  return draw_system(
      draw, "solve", "", [](const auto& a, const auto& b) { return solve(a, b); },
      [](const JetMatrix& a, const JetMatrix& b) { return solution(a, b); });
}

std::optional<Step> draw_triangular_solve(Draw& draw) {
  const TriangularOptions options{.upper = draw.flag(), .transpose = draw.flag(), .unit_diagonal = draw.choice(3) == 2};
  return draw_system(
      draw, "triangular_solve",
      fmt::format(", {{.upper = {}, .transpose = {}, .unit_diagonal = {}}}", options.upper, options.transpose,
                  options.unit_diagonal),
      [=](const auto& a, const auto& b) { return triangular_solve(a, b, options); },
      [=](JetMatrix a, const JetMatrix& b) {
        for (std::size_t i = 0; i < a.rows; ++i)
          for (std::size_t j = 0; j < a.rows; ++j) {
            if (options.upper ? i > j : i < j) a(i, j) = 0;
            if (options.unit_diagonal && i == j) a(i, j) = 1;
          }
        return solution(options.transpose ? transposed(a) : a, b);
      });
}

// The lower triangle alone is read.
JetMatrix lower(JetMatrix a) {
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = i + 1; j < a.columns; ++j) a(i, j) = 0;
  return a;
}

std::optional<Step> draw_cholesky_solve(Draw& draw) {
  return draw_system(
      draw, "cholesky_solve", "", [](const auto& l, const auto& b) { return cholesky_solve(l, b); },
      [](const JetMatrix& l, const JetMatrix& b) {
        const JetMatrix triangle = lower(l);
        return solution(product(triangle, transposed(triangle)), b);
      });
}

// f(A) of each matrix; `scalar` if that is one number.
template <class F, class R> Entry of_matrices(const char* name, bool scalar, F f, R of_one) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.matching(square_matrices, Shape{3, 3});
            const std::vector<double> diagonal = draw_diagonal(draw);
            const std::size_t n = draw.shape(x).back();
            return step(
                {x}, fmt::format("{}({})", name, beside_diagonal_text(Draw::name(x), diagonal)),
                [=](const auto& t) { return f(beside_diagonal(t[0], diagonal)); },
                per_matrix(scalar ? Shape{} : Shape{n, n},
                           [=](const JetMatrix& a) { return of_one(beside_diagonal(a, diagonal)); }));
          }};
}

JetMatrix scalar(const Jet& x) {
  JetMatrix result(1, 1);
  result(0, 0) = x;
  return result;
}

}  // namespace

std::vector<Entry> system_entries() {
  return {
      {"solve", draw_solve},
      {"triangular_solve", draw_triangular_solve},
      {"cholesky_solve", draw_cholesky_solve},
      of_matrices(
          "inverse", false, [](const auto& a) { return inverse(a); },
          [](const JetMatrix& a) {
            JetMatrix identity(a.rows, a.rows);
            for (std::size_t i = 0; i < a.rows; ++i) identity(i, i) = 1;
            return solution(a, identity);
          }),
      of_matrices(
          "det", true, [](const auto& a) { return det(a); }, [](const JetMatrix& a) { return scalar(determinant(a)); }),
      of_matrices(
          "slogdet", true, [](const auto& a) { return slogdet(a).sign * slogdet(a).log_abs_det; },
          [](const JetMatrix& a) {
            const Jet d = determinant(a);
            return scalar(d.value > 0 ? log(d) : -log(-d));
          }),
      of_matrices(
          "cholesky_log_det", true, [](const auto& l) { return cholesky_log_det(l * l); },
          [](const JetMatrix& l) {
            Jet product = 1;
            for (std::size_t i = 0; i < l.rows; ++i) product = product * l(i, i) * l(i, i);
            return scalar(2 * log(product));
          }),
  };
}

}  // namespace xtape::test
