#include <xtape/error.hpp>
#include <xtape/viz/plot.hpp>
#include <xtape/viz/png.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <vector>

#include "files.hpp"

using namespace xtape;
using namespace xtape::viz;
namespace fs = std::filesystem;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

bool skip() {
  if (!can_plot()) MESSAGE("skipped: no gnuplot on the PATH");
  return !can_plot();
}

Plot example() {
  Plot plot{.title = "loss", .x_label = "epoch", .y_label = "cross-entropy", .series = {}};
  for (int k = 0; k < 3; ++k) {
    Series series{.label = "curve " + std::to_string(k), .x = {}, .y = {}, .error = {}, .dashed = k == 2};
    for (int i = 1; i <= 20; ++i) {
      series.x.push_back(i);
      series.y.push_back(std::exp(-i / 8.0) + 0.2 * k);
      series.error.push_back(0.03);
    }
    plot.series.push_back(series);
  }
  return plot;
}

// Pixels of exactly this colour.
std::size_t count(const Image& image, Colour colour) {
  std::size_t pixels = 0;
  for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3)
    pixels +=
        image.pixels[i] == colour.red && image.pixels[i + 1] == colour.green && image.pixels[i + 2] == colour.blue;
  return pixels;
}
constexpr Colour blue{0x00, 0x72, 0xb2}, vermilion{0xd5, 0x5e, 0x00}, green{0x00, 0x9e, 0x73}, purple{0xcc, 0x79, 0xa7};

// Pixels that are not white, in columns [first, last).
std::size_t ink(const Image& image, std::size_t first, std::size_t last) {
  std::size_t pixels = 0;
  for (std::size_t y = 0; y < image.height; ++y)
    for (std::size_t x = first; x < last; ++x)
      for (std::size_t c = 0; c < image.channels; ++c)
        if (image.pixels[(y * image.width + x) * image.channels + c] < 200) {
          ++pixels;
          break;
        }
  return pixels;
}

Image draw(const Folder& folder, const Plot& plot) {
  const std::string path = folder / "plot.png";
  write_plot(path, plot);
  const Image image = read_png(path);
  CHECK(image.width == 900);
  CHECK(image.height == 560);
  REQUIRE(image.channels == 3);
  CHECK(folder.files() == 1);
  return image;
}

// An environment variable, set back at the end.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { setenv(name_, before_.c_str(), 1); }

 private:
  const char* name_;
  std::string before_;
};

}  // namespace

TEST_CASE("plot: curves with bars") {
  if (skip()) return;
  const Folder folder;
  Plot plot = example();
  const Image image = draw(folder, plot);
  for (const Colour colour : {blue, vermilion, green}) CHECK(count(image, colour) > 400);
  CHECK(count(image, purple) == 0);
  CHECK(ink(image, 740, 900) > 300);                // the legend
  CHECK(count(image, green) < count(image, blue));  // dashed

  // Without bars, labels and texts there is less ink.
  const std::size_t all = ink(image, 0, 900);
  for (auto& series : plot.series) series.error.clear();
  const std::size_t no_bars = ink(draw(folder, plot), 0, 900);
  CHECK(no_bars < all);
  for (auto& series : plot.series) series.label.clear();
  plot.title = plot.x_label = plot.y_label = "";
  CHECK(ink(draw(folder, plot), 0, 900) < no_bars);

  plot.series[1].label = "a label that is too long for the side of the curves";
  CHECK(count(draw(folder, plot), vermilion) > 400);
}

TEST_CASE("plot: gaps, single points, logarithmic axes") {
  if (skip()) return;
  const Folder folder;
  Plot plot = example();
  plot.series.resize(1);
  plot.series[0].error.clear();
  const std::size_t whole = count(draw(folder, plot), blue);
  plot.series[0].y[9] = not_a_number;
  plot.series[0].x[14] = std::numeric_limits<double>::infinity();
  const std::size_t with_gaps = count(draw(folder, plot), blue);
  CHECK(with_gaps < whole);
  CHECK(with_gaps > whole / 2);

  plot = {};
  plot.series = {{.label = "", .x = {3}, .y = {7}, .error = {}}};
  CHECK(count(draw(folder, plot), blue) > 10);
  // Many points, and one between two gaps.
  plot.series = {{.label = "", .x = {}, .y = {}, .error = {}}};
  for (int i = 0; i < 1000; ++i) {
    plot.series[0].x.push_back(i);
    plot.series[0].y.push_back(i == 500 ? 1.0 : not_a_number);
  }
  CHECK(count(draw(folder, plot), blue) > 10);

  plot = example();
  plot.log_x = plot.log_y = true;
  plot.series[0].y[3] = 0;
  plot.series[1].x[3] = -1;
  plot.series[2].error[3] = 100;  // its bar would reach below 0
  const Image image = draw(folder, plot);
  for (const Colour colour : {blue, vermilion, green}) CHECK(count(image, colour) > 300);

  for (const double y : {1e-320, 1e300, -1e300, 0.0}) {
    plot = {};
    plot.series = {{.label = "a", .x = {1, 2}, .y = {y, y}, .error = {0, 1}}};
    draw(folder, plot);
  }
}

TEST_CASE("plot: any text is drawn as it is, and never run") {
  if (skip()) return;
  const Folder folder;
  const std::string command = "touch " + (folder / "run");
  for (const std::string& text : std::vector<std::string>{"`" + command + "`",
                                                          "'.`" + command + "`.'",
                                                          "\".`" + command + "`.\"",
                                                          "'.system('" + command + "').'",
                                                          "\".system(\"" + command + "\").\"",
                                                          "'\nsystem '" + command + "'\n",
                                                          "\"\n!" + command + "\n",
                                                          "'; system \"" + command + "\" #",
                                                          "\\\"; system \"" + command + "\" #",
                                                          "\\'\\",
                                                          "''",
                                                          "'",
                                                          "\"",
                                                          "\\",
                                                          "@GPVAL_VERSION",
                                                          "a_b^{c} {/Symbol a} & <b>x</b> %d %s $0",
                                                          "END\n$curve0 << END",
                                                          "\x01\t\x7f\r",
                                                          std::string("a\0b", 3),
                                                          "\xff\xc3\xed\xa0\x80\xf4\x90\x80\x80",
                                                          "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
                                                          "12\\1012",
                                                          std::string(20000, 'x')}) {
    CAPTURE(text);
    Plot plot = example();
    plot.title = plot.x_label = plot.y_label = plot.series[1].label = text;
    CHECK(count(draw(folder, plot), blue) > 100);
  }
  // Drawn as itself: markup has another look than its plain text.
  Plot plot;
  plot.series = {{.label = "", .x = {1, 2}, .y = {1, 2}, .error = {}}};
  const auto title = [&](const std::string& text) {
    plot.title = text;
    return draw(folder, plot).pixels;
  };
  CHECK(title("a_b") != title("ab"));
  CHECK(title("a{b}") != title("ab"));
  CHECK(title("a\\nb") != title("a\nb"));
  CHECK(title("`echo a`") != title("a"));
  CHECK(title("a\tb") == title("a b"));
}

TEST_CASE("plot: nothing to draw, lengths that differ") {
  const Folder folder;
  const std::string path = folder / "plot.png";
  const auto bad = [&](const std::vector<Series>& series, const std::string& part, bool log = false) {
    Plot plot;
    plot.series = series;
    plot.log_x = plot.log_y = log;
    check_bad<ValueError>([&] { write_plot(path, plot); }, {"write_plot: ", part});
  };
  bad({}, "0 series without a point");
  bad({{.label = "a", .x = {}, .y = {}, .error = {}}}, "1 series without a point");
  bad({{.label = "a", .x = {1, not_a_number}, .y = {not_a_number, 1}, .error = {}}}, "1 series without a point");
  bad({{.label = "a", .x = {1, 0}, .y = {0, 1}, .error = {}}}, "1 series without a point", true);
  bad({{.label = "a", .x = {1}, .y = {1}, .error = {}}, {.label = "b", .x = {1, 2}, .y = {1}, .error = {}}},
      "series 1 has 2 x, 1 y and 0 errors");
  bad({{.label = "a", .x = {1, 2}, .y = {1, 2}, .error = {1}}}, "series 0 has 2 x, 2 y and 1 errors");
  CHECK(folder.files() == 0);
}

TEST_CASE("plot: files that cannot be written") {
  if (skip()) return;
  const Folder folder;
  const Plot plot = example();
  check_bad<DataError>([&] { write_plot(folder / "none/a.png", plot); },
                       {"write_plot: " + (folder / "none/a.png"), "No such file"});
  check_bad<DataError>([&] { write_plot(folder.string(), plot); }, {"write_plot: " + folder.string(), "directory"});
  check_bad<DataError>([&] { write_plot("/dev/full", plot); }, {"write_plot: /dev/full", "not a regular file"});
  CHECK(folder.files() == 0);

  // As on a full disk: neither the script nor the picture may be cut off unnoticed.
  write_file(folder / "a.png", "before");
  for (const rlim_t size : {0U, 2000U, 8000U}) {
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit full{size, limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
    check_bad<DataError>([&] { write_plot(folder / "a.png", plot); }, {"write_plot: " + (folder / "a.png")});
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, handler);
  }
  CHECK(content_of(folder / "a.png") == "before");
  CHECK(folder.files() == 1);
}

TEST_CASE("plot: a band and points without a line") {
  if (skip()) return;
  const Folder folder;
  Series curve{.label = "mean", .x = {}, .y = {}, .error = {}};
  Series points{.label = "data", .x = {}, .y = {}, .error = {}, .points = true};
  for (int i = 0; i <= 200; ++i) {
    curve.x.push_back(0.02 * i);
    curve.y.push_back(std::sin(0.04 * i));
    curve.error.push_back(i == 100 ? not_a_number : 0.5);
    points.x.push_back(0.02 * i);
    points.y.push_back(i % 2 == 0 ? 1.5 : -1.0);
  }
  const auto drawn = [&](const Series& series) { return draw(folder, {.series = {series}}); };
  const auto tinted = [](const Image& image) {  // neither white nor grey nor the line's colour
    std::size_t pixels = 0;
    for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3)
      pixels += image.pixels[i] + 25 < image.pixels[i + 2] && image.pixels[i] > 180;
    return pixels;
  };
  const std::size_t with_bars = tinted(drawn(curve));
  curve.band = true;
  const Image band = drawn(curve);
  CHECK(tinted(band) > 50'000);  // an area, of 900 x 560 in all
  CHECK(tinted(band) > 2 * with_bars);
  CHECK(count(band, blue) > 400);  // the curve lies on it

  const std::size_t marks = count(drawn(points), blue);
  CHECK(marks > 1000);
  points.points = false;
  CHECK(count(drawn(points), blue) > marks);  // two hundred lines from top to bottom
}

TEST_CASE("plot: gnuplot is missing or fails") {
  const Folder programs, folder;
  const std::string path = folder / "plot.png";
  const Variable search("PATH", programs.string());
  CHECK(!can_plot());
  const auto bad = [&](const std::string& part) {
    check_bad<DataError>([&] { write_plot(path, example()); }, {"write_plot: " + path + ": ", part});
    CHECK(folder.files() == 0);
  };
  bad("gnuplot is missing; install it");
  const auto fake = [&](const std::string& script) {
    fs::permissions(write_file(programs / "gnuplot", "#!/bin/sh\n" + script), fs::perms::owner_all);
  };
  write_file(programs / "gnuplot", "");
  CHECK(!can_plot());  // not executable
  fake("echo no >&2; echo terminal >&2; exit 3\n");
  CHECK(can_plot());
  bad("gnuplot failed with status 3: no terminal");
  fake("exit 1\n");
  bad("failed with status 1: it said nothing");
  fake("kill -9 $$\n");
  bad("was ended by signal 9");
  fake("exit 0\n");
  bad("left no whole picture");
  fake("echo text\n");
  bad("left no whole picture");
}

TEST_CASE("plot: a digit after another character is itself") {
  if (skip()) return;
  const Folder folder;
  const auto titled = [&](const std::string& title) {
    Plot plot = example();
    plot.title = title;
    return draw(folder, plot).pixels;
  };
  CHECK(titled("CD-1") == titled("CD-1"));
  CHECK(titled("CD-1") != titled("CDi"));  // 055 octal is -, 0551 would be i
  CHECK(titled("-12") != titled("-13"));
}
