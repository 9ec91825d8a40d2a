#include "safetensors_header.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "bytes.hpp"

namespace xtape::data {
namespace {

/// Takes the header's JSON token by token, and only the tokens that belong there: nothing is ever nested deeper
/// than the format has it, so no header can exhaust the stack. The functions' names and results are the parser's.
class HeaderReader {
 public:
  explicit HeaderReader(const CheckedFile& file) : file_(file) {}

  std::vector<Entry> take_entries() { return std::move(entries_); }
  std::map<std::string, std::string> take_metadata() { return std::move(metadata_); }

  bool start_object(std::size_t) {
    if (place_ == Place::outside)
      place_ = Place::top;
    else if (place_ == Place::top)
      place_ = key_ == metadata_key ? Place::metadata : Place::tensor;
    else
      fail("an object");
    return true;
  }
  bool end_object() {
    if (place_ == Place::tensor) {
      const Entry& entry = entries_.back();
      if (entry.dtype.empty()) fail_tensor("has no dtype");
      if (!entry.shape) fail_tensor("has no shape");
      if (entry.offsets.empty()) fail_tensor("has no data_offsets");
    }
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }
  bool key(std::string& name) {
    if (place_ == Place::top) {
      if (!names_.insert(name).second) file_.fail(fmt::format("header: {} comes twice", quote(name)));
      if (name != metadata_key) entries_.push_back({.name = name, .dtype = {}, .shape = {}, .offsets = {}});
    } else if (place_ == Place::metadata) {
      if (metadata_.contains(name)) file_.fail(fmt::format("header: metadata {} comes twice", quote(name)));
    } else if (name != "dtype" && name != "shape" && name != "data_offsets") {
      fail_tensor(fmt::format("has a field {}, expected dtype, shape and data_offsets", quote(name)));
    } else if (const Entry& entry = entries_.back(); name == "dtype"   ? !entry.dtype.empty()
                                                     : name == "shape" ? entry.shape.has_value()
                                                                       : !entry.offsets.empty()) {
      fail_tensor(fmt::format("has {} twice", name));
    }
    key_ = std::move(name);
    return true;
  }
  bool start_array(std::size_t) {
    if (place_ != Place::tensor || key_ == "dtype") fail("a list");
    if (key_ == "shape") entries_.back().shape.emplace();
    place_ = key_ == "shape" ? Place::shape : Place::offsets;
    return true;
  }
  bool end_array() {
    if (place_ == Place::offsets && entries_.back().offsets.size() != 2)
      fail_tensor(fmt::format("has {} data_offsets, expected 2", entries_.back().offsets.size()));
    place_ = Place::tensor;
    return true;
  }
  bool string(std::string& text) {
    if (place_ == Place::metadata) {
      metadata_.emplace(std::move(key_), std::move(text));
    } else if (place_ == Place::tensor && key_ == "dtype") {
      if (text.empty()) fail_tensor("has an empty dtype");
      entries_.back().dtype = std::move(text);
    } else {
      fail("a text");
    }
    return true;
  }
  bool number_unsigned(std::uint64_t value) {
    Entry* const entry = entries_.empty() ? nullptr : &entries_.back();
    if (place_ == Place::shape) {
      if (entry->shape->size() == max_rank) fail_tensor(fmt::format("has more than {} axes", max_rank));
      entry->shape->push_back(static_cast<std::size_t>(value));
    } else if (place_ == Place::offsets) {
      if (entry->offsets.size() == 2) fail_tensor("has more than 2 data_offsets");
      entry->offsets.push_back(value);
    } else {
      fail("a number");
    }
    return true;
  }
  bool number_integer(std::int64_t value) { fail(fmt::format("the number {}", value)); }
  bool number_float(double value, const std::string&) { fail(fmt::format("the number {}", value)); }
  bool null() { fail("null"); }
  bool boolean(bool value) { fail(value ? "true" : "false"); }
  bool binary(std::vector<std::uint8_t>&) { fail("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
    // The parser counts from 1.
    file_.fail(fmt::format("the header is not valid JSON at byte {}", 8 + std::max<std::size_t>(position, 1) - 1));
  }

 private:
  enum class Place { outside, top, metadata, tensor, shape, offsets };

  [[noreturn]] void fail_tensor(std::string_view what) const {
    file_.fail(fmt::format("header: tensor {} {}", quote(entries_.back().name), what));
  }
  /// A value of the wrong kind.
  [[noreturn]] void fail(std::string_view what) const {
    switch (place_) {
      case Place::outside: file_.fail(fmt::format("the header is {}, expected an object", what));
      case Place::top: file_.fail(fmt::format("header: {} is {}, expected an object", quote(key_), what));
      case Place::metadata: file_.fail(fmt::format("header: metadata {} is {}, expected a text", quote(key_), what));
      default:
        fail_tensor(fmt::format("has {} as {}, expected {}", what, key_,
                                key_ == "dtype" ? "a text" : "a list of integers from 0 on"));
    }
  }

  const CheckedFile& file_;
  Place place_ = Place::outside;
  std::string key_;
  std::set<std::string> names_;
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// Sorts the entries by their place and makes sure that they fill the `data_bytes` bytes exactly.
void check_layout(const CheckedFile& file, std::vector<Entry>& entries, std::uint64_t data_bytes) {
  std::ranges::sort(entries, {}, [](const Entry& e) { return std::tuple(e.begin(), e.end()); });
  std::uint64_t place = 0;
  for (const Entry& entry : entries) {
    const auto fail = [&](std::string_view what) { file.fail(fmt::format("tensor {} {}", quote(entry.name), what)); };
    const std::string range = fmt::format("[{}, {}]", entry.begin(), entry.end());
    if (entry.begin() > entry.end()) fail(fmt::format("has data_offsets {}, which end before they begin", range));
    if (entry.end() > data_bytes)
      fail(fmt::format("has data_offsets {}, but the file is truncated or ends early: {} bytes follow the header",
                       range, data_bytes));
    std::uint64_t elements = 0;
    try {
      elements = entry.shape->elements();
    } catch (const ShapeError&) {
      fail(fmt::format("has shape {}, which no file can hold", to_string(*entry.shape)));
    }
    if (const auto size = bytes_of(entry.dtype); size && elements * *size != entry.end() - entry.begin())
      fail(fmt::format("has data_offsets {}, but shape {} of {} takes {} bytes", range, to_string(*entry.shape),
                       entry.dtype, elements * *size));
    if (entry.begin() != place)
      fail(fmt::format("has data_offsets {}, expected them to begin at {}: there is {}", range, place,
                       entry.begin() < place ? "an overlap" : "a hole"));
    place = entry.end();
  }
  if (place != data_bytes)
    file.fail(fmt::format("trailing bytes from byte {} on: no tensor has them", file.size() - (data_bytes - place)));
}

std::string read_header(CheckedFile& file) {
  if (file.size() == 0) file.fail("empty file");
  std::array<unsigned char, 8> bytes{};
  if (file.size() < bytes.size())
    file.fail(fmt::format("truncated at byte {}: the header's length takes {} bytes", file.size(), bytes.size()));
  file.read(bytes.data(), bytes.size());
  const auto length = load_little_endian<std::uint64_t>(bytes.data());
  if (length > longest_header)
    file.fail(fmt::format("not a safetensors file: a header of {} bytes (byte 0), the format allows {}", length,
                          longest_header));
  if (length > file.size() - bytes.size())
    file.fail(fmt::format("truncated at byte {}: the header at byte 8 has {} bytes", file.size(), length));
  std::string header(static_cast<std::size_t>(length), '\0');
  file.read(header.data(), header.size());
  // Both would get past the parser, which skips a byte order mark and takes a zero for the end.
  if (header.empty() || header[0] != '{') file.fail("not a safetensors file: no '{' at byte 8");
  if (const auto zero = header.find('\0'); zero != std::string::npos)
    file.fail(fmt::format("the header is not valid JSON at byte {}", 8 + zero));
  return header;
}

}  // namespace

std::uint32_t extend_crc(std::uint32_t crc, const void* bytes, std::size_t count) {
  return static_cast<std::uint32_t>(crc32_z(crc, static_cast<const Bytef*>(bytes), count));
}

std::optional<std::uint64_t> bytes_of(std::string_view dtype) {
  for (const auto& [name, bytes] : {std::pair<std::string_view, std::uint64_t>("BOOL", 1),
                                    {"I8", 1},
                                    {"U8", 1},
                                    {"I16", 2},
                                    {"U16", 2},
                                    {"I32", 4},
                                    {"U32", 4},
                                    {"I64", 8},
                                    {"U64", 8},
                                    {"F16", 2},
                                    {"BF16", 2},
                                    {"F32", 4},
                                    {"F64", 8}})
    if (name == dtype) return bytes;
  return std::nullopt;
}

Description read_description(CheckedFile& file) {
  const std::string header = read_header(file);
  HeaderReader reader(file);
  nlohmann::json::sax_parse(header, &reader);
  Description result{reader.take_entries(), reader.take_metadata(), 8 + header.size()};
  check_layout(file, result.entries, file.size() - result.elements_begin);
  return result;
}

}  // namespace xtape::data
