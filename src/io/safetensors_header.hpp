#pragma once
// What stands at the beginning of a safetensors file.

#include <xtape/shape.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "input_file.hpp"

namespace xtape::data {

constexpr std::uint64_t longest_header = 100'000'000;  // the limit of the format's own library
constexpr std::string_view metadata_key = "__metadata__";

/// The CRC-32 of what `crc` is that of, and these bytes after it.
std::uint32_t extend_crc(std::uint32_t crc, const void* bytes, std::size_t count);

/// A file read from front to back, and the CRC-32 of what has been read.
class CheckedFile : public detail::InputFile {
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

/// Of an element; nothing for a type that is not known here.
std::optional<std::uint64_t> bytes_of(std::string_view dtype);

struct Description {
  std::vector<Entry> entries;  ///< in the order of their elements
  std::map<std::string, std::string> metadata;
  std::uint64_t elements_begin = 0;  ///< in the file
};

/// Of a file that has not been read from yet. Throws DataError if it is no such file, or if its tensors do not fill it
/// exactly; those of types that are not known may take any number of bytes.
Description read_description(CheckedFile& file);

}  // namespace xtape::data
