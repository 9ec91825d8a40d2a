// Users' files compiled with flags of their own: small programs, compiled and run here by the compiler of this build.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <regex>
#include <string>

#include "files.hpp"
#include "paths.hpp"

namespace {

struct Outcome {
  bool links, runs;
  std::string text;  // of compiler, linker and program
};

// Compiles a program's text with the flags, links it with the library, and runs it. -O0 is fastest; the last flag
// counts.
Outcome outcome(const std::string& flags, const std::string& program) {
  const Folder folder;
  const std::string source = folder / "program.cpp", file = folder / "program", log = folder / "log";
  std::ofstream(source) << program;
  const std::string library = std::string(XTAPE_BUILD_DIR) + "/" XTAPE_LIBRARY;
  const auto run = [&](const std::string& command) {
    return std::system(fmt::format("{{ {}; }} >>'{}' 2>&1 </dev/null", command, log).c_str()) == 0;
  };
  Outcome result{false, false, {}};
  result.links = run(fmt::format("{} -std=c++20 -O0 {} -I'{}/include' '{}' -o '{}' '{}' -Wl,-rpath,'{}' -lfmt",
                                 XTAPE_COMPILER, flags, XTAPE_SOURCE_DIR, source, file, library, XTAPE_BUILD_DIR));
  result.runs = result.links && run("'" + file + "'");
  result.text = content_of(log);
  return result;
}

void works(const std::string& flags, const std::string& program) {
  CAPTURE(flags);
  const Outcome result = outcome(flags, program);
  CHECK_MESSAGE(result.runs, result.text);
}
// One of the sentences, the compiler's or the linker's, must be in what is said.
void refused(const std::string& flags, const std::string& program, std::initializer_list<const char*> sentences) {
  CAPTURE(flags);
  const Outcome result = outcome(flags, program);
  CHECK(!result.links);
  bool said = false;
  for (const char* sentence : sentences) said |= result.text.find(sentence) != std::string::npos;
  CHECK_MESSAGE(said, result.text);
}
// A build whose programs must be linked with more than the library: a sanitizer's, or a static one.
bool cannot_link() {
  if (XTAPE_SANITIZED) std::puts("skipped: the programs are built without the library's sanitizers");
  return XTAPE_SANITIZED;
}

const std::string map_program = R"(#include <xtape/map.hpp>
int main() {
  using namespace xtape;
  const auto y = map([](auto v) { return sin(v) + exp(v); }, Tensor<double>({2}, {10.0, 1.0}));
  return y.data()[0] > 22025.921773695 && y.data()[0] < 22025.921773697 ? 0 : 1;
})";

}  // namespace

TEST_CASE("flags: map refuses -ffast-math and its parts, and says what to do") {
  if (cannot_link()) return;
  for (const char* flags : {"-ffast-math", "-Ofast", "-ffinite-math-only", "-O2 -funsafe-math-optimizations",
                            "-O2 -freciprocal-math", "-O2 -fno-signed-zeros", "-O2 -ffast-math -fno-finite-math-only",
                            "-O2 -fassociative-math -fno-signed-zeros -fno-trapping-math"})
    refused(flags, map_program, {"compiled with -fno-fast-math", "map_needs_fno_fast_math"});
  for (const char* flags : {"-O0", "-O2 -ffast-math -fno-fast-math", "-O2 -fno-math-errno -fno-trapping-math"})
    works(flags, map_program);
}

TEST_CASE("flags: ops are right in a file compiled with -ffast-math, infinite numbers too") {
  if (cannot_link()) return;
  works("-O2 -ffast-math", R"(#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>
#include <cstring>
#include <string>
using namespace xtape;
int main(int count, char**) {
  const auto x = parameter(Tensor<double>({2}, {10.0, 1.0}));
  Tape tape{{.anomaly = true}};
  const auto y = sin(x) + exp(x);
  if (std::to_string(y.data()[0]) != "22025.921774") return 1;
  tape.backward(sum(y));
  if (std::to_string(x.grad().data()[0]) != "22025.626723") return 2;
  // Infinity that is put in is no anomaly, and only what is known to be infinite can be told from one.
  const auto z = parameter(Tensor<double>({1}, {1.0})) * (1e308 * (count + 9));
  return std::to_string(z.data()[0]) == "inf" ? 0 : 3;
})");
}

TEST_CASE("flags: a file whose standard library has other layouts than the library's does not link, and says why") {
  if (cannot_link()) return;
  for (const char* header :
       {"map", "error", "shape", "viz/plot", "viz/png", "viz/report", "data/digits", "energy/directed"})
    refused("-D_GLIBCXX_DEBUG", fmt::format("#include <xtape/{}.hpp>\nint main() {{}}\n", header),
            {"needs_an_xtape_built_with_D_GLIBCXX_DEBUG"});
  const std::string program = "#include <xtape/tensor.hpp>\nint main() {}\n";
  refused("-D_GLIBCXX_DEBUG -ffunction-sections -fdata-sections -Wl,--gc-sections", program,
          {"needs_an_xtape_built_with_D_GLIBCXX_DEBUG"});
  refused("-D_GLIBCXX_USE_CXX11_ABI=0", program, {"needs_an_xtape_built_with_D_GLIBCXX_USE_CXX11_ABI_0"});
  refused("-fpack-struct=1", program, {"-fpack-struct changes what the library takes"});
}

TEST_CASE("flags: every public header is guarded against other layouts") {
  const std::filesystem::path include = std::filesystem::path(XTAPE_SOURCE_DIR) / "include";
  // Reaches the guard by what it includes.
  const std::function<bool(const std::string&)> guarded = [&](const std::string& header) {
    if (header == "xtape/detail/same_layout.hpp") return true;
    const std::string text = content_of((include / header).string());
    const std::regex line("#include <(xtape/[^>]+)>");
    for (std::sregex_iterator found(text.begin(), text.end(), line), end; found != end; ++found)
      if (guarded((*found)[1])) return true;
    return false;
  };
  std::size_t headers = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(include)) {
    if (!entry.is_regular_file()) continue;
    const std::string header = std::filesystem::relative(entry.path(), include).string();
    CAPTURE(header);
    const std::string text = content_of(entry.path().string());
    if (text.find("std::vector<") == std::string::npos && text.find("std::map<") == std::string::npos &&
        text.find("std::string") == std::string::npos && text.find("std::optional<") == std::string::npos)
      continue;
    ++headers;
    CHECK(guarded(header));
  }
  CHECK(headers > 30);
}

TEST_CASE("flags: without exceptions, run-time types, and with the standard library's assertions") {
  if (cannot_link()) return;
  for (const char* flags : {"-fno-exceptions", "-fno-rtti", "-D_GLIBCXX_ASSERTIONS -O1"}) works(flags, map_program);
  works("-fno-exceptions -fno-rtti -D_GLIBCXX_ASSERTIONS", R"(#include <xtape/xtape.hpp>
using namespace xtape;
int main() {
  const auto x = parameter(Tensor<double>({2}, {3.0, 4.0}));
  Tape tape;
  const auto gradient = tape.gradient(sum(x * x), {x});
  return gradient[0].data()[1] == 8 ? 0 : 1;
})");
}

TEST_CASE("flags: the code that files of two instruction sets make of one map has two names") {
  const Folder folder;
  const std::string source = folder / "program.cpp", out = folder / "names";
  std::ofstream(source) << R"(#include <xtape/map.hpp>
struct Formula {
  template <class V> V operator()(const V& v) const { return exp(v) + sin(v); }
};
xtape::Tensor<float> mapped(const xtape::Tensor<float>& x) { return xtape::map(Formula{}, x); }
)";
#ifdef __x86_64__
  // The weak symbols of both that have to do with map's batches.
  const std::string command = fmt::format(
      "for m in x86-64 x86-64-v3; do {} -std=c++20 -O1 -march=$m -I'{}/include' -c '{}' -o '{}'.o && "
      "nm -C '{}'.o | grep ' [WV] ' | grep -E 'Formula|xsimd|Dual' | cut -c20- | sort -u || exit 1; done | sort | uniq "
      "-d >'{}'",
      XTAPE_COMPILER, XTAPE_SOURCE_DIR, source, out, out, out);
  CHECK(std::system(command.c_str()) == 0);
  CHECK(content_of(out) == "");
#endif
}

TEST_CASE("flags: what the compiler says of tensors and layers that do not fit tells what to write") {
  if (cannot_link()) return;
  const std::string begin = R"(#include <xtape/xtape.hpp>
using namespace xtape;
int main() {
  const Tensor<float> x({1}, {1.0F});
  const Tensor<double> z({1}, {1.0});
  )";
  for (const char* statement : {"x + z;", "maximum(z, x);", "where(x, z, x);", "z / x;"})
    refused("", begin + statement + "}", {"write cast<float>(x) or cast<double>(x)"});
  refused("", begin + "nn::Sequential<float> net{leaky_relu<float>};}", {"write a lambda"});
}
