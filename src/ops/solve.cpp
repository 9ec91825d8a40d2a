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

struct Plan {
  Shape shape;
  detail::BatchPair pair;
};
template <class T> Plan plan_of(const char* op, const Tensor<T>& a, const Tensor<T>& b) {
  const detail::BatchPair pair = paired(op, a, b);
  return {detail::extended(pair.shape, {a.shape(-1), b.shape(-1)}), pair};
}

// op(A) X = B for triangular A and matrices B. dB solves op(A)ᵀ dB = dX; dA is the triangle of -dB Xᵀ, or its
// transpose.
template <class T> struct TriangularSolve {
  using value_type = T;
  static constexpr OpTraits traits{.name = "triangular_solve", .reads_result = true};
  TriangularOptions options;

  Plan plan(const Tensor<T>& a, const Tensor<T>& b) const { return plan_of("triangular_solve", a, b); }
  void evaluate(Fresh<T>& x, const Plan& plan, const Tensor<T>& a, const Tensor<T>& b) const {
    const std::size_t n = a.shape(-1), m = b.shape(-1);
    if (!options.unit_diagonal) check_diagonal("triangular_solve", a);
    if (x.size() == 0) return;
    plan.pair.for_each([&](std::size_t i, std::size_t ia, std::size_t ib) {
      T* const out = x.data() + i * n * m;
      std::copy_n(b.data() + ib * n * m, n * m, out);
      kernels::triangular_solve(options.upper, options.transpose, options.unit_diagonal, n, m, a.data() + ia * n * n,
                                out);
    });
  }
  static bool keeps(std::size_t input, std::uint64_t) { return input == 0; }
  Gradients pull(const Pull<T>& p, const Tensor<T>& a, const Tensor<T>&) const {
    TriangularOptions other = options;
    other.transpose = !options.transpose;
    const Tensor<T> db = triangular_solve(a, p.dy, other);
    return p.gradients(
        [&] {
          const Tensor<T> da =
              options.transpose ? matmul(p.y, db, {.transpose_b = true}) : matmul(db, p.y, {.transpose_b = true});
          return -detail::triangle(da, options.upper, options.unit_diagonal);
        },
        [&] { return db; });
  }
};

// op(A) X = B for matrices B. dB solves op(A)ᵀ dB = dX; dA = -dB Xᵀ, or its transpose.
template <class T> struct Solve {
  using value_type = T;
  static constexpr OpTraits traits{.name = "solve", .reads_result = true};
  const char* op;  // in whose name errors are
  bool transpose = false;
  detail::Lu<T> known = {};

  struct State {
    detail::Lu<T> lu;
  };
  Plan plan(const Tensor<T>& a, const Tensor<T>& b) const { return plan_of(op, a, b); }
  void evaluate(Fresh<T>& x, const Plan& plan, State* state, const Tensor<T>& a, const Tensor<T>& b) const {
    detail::Lu<T> found;
    const detail::Lu<T>& lu = detail::known_or_found(op, a, known, found);
    detail::check_regular(op, lu);
    const std::size_t n = lu.size.rows, m = b.shape(-1);
    if (x.size() > 0)
      plan.pair.for_each([&](std::size_t i, std::size_t ia, std::size_t ib) {
        kernels::lu_solve(transpose, n, m, lu.factors.data() + ia * n * n, lu.pivots(ia), b.data() + ib * n * m,
                          x.data() + i * n * m);
      });
    if (state) state->lu = lu;
  }
  static bool keeps(std::size_t input, std::uint64_t) { return input == 0; }
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& a, const Tensor<T>&) const {
    const Tensor<T> db = detail::solve_factored(a, p.state.lu, p.dy, !transpose);
    return p.gradients(
        [&] { return -(transpose ? matmul(p.y, db, {.transpose_b = true}) : matmul(db, p.y, {.transpose_b = true})); },
        [&] { return db; });
  }
};

}  // namespace

template <class T>
Tensor<T> triangular_solve(const Tensor<T>& a, const Tensor<T>& b, const TriangularOptions& options) {
  const auto solution = [&](const Tensor<T>& columns) { return apply(TriangularSolve<T>{options}, a, columns); };
  return b.dimension() == 1 ? as_column(b, paired("triangular_solve", a, b).shape, solution) : solution(b);
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
  const auto solution = [&](const Tensor<T>& columns) { return apply(Solve<T>{"solve"}, a, columns); };
  return b.dimension() == 1 ? as_column(b, paired("solve", a, b).shape, solution) : solution(b);
}

template <class T> Tensor<T> inverse(const Tensor<T>& a) {
  const std::size_t n = detail::square_matrices_of("inverse", a.shape()).rows;
  return apply(Solve<T>{"inverse"}, a, detail::identity<T>(n));
}

namespace detail {

template <class T> Lu<T> lu(const char* op, const Tensor<T>& a) {
  Lu<T> lu{.size = square_matrices_of(op, a.shape()), .factors = {}, .pivot_list = {}};
  Fresh<T> result(op, a.shape());
  const std::size_t n = lu.size.rows;
  if (a.size() > 0) lu.pivot_list = Indices(lu.size.count * n);
  for (std::size_t i = 0; a.size() > 0 && i < lu.size.count; ++i) {
    T* const factors = result.data() + i * n * n;
    if (all_finite(a.data() + i * n * n, n * n)) {
      std::copy_n(a.data() + i * n * n, n * n, factors);
      if (!kernels::lu(n, factors, lu.pivots(i)) && lu.singular < 0) lu.singular = static_cast<std::ptrdiff_t>(i);
    } else {
      std::fill_n(factors, n * n, std::numeric_limits<T>::quiet_NaN());
      for (std::size_t j = 0; j < n; ++j) lu.pivots(i)[j] = static_cast<int>(j) + 1;
    }
  }
  lu.factors = std::move(result).finished();
  return lu;
}

template <class T> void check_regular(const char* op, const Lu<T>& lu) {
  if (lu.singular >= 0)
    throw ValueError(fmt::format("{}: matrix{} is singular", op,
                                 place_of(static_cast<std::size_t>(lu.singular), lu.factors.shape())));
}

template <class T>
Tensor<T> solve_factored(const Tensor<T>& a, const Lu<T>& known, const Tensor<T>& b, bool transpose) {
  return apply(Solve<T>{"solve", transpose, known}, a, b);
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
