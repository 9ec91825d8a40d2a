#include <xtape/error.hpp>
#include <xtape/viz/png.hpp>
#include <xtape/viz/report.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <span>

#include "../io/output_file.hpp"
#include "report_page.hpp"

namespace xtape::viz {
namespace {

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\0': break;  // HTML has none
      default: result += c;
    }
  }
  return result;
}

std::string base64(std::span<const unsigned char> bytes) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) result += k <= count ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return result;
}

bool reads_as_number(const std::string& cell) {
  char* end = nullptr;
  std::strtod(cell.c_str(), &end);
  return end != cell.c_str() && std::string_view(end).find_first_not_of(" %") == std::string_view::npos;
}

nlohmann::json numbers(const std::vector<double>& values) {
  nlohmann::json result = nlohmann::json::array();
  for (const double v : values) std::isfinite(v) ? result.push_back(v) : result.push_back(nullptr);
  return result;
}

}  // namespace

Report::Report(std::string_view title) : title_(escaped(title)) {}

void Report::heading(std::string_view text) { body_ += fmt::format("<h2>{}</h2>\n", escaped(text)); }
void Report::text(std::string_view text) { body_ += fmt::format("<p>{}</p>\n", escaped(text)); }

void Report::table(std::string_view caption, const std::vector<std::string>& head,
                   const std::vector<std::vector<std::string>>& rows) {
  body_ += fmt::format("<table><caption>{}</caption>\n", escaped(caption));
  if (!head.empty()) {
    body_ += "<tr>";
    for (const auto& cell : head) body_ += fmt::format("<th>{}</th>", escaped(cell));
    body_ += "</tr>\n";
  }
  for (const auto& row : rows) {
    body_ += "<tr>";
    for (const auto& cell : row)
      body_ += fmt::format("<td{}>{}</td>", reads_as_number(cell) ? " class=\"number\"" : "", escaped(cell));
    body_ += "</tr>\n";
  }
  body_ += "</table>\n";
}

void Report::curves(const Plot& plot) {
  nlohmann::json data{{"xLabel", plot.x_label},
                      {"yLabel", plot.y_label},
                      {"logX", plot.log_x},
                      {"logY", plot.log_y},
                      {"series", nlohmann::json::array()}};
  for (const Series& s : plot.series) {
    if (s.x.size() != s.y.size() || (!s.error.empty() && s.error.size() != s.y.size()))
      throw ValueError(fmt::format("report: series \"{}\" has {} x, {} y and {} errors", s.label, s.x.size(),
                                   s.y.size(), s.error.size()));
    data["series"].push_back({{"label", s.label},
                              {"x", numbers(s.x)},
                              {"y", numbers(s.y)},
                              {"error", numbers(s.error)},
                              {"dashed", s.dashed},
                              {"points", s.points}});
  }
  // Text that is no UTF-8 is shown with marks for what is none; "<" could end the script.
  std::string json = data.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos;) json.replace(at, 1, "\\u003c");
  body_ += fmt::format(
      "<figure class=\"plot\"><figcaption>{}</figcaption><script type=\"application/json\">{}</script></figure>\n",
      escaped(plot.title), json);
}

void Report::picture(std::string_view caption, const Image& image) {
  body_ += fmt::format(
      "<figure><figcaption>{}</figcaption><img alt=\"{}\" width=\"{}\" height=\"{}\" src=\"data:image/png;base64,{}\">"
      "</figure>\n",
      escaped(caption), escaped(caption), image.width, image.height, base64(encode_png(image)));
}

std::string Report::html() const {
  return fmt::format("{}<title>{}</title>\n{}<h1>{}</h1>\n{}{}", detail::page_head, title_, detail::page_style, title_,
                     body_, detail::page_end);
}

void Report::write(const std::string& path) const {
  const std::string page = html();
  xtape::detail::OutputFile file("write report", path);
  file.write(std::span<const char>(page));
  file.commit();
}

}  // namespace xtape::viz
