#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/linalg.hpp>

#include "../kernels/lapack.hpp"
#include "matrices.hpp"

namespace xtape {
namespace {

[[noreturn]] void throw_no_convergence(const char* op, std::size_t matrix, const Shape& shape) {
  throw Error(fmt::format("{}: no convergence for matrix{}", op, detail::place_of(matrix, shape)));
}

}  // namespace

template <class T> Eigh<T> eigh(const Tensor<T>& a) {
  const detail::Matrices size = detail::square_matrices_of("eigh", a.shape());
  const std::size_t n = size.rows, in_matrix = n * n, total = n + in_matrix + 1;
  Tensor<T> y = Tensor<T>::uninitialised({size.count, total});
  for (std::size_t i = 0; y.size() > 0 && i < size.count; ++i) {
    T *const values = y.mutable_data() + i * total, *const vectors = values + n;
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
  const auto values_of = [shape = detail::extended(size.batch, {n}), n](const Tensor<T>& t) {
    return detail::unpack(t, 0, n, shape, false);
  };
  const auto vectors_of = [shape = a.shape(), n, in_matrix](const Tensor<T>& t) {
    return detail::unpack(t, n, in_matrix, shape, true);
  };
  y = record("eigh", std::move(y), {a}, [values_of, vectors_of](const Tensor<T>& dy, const Tensor<T>& value) {
    const Tensor<T> w = values_of(value), v = vectors_of(value);
    const Tensor<T> dw = values_of(dy), dv = vectors_of(dy);
    const Tensor<T> p = matmul(v, dv, {.transpose_a = true});
    const Tensor<T> same = detail::indistinct(w);
    detail::check_distinct("eigh", "eigenvalues", w, same, p,
                           detail::was_asked(dy) ? detail::reached(dw, {dv}) : std::vector<bool>());
    const Tensor<T> difference = where(same, 1, expand_dims(w, -2) - expand_dims(w, -1));
    const Tensor<T> turn = where(same, 0, (p - detail::transposed(p)) * T(0.5) / difference);
    const Tensor<T> inner = where(detail::identity<T>(w.shape(-1)), expand_dims(dw, -1), turn);
    return Gradients(detail::symmetrised(matmul(matmul(v, inner), v, {.transpose_b = true})));
  });
  return {values_of(y), vectors_of(y)};
}

template <class T> Tensor<T> eigvalsh(const Tensor<T>& a) {
  const detail::Matrices size = detail::square_matrices_of("eigvalsh", a.shape());
  const std::size_t n = size.rows;
  Tensor<T> y = Tensor<T>::uninitialised(detail::extended(size.batch, {n}));
  const Tensor<T> work = Tensor<T>::uninitialised({n, n});
  for (std::size_t i = 0; y.size() > 0 && i < size.count; ++i) {
    const T* const matrix = a.data() + i * n * n;
    T* const values = y.mutable_data() + i * n;
    if (!detail::all_finite(matrix, n * n)) {
      std::fill_n(values, n, std::numeric_limits<T>::quiet_NaN());
      continue;
    }
    detail::symmetric_part(n, matrix, work.mutable_data());
    if (!kernels::eigvalsh(n, values, work.mutable_data())) throw_no_convergence("eigvalsh", i, a.shape());
  }
  // The vectors, which cost more than the values, are found when a gradient is wanted.
  return record("eigvalsh", std::move(y), {a}, [a](const Tensor<T>& dy) {
    const Tensor<T> v = eigh(a).vectors;
    return Gradients(detail::symmetrised(matmul(v * expand_dims(dy, -2), v, {.transpose_b = true})));
  });
}

#define XTAPE_EIGH(T)                      \
  template Eigh<T> eigh(const Tensor<T>&); \
  template Tensor<T> eigvalsh(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_EIGH)

}  // namespace xtape
