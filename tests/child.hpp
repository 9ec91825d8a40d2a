#pragma once
// A program that runs beside the test and can be killed.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "files.hpp"

class Child {
 public:
  // Output goes to two files, stdout and stderr. With a limit, no file may grow beyond so many bytes, as on a full
  // disk.
  Child(const std::vector<std::string>& command, const std::string& out, const std::string& err, long file_limit = -1) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ != 0) return;
    for (const auto& [path, descriptor] : {std::pair(&out, STDOUT_FILENO), std::pair(&err, STDERR_FILENO)}) {
      const int file = open(path->c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      if (file < 0 || dup2(file, descriptor) < 0) _exit(99);
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);
    if (file_limit >= 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const auto bytes = static_cast<rlim_t>(file_limit);
      const rlimit limit{bytes, bytes};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    execv(arguments[0], arguments.data());
    _exit(98);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(SIGKILL);
    wait();
  }

  // Only while nobody has waited for it: the number may be another's afterwards.
  void kill(int number) {
    if (!ended_) ::kill(pid_, number);
  }
  pid_t id() const { return pid_; }
  // Its exit status, or minus the signal that ended it.
  int wait() {
    if (!ended_) {
      int status = 0;
      while (waitpid(pid_, &status, 0) < 0) {
      }
      set(status);
    }
    return status_;
  }
  // Waits so long at most. Has it ended?
  bool ends_within(double seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (!ended_) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_)
        set(status);
      else if (std::chrono::steady_clock::now() >= end)
        return false;
      else
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
  }

 private:
  void set(int status) {
    ended_ = true;
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  pid_t pid_;
  bool ended_ = false;
  int status_ = 0;
};
