// Linear systems and factorisations: identities, matrices that are singular, degenerate or not numbers, and what the
// gradients do there.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/cast.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/solve.hpp>
#include <xtape/rng.hpp>
#include <xtape/tape.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "message.hpp"

using namespace xtape;

namespace {

using Matrix = Tensor<double>;
constexpr double no_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();

template <class T> Tensor<T> random(const Shape& shape, Rng& rng) {
  std::vector<T> values;
  for (std::size_t i = 0; i < shape.elements(); ++i) values.push_back(static_cast<T>(2 * rng.uniform() - 1));
  return Tensor<T>(shape, values);
}
template <class T> Tensor<T> unit(std::size_t n) {
  Tensor<T> e = zeros<T>({n, n});
  for (std::size_t i = 0; i < n; ++i) e.modify()[i * n + i] = 1;
  return e;
}
template <class T> double largest(const Tensor<T>& x) {
  double result = 0;
  for (const T v : x.span()) result = std::isnan(v) ? infinity : std::max(result, static_cast<double>(std::abs(v)));
  return result;
}
bool all_nan(const Matrix& x) {
  return std::ranges::all_of(x.span(), [](double v) { return std::isnan(v); });
}

// Values from 1 down to 1 / condition, evenly in their logarithms.
template <class T> Tensor<T> spectrum(std::size_t n, double condition) {
  std::vector<T> values;
  for (std::size_t i = 0; i < n; ++i)
    values.push_back(
        static_cast<T>(std::pow(condition, n == 1 ? 0.0 : -static_cast<double>(i) / static_cast<double>(n - 1))));
  return Tensor<T>({n}, values);
}

// Runs f(size, condition, rng, T) in both precisions, on small and middle-sized, good and bad matrices.
template <class F> void for_matrices(const F& f) {
  for (const std::size_t n : {1U, 2U, 3U, 7U, 20U, 60U}) {
    CAPTURE(n);
    Rng rng(n);
    for (const double condition : {1.0, 1e2, 1e10}) f(n, condition, rng, 0.0);
    for (const double condition : {1.0, 1e2, 1e4}) f(n, condition, rng, 0.0F);
  }
}
template <class T> double tolerance(std::size_t n) {
  return 8 * static_cast<double>(n + 1) * static_cast<double>(std::numeric_limits<T>::epsilon());
}

}  // namespace

TEST_CASE("decompositions: factors are what they are called, and their product is the matrix") {
  for_matrices([]<class T>(std::size_t n, double condition, Rng& rng, T) {
    CAPTURE(condition);
    const double tiny = tolerance<T>(n);
    const auto q1 = qr(random<T>({n, n}, rng)).q, q2 = qr(random<T>({n, n}, rng)).q;
    const auto values = spectrum<T>(n, condition), one = unit<T>(n);
    CHECK(largest(matmul(q1, q1, {.transpose_a = true}) - one) <= tiny);

    const auto a = matmul(q1 * values, q2);
    const auto [u, s, vt] = svd(a);
    CHECK(largest(matmul(u * s, vt) - a) <= tiny);
    CHECK(largest(matmul(u, u, {.transpose_a = true}) - one) <= tiny);
    CHECK(largest(matmul(vt, vt, {.transpose_b = true}) - one) <= tiny);
    CHECK(largest(s - values) <= tiny);
    CHECK(std::ranges::is_sorted(s.span(), std::greater<T>()));

    const auto [q, r] = qr(a);
    CHECK(largest(matmul(q, r) - a) <= tiny);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(r.data()[i * n + i] >= 0);
      for (std::size_t j = 0; j < i; ++j) CHECK(r.data()[i * n + j] == 0);
    }

    auto b = matmul(q1 * values, q1, {.transpose_b = true});
    b = T(0.5) * (b + transpose(b));
    const auto [w, v] = eigh(b);
    CHECK(largest(matmul(v * w, v, {.transpose_b = true}) - b) <= tiny);
    CHECK(largest(matmul(v, v, {.transpose_a = true}) - one) <= tiny);
    CHECK(std::ranges::is_sorted(w.span()));
    CHECK(largest(eigvalsh(b) - w) <= tiny);

    const auto l = cholesky(b);
    CHECK(largest(matmul(l, l, {.transpose_b = true}) - b) <= tiny);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = i + 1; j < n; ++j) CHECK(l.data()[i * n + j] == 0);

    // Residuals are as small as those of a system in which the matrix was rounded.
    const auto right = random<T>({n, 3}, rng);
    for (const auto& x : {solve(b, right), cholesky_solve(l, right)})
      CHECK(largest(matmul(b, x) - right) <= tiny * std::max(1.0, largest(x)));
    CHECK(largest(matmul(a, solve(a, right)) - right) <= tiny * std::max(1.0, largest(solve(a, right))));
    CHECK(largest(matmul(inverse(a), a) - one) <= tiny * condition);
    const auto x = triangular_solve(r, right, {.upper = true});
    CHECK(largest(matmul(r, x) - right) <= tiny * std::max(1.0, largest(x)));

    // The determinant is the product of the eigenvalues, and up to its sign that of the singular values.
    const auto log_det = static_cast<double>(slogdet(b).log_abs_det.item());
    double logs = 0;
    for (const T value : values.span()) logs += std::log(static_cast<double>(value));
    CHECK(std::abs(log_det - logs) <= tiny * condition);
    CHECK(std::abs(static_cast<double>(cholesky_log_det(l).item()) - logs) <= tiny * condition);
    CHECK(slogdet(b).sign.item() == 1);
    CHECK(std::abs(static_cast<double>(slogdet(a).log_abs_det.item()) - logs) <= tiny * condition);
    CHECK(static_cast<double>(slogdet(a).sign.item()) * static_cast<double>(det(a).item()) ==
          doctest::Approx(std::exp(logs)).epsilon(tiny * condition));
    double product = 1;
    for (const T value : w.span()) product *= static_cast<double>(value);
    CHECK(static_cast<double>(det(b).item()) == doctest::Approx(product).epsilon(2 * tiny * condition));
  });
}

TEST_CASE("decompositions: matrices that are not square") {
  Rng rng(3);
  for (const auto& [n, m] : {std::pair<std::size_t, std::size_t>{9, 4}, {4, 9}, {40, 1}, {1, 40}}) {
    const auto a = random<double>({2, n, m}, rng);
    const auto [u, s, vt] = svd(a);
    const std::size_t k = std::min(n, m);
    CHECK(u.shape() == Shape{2, n, k});
    CHECK(s.shape() == Shape{2, k});
    CHECK(vt.shape() == Shape{2, k, m});
    CHECK(largest(matmul(u * expand_dims(s, 1), vt) - a) <= 1e-14);
    if (n < m) continue;
    const auto [q, r] = qr(a);
    CHECK(largest(matmul(q, r) - a) <= 1e-14);
    CHECK(largest(matmul(q, q, {.transpose_a = true}) - unit<double>(m)) <= 1e-14);
  }
  // Without elements.
  CHECK(svd(zeros<double>({0, 3})).vt.shape() == Shape{0, 3});
  CHECK(qr(zeros<double>({3, 0})).r.shape() == Shape{0, 0});
  CHECK(eigh(zeros<double>({0, 0})).values.shape() == Shape{0});
  CHECK(det(zeros<double>({2, 0, 0})).array()(1) == 1);
  CHECK(slogdet(zeros<double>({0, 0})).sign.item() == 1);
  CHECK(slogdet(zeros<double>({0, 0})).log_abs_det.item() == 0);
  CHECK(matrix_norm(zeros<double>({0, 3}), {.order = MatrixNorm::nuclear}).item() == 0);
}

TEST_CASE("decompositions: numbers near the ends of the range") {
  Rng rng(5);
  const auto a = random<double>({5, 5}, rng), b = matmul(a, a, {.transpose_b = true}) + unit<double>(5);
  for (const double scale : {0x1p-900, 0x1p-300, 0x1p300, 0x1p1000}) {
    CAPTURE(scale);
    const auto [u, s, vt] = svd(a * scale);
    CHECK(largest(s / scale - svd(a).s) <= 1e-14);
    CHECK(largest(eigvalsh(b * scale) / scale - eigvalsh(b)) <= 1e-13);
    CHECK(largest(qr(a * scale).r / scale - qr(a).r) <= 1e-14);
    CHECK(largest(cholesky(b * scale) / std::sqrt(scale) - cholesky(b)) <= 1e-14);
    CHECK(largest(solve(a * scale, b * scale) - solve(a, b)) <= 1e-12);
    CHECK(slogdet(a * scale).log_abs_det.item() ==
          doctest::Approx(slogdet(a).log_abs_det.item() + 5 * std::log(scale)).epsilon(1e-14));
  }
  // The determinant leaves the range; its logarithm does not, nor do the cofactors.
  CHECK(det(unit<double>(200) * 1e10).item() == infinity);
  CHECK(slogdet(unit<double>(200) * 1e10).log_abs_det.item() == doctest::Approx(2000 * std::log(10.0)));
  const auto small = parameter(unit<double>(2) * 1e-200);
  Tape tape;
  const auto y = det(small);
  CHECK(y.item() == 0);
  const auto [gradient] = tape.gradient(y, {small});
  CHECK(largest(gradient - unit<double>(2) * 1e-200) <= 1e-214);
}

TEST_CASE("decompositions: NaN and infinity give NaN, values and gradients, and harm no other matrix of a batch") {
  const auto check = [](const char* what, const auto& op) {
    for (const double bad : {no_number, infinity, -infinity}) {
      CAPTURE(what);
      CAPTURE(bad);
      const auto a = parameter(Matrix({2, 2, 2}, {2, 1, 1, 3, 2, bad, 1, 3}));
      Tape tape;
      const Matrix y = op(a), flat = reshape(y, {2, -1});
      CHECK(!std::isnan(largest(slice(flat, {0}))));
      CHECK(largest(slice(flat, {0})) < infinity);
      CHECK(all_nan(slice(flat, {1})));
      const auto [gradient] = tape.gradient(sum(y), {a});
      CHECK(largest(slice(gradient, {0})) < infinity);
    }
  };
  check("cholesky", [](const Matrix& a) { return cholesky(a); });
  check("inverse", [](const Matrix& a) { return inverse(a); });
  check("solve", [](const Matrix& a) { return solve(a, ones<double>({2})); });
  check("slogdet", [](const Matrix& a) { return slogdet(a).log_abs_det; });
  check("qr q", [](const Matrix& a) { return qr(a).q; });
  check("qr r", [](const Matrix& a) { return qr(a).r; });
  check("eigenvalues", [](const Matrix& a) { return eigvalsh(a); });
  check("eigenvectors", [](const Matrix& a) { return eigh(a).vectors; });
  check("u", [](const Matrix& a) { return svd(a).u; });
  check("s", [](const Matrix& a) { return svd(a).s; });
  check("det", [](const Matrix& a) { return det(a); });
  CHECK(std::isnan(slogdet(Matrix({1, 1}, {no_number})).sign.item()));
  CHECK(std::isnan(triangular_solve(Matrix({1, 1}, {no_number}), Matrix({1}, {1.0})).item()));
}

TEST_CASE("cholesky: what is not positive definite is refused by its leading minor") {
  CHECK(message<ValueError>([] {
          cholesky(Matrix({2, 2}, {1, 2, 2, 1}));
        }) == "cholesky: matrix of shape (2, 2) is not positive definite: its leading minor of order 2 is not");
  CHECK(message<ValueError>([] {
          cholesky(Matrix({2, 1, 1}, {1, 0}));
        }) == "cholesky: matrix 1 of shape (2, 1, 1) is not positive definite: its leading minor of order 1 is not");
  CHECK_THROWS_AS(cholesky(Matrix({2, 2}, {1e-300, 1e300, 1e300, 1})), ValueError);
  CHECK_THROWS_AS(cholesky(-unit<double>(60)), ValueError);
  CHECK_THROWS_AS(cholesky(zeros<float>({3, 3})), ValueError);
}

TEST_CASE("decompositions: cholesky and eigh take the symmetric part, and their gradients are symmetric") {
  Rng rng(7);
  const auto skew = random<double>({5, 5}, rng);
  const auto b = matmul(skew, skew, {.transpose_b = true}) + unit<double>(5);
  const auto c = random<double>({5, 5}, rng);
  const auto check = [&](const auto& op) {
    const auto a = parameter(b + (skew - transpose(skew)));
    Tape tape;
    const auto y = op(a);
    CHECK(largest(y - op(b)) <= 1e-14);
    const auto [gradient] = tape.gradient(sum(c * y), {a});
    CHECK(largest(gradient - transpose(gradient)) == 0);
    CHECK(largest(gradient) > 0.01);
  };
  check([](const Matrix& a) { return cholesky(a); });
  check([](const Matrix& a) { return eigh(a).vectors; });
}

TEST_CASE("triangular_solve: the other triangle is not read, and gets no gradient; a 0 on the diagonal is refused") {
  for (const bool unit_diagonal : {false, true}) {
    const double d = unit_diagonal ? no_number : 2;
    const auto a = parameter(Matrix({2, 2}, {d, no_number, 1, d})), b = parameter(Matrix({2}, {2, 4}));
    Tape tape;
    const auto x = triangular_solve(a, b, {.unit_diagonal = unit_diagonal});
    CHECK(x.array()(0) == (unit_diagonal ? 2 : 1));
    CHECK(x.array()(1) == (unit_diagonal ? 2 : 1.5));
    const auto [da, db] = tape.gradient(sum(x), {a, b});
    CHECK(da.array()(0, 1) == 0);
    CHECK(da.array()(1, 0) == (unit_diagonal ? -2 : -0.5));
    CHECK((da.array()(0, 0) == 0) == unit_diagonal);
    CHECK(std::isfinite(largest(db)));
  }
  CHECK(message<ValueError>([] {
          triangular_solve(Matrix({2, 2}, {1, 5, 5, 0}), Matrix({2}, {1, 1}));
        }) == "triangular_solve: element 1 of the diagonal of matrix of shape (2, 2) is 0");
  CHECK(message<ValueError>([] {
          triangular_solve(Matrix({2, 1, 1}, {1, 0}), Matrix({1}, {1.0}));
        }) == "triangular_solve: element 0 of the diagonal of matrix 1 of shape (2, 1, 1) is 0");
  CHECK_NOTHROW(triangular_solve(zeros<double>({2, 2}), Matrix({2}, {1, 1}), {.unit_diagonal = true}));
}

TEST_CASE("solve, inverse: a singular matrix is refused") {
  const Matrix singular({2, 2}, {1, 2, 2, 4}), right({2}, {1, 1});
  CHECK(message<ValueError>([&] { solve(singular, right); }) == "solve: matrix of shape (2, 2) is singular");
  CHECK(message<ValueError>([&] { inverse(singular); }) == "inverse: matrix of shape (2, 2) is singular");
  CHECK(message<ValueError>([&] {
          inverse(Matrix({3, 1, 1}, {1, 0, 0}));
        }) == "inverse: matrix 1 of shape (3, 1, 1) is singular");
}

TEST_CASE("det: gradient and second derivatives of singular matrices are those of the polynomial") {
  const auto polynomial = [](const Matrix& a) {
    const auto at = [&](int i, int j) { return slice(a, {i, j}); };
    return at(0, 0) * (at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)) -
           at(0, 1) * (at(1, 0) * at(2, 2) - at(1, 2) * at(2, 0)) +
           at(0, 2) * (at(1, 0) * at(2, 1) - at(1, 1) * at(2, 0));
  };
  Rng rng(9);
  const auto seed = random<double>({3, 3}, rng);
  const auto derivatives = [&](const auto& f, const Matrix& at, bool second) {
    const auto a = parameter(at);
    Tape tape;
    std::vector<Matrix> result{tape.gradient(f(a), {a}, {.create_graph = second})[0]};
    if (second) result.push_back(tape.gradient(sum(seed * result[0]), {a})[0]);
    return result;
  };
  const auto by_det = [](const Matrix& a) { return det(a); };
  // Rank 3, 2 (to the last digit, and but for rounding), 2 with a negative determinant of the rest; then 1 and 0, where
  // two singular values are 0 and more.
  for (const auto& values : {std::vector<double>{4, 1, 2, 1, 3, 0, 2, 0, 5},
                             {1, 2, 3, 2, 4, 6, 1, 0, 1},
                             {1, 2, 3, 4, 5, 6, 7, 8, 9},
                             {0, 2, 0, 1, 0, 0, 0, 0, 0},
                             {0.1, 0.2, 0.3, 0.3, 0.6, 0.9, 1, 7, 1},
                             {1, 2, 3, 2, 4, 6, 3, 6, 9},
                             {0, 0, 0, 0, 0, 0, 0, 0, 0}}) {
    const Matrix a({3, 3}, values);
    const auto found = derivatives(by_det, a, true), expected = derivatives(polynomial, a, true);
    for (std::size_t order = 0; order < 2; ++order) {
      CAPTURE(order);
      CHECK(largest(found[order] - expected[order]) <= 1e-13 * std::max(1.0, largest(expected[order])));
    }
  }
  // Among others in a batch.
  const auto batch = parameter(Matrix({2, 2, 2}, {1, 2, 2, 4, 3, 1, 1, 2}));
  Tape tape;
  const auto [gradient] = tape.gradient(sum(det(batch)), {batch});
  CHECK(largest(gradient - Matrix({2, 2, 2}, {4, -2, -2, 1, 2, -1, -1, 3})) <= 1e-14);
}

TEST_CASE("slogdet: sign and logarithm of singular and negative determinants") {
  const auto a = parameter(Matrix({3, 2, 2}, {1, 2, 2, 4, 0, 1, 1, 0, 2, 0, 0, 3}));
  Tape tape;
  const auto result = slogdet(a);
  const Matrix sign = result.sign, log = result.log_abs_det;
  CHECK(!sign.requires_grad());
  CHECK(sign.array()(0) == 0);
  CHECK(log.array()(0) == -infinity);
  CHECK(sign.array()(1) == -1);
  CHECK(log.array()(1) == 0);
  CHECK(sign.array()(2) == 1);
  CHECK(log.array()(2) == doctest::Approx(std::log(6)));
  CHECK(message<ValueError>([&] { tape.backward(sum(log)); }) ==
        "slogdet: no gradient: matrix 0 of shape (3, 2, 2) is singular");
}

TEST_CASE("eigh, svd: at equal values, those have derivatives and the vectors have not") {
  const auto one = parameter(unit<double>(3));
  const auto gradient_of = [&](const auto& f) {
    Tape tape;
    return tape.gradient(f(one), {one})[0];
  };
  CHECK(largest(gradient_of([](const Matrix& a) { return sum(eigvalsh(a)); }) - unit<double>(3)) <= 1e-15);
  CHECK(largest(gradient_of([](const Matrix& a) { return sum(square(svd(a).s)); }) - 2 * unit<double>(3)) <= 1e-15);
  const auto nuclear = [](const Matrix& a) { return matrix_norm(a, {.order = MatrixNorm::nuclear}); };
  CHECK(largest(gradient_of(nuclear) - unit<double>(3)) <= 1e-15);
  CHECK(message<ValueError>([&] { gradient_of([](const Matrix& a) { return sum(eigh(a).vectors); }); }) ==
        "eigh: eigenvalues 0 and 1 of matrix 0 are equal, or as good as: their vectors have no derivative (the values "
        "themselves do)");
  CHECK_THROWS_AS(gradient_of([](const Matrix& a) { return sum(svd(a).u); }), ValueError);
  CHECK_THROWS_AS(gradient_of([](const Matrix& a) { return sum(svd(a).vt); }), ValueError);
  // Through V diag(w) Vᵀ, which has a derivative, the vectors' cannot be had either: refused, not wrong.
  CHECK_THROWS_AS(gradient_of([](const Matrix& a) {
                    const auto [w, v] = eigh(a);
                    return sum(matmul(v * w, v, {.transpose_b = true}));
                  }),
                  ValueError);

  // Also where the gradient into the vectors is 0: it is multiplied by infinity.
  for (const double scale : {0.0, 1.0}) {
    const auto through = [&](const Matrix& a) {
      const auto [w, v] = eigh(a * scale);
      return sum(matmul(v * (w - scale), v, {.transpose_b = true}));
    };
    CHECK_THROWS_AS(gradient_of(through), ValueError);
    CHECK_THROWS_AS(gradient_of([&](const Matrix& a) {
                      const auto [u, s, vt] = svd(a * scale);
                      return sum(matmul(u * (s - scale), vt));
                    }),
                    ValueError);
  }

  // A vector whose value is distinct, beside others that no gradient reaches.
  const auto close = parameter(Matrix({3, 3}, {4, 0, 0, 0, std::nextafter(4.0, 5.0), 0, 0, 0, 6}));
  Tape another;
  const auto [top] = another.gradient(slice(eigh(close).vectors, {0, 2}), {close});
  CHECK(largest(top - Matrix({3, 3}, {0, 0, 0.25, 0, 0, 0, 0.25, 0, 0})) <= 1e-15);

  // Equal but for rounding, in a basis of no zeros.
  Rng rng(13);
  const auto q = qr(random<double>({4, 4}, rng)).q;
  const auto a = parameter(matmul(q * Matrix({4}, {1, 1, 1, 5}), q, {.transpose_b = true}));
  Tape tape;
  const auto [values] = tape.gradient(sum(square(eigvalsh(a))), {a}, {.retain_graph = true});
  CHECK(largest(values - 2 * a.detach()) <= 1e-13);
  CHECK_THROWS_AS(tape.backward(sum(eigh(a).vectors)), ValueError);
  CHECK_THROWS_AS(tape.backward(sum(svd(a).u)), ValueError);
}

TEST_CASE("svd: at a singular value of 0, values have derivatives; vectors only in a square matrix") {
  const auto tall = parameter(Matrix({3, 2}, {1, 2, 2, 4, 3, 6}));
  Tape tape;
  const auto factors = svd(tall);
  const Matrix u = factors.u, s = factors.s;
  CHECK(s.array()(0) == doctest::Approx(std::sqrt(70.0)));
  CHECK(s.array()(1) <= 1e-15);
  const auto [first] = tape.gradient(slice(s, {0}), {tall}, {.retain_graph = true});
  CHECK(largest(first - tall.detach() / std::sqrt(70.0)) <= 1e-15);
  CHECK(
      message<ValueError>([&] {
        tape.backward(sum(slice(u, {all(), 1})), {.retain_graph = true});
      }) ==
      "svd: singular value 1 of matrix 0 is 0, or as good as: its vectors have no derivative (the value itself does)");
  CHECK_NOTHROW(tape.gradient(sum(slice(u, {all(), 0})), {tall}, {.retain_graph = true}));
  const auto zero = parameter(zeros<double>({3, 1}));
  const auto product = [](const Matrix& a) {
    const auto [left, values, right] = svd(a);
    return sum(matmul(left * values, right));
  };
  CHECK_THROWS_AS(tape.backward(product(zero)), ValueError);
  const auto square_matrix = parameter(Matrix({2, 2}, {1, 2, 2, 4}));
  CHECK_NOTHROW(tape.gradient(sum(svd(square_matrix).u), {square_matrix}));
}

TEST_CASE("qr: dependent columns have factors, and no gradient") {
  const auto a = parameter(Matrix({3, 2}, {1, 2, 2, 4, 3, 6}));
  Tape tape;
  const auto factors = qr(a);
  const Matrix q = factors.q, r = factors.r;
  CHECK(largest(matmul(q, r) - a.detach()) <= 1e-14);
  CHECK(message<ValueError>([&] { tape.backward(sum(r)); }) ==
        "qr: no gradient: the columns of matrix of shape (3, 2) are linearly dependent, or as good as");
  CHECK(largest(qr(zeros<double>({3, 2})).r) == 0);
}

TEST_CASE("eigh, svd: the sign of vectors is fixed: the first of the largest components is positive") {
  Rng rng(17);
  for (int round = 0; round < 20; ++round) {
    const auto a = random<double>({6, 6}, rng);
    for (const auto& vectors : {eigh(a).vectors, svd(a).u, eigh(-a).vectors, svd(-a).u})
      for (std::size_t j = 0; j < 6; ++j) {
        double at_largest = 0;
        for (std::size_t i = 0; i < 6; ++i)
          if (std::abs(vectors.array()(i, j)) > std::abs(at_largest)) at_largest = vectors.array()(i, j);
        CHECK(at_largest > 0);
      }
    CHECK(largest(svd(a).u - svd(-a).u) <= 1e-12);  // the same matrix but for the sign, which goes to V
    CHECK(largest(svd(a).vt + svd(-a).vt) <= 1e-12);
  }
  // Components that are equal but for rounding: the first decides. [[a, b], [b, a]] has the vectors (1, +-1) / sqrt 2.
  for (int round = 0; round < 100; ++round) {
    const double a = rng.uniform(), b = rng.uniform();
    for (const Matrix& m : {Matrix({2, 2}, {a, b, b, a}), Matrix({2, 2}, {-a, b, b, -a})})
      for (const auto& vectors : {eigh(m).vectors, svd(m).u, cast<double>(eigh(cast<float>(m)).vectors)})
        for (std::size_t j = 0; j < 2; ++j) CHECK(vectors.data()[j] == doctest::Approx(std::sqrt(0.5)));
  }
}

TEST_CASE("svd: gradients in float are those in double, but for rounding") {
  Rng rng(23);
  for (const Shape& shape : {Shape{4, 4}, Shape{5, 3}, Shape{3, 5}}) {
    const std::size_t k = std::min(shape[0], shape[1]);
    const auto a = svd(random<double>(shape, rng)), weights = svd(random<double>(shape, rng));
    std::vector<double> values;
    for (std::size_t i = 0; i < k; ++i) values.push_back(1.0 + static_cast<double>(k - i));
    const Tensor<float> matrix(matmul(a.u * Matrix({k}, values), a.vt).array());
    const auto gradient = [&]<class T>(T) {
      const auto x = parameter(Tensor<T>(matrix.array()));
      Tape tape;
      const auto f = svd(x);
      const auto loss = sum(f.u * weights.u.array()) + sum(f.s * weights.s.array()) + sum(f.vt * weights.vt.array());
      return tape.gradient(loss, {x})[0];
    };
    const Matrix found(gradient(0.0F).array()), expected = gradient(0.0);
    CHECK(largest(found - expected) <= 1e-5 * largest(expected));
  }
}

TEST_CASE("matrix_norm: each against its definition, and at 0") {
  const Matrix a({2, 2}, {3, 0, 4, 5});  // singular values sqrt 45, sqrt 5
  CHECK(matrix_norm(a).item() == doctest::Approx(std::sqrt(50.0)));
  CHECK(matrix_norm(a, {.order = MatrixNorm::nuclear}).item() == doctest::Approx(4 * std::sqrt(5.0)));
  CHECK(matrix_norm(a, {.order = MatrixNorm::spectral}).item() == doctest::Approx(3 * std::sqrt(5.0)));
  for (const MatrixNorm order : {MatrixNorm::frobenius, MatrixNorm::nuclear, MatrixNorm::spectral}) {
    const auto zero = parameter(zeros<double>({2, 3}));
    Tape tape;
    const auto y = matrix_norm(zero, {.order = order});
    CHECK(y.item() == 0);
    const auto [gradient] = tape.gradient(y, {zero});
    CHECK(largest(svd(gradient).s) <= 1 + 1e-15);  // a subgradient
  }
}

TEST_CASE("trace: offsets beyond the matrix") {
  const Matrix a({2, 3}, {1, 2, 3, 4, 5, 6});
  constexpr auto least = std::numeric_limits<std::ptrdiff_t>::min(), most = std::numeric_limits<std::ptrdiff_t>::max();
  for (const std::ptrdiff_t offset : {least, most, std::ptrdiff_t{3}, std::ptrdiff_t{-2}})
    CHECK(trace(a, offset).item() == 0);
  CHECK(trace(a, 2).item() == 3);
  CHECK(trace(a, -1).item() == 4);
}

TEST_CASE("matmul: a batch that is broadcast is summed in the gradient") {
  Rng rng(19);
  const auto a = parameter(random<double>({2, 1, 3, 4}, rng)), b = parameter(random<double>({5, 4, 2}, rng));
  Tape tape;
  const auto y = matmul(a, b);
  CHECK(y.shape() == Shape{2, 5, 3, 2});
  const auto [da, db] = tape.gradient(sum(square(y)), {a, b});
  Matrix expected_a = zeros<double>({2, 1, 3, 4}), expected_b = zeros<double>({5, 4, 2});
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      const auto left = slice(a.detach(), {i, 0}), right = slice(b.detach(), {j});
      const auto dy = 2 * matmul(left, right);
      const auto to_a = matmul(dy, right, {.transpose_b = true}), to_b = matmul(left, dy, {.transpose_a = true});
      for (std::size_t k = 0; k < 12; ++k) expected_a.modify()[i * 12 + k] += to_a.data()[k];
      for (std::size_t k = 0; k < 8; ++k) expected_b.modify()[j * 8 + k] += to_b.data()[k];
    }
  CHECK(largest(da - expected_a) <= 1e-13);
  CHECK(largest(db - expected_b) <= 1e-13);
}
