// Factorisations. Their matrices have distinct eigenvalues and singular values, and factors whose largest components
// are known, so that factors have one sign.
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/shape.hpp>

#include "matrices.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

const std::vector<double> equal{1.5, 1.5, 1.5, 1.5}, ascending{-2, 1, 4, 7}, descending{11, 8, 5, 2};

JetMatrix symmetric_part(const JetMatrix& a) {
  JetMatrix s = a;
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < a.rows; ++j) s(i, j) = 0.5 * (a(i, j) + a(j, i));
  return s;
}
template <class T> Tensor<T> symmetric_part(const Tensor<T>& a) { return (a + swapaxes(a, -1, -2)) * 0.5; }

// LAPACK's gesdd gives vectors that are some 100 roundings off, and so are the derivatives made of them.
constexpr long double svd_roundings = 100;

// f(A) of matrices that `accepts` takes; shape(n, m) of the result.
template <class A, class S, class F, class R>
Entry of_matrices(const char* name, const std::vector<double>& diagonal, A accepts, S shape, F f, R of_one,
                  long double roundings = 1) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.matching(accepts, Shape{3, 3});
            const Shape& from = draw.shape(x);
            Step drawn = step(
                {x}, fmt::format("{} of {}", name, beside_diagonal_text(Draw::name(x), diagonal)),
                [=](const auto& t) { return f(beside_diagonal(t[0], diagonal)); },
                per_matrix(shape(from[from.size() - 2], from.back()),
                           [=](const JetMatrix& a) { return of_one(beside_diagonal(a, diagonal)); }));
            drawn.roundings = roundings;
            return drawn;
          }};
}

JetMatrix row_of(const Jet& x) {
  JetMatrix result(1, 1);
  result(0, 0) = x;
  return result;
}

}  // namespace

std::vector<Entry> decomposition_entries() {
  const auto tall = [](const Shape& s) { return few_matrices(s) && s[s.size() - 2] >= s.back(); };
  const auto same = [](std::size_t n, std::size_t m) { return Shape{n, m}; };
  const auto square = [](std::size_t, std::size_t m) { return Shape{m, m}; };
  const auto one = [](std::size_t, std::size_t) { return Shape{}; };
  const auto rank = [](std::size_t n, std::size_t m) { return Shape{std::min(n, m)}; };
  const auto norm = [](MatrixNorm order) {
    return [order](const auto& a) { return matrix_norm(a, {.order = order}); };
  };
  return {
      of_matrices(
          "cholesky", equal, square_matrices, same, [](const auto& a) { return cholesky(symmetric_part(a)); },
          [](const JetMatrix& a) { return cholesky_of(symmetric_part(a)); }),
      of_matrices(
          "qr: q", equal, tall, same, [](const auto& a) { return qr(a).q; },
          [](const JetMatrix& a) { return qr_of(a).first; }),
      of_matrices(
          "qr: r", equal, tall, square, [](const auto& a) { return qr(a).r; },
          [](const JetMatrix& a) { return qr_of(a).second; }),
      of_matrices(
          "eigh: values", ascending, square_matrices, rank, [](const auto& a) { return eigh(a).values; },
          [](const JetMatrix& a) { return eigen_of(symmetric_part(a)).values; }),
      of_matrices(
          "eigh: vectors", ascending, square_matrices, same, [](const auto& a) { return eigh(a).vectors; },
          [](const JetMatrix& a) { return eigen_of(symmetric_part(a)).vectors; }),
      of_matrices(
          "eigvalsh", ascending, square_matrices, rank, [](const auto& a) { return eigvalsh(a); },
          [](const JetMatrix& a) { return eigen_of(symmetric_part(a)).values; }),
      of_matrices(
          "svd: s", descending, few_matrices, rank, [](const auto& a) { return svd(a).s; },
          [](const JetMatrix& a) { return singular_of(a).values; }, svd_roundings),
      of_matrices(
          "svd: u", descending, few_matrices,
          [](std::size_t n, std::size_t m) {
            return Shape{n, std::min(n, m)};
          },
          [](const auto& a) { return svd(a).u; }, [](const JetMatrix& a) { return singular_of(a).u; }, svd_roundings),
      of_matrices(
          "svd: vt", descending, few_matrices,
          [](std::size_t n, std::size_t m) {
            return Shape{std::min(n, m), m};
          },
          [](const auto& a) { return svd(a).vt; }, [](const JetMatrix& a) { return transposed(singular_of(a).v); },
          svd_roundings),
      of_matrices("matrix_norm: frobenius", equal, few_matrices, one, norm(MatrixNorm::frobenius),
                  [](const JetMatrix& a) {
                    Jet squares = 0;
                    for (const Jet& x : a.values) squares += x * x;
                    return row_of(sqrt(squares));
                  }),
      of_matrices(
          "matrix_norm: nuclear", descending, few_matrices, one, norm(MatrixNorm::nuclear),
          [](const JetMatrix& a) { return row_of(sum_of(singular_of(a).values.values)); }, svd_roundings),
      of_matrices(
          "matrix_norm: spectral", descending, few_matrices, one, norm(MatrixNorm::spectral),
          [](const JetMatrix& a) { return row_of(singular_of(a).values(0, 0)); }, svd_roundings),
  };
}

}  // namespace xtape::test
