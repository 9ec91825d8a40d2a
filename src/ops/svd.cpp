#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>

#include "../kernels/lapack.hpp"
#include "matrices.hpp"

namespace xtape {
namespace {

// Where U, s and Vᵀ of each matrix lie in a row of the packed result.
struct Layout {
  const char* op;  // in whose name messages are
  Shape batch;
  std::size_t n, m, k;
  std::size_t in_u() const { return n * k; }
  std::size_t in_vt() const { return k * m; }
  std::size_t total() const { return in_u() + k + in_vt() + 1; }
  template <class T> Tensor<T> u(const Tensor<T>& t) const {
    return detail::unpack(t, 0, in_u(), detail::extended(batch, {n, k}), true);
  }
  template <class T> Tensor<T> s(const Tensor<T>& t) const {
    return detail::unpack(t, in_u(), k, detail::extended(batch, {k}), false);
  }
  template <class T> Tensor<T> vt(const Tensor<T>& t) const {
    return detail::unpack(t, in_u() + k, in_vt(), detail::extended(batch, {k, m}), true);
  }
};

// x S⁻¹ with x (..., rows, k) and s (..., k): what the vectors beyond the first k turn towards. Throws ValueError if
// something other than 0 would be divided by a singular value that is 0 but for rounding, or by 0 itself where it is
// `reached`, as in check_distinct.
template <class T>
Tensor<T> over_values(const char* op, const Tensor<T>& x, const Tensor<T>& s, const std::vector<bool>& reached) {
  const std::size_t k = s.shape(-1), rows = x.shape(-2);
  Fresh<T> zero(op, s.shape());
  for (std::size_t i = 0; i < s.size(); ++i) {
    const std::size_t matrix = i / k, j = i % k;
    const T tolerance = static_cast<T>(std::max(rows, k)) * std::numeric_limits<T>::epsilon() * s.data()[matrix * k];
    const bool is_zero = s.data()[i] <= tolerance;
    zero.data()[i] = is_zero ? T(1) : T(0);
    for (std::size_t row = 0; is_zero && row < rows; ++row)
      if (x.data()[(matrix * rows + row) * k + j] != 0 || (!reached.empty() && reached[i] && s.data()[i] == 0))
        throw ValueError(
            fmt::format("{}: singular value {} of matrix {} is 0, or as good as: its vectors have no "
                        "derivative (the value itself does)",
                        op, j, matrix));
  }
  const Tensor<T> at_zero = expand_dims(std::move(zero).finished(), -2);
  return where(at_zero, 0, x / where(at_zero, 1, expand_dims(s, -2)));
}

// The part of x (..., rows, k) that is orthogonal to the columns of q (..., rows, k).
template <class T> Tensor<T> without(const Tensor<T>& x, const Tensor<T>& q) {
  return x - matmul(q, matmul(q, x, {.transpose_a = true}));
}

template <class T> Tensor<T> gradient(const Layout& layout, const Tensor<T>& dy, const Tensor<T>& y) {
  const Tensor<T> u = layout.u(y), s = layout.s(y), v = detail::transposed(layout.vt(y));
  const Tensor<T> du = layout.u(dy), dv = detail::transposed(layout.vt(dy));
  const Tensor<T> pu = matmul(u, du, {.transpose_a = true}), pv = matmul(v, dv, {.transpose_a = true});
  const Tensor<T> same = detail::indistinct(s);
  const std::vector<bool> reached =
      detail::was_asked(dy) ? detail::reached(layout.s(dy), {du, dv}) : std::vector<bool>();
  detail::check_distinct(layout.op, "singular values", s, same, pu, reached);
  detail::check_distinct(layout.op, "singular values", s, same, pv, reached);
  const Tensor<T> row = expand_dims(s, -2), column = expand_dims(s, -1);
  const Tensor<T> difference = where(same, 1, (row - column) * (row + column));
  const auto turn = [&](const Tensor<T>& p) { return where(same, 0, (p - detail::transposed(p)) / difference); };
  const Tensor<T> inner =
      where(detail::identity<T>(layout.k), expand_dims(layout.s(dy), -1), turn(pu) * row + column * turn(pv));
  Tensor<T> left = matmul(u, inner);
  if (layout.n > layout.k) left = left + over_values(layout.op, without(du, u), s, reached);
  const Tensor<T> da = matmul(left, v, {.transpose_b = true});
  return layout.m > layout.k ? da + matmul(u, over_values(layout.op, without(dv, v), s, reached), {.transpose_b = true})
                             : da;
}

// U, s and Vᵀ of each matrix, packed.
template <class T> struct PackedSvd {
  using value_type = T;
  static constexpr OpTraits traits{.name = "svd", .reads_result = true};
  Layout layout;

  Shape shape(const Tensor<T>&) const { return {layout.batch.elements(), layout.total()}; }
  void evaluate(Fresh<T>& y, const Tensor<T>& a) const {
    const std::size_t n = layout.n, m = layout.m, k = layout.k, total = layout.total();
    for (std::size_t i = 0; i * total < y.size(); ++i) {
      T *const u = y.data() + i * total, *const s = u + layout.in_u(), *const vt = s + k;
      u[total - 1] = 0;
      if (!detail::all_finite(a.data() + i * n * m, n * m)) {
        std::fill_n(u, total - 1, std::numeric_limits<T>::quiet_NaN());
        continue;
      }
      if (!kernels::svd(n, m, a.data() + i * n * m, u, s, vt))
        throw Error(fmt::format("{}: no convergence for matrix{}", layout.op, detail::place_of(i, a.shape())));
      for (std::size_t j = 0; j < k; ++j) {
        const T sign = detail::sign_of_largest(n, u + j, k);
        for (std::size_t row = 0; row < n; ++row) u[row * k + j] *= sign;
        for (std::size_t column = 0; column < m; ++column) vt[j * m + column] *= sign;
      }
    }
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(gradient(layout, p.dy, p.y)); }
};

}  // namespace

template <class T> Svd<T> svd(const Tensor<T>& a) { return detail::svd("svd", a); }

template <class T> Svd<T> detail::svd(const char* op, const Tensor<T>& a) {
  const detail::Matrices size = detail::matrices_of(op, a.shape());
  const Layout layout{op, size.batch, size.rows, size.columns, std::min(size.rows, size.columns)};
  const Tensor<T> y = apply(PackedSvd<T>{layout}, a);
  return {layout.u(y), layout.s(y), layout.vt(y)};
}

template <class T> Tensor<T> matrix_norm(const Tensor<T>& a, const MatrixNormOptions& options) {
  const detail::Matrices size = detail::matrices_of("matrix_norm", a.shape());
  if (options.order == MatrixNorm::frobenius) return norm(a, {-2, -1});
  if (options.order == MatrixNorm::nuclear) return sum(svd(a).s, -1);
  if (size.rows == 0 || size.columns == 0)
    throw ShapeError(fmt::format("matrix_norm: no singular values in shape {}", to_string(a.shape())));
  return reshape(slice(reshape(svd(a).s, Shape{size.count, std::min(size.rows, size.columns)}), {all(), 0}),
                 size.batch);
}

#define XTAPE_SVD(T)                                          \
  template Svd<T> svd(const Tensor<T>&);                      \
  template Svd<T> detail::svd(const char*, const Tensor<T>&); \
  template Tensor<T> matrix_norm(const Tensor<T>&, const MatrixNormOptions&);
XTAPE_INSTANTIATE(XTAPE_SVD)

}  // namespace xtape
