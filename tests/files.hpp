#pragma once
// Folders and files for the tests.

#include <doctest/doctest.h>
#include <xtape/error.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

// A new folder, removed with all that is in it.
class Folder {
 public:
  Folder() {
    std::random_device random;
    do path_ = std::filesystem::temp_directory_path() / ("xtape_test_" + std::to_string(random()));
    while (!std::filesystem::create_directory(path_));
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string string() const { return path_.string(); }
  std::string name() const { return path_.filename().string(); }
  std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator());
  }

 private:
  std::filesystem::path path_;
};

inline std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Returns the path.
inline std::string write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

// `act` must throw an Error whose message holds all `parts`.
template <class Error = xtape::DataError>
void check_bad(const std::function<void()>& act, const std::vector<std::string>& parts) {
  try {
    act();
    FAIL_CHECK("nothing thrown, expected: " << parts.back());
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const auto& part : parts) CHECK_MESSAGE(message.find(part) != std::string::npos, message << " lacks " << part);
  }
}
