// Every check, applied to every row of the op table.
#include <xtape/error.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

#include "../src/tape/recording.hpp"
#include "op_table_reference.hpp"
#include "test_ops_measure.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

const Errors& measured(const Row& row) {
  static std::map<std::string, Errors> cache;
  const auto [entry, is_new] = cache.try_emplace(row.name);
  if (is_new) entry->second = measure(row);
  return entry->second;
}

bool same_bits(const Tensor<double>& a, const Tensor<double>& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.span(), b.span(), [](double u, double v) {
           return std::bit_cast<std::uint64_t>(u) == std::bit_cast<std::uint64_t>(v);
         });
}

Tensors<double> parameters(const Tensors<double>& x) {
  Tensors<double> leaves;
  for (const auto& t : x) leaves.push_back(parameter(t));
  return leaves;
}

std::set<std::string> names_on(const Tape& tape) {
  std::set<std::string> names;
  for (const auto name : tape.op_names()) names.emplace(name);
  return names;
}

// The names that the op itself leaves on a tape, and those on it after the op was differentiated twice, so that
// the ops of a pullback's pullback show too.
void collect_names(const Sample& s, std::set<std::string>& forward, std::set<std::string>& backward) {
  const auto x = parameters(s.x);
  Tape tape;
  const auto y = s.which->op.in_double(x);
  forward.merge(names_on(tape));
  if (!y.requires_grad()) return;
  auto scalar = sum(square(y));
  const int orders = s.row->no_third_order.empty() ? 2 : 1;
  for (int order = 0; order < orders && scalar.requires_grad(); ++order) {
    const auto gradients = tape.gradient(scalar, x, {.create_graph = true});
    scalar = Tensor<double>(0.0);
    for (const auto& g : gradients) scalar = scalar + sum(square(g));
  }
  backward.merge(names_on(tape));
}

// Runs check(sample) on each sample of each row that has the flag.
template <class F> void for_samples(unsigned flag, const F& check) {
  for (const Row& row : op_table()) {
    if ((row.flags & flag) != flag) continue;
    for (const Sample& s : samples_of(row)) {
      INFO(s.name);
      CHECK_NOTHROW(check(s));
    }
  }
}

std::vector<std::size_t> all_inputs(const Sample& s) {
  std::vector<std::size_t> all(s.x.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// The op is affine in these inputs together: its gradient times them is what it is more than with zeros in their place.
void check_linear(const Sample& s, const std::vector<std::size_t>& in) {
  const auto x = parameters(s.x);
  Tensors<double> zero = x, moved;
  for (const std::size_t k : in) {
    zero[k] = zeros<double>(x[k].shape());
    moved.push_back(x[k]);
  }
  Tape tape;
  const auto y = s.which->op.in_double(x), offset = s.which->op.in_double(zero);
  if (y.size() == 0 || !y.requires_grad()) return;
  std::vector<double> weights(y.size());
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = 1.0 + 0.25 * static_cast<double>(i % 5);
  const Tensor<double> u(y.shape(), weights);
  double by_gradient = 0, scale = 1;
  const auto gradients = tape.vjp(y, u, moved);
  for (std::size_t k = 0; k < moved.size(); ++k) {
    by_gradient += sum(gradients[k] * moved[k]).item();
    scale += sum(abs(gradients[k] * moved[k])).item();
  }
  const double by_value = sum(u * (y - offset)).item();
  if (!std::isnan(by_value)) CHECK(std::abs(by_gradient - by_value) <= 1e-14 * scale);
}

// As Markdown: docs/accuracy.md holds what this prints.
void print_op_table() {
  fmt::print("| op | value | first order | second | third | differences, first | second | float: value | gradient |\n");
  fmt::print("|---|---|---|---|---|---|---|---|---|\n");
  for (const Row& row : op_table()) {
    const Errors& e = measured(row);
    const auto cell = [](double error) { return error == 0 ? std::string("0") : fmt::format("{:.1e}", error); };
    const bool linked = !(row.flags & not_differentiable), third = linked && row.no_third_order.empty();
    fmt::print("| {} |", row.name);
    const std::pair<bool, double> cells[] = {{true, e.value},
                                             {linked, e.first},
                                             {linked, e.second},
                                             {third, e.third},
                                             {linked, e.gradcheck_first},
                                             {linked, e.gradcheck_second},
                                             {row.no_float.empty(), e.float_value},
                                             {row.no_float.empty() && linked, e.float_gradient}};
    for (const auto& [measured_at_all, error] : cells) fmt::print(" {} |", measured_at_all ? cell(error) : "–");
    fmt::print("\n");
  }
  for (const Row& row : op_table()) {
    if (!row.no_third_order.empty()) fmt::print("\n{}: no third derivative: {}", row.name, row.no_third_order);
    if (!row.no_float.empty()) fmt::print("\n{}: float is not compared: {}", row.name, row.no_float);
  }
  fmt::print("\n");
}

}  // namespace

TEST_CASE("op table: names are unique, and every row has cases") {
  std::set<std::string> names;
  for (const Row& row : op_table()) {
    CAPTURE(row.name);
    CHECK(names.insert(row.name).second);
    CHECK(!row.cases.empty());
  }
}

TEST_CASE("op table: values, derivatives to third order, float, one input alone, the same tensor twice") {
  for (const Row& row : op_table()) {
    const Errors& errors = measured(row);
    CHECK_MESSAGE(errors.worst.empty(), errors.worst);
  }
}

TEST_CASE("op table: errors are printed if XTAPE_PRINT_OP_TABLE is set") {
  const char* wanted = std::getenv("XTAPE_PRINT_OP_TABLE");
  if (wanted && *wanted && std::string_view(wanted) != "0") print_op_table();
}

TEST_CASE("op table: each row leaves on the tape the names it declares") {
  for (const Row& row : op_table()) {
    CAPTURE(row.name);
    std::set<std::string> forward, backward;
    for (const Sample& s : samples_of(row)) {
      INFO(s.name);
      CHECK_NOTHROW(collect_names(s, forward, backward));
    }
    const auto declared = row.recorded_names();
    const std::set<std::string> expected(declared.begin(), declared.end());
    if (row.flags & not_differentiable)
      CHECK(forward.empty());
    else
      CHECK_MESSAGE(forward == expected,
                    fmt::format("recorded: {}; declared: {}", fmt::join(forward, ", "), fmt::join(expected, ", ")));
    for (const auto& helper : row.helpers) CHECK_MESSAGE(backward.contains(helper), helper, " is not recorded");
    for (const auto& name : backward) {
      const bool known = std::ranges::any_of(op_table(), [&](const Row& r) {
        const auto names = r.recorded_names();
        return std::ranges::count(names, name) + std::ranges::count(r.helpers, name) > 0;
      });
      CHECK_MESSAGE(known, name, " has no row");
    }
  }
}

TEST_CASE("op table: without a parameter, or without a tape, nothing is recorded and the values are the same") {
  for_samples(none, [](const Sample& s) {
    const auto leaves = parameters(s.x);
    const auto without = s.which->op.in_double(leaves);
    CHECK(!without.requires_grad());
    // Also an op that has nothing to do gives a tensor of its own.
    CHECK(std::ranges::none_of(leaves, [&](const auto& x) { return x.impl().get() == without.impl().get(); }));
    Tape tape;
    const auto constant = s.which->op.in_double(s.x);
    CHECK(!constant.requires_grad());
    CHECK(tape.size() == 0);
    const auto recorded = s.which->op.in_double(parameters(s.x));
    CHECK(same_bits(without, recorded));
    CHECK(same_bits(without, constant));
  });
}

TEST_CASE("op table: an elementwise op gives the same bits for an element among others and alone") {
  std::size_t compared = 0;
  for_samples(elementwise, [&](const Sample& s) {
    const auto y = s.which->op.in_double(s.x);
    Arrays inputs;
    for (const auto& t : s.x) inputs.push_back({t.shape(), std::vector<Real>(t.data(), t.data() + t.size())});
    if (joined_shape(inputs) != y.shape()) return;  // an expression beside the inputs has a shape of its own
    std::size_t flat = 0, differing = 0;
    static_cast<void>(tabulate(y.shape(), [&](const Index& i) -> Real {
      Tensors<double> alone;
      for (const Array& a : inputs) alone.emplace_back(static_cast<double>(at(a, i)));
      const auto single = s.which->op.in_double(alone);
      if (single.size() == 1) {
        ++compared;
        differing += !same_bits(single, Tensor<double>(y.data()[flat]));
      }
      ++flat;
      return 0;
    }));
    CHECK(differing == 0);
  });
  CHECK(compared > 1000);
}

TEST_CASE("op table: a broadcast input gives the same as its repetition by hand") {
  for_samples(broadcasting, [](const Sample& s) {
    const auto y = s.which->op.in_double(s.x);
    Tensors<double> repeated;
    for (const auto& x : s.x) repeated.push_back(broadcast_to(x, y.shape()));
    CHECK(same_bits(y, s.which->op.in_double(repeated)));
  });
}

TEST_CASE("op table: a linear op is its gradient times its input") {
  for_samples(linear, [](const Sample& s) { check_linear(s, all_inputs(s)); });
}

TEST_CASE("op table: ops are of the kinds that they declare") {
  std::map<Kind, std::size_t> seen;
  for_samples(none, [&](const Sample& s) {
    Tape tape;
    static_cast<void>(s.which->op.in_double(parameters(s.x)));
    if (tape.size() != 1) return;  // of several ops together nothing is declared
    const Kind kind = xtape::detail::active_recording()->nodes()[0].type->kind;
    for (const Kind one : {Kind::elementwise, Kind::linear, Kind::bilinear}) seen[one] += has(kind, one);
    if ((s.row->flags & elementwise) != 0) CHECK(has(kind, Kind::elementwise));  // held to that above
    if (has(kind, Kind::linear)) check_linear(s, all_inputs(s));
    if (has(kind, Kind::bilinear))
      for (std::size_t k = 0; k < s.x.size(); ++k) check_linear(s, {k});
  });
  for (const auto& [kind, count] : seen) {
    CAPTURE(static_cast<unsigned>(kind));
    CHECK(count > 10);
  }
}

TEST_CASE("op table: wrong shapes throw a ShapeError that names the op and the shapes") {
  for (const Row& row : op_table())
    for (std::size_t i = 0; i < row.refused.size(); ++i) {
      const Refused& refused = row.refused[i];
      CAPTURE(row.name);
      CAPTURE(i);
      const auto message_of = [&]<class T>(const auto& run, T) -> std::string {
        Tensors<T> x;
        for (const Shape& shape : refused.shapes) x.push_back(ones<T>(shape));
        try {
          run(x);
        } catch (const ShapeError& error) {
          return error.what();
        } catch (const std::exception& error) {
          return std::string("not a ShapeError: ") + error.what();
        }
        return "nothing was thrown";
      };
      const std::string message = message_of(refused.op.in_double, 0.0);
      CHECK_MESSAGE(message.starts_with(row.name + ":"), message);
      for (const Shape& shape : refused.mentioned.empty() ? refused.shapes : refused.mentioned)
        CHECK_MESSAGE(message.find(to_string(shape)) != std::string::npos, message, " lacks ", to_string(shape));
      CHECK(message_of(refused.op.in_float, 0.0F) == message);
    }
}

TEST_CASE("op table: inputs of any shape either work, with gradients of their shapes, or throw an Error") {
  const std::vector<Shape> shapes{{}, {0}, {1}, {3}, {2, 3}, {0, 2}, {3, 3}, {2, 1, 2}, {1, 2, 3, 3}, {2, 2, 2, 2}};
  std::size_t worked = 0, thrown = 0;
  const auto attempt = [&](const Row& row, const Case& which, const std::vector<Shape>& chosen) {
    try {
      const auto x = parameters(inputs_of(row, chosen));
      Tape tape;
      const auto y = which.op.in_double(x);
      ++worked;
      if (!y.requires_grad()) return true;
      const auto gradients = tape.vjp(y, ones<double>(y.shape()), x);
      for (std::size_t k = 0; k < x.size(); ++k)
        if (gradients[k].shape() != x[k].shape()) return false;
      return true;
    } catch (const Error&) {
      ++thrown;
      return true;
    } catch (...) {
      return false;
    }
  };
  for (const Row& row : op_table())
    for (const Case& which : row.cases) {
      const std::size_t inputs = which.shapes[0].size();
      std::vector<std::size_t> choice(inputs);
      for (bool more = true; more;) {
        std::vector<Shape> chosen;
        std::string text = row.name;
        for (const std::size_t i : choice) chosen.push_back(shapes[i]), text += " " + to_string(shapes[i]);
        CHECK_MESSAGE(attempt(row, which, chosen), text);
        // The next choice, in the manner of a counter; of more than three inputs the rest are like the third.
        std::size_t digit = 0;
        while (digit < std::min<std::size_t>(inputs, 3) && ++choice[digit] == shapes.size()) choice[digit++] = 0;
        more = digit < std::min<std::size_t>(inputs, 3);
        for (std::size_t k = 3; k < inputs; ++k) choice[k] = choice[2];
      }
    }
  CHECK(worked > 1000);
  CHECK(thrown > 1000);
}

TEST_CASE("op table: an undefined tensor throws an Error") {
  for (const Row& row : op_table())
    for (const Case& which : row.cases)
      for (std::size_t k = 0; k < which.shapes[0].size(); ++k) {
        INFO(row.name, " case ", &which - row.cases.data(), " input ", k);
        auto x = inputs_of(row, which.shapes[0]);
        x[k] = Tensor<double>();
        CHECK_THROWS_AS(which.op.in_double(x), const Error&);
      }
}

// ---- the checks themselves: each must find an op that is wrong -------------------------------------------------

namespace {

// y = x^2 with a pullback of the caller's.
template <class F> Row squaring(F pullback) {
  return {.name = "wrong",
          .cases = {{[pullback]<class T>(const Tensors<T>& x) {
                       return record("wrong", square(x[0]).detach(), {x[0]},
                                     [x = x[0], pullback](const Tensor<T>& dy) { return Gradients(pullback(dy, x)); });
                     },
                     each([](Real x) { return x * x; }),
                     {{{2, 3}}}}}};
}

}  // namespace

TEST_CASE("op table: the checks find an op that is wrong") {
  const Errors right = measure(squaring([](const auto& dy, const auto& x) { return dy * (2 * x); }));
  CHECK_MESSAGE(right.worst.empty(), right.worst);
  const auto wrong = [](const auto& pullback) { return measure(squaring(pullback)); };

  const Errors off = wrong([](const auto& dy, const auto& x) { return dy * (2.000001 * x); });
  CHECK(off.first > 1e-7);
  CHECK(off.gradcheck_first > tolerances.gradcheck);
  CHECK(off.worst.starts_with("wrong case 0 (2, 3): first order"));

  const Errors no_history = wrong([](const auto& dy, const auto& x) { return dy * (2 * x.detach()); });
  CHECK(no_history.first <= tolerances.first);
  CHECK(no_history.second > 0.1);
  CHECK(no_history.gradcheck_second > 0.1);
  const Errors no_dy = wrong([](const auto& dy, const auto& x) { return dy.detach() * (2 * x); });
  CHECK(no_dy.second > 0.1);

  const Errors one_element = wrong([]<class T>(const Tensor<T>& dy, const Tensor<T>& x) {
    return dy * (2 * x) * where(xt::xarray<double>{{1, 1, 1}, {1, 1, 0}}, T(1), T(1.001));
  });
  CHECK(one_element.first > 1e-4);

  const Errors only_float = wrong([]<class T>(const Tensor<T>& dy, const Tensor<T>& x) {
    return dy * (T(std::is_same_v<T, float> ? 2.001 : 2) * x);
  });
  CHECK(only_float.first <= tolerances.first);
  CHECK(only_float.float_gradient > tolerances.float_gradient);

  const Row two_inputs{.name = "wrong",
                       .cases = {{[]<class T>(const Tensors<T>& x) {
                                    return record("wrong", (x[0] * x[1]).detach(), {x[0], x[1]},
                                                  [x](const Tensor<T>& dy, Wanted wanted) {
                                                    // Right among all, wrong alone.
                                                    const T factor = wanted[0] && wanted[1] ? T(1) : T(1.01);
                                                    return Gradients(dy * x[1] * factor, dy * x[0] * factor);
                                                  });
                                  },
                                  each([](Real a, Real b) { return a * b; }),
                                  {{{2}, {2}}}}}};
  CHECK(measure(two_inputs).one_alone > 1e-3);

  const Row wrong_value{
      .name = "wrong",
      .cases = {{[](const auto& x) { return x[0] * 1.0000001; }, each([](Real a) { return a; }), {{{2}}}}}};
  CHECK(measure(wrong_value).value > 1e-8);
  const Row wrong_shape{
      .name = "wrong",
      .cases = {{[](const auto& x) { return expand_dims(x[0], 0); }, each([](Real a) { return a; }), {{{2}}}}}};
  CHECK(measure(wrong_shape).value > 1);
}
