#include <xtape/error.hpp>
#include <xtape/viz/plot.hpp>
#include <xtape/viz/png.hpp>

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>

#include "../io/output_file.hpp"

namespace xtape::viz {
namespace {

using detail::File, detail::OutputFile, detail::system_message;

constexpr double gap = std::numeric_limits<double>::quiet_NaN();

// Okabe and Ito's colours, which the colour-blind can tell apart; their yellow is too pale for a line on white.
constexpr std::array<std::string_view, 7> colours{"0072b2", "d55e00", "009e73", "cc79a7", "e69f00", "56b4e9", "000000"};
// gnuplot's filled and open circle, square, triangles, diamond: from the eighth curve on, colours come again
// with another shape.
constexpr std::array<int, 8> shapes{7, 5, 9, 13, 6, 4, 8, 12};

constexpr std::size_t most_marked_points = 60;  // a curve of more is a line without marks
constexpr std::size_t longest_side_label = 24;  // letters; with a longer one the legend goes below the curves
constexpr std::size_t most_labels_beside = 20, most_labels_below = 8;  // more would leave no room for the curves

// ---- text ----

/// Length of the UTF-8 sequence that starts at text[i]; 0 if there is none.
std::size_t sequence_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U; };
  const unsigned first = byte(i), second = byte(i + 1);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first < 0xe0   ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  for (std::size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xc0U) != 0x80) return 0;
  // Too long an encoding, a surrogate, or beyond Unicode.
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
      (first == 0xf4 && second > 0x8f))
    return 0;
  return length;
}

/// The text as a gnuplot string. All but letters and blanks is written in octal: no character is left that
/// could end the string, run a command or mean anything at all to gnuplot, nor a digit that could lengthen an octal
/// one. What cannot be drawn becomes a blank or U+FFFD.
std::string quote(std::string_view text) {
  std::string result = "\"";
  const auto append = [&](std::string_view bytes) {
    for (const char c : bytes)
      if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ')
        result += c;
      else
        result += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = sequence_length(text, i);
    const auto c = static_cast<unsigned char>(text[i]);
    const bool control = (c < ' ' && c != '\n') || c == 0x7f;
    append(length == 0 ? "\xef\xbf\xbd" : control ? " " : text.substr(i, length));
    i += std::max<std::size_t>(length, 1);
  }
  return result + '"';
}

/// The legend's lines have no room for a second one each.
std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

std::size_t letters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80; }));
}

// ---- the script ----

/// A series as it is drawn: what has no place on the axes is a NaN.
struct Curve {
  const Series* series;
  std::vector<double> x, y, low, high;
  std::size_t points = 0;  ///< with a place
  bool marked = false;     ///< a mark at every point
};

Curve make_curve(const Series& series, std::size_t index, const Plot& plot) {
  if (series.x.size() != series.y.size() || (!series.error.empty() && series.error.size() != series.y.size()))
    throw ValueError(fmt::format("write_plot: series {} has {} x, {} y and {} errors", index, series.x.size(),
                                 series.y.size(), series.error.size()));
  const auto placed = [](double value, bool log) { return std::isfinite(value) && !(log && value <= 0); };
  Curve curve{.series = &series, .x = {}, .y = {}, .low = {}, .high = {}};
  bool lonely = false;  // a line alone would not show a point between gaps
  std::size_t run = 0;
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    const bool there = placed(series.x[i], plot.log_x) && placed(series.y[i], plot.log_y);
    curve.x.push_back(there ? series.x[i] : gap);
    curve.y.push_back(there ? series.y[i] : gap);
    lonely = lonely || (!there && run == 1);
    run = there ? run + 1 : 0;
    curve.points += there;
    const double error = there && !series.error.empty() ? std::abs(series.error[i]) : gap;
    const bool bar = std::isfinite(curve.y.back() - error) && std::isfinite(curve.y.back() + error);
    curve.low.push_back(bar ? curve.y.back() - error : gap);
    curve.high.push_back(bar ? curve.y.back() + error : gap);
  }
  curve.marked = lonely || run == 1 || curve.points <= most_marked_points;
  return curve;
}

/// On a logarithmic axis a bar that reaches 0 or less ends at the lowest place of all that is drawn.
void clip_bars(std::vector<Curve>& curves) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& curve : curves)
    for (const auto* values : {&curve.y, &curve.low})
      for (const double value : *values)
        if (value > 0) lowest = std::min(lowest, value);
  for (auto& curve : curves)
    for (double& value : curve.low)
      if (value <= 0) value = lowest;
}

std::string make_script(const Plot& plot, std::span<const Curve> curves) {
  std::string script =
      "set terminal pngcairo noenhanced size 900,560 font 'Sans,12' background rgb '#ffffff'\n"
      "set encoding utf8\n"
      "set border 3 linewidth 1 linecolor rgb '#606060'\n"
      "set tics nomirror out scale 0.6 textcolor rgb '#303030'\n"
      "set format '%.10g'\n"
      "set grid linetype 1 linewidth 1 linecolor rgb '#e4e4e4'\n"
      "set bars 0.6\n";
  if (plot.log_x) script += "set logscale x\n";
  if (plot.log_y) script += "set logscale y\n";
  if (!plot.title.empty()) script += fmt::format("set title {} font 'Sans,14' offset 0,0.2\n", quote(plot.title));
  if (!plot.x_label.empty()) script += fmt::format("set xlabel {}\n", quote(plot.x_label));
  if (!plot.y_label.empty()) script += fmt::format("set ylabel {}\n", quote(plot.y_label));
  const bool beside = std::ranges::all_of(
      curves, [](const Curve& curve) { return letters(curve.series->label) <= longest_side_label; });
  script += fmt::format("set key outside {} Left reverse samplen 3.5 spacing 1.3\n",
                        beside ? "right top vertical" : "bottom center horizontal");
  std::size_t labels_left = beside ? most_labels_beside : most_labels_below;
  std::string bands, bars, lines;
  for (std::size_t k = 0; k < curves.size(); ++k) {
    const Curve& curve = curves[k];
    if (curve.points == 0) continue;
    script += fmt::format("$curve{} << END\n", k);
    for (std::size_t i = 0; i < curve.x.size(); ++i)
      fmt::format_to(std::back_inserter(script), "{} {} {} {}\n", curve.x[i], curve.y[i], curve.low[i], curve.high[i]);
    script += "END\n";
    const auto colour = colours[k % colours.size()];
    if (!curve.series->error.empty() && curve.series->band)
      bands += fmt::format(
          "$curve{} using 1:3:4 with filledcurves fillstyle solid noborder linecolor rgb '#d0{}' notitle, ", k, colour);
    else if (!curve.series->error.empty())
      bars += fmt::format(
          "$curve{} using 1:2:3:4 with yerrorbars pointtype -1 linewidth 1.5 linecolor rgb '#80{}' notitle, ", k,
          colour);
    std::string title = "notitle";
    if (!curve.series->label.empty() && labels_left > 0) {
      title = "title " + quote(one_line(curve.series->label));
      --labels_left;
    }
    const auto shape = shapes[k / colours.size() % shapes.size()];
    const auto marks = curve.marked ? fmt::format("points pointtype {} pointsize 0.9", shape) : "";
    const auto style = curve.series->points ? fmt::format("points pointtype {} pointsize 0.8", shape)
                                            : fmt::format("lines{} linewidth 2.2 dashtype {}", marks,
                                                          curve.series->dashed ? "(9,6)" : "1");
    lines += fmt::format("{}$curve{} using 1:2 with {} linecolor rgb '#{}' {}", lines.empty() ? "" : ", ", k, style,
                         colour, title);
  }
  return script + "plot " + bands + bars + lines + "\n";
}

// ---- gnuplot ----

[[noreturn]] void fail(const std::string& path, std::string_view what) {
  throw DataError(fmt::format("write_plot: {}: {}", path, what));
}

File temporary_file(const std::string& path) {
  errno = 0;
  File file(std::tmpfile());
  if (!file) fail(path, fmt::format("no temporary file for gnuplot: {}", system_message(errno)));
  return file;
}

/// What gnuplot said, on one line.
std::string read_messages(std::FILE* file) {
  std::array<char, 2000> bytes{};
  std::rewind(file);
  const std::string_view text(bytes.data(), std::fread(bytes.data(), 1, bytes.size(), file));
  std::string line;
  for (const char c : text) {
    const bool blank = static_cast<unsigned char>(c) <= ' ';
    if (!blank || (!line.empty() && line.back() != ' ')) line += blank ? ' ' : c;
  }
  return line.empty() ? "it said nothing" : line;
}

/// Runs gnuplot, without a shell, and waits for it. Gives what went wrong, or nothing.
std::string run_gnuplot(int input, int output, int errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, errors, 2);
  // The user's own settings file must not change the picture.
  std::array<char, 8> name{"gnuplot"};
  std::array<char, 3> defaults{"-d"};
  const std::array<char*, 3> arguments{name.data(), defaults.data(), nullptr};
  pid_t child = 0;
  const int code = posix_spawnp(&child, name.data(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return fmt::format("cannot be run: {}", system_message(code));
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return {};  // a program that ignores SIGCHLD is not told: the picture will show
  if (WIFSIGNALED(status)) return fmt::format("was ended by signal {}", WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return fmt::format("failed with status {}", WEXITSTATUS(status));
  return {};
}

}  // namespace

bool can_plot() {
  const char* const path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/bin:/usr/bin" : path;
  for (bool more = true; more;) {
    const std::size_t end = rest.find(':');
    more = end != std::string_view::npos;
    const auto program = std::filesystem::path(rest.substr(0, end)) / "gnuplot";
    std::error_code ignored;
    if (std::filesystem::is_regular_file(program, ignored) && access(program.c_str(), X_OK) == 0) return true;
    if (more) rest.remove_prefix(end + 1);
  }
  return false;
}

void write_plot(const std::string& path, const Plot& plot) {
  std::vector<Curve> curves;
  for (std::size_t i = 0; i < plot.series.size(); ++i) curves.push_back(make_curve(plot.series[i], i, plot));
  if (std::ranges::all_of(curves, [](const Curve& curve) { return curve.points == 0; }))
    throw ValueError(fmt::format("write_plot: {} series without a point to draw", curves.size()));
  if (plot.log_y) clip_bars(curves);
  const std::string script = make_script(plot, curves);
  if (!can_plot()) fail(path, "gnuplot is missing; install it: Debian has it as gnuplot-nox");

  // Files rather than pipes: nobody can wait for the other, and a gnuplot that dies early raises no SIGPIPE.
  // Opened in the order of the standard streams, so that in a program which has closed its own none of them is
  // in the way of a later one.
  const File input = temporary_file(path);
  OutputFile picture("write_plot", path);
  const File errors = temporary_file(path);
  errno = 0;
  if (std::fwrite(script.data(), 1, script.size(), input.get()) != script.size() || std::fflush(input.get()) != 0 ||
      std::fseek(input.get(), 0, SEEK_SET) != 0)
    fail(path, fmt::format("cannot write for gnuplot: {}", system_message(errno)));
  const std::string failure = run_gnuplot(fileno(input.get()), picture.descriptor(), fileno(errors.get()));
  if (!failure.empty()) fail(path, fmt::format("gnuplot {}: {}", failure, read_messages(errors.get())));
  try {
    read_png(picture.temporary_path());  // a full disk may have escaped gnuplot
  } catch (const DataError&) {
    fail(path, fmt::format("gnuplot left no whole picture: {}", read_messages(errors.get())));
  }
  picture.commit();
}

}  // namespace xtape::viz
