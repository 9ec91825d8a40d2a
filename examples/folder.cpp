#include "folder.hpp"

#include <xtape/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace examples {
namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& reason) {
  throw xtape::DataError(fmt::format("{}: {}", what, reason));
}

std::string made(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("cannot write to the output folder " + folder, error.message());
  return (fs::path(folder) / ".lock").string();
}

}  // namespace

Lock::Lock(const std::string& file, const std::string& what) : path_(file) {
  while (!take(what)) close(descriptor_);
}

// False if the file was removed by the one that held the lock, between opening and locking it: then once more.
bool Lock::take(const std::string& what) {
  // Never through a link, and nothing is emptied: what lies there may be somebody's.
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (descriptor_ < 0) fail(what, errno == ELOOP ? path_ + " is in the way" : std::strerror(errno));
  const auto refuse = [&](const std::string& reason) {
    close(descriptor_);
    fail(what, reason);
  };
  struct stat opened {};
  struct stat named {};
  if (fstat(descriptor_, &opened) != 0 || !S_ISREG(opened.st_mode)) refuse(path_ + " is in the way");
  // A process's own, which no child of it inherits, and whose holder the system knows.
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(descriptor_, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN)) {
    if (fcntl(descriptor_, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK) return false;
    refuse(lock.l_pid > 0 ? fmt::format("process {} is writing there", lock.l_pid)
                          : std::string("another process is writing there"));
  }
  return lstat(path_.c_str(), &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

Lock::~Lock() {
  unlink(path_.c_str());  // before it is closed, which gives the lock away
  close(descriptor_);
}

OutputFolder::OutputFolder(const std::string& folder, const std::vector<std::string>& files)
    : lock_(made(folder), "cannot write to the output folder " + folder) {
  for (const std::string& file : files) {
    const std::string path = (fs::path(folder) / file).string();
    std::error_code error;
    const auto there = fs::status(path, error);
    if (there.type() == fs::file_type::not_found) continue;
    if (error) fail(path, error.message());
    if (!fs::is_regular_file(there)) fail(path, fs::is_directory(there) ? "is a folder" : "is not a regular file");
    if (access(path.c_str(), W_OK) != 0) fail(path, std::strerror(errno));
  }
}

}  // namespace examples
