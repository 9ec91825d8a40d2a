// Solutions and determinants of batches: vectors on the right, and singular matrices among others.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/decompositions.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/solve.hpp>
#include <xtape/tape.hpp>

#include "policies.hpp"

#include <doctest/doctest.h>

using namespace xtape;
using namespace xtape::test;

TEST_CASE("solve: a vector on the right is one for each matrix of a batch") {
  // As many matrices as rows, so that a mistaken batch would fit.
  const Tensor<double> l({2, 2, 2}, {2, 0, 1, 1, 1, 0, 3, 2});
  const auto b = vector_of({2, 3});
  const auto a = matmul(l, l, {.transpose_b = true});
  for (const auto& x :
       {cholesky_solve(l, b), solve(a, b),
        triangular_solve(l, triangular_solve(l, broadcast_to(expand_dims(b, 1), {2, 2, 1})), {.transpose = true})}) {
    const auto product = matmul(a, reshape(x, {2, 2, 1}));
    for (std::size_t i = 0; i < 4; ++i) CHECK(product.data()[i] == doctest::Approx(b.data()[i % 2]).epsilon(1e-14));
  }
  CHECK(triangular_solve(l, b).shape() == Shape{2, 2});
  CHECK(message<ValueError>([&] {
          cholesky_solve(Tensor<double>({2, 2}, {1, 0, 2, 0}), b);
        }) == "cholesky_solve: element 1 of the diagonal of matrix of shape (2, 2) is 0");
}

TEST_CASE("det: a singular matrix in a batch takes no derivatives from the others") {
  // The identity has equal singular values, whose vectors have no derivative.
  const Values one{1, 0, 0, 0, 1, 0, 0, 0, 1}, lower_rank{1, 2, 3, 2, 4, 6, 1, 0, 1};
  const auto second = [](const Tensor<double>& at) {
    const auto a = parameter(at);
    Tape tape;
    const auto first = tape.gradient(sum(det(a)), {a}, {.create_graph = true})[0];
    Values weights(9);
    for (std::size_t i = 0; i < 9; ++i) weights[i] = static_cast<double>(i * i) - 7;
    return Doubles{first, tape.gradient(sum(first * Tensor<double>({3, 3}, weights)), {a})[0]};
  };
  Values both = one;
  both.insert(both.end(), lower_rank.begin(), lower_rank.end());
  const auto together = second(Tensor<double>({2, 3, 3}, both));
  for (std::size_t m = 0; m < 2; ++m) {
    const auto alone = second(Tensor<double>({3, 3}, m == 0 ? one : lower_rank));
    for (std::size_t order = 0; order < 2; ++order)
      for (std::size_t i = 0; i < 9; ++i)
        CHECK(together[order].data()[9 * m + i] ==
              doctest::Approx(alone[order].data()[i]).epsilon(1e-13).scale(m == 0 ? 1 : 100));
  }
  // Of the identity, along W: tr(W) 1 - Wᵀ.
  CHECK(is(second(Tensor<double>({3, 3}, one))[1], {66, -2, -29, 6, 50, -42, 3, -18, 2}));
  // Of zeros all of it is 0.
  for (const auto& derivative : second(zeros<double>({2, 3, 3})))
    CHECK(std::ranges::all_of(derivative.span(), [](double v) { return v == 0; }));
}
