#include <xtape/data/batches.hpp>
#include <xtape/data/digits.hpp>
#include <xtape/data/readers.hpp>
#include <xtape/error.hpp>

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "files.hpp"

using namespace xtape;
using namespace xtape::data;
namespace fs = std::filesystem;

namespace {

std::string write_gz(const std::string& path, const std::string& content) {
  const gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  REQUIRE(gzwrite(file, content.data(), static_cast<unsigned>(content.size())) == static_cast<int>(content.size()));
  REQUIRE(gzclose(file) == Z_OK);
  return path;
}

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift & 0xffU);
  return bytes;
}

std::string idx_images(std::uint32_t count, std::uint32_t rows, std::uint32_t cols, const std::string& body) {
  return big_endian(0x803) + big_endian(count) + big_endian(rows) + big_endian(cols) + body;
}

std::string idx_labels(std::uint32_t count, const std::string& body) {
  return big_endian(0x801) + big_endian(count) + body;
}

std::string counting(std::size_t n) {
  std::string bytes(n, '\0');
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>(i * 7 % 256);
  return bytes;
}

/// A line of the course's text whose pixel `special` (from 1) is `text`.
std::string course_line(const std::string& label, const std::string& separator = ",", std::size_t special = 0,
                        const std::string& text = "") {
  std::string line;
  for (std::size_t i = 1; i <= 784; ++i) line += (i == special ? text : i % 2 == 0 ? "0.2500" : "0") + separator;
  return line + label + "\n";
}

bool same(const Dataset& a, const Dataset& b) {
  return a.pixels == b.pixels && a.labels == b.labels && a.rows == b.rows && a.cols == b.cols && a.classes == b.classes;
}

std::uint64_t fnv1a(const Dataset& set) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto add = [&](std::uint64_t byte) { hash = (hash ^ byte) * 0x100000001b3ULL; };
  for (const float pixel : set.pixels) add(static_cast<std::uint64_t>(std::lround(pixel * 255.0F)));
  for (const std::int32_t label : set.labels) add(static_cast<std::uint64_t>(label));
  return hash;
}

std::string real_data(const std::string& folder) {
  const char* const root = std::getenv("XTAPE_DATA");
  const std::string path = root == nullptr ? "" : (fs::path(root) / folder).string();
  if (root == nullptr || !fs::is_directory(path)) {
    MESSAGE("skipped: no folder " << folder << " in XTAPE_DATA");
    return {};
  }
  return path;
}

// Pictures of one pixel that say which they are.
Dataset numbered(std::size_t count) {
  Dataset set{.pixels = {}, .labels = {}, .rows = 1, .cols = 1, .classes = 1000};
  for (std::size_t i = 0; i < count; ++i) {
    set.pixels.push_back(static_cast<float>(i));
    set.labels.push_back(static_cast<std::int32_t>(i));
  }
  return set;
}

}  // namespace

TEST_CASE("data: image, subset, shuffled") {
  Dataset set{.pixels = {0, .1F, .2F, .3F, .4F, .5F}, .labels = {2, 0, 1}, .rows = 1, .cols = 2, .classes = 3};
  CHECK(set.size() == 3);
  CHECK(set.features() == 2);
  CHECK(set.image(1)[0] == .2F);
  CHECK(set.image(2).size() == 2);
  CHECK_THROWS_AS(set.image(3), ValueError);

  const std::array<std::size_t, 4> picked{2, 0, 2, 1};
  const Dataset some = subset(set, picked);
  CHECK(some.labels == std::vector<std::int32_t>{1, 2, 1, 0});
  CHECK(some.pixels == std::vector<float>{.4F, .5F, 0, .1F, .4F, .5F, .2F, .3F});
  CHECK(some.classes == 3);
  CHECK(subset(set, {}).size() == 0);
  const std::array<std::size_t, 1> beyond{3};
  CHECK_THROWS_WITH_AS(subset(set, beyond), "subset: index 3 among 3 pictures", ValueError);

  Rng rng(5), again(5);
  const Dataset all = digits(50, 1);
  const Dataset mixed = shuffled(all, rng);
  CHECK(same(mixed, shuffled(all, again)));
  CHECK(!same(mixed, all));
  auto a = all.labels, b = mixed.labels;
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  CHECK(a == b);
  for (std::size_t i = 0; i < 50; ++i) {  // labels stay with their pictures
    std::size_t j = 0;
    while (j < 50 && !std::ranges::equal(all.image(j), mixed.image(i))) ++j;
    REQUIRE(j < 50);
    CHECK(all.labels[j] == mixed.labels[i]);
  }

  for (const std::size_t count : {0U, 20U, 50U}) {
    const auto [first, rest] = split(all, count);
    CHECK(same(first, head(all, count)));
    CHECK(rest.size() == 50 - count);
    for (std::size_t i = count; i < 50; ++i) {
      CHECK(rest.labels[i - count] == all.labels[i]);
      CHECK(std::ranges::equal(rest.image(i - count), all.image(i)));
    }
  }
  CHECK_THROWS_WITH_AS(split(all, 51), "split: 51 of 50 pictures", ValueError);

  set.pixels.pop_back();
  CHECK_THROWS_AS(subset(set, picked), ValueError);
  CHECK_THROWS_AS(set.image(2), ValueError);
}

TEST_CASE("data: IDX files, plain and compressed") {
  const Folder folder;
  const std::string images = idx_images(3, 2, 4, counting(24)), labels = idx_labels(3, std::string("\x09\x00\x05", 3));
  write_file(folder / "i", images);
  write_file(folder / "l", labels);
  write_gz(folder / "i.gz", images);
  write_gz(folder / "l.gz", labels);
  const Dataset set = read_idx(folder / "i", folder / "l");
  CHECK(set.size() == 3);
  CHECK(set.rows == 2);
  CHECK(set.cols == 4);
  CHECK(set.classes == 10);
  CHECK(set.labels == std::vector<std::int32_t>{9, 0, 5});
  REQUIRE(set.pixels.size() == 24);
  for (std::size_t i = 0; i < 24; ++i) CHECK(set.pixels[i] == static_cast<float>(7 * i) / 255.0F);
  CHECK(same(set, read_idx(folder / "i.gz", folder / "l.gz")));
  CHECK(same(set, read_idx(folder / "i.gz", folder / "l")));

  // More than one chunk, and a class count of one's own.
  const std::size_t n = 300;
  write_gz(folder / "big.gz", idx_images(n, 20, 31, counting(n * 620)));
  write_gz(folder / "big_labels.gz", idx_labels(n, std::string(n, '\x2e')));
  const Dataset big = read_idx(folder / "big.gz", folder / "big_labels.gz", 47);
  CHECK(big.pixels.size() == n * 620);
  CHECK(big.pixels.back() == static_cast<float>((n * 620 - 1) * 7 % 256) / 255.0F);
  CHECK(big.labels.back() == 46);
  CHECK(big.classes == 47);
}

TEST_CASE("data: bad IDX files") {
  const Folder folder;
  const std::string good_images = write_file(folder / "images", idx_images(2, 2, 2, counting(8)));
  const std::string good_labels = write_file(folder / "labels", idx_labels(2, std::string("\1\2", 2)));
  const std::string bad = folder / "bad";
  const auto bad_images = [&](const std::string& content, std::vector<std::string> parts) {
    write_file(bad, content);
    parts.insert(parts.begin(), "read_idx: " + bad + ": ");
    check_bad([&] { read_idx(bad, good_labels); }, parts);
    write_gz(bad, content);
    check_bad([&] { read_idx(bad, good_labels); }, parts);
  };
  const auto bad_labels = [&](const std::string& content, std::vector<std::string> parts) {
    write_file(bad, content);
    parts.insert(parts.begin(), "read_idx: " + bad + ": ");
    check_bad([&] { read_idx(good_images, bad); }, parts);
    write_gz(bad, content);
    check_bad([&] { read_idx(good_images, bad); }, parts);
  };
  REQUIRE(read_idx(good_images, good_labels).size() == 2);

  check_bad([&] { read_idx(folder / "none", good_labels); }, {folder / "none", "cannot be opened: No such file"});
  check_bad([&] { read_idx(good_images, folder / "none"); }, {folder / "none", "cannot be opened: No such file"});
  check_bad([&] { read_idx(folder.string(), good_labels); }, {folder.string(), "is a folder"});

  bad_images("", {"empty file"});
  bad_labels("", {"empty file"});
  bad_images(idx_images(2, 2, 2, "").substr(0, 3), {"truncated at byte 3", "magic number"});
  bad_images(idx_images(2, 2, 2, "").substr(0, 13), {"truncated at byte 13", "columns"});
  bad_labels(idx_labels(2, "").substr(0, 6), {"truncated at byte 6", "count"});
  bad_images(idx_images(2, 2, 2, counting(7)), {"truncated at byte 23: 1 bytes are missing", "2 pictures of 2 x 2"});
  bad_labels(idx_labels(2, "\1"), {"truncated at byte 9: 1 bytes are missing", "2 labels"});
  bad_images(idx_images(2, 2, 2, counting(9)), {"trailing bytes from byte 24"});
  bad_labels(idx_labels(2, "\1\2\3"), {"trailing bytes from byte 10"});
  bad_images(idx_labels(2, "\1\2"), {"magic number 0x00000801 at byte 0, expected 0x00000803"});
  bad_labels(idx_images(2, 2, 2, counting(8)), {"magic number 0x00000803 at byte 0, expected 0x00000801"});
  bad_images("0.0,0.0,0.5\n", {"magic number 0x302e302c"});
  bad_labels(idx_labels(3, "\1\2\3"), {"3 labels (byte 4)", good_images, "2 pictures"});
  bad_labels(idx_labels(2, "\1\x0a"), {"label 10 at byte 9, expected one of 0..9"});
  check_bad([&] { read_idx(good_images, good_labels, 2); }, {good_labels, "label 2 at byte 9", "0..1"});
  bad_images(idx_images(0, 2, 2, ""), {"the header at byte 4 gives 0 pictures of 2 x 2"});
  bad_images(idx_images(2, 0, 2, ""), {"2 pictures of 0 x 2"});

  // Headers that promise far more than there is must neither overflow nor ask for the memory.
  const std::uint32_t most = 0xffffffffU;
  bad_images(idx_images(most, most, most, counting(8)), {"4294967295 pictures", "no file can hold"});
  bad_images(idx_images(2, most, 100, counting(8)), {"truncated at byte 24", "2 pictures of 4294967295 x 100"});
  write_file(folder / "many_images", idx_images(most, 2, 2, counting(8)));
  write_file(folder / "many_labels", idx_labels(most, "\1\2"));
  check_bad([&] { read_idx(folder / "many_images", folder / "many_labels"); }, {"truncated at byte 10"});

  // Compressed streams cut or damaged anywhere, the checksum at the end included.
  write_gz(folder / "whole.gz", idx_images(2, 28, 28, counting(1568)));
  const std::string whole = content_of(folder / "whole.gz");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_file(bad, whole.substr(0, length));
    CHECK_THROWS_AS(read_idx(bad, good_labels), DataError);
  }
  write_file(bad, whole.substr(0, whole.size() / 2));
  check_bad([&] { read_idx(bad, good_labels); }, {bad, "truncated gzip stream", "byte"});
  write_file(bad, whole.substr(0, whole.size() - 3));
  check_bad([&] { read_idx(bad, good_labels); }, {bad, "truncated gzip stream", "byte 1584"});
  std::string damaged = whole;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);
  write_file(bad, damaged);
  check_bad([&] { read_idx(bad, good_labels); }, {bad, "corrupt gzip stream"});
}

TEST_CASE("data: the course's text") {
  const Folder folder;
  const std::string text = course_line("3") + "\n" + course_line("0", " ") + "  \r\n" + course_line("9", " ,\t") +
                           course_line("5.0", ", ", 784, "1e-1");
  const Dataset set = read_course(write_file(folder / "t.txt", text));
  CHECK(set.size() == 4);
  CHECK(set.rows == 28);
  CHECK(set.cols == 28);
  CHECK(set.classes == 10);
  CHECK(set.labels == std::vector<std::int32_t>{3, 0, 9, 5});
  CHECK(set.image(0)[0] == 0.0F);
  for (std::size_t i = 0; i < 3; ++i) CHECK(set.image(i)[783] == 0.25F);
  CHECK(set.image(3)[783] == 0.1F);
  CHECK(same(set, read_course(write_gz(folder / "t.txt.gz", text))));
  std::string windows = course_line("7") + course_line("8");
  windows.insert(windows.find('\n'), "\r");
  windows.pop_back();  // no newline at the end
  CHECK(read_course(write_file(folder / "w.txt", windows)).labels == std::vector<std::int32_t>{7, 8});
}

TEST_CASE("data: bad text") {
  const Folder folder;
  const std::string bad = folder / "bad.txt";
  const auto bad_text = [&](const std::string& content, std::vector<std::string> parts) {
    parts.insert(parts.begin(), "read_course: " + bad + ": ");
    write_file(bad, content);
    check_bad([&] { read_course(bad); }, parts);
    write_gz(bad, content);
    check_bad([&] { read_course(bad); }, parts);
  };
  check_bad([&] { read_course(folder / "none"); }, {folder / "none", "cannot be opened: No such file"});
  check_bad([&] { read_course(folder.string()); }, {folder.string(), "is a folder"});
  bad_text("", {"empty file"});
  bad_text("\n \n", {"no digit in 2 blank lines"});
  const std::string good = course_line("3");
  bad_text(good + "0.1,0.2,3\n", {"line 2: 3 columns, expected 785"});
  bad_text(good + "\n" + good.substr(0, 700), {"line 3: ", "columns, expected 785"});
  bad_text(good + course_line("3,0"), {"line 2: 786 columns, expected 785"});
  bad_text(course_line("3,"), {"line 1: 786 columns, expected 785"});
  bad_text(good + good + course_line("10"), {"line 3, column 785: label 10 is not one of 0..9"});
  bad_text(course_line("-1"), {"line 1, column 785: label -1 "});
  bad_text(course_line("2.5"), {"line 1, column 785: label 2.5 "});
  bad_text(course_line("nan"), {"line 1, column 785: label nan "});
  bad_text(good + course_line("3", ",", 12, "1.001"), {"line 2, column 12: pixel 1.001 is outside [0, 1]"});
  bad_text(course_line("3", ",", 1, "-0.1"), {"line 1, column 1: pixel -0.1 "});
  bad_text(course_line("3", ",", 784, "nan"), {"line 1, column 784: pixel nan "});
  bad_text(course_line("3", ",", 784, "inf"), {"line 1, column 784: pixel inf "});
  bad_text(course_line("3", ",", 5, "abc"), {"line 1, column 5: 'abc' is not a number"});
  bad_text(course_line("3", ",", 5, "0.5x"), {"line 1, column 5: '0.5x' is not a number"});
  bad_text(course_line("3", ",", 5, ""), {"line 1, column 5: '' is not a number"});
  bad_text(course_line("3", ",", 5, "1e999"), {"line 1, column 5: '1e999' is beyond a double"});
  bad_text(course_line("3", ",", 5, "\x01\xff"), {"line 1, column 5: '?\?' is not a number"});
  bad_text(idx_images(2, 2, 2, counting(8)), {"line 1: 1 columns, expected 785"});
  bad_text(course_line("3", ",", 784, "0.5,0.5"), {"line 1: 786 columns, expected 785"});
  bad_text(good + std::string(3000000, ' '), {"line 2 is longer than"});

  write_gz(folder / "whole.gz", good + good);
  const std::string whole = content_of(folder / "whole.gz");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_file(bad, whole.substr(0, length));
    CHECK_THROWS_AS(read_course(bad), DataError);
  }
  write_file(bad, whole.substr(0, whole.size() - 2));
  check_bad([&] { read_course(bad); }, {bad, "truncated gzip stream"});
}

TEST_CASE("data: folders") {
  const Folder folder;
  check_bad([&] { load(folder / "none"); }, {"load: " + (folder / "none"), "no such folder"});
  check_bad([&] { load(folder.string()); }, {"load: " + folder.string(), "train-images-idx3-ubyte[.gz]",
                                             "t10k-labels-idx1-ubyte", "digitstrain.txt[.gz]"});

  write_gz(folder / "digitstrain.txt.gz", course_line("1") + course_line("2"));
  check_bad([&] { load(folder.string()); },
            {folder.string(), "course folder without digitsvalid.txt[.gz], digitstest.txt"});
  write_file(folder / "digitsvalid.txt", course_line("3"));
  write_file(folder / "digitstest.txt", course_line("4"));
  const Splits course = load(folder.string() + "/");
  CHECK(course.train.labels == std::vector<std::int32_t>{1, 2});
  CHECK(course.valid.labels == std::vector<std::int32_t>{3});
  CHECK(course.test.labels == std::vector<std::int32_t>{4});
  CHECK(course.name == folder.name());

  const std::string labels = std::string("\0\1\2\3\4\5\6\7\x08\x09\0\1\2", 13);
  write_file(folder / "train-images.idx3-ubyte", idx_images(13, 3, 2, counting(78)));
  write_gz(folder / "train-labels-idx1-ubyte.gz", idx_labels(13, labels));
  check_bad([&] { load(folder.string()); },
            {folder.string(), "MNIST folder without t10k-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz]"});
  write_file(folder / "t10k-images-idx3-ubyte", idx_images(2, 3, 2, counting(12)));
  write_file(folder / "t10k-labels.idx1-ubyte", idx_labels(2, "\7\6"));
  const Splits mnist = load(folder.string());
  CHECK(mnist.train.size() == 11);
  CHECK(mnist.train.pixels.size() == 66);
  CHECK(mnist.valid.labels == std::vector<std::int32_t>{1, 2});
  CHECK(mnist.valid.image(0)[0] == static_cast<float>(66 * 7 % 256) / 255.0F);
  CHECK(mnist.valid.rows == 3);
  CHECK(mnist.valid.classes == 10);
  CHECK(mnist.test.labels == std::vector<std::int32_t>{7, 6});
  write_file(folder / "t10k-images-idx3-ubyte", idx_images(2, 2, 3, counting(12)));
  check_bad([&] { load(folder.string()); }, {"t10k-images-idx3-ubyte: 2 x 3 pictures", "3 x 2"});
}

TEST_CASE("data: built-in digits") {
  const Dataset set = digits(200, 7);
  CHECK(set.size() == 200);
  CHECK(set.rows == 28);
  CHECK(set.cols == 28);
  CHECK(set.classes == 10);
  REQUIRE(set.pixels.size() == 200 * 784);
  // The same on every machine and for ever: trained figures depend on it.
  CHECK(fnv1a(set) == 7928441415821872622ULL);
  CHECK(fnv1a(builtin_digits(7, 10, 100, 10).valid) == 14769815769956717128ULL);

  for (const float pixel : set.pixels) {
    REQUIRE(pixel >= 0.0F);
    REQUIRE(pixel <= 1.0F);
    REQUIRE(pixel == std::round(pixel * 255.0F) / 255.0F);
  }
  std::array<int, 10> count{};
  for (std::size_t i = 0; i < set.size(); ++i) {
    ++count.at(static_cast<std::size_t>(set.labels[i]));
    const auto image = set.image(i);
    CHECK(*std::max_element(image.begin(), image.end()) > 0.6F);
    float ink = 0.0F;
    for (const float pixel : image) ink += pixel;
    CHECK(ink > 15.0F);
    CHECK(ink < 784.0F / 2.0F);
    for (std::size_t k = 0; k < 28; ++k) {  // nothing is cut off at the border
      CHECK(image[k] == 0.0F);
      CHECK(image[27 * 28 + k] == 0.0F);
      CHECK(image[28 * k] == 0.0F);
      CHECK(image[28 * k + 27] == 0.0F);
    }
  }
  for (const int c : count) CHECK(c == 20);
  CHECK(!std::equal(set.labels.begin(), set.labels.begin() + 10, set.labels.begin() + 10));

  for (const std::size_t n : {0U, 1U, 13U, 200U}) {
    const Dataset beginning = digits(n, 7);
    CHECK(beginning.size() == n);
    CHECK(std::equal(beginning.pixels.begin(), beginning.pixels.end(), set.pixels.begin()));
    CHECK(std::equal(beginning.labels.begin(), beginning.labels.end(), set.labels.begin()));
  }
  CHECK(!same(set, digits(200, 8)));

  const Splits splits = builtin_digits(7, 50, 40, 30);
  CHECK(splits.name == "built-in digits");
  CHECK(same(splits.train, digits(50, 7)));
  CHECK(splits.valid.size() == 40);
  CHECK(splits.test.size() == 30);
  CHECK(!std::equal(splits.test.pixels.begin(), splits.test.pixels.end(), splits.valid.pixels.begin()));
  CHECK(!std::equal(splits.test.pixels.begin(), splits.test.pixels.end(), splits.train.pixels.begin()));
  const Splits standard = builtin_digits(1);
  CHECK(standard.train.size() == 6000);
  CHECK(standard.valid.size() == 1000);
  CHECK(standard.test.size() == 2000);
}

TEST_CASE("data: the real MNIST") {
  const std::string path = real_data("mnist");
  if (path.empty()) return;
  const Splits mnist = load(path);
  CHECK(mnist.name == "mnist");
  CHECK(mnist.train.size() == 50000);
  CHECK(mnist.valid.size() == 10000);
  CHECK(mnist.test.size() == 10000);
  CHECK(mnist.train.features() == 784);
  CHECK(std::vector(mnist.train.labels.begin(), mnist.train.labels.begin() + 8) ==
        std::vector<std::int32_t>{5, 0, 4, 1, 9, 2, 1, 3});
  CHECK(mnist.test.labels[0] == 7);
  double sum = 0.0;
  for (const float pixel : mnist.test.pixels) sum += pixel;
  CHECK(sum / static_cast<double>(mnist.test.pixels.size()) == doctest::Approx(0.1325).epsilon(0.001));
}

TEST_CASE("data: the real course files") {
  const std::string path = real_data("course");
  if (path.empty()) return;
  const Splits course = load(path);
  CHECK(course.name == "course");
  CHECK(course.train.size() == 3000);
  CHECK(course.valid.size() == 1000);
  CHECK(course.test.size() == 3000);
  for (const Dataset* set : {&course.train, &course.valid, &course.test}) {
    CHECK(set->pixels.size() == set->size() * 784);
    CHECK(set->labels.back() == 9);
    std::array<std::size_t, 10> count{};
    for (const auto label : set->labels) ++count.at(static_cast<std::size_t>(label));
    for (const auto c : count) CHECK(c == set->size() / 10);
  }
}

TEST_CASE("batch stream: the batches of a loop over epochs; its state goes on in the middle of one") {
  for (const std::size_t count : {1U, 7U, 8U, 9U})
    for (const std::size_t size : {1U, 4U, 8U, 100U}) {
      const Dataset set = numbered(count);
      Rng loop_rng(5), rng(5);
      std::vector<std::vector<std::int32_t>> expected;
      std::vector<double> draws;  // a model draws from the generator, too
      for (int epoch = 0; epoch < 3; ++epoch)
        for (const auto& [x, label] : batches(set, size, loop_rng)) {
          std::vector<std::int32_t> batch;
          for (std::size_t i = 0; i < label.size(); ++i) batch.push_back(static_cast<std::int32_t>(label[i]));
          expected.push_back(batch);
          draws.push_back(loop_rng.uniform());
        }
      const std::size_t per_epoch = (count + size - 1) / size;
      REQUIRE(expected.size() == 3 * per_epoch);
      BatchStream stream(set, size, rng);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(stream.steps() == i);
        CHECK(stream.epochs() == i / per_epoch);
        CHECK(stream.between_epochs() == (i % per_epoch == 0));
        // Another stream takes over from here.
        Rng other_rng = Rng::from_state(rng.state());
        BatchStream other(set, size, other_rng);
        other.set_state(stream.state());
        CHECK(other.state() == stream.state());
        for (std::size_t j = i; j < expected.size(); ++j) {
          const auto [x, label] = other.next();
          REQUIRE(label.size() == expected[j].size());
          for (std::size_t k = 0; k < label.size(); ++k) {
            CHECK(label[k] == expected[j][k]);
            CHECK(x.data()[k] == static_cast<float>(expected[j][k]));
          }
          CHECK(other_rng.uniform() == draws[j]);
        }
        stream.next();
        rng.uniform();
      }
      CHECK_THROWS_AS(stream.set_state({0, per_epoch, {}}), ValueError);
    }
  Rng rng;
  const Dataset none;
  CHECK_THROWS_AS(BatchStream(none, 1, rng), ValueError);
  CHECK_THROWS_AS(BatchStream(numbered(3), 0, rng), ValueError);
}
