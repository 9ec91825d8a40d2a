#pragma once
// For tests that need much memory.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <string>

/// Bytes of a line of /proc/meminfo; 0 if there is none.
inline std::size_t meminfo(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  std::string label, unit;
  for (std::size_t kilobytes = 0; file >> label >> kilobytes; std::getline(file, unit))
    if (label == name + ":") return kilobytes * 1024;
  return 0;
}

/// True if so much is free; otherwise says that the test was skipped.
inline bool have_memory(std::size_t bytes) {
  const std::size_t available = meminfo("MemAvailable");
  if (available >= bytes) return true;
  MESSAGE(fmt::format("skipped: {} bytes are available, {} needed", available, bytes));
  return false;
}
