// The parts of examples/verify_gradients: its loops on examples small enough to do by hand, its verdicts, and
// that every table comes out as expected.

#include "../examples/verify_gradients/convolution.hpp"
#include "../examples/verify_gradients/ising.hpp"
#include "../examples/verify_gradients/model.hpp"
#include "../examples/verify_gradients/problems.hpp"
#include "../examples/verify_gradients/rbm.hpp"
#include "../examples/verify_gradients/softmax.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

using namespace derivation;

namespace {

using Numbers = std::vector<double>;

// Windows of 2 x 2 on maps of 3 x 3. The first map's largest element is in the middle, so all four windows share it.
const Geometry shared{4, 2, 1, 2};
Maps shared_maps() {
  Maps y(2, 3, 3);
  y.values() = {1, 2, 3, 4, 9, 5, 6, 7, 8, 9, 1, 8, 2, 3, 4, 7, 5, 6};
  return y;
}
Maps pooled_gradient() {
  Maps dp(2, 2, 2);
  dp.values() = {1, 10, 100, 1000, 2, 20, 200, 2000};
  return dp;
}

Measured measured(double by_tape, double by_differences, double apart = 0) {
  Measured m;
  m.error[tape] = by_tape;
  m.error[differences] = by_differences;
  m.tape_and_differences = apart;
  return m;
}

Claim claim(int row, Source source, const char* reading) {
  return {row, std::to_string(row), "quantity", source, reading, "formula"};
}

std::string printed_text(const Table& table) { return table.to_string({}, false); }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("verify_gradients: indices start at 1 and are checked") {
  Matrix a(2, 3);
  std::iota(a.values().begin(), a.values().end(), 1.0);
  CHECK(a(1, 1) == 1);
  CHECK(a(1, 3) == 3);
  CHECK(a(2, 1) == 4);
  CHECK_THROWS_AS(a(0, 1), std::out_of_range);
  CHECK_THROWS_AS(a(1, 4), std::out_of_range);
  CHECK_THROWS_AS(a(3, 1), std::out_of_range);
}

TEST_CASE("verify_gradients: configurations are parsed and checked") {
  const auto [g, error] = parse_geometry("9,3,2,2");
  CHECK(error == "");
  CHECK(g.name() == "(9,3,2,2)");
  CHECK(g.n() == 4);
  CHECK(g.q() == 3);
  CHECK(g.features() == 18);
  for (const char* bad : {"", "9", "9,3,2", "9,3,2,2,1", "9;3;2;2", "9,3,2,2x", "a,b,c,d", "9,3,4,2", "9,3,0,2",
                          "9,10,1,1", "9,0,1,1", "9,3,2,5", "9,3,2,0", "13,3,1,2", "0,0,1,1", "99999999999,3,1,2"})
    CHECK_MESSAGE(parse_geometry(bad).error != "", bad);
}

TEST_CASE("verify_gradients: convolution, pooling and their gradients by hand") {
  const Geometry g{3, 2, 1, 2};
  Matrix x(3, 3);
  std::iota(x.values().begin(), x.values().end(), 1.0);
  Maps w(2, 2, 2);
  w.values() = {1, 0, 0, 1, 0, 1, -1, 0};
  Vector b(2);
  b.values() = {0, 10};
  const Maps y = convolve(g, x, w, b);
  CHECK(y.values() == Numbers{1 + 5, 2 + 6, 4 + 8, 5 + 9, 10 + 2 - 4, 10 + 3 - 5, 10 + 5 - 7, 10 + 6 - 8});
  CHECK(argmax(g, y, 1, 1, 1) == Position{2, 2});
  CHECK(argmax(g, y, 2, 1, 1) == Position{1, 1});  // four times 8: the first
  CHECK(max_pool(g, y).values() == Numbers{14, 8});
  CHECK(flatten(g, max_pool(g, y)).values() == Numbers{14, 8});
  CHECK(row1::printed(g, x, 2, 2, 1).values() == Numbers{0, 0, 0, 0, 4, 5, 7, 8});
  CHECK(row3::printed(g, y, 2, 1, 1).values() == Numbers{0, 0, 0, 0, 1, 0, 0, 0});
  CHECK(row3::every_maximum(g, y, 2, 1, 1).values() == Numbers{0, 0, 0, 0, 1, 1, 1, 1});

  Maps dy(2, 2, 2);
  dy.values() = {0, 0, 0, 1, 1, 0, 0, 2};
  CHECK(row2::corrected(g, dy, x).values() == Numbers{5, 6, 8, 9, 1 + 10, 2 + 12, 4 + 16, 5 + 18});
  CHECK(row2::one_number_a_map(g, dy, x)(1, 1, 1) == 1 + 2 + 4 + 5);
  CHECK(row2::index_of_the_left(g, dy, x).values() == Numbers{0, 0, 0, 28, 12, 0, 0, 56});
  CHECK(extra::dloss_db(g, dy).values() == Numbers{1, 3});
  // Element (2, 2) of map 1 reaches the lower right 2 x 2 of the image through its kernel, and so on.
  CHECK(extra::dloss_dx(g, dy, w).values() == Numbers{0, 1, 0, -1, 1, 2, 0, -2, 1});
}

TEST_CASE("verify_gradients: row 4 and its readings where windows share a maximum") {
  const Maps y = shared_maps(), dp = pooled_gradient();
  CHECK(row4::corrected(shared, y, dp).values() ==
        Numbers{0, 0, 0, 0, 1111, 0, 0, 0, 0, 2, 0, 20, 0, 0, 0, 200, 0, 2000});
  CHECK(row4::overwriting(shared, y, dp).values() ==
        Numbers{0, 0, 0, 0, 1000, 0, 0, 0, 0, 2, 0, 20, 0, 0, 0, 200, 0, 2000});
  CHECK(row4::same_index(shared, y, dp).values() ==
        Numbers{1, 10, 0, 100, 1000, 0, 0, 0, 0, 2, 20, 0, 200, 2000, 0, 0, 0, 0});
}

TEST_CASE("verify_gradients: the flatten index and its readings") {
  const Geometry g{9, 3, 2, 2};
  CHECK(row5::side_printed(g) == 2.5);
  CHECK(row5::printed(g, 1, 2, 1) == 3.5);
  CHECK(row5::rounded_down(g, 1, 2, 1) == 3);
  CHECK(row5::rounded_up(g, 1, 2, 1) == 4);
  CHECK(row5::corrected(g, 1, 2, 1) == 4);
  CHECK(row5::corrected(g, 2, 3, 3) == 18);
  CHECK(row5::names_a_component(g, 18));
  for (const double index : {3.5, 0.0, -1.0, 19.0}) CHECK_FALSE(row5::names_a_component(g, index));
  // 4/3, the printed side, three times over is a whole number.
  CHECK(row5::names_a_component({10, 4, 3, 2}, 3 * row5::side_printed({10, 4, 3, 2})));
  // Unless s = 1 no printed side is whole; for s = 1 it is the right one.
  for (const Geometry& c : all_configurations()) CHECK((row5::side_printed(c) == c.q()) == (c.s == 1));
}

TEST_CASE("verify_gradients: softmax rows") {
  Vector f(3), g(3);
  f.values() = {0.5, -1, 2};
  g.values() = {1, 2, 4};
  const Vector s = row6::printed(f);
  CHECK(s(1) + s(2) + s(3) == doctest::Approx(1));
  const Vector df = row9::corrected(f, g);
  for (int i = 1; i <= 3; ++i)
    for (int j = 1; j <= 3; ++j) {
      const double truth = s(i) * ((i == j ? 1 : 0) - s(j));
      CHECK(row7::corrected(f)(i, j) == doctest::Approx(truth));
      CHECK(row8::corrected(f)(i, j) == doctest::Approx(truth));
      CHECK(row7::printed(f)(i, j) != doctest::Approx(truth));
    }
  CHECK(df(1) + df(2) + df(3) == doctest::Approx(0));
  // Where all F are 0 the lost e^F is 1.
  CHECK(row8::printed(Vector(3)).values() == row8::corrected(Vector(3)).values());
  CHECK(row7::printed(Vector(3))(1, 2) != doctest::Approx(row7::corrected(Vector(3))(1, 2)));
}

TEST_CASE("verify_gradients: points are away from ties and show row 4's mistakes") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    for (const Geometry& g : all_configurations()) {
      xtape::Rng rng = random_numbers(seed, g);
      const Point at = draw_point(g, rng);
      CHECK_FALSE(every_maximum_first(at));
      CHECK_FALSE(no_maximum_shared(at));
    }
}

TEST_CASE("verify_gradients: an RBM of one unit a side") {
  SmallRbm rbm{Matrix(1, 1), Vector(1), Vector(1)};
  rbm.w(1, 1) = 0.5;
  rbm.b(1) = -1;
  rbm.a(1) = 2;
  Vector on(1), off(1);
  on(1) = 1;
  // Energies: 0, -a, -b and -w - b - a for (v, h) = 00, 01, 10, 11.
  const double z = 1 + std::exp(2) + std::exp(-1) + std::exp(1.5);
  CHECK(enumeration_of::partition(rbm) == doctest::Approx(z));
  CHECK(enumeration_of::joint(rbm, on, on) == doctest::Approx(std::exp(1.5) / z));
  CHECK(enumeration_of::visible(rbm, off) == doctest::Approx((1 + std::exp(2)) / z));
  CHECK(enumeration_of::conditional(rbm, on, on) == doctest::Approx(sigmoid(2.5)));
  CHECK(enumeration_of::moments(rbm).vh(1, 1) == doctest::Approx(std::exp(1.5) / z));
  CHECK(free_energy(rbm, on) == doctest::Approx(-std::log(std::exp(-1) + std::exp(1.5))));
  CHECK(problem3_row3::printed(rbm, on, off) == 0.5);  // sigmoid(0), whatever u is
}

TEST_CASE("verify_gradients: an Ising grid") {
  const Ising model{2, 3, 0.25, 0.5, 2};
  CHECK(model.neighbours(1) == std::vector<int>{4, 2});
  CHECK(model.neighbours(5) == std::vector<int>{2, 4, 6});
  Vector up(6);
  for (double& spin : up.values()) spin = 1;
  CHECK(model.energy(up, up) == 0.25 * 6 - 0.5 * 7 - 2 * 6);  // 7 pairs, each once
  CHECK(energy_difference(model, up, up, 5) == 2 * 0.25 - 2 * 0.5 * 3 - 2 * 2);
  CHECK(icm(model, up, up, 5) == 1);
  const Ising tie{1, 2, 0, 1, 1};
  Vector x(2), y(2);
  x.values() = {-1, 1};
  y.values() = {-1, 1};
  CHECK(icm(tie, x, y, 1) == 0);
  CHECK(icm_keeping(tie, x, y, 1) == -1);
}

TEST_CASE("verify_gradients: a verdict needs references that agree") {
  CHECK(judge(measured(1e-14, 1e-9)) == Verdict::right);
  CHECK(judge(measured(1, 1)) == Verdict::wrong);
  CHECK(judge(measured(1e-14, 1)) == Verdict::unclear);
  CHECK(judge(measured(1, 1e-9)) == Verdict::unclear);
  CHECK(judge(measured(1e-14, 1e-9, 1e-3)) == Verdict::unclear);
  CHECK(judge(measured(1e-14, 1e-9, std::nan(""))) == Verdict::unclear);
  CHECK(judge(measured(1e-14, Measured::none)) == Verdict::right);
  CHECK(judge(Measured{}) == Verdict::unclear);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(judge(measured(infinity, infinity)) == Verdict::wrong);
}

TEST_CASE("verify_gradients: the table sums up its cases") {
  Table table("title", {"first", "second"}, {tape, differences});
  table.add(claim(1, Source::printed, "printed"), {0, "a"}, right(), measured(1e-15, 1e-10));
  table.add(claim(1, Source::printed, "printed"), {1, "a"}, right(), measured(3e-15, 1e-11));
  table.add(claim(2, Source::printed, "printed"), {0, "a"}, hidden("s = 1"), measured(0, 1e-10));
  table.add(claim(2, Source::printed, "printed"), {1, "a"}, wrong(), measured(0.5, 0.5));
  table.add(claim(2, Source::printed, "printed"), {1, "b"}, wrong(), measured(0.25, 0.25));
  table.add(claim(3, Source::printed, "one way"), {0, "a"}, wrong(), measured(1, 1));
  table.add(claim(3, Source::either, "the other"), {0, "a"}, right(), measured(0, 0));
  const std::string text = printed_text(table);
  CHECK(contains(text, "3.0e-15     1.0e-10  RR  RIGHT"));
  CHECK(contains(text, "2.5e-01     2.5e-01  hW  WRONG"));
  CHECK(contains(text, "looks right where s = 1 (1)"));
  CHECK(table.printed_formulas() == "right: 1; wrong: 2; ambiguous: 3");
  CHECK(table.tally().lines == 4);
  CHECK(table.tally().cases == 7);
  CHECK(table.tally().unexpected == 0);
  CHECK_FALSE(contains(text, "UNEXPECTED"));
  CHECK_FALSE(contains(text, "\033"));
  CHECK(contains(table.to_string({.colour = true}, true), "\033[31mWRONG"));

  // A mistake that is not found, a right formula found wrong, references that disagree.
  const std::vector<std::pair<Expected, Measured>> surprises{{wrong(), measured(0, 0)},
                                                             {right(), measured(1, 1)},
                                                             {hidden("s = 1"), measured(1, 1)},
                                                             {right(), measured(0, 0, 1)}};
  for (const auto& [expected, found] : surprises) {
    Table other = table;
    other.add(claim(4, Source::printed, "printed"), {1, "a"}, expected, found);
    CHECK(other.tally().unexpected == 1);
    CHECK(contains(printed_text(other), "UNEXPECTED"));
    CHECK(contains(printed_text(other), "!"));
  }
}

TEST_CASE("verify_gradients: every table is as expected, for other seeds and configurations too") {
  const std::vector<Geometry> odd{{1, 1, 1, 1}, {5, 5, 2, 1}, {2, 1, 1, 2}, {6, 2, 2, 1},
                                  {4, 2, 1, 3}, {7, 2, 5, 2}, {5, 2, 3, 1}};
  for (std::uint64_t seed = 100; seed < 103; ++seed) {
    for (const Table& table : {problem1(odd, seed), problem3_conditionals(seed), problem3_gradients(seed),
                               problem4(seed), where_mistakes_hide(seed)})
      CHECK_MESSAGE(table.tally().unexpected == 0, printed_text(table));
  }
  const Table six = problem1(all_configurations(), 100);
  CHECK(six.tally().unexpected == 0);
  CHECK(six.printed_formulas() == "right: 1 3 6 10; wrong: 4 5 7 8 9 11; ambiguous: 2");
  CHECK(problem3_conditionals(100).printed_formulas() == "right: 2 4; wrong: 1 3 5 6");
  CHECK(problem4(100).printed_formulas() == "right: 1 3; wrong: 2");
}
