#pragma once
// Random directed models, and what they are held against: enumeration in plain loops.

#include <fmt/format.h>
#include <xtape/energy/directed.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace directed {

using namespace xtape;
using D = Tensor<double>;

// Rows of `states` probabilities; some of them 0 if asked for, never all.
inline D random_table(const Shape& shape, bool zeros_too, Rng& rng) {
  D table = zeros<double>(shape);
  const std::size_t states = shape.back();
  for (std::size_t r = 0; r < table.size(); r += states) {
    double sum = 0;
    for (std::size_t s = 0; s < states; ++s) {
      const bool zero = zeros_too && s > 0 && rng.below(5) == 0;
      sum += table.modify()[r + s] = zero ? 0.0 : 0.05 + rng.uniform();
    }
    for (std::size_t s = 0; s < states; ++s) table.modify()[r + s] /= sum;
  }
  return table;
}

// A random graph without cycles, its nodes listed in a random order.
inline std::vector<DirectedNode> random_network(std::uint64_t seed, std::size_t most_nodes = 8, bool zeros_too = true) {
  Rng rng(seed);
  const std::size_t n = 1 + rng.below(most_nodes);
  std::vector<DirectedNode> nodes(n);
  for (std::size_t k = 0; k < n; ++k) {
    DirectedNode& node = nodes[k];
    node.name = fmt::format("n{}", k);
    node.states = 2 + rng.below(3);
    Shape shape;
    for (std::size_t parent = 0; parent < k && shape.size() < 3; ++parent)
      if (rng.below(2) == 0) {
        node.parents.push_back(nodes[parent].name);
        shape.push_back(nodes[parent].states);
      }
    shape.push_back(node.states);
    node.table = random_table(shape, zeros_too, rng);
  }
  rng.shuffle(std::span(nodes));
  return nodes;
}

// All assignments and their probabilities, by the definition.
struct Enumerated {
  std::vector<std::vector<std::size_t>> x;
  std::vector<double> p;
};

inline std::size_t position(const std::vector<DirectedNode>& nodes, const std::string& name) {
  std::size_t k = 0;
  while (nodes[k].name != name) ++k;
  return k;
}

inline double product(const std::vector<DirectedNode>& nodes, const std::vector<std::size_t>& x) {
  double p = 1;
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    std::size_t entry = 0;
    for (const auto& parent : nodes[k].parents) {
      const std::size_t j = position(nodes, parent);
      entry = entry * nodes[j].states + x[j];
    }
    p *= nodes[k].table.data()[entry * nodes[k].states + x[k]];
  }
  return p;
}

inline Enumerated enumerate(const std::vector<DirectedNode>& nodes) {
  Enumerated all;
  std::vector<std::size_t> x(nodes.size(), 0);
  for (;;) {
    all.x.push_back(x);
    all.p.push_back(product(nodes, x));
    std::size_t k = nodes.size();
    while (k > 0 && ++x[k - 1] == nodes[k - 1].states) x[--k] = 0;
    if (k == 0) return all;
  }
}

// p(queried | evidence), first queried node's states slowest. All zero if the evidence is impossible.
inline std::vector<double> conditional(const std::vector<DirectedNode>& nodes, const Enumerated& all,
                                       const std::vector<std::string>& queried, const Evidence& evidence) {
  std::size_t entries = 1;
  for (const auto& name : queried) entries *= nodes[position(nodes, name)].states;
  std::vector<double> result(entries, 0.0);
  double total = 0;
  for (std::size_t i = 0; i < all.x.size(); ++i) {
    bool agrees = true;
    for (const auto& [name, state] : evidence) agrees = agrees && all.x[i][position(nodes, name)] == state;
    if (!agrees) continue;
    std::size_t entry = 0;
    for (const auto& name : queried) {
      const std::size_t k = position(nodes, name);
      entry = entry * nodes[k].states + all.x[i][k];
    }
    result[entry] += all.p[i];
    total += all.p[i];
  }
  if (total > 0)
    for (double& value : result) value /= total;
  return result;
}

inline IndexArray batch(const std::vector<std::vector<std::size_t>>& rows) {
  IndexArray result(detail::XShape{rows.size(), rows.front().size()});
  std::size_t* out = result.data();
  for (const auto& row : rows) out = std::copy(row.begin(), row.end(), out);
  return result;
}

inline double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

// How many standard deviations Pearson's statistic of the draws lies above what chance gives (Wilson & Hilferty
// 1931). Assignments expected fewer than 5 times are pooled; one of probability 0 must not occur.
inline double chi_square_z(const IndexArray& draws, const Enumerated& all) {
  const std::size_t n = draws.shape()[0], nodes = draws.shape()[1];
  std::map<std::vector<std::size_t>, double> counts;
  for (std::size_t i = 0; i < n; ++i)
    ++counts[std::vector<std::size_t>(draws.data() + i * nodes, draws.data() + (i + 1) * nodes)];
  double statistic = 0, cells = 0, rare_expected = 0, rare_count = 0;
  for (std::size_t i = 0; i < all.x.size(); ++i) {
    const double expected = all.p[i] * static_cast<double>(n), count = counts[all.x[i]];
    if (all.p[i] == 0 && count > 0) return std::numeric_limits<double>::infinity();
    if (expected < 5) {
      rare_expected += expected;
      rare_count += count;
    } else {
      statistic += (count - expected) * (count - expected) / expected;
      ++cells;
    }
  }
  if (rare_expected >= 5) {
    statistic += (rare_count - rare_expected) * (rare_count - rare_expected) / rare_expected;
    ++cells;
  }
  const double freedom = cells - 1, spread = 2 / (9 * freedom);
  return (std::cbrt(statistic / freedom) - (1 - spread)) / std::sqrt(spread);
}

}  // namespace directed
