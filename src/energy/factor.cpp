#include "factor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace xtape::detail {

double joint_states(const Variables& variables, const Variables& states) {
  double product = 1;
  for (const std::size_t v : variables) product *= static_cast<double>(states[v]);
  return product;
}

namespace {

// log Σ e^terms
double log_sum(std::span<const double> terms) {
  const double largest = *std::max_element(terms.begin(), terms.end());
  if (terms.size() == 1 || largest == -std::numeric_limits<double>::infinity()) return largest;
  double sum = 0;
  for (const double term : terms) sum += std::exp(term - largest);
  return largest + std::log(sum);
}

// Walks all factors through the states of `variables`, the last one fastest.
class Walk {
 public:
  Walk(std::span<const Factor* const> factors, const Variables& variables, const Variables& states)
      : factors_(factors), states_(variables.size(), 0), offsets_(factors.size(), 0) {
    for (const std::size_t v : variables) extents_.push_back(states[v]);
    strides_.assign(variables.size(), Variables(factors.size(), 0));
    for (std::size_t f = 0; f < factors.size(); ++f) {
      std::size_t stride = 1;
      for (std::size_t i = factors[f]->variables.size(); i-- > 0; stride *= states[factors[f]->variables[i]]) {
        const auto axis = std::find(variables.begin(), variables.end(), factors[f]->variables[i]) - variables.begin();
        strides_[static_cast<std::size_t>(axis)][f] = stride;
      }
    }
  }
  double log_product() const {
    double sum = 0;
    for (std::size_t f = 0; f < factors_.size(); ++f) sum += factors_[f]->logs[offsets_[f]];
    return sum;
  }
  void next() {
    for (std::size_t axis = extents_.size(); axis-- > 0;) {
      const std::size_t before = states_[axis];
      states_[axis] = before + 1 == extents_[axis] ? 0 : before + 1;
      for (std::size_t f = 0; f < offsets_.size(); ++f)
        offsets_[f] = offsets_[f] + strides_[axis][f] * states_[axis] - strides_[axis][f] * before;
      if (states_[axis] != 0) return;
    }
  }

 private:
  std::span<const Factor* const> factors_;
  Variables extents_, states_, offsets_;
  std::vector<Variables> strides_;  // (variable, factor)
};

}  // namespace

Factor sum_product(std::span<const Factor* const> factors, const Variables& kept, const Variables& summed,
                   const Variables& states) {
  Variables all = kept;
  all.insert(all.end(), summed.begin(), summed.end());
  Walk walk(factors, all, states);
  Factor result{kept, std::vector<double>(static_cast<std::size_t>(joint_states(kept, states)))};
  std::vector<double> terms(static_cast<std::size_t>(joint_states(summed, states)));
  for (double& entry : result.logs) {
    for (double& term : terms) {
      term = walk.log_product();
      walk.next();
    }
    entry = log_sum(terms);
  }
  return result;
}

Factor restricted(const Factor& factor, const Variables& observed, const Variables& states) {
  Factor result;
  for (const std::size_t v : factor.variables)
    if (observed[v] == unobserved) result.variables.push_back(v);
  // What is left of a row-major table is in row-major order.
  for (std::size_t entry = 0; entry < factor.logs.size(); ++entry) {
    bool agrees = true;
    std::size_t rest = entry;
    for (std::size_t i = factor.variables.size(); i-- > 0;) {
      const std::size_t v = factor.variables[i];
      agrees = agrees && (observed[v] == unobserved || observed[v] == rest % states[v]);
      rest /= states[v];
    }
    if (agrees) result.logs.push_back(factor.logs[entry]);
  }
  return result;
}

}  // namespace xtape::detail
