#include <xtape/ops/linalg.hpp>

#include <xtape/detail/loop.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "../kernels/gemm.hpp"
#include "matrices.hpp"

namespace xtape {
namespace {

// What multiplies what: (n, k) by (k, m) matrices; for operands of more axes than two, in pairs.
struct Product {
  Shape shape;  // of the result, as if a vector were a matrix of one row (on the left) or column
  std::size_t n, k, m;
  std::optional<detail::BatchPair> batches;
};

Product product_of(const Shape& a, const Shape& b, bool ta, bool tb) {
  const auto fail = [&](const char* what) {
    throw ShapeError(
        fmt::format("matmul: {}: {}{} x {}{}", what, to_string(a), ta ? "ᵀ" : "", to_string(b), tb ? "ᵀ" : ""));
  };
  if (a.empty() || b.empty()) fail("vectors, matrices or batches of matrices are needed");
  const auto extent = [](const Shape& s, bool last) { return s[s.size() - (last ? 1 : 2)]; };
  Product product{
      {}, a.size() == 1 ? 1 : extent(a, ta), extent(a, a.size() == 1 || !ta), b.size() == 1 ? 1 : extent(b, !tb), {}};
  if (extent(b, b.size() == 1 || tb) != product.k) fail("inner dimensions differ");
  if (a.size() != 2 || b.size() != 2) {
    product.batches = detail::pair_batches(a, b);
    if (!product.batches) fail("batches differ");
    product.shape = product.batches->shape;
  }
  product.shape.push_back(product.n);
  product.shape.push_back(product.m);
  return product;
}

// Y = A B for matrices, or for batches of them, each transposed first if the flags say so.
template <class T> struct Matmul {
  using value_type = T;
  static constexpr OpTraits traits{.name = "matmul", .kind = Kind::bilinear};
  bool ta, tb;

  Product plan(const Tensor<T>& a, const Tensor<T>& b) const { return product_of(a.shape(), b.shape(), ta, tb); }
  void evaluate(Fresh<T>& y, const Product& product, const Tensor<T>& a, const Tensor<T>& b) const {
    const std::size_t n = product.n, k = product.k, m = product.m;
    if (!product.batches) return kernels::gemm(ta, tb, n, m, k, a.data(), b.data(), T(0), y.data());
    if (y.size() > 0)
      product.batches->for_each([&](std::size_t i, std::size_t ia, std::size_t ib) {
        kernels::gemm(ta, tb, n, m, k, a.data() + ia * n * k, b.data() + ib * k * m, T(0), y.data() + i * n * m);
      });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& a, const Tensor<T>& b) const {
    return p.gradients(
        [&] {
          return ta ? matmul(b, p.dy, {.transpose_a = tb, .transpose_b = true}) : matmul(p.dy, b, {.transpose_b = !tb});
        },
        [&] {
          return tb ? matmul(p.dy, a, {.transpose_a = true, .transpose_b = ta}) : matmul(a, p.dy, {.transpose_a = !ta});
        });
  }
};

// y = sum_i a_i b_i
template <class T> struct Dot {
  using value_type = T;
  static constexpr OpTraits traits{.name = "dot", .kind = Kind::bilinear};
  Shape shape(const Tensor<T>& a, const Tensor<T>& b) const {
    if (a.dimension() != 1 || a.shape() != b.shape())
      throw ShapeError(fmt::format("dot: two vectors of one length are needed, got {} and {}", to_string(a.shape()),
                                   to_string(b.shape())));
    return {};
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& a, const Tensor<T>& b) const {
    *y.data() = kernels::dot(a.size(), a.data(), b.data());
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& a, const Tensor<T>& b) const {
    return p.gradients([&] { return p.dy * b; }, [&] { return p.dy * a; });
  }
};

// Y_ij = a_i b_j
template <class T> struct Outer {
  using value_type = T;
  static constexpr OpTraits traits{.name = "outer", .kind = Kind::bilinear};
  detail::LoopPlan plan(const Tensor<T>& a, const Tensor<T>& b) const {
    if (a.dimension() != 1 || b.dimension() != 1)
      throw ShapeError(
          fmt::format("outer: two vectors are needed, got {} and {}", to_string(a.shape()), to_string(b.shape())));
    const Shape column{a.size(), 1};
    const std::array<const Shape*, 2> shapes{&column, &b.shape()};
    return detail::plan_loop("outer", shapes.data(), 2);
  }
  void evaluate(Fresh<T>& y, const detail::LoopPlan& plan, const Tensor<T>& a, const Tensor<T>& b) const {
    using B = simd::Batch<T>;
    detail::run_loop<T, 2, 1>(plan, {a.data(), b.data()}, {y.data()},
                              [](const std::array<B, 2>& v) { return std::array<B, 1>{v[0] * v[1]}; });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& a, const Tensor<T>& b) const {
    const Shape& shape = p.dy.shape();
    return p.gradients([&] { return reshape(matmul(p.dy, expand_dims(b, 1)), Shape{shape[0]}); },
                       [&] { return reshape(matmul(expand_dims(a, 0), p.dy), Shape{shape[1]}); });
  }
};

}  // namespace

template <class T> Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b, const MatmulOptions& options) {
  const Shape &sa = a.shape(), &sb = b.shape();
  const bool a_vector = sa.size() == 1, b_vector = sb.size() == 1;
  const bool ta = options.transpose_a && !a_vector, tb = options.transpose_b && !b_vector;
  if (sa.size() == 2 && sb.size() == 2) return apply(Matmul<T>{ta, tb}, a, b);

  const Product product = product_of(sa, sb, ta, tb);
  // A vector is a matrix of one row or column, which the result lacks.
  if (a_vector || b_vector) {
    Shape shape = product.batches->shape;
    if (!a_vector) shape.push_back(product.n);
    if (!b_vector) shape.push_back(product.m);
    return reshape(matmul(a_vector ? reshape(a, Shape{1, product.k}) : a,
                          b_vector ? reshape(b, Shape{product.k, 1}) : b, {.transpose_a = ta, .transpose_b = tb}),
                   shape);
  }
  // One matrix for the whole batch: its rows are the rows of a single, taller product.
  if (sb.size() == 2 && !ta)
    return reshape(matmul(reshape(a, Shape{product.batches->shape.elements() * product.n, product.k}), b, options),
                   product.shape);
  return apply(Matmul<T>{ta, tb}, a, b);
}

template <class T> Tensor<T> dot(const Tensor<T>& a, const Tensor<T>& b) { return apply(Dot<T>{}, a, b); }
template <class T> Tensor<T> outer(const Tensor<T>& a, const Tensor<T>& b) { return apply(Outer<T>{}, a, b); }

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
