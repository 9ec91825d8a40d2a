// The fuzzers' corpus, replayed: seeds, and whatever once crashed a target.
#include "../fuzz/targets.hpp"
#include "files.hpp"
#include "paths.hpp"

#include <algorithm>

using namespace xtape;

TEST_CASE("corpus: every target takes every file, or refuses it by an Error") {
  const Folder folder;
  const std::filesystem::path corpus = std::filesystem::path(XTAPE_SOURCE_DIR) / "tests" / "corpus";
  for (const auto& target : fuzz::targets) {
    std::size_t files = 0, refused = 0;
    for (const auto& file : std::filesystem::directory_iterator(corpus / target.name)) {
      const std::string content = content_of(file.path().string());
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(content.data());
      // Whole, and cut off anywhere.
      for (const std::size_t size :
           {content.size(), content.size() / 2, content.size() - content.size() / 8, std::size_t{0}}) {
        INFO(target.name, " ", file.path().string(), " ", size);
        try {
          target.run({bytes, std::min(size, content.size())}, folder.string());
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
