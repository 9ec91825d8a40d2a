// The example programs and what lies outside of them: closed descriptors, full outputs, limits, other runs, numbers and
// texts of any kind, things in the way.

#include <sys/resource.h>
#include <sys/stat.h>
#include <xtape/data/training_state.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "../examples/numbers.hpp"
#include "../examples/process.hpp"
#include "child.hpp"
#include "programs.hpp"

namespace {
namespace fs = std::filesystem;

std::string path_of(const std::string& program) { return std::string(XTAPE_PROGRAMS) + "/" + program; }

// What a shell makes of it. Redirections within come first.
Run shell(const std::string& command) {
  const Folder folder;
  const int status =
      std::system(fmt::format("{{ {} ; }} >'{}' 2>'{}' </dev/null", command, folder / "out", folder / "err").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(folder / "out"), content_of(folder / "err")};
}

// MNIST's files: so many training pictures of one grey, and one for testing.
void write_mnist(const std::string& folder, std::uint32_t count, std::uint32_t rows, std::uint32_t cols) {
  const auto number = [](std::uint32_t n) {
    return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
                       static_cast<char>(n)};
  };
  for (const auto& [name, images] : {std::pair("train", count), {"t10k", 1U}}) {
    const std::string dimensions = number(images) + number(rows) + number(cols);
    write_file(fmt::format("{}/{}-images-idx3-ubyte", folder, name),
               number(0x803) + dimensions + std::string(std::size_t{images} * rows * cols, '\x40'));
    write_file(fmt::format("{}/{}-labels-idx1-ubyte", folder, name),
               number(0x801) + number(images) + std::string(images, '\1'));
  }
}

// The shortest run of each program that has an output folder.
using ShortRuns = std::vector<std::pair<std::string, std::string>>;
const ShortRuns digit_runs = {{"denoise_ising", "--images 1 --enlarge 1 --sweeps 2"},
                              {"pretrain", "--methods none --hidden 2 --seeds 1 --epochs 1 --rates 0.5"},
                              {"sample_rbm", "--chains 1 --steps 1"},
                              {"train_autoencoder", "--hidden 2 --epochs 1"},
                              {"train_classifier", "--model mlp --epochs 1"},
                              {"train_rbm", "--hidden 2 --epochs 1 --sample-steps 0"}};
const ShortRuns& short_runs() {
  static const Folder data;
  static const ShortRuns all = [] {
    write_mnist(data.string(), 12, 28, 28);
    ShortRuns runs = digit_runs;
    for (auto& [program, arguments] : runs) arguments += " --data " + data.string();
    runs.emplace_back("directed_model", "--networks 1 --nodes 3");
    runs.emplace_back("gaussian_process", "--steps 2 --restarts 1");
    return runs;
  }();
  return all;
}
std::string rbm() { return short_runs()[5].second; }

void check_one_line(const Run& result, const std::string& part) {
  CAPTURE(result.err);
  CHECK(result.status == 2);
  CHECK(lines(result.err) == 1);
  CHECK_MESSAGE(result.err.find(part) != std::string::npos, part);
}

}  // namespace

TEST_CASE("programs: closed descriptors are none that a file gets") {
  const Folder with;
  REQUIRE(run("train_rbm", rbm() + " --out " + with.string()).status == 0);
  for (const char* closed : {">&-", "2>&-", "<&- >&- 2>&-"}) {
    CAPTURE(closed);
    const Folder without;
    const Run result = shell(fmt::format("'{}' {} --out {} {}", path_of("train_rbm"), rbm(), without.string(), closed));
    CHECK(result.status == 0);
    CHECK(without_times(content_of(without / "metrics.csv")) == without_times(content_of(with / "metrics.csv")));
    CHECK(content_of(without / "summary.csv").starts_with("name,value\nbest_epoch,1\n"));
    CHECK(content_of(without / "rbm.safetensors") == content_of(with / "rbm.safetensors"));
  }
}

TEST_CASE("programs: an output that takes nothing is an error at the end, and all files are written") {
  for (const auto& [program, arguments] : short_runs()) {
    CAPTURE(program);
    const Folder folder;
    const std::string command = fmt::format("PATH= '{}' {} --out {}", path_of(program), arguments, folder.string());
    check_one_line(shell(command + " >/dev/full"), program + ": standard output could not be written: No space left");
    CHECK(fs::exists(folder / (program == "train_classifier" ? "confusion.png" : "summary.csv")));
    check_one_line(shell(fmt::format("'{}' --help >/dev/full", path_of(program))), "standard output");
  }
  check_one_line(shell(fmt::format("'{}' --help >/dev/full", path_of("verify_gradients"))), "standard output");
  check_one_line(shell(fmt::format("'{}' >/dev/full", path_of("verify_gradients"))), "No space left on device");
  const Folder folder;
  check_one_line(shell(fmt::format("( '{}' {} --out '{}' || echo $? >'{}' ) | true; exit $(cat '{}')",
                                   path_of("train_rbm"), "--hidden 2 --epochs 5 --sample-steps 0", folder.string(),
                                   folder / "status", folder / "status")),
                 "standard output could not be written: Broken pipe");
}

TEST_CASE("programs: a limit on files is an error, not a signal") {
  for (const auto& [program, arguments] : short_runs()) {
    CAPTURE(program);
    const Folder folder;
    const std::string command = fmt::format("'{}' {} --out {}", path_of(program), arguments, folder.string());
    CHECK(shell("ulimit -f 0; " + command).status == 2);  // not even the message fits
    if (program != "directed_model" && program != "gaussian_process")
      check_one_line(shell("ulimit -f 1; " + command), "File too large");
  }
}

TEST_CASE("programs: an output folder has one run at a time") {
  const Folder folder, text;
  const std::string out = folder / "out", lock = out + "/.lock", checkpoint = folder / "checkpoint";
  Child first({path_of("train_rbm"), "--epochs", "100000", "--hidden", "2", "--out", out, "--checkpoint", checkpoint,
               "--checkpoint-every", "0"},
              text / "out", text / "err");
  while (!fs::exists(checkpoint)) REQUIRE_MESSAGE(!first.ends_within(0.001), content_of(text / "err"));
  const std::string metrics = content_of(out + "/metrics.csv");
  for (const auto& [program, arguments] : short_runs())
    check_one_line(
        run(program, arguments + " --out " + out),
        fmt::format("{}: cannot write to the output folder {}: process {} is writing there", program, out, first.id()));
  check_one_line(run("train_rbm", fmt::format("{} --out {} --checkpoint {} --resume", rbm(), folder / "b", checkpoint)),
                 fmt::format("train_rbm: {}: process {} is writing there", checkpoint, first.id()));
  CHECK(content_of(out + "/metrics.csv").starts_with(metrics));
  // What a killed one leaves does no harm, and goes with the next.
  first.kill(SIGKILL);
  first.wait();
  CHECK(fs::exists(lock));
  CHECK(run("train_rbm", rbm() + " --out " + out).status == 0);
  CHECK(!fs::exists(lock));
}

TEST_CASE("programs: what is in the way of an output is left alone, and noticed before training") {
  const Folder folder;
  const std::string out = folder / "out", gold = write_file(folder / "precious", "gold");
  const auto refused = [&](const std::string& arguments, const std::string& part) {
    check_one_line(run("train_rbm", arguments + " --out " + out), part);
    CHECK(!fs::exists(out + "/metrics.csv"));
  };
  fs::create_directory(out);
  for (const char* name : {".lock", ".writable"}) {
    fs::create_symlink(gold, out + "/" + name);
    const Run result = run("train_rbm", rbm() + " --out " + out);
    CHECK(result.status == (std::string(name) == ".lock" ? 2 : 0));
    CHECK(content_of(gold) == "gold");
    fs::remove(out + "/" + name);
  }
  fs::remove(out + "/metrics.csv");
  REQUIRE(mkfifo((out + "/.lock").c_str(), 0600) == 0);
  refused(rbm(), ".lock is in the way");
  fs::remove(out + "/.lock");
  for (const char* file : {"summary.csv", "rbm.safetensors", "filters.png", "reconstructions.png", "curves.png",
                           "samples.png", "report.html"}) {
    fs::remove(out + "/" + file);
    fs::create_directory(out + "/" + file);
    refused(rbm(), std::string(file) + ": is a folder");
    fs::remove(out + "/" + file);
    REQUIRE(mkfifo((out + "/" + file).c_str(), 0600) == 0);
    refused(rbm(), std::string(file) + ": is not a regular file");
    fs::remove(out + "/" + file);
    fs::create_symlink("/dev/null", out + "/" + file);
    refused(rbm(), std::string(file) + ": is not a regular file");
    fs::remove(out + "/" + file);
  }
}

TEST_CASE("programs: numbers are decimal, and within range") {
  using examples::number, examples::whole_number;
  CHECK(whole_number("010") == 10);
  CHECK(whole_number("0777") == 777);
  CHECK(whole_number("09") == 9);
  CHECK(whole_number("+5") == 5);
  CHECK(whole_number("18446744073709551615") == ~std::uint64_t{0});
  for (const char* bad : {"18446744073709551616", "-1", "0x10", "1e3", "1.0", "", "+", "+-1", " 1", "1 ", "true"})
    CHECK_MESSAGE(!whole_number(bad), bad);
  CHECK(number("010.5") == 10.5);
  CHECK(number("-1e-3") == -1e-3);
  for (const char* bad : {"1e400", "1e-400", "0x1p3", "", "+", "+-1", "1,5", "1 "}) CHECK_MESSAGE(!number(bad), bad);

  // What is recorded is what is used.
  const Folder eight, ten;
  REQUIRE(run("train_rbm", rbm() + " --seed 010 --k 02 --out " + eight.string()).status == 0);
  REQUIRE(run("train_rbm", rbm() + " --seed 10 --k 2 --out " + ten.string()).status == 0);
  CHECK(content_of(eight / "rbm.safetensors") == content_of(ten / "rbm.safetensors"));
  CHECK(content_of(eight / "report.html").find("<td>--seed</td><td class=\"number\">10</td>") != std::string::npos);
  CHECK(run("verify_gradients", "--seed 010").out == run("verify_gradients", "--seed 10").out);

  // Every option of every program that takes a number.
  auto programs = short_runs();
  programs.emplace_back("verify_gradients", "");
  std::size_t tried = 0;
  for (const auto& [program, arguments] : programs) {
    std::istringstream help(run(program, "--help").out);
    for (std::string option, kind; help >> option;) {
      if (!option.starts_with("--") || !(help >> kind) ||
          !(kind.starts_with("UINT") || kind.starts_with("FLOAT") || kind.starts_with("INT")))
        continue;
      ++tried;
      // Each is no number of any kind.
      const std::string value = std::array{"0x1", "1e999", "99999999999999999999999x"}[tried % 3];
      check_one_line(run(program, option + "=" + value), fmt::format("{}: {}: {} is no ", program, option, value));
    }
  }
  CHECK(tried > 70);
  const Run threads =
      shell(fmt::format("XTAPE_NUM_THREADS=0x2 '{}' {} --out {}", path_of("train_rbm"), rbm(), ten.string()));
  check_one_line(threads, "train_rbm: XTAPE_NUM_THREADS: 0x2 is no whole number in [0, 1024]");
}

TEST_CASE("programs: what comes from outside cannot speak to the terminal") {
  using examples::printable;
  CHECK(printable("plain, ä, 数, 😀") == "plain, ä, 数, 😀");
  CHECK(printable("\033[31m\r\t\x7f") == "\\x1b[31m\\x0d\\x09\\x7f");
  CHECK(printable("two\nlines") == "two\\nlines");
  CHECK(printable("\xc2\x9b"
                  "31m") == "\\xc2\\x9b31m");  // C1's control sequence introducer
  CHECK(printable("\x9b\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82") ==
        "\\x9b\\xff\\xc0\\x80\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xe2\\x82");
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");

  const Folder folder;
  const std::string out = folder / "\033[31mout\n";
  for (const std::string& program : {std::string("train_rbm"), std::string("gaussian_process")}) {
    const std::string arguments = program == "train_rbm" ? rbm() : "--steps 2 --restarts 1";
    const Run good = run(program, fmt::format("{} --resume --out '{}'", arguments, out));
    CHECK(good.status == 0);
    CHECK(good.out.find("\\x1b[31mout\\n") != std::string::npos);
    CHECK(good.out.find('\033') == std::string::npos);
    fs::remove_all(out);
    check_one_line(run(program, fmt::format("--data '{}'", out)), "\\x1b[31mout\\n");
    check_one_line(run(program, fmt::format("--seed '{}'", "\033[31m")), "--seed: \\x1b[31m is no whole number");
  }
  // A checkpoint's settings.
  fs::create_directory(folder / "run");
  xtape::data::TrainingState state;
  bool finished = false;
  state.setting("--seed", "\033]0;title\a");
  state.keep("finished", finished);
  state.write(folder / "run/checkpoint.safetensors");
  check_one_line(run("gaussian_process", "--resume --out " + (folder / "run")), "\\x1b]0;title\\x07");
}

TEST_CASE("programs: an interrupted run's command holds in a shell whatever was given") {
  const Folder folder, text;
  const std::string out = folder / "it's \033[31m\\ here";
  Child child({path_of("train_rbm"), "--epochs", "100000", "--hidden", "2", "--out", out}, text / "out", text / "err");
  while (!fs::exists(fs::path(out) / "checkpoint.safetensors"))
    REQUIRE_MESSAGE(!child.ends_within(0.001), content_of(text / "err"));
  child.kill(SIGTERM);
  CHECK(child.wait() == 143);
  const std::string said = content_of(text / "err");
  CHECK(said.find('\033') == std::string::npos);
  const auto at = said.find("$'");
  REQUIRE(at != std::string::npos);
  const Run word = shell(fmt::format("bash -c \"$(cat <<'END'\nprintf %s {}\nEND\n)\"",
                                     said.substr(at, said.rfind("' --resume") + 1 - at)));
  if (word.status == 127)
    MESSAGE("skipped: no bash here");
  else
    CHECK(word.out == out);
}

TEST_CASE("programs: data that training cannot end with are refused before it") {
  const Folder folder;
  const std::string few = folder / "few", wide = folder / "wide",
                    data = " --data " + few + " --out " + (folder / "out");
  fs::create_directory(few);
  fs::create_directory(wide);
  for (const auto& [program, arguments] : digit_runs) {
    write_mnist(few, 5, 28, 28);
    check_one_line(run(program, arguments + data),
                   fmt::format("{}: --data {}: 5 training, 0 validation and 1 test images", program, few));
  }
  write_mnist(few, 6, 28, 28);
  const Run enough = run("train_rbm", digit_runs.back().second + data);
  CHECK_MESSAGE(enough.status == 0, enough.err);
  CHECK(content_of(folder / "out/metrics.csv").find("nan") == std::string::npos);

  write_mnist(wide, 6, 1, 200'000);
  const auto refused = [&](const std::string& program, const std::string& arguments, const std::string& picture) {
    const std::string out = folder / program;
    check_one_line(run(program, fmt::format("{} --data {} --out {}", arguments, wide, out)),
                   fmt::format("{}: {}: grid: ", program, picture));
    CHECK(!fs::exists(out + "/metrics.csv"));
  };
  refused("train_rbm", "--hidden 400", "filters.png");
  refused("train_rbm", "--hidden 2", "reconstructions.png");
  refused("train_autoencoder", "--hidden 100", "filters.png");
  refused("train_autoencoder", "--hidden 2", "reconstructions.png");
  refused("train_classifier", "--model mlp", "filters.png");
  refused("sample_rbm", "--chains 100", "samples.png");
  refused("denoise_ising", "--images 1 --enlarge 4", "comparison.png");
}

TEST_CASE("programs: too much memory is an error with the options") {
  const Folder folder;
  const std::string data = rbm().substr(rbm().find(" --data"));
  check_one_line(run("sample_rbm", "--chains 100000 --temperatures 1000 --steps 1 --out " + folder.string() + data),
                 " --chains 100000 --steps 1 --temperatures 1000");
}

TEST_CASE("gaussian_process: a learning rate that loses the likelihood is named") {
  const Folder folder;
  check_one_line(run("gaussian_process", "--steps 5 --learning-rate 1e6 --out " + folder.string()),
                 "gaussian_process: --learning-rate 1000000: ");
}
