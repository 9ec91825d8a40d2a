// Problem 3: conditional probabilities, free energy and likelihood of a restricted Boltzmann machine, by
// enumeration of all its states, against the tape and against differences.

#include "model.hpp"
#include "problems.hpp"
#include "rbm.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>

#include <fmt/format.h>

namespace derivation {
namespace {

using enum Source;

struct Machine {
  std::string name;
  SmallRbm rbm;
};

// Weights of order 1: with zero weights and biases a hidden unit is as often on as off, which hides row 3.
std::vector<Machine> draw_machines(std::uint64_t seed) {
  std::vector<Machine> machines;
  const std::vector<std::pair<int, int>> sizes{{4, 3}, {5, 2}, {3, 4}};
  for (const auto& [visible, hidden] : sizes) {
    xtape::Rng rng(seed, static_cast<std::uint64_t>(1000000000 + 100 * visible + hidden));
    machines.push_back({fmt::format("{} visible, {} hidden", visible, hidden),
                        {normal_matrix(visible, hidden, 1.0, rng), normal_vector(visible, 1.0, rng),
                         normal_vector(hidden, 1.0, rng)}});
  }
  return machines;
}

std::vector<std::string> names(const std::vector<Machine>& machines) {
  std::vector<std::string> result;
  for (const Machine& m : machines) result.push_back(m.name);
  return result;
}

// f(v, h) for all v and h, as a table to compare.
template <class F> Tensor for_all_states(const SmallRbm& rbm, const F& f) {
  std::vector<double> values;
  const auto hs = binary_vectors(rbm.hidden());
  for (const Vector& v : binary_vectors(rbm.visible()))
    for (const Vector& h : hs) values.push_back(f(v, h));
  return {{values.size() / hs.size(), hs.size()}, std::span<const double>(values)};
}

// f(v, j, h_j) for all v, every hidden unit j and both its values.
template <class F> Tensor for_all_units(const SmallRbm& rbm, const F& f) {
  std::vector<double> values;
  for (const Vector& v : binary_vectors(rbm.visible()))
    for (int j = 1; j <= rbm.hidden(); ++j)
      for (const double h_j : {0.0, 1.0}) values.push_back(f(v, j, h_j));
  return {{values.size() / 2, 2}, std::span<const double>(values)};
}

void check_conditionals(const SmallRbm& rbm, std::size_t configuration, Table& table) {
  const auto row = [&](int number, const char* quantity) {
    return [&table, number, quantity, configuration](Source source, const char* reading, const char* formula,
                                                     const Expected& expected, const Tensor& by_hand,
                                                     const Tensor& truth) {
      table.add({number, fmt::format("{}", number), quantity, source, reading, formula}, {configuration, ""}, expected,
                values(by_hand, truth, enumeration));
    };
  };
  using Of = double (*)(const SmallRbm&, const Vector&, const Vector&);
  const auto states = [&](Of f) {
    return for_all_states(rbm, [&](const Vector& v, const Vector& h) { return f(rbm, v, h); });
  };
  using OfUnit = double (*)(const SmallRbm&, const Vector&, int, double);
  const auto units = [&](OfUnit f) {
    return for_all_units(rbm, [&](const Vector& v, int j, double h_j) { return f(rbm, v, j, h_j); });
  };
  const Tensor p_h_given_v = states(enumeration_of::conditional), p_joint = states(enumeration_of::joint),
               p_unit = units(enumeration_of::conditional);

  const auto row1 = row(1, "p(h|v)");
  row1(printed, "printed", "p(v,h) / p(h)", wrong(), states(problem3_row1::printed), p_h_given_v);
  row1(corrected, "corrected", "p(v,h) / p(v)", right(), states(problem3_row1::corrected), p_h_given_v);
  row(2, "p(h|v),  u = Wᵀv + a")(printed, "printed", "Π_i e^(h_i u_i) / Σ_h_i e^(h_i u_i)", right(),
                                 states(problem3_row2::printed), p_h_given_v);
  const auto row3 = row(3, "p(h|v)");
  row3(printed, "printed", "Π_i σ(h_i u_i)", wrong(), states(problem3_row3::printed), p_h_given_v);
  row3(corrected, "corrected", "Π_i σ((2h_i − 1) u_i)", right(), states(problem3_row3::corrected), p_h_given_v);
  // Of both values of h_j only h_j = 1 is meant.
  const auto on = [&](auto&& f) { return for_all_units(rbm, [&](const Vector& v, int j, double) { return f(v, j); }); };
  row(4, "p(h_j = 1|v)")(printed, "printed", "σ(u_j)", right(),
                         on([&](const Vector& v, int j) { return problem3_row4::printed(rbm, v, j); }),
                         on([&](const Vector& v, int j) { return enumeration_of::conditional(rbm, v, j, 1.0); }));
  const auto row5 = row(5, "p(h_j|v)");
  row5(printed, "printed", "σ(h_j (Wᵀv + 1)_j)", wrong(), units(problem3_row5::printed), p_unit);
  row5(wanted, "1 corrected", "σ(h_j (Wᵀv + a)_j)", wrong(), units(problem3_row5::bias_corrected), p_unit);
  row5(wanted, "h corrected", "σ((2h_j − 1) (Wᵀv + 1)_j)", wrong(), units(problem3_row5::sign_corrected), p_unit);
  row5(corrected, "corrected", "σ((2h_j − 1) (Wᵀv + a)_j)", right(), units(problem3_row5::corrected), p_unit);
  const auto row6 = row(6, "Π_j p(h_j|v)");
  row6(printed, "printed", "p(v,h) = Π_j p(h_j|v)", wrong(), states(problem3_row6::product), p_joint);
  row6(corrected, "corrected", "p(h|v) = Π_j p(h_j|v)", right(), states(problem3_row6::product), p_h_given_v);
}

// The machine on the tape: visible units as a row, or as many rows as states.
struct Parameters {
  Tensor w, b, a;
};
Tensor free_energy_on_tape(const Parameters& p, const Tensor& v) {
  return -xtape::sum(v * p.b, -1) - xtape::sum(xtape::softplus(xtape::matmul(v, p.w) + p.a), -1);
}
Tensor log_likelihood_on_tape(const Parameters& p, const Tensor& v, const Tensor& all_v) {
  return -free_energy_on_tape(p, v) - xtape::logsumexp(-free_energy_on_tape(p, all_v));
}

Tensor row_of(const Vector& v) { return to_tensor(v, {1, v.size()}); }

void check_gradients(const SmallRbm& rbm, xtape::Rng& rng, std::size_t configuration, Table& table) {
  const int nv = rbm.visible(), nh = rbm.hidden();
  const Parameters at{to_tensor(rbm.w, {nv, nh}), to_tensor(rbm.b, {nv}), to_tensor(rbm.a, {nh})};
  const auto add = [&](int number, const char* quantity, const char* formula, const std::string& at_v,
                       const Measured& measured) {
    table.add({number, "+", quantity, wanted, "derived", formula}, {configuration, at_v}, right(), measured);
  };
  // A gradient against the tape and differences and, if there is one, against enumeration.
  const auto three = [](const Tensor& by_hand, const Function& f, const Tensor& point, const Tensor& enumerated) {
    Measured m = gradient(by_hand, f, point);
    if (enumerated.defined()) m.error[enumeration] = values(by_hand, enumerated, enumeration).error[enumeration];
    return m;
  };
  // A value against the tape's and the enumerated one.
  const auto both = [](double by_hand, const Tensor& by_tape, double enumerated) {
    Measured m = values(Tensor(by_hand), Tensor(by_tape.item()), tape);
    m.error[enumeration] = values(Tensor(by_hand), Tensor(enumerated), enumeration).error[enumeration];
    return m;
  };
  const auto negative = [](const auto& m, const xtape::Shape& shape) { return -to_tensor(m, shape); };

  // The free energy is defined between 0 and 1 too: real pixels.
  Vector inside(nv);
  for (double& value : inside.values()) value = rng.uniform(0.05, 0.95);
  const auto all_v = binary_vectors(nv);
  const Vector binary = all_v[1 + rng.below(all_v.size() - 1)];  // not all zeros
  for (const auto& [v, where] : {std::pair(inside, "real v"), std::pair(binary, "binary v")}) {
    const Tensor row = row_of(v);
    const auto given_v = enumeration_of::moments_given(rbm, v);
    const char* quantity = "free energy,  u = Wᵀv + a";
    add(1, quantity, "F = −bᵀv − Σ softplus(u_j) = −log Σ_h e^−E", where,
        both(free_energy(rbm, v), free_energy_on_tape(at, row), enumeration_of::free_energy(rbm, v)));
    add(1, quantity, "∂F/∂W = −v σ(u)ᵀ = −E[v hᵀ|v]", where,
        three(
            to_tensor(df_dw(rbm, v), at.w.shape()),
            [&](const Tensor& w) {
              return free_energy_on_tape({w, at.b, at.a}, row);
            },
            at.w, negative(given_v.vh, at.w.shape())));
    add(1, quantity, "∂F/∂b = −v", where,
        three(
            to_tensor(df_db(v), at.b.shape()),
            [&](const Tensor& b) {
              return free_energy_on_tape({at.w, b, at.a}, row);
            },
            at.b, negative(given_v.v, at.b.shape())));
    add(1, quantity, "∂F/∂a = −σ(u) = −E[h|v]", where,
        three(
            to_tensor(df_da(rbm, v), at.a.shape()),
            [&](const Tensor& a) {
              return free_energy_on_tape({at.w, at.b, a}, row);
            },
            at.a, negative(given_v.h, at.a.shape())));
    add(1, quantity, "∂F/∂v = −b − W σ(u)", where,
        three(to_tensor(df_dv(rbm, v), row.shape()), [&](const Tensor& x) { return free_energy_on_tape(at, x); }, row,
              {}));
  }

  const Vector& v = binary;
  const Tensor row = row_of(v);
  Matrix states(static_cast<int>(all_v.size()), nv);
  for (int r = 1; r <= states.extent(0); ++r)
    for (int i = 1; i <= nv; ++i) states(r, i) = all_v[static_cast<std::size_t>(r - 1)](i);
  const Tensor every_v = to_tensor(states, {states.extent(0), nv});
  const auto log_p = [&](const Parameters& p) { return log_likelihood_on_tape(p, row, every_v); };
  const char* quantity = "likelihood,  Z = Σ_v e^−F(v),  E[·] over all v and h";
  add(2, quantity, "log p(v) = −F(v) − log Z", "",
      both(log_likelihood(rbm, v), log_p(at), std::log(enumeration_of::visible(rbm, v))));
  add(2, quantity, "∂log p/∂W = v σ(u)ᵀ − E[v hᵀ]", "",
      three(to_tensor(dlogp_dw(rbm, v), at.w.shape()),
            [&](const Tensor& w) {
              return log_p({w, at.b, at.a});
            },
            at.w, {}));
  add(2, quantity, "∂log p/∂b = v − E[v]", "",
      three(to_tensor(dlogp_db(rbm, v), at.b.shape()),
            [&](const Tensor& b) {
              return log_p({at.w, b, at.a});
            },
            at.b, {}));
  add(2, quantity, "∂log p/∂a = σ(u) − E[h]", "",
      three(to_tensor(dlogp_da(rbm, v), at.a.shape()),
            [&](const Tensor& a) {
              return log_p({at.w, at.b, a});
            },
            at.a, {}));
}

}  // namespace

Table problem3_conditionals(std::uint64_t seed) {
  const auto machines = draw_machines(seed);
  Table table("Problem 3: conditional probabilities of an RBM, for all v and h", names(machines), {enumeration});
  for (std::size_t m = 0; m < machines.size(); ++m) check_conditionals(machines[m].rbm, m, table);
  return table;
}

Table problem3_gradients(std::uint64_t seed) {
  const auto machines = draw_machines(seed);
  Table table("Problem 3: free energy and likelihood of the same RBMs", names(machines),
              {tape, differences, enumeration});
  xtape::Rng rng(seed, 2000000000);
  for (std::size_t m = 0; m < machines.size(); ++m) check_gradients(machines[m].rbm, rng, m, table);
  return table;
}

}  // namespace derivation
