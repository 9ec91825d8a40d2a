// A tape as text and as a graph.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <xtape/format.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape.hpp>

using namespace xtape;

namespace {

struct Model {
  Tensor<float> x = ones<float>({32, 784});
  Tensor<float> w = parameter(ones<float>({784, 10})), b = parameter(ones<float>({10}));
};

}  // namespace

TEST_CASE("tape text: a line for each op") {
  const Model m;
  Tape tape;
  CHECK(tape.dump() == "");
  const auto h = sigmoid(matmul(m.x, m.w) + m.b);
  const auto y = sum(h * 2.F * m.w.detach().array()(0, 0) + h);
  const std::string unnamed =
      "#0  matmul    (32, 10)    1.3 kB         <- constant (32, 784), parameter 0 (784, 10)\n"
      "#1  add       (32, 10)    1.3 kB         <- #0, parameter 1 (10,)\n"
      "#2  sigmoid   (32, 10)    1.3 kB         <- #1\n"
      "#3  multiply  (32, 10)    1.3 kB         <- #2\n"
      "#4  multiply  (32, 10)    1.3 kB         <- #3\n"
      "#5  add       (32, 10)    1.3 kB         <- #4, #2\n"
      "#6  sum       ()             4 B         <- #5\n";
  CHECK(to_string(tape) == unnamed);
  CHECK(tape.dump() == unnamed);
  CHECK(fmt::format("{}", tape) == unnamed);
  const std::string named = tape.dump({{m.w, "W"}, {h, "h"}, {Tensor<float>(), "undefined"}});
  CHECK(named.find("#0  matmul       (32, 10)    1.3 kB         <- constant (32, 784), W (784, 10)\n") == 0);
  CHECK(named.find("#2  h = sigmoid  (32, 10)") != std::string::npos);
  CHECK(named.find("parameter 1 (10,)") != std::string::npos);
}

TEST_CASE("tape text: outputs kept, nodes freed, tensors of an enclosing tape") {
  const auto x = parameter(ones<double>({200, 1000}));
  const Tape outer;
  const auto h = square(x);
  Tape tape;
  const auto y = sum(exp(h));
  CHECK(tape.dump() ==
        "#0  exp  (200, 1000)    1.6 MB  kept   <- outer 0 (200, 1000)\n"
        "#1  sum  ()                8 B         <- #0\n");
  tape.backward(y);
  CHECK(tape.dump() ==
        "#0  exp  (200, 1000)    1.6 MB  freed  <- outer 0 (200, 1000)\n"
        "#1  sum  ()                8 B  freed  <- #0\n");
  tape.clear();
  CHECK(tape.dump() == "");
}

TEST_CASE("tape text: the graph") {
  const auto x = parameter(ones<double>({2, 3}));
  const auto c = ones<double>({3});
  Tape tape;
  const auto y = sum(x * c * x);
  const std::string expected =
      "digraph tape {\n"
      "  node [fontname=\"Helvetica\", fontsize=11, shape=box, style=\"rounded,filled\", fillcolor=\"#e8eef7\"];\n"
      "  edge [fontname=\"Helvetica\", fontsize=9];\n"
      "  p0 [label=\"say \\\"x\\\" \\\\ \\n(2, 3)\\n48 B\", shape=box, style=filled, fillcolor=\"#fbe3c0\"];\n"
      "  n0 [label=\"multiply\\n(2, 3)\\n48 B\"];\n"
      "  p0 -> n0 [label=\"48 B\"];\n"
      "  c0 [label=\"constant\\n(3,)\\n24 B\", shape=box, style=dashed];\n"
      "  c0 -> n0 [label=\"24 B\"];\n"
      "  n1 [label=\"multiply\\n(2, 3)\\n48 B\"];\n"
      "  n0 -> n1 [label=\"48 B\"];\n"
      "  p0 -> n1 [label=\"48 B\"];\n"
      "  n2 [label=\"y = sum\\n()\\n8 B\"];\n"
      "  n1 -> n2 [label=\"48 B\"];\n"
      "}\n";
  CHECK(tape.to_dot({{x, "say \"x\" \\\n"}, {y, "y"}}) == expected);
  CHECK(tape.to_dot({{x, "say \"x\" \\\n"}, {y, "y"}}) == expected);  // the same every time
  tape.backward(y);
  CHECK(tape.to_dot({{x, "say \"x\" \\\n"}, {y, "y"}}) == expected);
}
