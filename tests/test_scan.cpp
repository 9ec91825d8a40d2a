// Products, running results, norms of any order and einsum: zeros, ties, nothing, long axes, wrong parameters.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/einsum.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/scan.hpp>
#include <xtape/ops/shape.hpp>

#include "policies.hpp"

#include <doctest/doctest.h>

#include <numeric>

using namespace xtape;
using namespace xtape::test;

namespace {

// The product of the elements that are not among `left_out`; repeated places give 0, as derivatives do.
double product_without(const Values& x, std::initializer_list<std::size_t> left_out) {
  double p = 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto times = std::count(left_out.begin(), left_out.end(), i);
    if (times > 1) return 0;
    if (times == 0) p *= x[i];
  }
  return p;
}

// Checks all derivatives to third order of a product of n factors, f(x) of one element.
template <class F> void check_product(const F& f, const Values& values) {
  const std::size_t n = values.size();
  const auto x = parameter(vector_of(values));
  Tape tape;
  const auto y = f(x);
  CHECK(y.item() == product_without(values, {}));
  const auto first = tape.gradient(y, {x}, {.create_graph = true})[0];
  for (std::size_t i = 0; i < n; ++i) {
    CHECK(first.data()[i] == product_without(values, {i}));
    const auto second = tape.gradient(sum(slice(first, {i})), {x}, {.create_graph = true})[0];
    for (std::size_t j = 0; j < n; ++j) {
      CHECK(second.data()[j] == product_without(values, {i, j}));
      const auto third = tape.gradient(sum(slice(second, {j})), {x}, {.retain_graph = true})[0];
      for (std::size_t k = 0; k < n; ++k) CHECK(third.data()[k] == product_without(values, {i, j, k}));
    }
  }
}

const std::vector<Values> with_zeros{{2, 3, 5, 7},  {0, 3, 5, 7},    {2, 3, 5, 0},   {2, 0, 5, 7}, {2, 0, 0, 7},
                                     {0, 3, 5, 0},  {0, 0, 0, 7},    {0, 0, 0, 0},   {0},          {4},
                                     {-2, 0, 3, 0}, {1, 2, 0, 4, 5}, {0, 0, 3, 4, 0}};

}  // namespace

TEST_CASE("policies: prod and cumprod have their derivatives at zeros, to third order") {
  for (const Values& values : with_zeros) {
    check_product([](const auto& x) { return prod(x); }, values);
    check_product([](const auto& x) { return prod(reshape(x, {1, -1, 1}), 1); }, values);
    check_product([](const auto& x) { return slice(cumprod(x, 0), {-1}); }, values);
    check_product([](const auto& x) { return slice(cumprod(x, 0, {.reverse = true}), {0}); }, values);
  }
  // A zero in the middle ends what comes after it.
  const auto running = [](const auto& x) { return cumprod(x, 0); };
  CHECK(is(gradient(running, vector_of({2, 0, 3, 4}), {1, 1, 1, 1}), {1, 2 + 6 + 24, 0, 0}));
}

TEST_CASE_TEMPLATE("policies: products of many factors", T, double, float) {
  const std::size_t n = 137;
  std::vector<T> values;
  for (std::size_t i = 0; i < 2 * n; ++i) values.push_back(static_cast<T>(1 + 0.3 * std::sin(static_cast<double>(i))));
  const auto x = parameter(Tensor<T>({n, 2}, values));
  const double tolerance = static_cast<double>(n) * std::numeric_limits<T>::epsilon();
  long double total[2] = {1, 1};
  for (std::size_t i = 0; i < 2 * n; ++i) total[i % 2] *= static_cast<long double>(values[i]);
  Tape tape;
  const auto columns = prod(x, 0), whole = prod(x), both = prod(reshape(x, {1, -1}), 1);
  for (std::size_t j = 0; j < 2; ++j)
    CHECK(std::abs(static_cast<double>(columns.data()[j] / total[j]) - 1) <= tolerance);
  const auto g = tape.gradient(sum(columns), {x})[0];
  for (std::size_t i = 0; i < 2 * n; ++i)
    CHECK(std::abs(static_cast<double>(g.data()[i] * static_cast<long double>(values[i]) / total[i % 2]) - 1) <=
          tolerance);
  for (const auto& y : {whole, both})
    CHECK(std::abs(static_cast<double>(y.item() / (total[0] * total[1])) - 1) <= 2 * tolerance);
}

TEST_CASE("policies: products and running results of nothing, of NaN and of infinities") {
  CHECK(prod(zeros<double>({0})).item() == 1);
  CHECK(is(prod(zeros<double>({2, 0}), 1), {1, 1}));
  CHECK(std::isnan(prod(vector_of({0, not_a_number})).item()));
  CHECK(std::isnan(prod(vector_of({0, inf})).item()));
  CHECK(cumsum(zeros<double>({0}), 0).shape() == Shape{0});
  CHECK(is(cumsum(vector_of({1, not_a_number, 2}), 0), {1, not_a_number, not_a_number}));
  CHECK(is(cumsum(vector_of({1, inf, 2, -inf}), 0), {1, inf, inf, not_a_number}));
  CHECK(is(cumsum(vector_of({1e308, 1e308, -1e308}), 0), {1e308, inf, inf}));
  CHECK(is(cumprod(vector_of({2, not_a_number, 0}), 0), {2, not_a_number, not_a_number}));
  CHECK(is(recurrence(vector_of({not_a_number, 2, 2}), vector_of({1, 0, 1}), 0), {1, 2, 5}));
  CHECK(is(recurrence(vector_of({2, 2, not_a_number}), vector_of({1, 0, 1}), 0, {.reverse = true}), {5, 2, 1}));
}

TEST_CASE_TEMPLATE("policies: cumsum keeps its digits on long axes", T, double, float) {
  const std::size_t n = 100000;
  std::vector<T> values(n * 3);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<T>(std::sin(static_cast<double>(i)) + 0.1 * static_cast<double>(i % 11));
  const Tensor<T> flat({n * 3}, values);
  const auto worst = [&](const Tensor<T>& y, std::size_t stride) {
    std::vector<long double> sums(stride);
    double error = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      long double& sum = sums[i % stride];
      sum += static_cast<long double>(values[i]);
      error = std::max(error, static_cast<double>(std::abs(static_cast<long double>(y.data()[i]) - sum) /
                                                  std::max(std::abs(sum), 1.0L)));
    }
    return error;
  };
  const double eps = std::numeric_limits<T>::epsilon();
  CHECK(worst(cumsum(flat, 0), 1) <= eps);
  CHECK(worst(cumsum(reshape(flat, {-1, 3}), 0), 3) <= eps);
  // More columns than are taken at once.
  CHECK(worst(cumsum(reshape(flat, {-1, 300}), 0), 300) <= eps);
}

TEST_CASE("policies: scans of more columns than are taken at once") {
  Values values(3 * 300);
  std::iota(values.begin(), values.end(), 1.0);
  const Tensor<double> x({3, 300}, values);
  const auto sums = cumsum(x, 0), products = cumprod(x, 0), mixed = recurrence(x, x, 0, {.reverse = true});
  std::size_t wrong = 0;
  for (std::size_t j = 0; j < 300; ++j) {
    const double a = values[j], b = values[300 + j], c = values[600 + j];
    wrong += sums.data()[600 + j] != a + b + c;
    wrong += products.data()[600 + j] != a * b * c;
    wrong += mixed.data()[j] != a * (b * c + b) + a;
  }
  CHECK(wrong == 0);
}

TEST_CASE("policies: stddev has gradient 0 where nothing varies, and squares do not overflow") {
  const auto deviation = [](const auto& x) { return stddev(x); };
  CHECK(stddev(vector_of({4, 4, 4})).item() == 0);
  CHECK(is(gradient(deviation, vector_of({4, 4, 4})), {0, 0, 0}));
  CHECK(is(gradient(deviation, vector_of({7})), {0}));
  CHECK(stddev(vector_of({1e300, -1e300})).item() == 1e300);
  CHECK(stddev(vector_of({1e-300, -1e-300})).item() == doctest::Approx(1e-300).epsilon(1e-14));
  CHECK(std::isnan(stddev(vector_of({3}), all_axes, {.ddof = 1}).item()));
  CHECK(stddev(vector_of({1, 2}), all_axes, {.ddof = 3}).item() == inf);
  CHECK(std::isnan(stddev(zeros<double>({0})).item()));
  CHECK(stddev(vector_of({1e9, 1e9 + 1, 1e9 + 2})).item() == doctest::Approx(std::sqrt(2.0 / 3)));
}

TEST_CASE("policies: norms of any order at zeros, ties and extreme values") {
  const auto of_order = [](double p) { return [p](const auto& x) { return norm(x, all_axes, {.order = p}); }; };
  const Tensor<double> tied = vector_of({-3, 1, 3, 1});
  CHECK(is(gradient(of_order(inf), tied), {-1, 0, 0, 0}));
  CHECK(is(gradient(of_order(-inf), tied), {0, 1, 0, 0}));
  CHECK(is(gradient(of_order(1), vector_of({-3, 0, 2})), {-1, 0, 1}));
  CHECK(norm(vector_of({-3, 0, not_a_number, 2}), all_axes, {.order = 0}).item() == 3);
  CHECK(is(gradient(of_order(0), vector_of({-3, 0, 2})), {0, 0, 0}));
  for (const double p : {0.5, 1.5, 3.0, 2.0, inf}) {
    CAPTURE(p);
    CHECK(is(gradient(of_order(p), vector_of({0, 0})), {0, 0}));
    CHECK(gradient(of_order(p), vector_of({0, 2})).data()[0] == 0);
    CHECK(gradient(of_order(p), vector_of({0, -2})).data()[1] == -1);
    CHECK(of_order(p)(vector_of({0, 1e300})).item() == doctest::Approx(1e300));
    CHECK(of_order(p)(vector_of({0, 1e-300})).item() == doctest::Approx(1e-300));
    CHECK(of_order(p)(vector_of({1, -inf})).item() == inf);
    CHECK(std::isnan(of_order(p)(vector_of({1, not_a_number})).item()));
    CHECK(of_order(p)(zeros<double>({0})).item() == 0);
  }
  CHECK(of_order(3)(vector_of({3e200, 4e200, 5e200})).item() == doctest::Approx(6e200));
  CHECK(of_order(-1)(vector_of({2e200, 2e200})).item() == doctest::Approx(1e200));
  CHECK(of_order(-1)(vector_of({2, 0})).item() == 0);
  CHECK(is(gradient(of_order(-1), vector_of({2, 0})), {0, 0}));
  CHECK(of_order(-1)(vector_of({2, inf})).item() == 2);
  CHECK(of_order(1e300)(vector_of({2, 3})).item() == 3);
  CHECK(of_order(-1e300)(vector_of({2, 3})).item() == 2);
  // Curvature at 0: that of |x|^3 vanishes.
  const auto x = parameter(vector_of({0, 2}));
  Tape tape;
  const auto g = tape.gradient(of_order(3)(x), {x}, {.create_graph = true})[0];
  CHECK(is(tape.gradient(sum(g), {x})[0], {0, 0}));

  CHECK(message<ValueError>([&] { of_order(not_a_number)(tied); }) == "norm: the order is not a number");
  CHECK(message<ShapeError>([&] { of_order(-inf)(zeros<double>({0})); }) ==
        "norm: no elements along the reduced axes of shape (0,)");
  CHECK(norm(zeros<double>({0, 2}), 1, {.order = -2}).shape() == Shape{0});
  for (const double p : {0.0, 1.0, 2.0, 3.0, inf, -inf})
    CHECK(message<ShapeError>([&] { norm(tied, 1, {.order = p}); }).starts_with("norm: axis 1"));
}

TEST_CASE("policies: argmin takes the first of equals, and NaN") {
  CHECK(argmin(vector_of({3, 1, 2, 1})) == 1);
  CHECK(argmin(vector_of({3, not_a_number, 1})) == 1);
  CHECK(argmin(full<double>({2, 3}, 1), 1).flat(1) == 0);
}

TEST_CASE("policies: einsum says what is wrong, with subscripts and shapes") {
  const auto a = zeros<double>({2, 3}), b = zeros<double>({4, 5}), c = zeros<double>({3, 3});
  CHECK(message<ShapeError>([&] {
          einsum("ij,jk->ik", {a, b});
        }) == "einsum: axes j have extents 3 and 4: \"ij,jk->ik\" with (2, 3) and (4, 5)");
  CHECK(message<ShapeError>([&] { einsum("ii", {a}); }) ==
        "einsum: axes i of one operand have extents 2 and 3: \"ii\" with (2, 3)");
  CHECK(
      message<ShapeError>([&] { einsum("ijk", {a}); }).starts_with("einsum: 3 subscripts for the 2 axes of operand 0"));
  CHECK(message<ValueError>([&] { einsum("ij,jk", {a}); }).starts_with("einsum: 2 terms for 1 operands"));
  CHECK(message<ValueError>([&] {
          einsum("", std::vector<Tensor<double>>{});
        }).starts_with("einsum: 1 terms for 0 operands"));
  CHECK(message<ValueError>([&] { einsum("ij->ijj", {a}); }).starts_with("einsum: the output has axis j twice"));
  CHECK(message<ValueError>([&] { einsum("ij->ik", {a}); }).starts_with("einsum: no operand has the output's axis k"));
  CHECK(message<ValueError>([&] { einsum("...j->j", {a}); }).starts_with("einsum: the output lacks the ellipsis"));
  for (const char* wrong : {"i1", "i.j", "i..", "......", "i...j...", "ij-", "ij>", "ij->i->j", "ij->i,j", "i\xC3\xA9"})
    CHECK_MESSAGE(message<ValueError>([&] { einsum(wrong, {a}); }).starts_with("einsum: subscripts are letters"),
                  wrong);
  CHECK(message<ShapeError>([&] {
          const auto deep = ones<double>({1, 1, 1, 1, 1});
          einsum("abcde,fghij,abcdefghij->", {deep, deep, ones<double>({1, 1, 1, 1, 1, 1, 1, 1})});
        }).starts_with("einsum: 10 subscripts for the 8 axes of operand 2"));
  CHECK(message<ShapeError>([&] {
          einsum("abcde,fghij->", {ones<double>({1, 1, 1, 1, 1, 1}), ones<double>({1, 1, 1, 1, 1})});
        }).starts_with("einsum: 5 subscripts for the 6 axes"));
  CHECK(einsum("abcde,fghij->", {ones<double>({1, 1, 2, 1, 1}), ones<double>({1, 1, 1, 1, 3})}).item() == 6);
  CHECK(einsum("... -> ...", {c}).shape() == Shape{3, 3});
}

TEST_CASE("policies: einsum contracts the cheapest pair first, by matrix products") {
  // From the right: a matrix times a vector, twice; the matrices' product alone would need 2^40 elements.
  const std::size_t n = std::size_t{1} << 20;
  const auto u = parameter(ones<double>({n, 1})), v = ones<double>({1, n}), w = ones<double>({n});
  Tape tape;
  const auto y = einsum("ij,jk,k->i", {u, v, w});
  CHECK(y.data()[n - 1] == static_cast<double>(n));
  CHECK(sum(tape.gradient(sum(y), {u})[0]).item() == static_cast<double>(n) * static_cast<double>(n));

  const auto x = parameter(ones<double>({4, 3, 5}));
  Tape second;
  einsum("bij,bjk->bik", {x, ones<double>({4, 5, 2})});
  const auto names = second.op_names();
  CHECK(std::ranges::count(names, "matmul") == 1);
  CHECK(std::ranges::count(names, "transpose") == 0);
}
