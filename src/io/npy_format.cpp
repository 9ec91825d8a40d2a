#include "npy_format.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <type_traits>
#include <xtl/xhalf_float.hpp>

#include "../kernels/strided.hpp"
#include "bytes.hpp"

namespace xtape::data {
namespace {

constexpr std::string_view magic("\x93NUMPY", 6);
// Only structures, which are refused, need long headers; NumPy itself takes no more than 10,000 bytes.
constexpr std::uint64_t longest_header = 1U << 16;
constexpr std::size_t chunk_bytes = std::size_t{1} << 16, header_alignment = 64;

struct Header {
  std::string dtype;
  bool fortran_order = false;
  Shape shape;
};

/// A Python dictionary with exactly the keys descr, fortran_order and shape. Read without recursion: of what Python
/// could nest there, only a tuple of integers is taken.
class HeaderParser {
 public:
  HeaderParser(const ByteSource& source, std::string_view text) : source_(source), text_(text) {}

  Header parse() {
    Header header;
    bool has_dtype = false, has_order = false, has_shape = false;
    const auto once = [&](bool& has, std::string_view key) {
      if (std::exchange(has, true)) fail(fmt::format("{} comes twice", key));
    };
    expect('{');
    while (!take('}')) {
      const std::string_view key = string("a key");
      expect(':');
      if (key == "descr") {
        once(has_dtype, key);
        if (peek() == '[' || peek() == '(') source_.fail("holds structures, which are not supported");
        header.dtype = string("the dtype as a text");
      } else if (key == "fortran_order") {
        once(has_order, key);
        header.fortran_order = boolean();
      } else if (key == "shape") {
        once(has_shape, key);
        header.shape = shape();
      } else {
        fail(fmt::format("has a key {}, expected descr, fortran_order and shape", quote(key)));
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip_blanks();
    if (at_ != text_.size()) fail("expected nothing after the closing brace");
    if (!has_dtype) fail("has no descr");
    if (!has_order) fail("has no fortran_order");
    if (!has_shape) fail("has no shape");
    return header;
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  char peek() {
    skip_blanks();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("expected '{}'", c));
  }
  std::string_view string(std::string_view what) {
    const char mark = peek();
    if (mark != '\'' && mark != '"') fail(fmt::format("expected {}", what));
    const std::size_t end = text_.find(mark, ++at_);
    if (end == std::string_view::npos) fail("a text never ends");
    const std::string_view result = text_.substr(at_, end - at_);
    if (result.find('\\') != std::string_view::npos) fail("a text with a backslash");
    at_ = end + 1;
    return result;
  }
  bool boolean() {
    skip_blanks();
    for (const auto& [name, value] : {std::pair(std::string_view("True"), true), {"False", false}})
      if (text_.substr(at_).starts_with(name)) {
        at_ += name.size();
        return value;
      }
    fail("expected True or False");
  }
  std::size_t extent() {
    skip_blanks();
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error == std::errc::result_out_of_range) fail("an extent is too large");
    if (error != std::errc{}) fail("expected an extent: an integer from 0 on");
    at_ = static_cast<std::size_t>(end - text_.data());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2's long integers
    return value;
  }
  Shape shape() {
    Shape result;
    expect('(');
    bool comma = true;
    while (!take(')')) {
      if (!comma) fail("expected ',' or ')' in the shape");
      if (result.size() == max_rank) source_.fail(fmt::format("the array has more than {} axes", max_rank));
      result.push_back(extent());
      comma = take(',');
    }
    if (result.size() == 1 && !comma) fail("the shape is a number, expected a tuple");
    return result;
  }
  [[noreturn]] void fail(std::string_view what) const {
    source_.fail(fmt::format("the header is not NumPy's at its byte {}: {}", at_, what));
  }

  const ByteSource& source_;
  std::string_view text_;
  std::size_t at_ = 0;
};

Header read_header(ByteSource& source, std::uint64_t& header_bytes) {
  if (source.size() == 0) source.fail("empty file");
  std::array<unsigned char, 12> start{};
  const auto read_start = [&](std::size_t from, std::size_t to) {
    if (source.size() < to)
      source.fail(fmt::format("truncated at byte {}: the header begins with {} bytes", source.size(), to));
    source.read(start.data() + from, to - from);
  };
  read_start(0, 8);
  if (!std::equal(magic.begin(), magic.end(), start.begin(),
                  [](char a, unsigned char b) { return static_cast<unsigned char>(a) == b; }))
    source.fail("not an .npy file: it does not begin with \\x93NUMPY");
  const unsigned version = start[6];
  if (version < 1 || version > 3 || start[7] != 0)
    source.fail(fmt::format("is of format {}.{}, expected 1.0, 2.0 or 3.0", version, start[7]));
  const std::size_t length_ends = version == 1 ? 10 : 12;
  read_start(8, length_ends);
  const std::uint64_t length =
      version == 1 ? load_little_endian<std::uint16_t>(&start[8]) : load_little_endian<std::uint32_t>(&start[8]);
  if (length > longest_header)
    source.fail(fmt::format("a header of {} bytes, expected at most {}", length, longest_header));
  if (length > source.size() - length_ends)
    source.fail(
        fmt::format("truncated at byte {}: the header at byte {} has {} bytes", source.size(), length_ends, length));
  std::string text(static_cast<std::size_t>(length), '\0');
  source.read(text.data(), text.size());
  header_bytes = length_ends + length;
  return HeaderParser(source, text).parse();
}

/// What an element is: f, i, u or b of so many bytes.
struct Dtype {
  char kind = 0;
  std::size_t bytes = 0;
  bool big_endian = false;
};

Dtype parse_dtype(const ByteSource& source, const std::string& name) {
  if (name.size() >= 2 && name[1] == 'O') source.fail("holds Python objects, which are never loaded");
  constexpr std::string_view known[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"};
  const auto fail = [&] {
    source.fail(
        fmt::format("dtype {} is not supported: expected < or > and one of f2, f4, f8, i1, i2, i4, i8, u1, u2, "
                    "u4, u8, or |b1",
                    quote(name)));
  };
  if (name.size() != 3 || std::ranges::find(known, std::string_view(name).substr(1)) == std::end(known)) fail();
  const Dtype dtype{.kind = name[1], .bytes = static_cast<std::size_t>(name[2] - '0'), .big_endian = name[0] == '>'};
  // '=' would mean the order of a machine that is not known.
  if (name[0] != '<' && name[0] != '>' && !(name[0] == '|' && dtype.bytes == 1)) fail();
  return dtype;
}

/// The array of a source, up to its elements.
struct Array {
  Header header;
  Dtype dtype;
};

Array open_array(ByteSource& source) {
  std::uint64_t header_bytes = 0;
  Array array;
  array.header = read_header(source, header_bytes);
  array.dtype = parse_dtype(source, array.header.dtype);
  std::uint64_t bytes = 0;
  try {
    bytes = array.header.shape.elements() * array.dtype.bytes;
  } catch (const ShapeError&) {
    source.fail(fmt::format("has shape {}, which no file can hold", to_string(array.header.shape)));
  }
  const std::uint64_t there = source.size() - header_bytes;
  if (there != bytes)
    source.fail(fmt::format("{}: shape {} of {} takes {} bytes, but {} follow the header",
                            there < bytes ? fmt::format("truncated at byte {}", source.size())
                                          : fmt::format("trailing bytes from byte {} on", header_bytes + bytes),
                            to_string(array.header.shape), array.header.dtype, bytes, there));
  return array;
}

/// Does the floating-point type T have an integer's value?
template <class T, class I> bool holds(I value) {
  const auto bits = static_cast<std::uint64_t>(value);
  const std::uint64_t size = std::is_signed_v<I> && value < 0 ? 0 - bits : bits;
  return size == 0 || std::bit_width(size) - std::countr_zero(size) <= std::numeric_limits<T>::digits;
}

/// A value as V, or nothing if V does not hold it exactly and may not round.
template <class V, class Stored> std::optional<V> converted(Stored value, bool rounding) {
  if constexpr (std::is_same_v<Stored, bool>) {
    return static_cast<V>(value);
  } else if constexpr (std::is_integral_v<V>) {
    if (!std::in_range<V>(value)) return std::nullopt;
    return static_cast<V>(value);
  } else {
    if constexpr (std::is_integral_v<Stored>)
      if (!rounding && !holds<V>(value)) return std::nullopt;
    return static_cast<V>(value);
  }
}

// As they are in the file. Any byte but 0 is True.
template <class Stored> Stored from_bits(Bits<Stored> bits) {
  if constexpr (std::is_same_v<Stored, bool>)
    return bits != 0;
  else
    return std::bit_cast<Stored>(bits);
}

template <class Stored, class V>
void read_elements(ByteSource& source, const Dtype& dtype, std::span<V> values, bool rounding) {
  constexpr std::size_t size = sizeof(Stored);
  std::vector<unsigned char> bytes(std::min(values.size(), chunk_bytes / size) * size);
  for (std::size_t done = 0; done < values.size();) {
    const std::size_t count = std::min(values.size() - done, chunk_bytes / size);
    source.read(bytes.data(), count * size);
    const auto convert = [&](auto load) {
      for (std::size_t i = 0; i < count; ++i) {
        const Stored value = from_bits<Stored>(load(bytes.data() + i * size));
        const auto result = converted<V>(value, rounding);
        if (!result) {
          if constexpr (std::is_integral_v<Stored>)
            source.fail(fmt::format("element {} of the data is {}, which {}", done + i, value,
                                    std::is_integral_v<V> ? "int64 does not hold"
                                    : sizeof(V) == 4      ? "float does not hold exactly; read it as double"
                                                          : "double does not hold exactly"));
        } else {
          values[done + i] = *result;
        }
      }
    };
    if (dtype.big_endian)
      convert(load_big_endian<Bits<Stored>>);
    else
      convert(load_little_endian<Bits<Stored>>);
    done += count;
  }
}

template <class V>
void read_integer_elements(ByteSource& source, const Dtype& dtype, std::span<V> values, bool rounding) {
  const auto read = [&]<class Stored>(Stored) { read_elements<Stored>(source, dtype, values, rounding); };
  if (dtype.kind == 'b') return read(bool());
  const bool is_signed = dtype.kind == 'i';
  switch (dtype.bytes) {
    case 1: return is_signed ? read(std::int8_t()) : read(std::uint8_t());
    case 2: return is_signed ? read(std::int16_t()) : read(std::uint16_t());
    case 4: return is_signed ? read(std::int32_t()) : read(std::uint32_t());
    default: return is_signed ? read(std::int64_t()) : read(std::uint64_t());
  }
}

Shape reversed(const Shape& shape) {
  Shape result = shape;
  std::reverse(result.begin(), result.end());
  return result;
}

// A tensor of the shape whose elements came in column-major order: `given` has the reversed shape.
template <class T> Tensor<T> in_row_major_order(const Tensor<T>& given, const Shape& shape) {
  kernels::Strided columns{shape, {}, 0};
  std::ptrdiff_t stride = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    columns.stride[d] = stride;
    stride *= static_cast<std::ptrdiff_t>(shape[d]);
  }
  Fresh<T> result("npy", shape);
  kernels::copy_from(columns, given.data(), result.data());
  return std::move(result).finished();
}

}  // namespace

void ByteSource::fail(std::string_view what) const { throw DataError(fmt::format("{}: {}", place(), what)); }

template <class T> Tensor<T> read_array(ByteSource& source, const NumpyReadOptions& options) {
  const auto [header, dtype] = open_array(source);
  if (dtype.kind == 'f' && dtype.bytes > sizeof(T) && !options.rounding)
    source.fail("is float64, which float does not hold exactly; read it as double, or with .rounding = true");
  Fresh<T> elements("npy", header.fortran_order ? reversed(header.shape) : header.shape);
  const std::span<T> values = elements.span();
  if (dtype.kind != 'f')
    read_integer_elements(source, dtype, values, options.rounding);
  else if (dtype.bytes == 2)
    read_elements<half_float::half>(source, dtype, values, true);
  else if (dtype.bytes == 4)
    read_elements<float>(source, dtype, values, true);
  else
    read_elements<double>(source, dtype, values, true);
  const Tensor<T> tensor = std::move(elements).finished();
  return header.fortran_order && header.shape.size() > 1 ? in_row_major_order(tensor, header.shape) : tensor;
}

Integers read_integer_array(ByteSource& source) {
  const Array array = open_array(source);
  const Header& header = array.header;
  if (array.dtype.kind == 'f')
    source.fail(fmt::format("is of dtype {}, expected integers or bool", quote(header.dtype)));
  std::vector<std::int64_t> values(header.shape.elements());
  read_integer_elements(source, array.dtype, std::span(values), false);
  return {header.shape, [&, &shape = header.shape](std::size_t i) {
            if (!header.fortran_order) return values[i];
            // Where the element lies with the first axis running fastest.
            std::size_t place = 0, stride = values.size();
            for (std::size_t axis = shape.size(); axis-- > 0;) {
              stride /= shape[axis];
              place += i % shape[axis] * stride;
              i /= shape[axis];
            }
            return values[place];
          }};
}

template <class V> std::string npy_header(const Shape& shape) {
  std::string text = fmt::format("{{'descr': '<{}{}', 'fortran_order': False, 'shape': {}, }}",
                                 std::is_integral_v<V> ? 'i' : 'f', sizeof(V), to_string(shape));
  constexpr std::size_t start = magic.size() + 4;
  const std::size_t whole = (start + text.size() + 1 + header_alignment - 1) / header_alignment * header_alignment;
  text.resize(whole - start - 1, ' ');
  text += '\n';
  std::array<unsigned char, 2> length{};
  store_little_endian(static_cast<std::uint16_t>(text.size()), length.data());
  std::string header(magic);
  header += {'\x01', '\x00', static_cast<char>(length[0]), static_cast<char>(length[1])};
  return header + text;
}

template <class V>
std::span<const unsigned char> little_endian_bytes(std::span<const V> values, std::vector<unsigned char>& copy) {
  if constexpr (std::endian::native == std::endian::little) {
    return {reinterpret_cast<const unsigned char*>(values.data()), values.size_bytes()};
  } else {
    copy.resize(values.size_bytes());
    for (std::size_t i = 0; i < values.size(); ++i)
      store_little_endian(std::bit_cast<Bits<V>>(values[i]), copy.data() + i * sizeof(V));
    return copy;
  }
}

template Tensor<float> read_array(ByteSource&, const NumpyReadOptions&);
template Tensor<double> read_array(ByteSource&, const NumpyReadOptions&);
template std::string npy_header<float>(const Shape&);
template std::string npy_header<double>(const Shape&);
template std::string npy_header<std::int64_t>(const Shape&);
template std::span<const unsigned char> little_endian_bytes(std::span<const float>, std::vector<unsigned char>&);
template std::span<const unsigned char> little_endian_bytes(std::span<const double>, std::vector<unsigned char>&);
template std::span<const unsigned char> little_endian_bytes(std::span<const std::int64_t>, std::vector<unsigned char>&);

}  // namespace xtape::data
