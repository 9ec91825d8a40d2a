// Ops among the transforms, and the way to the other element type and back.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/cast.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/transforms.hpp>

#include "program.hpp"

namespace xtape::test {
namespace {

std::optional<Step> draw_checkpoint(Draw& draw) {
  const std::size_t x = draw.any(), y = draw.broadcastable(draw.shape(x));
  const bool passed = !draw.flag();  // both tensors, or one of them taken from outside
  const auto f = []<class T>(const Tensor<T>& a, const Tensor<T>& b) { return sin(a * b) + square(a); };
  const auto text =
      passed
          ? fmt::format("checkpoint<double>([](const auto& t) {{ return sin(t[0] * t[1]) + square(t[0]); }}, {{{}}})",
                        Draw::names({x, y}))
          : fmt::format("checkpoint<double>([y = {1}](const auto& x) {{ return sin(x * y) + square(x); }}, {0})",
                        Draw::name(x), Draw::name(y));
  return step(
      {x, y}, text,
      [=]<class T>(const Tensors<T>& t) {
        if (passed) return checkpoint<T>([f](const Tensors<T>& both) { return f(both[0], both[1]); }, t);
        return checkpoint<T>([f, b = t[1]](const Tensor<T>& a) { return f(a, b); }, t[0]);
      },
      each<Jet>([](const Jet& a, const Jet& b) { return sin(a * b) + a * a; }));
}

// Exact in both directions: what double holds of a float is a float.
std::optional<Step> draw_cast(Draw& draw) {
  const std::size_t x = draw.any();
  return step(
      {x}, fmt::format("cast<T>(sin(cast<double>({})))", Draw::name(x)),
      []<class T>(const Tensors<T>& t) { return cast<T>(sin(cast<double>(t[0]))); },
      each<Jet>([](const Jet& v) { return sin(v); }));
}

}  // namespace

std::vector<Entry> transform_entries() { return {{"checkpoint", draw_checkpoint}, {"cast", draw_cast}}; }

}  // namespace xtape::test
