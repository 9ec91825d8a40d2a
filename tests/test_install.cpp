// What others see of the library: its version, and a copy that is installed.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <xtape/version.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "files.hpp"
#include "paths.hpp"

TEST_CASE("version: of the headers and of the library, meson.build's") {
  CHECK(std::string(xtape::version()) == XTAPE_PROJECT_VERSION);
  CHECK(fmt::format("{}.{}.{}", XTAPE_VERSION_MAJOR, XTAPE_VERSION_MINOR, XTAPE_VERSION_PATCH) ==
        XTAPE_PROJECT_VERSION);
  CHECK(XTAPE_VERSION == XTAPE_VERSION_MAJOR * 10000 + XTAPE_VERSION_MINOR * 100 + XTAPE_VERSION_PATCH);
}

TEST_CASE("install: programs that use it through pkg-config, CMake and as a Meson subproject") {
  if (XTAPE_SANITIZED) {
    std::puts("skipped: the programs are built without the library's sanitizers");
    return;
  }
  const Folder folder;
  const std::string log = folder / "log";
  const int status = std::system(fmt::format("'{0}/tests/install/check' '{0}' '{1}' '{2}' >'{3}' 2>&1 </dev/null",
                                             XTAPE_SOURCE_DIR, XTAPE_BUILD_DIR, folder / "work", log)
                                     .c_str());
  const std::string lines = content_of(log);
  std::fputs(lines.c_str(), stdout);
  CHECK_MESSAGE(status == 0, lines);
  for (const char* way : {"pkg-config: ", "cmake: ", "subproject: "})
    CHECK_MESSAGE(lines.find(way) != std::string::npos, way, " did not report");
}
