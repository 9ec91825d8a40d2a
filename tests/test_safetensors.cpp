#include <xtape/data/safetensors.hpp>
#include <xtape/error.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <vector>

#include "files.hpp"
#include "full_disk.hpp"

using namespace xtape;
using namespace xtape::data;
namespace fs = std::filesystem;

namespace {

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> 8 * i & 0xffU);
  return bytes;
}

std::string with_header(const std::string& header, const std::string& elements = "") {
  return little_endian(header.size()) + header + elements;
}

// A header with one tensor.
std::string tensor_header(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

template <class T> bool same(const Tensor<T>& a, const Tensor<T>& b) {  // to the bit
  return a.shape() == b.shape() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T> TensorFile<T> example() {
  using Limits = std::numeric_limits<T>;
  TensorFile<T> file;
  file.tensors["layer.0.weight"] = Tensor<T>({2, 3}, {1, T(-0.0), T(0.1), Limits::max(), Limits::denorm_min(), -7});
  file.tensors["special"] = Tensor<T>({3}, {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()});
  file.tensors["scalar"] = Tensor<T>(T(2.5));
  file.tensors["empty"] = zeros<T>({4, 0, 2});
  file.tensors[""] = Tensor<T>({1, 1, 1, 1, 1, 1, 1, 1}, {3});
  file.tensors["a \"quoted\"\\\n\t\x01 name, \xc3\xa4"] = Tensor<T>({1}, {4});
  file.tensors[std::string("zero\0byte", 9)] = Tensor<T>({1}, {5});
  Tensor<T> large = zeros<T>({300, 101});  // several chunks
  for (std::size_t i = 0; i < large.size(); ++i) large.modify()[i] = T(i) / 7;
  file.tensors["large"] = large;
  file.metadata = {{"format", "xtape"}, {"", ""}, {"note", "line\nline \"\\ \xe2\x82\xac"}};
  return file;
}

template <class T> void check_same(const TensorFile<T>& a, const TensorFile<T>& b) {
  CHECK(a.metadata == b.metadata);
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (auto i = a.tensors.begin(), j = b.tensors.begin(); i != a.tensors.end(); ++i, ++j) {
    CHECK(i->first == j->first);
    CHECK_MESSAGE(same(i->second, j->second), i->first);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("safetensors: files come back to the bit", T, float, double) {
  const Folder folder;
  const std::string path = folder / "a.safetensors";
  const auto file = example<T>();
  write_safetensors(path, file);
  const auto back = read_safetensors<T>(path);
  check_same(file, back);
  CHECK(!back.tensors.at("large").requires_grad());

  write_safetensors(path, TensorFile<T>{});  // replaces the one before
  CHECK(content_of(path) == with_header("{}      "));
  check_same(read_safetensors<T>(path), TensorFile<T>{});
  CHECK(folder.files() == 1);
}

TEST_CASE("safetensors: F32 reads as double exactly, F64 does not read as float") {
  const Folder folder;
  auto file = example<float>();
  write_safetensors(folder / "f", file);
  const auto wide = read_safetensors<double>(folder / "f");
  REQUIRE(wide.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    const auto& read = wide.tensors.at(name);
    REQUIRE(read.shape() == tensor.shape());
    for (std::size_t i = 0; i < tensor.size(); ++i) {
      const double value = tensor.data()[i];
      CHECK((read.data()[i] == value || (std::isnan(value) && std::isnan(read.data()[i]))));
    }
  }
  TensorFile<double> doubles;
  doubles.tensors["w"] = Tensor<double>(0.1);
  write_safetensors(folder / "d", doubles);
  check_bad([&] { read_safetensors<float>(folder / "d"); },
            {"read_safetensors: " + (folder / "d"), "tensor 'w' is F64", "read it as double"});
}

TEST_CASE("safetensors: the bytes") {
  const Folder folder;
  TensorFile<float> file;
  file.tensors["b"] = Tensor<float>({2}, {1.0F, -2.0F});
  file.tensors["a"] = Tensor<float>(0.5F);
  file.metadata["k"] = "v";
  write_safetensors(folder / "f", file);
  std::string header = R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
  REQUIRE(header.size() == 132);
  header += std::string(4, ' ');
  CHECK(content_of(folder / "f") ==
        with_header(header, std::string("\x00\x00\x00\x3f\x00\x00\x80\x3f\x00\x00\x00\xc0", 12)));

  TensorFile<double> wide;
  wide.tensors["w"] = Tensor<double>({1, 1}, {-2.0});
  write_safetensors(folder / "d", wide);
  CHECK(content_of(folder / "d") ==
        with_header(tensor_header("F64", "[1,1]", "[0,8]"), std::string("\x00\x00\x00\x00\x00\x00\x00\xc0", 8)));
}

TEST_CASE("safetensors: what other writers do") {
  const Folder folder;
  // Fields, tensors and offsets in another order, blanks, escapes; a mixture of types.
  const std::string header = R"({ "b" : {"data_offsets":[8,12], "shape":[1],"dtype":"F32"},
    "\u00e4":{"shape":[0,5],"dtype":"F32","data_offsets":[8,8]},
    "a":{"shape":[1],"dtype":"F64","data_offsets":[0,8]}, "__metadata__":{}})";
  const std::string elements("\x00\x00\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x3f", 12);
  const auto file = read_safetensors<double>(write_file(folder / "f", with_header(header, elements)));
  REQUIRE(file.tensors.size() == 3);
  CHECK(file.tensors.at("a").data()[0] == -2.0);
  CHECK(file.tensors.at("b").data()[0] == 0.5);
  CHECK(file.tensors.at("\xc3\xa4").shape() == Shape{0, 5});
  CHECK(file.metadata.empty());
}

TEST_CASE("safetensors: bad files") {
  const Folder folder;
  const std::string path = folder / "bad";
  const auto bad = [&](const std::string& content, std::vector<std::string> parts) {
    write_file(path, content);
    parts.insert(parts.begin(), "read_safetensors: " + path + ": ");
    check_bad([&] { read_safetensors<float>(path); }, parts);
    check_bad([&] { read_safetensors<double>(path); }, parts);
  };
  const auto bad_tensor = [&](const std::string& dtype, const std::string& shape, const std::string& offsets,
                              const std::string& part) {
    bad(with_header(tensor_header(dtype, shape, offsets), std::string(16, '\0')), {"tensor 'w' ", part});
  };
  const auto load = [](const std::string& from) { return [from] { read_safetensors<float>(from); }; };

  check_bad(load(folder / "none"), {folder / "none", "cannot be opened: No such file"});
  check_bad(load(folder.string()), {folder.string(), "is a folder"});
  check_bad(load("/dev/null"), {"/dev/null", "is not a regular file"});
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  check_bad(load(folder / "pipe"), {"is not a regular file"});  // and does not wait for a writer

  bad("", {"empty file"});
  bad("1234567", {"truncated at byte 7: the header's length takes 8 bytes"});
  bad(little_endian(3) + "{}", {"truncated at byte 10: the header at byte 8 has 3 bytes"});
  bad(little_endian(100000001) + "{}", {"header of 100000001 bytes (byte 0)"});
  bad(little_endian(~std::uint64_t{0}) + "{}", {"header of 18446744073709551615 bytes (byte 0)"});
  bad(with_header(""), {"no '{' at byte 8"});
  bad(with_header("[]"), {"no '{' at byte 8"});
  bad(with_header(" {}"), {"no '{' at byte 8"});
  bad(with_header("\xef\xbb\xbf{}"), {"no '{' at byte 8"});
  bad(with_header("{} x"), {"not valid JSON at byte 11"});
  bad(with_header(std::string("{}\0x", 4)), {"not valid JSON at byte 10"});
  bad(with_header("{"), {"not valid JSON at byte 9"});
  bad(with_header("{\"\xff\":1}"), {"not valid JSON at byte 10"});
  bad(with_header("{\"\\ud800\":1}"), {"not valid JSON"});
  bad(with_header("{}", "x"), {"trailing bytes from byte 10"});

  bad(with_header(R"({"w":1})"), {"'w' is a number, expected an object"});
  bad(with_header(R"({"w":null})"), {"'w' is null"});
  bad(with_header(R"({"w":[]})"), {"'w' is a list"});
  bad(with_header(R"({"w":{}})"), {"tensor 'w' has no dtype"});
  bad(with_header(R"({"w":{"dtype":"F32"}})"), {"tensor 'w' has no shape"});
  bad(with_header(R"({"w":{"dtype":"F32","shape":[]}})"), {"tensor 'w' has no data_offsets"});
  bad(with_header(R"({"w":{"strides":[]}})"), {"tensor 'w' has a field 'strides'"});
  bad(with_header(R"({"w":{"dtype":"F32","dtype":"F32"}})"), {"tensor 'w' has dtype twice"});
  bad(with_header(R"({"w":{"shape":[],"shape":[]}})"), {"tensor 'w' has shape twice"});
  bad(with_header(R"({"w":{"dtype":{"a":1}}})"), {"tensor 'w' has an object as dtype, expected a text"});
  bad(with_header(R"({"__metadata__":"x"})"), {"'__metadata__' is a text"});
  bad(with_header(R"({"__metadata__":{"a":1}})"), {"metadata 'a' is a number, expected a text"});
  bad(with_header(R"({"__metadata__":{"a":{}}})"), {"metadata 'a' is an object"});
  bad(with_header(R"({"__metadata__":{"a":"1","a":"2"}})"), {"metadata 'a' comes twice"});
  bad(with_header(R"({"__metadata__":{},"__metadata__":{}})"), {"'__metadata__' comes twice"});
  const std::string one = R"("w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  bad(with_header("{" + one + "," + one + "}", std::string(4, '\0')), {"'w' comes twice"});
  bad(with_header(R"({")" + std::string(10000, 'x') + R"(\n":1})"), {"xxx...' is a number"});

  for (const char* dtype : {"F8_E4M3", "C64", "f32"})
    bad_tensor(dtype, "[1]", "[0,16]", std::string("is '") + dtype + "', which is not supported");
  bad_tensor("", "[1]", "[0,16]", "has an empty dtype");
  for (const char* dtype : {"BF16", "F16", "I64", "BOOL"})  // known, and so is what they take
    bad_tensor(dtype, "[3]", "[0,16]", std::string("but shape (3,) of ") + dtype + " takes ");
  bad_tensor("F32", "[-4]", "[0,16]", "has the number -4 as shape");
  bad_tensor("F32", "[4.0]", "[0,16]", "has the number 4 as shape");
  bad_tensor("F32", "[1e30]", "[0,16]", "has the number 1e+30 as shape");
  bad_tensor("F32", "[\"4\"]", "[0,16]", "has a text as shape");
  bad_tensor("F32", "[[4]]", "[0,16]", "has a list as shape");
  bad_tensor("F32", "4", "[0,16]", "has a number as shape");
  bad_tensor("F32", "[true]", "[0,16]", "has true as shape");
  bad_tensor("F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]", "more than 8 axes");
  bad_tensor("F32", "[18446744073709551615]", "[0,16]", "no file can hold");
  bad_tensor("F32", "[4294967296,4294967296]", "[0,16]", "no file can hold");  // 2^64 is 0 in 64 bits
  bad_tensor("F32", "[4611686018427387904,1]", "[0,16]", "no file can hold");
  bad_tensor("F32", "[0,4294967296,4294967296]", "[0,0]", "no file can hold");
  bad_tensor("F32", "[1000000000000]", "[0,16]", "takes 4000000000000 bytes");
  bad_tensor("F32", "[3]", "[0,16]", "shape (3,) of F32 takes 12 bytes");
  bad_tensor("F32", "[4]", "[0]", "has 1 data_offsets");
  bad_tensor("F32", "[4]", "[]", "has 0 data_offsets");
  bad_tensor("F32", "[4]", "[0,16,16]", "more than 2 data_offsets");
  bad_tensor("F32", "[4]", "[-16,0]", "has the number -16 as data_offsets");
  bad_tensor("F32", "[4]", "[16,0]", "end before they begin");
  bad_tensor("F32", "[4]", "[4,20]", "16 bytes follow the header");
  bad_tensor("F32", "[0]", "[18446744073709551615,18446744073709551615]", "16 bytes follow the header");
  bad_tensor("F32", "[3]", "[4,16]", "expected them to begin at 0: there is a hole");
  bad(with_header(tensor_header("F32", "[3]", "[0,12]"), std::string(16, '\0')),
      {"trailing bytes from byte " + std::to_string(8 + tensor_header("F32", "[3]", "[0,12]").size() + 12)});

  const auto two = [&](const std::string& offsets, const std::string& part) {
    bad(with_header(R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],)"
                    R"("data_offsets":)" +
                        offsets + "}}",
                    std::string(20, '\0')),
        {"tensor 'w' ", part});
  };
  two("[4,12]", "begin at 8: there is an overlap");
  two("[0,8]", "an overlap");
  two("[12,20]", "a hole");

  // Nesting a stack could not hold.
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 1000000; ++i) deep += open;
    bad(with_header("{\"w\":" + deep), {"'w' "});
    bad(with_header("{\"w\":{\"shape\":" + deep), {"'w' "});
    bad(with_header("{\"__metadata__\":" + deep), {"'"});
  }
}

TEST_CASE("safetensors: a damaged file loads or throws, whatever is damaged") {
  const Folder folder;
  TensorFile<float> file;
  file.tensors["a"] = Tensor<float>({2, 1}, {1, 2});
  file.tensors["b"] = Tensor<float>(3.0F);
  file.metadata["k"] = "v";
  const std::string path = folder / "f";
  write_safetensors(path, file);
  const std::string whole = content_of(path);

  std::size_t refused = 0;
  const auto try_to_read = [&](const std::string& content) {
    fs::remove(path);  // some file systems flush what replaces a file
    write_file(path, content);
    try {
      read_safetensors<float>(path);
    } catch (const DataError&) {
      ++refused;
    }
  };
  for (std::size_t i = 0; i < whole.size(); ++i)
    for (int value = 0; value < 256; value += i < 8 ? 1 : 3) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(value);
      try_to_read(damaged);
    }
  CHECK(refused > 1000);
  refused = 0;
  for (std::size_t length = 0; length < whole.size(); ++length) try_to_read(whole.substr(0, length));
  CHECK(refused == whole.size());
}

TEST_CASE("safetensors: files that cannot be written") {
  const Folder folder;
  const auto file = example<double>();
  const auto bad = [&](const std::string& path, const TensorFile<double>& content, const std::string& part) {
    check_bad([&] { write_safetensors(path, content); },
              {"write_safetensors: " + path + ": cannot be written: ", part});
  };
  bad(folder / "none/f", file, "No such file");
  bad(folder.string(), file, "is a directory");
  bad("/dev/full", file, "is not a regular file");
  CHECK(fs::is_character_file("/dev/full"));

  // What was there before stays.
  write_file(folder / "f", "before");
  for (const rlim_t size : {0U, 100U, 20000U}) {
    const FullDisk full(size);
    bad(folder / "f", file, "File too large");
  }
  TensorFile<double> wrong;
  wrong.tensors["w"] = Tensor<double>();
  bad(folder / "f", wrong, "tensor 'w' is undefined");
  wrong.tensors = {{"__metadata__", Tensor<double>(1.0)}};
  bad(folder / "f", wrong, "a tensor cannot be called '__metadata__'");
  wrong.tensors = {{"\xff", Tensor<double>(1.0)}};
  bad(folder / "f", wrong, "'?' is not UTF-8");
  wrong.tensors.clear();
  wrong.metadata["k"] = "\xc3";
  bad(folder / "f", wrong, "'?' is not UTF-8");
  wrong.metadata["k"] = std::string(100'000'000, 'x');
  bad(folder / "f", wrong, "the format allows 100000000");
  CHECK(content_of(folder / "f") == "before");
  CHECK(folder.files() == 1);
}

TEST_CASE("safetensors: written through a symbolic link, the link stays and the file that it leads to is replaced") {
  const Folder folder;
  const TensorFile<double> file{{{"w", ones<double>({2})}}, {}};
  fs::create_directory(folder / "runs");
  write_file(folder / "runs/1", "old");
  fs::create_symlink("runs/1", folder / "latest");  // relative to the link's folder
  fs::create_symlink(folder / "latest", folder / "best");
  fs::create_symlink("runs/2", folder / "next");  // of a file that is not there yet
  fs::create_symlink("loop", folder / "loop");
  for (const auto& [link, target] : {std::pair{"best", "runs/1"}, {"next", "runs/2"}}) {
    write_safetensors(folder / link, file);
    CHECK(fs::is_symlink(folder / link));
    CHECK(same(read_safetensors<double>(folder / target).tensors.at("w"), ones<double>({2})));
  }
  CHECK(fs::is_symlink(folder / "latest"));
  CHECK_THROWS_AS(write_safetensors(folder / "loop", file), DataError);
  CHECK_THROWS_WITH_AS(write_safetensors("", file), "write_safetensors: : cannot be written: the path is empty",
                       DataError);
  CHECK(folder.files() == 5);
}

TEST_CASE("safetensors: half precision as numbers, whole numbers as integers, and what is not asked for is skipped") {
  const Folder folder;
  // 1, -2 and 65504 of F16; 1, -2 and 3.140625 of BF16; integers; a type that is not known, in between.
  const std::string header =
      R"({"half":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"brain":{"dtype":"BF16","shape":[3],"data_offsets":[6,12]},)"
      R"("odd":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[12,16]},"steps":{"dtype":"I64","shape":[],"data_offsets":[16,24]},)"
      R"("bytes":{"dtype":"U8","shape":[2],"data_offsets":[24,26]},"signed":{"dtype":"I16","shape":[1],"data_offsets":[26,28]},)"
      R"("mask":{"dtype":"BOOL","shape":[2],"data_offsets":[28,30]},"huge":{"dtype":"U64","shape":[1],"data_offsets":[30,38]},)"
      R"("w":{"dtype":"F32","shape":[1],"data_offsets":[38,42]}})";
  const std::string elements(
      "\x00\x3c\x00\xc0\xff\x7b\x80\x3f\x00\xc0\x49\x40zzzz\xfb\xff\xff\xff\xff\xff\xff\xff"
      "\x07\xff\xfe\xff\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x3f",
      42);
  const std::string path = write_file(folder / "f", with_header(header, elements));
  CHECK(same(read_safetensors<float>(path, "half"), Tensor<float>({3}, {1, -2, 65504})));
  CHECK(same(read_safetensors<double>(path, "brain"), Tensor<double>({3}, {1, -2, 3.140625})));
  CHECK(same(read_safetensors<float>(path, "w"), Tensor<float>({1}, {0.5})));
  const Integers steps = read_safetensors_integers(path, "steps"), mask = read_safetensors_integers(path, "mask");
  CHECK(steps.shape() == Shape{});
  CHECK(steps[0] == -5);
  CHECK(read_safetensors_integers(path, "bytes")[1] == 255);
  CHECK(read_safetensors_integers(path, "signed")[0] == -2);
  CHECK((mask[0] == 0 && mask[1] == 1));
  check_bad([&] { read_safetensors_integers(path, "huge"); }, {"'huge'", "18446744073709551615, which int64 does not"});
  check_bad([&] { read_safetensors_integers(path, "w"); }, {"read_safetensors_integers: ", "'w' is F32"});
  check_bad([&] { read_safetensors<float>(path, "steps"); }, {"'steps' is I64", "read_safetensors_integers reads it"});
  check_bad([&] { read_safetensors<float>(path, "odd"); }, {"'odd' is 'F8_E4M3', which is not supported"});
  check_bad([&] { read_safetensors<float>(path, "none"); }, {path + ": there is no tensor 'none' in it"});

  TensorFile<float> file{.tensors = {{"w", ones<float>({2})}}};
  file.integers.emplace("steps", Integers{7, -8});
  write_safetensors(folder / "both", file);
  const auto back = read_safetensors<float>(folder / "both");
  CHECK(same(back.tensors.at("w"), file.tensors.at("w")));
  CHECK((back.integers.at("steps")[0] == 7 && back.integers.at("steps")[1] == -8));
  file.integers.emplace("w", Integers{1});
  check_bad([&] { write_safetensors(folder / "both", file); }, {"tensor 'w' is among the integers, too"});
}
