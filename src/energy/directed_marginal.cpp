// Marginals and conditionals of a directed model, by variable elimination.

#include <xtape/energy/directed.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "factor.hpp"

namespace xtape {

using detail::Factor;
using detail::Variables;

namespace {

void check_size(double entries, const std::string& what) {
  if (entries > detail::max_table_entries)
    throw ValueError(
        fmt::format("marginal: {} takes a table of {:.3g} entries, at most 2^28 are allowed", what, entries));
}

// Greedy order of elimination: next is the variable whose sum goes through the smallest table. Decided on the
// graph of who shares a factor with whom, before any table is touched: a query too large is refused at once.
class Plan {
 public:
  explicit Plan(const Variables& states) : states_(states), neighbours_(states.size()), cost_(states.size()) {}

  void add(const Variables& factor) {
    for (const std::size_t v : factor) {
      neighbours_[v].insert(factor.begin(), factor.end());
      neighbours_[v].erase(v);
    }
  }
  Variables order(const Variables& summed, const std::vector<DirectedNode>& nodes) {
    for (const std::size_t v : summed) queue_.emplace(cost_[v] = cost(v), v);
    Variables result;
    while (!queue_.empty()) {
      const std::size_t v = queue_.begin()->second;  // of equal cost: the one listed first
      queue_.erase(queue_.begin());
      check_size(cost_[v], "summing out " + nodes[v].name);
      const Variables left(neighbours_[v].begin(), neighbours_[v].end());
      for (const std::size_t w : left) neighbours_[w].erase(v);
      add(left);
      for (const std::size_t w : left)
        if (queue_.erase({cost_[w], w}) > 0) queue_.emplace(cost_[w] = cost(w), w);
      result.push_back(v);
    }
    return result;
  }

 private:
  double cost(std::size_t v) const {
    double entries = static_cast<double>(states_[v]);
    for (const std::size_t w : neighbours_[v]) entries *= static_cast<double>(states_[w]);
    return entries;
  }

  const Variables& states_;
  std::vector<std::set<std::size_t>> neighbours_;
  std::vector<double> cost_;
  std::set<std::pair<double, std::size_t>> queue_;
};

// A product of factors, out of which variables are summed one by one.
class Product {
 public:
  explicit Product(const Variables& states) : states_(states), factors_with_(states.size()) {}

  void add(Factor factor) {
    for (const std::size_t v : factor.variables) factors_with_[v].push_back(factors_.size());
    factors_.push_back(std::move(factor));
  }
  void sum_out(std::size_t v) {
    std::vector<const Factor*> bucket;
    std::set<std::size_t> left;
    for (const std::size_t f : factors_with_[v])
      if (!factors_[f].logs.empty()) {  // not yet used up
        bucket.push_back(&factors_[f]);
        left.insert(factors_[f].variables.begin(), factors_[f].variables.end());
      }
    left.erase(v);
    Factor result = sum_product(bucket, {left.begin(), left.end()}, {v}, states_);
    for (const std::size_t f : factors_with_[v]) factors_[f] = {};
    add(std::move(result));
  }
  // What is left, as a table over `variables`, which are all that is left in it.
  Factor table(const Variables& variables) const {
    std::vector<const Factor*> factors;
    for (const Factor& factor : factors_)
      if (!factor.logs.empty()) factors.push_back(&factor);
    return sum_product(factors, variables, {}, states_);
  }

 private:
  const Variables& states_;
  std::vector<Factor> factors_;
  std::vector<Variables> factors_with_;  // of each variable
};

}  // namespace

Tensor<double> DirectedModel::marginal(const std::vector<std::string>& queried, const Evidence& evidence) const {
  if (queried.empty()) throw ValueError("marginal: no node is queried");
  if (queried.size() > max_rank)
    throw ShapeError(fmt::format("marginal: {} nodes are queried, at most {} can be", queried.size(), max_rank));
  Variables query, observed(size(), detail::unobserved);
  std::vector<bool> is_queried(size(), false);
  for (const auto& [name, state] : evidence) {
    const std::size_t k = index(name);
    if (state >= states_[k])
      throw ValueError(fmt::format("marginal: node {} has {} states, got state {}", name, states_[k], state));
    observed[k] = state;
  }
  Shape shape;
  for (const std::string& name : queried) {
    const std::size_t k = index(name);
    if (is_queried[k]) throw ValueError(fmt::format("marginal: node {} is queried twice", name));
    if (observed[k] != detail::unobserved)
      throw ValueError(fmt::format("marginal: node {} is both queried and observed", name));
    is_queried[k] = true;
    query.push_back(k);
    shape.push_back(states_[k]);
  }
  check_size(detail::joint_states(query, states_), "the answer");

  // Children before parents: whoever is not queried, observed or above such a node sums to 1 and stays out.
  std::vector<bool> matters = is_queried;
  Variables summed;
  Plan plan(states_);
  Product product(states_);
  for (auto next = order_.rbegin(); next != order_.rend(); ++next) {
    const std::size_t k = *next;
    const bool is_observed = observed[k] != detail::unobserved;
    if (!matters[k] && !is_observed) continue;
    for (const std::size_t parent : parents_[k]) matters[parent] = true;
    if (!is_queried[k] && !is_observed) summed.push_back(k);
    Factor factor{parents_[k], {}};
    factor.variables.push_back(k);
    for (const double p : nodes_[k].table.span()) factor.logs.push_back(std::log(p));
    factor = restricted(factor, observed, states_);
    plan.add(factor.variables);
    product.add(std::move(factor));
  }
  for (const std::size_t k : plan.order(summed, nodes_)) product.sum_out(k);

  const Factor answer = product.table(query);
  const double largest = *std::max_element(answer.logs.begin(), answer.logs.end());
  if (!std::isfinite(largest)) throw ValueError("marginal: the evidence is impossible, its probability is 0");
  Fresh<double> result("marginal", shape);
  double total = 0;
  for (std::size_t i = 0; i < answer.logs.size(); ++i) total += result.data()[i] = std::exp(answer.logs[i] - largest);
  for (std::size_t i = 0; i < answer.logs.size(); ++i) result.data()[i] /= total;
  return std::move(result).finished();
}

}  // namespace xtape
