// Every row of the op table at magnitudes near both ends of the range: where the true value, or the true gradient, can
// be held by the number type, nothing on the way to it may overflow or vanish.
#include <xtape/tape.hpp>

#include "extreme.hpp"
#include "test_ops_measure.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <random>
#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

template <class T> constexpr Real largest = std::numeric_limits<T>::max();
template <class T> constexpr Real smallest = std::numeric_limits<T>::min();

template <class T> auto call(const Case& which, const Tensors<T>& x) {
  if constexpr (std::is_same_v<T, double>)
    return which.op.in_double(x);
  else
    return which.op.in_float(x);
}

template <class T> Arrays arrays_of(const Tensors<T>& x) {
  Arrays arrays;
  for (const auto& t : x) arrays.push_back({t.shape(), std::vector<Real>(t.data(), t.data() + t.size())});
  return arrays;
}

// What is not compared, and why.
struct Exempt {
  std::set<std::string> rows;
  bool has(const Row& row) const { return rows.contains(row.name); }
};
// Matrices whose entries differ by orders of magnitude are ill-conditioned: the digits that costs are not the op's
// fault.
const Exempt conditioned{{"solve", "triangular_solve", "cholesky_solve", "cholesky", "cholesky_log_det", "det",
                          "slogdet", "inverse", "qr", "svd", "eigh", "eigvalsh"}};
// The variance has squares, and so have the gradients of singular vectors: of numbers beyond the root of the largest or
// the smallest one, 1e154 or 1e-154, in float 1e19 or 1e-19, they overflow or vanish (docs/reliability.md).
const Exempt of_squares{{"standardise", "layer_norm", "batch_norm", "svd"}};
// The sine of a rounded product; the solution beside a diagonal of ones that is nothing against the other entries.
const Exempt meaningless_if_large{{"checkpoint", "triangular_solve"}};
// Differences see steps of whole numbers as a slope of one.
const Exempt steps{{"floor", "ceil", "round"}};
// Through float and back: has float's range.
const Exempt of_float{{"cast"}};
// The reference does not know 0: a sign is 1 or -1 to it, and every number counts.
const Exempt not_at_zero{{"sign", "norm of order 0"}};
// A term is twice the largest number, or the largest one is no probability.
const Exempt not_at_largest{{"huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "standardise",
                             "layer_norm", "batch_norm", "checkpoint", "recurrence"}};
// The reference's order has no place for NaN. Ours has: test_ops_policies.cpp.
const Exempt not_at_nan{{"sort", "argsort", "argmax", "argmin", "topk"}};
// Padding counts as zeros, which times infinity are NaN.
const Exempt products_of_zero{
    {"conv1d", "conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", "conv_transpose1d", "conv_transpose2d"}};

// What was compared, and what could not be: how much of the test is a test.
struct Tally {
  std::size_t values = 0, gradients = 0, no_reference = 0, refused = 0;
};

// Of the elements that T can hold; the rest must be infinite, or as good as 0.
template <class T>
std::string compare_values(const Tensor<T>& found, const Array& truth, double tolerance, Tally& tally) {
  if (found.shape() != truth.shape)
    return fmt::format("shape {}, not {}", to_string(found.shape()), to_string(truth.shape));
  Real scale = 0;
  for (const Real y : truth.values)
    if (std::isfinite(y)) scale = std::max(scale, std::min(std::abs(y), 2 * largest<T>));
  for (std::size_t i = 0; i < truth.values.size(); ++i) {
    const Real y = truth.values[i];
    const T x = found.data()[i];
    if (!std::isfinite(y)) {
      ++tally.no_reference;
      continue;
    }
    ++tally.values;
    // Of products too large some sum to infinity, and some, of both signs, to NaN.
    if (std::abs(y) <= largest<T> / 4
            ? !(std::abs(static_cast<Real>(x) - y) <= static_cast<Real>(tolerance) * scale + 4 * smallest<T>)
            : std::abs(x) < largest<T> / 8)
      return fmt::format("value {} in place of {}", x, static_cast<double>(y));
  }
  return {};
}

// For each output o and each element i of input k: whether y_o depends on x_i at all, at an ordinary point.
std::vector<bool> dependence(const Reference& f, Arrays x, std::size_t k) {
  const Array here = f(x);
  std::vector<bool> depends;
  for (Real& v : x[k].values) {
    const Real at = v;
    std::vector<bool> of_this(here.values.size());
    for (const Real move : {-0.9L, -0.01L, 0.01L, 0.9L}) {
      v = at + move * std::max(std::abs(at), 0.1L);
      const auto moved = f(x).values;
      for (std::size_t o = 0; o < moved.size(); ++o)
        if (moved[o] != here.values[o]) of_this[o] = true;
    }
    v = at;
    depends.insert(depends.end(), of_this.begin(), of_this.end());
  }
  return depends;
}

// d y_o / d x_i of the reference by differences with a step in proportion to x_i. NaN where they are not to be had: two
// steps disagree, or the change is lost in the rounding of y_o.
std::vector<Real> differences(const Reference& f, Arrays x, std::size_t k, std::size_t i) {
  const Real at = x[k].values[i];
  std::array<std::vector<Real>, 2> found;
  const Real widths[] = {std::abs(at) * 0x1p-11L, std::abs(at) * 0x1.8p-12L};
  for (std::size_t round = 0; round < 2; ++round) {
    const Real h = widths[round];
    std::array<std::vector<Real>, 7> y;
    for (const int p : {-3, -2, -1, 1, 2, 3}) {
      x[k].values[i] = at + static_cast<Real>(p) * h;
      y[static_cast<std::size_t>(p + 3)] = f(x).values;
    }
    for (std::size_t o = 0; o < y[0].size(); ++o)
      found[round].push_back((45 * (y[4][o] - y[2][o]) - 9 * (y[5][o] - y[1][o]) + (y[6][o] - y[0][o])) / (60 * h));
  }
  x[k].values[i] = at;
  const auto here = f(x).values;
  std::vector<Real> result;
  for (std::size_t o = 0; o < here.size(); ++o) {
    const Real a = found[0][o], b = found[1][o];
    const bool seen =
        std::abs(a - b) <= 1e-9L * std::abs(a) && a != 0 && std::abs(a) * widths[0] >= std::abs(here[o]) * 0x1p-32L;
    result.push_back(seen ? a : std::numeric_limits<Real>::quiet_NaN());
  }
  return result;
}

template <class T>
std::string compare_gradients(const Case& which, const std::vector<std::vector<bool>>& depends, const Tensors<T>& x,
                              const std::vector<T>& seed, const Tensors<T>& gradients, double tolerance, Tally& tally) {
  const Arrays at = arrays_of(x);
  for (std::size_t k = 0; k < x.size(); ++k) {
    std::vector<Real> truth, size;
    Real scale = 0;
    for (std::size_t i = 0; i < x[k].size(); ++i) {
      Real sum = 0, absolute = 0;
      const auto slopes = differences(which.reference, at, k, i);
      for (std::size_t o = 0; o < seed.size(); ++o)
        if (depends[k][i * seed.size() + o] || slopes[o] > 0 || slopes[o] < 0) {
          sum += static_cast<Real>(seed[o]) * slopes[o];
          absolute += std::abs(static_cast<Real>(seed[o]) * slopes[o]);
        }
      truth.push_back(sum);
      size.push_back(absolute);
      if (absolute < largest<T> / 4) scale = std::max(scale, absolute);
    }
    for (std::size_t i = 0; i < truth.size(); ++i) {
      if (!std::isfinite(truth[i]) || !(size[i] < largest<T> / 16)) {
        ++tally.no_reference;
        continue;
      }
      ++tally.gradients;
      const T g = gradients[k].data()[i];
      if (!(std::abs(static_cast<Real>(g) - truth[i]) <=
            static_cast<Real>(tolerance) * (size[i] + scale / 1024) + 64 * smallest<T>))
        return fmt::format("gradient {} in place of {} by element {} of input {}", g, static_cast<double>(truth[i]), i,
                           k);
    }
  }
  return {};
}

// Empty if all is well.
template <class T>
std::string check_at(const Row& row, const Case& which, const std::vector<std::vector<bool>>& depends,
                     const Tensors<T>& values, Tally& tally) {
  const bool rough = sizeof(T) == 4 || (row.flags & through_float);
  Tensors<T> x;
  for (const auto& t : values) x.push_back(parameter(t));
  try {
    Tape tape;
    const auto y = call<T>(which, x);
    const Array truth = which.reference(arrays_of(x));
    std::string wrong = compare_values(y, truth, rough ? 1e-5 : 1e-12, tally);
    if (!wrong.empty() || !y.requires_grad()) return wrong;
    if (steps.has(row) || !std::ranges::all_of(y.span(), [](T v) { return std::isfinite(v); })) return {};
    std::vector<T> seed;
    for (std::size_t o = 0; o < y.size(); ++o) seed.push_back(T(o % 3 ? 0.75 : -0.5));
    const auto gradients = tape.vjp(y, Tensor<T>(y.shape(), seed), x);
    return compare_gradients(which, depends, x, seed, gradients, rough ? 1e-4 : 1e-8, tally);
  } catch (const Error& error) {
    ++tally.refused;
    return {};
  }
}

// A row's sample with each number times 2^exponent(element).
template <class T, class F> Tensors<T> scaled(const Tensors<double>& x, const F& exponent) {
  Tensors<T> result;
  for (const auto& t : x) {
    std::vector<T> values;
    for (const double v : t.span()) values.push_back(static_cast<T>(std::ldexp(v, exponent(result.size()))));
    result.emplace_back(t.shape(), values);
  }
  return result;
}

}  // namespace

TEST_CASE_TEMPLATE("magnitudes: every op of the table, all inputs or one near the ends of the range", T, double,
                   float) {
  const bool print = std::getenv("XTAPE_PRINT_MAGNITUDES") != nullptr;
  const std::vector<int> exponents =
      sizeof(T) == 4 ? std::vector{-120, -70, -30, 30, 70, 120} : std::vector{-1000, -600, -200, 200, 600, 1000};
  Tally all;
  for (const Row& row : op_table()) {
    if ((sizeof(T) == 4 && !row.no_float.empty()) || of_float.has(row)) continue;
    Tally tally;
    const Case* last = nullptr;
    for (const Sample& s : samples_of(row)) {
      std::size_t elements = 0;
      for (const auto& x : s.x) elements += x.size();
      if (s.which == last || elements == 0 || elements > 30) continue;
      last = s.which;
      std::vector<std::vector<bool>> depends;
      for (std::size_t k = 0; k < s.x.size(); ++k) depends.push_back(dependence(s.which->reference, arrays_of(s.x), k));
      std::mt19937 random(5);
      for (const int exponent : exponents) {
        if (exponent > 0 && meaningless_if_large.has(row)) continue;
        if (std::abs(exponent) > std::numeric_limits<T>::max_exponent / 2 && of_squares.has(row)) continue;
        const auto check = [&](const std::string& how, const Tensors<T>& x) {
          const std::string wrong = check_at<T>(row, *s.which, depends, x, tally);
          CHECK_MESSAGE(wrong.empty(), fmt::format("{}: {}: {}", s.name, how, wrong));
        };
        check(fmt::format("all times 2^{}", exponent), scaled<T>(s.x, [&](std::size_t) { return exponent; }));
        if (s.x.size() > 1)
          for (std::size_t k = 0; k < s.x.size(); ++k)
            check(fmt::format("input {} times 2^{}", k, exponent),
                  scaled<T>(s.x, [&](std::size_t input) { return input == k ? exponent : 0; }));
        if (!conditioned.has(row))
          check(fmt::format("each times up to 2^{}", exponent), scaled<T>(s.x, [&](std::size_t) {
                  return static_cast<int>(random() % static_cast<unsigned>(std::abs(exponent))) *
                         (exponent < 0 ? -1 : 1);
                }));
      }
    }
    if (print)
      fmt::print("{}: {} values, {} gradients, {} without reference, {} refused\n", row.name, tally.values,
                 tally.gradients, tally.no_reference, tally.refused);
    all.values += tally.values, all.gradients += tally.gradients;
    all.no_reference += tally.no_reference, all.refused += tally.refused;
  }
  if (print)
    fmt::print("{} values, {} gradients, {} without reference, {} refused\n", all.values, all.gradients,
               all.no_reference, all.refused);
  CHECK(all.values > 50'000);
  CHECK(all.gradients > 50'000);
}

namespace {

// One element of a sample's input set to a special number. Empty if all is well.
template <class T> std::string check_special(const Sample& s, std::size_t k, std::size_t i, T special, Tally& tally) {
  const Row& row = *s.row;
  const double tolerance = sizeof(T) == 4 || (row.flags & through_float) ? 1e-5 : 1e-12;
  Tensors<T> plain = scaled<T>(s.x, [](std::size_t) { return 0; }), x;
  for (std::size_t j = 0; j < plain.size(); ++j) x.push_back(parameter(plain[j]));
  x[k].modify()[i] = special;
  try {
    Tape tape;
    const auto y = call<T>(*s.which, x);
    if (y.requires_grad()) {
      const bool finite = std::isfinite(special) && std::ranges::all_of(y.span(), [](T v) { return std::isfinite(v); });
      for (const auto& g : tape.vjp(y, ones<T>(y.shape()), x))
        if (finite && std::ranges::any_of(g.span(), [](T v) { return std::isnan(v); }))
          return "a gradient that is NaN, of finite values";
    }
    const Array truth = s.which->reference(arrays_of(x));
    if (std::isfinite(special)) return compare_values(y, truth, tolerance, tally);
    if (y.shape() != truth.shape) return "another shape";
    const auto before = call<T>(*s.which, plain);
    const bool may_be_nan = std::isnan(special) || conditioned.has(row) || products_of_zero.has(row);
    for (std::size_t o = 0; o < y.size(); ++o) {
      const Real t = truth.values[o];
      const T v = y.data()[o];
      ++tally.values;
      // The reference may have multiplied by 0 what the op leaves out.
      const bool right = std::isnan(t)   ? std::isinf(special) || std::isnan(v) || v == before.data()[o]
                         : std::isnan(v) ? may_be_nan
                         : std::isinf(t) ? v == t
                                         : std::abs(static_cast<Real>(v) - t) <=
                                               static_cast<Real>(tolerance) * std::max(1.0L, std::abs(t));
      if (!right) return fmt::format("{} in place of {}", v, static_cast<double>(t));
    }
  } catch (const Error&) {
    ++tally.refused;
  }
  return {};
}

}  // namespace

TEST_CASE_TEMPLATE("magnitudes: every op of the table with one number zero, subnormal, the largest, infinite or NaN", T,
                   double, float) {
  using Limits = std::numeric_limits<T>;
  const T zeros[] = {T(0), -T(0), Limits::denorm_min(), -Limits::denorm_min(), Limits::min()},
          ends[] = {Limits::max(), Limits::lowest()}, beyond[] = {Limits::infinity(), -Limits::infinity()};
  Tally tally;
  for (const Row& row : op_table()) {
    if (sizeof(T) == 4 && !row.no_float.empty()) continue;
    std::vector<T> specials(std::begin(beyond), std::end(beyond));
    if (!not_at_zero.has(row)) specials.insert(specials.end(), std::begin(zeros), std::end(zeros));
    if (!not_at_largest.has(row) && !of_float.has(row))
      specials.insert(specials.end(), std::begin(ends), std::end(ends));
    if (!not_at_nan.has(row)) specials.push_back(Limits::quiet_NaN());
    const Case* last = nullptr;
    for (const Sample& s : samples_of(row)) {
      std::size_t elements = 0;
      for (const auto& x : s.x) elements += x.size();
      if (s.which == last || elements == 0 || elements > 30) continue;
      last = s.which;
      for (std::size_t k = 0; k < s.x.size(); ++k)
        for (const std::size_t i : {std::size_t{0}, s.x[k].size() / 2})
          for (const T special : specials)
            if (i < s.x[k].size()) {
              const std::string wrong = check_special<T>(s, k, i, special, tally);
              CHECK_MESSAGE(wrong.empty(),
                            fmt::format("{}: element {} of input {} is {}: {}", s.name, i, k, special, wrong));
            }
    }
  }
  if (std::getenv("XTAPE_PRINT_MAGNITUDES")) fmt::print("{} values, {} refused\n", tally.values, tally.refused);
  CHECK(tally.values > 20'000);
}
