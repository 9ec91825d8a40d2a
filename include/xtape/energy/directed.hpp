#pragma once
/// \file energy/directed.hpp  A directed graphical model (Bayesian network) of discrete nodes.
///
/// p(x) = Π_k p(x_k | x_pa(k)) over a graph without cycles. It sums to 1: a node without children occurs in its
/// own factor only, and Σ_{x_k} p(x_k | x_pa(k)) = 1 whatever the parents' states, so the sum over x_k leaves the
/// model of the other nodes. In reverse topological order every node's turn comes when its children are gone.
///
/// In double, and not recorded: these are sums and samples, not ops with a gradient.

#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

#include <map>
#include <string>
#include <vector>

namespace xtape {

/// One node as the user describes it.
struct DirectedNode {
  std::string name;
  std::size_t states = 2;
  std::vector<std::string> parents;
  /// p(own state | parents' states): (first parent's states, second parent's states, ..., own states), each row
  /// (the last axis) summing to 1. The parents' axes may be merged into one, in row-major order: (rows, own
  /// states). With more than max_rank - 1 parents they must be.
  Tensor<double> table;
};

/// States observed at some nodes, by name.
using Evidence = std::map<std::string, std::size_t>;

/// What summing out one node left.
struct SummedOut {
  std::size_t node;
  /// Σ_{x_k} p(x_k | x_pa(k)), a table over the parents' states: node k's own table without its last axis.
  Tensor<double> table;
  double deviation;  ///< largest |entry - 1|: rounding, in a model that is normalised
};

class DirectedModel {
 public:
  /// From the nodes in any order: a parent may be listed after its children.
  /// Throws ValueError on a repeated name, a node without states, an unknown or repeated parent, a cycle (which
  /// it names, "a -> c -> b -> a"), a table of more than 2^28 entries, an entry that is negative or no number, a
  /// row that does not sum to 1 within 1e-9; ShapeError on a table of another shape.
  explicit DirectedModel(std::vector<DirectedNode> nodes);

  /// Number of nodes. Nodes are numbered in the order in which they were listed.
  std::size_t size() const { return nodes_.size(); }
  /// Throws ValueError unless k < size().
  const DirectedNode& node(std::size_t k) const;
  /// The numbers of node k's parents, in the order of its table's axes. Throws ValueError unless k < size().
  const std::vector<std::size_t>& parents(std::size_t k) const;
  /// The number of the node of that name. Throws ValueError if there is none.
  std::size_t index(const std::string& name) const;
  /// Every node after its parents; as listed where the arrows leave a choice.
  const std::vector<std::size_t>& topological_order() const { return order_; }

  /// log p(x) = Σ_k log p(x_k | x_pa(k)), -inf where p(x) = 0.    x: (nodes,) -> (), or (n, nodes) -> (n,)
  /// Throws ShapeError if x does not fit the model, ValueError naming the node if a state is out of range.
  Tensor<double> log_joint(const IndexArray& x) const;
  /// p(x) = Π_k p(x_k | x_pa(k)). Shapes and errors as log_joint; 0 where it is too small for a double.
  Tensor<double> joint(const IndexArray& x) const;

  /// p(queried | evidence) by variable elimination, an axis for each name: (first one's states, ...). Next to
  /// be summed out is always the node whose sum goes through the smallest table; a node that is neither queried nor
  /// observed, nor above such a node, sums to 1 and stays out. In logarithms: however much is observed, nothing
  /// underflows.
  /// Throws ValueError if a name is unknown, repeated, or both queried and observed, if nothing is queried, if a
  /// state is out of range, if the evidence is impossible, or if a table of more than 2^28 entries would be
  /// needed; ShapeError if more than max_rank nodes are queried.
  Tensor<double> marginal(const std::vector<std::string>& queried, const Evidence& evidence = {}) const;

  /// Sums out node after node in reverse topological order, and tells what each step left: a table of ones.
  std::vector<SummedOut> sum_out() const;
  /// Σ_x p(x), as the product of what the steps of sum_out() leave: 1 but for rounding, and for what the rows are
  /// off by.
  double total_probability() const;

  /// n draws by ancestral sampling: x_k ~ p(x_k | x_pa(k)) in topological order -> (n, nodes). The same seed
  /// gives the same draws. A state of probability 0 is never drawn.
  /// Throws ShapeError if n rows do not fit the address space.
  IndexArray sample(std::size_t n, Rng& rng) const;

 private:
  void link();
  void sort();
  void check_table(std::size_t k);
  void check_number(std::size_t k) const;
  std::size_t row(std::size_t k, const std::size_t* x) const;
  Tensor<double> log_joint(const char* op, const IndexArray& x) const;

  std::vector<DirectedNode> nodes_;
  std::map<std::string, std::size_t> index_;
  std::vector<std::vector<std::size_t>> parents_;
  std::vector<std::size_t> states_, order_;
};

}  // namespace xtape
