#pragma once
// The place where a program writes, made sure of before hours of work: it can be written, it is this process's alone,
// and nothing stands where the files are to be.

#include <string>
#include <vector>

namespace examples {

// Keeps other processes that ask for the same file's lock out while it lives. The system keeps the lock and gives it
// away when the process ends, however it does: a file left by a killed one does no harm, and none is left otherwise.
class Lock {
 public:
  // Makes the file if it is not there. Throws DataError that begins with `what` and has the other process's number, if
  // another one holds the lock, or the reason if the file cannot be made. Where the file system knows no locks, there
  // is none.
  Lock(const std::string& file, const std::string& what);
  ~Lock();
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  bool take(const std::string& what);

  std::string path_;
  int descriptor_ = -1;
};

// Makes the folder and locks it for this process. Throws DataError if that cannot be, or if one of these files is there
// and is not one to be written: a folder, a device, a pipe.
class OutputFolder {
 public:
  OutputFolder(const std::string& folder, const std::vector<std::string>& files);

 private:
  Lock lock_;
};

}  // namespace examples
