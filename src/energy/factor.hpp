#pragma once
// Tables over some of a model's discrete variables, multiplied and summed: what variable elimination is made of.

#include <cstddef>
#include <span>
#include <vector>

namespace xtape::detail {

using Variables = std::vector<std::size_t>;

// No table is larger than this: 2 GiB of doubles.
inline constexpr double max_table_entries = 268435456;  // 2^28

// A table over `variables`, row-major, as logarithms: products of thousands of factors do not underflow, and an
// entry is -inf only where the probability is 0.
struct Factor {
  Variables variables;
  std::vector<double> logs;
};

// Number of joint states. A double: it may be far beyond any integer.
double joint_states(const Variables& variables, const Variables& states);

// The table over `kept` of log Σ_summed Π factors; each variable of a factor is among `kept` or `summed`.
// states[v] is variable v's number of states. The caller has checked the tables' sizes.
Factor sum_product(std::span<const Factor* const> factors, const Variables& kept, const Variables& summed,
                   const Variables& states);

// The part of a factor where the observed variables have their states; observed[v] is unobserved if v is not.
inline constexpr std::size_t unobserved = ~std::size_t{0};
Factor restricted(const Factor& factor, const Variables& observed, const Variables& states);

}  // namespace xtape::detail
