// The documents: nothing missing, nothing out of date. Their code blocks are cases of their own, see docs/blocks.py.

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "files.hpp"
#include "op_table.hpp"
#include "paths.hpp"

namespace fs = std::filesystem;

namespace {
const fs::path docs = fs::path(XTAPE_SOURCE_DIR) / "docs";
}

TEST_CASE("docs: the op reference is what tools/op_reference writes") {
  const std::string page = content_of((docs / "ops.md").string());
  CHECK_MESSAGE(page == content_of(XTAPE_OP_REFERENCE), "run tools/op_reference");
}

TEST_CASE("docs: the list of everything public is what tools/api_index writes") {
  const std::string page = content_of((docs / "api.md").string());
  CHECK_MESSAGE(page == content_of(XTAPE_API_INDEX), "run tools/api_index");
  // That the program reads headers right: what is declared in ways that differ most.
  for (const char* name :
       {"`Tape`", "`hook`", "`map`", "`hvp`", "`nn::Sequential`", "`optim::clip_gradient_norm`", "`zeros`",
        "`schedule::warmup`", "`data::load_model`", "`mpi::World`", "`viz::Palette`", "`energy`"})
    CHECK_MESSAGE(page.find(name) != std::string::npos, name, " is not there");
  for (const char* name : {"`detail", "Impl`", "`push_out_of_line`"})
    CHECK_MESSAGE(page.find(name) == std::string::npos, name, " is not public");
}

TEST_CASE("docs: words of other libraries lead to what does the same here") {
  const std::string page = content_of((docs / "coming_from.md").string());
  for (const char* word : {"AdamW", "state_dict", "clip_grad_norm", "LayerNorm", "per-example", "warm-up", "torch.save",
                           "load_state_dict", "DataLoader", "xavier", "kaiming", "vmap"})
    CHECK_MESSAGE(page.find(word) != std::string::npos, word, " is not there");
}

TEST_CASE("docs: the op reference names every op, with an example") {
  const std::string page = content_of((docs / "ops.md").string());
  // Rows that are named otherwise than the function is called.
  const std::map<std::string, std::string> called{
      {"add", "operator+"},    {"subtract", "operator-"},    {"multiply", "operator*"}, {"divide", "operator/"},
      {"less", "operator<"},   {"less_equal", "operator<="}, {"greater", "operator>"},  {"greater_equal", "operator>="},
      {"negate", "operator-"}, {"positive", "operator+"},
  };
  const std::set<std::string> elsewhere{"map", "checkpoint"};  // on pages of their own
  for (const auto& row : xtape::test::op_table()) {
    const std::string name = row.name.substr(0, row.name.find(" of "));
    if (elsewhere.contains(name)) continue;
    const auto other = called.find(name);
    const std::string heading = "`" + (other == called.end() ? name : other->second) + "`";
    CHECK_MESSAGE(page.find(heading) != std::string::npos, heading, " is not there");
  }
  std::size_t sections = 0, examples = 0;
  for (std::size_t at = 0; (at = page.find("\n### ", at)) != std::string::npos; ++at) {
    ++sections;
    const std::size_t end = std::min(page.find("\n### ", at + 1), page.find("\n## ", at + 1));
    const std::string section = page.substr(at + 1, end - at - 1);
    const bool shown = section.find("```cpp\n") != std::string::npos;
    examples += shown;
    CHECK_MESSAGE(shown, section.substr(0, section.find('\n')), " has no example");
  }
  CHECK(sections > 150);
  CHECK(examples == sections);
}

TEST_CASE("docs: every page with code is compiled into the tests") {
  const std::string listed = content_of((fs::path(XTAPE_SOURCE_DIR) / "tests" / "meson.build").string());
  for (const auto& entry : fs::directory_iterator(docs)) {
    if (entry.path().extension() != ".md") continue;
    if (content_of(entry.path().string()).find("```cpp\n") == std::string::npos) continue;
    CHECK_MESSAGE(listed.find("'" + entry.path().stem().string() + "'") != std::string::npos,
                  entry.path().filename().string(), " is not among docs_pages");
  }
}
