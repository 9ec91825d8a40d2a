#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/solve.hpp>

#include "../kernels/lapack.hpp"
#include "../kernels/product.hpp"
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
  const std::size_t n = size.rows;
  Tensor<T> y = Tensor<T>::uninitialised(size.batch);
  for (std::size_t i = 0; i < size.count; ++i) {
    // A product, of which the logarithm is taken: a sum of logarithms that all but cancel would lose digits.
    kernels::ScaledProduct product;
    bool negative = false;
    for (std::size_t j = 0; j < n; ++j) {
      const T element = l.data()[i * n * n + j * (n + 1)];
      product.multiply(static_cast<double>(element));
      negative = negative || element < 0;
    }
    y.mutable_data()[i] = negative ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(2 * product.log_size());
  }
  return record("cholesky_log_det", std::move(y), {l}, [l, n](const Tensor<T>& dy) {
    const Tensor<T> one = detail::identity<T>(n), both = reshape(dy, detail::extended(dy.shape(), {1, 1})) * T(2);
    return Gradients(where(one, both / where(one, l, 1), 0));
  });
}

#define XTAPE_CHOLESKY(T)                        \
  template Tensor<T> cholesky(const Tensor<T>&); \
  template Tensor<T> cholesky_log_det(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_CHOLESKY)

}  // namespace xtape
