// NumPy reads what the library writes, and the other way round. numpy_files.py is NumPy's side.

#include <xtape/data/npy.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <sstream>

#include "files.hpp"
#include "paths.hpp"

using namespace xtape;
using namespace xtape::data;

namespace {

// The Python with NumPy, if there is one: what is first on the PATH need not be the system's.
std::optional<std::string> numpy(const std::string& arguments) {
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    const auto run = [&](const std::string& with) {
      return std::system(fmt::format("{} '{}/tests/numpy_files.py' {}", python, XTAPE_SOURCE_DIR, with).c_str());
    };
    if (run("probe 2>/dev/null") != 0) continue;
    const Folder folder;
    CHECK(run(fmt::format("{} >'{}'", arguments, folder / "out")) == 0);
    return content_of(folder / "out");
  }
  MESSAGE("skipped: no python3 with NumPy");
  return std::nullopt;
}

struct Expected {
  Shape shape;
  std::vector<long double> values;  // which holds all that float64 and 64-bit integers do
};

Expected read_expected(const std::string& path) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  Expected expected;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  std::istringstream extents(line);
  for (std::size_t extent; extents >> extent;) expected.shape.push_back(extent);
  while (std::getline(file, line)) expected.values.push_back(std::strtold(line.c_str(), nullptr));
  return expected;
}

template <class V> bool same_number(V a, V b) {
  if constexpr (std::is_floating_point_v<V>)
    return (a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b));
  else
    return a == b;
}

template <class V, class A> void check_array(const A& array, const Expected& expected, const std::string& name) {
  INFO(name);
  REQUIRE(array.shape() == expected.shape);
  REQUIRE(array.size() == expected.values.size());
  for (std::size_t i = 0; i < array.size(); ++i) {
    V value;
    if constexpr (std::is_same_v<A, Integers>)
      value = array[i];
    else
      value = array.data()[i];
    if (!same_number(value, static_cast<V>(expected.values[i]))) FAIL_CHECK(i, ": ", value, " ", expected.values[i]);
  }
}

template <class V> void write_expected(const std::string& path, const Shape& shape, const std::vector<V>& values) {
  std::string text = fmt::format("{}\n", fmt::join(shape.begin(), shape.end(), " "));
  for (const V value : values)
    if constexpr (std::is_integral_v<V>)
      text += fmt::format("{}\n", value);
    else
      text += std::isnan(value)   ? "nan\n"
              : std::isinf(value) ? (value < 0 ? "-inf\n" : "inf\n")
                                  : fmt::format("{:a}\n", static_cast<double>(value));
  write_file(path, text);
}

const Shape shapes[] = {{}, {1}, {0}, {7}, {3, 4}, {2, 0, 3}, {2, 3, 4, 5}, {1, 2, 1, 3, 1, 1, 2, 1}, {70, 200}};

template <class V> std::vector<V> some_values(std::size_t count) {
  std::vector<V> values(count);
  using Limits = std::numeric_limits<V>;
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<V>(static_cast<V>(i) - V(3)) / V(7);
  std::vector<V> special{Limits::max(), Limits::lowest()};
  if constexpr (std::is_floating_point_v<V>)
    special.insert(special.end(),
                   {-V(0), Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), Limits::denorm_min()});
  for (std::size_t i = 0; i < std::min(count, special.size()); ++i) values[i] = special[i];
  return values;
}

}  // namespace

TEST_CASE("npy: what NumPy writes") {
  const Folder folder;
  if (!numpy("write '" + folder.string() + "'")) return;
  std::istringstream names(content_of(folder / "names.txt"));
  const auto stored = read_npz<double>(folder / "stored.npz", {.rounding = true});
  const auto deflated = read_npz<float>(folder / "deflated.npz", {.rounding = true});
  std::size_t count = 0, integers = 0;
  for (std::string name; std::getline(names, name); ++count) {
    const auto expected = read_expected(folder / (name + ".txt"));
    const std::string path = folder / (name + ".npy");
    check_array<double>(read_npy<double>(path), expected, name);
    check_array<double>(stored.at(name), expected, name);
    check_array<double>(read_npz<double>(folder / "deflated.npz", name), expected, name);
    check_array<float>(deflated.at(name), expected, name);
    if (name.substr(1, 2) == "f8")
      check_bad([&] { read_npy<float>(path); }, {path, "is float64", "read it as double"});
    else
      check_array<float>(read_npy<float>(path), expected, name);
    if (name[1] == 'f')
      check_bad([&] { read_npy_integers(path); }, {path, "expected integers or bool"});
    else if (name.substr(1, 2) != "u8") {
      check_array<std::int64_t>(read_npy_integers(path), expected, name);
      check_array<std::int64_t>(read_npz_integers(folder / "stored.npz", name), expected, name);
      ++integers;
    }
  }
  CHECK(count == 336);
  CHECK(integers == 208);
  CHECK(stored.size() == count);
  CHECK(deflated.size() == count);
}

TEST_CASE("npy: what NumPy reads") {
  const Folder folder;
  std::size_t written = 0;
  std::string members;
  const auto write = [&]<class T>(T, const char* kind) {
    std::map<std::string, Tensor<T>> arrays;
    // Names as archives may have them.
    const std::vector<std::string> names{"a",     "layer.0.weight", "a/b",      "with blanks ", "\xc3\xa4\xe2\x82\xac",
                                         "x.npy", "file",           "%00'\"{}", "arr_0"};
    for (std::size_t i = 0; i < std::size(shapes); ++i) {
      const auto values = some_values<T>(shapes[i].elements());
      const Tensor<T> tensor(shapes[i], std::span<const T>(values));
      const std::string stem = fmt::format("{}{}", kind, i);
      write_npy(folder / (stem + ".npy"), tensor);
      write_expected(folder / (stem + ".txt"), shapes[i], values);
      arrays.emplace(names[i], tensor);
      members += stem + "\t" + names[i] + "\n";
    }
    write_npz(folder / (std::string(kind) + "_stored.npz"), arrays);
    write_npz(folder / (std::string(kind) + "_deflated.npz"), arrays, {.compressed = true});
    written += 3 * arrays.size();
  };
  write(float(), "f");
  write(double(), "d");
  for (std::size_t i = 0; i < std::size(shapes); ++i, ++written) {
    const auto values = some_values<std::int64_t>(shapes[i].elements());
    write_npy(folder / fmt::format("i{}.npy", i), Integers(shapes[i], [&](std::size_t j) { return values[j]; }));
    write_expected(folder / fmt::format("i{}.txt", i), shapes[i], values);
  }
  write_file(folder / "members.txt", members);
  CHECK(written == 63);
  if (const auto checked = numpy("check '" + folder.string() + "'")) CHECK(*checked == std::to_string(written) + "\n");
}
