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

// Where Q and R of each matrix lie in a row of the packed result.
struct Layout {
  std::size_t count, n, m;
  Shape of_q, of_r;
  std::size_t in_q() const { return n * m; }
  std::size_t in_r() const { return m * m; }
  std::size_t total() const { return in_q() + in_r() + 1; }
  template <class T> Tensor<T> q(const Tensor<T>& packed) const {
    return detail::unpack(packed, 0, in_q(), of_q, false);
  }
  template <class T> Tensor<T> r(const Tensor<T>& packed) const {
    return detail::unpack(packed, in_q(), in_r(), of_r, false);
  }
};
Layout layout_of(const Shape& shape) {
  const detail::Matrices size = detail::matrices_of("qr", shape);
  if (size.rows < size.columns)
    throw ShapeError(fmt::format("qr: as many rows as columns are needed, or more, got shape {}", to_string(shape)));
  return {size.count, size.rows, size.columns, shape, detail::extended(size.batch, {size.columns, size.columns})};
}

// Q and R of each matrix, packed. With M the symmetric matrix that has the lower triangle of R dRᵀ - dQᵀ Q, the
// gradient is (dQ + Q M) R⁻ᵀ.
template <class T> struct PackedQr {
  using value_type = T;
  static constexpr OpTraits traits{.name = "qr", .reads_result = true};
  Layout layout;

  Shape shape(const Tensor<T>&) const { return {layout.count, layout.total()}; }
  void evaluate(Fresh<T>& y, const Tensor<T>& a) const {
    const std::size_t in_q = layout.in_q(), in_r = layout.in_r(), total = layout.total();
    for (std::size_t i = 0; i * total < y.size(); ++i) {
      T* const out = y.data() + i * total;
      out[total - 1] = 0;
      if (detail::all_finite(a.data() + i * in_q, in_q))
        kernels::qr(layout.n, layout.m, a.data() + i * in_q, out, out + in_q);
      else
        std::fill_n(out, in_q + in_r, std::numeric_limits<T>::quiet_NaN());
    }
  }
  Gradients pull(const Pull<T>& p) const {
    const Tensor<T> q = layout.q(p.y), r = layout.r(p.y), dq = layout.q(p.dy);
    const Tensor<T> dr = detail::triangle(layout.r(p.dy), true);
    check_full_rank(r, layout.of_q);
    const Tensor<T> inner =
        detail::mirrored_lower(matmul(r, dr, {.transpose_b = true}) - matmul(dq, q, {.transpose_a = true}));
    const Tensor<T> left = dq + matmul(q, inner);
    return Gradients(detail::transposed(triangular_solve(r, detail::transposed(left), {.upper = true})));
  }
};

}  // namespace

template <class T> Qr<T> qr(const Tensor<T>& a) {
  const Layout layout = layout_of(a.shape());
  const Tensor<T> y = apply(PackedQr<T>{layout}, a);
  return {layout.q(y), layout.r(y)};
}

#define XTAPE_QR(T) template Qr<T> qr(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_QR)

}  // namespace xtape
