#pragma once
// Tensors as batches of matrices: the last two axes are rows and columns, those before them count matrices.

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/shape.hpp>

#include "common.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace xtape::detail {

// The shape without its last two axes; of a vector nothing.
inline Shape batch_axes(const Shape& shape) {
  Shape batch;
  for (std::size_t i = 0; i + 2 < shape.size(); ++i) batch.push_back(shape[i]);
  return batch;
}

// The shape, longer by some extents.
inline Shape extended(Shape shape, std::initializer_list<std::size_t> extents) {
  for (const std::size_t extent : extents) shape.push_back(extent);
  return shape;
}

// Two operands' batch axes, broadcast together: which matrix of each belongs to which of the result.
struct BatchPair {
  Shape shape;
  std::array<std::size_t, max_rank> step_a{}, step_b{};  // in matrices; 0 where broadcast

  // Calls f(i, ia, ib) for every matrix of the result.
  template <class F> void for_each(const F& f) const {
    const std::size_t count = shape.elements();
    std::array<std::size_t, max_rank> index{};
    std::size_t ia = 0, ib = 0;
    for (std::size_t i = 0; i < count; ++i) {
      f(i, ia, ib);
      for (std::size_t d = shape.size(); d-- > 0;) {
        ia += step_a[d], ib += step_b[d];
        if (++index[d] < shape[d]) break;
        ia -= step_a[d] * shape[d], ib -= step_b[d] * shape[d];
        index[d] = 0;
      }
    }
  }
};

// Of operands of these shapes, the last two axes left aside. Nothing if they do not broadcast.
inline std::optional<BatchPair> pair_batches(const Shape& a, const Shape& b) {
  const std::size_t rank_a = a.size() < 2 ? 0 : a.size() - 2, rank_b = b.size() < 2 ? 0 : b.size() - 2;
  const std::size_t rank = std::max(rank_a, rank_b);
  BatchPair pair;
  for (std::size_t i = 0; i < rank; ++i) pair.shape.push_back(1);
  std::size_t matrices_a = 1, matrices_b = 1;
  for (std::size_t i = rank; i-- > 0;) {
    const std::size_t in_a = i + rank_a < rank ? 1 : a[i + rank_a - rank];
    const std::size_t in_b = i + rank_b < rank ? 1 : b[i + rank_b - rank];
    if (in_a != in_b && in_a != 1 && in_b != 1) return {};
    pair.shape[i] = in_a == 1 ? in_b : in_a;
    pair.step_a[i] = in_a == 1 ? 0 : matrices_a;
    pair.step_b[i] = in_b == 1 ? 0 : matrices_b;
    matrices_a *= in_a;
    matrices_b *= in_b;
  }
  return pair;
}

// A batch of matrices by its numbers.
struct Matrices {
  Shape batch;
  std::size_t count, rows, columns;
};

// Throws ShapeError on fewer than two axes.
inline Matrices matrices_of(const char* op, const Shape& shape) {
  if (shape.size() < 2)
    throw ShapeError(fmt::format("{}: a matrix or a batch of matrices is needed, got shape {}", op, to_string(shape)));
  const Shape batch = batch_axes(shape);
  return {batch, batch.elements(), shape[shape.size() - 2], shape.back()};
}
inline Matrices square_matrices_of(const char* op, const Shape& shape) {
  const Matrices m = matrices_of(op, shape);
  if (m.rows != m.columns)
    throw ShapeError(fmt::format("{}: square matrices are needed, got shape {}", op, to_string(shape)));
  return m;
}

// What follows "matrix" in a message: " of shape (4, 4)", or its number in a batch, " 5 of shape (2, 3, 4, 4)".
inline std::string place_of(std::size_t matrix, const Shape& shape) {
  return shape.size() == 2 ? fmt::format(" of shape {}", to_string(shape))
                           : fmt::format(" {} of shape {}", matrix, to_string(shape));
}

template <class T> bool all_finite(const T* x, std::size_t n) {
  return std::all_of(x, x + n, [](T v) { return std::isfinite(v); });
}

// (a + aᵀ) / 2 of an (n, n) matrix; exactly a if a is symmetric.
template <class T> void symmetric_part(std::size_t n, const T* a, T* out) {
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      const T lower = a[i * n + j], upper = a[j * n + i];
      out[i * n + j] = out[j * n + i] = lower == upper ? lower : lower / 2 + upper / 2;
    }
}

// The transpose of each matrix.
template <class T> Tensor<T> transposed(const Tensor<T>& x) {
  Axes axes;
  const auto rank = static_cast<std::ptrdiff_t>(x.dimension());
  for (std::ptrdiff_t i = 0; i + 2 < rank; ++i) axes.push_back(i);
  axes.push_back(rank - 1);
  axes.push_back(rank - 2);
  return transpose(x, axes);
}
template <class T> Tensor<T> symmetrised(const Tensor<T>& x) { return (x + transposed(x)) * T(0.5); }

// An (n, n) constant: 1 where f(row, column), else 0.
template <class T, class F> Tensor<T> mask(std::size_t n, const F& f) {
  Fresh<T> result("mask", {n, n});
  T* const out = result.data();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) out[i * n + j] = f(i, j) ? T(1) : T(0);
  return std::move(result).finished();
}
template <class T> Tensor<T> identity(std::size_t n) {
  return mask<T>(n, [](std::size_t i, std::size_t j) { return i == j; });
}

// Each matrix with the other triangle set to 0, and the diagonal too if `strict`.
template <class T> Tensor<T> triangle(const Tensor<T>& x, bool upper, bool strict = false) {
  return where(
      mask<T>(x.shape(-1), [=](std::size_t i, std::size_t j) { return i == j  ? !strict
                                                                      : upper ? i < j
                                                                              : i > j; }), x,
      0);
}
// The symmetric matrices that have the lower triangles of x.
template <class T> Tensor<T> mirrored_lower(const Tensor<T>& x) {
  return where(mask<T>(x.shape(-1), std::greater_equal<std::size_t>()), x, transposed(x));
}

// 1 for pairs i, j of the values (..., n) that rounding cannot tell apart, and for i = j; no history.
template <class T> Tensor<T> indistinct(const Tensor<T>& values) {
  const std::size_t n = values.shape(-1);
  Fresh<T> same("indistinct", extended(values.shape(), {n}));
  T* const out = same.data();
  for (std::size_t first = 0; first < values.size(); first += n) {
    const T* const v = values.data() + first;
    T largest = 0;
    for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(v[i]));
    const T tolerance = static_cast<T>(n) * std::numeric_limits<T>::epsilon() * largest;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        out[(first + i) * n + j] = i == j || std::abs(v[i] - v[j]) <= tolerance ? T(1) : T(0);
  }
  return std::move(same).finished();
}
// Which of the values (..., n) a gradient reaches that has other numbers than 0: their own, or that of their vectors,
// columns of (..., rows, n).
template <class T> std::vector<bool> reached(const Tensor<T>& of_values, std::initializer_list<Tensor<T>> of_vectors) {
  const std::size_t n = of_values.shape(-1);
  std::vector<bool> result(of_values.size());
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = of_values.data()[i] != 0;
  for (const Tensor<T>& columns : of_vectors)
    for (std::size_t i = 0, in_matrix = n * columns.shape(-2); i < columns.size(); ++i)
      if (columns.data()[i] != 0) result[i / in_matrix * n + i % n] = true;
  return result;
}
// Throws ValueError if a gradient reaches vectors that belong to equal values: there they have no derivative.
// p, (..., n, n): what is divided by the differences of the values. Where these are 0 and p is, too, it may be that no
// gradient reached the vectors, or that one of 0 times infinity did. `reached`: the values that it may have reached,
// none if nobody asked for vectors.
template <class T>
void check_distinct(const char* op, const char* what, const Tensor<T>& values, const Tensor<T>& same,
                    const Tensor<T>& p, const std::vector<bool>& reached) {
  const std::size_t n = values.shape(-1);
  for (std::size_t at = 0; at < same.size(); ++at) {
    const std::size_t matrix = at / (n * n), i = at / n % n, j = at % n;
    const T* const v = values.data() + matrix * n;
    if (i == j || same.data()[at] == 0) continue;
    const bool lost = !reached.empty() && v[i] == v[j] && (reached[matrix * n + i] || reached[matrix * n + j]);
    if (lost || p.data()[at] != 0)
      throw ValueError(
          fmt::format("{0}: {1} {2} and {3} of matrix {4} are equal, or as good as: their vectors "
                      "have no derivative (the values themselves do)",
                      op, what, i, j, matrix));
  }
}

// Several results of one op lie side by side in the rows of a packed one, one row a matrix, before a last element that
// is 0. This is the part of each row from `first` on, under a shape of its own. Its gradient has zeros around dy, and a
// 1 in the last place if `asks`: the op's pull rule sees that it was asked for this part, even if by a gradient of 0.
template <class T> struct Unpack {
  using value_type = T;
  static constexpr OpTraits traits{.name = "unpack", .kind = Kind::linear};
  std::size_t count, width;  // of the packed rows
  std::size_t first, size;   // of the part in each of them
  bool asks;
  Shape part;

  const Shape& shape(const Tensor<T>&) const { return part; }
  Tensor<T> view(const Tensor<T>& packed) const {
    const NoGrad pause;
    const auto start = static_cast<std::ptrdiff_t>(first);
    return reshape(slice(packed, {all(), range(start, start + static_cast<std::ptrdiff_t>(size))}), part);
  }
  Gradients pull(const Pull<T>& p) const {
    const std::size_t rest = width - first - size - 1;
    return Gradients(concatenate<T>({zeros<T>({count, first}), reshape(p.dy, Shape{count, size}),
                                     zeros<T>({count, rest}), full<T>({count, 1}, asks ? T(1) : T(0))},
                                    1));
  }
};
template <class T>
Tensor<T> unpack(const Tensor<T>& packed, std::size_t first, std::size_t size, const Shape& shape, bool asks) {
  return apply(Unpack<T>{packed.shape(0), packed.shape(1), first, size, asks, shape}, packed);
}
// True if the gradient of `packed` came from a part that asks.
template <class T> bool was_asked(const Tensor<T>& dy) {
  const std::size_t width = dy.shape(1);
  for (std::size_t row = 0; row < dy.shape(0); ++row)
    if (dy.data()[(row + 1) * width - 1] != 0) return true;
  return false;
}

// svd() with messages in the name of the op that uses it.
template <class T> Svd<T> svd(const char* op, const Tensor<T>& a);

// The sign that makes the first of the largest components positive; v[0], v[step], ..., n of them. Components are among
// the largest if they are so but for much more than rounding, lest rounding choose between equal ones.
template <class T> T sign_of_largest(std::size_t n, const T* v, std::size_t step) {
  T largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(v[i * step]));
  const T least = (1 - std::sqrt(std::numeric_limits<T>::epsilon())) * largest;
  std::size_t first = 0;
  while (first < n && std::abs(v[first * step]) < least) ++first;
  return first < n && v[first * step] < 0 ? T(-1) : T(1);
}

}  // namespace xtape::detail
