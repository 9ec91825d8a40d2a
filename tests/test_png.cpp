// PNG files of every kind, made here byte by byte, against the PNG specification's formulas in long double.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <zlib.h>
#include <xtape/viz/png.hpp>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "files.hpp"

using namespace xtape;
using namespace xtape::viz;

namespace {

std::string big_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i) & 0xffU);
  return text;
}

std::string chunk(const std::string& type, const std::string& content) {
  const std::string body = type + content;
  const auto sum = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(content.size(), 4) + body + big_endian(sum, 4);
}

std::string deflated(const std::string& content) {
  std::string result(compressBound(content.size()), '\0');
  uLongf size = result.size();
  compress(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<const Bytef*>(content.data()),
           content.size());
  return result.substr(0, size);
}

enum Type : unsigned { grey = 0, rgb = 2, indexed = 3, grey_alpha = 4, rgb_alpha = 6 };

std::size_t channels_of(Type type) { return type == rgb ? 3 : type == grey_alpha ? 2 : type == rgb_alpha ? 4 : 1; }

// A picture's samples as they are in a file, and the chunks that say what they mean.
struct Picture {
  Type type = grey;
  std::size_t depth = 8, width = 1, height = 1;
  std::vector<std::size_t> samples = {};
  std::string chunks = {};  // between header and content
  bool interlaced = false;

  std::size_t sample(std::size_t x, std::size_t y, std::size_t c) const {
    return samples[(y * width + x) * channels_of(type) + c];
  }

  std::string file() const {
    const std::string header = big_endian(width, 4) + big_endian(height, 4) + static_cast<char>(depth) +
                               static_cast<char>(type) + std::string(2, '\0') + (interlaced ? '\1' : '\0');
    std::string rows;
    if (!interlaced)
      add_rows(rows, 0, 0, 1, 1);
    else
      for (const auto& [x, y, dx, dy] : {std::array<std::size_t, 4>{0, 0, 8, 8},
                                         {4, 0, 8, 8},
                                         {0, 4, 4, 8},
                                         {2, 0, 4, 4},
                                         {0, 2, 2, 4},
                                         {1, 0, 2, 2},
                                         {0, 1, 1, 2}})
        add_rows(rows, x, y, dx, dy);
    return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunks + chunk("IDAT", deflated(rows)) + chunk("IEND", "");
  }

 private:
  // One of the passes of an interlaced file; from (0, 0) by (1, 1) a whole one.
  void add_rows(std::string& rows, std::size_t x0, std::size_t y0, std::size_t dx, std::size_t dy) const {
    if (x0 >= width) return;
    for (std::size_t y = y0; y < height; y += dy) {
      rows += '\0';  // no filter
      std::size_t bits = 0, byte = 0;
      for (std::size_t x = x0; x < width; x += dx)
        for (std::size_t c = 0; c < channels_of(type); ++c) {
          if (depth >= 8) {
            rows += big_endian(sample(x, y, c), depth / 8);
            continue;
          }
          byte = byte << depth | sample(x, y, c);
          if ((bits += depth) == 8) {
            rows += static_cast<char>(byte);
            bits = byte = 0;
          }
        }
      if (bits > 0) rows += static_cast<char>(byte << (8 - bits));
    }
  }
};

// The PNG specification, 13.12, 13.13 and 13.16: round(255 (light a)^(1/2.2)), light = sample^(1/g).
int expected(std::size_t sample, std::size_t depth, long double alpha = 1, long double gamma = 1 / 2.2L) {
  const long double unit = static_cast<long double>(sample) / static_cast<long double>((std::size_t{1} << depth) - 1);
  return static_cast<int>(std::lround(255 * std::pow(std::pow(unit, 1 / gamma) * alpha, 1 / 2.2L)));
}

// Every value where there are up to 256, else some of all magnitudes, mixed.
std::vector<std::size_t> values(std::size_t depth, std::size_t count, std::size_t factor = 1) {
  const std::size_t most = (std::size_t{1} << depth) - 1;
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < count; ++i)
    result.push_back(depth == 16 ? i * 40503 % 65536 >> i % 5 * 2 : i * factor % (most + 1));
  return result;
}

Image read(const Folder& folder, const Picture& picture) {
  return read_png(write_file(folder / "a.png", picture.file()));
}

}  // namespace

TEST_CASE("png: 16 bits without colour chunks are scaled, and alpha is a share of light") {
  const Folder folder;
  CHECK(read(folder, {.type = grey, .depth = 16, .samples = {0x80ff}}).pixels[0] == 128);
  CHECK(read(folder, {.type = rgb, .depth = 16, .samples = {0x80ff, 0, 0xffff}}).pixels ==
        std::vector<std::uint8_t>{128, 0, 255});
  CHECK(read(folder, {.type = grey_alpha, .samples = {200, 128}}).pixels[0] == 146);
  CHECK(read(folder, {.type = rgb_alpha, .samples = {200, 100, 0, 128}}).pixels ==
        std::vector<std::uint8_t>{146, 73, 0});
}

TEST_CASE("png: every colour type, depth, gamma chunk and order of rows") {
  const Folder folder;
  struct Meaning {
    std::string chunks;
    long double gamma;
  };
  const std::vector<Meaning> meanings{
      {"", 1 / 2.2L},
      {chunk("gAMA", big_endian(45455, 4)), 1 / 2.2L},
      {chunk("gAMA", big_endian(100000, 4)), 1.0L},
      {chunk("gAMA", big_endian(50000, 4)), 0.5L},
      {chunk("sRGB", std::string(1, '\0')), 1 / 2.2L},
      {chunk("sRGB", std::string(1, '\0')) + chunk("gAMA", big_endian(45455, 4)), 1 / 2.2L},
      {chunk("bKGD", std::string(6, '\x55')), 1 / 2.2L}};
  for (const auto& [type, depth] : {std::pair(grey, 1U),
                                    {grey, 2U},
                                    {grey, 4U},
                                    {grey, 8U},
                                    {grey, 16U},
                                    {rgb, 8U},
                                    {rgb, 16U},
                                    {grey_alpha, 8U},
                                    {grey_alpha, 16U},
                                    {rgb_alpha, 8U},
                                    {rgb_alpha, 16U}})
    for (const Meaning& meaning : meanings)
      for (const bool interlaced : {false, true}) {
        Picture picture{.type = type, .depth = depth, .width = 37, .height = 19, .interlaced = interlaced};
        picture.chunks = meaning.chunks;
        if (meaning.chunks.find("bKGD") != std::string::npos && (type == grey || type == grey_alpha))
          picture.chunks = chunk("bKGD", std::string("\0\1", 2));
        const std::size_t n = channels_of(type), colours = type == rgb || type == rgb_alpha ? 3 : 1;
        picture.samples = values(depth, 37 * 19 * n, 7);
        const Image image = read(folder, picture);
        REQUIRE(image.width == 37);
        REQUIRE(image.height == 19);
        REQUIRE(image.channels == colours);
        std::size_t wrong = 0;
        for (std::size_t y = 0; y < 19; ++y)
          for (std::size_t x = 0; x < 37; ++x)
            for (std::size_t c = 0; c < colours; ++c) {
              const long double most = static_cast<long double>((1U << depth) - 1);
              const long double alpha =
                  n > colours ? static_cast<long double>(picture.sample(x, y, colours)) / most : 1;
              wrong += image.pixels[(y * 37 + x) * colours + c] !=
                       expected(picture.sample(x, y, c), depth, alpha, meaning.gamma);
            }
        CHECK_MESSAGE(wrong == 0,
                      fmt::format("type {}, depth {}, gamma {}, {}", static_cast<unsigned>(type), depth,
                                  static_cast<double>(meaning.gamma), interlaced ? "interlaced" : "not interlaced"));
      }
}

TEST_CASE("png: palettes, and colours that are transparent") {
  const Folder folder;
  std::string colours;
  for (int i = 0; i < 16; ++i)
    colours += {static_cast<char>(i * 17), static_cast<char>(255 - i), static_cast<char>(3 * i)};
  for (const std::size_t depth : {1U, 2U, 4U, 8U})
    for (const bool interlaced : {false, true})
      for (const long double gamma : {1 / 2.2L, 1.0L}) {
        const std::size_t entries = std::min<std::size_t>(std::size_t{1} << depth, 16);
        Picture picture{.type = indexed, .depth = depth, .width = 13, .height = 11, .interlaced = interlaced};
        if (gamma == 1) picture.chunks += chunk("gAMA", big_endian(100000, 4));
        // The second is half transparent, the others not.
        picture.chunks += chunk("PLTE", colours.substr(0, 3 * entries)) + chunk("tRNS", "\xff\x80");
        for (std::size_t i = 0; i < 13 * 11; ++i) picture.samples.push_back(i % entries);
        const Image image = read(folder, picture);
        REQUIRE(image.channels == 3);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < 13 * 11; ++i)
          for (std::size_t c = 0; c < 3; ++c) {
            const std::size_t entry = i % entries;
            const auto sample = static_cast<unsigned char>(colours[3 * entry + c]);
            wrong += image.pixels[3 * i + c] != expected(sample, 8, entry == 1 ? 128 / 255.L : 1, gamma);
          }
        CHECK_MESSAGE(wrong == 0, depth);
      }

  // One colour is transparent: of 16 bits all count, though only 8 are shown.
  const Picture wide{.type = grey,
                     .depth = 16,
                     .width = 3,
                     .samples = {0x8001, 0x8002, 0xffff},
                     .chunks = chunk("tRNS", big_endian(0x8001, 2))};
  CHECK(read(folder, wide).pixels == std::vector<std::uint8_t>{0, 128, 255});
  const Picture wide_rgb{.type = rgb,
                         .depth = 16,
                         .width = 2,
                         .samples = {0x8001, 2, 0xffff, 0x8002, 2, 0xffff},
                         .chunks = chunk("tRNS", big_endian(0x80010002ffff, 6))};
  CHECK(read(folder, wide_rgb).pixels == std::vector<std::uint8_t>{0, 0, 0, 128, 0, 255});
  for (const std::size_t depth : {1U, 2U, 4U, 8U}) {
    const std::size_t most = (1U << depth) - 1;
    const Picture narrow{.type = grey,
                         .depth = depth,
                         .width = 3,
                         .samples = {most, 0, most},
                         .chunks = chunk("tRNS", big_endian(0, 2))};
    CHECK(read(folder, narrow).pixels == std::vector<std::uint8_t>{255, 0, 255});
    const Picture white{
        .type = grey, .depth = depth, .width = 2, .samples = {most, 0}, .chunks = chunk("tRNS", big_endian(most, 2))};
    CHECK(read(folder, white).pixels == std::vector<std::uint8_t>{0, 0});
  }
}

TEST_CASE("png: long rows") {
  const Folder folder;
  Picture picture{.width = 2'000'000, .samples = std::vector<std::size_t>(2'000'000, 7)};
  CHECK(read(folder, picture).pixels == std::vector<std::uint8_t>(2'000'000, 7));
  check_bad(
      [&] {
        write_png(folder / "a.png", {2'000'000, 1, 1, std::vector<std::uint8_t>(2'000'000)});
      },
      {"write_png: ", "1 x 2000000", "at most 1000000"});
}
