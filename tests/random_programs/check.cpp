#include "check.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include <algorithm>

namespace xtape::test {
namespace {

// Closer to a kink than this, double (float) may be on its other side.
constexpr long double kink_margin = 1e-9L, float_kink_margin = 1e-4L;
// float's roundings are so many times those of double.
constexpr double float_roundings = 0x1p29;
// Beyond this relative effect of its roundings float has no digits worth comparing.
constexpr double worst_condition = 1e-3;

constexpr long double Jet::*parts[] = {&Jet::value, &Jet::first, &Jet::second};

// The weights of an end in the program's result, sum c y (1 + y/4): curved, so that the gradient into the last op
// depends on the point.
std::vector<double> weights(std::uint64_t seed, std::size_t line, std::size_t size) {
  std::mt19937_64 random(seed + 0x51ed27 * (line + 1));
  std::vector<double> result(size);
  for (double& c : result) {
    const auto bits = random();
    c = static_cast<float>((0.25 + 0.75 * static_cast<double>(bits >> 12) * 0x1p-52) * (bits & 1 ? 1 : -1));
  }
  return result;
}

// ---- the reference ----

// What the reference says of a program, and how far roundings may carry double away from it.
struct Expectation {
  Jet result;                            // of the ends together
  std::array<double, 3> result_noise{};  // of its value and derivatives
  std::vector<double> noise;             // of each line's values
};

Jet combined(const Program& program, const std::vector<Values>& lines, std::uint64_t seed) {
  Jet result = 0;
  for (const std::size_t end : program.ends()) {
    const auto c = weights(seed, end, lines[end].values.size());
    for (std::size_t i = 0; i < c.size(); ++i) {
      const Jet& y = lines[end].values[i];
      result += c[i] * y * (1 + 0.25 * y);
    }
  }
  return result;
}

long double largest(const Values& values, long double Jet::*part) {
  long double result = 0;
  for (const Jet& x : values.values) result = std::max(result, std::abs(x.*part));
  return result;
}

// The reference once more, on all lines: leaf(values) changes a leaf, result(values, step, inputs) an op's result.
template <class Leaf, class Result>
std::vector<Values> reference_lines(const Program& program, const Leaf& leaf, const Result& result) {
  std::vector<Values> lines;
  for (const Step& step : program.steps()) {
    std::vector<Values> inputs;
    for (const std::size_t i : step.inputs) inputs.push_back(lines[i]);
    lines.push_back(step.op ? step.reference(inputs) : step.values);
    if (step.op)
      result(lines.back(), step, inputs);
    else
      leaf(lines.back());
  }
  return lines;
}

// With a rounding's noise in each result.
std::vector<Values> noisy_lines(const Program& program, std::mt19937_64& random) {
  return reference_lines(
      program, [](const Values&) {},
      [&random](Values& y, const Step& step, const std::vector<Values>& inputs) {
        for (const auto part : parts) {
          // What is added up in an op may be as large as what goes into it.
          long double size = largest(y, part);
          for (const Values& x : inputs) size = std::max(size, largest(x, part));
          // The second derivative is made of products of first ones, also where they cancel.
          for (const Values& x : inputs)
            if (part == &Jet::second) size = std::max(size, largest(x, &Jet::first) * largest(x, &Jet::first));
          // Of either sign, and never near 0: a number that happens to meet no noise would have to be exact.
          for (Jet& v : y.values) {
            const std::uint64_t bits = random();
            const long double noise = 0.5L + static_cast<long double>(bits >> 11) * 0x1p-54L;
            v.*part += step.roundings * size * 0x1p-53L * (bits & 1 ? noise : -noise);
          }
        }
      });
}

Expectation expect(const Program& program, std::uint64_t seed) {
  std::vector<Values> exact;
  for (const Step& step : program.steps()) exact.push_back(step.values);
  Expectation e{combined(program, exact, seed), {}, {}};
  for (const Values& line : exact) e.noise.push_back(static_cast<double>(largest(line, &Jet::value)) * 0x1p-53);
  for (std::size_t p = 0; p < 3; ++p) e.result_noise[p] = static_cast<double>(std::abs(e.result.*parts[p])) * 0x1p-53;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2; ++round) {
    const auto lines = noisy_lines(program, random);
    for (std::size_t i = 0; i < lines.size(); ++i)
      for (std::size_t k = 0; k < lines[i].values.size(); ++k)
        e.noise[i] =
            std::max(e.noise[i], static_cast<double>(std::abs(lines[i].values[k].value - exact[i].values[k].value)));
    const Jet result = combined(program, lines, seed);
    for (std::size_t p = 0; p < 3; ++p)
      e.result_noise[p] =
          std::max(e.result_noise[p], static_cast<double>(std::abs(result.*parts[p] - e.result.*parts[p])));
  }
  return e;
}

// ---- the tape ----

template <class T> Tensor<T> apply(const Op& op, const Tensors<T>& x) {
  if constexpr (std::is_same_v<T, double>)
    return op.in_double(x);
  else
    return op.in_float(x);
}

template <class T> class TapeRun {
 public:
  TapeRun(const Program& program, std::uint64_t seed) : program_(program), seed_(seed) {}

  /// Compares all there is to compare.
  void compare(const Expectation& expected, bool second_order, Checked& out) {
    const double allowed = allowed_noise * (std::is_same_v<T, double> ? 1 : float_roundings);
    // Where all digits cancel, roundings are squared; and the reference has some of its own.
    floor_ = allowed * 0x1p-53 * allowed * 0x1p-53 + 0x1p-58;
    const std::size_t first_ratio = std::is_same_v<T, double> ? 0 : 3;
    Tape tape;
    for (std::size_t i = 0; i < program_.steps().size() && complain_.empty(); ++i) {
      lines_.push_back(run(i));
      out.ratio[first_ratio] =
          std::max(out.ratio[first_ratio], compare_values(i, allowed * expected.noise[i] + floor_));
    }
    if (complain_.empty()) {
      const auto y = result();
      const auto g = gradients(tape, y, second_order);
      out.ratio[first_ratio + 1] = compare_along("gradient", g, expected, 1, allowed);
      for (const auto name : tape.op_names()) out.recorded.emplace(name);
      if (second_order && complain_.empty()) {
        Tensor<T> along(T(0));
        for (std::size_t k = 0; k < g.size(); ++k) along = along + sum(g[k] * directions_[k]);
        const auto h = gradients(tape, along, true);  // recorded, though nobody asks for the third
        out.ratio[2] = compare_along("second derivative", h, expected, 2, allowed);
        for (const auto name : tape.op_names()) out.recorded.emplace(name);
        out.second_order = true;
      } else if (complain_.empty()) {
        compare_backward(tape, y, g);
      }
    }
    if (complain_.empty()) return;
    out.complaint = fmt::format("{}, seed {}: {}", std::is_same_v<T, double> ? "double" : "float", seed_, complain_);
  }

 private:
  Tensor<T> run(std::size_t line) {
    const Step& step = program_.steps()[line];
    if (step.op) {
      Tensors<T> inputs;
      for (const std::size_t i : step.inputs) inputs.push_back(lines_[i]);
      return apply<T>(*step.op, inputs);
    }
    std::vector<T> values, direction;
    for (const Jet& x : step.values.values) {
      values.push_back(static_cast<T>(x.value));
      direction.push_back(static_cast<T>(x.first));
    }
    const Tensor<T> leaf(step.values.shape, values);
    if (step.constant) return leaf;
    leaves_.push_back(parameter(leaf));
    directions_.emplace_back(step.values.shape, direction);
    return leaves_.back();
  }

  // The error as a multiple of the one allowed.
  double compare_values(std::size_t line, double allowed) {
    const Step& step = program_.steps()[line];
    const Tensor<T>& y = lines_[line];
    const std::string where = fmt::format("t{} = {}", line, step.text);
    if (y.shape() != step.values.shape) {
      complain_ = fmt::format("{} has shape {}", where, to_string(y.shape()));
      return 0;
    }
    double ratio = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto error =
          static_cast<double>(std::abs(static_cast<long double>(y.data()[i]) - step.values.values[i].value));
      if (!(error <= allowed)) {
        complain_ = fmt::format("{} has element {} = {}, expected {}; the error {:.1e} exceeds {:.1e}", where, i,
                                y.data()[i], static_cast<double>(step.values.values[i].value), error, allowed);
        return error / allowed;
      }
      if (error > 0) ratio = std::max(ratio, error / allowed);
    }
    return ratio;
  }

  Tensor<T> result() const {
    Tensor<T> y(T(0));
    for (const std::size_t end : program_.ends()) {
      std::vector<T> c;
      for (const double w : weights(seed_, end, lines_[end].size())) c.push_back(static_cast<T>(w));
      y = y + sum(Tensor<T>(lines_[end].shape(), c) * lines_[end] * (1.0 + 0.25 * lines_[end]));
    }
    return y;
  }

  Tensors<T> gradients(Tape& tape, const Tensor<T>& y, bool create_graph) {
    Tensors<T> result;
    if (y.requires_grad() && !leaves_.empty())
      result = tape.gradient(y, leaves_, {.create_graph = create_graph, .retain_graph = true});
    else
      for (const auto& leaf : leaves_) result.push_back(zeros<T>(leaf.shape()));
    for (std::size_t k = 0; k < leaves_.size(); ++k)
      if (result[k].shape() != leaves_[k].shape())
        complain_ = fmt::format("the gradient of leaf {} has shape {} instead of {}", k, to_string(result[k].shape()),
                                to_string(leaves_[k].shape()));
    return result;
  }

  // <gradient, direction> over all leaves, against the derivative along the line.
  double compare_along(const char* what, const Tensors<T>& g, const Expectation& expected, std::size_t order,
                       double allowed) {
    if (!complain_.empty()) return 0;
    long double along = 0, size = 0;
    for (std::size_t k = 0; k < g.size(); ++k)
      for (std::size_t i = 0; i < g[k].size(); ++i) {
        const long double term = static_cast<long double>(g[k].data()[i]) * directions_[k].data()[i];
        along += term;
        size += std::abs(term);
      }
    const double limit = allowed * (expected.result_noise[order] + static_cast<double>(size) * 0x1p-53) + floor_;
    const long double truth = expected.result.*parts[order];
    const auto error = static_cast<double>(std::abs(along - truth));
    if (!(error <= limit))
      complain_ = fmt::format("{} along the direction is {}, expected {}; the error {:.1e} exceeds {:.1e}", what,
                              static_cast<double>(along), static_cast<double>(truth), error, limit);
    return error > 0 ? error / limit : 0;
  }

  // backward() gives the same bits.
  void compare_backward(Tape& tape, const Tensor<T>& y, const Tensors<T>& g) {
    if (!y.requires_grad()) return;
    tape.backward(y);
    for (std::size_t k = 0; k < leaves_.size(); ++k) {
      const auto got = leaves_[k].grad();
      const bool same = got.defined() ? got.shape() == g[k].shape() && std::ranges::equal(got.span(), g[k].span())
                                      : std::ranges::all_of(g[k].span(), [](T v) { return v == T(0); });
      if (!same) complain_ = fmt::format("backward() and gradient() differ for leaf {}", k);
    }
  }

  const Program& program_;
  std::uint64_t seed_;
  double floor_ = 0;
  Tensors<T> lines_, leaves_, directions_;
  std::string complain_;
};

bool fit_for_float(const Program& program, const Expectation& e) {
  if (program.kink() < float_kink_margin) return false;
  for (std::size_t i = 0; i < program.steps().size(); ++i)
    if (!program.steps()[i].in_float || allowed_noise * float_roundings * e.noise[i] > worst_condition) return false;
  return true;
}

}  // namespace

Jet reference_result(const Program& program, std::uint64_t seed, long double t) {
  const auto move = [t](Values& leaf) {
    for (Jet& x : leaf.values) x.value += t * x.first;
  };
  return combined(program, reference_lines(program, move, [](const Values&, const Step&, const auto&) {}), seed);
}

Checked check(const Program& program, std::uint64_t seed) {
  Checked out;
  if (program.kink() < kink_margin) {
    out.near_kink = true;
    return out;
  }
  try {
    const Expectation expected = expect(program, seed);
    TapeRun<double>(program, seed).compare(expected, seed % 2 == 0, out);
    if (out.complaint.empty() && fit_for_float(program, expected)) {
      TapeRun<float>(program, seed).compare(expected, false, out);
      out.in_float = true;
    }
  } catch (const std::exception& error) {
    out.complaint = std::string("threw: ") + error.what();
  }
  return out;
}

}  // namespace xtape::test
