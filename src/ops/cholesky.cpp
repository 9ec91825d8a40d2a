#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/solve.hpp>

#include "../kernels/lapack.hpp"
#include "matrices.hpp"

namespace xtape {

template <class T> Tensor<T> cholesky(const Tensor<T>& a) {
  const detail::Matrices size = detail::square_matrices_of("cholesky", a.shape());
  const std::size_t n = size.rows;
  Tensor<T> l = Tensor<T>::uninitialised(a.shape());
  for (std::size_t i = 0; l.size() > 0 && i < size.count; ++i) {
    T* const out = l.mutable_data() + i * n * n;
    if (!detail::all_finite(a.data() + i * n * n, n * n)) {
      std::fill_n(out, n * n, std::numeric_limits<T>::quiet_NaN());
      continue;
    }
    detail::symmetric_part(n, a.data() + i * n * n, out);
    if (const std::size_t minor = kernels::cholesky(n, out))
      throw ValueError(fmt::format("cholesky: matrix{} is not positive definite: its leading minor of order {} is not",
                                   detail::place_of(i, a.shape()), minor));
  }
  return record("cholesky", std::move(l), {a}, [](const Tensor<T>& dy, const Tensor<T>& y) {
    const Tensor<T> m = detail::mirrored_lower(matmul(y, detail::triangle(dy, false), {.transpose_a = true}));
    const Tensor<T> left = triangular_solve(y, m, {.transpose = true});
    // L⁻ᵀ M L⁻¹ is its own transpose.
    const Tensor<T> both = triangular_solve(y, detail::transposed(left), {.transpose = true});
    return Gradients(detail::symmetrised(both) * T(0.5));
  });
}

template <class T> Tensor<T> cholesky_log_det(const Tensor<T>& l) {
  const detail::Matrices size = detail::square_matrices_of("cholesky_log_det", l.shape());
  const Tensor<T> flat = reshape(l, Shape{size.count, size.rows * size.rows});
  const Tensor<T> diagonal = slice(flat, {all(), Range{.step = static_cast<std::ptrdiff_t>(size.rows) + 1}});
  return reshape(sum(log(diagonal), -1) * T(2), size.batch);
}

#define XTAPE_CHOLESKY(T)                        \
  template Tensor<T> cholesky(const Tensor<T>&); \
  template Tensor<T> cholesky_log_det(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_CHOLESKY)

}  // namespace xtape
