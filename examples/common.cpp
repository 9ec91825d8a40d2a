#include "common.hpp"

#include <xtape/data/digits.hpp>
#include <xtape/error.hpp>
#include <xtape/schedule.hpp>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "folder.hpp"
#include "resumable.hpp"

namespace examples {
namespace fs = std::filesystem;

void CommonOptions::add_to(CLI::App& app, const std::string& default_out, std::vector<std::string> written,
                           bool reads_data) {
  out = default_out;
  files = std::move(written);
  app.add_option("--seed", seed, "seed of all random numbers")->transform(whole(0))->capture_default_str();
  if (reads_data)
    app.add_option("--data", data, "folder with MNIST's or the course's files (default: built-in digits)");
  app.add_option("--out", out, "folder for pictures and figures")->capture_default_str();
}

namespace {

// The library takes what it cannot read for 1.
void check_environment() {
  const char* const text = std::getenv("XTAPE_NUM_THREADS");
  const auto threads = whole_number(text ? text : "1");
  if (!threads || *threads > 1024)
    throw xtape::ValueError(fmt::format("XTAPE_NUM_THREADS: {} is no whole number in [0, 1024]", text));
}

// What went wrong; with the options that were given, where too much of something was asked
// for and the message does not know of what.
std::string reason(const std::exception& error, const CLI::App& app) {
  std::string text = error.what();
  const auto* const system = dynamic_cast<const std::system_error*>(&error);
  const bool no_thread = system && system->code() == std::errc::resource_unavailable_try_again;
  const bool no_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  if (no_thread)
    text = "no thread can be started (XTAPE_NUM_THREADS, OPENBLAS_NUM_THREADS, ulimit -u and -v say how many): " + text;
  if (no_memory) text = "not enough memory";
  if (no_memory || no_thread || dynamic_cast<const xtape::MemoryError*>(&error)) {
    std::string given;
    for (const CLI::Option* option : app.get_options())
      if (option->count() > 0) given += fmt::format(" {} {}", option->get_name(), option_value(*option));
    text += given.empty() ? "; all options are as by default" : "; options given:" + given;
  }
  return fmt::format("{}: {}", app.get_name(), text);
}

// Of several processes each may have been started with options of its own. Folders and files may have other names on
// other machines; what is in them is compared where it is read.
void agree_on_options(const CLI::App& app, const xtape::mpi::World& world) {
  world.agree("the program", app.get_name());
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (name != "--help" && name != "--out" && name != "--data" && name != "--checkpoint" && name != "--serve")
      world.agree(name, option_value(*option));
  }
}

}  // namespace

int run(CLI::App& app, int argc, char** argv, CommonOptions& options,
        const std::function<int(const xtape::mpi::World&)>& body) {
  prepare_process();
  std::optional<const xtape::mpi::World> world;  // until all is said
  try {
    world.emplace();
    options.writes = world->first();
    if (!options.writes && !std::freopen("/dev/null", "w", stdout))
      throw xtape::DataError("/dev/null cannot be opened");
    parse(app, argc, argv);
    if (app.get_option_no_throw("--resume")) catch_signals(app.get_name(), argc, argv, *world);
    check_environment();
    agree_on_options(app, *world);
    std::optional<OutputFolder> folder;
    if (options.writes) folder.emplace(options.out, options.files);
    const int status = body(*world);
    finish_output();
    return status;
  } catch (const CLI::Success&) {  // --help
    return 0;
  } catch (const Interrupted& e) {
    flush_output();
    return report_interruption(e.signal);
  } catch (const std::exception& e) {
    const std::string message = reason(e, app);
    if (world && world->size() > 1) {
      ignore_signals();
      world->fail(printable(message), 2);
    }
    flush_output();  // what was said before
    complain(message);
    return 2;
  }
}

int run(CLI::App& app, int argc, char** argv, CommonOptions& options, const std::function<int()>& body) {
  return run(app, argc, argv, options, [&](const xtape::mpi::World& world) {
    if (world.size() > 1) throw xtape::mpi::MpiError("runs as one process only, and mpirun has started several");
    return body();
  });
}

namespace {

// A number as it is written shortest, so that 0.10 is 0.1; any other text as it is.
std::string plain(const std::string& text) {
  const char* const end = text.data() + text.size();
  const auto whole = [&](auto& number) {
    const auto [after, error] = std::from_chars(text.data(), end, number);
    return error == std::errc{} && after == end;
  };
  std::uint64_t integer = 0;  // which double may not hold
  double number = 0;
  return whole(integer) ? fmt::format("{}", integer) : whole(number) ? fmt::format("{}", number) : text;
}

}  // namespace

std::string option_value(const CLI::Option& option) {
  if (option.count() == 0) {
    std::string text = option.get_default_str();
    if (text.size() > 1 && text.front() == '[') text = text.substr(1, text.size() - 2);
    return text.empty() ? "not given" : plain(text);
  }
  std::string values;
  for (const std::string& result : option.results()) values += (values.empty() ? "" : ",") + plain(result);
  return values;
}

void Training::add_to(CLI::App& app) {
  app.add_option("--hidden", hidden, "hidden units")->transform(whole(1, 100000))->capture_default_str();
  app.add_option("--epochs", epochs, "passes over the training data")
      ->transform(whole(1, 100000))
      ->capture_default_str();
  app.add_option("--batch", batch, "images in a step")->transform(whole(1, 1000000))->capture_default_str();
  app.add_option("--learning-rate", learning_rate, "at the start")->transform(positive())->capture_default_str();
  app.add_option("--final-learning-rate", final_learning_rate, "at the end, falling linearly (default: the same)")
      ->transform(between(0, 1e9));
  app.add_option("--momentum", momentum, "of the updates")->transform(between(0.0, 0.999))->capture_default_str();
}

double Training::rate(std::size_t step, std::size_t images) const {
  const double last = final_learning_rate < 0 ? learning_rate : final_learning_rate;
  return xtape::schedule::linear(learning_rate, last,
                                 xtape::schedule::progress(step, epochs * ((images + batch - 1) / batch)));
}

xtape::data::Splits load_data(const CommonOptions& options) {
  if (options.data.empty()) return xtape::data::builtin_digits(options.seed);
  auto splits = xtape::data::load(options.data);
  if (splits.train.size() == 0 || splits.valid.size() == 0 || splits.test.size() == 0)
    throw xtape::DataError(
        fmt::format("--data {}: {} training, {} validation and {} test images; each needs one (of MNIST's training "
                    "images a sixth are for validation: 6 are needed)",
                    options.data, splits.train.size(), splits.valid.size(), splits.test.size()));
  xtape::Rng rng(options.seed, 1);
  splits.train = xtape::data::shuffled(splits.train, rng);
  return splits;
}

void add_binarise_option(CLI::App& app, std::string& how) {
  app.add_option("--binarise", how,
                 "pixels: none, as they are; threshold, 1 from a half on; sample, by their grey level")
      ->check(CLI::IsMember({"none", "threshold", "sample"}))
      ->capture_default_str();
}

xtape::data::Dataset binarise(const xtape::data::Dataset& set, const std::string& how, xtape::Rng& rng) {
  return how == "threshold" ? xtape::data::binarised(set) : how == "sample" ? xtape::data::sampled(set, rng) : set;
}

std::string out_path(const CommonOptions& options, const std::string& file) {
  if (std::find(options.files.begin(), options.files.end(), file) == options.files.end())
    throw std::logic_error(file + " is not among the files that the program says it writes");
  return options.writes ? (fs::path(options.out) / file).string() : "";
}

bool on_terminal() { return isatty(STDOUT_FILENO) != 0 && !std::getenv("OMPI_COMM_WORLD_SIZE"); }

void Progress::update(const std::string& line) {
  const auto now = std::chrono::steady_clock::now();
  if (!on_terminal() || now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  winsize size{};
  const std::size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79U;
  write_output(fmt::format("\r{:<{}}", printable(line).substr(0, width), width));
  flush_output();
}

void Progress::finish(const std::string& line) {
  write_output(fmt::format("{}{}\n", on_terminal() ? "\r\033[K" : "", printable(line)));
  flush_output();
}

double EpochReport::training_ends() {
  const double seconds = watch_.seconds();
  training_ += seconds;
  speed_ = static_cast<double>(images_) / seconds;
  return seconds;
}

void EpochReport::say(std::size_t epoch, const std::string& figures) {
  // Epochs before an interruption took no time of this run.
  const double left = total_.seconds() / static_cast<double>(++said_) * static_cast<double>(epochs_ - epoch);
  const auto line =
      fmt::format("epoch {}/{}  {}  {:.0f} images/s  {} left", epoch, epochs_, figures, speed_, duration(left));
  if (epoch == epochs_ || epoch % ((epochs_ + 19) / 20) == 0)
    progress_.finish(line);
  else
    progress_.update(line);
  watch_ = {};
}

Csv::Csv(const std::string& path, const std::vector<std::string>& columns)
    : path_(path), content_(fmt::format("{}\n", fmt::join(columns, ","))) {
  open();
}
Csv::Csv(const std::string& path, const std::vector<std::string>& columns, xtape::data::TrainingState& state)
    : path_(path), content_(fmt::format("{}\n", fmt::join(columns, ","))) {
  state.keep("metrics", content_);
  open();
}
void Csv::open() {
  if (path_.empty()) return;
  file_ = std::fopen(path_.c_str(), "we");
  if (!file_) throw xtape::DataError(fmt::format("{}: {}", path_, std::strerror(errno)));
  write(content_);
}
void Csv::write(const std::string& text) {
  if (file_ && (std::fputs(text.c_str(), file_) < 0 || std::fflush(file_) != 0))
    throw xtape::DataError(fmt::format("{}: {}", path_, std::strerror(errno)));
}
Csv::~Csv() {
  if (file_) std::fclose(file_);
}
void Csv::row(const std::vector<double>& values) { row("", values); }
void Csv::row(const std::string& name, const std::vector<double>& values) {
  const auto line = fmt::format("{}{}{}\n", name, name.empty() ? "" : ",", fmt::join(values, ","));
  content_ += line;
  write(line);
}

std::string duration(double seconds) {
  const auto s = static_cast<long>(std::max(0.0, seconds) + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s / 60 % 60);
}

MeanError mean_error(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0.0};
}

}  // namespace examples
