#pragma once
// Arguments of random numbers, held to what makes a distribution; the message has the name of the function that was
// called.

#include <xtape/error.hpp>

#include <fmt/format.h>

#include <cmath>

namespace xtape::detail {

template <class T> void need_interval(const char* function, T low, T high) {
  if (!(std::isfinite(low) && std::isfinite(high) && low <= high))
    throw ValueError(
        fmt::format("{}: [{}, {}) is no interval of finite numbers, the lower one first", function, low, high));
}

template <class T> void need_deviation(const char* function, T standard_deviation) {
  if (!(std::isfinite(standard_deviation) && standard_deviation >= 0))
    throw ValueError(
        fmt::format("{}: the standard deviation {} is not finite and at least 0", function, standard_deviation));
}

template <class T> void need_normal(const char* function, T mean, T standard_deviation) {
  if (!std::isfinite(mean)) throw ValueError(fmt::format("{}: the mean {} is not finite", function, mean));
  need_deviation(function, standard_deviation);
}

}  // namespace xtape::detail
