// A fuzzer of one target, compiled with -DXTAPE_FUZZ_TARGET="name" and linked with libFuzzer.
#include <xtape/error.hpp>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "targets.hpp"

namespace {

// Removed when the process ends.
struct Scratch {
  std::string path = (std::filesystem::temp_directory_path() / "xtape_fuzz_XXXXXX").string();
  Scratch() {
    if (mkdtemp(path.data()) == nullptr) std::abort();
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

const xtape::fuzz::Target& chosen() {
  for (const auto& target : xtape::fuzz::targets)
    if (std::string_view(target.name) == XTAPE_FUZZ_TARGET) return target;
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Scratch scratch;
  static const auto& target = chosen();
  try {
    target.run({data, size}, scratch.path);
  } catch (const xtape::Error&) {
    // The right way to refuse.
  }
  return 0;
}
