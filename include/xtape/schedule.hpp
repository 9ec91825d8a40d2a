#pragma once
/// \file schedule.hpp  Learning rates over a run: assign one to an optimiser's options before each step.
///     sgd.options.learning_rate = schedule::linear(0.1, 0.0, schedule::progress(step, steps));

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace xtape::schedule {

/// How much of a run is done: step / steps, at most 1; 1 for no steps.
inline double progress(std::size_t step, std::size_t steps) {
  return step < steps ? static_cast<double>(step) / static_cast<double>(steps) : 1.0;
}
// Below, progress runs from 0 to 1.

/// start + (end - start) progress
inline double linear(double start, double end, double progress) { return start + (end - start) * progress; }
/// start (end / start)^progress, for positive rates
inline double exponential(double start, double end, double progress) { return start * std::pow(end / start, progress); }
/// Half a cosine from start to end, flat at both (Loshchilov & Hutter 2017).
inline double cosine(double start, double end, double progress) {
  return end + (start - end) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}
/// rate factor^(step / every), the division without remainder: falls at every `every`-th step.
inline double steps(double rate, double factor, std::size_t every, std::size_t step) {
  return rate * std::pow(factor, static_cast<double>(every == 0 ? 0 : step / every));
}
/// The share of the rate in the first `length` steps: (step + 1) / length, then 1. A factor to any of the others.
inline double warmup(std::size_t length, std::size_t step) {
  return step < length ? static_cast<double>(step + 1) / static_cast<double>(length) : 1.0;
}

}  // namespace xtape::schedule
