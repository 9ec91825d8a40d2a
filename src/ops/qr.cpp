#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/solve.hpp>

#include "../kernels/lapack.hpp"
#include "matrices.hpp"

namespace xtape {
namespace {

// Throws ValueError if an element of R's diagonal is 0 but for rounding: beside its column, whose length is that of
// A's. What the columns are measured in makes no difference.
template <class T> void check_full_rank(const Tensor<T>& r, const Shape& shape) {
  const std::size_t m = r.shape(-1);
  for (std::size_t first = 0; first < r.size(); first += m * m) {
    const auto dependent = [&](std::size_t column) {
      T largest = 0;
      for (std::size_t row = 0; row <= column; ++row)
        largest = std::max(largest, std::abs(r.data()[first + row * m + column]));
      return r.data()[first + column * (m + 1)] <=
             static_cast<T>(shape[shape.size() - 2]) * std::numeric_limits<T>::epsilon() * largest;
    };
    bool any = false;
    for (std::size_t column = 0; column < m; ++column) any = any || dependent(column);
    if (any)
      throw ValueError(fmt::format("qr: no gradient: the columns of matrix{} are linearly dependent, or as good as",
                                   detail::place_of(first / (m * m), shape)));
  }
}

}  // namespace

template <class T> Qr<T> qr(const Tensor<T>& a) {
  const detail::Matrices size = detail::matrices_of("qr", a.shape());
  const std::size_t n = size.rows, m = size.columns, in_q = n * m, in_r = m * m, total = in_q + in_r + 1;
  if (n < m)
    throw ShapeError(
        fmt::format("qr: as many rows as columns are needed, or more, got shape {}", to_string(a.shape())));
  Tensor<T> y = Tensor<T>::uninitialised({size.count, total});
  for (std::size_t i = 0; y.size() > 0 && i < size.count; ++i) {
    T* const out = y.mutable_data() + i * total;
    out[total - 1] = 0;
    if (detail::all_finite(a.data() + i * in_q, in_q))
      kernels::qr(n, m, a.data() + i * in_q, out, out + in_q);
    else
      std::fill_n(out, in_q + in_r, std::numeric_limits<T>::quiet_NaN());
  }
  const auto q_of = [shape = a.shape(), in_q](const Tensor<T>& t) { return detail::unpack(t, 0, in_q, shape, false); };
  const auto r_of = [shape = detail::extended(size.batch, {m, m}), in_q, in_r](const Tensor<T>& t) {
    return detail::unpack(t, in_q, in_r, shape, false);
  };
  y = record("qr", std::move(y), {a}, [q_of, r_of, shape = a.shape()](const Tensor<T>& dy, const Tensor<T>& value) {
    const Tensor<T> q = q_of(value), r = r_of(value), dq = q_of(dy), dr = detail::triangle(r_of(dy), true);
    check_full_rank(r, shape);
    const Tensor<T> inner =
        detail::mirrored_lower(matmul(r, dr, {.transpose_b = true}) - matmul(dq, q, {.transpose_a = true}));
    const Tensor<T> left = dq + matmul(q, inner);
    return Gradients(detail::transposed(triangular_solve(r, detail::transposed(left), {.upper = true})));
  });
  return {q_of(y), r_of(y)};
}

#define XTAPE_QR(T) template Qr<T> qr(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_QR)

}  // namespace xtape
