// NumPy's files: the bytes, what is refused, damage. What NumPy itself says: test_npy_numpy.cpp.

#include <xtape/data/npy.hpp>
#include <xtape/error.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "files.hpp"

using namespace xtape;
using namespace xtape::data;

namespace {

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string result;
  for (std::size_t i = 0; i < bytes; ++i) result += static_cast<char>(value >> 8 * i & 0xffU);
  return result;
}

std::string npy(const std::string& header, const std::string& elements = "", char version = 1) {
  return std::string("\x93NUMPY", 6) + version + '\0' + little_endian(header.size(), version == 1 ? 2 : 4) + header +
         elements;
}
std::string header(const std::string& dtype, const std::string& shape, const std::string& order = "False") {
  return "{'descr': '" + dtype + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

struct Member {
  std::string name, content;
  std::uint16_t method = 0, flags = 0;
  std::string compressed = content;
  std::uint64_t claimed = content.size();
};

// A ZIP archive by hand, so that anything in it can be wrong.
std::string zip(const std::vector<Member>& members) {
  std::string files, directory;
  for (const auto& m : members) {
    const auto* bytes = reinterpret_cast<const Bytef*>(m.content.data());
    const auto sum = crc32(crc32(0, nullptr, 0), bytes, static_cast<uInt>(m.content.size()));
    const std::string common = little_endian(20, 2) + little_endian(m.flags, 2) + little_endian(m.method, 2) +
                               little_endian(0, 2) + little_endian(33, 2) + little_endian(sum, 4) +
                               little_endian(m.compressed.size(), 4) + little_endian(m.claimed, 4) +
                               little_endian(m.name.size(), 2) + little_endian(0, 2);
    directory +=
        "PK\x01\x02" + little_endian(20, 2) + common + std::string(10, '\0') + little_endian(files.size(), 4) + m.name;
    files += "PK\x03\x04" + common + m.name + m.compressed;
  }
  return files + directory + "PK\x05\x06" + std::string(4, '\0') + little_endian(members.size(), 2) +
         little_endian(members.size(), 2) + little_endian(directory.size(), 4) + little_endian(files.size(), 4) +
         little_endian(0, 2);
}

std::string deflated(const std::string& content) {
  std::string result(compressBound(content.size()) + 16, '\0');
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

template <class T> bool same(const Tensor<T>& a, const Tensor<T>& b) {  // to the bit
  return a.shape() == b.shape() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

const std::string two_floats("\x00\x00\x00\x3f\x00\x00\x00\xc0", 8);  // 0.5, -2

}  // namespace

TEST_CASE("npy: the bytes") {
  const Folder folder;
  write_npy(folder / "f", Tensor<float>({2}, {0.5F, -2.0F}));
  const std::string text = header("<f4", "(2,)");
  CHECK(content_of(folder / "f") == npy(text + std::string(128 - 10 - text.size() - 1, ' ') + "\n", two_floats));
  CHECK(content_of(folder / "f").size() == 128 + 8);
  write_npy(folder / "d", Tensor<double>(1.0));
  CHECK(content_of(folder / "d").find(header("<f8", "()")) == 10);
  write_npy(folder / "i", Integers{3, -1});
  CHECK(content_of(folder / "i").find(header("<i8", "(2,)")) == 10);
  CHECK(content_of(folder / "i").substr(128) == little_endian(3, 8) + little_endian(~std::uint64_t{0}, 8));
  CHECK(folder.files() == 3);
}

TEST_CASE_TEMPLATE("npy: arrays come back to the bit", T, float, double) {
  using Limits = std::numeric_limits<T>;
  const Folder folder;
  std::map<std::string, Tensor<T>> arrays;
  arrays["scalar"] = Tensor<T>(T(2.5));
  arrays["empty"] = zeros<T>({4, 0, 2});
  arrays[""] = Tensor<T>({3}, {Limits::infinity(), Limits::quiet_NaN(), -T(0)});
  arrays["\xc3\xa4 .npy"] = Tensor<T>({1, 1, 1, 1, 1, 1, 1, 1}, {Limits::denorm_min()});
  Tensor<T> large = zeros<T>({300, 101});  // several chunks
  for (std::size_t i = 0; i < large.size(); ++i) large.modify()[i] = T(i) / 7;
  arrays["large"] = large;
  for (const auto& [name, tensor] : arrays) {
    write_npy(folder / "a.npy", tensor);
    const auto read = read_npy<T>(folder / "a.npy");
    CHECK(same(read, tensor));
    CHECK(!read.requires_grad());
  }
  for (const bool compressed : {false, true}) {
    write_npz(folder / "a.npz", arrays, {.compressed = compressed});
    const auto read = read_npz<T>(folder / "a.npz");
    REQUIRE(read.size() == arrays.size());
    for (const auto& [name, tensor] : arrays) {
      CHECK(same(read.at(name), tensor));
      CHECK(same(read_npz<T>(folder / "a.npz", name), tensor));
    }
    write_npz(folder / "b.npz", arrays, {.compressed = compressed});
    CHECK(content_of(folder / "a.npz") == content_of(folder / "b.npz"));
    CHECK((content_of(folder / "a.npz").size() < large.size() * sizeof(T)) == compressed);
  }
  write_npz(folder / "none.npz", std::map<std::string, Tensor<T>>{});
  CHECK(read_npz<T>(folder / "none.npz").empty());
  check_bad([&] { read_npz<T>(folder / "a.npz", "b"); },
            {"read_npz: " + (folder / "a.npz"), "there is no array 'b' in it"});
}

TEST_CASE("npy: what other writers do") {
  const Folder folder;
  const auto read = [&](const std::string& content) { return read_npy<float>(write_file(folder / "f", content)); };
  const Tensor<float> expected({2}, {0.5F, -2.0F});
  CHECK(same(read(npy("{\"shape\":(2,),\"fortran_order\":True,\"descr\":\"<f4\"}", two_floats)), expected));
  CHECK(same(read(npy(" {'fortran_order':False ,\n'shape': ( 2 , ),'descr':'<f4' ,} \n", two_floats, 2)), expected));
  CHECK(same(read(npy(header("<f4", "(2L,)"), two_floats, 3)), expected));
  CHECK(same(read(npy(header("<f4", "(1,2)"), two_floats)), Tensor<float>({1, 2}, {0.5F, -2.0F})));
  CHECK(same(read(npy(header(">u1", "(2,)"), "\x01\xff")), Tensor<float>({2}, {1, 255})));
  CHECK(same(read(npy(header("|b1", "(3,)"), std::string("\x00\x01\x02", 3))), Tensor<float>({3}, {0, 1, 1})));
  // Every half: its bits are 10 of mantissa and 5 of exponent.
  std::string halves;
  for (std::uint64_t i = 0; i < 65536; ++i) halves += little_endian(i, 2);
  const auto half = read(npy(header("<f2", "(65536,)"), halves));
  for (std::size_t i = 0; i < 65536; ++i) {
    const std::size_t exponent = i >> 10 & 31U, mantissa = i & 1023U;
    const double size = exponent == 0 ? std::ldexp(static_cast<double>(mantissa), -24)
                        : exponent == 31
                            ? (mantissa == 0 ? HUGE_VAL : NAN)
                            : std::ldexp(static_cast<double>(1024 + mantissa), static_cast<int>(exponent) - 25);
    const double value = half.data()[i];
    if (!(value == (i < 32768 ? size : -size) || (std::isnan(value) && std::isnan(size)))) FAIL_CHECK(i, " ", value);
  }
}

TEST_CASE("npy: what T does not hold exactly is refused, or rounded if asked for") {
  const Folder folder;
  const std::string path = folder / "i";
  write_npy(path, Integers{1LL, (1LL << 24) + 1, -(1LL << 53) - 1});
  check_bad([&] { read_npy<float>(path); }, {"element 1 of the data is 16777217", "read it as double"});
  check_bad([&] { read_npy<double>(path); }, {"element 2 of the data is -9007199254740993"});
  CHECK(same(read_npy<float>(path, {.rounding = true}), Tensor<float>({3}, {1, 0x1p24F, -0x1p53F})));
  CHECK(same(read_npy<double>(path, {.rounding = true}), Tensor<double>({3}, {1, 0x1p24 + 1, -0x1p53})));
  constexpr auto least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
  write_npy(path, Integers{least, std::int64_t{1} << 62 | std::int64_t{1} << 40});
  CHECK(same(read_npy<float>(path), Tensor<float>({2}, {-0x1p63F, 0x1p62F + 0x1p40F})));
  CHECK(read_npy_integers(path)[0] == least);
  write_npy(path, Integers{most});
  check_bad([&] { read_npy<double>(path); }, {"element 0 of the data is 9223372036854775807"});
  CHECK(read_npy_integers(path)[0] == most);
  write_file(path, npy(header("<u8", "(2,)"), little_endian(1ULL << 63, 8) + little_endian(0, 8)));
  check_bad([&] { read_npy_integers(path); }, {"element 0", "9223372036854775808", "int64 does not hold"});
  CHECK(read_npy<float>(path).data()[0] == 0x1p63F);
  write_npy(path, Tensor<double>({2}, {0.1, 1e300}));
  check_bad([&] { read_npy<float>(path); }, {"is float64", "read it as double, or with .rounding = true"});
  CHECK(read_npy<float>(path, {.rounding = true}).data()[0] == 0.1F);
}

TEST_CASE("npy: bad files") {
  const Folder folder;
  const std::string path = folder / "bad";
  const auto bad = [&](const std::string& content, const std::vector<std::string>& parts) {
    write_file(path, content);
    for (const bool rounding : {false, true}) {
      check_bad([&] { read_npy<float>(path, {.rounding = rounding}); }, parts);
      check_bad([&] { read_npy<double>(path, {.rounding = rounding}); }, parts);
    }
    check_bad([&] { read_npy<float>(path); }, {"read_npy: " + path + ": "});
    check_bad([&] { read_npy_integers(path); }, {"read_npy_integers: " + path + ": "});
    // The same in an archive.
    write_file(path, zip({{"a.npy", content}}));
    check_bad([&] { read_npz<double>(path); }, {"read_npz: " + path + ": array 'a': "});
  };
  const auto load = [](const std::string& from) { return [from] { read_npy<float>(from); }; };
  check_bad(load(folder / "none"), {folder / "none", "cannot be opened: No such file"});
  check_bad(load(folder.string()), {folder.string(), "is a folder"});
  check_bad(load("/dev/null"), {"/dev/null", "is not a regular file"});
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  check_bad(load(folder / "pipe"), {"is not a regular file"});  // and does not wait for a writer

  const std::string good = header("<f4", "(2,)");
  bad("", {"empty file"});
  bad("\x93NUM", {"truncated at byte 4: the header begins with 8 bytes"});
  bad(npy("").substr(0, 9), {"truncated at byte 9: the header begins with 10 bytes"});
  bad(npy("", "", 2).substr(0, 11), {"truncated at byte 11: the header begins with 12 bytes"});
  bad("\x92NUMPY\x01" + std::string(9, '\0'), {"does not begin with \\x93NUMPY"});
  bad(npy(good, two_floats, 0), {"is of format 0.0"});
  bad(npy(good, two_floats, 4), {"is of format 4.0"});
  bad(std::string("\x93NUMPY\x01\x01", 8) + little_endian(2, 2) + "{}", {"is of format 1.1"});
  bad(npy(good).substr(0, 30), {"truncated at byte 30: the header at byte 10 has 57 bytes"});
  bad(std::string("\x93NUMPY\x02\x00", 8) + little_endian(0xffffffff, 4), {"a header of 4294967295 bytes"});
  bad(npy(good), {"truncated at byte 67: shape (2,) of <f4 takes 8 bytes, but 0 follow"});
  bad(npy(good, two_floats + "x"), {"trailing bytes from byte 75 on: shape (2,) of <f4 takes 8 bytes, but 9 follow"});
  bad(npy(good, two_floats) + npy(good, two_floats), {"trailing bytes"});

  for (const char* dtype : {"<c8", "<f16", "<M8[s]", "<U3", "|S5", "|V8", "=f4", "|f4", "f4", "<f", "<i3", "?", "",
                            "<b8", "|u2", "<f4 ", "<F4", "!f4"})
    bad(npy(header(dtype, "(2,)"), two_floats), {std::string("dtype '") + dtype + "' is not supported"});
  bad(npy(header("|O", "(2,)"), two_floats), {"holds Python objects, which are never loaded"});
  bad(npy("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }", two_floats), {"holds structures"});

  const auto bad_header = [&](const std::string& text, const std::string& part) {
    bad(npy(text, two_floats), {"the header is not NumPy's at its byte ", part});
  };
  bad_header("", "expected '{'");
  bad_header("[]", "expected '{'");
  bad_header("{", "expected a key");
  bad_header("{}", "has no descr");
  bad_header("{'descr': '<f4', 'shape': (2,)}", "has no fortran_order");
  bad_header("{'descr': '<f4', 'fortran_order': False}", "has no shape");
  bad_header("{'descr': '<f4', 'descr': '<f4'}", "descr comes twice");
  bad_header("{'x': 1}", "has a key 'x'");
  bad_header("{'descr", "a text never ends");
  bad_header("{'descr' '<f4'}", "expected ':'");
  bad_header("{'descr': '\\x3cf4'}", "a text with a backslash");
  bad_header("{'descr': {'a': 1}}", "expected the dtype as a text");
  bad_header("{'descr': 1}", "expected the dtype as a text");
  bad_header("{'fortran_order': 0}", "expected True or False");
  bad_header("{'fortran_order': None}", "expected True or False");
  bad_header("{'fortran_order': True 'shape': ()}", "expected '}'");
  bad_header(good + " x", "nothing after the closing brace");
  bad_header(good + std::string(1, '\0'), "nothing after the closing brace");
  for (const auto& [shape, part] : {std::pair("(2)", "the shape is a number"),
                                    {"2", "expected '('"},
                                    {"[2]", "expected '('"},
                                    {"(-2,)", "expected an extent"},
                                    {"(+2,)", "expected an extent"},
                                    {"(2.0,)", "expected ',' or ')'"},
                                    {"(,)", "expected an extent"},
                                    {"(2,,)", "expected an extent"},
                                    {"(2 2)", "expected ',' or ')'"},
                                    {"((2,),)", "expected an extent"},
                                    {"(True,)", "expected an extent"},
                                    {"(0x2,)", "expected ',' or ')'"},
                                    {"(18446744073709551616,)", "an extent is too large"},
                                    {"(2", "expected an extent"}})
    bad_header(header("<f4", shape), part);
  for (const char* shape :
       {"(18446744073709551615,)", "(4294967296, 4294967296)", "(4611686018427387904,)", "(0, 4294967296, 4294967296)"})
    bad(npy(header("<f4", shape), two_floats), {"no file can hold"});  // 2^64 is 0 in 64 bits
  bad(npy(header("<f8", "(1000000000000,)"), two_floats), {"takes 8000000000000 bytes"});
  bad(npy(header("<f4", "(1, 1, 1, 1, 1, 1, 1, 1, 2)"), two_floats), {"more than 8 axes"});
  // Nesting a stack could not hold.
  for (const std::string open : {"[", "(", "{"}) {
    std::string deep;
    for (int i = 0; i < 60000; ++i) deep += open;
    bad_header(deep, "expected");
    bad(npy("{'descr': " + deep), {open == "{" ? "expected the dtype" : "holds structures"});
    bad_header("{'shape': (" + deep, "expected");
  }
}

TEST_CASE("npz: bad archives") {
  const Folder folder;
  const std::string path = folder / "bad", whole = npy(header("<f4", "(2,)"), two_floats);
  const auto bad = [&](const std::string& content, const std::string& part) {
    write_file(path, content);
    check_bad([&] { read_npz<double>(path); }, {"read_npz: " + path + ": ", part});
  };
  CHECK(same(read_npz<float>(write_file(path, zip({{"a.npy", whole}})), "a"), Tensor<float>({2}, {0.5F, -2.0F})));
  CHECK(same(read_npz<float>(write_file(path, zip({{"a.npy", whole, 8, 0, deflated(whole)}})), "a"),
             Tensor<float>({2}, {0.5F, -2.0F})));
  check_bad([&] { read_npz<float>(folder.string()); }, {"is a folder"});
  check_bad([&] { read_npz<float>("/dev/null"); }, {"is not a regular file"});
  check_bad([&] { read_npz<float>(folder / "none"); }, {"cannot be opened: No such file"});
  bad("", "empty file");
  bad(whole, "cannot be read as a ZIP archive: Not a zip archive");
  bad(zip({{"a.txt", whole}}), "member 'a.txt' is not an .npy file");
  bad(zip({{"a/", ""}}), "member 'a/' is not an .npy file");
  bad(zip({{"a.npy", whole}, {"a.npy", whole}}), "cannot be read as a ZIP archive: File already exists");
  // In UTF-8, and as IBM's code page has it.
  bad(zip({{"\xc3\xa4.npy", whole, 0, 0x800}, {"\x84.npy", whole}}), "File already exists");
  bad(zip({{"a.npy", whole, 0, 1}}), "member 'a.npy' is encrypted");
  bad(zip({{"a.npy", whole, 12}}), "is compressed by method 12");
  bad(zip({{"a.npy", whole, 8, 0, "\xff\xff"}}), "array 'a': ");
  bad(zip({{"a.npy", whole, 8, 0, deflated(whole), whole.size() - 1}}), "array 'a': ");
  bad(zip({{"a.npy", whole, 8, 0, deflated(whole), whole.size() + 1}}), "array 'a': ");
  bad(zip({{"a.npy", whole, 8, 0, deflated(whole), 4000000000}}), "cannot have 4000000000 bytes in ");
  // What follows is only found when the member ends: a wrong checksum.
  std::string wrong = zip({{"a.npy", whole}});
  wrong[wrong.find(two_floats)] ^= 1;
  bad(wrong, "array 'a': CRC error");
  // Other arrays do not matter to one that is asked for.
  write_file(path, zip({{"a.npy", whole}, {"b.npy", npy(header("<U3", "(2,)"))}}));
  CHECK(read_npz<float>(path, "a").shape() == Shape{2});
  check_bad([&] { read_npz<float>(path, "b"); }, {"array 'b': dtype '<U3' is not supported"});
}

TEST_CASE("npy, npz: a damaged file loads or throws, whatever is damaged") {
  const Folder folder;
  const std::string path = folder / "f";
  const auto damage = [&](const auto& read) {
    const std::string whole = content_of(path);
    std::size_t refused = 0;
    const auto try_to_read = [&](const std::string& content) {
      std::filesystem::remove(path);  // a file that is written over is flushed by some systems, which takes time
      write_file(path, content);
      try {
        read();
      } catch (const DataError&) {
        ++refused;
      }
    };
    for (std::size_t i = 0; i < whole.size(); ++i)
      for (int value = 0; value < 256; value += i < 70 ? 1 : 7) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(value);
        try_to_read(damaged);
      }
    CHECK(refused > 1000);
    refused = 0;
    for (std::size_t length = 0; length < whole.size(); ++length) try_to_read(whole.substr(0, length));
    CHECK(refused == whole.size());
  };
  write_npy(path, Tensor<float>({2, 1}, {1, 2}));
  damage([&] { read_npy<float>(path); });
  for (const bool compressed : {false, true}) {
    write_npz<float>(path, {{"a", Tensor<float>({2, 1}, {1, 2})}, {"b", Tensor<float>(3.0F)}},
                     {.compressed = compressed});
    damage([&] { read_npz<float>(path); });
  }
}

TEST_CASE("npy, npz: files that cannot be written") {
  const Folder folder;
  check_bad([&] { write_npy(folder / "none/f", Tensor<float>(1.0F)); },
            {"write_npy: " + (folder / "none/f") + ": cannot be written: No such file"});
  check_bad([&] { write_npy("/dev/full", Tensor<float>(1.0F)); }, {"is not a regular file"});
  check_bad([&] { write_npy(folder / "f", Tensor<float>()); }, {"the tensor is undefined"});
  const auto bad = [&](const std::string& name, const Tensor<float>& tensor, const std::string& part) {
    check_bad(
        [&] {
          write_npz<float>(folder / "f", {{name, tensor}});
        },
        {"write_npz: " + (folder / "f") + ": cannot be written: ", part});
  };
  bad("a", Tensor<float>(), "array 'a' is undefined");
  bad("\xff", Tensor<float>(1.0F), "array '?': Invalid argument");
  bad(std::string("a\0b", 3), Tensor<float>(1.0F), "holds a zero byte");
  bad(std::string(65532, 'x'), Tensor<float>(1.0F), "has 65532 bytes, the format allows 65531");
  CHECK(folder.files() == 0);
  const std::string longest(65531, 'x');
  write_npz<float>(folder / "f", {{longest, Tensor<float>(1.0F)}});
  CHECK(read_npz<float>(folder / "f").contains(longest));
}
