// Transforms against derivatives known on paper, against each other, and against differences.

#include <doctest/doctest.h>
#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>
#include <xtape/tape.hpp>
#include <xtape/transforms.hpp>
#include <xtape/verify.hpp>

#include <algorithm>
#include <cmath>
#include <memory>

#include "message.hpp"

using namespace xtape;
using D = Tensor<double>;
using Ds = std::vector<D>;

namespace {

// Largest difference, relative to the largest element of either.
template <class T> double distance(const Tensor<T>& a, const Tensor<T>& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0, scale = 1e-300;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double u = a.data()[i], v = b.data()[i];
    if (!(std::isfinite(u) && std::isfinite(v))) return HUGE_VAL;
    largest = std::max(largest, std::abs(u - v));
    scale = std::max({scale, std::abs(u), std::abs(v)});
  }
  return largest / scale;
}

D normal(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  return init::normal(shape, 0.0, 1.0, rng);
}

// H as a matrix, whatever x's shape.
D matrix(const D& h, std::size_t rows) { return reshape(h, {rows, h.size() / rows}); }
D times(const D& matrix, const D& v) { return reshape(matmul(matrix, reshape(v, {-1, 1})), {-1}); }

// sum_i 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2
template <class T> Tensor<T> rosenbrock(const Tensor<T>& x) {
  const auto head = slice(x, {range(0, -1)}), tail = slice(x, {range(1, Range::open)});
  return sum(100 * square(tail - square(head)) + square(1 - head));
}
D rosenbrock_gradient(const D& x) {
  const std::size_t n = x.size();
  D g = zeros<double>({n});
  const double* v = x.data();
  for (std::size_t i = 0; i + 1 < n; ++i) {
    const double r = v[i + 1] - v[i] * v[i];
    g.modify()[i] += -400 * v[i] * r - 2 * (1 - v[i]);
    g.modify()[i + 1] += 200 * r;
  }
  return g;
}
D rosenbrock_hessian(const D& x) {
  const std::size_t n = x.size();
  D h = zeros<double>({n, n});
  const double* v = x.data();
  for (std::size_t i = 0; i + 1 < n; ++i) {
    h.modify()[i * n + i] += 1200 * v[i] * v[i] - 400 * v[i + 1] + 2;
    h.modify()[i * n + i + 1] = h.modify()[(i + 1) * n + i] = -400 * v[i];
    h.modify()[(i + 1) * n + i + 1] += 200;
  }
  return h;
}

// The solution of A x = b by elimination with pivots.
std::vector<double> solved(const D& a, const D& b) {
  const std::size_t n = b.size();
  std::vector<std::vector<double>> rows(n);
  for (std::size_t i = 0; i < n; ++i) {
    rows[i].assign(a.data() + i * n, a.data() + (i + 1) * n);
    rows[i].push_back(b.data()[i]);
  }
  for (std::size_t k = 0; k < n; ++k) {
    std::swap(rows[k], *std::max_element(rows.begin() + static_cast<std::ptrdiff_t>(k), rows.end(),
                                         [k](auto& u, auto& v) { return std::abs(u[k]) < std::abs(v[k]); }));
    for (std::size_t i = 0; i < n; ++i)
      if (i != k)
        for (std::size_t j = n + 1; j-- > k;) rows[i][j] -= rows[i][k] / rows[k][k] * rows[k][j];
  }
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = rows[i][n] / rows[i][i];
  return x;
}

constexpr auto scalar_sin = [](const auto& x) { return sin(x); };

}  // namespace

TEST_CASE("transforms: Rosenbrock's function: gradient, Hessian and their products are those on paper") {
  for (const std::size_t n : {2U, 10U}) {
    CAPTURE(n);
    const D x = normal({n}, 3), v = normal({n}, 4);
    const auto f = [](const D& t) { return rosenbrock(t); };
    CHECK(distance(grad(f, x), rosenbrock_gradient(x)) < 1e-14);
    const auto [value, gradient] = value_and_grad(f, x);
    CHECK(value.item() == rosenbrock(x).item());
    CHECK(distance(gradient, rosenbrock_gradient(x)) < 1e-14);
    const D h = hessian(f, x);
    CHECK(distance(h, rosenbrock_hessian(x)) < 1e-14);
    CHECK(distance(hvp(f, x, v), times(rosenbrock_hessian(x), v)) < 1e-14);
    // The gradient's own Jacobian, by rows and by columns.
    const auto g = [&](const D& t) { return grad(f, t); };
    CHECK(distance(jacobian(g, x), rosenbrock_hessian(x)) < 1e-14);
    CHECK(distance(jvp(g, x, v), times(rosenbrock_hessian(x), v)) < 1e-14);
    CHECK(!value.requires_grad());
    CHECK(!h.requires_grad());
  }
  CHECK(!Tape::recording());
}

TEST_CASE("transforms: logistic regression has the Hessian X' diag(p (1 - p)) X, and Newton's method doubles digits") {
  const std::size_t n = 60, k = 4;
  const D x = normal({n, k}, 5), truth = normal({k}, 6);
  Rng rng(7);
  D label = zeros<double>({n});
  const D p = sigmoid(reshape(matmul(x, reshape(truth, {-1, 1})), {-1}));
  for (std::size_t i = 0; i < n; ++i) label.modify()[i] = rng.uniform() < p.data()[i] ? 1 : 0;
  const auto logits = [&](const D& w) { return reshape(matmul(x, reshape(w, {-1, 1})), {-1}); };
  const auto loss = [&](const D& w) { return sum(softplus(logits(w)) - label * logits(w)); };

  const D at = normal({k}, 8);
  const D q = sigmoid(logits(at));
  CHECK(distance(grad(loss, at), reshape(matmul(reshape(q - label, {1, -1}), x), {-1})) < 1e-13);
  const D on_paper = matmul(x, reshape(q * (1 - q), {-1, 1}) * x, {.transpose_a = true});
  CHECK(distance(hessian(loss, at), on_paper) < 1e-14);

  std::vector<D> iterates{zeros<double>({k})};
  for (int step = 0; step < 10; ++step) {
    const D& w = iterates.back();
    const auto delta = solved(hessian(loss, w), grad(loss, w));
    iterates.push_back(w - D({k}, delta));
  }
  std::vector<double> digits;  // right in each iterate, once they are any
  for (const D& w : iterates) digits.push_back(-std::log10(std::max(norm(w - iterates.back()).item(), 1e-16)));
  // From the first good digit on each step doubles them, up to a constant, until rounding.
  std::size_t doublings = 0;
  for (std::size_t i = 0; i + 1 < digits.size(); ++i)
    if (digits[i] > 1 && digits[i] < 7) {
      ++doublings;
      CHECK(digits[i + 1] > 1.8 * digits[i]);
    }
  CHECK(doublings >= 2);
  CHECK(norm(grad(loss, iterates.back())).item() < 1e-13);
}

TEST_CASE("transforms: a two-layer network's Hessian, against differences of gradients and Hessian-vector products") {
  const D input = normal({7, 3}, 1), target = normal({7, 2}, 2), w2 = normal({4, 2}, 3);
  const auto loss = [&](const D& w1) { return mse_loss(matmul(tanh(matmul(input, w1)), w2), target); };
  const D w = normal({3, 4}, 4), v = normal({3, 4}, 5);
  const D h = hessian(loss, w);
  CHECK(h.shape() == Shape{3, 4, 3, 4});
  const D m = matrix(h, 12);
  CHECK(distance(m, transpose(m)) < 1e-14);
  CHECK(distance(hvp(loss, w, v), reshape(times(m, v), {3, 4})) < 1e-14);
  const double step = 1e-4;
  D differences = zeros<double>({12, 12});
  for (std::size_t i = 0; i < 12; ++i) {
    D unit = zeros<double>({3, 4});
    unit.modify()[i] = step;
    const D row =
        (8 * (grad(loss, w + unit) - grad(loss, w - unit)) - (grad(loss, w + 2 * unit) - grad(loss, w - 2 * unit))) /
        (12 * step);
    std::copy(row.data(), row.data() + 12, differences.modify().data() + 12 * i);
  }
  CHECK(distance(m, differences) < 1e-10);

  // By both layers at once: the products with a direction in both are the sums of the blocks' products.
  const auto both = [&](const Ds& p) { return mse_loss(matmul(tanh(matmul(input, p[0])), p[1]), target); };
  const D v2 = normal({4, 2}, 6);
  const auto [g1, g2] = grad(both, {w, w2});
  CHECK(distance(g1, grad(loss, w)) < 1e-15);
  const auto values = value_and_grad(both, {w, w2});
  CHECK(values.value.item() == loss(w).item());
  CHECK(distance(values.gradients[1], g2) == 0);
  const auto [h1, h2] = hvp(both, {w, w2}, {v, v2});
  const auto along = [&](double t) { return grad(both, {w + t * v, w2 + t * v2}); };
  for (std::size_t k = 0; k < 2; ++k) {
    const D slope = (8 * (along(step)[k] - along(-step)[k]) - (along(2 * step)[k] - along(-2 * step)[k])) / (12 * step);
    CHECK(distance(k == 0 ? h1 : h2, slope) < 1e-10);
  }
}

TEST_CASE("transforms: softmax has the Jacobian diag(s) - s s', and products with it from both sides") {
  const D x = normal({5}, 1), u = normal({5}, 2), v = normal({5}, 3);
  const auto g = [](const D& t) { return softmax(t); };
  const D s = softmax(x);
  D j = -outer(s, s);
  for (std::size_t i = 0; i < 5; ++i) j.modify()[6 * i] += s.data()[i];
  CHECK(distance(jacobian(g, x), j) < 1e-15);
  CHECK(distance(vjp(g, x, u), times(transpose(j), u)) < 1e-14);
  CHECK(distance(jvp(g, x, v), times(j, v)) < 1e-14);
  const double step = 1e-3;
  const auto at = [&](double t) { return softmax(x + t * v); };
  CHECK(distance(jvp(g, x, v), (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)) < 1e-11);

  // Of several tensors, one of which is used twice and one not at all.
  const D w = normal({5}, 4), zero = zeros<double>({5});
  const auto many = [](const Ds& t) { return t[0] * sin(t[1]) + t[0]; };
  const auto [ux, uw, uz] = vjp(many, {x, w, zero}, u);
  CHECK(distance(ux, u * (sin(w) + 1)) < 1e-15);
  CHECK(distance(uw, u * x * cos(w)) < 1e-15);
  CHECK(distance(uz, zero) == 0);
  CHECK(distance(jvp(many, {x, w, zero}, {u, v, v}), u * (sin(w) + 1) + v * x * cos(w)) < 1e-15);
}

TEST_CASE("transforms: shapes: any of x and of the result, 0-d, one element, none") {
  const auto g = [](const D& t) { return sum(square(t), 0) * 0.5; };  // (n, m) -> (m,)
  const D x = normal({3, 2}, 1);
  const D j = jacobian(g, x);
  CHECK(j.shape() == Shape{2, 3, 2});
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t c = 0; c < 2; ++c) CHECK(j.data()[(i * 3 + r) * 2 + c] == (i == c ? x.data()[r * 2 + c] : 0));
  CHECK(jacobian(scalar_sin, D(0.5)).shape() == Shape{});
  CHECK(hessian(scalar_sin, D(0.5)).item() == doctest::Approx(-std::sin(0.5)).epsilon(1e-15));
  CHECK(hessian(scalar_sin, full<double>({1, 1}, 0.5)).shape() == Shape{1, 1, 1, 1});
  const D none = zeros<double>({0, 3});
  CHECK(grad([](const D& t) { return sum(t); }, none).shape() == Shape{0, 3});
  CHECK(hessian([](const D& t) { return sum(t * t); }, none).shape() == Shape{0, 3, 0, 3});
  CHECK(jacobian(g, none).shape() == Shape{3, 0, 3});
  CHECK(jvp(g, none, none).shape() == Shape{3});
  CHECK(vjp(g, none, normal({3}, 1)).shape() == Shape{0, 3});
  CHECK(hvp([](const D& t) { return sum(t * t); }, none, none).shape() == Shape{0, 3});
}

TEST_CASE("transforms: the identity, and functions that do not depend on x") {
  const D x = normal({2}, 1), v = normal({2}, 2), w = parameter(normal({2}, 3));
  const auto same = [](const D& t) { return t; };
  CHECK(distance(jvp(same, x, v), v) == 0);
  CHECK(distance(vjp(same, x, v), v) == 0);
  CHECK(distance(jacobian(same, x), D({2, 2}, {1, 0, 0, 1})) == 0);
  CHECK(grad(same, D(2.0)).item() == 1);
  CHECK(hessian(same, D(2.0)).item() == 0);
  CHECK(!value_and_grad(same, D(2.0)).value.requires_grad());
  for (const bool recording : {false, true}) {
    std::unique_ptr<Tape> tape;
    if (recording) tape = std::make_unique<Tape>();
    for (const auto& f : std::vector<std::function<D(const D&)>>{
             [](const D&) { return D(3.0); }, [&](const D&) { return sum(w * w); }, [&](const D&) { return sum(v); }}) {
      CHECK(sum(abs(grad(f, x))).item() == 0);
      CHECK(sum(abs(hvp(f, x, v))).item() == 0);
      CHECK(sum(abs(hessian(f, x))).item() == 0);
      CHECK(sum(abs(jacobian(f, x))).item() == 0);
      CHECK(sum(abs(jvp(f, x, v))).item() == 0);
      CHECK(sum(abs(vjp(f, x, D(1.0)))).item() == 0);
    }
    CHECK(jvp([&](const D&) { return w; }, x, v).shape() == Shape{2});
  }
  CHECK(!w.grad().defined());
}

TEST_CASE("transforms: nesting, to the sixth derivative of sin and the third of x^3 y^2") {
  const double t = 0.7;
  CHECK(grad(grad(grad(scalar_sin)))(D(t)).item() == doctest::Approx(-std::cos(t)).epsilon(1e-15));
  CHECK(grad(grad(grad(grad(grad(grad(scalar_sin))))))(D(t)).item() == doctest::Approx(-std::sin(t)).epsilon(1e-15));
  CHECK(grad(grad(grad(scalar_sin)))(Tensor<float>(0.7F)).item() == doctest::Approx(-std::cos(t)).epsilon(1e-7));
  // d/dy d2/dx2 (x^3 y^2) = 12 x y; the inner functions use the outer variables from outside.
  const auto mixed = [](const D& y) {
    return grad([&](const D& x) { return grad([&](const D& z) { return z * z * z * y * y; }, x); }, D(1.5));
  };
  CHECK(grad(mixed, D(0.4)).item() == doctest::Approx(12 * 1.5 * 0.4).epsilon(1e-15));
  // The Jacobian of a Hessian: the third derivatives of sum x^4 / 24.
  const D x = normal({3}, 1);
  const auto third =
      jacobian([](const D& v) { return hessian([](const D& z) { return sum(square(square(z))) / 24; }, v); }, x);
  CHECK(third.shape() == Shape{3, 3, 3});
  for (std::size_t i = 0; i < 27; ++i) CHECK(third.data()[i] == doctest::Approx(i % 13 == 0 ? x.data()[i / 13] : 0));
}

TEST_CASE("transforms: x from outside is a constant inside, and not to the outer derivative") {
  // h(x) = d/dz (z^2 x) at z = x, which is 2 x^2, and not d/dx x^3; h'(x) = 4x.
  const auto h = [](const D& x) { return grad([&](const D& z) { return z * z * x; }, x); };
  CHECK(h(D(3.0)).item() == 18);
  CHECK(grad(h, D(3.0)).item() == 12);
  CHECK(grad(grad(h))(D(3.0)).item() == 4);
  // The same with the caller's own tape.
  D x = parameter(D(3.0));
  Tape tape;
  tape.backward(h(x));
  CHECK(x.grad().item() == 12);
}

TEST_CASE("transforms: on a tape, gradients flow to x, u, v and to every tensor that f uses") {
  const D w = parameter(normal({3, 3}, 1)), x = parameter(normal({3}, 2)), u = parameter(normal({3}, 3)),
          v = parameter(normal({3}, 4));
  // Everything enters: each transform's result, weighted, as a function of w, x, u, v.
  const D weight = normal({3}, 5), weights = normal({3, 3}, 6);
  const auto layer = [](const D& m, const D& t) { return tanh(reshape(matmul(m, reshape(t, {-1, 1})), {-1})); };
  const auto net = [&](const Ds& p) { return [layer, m = p[0] * 1.0](const D& t) { return layer(m, t); }; };
  const auto loss = [&](const Ds& p) { return [g = net(p)](const D& t) { return sum(square(g(t)) * t); }; };
  const std::vector<std::pair<std::string, std::function<D(const Ds&)>>> functions{
      {"grad", [&](const Ds& p) { return sum(grad(loss(p), p[1]) * weight); }},
      {"value", [&](const Ds& p) { return value_and_grad(loss(p), p[1]).value; }},
      {"vjp", [&](const Ds& p) { return sum(vjp(net(p), p[1], p[2]) * weight); }},
      {"jvp", [&](const Ds& p) { return sum(jvp(net(p), p[1], p[3]) * weight); }},
      {"hvp", [&](const Ds& p) { return sum(hvp(loss(p), p[1], p[3]) * weight); }},
      {"jacobian", [&](const Ds& p) { return sum(jacobian(net(p), p[1]) * weights); }},
      {"hessian", [&](const Ds& p) { return sum(hessian(loss(p), p[1]) * weights); }},
      {"of a constant x", [&](const Ds& p) { return sum(grad(loss(p), weight) * weight) + sum(p[1]); }},
  };
  for (const auto& function : functions) {
    INFO(function.first);
    const auto report =
        gradcheck(function.second, {w, x, u, v}, {.difference_tolerance = 1e-8, .step = 1e-3, .second_order = true});
    CHECK_MESSAGE(report.passed, to_string(report));
  }
  // A parameter that f takes from outside gets its grad() from a backward sweep; the inner variable leaves nothing.
  Tape tape;
  const D constant = normal({3}, 7);
  tape.backward(sum(square(grad([&](const D& t) { return sum(layer(w, t)); }, constant))));
  CHECK(w.grad().defined());
  CHECK(!constant.grad().defined());
  CHECK(!x.grad().defined());
}

TEST_CASE("transforms: once differentiated by, the inner variable is a constant to later sweeps") {
  const D w = parameter(normal({3}, 1)), x = normal({3}, 2);
  bool wanted_by_x = false;
  const auto product = [&](const D& t) {
    return record("product", (t * w).detach(), {t, w}, [&, t](const D& dy, Wanted wanted) {
      wanted_by_x = wanted[0];
      return wanted.gradients([&] { return dy * w; }, [&] { return dy * t; });
    });
  };
  Tape tape;
  const auto [value, gradient] = value_and_grad([&](const D& t) { return sum(product(t)); }, x);
  CHECK(wanted_by_x);
  tape.backward(value + sum(gradient));
  CHECK(!wanted_by_x);
  CHECK(distance(w.grad(), x + 1) < 1e-15);
}

TEST_CASE("transforms: an optimisation step inside, differentiated: its learning rate's gradient") {
  // f(t) = (t - 1)^4 after one step from 3 with rate r: t1 = 3 - 32 r; d f(t1)/dr = 4 (2 - 32 r)^3 (-32).
  const auto f = [](const D& t) { return square(square(t - 1)); };
  const double r = 0.05;
  const auto after = [&](const D& rate) { return f(3.0 - rate * grad(f, D(3.0))); };
  CHECK(grad(after, D(r)).item() == doctest::Approx(-128 * std::pow(2 - 32 * r, 3)).epsilon(1e-14));
}

TEST_CASE("transforms: without a tape, or under NoGrad, results are plain and nothing is left") {
  const D w = parameter(normal({3}, 1)), x = parameter(normal({3}, 2));
  const auto f = [&](const D& t) { return sum(sin(t) * w); };
  const auto plain = [&] {
    CHECK(!grad(f, x).requires_grad());
    CHECK(!value_and_grad(f, x).value.requires_grad());
    CHECK(!hvp(f, x, x).requires_grad());
    CHECK(!hessian(f, x).requires_grad());
    CHECK(!vjp([](const D& t) { return t; }, x, w).requires_grad());  // is u itself, without its history
    CHECK(!value_and_grad([&](const D&) { return slice(w, {0}); }, x).value.requires_grad());
    CHECK(!w.grad().defined());
    CHECK(!x.grad().defined());
  };
  plain();
  CHECK(!Tape::recording());
  Tape tape;
  {
    const NoGrad pause;
    plain();
    CHECK(!Tape::recording());
  }
  CHECK(tape.size() == 0);
  CHECK(grad(f, x).requires_grad());
  CHECK(tape.size() > 0);
}

TEST_CASE("transforms: what f throws passes through and leaves tapes usable") {
  const D x = parameter(normal({3}, 1));
  const auto planted = [](const D& t) -> D {
    sum(t * t);
    throw std::runtime_error("planted");
  };
  const auto all_throw = [&] {
    CHECK_THROWS_WITH(grad(planted, x), "planted");
    CHECK_THROWS_WITH(hessian(planted, x), "planted");
    CHECK_THROWS_WITH(jvp(planted, x, x), "planted");
    CHECK_THROWS_WITH(grad([&](const D& t) { return sum(grad(planted, t)); }, x), "planted");
  };
  all_throw();
  CHECK(!Tape::recording());
  Tape tape;
  const D before = x * x;
  all_throw();
  CHECK(Tape::recording());
  tape.backward(sum(before) + sum(grad([](const D& t) { return sum(t * t * t); }, x)));
  for (std::size_t i = 0; i < 3; ++i) CHECK(x.grad().data()[i] == doctest::Approx(8 * x.data()[i]));
}

TEST_CASE("transforms: errors name the transform and the shapes, and say what to do") {
  const D x = normal({3}, 1), wrong = normal({2}, 1);
  const auto g = [](const D& t) { return sin(t); };
  const auto f = [](const D& t) { return sum(t * t); };
  const auto many = [](const Ds& t) { return sum(t[0] * t[1]); };
  CHECK(message<ShapeError>([&] { grad(g, x); }) ==
        "grad: the function must return one element, got shape (3,); sum it, or take jacobian() or vjp()");
  CHECK(message<ShapeError>([&] { value_and_grad(g, x); }).starts_with("value_and_grad: "));
  CHECK(message<ShapeError>([&] { hessian(g, x); }).starts_with("hessian: the function must return one element"));
  CHECK(message<ShapeError>([&] { hvp(g, x, x); }).starts_with("hvp: the function must return one element"));
  CHECK(message<ShapeError>([&] { vjp(g, x, wrong); }) == "vjp: the left vector has shape (2,), expected (3,)");
  CHECK(message<ShapeError>([&] { jvp(g, x, wrong); }) == "jvp: the direction has shape (2,), expected (3,)");
  CHECK(message<ShapeError>([&] { hvp(f, x, wrong); }) == "hvp: the direction has shape (2,), expected (3,)");
  CHECK(message<ShapeError>([&] { hvp(many, Ds{x, x}, Ds{x}); }) == "hvp: 1 directions for 2 tensors");
  CHECK(message<ShapeError>([&] { jvp(many, {x, x}, {x, wrong}); }).starts_with("jvp: the direction has shape (2,)"));
  CHECK(message<ShapeError>([&] { grad(many, {x, wrong}); }).starts_with("multiply: "));
  const D high = ones<double>({1, 1, 1, 1, 1});
  CHECK(message<ShapeError>([&] { jacobian(g, high); }) ==
        "jacobian: (1, 1, 1, 1, 1) and (1, 1, 1, 1, 1) together have more than 8 axes");
  CHECK(message<ShapeError>([&] { hessian(f, high); }).starts_with("hessian: (1, 1, 1, 1, 1) and"));
  CHECK(message<Error>([&] { grad([](const D&) { return D(); }, x); }) ==
        "grad: the function returned an undefined tensor");
  CHECK_THROWS_AS(grad(f, D()), const Error&);
  CHECK_THROWS_AS(vjp(g, x, D()), const Error&);
  CHECK_THROWS_AS(jvp(g, x, D()), const Error&);
}

TEST_CASE("transforms: the same tensor given twice counts as two") {
  const D x = normal({3}, 1);
  const auto [a, b] = grad([](const Ds& t) { return sum(square(t[0]) * t[1]); }, {x, x});
  CHECK(distance(a, 2 * square(x)) < 1e-15);
  CHECK(distance(b, square(x)) < 1e-15);
}

TEST_CASE("transforms: float") {
  using F = Tensor<float>;
  Rng rng(1);
  const F x = init::normal<float>({6}, 0.F, 1.F, rng), v = init::normal<float>({6}, 0.F, 1.F, rng);
  const auto f = [](const F& t) { return rosenbrock(t); };
  const D wide(x.array());
  CHECK(distance(D(grad(f, x).array()), rosenbrock_gradient(wide)) < 1e-6);
  CHECK(distance(D(hessian(f, x).array()), rosenbrock_hessian(wide)) < 1e-6);
  CHECK(distance(D(hvp(f, x, v).array()), times(rosenbrock_hessian(wide), D(v.array()))) < 1e-6);
  const auto g = [](const F& t) { return softmax(t); };
  CHECK(distance(jvp(g, x, v), reshape(matmul(jacobian(g, x), reshape(v, {-1, 1})), {-1})) < 1e-6);
  CHECK(distance(vjp(g, x, v), reshape(matmul(reshape(v, {1, -1}), jacobian(g, x)), {-1})) < 1e-6);
}

TEST_CASE("transforms: a Jacobian runs its function once, and a Hessian too") {
  int runs = 0;
  const auto f = [&](const D& t) {
    ++runs;
    return sum(square(t) * t);
  };
  hessian(f, normal({9}, 1));
  CHECK(runs == 1);
  jacobian([&](const D& t) { return f(t) + t; }, normal({9}, 1));
  CHECK(runs == 2);
}
