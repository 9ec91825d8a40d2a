#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/solve.hpp>

#include "../kernels/product.hpp"
#include "cofactors.hpp"
#include "lu.hpp"

#include <cmath>
#include <limits>

namespace xtape {
namespace {

// The determinant of the factored matrix: the product of its pivots, which may leave the range of numbers on its way.
template <class T> kernels::ScaledProduct determinant(const detail::Lu<T>& lu, std::size_t matrix) {
  kernels::ScaledProduct product;
  for (std::size_t i = 0; i < lu.size.rows; ++i) product.multiply(static_cast<double>(lu.diagonal(matrix, i)));
  product.part *= lu.permutation_sign(matrix);
  return product;
}

// Its sign alone, -1, 0 or 1; NaN where the product is NaN.
template <class T> double sign_of_determinant(const detail::Lu<T>& lu, std::size_t matrix) {
  double part = 1;
  for (std::size_t i = 0; i < lu.size.rows; ++i) {
    const auto pivot = static_cast<double>(lu.diagonal(matrix, i));
    part *= pivot == 0 || !std::isfinite(pivot) ? pivot : std::copysign(1.0, pivot);
  }
  part *= lu.permutation_sign(matrix);
  return part > 0 ? 1 : part < 0 ? -1 : part;
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

// The diagonal matrix of 1, ..., n: its singular values are distinct.
template <class T> Tensor<T> counting(std::size_t n) {
  Fresh<T> result("det", {n, n});
  std::ranges::fill(result.span(), T(0));
  for (std::size_t i = 0; i < n; ++i) result.data()[i * (n + 1)] = static_cast<T>(i + 1);
  return std::move(result).finished();
}

// What det's value leaves to its gradient. The matrices are balanced by powers of two before they are factored: what
// is then a small pivot is one by rounding, not by the units that rows and columns are measured in.
template <class T> struct Determinants {
  detail::Lu<T> lu;  // of the balanced matrices
  detail::Balance balance;
  std::vector<std::int64_t> exponent;  // the determinants are between 2^(exponent - 1) and 2^exponent by size
  Tensor<T> regular;                   // 1 where the gradient is found by the inverse, else 0
  bool all_regular = true;

  // a times 2^(row_i + column_j).
  Tensor<T> balanced(const Tensor<T>& a) const {
    return balance.changes ? detail::times_powers(a, [this](std::size_t at) { return exponent_at(at); }) : a;
  }
  std::int64_t exponent_at(std::size_t at) const {
    const std::size_t n = lu.size.rows, matrix = at / (n * n);
    return balance.row[matrix * n + at / n % n] + balance.column[matrix * n + at % n];
  }
};

// C = y A⁻ᵀ: A⁻ᵀ = B⁻ᵀ scaled as B was, and y 2^-exponent between 1/2 and 1. `known`: the factors of B, or empty.
template <class T>
Tensor<T> cofactors_by_inverse(const Determinants<T>& d, const Tensor<T>& b, const detail::Lu<T>& known,
                               const Tensor<T>& value) {
  const std::size_t n = d.lu.size.rows;
  if (!d.balance.changes) return over_matrices(value) * detail::solve_factored(b, known, detail::identity<T>(n), true);
  const Tensor<T> part = detail::times_powers(value, [&](std::size_t i) { return -d.exponent[i]; });
  const Tensor<T> inverse = detail::solve_factored(b, known, detail::identity<T>(n), true);
  return detail::times_powers(over_matrices(part) * inverse,
                              [&](std::size_t at) { return d.exponent[at / (n * n)] + d.exponent_at(at); });
}

// The same of a matrix of any rank.
template <class T> Tensor<T> cofactors_by_values(const Determinants<T>& d, const Tensor<T>& b) {
  const std::size_t n = d.lu.size.rows;
  const auto scaled = detail::scaled_cofactors(reshape(b, Shape{d.lu.size.count, n, n}));
  return detail::times_powers(reshape(scaled.cofactors, b.shape()), [&](std::size_t at) {
    const std::size_t matrix = at / (n * n);
    return scaled.exponent[matrix] + d.exponent_at(at) - d.balance.of_determinant(matrix);
  });
}

// The determinant of each matrix; the gradient is dy times the matrix of cofactors.
template <class T> struct Det {
  using value_type = T;
  static constexpr OpTraits traits{.name = "det", .reads_result = true};
  using State = Determinants<T>;

  Shape shape(const Tensor<T>& a) const { return detail::square_matrices_of("det", a.shape()).batch; }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& a) const {
    const detail::Matrices size = detail::square_matrices_of("det", a.shape());
    State d{{.size = size, .factors = {}, .pivot_list = {}}, detail::balance(a, size), {}, {}, true};
    {
      const NoGrad pause;
      d.lu = detail::lu("det", d.balanced(a));
    }
    Fresh<T> is_regular("det", size.batch);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const kernels::ScaledProduct product = determinant(d.lu, i);
      const std::int64_t scaling = d.balance.of_determinant(i);
      const T value = y.data()[i] = static_cast<T>(product.value(-scaling));
      const bool regular = std::isnormal(value) && well_pivoted(d.lu, i);
      d.exponent.push_back(regular ? product.exponent - scaling : 0);
      is_regular.data()[i] = regular ? T(1) : T(0);
      d.all_regular = d.all_regular && regular;
    }
    d.regular = std::move(is_regular).finished();
    if (state) *state = std::move(d);
  }
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& a) const {
    const State& d = p.state;
    const Tensor<T> b = d.balanced(a);
    if (d.all_regular) return Gradients(over_matrices(p.dy) * cofactors_by_inverse(d, b, d.lu, p.y));
    // Each way is given harmless matrices in the place of those that go the other way.
    const Tensor<T> choice = over_matrices(d.regular), one = detail::identity<T>(d.lu.size.rows);
    const Tensor<T> by_inverse = where(choice, b, one);
    const Tensor<T> inverses = cofactors_by_inverse(d, by_inverse, {}, where(d.regular, p.y, 1));
    const Tensor<T> by_values = cofactors_by_values(d, where(choice, counting<T>(d.lu.size.rows), b));
    return Gradients(over_matrices(p.dy) * where(choice, inverses, by_values));
  }
};

// The sign of each determinant.
template <class T> struct SignOfDet {
  using value_type = T;
  static constexpr OpTraits traits{.name = "slogdet", .differentiable = false};
  detail::Lu<T> known;

  Shape shape(const Tensor<T>& a) const { return detail::square_matrices_of("slogdet", a.shape()).batch; }
  void evaluate(Fresh<T>& sign, const Tensor<T>& a) const {
    detail::Lu<T> found;
    const detail::Lu<T>& lu = detail::known_or_found("slogdet", a, known, found);
    for (std::size_t i = 0; i < sign.size(); ++i) sign.data()[i] = static_cast<T>(sign_of_determinant(lu, i));
  }
};

// The logarithm of each determinant's size; the gradient is dy A⁻ᵀ.
template <class T> struct LogAbsDet {
  using value_type = T;
  static constexpr OpTraits traits{.name = "slogdet"};
  detail::Lu<T> known;

  struct State {
    detail::Lu<T> lu;
  };
  Shape shape(const Tensor<T>& a) const { return detail::square_matrices_of("slogdet", a.shape()).batch; }
  void evaluate(Fresh<T>& log, State* state, const Tensor<T>& a) const {
    detail::Lu<T> found;
    const detail::Lu<T>& lu = detail::known_or_found("slogdet", a, known, found);
    for (std::size_t i = 0; i < log.size(); ++i) log.data()[i] = static_cast<T>(determinant(lu, i).log_size());
    if (state) state->lu = lu;
  }
  Gradients pull(const Pull<T, State>& p, const Tensor<T>& a) const {
    const detail::Lu<T>& lu = p.state.lu;
    detail::check_regular("slogdet: no gradient", lu);
    return Gradients(over_matrices(p.dy) * detail::solve_factored(a, lu, detail::identity<T>(lu.size.rows), true));
  }
};

}  // namespace

template <class T> Tensor<T> det(const Tensor<T>& a) { return apply(Det<T>{}, a); }

template <class T> SignedLogDet<T> slogdet(const Tensor<T>& a) {
  detail::Lu<T> lu = detail::lu("slogdet", a);
  const Tensor<T> sign = apply(SignOfDet<T>{lu}, a);
  return {sign, apply(LogAbsDet<T>{std::move(lu)}, a)};
}

#define XTAPE_DETERMINANT(T)                \
  template Tensor<T> det(const Tensor<T>&); \
  template SignedLogDet<T> slogdet(const Tensor<T>&);
XTAPE_INSTANTIATE(XTAPE_DETERMINANT)

}  // namespace xtape
