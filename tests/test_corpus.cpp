// The fuzzers' corpus, replayed: seeds, and whatever once crashed a target.
#include "../fuzz/targets.hpp"
#include "files.hpp"
#include "paths.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>
#include <vector>

using namespace xtape;

namespace {

using Input = std::vector<std::uint8_t>;

std::vector<Input> corpus_of(const fuzz::Target& target) {
  std::vector<std::filesystem::path> paths;
  for (const auto& file :
       std::filesystem::directory_iterator(std::filesystem::path(XTAPE_SOURCE_DIR) / "tests" / "corpus" / target.name))
    paths.push_back(file.path());
  std::sort(paths.begin(), paths.end());  // a seed means the same everywhere
  std::vector<Input> corpus;
  for (const auto& path : paths) {
    const std::string content = content_of(path.string());
    corpus.emplace_back(content.begin(), content.end());
  }
  return corpus;
}

// One to eight changes, of the kinds that a fuzzer makes.
void mutate(Input& input, const std::vector<Input>& corpus, std::mt19937_64& rng) {
  constexpr std::array<std::uint64_t, 8> extremes = {0, 1, 0x7f, 0xff, 0x7fffffff, 0xffffffff, 1ULL << 63, ~0ULL >> 1};
  for (auto changes = 1 + rng() % 8; changes > 0; --changes) {
    const std::size_t at = input.empty() ? 0 : rng() % input.size();
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t length = std::min<std::size_t>(1 + rng() % 16, input.size() - at);
    const auto end = place + static_cast<std::ptrdiff_t>(length);
    switch (rng() % 6) {
      case 0:
        if (!input.empty()) *place = static_cast<std::uint8_t>(*place ^ (1U << rng() % 8));
        break;
      case 1:
        if (!input.empty()) *place = static_cast<std::uint8_t>(rng());
        break;
      case 2: input.erase(place, end); break;
      case 3: {
        const Input part(place, end);
        input.insert(place, part.begin(), part.end());
        break;
      }
      case 4: {  // a number, of either byte order
        const std::uint64_t number = extremes[rng() % extremes.size()];
        const std::size_t bytes = std::min<std::size_t>(std::size_t{1} << rng() % 4, length);
        const bool little = rng() % 2 == 0;
        for (std::size_t i = 0; i < bytes; ++i)
          input[at + i] = static_cast<std::uint8_t>(number >> 8 * (little ? i : bytes - 1 - i));
        break;
      }
      default: {  // another file's end
        const Input& other = corpus[rng() % corpus.size()];
        input.erase(place, input.end());
        input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(std::min(at, other.size())), other.end());
      }
    }
  }
}

}  // namespace

TEST_CASE("corpus: every target takes every file, or refuses it by an Error") {
  const Folder folder;
  for (const auto& target : fuzz::targets) {
    std::size_t files = 0, refused = 0;
    for (const Input& content : corpus_of(target)) {
      // Whole, and cut off anywhere.
      for (const std::size_t size :
           {content.size(), content.size() / 2, content.size() - content.size() / 8, std::size_t{0}}) {
        INFO(target.name, ", file ", files, " in the order of their names, ", size, " bytes");
        try {
          target.run({content.data(), std::min(size, content.size())}, folder.string());
        } catch (const Error&) {
          ++refused;
        } catch (const std::exception& error) {
          FAIL_CHECK(error.what());
        }
      }
      ++files;
    }
    CHECK(files >= 4);
    // Not everything is refused. (Targets that try several readers swallow the refusals.)
    CHECK(refused < 4 * files);
  }
}

// A taste of what tools/fuzz does for longer, and wherever the tests run, under the sanitizers too.
TEST_CASE("corpus: files that are changed at random are taken, or refused by an Error") {
  const auto variable = [](const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
  };
  const std::uint64_t runs = variable("XTAPE_FUZZ_RUNS", 200), first_seed = variable("XTAPE_FUZZ_SEED", 1);
  const Folder folder;
  for (const auto& target : fuzz::targets) {
    const auto corpus = corpus_of(target);
    for (std::uint64_t seed = first_seed; seed < first_seed + runs; ++seed) {
      std::mt19937_64 rng(seed);
      Input input = corpus[rng() % corpus.size()];
      mutate(input, corpus, rng);
      INFO(target.name, ": XTAPE_FUZZ_SEED=", seed, " XTAPE_FUZZ_RUNS=1");
      try {
        target.run(input, folder.string());
      } catch (const Error&) {
      } catch (const std::exception& error) {
        FAIL_CHECK(error.what());
      }
    }
  }
}
