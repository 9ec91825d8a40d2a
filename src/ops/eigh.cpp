#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/linalg.hpp>

#include "../kernels/lapack.hpp"
#include "matrices.hpp"

namespace xtape {
namespace {

[[noreturn]] void throw_no_convergence(const char* op, std::size_t matrix, const Shape& shape) {
  throw Error(fmt::format("{}: no convergence for matrix{}", op, detail::place_of(matrix, shape)));
}

// Where the values and vectors of each matrix lie in a row of the packed result.
struct Layout {
  std::size_t count, n;
  Shape of_values, of_vectors;
  std::size_t total() const { return n + n * n + 1; }
  template <class T> Tensor<T> values(const Tensor<T>& packed) const {
    return detail::unpack(packed, 0, n, of_values, false);
  }
  template <class T> Tensor<T> vectors(const Tensor<T>& packed) const {
    return detail::unpack(packed, n, n * n, of_vectors, true);
  }
};
Layout layout_of(const Shape& shape) {
  const detail::Matrices size = detail::square_matrices_of("eigh", shape);
  return {size.count, size.rows, detail::extended(size.batch, {size.rows}), shape};
}

// The eigenvalues and eigenvectors of the symmetric part of each matrix, packed. With F_ij = 1 / (w_j - w_i), the
// gradient is V (diag(dw) + F (Vᵀ dV - dVᵀ V) / 2) Vᵀ.
template <class T> struct PackedEigh {
  using value_type = T;
  static constexpr OpTraits traits{.name = "eigh", .reads_result = true};
  Layout layout;

  Shape shape(const Tensor<T>&) const { return {layout.count, layout.total()}; }
  void evaluate(Fresh<T>& y, const Tensor<T>& a) const {
    const std::size_t n = layout.n, in_matrix = n * n, total = layout.total();
    for (std::size_t i = 0; i * total < y.size(); ++i) {
      T *const values = y.data() + i * total, *const vectors = values + n;
      values[total - 1] = 0;
      if (!detail::all_finite(a.data() + i * in_matrix, in_matrix)) {
        std::fill_n(values, n + in_matrix, std::numeric_limits<T>::quiet_NaN());
        continue;
      }
      detail::symmetric_part(n, a.data() + i * in_matrix, vectors);
      if (!kernels::eigh(n, values, vectors)) throw_no_convergence("eigh", i, a.shape());
      for (std::size_t j = 0; j < n; ++j) {
        const T sign = detail::sign_of_largest(n, vectors + j, n);
        for (std::size_t row = 0; row < n; ++row) vectors[row * n + j] *= sign;
      }
    }
  }
  Gradients pull(const Pull<T>& pulled) const {
    const Tensor<T> w = layout.values(pulled.y), v = layout.vectors(pulled.y);
    const Tensor<T> dw = layout.values(pulled.dy), dv = layout.vectors(pulled.dy);
    const Tensor<T> p = matmul(v, dv, {.transpose_a = true});
    const Tensor<T> same = detail::indistinct(w);
    detail::check_distinct("eigh", "eigenvalues", w, same, p,
                           detail::was_asked(pulled.dy) ? detail::reached(dw, {dv}) : std::vector<bool>());
    const Tensor<T> difference = where(same, 1, expand_dims(w, -2) - expand_dims(w, -1));
    const Tensor<T> turn = where(same, 0, (p - detail::transposed(p)) * T(0.5) / difference);
    const Tensor<T> inner = where(detail::identity<T>(w.shape(-1)), expand_dims(dw, -1), turn);
    return Gradients(detail::symmetrised(matmul(matmul(v, inner), v, {.transpose_b = true})));
  }
};

// The eigenvalues alone; the gradient is V diag(dw) Vᵀ.
template <class T> struct Eigvalsh {
  using value_type = T;
  static constexpr OpTraits traits{.name = "eigvalsh"};

  Shape shape(const Tensor<T>& a) const {
    const detail::Matrices size = detail::square_matrices_of("eigvalsh", a.shape());
    return detail::extended(size.batch, {size.rows});
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& a) const {
    const std::size_t n = a.shape(-1);
    Fresh<T> work("eigvalsh", {n, n});
    for (std::size_t i = 0; i * n < y.size(); ++i) {
      const T* const matrix = a.data() + i * n * n;
      T* const values = y.data() + i * n;
      if (!detail::all_finite(matrix, n * n)) {
        std::fill_n(values, n, std::numeric_limits<T>::quiet_NaN());
        continue;
      }
      detail::symmetric_part(n, matrix, work.data());
      if (!kernels::eigvalsh(n, values, work.data())) throw_no_convergence("eigvalsh", i, a.shape());
    }
  }
  // The vectors, which cost more than the values, are found when a gradient is wanted.
  Gradients pull(const Pull<T>& p, const Tensor<T>& a) const {
    const Tensor<T> v = eigh(a).vectors;
    return Gradients(detail::symmetrised(matmul(v * expand_dims(p.dy, -2), v, {.transpose_b = true})));
  }
};

}  // namespace

template <class T> Eigh<T> eigh(const Tensor<T>& a) {
  const Layout layout = layout_of(a.shape());
  const Tensor<T> y = apply(PackedEigh<T>{layout}, a);
  return {layout.values(y), layout.vectors(y)};
}

template <class T> Tensor<T> eigvalsh(const Tensor<T>& a) { return apply(Eigvalsh<T>{}, a); }

#define XTAPE_EIGH(T)                      \
  template Eigh<T> eigh(const Tensor<T>&); \
  template Tensor<T> eigvalsh(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_EIGH)

}  // namespace xtape
