#pragma once
// The one way by which readers come to a file: regular files alone, and messages that name the file.

#include <xtape/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "output_file.hpp"

namespace xtape::detail {

/// A regular file, open for reading. A folder, a device, a pipe or a socket in its place is refused before it is
/// opened: a pipe waits for a writer, a device such as /dev/zero never ends, and some devices do things when they are
/// opened. Errors are DataErrors that begin with the function's name and the path.
class RegularFile {
 public:
  RegularFile(std::string_view function, const std::string& path) {
    const auto fail = [&](const std::string& what) {
      throw DataError(fmt::format("{}: {}: {}", function, path, what));
    };
    struct stat status {};
    const auto check = [&](int failed) {
      if (failed != 0) fail("cannot be opened: " + system_message(errno));
      if (S_ISDIR(status.st_mode)) fail("is a folder, expected a file");
      if (!S_ISREG(status.st_mode)) fail("is not a regular file");
    };
    check(stat(path.c_str(), &status));
    // Another may have taken its place meanwhile, which is seen afterwards and not waited for.
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor_ < 0) fail("cannot be opened: " + system_message(errno));
    try {
      check(fstat(descriptor_, &status));
    } catch (...) {
      close(descriptor_);
      throw;
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;
  ~RegularFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  std::uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }
  /// For who closes it.
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// What `read` gives. If memory does not suffice, a MemoryError that names the function and the file.
template <class Read> auto naming(std::string_view function, const std::string& path, const Read& read) {
  try {
    return read();
  } catch (const MemoryError& error) {
    throw MemoryError(fmt::format("{}: {}: {}", function, path, error.what()));
  } catch (const std::bad_alloc&) {
    throw MemoryError(fmt::format("{}: {}: out of memory", function, path));
  } catch (const std::length_error&) {  // of a container that no memory would hold
    throw MemoryError(fmt::format("{}: {}: out of memory", function, path));
  }
}

/// A file read from front to back that knows its size. Errors are DataErrors that begin with the function's name and
/// the path.
class InputFile {
 public:
  InputFile(std::string_view function, std::string path) : function_(function), path_(std::move(path)) {
    RegularFile file(function_, path_);
    size_ = file.size();
    errno = 0;
    file_.reset(fdopen(file.descriptor(), "rb"));
    if (!file_) fail(fmt::format("cannot be opened: {}", system_message(errno)));
    file.release();
  }

  void read(void* out, std::size_t bytes) {
    errno = 0;
    const std::size_t got = std::fread(out, 1, bytes, file_.get());
    offset_ += got;
    if (got == bytes) return;
    if (std::ferror(file_.get()) != 0)
      fail(fmt::format("cannot be read at byte {}: {}", offset_, system_message(errno)));
    fail(fmt::format("truncated at byte {} while it was read", offset_));
  }
  /// Goes on at that byte.
  void seek(std::uint64_t byte) {
    errno = 0;
    if (fseeko(file_.get(), static_cast<off_t>(byte), SEEK_SET) != 0)
      fail(fmt::format("cannot be read at byte {}: {}", byte, system_message(errno)));
    offset_ = byte;
  }

  std::uint64_t size() const { return size_; }
  /// What messages begin with.
  std::string place() const { return fmt::format("{}: {}", function_, path_); }

  [[noreturn]] void fail(std::string_view what) const { throw DataError(fmt::format("{}: {}", place(), what)); }

 private:
  std::string_view function_;
  std::string path_;
  File file_;
  std::uint64_t size_ = 0, offset_ = 0;
};

}  // namespace xtape::detail
