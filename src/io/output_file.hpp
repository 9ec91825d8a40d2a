#pragma once
// A file that appears whole or not at all.

#include <xtape/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
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

/// What a file is called until it is whole.
enum class Temporary {
  numbered,  ///< TARGET.0.tmp or the first number that is free: nothing is overwritten, but what a killed program
             ///< leaves stays
  reclaimed  ///< always TARGET.partial: for a file written again and again. The next writer takes what a killed one has
             ///< left; a lock keeps two living ones apart.
};

/// Written under a name of its own in the target's folder, and removed again unless commit() is reached. If the target
/// is a symbolic link, the file that it leads to is meant.
/// Errors are DataErrors that begin with the function's name and the target.
class OutputFile {
 public:
  OutputFile(std::string_view function, std::string target, Temporary temporary = Temporary::numbered)
      : function_(function), target_(std::move(target)) {
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
    temporary == Temporary::numbered ? open_numbered() : open_reclaimed();
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    // Before it is closed, which gives the lock away.
    if (!path_.empty()) std::remove(path_.c_str());
  }

  template <class Byte> void write(std::span<const Byte> bytes) {
    static_assert(sizeof(Byte) == 1);
    errno = 0;
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) fail(system_message(errno));
  }

  /// What has been written gets the target's name. On the disk first: after a power cut the old file is better
  /// than a new one that is empty. Then the folder, so that the new name is there after a power cut.
  void commit() {
    errno = 0;
    if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0) fail(system_message(errno));
    std::error_code error;
    std::filesystem::rename(path_, destination_, error);
    if (error) fail(error.message());
    path_.clear();
    errno = 0;
    if (std::fclose(file_.release()) != 0) fail(system_message(errno));
    flush_folder();
  }

  /// For programs that write the file: its descriptor, and its name until commit().
  int descriptor() const { return fileno(file_.get()); }
  const std::string& temporary_path() const { return path_; }

  [[noreturn]] void fail(std::string_view reason) const {
    throw DataError(fmt::format("{}: {}: cannot be written: {}", function_, target_, reason));
  }

 private:
  void open_numbered() {
    for (int attempt = 0; attempt < 1000; ++attempt) {
      auto path = fmt::format("{}.{}.tmp", destination_.string(), attempt);
      errno = 0;
      file_.reset(std::fopen(path.c_str(), "wbxe"));  // x: never somebody else's, e: no child process's
      if (file_) path_ = std::move(path);
      if (file_ || errno != EEXIST) break;
    }
    if (!file_) fail(system_message(errno));
  }

  void open_reclaimed() {
    const std::string path = destination_.string() + ".partial";
    while (!file_) {
      const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
      if (descriptor < 0) fail(fmt::format("{}: {}", path, system_message(errno)));
      File file(fdopen(descriptor, "wb"));
      if (!file) {
        const int code = errno;
        close(descriptor);
        fail(system_message(code));
      }
      struct stat opened {};
      struct stat named {};
      if (fstat(descriptor, &opened) != 0 || !S_ISREG(opened.st_mode)) fail(path + " is in the way");
      // Some file systems know no locks; one writer alone needs none.
      if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) fail("another program is writing it");
      // Another writer may have renamed or removed the file between open and lock.
      if (lstat(path.c_str(), &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) continue;
      if (ftruncate(descriptor, 0) != 0) fail(system_message(errno));
      file_ = std::move(file);
      path_ = path;
    }
  }

  void flush_folder() const {
    const auto folder = destination_.has_parent_path() ? destination_.parent_path() : std::filesystem::path(".");
    const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;  // a folder that may be written but not read
    const int code = fsync(descriptor) == 0 ? 0 : errno;
    close(descriptor);
    // Not every file system can do it.
    if (code != 0 && code != EINVAL && code != ENOTSUP && code != EROFS)
      fail("its folder's entry may not be on the disk: " + system_message(code));
  }

  std::string_view function_;
  std::string target_, path_;          // path_: what it is called until commit(); empty before and after
  std::filesystem::path destination_;  // the target, or the file that it leads to
  File file_;
};

}  // namespace xtape::detail
