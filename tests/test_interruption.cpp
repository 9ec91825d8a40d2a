// The training programs, killed, interrupted and obstructed: what is on the disk stays whole, and a run that goes on
// ends as one that was never interrupted.

#include <sys/mount.h>
#include <sys/stat.h>
#include <xtape/data/digits.hpp>
#include <xtape/data/training_state.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "child.hpp"
#include "programs.hpp"
#include "trainings.hpp"

namespace {
namespace fs = std::filesystem;

std::string without_lines(const std::string& text, const std::vector<std::string>& beginnings) {
  std::string result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (std::none_of(beginnings.begin(), beginnings.end(), [&](const auto& start) { return line.starts_with(start); }))
      result += line + "\n";
  return result;
}

// What a run has come to: its files and what it says at the end, without times.
std::string outcome_of(const Training& training, const std::string& folder, const std::string& printed) {
  std::string result;
  for (const auto& name : training.files) {
    const std::string content = content_of((fs::path(folder) / name).string());
    CHECK_MESSAGE(!content.empty(), name);
    result += name + "\n" +
              (name == "metrics.csv"   ? without_times(content)
               : name == "summary.csv" ? without_lines(content, {"seconds,"})
                                       : content);
  }
  // train_classifier's table has a column of seconds, its last.
  std::string table = without_lines(printed, {"no checkpoint", "epoch ", "start ", "seed ", "written to"});
  if (training.program == "train_classifier") {
    std::string cut;
    std::istringstream lines(table);
    for (std::string line; std::getline(lines, line);) cut += line.substr(0, line.rfind(' ')) + "\n";
    table = cut;
  }
  return result + table;
}

std::string checkpoint_in(const std::string& folder) { return (fs::path(folder) / "checkpoint.safetensors").string(); }

// Runs to the end, and returns the outcome.
std::string run_whole(const Training& training, const std::string& folder, const std::string& more = "") {
  const Folder text;
  Child child(training.command(folder, more), text / "out", text / "err");
  REQUIRE_MESSAGE(child.wait() == 0, content_of(text / "err"));
  return outcome_of(training, folder, content_of(text / "out"));
}

struct Refusal {
  int status;
  std::string err;
};
Refusal refusal(const Training& training, const std::string& folder, const std::string& more, long file_limit = -1) {
  const Folder text;
  Child child(training.command(folder, more), text / "out", text / "err", file_limit);
  const int status = child.wait();
  return {status, content_of(text / "err")};
}

// One line that begins with the program's name and holds `part`, and status 2.
void check_refusal(const Refusal& refused, const std::string& part) {
  CAPTURE(refused.err);
  CHECK(refused.status == 2);
  CHECK(lines(refused.err) == 1);
  CHECK(refused.err.starts_with("train_rbm: "));
  CHECK_MESSAGE(refused.err.find(part) != std::string::npos, part);
}

// Waits until a program has written a checkpoint, another one than was there when it started.
void wait_for_checkpoint(Child& child, const std::string& path, ino_t before) {
  struct stat now {};
  while ((stat(path.c_str(), &now) != 0 || now.st_ino == before) && !child.ends_within(0.001)) {
  }
}

// A run that is interrupted by a signal after its first steps; returns what it said.
std::string interrupt(const std::vector<std::string>& command, const std::string& checkpoint, int number) {
  const Folder text;
  struct stat before {};
  stat(checkpoint.c_str(), &before);
  Child child(command, text / "out", text / "err");
  wait_for_checkpoint(child, checkpoint, before.st_ino);
  const std::string first = content_of(checkpoint);
  child.kill(number);
  REQUIRE_MESSAGE(child.wait() == 128 + number, content_of(text / "err"));
  CHECK(content_of(checkpoint) != first);  // and this was one more
  return content_of(text / "err");
}
std::string interrupt(const Training& training, const std::string& folder, int number, const std::string& more = "") {
  return interrupt(training.command(folder, more), checkpoint_in(folder), number);
}

const Training long_training{"train_rbm", "--hidden 10 --epochs 100000 --batch 20 --sample-steps 5"};

// Mounts an empty file system in memory over a folder, where the system lets us.
class Mount {
 public:
  Mount(const std::string& folder, const char* options) : folder_(folder) {
    mounted_ = mount("xtape_test", folder.c_str(), "tmpfs", 0, options) == 0;
  }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount() {
    if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  bool make_read_only() { return mount("xtape_test", folder_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) == 0; }

 private:
  std::string folder_;
  bool mounted_ = false;
};

}  // namespace

TEST_CASE("interruption: killed at random moments, a training ends with the bits of one that was not") {
  const char* const given = std::getenv("XTAPE_KILL_SEED");
  const unsigned seed = given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
  const char* const wanted = std::getenv("XTAPE_KILLS");
  const std::size_t kills_each = (wanted ? std::stoul(wanted) : 50) / trainings.size();
  MESSAGE("XTAPE_KILL_SEED=" << seed);
  std::mt19937 random(seed);
  std::size_t kills = 0, resumed = 0, in_a_write = 0;
  for (const Training& training : trainings) {
    CAPTURE(training.program);
    const Folder once, often;
    const std::string expected = run_whole(training, once.string(), "--checkpoint-every 1000");
    const auto start = std::chrono::steady_clock::now();
    CHECK(run_whole(training, often.string(), "--checkpoint-every 0") == expected);  // writing changes nothing
    const double length = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::uniform_real_distribution<double> moment(0, 0.9 * length);
    std::optional<Folder> folder(std::in_place);
    const Folder text;
    for (std::size_t of_this = 0; of_this < kills_each;) {
      Child child(training.command(folder->string(), "--checkpoint-every 0 --resume"), text / "out", text / "err");
      if (child.ends_within(moment(random))) {
        // It was faster: its outcome must be right, and another one is killed.
        REQUIRE_MESSAGE(child.wait() == 0, content_of(text / "err"));
        CHECK(outcome_of(training, folder->string(), content_of(text / "out")) == expected);
        folder.emplace();
        continue;
      }
      const bool there = fs::exists(checkpoint_in(folder->string()));
      child.kill(SIGKILL);
      if (child.wait() != -SIGKILL) continue;  // it ended of its own just then
      ++of_this;
      ++kills;
      in_a_write += fs::exists(checkpoint_in(folder->string()) + ".partial");
      // Never lost, never corrupt.
      if (there) REQUIRE(fs::exists(checkpoint_in(folder->string())));
      if (fs::exists(checkpoint_in(folder->string()))) {
        xtape::data::TrainingState state;
        CHECK_NOTHROW(state.read(checkpoint_in(folder->string())));
        ++resumed;
      }
    }
    CHECK(run_whole(training, folder->string(), "--checkpoint-every 0 --resume") == expected);
    CHECK(!fs::exists(checkpoint_in(folder->string()) + ".partial"));
    // An ended run that is resumed comes to the same once more, and makes no step.
    CHECK(run_whole(training, folder->string(), "--resume") == expected);
  }
  CHECK(kills == kills_each * trainings.size());
  CHECK(resumed > kills / 4);
  MESSAGE(kills << " kills, " << in_a_write << " of them while a checkpoint was written, " << resumed
                << " with a checkpoint to go on from");
}

TEST_CASE(
    "interruption: Ctrl-C, SIGTERM and SIGHUP end a run with a checkpoint, the signal's status and the command to go "
    "on") {
  for (const auto& [number, name] : {std::pair(SIGINT, "SIGINT"), {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}}) {
    const Folder folder;
    const std::string place = folder / "it's here";  // to be quoted
    const std::string said = interrupt(long_training, place, number);
    CHECK(lines(said) == 1);
    CHECK_MESSAGE(said.starts_with(fmt::format("train_rbm: interrupted by {}; to go on: ", name)), said);
    CHECK_MESSAGE(said.ends_with(" --resume\n"), said);
    // The command that was named, interrupted again, names itself.
    const std::string command = said.substr(said.find("to go on: ") + 10);
    CHECK(interrupt({"/bin/sh", "-c", "exec " + command}, checkpoint_in(place), number) == said);
  }
}

TEST_CASE("interruption: after training, Ctrl-C ends the program at once, and says the same") {
  const Folder folder, text;
  const Training training{"train_rbm", "--hidden 10 --epochs 1 --sample-steps 10000000"};
  const std::string path = checkpoint_in(folder.string());
  Child child(training.command(folder.string()), text / "out", text / "err");
  bool finished = false;
  while (!finished && !child.ends_within(0.01)) {
    if (!fs::exists(path)) continue;
    xtape::data::TrainingState state;
    state.read(path);
    state.keep("finished", finished);
  }
  child.kill(SIGINT);
  CHECK(child.wait() == 130);
  CHECK(content_of(text / "err").starts_with("train_rbm: interrupted by SIGINT; to go on: "));
  CHECK(lines(content_of(text / "err")) == 1);
}

TEST_CASE("interruption: a run that was interrupted by a signal goes on to the bits of one that was not") {
  const Folder whole, folder;
  Training training = trainings[1];
  training.arguments.replace(training.arguments.find("--epochs 3"), 10, "--epochs 150");
  const std::string expected = run_whole(training, whole.string());
  interrupt(training, folder.string(), SIGTERM);
  CHECK(run_whole(training, folder.string(), "--resume") == expected);
}

TEST_CASE("interruption: an unfinished run is not overwritten, a finished one is") {
  const Folder folder;
  const Training training{"train_rbm", "--hidden 5 --epochs 1 --sample-steps 5", {"rbm.safetensors"}};
  const std::string first = run_whole(training, folder.string());
  CHECK(run_whole(training, folder.string()) == first);
  CHECK(run_whole(training, folder.string(), "--seed 2") != first);
  CHECK(run_whole(training, folder.string(), "--checkpoint " + (folder / "other") + " --resume") == first);
  CHECK(fs::exists(folder / "other"));
  interrupt(long_training, folder.string(), SIGINT);
  const std::string kept = content_of(checkpoint_in(folder.string()));
  check_refusal(refusal(training, folder.string(), ""), "holds a run that has not ended; go on with it by --resume");
  CHECK(content_of(checkpoint_in(folder.string())) == kept);
}

TEST_CASE("interruption: what hinders a checkpoint is one line and status 2, and the last good one stays") {
  const Folder folder;
  interrupt(long_training, folder.string(), SIGTERM);
  const std::string path = checkpoint_in(folder.string()), whole = content_of(path);
  const auto there = [&] { return fs::is_directory(path) ? "a folder" : content_of(path); };
  const auto refused = [&](const std::string& more, const std::string& part, long file_limit = -1) {
    const std::string before = there();
    check_refusal(refusal(long_training, folder.string(), more, file_limit), part);
    CHECK(there() == before);
  };
  const auto others = [&](const std::string& arguments, const std::string& part) {
    check_refusal(refusal({"train_rbm", arguments}, folder.string(), "--resume"), part);
    CHECK(content_of(path) == whole);
  };
  others("--hidden 12 --epochs 100000 --batch 20 --sample-steps 5", "setting --hidden is 10, this run's is 12");
  others("--hidden 10 --epochs 400 --batch 20 --sample-steps 5", "setting --epochs is 100000, this run's is 400");
  others("--hidden 10 --epochs 100000 --batch 20 --sample-steps 5 --persistent",
         "setting --persistent is not given, this run's is true");
  others("--hidden 10 --epochs 100000 --batch 20 --sample-steps 5 --seed 3", "setting --seed is 1, this run's is 3");
  const Refusal other_program = refusal({"train_autoencoder", ""}, folder.string(), "--resume");
  CHECK(other_program.status == 2);
  CHECK_MESSAGE(other_program.err.find("setting --hidden is 10, this run's is 100") != std::string::npos,
                other_program.err);

  refused("--resume", "cannot be written: File too large", static_cast<long>(whole.size() / 2));
  refused("--checkpoint " + (folder / "none/f"), "No such file or directory");
  refused("--checkpoint " + (folder / "metrics.csv/f"), "Not a directory");
  refused("--checkpoint " + folder.string(), "is a folder");
  refused("--checkpoint " + folder.string() + " --resume", "is a folder");
  refused("--checkpoint /dev/full", "is not a regular file");
  refused("--checkpoint-every -1", "--checkpoint-every");
  refused("--checkpoint-every nan", "--checkpoint-every");

  for (const char* more : {"", "--resume"}) {
    const auto damaged = [&](const std::string& content, const std::string& part) {
      write_file(path, content);
      refused(more, part);
    };
    damaged("", "empty file");
    damaged(whole.substr(0, whole.size() - 1), "truncated");
    damaged(whole.substr(0, 20), "truncated at byte 20");
    std::string flipped = whole;
    flipped[whole.size() / 2] ^= 4;
    damaged(flipped, "is damaged: the checksum does not fit");
    std::string newer = whole;
    newer[whole.find("\"version\":\"1\"") + 11] = '2';
    damaged(newer, "has version '2' of the format; this program knows 1");
    damaged("a poem", "truncated at byte 6");
    fs::remove(path);
    fs::create_directory(path);
    refused(more, "is a folder");
    fs::remove(path);
  }
  write_file(path, whole);
  interrupt(long_training, folder.string(), SIGTERM, "--resume");  // all is well again
}

TEST_CASE("interruption: other data of the same size are another run's") {
  const Folder folder, data;
  const Training training{"train_rbm", long_training.arguments + " --data " + data.string()};
  write_digits(data.string(), 1, 100, 20);
  interrupt(training, folder.string(), SIGTERM);
  interrupt(training, folder.string(), SIGTERM, "--resume");
  write_digits(data.string(), 2, 100, 20);
  check_refusal(refusal(training, folder.string(), "--resume"), "setting data is 100 images of 28 x 28, CRC ");
}

TEST_CASE("interruption: a full disk and a read-only file system") {
  const Folder folder, at;
  Mount disk(at.string(), "size=256k");
  if (!disk.mounted()) {
    MESSAGE("skipped: no right to mount");
    return;
  }
  const std::string path = at / "checkpoint.safetensors", more = "--checkpoint " + path + " --checkpoint-every 0";
  interrupt(long_training.command(folder.string(), more), path, SIGTERM);
  const std::string whole = content_of(path);
  // No room for a second one beside it.
  std::error_code ignored;
  write_file(at / "filler", std::string(std::size_t{256} << 10, 'x'));
  REQUIRE(fs::space(at.string()).available < whole.size());
  check_refusal(refusal(long_training, folder.string(), more + " --resume"), "No space left on device");
  CHECK(content_of(path) == whole);
  fs::remove(at / "filler");
  REQUIRE(disk.make_read_only());
  check_refusal(refusal(long_training, folder.string(), more + " --resume"), "Read-only file system");
  CHECK(content_of(path) == whole);
}
