// The example programs, run as a user runs them.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <xtape/data/safetensors.hpp>
#include <xtape/viz/plot.hpp>
#include <xtape/viz/png.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "files.hpp"
#include "paths.hpp"

namespace {
namespace fs = std::filesystem;
namespace viz = xtape::viz;

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

const std::vector<std::string> programs_with_options = {"denoise_ising", "gaussian_process",  "pretrain",
                                                        "sample_rbm",    "train_autoencoder", "train_classifier",
                                                        "train_rbm"};

// Pixels, figures and parameters of two runs, but for their times.
std::string without_times(const std::string& csv) {
  std::string result;
  std::istringstream text(csv);
  for (std::string line; std::getline(text, line);)
    if (line.rfind("seconds,", 0) != 0) result += line.substr(0, line.rfind(',')) + "\n";
  return result;
}

// The last figure of a summary with that name.
double figure(const std::string& summary, const std::string& name) {
  const auto at = summary.find("\n" + name + ",");
  REQUIRE_MESSAGE(at != std::string::npos, name);
  return std::stod(summary.substr(at + name.size() + 2));
}

}  // namespace

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

TEST_CASE("denoise_ising: cleans digits, writes its files, and repeats itself to the bit") {
  std::array<std::string, 3> figures;
  for (std::size_t i = 0; i < 3; ++i) {
    const Folder folder;
    const Run result =
        run("denoise_ising", fmt::format("--images 20 --sweeps 40 --seed {} --out '{}'", i / 2 + 5, folder.string()));
    REQUIRE_MESSAGE(result.status == 0, result.err);
    const viz::Image clean = viz::read_png(folder / "clean.png");
    for (const char* file : {"noisy.png", "icm.png", "gibbs.png"}) {
      const viz::Image picture = viz::read_png(folder / file);
      REQUIRE(picture.pixels.size() == clean.pixels.size());
      CHECK(picture.pixels != clean.pixels);
    }
    CHECK(viz::read_png(folder / "comparison.png").width == 4 * 84 + 5 * 4);
    figures[i] = content_of(folder / "metrics.csv");
    CHECK(figures[i].rfind("sweep,icm_energy,icm_wrong,gibbs_energy,gibbs_wrong\n", 0) == 0);
    CHECK(lines(figures[i]) == 1 + 1 + 40);
    // Of the table: the sweeps, the seconds, and the shares of wrong pixels.
    double before = 0, after = 0;
    for (const auto& [row, most] : {std::pair("icm ", 0.7), std::pair("gibbs ", 0.5)}) {
      const auto at = result.out.find(fmt::format("\n{}", row));
      REQUIRE(at != std::string::npos);
      REQUIRE(std::sscanf(result.out.c_str() + at, "%*s %*d %*f %lf %% %*f %% %lf %%", &before, &after) == 2);
      CHECK(before == doctest::Approx(10).epsilon(0.03));
      CHECK(after < most);
    }
  }
  CHECK(figures[0] == figures[1]);
  CHECK(figures[0] != figures[2]);
  // The energy never rises under iterated conditional modes.
  std::istringstream csv(figures[0]);
  std::string line;
  std::getline(csv, line);
  double first = 0, last = 0;
  for (int row = 0; std::getline(csv, line); ++row) {
    double energy = 0;
    REQUIRE(std::sscanf(line.c_str(), "%*d,%lf", &energy) == 1);
    if (row == 0) first = energy;
    CHECK_UNARY(row == 0 || energy <= last);
    last = energy;
  }
  CHECK(last < first);
}

TEST_CASE("denoise_ising: a picture of the user's") {
  const Folder folder;
  const std::string input = folder / "input.png",
                    arguments = fmt::format("--input '{}' --out '{}'", input, folder / "out");
  // A bright half and a dark one, each with a wrong pixel; as grey, and as colours.
  for (const std::size_t channels : {1U, 3U}) {
    viz::Image image{.width = 12, .height = 9, .channels = channels, .pixels = {}};
    for (std::size_t i = 0; i < 12 * 9; ++i) {
      const bool bright = (i % 12 < 6) != (i == 4 * 12 + 2 || i == 4 * 12 + 9);
      for (std::size_t c = 0; c < channels; ++c)
        image.pixels.push_back(bright ? 128 : channels == 3 && c == 2 ? 255 : 90);
    }
    viz::write_png(input, image);
    const Run result = run("denoise_ising", arguments + " --beta 1 --eta 0.5 --sweeps 400");
    REQUIRE_MESSAGE(result.status == 0, result.err);
    CHECK(result.out.find("wrong") == std::string::npos);
    CHECK(!fs::exists(folder / "out/clean.png"));
    for (const char* file : {"out/icm.png", "out/gibbs.png"}) {
      const viz::Image cleaned = viz::read_png(folder / file);
      REQUIRE(cleaned.pixels.size() == 12 * 9);
      for (std::size_t i = 0; i < 12 * 9; ++i) CHECK(cleaned.pixels[i] == (i % 12 < 6 ? 255 : 0));
    }
    CHECK(viz::read_png(folder / "out/noisy.png").pixels != viz::read_png(folder / "out/icm.png").pixels);
  }
  // One pixel.
  viz::write_png(input, {.width = 1, .height = 1, .channels = 1, .pixels = {255}});
  CHECK(run("denoise_ising", arguments + " --method icm").status == 0);
  CHECK(viz::read_png(folder / "out/icm.png").pixels == std::vector<std::uint8_t>{255});
  // No picture at all.
  const std::string whole = content_of(input);
  for (const std::string& content : {std::string(), whole.substr(0, whole.size() / 2), std::string("P5 1 1 255 0")}) {
    write_file(input, content);
    const Run result = run("denoise_ising", arguments);
    CHECK(result.status == 2);
    CHECK(lines(result.err) == 1);
    CHECK_MESSAGE(result.err.find(input) != std::string::npos, result.err);
  }
  CHECK(run("denoise_ising", fmt::format("--input '{0}/none.png' --out '{0}/out'", folder.string())).status == 2);
}

TEST_CASE("denoise_ising: numbers out of range are refused in one line") {
  const Folder folder;
  for (const char* arguments :
       {"--flip nan", "--flip 1.1", "--h nan", "--beta inf", "--eta 1e7", "--sweeps 0", "--images 0", "--images 2001",
        "--images -1", "--enlarge 0", "--images 2000 --enlarge 100", "--method none", "--order none",
        "--input a.png --flip 0.2", "--input a.png --data b"}) {
    const Run result = run("denoise_ising", fmt::format("{} --out='{}'", arguments, folder.string()));
    CAPTURE(arguments);
    CAPTURE(result.err);
    CHECK(result.status == 2);
    CHECK(lines(result.err) == 1);
  }
}

TEST_CASE("train_rbm, sample_rbm: learn, save, sample, and repeat themselves to the bit") {
  std::array<std::string, 2> files;
  for (auto& all : files) {
    const Folder folder;
    const Run trained = run("train_rbm", fmt::format("--hidden 16 --epochs 10 --k 2 --ais 100 --ais-chains 10 "
                                                     "--sample-steps 20 --seed 5 --out '{}'",
                                                     folder.string()));
    REQUIRE_MESSAGE(trained.status == 0, trained.err);
    for (const char* file : {"filters.png", "reconstructions.png", "samples.png"})
      CHECK(fs::file_size(folder / file) > 1000);
    const std::string summary = content_of(folder / "summary.csv");
    CHECK(figure(summary, "valid_cross_entropy") < 150);                  // the mean image gives 201
    CHECK(figure(summary, "test_log_likelihood") > -192);                 // pixels by their mean give -199
    CHECK(figure(summary, "log_z") == figure(summary, "log_z_reverse"));  // 16 hidden units: exact
    // More hidden units than can be enumerated: the three estimates are near each other, and no others.
    const Run larger =
        run("train_rbm",
            fmt::format("--hidden 22 --epochs 1 --learning-rate 0.01 --ais 1000 --ais-chains 50 --binarise sample "
                        "--sample-steps 0 --out '{}/larger'",
                        folder.string()));
    REQUIRE_MESSAGE(larger.status == 0, larger.err);
    const std::string estimates = content_of(folder / "larger/summary.csv");
    CHECK(std::abs(figure(estimates, "log_z") - figure(estimates, "log_z_reverse")) < 5);
    CHECK(std::abs(figure(estimates, "log_z") - figure(estimates, "log_z_from_uniform")) < 5);
    CHECK(figure(estimates, "log_z_effective_chains") <= 50);
    const Run sampled = run("sample_rbm", fmt::format("--model '{0}/rbm.safetensors' --chains 20 --steps 30 "
                                                      "--temperatures 3 --start data --seed 5 --out '{0}/s'",
                                                      folder.string()));
    REQUIRE_MESSAGE(sampled.status == 0, sampled.err);
    all = without_times(content_of(folder / "metrics.csv")) + content_of(folder / "rbm.safetensors") +
          without_times(content_of(folder / "s/metrics.csv")) + content_of(folder / "s/samples.png") +
          content_of(folder / "s/states.png") + content_of(folder / "s/steps.png");
  }
  CHECK(files[0] == files[1]);
}

TEST_CASE("sample_rbm: a model that is none is named, with what is wrong") {
  const Folder folder;
  const auto sample = [&](const std::string& name) {
    const Run result = run("sample_rbm", fmt::format("--model '{0}/{1}' --out '{0}/out'", folder.string(), name));
    CHECK(result.status == 2);
    CHECK(lines(result.err) == 1);
    CHECK_MESSAGE(result.err.find(name) != std::string::npos, result.err);
    return result.err;
  };
  sample("missing");
  write_file(folder / "empty", "");
  sample("empty");
  const auto write = [&](const std::string& name, const xtape::Tensor<float>& weights, const std::string& rows) {
    xtape::data::write_safetensors<float>(
        folder / name, {{{"W", weights}, {"b", xtape::zeros<float>({784})}, {"a", xtape::zeros<float>({3})}},
                        {{"rows", rows}, {"cols", "28"}}});
  };
  write("shapes", xtape::zeros<float>({784, 4}), "28");
  CHECK(sample("shapes").find("(784, 4)") != std::string::npos);
  write("size", xtape::zeros<float>({784, 3}), "29");
  CHECK(sample("size").find("29 x 28") != std::string::npos);
  xtape::data::write_safetensors<float>(
      folder / "small",
      {{{"W", xtape::zeros<float>({4, 3})}, {"b", xtape::zeros<float>({4})}, {"a", xtape::zeros<float>({3})}},
       {{"rows", "2"}, {"cols", "2"}}});
  const Run small = run("sample_rbm", fmt::format("--model '{0}/small' --out '{0}/out'", folder.string()));
  CHECK(small.status == 2);
  CHECK_MESSAGE(small.err.find("2 x 2") != std::string::npos, small.err);
  write("nan", xtape::full<float>({784, 3}, std::nanf("")), "28");
  CHECK(sample("nan").find("finite") != std::string::npos);
  xtape::data::write_safetensors<float>(folder / "other", {{{"W", xtape::zeros<float>({3})}}, {}});
  CHECK(sample("other").find("tensor b") != std::string::npos);
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

TEST_CASE("directed_model: every check passes, whatever the seed and size; writes its files, and repeats itself") {
  const Folder folder;
  const std::string out = fmt::format(" --out '{}'", folder.string());
  for (const char* arguments : {"--seed 3 --networks 20", "--nodes 1 --networks 3", "--nodes 12 --states 2 --parents 5",
                                "--nodes 2000 --parents 4 --networks 1", "--parents 0"}) {
    const Run result = run("directed_model", arguments + out);
    CHECK_MESSAGE(result.status == 0, arguments << result.out << result.err);
    // Too large to enumerate: said, and shown as such.
    const bool large = std::string(arguments).find("2000") != std::string::npos;
    CHECK((result.out.find("not enumerated") != std::string::npos) == large);
  }
  const Run first = run("directed_model", out), second = run("directed_model", out);
  CHECK(first.out == second.out);
  CHECK(first.out.find("burglary -> alarm -> mary calls -> burglary is a cycle") != std::string::npos);
  CHECK(first.out.find("p(burglary | john calls, mary calls) = 0.284172") != std::string::npos);
  CHECK(lines(content_of(folder / "metrics.csv")) == 1 + 8 + 1);
  CHECK(content_of(folder / "network.dot").find("\"alarm\" -> \"mary calls\";") != std::string::npos);
}

TEST_CASE("directed_model: --help explains; bad options and folders are a one-line error and status 2") {
  const Run help = run("directed_model", "--help");
  CHECK(help.status == 0);
  for (const char* option : {"--seed", "--out", "--networks", "--nodes", "--states", "--parents"})
    CHECK_MESSAGE(help.out.find(option) != std::string::npos, option);
  CHECK(help.out.find("--data") == std::string::npos);  // it reads none
  const Folder folder;
  const std::string plain_file = write_file(folder / "file", "not a folder"), out = " --out '" + (folder / "out") + "'";
  for (const std::string& arguments :
       {"--no-such-option" + out, "--data ." + out, "--seed many" + out, "--networks 0" + out, "--nodes 0" + out,
        "--states 1" + out, "--parents -1" + out, "--states 100 --parents 16" + out,  // tables beyond reason
        "--out '" + plain_file + "/below'", std::string("--out /proc/nothing")}) {
    const Run result = run("directed_model", arguments);
    CAPTURE(arguments);
    CAPTURE(result.err);
    CHECK(result.status == 2);
    CHECK(lines(result.err) == 1);
    CHECK(result.err.rfind("directed_model: ", 0) == 0);
  }
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
