// The example programs, run as a user runs them.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "files.hpp"

namespace {
namespace fs = std::filesystem;

struct Run {
  int status;
  std::string out, err;
};

Run run(const std::string& program, const std::string& arguments) {
  const Folder folder;
  const auto out = folder / "out", err = folder / "err";
  const int status = std::system(
      fmt::format("'{}/{}' {} >'{}' 2>'{}' </dev/null", XTAPE_PROGRAMS, program, arguments, out, err).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(out), content_of(err)};
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

const std::vector<std::string> programs_with_options = {"train_classifier"};

}  // namespace

TEST_CASE("programs: --help explains, and ends well") {
  for (const auto& program : {std::string("train_classifier"), std::string("verify_gradients")}) {
    const Run help = run(program, "--help");
    CHECK_MESSAGE(help.status == 0, program);
    CHECK_MESSAGE(help.out.find("--seed") != std::string::npos, help.out);
  }
}

TEST_CASE("programs: bad options, folders and data are a one-line error and status 2") {
  const Folder folder;
  const std::string plain_file = folder / "file";
  std::ofstream(plain_file) << "not a folder";
  const std::string out = " --out '" + (folder / "out") + "'";
  for (const auto& program : programs_with_options)
    for (const auto& arguments :
         {std::string("--no-such-option"), std::string("--seed many"), "--out '" + plain_file + "/below'",
          std::string("--out /proc/nothing"), "--data '" + (folder / "missing") + "'" + out,
          "--data '" + folder.string() + "'" + out}) {
      const Run result = run(program, arguments);
      CAPTURE(program);
      CAPTURE(arguments);
      CAPTURE(result.err);
      CHECK(result.status == 2);
      CHECK(lines(result.err) == 1);
      CHECK(result.err.rfind(program + ": ", 0) == 0);
    }
  CHECK(run("train_classifier", "--model perceptron").status == 2);
  CHECK(run("train_classifier", "--epochs 0").status == 2);
  CHECK(run("train_classifier", "--batch -1").status == 2);
  CHECK(run("train_classifier", "--learning-rate 0").status == 2);
}

TEST_CASE("train_classifier: a truncated data file is named") {
  const Folder folder;
  std::ofstream(folder / "digitstrain.txt") << "0.5,0.5\n";
  std::ofstream(folder / "digitsvalid.txt");
  std::ofstream(folder / "digitstest.txt");
  const Run result = run("train_classifier", fmt::format("--data '{0}' --out '{0}/out'", folder.string()));
  CHECK(result.status == 2);
  CHECK_MESSAGE(result.err.find("digitstrain.txt") != std::string::npos, result.err);
}

TEST_CASE("train_classifier: learns the built-in digits, writes its files, and repeats itself to the bit") {
  std::array<std::string, 2> figures;
  for (auto& figure : figures) {
    const Folder folder;
    const Run result =
        run("train_classifier", fmt::format("--model mlp --epochs 2 --seed 5 --out '{}'", folder.string()));
    REQUIRE_MESSAGE(result.status == 0, result.err);
    for (const char* file : {"metrics.csv", "filters.png", "confusion.png"}) CHECK(fs::file_size(folder / file) > 100);
    // All columns but the last, the time.
    std::istringstream csv(content_of(folder / "metrics.csv"));
    double accuracy = 0;
    for (std::string line; std::getline(csv, line);) {
      figure += line.substr(0, line.rfind(',')) + "\n";
      std::sscanf(line.c_str(), "%*[^,],%*[^,],%*[^,],%*[^,],%*[^,],%lf", &accuracy);
    }
    CHECK(accuracy > 0.85);  // validation, after the second epoch
    CHECK(lines(figure) == 3);
  }
  CHECK(figures[0] == figures[1]);
}

TEST_CASE("train_classifier: the convolutional net does what a linear classifier cannot") {
  const Folder folder;
  const Run result = run("train_classifier", fmt::format("--epochs 2 --out '{}'", folder.string()));
  REQUIRE_MESSAGE(result.status == 0, result.err);
  const auto at = result.out.find("seconds\n");
  REQUIRE(at != std::string::npos);
  double test = 0;
  REQUIRE(std::sscanf(result.out.c_str() + at, "seconds\n %*d %*d %*f %% %lf", &test) == 1);
  CHECK(test > 98.0);
}

TEST_CASE("verify_gradients: every verdict is the expected one") {
  const Run result = run("verify_gradients", "");
  CHECK_MESSAGE(result.status == 0, result.out);
  CHECK(run("verify_gradients", "--config 3,2").status == 2);
}

TEST_CASE("README: the example is the quickstart program, and that runs") {
  const std::string readme = content_of(XTAPE_SOURCE_DIR "/README.md");
  const auto begin = readme.find("```cpp\n");
  REQUIRE(begin != std::string::npos);
  const auto end = readme.find("```", begin + 7);
  CHECK(readme.substr(begin + 7, end - begin - 7) == content_of(XTAPE_SOURCE_DIR "/examples/quickstart.cpp"));
  const Run result = run("quickstart", "");
  CHECK(result.status == 0);
  CHECK_MESSAGE(result.out.find("d/dx: PASS") != std::string::npos, result.out);
}
