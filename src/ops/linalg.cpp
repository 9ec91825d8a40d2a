#include <xtape/ops/linalg.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "../kernels/gemm.hpp"
#include "common.hpp"

namespace xtape {

template <class T> Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b, const MatmulOptions& options) {
  const Shape &sa = a.shape(), &sb = b.shape();
  const auto fail = [&](const char* what) {
    const char *ta = options.transpose_a ? "ᵀ" : "", *tb = options.transpose_b ? "ᵀ" : "";
    throw ShapeError(fmt::format("matmul: {}: {}{} x {}{}", what, to_string(sa), ta, to_string(sb), tb));
  };
  if (sa.size() < 2 || sa.size() > 3 || sb.size() < 2 || sb.size() > 3) fail("matrices or batches of them are needed");
  const auto extent = [](const Shape& s, bool last) { return s[s.size() - (last ? 1 : 2)]; };
  const std::size_t n = extent(sa, options.transpose_a), k = extent(sa, !options.transpose_a);
  const std::size_t m = extent(sb, !options.transpose_b);
  if (extent(sb, options.transpose_b) != k) fail("inner dimensions differ");

  const std::size_t batch_a = sa.size() == 3 ? sa[0] : 1, batch_b = sb.size() == 3 ? sb[0] : 1;
  if (batch_a != batch_b && batch_a != 1 && batch_b != 1) fail("batches differ");
  const std::size_t batches = batch_a == 1 ? batch_b : batch_a;
  // One matrix for the whole batch: its rows are the rows of a single, taller product.
  if (sa.size() == 3 && sb.size() == 2 && !options.transpose_a)
    return reshape(matmul(reshape(a, Shape{batch_a * n, k}), b, options), Shape{batch_a, n, m});

  Tensor<T> y = Tensor<T>::uninitialised(sa.size() == 3 || sb.size() == 3 ? Shape{batches, n, m} : Shape{n, m});
  for (std::size_t i = 0; i < batches; ++i)
    kernels::gemm(options.transpose_a, options.transpose_b, n, m, k, a.data() + (batch_a == 1 ? 0 : i * n * k),
                  b.data() + (batch_b == 1 ? 0 : i * k * m), T(0), y.mutable_data() + i * n * m);
  return record("matmul", std::move(y), {a, b}, [a, b, options](const Tensor<T>& dy, Wanted wanted) {
    const bool ta = options.transpose_a, tb = options.transpose_b;
    return wanted.gradients(
        [&] {
          return ta ? matmul(b, dy, {.transpose_a = tb, .transpose_b = true}) : matmul(dy, b, {.transpose_b = !tb});
        },
        [&] {
          return tb ? matmul(dy, a, {.transpose_a = true, .transpose_b = ta}) : matmul(a, dy, {.transpose_a = !ta});
        });
  });
}

template <class T> Tensor<T> dot(const Tensor<T>& a, const Tensor<T>& b) {
  if (a.dimension() != 1 || a.shape() != b.shape())
    throw ShapeError(fmt::format("dot: two vectors of one length are needed, got {} and {}", to_string(a.shape()),
                                 to_string(b.shape())));
  return record("dot", Tensor<T>(kernels::dot(a.size(), a.data(), b.data())), {a, b},
                [a, b](const Tensor<T>& dy, Wanted wanted) {
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
  return record("outer", std::move(y), {a, b}, [a, b](const Tensor<T>& dy, Wanted wanted) {
    return wanted.gradients([&] { return reshape(matmul(dy, expand_dims(b, 1)), a.shape()); },
                            [&] { return reshape(matmul(expand_dims(a, 0), dy), b.shape()); });
  });
}

#define XTAPE_LINALG(T)                                                                \
  template Tensor<T> matmul(const Tensor<T>&, const Tensor<T>&, const MatmulOptions&); \
  template Tensor<T> dot(const Tensor<T>&, const Tensor<T>&);                          \
  template Tensor<T> outer(const Tensor<T>&, const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_LINALG)

}  // namespace xtape
