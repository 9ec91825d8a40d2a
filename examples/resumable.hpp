#pragma once
// Training that survives: a crash, a full disk, a power cut, Ctrl-C.

#include <xtape/data/readers.hpp>
#include <xtape/data/training_state.hpp>

#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common.hpp"
#include "folder.hpp"

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

// From now on SIGINT, SIGTERM and SIGHUP end the program with a message that says how to go on, and the exit status
// that a shell gives for the signal: at once, or after the step if a Resumable is among its steps and it is the first
// signal. Signals that are ignored stay so. Of several processes the first alone says something. For run(), once.
void catch_signals(const std::string& program, int argc, char** argv, const xtape::mpi::World& world);
// Says so, and returns the status.
int report_interruption(int signal);
// For a process on its way out: mpirun, which sees another one go, sends it a signal.
void ignore_signals();

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
// Several processes stop and write after the same step. What each would do is a number; they add the numbers up, with
// whatever else they add up in the step:
//     double wishes = run.wish();
//     ...
//     run.after_step(wishes);
// All of them read the file, which must lie where all see it; the first one writes it.
class Resumable {
 public:
  // Reads the file if asked for. Throws DataError if it cannot be, or if one is there that no finished run has left and
  // was not asked for: it would be overwritten; if another process has the same --checkpoint. Throws MpiError if the
  // processes see different files, or (data()) have different data. The processes must outlive it.
  Resumable(const CommonOptions& common, const ResumeOptions& options,
            const xtape::mpi::World& world = xtape::mpi::World::alone());
  ~Resumable();
  Resumable(const Resumable&) = delete;
  Resumable& operator=(const Resumable&) = delete;

  xtape::data::TrainingState state;

  // The data are a setting, too: by what is in them, wherever they lie.
  void data(const xtape::data::Splits& splits);
  void data(std::string_view what, std::initializer_list<std::span<const double>> values);

  // After the first step, and then when the time has come, writes the state. From the first step on, signals wait for
  // this call, which writes and throws Interrupted.
  void after_step() { after_step(wish()); }
  // What this process would do now: nothing, write, or stop because of a signal; and what all are going to do then.
  double wish() const;
  static bool will_write(double wishes) { return wishes > 0; }
  void after_step(double wishes);
  // While all that was trained is still kept: writes the state for the last time. What comes next is repeated if the
  // run is interrupted then and resumed.
  void finish();

 private:
  void data(const std::string& text);
  void write();

  const xtape::mpi::World& world_;
  std::string path_;
  std::optional<Lock> lock_;  // of a checkpoint that may lie outside of the output folder
  double every_;
  bool finished_ = false, written_ = false;
  Stopwatch since_write_;
};

}  // namespace examples
