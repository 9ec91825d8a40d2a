// Shows that a directed graphical model sums to 1: Σ_x Π_k p(x_k | x_pa(k)) = 1. Random networks are summed over
// all joint states and node by node in reverse topological order; a small network shows each step by name and
// answers questions; a cycle is refused.

#include <xtape/energy/directed.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "common.hpp"

namespace {

using namespace xtape;

struct Options : examples::CommonOptions {
  std::size_t networks = 8, nodes = 8, states = 3, parents = 3;
};

constexpr double most_joint_states = 262144;  // beyond that a network is not enumerated
constexpr std::size_t draws = 50'000;
constexpr double error_limit = 1e-12;  // rounding of sums over up to 2^18 states stays well below
constexpr double z_limit = 5;          // chance alone goes beyond it once in a million tables or so
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

// Nodes a, b, c, ..., each with up to --parents parents among those before it, listed in a random order. Rows are
// uniform on the simplex: exponential numbers, normalised.
std::vector<DirectedNode> random_network(const Options& options, Rng& rng) {
  std::vector<DirectedNode> nodes(options.nodes);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    DirectedNode& node = nodes[k];
    node.name = k < 26 ? std::string(1, static_cast<char>('a' + k)) : fmt::format("n{}", k + 1);
    node.states = 2 + rng.below(options.states - 1);
    std::size_t rows = 1;
    for (std::size_t left = std::min<std::size_t>(k, rng.below(options.parents + 1)); left > 0;) {
      const DirectedNode& parent = nodes[rng.below(k)];
      if (std::find(node.parents.begin(), node.parents.end(), parent.name) != node.parents.end()) continue;
      node.parents.push_back(parent.name);
      rows *= parent.states;
      --left;
    }
    std::vector<double> table(rows * node.states);
    for (auto row = table.begin(); row != table.end(); row += static_cast<std::ptrdiff_t>(node.states)) {
      const auto end = row + static_cast<std::ptrdiff_t>(node.states);
      std::generate(row, end, [&] { return -std::log1p(-rng.uniform()); });
      const double sum = std::accumulate(row, end, 0.0);
      std::transform(row, end, row, [&](double p) { return p / sum; });
    }
    node.table = Tensor<double>({rows, node.states}, std::span<const double>(table));
  }
  rng.shuffle(std::span(nodes));
  return nodes;
}

// The burglar alarm (Pearl 1988; figures of Russell & Norvig, "Artificial Intelligence"). State 1 is "yes".
std::vector<DirectedNode> alarm_network() {
  using D = Tensor<double>;
  return {{"burglary", 2, {}, D({2}, {0.999, 0.001})},
          {"earthquake", 2, {}, D({2}, {0.998, 0.002})},
          {"alarm", 2, {"burglary", "earthquake"}, D({2, 2, 2}, {0.999, 0.001, 0.71, 0.29, 0.06, 0.94, 0.05, 0.95})},
          {"john calls", 2, {"alarm"}, D({2, 2}, {0.95, 0.05, 0.1, 0.9})},
          {"mary calls", 2, {"alarm"}, D({2, 2}, {0.99, 0.01, 0.3, 0.7})}};
}

double log10_joint_states(const DirectedModel& model) {
  double sum = 0;
  for (std::size_t k = 0; k < model.size(); ++k) sum += std::log10(static_cast<double>(model.node(k).states));
  return sum;
}

// All assignments of the nodes, the last one's state changing fastest -> (joint states, nodes)
IndexArray assignments(const DirectedModel& model) {
  std::size_t count = 1;
  for (std::size_t k = 0; k < model.size(); ++k) count *= model.node(k).states;
  IndexArray x(IndexArray::shape_type{count, model.size()});
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t k = model.size(), rest = i; k-- > 0; rest /= model.node(k).states)
      x(i, k) = rest % model.node(k).states;
  return x;
}

// The proof in figures. After each step the table Σ_{x_k} p(x) of the nodes that are left must be the joint
// table of the model without node k. Returns the largest difference.
double follow_steps(std::vector<DirectedNode> nodes) {
  const DirectedModel model(nodes);
  Tensor<double> joint = model.joint(assignments(model));
  double worst = 0;
  for (const SummedOut& step : model.sum_out()) {
    worst = std::max(worst, step.deviation);
    const auto gone = std::find_if(nodes.begin(), nodes.end(),
                                   [&](const DirectedNode& node) { return node.name == model.node(step.node).name; });
    std::size_t inner = 1;
    for (auto node = gone + 1; node != nodes.end(); ++node) inner *= node->states;
    std::vector<double> summed(joint.size() / gone->states, 0.0);
    for (std::size_t i = 0; i < joint.size(); ++i)
      summed[i / (inner * gone->states) * inner + i % inner] += joint.data()[i];
    nodes.erase(gone);
    const DirectedModel rest(nodes);
    joint = rest.joint(assignments(rest));
    for (std::size_t i = 0; i < summed.size(); ++i) worst = std::max(worst, std::abs(summed[i] - joint.data()[i]));
  }
  return worst;
}

// Marginals by elimination against sums over all states: of each node, alone and given states of two others that
// occur together. Returns the largest difference.
double marginals_off_by(const DirectedModel& model, const IndexArray& x, const Tensor<double>& p, Rng& rng) {
  double worst = 0;
  for (std::size_t k = 0; k < model.size(); ++k) {
    const IndexArray draw = model.sample(1, rng);
    Evidence evidence;
    for (int given = 0; given < 2; ++given) {
      std::vector<double> sums(model.node(k).states, 0.0);
      for (std::size_t i = 0; i < p.size(); ++i)
        if (std::all_of(evidence.begin(), evidence.end(),
                        [&](const auto& e) { return x(i, model.index(e.first)) == e.second; }))
          sums[x(i, k)] += p.data()[i];
      const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
      const Tensor<double> found = model.marginal({model.node(k).name}, evidence);
      for (std::size_t s = 0; s < sums.size(); ++s)
        worst = std::max(worst, std::abs(found.data()[s] - sums[s] / total));
      for (int i = 0; i < 2; ++i)
        if (const std::size_t other = rng.below(model.size()); other != k)
          evidence[model.node(other).name] = draw(0, other);
    }
  }
  return worst;
}

// Pearson's chi-square of draws against p, as standard deviations from what chance gives (Wilson & Hilferty 1931).
// States expected fewer than 5 times are pooled. Not a number if that leaves a single cell.
double sampling_z(const DirectedModel& model, const Tensor<double>& p, Rng& rng) {
  const IndexArray x = model.sample(draws, rng);
  std::vector<double> counts(p.size(), 0.0);
  for (std::size_t i = 0; i < draws; ++i) {
    std::size_t state = 0;
    for (std::size_t k = 0; k < model.size(); ++k) state = state * model.node(k).states + x(i, k);
    ++counts[state];
  }
  double statistic = 0, cells = 0, rare = 0, rare_count = 0;
  const auto add = [&](double expected, double count) {
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double expected = p.data()[i] * static_cast<double>(draws);
    if (expected >= 5) {
      add(expected, counts[i]);
    } else {
      rare += expected;
      rare_count += counts[i];
    }
  }
  if (rare >= 5) add(rare, rare_count);
  if (cells < 2) return unknown;
  const double freedom = cells - 1, spread = 2 / (9 * freedom);
  return (std::cbrt(statistic / freedom) - (1 - spread)) / std::sqrt(spread);
}

// One line of the table. What cannot be had without enumeration is not a number.
struct Result {
  std::size_t nodes = 0, arrows = 0;
  double log10_states = 0;
  double enumeration = unknown, elimination = unknown, step = unknown, marginals = unknown, z = unknown;

  bool passed() const {
    const auto small = [](double value, double limit) { return std::isnan(value) || std::abs(value) <= limit; };
    return !std::isnan(elimination) && small(enumeration, error_limit) && small(elimination, error_limit) &&
           small(step, error_limit) && small(marginals, error_limit) && small(z, z_limit);
  }
};

Result verify(const std::vector<DirectedNode>& nodes, Rng& rng) {
  const DirectedModel model(nodes);
  Result result;
  result.nodes = model.size();
  for (std::size_t k = 0; k < model.size(); ++k) result.arrows += model.parents(k).size();
  result.log10_states = log10_joint_states(model);
  result.elimination = model.total_probability() - 1;
  if (result.log10_states > std::log10(most_joint_states) + 1e-9) return result;
  const IndexArray x = assignments(model);
  const Tensor<double> p = model.joint(x);
  result.enumeration = std::accumulate(p.span().begin(), p.span().end(), 0.0) - 1;
  result.step = follow_steps(nodes);
  result.marginals = marginals_off_by(model, x, p, rng);
  result.z = sampling_z(model, p, rng);
  return result;
}

std::string cell(double value) { return std::isnan(value) ? "-" : fmt::format("{:.1e}", value); }

void print_row(const std::string& name, const Result& r) {
  const std::string states = r.log10_states < 9 ? fmt::format("{:.0f}", std::pow(10, r.log10_states))
                                                : fmt::format("10^{:.1f}", r.log10_states);
  examples::say("{:>8} {:>6} {:>7} {:>13} {:>16} {:>16} {:>9} {:>10} {:>9}  {}\n", name, r.nodes, r.arrows, states,
                cell(r.enumeration), cell(r.elimination), cell(r.step), cell(r.marginals),
                std::isnan(r.z) ? "-" : fmt::format("{:.2f}", r.z), r.passed() ? "ok" : "FAIL");
}

std::string factor(const DirectedNode& node) {
  return node.parents.empty() ? fmt::format("p({})", node.name)
                              : fmt::format("p({} | {})", node.name, fmt::join(node.parents, ", "));
}

void show_steps(const DirectedModel& model) {
  std::vector<std::size_t> left = model.topological_order();
  const auto factors = [&] {
    std::vector<std::string> names;
    for (const std::size_t k : left) names.push_back(factor(model.node(k)));
    return names.empty() ? "1" : fmt::format("{}", fmt::join(names, " "));
  };
  examples::say("\nThe burglar alarm, step by step\n{:>12}  {:<12} {:<8} {}\n", "sum over", "leaves", "- 1", "times");
  examples::say("{:>12}  {:<12} {:<8} {}\n", "", "", "", factors());
  for (const SummedOut& step : model.sum_out()) {
    left.pop_back();
    const std::string leaves = fmt::format("[{}]", fmt::join(step.table.span(), ", "));
    examples::say("{:>12}  {:<12} {:<8} {}\n", model.node(step.node).name, leaves, cell(step.deviation), factors());
  }
}

// Questions with known answers: the book's, and by hand. True if they come out.
bool answer_questions(const DirectedModel& model) {
  struct Question {
    std::string queried;
    Evidence evidence;
    double answer;
  };
  const std::vector<Question> questions{
      {"burglary", {}, 0.001},
      {"alarm", {}, 0.002516442},
      {"burglary", {{"john calls", 1}, {"mary calls", 1}}, 0.284171835},
      {"burglary", {{"john calls", 1}, {"mary calls", 1}, {"earthquake", 1}}, 0.003262247},
  };
  examples::say("\nQuestions, by variable elimination: an earthquake explains the alarm away\n");
  bool right = true;
  for (const auto& [queried, evidence, answer] : questions) {
    std::vector<std::string> given;
    for (const auto& [name, state] : evidence) given.push_back(name);
    const double p = model.marginal({queried}, evidence).data()[1];
    const bool as_expected = std::abs(p - answer) < 1e-8;
    right = right && as_expected;
    examples::say("  p({}{}{}) = {:.6f}{}\n", queried, given.empty() ? "" : " | ",
                  fmt::format("{}", fmt::join(given, ", ")), p,
                  as_expected ? "" : fmt::format(", but should be {:.6f}", answer));
  }
  return right;
}

// A cycle must be refused by name.
bool refuse_cycle(std::vector<DirectedNode> nodes) {
  nodes[0].parents = {"mary calls"};
  nodes[0].table = Tensor<double>({2, 2}, {0.999, 0.001, 0.9, 0.1});
  examples::say("\nBurglars who come when Mary calls:\n");
  try {
    const DirectedModel model(nodes);
    examples::say("  accepted, though it has a cycle\n");
    return false;
  } catch (const ValueError& error) {
    examples::say("  {}\n", error.what());
    return std::string(error.what()).find("burglary -> alarm -> mary calls -> burglary") != std::string::npos;
  }
}

void write_dot(const std::string& path, const DirectedModel& model) {
  std::string text = "digraph alarm {\n";
  for (std::size_t k = 0; k < model.size(); ++k) {
    text += fmt::format("  \"{}\";\n", model.node(k).name);
    for (const std::string& parent : model.node(k).parents)
      text += fmt::format("  \"{}\" -> \"{}\";\n", parent, model.node(k).name);
  }
  std::ofstream file(path);
  if (!(file << text << "}\n" << std::flush)) throw DataError(path + ": cannot be written");
}

int show_all(const Options& options) {
  if (std::pow(options.states, options.parents + 1) > 1e7)
    throw ValueError(fmt::format("{} parents of {} states: tables would have up to {:.0e} entries, more than 1e7",
                                 options.parents, options.states, std::pow(options.states, options.parents + 1)));
  examples::Csv csv(examples::out_path(options, "metrics.csv"),
                    {"network", "nodes", "arrows", "log10_joint_states", "enumeration_minus_1", "elimination_minus_1",
                     "step", "marginals", "draws_z"});
  examples::say(
      "Networks with random arrows and tables. Summed over all joint states, and node by node in reverse topological\n"
      "order: how far from 1. Step: after each node, how far the table of what is left is from that of the model\n"
      "without the node. Marginals: elimination against enumeration, with and without evidence. Draws: {} of them\n"
      "against the joint probabilities, chi-square as standard deviations from what chance gives.\n\n",
      draws);
  examples::say("{:>8} {:>6} {:>7} {:>13} {:>16} {:>16} {:>9} {:>10} {:>9}\n", "network", "nodes", "arrows",
                "joint states", "enumeration - 1", "elimination - 1", "step", "marginals", "draws (z)");
  const auto alarm = alarm_network();
  bool passed = true, all_enumerated = true;
  Result worst;
  const auto keep_worse = [](double& kept, double value) {
    if (!std::isnan(value) && !(std::abs(kept) >= std::abs(value))) kept = value;
  };
  for (std::size_t i = 0; i <= options.networks; ++i) {
    const bool is_alarm = i == options.networks;
    Rng rng(options.seed, i);
    const Result r = verify(is_alarm ? alarm : random_network(options, rng), rng);
    print_row(is_alarm ? "alarm" : fmt::format("{}", i + 1), r);
    csv.row({static_cast<double>(i + 1), static_cast<double>(r.nodes), static_cast<double>(r.arrows), r.log10_states,
             r.enumeration, r.elimination, r.step, r.marginals, r.z});
    for (const auto figure :
         {&Result::enumeration, &Result::elimination, &Result::step, &Result::marginals, &Result::z})
      keep_worse(worst.*figure, r.*figure);
    passed = passed && r.passed();
    all_enumerated = all_enumerated && !std::isnan(r.enumeration);
  }
  if (!all_enumerated) examples::say("  -  more than {:.0f} joint states: not enumerated\n", most_joint_states);

  const DirectedModel model(alarm);
  show_steps(model);
  passed = answer_questions(model) && passed;
  passed = refuse_cycle(alarm) && passed;
  write_dot(examples::out_path(options, "network.dot"), model);
  examples::Summary summary(examples::out_path(options, "summary.csv"));
  summary.add("worst_enumeration_minus_1", worst.enumeration);
  summary.add("worst_elimination_minus_1", worst.elimination);
  summary.add("worst_step", worst.step);
  summary.add("worst_marginal", worst.marginals);
  summary.add("worst_z", worst.z);
  summary.add("passed", passed);
  examples::say("\n{}; written to {}: metrics.csv, summary.csv, network.dot\n",
                passed ? "every check passed" : "NOT EVERY CHECK PASSED", options.out);
  return passed ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Shows that directed graphical models sum to 1, by enumeration and by elimination. Exit status: 0 if every\n"
      "check passes, 1 if not, 2 for bad options.",
      "directed_model"};
  Options options;
  options.add_to(app, "out/directed", {"metrics.csv", "summary.csv", "network.dot"}, false);
  app.add_option("--networks", options.networks, "how many random networks")
      ->transform(examples::whole(1, 10000))
      ->capture_default_str();
  app.add_option("--nodes", options.nodes, "nodes of each")
      ->transform(examples::whole(1, 10000))
      ->capture_default_str();
  app.add_option("--states", options.states, "most states of a node; the least are 2")
      ->transform(examples::whole(2, 100))
      ->capture_default_str();
  app.add_option("--parents", options.parents, "most parents of a node")
      ->transform(examples::whole(0, 16))
      ->capture_default_str();
  return examples::run(app, argc, argv, options, [&] { return show_all(options); });
}
