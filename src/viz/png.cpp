#include <xtape/error.hpp>
#include <xtape/viz/png.hpp>

#include <fmt/format.h>
#include <png.h>
#include <zlib.h>

#include <array>
#include <cmath>
#include <csetjmp>
#include <cstring>
#include <new>
#include <string_view>

#include "../io/input_file.hpp"

namespace xtape::viz {
namespace {

using detail::OutputFile;

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
  constexpr std::size_t longest = 1'000'000;  // libpng's limit
  if (image.width > longest || image.height > longest)
    throw DataError(
        fmt::format("{}: an image of {} x {}, expected at most {} a side", where, image.height, image.width, longest));
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
  detail::InputFile file("read_png", path);
  std::vector<unsigned char> bytes(static_cast<std::size_t>(file.size()));
  file.read(bytes.data(), bytes.size());
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

// ---- reading ----

/// libpng's calls. It leaves them by longjmp where it meets an error, so that nothing in them may have a destructor;
/// false then, and `message` says why. All samples come with 8 or 16 bits, palettes as colours, transparent colours as
/// alpha, and the numbers are the file's: what becomes of them is decided below.
class Decoder {
 public:
  explicit Decoder(std::span<const unsigned char> bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {});
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

  bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, read_bytes);
    png_set_user_limits(png_, most_pixels, most_pixels);
    png_read_info(png_, info_);
    return true;
  }
  bool begin() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_expand(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }
  /// The next row of the present pass; of an interlaced file into what the passes before have made of it.
  bool read_row(unsigned char* row) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_row(png_, row, nullptr);
    return true;
  }
  bool end() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_end(png_, nullptr);
    return true;
  }

  std::size_t width() const { return png_get_image_width(png_, info_); }
  std::size_t height() const { return png_get_image_height(png_, info_); }
  // After begin().
  bool colour() const { return (png_get_color_type(png_, info_) & PNG_COLOR_MASK_COLOR) != 0; }
  bool alpha() const { return (png_get_color_type(png_, info_) & PNG_COLOR_MASK_ALPHA) != 0; }
  bool wide() const { return png_get_bit_depth(png_, info_) == 16; }
  std::size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
  int passes() const { return passes_; }
  /// The exponent that makes samples of light: 1/2.2 where the file does not say, or says sRGB.
  double gamma() const {
    png_fixed_point gamma = 0;
    constexpr png_fixed_point usual = 45455;
    const bool given = png_get_gAMA_fixed(png_, info_, &gamma) != 0 && gamma > 0 && gamma != usual;
    return given ? gamma / 1e5 : 1 / display_exponent;
  }
  const char* message() const { return message_.data(); }

  static constexpr double display_exponent = 2.2;

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto& text = static_cast<Decoder*>(png_get_error_ptr(png))->message_;
    std::strncpy(text.data(), message, text.size() - 1);
    png_longjmp(png, 1);
  }
  static void read_bytes(png_structp png, png_bytep to, std::size_t count) {
    auto& rest = static_cast<Decoder*>(png_get_io_ptr(png))->bytes_;
    if (count > rest.size()) png_error(png, "the content ends early");
    std::memcpy(to, rest.data(), count);
    rest = rest.subspan(count);
  }

  std::span<const unsigned char> bytes_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
  std::array<char, 128> message_{};
};

/// From a file's samples to the 8 bits of an image.
class Samples {
 public:
  explicit Samples(const Decoder& from)
      : wide_(from.wide()), alpha_(from.alpha()), colours_(from.colour() ? 3 : 1), most_(wide_ ? 65535 : 255) {
    // Light is sample^(1 / gamma), and what is shown light^(1 / 2.2).
    const double exponent = 1 / (from.gamma() * Decoder::display_exponent);
    for (std::size_t i = 0; i <= most_; ++i)
      shown_.push_back(std::pow(static_cast<double>(i) / static_cast<double>(most_), exponent));
    for (const double value : shown_) rounded_.push_back(round(value));
  }

  void convert(const unsigned char* row, std::size_t width, std::uint8_t* to) const {
    for (std::size_t x = 0; x < width; ++x) {
      const unsigned char* const colours = row;
      row += colours_ * size();
      const std::size_t alpha = alpha_ ? at(row) : most_;
      if (alpha_) row += size();
      // Alpha is a share of light. On black: light * alpha.
      const double share = alpha == most_ ? 1
                                          : std::pow(static_cast<double>(alpha) / static_cast<double>(most_),
                                                     1 / Decoder::display_exponent);
      for (std::size_t c = 0; c < colours_; ++c) {
        const std::size_t sample = at(colours + c * size());
        *to++ = alpha == most_ ? rounded_[sample] : round(shown_[sample] * share);
      }
    }
  }

 private:
  static std::uint8_t round(double unit) { return static_cast<std::uint8_t>(std::lround(255 * unit)); }
  std::size_t size() const { return wide_ ? 2 : 1; }
  std::size_t at(const unsigned char* p) const { return wide_ ? std::size_t{p[0]} << 8 | p[1] : p[0]; }

  bool wide_, alpha_;
  std::size_t colours_, most_;
  std::vector<double> shown_;  // by sample
  std::vector<std::uint8_t> rounded_;
};

Image decode(const std::string& path) {
  const auto bytes = read_all(path);
  const std::size_t compressed = check_chunks(path, bytes);
  Decoder decoder(bytes);
  const auto check = [&](bool good) {
    if (!good) throw DataError(fmt::format("read_png: {}: {}", path, decoder.message()));
  };
  check(decoder.read_header());
  Image image{.width = decoder.width(), .height = decoder.height(), .channels = 1, .pixels = {}};
  // A pixel takes at least a bit, and deflate makes at most 1032 bytes of one: a header that promises
  // more lies.
  if (image.width * image.height > most_pixels || image.width * image.height / 8 > 1032 * compressed)
    throw DataError(fmt::format("read_png: {}: the header promises {} x {} pixels, in {} compressed bytes", path,
                                image.height, image.width, compressed));
  check(decoder.begin());
  if (decoder.colour()) image.channels = 3;
  const Samples samples(decoder);
  image.pixels.resize(image.width * image.height * image.channels);
  const std::size_t stride = decoder.row_bytes();
  const bool interlaced = decoder.passes() > 1;
  std::vector<unsigned char> rows(stride * (interlaced ? image.height : 1));
  for (int pass = 0; pass < decoder.passes(); ++pass)
    for (std::size_t y = 0; y < image.height; ++y) {
      unsigned char* const row = rows.data() + (interlaced ? y * stride : 0);
      check(decoder.read_row(row));
      if (pass + 1 == decoder.passes())
        samples.convert(row, image.width, image.pixels.data() + y * image.width * image.channels);
    }
  check(decoder.end());
  return image;
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
  return detail::naming("read_png", path, [&] { return decode(path); });
}

}  // namespace xtape::viz
