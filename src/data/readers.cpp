#include <xtape/data/readers.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

#include "../io/input_file.hpp"

namespace xtape::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t chunk_size = std::size_t{1} << 16;

/// A file read from front to back. zlib's gzread gives the content of plain and compressed files alike.
class InputFile {
 public:
  InputFile(std::string_view function, std::string path) : function_(function), path_(std::move(path)) {
    detail::RegularFile file(function_, path_);
    file_ = gzdopen(file.descriptor(), "rb");
    if (file_ == nullptr) throw std::bad_alloc();  // its only error
    file.release();                                // gzclose closes it
    gzbuffer(file_, 1U << 17);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() {
    if (file_ != nullptr) gzclose_r(file_);
  }

  /// Fills `out`, at most chunk_size bytes; gives how many there were, fewer only at the file's end.
  std::size_t read(std::span<char> out) {
    errno = 0;
    const int got = gzread(file_, out.data(), static_cast<unsigned>(out.size()));
    const int system_error = errno;
    if (got > 0) offset_ += static_cast<std::uint64_t>(got);
    // A stream that stops half-way is no error to gzread itself, only to gzerror.
    if (got < 0 || static_cast<std::size_t>(got) < out.size()) {
      int code = Z_OK;
      const char* message = gzerror(file_, &code);
      if (code != Z_OK) fail(describe(code, message, system_error));
    }
    return static_cast<std::size_t>(got);
  }

  /// To be called when all has been read: zlib reports some errors only here.
  void close() {
    errno = 0;
    const int code = gzclose_r(std::exchange(file_, nullptr));
    if (code != Z_OK) fail(describe(code, "on closing", errno));
  }

  /// Bytes read so far, of the uncompressed content.
  std::uint64_t offset() const { return offset_; }
  const std::string& path() const { return path_; }

  [[noreturn]] void fail(std::string_view what) const {
    throw DataError(fmt::format("{}: {}: {}", function_, path_, what));
  }

 private:
  std::string describe(int code, const char* message, int system_error) const {
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    if (code == Z_ERRNO)
      return fmt::format("cannot be read at byte {}: {}", offset_, detail::system_message(system_error));
    if (code == Z_BUF_ERROR) return fmt::format("truncated gzip stream, it stops at byte {}", offset_);
    return fmt::format("corrupt gzip stream after byte {}: {}", offset_, message);
  }

  std::string_view function_;
  std::string path_;
  gzFile file_ = nullptr;
  std::uint64_t offset_ = 0;
};

// ---- IDX ----

constexpr std::uint32_t images_magic = 0x00000803, labels_magic = 0x00000801;

std::uint32_t read_big_endian(InputFile& file, std::string_view field) {
  std::array<char, 4> bytes{};
  if (file.read(bytes) != bytes.size()) {
    if (file.offset() == 0) file.fail("empty file");
    file.fail(fmt::format("truncated at byte {}: the header ends within the {}", file.offset(), field));
  }
  std::uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

void check_magic(InputFile& file, std::uint32_t expected, std::string_view kind) {
  const std::uint32_t magic = read_big_endian(file, "magic number");
  if (magic != expected)
    file.fail(fmt::format("magic number 0x{:08x} at byte 0, expected 0x{:08x} ({})", magic, expected, kind));
}

/// Hands the `total` bytes that follow to `use`, chunk by chunk, and insists that nothing comes after.
template <class Use> void read_body(InputFile& file, std::uint64_t total, std::string_view promise, Use use) {
  std::vector<char> chunk(chunk_size);
  for (std::uint64_t left = total; left > 0;) {
    const std::span part(chunk.data(), static_cast<std::size_t>(std::min<std::uint64_t>(left, chunk_size)));
    const std::size_t got = file.read(part);
    use(part.first(got));
    if (got < part.size())
      file.fail(fmt::format("truncated at byte {}: {} bytes are missing, the header promises {}", file.offset(),
                            left - got, promise));
    left -= got;
  }
  const std::uint64_t end = file.offset();
  if (file.read(std::span(chunk.data(), 1)) != 0)
    file.fail(fmt::format("trailing bytes from byte {} on: the header promises {} and no more", end, promise));
  file.close();
}

// Room made before anything is read: all that MNIST needs, and not more than 256 MB for a lying header.
constexpr std::uint64_t largest_reserve = std::uint64_t{1} << 26;

// ---- the course's text ----

constexpr std::size_t course_side = 28, course_pixels = course_side * course_side, course_columns = course_pixels + 1;
constexpr int course_classes = 10;
// 785 numbers take 5 kB. A line beyond this is not text of that kind, and not worth holding in memory.
constexpr std::size_t longest_line = std::size_t{1} << 20;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

const char* skip_blanks(const char* p, const char* end) {
  while (p != end && is_blank(*p)) ++p;
  return p;
}

/// The column that starts at p, fit for a message.
std::string quote(const char* p, const char* end) {
  std::string text;
  for (; p != end && *p != ',' && !is_blank(*p) && text.size() < 24; ++p) text += *p >= ' ' && *p <= '~' ? *p : '?';
  return "'" + text + "'";
}

class CourseParser {
 public:
  CourseParser(InputFile& file, Dataset& out) : file_(file), out_(out) {}

  void line(std::string_view text) {
    ++number_;
    line_ = text;
    const char* const end = text.data() + text.size();
    const char* p = skip_blanks(text.data(), end);
    if (p == end) return;
    for (std::size_t column = 1; column <= course_columns; ++column) {
      if (p == end) fail_columns();
      const double value = parse(p, end, column);
      if (column < course_columns) {
        if (!(value >= 0.0 && value <= 1.0)) fail(column, fmt::format("pixel {} is outside [0, 1]", value));
        out_.pixels.push_back(static_cast<float>(value));
        if (p != end && *p == ',') p = skip_blanks(p + 1, end);
      } else {
        if (!(value >= 0.0 && value < course_classes) || value != std::floor(value))
          fail(column, fmt::format("label {} is not one of 0..{}", value, course_classes - 1));
        out_.labels.push_back(static_cast<std::int32_t>(value));
      }
    }
    if (p != end) fail_columns();
  }

  std::size_t lines() const { return number_; }

 private:
  /// Reads the number at p and moves p past it and the blanks behind it.
  double parse(const char*& p, const char* end, std::size_t column) const {
    double value = 0.0;
    const auto [rest, error] = std::from_chars(p, end, value);
    const bool ends_well = rest == end || *rest == ',' || is_blank(*rest);
    if (error == std::errc::result_out_of_range && ends_well) fail(column, quote(p, end) + " is beyond a double");
    if (error != std::errc{} || !ends_well) fail(column, quote(p, end) + " is not a number");
    p = skip_blanks(rest, end);
    return value;
  }

  /// Columns of the current line, numbers or not: a comma ends one, and so do blanks without a comma.
  std::size_t columns() const {
    const char* const end = line_.data() + line_.size();
    std::size_t count = 0;
    for (const char* p = skip_blanks(line_.data(), end); p != end; ++count) {
      while (p != end && *p != ',' && !is_blank(*p)) ++p;
      p = skip_blanks(p, end);
      if (p != end && *p == ',') {
        p = skip_blanks(p + 1, end);
        if (p == end) ++count;  // an empty one behind the last comma
      }
    }
    return count;
  }

  [[noreturn]] void fail_columns() const {
    file_.fail(fmt::format("line {}: {} columns, expected {}", number_, columns(), course_columns));
  }
  /// Where a column is missing, a value that seems out of range is only in the wrong place.
  [[noreturn]] void fail(std::size_t column, std::string_view what) const {
    if (columns() != course_columns) fail_columns();
    file_.fail(fmt::format("line {}, column {}: {}", number_, column, what));
  }

  InputFile& file_;
  Dataset& out_;
  std::string_view line_;
  std::size_t number_ = 0;
};

// ---- folders ----

/// The first of the spellings, plain or .gz, that is a file in `folder`.
std::optional<std::string> find_file(const fs::path& folder, std::initializer_list<std::string> spellings) {
  for (const auto& name : spellings)
    for (const char* ending : {"", ".gz"}) {
      std::error_code ignored;
      const fs::path path = folder / (name + ending);
      if (fs::exists(path, ignored)) return path.string();
    }
  return std::nullopt;
}

/// Paths of all of `found`, or an error that names those not found.
template <std::size_t N>
std::array<std::string, N> all_or_fail(const std::string& directory, std::string_view kind,
                                       const std::array<std::optional<std::string>, N>& found,
                                       const std::array<const char*, N>& names) {
  std::array<std::string, N> paths;
  std::string missing;
  for (std::size_t i = 0; i < N; ++i) {
    if (found[i])
      paths[i] = *found[i];
    else
      missing += fmt::format("{}{}[.gz]", missing.empty() ? "" : ", ", names[i]);
  }
  if (!missing.empty()) throw DataError(fmt::format("load: {}: {} folder without {}", directory, kind, missing));
  return paths;
}

Dataset read_idx_files(const std::string& images_path, const std::string& labels_path, std::size_t classes) {
  InputFile images("read_idx", images_path), labels("read_idx", labels_path);

  check_magic(images, images_magic, "IDX pictures of unsigned bytes");
  const std::uint64_t count = read_big_endian(images, "count");
  const std::uint64_t rows = read_big_endian(images, "rows"), cols = read_big_endian(images, "columns");
  const std::string promise = fmt::format("{} pictures of {} x {}", count, rows, cols);
  if (count == 0 || rows == 0 || cols == 0) images.fail(fmt::format("the header at byte 4 gives {}", promise));
  const std::uint64_t features = rows * cols;  // of two 32-bit numbers: cannot overflow
  if (features > std::numeric_limits<std::uint64_t>::max() / count)
    images.fail(fmt::format("the header at byte 4 gives {}, which no file can hold", promise));

  check_magic(labels, labels_magic, "IDX labels of unsigned bytes");
  const std::uint64_t label_count = read_big_endian(labels, "count");
  if (label_count != count)
    labels.fail(fmt::format("{} labels (byte 4), but {} has {} pictures", label_count, images_path, count));

  Dataset out{.pixels = {}, .labels = {}, .rows = rows, .cols = cols, .classes = classes};
  out.labels.reserve(static_cast<std::size_t>(std::min(count, largest_reserve)));
  read_body(labels, count, fmt::format("{} labels", count), [&](std::span<const char> bytes) {
    for (const char byte : bytes) {
      const auto label = static_cast<unsigned char>(byte);
      if (label >= classes)
        labels.fail(fmt::format("label {} at byte {}, expected one of 0..{}", label, 8 + out.labels.size(),
                                static_cast<std::int64_t>(classes) - 1));
      out.labels.push_back(label);
    }
  });
  out.pixels.reserve(static_cast<std::size_t>(std::min(count * features, largest_reserve)));
  read_body(images, count * features, promise, [&](std::span<const char> bytes) {
    for (const char byte : bytes) out.pixels.push_back(static_cast<float>(static_cast<unsigned char>(byte)) / 255.0F);
  });
  return out;
}

Dataset read_course_file(const std::string& path) {
  InputFile file("read_course", path);
  Dataset out{.pixels = {}, .labels = {}, .rows = course_side, .cols = course_side, .classes = course_classes};
  CourseParser parser(file, out);
  std::vector<char> chunk(chunk_size);
  std::string rest;  // the beginning of a line whose end is in the next chunk
  for (bool more = true; more;) {
    const std::size_t got = file.read(chunk);
    more = got == chunk.size();
    std::string_view text(chunk.data(), got);
    for (std::size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
      if (rest.empty()) {
        parser.line(text.substr(0, end));
      } else {
        rest.append(text.substr(0, end));
        parser.line(rest);
        rest.clear();
      }
    }
    rest.append(text);
    if (rest.size() > longest_line)
      file.fail(fmt::format("line {} is longer than {} bytes: not a text of digits", parser.lines() + 1, longest_line));
  }
  if (!rest.empty()) parser.line(rest);
  if (file.offset() == 0) file.fail("empty file");
  if (out.size() == 0) file.fail(fmt::format("no digit in {} blank lines", parser.lines()));
  file.close();
  return out;
}

}  // namespace

Dataset read_idx(const std::string& images_path, const std::string& labels_path, std::size_t classes) {
  return detail::naming("read_idx", images_path, [&] { return read_idx_files(images_path, labels_path, classes); });
}
Dataset read_course(const std::string& path) {
  return detail::naming("read_course", path, [&] { return read_course_file(path); });
}

namespace {

Splits load_folder(const std::string& directory) {
  const fs::path folder(directory);
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) throw DataError(fmt::format("load: {}: no such folder", directory));
  const auto name = [&] {
    const fs::path full = fs::weakly_canonical(folder, ignored);  // so that "mnist/." has a name, too
    return full.has_filename() ? full.filename().string() : directory;
  };

  const std::array idx{find_file(folder, {"train-images-idx3-ubyte", "train-images.idx3-ubyte"}),
                       find_file(folder, {"train-labels-idx1-ubyte", "train-labels.idx1-ubyte"}),
                       find_file(folder, {"t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"}),
                       find_file(folder, {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"})};
  if (std::any_of(idx.begin(), idx.end(), [](const auto& found) { return found.has_value(); })) {
    const auto paths = all_or_fail<4>(
        directory, "MNIST", idx,
        {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"});
    const Dataset all = read_idx(paths[0], paths[1]);
    Dataset test = read_idx(paths[2], paths[3]);
    if (test.rows != all.rows || test.cols != all.cols)
      throw DataError(fmt::format("load: {}: {} x {} pictures, but {} has {} x {}", paths[2], test.rows, test.cols,
                                  paths[0], all.rows, all.cols));
    const std::size_t n_train = all.size() - std::min<std::size_t>(10000, all.size() / 6);
    auto [train, valid] = split(all, n_train);
    return {std::move(train), std::move(valid), std::move(test), name()};
  }

  const std::array text{find_file(folder, {"digitstrain.txt"}), find_file(folder, {"digitsvalid.txt"}),
                        find_file(folder, {"digitstest.txt"})};
  if (std::any_of(text.begin(), text.end(), [](const auto& found) { return found.has_value(); })) {
    const auto paths =
        all_or_fail<3>(directory, "course", text, {"digitstrain.txt", "digitsvalid.txt", "digitstest.txt"});
    return {read_course(paths[0]), read_course(paths[1]), read_course(paths[2]), name()};
  }

  throw DataError(
      fmt::format("load: {}: found neither MNIST files (train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], "
                  "t10k-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz]) nor course files (digitstrain.txt[.gz], "
                  "digitsvalid.txt[.gz], digitstest.txt[.gz])",
                  directory));
}

}  // namespace

Splits load(const std::string& directory) {
  return detail::naming("load", directory, [&] { return load_folder(directory); });
}

}  // namespace xtape::data
