#include <xtape/verify.hpp>

#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "differences.hpp"
#include "sweep.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

namespace xtape {
namespace {

using Tensors = std::vector<Tensor<double>>;
using Function = std::function<Tensor<double>(const Tensors&)>;

// What is checked: a function's plain value, and the same recorded on a tape from parameters.
struct Checked {
  Function value;
  Function recorded;
};

std::vector<std::size_t> unravel(std::size_t flat, const Shape& shape) {
  std::vector<std::size_t> index(shape.size());
  for (std::size_t i = shape.size(); i-- > 0; flat /= shape[i]) index[i] = flat % shape[i];
  return index;
}

struct Differences {
  std::vector<double> value, floor;  // see Slope
};

// A comparison of two lists of numbers; `worst` holds a flat index. Where b is by differences, what they cannot tell
// from it counts as equal to it.
GradientComparison compare(std::span<const double> a, std::span<const double> b, std::span<const double> floor = {},
                           double tolerance = 0) {
  GradientComparison result;
  double scale = 0;
  for (const double v : b) scale = std::max(scale, std::abs(v));
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double bound = std::max({std::abs(a[i]), std::abs(b[i]), 1e-3 * scale}), apart = std::abs(a[i] - b[i]);
    double error = a[i] == b[i] ? 0.0 : apart / bound;
    if (!std::isfinite(error)) error = std::numeric_limits<double>::infinity();
    if (error > tolerance && !floor.empty() && apart <= floor[i]) error = 0;
    if (i == 0 || error > result.largest_error) result = {error, {i}, a[i], b[i]};
  }
  return result;
}

GradientComparison compare(std::span<const double> a, const Differences& b, double tolerance) {
  return compare(a, b.value, b.floor, tolerance);
}

// sum_o seed_o dy_o/dx for each x, on the innermost tape; zeros where y does not depend on x.
Tensors gradients_of(const Tensor<double>& y, const Tensor<double>& seed, const Tensors& x,
                     const BackwardOptions& options = {}) {
  std::vector<detail::Handle<detail::TensorImpl>> of;
  for (const auto& tensor : x) of.push_back(tensor.impl());
  Tensors result;
  for (auto& gradient : detail::gradients_of(*detail::active_recording(), y.impl(), seed.impl(), of, options, 0))
    result.push_back(gradient ? Tensor<double>(std::move(gradient)) : zeros<double>(x[result.size()].shape()));
  return result;
}

void check_positive(const char* name, const char* option, double value) {
  if (!(value > 0) || std::isinf(value))
    throw ValueError(fmt::format("{}: the {} must be positive and finite, got {}", name, option, value));
}
void check_steps(const char* name, const Steps& steps) {
  check_positive(name, "step", steps.step);
  if (!(steps.relative >= 0) || std::isinf(steps.relative))
    throw ValueError(
        fmt::format("{}: the relative_step must not be negative or infinite, got {}", name, steps.relative));
}
void check_options(const char* name, const VerifyOptions& options) {
  check_positive(name, "tolerance", options.tolerance);
  check_positive(name, "difference_tolerance", options.difference_tolerance);
  check_steps(name, {options.step, options.relative_step});
}

// J[o, i] = d f_o / d x_i, with the elements of all inputs one after the other.
std::vector<double> jacobian_by_tape(const Checked& f, const Tensors& inputs, std::size_t n) {
  Tensors x;
  for (const auto& input : inputs) x.push_back(parameter(input));
  const Tape tape;
  const Tensor<double> y = f.recorded(x);
  std::vector<double> rows;
  rows.reserve(y.size() * n);
  for (std::size_t o = 0; o < y.size(); ++o) {
    Tensor<double> seed = zeros<double>(y.shape());
    seed.modify()[o] = 1;
    for (const auto& g : gradients_of(y, seed, x, {.retain_graph = true}))
      rows.insert(rows.end(), g.data(), g.data() + g.size());
  }
  return rows;
}

Differences jacobian_by_differences(const Function& f, const Tensors& inputs, const Tensor<double>& y, std::size_t n,
                                    const Steps& steps) {
  Differences rows{std::vector<double>(y.size() * n), std::vector<double>(y.size() * n)};
  std::size_t column = 0;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const auto f_of_one = [&](const Tensor<double>& moved) {
      auto x = inputs;
      x[k] = moved;
      return f(x);
    };
    for (std::size_t i = 0; i < inputs[k].size(); ++i, ++column) {
      const auto d = slopes(f_of_one, inputs[k], i, y, steps);
      for (std::size_t o = 0; o < y.size(); ++o) {
        rows.value[o * n + column] = d[o].value;
        rows.floor[o * n + column] = d[o].floor;
      }
    }
  }
  return rows;
}

// The gradient of a loss that is `here`, one element, at x.
Differences gradient_by_differences(const std::function<Tensor<double>(const Tensor<double>&)>& loss,
                                    const Tensor<double>& x, double here, const Steps& steps) {
  const NoGrad pause;
  const auto one = [&loss](const Tensor<double>& moved) { return Tensor<double>(loss(moved).item()); };
  const Tensor<double> y(here);
  Differences result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Slope d = slopes(one, x, i, y, steps)[0];
    result.value.push_back(d.value);
    result.floor.push_back(d.floor);
  }
  return result;
}

// The size of the largest element if all are far below the step and none is 0; else 0.
double far_below(const Tensors& x, const VerifyOptions& options) {
  double largest = 0;
  for (const auto& tensor : x)
    for (const double v : tensor.span()) {
      largest = std::max(largest, std::abs(v));
      if (v == 0 || std::abs(v) >= 100 * options.step) return 0;
    }
  return options.relative_step > 0 ? largest : 0;
}

// A random direction. Of small elements it leads none far from where it is before others: it is scaled by them, beside
// `largest` if all are small. Large ones it leads to numbers that exist, whole multiples of 16 units in the last place
// away, so that an eighth of it is not rounded.
Tensor<double> direction(const Tensor<double>& x, double largest, const VerifyOptions& options, Rng& rng) {
  Tensor<double> v = init::normal(x.shape(), 0.0, 1.0, rng);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double size = std::abs(x.data()[i]);
    double& by = v.modify()[i];
    if (options.relative_step > 0 && size > 0 && size < 100 * options.step)
      by *= largest > 0 ? size / largest : options.relative_step * size / options.step;
    if (size > 1 && std::isfinite(size)) {
      const double unit = 16 * std::numeric_limits<double>::epsilon() * std::exp2(std::floor(std::log2(size)));
      by = std::copysign(std::max(1.0, std::round(std::abs(by) * options.step / unit)) * unit / options.step, by);
    }
  }
  return v;
}

// u' J v along random directions, by the tape and by differences of t -> u' f(x + t v) at 0.
GradientComparison compare_directions(const Checked& f, const Tensors& inputs, const VerifyOptions& options, Rng& rng) {
  std::vector<double> by_tape;
  Differences by_differences;
  const double largest = far_below(inputs, options);
  for (std::size_t k = 0; k < options.random_directions; ++k) {
    Tensors x, v;
    for (const auto& input : inputs) {
      x.push_back(parameter(input));
      v.push_back(direction(input, largest, options, rng));
    }
    const Tape tape;
    const Tensor<double> y = f.recorded(x);
    const Tensor<double> u = init::normal(y.shape(), 0.0, 1.0, rng);
    double product = 0;
    const auto gradients = gradients_of(y, u, x);
    for (std::size_t i = 0; i < x.size(); ++i) product += sum(gradients[i] * v[i]).item();
    by_tape.push_back(product);
    const NoGrad pause;
    const auto along = [&](const Tensor<double>& t) {
      Tensors moved;
      for (std::size_t i = 0; i < inputs.size(); ++i) moved.push_back(inputs[i] + t * v[i]);
      return sum(f.value(moved) * u);
    };
    const Tensor<double> here = sum(y.detach() * u);
    const Slope d = slopes(along, Tensor<double>(0.0), 0, here, {options.step, options.relative_step}, largest)[0];
    by_differences.value.push_back(d.value);
    by_differences.floor.push_back(d.floor);
  }
  return compare(by_tape, by_differences, options.difference_tolerance);
}

GradientComparison check(const Checked& f, const Tensors& inputs, const VerifyOptions& options, Rng& rng) {
  Tensor<double> y;
  {
    const NoGrad pause;
    y = f.value(inputs);
  }
  std::size_t n = 0;
  for (const auto& input : inputs) n += input.size();
  if (n == 0 || y.size() == 0)
    throw ValueError(fmt::format("gradcheck: nothing to compare: {} elements in {} inputs, an output of shape {}", n,
                                 inputs.size(), to_string(y.shape())));
  if (options.random_directions > 0) return compare_directions(f, inputs, options, rng);
  const auto by_tape = jacobian_by_tape(f, inputs, n);
  const auto by_differences = [&] {
    const NoGrad pause;
    return jacobian_by_differences(f.value, inputs, y, n, {options.step, options.relative_step});
  }();
  GradientComparison result = compare(by_tape, by_differences, options.difference_tolerance);
  // output index, input number, index within the input
  const std::size_t flat = result.worst[0];
  result.worst = unravel(flat / n, y.shape());
  std::size_t k = 0, within = flat % n;
  for (; within >= inputs[k].size(); ++k) within -= inputs[k].size();
  result.worst.push_back(k);
  for (const std::size_t i : unravel(within, inputs[k].shape())) result.worst.push_back(i);
  return result;
}

std::string describe(const char* what, const GradientComparison& c, double tolerance) {
  return fmt::format("  {:<26} {:>9.2e} {} {:.0e}   worst at [{}]: {:.15g} and {:.15g}\n", what, c.largest_error,
                     c.largest_error <= tolerance ? "<=" : "> ", tolerance, fmt::join(c.worst, ", "), c.first,
                     c.second);
}

}  // namespace

GradientComparison compare_gradients(const Tensor<double>& a, const Tensor<double>& b) {
  if (a.shape() != b.shape())
    throw ShapeError(
        fmt::format("compare_gradients: shapes {} and {} differ", to_string(a.shape()), to_string(b.shape())));
  GradientComparison result = compare(a.span(), b.span());
  if (!result.worst.empty()) result.worst = unravel(result.worst[0], a.shape());
  return result;
}

Tensor<double> difference_gradient(const std::function<Tensor<double>(const Tensor<double>&)>& loss,
                                   const Tensor<double>& x, double step, double relative_step) {
  const Steps steps{step, relative_step};
  check_steps("difference_gradient", steps);
  const NoGrad pause;
  const double here = x.size() > 0 ? loss(x).item() : 0.0;
  return {x.shape(), gradient_by_differences(loss, x, here, steps).value};
}

GradientReport verify(const std::string& name, const Tensor<double>& hand_derived,
                      const std::function<Tensor<double>(const Tensor<double>&)>& loss, const Tensor<double>& x,
                      const VerifyOptions& options) {
  check_options("verify", options);
  if (hand_derived.shape() != x.shape())
    throw ShapeError(fmt::format("verify: {}: the gradient derived by hand has shape {}, the variable {}", name,
                                 to_string(hand_derived.shape()), to_string(x.shape())));
  if (x.size() == 0)
    throw ValueError(
        fmt::format("verify: {}: nothing to compare: the variable has shape {}", name, to_string(x.shape())));
  double here = 0;
  const Tensor<double> by_tape = [&] {
    const Tensor<double> leaf = parameter(x);
    const Tape tape;
    const Tensor<double> y = loss(leaf);
    here = y.item();
    return gradients_of(y, {}, {leaf})[0];
  }();
  const Differences by_differences = gradient_by_differences(loss, x, here, {options.step, options.relative_step});
  const auto against_differences = [&](const Tensor<double>& gradient) {
    GradientComparison result = compare(gradient.span(), by_differences, options.difference_tolerance);
    result.worst = unravel(result.worst[0], x.shape());
    return result;
  };
  GradientReport report{name,
                        compare_gradients(hand_derived, by_tape),
                        against_differences(hand_derived),
                        against_differences(by_tape),
                        options.tolerance,
                        options.difference_tolerance};
  report.passed = report.hand_and_tape.largest_error <= options.tolerance &&
                  report.hand_and_differences.largest_error <= options.difference_tolerance &&
                  report.tape_and_differences.largest_error <= options.difference_tolerance;
  return report;
}

GradcheckReport gradcheck(const Function& f, const Tensors& inputs, const VerifyOptions& options) {
  check_options("gradcheck", options);
  Rng rng(options.seed);
  GradcheckReport report;
  report.tolerance = options.difference_tolerance;
  report.first_order = check({f, f}, inputs, options, rng);
  report.passed = report.first_order.largest_error <= report.tolerance;
  if (!options.second_order) return report;

  // The gradient of sum_o u_o f_o(x), as a function of x and of a random u that no symmetry of f survives.
  const auto gradient = [&f](const Tensors& x_and_u, bool create_graph) {
    const Tensors x(x_and_u.begin(), x_and_u.end() - 1);
    Tensors parts;
    for (const auto& g : gradients_of(f(x), x_and_u.back(), x, {.create_graph = create_graph}))
      parts.push_back(reshape(g, {-1}));
    return concatenate(parts);
  };
  const Checked checked{[&gradient](const Tensors& x_and_u) {
                          Tensors leaves;
                          for (const auto& x : x_and_u) leaves.push_back(parameter(x));
                          const Tape tape;
                          return gradient(leaves, false).detach();
                        },
                        [&gradient](const Tensors& x_and_u) { return gradient(x_and_u, true); }};
  Tensors x_and_u = inputs;
  {
    const NoGrad pause;
    x_and_u.push_back(init::normal(f(inputs).shape(), 0.0, 1.0, rng));
  }
  report.second_order = check(checked, x_and_u, options, rng);
  report.passed = report.passed && report.second_order.largest_error <= report.tolerance;
  return report;
}

std::string to_string(const GradientReport& report) {
  return fmt::format("{}: {}\n{}{}{}", report.name, report.passed ? "PASS" : "FAIL",
                     describe("by hand and by tape", report.hand_and_tape, report.tolerance),
                     describe("by hand and by differences", report.hand_and_differences, report.difference_tolerance),
                     describe("by tape and by differences", report.tape_and_differences, report.difference_tolerance));
}

std::string to_string(const GradcheckReport& report) {
  std::string text = fmt::format("gradcheck: {}\n{}", report.passed ? "PASS" : "FAIL",
                                 describe("first order", report.first_order, report.tolerance));
  if (!report.second_order.worst.empty()) text += describe("second order", report.second_order, report.tolerance);
  return text;
}

}  // namespace xtape
