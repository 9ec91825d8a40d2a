#include <xtape/data/safetensors.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>
#include <xtl/xhalf_float.hpp>

#include "bytes.hpp"
#include "safetensors_any.hpp"
#include "safetensors_header.hpp"

namespace xtape::data {
namespace {

using detail::OutputFile;

constexpr std::size_t chunk_elements = std::size_t{1} << 13;

// ---- writing ----

/// A JSON string.
std::string json_string(const OutputFile& file, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    file.fail(fmt::format("{} is not UTF-8", quote(text)));
  }
}

using Named = std::pair<std::string, std::variant<Tensor<float>, Tensor<double>, Integers>>;

template <class T> std::span<const T> elements_of(const Tensor<T>& tensor) { return tensor.span(); }
std::span<const std::int64_t> elements_of(const Integers& integers) { return {integers.begin(), integers.size()}; }

template <class T> bool is_defined(const Tensor<T>& tensor) { return tensor.defined(); }
bool is_defined(const Integers&) { return true; }

/// What the header says of one tensor; `begin` moves to where the next one's elements start.
std::string describe(const OutputFile& out, const Named& named, std::uint64_t& begin) {
  return std::visit(
      [&](const auto& tensor) {
        using V = typename decltype(elements_of(tensor))::value_type;
        const std::uint64_t from = std::exchange(begin, begin + tensor.size() * sizeof(V));
        return fmt::format("{}:{{\"dtype\":\"{}{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                           json_string(out, named.first), std::is_integral_v<V> ? 'I' : 'F', 8 * sizeof(V),
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
    if (!std::visit([](const auto& tensor) { return is_defined(tensor); }, named.second))
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
    std::visit([&](const auto& tensor) { write_elements(sink, elements_of(tensor)); }, any);
  if (with_checksum) write_elements(sink, checksum_tensor(sink.crc).span());
}

// ---- reading ----

/// IEEE's half precision, as the 16 bits of it.
struct Half {
  std::uint16_t bits;
  operator float() const { return std::bit_cast<half_float::half>(bits); }
};
/// The upper half of a float.
struct BFloat16 {
  std::uint16_t bits;
  operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

/// Elements stored as Stored, read as V. What V does not hold is handed to `refuse`, with its number.
template <class Stored, class V, class Refuse>
void read_elements(CheckedFile& file, std::span<V> values, const Refuse& refuse) {
  std::vector<unsigned char> bytes(std::min(values.size(), chunk_elements) * sizeof(Stored));
  for (std::size_t done = 0; done < values.size();) {
    const auto part = values.subspan(done, std::min(values.size() - done, chunk_elements));
    file.read(bytes.data(), part.size() * sizeof(Stored));
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto value = std::bit_cast<Stored>(load_little_endian<Bits<Stored>>(bytes.data() + i * sizeof(Stored)));
      if constexpr (std::is_integral_v<Stored>)
        if (!std::in_range<V>(value)) refuse(done + i, value);
      part[i] = static_cast<V>(value);
    }
    done += part.size();
  }
}

bool is_float(std::string_view dtype) { return dtype == "F16" || dtype == "BF16" || dtype == "F32" || dtype == "F64"; }
bool is_integer(std::string_view dtype) { return bytes_of(dtype) && !is_float(dtype); }

[[noreturn]] void refuse(const CheckedFile& file, const Entry& entry, std::string_view what) {
  file.fail(fmt::format("tensor {} is {}, {}", quote(entry.name),
                        bytes_of(entry.dtype) ? entry.dtype : quote(entry.dtype), what));
}

/// The next bytes of the file, as T.
template <class T> Tensor<T> read_tensor(CheckedFile& file, const Entry& entry) {
  if (entry.dtype == "F64" && sizeof(T) == 4)
    refuse(file, entry, "which float does not hold exactly; read it as double");
  if (is_integer(entry.dtype))
    refuse(file, entry, "expected F16, BF16, F32 or F64; read_safetensors_integers reads it");
  if (!is_float(entry.dtype)) refuse(file, entry, "which is not supported; read the others by name");
  Fresh<T> tensor("read_safetensors", *entry.shape);
  const std::span<T> values = tensor.span();
  constexpr auto never = [](std::size_t, auto) {};
  if (entry.dtype == "F64")
    read_elements<double>(file, values, never);
  else if (entry.dtype == "F32")
    read_elements<float>(file, values, never);
  else if (entry.dtype == "F16")
    read_elements<Half>(file, values, never);
  else
    read_elements<BFloat16>(file, values, never);
  return std::move(tensor).finished();
}

Integers read_integers(CheckedFile& file, const Entry& entry) {
  if (is_float(entry.dtype)) refuse(file, entry, "expected integers or BOOL; read_safetensors reads it");
  if (!is_integer(entry.dtype)) refuse(file, entry, "which is not supported; read the others by name");
  std::vector<std::int64_t> values(entry.shape->elements());
  const auto read = [&]<class Stored>(Stored) {
    read_elements<Stored>(file, std::span(values), [&](std::size_t i, auto value) {
      refuse(file, entry, fmt::format("and its element {} is {}, which int64 does not hold", i, value));
    });
  };
  const bool is_signed = entry.dtype[0] == 'I';
  switch (*bytes_of(entry.dtype)) {
    case 1: is_signed ? read(std::int8_t()) : read(std::uint8_t()); break;
    case 2: is_signed ? read(std::int16_t()) : read(std::uint16_t()); break;
    case 4: is_signed ? read(std::int32_t()) : read(std::uint32_t()); break;
    default: is_signed ? read(std::int64_t()) : read(std::uint64_t());
  }
  const bool truth = entry.dtype == "BOOL";  // any byte but 0 is true
  return {*entry.shape, [&](std::size_t i) { return truth ? std::int64_t{values[i] != 0} : values[i]; }};
}

/// The tensor of that name, where the file is then.
const Entry& find_tensor(CheckedFile& file, const Description& description, const std::string& name) {
  const auto found = std::ranges::find(description.entries, name, &Entry::name);
  if (found == description.entries.end()) file.fail(fmt::format("there is no tensor {} in it", quote(name)));
  file.seek(description.elements_begin + found->begin());
  return *found;
}

}  // namespace

void write_any(detail::OutputFile& out, const AnyTensorFile& file) {
  // Doubles first, so that all elements are aligned.
  std::vector<Named> tensors;
  for (const auto& [name, any] : file.tensors)
    std::visit([&, &name = name](const auto& tensor) { tensors.emplace_back(name, tensor); }, any);
  std::stable_partition(tensors.begin(), tensors.end(),
                        [](const Named& t) { return std::holds_alternative<Tensor<double>>(t.second); });
  write_file(out, std::move(tensors), file.metadata, true);
}

AnyTensorFile read_any(std::string_view function, const std::string& path, std::string_view format, unsigned version) {
  CheckedFile file(function, path);
  AnyTensorFile result;
  auto [entries, metadata, ignored] = read_description(file);
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
  // Integers first, so that all elements are aligned.
  std::vector<Named> tensors(file.integers.begin(), file.integers.end());
  for (const auto& [name, tensor] : file.tensors) {
    if (file.integers.contains(name)) out.fail(fmt::format("tensor {} is among the integers, too", quote(name)));
    tensors.emplace_back(name, tensor);
  }
  write_file(out, std::move(tensors), file.metadata, false);
  out.commit();
}

template <class T> TensorFile<T> read_safetensors(const std::string& path) {
  constexpr std::string_view function = "read_safetensors";
  return detail::naming(function, path, [&] {
    CheckedFile file(function, path);
    TensorFile<T> result;
    auto [entries, metadata, ignored] = read_description(file);
    for (const Entry& entry : entries)
      if (is_integer(entry.dtype))
        result.integers.emplace(entry.name, read_integers(file, entry));
      else
        result.tensors.emplace(entry.name, read_tensor<T>(file, entry));
    result.metadata = std::move(metadata);
    return result;
  });
}
template <class T> Tensor<T> read_safetensors(const std::string& path, const std::string& name) {
  constexpr std::string_view function = "read_safetensors";
  return detail::naming(function, path, [&] {
    CheckedFile file(function, path);
    const Description description = read_description(file);
    return read_tensor<T>(file, find_tensor(file, description, name));
  });
}
Integers read_safetensors_integers(const std::string& path, const std::string& name) {
  constexpr std::string_view function = "read_safetensors_integers";
  return detail::naming(function, path, [&] {
    CheckedFile file(function, path);
    const Description description = read_description(file);
    return read_integers(file, find_tensor(file, description, name));
  });
}

template void write_safetensors(const std::string&, const TensorFile<float>&);
template void write_safetensors(const std::string&, const TensorFile<double>&);
template TensorFile<float> read_safetensors(const std::string&);
template TensorFile<double> read_safetensors(const std::string&);
template Tensor<float> read_safetensors(const std::string&, const std::string&);
template Tensor<double> read_safetensors(const std::string&, const std::string&);

}  // namespace xtape::data
