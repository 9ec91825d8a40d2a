// The page of a run: what it contains, and that nothing given to it becomes HTML.

#include <xtape/error.hpp>
#include <xtape/viz/png.hpp>
#include <xtape/viz/report.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <regex>
#include <string>

#include "message.hpp"

using namespace xtape;

namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The data of all curves in a page.
std::vector<nlohmann::json> plots(const std::string& page) {
  std::vector<nlohmann::json> result;
  const std::string begin = "<script type=\"application/json\">";
  for (std::size_t at = 0; (at = page.find(begin, at)) != std::string::npos;) {
    at += begin.size();
    result.push_back(nlohmann::json::parse(page.substr(at, page.find("</script>", at) - at)));
  }
  return result;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

// By hand: three bytes for four letters.
std::vector<unsigned char> decoded(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<unsigned char> result;
  unsigned bits = 0;
  int known = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<unsigned>(digits.find(c));
    if ((known += 6) >= 8) result.push_back(static_cast<unsigned char>(bits >> (known -= 8) & 0xffU));
  }
  return result;
}

}  // namespace

TEST_CASE("report: curves, tables and pictures, in their order") {
  viz::Report page("a run");
  page.heading("settings");
  page.table("options", {"name", "value"}, {{"epochs", "5"}, {"model", "conv"}, {"error", "-1.5e-3 %"}});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  page.curves({.title = "loss",
               .x_label = "epoch",
               .y_label = "nats",
               .series = {{.label = "training", .x = {1, 2, 3}, .y = {0.5, nan, 0.25}},
                          {.label = "validation", .x = {3}, .y = {0.75}, .error = {0.125}, .dashed = true}},
               .log_y = true});
  page.text("and so on");
  const std::string html = page.html();
  CHECK(html.rfind("<!doctype html>", 0) == 0);
  CHECK(html.find("<title>a run</title>") != std::string::npos);
  CHECK(html.find("<td class=\"number\">5</td>") != std::string::npos);
  CHECK(html.find("<td>conv</td>") != std::string::npos);
  CHECK(html.find("<td class=\"number\">-1.5e-3 %</td>") != std::string::npos);
  CHECK(html.find("settings") < html.find("options"));
  CHECK(html.find("options") < html.find("loss"));
  CHECK(html.find("loss") < html.find("and so on"));
  const auto all = plots(html);
  REQUIRE(all.size() == 1);
  CHECK(all[0]["logY"] == true);
  CHECK(all[0]["logX"] == false);
  CHECK(all[0]["xLabel"] == "epoch");
  CHECK(all[0]["series"][0]["y"] == nlohmann::json{0.5, nullptr, 0.25});
  CHECK(all[0]["series"][1]["error"] == nlohmann::json{0.125});
  CHECK(all[0]["series"][1]["dashed"] == true);
}

TEST_CASE("report: text stays text") {
  const std::string hostile = "</script><script>alert(1)</script>&\"'<b>";
  viz::Report page(hostile);
  page.heading(hostile);
  page.text(hostile);
  page.table(hostile, {hostile}, {{hostile}});
  page.curves({.title = hostile, .x_label = hostile, .series = {{.label = hostile, .x = {1}, .y = {1}}}});
  page.picture(hostile, {1, 1, 1, {7}});
  page.curves({.title = "bytes", .series = {{.label = "\xff\xfe no UTF-8 \xc3", .x = {1}, .y = {1}}}});
  const std::string html = page.html();
  CHECK(html.find("alert(1)</script>") == std::string::npos);
  CHECK(html.find("<b>") == std::string::npos);
  CHECK(html.find("<script>alert") == std::string::npos);
  CHECK(count(html, "<script") == 3);  // two plots' data and the page's own
  CHECK(count(html, "</script") == 3);
  const auto all = plots(html);
  REQUIRE(all.size() == 2);
  CHECK(all[0]["series"][0]["label"] == hostile);
  CHECK(count(html, "&lt;/script&gt;") == 2 * 10);  // ten places with two each
}

TEST_CASE("report: a picture is in the page, bit by bit") {
  for (std::size_t width = 1; width < 5; ++width) {
    viz::Image image{width, 2, 3, {}};
    for (std::size_t i = 0; i < width * 6; ++i) image.pixels.push_back(static_cast<std::uint8_t>(37 * i + width));
    viz::Report page("picture");
    page.picture("colours", image);
    std::smatch found;
    const std::string html = page.html();
    REQUIRE(std::regex_search(html, found, std::regex("data:image/png;base64,([A-Za-z0-9+/=]*)\"")));
    CHECK(found[1].length() % 4 == 0);
    CHECK(decoded(found[1]) == viz::encode_png(image));
  }
}

TEST_CASE("report: asks for nothing outside") {
  viz::Report page("offline");
  page.curves({.title = "none yet"});
  page.picture("dot", {1, 1, 1, {0}});
  const std::string html = page.html();
  CHECK(html.find("default-src 'none'") != std::string::npos);
  // The one address is the name of SVG, which nobody fetches.
  CHECK(count(html, "http://") == count(html, "http://www.w3.org/2000/svg"));
  CHECK(html.find("https://") == std::string::npos);
  CHECK(html.find("<link") == std::string::npos);
}

TEST_CASE("report: what is wrong") {
  viz::Report page("wrong");
  CHECK(message<ValueError>([&] {
          page.curves({.series = {{.label = "s", .x = {1, 2}, .y = {1}}}});
        }) == "report: series \"s\" has 2 x, 1 y and 0 errors");
  CHECK_THROWS_AS(page.picture("none", {}), DataError);
  CHECK_THROWS_AS(page.write("/nowhere/at/all/report.html"), DataError);
  const auto folder = std::filesystem::temp_directory_path() / "xtape_test_report";
  std::filesystem::create_directories(folder);
  const std::string path = folder / "report.html";
  page.write(path);
  CHECK(content(path) == page.html());
  page.text("more");
  page.write(path);
  CHECK(content(path) == page.html());
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);
  std::filesystem::remove_all(folder);
}
