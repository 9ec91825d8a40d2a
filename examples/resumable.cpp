#include "resumable.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cctype>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <vector>

namespace examples {
namespace {

// The signals that end a run, each with what is said then: the handler may not allocate.
struct Ending {
  int number;
  const char* name;
  std::string message = {};
};
std::array<Ending, 3> endings{{{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}}};
volatile std::sig_atomic_t received = 0, among_steps = 0;

extern "C" void on_signal(int number) {
  if (among_steps != 0 && received == 0)
    received = number;
  else
    _exit(report_interruption(number));
}

// A word fit for a shell, and for a terminal.
std::string quoted(const std::string& word) {
  const bool simple = !word.empty() && word.find_first_not_of(
                                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789_-+=.,:/") == std::string::npos;
  if (simple) return word;
  std::string result;
  if (printable(word) == word) {
    for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return "'" + result + "'";
  }
  // As bash, zsh and ksh read it. Octal digits end after the third.
  for (const char c : word)
    result += c == '\'' || c == '\\'                        ? fmt::format("\\{}", c)
              : std::isprint(static_cast<unsigned char>(c)) ? std::string(1, c)
                                                            : fmt::format("\\{:03o}", static_cast<unsigned char>(c));
  return "$'" + result + "'";
}

// The command that was given, with --resume.
std::string resuming_command(int argc, char** argv) {
  std::string command;
  bool resumes = false;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    resumes = resumes || word == "--resume";
    command += (i > 0 ? " " : "") + quoted(word);
  }
  return command + (resumes ? "" : " --resume");
}

// By the signal that came, perhaps to another process alone.
[[noreturn]] void stop() { throw Interrupted(received != 0 ? received : SIGTERM); }

template <class T> std::uint32_t extend(std::uint32_t crc, std::span<const T> values) {
  return static_cast<std::uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(values.data()), values.size_bytes()));
}

// What a file holds, in a word.
std::string content_of(const std::string& path) {
  std::uint32_t crc = 0;
  std::vector<char> part(1 << 20);
  if (std::filesystem::is_regular_file(path))
    for (std::ifstream file(path, std::ios::binary); file;) {
      file.read(part.data(), static_cast<std::streamsize>(part.size()));
      crc = extend(crc, std::span<const char>(part.data(), static_cast<std::size_t>(file.gcount())));
    }
  return fmt::format("CRC {:08x}", crc);
}

}  // namespace

void ResumeOptions::add_to(CLI::App& to) {
  app_ = &to;
  to.add_option("--checkpoint", checkpoint,
                "file to go on from after an interruption (default: checkpoint.safetensors in the output folder)");
  to.add_option("--checkpoint-every", every, "seconds between two checkpoints; 0: after every step")
      ->transform(between(0.0, 1e9))
      ->capture_default_str();
  to.add_flag("--resume", resume, "go on from the checkpoint; from the beginning if there is none");
}

void catch_signals(const std::string& program, int argc, char** argv, const xtape::mpi::World& world) {
  for (Ending& ending : endings) {
    if (world.first())
      // On a terminal, a line of progress has no end yet.
      ending.message = fmt::format(
          "{}{}: interrupted by {}; to go on: {}\n", on_terminal() ? "\n" : "", program, ending.name,
          (world.size() > 1 ? fmt::format("mpirun -n {} ", world.size()) : "") + resuming_command(argc, argv));
    struct sigaction action = {};
    sigaction(ending.number, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;  // nohup and the like
    action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(ending.number, &action, nullptr);
  }
}

void ignore_signals() {
  for (const Ending& ending : endings) std::signal(ending.number, SIG_IGN);
}

int report_interruption(int signal) {
  ignore_signals();
  for (const Ending& ending : endings)
    if (ending.number == signal) {
      // Nothing is left to be done if stderr is gone.
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, ending.message.data(), ending.message.size());
    }
  return 128 + signal;
}

Resumable::Resumable(const CommonOptions& common, const ResumeOptions& options, const xtape::mpi::World& world)
    : world_(world),
      path_(options.checkpoint.empty() ? (std::filesystem::path(common.out) / "checkpoint.safetensors").string()
                                       : options.checkpoint),
      every_(options.every) {
  if (!options.checkpoint.empty() && common.writes) lock_.emplace(path_ + ".lock", path_);
  const bool exists = std::filesystem::exists(std::filesystem::symlink_status(path_));
  if (world.size() > 1) world.agree("the checkpoint", exists ? content_of(path_) : "no file");
  if (exists) {
    if (options.resume) {
      state.read(path_);
    } else {
      bool finished = false;
      try {
        xtape::data::TrainingState there;
        there.read(path_);
        there.keep("finished", finished);
      } catch (const xtape::DataError& error) {
        throw xtape::DataError(fmt::format("{}; remove it, or choose another --checkpoint", error.what()));
      }
      if (!finished)
        throw xtape::DataError(
            fmt::format("{}: holds a run that has not ended; go on with it by --resume, or remove it", path_));
    }
  } else if (options.resume) {
    say("no checkpoint {} yet: from the beginning\n", path_);
  }
  for (const CLI::Option* option : options.app_->get_options()) {
    const std::string name = option->get_name();
    if (name != "--help" && name != "--out" && name != "--data" && name != "--resume" && name != "--serve" &&
        !name.starts_with("--checkpoint"))
      state.setting(name, option_value(*option));
  }
  state.keep("finished", finished_);
}

Resumable::~Resumable() { among_steps = 0; }

void Resumable::data(const xtape::data::Splits& splits) {
  std::uint32_t crc = 0;
  for (const auto* set : {&splits.train, &splits.valid, &splits.test})
    crc = extend(extend(crc, std::span(set->pixels)), std::span(set->labels));
  data(fmt::format("{} images of {} x {}, CRC {:08x}", splits.train.size(), splits.train.rows, splits.train.cols, crc));
}

void Resumable::data(std::string_view what, std::initializer_list<std::span<const double>> values) {
  std::uint32_t crc = 0;
  for (const auto span : values) crc = extend(crc, span);
  data(fmt::format("{}, CRC {:08x}", what, crc));
}

void Resumable::data(const std::string& text) {
  world_.agree("the data", text);
  state.setting("data", text);
}

void Resumable::write() {
  if (world_.first()) state.write(path_);
  written_ = true;
  since_write_ = {};
}

// The first process's clock says when it is time to write. One signal outweighs that.
double Resumable::wish() const {
  const bool time = world_.first() && (!written_ || since_write_.seconds() >= every_);
  return (received != 0 ? 2 : 0) + (time ? 1 : 0);
}

void Resumable::after_step(double wishes) {
  if (finished_) return;
  among_steps = 1;
  if (will_write(wishes)) write();
  if (wishes >= 2) stop();
}

void Resumable::finish() {
  finished_ = true;
  write();
  among_steps = 0;
  double signals = received != 0 ? 1 : 0;
  world_.sum(std::span(&signals, 1));
  if (signals > 0) stop();
}

}  // namespace examples
