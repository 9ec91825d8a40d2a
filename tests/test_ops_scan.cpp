// The sources are searched for ops: each must have a row in the op table.
#include "op_table.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>

using namespace xtape::test;
namespace fs = std::filesystem;

namespace {

// The text of a source file without its line comments.
std::string code_of(const fs::path& file) {
  std::ifstream in(file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return std::regex_replace(text, std::regex("//[^\n]*"), "");
}

std::vector<fs::path> sources(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".hpp" || entry.path().extension() == ".cpp") files.push_back(entry.path());
  return files;
}

// What the first group of the pattern matches, all over the text.
std::set<std::string> all_matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
    found.insert((*match)[1]);
  return found;
}

// Skips with a message where the sources are not at hand.
bool have_sources() {
  const fs::path root(XTAPE_SOURCE_DIR);
  if (fs::exists(root / "include" / "xtape") && fs::exists(root / "src")) return true;
  MESSAGE("no sources to scan in ", root.string());
  return false;
}

}  // namespace

TEST_CASE("op table: every name that the sources record has a row") {
  if (!have_sources()) return;
  std::set<std::string> declared;
  for (const Row& row : op_table()) {
    for (const auto& name : row.recorded_names()) declared.insert(name);
    declared.insert(row.helpers.begin(), row.helpers.end());
  }
  const std::regex recorded(R"re(\brecord\s*(?:<[^;"()]*>)?\s*\(\s*"([^"]*)")re");
  const std::regex named(R"re(\bconst char\s*\*\s*name = "([^"]*)")re");
  // The traits of an op that is recorded.
  const std::regex traits(R"re(\btraits\{\.name = "([^"]*)"(?![^}]*differentiable = false))re");
  std::set<std::string> found;
  for (const char* folder : {"include", "src"})
    for (const fs::path& file : sources(fs::path(XTAPE_SOURCE_DIR) / folder))
      for (const std::regex* pattern : {&recorded, &named, &traits}) found.merge(all_matches(code_of(file), *pattern));
  found.erase("unchanged");  // it goes by the name of the op that has nothing to do
  CHECK(found.size() > 45);
  for (const char* known : {"matmul", "softmax", "where", "tanh", "add"}) CHECK(found.contains(known));
  for (const auto& name : found)
    CHECK_MESSAGE(declared.contains(name), name, " is recorded in the sources and has no row in the op table");
}

TEST_CASE("op table: every public op has a row") {
  if (!have_sources()) return;
  std::set<std::string> rows;
  for (const Row& row : op_table()) rows.insert(row.name);
  // The rows of what is not called by its name.
  const std::map<std::string, std::string> row_of{
      {"operator+", "add"},     {"operator-", "subtract"},       {"operator*", "multiply"},
      {"operator/", "divide"},  {"operator<", "less"},           {"operator<=", "less_equal"},
      {"operator>", "greater"}, {"operator>=", "greater_equal"}, {"select", "where"}};
  const std::regex inner(R"(namespace detail \{[^]*?\n\}\s*\n)");
  const std::regex function(
      R"(\n(?:template <class T> )?(?:Tensor<T>|IndexArray|std::size_t|auto) (\w+[^\s\w(]{0,2})\()");
  std::set<std::string> found;
  for (const fs::path& file : sources(fs::path(XTAPE_SOURCE_DIR) / "include" / "xtape" / "ops"))
    found.merge(all_matches(std::regex_replace(code_of(file), inner, "\n"), function));
  CHECK(found.size() > 60);
  for (const char* known : {"matmul", "mean", "stack", "operator<=", "conv2d", "dropout"}) CHECK(found.contains(known));
  for (const auto& name : found) {
    const auto alias = row_of.find(name);
    CHECK_MESSAGE(rows.contains(alias == row_of.end() ? name : alias->second), name, " has no row in the op table");
  }
}
