// Verifies the gradients that a student derived by hand: every formula of the solution, as printed and as
// corrected, against the tape, against central differences and, for small models, by enumeration.

#include "problems.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <string_view>

#include "../numbers.hpp"
#include "../process.hpp"

namespace {

using namespace derivation;

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) != 0 && (no_colour == nullptr || *no_colour == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

constexpr const char* legend =
    "Formulas of the solution, as printed and as corrected, written out as loops and held against the tape, against\n"
    "central differences and, for small models, against sums over all states. Errors are relative: of a RIGHT formula\n"
    "the largest, of a WRONG one the smallest that shows the mistake. HIDDEN: a wrong formula that looks right at "
    "this\n"
    "point. KINK: no derivative here, the tape takes one side. For each configuration: R right, W wrong, h hidden, w\n"
    "hidden in a part of its cases, ! not as expected.\n";

int verify_all(const std::vector<Geometry>& configurations, std::uint64_t seed, bool verbose) {
  const Style style{wants_colour()};
  fmt::print("{}\n", legend);
  const std::vector<Table> tables{problem1(configurations, seed), problem3_conditionals(seed), problem3_gradients(seed),
                                  problem4(seed), where_mistakes_hide(seed)};
  Tally total;
  for (const Table& table : tables) {
    fmt::print("{}\n", table.to_string(style, verbose));
    const Tally tally = table.tally();
    total.lines += tally.lines;
    total.cases += tally.cases;
    total.unexpected += tally.unexpected;
  }
  fmt::print("{}\n", style.bold("The printed formulas"));
  fmt::print("  Problem 1  {}\n", tables[0].printed_formulas());
  fmt::print("  Problem 3  {}\n", tables[1].printed_formulas());
  fmt::print("  Problem 4  {}\n", tables[3].printed_formulas());
  const std::string what = fmt::format("{} verdicts on {} formulas, seed {}: ", total.cases, total.lines, seed);
  if (total.unexpected == 0)
    fmt::print("\n{}{}\n", what, style.good("all as expected"));
  else
    fmt::print("\n{}{}\n", what, style.alarm(fmt::format("{} not as expected", total.unexpected)));
  return total.unexpected == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Finds the mistakes in gradients derived by hand. Exit status: 0 if every verdict is the expected\n"
      "one, 1 if not, 2 for bad options.",
      "verify_gradients"};
  std::uint64_t seed = 1;
  std::vector<Geometry> configurations;
  bool verbose = false;
  app.add_option("--seed", seed, "seed of all weights and images")
      ->transform(examples::whole(0))
      ->capture_default_str();
  app.add_option_function<std::vector<std::string>>(
         "--config",
         [&](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             const auto [geometry, error] = parse_geometry(text);
             if (!error.empty()) throw CLI::ValidationError("--config", error);
             configurations.push_back(geometry);
           }
         },
         "Problem 1's image side d, kernel side k, stride s and pooling window p, e.g. 9,3,2,2; may be repeated "
         "(default: the six of the assignment)")
      ->type_name("d,k,s,p")
      ->allow_extra_args(false);
  app.add_flag("--verbose", verbose,
               "every configuration and loss by itself, with the worst entry (its index in the tensor, from 0)");
  examples::prepare_process();
  try {
    examples::parse(app, argc, argv);
    const int status = verify_all(configurations.empty() ? all_configurations() : configurations, seed, verbose);
    examples::finish_output();
    return status;
  } catch (const CLI::Success&) {  // --help
    return 0;
  } catch (const std::exception& e) {
    examples::complain(std::string("verify_gradients: ") + e.what());
    return 2;
  }
}
