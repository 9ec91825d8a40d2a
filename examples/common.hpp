#pragma once
// What the example programs share: options, data, progress, tables of figures.

#include <xtape/data/readers.hpp>
#include <xtape/data/training_state.hpp>
#include <xtape/mpi/world.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "numbers.hpp"
#include "process.hpp"

namespace examples {

// The options that the programs have in common.
struct CommonOptions {
  std::uint64_t seed = 1;
  std::string data;  // empty: the built-in digits
  std::string out;
  std::vector<std::string> files;  // all that the program may write there
  bool writes = true;              // of several processes the first alone prints and writes files; run() sees to it

  // Programs that read no data have no --data.
  void add_to(CLI::App& app, const std::string& default_out, std::vector<std::string> written, bool reads_data = true);
};

// Runs a program: parses the options, makes the output folder and keeps it for this process alone, calls body. Bad
// options, an output folder or file that cannot be written, missing or bad data, an output that could not be printed:
// one line on stderr and exit status 2. Interrupted by a signal after all was written: how to go on, and the exit
// status that a shell gives for the signal.
int run(CLI::App& app, int argc, char** argv, CommonOptions& options, const std::function<int()>& body);
// The same for a program that several processes may run, started by mpirun; any other refuses that.
int run(CLI::App& app, int argc, char** argv, CommonOptions& options,
        const std::function<int(const xtape::mpi::World&)>& body);

// What an option was set to, or is if nobody sets it.
std::string option_value(const CLI::Option& option);

// What every one-layer model's training has.
struct Training {
  std::size_t hidden = 100, epochs = 20, batch = 32;
  double learning_rate = 0.1, final_learning_rate = -1;  // final below 0: the same
  double momentum = 0;

  void add_to(CLI::App& app);
  // At a step, counted from 0 over all epochs on so many images: falls linearly from the first to the last.
  double rate(std::size_t step, std::size_t images) const;
};

// The data set asked for: a folder of files, or the built-in digits. Training rows are shuffled, since the
// course's files are sorted by class. Throws DataError unless each of the three sets has an image.
xtape::data::Splits load_data(const CommonOptions& options);

// How pixels become the units' states.
xtape::data::Dataset binarise(const xtape::data::Dataset& set, const std::string& how, xtape::Rng& rng);
void add_binarise_option(CLI::App& app, std::string& how);

// Path of one of `files` in the output folder; empty for a process that writes none.
std::string out_path(const CommonOptions& options, const std::string& file);

// Does somebody see what is printed as it is printed? Open MPI gives its processes a terminal of their own, wherever
// their output goes: there the answer is no.
bool on_terminal();

// One line that is rewritten in place on a terminal. Elsewhere only what finish() says is printed.
class Progress {
 public:
  void update(const std::string& line);
  void finish(const std::string& line);

 private:
  std::chrono::steady_clock::time_point last_{};
};

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Tells how training goes: twenty lines that stay, and at a terminal one in between that changes.
class EpochReport {
 public:
  EpochReport(std::size_t epochs, std::size_t images) : epochs_(epochs), images_(images) {}
  // Ends the epoch's training time and returns it, in seconds. What comes until say() is evaluation.
  double training_ends();
  void say(std::size_t epoch, const std::string& figures);
  // Of training, all epochs so far.
  double seconds() const { return training_; }
  // The time of epochs before an interruption counts, too.
  void keep_in(xtape::data::TrainingState& state) { state.keep("seconds", training_); }

 private:
  std::size_t epochs_, images_, said_ = 0;
  double training_ = 0, speed_ = 0;
  Stopwatch total_, watch_;
  Progress progress_;
};

// Comma-separated values, written row by row. The file is complete up to the last row at all times. Without a path,
// nothing is written.
class Csv {
 public:
  // Throws DataError if the file cannot be written.
  Csv(const std::string& path, const std::vector<std::string>& columns);
  // Rows written before an interruption are written again.
  Csv(const std::string& path, const std::vector<std::string>& columns, xtape::data::TrainingState& state);
  ~Csv();
  Csv(const Csv&) = delete;
  Csv& operator=(const Csv&) = delete;
  void row(const std::vector<double>& values);
  // With a text before the numbers.
  void row(const std::string& name, const std::vector<double>& values);

 private:
  void open();
  void write(const std::string& text);

  std::string path_, content_;
  std::FILE* file_ = nullptr;
};

// Named figures of a finished run: a line `name,value` each.
class Summary {
 public:
  // Throws DataError if the file cannot be written.
  explicit Summary(const std::string& path) : csv_(path, {"name", "value"}) {}
  void add(const std::string& name, double value) { csv_.row(name, {value}); }

 private:
  Csv csv_;
};

// 42 s, 3 min 20 s, 2 h 5 min
std::string duration(double seconds);

// Mean, and standard error of the mean (0 for a single value).
struct MeanError {
  double mean, error;
};
MeanError mean_error(const std::vector<double>& values);

}  // namespace examples
