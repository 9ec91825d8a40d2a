#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/solve.hpp>

#include "lu.hpp"

#include <algorithm>

namespace xtape {
namespace {

template <class T> T determinant(const detail::Lu<T>& lu, std::size_t matrix) {
  T product = static_cast<T>(lu.permutation_sign(matrix));
  for (std::size_t i = 0; i < lu.size.rows; ++i) product *= lu.diagonal(matrix, i);
  return product;
}

// True if the inverse is to be trusted: no pivot is as small as rounding may leave one that should be 0.
template <class T> bool well_pivoted(const detail::Lu<T>& lu, std::size_t matrix) {
  T least = std::numeric_limits<T>::infinity(), largest = 0;
  for (std::size_t i = 0; i < lu.size.rows; ++i) {
    const T pivot = std::abs(lu.diagonal(matrix, i));
    least = std::min(least, pivot);
    largest = std::max(largest, pivot);
  }
  return least > static_cast<T>(lu.size.rows) * std::numeric_limits<T>::epsilon() * largest;
}

// y (...) as (..., 1, 1), to scale matrices with.
template <class T> Tensor<T> over_matrices(const Tensor<T>& y) {
  return reshape(y, detail::extended(y.shape(), {1, 1}));
}

// prod_{j != i} s_j for each row of s (b, n)
template <class T> Tensor<T> products_of_others(const Tensor<T>& s) {
  const std::size_t n = s.shape(-1);
  const Tensor<T> factors = where(detail::identity<T>(n), 1, expand_dims(s, 1));
  Tensor<T> product = slice(factors, {all(), all(), 0});
  for (std::size_t j = 1; j < n; ++j) product = product * slice(factors, {all(), all(), j});
  return product;
}

// The cofactors by the singular values, of a matrix of any rank.
template <class T> Tensor<T> cofactors(const Tensor<T>& a, const detail::Matrices& size) {
  const std::size_t n = size.rows;
  const auto [u, s, vt] = detail::svd("det: no second derivative", reshape(a, Shape{size.count, n, n}));
  Tensor<T> sign;  // of det U det V, which is 1 or -1 but for rounding
  {
    const NoGrad pause;
    sign = slogdet(u).sign * slogdet(vt).sign;
  }
  const Tensor<T> scaled = u * expand_dims(products_of_others(s) * expand_dims(sign, 1), 1);
  return reshape(matmul(scaled, vt), a.shape());
}

// The diagonal matrix of 1, ..., n: its singular values are distinct.
template <class T> Tensor<T> counting(std::size_t n) {
  Tensor<T> result = zeros<T>({n, n});
  for (std::size_t i = 0; i < n; ++i) result.mutable_data()[i * (n + 1)] = static_cast<T>(i + 1);
  return result;
}

}  // namespace

template <class T> Tensor<T> det(const Tensor<T>& a) {
  const detail::Lu<T> lu = detail::lu("det", a);
  Tensor<T> y = Tensor<T>::uninitialised(lu.size.batch);
  const Tensor<T> regular = Tensor<T>::uninitialised(lu.size.batch);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const T value = y.mutable_data()[i] = determinant(lu, i);
    regular.mutable_data()[i] = std::isnormal(value) && well_pivoted(lu, i) ? T(1) : T(0);
  }
  const bool all_regular = std::ranges::count(regular.span(), T(0)) == 0;
  return record("det", std::move(y), {a}, [a, lu, regular, all_regular](const Tensor<T>& dy, const Tensor<T>& value) {
    const std::size_t n = lu.size.rows;
    const Tensor<T> one = detail::identity<T>(n);
    if (all_regular) return Gradients(over_matrices(dy * value) * detail::solve_factored(a, lu, one, true));
    // Each way is given harmless matrices in the place of those that go the other way.
    const Tensor<T> choice = over_matrices(regular), by_inverse = where(choice, a, one);
    const Tensor<T> inverses = detail::solve_factored(by_inverse, detail::lu("det", by_inverse), one, true);
    const Tensor<T> by_values = cofactors(where(choice, counting<T>(n), a), lu.size);
    return Gradients(over_matrices(dy) * where(choice, over_matrices(value) * inverses, by_values));
  });
}

template <class T> SignedLogDet<T> slogdet(const Tensor<T>& a) {
  const detail::Lu<T> lu = detail::lu("slogdet", a);
  const Tensor<T> sign = Tensor<T>::uninitialised(lu.size.batch), log = Tensor<T>::uninitialised(lu.size.batch);
  for (std::size_t i = 0; i < sign.size(); ++i) {
    T s = static_cast<T>(lu.permutation_sign(i)), l = 0;
    for (std::size_t j = 0; j < lu.size.rows; ++j) {
      const T pivot = lu.diagonal(i, j);
      s *= pivot > 0 ? T(1) : pivot < 0 ? T(-1) : pivot;  // NaN stays
      l += std::log(std::abs(pivot));
    }
    sign.mutable_data()[i] = s;
    log.mutable_data()[i] = l;
  }
  return {
      sign, record("slogdet", log, {a}, [a, lu](const Tensor<T>& dy) {
        detail::check_regular("slogdet: no gradient", lu);
        return Gradients(over_matrices(dy) * detail::solve_factored(a, lu, detail::identity<T>(lu.size.rows), true));
      })};
}

#define XTAPE_DETERMINANT(T)                \
  template Tensor<T> det(const Tensor<T>&); \
  template SignedLogDet<T> slogdet(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_DETERMINANT)

}  // namespace xtape
