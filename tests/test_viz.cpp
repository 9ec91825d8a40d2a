#include <xtape/error.hpp>
#include <xtape/viz/image.hpp>
#include <xtape/viz/png.hpp>

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>

#include "files.hpp"

using namespace xtape;
using namespace xtape::viz;
namespace fs = std::filesystem;

namespace {

Image pattern(std::size_t width, std::size_t height, std::size_t channels) {
  Image image{.width = width, .height = height, .channels = channels, .pixels = {}};
  for (std::size_t i = 0; i < width * height * channels; ++i)
    image.pixels.push_back(static_cast<std::uint8_t>(i * 37 % 256));
  return image;
}

bool same(const Image& a, const Image& b) {
  return a.width == b.width && a.height == b.height && a.channels == b.channels && a.pixels == b.pixels;
}

Colour at(const Image& image, std::size_t x, std::size_t y) {
  const std::uint8_t* const p = image.pixels.data() + (y * image.width + x) * image.channels;
  return image.channels == 1 ? Colour{p[0], p[0], p[0]} : Colour{p[0], p[1], p[2]};
}
int grey(const Image& image, std::size_t x, std::size_t y) { return at(image, x, y).green; }

}  // namespace

TEST_CASE("viz: PNG files come back as they were") {
  const Folder folder;
  const std::string path = folder / "a.png";
  for (const std::size_t channels : {1U, 3U})
    for (const std::size_t width : {1U, 7U, 300U})
      for (const std::size_t height : {1U, 2U, 97U}) {
        const Image image = pattern(width, height, channels);
        write_png(path, image);  // replaces the one before
        CHECK(same(image, read_png(path)));
      }
  CHECK(folder.files() == 1);
}

TEST_CASE("viz: PNG files that cannot be written") {
  const Folder folder;
  const Image image = pattern(3, 2, 1);
  check_bad([&] { write_png(folder / "none/a.png", image); },
            {"write_png: " + (folder / "none/a.png"), "No such file"});
  fs::create_directory(folder / "full");
  write_file(folder / "full/x", "x");
  check_bad([&] { write_png(folder / "full", image); }, {"write_png: " + (folder / "full"), "irectory"});
  check_bad([&] { write_png("", image); }, {"write_png: "});
  for (auto change : std::vector<std::function<void(Image&)>>{
           [](Image& i) { i.width = 0; }, [](Image& i) { i = Image{}; }, [](Image& i) { i.channels = 2; },
           [](Image& i) { i.pixels.pop_back(); }, [](Image& i) { i.height = std::size_t{1} << 63; }}) {
    Image bad = image;
    change(bad);
    check_bad([&] { write_png(folder / "bad.png", bad); }, {"write_png: " + (folder / "bad.png"), "channels"});
  }
  CHECK(folder.files() == 1);  // nothing half-written is left
  // A leftover of somebody else's is not touched.
  write_file(folder / "a.png.0.tmp", "theirs");
  write_png(folder / "a.png", image);
  CHECK(content_of(folder / "a.png.0.tmp") == "theirs");
  CHECK(same(image, read_png(folder / "a.png")));
}

TEST_CASE("viz: bad PNG files") {
  const Folder folder;
  const std::string good = folder / "good.png", bad = folder / "bad.png";
  write_png(good, pattern(40, 30, 3));
  const std::string whole = content_of(good);
  check_bad([&] { read_png(folder / "none.png"); }, {"read_png: " + (folder / "none.png"), "No such file"});
  check_bad([&] { read_png(folder.string()); }, {"read_png: " + folder.string()});
  const auto bad_content = [&](const std::string& content, std::vector<std::string> parts) {
    write_file(bad, content);
    parts.insert(parts.begin(), "read_png: " + bad + ": ");
    check_bad([&] { read_png(bad); }, parts);
  };
  bad_content("", {"empty file"});
  bad_content("P5 2 2 255 abcd", {"not a PNG file"});
  bad_content(whole.substr(0, 8), {"truncated at byte 8"});
  bad_content(whole.substr(0, whole.size() / 2), {"truncated at byte " + std::to_string(whole.size() / 2)});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_file(bad, whole.substr(0, length));
    CHECK_THROWS_AS(read_png(bad), DataError);
  }
  for (std::size_t i = 0; i < whole.size(); i += 5) {  // one bit anywhere
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    write_file(bad, damaged);
    CHECK_THROWS_AS(read_png(bad), DataError);
  }
  std::string damaged = whole;
  damaged[whole.size() / 2] = static_cast<char>(damaged[whole.size() / 2] ^ 1);
  bad_content(damaged, {"wrong checksum of the chunk at byte"});
  // A header, checksum and all, that promises 10^12 pixels.
  const auto chunk = [](std::string body) {  // type and content, after the length and before the checksum
    const auto number = [](std::uint64_t value) {
      std::string bytes;
      for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift & 0xffU);
      return bytes;
    };
    const auto sum = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
    return number(body.size() - 4) + body + number(sum);
  };
  const std::string header = chunk(std::string("IHDR\0\x0f\x42\x40\0\x0f\x42\x40\x08\0\0\0\0", 17));
  const std::string pixels = chunk("IDATnot really"), end = chunk("IEND");
  bad_content(whole.substr(0, 8) + header + pixels + end, {"1000000 x 1000000 pixels, in 10 compressed bytes"});
  bad_content(whole.substr(0, 33) + pixels + end, {"IDAT"});
  bad_content(whole.substr(0, 33) + end, {""});
  bad_content(whole.substr(0, 8) + end, {""});
}

TEST_CASE("viz: grid of tiles") {
  std::vector<float> values;
  for (int i = 0; i < 3 * 2 * 2; ++i) values.push_back(static_cast<float>(i) / 11.0F);
  const Image image = grid(values, 3, 2, 2, {.columns = 2, .scale = 3, .padding = 2, .background = 99});
  CHECK(image.channels == 1);
  CHECK(image.width == 2 * 6 + 3 * 2);
  CHECK(image.height == 2 * 6 + 3 * 2);
  CHECK(grey(image, 0, 0) == 99);
  CHECK(grey(image, 2, 2) == 0);
  CHECK(grey(image, 4, 4) == 0);
  CHECK(grey(image, 5, 4) == 23);    // tile 0, row 0, column 1: 255 / 11
  CHECK(grey(image, 10, 2) == 93);   // tile 1 begins with 4 / 11
  CHECK(grey(image, 7, 15) == 255);  // tile 2 ends with 1
  CHECK(grey(image, 12, 12) == 99);  // no fourth tile
  CHECK(grid(values, 3, 2, 2).width == 2 * 2 + 3);
  CHECK(grid(values, 1, 3, 4, {.padding = 0}).pixels.size() == 12);

  const std::vector<float> mixed{-1, 0, 1, 3, 10, 10, 10, 10};
  const Image own = grid(mixed, 2, 2, 2, {.padding = 0, .normalise = Normalise::per_tile});
  CHECK(own.pixels == std::vector<std::uint8_t>{0, 64, 128, 128, 128, 255, 128, 128});
  const Image all = grid(mixed, 2, 2, 2, {.padding = 0, .normalise = Normalise::global});
  CHECK(all.pixels == std::vector<std::uint8_t>{0, 23, 255, 255, 46, 93, 255, 255});
  const Image fixed = grid(mixed, 2, 2, 2, {.padding = 0, .low = 0, .high = 2});
  CHECK(fixed.pixels == std::vector<std::uint8_t>{0, 0, 255, 255, 128, 255, 255, 255});

  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const std::vector<float> wild{-inf, nan, inf, 2, 4, 3};
  const Image tamed = grid(wild, 1, 2, 3, {.padding = 0, .normalise = Normalise::global});
  CHECK(tamed.pixels == std::vector<std::uint8_t>{0, 0, 255, 0, 255, 128});
  const std::vector<float> nothing{nan, nan};
  CHECK(grid(nothing, 1, 1, 2, {.padding = 0, .normalise = Normalise::global}).pixels ==
        std::vector<std::uint8_t>{0, 0});
}

TEST_CASE("viz: signed filters") {
  const std::vector<float> filter{-4, -2, 0, 2, std::nanf(""), 1};
  const Image image =
      grid(filter, 1, 1, 6, {.padding = 0, .normalise = Normalise::per_tile, .palette = Palette::diverging});
  CHECK(image.channels == 3);
  const auto is = [&](std::size_t x, Colour c) {
    const Colour found = at(image, x, 0);
    return found.red == c.red && found.green == c.green && found.blue == c.blue;
  };
  CHECK(is(2, {255, 255, 255}));
  CHECK(is(0, {33, 102, 172}));
  CHECK(is(4, {0, 0, 0}));
  CHECK(at(image, 1, 0).blue > at(image, 1, 0).red);     // negative: blue
  CHECK(at(image, 3, 0).red > at(image, 3, 0).blue);     // positive: red
  CHECK(at(image, 5, 0).green > at(image, 3, 0).green);  // smaller: paler
  const std::vector<float> zero(4, 0.0F);
  for (const auto normalise : {Normalise::none, Normalise::per_tile, Normalise::global}) {
    const Image white = grid(zero, 1, 2, 2, {.padding = 0, .normalise = normalise, .palette = Palette::diverging});
    CHECK(std::all_of(white.pixels.begin(), white.pixels.end(), [](std::uint8_t byte) { return byte == 255; }));
  }
}

TEST_CASE("viz: the size of a grid is known before there are values") {
  for (const GridOptions& options : {GridOptions{}, {.columns = 2, .scale = 3, .padding = 2}, {.columns = 9}}) {
    const std::vector<float> values(5 * 2 * 3);
    const Image image = grid(values, 5, 2, 3, options);
    const GridSize size = grid_size(5, 2, 3, options);
    CHECK(size.width == image.width);
    CHECK(size.height == image.height);
  }
  CHECK(grid_size(5, 2, 3).columns == 3);
  CHECK_THROWS_AS(grid_size(0, 2, 3), ShapeError);
  CHECK_THROWS_AS(grid_size(5, 2, 3, {.scale = 0}), ValueError);
  CHECK_THROWS_AS(grid_size(400, 1000, 1000), ValueError);
  CHECK_THROWS_AS(grid_size(2, 1, 600'000), ValueError);
}

TEST_CASE("viz: wrong sizes for a grid") {
  const std::vector<float> values(12);
  CHECK_THROWS_WITH_AS(grid(values, 2, 2, 2), "grid: 12 values do not make 2 tiles of 2 x 2", ShapeError);
  CHECK_THROWS_AS(grid(values, 0, 3, 4), ShapeError);
  CHECK_THROWS_AS(grid({}, 1, 0, 4), ShapeError);
  CHECK_THROWS_AS(grid({}, std::size_t{1} << 32, std::size_t{1} << 32, 1), ShapeError);
  CHECK_THROWS_AS(grid(values, 1, 3, 4, {.scale = 0}), ValueError);
  CHECK_THROWS_AS(grid(values, 1, 3, 4, {.low = 1, .high = 1}), ValueError);
  CHECK_THROWS_AS(grid(values, 1, 3, 4, {.high = std::nanf("")}), ValueError);
  CHECK_THROWS_AS(grid(values, 1, 3, 4, {.scale = std::size_t{1} << 40}), ValueError);
  // The longest side that libpng takes, and one pixel more.
  const std::vector<float> line(1'000'001);
  CHECK(encode_png(grid(std::span(line).first(1'000'000), 1, 1, 1'000'000, {.padding = 0})).size() > 100);
  CHECK_THROWS_AS(grid(line, 1, 1, 1'000'001, {.padding = 0}), ValueError);
  CHECK_THROWS_AS(grid(line, 1, 1'000'001, 1, {.padding = 0}), ValueError);
  CHECK_THROWS_AS(grid(values, 3, 2, 2, {.padding = ~std::size_t{0}}), ValueError);
}

TEST_CASE("viz: confusion matrix") {
  std::vector<std::size_t> counts(100, 0);
  for (std::size_t i = 0; i < 10; ++i) counts[i * 11] = 190 + i;
  counts[3] = 1;
  counts[49] = 25;
  const Image image = confusion_matrix(counts, 10);
  CHECK(image.channels == 3);
  CHECK(image.pixels.size() == image.width * image.height * 3);
  CHECK(image.width > 300);
  CHECK(image.width < 1200);
  CHECK(image.height > 200);
  // Some blue for right ones, some red for wrong ones, black for the labels.
  std::size_t blue = 0, red = 0, black = 0;
  for (std::size_t y = 0; y < image.height; ++y)
    for (std::size_t x = 0; x < image.width; ++x) {
      const Colour c = at(image, x, y);
      blue += c.blue > c.red + 100;
      red += c.red > c.blue + 20;
      black += c.red + c.green + c.blue == 0;
    }
  CHECK(blue > 1000);
  CHECK(red > 100);
  CHECK(black > 100);
  auto other = counts;
  other[3] = 2;
  CHECK(!same(image, confusion_matrix(other, 10)));

  CHECK(confusion_matrix(std::vector<std::size_t>{0}, 1).width > 50);
  CHECK(confusion_matrix(std::vector<std::size_t>(10000, 123456), 100).channels == 3);
  CHECK_THROWS_WITH_AS(confusion_matrix(counts, 9), "confusion_matrix: 100 counts, expected 9 x 9", ShapeError);
  CHECK_THROWS_AS(confusion_matrix({}, 0), ValueError);
  CHECK_THROWS_AS(confusion_matrix({}, 101), ValueError);
}

TEST_CASE("viz: text") {
  CHECK(text_width("") == 0);
  CHECK(text_width("ab", 2) == 22);
  CHECK(text_height(3) == 21);
  Image image{.width = 12, .height = 7, .channels = 1, .pixels = std::vector<std::uint8_t>(84, 255)};
  draw_text(image, 0, 0, "1L");
  CHECK(grey(image, 2, 0) == 0);
  CHECK(grey(image, 0, 0) == 255);
  CHECK(grey(image, 5, 3) == 255);
  CHECK(grey(image, 6, 0) == 0);
  CHECK(grey(image, 10, 6) == 0);
  // Cut off at the border, and anything may be asked for.
  draw_text(image, 9, 5, "W\xc3\xa4&", {.red = 9, .green = 8, .blue = 7}, 2);
  CHECK(grey(image, 9, 5) == 8);
  draw_text(image, 100, 100, "out");
  draw_text(image, ~std::size_t{0} - 3, ~std::size_t{0} - 3, "far out");
  // Every printable character the documentation names has a shape of its own.
  const std::string known = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz .,:;-+=/%()<>!?_'#*";
  std::vector<std::vector<std::uint8_t>> shapes;
  for (const char c : known + "~") {
    Image one{.width = 5, .height = 9, .channels = 1, .pixels = std::vector<std::uint8_t>(45, 255)};
    draw_text(one, 0, 0, std::string(1, c));
    shapes.push_back(one.pixels);
  }
  std::sort(shapes.begin(), shapes.end());
  CHECK(std::adjacent_find(shapes.begin(), shapes.end()) == shapes.end());
  image.pixels.pop_back();
  CHECK_THROWS_AS(draw_text(image, 0, 0, "x"), ShapeError);
}
