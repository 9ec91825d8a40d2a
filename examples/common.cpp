#include "common.hpp"

#include <xtape/data/digits.hpp>
#include <xtape/error.hpp>
#include <xtape/schedule.hpp>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "resumable.hpp"

namespace examples {
namespace fs = std::filesystem;

void CommonOptions::add_to(CLI::App& app, const std::string& default_out, bool reads_data) {
  out = default_out;
  app.add_option("--seed", seed, "seed of all random numbers")->check(CLI::NonNegativeNumber)->capture_default_str();
  if (reads_data)
    app.add_option("--data", data, "folder with MNIST's or the course's files (default: built-in digits)");
  app.add_option("--out", out, "folder for pictures and figures")->capture_default_str();
}

namespace {

// Makes the folder, and makes sure before hours of work that files can be written there.
void prepare_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  const fs::path probe = fs::path(folder) / ".writable";
  const bool writable = !error && std::ofstream(probe).good();
  if (!writable)
    throw xtape::DataError(fmt::format("cannot write to the output folder {}: {}", folder,
                                       error ? error.message() : std::string(std::strerror(errno))));
  fs::remove(probe, error);
}

}  // namespace

int run(CLI::App& app, int argc, char** argv, CommonOptions& options,
        const std::function<int(const xtape::mpi::World&)>& body) {
  std::optional<const xtape::mpi::World> world;  // until all is said
  try {
    world.emplace();
    options.writes = world->first();
    if (!options.writes && !std::freopen("/dev/null", "w", stdout))
      throw xtape::DataError("/dev/null cannot be opened");
    app.parse(argc, argv);
    if (app.get_option_no_throw("--resume")) catch_signals(app.get_name(), argc, argv, *world);
    if (options.writes) prepare_folder(options.out);
    return body(*world);
  } catch (const CLI::Success& e) {  // --help
    return app.exit(e);
  } catch (const Interrupted& e) {
    std::fflush(stdout);
    return report_interruption(e.signal);
  } catch (const std::exception& e) {
    const auto message = fmt::format("{}: {}", app.get_name(), e.what());
    if (world && world->size() > 1) {
      ignore_signals();
      world->fail(message, 2);
    }
    fmt::print(stderr, "{}\n", message);
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

CLI::Validator range(const std::string& name, bool (*holds)(double, double, double), double low, double high) {
  return {[=](std::string& text) {
            double value = 0;
            const bool good = CLI::detail::lexical_cast(text, value) && holds(value, low, high);
            return good ? std::string() : fmt::format("{} is no number {}", text, name);
          },
          name};
}

}  // namespace

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

CLI::Validator between(double low, double high) {
  return range(
      fmt::format("in [{}, {}]", low, high), [](double x, double from, double to) { return x >= from && x <= to; }, low,
      high);
}
CLI::Validator positive() {
  return range(
      "above 0", [](double x, double, double) { return x > 0 && std::isfinite(x); }, 0, 0);
}

void Training::add_to(CLI::App& app) {
  app.add_option("--hidden", hidden, "hidden units")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--epochs", epochs, "passes over the training data")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--batch", batch, "images in a step")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--learning-rate", learning_rate, "at the start")->check(positive())->capture_default_str();
  app.add_option("--final-learning-rate", final_learning_rate, "at the end, falling linearly (default: the same)")
      ->check(between(0, 1e9));
  app.add_option("--momentum", momentum, "of the updates")->check(between(0.0, 0.999))->capture_default_str();
}

double Training::rate(std::size_t step, std::size_t images) const {
  const double last = final_learning_rate < 0 ? learning_rate : final_learning_rate;
  return xtape::schedule::linear(learning_rate, last,
                                 xtape::schedule::progress(step, epochs * ((images + batch - 1) / batch)));
}

xtape::data::Splits load_data(const CommonOptions& options) {
  if (options.data.empty()) return xtape::data::builtin_digits(options.seed);
  auto splits = xtape::data::load(options.data);
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
  return options.writes ? (fs::path(options.out) / file).string() : "";
}

bool on_terminal() { return isatty(STDOUT_FILENO) != 0 && !std::getenv("OMPI_COMM_WORLD_SIZE"); }

void Progress::update(const std::string& line) {
  const auto now = std::chrono::steady_clock::now();
  if (!on_terminal() || now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  winsize size{};
  const std::size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79U;
  fmt::print("\r{:<{}}", line.substr(0, width), width);
  std::fflush(stdout);
}

void Progress::finish(const std::string& line) {
  fmt::print("{}{}\n", on_terminal() ? "\r\033[K" : "", line);
  std::fflush(stdout);
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
  file_ = std::fopen(path_.c_str(), "w");
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
