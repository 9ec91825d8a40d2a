#pragma once
// What the cases made from the documents' code blocks stand on, see blocks.py.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xtape/mpi/gradient_average.hpp>
#include <xtape/viz/report.hpp>
#include <xtape/xtape.hpp>
#ifdef XTAPE_TESTS_EIGEN
#include <Eigen/Core>
#endif

#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "../xtensor_headers.hpp"

using namespace xtape;

template <class V> std::string docs_text(const V& value) {
  if constexpr (std::is_floating_point_v<V>)
    return fmt::format("{:.6g}", value);
  else
    return fmt::format("{}", value);
}
inline std::string docs_text(const IndexArray& indices) {
  return fmt::format("{}", std::vector<std::size_t>(indices.begin(), indices.end()));
}

template <class V> void docs_check(const V& value, const std::string& claimed) {
  const std::string printed = docs_text(value);
  CHECK_MESSAGE(printed == claimed, "the page claims ", claimed, ", the code gives ", printed);
}
/// What an expression throws, as text.
template <class F> std::string message_of(const F& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}
