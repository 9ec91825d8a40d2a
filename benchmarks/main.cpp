// One program for each implementation: Google Benchmark's options, and besides
//   --numbers     prints the numbers of every case that --benchmark_filter lets through, and times nothing
//   --memory      prints of every such case what its steps need at most: bytes in tensors if they are counted, and by
//   how
//                 many bytes three steps let the process grow
//   --threads N   (default: 1)

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <regex>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cases.hpp"

namespace {

void print_numbers(const bench::Case& c) {
  if (c.checked_steps == 0) return;
  const bench::Running run = c.start();
  if (!run.step) return;
  for (std::size_t i = 0; i < c.checked_steps; ++i) run.step();
  for (const auto& [name, norm, projection] : run.numbers())
    std::printf("%s %s %.17g %.17g\n", c.name.c_str(), name.c_str(), norm, projection);
}

// A figure of /proc/self/status in bytes.
std::size_t process_bytes(std::string_view name) {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::size_t kilobytes = 0;
  while (status >> word)
    if (word == name && status >> kilobytes) return kilobytes * 1024;
  throw std::runtime_error("/proc/self/status does not tell");
}

void print_memory(const bench::Case& c) {
  const bench::Running run = c.start();
  if (!run.step) return;
  malloc_trim(0);                                               // what the setting up has left
  std::ofstream("/proc/self/clear_refs") << "5" << std::flush;  // the peak counts from here
  const std::size_t before = process_bytes("VmRSS:");
  for (int i = 0; i < 3; ++i) run.step();
  const std::size_t peak = process_bytes("VmHWM:");
  std::printf("%s %zu %zu\n", c.name.c_str(), bench::peak_bytes(run.step), peak - before);
}

int run(int argc, char** argv) {
  bool numbers = false, memory = false;
  int threads = 1;
  std::string filter = ".";
  std::vector<char*> others{argv[0]};
  constexpr std::string_view filter_option = "--benchmark_filter=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--numbers") {
      numbers = true;
    } else if (argument == "--memory") {
      memory = true;
    } else if (argument == "--threads" && i + 1 < argc) {
      const std::string_view text = argv[++i];
      const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
      if (error != std::errc{} || rest != text.data() + text.size() || threads < 0) {
        std::fprintf(stderr, "--threads: %s is no whole number\n", argv[i]);
        return 2;
      }
    } else {
      if (argument.starts_with(filter_option)) filter = argument.substr(filter_option.size());
      others.push_back(argv[i]);
    }
  }
  bench::set_threads(threads);
  if (numbers || memory) {
    const std::regex pattern(filter);
    for (const auto& c : bench::cases())
      if (std::regex_search(c.name, pattern)) numbers ? print_numbers(c) : print_memory(c);
    return 0;
  }

  for (const auto& c : bench::cases()) {
    // Google Benchmark calls several times until it knows how often to repeat; the case is set up once.
    const auto run = std::make_shared<bench::Running>();
    benchmark::RegisterBenchmark(c.name.c_str(), [c, run](benchmark::State& state) {
      if (!run->step) {
        *run = c.start();
        if (!run->step) return state.SkipWithError("not there");
        run->step();  // memory is allocated and touched
      }
      for (auto _ : state) run->step();
    });
  }
  int count = static_cast<int>(others.size());
  benchmark::Initialize(&count, others.data());
  if (benchmark::ReportUnrecognizedArguments(count, others.data())) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}
