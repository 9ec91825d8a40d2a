// The documents: nothing missing, nothing out of date. Their code blocks are cases of their own, see docs/blocks.py.

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "files.hpp"
#include "op_table.hpp"
#include "paths.hpp"

namespace fs = std::filesystem;

namespace {

const fs::path docs = fs::path(XTAPE_SOURCE_DIR) / "docs";

// The page without its blocks of code.
std::string text_of(const fs::path& page) {
  const std::string whole = content_of(page.string());
  std::string text;
  bool code = false;
  for (std::size_t at = 0; at < whole.size();) {
    const std::size_t end = std::min(whole.find('\n', at), whole.size() - 1) + 1;
    const std::string line = whole.substr(at, end - at);
    at = end;
    const bool fence = line.find("```") == line.find_first_not_of(' ') && line.find("```") != std::string::npos;
    if (fence)
      code = !code;
    else if (!code)
      text += line;
  }
  return text;
}

// What a link to each heading of a page is called: lower case, hyphens for spaces, no punctuation of ASCII.
std::set<std::string> anchors_of(const fs::path& page) {
  std::set<std::string> result;
  const std::string text = "\n" + text_of(page);
  for (std::size_t at = 0; (at = text.find("\n#", at)) != std::string::npos; ++at) {
    const std::size_t begin = text.find(' ', at) + 1;
    std::string name;
    for (const char c : text.substr(begin, text.find('\n', begin) - begin)) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == ' ')
        name += '-';
      else if (byte >= 128 || std::isalnum(byte) || c == '-' || c == '_')
        name += static_cast<char>(std::tolower(byte));
    }
    result.insert(name);
  }
  return result;
}

}  // namespace

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

TEST_CASE("docs: links lead to files and headings that are there") {
  std::vector<fs::path> pages{docs / "../README.md", docs / "../CONTRIBUTING.md", docs / "../CHANGELOG.md"};
  for (const auto& entry : fs::recursive_directory_iterator(docs))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  const std::regex link("\\]\\(([^)#\\s]*)#?([^)\\s]*)\\)");
  std::size_t links = 0;
  for (const auto& page : pages) {
    const std::string text = text_of(page);
    for (std::sregex_iterator found(text.begin(), text.end(), link), end; found != end; ++found) {
      const std::string to = (*found)[1], heading = (*found)[2];
      if (to.starts_with("http")) continue;
      ++links;
      const fs::path target = to.empty() ? page : page.parent_path() / to;
      const bool there = fs::exists(target) && (heading.empty() || anchors_of(target).contains(heading));
      CHECK_MESSAGE(there, page.filename().string(), ": ", found->str(), " leads nowhere");
    }
  }
  CHECK(links > 300);
}
