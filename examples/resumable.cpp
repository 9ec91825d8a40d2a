#include "resumable.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>
#include <zlib.h>

#include <charconv>
#include <filesystem>

namespace examples {
namespace {

constexpr int caught[] = {SIGINT, SIGTERM};
volatile std::sig_atomic_t received = 0;

extern "C" void remember_signal(int number) { received = number; }

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

// What an option was set to, or is if nobody sets it.
std::string value_of(const CLI::Option& option) {
  if (option.count() == 0) {
    std::string text = option.get_default_str();
    if (text.size() > 1 && text.front() == '[') text = text.substr(1, text.size() - 2);
    return text.empty() ? "not given" : plain(text);
  }
  std::string values;
  for (const std::string& result : option.results()) values += (values.empty() ? "" : ",") + plain(result);
  return values;
}

template <class T> std::uint32_t extend(std::uint32_t crc, std::span<const T> values) {
  return static_cast<std::uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(values.data()), values.size_bytes()));
}

}  // namespace

void ResumeOptions::add_to(CLI::App& to) {
  app_ = &to;
  to.add_option("--checkpoint", checkpoint,
                "file to go on from after an interruption (default: checkpoint.safetensors in the output folder)");
  to.add_option("--checkpoint-every", every, "seconds between two checkpoints; 0: after every step")
      ->check(between(0.0, 1e9))
      ->capture_default_str();
  to.add_flag("--resume", resume, "go on from the checkpoint; from the beginning if there is none");
}

Interrupted::Interrupted(int number)
    : std::runtime_error(number == SIGINT ? "interrupted by SIGINT" : "interrupted by SIGTERM"), signal(number) {}

Resumable::Resumable(const CommonOptions& common, const ResumeOptions& options)
    : path_(options.checkpoint.empty() ? out_path(common, "checkpoint.safetensors") : options.checkpoint),
      every_(options.every) {
  if (std::filesystem::exists(std::filesystem::symlink_status(path_))) {
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
    fmt::print("no checkpoint {} yet: from the beginning\n", path_);
  }
  for (const CLI::Option* option : options.app_->get_options()) {
    const std::string name = option->get_name();
    if (name != "--help" && name != "--out" && name != "--data" && name != "--resume" &&
        !name.starts_with("--checkpoint"))
      state.setting(name, value_of(*option));
  }
  state.keep("finished", finished_);
}

Resumable::~Resumable() { release_signals(); }

void Resumable::data(const xtape::data::Splits& splits) {
  std::uint32_t crc = 0;
  for (const auto* set : {&splits.train, &splits.valid, &splits.test})
    crc = extend(extend(crc, std::span(set->pixels)), std::span(set->labels));
  state.setting("data", fmt::format("{} images of {} x {}, CRC {:08x}", splits.train.size(), splits.train.rows,
                                    splits.train.cols, crc));
}

void Resumable::data(std::string_view what, std::initializer_list<std::span<const double>> values) {
  std::uint32_t crc = 0;
  for (const auto span : values) crc = extend(crc, span);
  state.setting("data", fmt::format("{}, CRC {:08x}", what, crc));
}

void Resumable::write() {
  state.write(path_);
  written_ = true;
  since_write_ = {};
}

void Resumable::after_step() {
  if (finished_) return;
  catch_signals();
  const int signal = received;
  if (signal != 0 || !written_ || since_write_.seconds() >= every_) write();
  if (signal != 0) throw Interrupted(signal);
}

void Resumable::finish() {
  finished_ = true;
  write();
  release_signals();
  if (received != 0) throw Interrupted(received);
}

void Resumable::catch_signals() {
  if (catching_) return;
  catching_ = true;
  struct sigaction action = {};
  action.sa_handler = remember_signal;
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  for (std::size_t i = 0; i < std::size(caught); ++i) {
    sigaction(caught[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) sigaction(caught[i], &action, nullptr);  // nohup and the like are respected
  }
}

void Resumable::release_signals() {
  if (!catching_) return;
  catching_ = false;
  for (std::size_t i = 0; i < std::size(caught); ++i) sigaction(caught[i], &before_[i], nullptr);
}

}  // namespace examples
