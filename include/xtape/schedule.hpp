#pragma once
/// \file schedule.hpp  Learning rates over a run: assign one to an optimiser's options before each step.
///     sgd.options.learning_rate = schedule::linear(0.1, 0.0, schedule::progress(step, steps));
///
/// Rates are finite and not negative, progress runs from 0 to 1: all that take them throw ValueError for others and
/// NaN.

#include <cstddef>

namespace xtape::schedule {

/// How much of a run is done: step / steps, at most 1; 1 for no steps.
double progress(std::size_t step, std::size_t steps);

/// start + (end - start) progress
double linear(double start, double end, double progress);
/// start^(1 - progress) end^progress: falls by the same factor in each step. Throws ValueError also for a rate of 0.
double exponential(double start, double end, double progress);
/// Half a cosine from start to end, flat at both (Loshchilov & Hutter 2017).
double cosine(double start, double end, double progress);
/// rate factor^(step / every), the division without remainder: falls at every `every`-th step, never for 0. Throws
/// ValueError unless the factor, too, is finite and not negative.
double steps(double rate, double factor, std::size_t every, std::size_t step);
/// The share of the rate in the first `length` steps: (step + 1) / length, then 1. A factor to any of the others.
double warmup(std::size_t length, std::size_t step);

}  // namespace xtape::schedule
