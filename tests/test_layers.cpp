// The layers of the sources: includes and calls run from one to those below it.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "files.hpp"
#include "paths.hpp"

TEST_CASE("layers: no source includes or calls what lies above its layer") {
  const Folder folder;
  const std::string out = folder / "out";
  const int status = std::system(
      fmt::format("python3 '{}/tools/layers' '{}' >'{}' 2>&1", XTAPE_SOURCE_DIR, XTAPE_BUILD_DIR, out).c_str());
  CHECK_MESSAGE(WEXITSTATUS(status) == 0, content_of(out));
  CHECK(content_of(out).ends_with("0 arrows against the layers\n"));
}
