// Rows of linear systems, determinants and factorisations. The references are textbook loops in long double.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/solve.hpp>

#include "matrix_reference.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

// ---- batches, and what the rows are made of ------------------------------------------------------------------

// f(matrices) for each matrix of the batch, the operands' batch axes broadcast.
template <class F> Array batched(const Arrays& x, const F& f) {
  Arrays batches;
  for (const Array& a : x) {
    Array batch;
    for (std::size_t i = 0; i + 2 < a.shape.size(); ++i) batch.shape.push_back(a.shape[i]);
    batches.push_back(batch);
  }
  const Shape batch = joined_shape(batches);
  Array result{batch, {}};
  std::vector<Matrix> matrices;
  for (const Array& a : x) matrices.emplace_back(a.shape[a.shape.size() - 2], a.shape.back());
  for (const std::size_t extent : f(matrices).shape) result.shape.push_back(extent);  // an empty batch has one, too
  static_cast<void>(tabulate(batch, [&](const Index& index) -> Real {
    for (std::size_t k = 0; k < x.size(); ++k) {
      const std::size_t own = x[k].shape.size() - 2;
      Index place(index.end() - static_cast<std::ptrdiff_t>(own), index.end());
      place.resize(own + 2);
      for (std::size_t i = 0; i < matrices[k].n; ++i)
        for (std::size_t j = 0; j < matrices[k].m; ++j) {
          place[own] = i;
          place[own + 1] = j;
          matrices[k](i, j) = at(x[k], place);
        }
    }
    const Array one = f(matrices);
    result.values.insert(result.values.end(), one.values.begin(), one.values.end());
    return 0;
  }));
  return result;
}

// x + a constant with c, c + step, ... on the diagonal: matrices far from singular, with values far apart.
struct Diagonal {
  double c = 0, step = 0;
  template <class T> Tensor<T> operator()(const Tensor<T>& x) const {
    if (x.dimension() < 2) return x;
    const std::size_t n = x.shape(-2), m = x.shape(-1);
    Tensor<T> d = zeros<T>({n, m});
    for (std::size_t i = 0; i < std::min(n, m); ++i) d.modify()[i * m + i] = static_cast<T>(at(i));
    return x + d;
  }
  Matrix operator()(Matrix x) const {
    for (std::size_t i = 0; i < std::min(x.n, x.m); ++i) x(i, i) += static_cast<Real>(at(i));
    return x;
  }
  double at(std::size_t i) const { return c + step * static_cast<double>(i); }
};

// x + H D H' with D = diag(c, c + step, ...) and reflections H, H': matrices with values far apart, whose vectors have
// no small components. The constants are numbers that float has, too.
struct Spread {
  double c = 0, step = 0;
  template <class T> Tensor<T> operator()(const Tensor<T>& x) const {
    if (x.dimension() < 2) return x;
    const std::size_t n = x.shape(-2), m = x.shape(-1);
    Tensor<T> a = zeros<T>({n, m});
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < m; ++j) a.modify()[i * m + j] = static_cast<T>(at(n, m, i, j));
    return x + a;
  }
  Matrix operator()(Matrix x) const {
    for (std::size_t i = 0; i < x.n; ++i)
      for (std::size_t j = 0; j < x.m; ++j) x(i, j) += static_cast<Real>(at(x.n, x.m, i, j));
    return x;
  }
  // 1 - 2 v vᵀ / vᵀv with v = (1, 2, ..., n)
  static double reflection(std::size_t n, std::size_t i, std::size_t j) {
    const auto size = static_cast<double>(n * (n + 1) * (2 * n + 1)) / 6;
    return (i == j ? 1.0 : 0.0) - 2 * static_cast<double>((i + 1) * (j + 1)) / size;
  }
  float at(std::size_t n, std::size_t m, std::size_t i, std::size_t j) const {
    double sum = 0;
    for (std::size_t k = 0; k < std::min(n, m); ++k)
      sum += reflection(n, i, k) * (c + step * static_cast<double>(k)) * reflection(m, k, j);
    return static_cast<float>(sum);
  }
};

// f(x[0]) of each matrix.
template <class F> Reference of_matrix(F f) {
  return [f](const Arrays& x) { return batched(x, [&](const std::vector<Matrix>& m) { return f(m[0]); }); };
}
// f(x[0], x[1]), a vector on the right taken for a column.
template <class F> Reference of_system(F f) {
  return [f](const Arrays& x) {
    const bool vector = x[1].shape.size() == 1;
    Arrays both = x;
    if (vector) both[1].shape.push_back(1);
    Array y = batched(both, [&](const std::vector<Matrix>& m) { return array_of(f(m[0], m[1])); });
    if (vector) {
      Shape shape;
      for (std::size_t i = 0; i + 1 < y.shape.size(); ++i) shape.push_back(y.shape[i]);
      y.shape = shape;
    }
    return y;
  };
}

const std::vector<std::vector<Shape>> systems{
    {{3, 3}, {3, 2}},    {{2, 2}, {2}},       {{1, 1}, {1, 1}},          {{4, 4}, {4, 4}},
    {{2, 3, 3}, {3, 2}}, {{2, 2}, {3, 2, 1}}, {{2, 1, 2, 2}, {3, 2, 2}}, {{2, 2, 2}, {2}},
    {{0, 0}, {0, 2}},    {{2, 2}, {2, 0}},    {{0, 2, 2}, {2, 2}},       {{1, 1}, {1}},
    {{2, 3, 3}, {3}},    {{3, 3, 3}, {3}},    {{2, 1, 2, 2}, {2}},       {{0, 2, 2}, {2}}};
const std::vector<std::vector<Shape>> squares{{{3, 3}},    {{1, 1}},       {{2, 2}},   {{4, 4}},
                                              {{2, 2, 2}}, {{2, 1, 3, 3}}, {{0, 2, 2}}};

// Shapes that a function of square matrices refuses.
template <class F> std::vector<Refused> refused_by(const F& f) {
  std::vector<Refused> all;
  for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 3}, Shape{2, 3, 2}})
    all.push_back({[f](const auto& x) { return f(x[0]); }, {shape}});
  return all;
}
template <class F> std::vector<Refused> systems_refused_by(const F& f) {
  std::vector<Refused> all;
  const std::vector<std::vector<Shape>> shapes{{{3, 3}, {2, 3}},       {{2, 2}, {3}},    {{2, 2}, {}},
                                               {{2, 2, 2}, {3, 2, 1}}, {{3, 2}, {3, 2}}, {{2}, {2}}};
  for (const auto& pair : shapes) {
    const bool square = pair[0].size() > 1 && pair[0].back() == pair[0][pair[0].size() - 2];
    all.push_back({[f](const auto& x) { return f(x[0], x[1]); }, pair, square ? pair : std::vector{pair[0]}});
  }
  return all;
}

Row triangular_solve_row() {
  Row row{.name = "triangular_solve",
          .domains = {{-0.9, 0.9}},
          .records = {"triangular_solve", "reshape", "add"},
          .refused = systems_refused_by([](const auto& a, const auto& b) { return triangular_solve(a, b); })};
  for (const bool upper : {false, true})
    for (const bool transpose : {false, true})
      for (const bool unit : {false, true}) {
        const TriangularOptions options{.upper = upper, .transpose = transpose, .unit_diagonal = unit};
        const Diagonal shift{2, 0.25};
        row.cases.push_back({[=](const auto& x) { return triangular_solve(shift(x[0]), x[1], options); },
                             of_system([=](const Matrix& x, const Matrix& b) {
                               Matrix a = shift(x);
                               for (std::size_t i = 0; i < a.n; ++i)
                                 for (std::size_t j = 0; j < a.n; ++j)
                                   if (i == j ? unit : upper ? i > j : i < j) a(i, j) = i == j;
                               return solution(transpose ? transposed(a) : a, b);
                             }),
                             upper == transpose && !unit ? systems
                                                         : std::vector<std::vector<Shape>>{
                                                               {{3, 3}, {3, 2}}, {{3, 3}, {3}}, {{2, 2, 2}, {2, 2}}}});
      }
  return row;
}

Row eigh_row() {
  Row row{.name = "eigh",
          .domains = {{-0.2, 0.2}},
          .records = {"eigh", "unpack", "add"},
          .refused = refused_by([](const auto& a) { return eigh(a).vectors; })};
  const std::vector<std::vector<Shape>> small{{{3, 3}}, {{1, 1}}, {{2, 2}}, {{2, 2, 2}}, {{2, 1, 3, 3}}, {{0, 2, 2}}};
  const Spread shift{-2, 1.5};
  row.cases = {{[=](const auto& x) { return eigh(shift(x[0])).values; },
                of_matrix([=](const Matrix& x) { return array_of(jacobi(symmetric_part(shift(x))).values); }), small},
               {[=](const auto& x) { return eigh(shift(x[0])).vectors; },
                of_matrix([=](const Matrix& x) { return array_of(jacobi(symmetric_part(shift(x))).vectors); }), small},
               // Values and vectors together.
               {[=](const auto& x) {
                  const auto [values, vectors] = eigh(shift(x[0]));
                  return values * vectors;
                },
                of_matrix([=](const Matrix& x) {
                  Eigen e = jacobi(symmetric_part(shift(x)));
                  for (std::size_t i = 0; i < x.n; ++i)
                    for (std::size_t j = 0; j < x.n; ++j) e.vectors(i, j) *= e.values[j];
                  return array_of(e.vectors);
                }),
                {{{3, 3}}, {{2, 2}}}}};
  row.records.push_back("multiply");
  return row;
}

Row svd_row() {
  const std::vector<std::vector<Shape>> shapes{{{3, 3}}, {{3, 2}},    {{2, 3}},    {{1, 1}},       {{1, 3}},
                                               {{3, 1}}, {{2, 3, 2}}, {{2, 2, 3}}, {{2, 1, 2, 2}}, {{0, 2, 3}}};
  const Spread shift{4, -1.5};
  Row row{.name = "svd",
          .domains = {{-0.25, 0.25}},
          .records = {"svd", "unpack", "add", "multiply"},
          .refused = {{[](const auto& x) { return svd(x[0]).s; }, {{3}}},
                      {[](const auto& x) { return svd(x[0]).u; }, {Shape{}}}},
          .no_float = "the vectors' errors of rounding grow as singular values come close; see test_decompositions"};
  row.cases = {{[=](const auto& x) { return svd(shift(x[0])).s; },
                of_matrix([=](const Matrix& x) { return array_of(hestenes(shift(x)).s); }), shapes},
               {[=](const auto& x) { return svd(shift(x[0])).u; },
                of_matrix([=](const Matrix& x) { return array_of(hestenes(shift(x)).u); }), shapes},
               {[=](const auto& x) { return svd(shift(x[0])).vt; },
                of_matrix([=](const Matrix& x) { return array_of(transposed(hestenes(shift(x)).v)); }), shapes},
               {[=](const auto& x) {
                  const auto [u, s, vt] = svd(shift(x[0]));
                  return s * u * vt;
                },
                of_matrix([=](const Matrix& x) {
                  const Singular f = hestenes(shift(x));
                  Matrix y = f.u;
                  for (std::size_t i = 0; i < y.n; ++i)
                    for (std::size_t j = 0; j < y.m; ++j) y(i, j) *= f.s[j] * f.v(j, i);
                  return array_of(y);
                }),
                {{{3, 3}}, {{2, 2}}}}};
  return row;
}

Row matrix_norm_row() {
  Row row{.name = "matrix_norm",
          .domains = {{-2, 2}},
          .records = {"norm", "svd", "unpack", "slice", "reshape", "sum", "add"},
          .refused = {{[](const auto& x) { return matrix_norm(x[0]); }, {{3}}},
                      {[](const auto& x) { return matrix_norm(x[0], {.order = MatrixNorm::spectral}); }, {{0, 3}}},
                      {[](const auto& x) { return matrix_norm(x[0], {.order = MatrixNorm::nuclear}); }, {Shape{}}}}};
  const std::vector<std::vector<Shape>> shapes{{{3, 3}}, {{3, 2}}, {{2, 3}}, {{1, 1}}, {{2, 2, 3}}, {{2, 1, 2, 2}}};
  const Diagonal shift{1.5, -1};
  for (const MatrixNorm order : {MatrixNorm::frobenius, MatrixNorm::nuclear, MatrixNorm::spectral})
    row.cases.push_back({[=](const auto& x) { return matrix_norm(shift(x[0]), {.order = order}); },
                         of_matrix([=](const Matrix& x) {
                           const auto s = hestenes(shift(x)).s;
                           Real y = 0;
                           for (const Real value : s) y += order == MatrixNorm::frobenius ? value * value : value;
                           if (order == MatrixNorm::frobenius) y = std::sqrt(y);
                           return Array{{}, {order == MatrixNorm::spectral ? s[0] : y}};
                         }),
                         shapes});
  row.cases[0].shapes.push_back({{2, 0, 3}});
  row.cases[0].reference = [f = row.cases[0].reference](const Arrays& x) {
    return x[0].values.empty() ? Array{{2}, {0, 0}} : f(x);
  };
  return row;
}

}  // namespace

std::vector<Row> decomposition_rows() {
  const Diagonal wide{4, 0.25}, definite{4, 0.5};
  const auto scalar = [](Real y) { return Array{{}, {y}}; };
  return {
      triangular_solve_row(),
      {.name = "solve",
       .domains = {{-0.9, 0.9}},
       .cases = {{[=](const auto& x) { return solve(wide(x[0]), x[1]); },
                  of_system([=](const Matrix& a, const Matrix& b) { return solution(wide(a), b); }), systems}},
       .records = {"solve", "reshape", "add"},
       .refused = systems_refused_by([](const auto& a, const auto& b) { return solve(a, b); })},
      {.name = "inverse",
       .domains = {{-0.9, 0.9}},
       .cases = {{[=](const auto& x) { return inverse(wide(x[0])); },
                  of_matrix([=](const Matrix& a) { return array_of(solution(wide(a), identity(a.n))); }), squares}},
       .records = {"solve", "add"},
       .refused = refused_by([](const auto& a) { return inverse(a); })},
      {.name = "det",
       .domains = {{-0.9, 0.9}},
       .cases = {{[](const auto& x) {
                    return det(Diagonal{1.5, 0.25}(x[0]));
                  },
                  of_matrix([=](const Matrix& a) {
                    return scalar(determinant(Diagonal{1.5, 0.25}(a)));
                  }),
                  {{{3, 3}}, {{1, 1}}, {{2, 2}}, {{4, 4}}, {{2, 2, 2}}, {{2, 1, 3, 3}}, {{0, 2, 2}}, {{0, 0}}}}},
       .records = {"det", "add"},
       .refused = refused_by([](const auto& a) { return det(a); })},
      {.name = "slogdet",
       .domains = {{-0.9, 0.9}},
       .cases = {{[](const auto& x) {
                    return slogdet(Diagonal{-3, 6}(x[0])).log_abs_det;
                  },
                  of_matrix([=](const Matrix& a) {
                    return scalar(std::log(std::abs(determinant(Diagonal{-3, 6}(a)))));
                  }),
                  {{{3, 3}}, {{1, 1}}, {{2, 2}}, {{4, 4}}, {{2, 2, 2}}, {{2, 1, 3, 3}}, {{0, 2, 2}}, {{0, 0}}}}},
       .records = {"slogdet", "add"},
       .refused = refused_by([](const auto& a) { return slogdet(a).log_abs_det; })},
      {.name = "cholesky",
       .domains = {{-0.9, 0.9}},
       .cases = {{[=](const auto& x) { return cholesky(definite(x[0])); },
                  of_matrix([=](const Matrix& a) { return array_of(cholesky_factor(symmetric_part(definite(a)))); }),
                  squares}},
       .records = {"cholesky", "add"},
       .refused = refused_by([](const auto& a) { return cholesky(a); })},
      {.name = "cholesky_solve",
       .domains = {{-0.9, 0.9}},
       .cases = {{[=](const auto& x) { return cholesky_solve(definite(x[0]), x[1]); },
                  of_system([=](const Matrix& x, const Matrix& b) {
                    Matrix l = definite(x);
                    for (std::size_t i = 0; i < l.n; ++i)
                      for (std::size_t j = i + 1; j < l.n; ++j) l(i, j) = 0;
                    return solution(transposed(l), solution(l, b));
                  }),
                  systems}},
       .records = {"triangular_solve", "reshape", "add"},
       .refused = systems_refused_by([](const auto& l, const auto& b) { return cholesky_solve(l, b); })},
      {.name = "cholesky_log_det",
       .domains = {{0.2, 2}},
       .cases = {{[](const auto& x) { return cholesky_log_det(x[0]); },
                  of_matrix([=](const Matrix& l) {
                    Real y = 0;
                    for (std::size_t i = 0; i < l.n; ++i) y += 2 * std::log(l(i, i));
                    return scalar(y);
                  }),
                  {{{3, 3}}, {{1, 1}}, {{2, 3, 3}}, {{0, 0}}, {{0, 2, 2}}}}},
       .records = {"cholesky_log_det"},
       .refused = refused_by([](const auto& a) { return cholesky_log_det(a); })},
      {.name = "qr",
       .domains = {{-0.9, 0.9}},
       .cases = {{[=](const auto& x) { return qr(wide(x[0])).q; },
                  of_matrix([=](const Matrix& a) { return array_of(gram_schmidt(wide(a)).q); }),
                  {{{3, 3}}, {{3, 2}}, {{4, 1}}, {{1, 1}}, {{2, 3, 2}}, {{2, 1, 2, 2}}, {{0, 3, 2}}}},
                 {[=](const auto& x) { return qr(wide(x[0])).r; },
                  of_matrix([=](const Matrix& a) { return array_of(gram_schmidt(wide(a)).r); }),
                  {{{3, 3}}, {{3, 2}}, {{4, 1}}, {{1, 1}}, {{2, 3, 2}}, {{2, 1, 2, 2}}, {{0, 3, 2}}}},
                 {[=](const auto& x) {
                    const auto [q, r] = qr(wide(x[0]));
                    return q * r;
                  },
                  of_matrix([=](const Matrix& a) {
                    QrFactors f = gram_schmidt(wide(a));
                    for (std::size_t i = 0; i < f.q.v.size(); ++i) f.q.v[i] *= f.r.v[i];
                    return array_of(f.q);
                  }),
                  {{{3, 3}}, {{2, 2}}}}},
       .records = {"qr", "unpack", "add", "multiply"},
       .refused = {{[](const auto& x) { return qr(x[0]).q; }, {{3}}},
                   {[](const auto& x) { return qr(x[0]).r; }, {{2, 3}}}}},
      eigh_row(),
      {.name = "eigvalsh",
       .domains = {{-2, 2}},
       .cases = {{[](const auto& x) { return eigvalsh(x[0]); },
                  of_matrix([](const Matrix& x) { return array_of(jacobi(symmetric_part(x)).values); }),
                  {{{3, 3}}, {{2, 2}}, {{1, 1}}, {{2, 2, 2}}}}},
       .refused = refused_by([](const auto& a) { return eigvalsh(a); })},
      svd_row(),
      matrix_norm_row(),
  };
}

}  // namespace xtape::test
