#include <xtape/ops/linalg.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "../kernels/gemm.hpp"
#include "matrices.hpp"

namespace xtape {
namespace {

using detail::kept_for;

// y = A B, with the flags that were given for matrices.
template <class T> Tensor<T> record_product(Tensor<T> y, const Tensor<T>& a, const Tensor<T>& b, bool ta, bool tb) {
  return record(
      "matmul", std::move(y), {a, b},
      [a = kept_for(b, a), b = kept_for(a, b), ta, tb](const Tensor<T>& dy, Wanted wanted) {
        return wanted.gradients(
            [&] {
              return ta ? matmul(b, dy, {.transpose_a = tb, .transpose_b = true}) : matmul(dy, b, {.transpose_b = !tb});
            },
            [&] {
              return tb ? matmul(dy, a, {.transpose_a = true, .transpose_b = ta}) : matmul(a, dy, {.transpose_a = !ta});
            });
      });
}

}  // namespace

template <class T> Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b, const MatmulOptions& options) {
  const Shape &sa = a.shape(), &sb = b.shape();
  const bool a_vector = sa.size() == 1, b_vector = sb.size() == 1;
  const bool ta = options.transpose_a && !a_vector, tb = options.transpose_b && !b_vector;
  const auto fail = [&](const char* what) {
    throw ShapeError(
        fmt::format("matmul: {}: {}{} x {}{}", what, to_string(sa), ta ? "ᵀ" : "", to_string(sb), tb ? "ᵀ" : ""));
  };
  if (sa.empty() || sb.empty()) fail("vectors, matrices or batches of matrices are needed");
  const auto extent = [](const Shape& s, bool last) { return s[s.size() - (last ? 1 : 2)]; };
  const std::size_t n = a_vector ? 1 : extent(sa, ta), k = extent(sa, a_vector || !ta);
  const std::size_t m = b_vector ? 1 : extent(sb, !tb);
  if (extent(sb, b_vector || tb) != k) fail("inner dimensions differ");
  if (sa.size() == 2 && sb.size() == 2) {
    Tensor<T> y = detail::result_of<T>("matmul", {n, m});
    kernels::gemm(ta, tb, n, m, k, a.data(), b.data(), T(0), y.mutable_data());
    return record_product(std::move(y), a, b, ta, tb);
  }

  const auto pair = detail::pair_batches(sa, sb);
  if (!pair) fail("batches differ");
  // A vector is a matrix of one row or column, which the result lacks.
  if (a_vector || b_vector) {
    Shape shape = pair->shape;
    if (!a_vector) shape.push_back(n);
    if (!b_vector) shape.push_back(m);
    return reshape(matmul(a_vector ? reshape(a, Shape{1, k}) : a, b_vector ? reshape(b, Shape{k, 1}) : b,
                          {.transpose_a = ta, .transpose_b = tb}),
                   shape);
  }
  // One matrix for the whole batch: its rows are the rows of a single, taller product.
  if (sb.size() == 2 && !ta)
    return reshape(matmul(reshape(a, Shape{pair->shape.elements() * n, k}), b, options),
                   detail::extended(pair->shape, {n, m}));
  Tensor<T> y = detail::result_of<T>("matmul", detail::extended(pair->shape, {n, m}));
  if (y.size() > 0)
    pair->for_each([&](std::size_t i, std::size_t ia, std::size_t ib) {
      kernels::gemm(ta, tb, n, m, k, a.data() + ia * n * k, b.data() + ib * k * m, T(0), y.mutable_data() + i * n * m);
    });
  return record_product(std::move(y), a, b, ta, tb);
}

template <class T> Tensor<T> dot(const Tensor<T>& a, const Tensor<T>& b) {
  if (a.dimension() != 1 || a.shape() != b.shape())
    throw ShapeError(fmt::format("dot: two vectors of one length are needed, got {} and {}", to_string(a.shape()),
                                 to_string(b.shape())));
  return record("dot", Tensor<T>(kernels::dot(a.size(), a.data(), b.data())), {a, b},
                [a = kept_for(b, a), b = kept_for(a, b)](const Tensor<T>& dy, Wanted wanted) {
                  return wanted.gradients([&] { return dy * b; }, [&] { return dy * a; });
                });
}

template <class T> Tensor<T> outer(const Tensor<T>& a, const Tensor<T>& b) {
  if (a.dimension() != 1 || b.dimension() != 1)
    throw ShapeError(
        fmt::format("outer: two vectors are needed, got {} and {}", to_string(a.shape()), to_string(b.shape())));
  Tensor<T> y;
  {
    const NoGrad pause;
    y = expand_dims(a, 1) * b;
  }
  return record("outer", std::move(y), {a, b},
                [a = kept_for(b, a), b = kept_for(a, b)](const Tensor<T>& dy, Wanted wanted) {
                  return wanted.gradients([&] { return reshape(matmul(dy, expand_dims(b, 1)), Shape{dy.shape()[0]}); },
                                          [&] { return reshape(matmul(expand_dims(a, 0), dy), Shape{dy.shape()[1]}); });
                });
}

template <class T> Tensor<T> trace(const Tensor<T>& a, std::ptrdiff_t offset) {
  const detail::Matrices m = detail::matrices_of("trace", a.shape());
  // The diagonal's elements are `columns + 1` apart.
  const auto rows = static_cast<std::ptrdiff_t>(m.rows), columns = static_cast<std::ptrdiff_t>(m.columns);
  const bool inside = offset < columns && offset > -rows;
  const std::ptrdiff_t first = !inside ? 0 : offset >= 0 ? offset : -offset * columns;
  const std::ptrdiff_t length = !inside       ? 0
                                : offset >= 0 ? std::min(rows, columns - offset)
                                              : std::min(rows + offset, columns);
  const std::ptrdiff_t stop = length == 0 ? first : first + (length - 1) * (columns + 1) + 1;
  const Tensor<T> flat = reshape(a, Shape{m.count, m.rows * m.columns});
  return reshape(sum(slice(flat, {all(), Range{first, stop, columns + 1}}), -1), m.batch);
}

#define XTAPE_LINALG(T)                                                                \
  template Tensor<T> matmul(const Tensor<T>&, const Tensor<T>&, const MatmulOptions&); \
  template Tensor<T> dot(const Tensor<T>&, const Tensor<T>&);                          \
  template Tensor<T> outer(const Tensor<T>&, const Tensor<T>&);                        \
  template Tensor<T> trace(const Tensor<T>&, std::ptrdiff_t);
XTAPE_INSTANTIATE(XTAPE_LINALG)

}  // namespace xtape
