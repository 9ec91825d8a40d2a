#include "program.hpp"

#include <xtape/ops/arithmetic.hpp>

#include <algorithm>
#include <iterator>
#include <set>

namespace xtape::test {
namespace {

constexpr std::size_t most_elements = 600;
// Values beyond this are scaled down, so that programs of any depth stay where functions do not saturate.
constexpr long double largest_value = 4, largest_derivative = 1e3;
// Results beyond this are not taken into a program at all.
constexpr long double largest_unscaled = 1e6;

std::mt19937_64 generator(std::uint64_t seed, std::size_t line) {
  return std::mt19937_64(seed * 0x9e3779b97f4a7c15U + line + 1);
}
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

long double largest(const Values& values, long double Jet::*member) {
  long double result = 0;
  for (const Jet& x : values.values) {
    if (!std::isfinite(x.*member)) return std::numeric_limits<long double>::infinity();
    result = std::max(result, std::abs(x.*member));
  }
  return result;
}

}  // namespace

std::string literal(const Values& values) {
  std::vector<double> numbers;
  for (const Jet& x : values.values) numbers.push_back(static_cast<double>(x.value));
  return fmt::format("Tensor<double>({{{}}}, {{{}}})", fmt::join(values.shape.begin(), values.shape.end(), ", "),
                     fmt::join(numbers, ", "));
}

std::string Program::text() const {
  std::string result;
  for (std::size_t i = 0; i < steps_.size(); ++i)
    result += fmt::format("auto {} = {};  // {}\n", Draw::name(i), steps_[i].text, to_string(values(i).shape));
  return result;
}

std::vector<std::size_t> Program::ends() const {
  std::set<std::size_t> taken;
  for (const Step& step : steps_) taken.insert(step.inputs.begin(), step.inputs.end());
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < steps_.size(); ++i)
    if (steps_[i].op && !taken.contains(i)) result.push_back(i);
  return result;
}

std::size_t Draw::choice(std::size_t n) { return next_ < instruction_.size() ? instruction_[next_++] % n : 0; }

double Draw::number(double low, double high) {
  auto random = generator(~seed_, program_.steps_.size());
  return static_cast<float>(low + (high - low) * uniform(random));
}

Shape Draw::shape_of_rank(std::size_t rank) {
  // One number for all extents, digit by digit. Of 20 extents one is 0.
  constexpr std::size_t extents[] = {2, 3, 1, 4, 2, 5, 3, 2, 1, 3, 2, 4, 3, 1, 2, 3, 4, 2, 3, 0};
  std::size_t digits = choice(choice_limit);
  Shape shape;
  for (; rank > 0; --rank, digits /= 8) shape.push_back(extents[(digits + digits / 512) % std::size(extents)]);
  return shape;
}

std::size_t Draw::leaf(const Shape& shape) {
  const std::size_t line = program_.steps_.size();
  // Drawn by its number among the leaves: a program with an op taken out has the same leaves.
  const auto is_leaf = [](const Step& step) { return !step.op; };
  auto random = generator(seed_, static_cast<std::size_t>(std::ranges::count_if(program_.steps_, is_leaf)));
  Step step;
  step.constant = random() % 6 == 0;
  step.values = tabulate<Jet>(shape, [&](const Index&) {
    // Of either sign and not tiny, at numbers that float has too.
    const double size = 0.1 + 1.7 * uniform(random), along = 0.25 + 0.75 * uniform(random);
    const auto signs = random();
    return Jet(static_cast<float>(signs & 1 ? size : -size),
               step.constant ? 0.0L : static_cast<long double>(signs & 2 ? along : -along), 0.0L);
  });
  step.text = step.constant ? literal(step.values) : fmt::format("parameter({})", literal(step.values));
  program_.steps_.push_back(std::move(step));
  return line;
}

std::size_t Draw::broadcastable(const Shape& to) {
  const auto fits = [&](const Shape& s) {
    const std::size_t common = std::min(s.size(), to.size());
    for (std::size_t d = 1; d <= common; ++d) {
      const std::size_t m = s[s.size() - d], n = to[to.size() - d];
      if (m != n && m != 1 && n != 1) return false;
    }
    return true;
  };
  // If it is to be a leaf: some axes of extent 1, some dropped.
  Shape shape;
  const std::size_t how = choice(choice_limit), dropped = how % 5 == 4 ? how / 5 % (to.size() + 1) : 0;
  for (std::size_t d = dropped; d < to.size(); ++d) shape.push_back((how >> (d + 4)) % 4 == 3 ? 1 : to[d]);
  return matching(fits, shape);
}

std::ptrdiff_t Draw::axis(std::size_t rank) {
  const auto n = static_cast<std::ptrdiff_t>(rank);
  return static_cast<std::ptrdiff_t>(choice(2 * rank)) - n;
}

Axes Draw::axes(std::size_t rank) {
  const std::size_t which = choice(choice_limit);
  if (which % 4 == 0) return all_axes;
  Axes result;
  for (std::size_t i = 0; i < rank; ++i)
    if ((which >> (2 + i)) % 2 != 0)
      result.push_back(static_cast<std::ptrdiff_t>(i) -
                       ((which >> (7 + i)) % 2 != 0 ? static_cast<std::ptrdiff_t>(rank) : 0));
  return result;
}

std::string Draw::names(const std::vector<std::size_t>& lines) {
  std::vector<std::string> all;
  for (const std::size_t line : lines) all.push_back(name(line));
  return fmt::format("{}", fmt::join(all, ", "));
}

std::string Draw::text(const Axes& axes) const {
  return axes.is_all() ? "all_axes" : fmt::format("Axes{{{}}}", fmt::join(axes.begin(), axes.end(), ", "));
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> table = [] {
    std::vector<Entry> all;
    for (const auto family :
         {elementwise_entries, reduce_entries, scan_entries, normalise_entries, shape_entries, axes_entries,
          rearrange_entries, index_entries, sort_entries, product_entries, einsum_entries, system_entries,
          decomposition_entries, conv_entries, pool_entries, loss_entries, transform_entries})
      std::ranges::move(family(), std::back_inserter(all));
    return all;
  }();
  return table;
}

Program draw_program(std::span<const Entry> table, const Instructions& instructions, std::uint64_t seed) {
  Program program;
  // Runs the reference on the step and appends it, unless its values are of no use.
  const auto append = [&](Step step, const std::string& entry) {
    nearest_kink = std::numeric_limits<long double>::infinity();
    std::vector<Values> inputs;
    for (const std::size_t i : step.inputs) inputs.push_back(program.values(i));
    step.values = step.reference(inputs);
    step.entry = entry;
    const bool usable = step.values.values.size() <= most_elements &&
                        largest(step.values, &Jet::value) < largest_unscaled &&
                        largest(step.values, &Jet::first) < largest_derivative &&
                        largest(step.values, &Jet::second) < largest_derivative * largest_derivative;
    if (!usable) return;
    program.kink_ = std::min(program.kink_, nearest_kink);
    program.steps_.push_back(std::move(step));
  };
  for (const Instruction& instruction : instructions) {
    const Entry& entry = table[instruction[0] % table.size()];
    Draw draw(program, instruction, seed);
    auto drawn = entry.draw(draw);
    if (!drawn) continue;
    append(std::move(*drawn), entry.name);
    const long double size = largest(program.steps_.back().values, &Jet::value);
    if (size <= largest_value) continue;
    const double factor = std::exp2(-std::ceil(std::log2(static_cast<double>(size / largest_value))));
    append(step(
               {program.steps_.size() - 1}, fmt::format("t{} * {}", program.steps_.size() - 1, factor),
               [factor](const auto& x) { return x[0] * factor; },
               each<Jet>([factor](const Jet& x) { return x * factor; })),
           "number");
  }
  return program;
}

}  // namespace xtape::test
