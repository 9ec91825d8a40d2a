#include <xtape/error.hpp>
#include <xtape/schedule.hpp>

#include <fmt/format.h>

#include <cmath>
#include <numbers>

namespace xtape::schedule {
namespace {

void require(bool holds, const char* schedule, const char* what, double value, const char* range) {
  if (!holds) throw ValueError(fmt::format("{}: the {} {} is not {}", schedule, what, value, range));
}

void need_rate(const char* schedule, const char* what, double value) {
  require(value >= 0 && std::isfinite(value), schedule, what, value, "at least 0 and finite");
}

void need_positive(const char* schedule, const char* what, double value) {
  require(value > 0 && std::isfinite(value), schedule, what, value, "positive and finite");
}

void need_progress(const char* schedule, double progress) {
  require(progress >= 0 && progress <= 1, schedule, "progress", progress, "in [0, 1]");
}

}  // namespace

double progress(std::size_t step, std::size_t steps) {
  return step < steps ? static_cast<double>(step) / static_cast<double>(steps) : 1.0;
}

double linear(double start, double end, double progress) {
  need_rate("linear", "start", start);
  need_rate("linear", "end", end);
  need_progress("linear", progress);
  return start + (end - start) * progress;
}

double exponential(double start, double end, double progress) {
  need_positive("exponential", "start", start);
  need_positive("exponential", "end", end);
  need_progress("exponential", progress);
  return std::pow(start, 1 - progress) * std::pow(end, progress);  // end / start may overflow
}

double cosine(double start, double end, double progress) {
  need_rate("cosine", "start", start);
  need_rate("cosine", "end", end);
  need_progress("cosine", progress);
  return end + (start - end) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

double steps(double rate, double factor, std::size_t every, std::size_t step) {
  need_rate("steps", "rate", rate);
  need_rate("steps", "factor", factor);
  return rate * std::pow(factor, static_cast<double>(every == 0 ? 0 : step / every));
}

double warmup(std::size_t length, std::size_t step) {
  return step < length ? static_cast<double>(step + 1) / static_cast<double>(length) : 1.0;
}

}  // namespace xtape::schedule
