#include <xtape/error.hpp>
#include <xtape/viz/png.hpp>

#include <fmt/format.h>
#include <png.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "../output_file.hpp"

namespace xtape::viz {
namespace {

using detail::File, detail::OutputFile, detail::system_message;

constexpr std::size_t most_pixels = std::size_t{1} << 28;

/// libpng's simplified interface: it reports errors in a struct and never jumps over C++ frames.
struct PngImage {
  png_image image{};
  PngImage() { image.version = PNG_IMAGE_VERSION; }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;
  ~PngImage() { png_image_free(&image); }
};

// `where` begins the message of what is thrown.
std::vector<unsigned char> encode(const std::string& where, const Image& image) {
  if (image.width == 0 || image.height == 0 || (image.channels != 1 && image.channels != 3) ||
      image.width > most_pixels || image.height > most_pixels || image.width * image.height > most_pixels ||
      image.pixels.size() != image.width * image.height * image.channels)
    throw DataError(fmt::format("{}: {} bytes do not make an image of {} x {} with {} channels (1 or 3)", where,
                                image.pixels.size(), image.height, image.width, image.channels));
  PngImage png;
  png.image.width = static_cast<png_uint_32>(image.width);
  png.image.height = static_cast<png_uint_32>(image.height);
  png.image.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png.image);
  std::vector<unsigned char> bytes(size);
  if (png_image_write_to_memory(&png.image, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0)
    throw DataError(fmt::format("{}: {}", where, png.image.message));
  bytes.resize(size);
  return bytes;
}

std::vector<unsigned char> read_all(const std::string& path) {
  const auto fail = [&](int code) {
    throw DataError(fmt::format("read_png: {}: cannot be read: {}", path, system_message(code)));
  };
  errno = 0;
  const File file(std::fopen(path.c_str(), "rb"));
  if (!file) fail(errno);
  std::vector<unsigned char> bytes;
  std::vector<unsigned char> chunk(std::size_t{1} << 16);
  for (std::size_t got = chunk.size(); got == chunk.size();) {
    errno = 0;
    got = std::fread(chunk.data(), 1, chunk.size(), file.get());
    if (std::ferror(file.get()) != 0) fail(errno);
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(got));
  }
  return bytes;
}

constexpr std::array<unsigned char, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/// Goes through all chunks up to IEND and checks their checksums, which libpng does only as far as it
/// needs the pixels. Gives the number of bytes of compressed pixels.
std::size_t check_chunks(const std::string& path, std::span<const unsigned char> bytes) {
  const auto fail = [&](std::string_view what) { throw DataError(fmt::format("read_png: {}: {}", path, what)); };
  const auto big_endian = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes[at + i];
    return value;
  };
  if (bytes.empty()) fail("empty file");
  if (bytes.size() < signature.size() || std::memcmp(bytes.data(), signature.data(), signature.size()) != 0)
    fail("not a PNG file: the signature at byte 0 is another");
  std::size_t data = 0;
  for (std::size_t at = signature.size();;) {
    // Length, type, content, checksum.
    if (bytes.size() - at < 12) fail(fmt::format("truncated at byte {}: no IEND chunk", bytes.size()));
    const std::size_t length = big_endian(at);
    if (length > bytes.size() - at - 12)
      fail(fmt::format("truncated at byte {}: the chunk at byte {} has {} bytes", bytes.size(), at, length));
    const auto sum = crc32(crc32(0, nullptr, 0), bytes.data() + at + 4, static_cast<uInt>(length + 4));
    if (sum != big_endian(at + 8 + length)) fail(fmt::format("damaged: wrong checksum of the chunk at byte {}", at));
    const std::string_view type(reinterpret_cast<const char*>(bytes.data()) + at + 4, 4);
    if (type == "IDAT") data += length;
    if (type == "IEND") return data;
    at += 12 + length;
  }
}

}  // namespace

std::vector<unsigned char> encode_png(const Image& image) { return encode("encode_png", image); }

void write_png(const std::string& path, const Image& image) {
  const auto bytes = encode("write_png: " + path, image);
  OutputFile file("write_png", path);
  file.write(std::span(bytes));
  file.commit();
}

Image read_png(const std::string& path) {
  const auto bytes = read_all(path);
  const std::size_t compressed = check_chunks(path, bytes);
  PngImage png;
  const auto check = [&](int ok) {
    if (ok == 0) throw DataError(fmt::format("read_png: {}: {}", path, png.image.message));
  };
  check(png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size()));
  Image image{.width = png.image.width,
              .height = png.image.height,
              .channels = (png.image.format & PNG_FORMAT_FLAG_COLOR) != 0 ? std::size_t{3} : std::size_t{1},
              .pixels = {}};
  // A pixel takes at least a bit, and deflate makes at most 1032 bytes of one: a header that promises
  // more lies.
  if (image.width * image.height > most_pixels || image.width * image.height / 8 > 1032 * compressed)
    throw DataError(fmt::format("read_png: {}: the header promises {} x {} pixels, in {} compressed bytes", path,
                                image.height, image.width, compressed));
  png.image.format = image.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  image.pixels.resize(PNG_IMAGE_SIZE(png.image));
  const png_color background{0, 0, 0};
  check(png_image_finish_read(&png.image, &background, image.pixels.data(), 0, nullptr));
  return image;
}

}  // namespace xtape::viz
