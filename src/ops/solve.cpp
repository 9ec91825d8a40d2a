#include <xtape/ops/solve.hpp>

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>

#include "../kernels/lapack.hpp"
#include "lu.hpp"

namespace xtape {
namespace {

// The batches of A and B, for A: (..., n, n) and B: (..., n, m) or (n,).
template <class T> detail::BatchPair paired(const char* op, const Tensor<T>& a, const Tensor<T>& b) {
  const detail::Matrices size = detail::square_matrices_of(op, a.shape());
  const Shape& sb = b.shape();
  const auto fail = [&](const char* what) {
    throw ShapeError(fmt::format("{}: {}: {} and {}", op, what, to_string(a.shape()), to_string(sb)));
  };
  if (sb.empty()) fail("the right-hand side must be a vector or matrices");
  if (sb[sb.size() - (sb.size() == 1 ? 1 : 2)] != size.rows) fail("matrix and right-hand side differ in their rows");
  const auto pair = detail::pair_batches(a.shape(), sb);
  if (!pair) fail("batches differ");
  return *pair;
}

// f for a right-hand side that is a vector: f of it as a matrix of one column.
template <class T, class F> Tensor<T> as_column(const Tensor<T>& b, const Shape& batch, const F& f) {
  const std::size_t n = b.size();
  return reshape(f(reshape(b, Shape{n, 1})), detail::extended(batch, {n}));
}

// Throws ValueError if an element of a diagonal is 0.
template <class T> void check_diagonal(const char* op, const Tensor<T>& a) {
  const std::size_t n = a.shape(-1);
  for (std::size_t i = 0; n > 0 && i < a.size() / n; ++i)  // rows of all matrices
    if (a.data()[i * n + i % n] == 0)
      throw ValueError(fmt::format("{}: element {} of the diagonal of matrix{} is 0", op, i % n,
                                   detail::place_of(i / n, a.shape())));
}

}  // namespace

template <class T>
Tensor<T> triangular_solve(const Tensor<T>& a, const Tensor<T>& b, const TriangularOptions& options) {
  const detail::BatchPair pair = paired("triangular_solve", a, b);
  if (b.dimension() == 1)
    return as_column(b, pair.shape, [&](const Tensor<T>& column) { return triangular_solve(a, column, options); });
  const std::size_t n = a.shape(-1), m = b.shape(-1);
  if (!options.unit_diagonal) check_diagonal("triangular_solve", a);
  Tensor<T> x = Tensor<T>::uninitialised(detail::extended(pair.shape, {n, m}));
  if (x.size() > 0)
    pair.for_each([&](std::size_t i, std::size_t ia, std::size_t ib) {
      T* const out = x.mutable_data() + i * n * m;
      std::copy_n(b.data() + ib * n * m, n * m, out);
      kernels::triangular_solve(options.upper, options.transpose, options.unit_diagonal, n, m, a.data() + ia * n * n,
                                out);
    });
  return record(
      "triangular_solve", std::move(x), {a, b}, [a, options](const Tensor<T>& dy, const Tensor<T>& y, Wanted wanted) {
        TriangularOptions other = options;
        other.transpose = !options.transpose;
        const Tensor<T> db = triangular_solve(a, dy, other);
        return wanted.gradients(
            [&] {
              const Tensor<T> da =
                  options.transpose ? matmul(y, db, {.transpose_b = true}) : matmul(db, y, {.transpose_b = true});
              return -detail::triangle(da, options.upper, options.unit_diagonal);
            },
            [&] { return db; });
      });
}

template <class T> Tensor<T> cholesky_solve(const Tensor<T>& l, const Tensor<T>& b) {
  const detail::BatchPair pair = paired("cholesky_solve", l, b);
  check_diagonal("cholesky_solve", l);
  const auto solution = [&](const Tensor<T>& columns) {
    return triangular_solve(l, triangular_solve(l, columns), {.transpose = true});
  };
  return b.dimension() == 1 ? as_column(b, pair.shape, solution) : solution(b);
}

template <class T> Tensor<T> solve(const Tensor<T>& a, const Tensor<T>& b) {
  const detail::BatchPair pair = paired("solve", a, b);
  const detail::Lu<T> lu = detail::lu("solve", a);
  detail::check_regular("solve", lu);
  const auto solution = [&](const Tensor<T>& columns) { return detail::solve_factored(a, lu, columns, false); };
  return b.dimension() == 1 ? as_column(b, pair.shape, solution) : solution(b);
}

template <class T> Tensor<T> inverse(const Tensor<T>& a) {
  const detail::Lu<T> lu = detail::lu("inverse", a);
  detail::check_regular("inverse", lu);
  return detail::solve_factored(a, lu, detail::identity<T>(lu.size.rows), false);
}

namespace detail {

template <class T> Lu<T> lu(const char* op, const Tensor<T>& a) {
  Lu<T> lu{.size = square_matrices_of(op, a.shape()), .factors = Tensor<T>::uninitialised(a.shape()), .pivot_list = {}};
  if (a.size() == 0) return lu;
  const std::size_t n = lu.size.rows;
  lu.pivot_list = Indices(lu.size.count * n);
  for (std::size_t i = 0; i < lu.size.count; ++i) {
    T* const factors = lu.factors.mutable_data() + i * n * n;
    if (all_finite(a.data() + i * n * n, n * n)) {
      std::copy_n(a.data() + i * n * n, n * n, factors);
      if (!kernels::lu(n, factors, lu.pivots(i)) && lu.singular < 0) lu.singular = static_cast<std::ptrdiff_t>(i);
    } else {
      std::fill_n(factors, n * n, std::numeric_limits<T>::quiet_NaN());
      for (std::size_t j = 0; j < n; ++j) lu.pivots(i)[j] = static_cast<int>(j) + 1;
    }
  }
  return lu;
}

template <class T> void check_regular(const char* op, const Lu<T>& lu) {
  if (lu.singular >= 0)
    throw ValueError(fmt::format("{}: matrix{} is singular", op,
                                 place_of(static_cast<std::size_t>(lu.singular), lu.factors.shape())));
}

template <class T> Tensor<T> solve_factored(const Tensor<T>& a, const Lu<T>& lu, const Tensor<T>& b, bool transpose) {
  const BatchPair pair = *pair_batches(a.shape(), b.shape());
  const std::size_t n = lu.size.rows, m = b.shape(-1);
  Tensor<T> x = Tensor<T>::uninitialised(extended(pair.shape, {n, m}));
  if (x.size() > 0)
    pair.for_each([&](std::size_t i, std::size_t ia, std::size_t ib) {
      kernels::lu_solve(transpose, n, m, lu.factors.data() + ia * n * n, lu.pivots(ia), b.data() + ib * n * m,
                        x.mutable_data() + i * n * m);
    });
  return record(
      "solve", std::move(x), {a, b}, [a, lu, transpose](const Tensor<T>& dy, const Tensor<T>& y, Wanted wanted) {
        const Tensor<T> db = solve_factored(a, lu, dy, !transpose);
        return wanted.gradients(
            [&] { return -(transpose ? matmul(y, db, {.transpose_b = true}) : matmul(db, y, {.transpose_b = true})); },
            [&] { return db; });
      });
}

}  // namespace detail

#define XTAPE_SOLVE(T)                                                                               \
  template Tensor<T> triangular_solve(const Tensor<T>&, const Tensor<T>&, const TriangularOptions&); \
  template Tensor<T> cholesky_solve(const Tensor<T>&, const Tensor<T>&);                             \
  template Tensor<T> solve(const Tensor<T>&, const Tensor<T>&);                                      \
  template Tensor<T> inverse(const Tensor<T>&);                                                      \
  template detail::Lu<T> detail::lu(const char*, const Tensor<T>&);                                  \
  template void detail::check_regular(const char*, const detail::Lu<T>&);                            \
  template Tensor<T> detail::solve_factored(const Tensor<T>&, const detail::Lu<T>&, const Tensor<T>&, bool);
XTAPE_INSTANTIATE(XTAPE_SOLVE)

}  // namespace xtape
