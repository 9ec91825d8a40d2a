#pragma once
// Training that survives: a crash, a full disk, a power cut, Ctrl-C.

#include <xtape/data/readers.hpp>
#include <xtape/data/training_state.hpp>

#include <exception>
#include <span>
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

// From now on SIGINT and SIGTERM end the program with a message that says how to go on, and the exit status that a
// shell gives for the signal: at once, or after the step if a Resumable is among its steps and it is the first signal.
// Signals that are ignored stay so. For run(), once.
void catch_signals(const std::string& program, int argc, char** argv);
// Says so, and returns the status.
int report_interruption(int signal);

// Thrown after a step when a signal has come and everything is on the disk; run() reports it.
struct Interrupted : std::exception {
  explicit Interrupted(int number) : signal(number) {}
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

  // After the first step, and then when the time has come, writes the state. From the first step on, signals wait for
  // this call, which writes and throws Interrupted.
  void after_step();
  // While all that was trained is still kept: writes the state for the last time. What comes next is repeated if the
  // run is interrupted then and resumed.
  void finish();

 private:
  void write();

  std::string path_;
  double every_;
  bool finished_ = false, written_ = false;
  Stopwatch since_write_;
};

}  // namespace examples
