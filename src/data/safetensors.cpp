#include <xtape/data/safetensors.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bytes.hpp"
#include "input_file.hpp"
#include "safetensors_any.hpp"

namespace xtape::data {
namespace {

using detail::OutputFile;

constexpr std::uint64_t longest_header = 100'000'000;  // the limit of the format's own library
constexpr std::string_view metadata_key = "__metadata__";
constexpr std::size_t chunk_elements = std::size_t{1} << 13;

std::uint32_t extend_crc(std::uint32_t crc, const void* bytes, std::size_t count) {
  return static_cast<std::uint32_t>(crc32_z(crc, static_cast<const Bytef*>(bytes), count));
}

// ---- writing ----

/// A JSON string.
std::string json_string(const OutputFile& file, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    file.fail(fmt::format("{} is not UTF-8", quote(text)));
  }
}

using Named = std::pair<std::string, AnyTensor>;

/// What the header says of one tensor; `begin` moves to where the next one's elements start.
std::string describe(const OutputFile& out, const Named& named, std::uint64_t& begin) {
  return std::visit(
      [&]<class T>(const Tensor<T>& tensor) {
        const std::uint64_t from = std::exchange(begin, begin + tensor.size() * sizeof(T));
        return fmt::format("{}:{{\"dtype\":\"F{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                           json_string(out, named.first), 8 * sizeof(T),
                           fmt::join(tensor.shape().begin(), tensor.shape().end(), ","), from, begin);
      },
      named.second);
}

std::string make_header(const OutputFile& out, const std::vector<Named>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  const auto comma = [&] { return header.size() > 1 ? "," : ""; };
  if (!metadata.empty()) {
    std::string texts;
    for (const auto& [name, text] : metadata)
      texts += fmt::format("{}{}:{}", texts.empty() ? "" : ",", json_string(out, name), json_string(out, text));
    header += fmt::format("\"{}\":{{{}}}", metadata_key, texts);
  }
  std::uint64_t begin = 0;
  for (const Named& named : tensors) {
    if (named.first == metadata_key) out.fail(fmt::format("a tensor cannot be called {}", quote(named.first)));
    if (!std::visit([](const auto& tensor) { return tensor.defined(); }, named.second))
      out.fail(fmt::format("tensor {} is undefined", quote(named.first)));
    header += comma() + describe(out, named, begin);
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');  // the elements are aligned
  if (header.size() > longest_header)
    out.fail(fmt::format("a header of {} bytes, the format allows {}", header.size(), longest_header));
  return header;
}

/// Bytes on their way into a file, and the CRC-32 of all of them.
struct Sink {
  OutputFile& out;
  std::uint32_t crc = 0;

  template <class Byte> void write(std::span<const Byte> bytes) {
    crc = extend_crc(crc, bytes.data(), bytes.size());
    out.write(bytes);
  }
};

template <class T> void write_elements(Sink& sink, std::span<const T> values) {
  std::vector<unsigned char> bytes;
  while (!values.empty()) {
    const auto part = values.first(std::min(values.size(), chunk_elements));
    bytes.resize(part.size_bytes());
    for (std::size_t i = 0; i < part.size(); ++i)
      store_little_endian(std::bit_cast<Bits<T>>(part[i]), bytes.data() + i * sizeof(T));
    sink.write(std::span<const unsigned char>(bytes));
    values = values.subspan(part.size());
  }
}

/// A checksum as a tensor. Both halves are integers that float holds exactly.
Tensor<float> checksum_tensor(std::uint32_t crc) {
  return {{2}, {static_cast<float>(crc >> 16), static_cast<float>(crc & 0xffffU)}};
}

/// Tensors in the order given. A checksum is the last of them, over all bytes before its own.
void write_file(OutputFile& out, std::vector<Named> tensors, const std::map<std::string, std::string>& metadata,
                bool with_checksum) {
  if (with_checksum) tensors.emplace_back(checksum_name, checksum_tensor(0));
  const std::string header = make_header(out, tensors, metadata);
  std::array<unsigned char, 8> length{};
  store_little_endian<std::uint64_t>(header.size(), length.data());
  Sink sink{out};
  sink.write(std::span<const unsigned char>(length));
  sink.write(std::span<const char>(header));
  if (with_checksum) tensors.pop_back();
  for (const auto& [name, any] : tensors)
    std::visit([&](const auto& tensor) { write_elements(sink, tensor.span()); }, any);
  if (with_checksum) write_elements(sink, checksum_tensor(sink.crc).span());
}

// ---- reading ----

/// A file read from front to back, and the CRC-32 of what has been read.
class CheckedFile : public InputFile {
 public:
  using InputFile::InputFile;

  void read(void* out, std::size_t bytes) {
    InputFile::read(out, bytes);
    crc_ = extend_crc(crc_, out, bytes);
  }
  std::uint32_t crc() const { return crc_; }

 private:
  std::uint32_t crc_ = 0;
};

/// What the header says of a tensor.
struct Entry {
  std::string name, dtype;
  std::optional<Shape> shape;
  std::vector<std::uint64_t> offsets;  ///< begin and end, from the first byte after the header
  std::uint64_t begin() const { return offsets[0]; }
  std::uint64_t end() const { return offsets[1]; }
};

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
      if (text != "F32" && text != "F64")
        fail_tensor(fmt::format("dtype {} is not supported, expected F32 or F64", quote(text)));
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
    const std::uint64_t bytes = elements * (entry.dtype == "F32" ? 4 : 8);
    if (bytes != entry.end() - entry.begin())
      fail(fmt::format("has data_offsets {}, but shape {} of {} takes {} bytes", range, to_string(*entry.shape),
                       entry.dtype, bytes));
    if (entry.begin() != place)
      fail(fmt::format("has data_offsets {}, expected them to begin at {}: there is {}", range, place,
                       entry.begin() < place ? "an overlap" : "a hole"));
    place = entry.end();
  }
  if (place != data_bytes)
    file.fail(fmt::format("trailing bytes from byte {} on: no tensor has them", file.size() - (data_bytes - place)));
}

/// Elements stored as Stored, read as T.
template <class Stored, class T> void read_elements(CheckedFile& file, std::span<T> values) {
  std::vector<unsigned char> bytes(std::min(values.size(), chunk_elements) * sizeof(Stored));
  while (!values.empty()) {
    const auto part = values.first(std::min(values.size(), chunk_elements));
    file.read(bytes.data(), part.size() * sizeof(Stored));
    for (std::size_t i = 0; i < part.size(); ++i)
      part[i] =
          static_cast<T>(std::bit_cast<Stored>(load_little_endian<Bits<Stored>>(bytes.data() + i * sizeof(Stored))));
    values = values.subspan(part.size());
  }
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

/// The tensors in the order of their elements, and the metadata.
std::pair<std::vector<Entry>, std::map<std::string, std::string>> read_description(CheckedFile& file) {
  const std::string header = read_header(file);
  HeaderReader reader(file);
  nlohmann::json::sax_parse(header, &reader);
  auto entries = reader.take_entries();
  check_layout(file, entries, file.size() - 8 - header.size());
  return {std::move(entries), reader.take_metadata()};
}

template <class T> Tensor<T> read_tensor(CheckedFile& file, const Entry& entry) {
  Tensor<T> tensor = Tensor<T>::uninitialised(*entry.shape);
  const std::span<T> values(tensor.mutable_data(), tensor.size());
  if constexpr (sizeof(T) == 8) {
    if (entry.dtype == "F64") {
      read_elements<double>(file, values);
      return tensor;
    }
  }
  read_elements<float>(file, values);
  return tensor;
}

}  // namespace

void write_any(detail::OutputFile& out, const AnyTensorFile& file) {
  // Doubles first, so that all elements are aligned.
  std::vector<Named> tensors(file.tensors.begin(), file.tensors.end());
  std::stable_partition(tensors.begin(), tensors.end(),
                        [](const Named& t) { return std::holds_alternative<Tensor<double>>(t.second); });
  write_file(out, std::move(tensors), file.metadata, true);
}

AnyTensorFile read_any(std::string_view function, const std::string& path, std::string_view format, unsigned version) {
  CheckedFile file(function, path);
  AnyTensorFile result;
  auto [entries, metadata] = read_description(file);
  const auto text = [&, &metadata = metadata](const char* name) {
    const auto found = metadata.find(name);
    return found == metadata.end() ? std::string() : found->second;
  };
  if (text("format") != format) file.fail(fmt::format("is no {}", format));
  if (const auto other = text("version"); other != std::to_string(version))
    file.fail(fmt::format("has version {} of the format; this program knows {}", quote(other), version));
  if (entries.empty() || entries.back().name != checksum_name || entries.back().dtype != "F32" ||
      *entries.back().shape != Shape{2})
    file.fail("has no checksum at its end");
  for (const Entry& entry : entries) {
    const std::uint32_t before = file.crc();
    if (&entry != &entries.back()) {
      if (entry.dtype == "F64")
        result.tensors.emplace(entry.name, read_tensor<double>(file, entry));
      else
        result.tensors.emplace(entry.name, read_tensor<float>(file, entry));
    } else if (const Tensor<float> wanted = checksum_tensor(before), found = read_tensor<float>(file, entry);
               !std::ranges::equal(wanted.span(), found.span())) {
      file.fail("is damaged: the checksum does not fit the content");
    }
  }
  result.metadata = std::move(metadata);
  return result;
}

template <class T> void write_safetensors(const std::string& path, const TensorFile<T>& file) {
  OutputFile out("write_safetensors", path);
  write_file(out, {file.tensors.begin(), file.tensors.end()}, file.metadata, false);
  out.commit();
}

template <class T> TensorFile<T> read_safetensors(const std::string& path) {
  CheckedFile file("read_safetensors", path);
  TensorFile<T> result;
  auto [entries, metadata] = read_description(file);
  for (const Entry& entry : entries)
    if (entry.dtype == "F64" && sizeof(T) == 4)
      file.fail(
          fmt::format("tensor {} is F64, which float does not hold exactly; read it as double", quote(entry.name)));
  for (const Entry& entry : entries) result.tensors.emplace(entry.name, read_tensor<T>(file, entry));
  result.metadata = std::move(metadata);
  return result;
}

template void write_safetensors(const std::string&, const TensorFile<float>&);
template void write_safetensors(const std::string&, const TensorFile<double>&);
template TensorFile<float> read_safetensors(const std::string&);
template TensorFile<double> read_safetensors(const std::string&);

}  // namespace xtape::data
