#pragma once
/// \file plot.hpp  Curves, drawn by gnuplot.

#include <xtape/detail/same_layout.hpp>

#include <string>
#include <vector>

namespace xtape::viz {

/// One curve through the points (x[i], y[i]), in that order.
struct Series {
  std::string label = {};              ///< its line in the legend, newlines as blanks; none if empty
  std::vector<double> x = {}, y = {};  ///< of one length; a point that is not finite is a gap in the curve
  std::vector<double> error = {};      ///< empty, or a bar y +- error for each point; where not finite, no bar
  bool dashed = false;
  bool points = false;  ///< a mark at every point and no line
  bool band = false;    ///< the errors as a shaded band around the curve, not as bars; a gap ends it
};

struct Plot {
  std::string title = {}, x_label = {}, y_label = {};
  std::vector<Series> series = {};
  bool log_x = false, log_y = false;  ///< logarithmic axes; points that are not above 0 are gaps there
};

/// True if gnuplot is on the PATH.
bool can_plot();

/// Draws the curves as a PNG of 900 x 560 pixels, in colours that the colour-blind can tell apart. The legend
/// is beside the curves, below them if a label has more than 24 letters, and has room for the first 20 or 8
/// labels. All text is UTF-8 and drawn as it is, whatever characters are in it; what has no room is cut off.
/// On a logarithmic y axis a bar or band that reaches 0 or below ends at the lowest point of all curves and bars.
/// The file appears whole or not at all: it is drawn under another name in the same folder and then renamed,
/// replacing what was there.
/// Throws ValueError if x, y and error of a series differ in length, or if no series has a point to draw;
/// DataError if gnuplot is missing or fails, with what it said, or if the file cannot be written.
void write_plot(const std::string& path, const Plot& plot);

}  // namespace xtape::viz
