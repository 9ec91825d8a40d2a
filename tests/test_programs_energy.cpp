// The programs of the energy-based and the directed models, run as a user runs them.

#include <xtape/data/safetensors.hpp>
#include <xtape/viz/png.hpp>

#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "programs.hpp"

namespace {
namespace fs = std::filesystem;
namespace viz = xtape::viz;
}  // namespace

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
