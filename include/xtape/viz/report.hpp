#pragma once
/// \file report.hpp  A page that shows how a run went: curves to point at, pictures, tables.

#include <xtape/detail/same_layout.hpp>
#include <xtape/viz/image.hpp>
#include <xtape/viz/plot.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace xtape::viz {

/// One HTML file with everything in it: it opens without a network, and asks for nothing outside. Curves are drawn by
/// the page itself and tell their values where the pointer is. Served over HTTP, it looks every two seconds for a newer
/// version of itself and shows that; opened as a file, it stays as it is.
///
/// Parts stand in the order in which they are added. All text is UTF-8, shown as it is: nothing in it is taken for
/// HTML.
///     viz::Report page("train_classifier");
///     page.table("settings", {}, {{"epochs", "5"}, {"batch", "64"}});
///     page.curves({.title = "loss", .x_label = "epoch", .series = {{"training", epochs, losses}}});
///     page.picture("filters", image);
///     page.write("out/report.html");
class Report {
 public:
  explicit Report(std::string_view title);

  void heading(std::string_view text);
  void text(std::string_view text);
  /// Rows of cells, under a caption and, unless it is empty, a head. Cells that read as numbers are set to the right.
  void table(std::string_view caption, const std::vector<std::string>& head,
             const std::vector<std::vector<std::string>>& rows);
  /// As write_plot takes them, but that a plot without a point to draw is an empty frame: a run may have just begun.
  /// Throws ValueError if x, y and error of a series differ in length.
  void curves(const Plot& plot);
  /// Throws DataError if the image is empty or inconsistent.
  void picture(std::string_view caption, const Image& image);

  /// The page as it stands.
  std::string html() const;
  /// Writes it. The file appears whole or not at all: it is written under another name in the same folder and then
  /// renamed, replacing what was there. Throws DataError with the path and the reason if it cannot be written.
  void write(const std::string& path) const;

 private:
  std::string title_, body_;
};

}  // namespace xtape::viz
