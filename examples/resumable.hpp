#pragma once
// Training that survives: a crash, a full disk, a power cut, Ctrl-C.

#include <xtape/data/readers.hpp>
#include <xtape/data/training_state.hpp>

#include <csignal>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common.hpp"

namespace examples {

struct ResumeOptions {
  std::string checkpoint;  // empty: in the output folder
  double every = 60;       // seconds
  bool resume = false;

  void add_to(CLI::App& to);

 private:
  friend class Resumable;
  const CLI::App* app_ = nullptr;
};

// Thrown after a step when SIGINT or SIGTERM has come and everything is on the disk. run() turns it into a message and
// the exit status.
struct Interrupted : std::runtime_error {
  explicit Interrupted(int number);
  int signal;
};

// A run that can be interrupted at any time, and gone on with by --resume. All options of the program but those that
// name files are settings, which must be the same in the run that goes on.
//     Resumable run(options, options.resume);
//     run.data(splits);
//     ...                      keep things in run.state
//     while (...) {
//       ...                    a step
//       if (it is the last) run.finish();
//       run.after_step();
//     }
class Resumable {
 public:
  // Reads the file if asked for. Throws DataError if it cannot be, or if one is there that no finished run has left and
  // was not asked for: it would be overwritten.
  Resumable(const CommonOptions& common, const ResumeOptions& options);
  ~Resumable();
  Resumable(const Resumable&) = delete;
  Resumable& operator=(const Resumable&) = delete;

  xtape::data::TrainingState state;

  // The data are a setting, too: by what is in them, wherever they lie.
  void data(const xtape::data::Splits& splits);
  void data(std::string_view what, std::initializer_list<std::span<const double>> values);

  // After the first step, and then when the time has come, writes the state. From the first step on, SIGINT and SIGTERM
  // wait for this call, which writes and throws Interrupted. The second of a kind ends the program at once.
  void after_step();
  // While all that was trained is still kept: writes the state for the last time. Signals end the program again, and
  // what comes next is repeated if the run is resumed.
  void finish();

 private:
  void write();
  void catch_signals();
  void release_signals();

  std::string path_;
  double every_;
  bool finished_ = false, written_ = false, catching_ = false;
  Stopwatch since_write_;
  struct sigaction before_[2] = {};
};

}  // namespace examples
