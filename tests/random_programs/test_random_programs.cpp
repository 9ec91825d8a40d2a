// Thousands of random programs, run by the tape and by the reference.
//   XTAPE_RANDOM_PROGRAMS=N   so many of them
//   XTAPE_RANDOM_SEED=S       from this one on; alone: this one only, printed
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "check.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include <chrono>
#include <cstdlib>
#include <map>

namespace xtape::test {
namespace {

std::optional<std::uint64_t> from_environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::nullopt : std::optional<std::uint64_t>(std::strtoull(text, nullptr, 10));
}

// The instructions of a seed, and every way to make them simpler: fewer, or of smaller numbers.
rc::Shrinkable<Instructions> instructions(std::uint64_t seed) {
  static const auto any = rc::gen::resize(
      32, rc::gen::container<Instructions>(rc::gen::resize(
              rc::kNominalSize, rc::gen::container<Instruction>(rc::gen::inRange<std::uint16_t>(0, choice_limit)))));
  return any(rc::Random(seed), 32);
}

// What is left when no simpler program fails any more.
Instructions shrunken(rc::Shrinkable<Instructions> failing, std::span<const Entry> table, std::uint64_t seed) {
  for (bool simpler = true; simpler;) {
    simpler = false;
    auto candidates = failing.shrinks();
    while (auto candidate = candidates.next())
      if (!check(draw_program(table, candidate->value(), seed), seed).complaint.empty()) {
        failing = std::move(*candidate);
        simpler = true;
        break;
      }
  }
  return failing.value();
}

// What was found over many programs.
struct Tally {
  std::size_t programs = 0, empty = 0, near_kink = 0, second_order = 0, in_float = 0, ops = 0, longest = 0;
  std::array<double, 5> ratio{};
  std::map<std::string, std::size_t> entries;  ///< checked uses of each
  std::set<std::string> recorded;
  std::vector<std::string> failures;  ///< the programs that fail, shrunken, in words
  Program least;                      ///< the last of them
};

Tally run_programs(std::span<const Entry> table, std::uint64_t first_seed, std::size_t count,
                   std::size_t most_failures) {
  Tally tally;
  for (const Entry& entry : table) tally.entries[entry.name] = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + count && tally.failures.size() < most_failures; ++seed) {
    const auto list = instructions(seed);
    const Program program = draw_program(table, list.value(), seed);
    const Checked checked = check(program, seed);
    ++tally.programs;
    if (!checked.complaint.empty()) {
      tally.least = draw_program(table, shrunken(list, table, seed), seed);
      tally.failures.push_back(fmt::format("{}\nof this program (XTAPE_RANDOM_SEED={}):\n{}",
                                           check(tally.least, seed).complaint, seed, tally.least.text()));
      continue;
    }
    tally.near_kink += checked.near_kink;
    if (checked.near_kink) continue;
    tally.empty += program.ends().empty();
    tally.second_order += checked.second_order;
    tally.in_float += checked.in_float;
    std::size_t ops = 0;
    for (const Step& step : program.steps())
      if (step.op) ++ops, ++tally.entries[step.entry];
    tally.ops += ops;
    tally.longest = std::max(tally.longest, ops);
    for (std::size_t i = 0; i < tally.ratio.size(); ++i) tally.ratio[i] = std::max(tally.ratio[i], checked.ratio[i]);
    tally.recorded.insert(checked.recorded.begin(), checked.recorded.end());
  }
  return tally;
}

// The table with one op changed.
std::vector<Entry> with_wrong(const std::string& name, const std::function<Op(const Op&)>& change) {
  std::vector<Entry> table = entries();
  for (Entry& entry : table)
    if (entry.name == name)
      entry.draw = [draw = entry.draw, change](Draw& d) {
        auto step = draw(d);
        if (step) step->op = change(*step->op);
        return step;
      };
  return table;
}
// A function of one tensor in place of the op.
template <class F> std::function<Op(const Op&)> instead(F f) {
  return [f](const Op&) { return Op([f](const auto& x) { return f(x[0]); }); };
}

}  // namespace

TEST_CASE("random programs: the tape and the reference agree") {
  const auto seed = from_environment("XTAPE_RANDOM_SEED"), wanted = from_environment("XTAPE_RANDOM_PROGRAMS");
  const std::size_t count = wanted ? *wanted : seed ? 1 : 20000;
  const std::uint64_t first = seed.value_or(1);
  if (seed && count == 1) MESSAGE(draw_program(entries(), instructions(first).value(), first).text());

  const Tally tally = run_programs(entries(), first, count, 3);
  for (const std::string& failure : tally.failures) FAIL_CHECK(failure);
  if (wanted)
    MESSAGE(fmt::format(
        "{} programs, {} ops, the longest of {}; {} empty, {} near a kink; {} to second order, {} in "
        "float. Largest errors, as parts of what is allowed: value {:.2f}, gradient {:.2f}, second "
        "order {:.2f}, in float {:.2f} and {:.2f}. Entries: {}",
        tally.programs, tally.ops, tally.longest, tally.empty, tally.near_kink, tally.second_order, tally.in_float,
        tally.ratio[0], tally.ratio[1], tally.ratio[2], tally.ratio[3], tally.ratio[4], tally.entries));
  if (count < 2000) return;
  // Skipping must not hide anything.
  CHECK(tally.near_kink < tally.programs / 20);
  CHECK(tally.empty < tally.programs / 10);
  CHECK(tally.second_order > tally.programs / 3);
  CHECK(tally.in_float > tally.programs / 2);
  CHECK(tally.ops > 8 * tally.programs);
  for (const auto& entry : tally.entries) CHECK_MESSAGE(entry.second > tally.programs / 200, entry.first);
  // Whatever the op table knows is drawn here, too.
  for (const Row& row : op_table())
    for (const auto& names : {row.recorded_names(), row.helpers})
      for (const std::string& name : names)
        CHECK_MESSAGE((row.flags & not_differentiable || tally.recorded.contains(name)), name,
                      " is in no random program: add an entry to tests/random_programs");
}

TEST_CASE("random programs: the reference's derivatives are those of its values") {
  std::size_t checked = 0;
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    const Program program = draw_program(entries(), instructions(seed).value(), seed);
    // A detached tensor's values move all the same.
    const auto detached = [](const Step& step) { return step.entry == "detach"; };
    if (program.kink() < 0.03L || std::ranges::any_of(program.steps(), detached)) continue;
    constexpr long double h = 0x1p-16L;
    const auto at = [&](long double t) { return reference_result(program, seed, t).value; };
    const Jet middle = reference_result(program, seed, 0);
    const long double one = at(h), minus_one = at(-h), two = at(2 * h), minus_two = at(-2 * h);
    const long double first = (8 * (one - minus_one) - (two - minus_two)) / (12 * h);
    const long double second = (16 * (one + minus_one) - (two + minus_two) - 30 * middle.value) / (12 * h * h);
    const long double size = 1 + std::abs(middle.value) + std::abs(middle.first) + std::abs(middle.second);
    INFO(program.text());
    CHECK(std::abs(first - middle.first) < 1e-8L * size);
    CHECK(std::abs(second - middle.second) < 1e-6L * size);
    ++checked;
  }
  CHECK(checked > 300);
}

namespace {
// The ops that depend on a parameter. What a program computes of constants alone has no part in a wrong gradient, and
// taking it out would draw the rest anew.
std::size_t ops_on_the_way(const Program& program) {
  const auto& steps = program.steps();
  std::vector<bool> varies;
  std::size_t all = 0, varying = 0;
  for (const Step& step : steps) {
    const bool from_parameter = std::ranges::any_of(step.inputs, [&](std::size_t line) { return varies[line]; });
    varies.push_back(step.op ? from_parameter : !step.constant);
    all += step.op.has_value();
    varying += step.op && from_parameter;
  }
  return varying > 0 ? varying : all;
}
}  // namespace

TEST_CASE("random programs: ops that are wrong are found, in short programs") {
  const auto found = [](const std::string& name, const std::function<Op(const Op&)>& change) {
    const auto table = with_wrong(name, change);
    const Tally tally = run_programs(table, 1, 400, 1);
    INFO(name);
    REQUIRE(tally.failures.size() == 1);
    INFO(tally.failures[0]);
    CHECK(ops_on_the_way(tally.least) <= 3);
    return tally.failures[0];
  };
  using std::string;
  const auto says = [](const string& failure, const char* what) { CHECK(failure.find(what) != string::npos); };

  says(found("cos", instead([](const auto& x) { return cos(x) * (1 + 2e-14); })), "double, seed");
  says(found("negative", instead([](const auto& x) { return expand_dims(-x, 0); })), "has shape");
  says(found("tanh", instead([]<class T>(const Tensor<T>& x) {
               return record("tanh", tanh(x).detach(), {x},
                             [x](const Tensor<T>& dy) { return Gradients(dy * sech_squared(x) * (1 + 1e-12)); });
             })),
       "gradient along");
  // Right but for its history: only the second derivative can tell.
  says(found("sigmoid", instead([]<class T>(const Tensor<T>& x) {
               return record("sigmoid", sigmoid(x).detach(), {x}, [x](const Tensor<T>& dy) {
                 return Gradients(dy * (sigmoid(x) * (1 - sigmoid(x))).detach());
               });
             })),
       "second derivative along");
  says(found("exp", instead([]<class T>(const Tensor<T>& x) {
               return record("exp", exp(x).detach(), {x}, [x](const Tensor<T>& dy) {
                 return Gradients(dy * exp(x) * (std::is_same_v<T, float> ? 1.001 : 1.0));
               });
             })),
       "float, seed");
  // Wrong only if one of the two is a constant.
  says(found("multiply",
             [](const Op&) {
               return Op([]<class T>(const Tensors<T>& x) {
                 return record("multiply", (x[0] * x[1]).detach(), {x[0], x[1]},
                               [x](const Tensor<T>& dy, Wanted wanted) {
                                 const T factor = wanted[0] && wanted[1] ? T(1) : T(1.01);
                                 return Gradients(dy * x[1] * factor, dy * x[0] * factor);
                               });
               });
             }),
       "gradient along");
  // The permutation itself in place of its inverse.
  says(found("transpose",
             [](const Op& op) {
               return Op([op]<class T>(const Tensors<T>& x) {
                 const auto apply = [op](const Tensor<T>& t) {
                   if constexpr (std::is_same_v<T, double>)
                     return op.in_double({t});
                   else
                     return op.in_float({t});
                 };
                 return record(
                     "transpose", apply(x[0]).detach(), {x[0]},
                     [=, shape = x[0].shape()](const Tensor<T>& dy) { return Gradients(reshape(apply(dy), shape)); });
               });
             }),
       "gradient along");
  // A gradient that is lost where a tensor is used twice.
  says(found("add",
             [](const Op&) {
               return Op([]<class T>(const Tensors<T>& x) {
                 return x[0] + (x[0].impl().get() == x[1].impl().get() ? x[1].detach() : x[1]);
               });
             }),
       "gradient along");
}

}  // namespace xtape::test
