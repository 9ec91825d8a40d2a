#pragma once

#include <xtape/error.hpp>

#include <string>

/// The message of the E that f throws; whatever else it throws passes.
template <class E = xtape::Error, class F> std::string message(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}
