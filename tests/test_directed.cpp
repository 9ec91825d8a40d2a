// The directed graphical model against enumeration of small networks in plain loops.

#include "directed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <set>

using namespace directed;

namespace {

// Grass is wet from a sprinkler or from rain (Russell & Norvig, "Artificial Intelligence", its directed model).
// State 1 is "yes". Children first, to show that any order will do.
DirectedModel sprinkler() {
  return DirectedModel({{"wet", 2, {"sprinkler", "rain"}, D({2, 2, 2}, {1.0, 0.0, 0.1, 0.9, 0.1, 0.9, 0.01, 0.99})},
                        {"sprinkler", 2, {"cloudy"}, D({2, 2}, {0.5, 0.5, 0.9, 0.1})},
                        {"rain", 2, {"cloudy"}, D({2, 2}, {0.8, 0.2, 0.2, 0.8})},
                        {"cloudy", 2, {}, D({2}, {0.5, 0.5})}});
}

// Each node with a 2-state table under the given parents, all rows (0.5, 0.5).
DirectedNode coin(const std::string& name, const std::vector<std::string>& parents) {
  return {name, 2, parents, full({std::size_t{1} << parents.size(), std::size_t{2}}, 0.5)};
}

std::string refusal(std::vector<DirectedNode> nodes) {
  try {
    const DirectedModel model(std::move(nodes));
  } catch (const ValueError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("directed model: sums to 1 by enumeration and by summing out; the joint is the product of the tables") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const auto nodes = random_network(seed);
    const DirectedModel model(nodes);
    const Enumerated all = enumerate(nodes);
    CHECK(std::abs(sum_of(all.p) - 1) < 1e-12);
    CHECK(std::abs(model.total_probability() - 1) < 1e-12);

    const D p = model.joint(batch(all.x)), log_p = model.log_joint(batch(all.x));
    REQUIRE(p.shape() == Shape{all.x.size()});
    double worst = 0, worst_log = 0;
    for (std::size_t i = 0; i < all.p.size(); ++i) {
      worst = std::max(worst, std::abs(p.data()[i] - all.p[i]) / (all.p[i] + 1e-300));
      if (all.p[i] > 0)
        worst_log = std::max(worst_log, std::abs(log_p.data()[i] - std::log(all.p[i])));
      else
        CHECK(log_p.data()[i] == -std::numeric_limits<double>::infinity());
    }
    CHECK(worst < 1e-12);
    CHECK(worst_log < 1e-12);
    const IndexArray one = batch({all.x.back()});
    IndexArray single(detail::XShape{one.size()});
    std::copy(one.begin(), one.end(), single.begin());
    CHECK(model.log_joint(single).shape() == Shape{});
    CHECK(model.joint(single).item() == p.data()[all.x.size() - 1]);
  }
}

TEST_CASE("directed model: every node comes after its parents, and is summed out after its children") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const DirectedModel model(random_network(seed));
    const auto& order = model.topological_order();
    std::set<std::size_t> before;
    for (const std::size_t k : order) {
      for (const std::size_t parent : model.parents(k)) CHECK(before.count(parent) == 1);
      before.insert(k);
    }
    CHECK(before.size() == model.size());
    CHECK(order.size() == model.size());
    const auto steps = model.sum_out();
    REQUIRE(steps.size() == model.size());
    for (std::size_t i = 0; i < steps.size(); ++i) CHECK(steps[i].node == order[model.size() - 1 - i]);
  }
  // Where arrows leave a choice: as listed.
  CHECK(DirectedModel({coin("b", {"a"}), coin("c", {}), coin("a", {})}).topological_order() ==
        std::vector<std::size_t>{1, 2, 0});
}

TEST_CASE("directed model: each summation leaves the model of the nodes that are left") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    auto nodes = random_network(seed, 6);
    const DirectedModel model(nodes);
    for (const SummedOut& step : model.sum_out()) {
      CHECK(step.deviation < 1e-14);
      const Shape& shape = model.node(step.node).table.shape();
      CHECK(step.table.shape() == Shape(std::vector<std::size_t>(shape.begin(), shape.end() - 1)));
      double deviation = 0;
      for (const double entry : step.table.span()) deviation = std::max(deviation, std::abs(entry - 1));
      CHECK(deviation == step.deviation);

      // Sum the joint table of what is left over this node, by hand.
      const Enumerated all = enumerate(nodes);
      const std::size_t k = position(nodes, model.node(step.node).name);
      std::map<std::vector<std::size_t>, double> sums;
      for (std::size_t i = 0; i < all.x.size(); ++i) {
        auto x = all.x[i];
        x.erase(x.begin() + static_cast<std::ptrdiff_t>(k));
        sums[x] += all.p[i];
      }
      nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(k));
      double worst = 0;
      for (const auto& [x, sum] : sums) worst = std::max(worst, std::abs(sum - product(nodes, x)));
      CHECK(worst < 1e-14);
    }
    CHECK(nodes.empty());
  }
}

TEST_CASE("directed model: a total that is not 1 shows what the rows are off by") {
  constexpr double off = 4e-10;  // within what the constructor lets pass
  const DirectedModel model(
      {{"a", 2, {}, D({2}, {0.5 + off, 0.5})}, {"b", 2, {"a"}, D({2, 2}, {0.25, 0.75 + off, 0.5, 0.5 + off})}});
  CHECK(std::abs(model.total_probability() - 1 - 2 * off) < 1e-15);
  CHECK(std::abs(model.sum_out()[0].deviation - off) < 1e-15);
}

TEST_CASE("directed model: marginals and conditionals by enumeration") {
  std::size_t impossible = 0, with_evidence = 0;
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    CAPTURE(seed);
    const auto nodes = random_network(seed);
    const DirectedModel model(nodes);
    const Enumerated all = enumerate(nodes);
    Rng rng(seed, 1);
    for (int query = 0; query < 8; ++query) {
      CAPTURE(query);
      std::vector<std::string> names;
      for (const auto& node : nodes) names.push_back(node.name);
      rng.shuffle(std::span(names));
      const std::size_t asked = 1 + rng.below(std::min<std::uint64_t>(3, names.size()));
      const std::vector<std::string> queried(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(asked));
      Evidence evidence;
      const std::size_t observed = rng.below(names.size() - asked + 1);
      for (std::size_t i = asked; i < asked + observed; ++i)
        evidence[names[i]] = rng.below(nodes[position(nodes, names[i])].states);
      const auto expected = conditional(nodes, all, queried, evidence);
      if (sum_of(expected) == 0) {
        CHECK_THROWS_WITH_AS(model.marginal(queried, evidence),
                             "marginal: the evidence is impossible, its probability is 0", ValueError);
        ++impossible;
        continue;
      }
      with_evidence += observed > 0;
      const D found = model.marginal(queried, evidence);
      Shape shape;
      for (const auto& name : queried) shape.push_back(nodes[position(nodes, name)].states);
      REQUIRE(found.shape() == shape);
      double worst = 0;
      for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, std::abs(found.data()[i] - expected[i]));
      CHECK(worst < 1e-12);
    }
  }
  // Neither kind went untested.
  CHECK(impossible > 10);
  CHECK(with_evidence > 100);
}

TEST_CASE("directed model: the sprinkler, and explaining away") {
  const DirectedModel model = sprinkler();
  const auto yes = [&](const std::string& name, const Evidence& evidence) {
    return model.marginal({name}, evidence).data()[1];
  };
  // Murphy, "A brief introduction to graphical models and Bayesian networks" (1998).
  CHECK(yes("wet", {}) == doctest::Approx(0.6471).epsilon(1e-12));
  CHECK(yes("sprinkler", {{"wet", 1}}) == doctest::Approx(0.2781 / 0.6471).epsilon(1e-12));
  CHECK(yes("rain", {{"wet", 1}}) == doctest::Approx(0.4581 / 0.6471).epsilon(1e-12));
  // Rain explains the wet grass: the sprinkler becomes less likely.
  CHECK(yes("sprinkler", {{"wet", 1}, {"rain", 1}}) == doctest::Approx(0.0891 / 0.4581).epsilon(1e-12));
  // Two causes are independent given the sky, until the grass is seen.
  CHECK(yes("sprinkler", {{"cloudy", 1}, {"rain", 1}}) == doctest::Approx(0.1).epsilon(1e-12));
  CHECK(yes("sprinkler", {{"cloudy", 1}, {"rain", 1}, {"wet", 1}}) > 0.1 + 1e-3);
  CHECK_THROWS_AS(model.marginal({"cloudy"}, {{"wet", 1}, {"rain", 0}, {"sprinkler", 0}}), ValueError);
}

TEST_CASE("directed model: a chain of 1000 nodes, and 20000 observations, are no trouble") {
  const auto start = std::chrono::steady_clock::now();
  Rng rng(5);
  std::vector<DirectedNode> chain{{"n0", 2, {}, D({2}, {0.3, 0.7})}};
  double p1 = 0.7, two_ends = 0;  // p(n_k = 1), and p(n999 = 1 | n0 = 0) beside it
  for (std::size_t k = 1; k < 1000; ++k) {
    const double a = 0.05 * rng.uniform(), b = 0.05 * rng.uniform();
    chain.push_back({fmt::format("n{}", k), 2, {fmt::format("n{}", k - 1)}, D({2, 2}, {1 - a, a, b, 1 - b})});
    p1 = p1 * (1 - b) + (1 - p1) * a;
    two_ends = two_ends * (1 - b) + (1 - two_ends) * a;
  }
  rng.shuffle(std::span(chain));
  const DirectedModel model(chain);
  CHECK(std::abs(model.total_probability() - 1) < 1e-12);
  CHECK(model.marginal({"n999"}).data()[1] == doctest::Approx(p1).epsilon(1e-12));
  CHECK(model.marginal({"n999"}, {{"n0", 0}}).data()[1] == doctest::Approx(two_ends).epsilon(1e-12));

  // Is the coin fair (0) or loaded (1), after 20000 tosses? By Bayes' rule; p(evidence) is far below the least double.
  std::vector<DirectedNode> tosses{{"coin", 2, {}, D({2}, {0.5, 0.5})}};
  Evidence evidence;
  for (std::size_t k = 0; k < 20'000; ++k) {
    const std::string name = fmt::format("toss{}", k);
    tosses.push_back({name, 2, {"coin"}, D({2, 2}, {0.5, 0.5, 0.4, 0.6})});
    evidence[name] = k % 20 < 11;  // 11 heads in 20
  }
  const double log_odds = 11'000 * std::log(0.6 / 0.5) + 9'000 * std::log(0.4 / 0.5);
  CHECK(DirectedModel(tosses).marginal({"coin"}, evidence).data()[1] ==
        doctest::Approx(1 / (1 + std::exp(-log_odds))).epsilon(1e-9));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("directed model: a node with 12 parents") {
  Rng rng(7);
  std::vector<DirectedNode> nodes;
  DirectedNode child{"child", 3, {}, {}};
  for (std::size_t k = 0; k < 12; ++k) {
    nodes.push_back({fmt::format("n{}", k), 2, {}, random_table({2}, false, rng)});
    child.parents.push_back(nodes.back().name);
  }
  child.table = random_table({4096, 3}, false, rng);
  nodes.insert(nodes.begin(), child);
  const DirectedModel model(nodes);
  const Enumerated all = enumerate(nodes);
  CHECK(std::abs(sum_of(all.p) - 1) < 1e-12);
  CHECK(std::abs(model.total_probability() - 1) < 1e-12);
  CHECK(model.sum_out()[0].table.shape() == Shape{4096});
  const auto expected = conditional(nodes, all, {"n3", "n8"}, {{"child", 2}});
  const D found = model.marginal({"n3", "n8"}, {{"child", 2}});
  for (std::size_t i = 0; i < 4; ++i) CHECK(found.data()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE("directed model: a tall lattice stays cheap, a wide one is refused, not attempted") {
  // A grid of coins in which the node at (row, column) has the ones above and to its left as parents; all of the
  // last row observed, so that nothing can be left out.
  const auto lattice = [](std::size_t rows, std::size_t columns) {
    std::vector<DirectedNode> nodes;
    Rng rng(3);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) {
        std::vector<std::string> parents;
        if (r > 0) parents.push_back(fmt::format("{},{}", r - 1, c));
        if (c > 0) parents.push_back(fmt::format("{},{}", r, c - 1));
        nodes.push_back({fmt::format("{},{}", r, c), 2, parents,
                         random_table({std::size_t{1} << parents.size(), std::size_t{2}}, false, rng)});
      }
    return nodes;
  };
  const auto small = lattice(5, 3);
  const Evidence below{{"4,2", 1}};
  const auto expected = conditional(small, enumerate(small), {"0,0"}, below);
  CHECK(DirectedModel(small).marginal({"0,0"}, below).data()[1] == doctest::Approx(expected[1]).epsilon(1e-12));
  CHECK(DirectedModel(lattice(100, 5)).marginal({"0,0"}, {{"99,4", 1}}).size() == 2);

  const DirectedModel wide(lattice(60, 60));
  CHECK(std::abs(wide.total_probability() - 1) < 1e-12);
  CHECK(wide.marginal({"0,5"}).size() == 2);  // what lies below sums to 1 and stays out
  CHECK_THROWS_WITH_AS(wide.marginal({"0,0"}, {{"59,59", 1}}), doctest::Contains("at most 2^28 are allowed"),
                       ValueError);
}

TEST_CASE("directed model: draws are distributed as the joint, and wrong ones are found out") {
  constexpr std::size_t n = 40'000;
  for (const std::uint64_t seed : {11UL, 12UL, 14UL, 16UL}) {
    CAPTURE(seed);
    const auto nodes = random_network(seed, 5);
    const Enumerated all = enumerate(nodes);
    Rng rng(seed, 7);
    CHECK(std::abs(chi_square_z(DirectedModel(nodes).sample(n, rng), all)) < 4);
  }
  // The power of the test, on the sprinkler: one row off by 0.03, and a sampler that draws every node by its
  // marginal, must both fail it.
  const DirectedModel model = sprinkler();
  std::vector<DirectedNode> nodes;
  for (std::size_t k = 0; k < model.size(); ++k) nodes.push_back(model.node(k));
  const Enumerated all = enumerate(nodes);
  Rng rng(3);
  CHECK(std::abs(chi_square_z(model.sample(n, rng), all)) < 4);
  nodes[2].table = D({2, 2}, {0.77, 0.23, 0.2, 0.8});
  CHECK(chi_square_z(DirectedModel(nodes).sample(n, rng), all) > 6);
  std::vector<DirectedNode> independent;
  for (const auto& node : nodes) independent.push_back({node.name, 2, {}, model.marginal({node.name})});
  CHECK(chi_square_z(DirectedModel(independent).sample(n, rng), all) > 6);
}

TEST_CASE("directed model: a state of probability 0 is never drawn, first, last or in between") {
  const DirectedModel model({{"a", 5, {}, D({5}, {0.0, 0.5, 0.0, 0.5 - 9e-10, 0.0})},  // what is missing is nobody's
                             {"b", 2, {"a"}, D({5, 2}, {1, 0, 1, 0, 1, 0, 0, 1, 1, 0})}});
  Rng rng(1);
  const IndexArray x = model.sample(100'000, rng);
  REQUIRE(x.shape() == detail::XShape{100'000, 2});
  std::array<std::size_t, 5> counts{};
  for (std::size_t i = 0; i < 100'000; ++i) {
    ++counts[x(i, 0)];
    CHECK_UNARY((x(i, 0) == 3) == (x(i, 1) == 1));
  }
  CHECK(counts[0] + counts[2] + counts[4] == 0);
  CHECK(counts[1] > 49'000);
  CHECK(counts[3] > 49'000);
  // A number so near 1 that it passes the sum of the row: it goes to the last state that is possible.
  Rng near_one = Rng::from_state({1, 0, 684'001'936}), copy = near_one;
  REQUIRE(copy.uniform() > 1 - 9e-10);
  CHECK(model.sample(1, near_one)(0, 0) == 3);
}

TEST_CASE("directed model: same seed, same bits; another seed, others") {
  const DirectedModel model(random_network(4));
  Rng a(9), b(9), c(10);
  const IndexArray first = model.sample(500, a);
  CHECK(first == model.sample(500, b));
  CHECK(first != model.sample(500, c));
  CHECK(first != model.sample(500, a));
  CHECK(model.sample(0, a).shape() == detail::XShape{0, model.size()});
}

TEST_CASE("directed model: cycles are named") {
  CHECK(refusal({coin("a", {"a"})}) == "directed model: a -> a is a cycle");
  CHECK(refusal({coin("a", {"b"}), coin("b", {"a"})}) == "directed model: a -> b -> a is a cycle");
  CHECK(refusal({coin("a", {"b"}), coin("b", {"c"}), coin("c", {"a"})}) ==
        "directed model: a -> c -> b -> a is a cycle");
  // Of five, with a way in and a way out that are not part of it.
  CHECK(refusal({coin("out", {"d", "in"}), coin("c", {"b"}), coin("in", {}), coin("a", {"e", "in"}), coin("b", {"a"}),
                 coin("e", {"d"}), coin("d", {"c"}), coin("further out", {"out"})}) ==
        "directed model: c -> d -> e -> a -> b -> c is a cycle");
  // Two ways from a to d are none.
  CHECK(refusal({coin("a", {}), coin("b", {"a"}), coin("c", {"a"}), coin("d", {"b", "c"})}) == "accepted");
}

TEST_CASE("directed model: bad descriptions are refused by name") {
  const D half({2}, {0.5, 0.5});
  const auto with = [&](DirectedNode node) {
    return std::vector<DirectedNode>{{"a", 2, {}, half}, {"b", 3, {}, D({3}, {0.2, 0.3, 0.5})}, std::move(node)};
  };
  CHECK(refusal(with(coin("a", {}))) == "directed model: two nodes are called a");
  CHECK(refusal(with({"c", 0, {}, D({0}, {})})) == "directed model: node c has no states");
  CHECK(refusal(with(coin("c", {"d"}))) == "directed model: node c has the unknown parent d");
  CHECK(refusal(with({"c", 2, {"a", "a"}, full({2, 2, 2}, 0.5)})) == "directed model: node c has the parent a twice");

  CHECK_THROWS_WITH_AS(DirectedModel(with({"c", 2, {"a", "b"}, full({3, 2, 2}, 0.5)})),
                       "directed model: node c: a table of shape (2, 3, 2) is needed, got (3, 2, 2)", ShapeError);
  CHECK_THROWS_WITH_AS(DirectedModel(with({"c", 2, {}, D()})),
                       "directed model: node c: a table of shape (2,) is needed, got none", ShapeError);
  CHECK_THROWS_AS(DirectedModel(with({"c", 2, {"a", "b"}, full({12}, 0.5)})), ShapeError);
  CHECK_NOTHROW(DirectedModel(with({"c", 2, {"a", "b"}, full({2, 3, 2}, 0.5)})));
  CHECK_NOTHROW(DirectedModel(with({"c", 2, {"a", "b"}, full({6, 2}, 0.5)})));

  CHECK(refusal(with({"c", 2, {}, D({2}, {0.5, 0.6})})) ==
        "directed model: node c: row 0: the probabilities sum to 1.1, not to 1");
  CHECK(refusal(with({"c", 2, {"a", "b"}, D({6, 2}, {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0.5, 0.5 + 2e-9})})) ==
        "directed model: node c: row 5 for a = 1, b = 2: the probabilities sum to 1.000000002, not to 1");
  CHECK(refusal(with({"c", 2, {"a"}, D({2, 2}, {0.5, 0.5, -0.5, 1.5})})) ==
        "directed model: node c: row 1 for a = 1: [-0.5, 1.5] are not all probabilities");
  CHECK(refusal(with({"c", 2, {}, D({2}, {std::nan(""), 1.0})})).find("[nan, 1] are not all") != std::string::npos);
  CHECK(refusal(with({"c", 2, {}, D({2}, {std::numeric_limits<double>::infinity(), 1.0})})) != "accepted");

  // Tables whose size is beyond reason, or beyond any integer.
  for (const std::size_t parents : {28UL, 100UL}) {
    std::vector<DirectedNode> nodes;
    DirectedNode child{"c", 2, {}, half};
    for (std::size_t k = 0; k < parents; ++k) {
      nodes.push_back(coin(fmt::format("n{}", k), {}));
      child.parents.push_back(nodes.back().name);
    }
    nodes.push_back(child);
    CHECK(refusal(nodes).find("node c: a table of") != std::string::npos);
    CHECK(refusal(nodes).find("is too large, at most 2^28 are allowed") != std::string::npos);
  }
}

TEST_CASE("directed model: bad questions are refused by name") {
  const DirectedModel model = sprinkler();
  CHECK_THROWS_WITH_AS(model.marginal({"snow"}), "directed model: no node is called snow", ValueError);
  CHECK_THROWS_WITH_AS(model.marginal({"rain"}, {{"snow", 1}}), "directed model: no node is called snow", ValueError);
  CHECK_THROWS_WITH_AS(model.marginal({"rain", "rain"}), "marginal: node rain is queried twice", ValueError);
  CHECK_THROWS_WITH_AS(model.marginal({"rain"}, {{"rain", 1}}), "marginal: node rain is both queried and observed",
                       ValueError);
  CHECK_THROWS_WITH_AS(model.marginal({"rain"}, {{"wet", 2}}), "marginal: node wet has 2 states, got state 2",
                       ValueError);
  CHECK_THROWS_WITH_AS(model.marginal({}), "marginal: no node is queried", ValueError);
  CHECK_THROWS_WITH_AS(model.log_joint(IndexArray{0, 1, 0}), "log_joint: rows of 4 states are needed, got shape (3,)",
                       ShapeError);
  CHECK_THROWS_WITH_AS(model.joint(IndexArray{{{0, 1, 0, 1}}}),
                       "joint: rows of 4 states are needed, got shape (1, 1, 4)", ShapeError);
  CHECK_THROWS_WITH_AS(model.log_joint(IndexArray{{0, 1, 0, 1}, {0, 0, 2, 0}}),
                       "log_joint: node rain has 2 states, got state 2", ValueError);
  CHECK_THROWS_WITH_AS(model.node(4), "directed model: no node 4 among 4", ValueError);
  CHECK_THROWS_AS(model.parents(4), ValueError);
  std::vector<DirectedNode> many;
  std::vector<std::string> names;
  for (std::size_t k = 0; k < 9; ++k) many.push_back(coin(fmt::format("n{}", k), {}));
  for (const auto& node : many) names.push_back(node.name);
  CHECK_THROWS_WITH_AS(DirectedModel(many).marginal(names), "marginal: 9 nodes are queried, at most 8 can be",
                       ShapeError);
  Rng rng(1);
  CHECK_THROWS_AS(model.sample(std::numeric_limits<std::size_t>::max() / 2, rng), ShapeError);
}

TEST_CASE("directed model: without nodes there is one assignment, and a leaf changed later changes nothing") {
  const DirectedModel nothing({});
  CHECK(nothing.total_probability() == 1);
  CHECK(nothing.joint(IndexArray(detail::XShape{0})).item() == 1);
  D table = parameter(D({2}, {0.25, 0.75}));
  const DirectedModel model({{"a", 2, {}, table}});
  table.assign(D({2}, {9.0, 9.0}));
  CHECK(model.marginal({"a"}).data()[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(model.total_probability() == 1);
}
