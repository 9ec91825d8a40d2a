#pragma once
// A file that appears whole or not at all.

#include <xtape/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace xtape::detail {

inline std::string system_message(int code) {
  return code != 0 ? std::generic_category().message(code) : std::string("unknown error");
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// Written under a name of its own in the target's folder, and removed again unless commit() is reached. If the target
/// is a symbolic link, the file that it leads to is meant.
/// Errors are DataErrors that begin with the function's name and the target.
class OutputFile {
 public:
  OutputFile(std::string_view function, std::string target) : function_(function), target_(std::move(target)) {
    if (target_.empty()) fail("the path is empty");
    // Renaming would replace a link, instead of the file that it leads to, and a device by a file.
    std::error_code ignored;
    destination_ = target_;
    for (int links = 0; std::filesystem::is_symlink(std::filesystem::symlink_status(destination_, ignored)); ++links) {
      if (links == 40) fail("too many symbolic links, one leading to the next");
      const auto next = std::filesystem::read_symlink(destination_, ignored);
      if (next.empty()) fail("a symbolic link cannot be read");
      destination_ = destination_.parent_path() / next;  // which an absolute one replaces
    }
    const auto there = std::filesystem::status(destination_, ignored);
    if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there))
      fail(std::filesystem::is_directory(there) ? "is a directory" : "is not a regular file");
    for (int attempt = 0; attempt < 1000; ++attempt) {
      path_ = fmt::format("{}.{}.tmp", destination_.string(), attempt);
      errno = 0;
      file_.reset(std::fopen(path_.c_str(), "wbxe"));  // x: never somebody else's, e: no child process's
      if (file_ || errno != EEXIST) break;
    }
    if (!file_) fail(system_message(errno));
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    file_.reset();
    if (!path_.empty()) std::remove(path_.c_str());
  }

  template <class Byte> void write(std::span<const Byte> bytes) {
    static_assert(sizeof(Byte) == 1);
    errno = 0;
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) fail(system_message(errno));
  }

  /// What has been written gets the target's name. On the disk first: after a power cut the old file is better
  /// than a new one that is empty.
  void commit() {
    errno = 0;
    if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0) fail(system_message(errno));
    if (std::fclose(file_.release()) != 0) fail(system_message(errno));
    std::error_code error;
    std::filesystem::rename(path_, destination_, error);
    if (error) fail(error.message());
    path_.clear();
  }

  /// For programs that write the file: its descriptor, and its name until commit().
  int descriptor() const { return fileno(file_.get()); }
  const std::string& temporary_path() const { return path_; }

  [[noreturn]] void fail(std::string_view reason) const {
    throw DataError(fmt::format("{}: {}: cannot be written: {}", function_, target_, reason));
  }

 private:
  std::string_view function_;
  std::string target_, path_;
  std::filesystem::path destination_;  // the target, or the file that it leads to
  File file_;
};

}  // namespace xtape::detail
