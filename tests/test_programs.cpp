// The example programs, run as a user runs them: options, classifiers, autoencoders, processes, experiments.

#include <xtape/viz/plot.hpp>
#include <xtape/viz/png.hpp>

#include <pty.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "programs.hpp"

namespace {
namespace fs = std::filesystem;
namespace viz = xtape::viz;

const std::vector<std::string> programs_with_options = {"denoise_ising", "gaussian_process",  "pretrain",
                                                        "sample_rbm",    "train_autoencoder", "train_classifier",
                                                        "train_rbm"};

// What a program writes to a terminal of so many columns.
std::string on_terminal(const std::string& program, const std::vector<std::string>& arguments, unsigned short columns,
                        bool no_colour) {
  std::vector<char*> words{const_cast<char*>(program.c_str())};
  for (const auto& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  const winsize size{24, columns, 0, 0};
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  REQUIRE(child >= 0);
  if (child == 0) {
    if (no_colour)
      setenv("NO_COLOR", "1", 1);
    else
      unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    execv(fmt::format("{}/{}", XTAPE_PROGRAMS, program).c_str(), words.data());
    _exit(98);
  }
  std::string written;
  std::array<char, 4096> part{};
  for (ssize_t n; (n = read(terminal, part.data(), part.size())) > 0;)  // an error when the last writer is gone
    written.append(part.data(), static_cast<std::size_t>(n));
  close(terminal);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK_MESSAGE(status == 0, written);
  return written;
}

}  // namespace

TEST_CASE("programs: progress fits a narrow terminal, stays out of a pipe; NO_COLOR") {
  const Folder folder;
  const std::vector<std::string> arguments = {"--model", "mlp", "--epochs", "2", "--out", folder.string()};
  const std::string terminal = on_terminal("train_classifier", arguments, 30, false);
  // What follows a carriage return, up to the next, is a line that passes or, erasing it first, one that stays.
  std::size_t passing = 0, staying = 0;
  for (auto at = terminal.find('\r'); at != std::string::npos;) {
    const auto next = terminal.find('\r', at + 1);
    const std::string line = terminal.substr(at + 1, next - at - 1);
    if (line.rfind("\033[K", 0) == 0)
      ++staying;
    else if (line.rfind("epoch", 0) == 0) {
      ++passing;
      CHECK(line.size() == 29);
    }
    at = next;
  }
  CHECK(passing >= 1);
  CHECK(staying == 2);
  const Run piped = run("train_classifier", "--model mlp --epochs 2 --out '" + folder.string() + "'");
  CHECK(piped.out.find_first_of("\r\033") == std::string::npos);
  CHECK(lines(piped.out) == lines(terminal));

  const std::vector<std::string> none;
  CHECK(on_terminal("verify_gradients", none, 80, false).find("\033[") != std::string::npos);
  CHECK(on_terminal("verify_gradients", none, 80, true).find("\033[") == std::string::npos);
  CHECK(run("verify_gradients", "").out.find('\033') == std::string::npos);
}

TEST_CASE("programs: --help explains, and ends well") {
  auto all = programs_with_options;
  all.emplace_back("verify_gradients");
  for (const auto& program : all) {
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
         {std::string("--no-such-option"), std::string("--seed many"), std::string("--seed -1"),
          "--out '" + plain_file + "/below'", std::string("--out /proc/nothing"),
          "--data '" + (folder / "missing") + "'" + out, "--data '" + folder.string() + "'" + out}) {
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
  CHECK(run("train_rbm", "--learning-rate nan").status == 2);
  CHECK(run("train_rbm", "--momentum nan").status == 2);
  CHECK(run("train_rbm", "--k 0").status == 2);
  CHECK(run("train_rbm", "--binarise half").status == 2);
  CHECK(run("train_rbm", "--ais 50" + out).status == 2);
  CHECK(run("train_autoencoder", "--drop 1").status == 2);
  CHECK(run("train_autoencoder", "--loss hinge").status == 2);
  CHECK(run("pretrain", "--methods none,magic").status == 2);
  CHECK(run("pretrain", "--methods rbm,rbm" + out).status == 2);
  CHECK(run("pretrain", "--rates 0.1,-1").status == 2);
  CHECK(run("sample_rbm", "--start nowhere").status == 2);
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
    const std::string page = content_of(folder / "report.html");
    CHECK(page.find("\"x\":[1.0,2.0]") != std::string::npos);  // a point for each epoch
    CHECK(page.find("<td>--seed</td><td class=\"number\">5</td>") != std::string::npos);
    CHECK(page.find("confusion matrix of the test images") != std::string::npos);
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

TEST_CASE("train_classifier: a port that nobody has, or a number that is none, for --serve") {
  const Folder folder;
  const std::string common = fmt::format("--model mlp --epochs 1 --out '{}' --serve ", folder.string());
  const Run served = run("train_classifier", common + "0");
  CHECK_MESSAGE(served.status == 0, served.err);
  CHECK_MESSAGE(served.out.find("report: http://127.0.0.1:") != std::string::npos, served.out);
  CHECK(run("train_classifier", common + "65536").status == 2);
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

TEST_CASE("train_autoencoder: tied and untied, both losses, denoising, repeat themselves to the bit") {
  for (const char* kind : {"", "--untied", "--drop 0.3", "--loss squared --learning-rate 0.5"}) {
    std::array<std::string, 2> files;
    for (auto& all : files) {
      const Folder folder;
      const Run result =
          run("train_autoencoder", fmt::format("--hidden 20 --epochs 5 {} --out '{}'", kind, folder.string()));
      REQUIRE_MESSAGE(result.status == 0, result.err);
      CHECK(fs::file_size(folder / "reconstructions.png") > 1000);
      const std::string summary = content_of(folder / "summary.csv");
      const bool squared = std::string(kind).find("squared") != std::string::npos;
      CHECK(figure(summary, "valid_loss") < (squared ? 50 : 170));
      all = without_times(content_of(folder / "metrics.csv")) + content_of(folder / "autoencoder.safetensors");
    }
    CHECK(files[0] == files[1]);
  }
}

TEST_CASE("pretrain: chooses on validation, pairs seeds, repeats itself to the bit") {
  std::array<std::string, 2> files;
  for (auto& all : files) {
    const Folder folder;
    const Run result =
        run("pretrain", fmt::format("--hidden 20 --seeds 2 --epochs 3 --pretrain-epochs 1,2 --rates 0.1,0.5 "
                                    "--out '{}'",
                                    folder.string()));
    REQUIRE_MESSAGE(result.status == 0, result.err);
    const std::string metrics = content_of(folder / "metrics.csv"), summary = content_of(folder / "summary.csv");
    CHECK(lines(metrics) == 1 + 2 * (2 + 3 * 4));  // seeds x (none at two rates, three methods at four settings)
    // The figures of the chosen setting are the best mean of its method.
    std::map<std::string, double> sums;
    std::istringstream rows(metrics);
    for (std::string line; std::getline(rows, line);) {
      double valid = 0;
      const auto comma = line.find(',');
      if (std::sscanf(line.c_str() + comma, ",%*[^,],%*[^,],%*[^,],%*[^,],%lf", &valid) != 1) continue;
      std::string setting = line;
      for (int i = 0; i < 5; ++i) setting.resize(setting.rfind(','));  // method, epochs, rate
      sums[setting] += valid / 2;
    }
    CHECK(sums.size() == 14);
    for (const std::string method : {"none", "rbm", "autoencoder", "denoising"}) {
      double best = 0;
      for (const auto& [setting, valid] : sums)
        if (setting.rfind(method + ",", 0) == 0) best = std::max(best, valid);
      CHECK(figure(summary, method + "_valid") == doctest::Approx(best));
      CHECK(best > 60);
    }
    CHECK(figure(summary, "rbm_gain") == doctest::Approx(figure(summary, "rbm_test") - figure(summary, "none_test")));
    all = without_times(metrics) + summary;
  }
  CHECK(files[0] == files[1]);
}

TEST_CASE("pretrain: a rate at which the loss is lost is said to be so") {
  const Folder folder;
  const Run result =
      run("pretrain",
          fmt::format("--methods none --hidden 5 --seeds 1 --epochs 1 --rates 0.5,1e38 --out '{}'", folder.string()));
  CHECK(result.status == 0);
  CHECK(result.out.find("0.00             0.00  diverged") != std::string::npos);
  CHECK(figure(content_of(folder / "summary.csv"), "none_rate") == 0.5);
}

TEST_CASE("tools/reproduce: runs, writes its tables, goes on where it was, names what failed") {
  if (std::system("python3 -c pass 2>/dev/null") != 0) {
    MESSAGE("skipped: no python3 on the PATH");
    return;
  }
  const Folder folder;
  const auto reproduce = [&](const std::string& arguments) {
    const std::string out = folder / "text";
    const int status =
        std::system(fmt::format("'{}/tools/reproduce' --programs '{}' --quick --out '{}/runs' {} >'{}' 2>&1",
                                XTAPE_SOURCE_DIR, XTAPE_PROGRAMS, folder.string(), arguments, out)
                        .c_str());
    return Run{WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(out), ""};
  };
  const std::string only = "--only b-falling-k1-1 c-falling-k1 e-untied directed";
  const Run first = reproduce(only);
  REQUIRE_MESSAGE(first.status == 0, first.out);
  CHECK_MESSAGE(first.out.find("to run: 4, done: 0") != std::string::npos, first.out);
  CHECK_MESSAGE(first.out.find("left") != std::string::npos, first.out);
  const std::string document = content_of(folder / "runs/results.md");
  CHECK(document.find("| k = 1 | 0.1 → 0 |") != std::string::npos);
  CHECK(document.find("| untied |") != std::string::npos);
  CHECK(document.find("<!-- end directed -->") != std::string::npos);
  CHECK(fs::file_size(folder / "runs/images/results/c-falling-k1-samples.png") > 1000);

  fs::remove(folder / "runs/e-untied/done.json");  // as if stopped while it ran
  const Run second = reproduce(only);
  CHECK_MESSAGE(second.out.find("to run: 1, done: 3") != std::string::npos, second.out);
  CHECK(content_of(folder / "runs/results.md").find("| untied |") != std::string::npos);

  const Run failed = reproduce("--only b-falling-k1-1 c-falling-k1 --data '" + folder.string() + "'");
  CHECK(failed.status != 0);
  CHECK_MESSAGE(failed.out.find("b-falling-k1-1: failed with status 2: train_rbm: ") != std::string::npos, failed.out);
  CHECK_MESSAGE(failed.out.find("c-falling-k1: not run") != std::string::npos, failed.out);
  CHECK(failed.out.find("Traceback") == std::string::npos);
  write_file(folder / "runs/e-drop-0", "in the way");
  const Run in_the_way = reproduce("--only e-drop-0");
  CHECK(in_the_way.status != 0);
  CHECK_MESSAGE(in_the_way.out.find("e-drop-0: failed: ") != std::string::npos, in_the_way.out);
  CHECK(in_the_way.out.find("Traceback") == std::string::npos);
  CHECK(content_of(folder / "runs/results.md").find("| untied |") != std::string::npos);  // other tables are kept
  const Run unknown = reproduce("--only nothing");
  CHECK(unknown.status != 0);
  CHECK(lines(unknown.out) == 1);
  const Run missing = reproduce("--data /no/such/folder");
  CHECK(missing.status != 0);
  CHECK(lines(missing.out) == 1);
}

TEST_CASE("verify_gradients: every verdict is the expected one") {
  const Run result = run("verify_gradients", "");
  CHECK_MESSAGE(result.status == 0, result.out);
  CHECK(run("verify_gradients", "--config 3,2").status == 2);
}

TEST_CASE("gaussian_process: finds likelier hyper-parameters than the true ones, writes its files, repeats itself") {
  std::array<std::string, 2> figures;
  for (auto& text : figures) {
    const Folder folder;
    const Run result = run("gaussian_process", fmt::format("--seed 3 --steps 150 --out '{}'", folder.string()));
    REQUIRE_MESSAGE(result.status == 0, result.err);
    text = content_of(folder / "summary.csv") + content_of(folder / "posterior.csv");
    const std::string summary = content_of(folder / "summary.csv");
    const double gain = figure(summary, "log_likelihood") - figure(summary, "true_log_likelihood");
    CHECK(gain > 0);
    CHECK(gain < 8);  // three hyper-parameters: half a chi-squared number of three degrees of freedom
    CHECK(figure(summary, "length_scale") == doctest::Approx(0.8).epsilon(0.5));
    CHECK(figure(summary, "noise") == doctest::Approx(0.2).epsilon(0.5));
    CHECK(figure(summary, "inside_band") > 0.85);
    CHECK(lines(content_of(folder / "posterior.csv")) == 1 + 401);
    if (viz::can_plot()) CHECK(viz::read_png(folder / "posterior.png").width == 900);
  }
  CHECK(figures[0] == figures[1]);
}

TEST_CASE("gaussian_process: fits points of a file, and names what is wrong with one") {
  const Folder folder;
  const std::string out = fmt::format(" --out '{}'", folder / "out");
  std::string points = "x,y\n";
  for (int i = 0; i < 30; ++i)
    points += fmt::format("{},{}\n", 0.2 * i, 100 + 3 * std::sin(0.4 * i) + 0.1 * (i * 7 % 5 - 2));
  const Run good = run("gaussian_process", "--data '" + write_file(folder / "points.csv", points) + "'" + out);
  REQUIRE_MESSAGE(good.status == 0, good.err);
  const std::string summary = content_of(folder / "out" + "/summary.csv");
  CHECK(figure(summary, "noise") == doctest::Approx(0.14).epsilon(0.5));
  CHECK(figure(summary, "signal") > 1);
  CHECK(figure(summary, "inside_band") > 0.85);
  const std::pair<const char*, const char*> bad[] = {{"1,2\n3,4\n", "2 points are too few"},
                                                     {"1,2\n3,4\nfive,6\n", "line 3: expected two numbers"},
                                                     {"1;2\n3,4\n5,6\n7,8\n", "line 1: expected two numbers"},
                                                     {"1,2\n3,4\n5,nan\n", "line 3: expected two numbers"},
                                                     {"1,2\n3,4\n5,6,7\n", "line 3: expected two numbers"},
                                                     {"1,2\n1,4\n1,6\n", "the points must differ"},
                                                     {"1,2\n2,2\n3,2\n", "the points must differ"}};
  for (const auto& [content, message] : bad) {
    const Run result = run("gaussian_process", "--data '" + write_file(folder / "bad.csv", content) + "'" + out);
    CHECK(result.status == 2);
    CHECK(lines(result.err) == 1);
    CHECK_MESSAGE(result.err.find(message) != std::string::npos, result.err);
  }
  for (const char* arguments :
       {"--points 2", "--noise 0", "--length nan", "--restarts 0", "--learning-rate 0", "--data /dev/null --points 5"})
    CHECK_MESSAGE(run("gaussian_process", arguments + out).status == 2, arguments);
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
