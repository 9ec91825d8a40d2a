#include <xtape/energy/directed.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <queue>
#include <span>

#include "factor.hpp"

namespace xtape {

using detail::Variables;

DirectedModel::DirectedModel(std::vector<DirectedNode> nodes) : nodes_(std::move(nodes)) {
  link();
  sort();
  for (std::size_t k = 0; k < size(); ++k) check_table(k);
}

// Names become numbers.
void DirectedModel::link() {
  for (std::size_t k = 0; k < size(); ++k) {
    if (!index_.emplace(nodes_[k].name, k).second)
      throw ValueError(fmt::format("directed model: two nodes are called {}", nodes_[k].name));
    if (nodes_[k].states == 0) throw ValueError(fmt::format("directed model: node {} has no states", nodes_[k].name));
    states_.push_back(nodes_[k].states);
  }
  for (const DirectedNode& node : nodes_) {
    auto& parents = parents_.emplace_back();
    for (const std::string& name : node.parents) {
      const auto found = index_.find(name);
      if (found == index_.end())
        throw ValueError(fmt::format("directed model: node {} has the unknown parent {}", node.name, name));
      if (std::find(parents.begin(), parents.end(), found->second) != parents.end())
        throw ValueError(fmt::format("directed model: node {} has the parent {} twice", node.name, name));
      parents.push_back(found->second);
    }
  }
}

// Kahn (1962): a node is next when all its parents are in. What never gets in lies on a cycle or below one.
void DirectedModel::sort() {
  std::vector<Variables> children(size());
  Variables waiting_for(size());
  std::priority_queue<std::size_t, Variables, std::greater<>> ready;
  for (std::size_t k = 0; k < size(); ++k) {
    for (const std::size_t parent : parents_[k]) children[parent].push_back(k);
    waiting_for[k] = parents_[k].size();
    if (waiting_for[k] == 0) ready.push(k);
  }
  while (!ready.empty()) {
    order_.push_back(ready.top());
    ready.pop();
    for (const std::size_t child : children[order_.back()])
      if (--waiting_for[child] == 0) ready.push(child);
  }
  if (order_.size() == size()) return;

  // Every node that waits has a parent that waits: upwards from any of them, some node comes again.
  const auto waits = [&](std::size_t k) { return waiting_for[k] > 0; };
  std::vector<bool> seen(size(), false);
  Variables upwards;
  std::size_t k = 0;
  while (!waits(k)) ++k;
  for (; !seen[k]; k = *std::find_if(parents_[k].begin(), parents_[k].end(), waits)) {
    seen[k] = true;
    upwards.push_back(k);
  }
  Variables cycle(std::find(upwards.begin(), upwards.end(), k), upwards.end());
  std::reverse(cycle.begin(), cycle.end());
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());  // from the one listed first
  std::string names;
  for (const std::size_t node : cycle) names += nodes_[node].name + " -> ";
  throw ValueError(fmt::format("directed model: {}{} is a cycle", names, nodes_[cycle.front()].name));
}

void DirectedModel::check_table(std::size_t k) {
  DirectedNode& node = nodes_[k];
  Variables axes = parents_[k];
  const double rows = detail::joint_states(axes, states_);
  axes.push_back(k);
  if (detail::joint_states(axes, states_) > detail::max_table_entries)
    throw ValueError(
        fmt::format("directed model: node {}: a table of {} x {} entries is too large, at most 2^28 are allowed",
                    node.name, rows, node.states));
  const Shape merged{static_cast<std::size_t>(rows), node.states};
  Shape full = merged;
  if (axes.size() <= max_rank) {
    full = {};
    for (const std::size_t v : axes) full.push_back(states_[v]);
  }
  if (!node.table.defined() || (node.table.shape() != full && node.table.shape() != merged))
    throw ShapeError(fmt::format("directed model: node {}: a table of shape {} is needed, got {}", node.name,
                                 to_string(full), node.table.defined() ? to_string(node.table.shape()) : "none"));
  node.table = node.table.detach();  // later changes of a leaf must not reach us

  const double* p = node.table.data();
  for (std::size_t r = 0; r < merged[0]; ++r, p += node.states) {
    double sum = 0;
    bool proper = true;
    for (std::size_t s = 0; s < node.states; ++s) {
      proper = proper && p[s] >= 0;  // not so for NaN
      sum += p[s];
    }
    if (proper && std::abs(sum - 1) <= 1e-9) continue;
    std::vector<std::string> given(parents_[k].size());
    for (std::size_t i = given.size(), rest = r; i-- > 0; rest /= states_[parents_[k][i]])
      given[i] = fmt::format("{} = {}", node.parents[i], rest % states_[parents_[k][i]]);
    const std::string where = given.empty() ? "" : fmt::format(" for {}", fmt::join(given, ", "));
    throw ValueError(fmt::format("directed model: node {}: row {}{}: ", node.name, r, where) +
                     (proper ? fmt::format("the probabilities sum to {:.10g}, not to 1", sum)
                             : fmt::format("[{}] are not all probabilities", fmt::join(p, p + node.states, ", "))));
  }
}

void DirectedModel::check_number(std::size_t k) const {
  if (k >= size()) throw ValueError(fmt::format("directed model: no node {} among {}", k, size()));
}

const DirectedNode& DirectedModel::node(std::size_t k) const {
  check_number(k);
  return nodes_[k];
}

const std::vector<std::size_t>& DirectedModel::parents(std::size_t k) const {
  check_number(k);
  return parents_[k];
}

std::size_t DirectedModel::index(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) throw ValueError(fmt::format("directed model: no node is called {}", name));
  return found->second;
}

// The row of node k's table, row-major over its parents' states in x.
std::size_t DirectedModel::row(std::size_t k, const std::size_t* x) const {
  std::size_t r = 0;
  for (const std::size_t parent : parents_[k]) r = r * states_[parent] + x[parent];
  return r;
}

Tensor<double> DirectedModel::log_joint(const char* op, const IndexArray& x) const {
  const Shape shape(x.shape());
  if ((shape.size() != 1 && shape.size() != 2) || shape.back() != size())
    throw ShapeError(fmt::format("{}: rows of {} states are needed, got shape {}", op, size(), to_string(shape)));
  Shape rows;
  if (shape.size() == 2) rows.push_back(shape[0]);
  Fresh<double> result(op, rows);
  std::ranges::fill(result.span(), 0.0);
  const std::size_t* states = x.data();
  for (std::size_t i = 0; i < result.size(); ++i, states += size()) {
    for (std::size_t k = 0; k < size(); ++k)
      if (states[k] >= states_[k])
        throw ValueError(
            fmt::format("{}: node {} has {} states, got state {}", op, nodes_[k].name, states_[k], states[k]));
    for (std::size_t k = 0; k < size(); ++k)
      result.data()[i] += std::log(nodes_[k].table.data()[row(k, states) * states_[k] + states[k]]);
  }
  return std::move(result).finished();
}

Tensor<double> DirectedModel::log_joint(const IndexArray& x) const { return log_joint("log_joint", x); }

Tensor<double> DirectedModel::joint(const IndexArray& x) const {
  const Tensor<double> logs = log_joint("joint", x);
  Fresh<double> result("joint", logs.shape());
  std::ranges::transform(logs.span(), result.data(), [](double log) { return std::exp(log); });
  return std::move(result).finished();
}

std::vector<SummedOut> DirectedModel::sum_out() const {
  std::vector<SummedOut> steps;
  for (auto next = order_.rbegin(); next != order_.rend(); ++next) {
    const std::size_t k = *next;
    // k's children are gone, and what they left is 1 everywhere: the only factor with k in it is k's own table.
    const Shape shape = nodes_[k].table.shape();
    Fresh<double> left("sum_out", Shape(std::span(shape.begin(), shape.end() - 1)));
    const double* p = nodes_[k].table.data();
    double deviation = 0;
    for (std::size_t r = 0; r < left.size(); ++r, p += states_[k]) {
      const double sum = std::accumulate(p, p + states_[k], 0.0);
      left.data()[r] = sum;
      deviation = std::max(deviation, std::abs(sum - 1));
    }
    steps.push_back({k, std::move(left).finished(), deviation});
  }
  return steps;
}

double DirectedModel::total_probability() const {
  // A table that is constant is a number. Constant to 1e-9, as the rows were checked: their mean.
  double total = 1;
  for (const SummedOut& step : sum_out()) {
    const auto entries = step.table.span();
    total *= std::accumulate(entries.begin(), entries.end(), 0.0) / static_cast<double>(entries.size());
  }
  return total;
}

IndexArray DirectedModel::sample(std::size_t n, Rng& rng) const {
  const Shape shape{n, size()};
  static_cast<void>(shape.elements());  // throws if there are too many
  IndexArray result(detail::XShape(shape.begin(), shape.end()));
  for (std::size_t* x = result.data(); n-- > 0; x += size())
    for (const std::size_t k : order_) {
      const double* p = nodes_[k].table.data() + row(k, x) * states_[k];
      // The first state whose cumulated probability passes u; rounding may leave none: then the last possible one.
      double u = rng.uniform();
      for (std::size_t s = 0; s < states_[k]; ++s) {
        if (p[s] == 0) continue;
        x[k] = s;
        if (u < p[s]) break;
        u -= p[s];
      }
    }
  return result;
}

}  // namespace xtape
