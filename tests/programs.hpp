#pragma once
// Running the example programs as a user runs them.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>

#include "files.hpp"
#include "paths.hpp"

struct Run {
  int status;
  std::string out, err;
};

inline Run run(const std::string& program, const std::string& arguments) {
  const Folder folder;
  const auto out = folder / "out", err = folder / "err";
  const int status = std::system(
      fmt::format("'{}/{}' {} >'{}' 2>'{}' </dev/null", XTAPE_PROGRAMS, program, arguments, out, err).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(out), content_of(err)};
}

inline std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// Pixels, figures and parameters of two runs, but for their times.
inline std::string without_times(const std::string& csv) {
  std::string result;
  std::istringstream text(csv);
  for (std::string line; std::getline(text, line);)
    if (line.rfind("seconds,", 0) != 0) result += line.substr(0, line.rfind(',')) + "\n";
  return result;
}

// The last figure of a summary with that name.
inline double figure(const std::string& summary, const std::string& name) {
  const auto at = summary.find("\n" + name + ",");
  REQUIRE_MESSAGE(at != std::string::npos, name);
  return std::stod(summary.substr(at + name.size() + 2));
}
