// Problem 4: denoising with an Ising grid, by enumeration of every x.

#include "ising.hpp"
#include "problems.hpp"

#include <xtape/rng.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace derivation {
namespace {

using enum Source;

// What an update at m leaves of the energy, for every x and every m: right if no spin there has less.
template <class Update>
Measured share_of_bad_updates(const Ising& model, const std::vector<Vector>& ys, const Update& update) {
  int failures = 0, cases = 0;
  for (const Vector& y : ys)
    for (const Vector& x : spins(model.sites()))
      for (int m = 1; m <= model.sites(); ++m) {
        const double spin = update(model, x, y, m);
        const double plus = model.energy(with_spin(x, m, 1.0), y), minus = model.energy(with_spin(x, m, -1.0), y);
        const bool best = spin == 1.0 ? plus <= minus + 1e-12 : spin == -1.0 ? minus <= plus + 1e-12 : false;
        failures += !best;
        ++cases;
      }
  return share_of_failures(failures, cases);
}

// Whether x = sign y is the only minimiser of the energy, for each y.
Measured share_of_other_minima(const Ising& model, const std::vector<Vector>& ys, double sign) {
  int failures = 0;
  for (const Vector& y : ys) {
    Vector claimed = y;
    for (double& spin : claimed.values()) spin *= sign;
    const double least = model.energy(claimed, y);
    const auto all = spins(model.sites());
    failures += !std::all_of(all.begin(), all.end(), [&](const Vector& x) {
      return x.values() == claimed.values() || model.energy(x, y) > least + 1e-12;
    });
  }
  return share_of_failures(failures, static_cast<int>(ys.size()));
}

void check_grid(int rows, int columns, xtape::Rng& rng, std::size_t configuration, Table& table) {
  const Ising model{rows, columns, rng.normal(), rng.normal(), rng.normal()};
  std::vector<Vector> ys(8, Vector(model.sites()));
  for (Vector& y : ys)
    for (double& spin : y.values()) spin = rng.below(2) == 0 ? -1.0 : 1.0;
  const auto add = [&](int number, const char* quantity, Source source, const char* reading, const char* formula,
                       const char* variant, const Expected& expected, const Measured& measured) {
    table.add({number, number <= 3 ? fmt::format("{}", number) : "+", quantity, source, reading, formula},
              {configuration, variant}, expected, measured);
  };

  std::vector<double> by_formula, by_energy;
  for (const Vector& y : ys)
    for (const Vector& x : spins(model.sites()))
      for (int m = 1; m <= model.sites(); ++m) {
        by_formula.push_back(energy_difference(model, x, y, m));
        by_energy.push_back(model.energy(with_spin(x, m, 1.0), y) - model.energy(with_spin(x, m, -1.0), y));
      }
  const xtape::Shape shape{by_formula.size()};
  add(1, "ΔE at m = E(x_m = +1) − E(x_m = −1)", printed, "printed", "2h − 2β Σ_{j∈N(m)} x_j − 2η y_m", "", right(),
      values(Tensor(shape, std::span<const double>(by_formula)), Tensor(shape, std::span<const double>(by_energy)),
             enumeration));

  const double eta = rng.uniform(0.2, 2.0);
  const Ising positive{rows, columns, 0, 0, eta}, negative{rows, columns, 0, 0, -eta}, none{rows, columns, 0, 0, 0};
  const char* minimiser = "the only minimiser of E with h = β = 0";
  const char* as_printed = "x = y                        (no condition on η)";
  add(2, minimiser, printed, "printed", as_printed, "η > 0", hidden("η > 0"), share_of_other_minima(positive, ys, 1));
  add(2, minimiser, printed, "printed", as_printed, "η < 0", wrong(), share_of_other_minima(negative, ys, 1));
  add(2, minimiser, printed, "printed", as_printed, "η = 0", wrong(), share_of_other_minima(none, ys, 1));
  const char* as_corrected = "x = y if η > 0,  x = −y if η < 0";
  add(2, minimiser, corrected, "corrected", as_corrected, "η > 0", right(), share_of_other_minima(positive, ys, 1));
  add(2, minimiser, corrected, "corrected", as_corrected, "η < 0", right(), share_of_other_minima(negative, ys, -1));

  add(3, "ICM: the x_m with the least energy, the others held", printed, "printed",
      "sign(β Σ_{j∈N(m)} x_j + η y_m − h)", "", right(), share_of_bad_updates(model, ys, icm));
  // Small whole numbers make ties: beta times the sum of an odd number of spins is -eta y_m.
  const Ising ties{rows, columns, 0, 1, 1};
  add(4, "ICM at ties: β = η = 1, h = 0", wanted, "literal", "sign(0) = 0, which is no spin", "", wrong(),
      share_of_bad_updates(ties, ys, icm));
  add(4, "ICM at ties: β = η = 1, h = 0", wanted, "tie rule", "a tie keeps the old x_m", "", right(),
      share_of_bad_updates(ties, ys, icm_keeping));
}

}  // namespace

Table problem4(std::uint64_t seed) {
  const std::vector<std::pair<int, int>> grids{{3, 3}, {2, 5}, {1, 6}};
  std::vector<std::string> names;
  for (const auto& [rows, columns] : grids) names.push_back(fmt::format("{} × {} sites", rows, columns));
  Table table("Problem 4: Ising denoising, for every x and 8 random y", names, {enumeration});
  table.note(2, "error: the share of all y for which it is false");
  table.note(3, "error: the share of all x, y and m for which it is false");
  xtape::Rng rng(seed, 3000000000);
  for (std::size_t g = 0; g < grids.size(); ++g) check_grid(grids[g].first, grids[g].second, rng, g, table);
  return table;
}

}  // namespace derivation
