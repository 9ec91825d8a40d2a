// What all readers share, whatever they read: regular files alone, and memory that does not suffice is an error that
// names the file.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <xtape/data/model.hpp>
#include <xtape/data/npy.hpp>
#include <xtape/data/readers.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/data/training_state.hpp>
#include <xtape/viz/png.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"
#include "paths.hpp"

using namespace xtape;
using namespace xtape::data;
namespace fs = std::filesystem;

namespace {

using Reader = std::pair<std::string, std::function<void(const std::string&)>>;

const std::vector<Reader> readers{
    {"read_idx", [](const std::string& path) { read_idx(path, path); }},
    {"read_course", [](const std::string& path) { read_course(path); }},
    {"read_png", [](const std::string& path) { viz::read_png(path); }},
    {"read_npy", [](const std::string& path) { read_npy<float>(path); }},
    {"read_npy_integers", [](const std::string& path) { read_npy_integers(path); }},
    {"read_npz", [](const std::string& path) { read_npz<float>(path); }},
    {"read_npz", [](const std::string& path) { read_npz<float>(path, "x"); }},
    {"read_npz_integers", [](const std::string& path) { read_npz_integers(path, "x"); }},
    {"read_safetensors", [](const std::string& path) { read_safetensors<float>(path); }},
    {"read_safetensors", [](const std::string& path) { read_safetensors<float>(path, "x"); }},
    {"read_safetensors_integers", [](const std::string& path) { read_safetensors_integers(path, "x"); }},
    {"load_model", [](const std::string& path) { load_model(path, nn::NamedTensors<float>{}); }},
    {"training_state", [](const std::string& path) { TrainingState().read(path); }}};

// A file of so many bytes that takes no room on the disk, and begins with these.
std::string sparse(const std::string& path, const std::string& begin, std::uintmax_t bytes) {
  write_file(path, begin);
  fs::resize_file(path, bytes);
  return path;
}

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xffU);
  return text;
}

// What `act` says of memory in a process that may have 200 MB more than it has.
std::string memory_error(const Folder& folder, const std::function<void()>& act) {
  const std::string said = folder / "said";
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t bytes = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{200} << 20);
    const rlimit limit{bytes, bytes};
    std::string text = "nothing";
    if (setrlimit(RLIMIT_AS, &limit) == 0) {
      try {
        act();
      } catch (const MemoryError& error) {
        text = error.what();
      } catch (const std::exception& error) {
        text = std::string("another error: ") + error.what();
      }
    }
    write_file(said, text);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  return content_of(said);
}

}  // namespace

TEST_CASE("readers: a folder, a device, a pipe, a socket in a file's place are refused at once") {
  const Folder folder;
  const std::string pipe = folder / "pipe", socket_path = folder / "socket", link = folder / "link";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  fs::create_symlink("/dev/zero", link);
  const int socket_file = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  REQUIRE(bind(socket_file, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  for (const auto& [name, read] : readers) {
    for (const std::string& path : {std::string("/dev/zero"), std::string("/dev/null"), pipe, link, socket_path})
      check_bad([&] { read(path); }, {path + ": is not a regular file", name + ": "});
    check_bad([&] { read(folder.string()); }, {folder.string() + ": is a folder, expected a file", name + ": "});
    check_bad([&] { read(folder / "none"); }, {folder / "none: cannot be opened: No such file", name + ": "});
    check_bad([&] { read(""); }, {name + ": : cannot be opened"});
  }
  close(socket_file);

  // In a folder of data, too.
  for (const char* file :
       {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"})
    REQUIRE(mkfifo((folder / file).c_str(), 0600) == 0);
  check_bad([&] { load(folder.string()); }, {"read_idx: ", "train-images-idx3-ubyte: is not a regular file"});
}

TEST_CASE("readers: memory that does not suffice is an error that names function and file") {
  if (XTAPE_SANITIZED) return;  // their shadow memory is beyond any limit
  const Folder folder;
  constexpr std::uintmax_t large = std::uintmax_t{1} << 30;
  const std::string path = folder / "large";
  const auto says = [&](const std::string& name, const std::string& content, std::uintmax_t size,
                        const std::function<void()>& read) {
    sparse(path, content, size);
    const std::string text = memory_error(folder, read);
    CHECK_MESSAGE(text.find(name + ": " + path + ": ") != std::string::npos, text);
    CHECK_MESSAGE(text.find("out of memory") != std::string::npos, text);
  };
  says("read_png", "\x89PNG", large, [&] { viz::read_png(path); });

  const auto npy = [](const std::string& dtype) {
    std::string text = "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': (134217728,), }";
    text.resize(117, ' ');
    return "\x93NUMPY\x01" + std::string(1, '\0') + little_endian(118, 2) + text + "\n";
  };
  says("read_npy", npy("<f8"), 128 + large, [&] { read_npy<double>(path); });
  says("read_npy_integers", npy("<i8"), 128 + large, [&] { read_npy_integers(path); });

  const std::string header = R"({"x":{"dtype":"F64","shape":[134217728],"data_offsets":[0,1073741824]}})";
  const std::string safetensors = little_endian(header.size(), 8) + header;
  says("read_safetensors", safetensors, safetensors.size() + large, [&] { read_safetensors<double>(path); });
  says("read_safetensors", safetensors, safetensors.size() + large, [&] { read_safetensors<double>(path, "x"); });

  // 134,217,728 pictures of 1 x 8 bytes become 4 GB.
  const std::string labels = folder / "labels";
  sparse(labels, std::string("\0\0\x08\x01\x08\0\0\0", 8), 8 + (large >> 3));
  says("read_idx", std::string("\0\0\x08\x03\x08\0\0\0\0\0\0\x01\0\0\0\x08", 16), 16 + large,
       [&] { read_idx(path, labels); });
}
