#include "differences.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

namespace xtape {
namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();
constexpr double smallest = std::numeric_limits<double>::denorm_min();

// What one step gives for one element of f, from its values at x, x ± h, x ± 2h.
struct Estimate {
  double value;  // the difference of fourth order
  double doubt;  // how much third and fourth differences, which a smooth function has next to none of, say against it
  double rounding;  // what it may be off by because the values are rounded to double
  double change;    // how far apart the values are
  double step;

  bool flat() const { return change == 0; }
  bool finite() const { return std::isfinite(value) && std::isfinite(doubt) && std::isfinite(rounding); }
  // Kinks, jumps and poles within the step, and steps far too large, leave a good part of the change to the third and
  // fourth differences. Where they have little of it, they are the rest of a series, or noise.
  bool smooth() const { return finite() && !flat() && doubt * step <= 1e-4 * change; }
  double error() const { return doubt + rounding; }
  // Is there nothing to say against it, for a derivative of this size?
  bool sound(double size) const { return finite() && doubt <= std::max(1e-6 * size, rounding); }
};

struct Candidate {
  double step;
  bool finest;  // neighbouring numbers are hardly closer
};

Estimate estimate(const double (&f)[5], double h) {  // at -2h, -h, 0, h, 2h
  const double near = f[3] - f[1], far = f[4] - f[0];
  const double fourth = (8 * near - far) / (12 * h), second = near / (2 * h);
  const double third_difference = fourth == second ? 0.0 : std::abs(fourth - second);
  // f(x) counts as well: the sides of a kink, or of a pole, may be alike.
  const double fourth_difference = std::abs((f[4] - f[2]) + (f[0] - f[2]) - 4 * ((f[3] - f[2]) + (f[1] - f[2])));
  const auto [low, high] = std::minmax_element(f, f + 5);
  const double size = std::max(std::abs(*low), std::abs(*high));
  return {fourth, (third_difference + 2 * fourth_difference / h) / 8, (4 * epsilon * size + smallest) / h, *high - *low,
          h};
}

// The estimates of all elements of f with one step.
std::vector<Estimate> estimates(const TensorFunction& f, const Tensor<double>& x, std::size_t i,
                                const Tensor<double>& here, double step) {
  const auto at = [&](double d) {
    Tensor<double> moved(x.shape(), x.span());
    moved.modify()[i] += d;
    return f(moved);
  };
  const volatile double reached = x.data()[i] + step;  // x + h to the bit
  const double h = reached - x.data()[i];
  const auto near_plus = at(h), near_minus = at(-h), far_plus = at(2 * h), far_minus = at(-2 * h);
  std::vector<Estimate> result;
  result.reserve(here.size());
  for (const auto* y : {&near_plus, &near_minus, &far_plus, &far_minus})
    if (y->shape() != here.shape())
      throw ShapeError(fmt::format("differences: the function's result has shape {} at one point and {} at another",
                                   to_string(here.shape()), to_string(y->shape())));
  for (std::size_t o = 0; o < here.size(); ++o)
    result.push_back(estimate(
        {far_minus.data()[o], near_minus.data()[o], here.data()[o], near_plus.data()[o], far_plus.data()[o]}, h));
  return result;
}

// The steps to try, in this order. Far below the step the function is to be judged by what it does around x, and far
// above 1 its scale may still be 1.
std::vector<Candidate> candidates(double size, const Steps& steps) {
  const double finest = 2 * epsilon * size;
  std::vector<Candidate> result{{steps.step * std::max(1.0, size), false}};
  if (steps.relative == 0) return result;
  const auto add = [&](double wanted) {
    const double step = std::max(wanted, finest);
    const auto apart = [&](const Candidate& c) { return step < 0.5 * c.step || step > 2 * c.step; };
    if (step < 0.5 * result[0].step && std::all_of(result.begin(), result.end(), apart))
      result.push_back({step, wanted < finest});
  };
  if (size > 1) add(steps.step);
  if (size > 0 && size < 100 * steps.step) add(steps.relative * size);
  add(steps.step / 8);
  return result;
}

// Is b the better one? Not where a is good by its own measures, which judge it far too harshly. Where b's values are
// all the same and a's are those of a smooth function, b is below f's resolution. Where a is next to a kink, a jump or
// a pole, a finer b that sees none of it is the better one, and so is one whose number is far larger than its error: a
// wide step over a pole gives a small number with a small error. Else the error decides.
bool better(const Estimate& b, const Estimate& a) {
  if (!a.finite()) return b.smooth() || (!std::isinf(a.value) && !std::isnan(b.value));
  if (!b.finite()) return std::isinf(b.value) && !a.smooth();
  if (a.flat() != b.flat() && (a.smooth() || b.smooth())) return a.flat();
  if (a.error() <= 1e-6 * std::abs(a.value)) return false;
  const bool undisturbed = a.flat() || a.doubt <= a.rounding, b_undisturbed = b.flat() || b.doubt <= b.rounding;
  if (!a.smooth() && !undisturbed && b.step < a.step && b_undisturbed) return true;
  if (!b.smooth() && !b_undisturbed && a.step < b.step && undisturbed) return false;
  const bool larger = std::abs(b.value) > std::abs(a.value);
  const Estimate &large = larger ? b : a, &small = larger ? a : b;
  if (!small.smooth() && large.error() < 1e-3 * std::abs(large.value)) return larger;
  return b.error() < a.error();
}

// One element of f, with all steps so far.
struct Choice {
  Slope slope;
  bool settled;
};

// What is the noise of f's values, by these two steps of which one is finer? Doubt that does not shrink with the square
// of the step is not the rest of a series, but noise of f's own, as what 1 - cos(x) has by its subtraction.
double noise_of(const Estimate& coarse, const Estimate& fine) {
  if (!coarse.smooth() || !fine.smooth() || fine.doubt <= std::max(coarse.doubt / 16, fine.rounding)) return 0;
  return std::max(coarse.doubt * coarse.step, fine.doubt * fine.step);
}

bool contradict(const Estimate& a, const Estimate& b) {
  return a.smooth() && std::abs(a.value - b.value) > 16 * (a.error() + b.error());
}

Choice choose(const std::vector<Estimate>& tried, const std::vector<Candidate>& steps, double scale, bool far_below) {
  std::size_t best = 0;
  for (std::size_t k = 1; k < tried.size(); ++k)
    if (better(tried[k], tried[best])) best = k;
  double noise = 0;
  for (std::size_t fine = 0; fine < tried.size(); ++fine)
    for (std::size_t coarse = 0; coarse < tried.size(); ++coarse) {
      if (tried[fine].step >= tried[coarse].step) continue;
      const double n = noise_of(tried[coarse], tried[fine]);
      if (n > 0 && tried[best].step < tried[coarse].step) best = coarse;
      noise = std::max(noise, n);
    }
  // The finest step is noise to the two that are coarser and agree.
  if (tried.size() == 3 && best == 1 && contradict(tried[0], tried[1]) && contradict(tried[2], tried[1]) &&
      !contradict(tried[0], tried[2]))
    best = better(tried[2], tried[0]) ? 2 : 0;
  const auto of_use = [](const Estimate& e) { return e.flat() || e.smooth(); };
  if (steps.back().finest && std::none_of(tried.begin(), tried.end(), of_use)) best = tried.size() - 1;

  const Estimate& chosen = tried[best];
  const double size = std::max(std::abs(chosen.value), scale);
  bool settled = chosen.sound(size);
  if (tried.size() == 1) {
    settled = chosen.flat() || (settled && (!far_below || chosen.rounding <= 1e-6 * size));
  } else {
    const bool lost =
        !tried[0].flat() && std::any_of(tried.begin(), tried.end(), [](const Estimate& e) { return e.flat(); });
    settled = noise > 0 || (settled && !lost && !contradict(tried[0], chosen));
  }
  double floor = chosen.rounding + 4 * noise / chosen.step;
  if (steps[best].finest)
    floor += 8 * chosen.doubt;
  else if (noise == 0 && chosen.smooth() && !chosen.sound(size))
    floor += 4 * chosen.doubt;
  return {{chosen.value, std::isfinite(floor) ? floor : 0.0}, settled};
}

}  // namespace

std::vector<Slope> slopes(const TensorFunction& f, const Tensor<double>& x, std::size_t i, const Tensor<double>& here,
                          const Steps& steps, std::optional<double> size) {
  const double of = std::abs(size.value_or(x.data()[i]));
  const auto all = candidates(of, steps);
  std::vector<Candidate> taken;
  std::vector<std::vector<Estimate>> tried(here.size());  // of each element of f
  std::vector<Slope> result(here.size());
  std::exception_ptr outside;
  for (const Candidate& candidate : all) {
    try {
      const auto estimated = estimates(f, x, i, here, candidate.step);
      for (std::size_t o = 0; o < here.size(); ++o) tried[o].push_back(estimated[o]);
      taken.push_back(candidate);
    } catch (const std::exception&) {  // f may not be there: it is at x
      outside = std::current_exception();
      continue;
    }
    double largest = 0;
    for (const auto& of_one : tried)
      if (of_one[0].finite()) largest = std::max(largest, std::abs(of_one[0].value));
    bool settled = true;
    for (std::size_t o = 0; o < here.size(); ++o) {
      const Choice choice = choose(tried[o], taken, 1e-3 * largest, of > 0 && of < 100 * steps.step);
      result[o] = choice.slope;
      settled = settled && choice.settled;
    }
    if (settled) return result;
  }
  if (taken.empty()) std::rethrow_exception(outside);
  return result;
}

}  // namespace xtape
