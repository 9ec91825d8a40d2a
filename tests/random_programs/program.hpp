#pragma once
// Random programs: graphs of ops drawn from a table, each of which two interpreters run, the tape and a reference of
// plain loops in long double that carries derivatives along (jet.hpp).
//
// A program is drawn from a list of instructions, a few numbers each, and every list is a program. So a list that
// makes the two disagree can be cut down to the shortest one that still does.
//
// To cover a new op, add an entry to one of the files entries_*.cpp.

#include "../op_table_reference.hpp"
#include "jet.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <span>

namespace xtape::test {

using Values = ArrayOf<Jet>;
using JetReference = ReferenceOf<Jet>;

/// The first number chooses an op, the others its inputs and options; smaller means simpler.
using Instruction = std::array<std::uint16_t, 14>;
using Instructions = std::vector<Instruction>;
inline constexpr std::uint16_t choice_limit = 4096;

/// One line of a program: the tensor that an op makes of earlier ones. A line without an op is a leaf.
struct Step {
  std::vector<std::size_t> inputs{};  ///< lines
  std::string text{};                 ///< as one would write it
  std::optional<Op> op{};
  JetReference reference{};
  bool in_float = true;       ///< float makes the same of it as double does
  long double roundings = 1;  ///< of the largest element, that the result of the op may be off by its nature
  // The rest is filled in when the step becomes part of a program.
  std::string entry{};
  Values values{};        ///< on which the reference has been run
  bool constant = false;  ///< a leaf without gradient
};

/// A tensor's elements as a program's text has them.
std::string literal(const Values& values);

class Program {
 public:
  const std::vector<Step>& steps() const { return steps_; }
  const Values& values(std::size_t line) const { return steps_[line].values; }
  /// Distance to the nearest kink, see nearest_kink.
  long double kink() const { return kink_; }
  /// The program in C++.
  std::string text() const;
  /// Lines with an op that no other line takes.
  std::vector<std::size_t> ends() const;

 private:
  friend class Draw;
  friend Program draw_program(std::span<const struct Entry> table, const Instructions& instructions,
                              std::uint64_t seed);
  std::vector<Step> steps_;
  long double kink_ = std::numeric_limits<long double>::infinity();
};

/// What an entry draws from: the numbers of an instruction and the program so far.
class Draw {
 public:
  Draw(Program& program, const Instruction& instruction, std::uint64_t seed)
      : program_(program), instruction_(instruction), seed_(seed) {}

  /// One of 0 to n - 1; 0 once the instruction is used up.
  std::size_t choice(std::size_t n);
  bool flag() { return choice(2) != 0; }
  /// Mostly 0 (the list's first), for what should be rare.
  template <class V> V of(std::initializer_list<V> list) { return list.begin()[choice(list.size())]; }
  /// A number in [low, high], exact in float; drawn from the seed, not from the instruction.
  double number(double low, double high);

  /// An earlier tensor, or a new leaf.
  std::size_t any() {
    return matching([](const Shape&) { return true; }, {});
  }
  /// An earlier tensor whose shape is accepted; if there is none, and sometimes else, a leaf of the shape
  /// `otherwise` (of any shape if not given and accepted).
  template <class F> std::size_t matching(const F& accepts, std::optional<Shape> otherwise);
  /// A tensor that broadcasts with the shape.
  std::size_t broadcastable(const Shape& shape);
  std::size_t leaf(const Shape& shape);
  Shape shape_of_rank(std::size_t rank);

  const Shape& shape(std::size_t line) const { return program_.values(line).shape; }
  /// An axis, from the front or the back; `rank` is at least 1.
  std::ptrdiff_t axis(std::size_t rank);
  /// Some axes, all, or none.
  Axes axes(std::size_t rank);
  static std::string name(std::size_t line) { return fmt::format("t{}", line); }
  static std::string names(const std::vector<std::size_t>& lines);
  std::string text(const Axes& axes) const;

 private:
  Program& program_;
  const Instruction& instruction_;
  std::uint64_t seed_;
  std::size_t next_ = 1;
};

/// An op of the table: draws its inputs and options. Nothing if it cannot be applied to what was drawn.
struct Entry {
  std::string name;
  std::function<std::optional<Step>(Draw&)> draw;
};

template <class F> std::size_t Draw::matching(const F& accepts, std::optional<Shape> otherwise) {
  std::vector<std::size_t> fitting;
  for (std::size_t i = program_.steps_.size(); i-- > 0;)
    if (accepts(shape(i))) fitting.push_back(i);
  const std::size_t n = choice(choice_limit);
  // A quarter of the inputs are new, a half among the two made last.
  if (!fitting.empty() && n < choice_limit / 4 * 3)
    return n < choice_limit / 2 ? fitting[n % std::min<std::size_t>(2, fitting.size())] : fitting[n % fitting.size()];
  if (!otherwise) {
    constexpr std::size_t ranks[] = {2, 1, 3, 2, 4, 0, 2, 3};
    otherwise = shape_of_rank(ranks[choice(std::size(ranks))]);
    if (!accepts(*otherwise)) throw std::logic_error("random programs: a shape is needed for the leaf");
  }
  return leaf(*otherwise);
}

/// All entries.
const std::vector<Entry>& entries();
// By family.
std::vector<Entry> elementwise_entries();
std::vector<Entry> reduce_entries();
std::vector<Entry> scan_entries();
std::vector<Entry> normalise_entries();
std::vector<Entry> shape_entries();
std::vector<Entry> axes_entries();
std::vector<Entry> rearrange_entries();
std::vector<Entry> index_entries();
std::vector<Entry> sort_entries();
std::vector<Entry> product_entries();
std::vector<Entry> einsum_entries();
std::vector<Entry> system_entries();
std::vector<Entry> decomposition_entries();
std::vector<Entry> conv_entries();
std::vector<Entry> pool_entries();
std::vector<Entry> loss_entries();
std::vector<Entry> transform_entries();

/// The program of these instructions; `seed` gives the leaves' elements, and which need no gradient.
Program draw_program(std::span<const Entry> table, const Instructions& instructions, std::uint64_t seed);

/// A step of a function that takes one vector of tensors, in both precisions.
template <class F> Step step(std::vector<std::size_t> inputs, std::string text, const F& op, JetReference reference) {
  return {.inputs = std::move(inputs), .text = std::move(text), .op = Op(op), .reference = std::move(reference)};
}

}  // namespace xtape::test
