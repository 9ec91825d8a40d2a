#include <xtape/data/npy.hpp>
#include <xtape/data/readers.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/data/training_state.hpp>
#include <xtape/viz/png.hpp>

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "targets.hpp"

namespace xtape::fuzz {

void wrong(const std::string& what) { throw std::logic_error(what); }

namespace {

std::string write(const std::string& folder, const char* name, Bytes bytes) {
  const std::string path = folder + "/" + name;
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return path;
}

void check(const data::Dataset& set) {
  if (set.labels.empty() || set.pixels.size() != set.labels.size() * set.rows * set.cols) wrong("data set: sizes");
  for (const float pixel : set.pixels)
    if (!(pixel >= 0 && pixel <= 1)) wrong("data set: a pixel outside [0, 1]");
  for (const auto label : set.labels)
    if (label < 0 || static_cast<std::size_t>(label) >= set.classes) wrong("data set: a label out of range");
}

// Runs every reader, also after another has refused the file.
template <class F> void allowed_to_refuse(const F& read) {
  try {
    read();
  } catch (const DataError&) {
  }
}

template <class T> void check_same(const char* what, const Tensor<T>& a, const Tensor<T>& b) {
  if (a.shape() != b.shape() || (a.size() > 0 && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) != 0))
    wrong(std::string(what) + ": a tensor changed");
}

template <class T> void round_trip(const std::string& path, const std::string& copy) {
  allowed_to_refuse([&] {
    const auto file = data::read_safetensors<T>(path);
    data::write_safetensors(copy, file);
    const auto again = data::read_safetensors<T>(copy);
    if (again.metadata != file.metadata || again.tensors.size() != file.tensors.size()) wrong("safetensors: names");
    for (const auto& [name, tensor] : file.tensors) check_same("safetensors", tensor, again.tensors.at(name));
  });
}

template <class T> void round_trip_npy(const std::string& path, const std::string& copy, bool rounding) {
  allowed_to_refuse([&] {
    const auto tensor = data::read_npy<T>(path, {.rounding = rounding});
    data::write_npy(copy, tensor);
    check_same("npy", tensor, data::read_npy<T>(copy));
  });
}

template <class T> void round_trip_npz(const std::string& path, const std::string& copy, bool compressed) {
  allowed_to_refuse([&] {
    const auto arrays = data::read_npz<T>(path, {.rounding = true});
    data::write_npz(copy, arrays, {.compressed = compressed});
    const auto again = data::read_npz<T>(copy);
    if (again.size() != arrays.size()) wrong("npz: names");
    for (const auto& [name, tensor] : arrays) {
      check_same("npz", tensor, again.at(name));
      check_same("npz", tensor, data::read_npz<T>(copy, name));
    }
  });
}

// The content with the checksum of each chunk put right: no mutated chunk would get past it.
std::vector<std::uint8_t> with_checksums(Bytes bytes) {
  std::vector<std::uint8_t> fixed(bytes.begin(), bytes.end());
  for (std::size_t at = 8; at + 12 <= fixed.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | fixed[at + i];
    if (length > fixed.size() - at - 12) break;
    const auto sum = crc32(crc32(0, nullptr, 0), fixed.data() + at + 4, static_cast<uInt>(length + 4));
    for (std::size_t i = 0; i < 4; ++i)
      fixed[at + 8 + length + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i) & 0xff);
    at += 12 + length;
  }
  return fixed;
}

}  // namespace

void idx(Bytes bytes, const std::string& folder) {
  std::size_t images =
      bytes.size() < 2 ? 0 : static_cast<std::size_t>(bytes[0]) | static_cast<std::size_t>(bytes[1]) << 8;
  if (bytes.size() >= 2) bytes = bytes.subspan(2);
  images = std::min(images, bytes.size());
  check(data::read_idx(write(folder, "images", bytes.first(images)), write(folder, "labels", bytes.subspan(images))));
}

void course(Bytes bytes, const std::string& folder) { check(data::read_course(write(folder, "text", bytes))); }

void gzip(Bytes bytes, const std::string& folder) {
  const std::string path = write(folder, "file.gz", bytes);
  constexpr std::uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 3, 4};
  const std::string two_labels = write(folder, "labels", labels);
  allowed_to_refuse([&] { check(data::read_idx(path, two_labels)); });
  allowed_to_refuse([&] { check(data::read_idx(path, path)); });
  allowed_to_refuse([&] { check(data::read_course(path)); });
}

void safetensors(Bytes bytes, const std::string& folder) {
  const std::string path = write(folder, "file.safetensors", bytes);
  round_trip<double>(path, folder + "/double.safetensors");
  round_trip<float>(path, folder + "/float.safetensors");
  allowed_to_refuse([&] { data::TrainingState().read(path); });
}

void npy(Bytes bytes, const std::string& folder) {
  const std::string path = write(folder, "file.npy", bytes), copy = folder + "/copy.npy";
  round_trip_npy<double>(path, copy, false);
  round_trip_npy<float>(path, copy, true);
  allowed_to_refuse([&] {
    const Integers integers = data::read_npy_integers(path);
    data::write_npy(copy, integers);
    const Integers again = data::read_npy_integers(copy);
    if (again.shape() != integers.shape() || !std::equal(again.begin(), again.end(), integers.begin()))
      wrong("npy: integers changed");
  });
}

void npz(Bytes bytes, const std::string& folder) {
  const std::string path = write(folder, "file.npz", bytes), copy = folder + "/copy.npz";
  round_trip_npz<double>(path, copy, true);
  round_trip_npz<float>(path, copy, false);
}

void png(Bytes bytes, const std::string& folder) {
  allowed_to_refuse([&] { viz::read_png(write(folder, "raw.png", bytes)); });
  allowed_to_refuse([&] {
    const auto image = viz::read_png(write(folder, "fixed.png", with_checksums(bytes)));
    if (image.pixels.size() != image.width * image.height * image.channels) wrong("read_png: sizes");
    const std::string copy = folder + "/copy.png";
    viz::write_png(copy, image);
    const auto again = viz::read_png(copy);
    if (again.width != image.width || again.height != image.height || again.pixels != image.pixels)
      wrong("write_png: a picture changed");
  });
  // The bytes as an image whose members need not agree.
  const auto at = [&](std::size_t i) { return i < bytes.size() ? bytes[i] : std::uint8_t{0}; };
  const auto extent = [&](std::size_t i) {
    return at(i) == 255 ? ~std::size_t{0} >> (at(i + 1) % 64) : static_cast<std::size_t>(at(i) % 9);
  };
  allowed_to_refuse([&] {
    const viz::Image image{.width = extent(0),
                           .height = extent(2),
                           .channels = extent(4) % 5,
                           .pixels = std::vector<std::uint8_t>(bytes.begin(), bytes.end())};
    viz::write_png(folder + "/made.png", image);
  });
}

}  // namespace xtape::fuzz
