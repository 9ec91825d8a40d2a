#include "test_ops_measure.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>
#include <xtape/verify.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

namespace xtape::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Uniform on [0, 1), the same on every platform.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

// The u-th quantile, 0 <= u < 1, of the uniform distribution on the domain without the neighbourhoods of its kinks.
double place(const Domain& domain, double u) {
  std::vector<std::pair<double, double>> pieces;
  double from = domain.low, total = 0;
  for (const double kink : domain.kinks) {
    pieces.emplace_back(from, kink - domain.margin);
    from = kink + domain.margin;
  }
  pieces.emplace_back(from, domain.high);
  for (const auto& [low, high] : pieces) total += high - low;
  double left = u * total;
  for (const auto& [low, high] : pieces) {
    if (left < high - low) return low + left;
    left -= high - low;
  }
  return domain.high;
}

// Numbers of all inputs together: one in each of n equal parts of its domain, so that no two of them tie.
Tensors<double> sample(const std::vector<Shape>& shapes, const std::vector<Domain>& domains, std::mt19937_64& random) {
  std::size_t n = 0;
  for (const Shape& shape : shapes) n += shape.elements();
  std::vector<double> quantiles;
  for (std::size_t i = 0; i < n; ++i)
    quantiles.push_back((static_cast<double>(i) + 0.3 + 0.4 * uniform(random)) / static_cast<double>(n));
  for (std::size_t i = n; i > 1; --i) std::swap(quantiles[i - 1], quantiles[random() % i]);
  Tensors<double> x;
  std::size_t next = 0;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const Domain& domain = domains[std::min(k, domains.size() - 1)];
    std::vector<double> values;
    for (std::size_t i = 0; i < shapes[k].elements(); ++i)
      values.push_back(static_cast<float>(place(domain, quantiles[next++])));
    x.emplace_back(shapes[k], values);
  }
  return x;
}

// Weights or a direction: of either sign, at least 1/4 in size, exact in float.
Tensor<double> random_weights(const Shape& shape, std::mt19937_64& random) {
  std::vector<double> values;
  for (std::size_t i = 0; i < shape.elements(); ++i) {
    const auto size = static_cast<double>(static_cast<float>(0.25 + 0.75 * uniform(random)));
    values.push_back(random() % 2 ? size : -size);
  }
  return Tensor<double>(shape, values);
}

Arrays arrays_of(const Tensors<double>& x) {
  Arrays arrays;
  for (const auto& t : x) arrays.push_back({t.shape(), std::vector<Real>(t.data(), t.data() + t.size())});
  return arrays;
}

Tensors<double> parameters(const Tensors<double>& x) {
  Tensors<double> leaves;
  for (const auto& t : x) leaves.push_back(parameter(t));
  return leaves;
}
Tensors<double> zeros_like(const Tensors<double>& x) {
  Tensors<double> all;
  for (const auto& t : x) all.push_back(zeros<double>(t.shape()));
  return all;
}
Tensors<float> to_float(const Tensors<double>& x) {
  Tensors<float> all;
  for (const auto& t : x) all.emplace_back(t.array());
  return all;
}

double worse(double a, double b) { return std::isnan(a) || std::isnan(b) ? infinity : std::max(a, b); }

// ---- derivatives of a reference ------------------------------------------------------------------------

// f at t = -3h, ..., 3h.
template <class F> auto seven_points(Real h, const F& f) {
  return std::array{f(-3 * h), f(-2 * h), f(-h), f(0.0L), f(h), f(2 * h), f(3 * h)};
}
// The derivatives at 0 from seven points: to h^6, h^6 and h^4 (central differences of the highest order).
template <class P> std::array<Real, 3> derivatives(Real h, const P& p) {
  return {(45 * (p[4] - p[2]) - 9 * (p[5] - p[1]) + (p[6] - p[0])) / (60 * h),
          (2 * (p[0] + p[6]) - 27 * (p[1] + p[5]) + 270 * (p[2] + p[4]) - 490 * p[3]) / (180 * h * h),
          ((p[0] - p[6]) - 8 * (p[1] - p[5]) + 13 * (p[2] - p[4])) / (8 * h * h * h)};
}
// Steps, exact in binary: the first is best for first derivatives, the second for second and third ones.
constexpr Real short_step = 0x1p-11L, long_step = 0x1p-10L;

// d y_o / d x_i for all outputs of the reference by the elements of input k, row by row.
std::vector<Real> reference_jacobian(const Reference& f, const Arrays& x, std::size_t k, std::size_t outputs) {
  const std::size_t n = x[k].values.size();
  std::vector<Real> jacobian(outputs * n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto y = seven_points(short_step, [&](Real t) {
      Arrays moved = x;
      moved[k].values[i] += t;
      return f(moved).values;
    });
    for (std::size_t o = 0; o < outputs; ++o)
      jacobian[o * n + i] =
          derivatives(short_step, std::array{y[0][o], y[1][o], y[2][o], y[3][o], y[4][o], y[5][o], y[6][o]})[0];
  }
  return jacobian;
}

// ---- derivatives by the tape -----------------------------------------------------------------------------

Tensor<double> one_hot(const Shape& shape, std::size_t i) {
  std::vector<double> values(shape.elements());
  values[i] = 1;
  return Tensor<double>(shape, values);
}

// Gradients of <seed, y>, zero if y was not recorded.
Tensors<double> pulled(Tape& tape, const Tensor<double>& y, const Tensor<double>& seed, const Tensors<double>& x) {
  return y.requires_grad() ? tape.vjp(y, seed, x, {.retain_graph = true}) : zeros_like(x);
}

// The Jacobian by each input, row by row. Infinite entries if a gradient's shape is not its input's.
std::vector<std::vector<double>> tape_jacobian(const Case& which, const Tensors<double>& inputs) {
  const auto x = parameters(inputs);
  Tape tape;
  const auto y = which.op.in_double(x);
  std::vector<std::vector<double>> jacobian(x.size());
  for (std::size_t o = 0; o < y.size(); ++o) {
    const auto gradients = pulled(tape, y, one_hot(y.shape(), o), x);
    for (std::size_t k = 0; k < x.size(); ++k) {
      if (gradients[k].shape() != x[k].shape())
        jacobian[k].insert(jacobian[k].end(), x[k].size(), infinity);
      else
        jacobian[k].insert(jacobian[k].end(), gradients[k].data(), gradients[k].data() + x[k].size());
    }
  }
  return jacobian;
}

// s(x) = sum_o c_o P(y_o) with P(y) = y + y^2/2 + y^3/6: a scalar whose gradient into the op, c P'(y), has itself
// derivatives, so that a linear op is not a trivial case of higher orders.
Real cubic(Real y) { return y * (1 + y * (0.5L + y / 6)); }
Real reference_scalar(const Array& y, const Tensor<double>& c) {
  Real s = 0;
  for (std::size_t o = 0; o < y.values.size(); ++o) s += static_cast<Real>(c.data()[o]) * cubic(y.values[o]);
  return s;
}
// The size of the terms that s adds up: differences know s to some digits of this, however much cancels.
double size_of_terms(const Array& y) {
  double size = 1;
  for (const Real v : y.values) size += static_cast<double>(std::abs(cubic(v)));
  return size;
}

// A parabola through x: curved, so that what a pullback's pullback gets depends on the point, too.
Tensors<double> parabola(const Tensors<double>& x, const Tensors<double>& d) {
  Tensors<double> points;
  for (std::size_t k = 0; k < x.size(); ++k) points.push_back(x[k] + d[k] * (1.0 + 0.5 * d[k]));
  return points;
}
Arrays parabola(const Tensors<double>& x, Real t, const Tensors<double>& v) {
  Arrays points = arrays_of(x);
  for (std::size_t k = 0; k < points.size(); ++k)
    for (std::size_t i = 0; i < points[k].values.size(); ++i) {
      const Real d = t * static_cast<Real>(v[k].data()[i]);
      points[k].values[i] += d * (1 + d / 2);
    }
  return points;
}

// The first derivatives of t -> s(parabola(t v)) at 0, by differentiating the sweep as often as needed.
std::vector<double> tape_derivatives(const Case& which, const Tensors<double>& inputs, const Tensors<double>& v,
                                     const Tensor<double>& c, int orders) {
  const auto d = parameters(zeros_like(inputs));
  Tape tape;
  const auto y = which.op.in_double(parabola(inputs, d));
  Tensor<double> along = sum(c * (y * (1.0 + y * (0.5 + y * (1.0 / 6)))));
  std::vector<double> result;
  for (int order = 0; order < orders; ++order) {
    if (!along.requires_grad()) {
      result.push_back(0);
      continue;
    }
    const auto gradients = tape.gradient(along, d, {.create_graph = order + 1 < orders});
    along = Tensor<double>(0.0);
    for (std::size_t k = 0; k < d.size(); ++k) along = along + sum(gradients[k] * v[k]);
    result.push_back(along.item());
  }
  return result;
}

// ---- the measurements, on one sample --------------------------------------------------------------------

void measure_jacobian(const Sample& s, Errors& errors) {
  const Array y = reference_at(*s.which, s.x);
  const auto value = s.which->op.in_double(s.x);
  errors.value = worse(errors.value, error_of(value.shape(), value.span(), y.shape, y.values));
  if (value.shape() != y.shape) return;
  const auto jacobian = tape_jacobian(*s.which, s.x);
  for (std::size_t k = 0; k < s.x.size(); ++k) {
    const auto expected = reference_jacobian(s.which->reference, arrays_of(s.x), k, y.values.size());
    const Shape shape{y.values.size(), s.x[k].size()};
    errors.first = worse(errors.first, error_of(shape, jacobian[k], shape, expected));
  }
}

void measure_directions(const Sample& s, std::mt19937_64& random, Errors& errors) {
  const int orders = s.row->no_third_order.empty() ? 3 : 2;
  const Array y = reference_at(*s.which, s.x);
  const auto c = random_weights(y.shape, random);
  for (int direction = 0; direction < 3; ++direction) {
    Tensors<double> v;
    for (const auto& x : s.x) v.push_back(random_weights(x.shape(), random));
    const auto points =
        seven_points(long_step, [&](Real t) { return reference_scalar(s.which->reference(parabola(s.x, t, v)), c); });
    const auto expected = derivatives(long_step, points);
    const auto found = tape_derivatives(*s.which, s.x, v, c, orders);
    for (std::size_t order = 0; order < found.size(); ++order) {
      const auto truth = static_cast<double>(expected[order]);
      double& error = order == 0 ? errors.first : order == 1 ? errors.second : errors.third;
      error = worse(error, std::abs(found[order] - truth) / std::max(std::abs(truth), size_of_terms(y)));
    }
  }
}

// Each input on its own gives the gradient that it gives among all.
void measure_one_alone(const Sample& s, std::mt19937_64& random, Errors& errors) {
  const auto gradients_of = [&](const Tensors<double>& x, const Tensors<double>& wanted, const Tensor<double>& seed) {
    Tape tape;
    return pulled(tape, s.which->op.in_double(x), seed, wanted);
  };
  const auto seed = random_weights(reference_at(*s.which, s.x).shape, random);
  const auto all = parameters(s.x);
  const auto together = gradients_of(all, all, seed);
  for (std::size_t k = 0; k < s.x.size(); ++k) {
    auto x = s.x;
    x[k] = parameter(x[k]);
    const auto alone = gradients_of(x, {x[k]}, seed)[0];
    const std::vector<Real> expected(together[k].data(), together[k].data() + together[k].size());
    errors.one_alone = worse(errors.one_alone, error_of(alone.shape(), alone.span(), together[k].shape(), expected));
  }
}

// One tensor as all inputs: its gradient is the sum over the places where it stands.
void measure_same_tensor(const Sample& s, Errors& errors) {
  if (s.x.size() < 2 || !std::ranges::all_of(s.x, [&](const auto& x) { return x.shape() == s.x[0].shape(); })) return;
  const Case once{[op = s.which->op, n = s.x.size()]<class T>(const Tensors<T>& x) {
                    const Tensors<T> copies(n, x[0]);
                    if constexpr (std::is_same_v<T, double>)
                      return op.in_double(copies);
                    else
                      return op.in_float(copies);
                  },
                  [f = s.which->reference, n = s.x.size()](const Arrays& x) { return f(Arrays(n, x[0])); },
                  {}};
  Errors found;
  Sample copy = s;
  copy.which = &once;
  copy.x.resize(1);
  measure_jacobian(copy, found);
  errors.same_tensor = worse(errors.same_tensor, worse(found.value, found.first));
}

void measure_float(const Sample& s, std::mt19937_64& random, Errors& errors) {
  if (!s.row->no_float.empty()) return;
  const auto xd = parameters(s.x);
  Tensors<float> xf;
  for (const auto& x : to_float(s.x)) xf.push_back(parameter(x));
  Tape tape;
  const auto yd = s.which->op.in_double(xd);
  const auto yf = s.which->op.in_float(xf);
  const auto compare = [](const Tensor<float>& f, const Tensor<double>& d) {
    const std::vector<double> found(f.data(), f.data() + f.size());
    const std::vector<Real> expected(d.data(), d.data() + d.size());
    return error_of(f.shape(), found, d.shape(), expected, 0.1);
  };
  errors.float_value = worse(errors.float_value, compare(yf, yd));
  if (!yd.requires_grad()) return;
  const auto seed = random_weights(yd.shape(), random);
  const auto gd = tape.vjp(yd, seed, xd);
  const auto gf = tape.vjp(yf, Tensor<float>(seed.array()), xf);
  for (std::size_t k = 0; k < gd.size(); ++k)
    errors.float_gradient = worse(errors.float_gradient, compare(gf[k], gd[k]));
}

void measure_gradcheck(const Sample& s, Errors& errors) {
  const auto report = gradcheck(s.which->op.in_double, s.x, {.step = 2e-4, .second_order = true});
  errors.gradcheck_first = worse(errors.gradcheck_first, report.first_order.largest_error);
  errors.gradcheck_second = worse(errors.gradcheck_second, report.second_order.largest_error);
}

void measure_sample(const Sample& s, std::mt19937_64& random, Errors& e) {
  measure_jacobian(s, e);
  if (e.value == infinity) return;
  std::size_t elements = 0;
  for (const auto& x : s.x) elements += x.size();
  const bool has_elements = elements > 0 && s.which->op.in_double(s.x).size() > 0;
  measure_float(s, random, e);
  measure_one_alone(s, random, e);
  measure_same_tensor(s, e);
  if (has_elements && !(s.row->flags & not_differentiable)) {
    measure_directions(s, random, e);
    if (!(s.row->flags & through_float)) measure_gradcheck(s, e);
  }
}

std::string complaint(const Errors& e, unsigned flags) {
  Tolerances allowed = tolerances;
  if (flags & through_float) {
    allowed.value = allowed.float_value;
    allowed.first = allowed.second = allowed.third = allowed.one_alone = allowed.float_gradient;
  }
  const std::pair<const char*, std::pair<double, double>> all[] = {
      {"value", {e.value, allowed.value}},
      {"first order", {e.first, allowed.first}},
      {"second order", {e.second, allowed.second}},
      {"third order", {e.third, allowed.third}},
      {"gradcheck, first order", {e.gradcheck_first, allowed.gradcheck}},
      {"gradcheck, second order", {e.gradcheck_second, allowed.gradcheck}},
      {"one input alone", {e.one_alone, allowed.one_alone}},
      {"the same tensor twice", {e.same_tensor, allowed.first}},
      {"float value", {e.float_value, allowed.float_value}},
      {"float gradient", {e.float_gradient, allowed.float_gradient}},
  };
  for (const auto& [what, pair] : all)
    if (!(pair.first <= pair.second)) return fmt::format("{}: {:.2e} > {:.0e}", what, pair.first, pair.second);
  return {};
}

}  // namespace

Array reference_at(const Case& which, const Tensors<double>& x) { return which.reference(arrays_of(x)); }

double error_of(const Shape& a_shape, std::span<const double> a, const Shape& b_shape, std::span<const Real> b,
                double floor) {
  if (a_shape != b_shape || a.size() != b.size()) return infinity;
  Real scale = 1;
  for (const Real v : b)
    if (std::isfinite(v)) scale = std::max(scale, std::abs(v));
  double error = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Real x = a[i], y = b[i];
    if (std::isnan(x) || std::isnan(y) || std::isinf(x) || std::isinf(y)) {
      if (!(x == y || (std::isnan(x) && std::isnan(y)))) return infinity;
    } else {
      error = std::max(error,
                       static_cast<double>(std::abs(x - y) / std::max(std::abs(y), static_cast<Real>(floor) * scale)));
    }
  }
  return error;
}

Tensors<double> inputs_of(const Row& row, const std::vector<Shape>& shapes) {
  std::mt19937_64 random(3);
  return sample(shapes, row.domains, random);
}

std::vector<Sample> samples_of(const Row& row) {
  std::vector<Sample> samples;
  std::mt19937_64 random(row.name.size());
  for (std::size_t i = 0; i < row.cases.size(); ++i)
    for (const auto& shapes : row.cases[i].shapes) {
      std::string name = fmt::format("{} case {}", row.name, i);
      for (const Shape& shape : shapes) name += " " + to_string(shape);
      samples.push_back({&row, &row.cases[i], shapes, sample(shapes, row.domains, random), std::move(name)});
    }
  return samples;
}

Errors measure(const Row& row) {
  Errors all;
  std::mt19937_64 random(7);
  for (const Sample& s : samples_of(row)) {
    Errors e;
    std::string what;
    try {
      measure_sample(s, random, e);
      what = complaint(e, row.flags);
    } catch (const std::exception& error) {
      what = std::string("threw: ") + error.what();
    }
    if (all.worst.empty() && !what.empty()) all.worst = s.name + ": " + what;
    for (const auto member : {&Errors::value, &Errors::first, &Errors::second, &Errors::third, &Errors::gradcheck_first,
                              &Errors::gradcheck_second, &Errors::float_value, &Errors::float_gradient,
                              &Errors::same_tensor, &Errors::one_alone})
      all.*member = worse(all.*member, e.*member);
  }
  return all;
}

}  // namespace xtape::test
