#pragma once
// The problems of the solution, each a table of its formulas and the verdicts on them.

#include "convolution.hpp"
#include "table.hpp"

#include <cstdint>

namespace derivation {

// The six configurations (d,k,s,p) of the assignment.
const std::vector<Geometry>& all_configurations();

// Convolution, max-pool, flatten, softmax.
Table problem1(const std::vector<Geometry>& configurations, std::uint64_t seed);
// A restricted Boltzmann machine: conditional probabilities; free energy and likelihood.
Table problem3_conditionals(std::uint64_t seed);
Table problem3_gradients(std::uint64_t seed);
// Ising denoising.
Table problem4(std::uint64_t seed);
// Points at which a wrong formula looks right, and ties.
Table where_mistakes_hide(std::uint64_t seed);

}  // namespace derivation
