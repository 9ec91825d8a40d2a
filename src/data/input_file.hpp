#pragma once
// A file read from front to back that knows its size.

#include <xtape/error.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "../output_file.hpp"

namespace xtape::data {

/// The size of a regular file. Throws DataError for whatever else has that path, and does not open it: a pipe would
/// wait for a writer.
inline std::uint64_t size_of_file(std::string_view function, const std::string& path) {
  namespace fs = std::filesystem;
  const auto fail = [&](std::string_view what) { throw DataError(fmt::format("{}: {}: {}", function, path, what)); };
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::is_directory(status)) fail("is a folder, expected a file");
  if (fs::exists(status) && !fs::is_regular_file(status)) fail("is not a regular file");
  const std::uint64_t size = fs::file_size(path, error);
  if (error) fail("cannot be opened: " + error.message());
  return size;
}

/// Errors are DataErrors that begin with the function's name and the path.
class InputFile {
 public:
  InputFile(std::string_view function, std::string path) : function_(function), path_(std::move(path)) {
    size_ = size_of_file(function_, path_);
    errno = 0;
    file_.reset(std::fopen(path_.c_str(), "rbe"));
    if (!file_) fail(fmt::format("cannot be opened: {}", detail::system_message(errno)));
  }

  void read(void* out, std::size_t bytes) {
    errno = 0;
    const std::size_t got = std::fread(out, 1, bytes, file_.get());
    offset_ += got;
    if (got == bytes) return;
    if (std::ferror(file_.get()) != 0)
      fail(fmt::format("cannot be read at byte {}: {}", offset_, detail::system_message(errno)));
    fail(fmt::format("truncated at byte {} while it was read", offset_));
  }

  std::uint64_t size() const { return size_; }
  /// What messages begin with.
  std::string place() const { return fmt::format("{}: {}", function_, path_); }

  [[noreturn]] void fail(std::string_view what) const { throw DataError(fmt::format("{}: {}", place(), what)); }

 private:
  std::string_view function_;
  std::string path_;
  detail::File file_;
  std::uint64_t size_ = 0, offset_ = 0;
};

}  // namespace xtape::data
