// Checkpoints that prove whole by their checksum, but hold numbers and lists that no run has written: a resumed program
// refuses them in one line or runs on, and never reads or writes outside of what it has.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <xtape/rng.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "../src/io/safetensors_any.hpp"
#include "child.hpp"
#include "files.hpp"
#include "trainings.hpp"

namespace fs = std::filesystem;
using namespace xtape;

namespace {

std::string checkpoint_in(const std::string& folder) { return (fs::path(folder) / "checkpoint.safetensors").string(); }

data::AnyTensorFile read(const std::string& path) { return data::read_any("test", path, "xtape training state", 1); }

// With a checksum that is right.
void write(const std::string& path, const data::AnyTensorFile& file) {
  detail::OutputFile out("test", path, detail::Temporary::reclaimed);
  data::write_any(out, file);
  out.commit();
}

struct Outcome {
  int status;  // or minus a signal
  std::string error;
};

Outcome resumed(const Training& training, const data::AnyTensorFile& checkpoint) {
  const Folder folder, text;
  write(checkpoint_in(folder.string()), checkpoint);
  Child child(training.command(folder.string(), "--resume --checkpoint-every 1000"), text / "out", text / "err");
  if (!child.ends_within(60)) return {-SIGALRM, "it runs on and on"};
  return {child.wait(), content_of(text / "err")};
}

// Of a run that has ended, and of one that was killed on its way.
std::vector<data::AnyTensorFile> checkpoints_of(const Training& training) {
  const Folder ended, killed, text;
  Child whole(training.command(ended.string()), text / "out", text / "err");
  REQUIRE_MESSAGE(whole.wait() == 0, content_of(text / "err"));
  Child part(training.command(killed.string(), "--checkpoint-every 0"), text / "out", text / "err");
  while (!fs::exists(checkpoint_in(killed.string())) && !part.ends_within(0.001)) {
  }
  part.ends_within(0.05);
  part.kill(SIGKILL);
  part.wait();
  return {read(checkpoint_in(ended.string())), read(checkpoint_in(killed.string()))};
}

std::string with_one_number_changed(const std::string& text, Rng& rng) {
  std::vector<std::string> numbers;
  std::istringstream words(text);
  for (std::string word; words >> word;) numbers.push_back(word);
  const std::vector<std::string> values{"0", "1", "3", "1000000", "4294967296", "18446744073709551615", "-1", "nan"};
  if (!numbers.empty()) numbers[rng.below(numbers.size())] = values[rng.below(values.size())];
  return fmt::format("{}", fmt::join(numbers, " "));
}

template <class T> Tensor<T> changed(const Tensor<T>& tensor, Rng& rng) {
  const auto extent = [&] { return static_cast<std::size_t>(rng.below(6)); };
  const std::vector<T> odd{T(-1), std::numeric_limits<T>::quiet_NaN(), T(1e30), T(0.5)};
  const T value = odd[rng.below(odd.size())];
  switch (rng.below(4)) {
    case 0: return full<T>(tensor.shape(), value);
    case 1: return full<T>({extent()}, value);
    case 2: return full<T>({}, value);
    default: return full<T>({extent(), extent()}, value);
  }
}

// One number or one tensor of it; what was changed is told.
std::string change(data::AnyTensorFile& file, Rng& rng) {
  std::vector<std::string> texts;
  for (const auto& [name, text] : file.metadata)
    if (name.starts_with("value ") && name.find("metrics") == std::string::npos) texts.push_back(name);
  const std::size_t place = rng.below(texts.size() + file.tensors.size());
  if (place < texts.size()) {
    std::string& text = file.metadata[texts[place]];
    const std::string before = text;
    text = with_one_number_changed(text, rng);
    return fmt::format("{}: {} in place of {}", texts[place], text, before);
  }
  auto& [name, tensor] = *std::next(file.tensors.begin(), static_cast<std::ptrdiff_t>(place - texts.size()));
  std::visit([&](auto& t) { t = changed(t, rng); }, tensor);
  return fmt::format("{}: of shape {}", name, std::visit([](const auto& t) { return to_string(t.shape()); }, tensor));
}

}  // namespace

TEST_CASE("hostile checkpoints: changed at random with right checksums, they are refused in a line or run on") {
  const char* const asked = std::getenv("XTAPE_HOSTILE_CHECKPOINTS");
  const int changes = asked ? std::atoi(asked) : 5;
  Rng rng{1};
  for (const Training& training : trainings)
    for (const auto& checkpoint : checkpoints_of(training))
      for (int i = 0; i < changes; ++i) {
        data::AnyTensorFile file = checkpoint;
        const std::string what = change(file, rng);
        const Outcome outcome = resumed(training, file);
        CAPTURE(training.program);
        CAPTURE(what);
        CAPTURE(outcome.error);
        CHECK((outcome.status == 0 || outcome.status == 1 || outcome.status == 2));
        if (outcome.status != 0) CHECK(outcome.error.starts_with(training.program + ": "));
        if (outcome.status != 0) CHECK(std::count(outcome.error.begin(), outcome.error.end(), '\n') <= 2);
      }
}

TEST_CASE("hostile checkpoints: lists and indices that do not fit the run are named") {
  const auto refusal = [](const Training& training, const data::AnyTensorFile& file) {
    const Outcome outcome = resumed(training, file);
    CHECK(outcome.status == 2);
    return outcome.error;
  };
  const auto list = [](std::size_t count) { return Tensor<double>(full<double>({count}, 1.0)); };
  const auto holds = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  {
    const Training& training = trainings[0];
    const auto ended = checkpoints_of(training)[0];
    auto longer = ended, shorter = ended, far = ended;
    for (const char* name : {"test", "best epochs", "validation", "seconds"}) longer.tensors[name] = list(2);
    holds(refusal(training, longer), "list 'test' has 2 numbers, this run's has at most 1");
    shorter.tensors["best epochs"] = list(0);
    holds(refusal(training, shorter), "list 'best epochs' has 0 numbers, this run's has 1");
    far.metadata["value training/best epoch"] = "4294967296";
    holds(refusal(training, far), "'training/best epoch' is 4294967296, in this run at most 2");
  }
  {
    const Training& training = trainings[1];
    const auto ended = checkpoints_of(training)[0];
    auto far = ended, other = ended;
    far.metadata["value best"] = "4294967296";
    holds(refusal(training, far), "'best' is 4294967296, in this run at most 2");
    other.tensors["machine/particles"] = zeros<float>({});
    holds(refusal(training, other), "tensor 'machine/particles' has shape (), this run's has (40, 784)");
  }
}
