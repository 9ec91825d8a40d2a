// The fused map, against the same formula in unfused ops.

#include <doctest/doctest.h>
#include <xtape/init.hpp>
#include <xtape/map.hpp>
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/transforms.hpp>
#include <xtape/verify.hpp>

#include "op_table.hpp"
#include "paths.hpp"
#include "test_ops_measure.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <regex>
#include <set>

using namespace xtape;
using D = Tensor<double>;

namespace {

// Values, gradients and gradients of gradients of map(f, x, y) against f(x, y) on tensors.
template <class F> void same(const char* name, const F& f, const D& x0, const D& y0) {
  CAPTURE(name);
  const auto run = [&](auto&& function) {
    std::vector<D> results;
    const D x = parameter(x0), y = parameter(y0);
    Tape tape;
    const D z = function(x, y);
    const D weights = init::normal(z.shape(), 0.0, 1.0, *std::make_unique<Rng>(5));
    const auto first = tape.gradient(sum(z * weights), {x, y}, {.create_graph = true});
    const auto second = tape.gradient(sum(sin(first[0])) + sum(sin(first[1])), {x, y});
    return std::vector<D>{z.detach(), first[0].detach(), first[1].detach(), second[0], second[1]};
  };
  const auto fused = run([&](const D& x, const D& y) { return map(f, x, y); });
  const auto unfused = run([&](const D& x, const D& y) { return f(x, y); });
  for (std::size_t i = 0; i < fused.size(); ++i) {
    CAPTURE(i);
    const auto comparison = compare_gradients(fused[i], unfused[i]);
    CHECK(comparison.largest_error < 1e-11);
  }
}

// A function, and its comparison on given inputs: one line each, whose formula in a and b must depend on both to
// second order, so that mixed derivatives are compared too.
struct Entry {
  std::string name;  // as in docs/map.md
  std::function<void(const D&, const D&, const D&)> compare;
};
#define ENTRY(name, formula, first)                                                           \
  {                                                                                           \
    name, []([[maybe_unused]] const D& positive, [[maybe_unused]] const D& any, const D& y) { \
      same(                                                                                   \
          #formula, [](const auto& a, const auto& b) { return formula; }, first, y);          \
    }                                                                                         \
  }
D domain_of(const std::string& name) {
  const auto row = std::ranges::find(test::op_table(), name, &test::Row::name);
  REQUIRE_MESSAGE(row != test::op_table().end(), name, " has no row in the op table");
  return test::inputs_of(*row, {{7, 5}})[0];
}
const std::vector<Entry>& entries() {
  static const std::vector<Entry> all{
// Those of one tensor, from the list; the domains are those of the op table.
#define XTAPE_FUNCTION(name, Struct) ENTRY(#name, name(a) * b + b * b, domain_of(#name)),
#include <xtape/functions/list.hpp>
      ENTRY("leaky_relu", leaky_relu(a, 0.1) * b * b + leaky_relu(b), any),
      ENTRY("elu", elu(a, 0.7) * b * b + elu(b), any),
      ENTRY("atan2", atan2(a, b) + atan2(a, 0.4) * atan2(0.7, b), any),
      ENTRY("hypot", hypot(a, b) + hypot(a, 0.4) * hypot(0.7, b), any),
      ENTRY("logaddexp", logaddexp(a, b) + logaddexp(a, 0.4) * logaddexp(0.7, b), any),
      ENTRY("clip", clip(a, -1.0, 0.5) * b * b, any),
      ENTRY("maximum", maximum(a, b) * b + maximum(a, 0.3) * maximum(-0.2, b), any),
      ENTRY("minimum", minimum(a, b) * b + minimum(a, 0.3) * minimum(0.1, b), any),
      ENTRY("pow", pow(a, b) + pow(2.0, b) * a, positive),
      ENTRY("pow", pow(a, 3) * b + pow(b, 2) * pow(a, 5), any),
      ENTRY("select", select(a > b, a * b, exp(a)), any),
      ENTRY("select", select(a <= 0.5, 0.25, a * b) + select(b >= a, a * a, 1.0), any),
      ENTRY("select", select(0.1 < a, a * b, b * b), any),
      ENTRY("equal", select(equal(sign(a), 1), a * b, exp(a)), any),
      ENTRY("arithmetic", a + b * 2.0 - 3 / (b * b + 1), positive),
      ENTRY("arithmetic", -a / (2 + b * b) + (1 - b) - +a, positive),
  };
  return all;
}
#undef ENTRY

std::string text_of(const std::string& file) {
  std::ifstream in(std::string(XTAPE_SOURCE_DIR) + "/" + file);
  return {std::istreambuf_iterator<char>(in), {}};
}
std::set<std::string> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match)
    found.insert((*match)[1]);
  return found;
}

}  // namespace

TEST_CASE("map: every function, to second order, equals the unfused op") {
  Rng rng(2);
  const D positive = init::uniform({7, 5}, 0.2, 1.8, rng), y = init::uniform({7, 5}, -1.5, 1.5, rng);
  const D any = init::uniform({7, 5}, -2.0, 2.0, rng);
  for (const Entry& entry : entries()) {
    CAPTURE(entry.name);
    entry.compare(positive, any, y);
  }
}

TEST_CASE("map: every function in the sources is compared above, and stands in docs/map.md or in the list") {
  std::set<std::string> in_sources, listed;
  for (const char* file :
       {"include/xtape/functions.hpp", "include/xtape/functions/list.hpp", "include/xtape/dual.hpp"}) {
    std::string text = text_of(file);
    if (text.empty()) {
      MESSAGE("no sources to scan in ", XTAPE_SOURCE_DIR);
      return;
    }
    for (const std::string inner : {"fn", "detail"}) {
      const auto begin = text.find("namespace " + inner + " {"), end = text.find("}  // namespace " + inner, begin);
      if (begin != std::string::npos) text.erase(begin, end - begin);
    }
    text = std::regex_replace(text, std::regex("//[^\n]*"), "");
    in_sources.merge(all_matches(text, R"(\nXTAPE_DUAL_(?:FUNCTION|WITH_NUMBER)\((\w+),)"));
    listed.merge(all_matches(text, R"(\nXTAPE_FUNCTION\((\w+),)"));
    in_sources.merge(all_matches(text, R"((?:Dual<V, N>|auto) (\w+)\((?:const |S ))"));
  }
  in_sources.erase("name");  // the macro's parameter
  CHECK(listed.contains("tanh"));
  for (const char* known : {"pow", "maximum", "clip", "select", "equal"}) CHECK(in_sources.contains(known));
  std::set<std::string> compared;
  for (const Entry& entry : entries()) compared.insert(entry.name);
  compared.erase("arithmetic");
  for (const auto& name : listed) CHECK(compared.erase(name) == 1);
  const auto documented = all_matches(text_of("docs/map.md"), "\n\\| `(\\w+)\\(");
  for (const auto& name : in_sources) {
    CHECK_MESSAGE(compared.contains(name), name, " has no entry in the table above");
    CHECK_MESSAGE(documented.contains(name), name, " has no line in docs/map.md");
  }
  for (const auto& name : compared) CHECK_MESSAGE(in_sources.contains(name), name, " is not a function of map");
  for (const auto& name : documented) CHECK_MESSAGE(in_sources.contains(name), name, " is not a function of map");
}

TEST_CASE("map: second derivatives at infinity are the limits, in a map and in ops") {
  const double inf = std::numeric_limits<double>::infinity();
  const auto second = [&](const auto& f, const D& at) {
    const D x = parameter(at);
    Tape tape;
    const D first = tape.gradient(sum(f(x)), {x}, {.create_graph = true})[0];
    return first.requires_grad() ? tape.gradient(sum(first), {x})[0] : zeros<double>(x.shape());
  };
  const auto check = [&](const char* name, const auto& f, double below, double above) {
    CAPTURE(name);
    for (const D& h :
         {second(f, D({2}, {-inf, inf})), second([&](const D& x) { return map(f, x); }, D({2}, {-inf, inf}))}) {
      CHECK(h.data()[0] == below);
      CHECK(h.data()[1] == above);
    }
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(grad([&](const D& x) { return f(x); }, D(nan)).item()));
    CHECK(std::isnan(grad([&](const D& x) { return map(f, x); }, D(nan)).item()));
  };
#define CHECK_LIMITS(formula, below, above) \
  check(                                    \
      #formula, [](const auto& x) { return formula; }, below, above)
  CHECK_LIMITS(tanh(x), 0, 0);
  CHECK_LIMITS(sech_squared(x), 0, 0);
  CHECK_LIMITS(sigmoid(x), 0, 0);
  CHECK_LIMITS(softplus(x), 0, 0);
  CHECK_LIMITS(elu(x), 0, 0);
  CHECK_LIMITS(gelu(x), 0, 0);
  CHECK_LIMITS(gelu_tanh(x), 0, 0);
  CHECK_LIMITS(silu(x), 0, 0);
  CHECK_LIMITS(erf(x), 0, 0);
  CHECK_LIMITS(erfc(x), 0, 0);
#undef CHECK_LIMITS
}

TEST_CASE("map: shapes broadcast, and every length around a SIMD register") {
  Rng rng(2);
  const auto f = [](const auto& a, const auto& b) { return sigmoid(a * b + 0.5) * tanh(a); };
  const auto normal = [&](const Shape& shape) { return init::normal(shape, 0.0, 1.0, rng); };
  same("row", f, normal({6, 11}), normal({11}));
  same("column", f, normal({6, 11}), normal({6, 1}));
  same("outer", f, normal({6, 1}), normal({1, 11}));
  same("number", f, normal({6, 11}), normal({}));
  same("middle", f, normal({3, 4, 5}), normal({3, 1, 5}));
  same("empty", f, normal({0, 4}), normal({4}));
  for (std::size_t n = 0; n < 70; ++n) same("length", f, normal({n}), normal({n}));
  CHECK_THROWS_AS(map(f, normal({2, 3}), normal({4})), ShapeError);
}

TEST_CASE("map: float, captured numbers, three and six tensors") {
  Rng rng(2);
  const float scale = 3.0F;
  const Tensor<float> x = parameter(init::normal<float>({37}, 0.F, 1.F, rng));
  Tape tape;
  const auto y = map([scale](auto v) { return scale * v * v; }, x);
  tape.backward(sum(y));
  for (std::size_t i = 0; i < 37; ++i) {
    CHECK(y.data()[i] == doctest::Approx(3 * x.data()[i] * x.data()[i]));
    CHECK(x.grad().data()[i] == doctest::Approx(6 * x.data()[i]));
  }
  const D t = init::uniform({9}, 0.5, 1.5, rng);
  CHECK(gradcheck(
            [](const std::vector<D>& v) {
              return map([](auto a, auto b, auto c, auto d, auto e, auto f) { return a * b + c / d - e * f * a; }, v[0],
                         v[1], v[2], v[3], v[4], v[5]);
            },
            {t, t + 0.1, t + 0.2, t + 0.3, t + 0.4, t + 0.5}, {.second_order = true})
            .passed);
}

TEST_CASE("map: a third derivative is refused, an exception leaves the tape usable") {
  D x = parameter(D({3}, {1, 2, 3}));
  Tape tape;
  D y = sum(map([](auto v) { return v * v * v * v; }, x));
  for (int order = 0; order < 2; ++order) y = sum(tape.gradient(y, {x}, {.create_graph = true})[0]);
  CHECK(y.item() == doctest::Approx(12 * (1 + 4 + 9)));
  CHECK_THROWS_AS(tape.gradient(y, {x}, {.create_graph = true}), TapeError);
  const std::size_t before = tape.size();
  CHECK_THROWS_AS(map([](auto v) -> decltype(v) { throw std::runtime_error("planted"); }, x), std::runtime_error);
  CHECK(tape.size() == before);
  tape.backward(sum(x * x));
  CHECK(x.grad().data()[2] == 6);
}

TEST_CASE("map: a slope that is the same everywhere is kept as one element") {
  const D x0({2, 3}, {1, -2, 3, -4, 5, -6}), y0({2, 3}, {2, 3, 4, 5, 6, 7}), row({3}, {1, 2, 3});
  const auto formula = [](const auto& a, const auto& b, const auto& c) {
    return (2 * a - b / 4 + 1) - (floor(c) * 3 - c) + (1 - a);
  };
  const auto weights = D({2, 3}, {1, 2, 3, 4, 5, 6});
  for (const bool weighted : {false, true}) {
    const D x = parameter(x0), y = parameter(y0), c = parameter(row);
    const auto before = memory_use().bytes;
    Tape tape;
    const auto fused = map(formula, x, y, c);
    // The value and, of the input that is broadcast, the slope: x's and y's take an element each.
    CHECK(memory_use().bytes - before <= 4 * 128 + 2 * 6 * 8);
    tape.backward(weighted ? sum(fused * weights) : sum(fused));
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(fused.data()[i] ==
            2 * x0.data()[i] - y0.data()[i] / 4 + 1 - 3 * row.data()[i % 3] + row.data()[i % 3] + 1 - x0.data()[i]);
      CHECK(x.grad().data()[i] == (weighted ? weights.data()[i] : 1));
      CHECK(y.grad().data()[i] == (weighted ? weights.data()[i] : 1) * -0.25);
    }
    for (std::size_t i = 0; i < 3; ++i) CHECK(c.grad().data()[i] == (weighted ? 5 + 2.0 * static_cast<double>(i) : 2));
  }
  // To second order, with a gradient that varies, in one element, in none, and in a map of maps.
  const D x = parameter(x0), y = parameter(y0);
  Tape tape;
  const auto z = map([](auto a, auto b) { return 3 * a - b; }, x, y);
  const auto [gx, gy] = tape.gradient(sum(z * z * z), {x, y}, {.create_graph = true});
  const auto [gxx, gxy] = tape.gradient(sum(gx), {x, y});
  for (std::size_t i = 0; i < 6; ++i) {
    const double v = 3 * x0.data()[i] - y0.data()[i];
    CHECK(gx.data()[i] == 9 * v * v);
    CHECK(gy.data()[i] == -3 * v * v);
    CHECK(gxx.data()[i] == 54 * v);
    CHECK(gxy.data()[i] == -18 * v);
  }
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{1, 1}}) {
    const D p = parameter(full(shape, 2.0));
    Tape inner;
    const auto doubled = map([](auto a) { return 2 * a; }, map([](auto a) { return 3 - a; }, p));
    inner.backward(sum(doubled));
    CHECK(p.grad().shape() == shape);
    for (const double g : p.grad().span()) CHECK(g == -2);
  }
}

TEST_CASE("map: lengths around a batch's, in float and double, with broadcast inputs and null slopes") {
  const auto check = []<class T>(T) {
    for (std::size_t n : {0U, 1U, 2U, 3U, 4U, 5U, 7U, 8U, 9U, 15U, 16U, 17U, 31U, 33U, 100U}) {
      std::vector<T> numbers(n);
      for (std::size_t i = 0; i < n; ++i) numbers[i] = static_cast<T>(i) / 8 - 1;
      const Tensor<T> x = parameter(Tensor<T>({n}, numbers)), constant({n}, numbers), s = parameter(Tensor<T>(T(0.5)));
      Tape tape;
      const auto y = map([](auto a, auto b, auto c) { return a * c + b * b * a; }, x, constant, s);
      tape.backward(sum(y));
      double by_s = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const T v = numbers[i];
        CHECK(y.data()[i] == doctest::Approx(v * 0.5 + v * v * v).epsilon(1e-6));
        CHECK(x.grad().data()[i] == doctest::Approx(0.5 + v * v).epsilon(1e-6));
        by_s += v;
      }
      CHECK(s.grad().item() == doctest::Approx(by_s).epsilon(1e-6));
    }
  };
  check(0.0F);
  check(0.0);
}
