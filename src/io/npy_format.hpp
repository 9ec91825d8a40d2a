#pragma once
// NumPy's format for one array, wherever its bytes come from: a file, a member of an archive.

#include <xtape/data/npy.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace xtape::data {

/// Bytes from front to back, whose number is known beforehand and can be trusted.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;
  /// Throws DataError unless there are so many.
  virtual void read(void* out, std::size_t bytes) = 0;
  /// Throws DataError that begins with place().
  [[noreturn]] void fail(std::string_view what) const;

 protected:
  /// "function: file", and what else tells where these bytes are.
  virtual std::string place() const = 0;
};

/// The array that the whole source holds.
template <class T> Tensor<T> read_array(ByteSource& source, const NumpyReadOptions& options);
Integers read_integer_array(ByteSource& source);

/// All that comes before the elements of a float, double or int64 array.
template <class V> std::string npy_header(const Shape& shape);
/// The elements in little-endian order: as they lie in memory, or in `copy` on a machine of the other order.
template <class V>
std::span<const unsigned char> little_endian_bytes(std::span<const V> values, std::vector<unsigned char>& copy);

}  // namespace xtape::data
