#include "cofactors.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/solve.hpp>

#include <algorithm>
#include <cmath>

namespace xtape::detail {

namespace {

// The exponent of 2 above |v|; of 0 none.
template <class T> int exponent_of(T v) {
  int exponent = 0;
  if (std::isfinite(v)) std::frexp(v, &exponent);
  return exponent;
}
// True if the numbers, all >= 0, are 0 or differ by a factor of 2^little or more.
template <class T> bool differ_much(const std::vector<T>& largest) {
  constexpr int little = std::numeric_limits<T>::digits / 4;
  const auto [least, most] = std::ranges::minmax(largest);
  return !(least > 0) || exponent_of(most) - exponent_of(least) > little;
}

}  // namespace

template <class T> Balance balance(const Tensor<T>& a, const Matrices& size) {
  const std::size_t n = size.rows;
  Balance result{n, std::vector<std::int64_t>(size.count * n), std::vector<std::int64_t>(size.count * n)};
  std::vector<T> in_row(n), in_column(n);
  for (std::size_t matrix = 0; n > 0 && matrix < size.count; ++matrix) {
    const T* const values = a.data() + matrix * n * n;
    std::ranges::fill(in_column, T(0));
    for (std::size_t i = 0; i < n; ++i) {
      in_row[i] = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const T v = std::abs(values[i * n + j]);
        in_row[i] = std::max(in_row[i], v);
        in_column[j] = std::max(in_column[j], v);
      }
    }
    if (!differ_much(in_row) && !differ_much(in_column)) continue;
    result.changes = true;
    // Of columns the largest once the rows are scaled; in double, whose range that of the scaled numbers may exceed
    // only downwards.
    std::vector<double> scaled(n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      const int row = exponent_of(in_row[i]);
      result.row[matrix * n + i] = -row;
      for (std::size_t j = 0; j < n; ++j)
        scaled[j] = std::max(scaled[j], std::ldexp(std::abs(static_cast<double>(values[i * n + j])), -row));
    }
    for (std::size_t j = 0; j < n; ++j) result.column[matrix * n + j] = -exponent_of(scaled[j]);
  }
  return result;
}

namespace {

// The singular values as t 2^k with t so chosen that products of any of them stay near 1.
template <class T> struct ScaledValues {
  Tensor<T> powers;                     // 2^-k (count, n)
  std::vector<std::int64_t> exponents;  // k (count, n)
  std::int64_t least(std::size_t matrix, std::size_t n) const {
    const auto first = exponents.begin() + static_cast<std::ptrdiff_t>(matrix * n);
    return n == 0 ? 0 : *std::min_element(first, first + static_cast<std::ptrdiff_t>(n));
  }
};
template <class T> ScaledValues<T> scaled_values(const Tensor<T>& s) {
  const std::size_t count = s.shape(0), n = s.shape(1);
  Fresh<T> powers("det", s.shape());
  std::vector<std::int64_t> exponents(count * n);
  for (std::size_t matrix = 0; matrix < count; ++matrix) {
    double product = 1;
    int least = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto value = static_cast<double>(s.data()[matrix * n + i]);
      int k = least;
      if (value > 0 && std::isfinite(value)) {  // values descend: zeros come last, and take the exponent before
        std::frexp(value, &k);
        if (product * std::ldexp(value, -k) < 0.70710678118654752440) --k;
        product *= std::ldexp(value, -k);
        least = k;
      }
      exponents[matrix * n + i] = k;
      constexpr int limit = std::numeric_limits<T>::max_exponent - 1;
      powers.data()[matrix * n + i] = std::ldexp(T(1), std::clamp(-k, -limit, limit));
    }
  }
  return {std::move(powers).finished(), std::move(exponents)};
}

// The product of the factors (count, n), without those that `left_out(row, j)` names, for each row: (count, rows).
template <class T, class F> Tensor<T> products(const Tensor<T>& factors, std::size_t rows, const F& left_out) {
  const std::size_t n = factors.shape(1);
  Tensor<T> result;
  for (std::size_t j = 0; j < n; ++j) {
    Fresh<T> out("det", {rows});
    for (std::size_t row = 0; row < rows; ++row) out.data()[row] = left_out(row, j) ? T(1) : T(0);
    const Tensor<T> factor =
        where(std::move(out).finished(), 1,
              slice(factors, {all(), range(static_cast<std::ptrdiff_t>(j), static_cast<std::ptrdiff_t>(j) + 1)}));
    result = j == 0 ? factor : result * factor;
  }
  return result;
}

// What cofactors are made of; each recorded if A is, and the sign of det U det V, which is constant.
template <class T> struct Factors { Tensor<T> u, s, vt, sign; };
template <class T> Factors<T> factors_of(const Tensor<T>& a) {
  const auto [u, s, vt] = svd("det: no third derivative", a);
  const NoGrad pause;
  return {u, s, vt, reshape(slogdet(u).sign * slogdet(vt).sign, Shape{a.shape(0), 1, 1})};
}

// The gradient by A of <g, cofactors of A 2^-exponent>. With P = Uᵀ g V and Q_ij the product of all singular values but
// two: in the singular vectors' basis, element (i, j) is -Q_ij P_ji off the diagonal, sum_k Q_ik P_kk on it; for the
// second derivatives of a determinant at a diagonal matrix are those by elements ii, jj and by elements ij, ji.
template <class T> Tensor<T> cofactors_gradient(const Factors<T>& f, const Tensor<T>& g) {
  const std::size_t count = f.s.shape(0), n = f.s.shape(1);
  const ScaledValues<T> scale = scaled_values(f.s);
  const Tensor<T> others = products(f.s * scale.powers, n * n,
                                    [n](std::size_t pair, std::size_t j) { return pair / n == j || pair % n == j; });
  const Tensor<T> relative = times_powers(others, [&](std::size_t at) {
    const std::size_t matrix = at / (n * n), i = at / n % n, j = at % n;
    return scale.least(matrix, n) - scale.exponents[matrix * n + i] - scale.exponents[matrix * n + j];
  });
  const Tensor<T> one = identity<T>(n), q = where(one, 0, reshape(relative, Shape{count, n, n}));
  const Tensor<T> p = matmul(matmul(f.u, g, {.transpose_a = true}), f.vt, {.transpose_b = true});
  const Tensor<T> on_diagonal = matmul(q, sum(where(one, p, 0), -1, {.keepdims = true}));
  const Tensor<T> inner = where(one, on_diagonal, -(q * transposed(p)));
  return f.sign * matmul(matmul(f.u, inner), f.vt);
}

// The matrices of cofactors, scaled as ScaledCofactors has them.
template <class T> struct Cofactors {
  using value_type = T;
  static constexpr OpTraits traits{.name = "det"};
  Factors<T> known;  // of A; as in known_or_found()

  using State = Factors<T>;
  const Shape& shape(const Tensor<T>& a) const { return a.shape(); }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& a) const {
    const NoGrad pause;
    const std::size_t n = a.shape(1);
    const Factors<T> f = known.s.defined() ? known : factors_of(a);
    const ScaledValues<T> scale = scaled_values(f.s);
    const Tensor<T> others = products(f.s * scale.powers, n, [](std::size_t i, std::size_t j) { return i == j; });
    const Tensor<T> relative =
        times_powers(others, [&](std::size_t at) { return scale.least(at / n, n) - scale.exponents[at]; });
    const Tensor<T> unsigned_ones = matmul(f.u * expand_dims(relative, 1), f.vt);
    for (std::size_t at = 0; at < y.size(); ++at) y.data()[at] = f.sign.data()[at / (n * n)] * unsigned_ones.data()[at];
    if (state) *state = f;
  }
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& a) const {
    return Gradients(cofactors_gradient(factors_of(a), p.dy));
  }
  Gradients fused_pull(const Pull<T, State>& p, const Tensor<T>&) const {
    return Gradients(cofactors_gradient(p.state, p.dy));
  }
};

}  // namespace

template <class T> ScaledCofactors<T> scaled_cofactors(const Tensor<T>& a) {
  const std::size_t count = a.shape(0), n = a.shape(1);
  std::vector<std::int64_t> exponent(count);
  Factors<T> f;
  {
    const NoGrad pause;
    f = factors_of(a);
  }
  const ScaledValues<T> scale = scaled_values(f.s);
  for (std::size_t at = 0; at < count * n; ++at) exponent[at / n] += scale.exponents[at];
  for (std::size_t matrix = 0; matrix < count; ++matrix) exponent[matrix] -= scale.least(matrix, n);
  return {apply(Cofactors<T>{std::move(f)}, a), std::move(exponent)};
}

#define XTAPE_COFACTORS(T)                                     \
  template Balance balance(const Tensor<T>&, const Matrices&); \
  template ScaledCofactors<T> scaled_cofactors(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_COFACTORS)

}  // namespace xtape::detail
