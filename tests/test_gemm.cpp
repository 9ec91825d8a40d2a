// Our own matrix products against plain loops, at sizes around those of their tiles and blocks.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../src/kernels/gemm_simd.hpp"

namespace kernels = xtape::kernels;

namespace {

// Rows of a matrix, `gap` elements of something else after each but the last.
template <class T> struct Matrix {
  std::size_t rows, columns, ld;
  std::vector<T> elements;

  Matrix(std::size_t n, std::size_t m, std::size_t gap, std::mt19937& random)
      : rows(n), columns(m), ld(m + gap), elements((n - 1) * ld + m, std::numeric_limits<T>::quiet_NaN()) {
    std::uniform_real_distribution<T> number(T(-1), T(1));
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < m; ++j) at(i, j) = number(random);
  }
  T& at(std::size_t i, std::size_t j) { return elements[i * ld + j]; }
  T at(std::size_t i, std::size_t j) const { return elements[i * ld + j]; }
};

template <class T>
void check_product(bool ta, bool tb, std::size_t n, std::size_t m, std::size_t k, std::size_t gap, T beta) {
  INFO(fmt::format("{} bytes an element, {}x{}x{}, transposed: {}, {}, gap {}, beta {}", sizeof(T), n, m, k, ta, tb,
                   gap, beta));
  std::mt19937 random(static_cast<unsigned>(n * 1000003 + m * 1009 + k));
  const Matrix<T> a(ta ? k : n, ta ? n : k, gap, random), b(tb ? m : k, tb ? k : m, gap, random);
  Matrix<T> c(n, m, gap, random);
  if (beta == T(0)) std::fill(c.elements.begin(), c.elements.end(), std::numeric_limits<T>::quiet_NaN());
  const Matrix<T> before = c;
  kernels::simd_gemm(ta, tb, n, m, k, a.elements.data(), a.ld, b.elements.data(), b.ld, beta, c.elements.data(), c.ld);
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < m; ++j) {
      long double sum = beta == T(0) ? 0.0L : static_cast<long double>(beta) * before.at(i, j), size = std::abs(sum);
      for (std::size_t p = 0; p < k; ++p) {
        const long double term =
            static_cast<long double>(ta ? a.at(p, i) : a.at(i, p)) * (tb ? b.at(j, p) : b.at(p, j));
        sum += term;
        size += std::abs(term);
      }
      const auto error = static_cast<double>(std::abs(c.at(i, j) - sum) / size);
      worst = std::isnan(error) ? error : std::max(worst, error);
    }
  // A sum of k terms, each rounded once: far less than k roundings, for some cancel.
  CHECK(worst <= (2 + std::sqrt(static_cast<double>(k))) * static_cast<double>(std::numeric_limits<T>::epsilon()));
  for (std::size_t i = 0; i + 1 < n; ++i)
    for (std::size_t j = m; j < c.ld; ++j) REQUIRE(std::isnan(c.elements[i * c.ld + j]));
}

template <class T> void check_sizes() {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      for (std::size_t n = 1; n <= 14; ++n)
        for (std::size_t m = 1; m <= 34; ++m) check_product<T>(ta, tb, n, m, 1 + (n * m) % 9, n % 3, T(0));
      for (const std::size_t n : {24, 25, 48, 49, 61})
        for (const std::size_t m : {1, 16, 63, 65, 100}) check_product<T>(ta, tb, n, m, 40, m % 2, T(1));
      for (const std::size_t m : {127, 129, 255, 256, 257, 300, 530})
        for (const std::size_t n : {3, 50}) check_product<T>(ta, tb, n, m, 5, 1, T(-0.5));
      for (const std::size_t k : {391, 392, 393, 785, 1200})
        for (const T beta : {T(0), T(1), T(-0.5)}) {
          check_product<T>(ta, tb, 13, 37, k, 0, beta);
          check_product<T>(ta, tb, 50, 270, k, 2, beta);
        }
    }
}

// An element that is not finite reaches its row or column of the result, and nothing else.
template <class T> void check_not_finite() {
  std::mt19937 random(7);
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const std::size_t n : {5, 60}) {
        const std::size_t m = 45, k = 9;
        Matrix<T> a(ta ? k : n, ta ? n : k, 0, random), b(tb ? m : k, tb ? k : m, 0, random), c(n, m, 0, random);
        const T inf = std::numeric_limits<T>::infinity();
        (ta ? a.at(2, n - 1) : a.at(n - 1, 2)) = inf;
        (tb ? b.at(m - 1, 4) : b.at(4, m - 1)) = std::numeric_limits<T>::quiet_NaN();
        kernels::simd_gemm(ta, tb, n, m, k, a.elements.data(), a.ld, b.elements.data(), b.ld, T(0), c.elements.data(),
                           c.ld);
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t j = 0; j < m; ++j) {
            CAPTURE(i);
            CAPTURE(j);
            if (j == m - 1)
              CHECK(std::isnan(c.at(i, j)));
            else if (i == n - 1)
              CHECK(std::isinf(c.at(i, j)));
            else
              CHECK(std::isfinite(c.at(i, j)));
          }
      }
}

}  // namespace

TEST_CASE("products: tiles, blocks and their rests, transposed or not, agree with plain loops") {
  check_sizes<float>();
  check_sizes<double>();
}

TEST_CASE("products: what is not finite stays in its row or column") {
  check_not_finite<float>();
  check_not_finite<double>();
}
