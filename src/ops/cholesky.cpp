#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/solve.hpp>

#include "../kernels/lapack.hpp"
#include "../kernels/product.hpp"
#include "matrices.hpp"

namespace xtape {
namespace {

// A = L Lᵀ for the symmetric part of A. With M the symmetric matrix that has the lower triangle of Lᵀ dL, the gradient
// is the symmetric part of L⁻ᵀ M L⁻¹ / 2.
template <class T> struct Cholesky {
  using value_type = T;
  static constexpr OpTraits traits{.name = "cholesky", .reads_result = true};

  Shape shape(const Tensor<T>& a) const {
    static_cast<void>(detail::square_matrices_of("cholesky", a.shape()));
    return a.shape();
  }
  void evaluate(Fresh<T>& l, const Tensor<T>& a) const {
    const std::size_t n = a.shape(-1), in_matrix = n * n;
    for (std::size_t first = 0; first < a.size(); first += in_matrix) {
      T* const out = l.data() + first;
      if (!detail::all_finite(a.data() + first, in_matrix)) {
        std::fill_n(out, in_matrix, std::numeric_limits<T>::quiet_NaN());
        continue;
      }
      detail::symmetric_part(n, a.data() + first, out);
      if (const std::size_t minor = kernels::cholesky(n, out))
        throw ValueError(
            fmt::format("cholesky: matrix{} is not positive definite: its leading minor of order {} is not",
                        detail::place_of(first / in_matrix, a.shape()), minor));
    }
  }
  Gradients pull(const Pull<T>& p) const {
    const Tensor<T>& l = p.y;
    const Tensor<T> m = detail::mirrored_lower(matmul(l, detail::triangle(p.dy, false), {.transpose_a = true}));
    const Tensor<T> left = triangular_solve(l, m, {.transpose = true});
    // L⁻ᵀ M L⁻¹ is its own transpose.
    const Tensor<T> both = triangular_solve(l, detail::transposed(left), {.transpose = true});
    return Gradients(detail::symmetrised(both) * T(0.5));
  }
};

// log det (L Lᵀ) = 2 log prod_i L_ii; dL_ii = 2 dy / L_ii.
template <class T> struct CholeskyLogDet {
  using value_type = T;
  static constexpr OpTraits traits{.name = "cholesky_log_det"};

  Shape shape(const Tensor<T>& l) const { return detail::square_matrices_of("cholesky_log_det", l.shape()).batch; }
  void evaluate(Fresh<T>& y, const Tensor<T>& l) const {
    const std::size_t n = l.shape(-1);
    for (std::size_t i = 0; i < y.size(); ++i) {
      // A product, of which the logarithm is taken: a sum of logarithms that all but cancel would lose digits.
      kernels::ScaledProduct product;
      bool negative = false;
      for (std::size_t j = 0; j < n; ++j) {
        const T element = l.data()[i * n * n + j * (n + 1)];
        product.multiply(static_cast<double>(element));
        negative = negative || element < 0;
      }
      y.data()[i] = negative ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(2 * product.log_size());
    }
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& l) const {
    const Tensor<T> one = detail::identity<T>(l.shape(-1));
    const Tensor<T> both = reshape(p.dy, detail::extended(p.dy.shape(), {1, 1})) * T(2);
    return Gradients(where(one, both / where(one, l, 1), 0));
  }
};

}  // namespace

template <class T> Tensor<T> cholesky(const Tensor<T>& a) { return apply(Cholesky<T>{}, a); }

template <class T> Tensor<T> cholesky_log_det(const Tensor<T>& l) { return apply(CholeskyLogDet<T>{}, l); }

#define XTAPE_CHOLESKY(T)                        \
  template Tensor<T> cholesky(const Tensor<T>&); \
  template Tensor<T> cholesky_log_det(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_CHOLESKY)

}  // namespace xtape
