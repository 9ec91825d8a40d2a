// The restricted Boltzmann machine against exact enumeration of small ones.

#include <doctest/doctest.h>
#include <xtape/energy/ais.hpp>
#include <xtape/energy/contrastive_divergence.hpp>
#include <xtape/energy/gibbs.hpp>
#include <xtape/energy/measures.hpp>
#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/optim.hpp>
#include <xtape/tape.hpp>
#include <xtape/verify.hpp>

#include "small_machine.hpp"

#include <algorithm>
#include <cmath>

#include <cmath>
#include <limits>

#include "files.hpp"

using namespace small_machine;

namespace {

constexpr double chi_square_7_at_1_in_1000 = 24.32;

D rounded(const D& x) {
  D y = zeros<double>(x.shape());
  for (std::size_t i = 0; i < x.size(); ++i) y.modify()[i] = std::round(x.data()[i]);
  return y;
}

}  // namespace

TEST_CASE("rbm: conditionals and free energy by enumeration") {
  const auto rbm = machine(4, 3, 1);
  const D v = all_states(4), h = all_states(3);
  const D f = free_energy(rbm, v), ph = hidden_probability(rbm, v);
  for (std::size_t s = 0; s < 16; ++s) {
    const auto i = static_cast<std::ptrdiff_t>(s);
    const D weights = exp(-energy(rbm, broadcast_to(slice(v, {range(i, i + 1)}), {8, 4}), h));
    CHECK(f.data()[s] == doctest::Approx(-std::log(sum(weights).item())).epsilon(1e-14));
    const D expected = matmul(expand_dims(weights, 0), h) / sum(weights);
    for (std::size_t j = 0; j < 3; ++j)
      CHECK(ph.data()[s * 3 + j] == doctest::Approx(expected.data()[j]).epsilon(1e-14));
  }
  const auto of_parameters = [&](const std::vector<D>& x) {
    auto moved = rbm;
    moved.W = x[0];
    moved.b = x[1];
    moved.a = x[2];
    return free_energy(moved, x[3]) + energy(moved, x[3], x[4]);
  };
  const D some = slice(v, {range(3, 6)}), others = slice(h, {range(2, 5)});
  CHECK(gradcheck(of_parameters, {rbm.W.detach(), rbm.b.detach(), rbm.a.detach(), some, others}, {.second_order = true})
            .passed);
}

TEST_CASE("contrastive divergence: the tape's gradient of mean F(v0) - mean F(vk)") {
  auto rbm = machine(7, 5, 2);
  Rng rng(3);
  for (const std::size_t chains : {6UL, 4UL, 11UL})  // each phase is divided by its own count
    for (const std::size_t k : {1UL, 3UL}) {
      const D v0 = init::uniform({6, 7}, 0.0, 1.0, rng);
      D particles = init::uniform({chains, 7}, 0.0, 1.0, rng) < 0.5;
      for (auto p : rbm.parameters()) p.zero_grad();
      contrastive_divergence(rbm, v0, {.k = k, .particles = &particles}, rng);
      Tape tape;
      const auto expected =
          tape.gradient(mean(free_energy(rbm, v0)) - mean(free_energy(rbm, particles)), rbm.parameters());
      for (std::size_t i = 0; i < 3; ++i)
        CHECK(compare_gradients(rbm.parameters()[i].grad(), expected[i]).largest_error < 1e-12);
    }
}

TEST_CASE("contrastive divergence: gradients add up, and the same seed gives the same bits") {
  auto rbm = machine(5, 3, 2);
  Rng data(1);
  const D v = init::uniform({4, 5}, 0.0, 1.0, data);
  Rng first(9), second(9);
  const double error = contrastive_divergence(rbm, v, {.k = 2}, first);
  const D once = rbm.W.grad();
  CHECK(contrastive_divergence(rbm, v, {.k = 2}, second) == error);
  CHECK(error == doctest::Approx(reconstruction_cross_entropy(rbm, v)).epsilon(1e-13));
  for (std::size_t i = 0; i < once.size(); ++i) CHECK(rbm.W.grad().data()[i] == 2 * once.data()[i]);
  // Without the error the gradient is the same.
  Rng third(9);
  CHECK(std::isnan(contrastive_divergence(rbm, v, {.k = 2, .reconstruction_error = false}, third)));
  for (std::size_t i = 0; i < once.size(); ++i)
    CHECK(rbm.W.grad().data()[i] == doctest::Approx(3 * once.data()[i]).epsilon(1e-14));
}

TEST_CASE("contrastive divergence: its mean is that of the exact transition matrix, nearer the likelihood as k grows") {
  auto rbm = machine(4, 3, 5);
  Rng rng(8);
  const D v0 = exact_samples(machine(4, 3, 6), 8, rng);  // data of another machine
  const D v = all_states(4), ph = hidden_probability(rbm, v), T = transition_matrix(rbm);
  const D start = frequencies(v0);
  // dL/dW with the negative phase's states distributed as `weights`.
  const auto gradient = [&](const D& weights) {
    const D negative = matmul(v * reshape(weights, {16, 1}), ph, {.transpose_a = true});
    return negative - matmul(v0, hidden_probability(rbm, v0), {.transpose_a = true}) / 8;
  };
  const auto p = exact_distribution(rbm);
  const D exact = gradient(D({16}, std::span<const double>(p)));
  const auto distance = [&](const D& g) { return norm(g - exact).item() / norm(exact).item(); };

  D weights = start;
  double previous = 1e9;
  for (const std::size_t k : {1UL, 2UL, 5UL, 20UL}) {
    weights = start;
    for (std::size_t i = 0; i < k; ++i) weights = matmul(weights, T);
    const D expected = gradient(weights);
    CHECK(distance(expected) < previous);
    previous = distance(expected);
    // The mean of many draws, within five standard errors entry by entry.
    constexpr int draws = 4000;
    D total = zeros<double>({4, 3}), squares = total;
    for (int i = 0; i < draws; ++i) {
      rbm.W.zero_grad();
      contrastive_divergence(rbm, v0, {.k = k}, rng);
      total = total + rbm.W.grad();
      squares = squares + square(rbm.W.grad());
    }
    const D average = total / draws, error = sqrt((squares / draws - square(average)) / draws);
    CHECK(max(abs(average - expected) / error).item() < 5);
  }
  CHECK(previous < 1e-3);
}

TEST_CASE("contrastive divergence: probabilities in place of visible samples bias it, as the options say") {
  auto rbm = machine(6, 4, 7);
  Rng rng(8);
  const D v0 = exact_samples(rbm, 40'000, rng);  // data of the machine itself: the gradient is 0 but for noise
  const auto length = [&](bool probabilities) {
    rbm.W.zero_grad();
    contrastive_divergence(rbm, v0, {.k = 1, .visible_probabilities = probabilities}, rng);
    return norm(rbm.W.grad()).item();
  };
  CHECK(length(true) > 3 * length(false));
}

TEST_CASE("contrastive divergence: hidden samples in the statistics are as right on average, and noisier") {
  auto rbm = machine(5, 3, 9);
  Rng rng(10);
  const D v0 = exact_samples(machine(5, 3, 6), 8, rng);
  constexpr int draws = 4000;
  const auto moments = [&](bool samples) {
    D total = zeros<double>({5, 3}), squares = total;
    for (int i = 0; i < draws; ++i) {
      rbm.W.zero_grad();
      contrastive_divergence(rbm, v0, {.hidden_samples = samples}, rng);
      total = total + rbm.W.grad();
      squares = squares + square(rbm.W.grad());
    }
    return std::pair(total / draws, squares / draws - square(total / draws));
  };
  const auto [mean_p, variance_p] = moments(false);
  const auto [mean_s, variance_s] = moments(true);
  CHECK(max(abs(mean_p - mean_s) / sqrt((variance_p + variance_s) / draws)).item() < 5);
  CHECK(min(variance_s / variance_p).item() > 1.2);
}

TEST_CASE("contrastive divergence: particles stay states where probabilities stand for them in the statistics") {
  auto rbm = machine(5, 3, 9);
  Rng rng(10);
  D particles = zeros<double>({7, 5});
  const D v = init::uniform({4, 5}, 0.0, 1.0, rng);
  contrastive_divergence(rbm, v, {.k = 2, .particles = &particles, .visible_probabilities = true}, rng);
  for (const double x : particles.span()) CHECK_UNARY(x == 0 || x == 1);
  // What the gradient of b holds is probabilities: no mean of seven states.
  const D negative = (rbm.b.grad() + mean(v, 0)) * 7;
  CHECK(max(abs(negative - rounded(negative))).item() > 1e-3);
}

TEST_CASE(
    "contrastive divergence: 10,001 rows in batches of 100 with persistent chains leave the biases where they are") {
  // The last batch has one row. Divided by the rows of data instead of their own number, the chains would push the
  // biases a hundred times too far at its step.
  auto truth = machine(6, 3, 21);
  Rng rng(22);
  const D data = exact_samples(truth, 10'001, rng);
  auto rbm = machine(6, 3, 21);  // starts at the truth
  optim::Sgd<double> sgd(rbm.parameters(), {.learning_rate = 0.05});
  D particles = slice(data, {range(0, 100)});
  for (std::ptrdiff_t first = 0; first < 10'001; first += 100) {
    contrastive_divergence(rbm, slice(data, {range(first, first + 100)}), {.particles = &particles}, rng);
    sgd.step();
  }
  CHECK(max(abs(rbm.b - truth.b)).item() < 0.3);
  CHECK(max(abs(rbm.a - truth.a)).item() < 0.3);
}

TEST_CASE(
    "contrastive divergence: visible probabilities in the last half-step alone keep the visible statistics right") {
  // E[p(v^k | h)] = E[v^k]; taken at every step they would drive the chain elsewhere.
  const auto weak = machine(4, 3, 5);
  Rbm<double> rbm(weak.W * 3.0, weak.b, weak.a);
  Rng rng(41);
  const D v0 = exact_samples(machine(4, 3, 6), 8, rng), T = transition_matrix(rbm);
  const D expected = squeeze(matmul(matmul(matmul(matmul(frequencies(v0), T), T), T), all_states(4))) - mean(v0, 0);
  constexpr int draws = 20'000;
  D total = zeros<double>({4}), squares = total;
  for (int i = 0; i < draws; ++i) {
    rbm.b.zero_grad();
    contrastive_divergence(rbm, v0, {.k = 3, .visible_probabilities = true}, rng);
    total = total + rbm.b.grad();
    squares = squares + square(rbm.b.grad());
  }
  const D average = total / draws, error = sqrt((squares / draws - square(average)) / draws);
  CHECK(max(abs(average - expected) / error).item() < 5);
}

TEST_CASE("contrastive divergence: particles that share their elements with the batch leave it as it is") {
  auto rbm = machine(5, 3, 2);
  Rng data(1), a(9), b(9);
  const D v = init::uniform({4, 5}, 0.0, 1.0, data) < 0.5;
  D shared = v, own(v.shape(), v.span());
  const D before(v.shape(), v.span());
  contrastive_divergence(rbm, v, {.k = 3, .particles = &shared}, a);
  const D once = rbm.W.grad(), once_b = rbm.b.grad();
  for (auto p : rbm.parameters()) p.zero_grad();
  contrastive_divergence(rbm, v, {.k = 3, .particles = &own}, b);
  CHECK(std::equal(once.span().begin(), once.span().end(), rbm.W.grad().data()));
  CHECK(std::equal(once_b.span().begin(), once_b.span().end(), rbm.b.grad().data()));
  CHECK(std::equal(shared.span().begin(), shared.span().end(), own.data()));
  CHECK(std::equal(v.span().begin(), v.span().end(), before.data()));
}

TEST_CASE("rbm: a layer wider than one pass takes every unit's own bias; NaN stays NaN") {
  D bias = zeros<double>({5000});
  for (std::size_t j = 0; j < 5000; ++j) bias.modify()[j] = j % 3 == 0 ? 60.0 : -60.0;
  const Rbm<double> wide(zeros<double>({2, 5000}), zeros<double>({2}), bias);
  Rng rng(1);
  const D h = sample_hidden(wide, zeros<double>({2, 2}), rng);
  for (std::size_t i = 0; i < h.size(); ++i) CHECK_UNARY(h.data()[i] == (i % 5000 % 3 == 0 ? 1.0 : 0.0));

  const Rbm<double> broken(full<double>({3, 2}, std::nan("")), zeros<double>({3}), zeros<double>({2}));
  const D from_broken = sample_hidden(broken, ones<double>({1, 3}), rng);
  for (const double x : from_broken.span()) CHECK(std::isnan(x));
  GibbsChain<double> chain(machine(3, 2, 1), full<double>({1, 3}, std::nan("")), rng);
  chain.step();
  CHECK(std::isnan(chain.hidden().data()[0]));
}

TEST_CASE("contrastive divergence: pixels that are always on or always off leave all finite") {
  Rng rng(3);
  Rbm<float> rbm(8, 4, rng);
  Tensor<float> v = zeros<float>({20, 8});
  for (std::size_t r = 0; r < 20; ++r) v.modify()[r * 8] = 1.F;  // unit 0 always on, all others always off
  optim::Sgd<float> sgd(rbm.parameters(), {.learning_rate = 1.0});
  float error = 0;
  for (int i = 0; i < 3000; ++i) {
    error = contrastive_divergence(rbm, v, {}, rng);
    sgd.step();
  }
  CHECK(error < 0.01F);
  for (const auto& p : rbm.parameters())
    for (const float x : p.span()) CHECK_UNARY(std::isfinite(x));
}

TEST_CASE("contrastive divergence: sparsity adds cost (q - target) to the hidden biases") {
  auto rbm = machine(5, 3, 2);
  Rng data(1), a(4), b(4);
  const D v = init::uniform({4, 5}, 0.0, 1.0, data);
  contrastive_divergence(rbm, v, {}, a);
  const D plain = rbm.a.grad(), plain_W = rbm.W.grad();
  for (auto p : rbm.parameters()) p.zero_grad();
  contrastive_divergence(rbm, v, {.sparsity_target = 0.1, .sparsity_cost = 2.0}, b);
  const D push = 2.0 * (mean(hidden_probability(rbm, v), 0) - 0.1);
  CHECK(compare_gradients(rbm.a.grad(), plain + push).largest_error < 1e-13);
  CHECK(compare_gradients(rbm.W.grad(), plain_W + outer(mean(v, 0), push.detach())).largest_error < 1e-13);
}

TEST_CASE("gibbs chain: long-run frequencies are the exact distribution, and a wrong sampler is found out") {
  const auto rbm = machine(3, 2, 11);
  const auto p = exact_distribution(rbm);
  Rng rng(12);
  GibbsChain<double> chain(rbm, 20'000, rng);
  chain.step(60);
  CHECK(chi_square(chain.visible(), p) < chi_square_7_at_1_in_1000);
  // The power of the test: a machine without hidden biases, and one step from a fair coin, must both fail it.
  const Rbm<double> wrong(rbm.W, rbm.b, zeros<double>({2}));
  GibbsChain<double> wrong_chain(wrong, 20'000, rng);
  wrong_chain.step(60);
  CHECK(chi_square(wrong_chain.visible(), p) > 10 * chi_square_7_at_1_in_1000);
  GibbsChain<double> young(rbm, zeros<double>({20'000, 3}), rng);
  young.step(1);
  CHECK(chi_square(young.visible(), p) > chi_square_7_at_1_in_1000);
}

TEST_CASE("gibbs chain: same seed, same bits; states held are kept; one call of n steps is n calls") {
  const auto rbm = machine(6, 4, 11);
  Rng a(5), b(5);
  GibbsChain<double> first(rbm, 10, a), second(rbm, 10, b);
  first.step(5);
  const D held = first.visible();
  const std::vector<double> before(held.data(), held.data() + held.size());
  for (int i = 0; i < 5; ++i) second.step();
  CHECK(std::equal(before.begin(), before.end(), second.visible().data()));
  first.step();
  CHECK(std::equal(before.begin(), before.end(), held.data()));
  const D hidden = first.hidden(), probability = first.visible_probability();
  for (const double x : hidden.span()) CHECK_UNARY(x == 0 || x == 1);
  for (const double x : probability.span()) CHECK_UNARY(x > 0 && x < 1);
}

TEST_CASE(
    "gibbs chain: at every inverse temperature the replicas sample it, and tempering crosses where one chain cannot") {
  // Two modes far apart: all on, and all off with e^-1 of its probability.
  const D w = full<double>({3, 2}, 6.0);
  const Rbm<double> rbm(w, full<double>({3}, -6.0), full<double>({2}, -8.5));
  const auto p = exact_distribution(rbm);
  Rng rng(31);
  const D cold_start = zeros<double>({4000, 3});
  GibbsChain<double> plain(rbm, cold_start, rng);
  plain.step(30);
  CHECK(chi_square(plain.visible(), p) > 10 * chi_square_7_at_1_in_1000);
  GibbsChain<double> tempered(rbm, cold_start, rng, {.inverse_temperatures = {1.0, 0.8, 0.6, 0.4, 0.2}});
  tempered.step(400);
  CHECK(chi_square(tempered.visible(), p) < chi_square_7_at_1_in_1000);
  CHECK(tempered.swap_rate() > 0.05);
  CHECK(tempered.swap_rate() < 1);
  CHECK(plain.swap_rate() == 0);
}

TEST_CASE("gibbs chain: tempering leaves the distribution as it is, on a machine without symmetry") {
  const auto rbm = machine(3, 2, 11);
  const auto p = exact_distribution(rbm);
  Rng rng(32);
  GibbsChain<double> chain(rbm, 20'000, rng, {.inverse_temperatures = {1.0, 0.5, 0.0}});
  chain.step(60);
  CHECK(chi_square(chain.visible(), p) < chi_square_7_at_1_in_1000);
  // The power of the test: the replicas at 0.5, taken for the ones that count, fail it.
  const Rbm<double> warm(rbm.W * 0.5, rbm.b * 0.5, rbm.a * 0.5);
  GibbsChain<double> wrong(warm, 20'000, rng);
  wrong.step(60);
  CHECK(chi_square(wrong.visible(), p) > 10 * chi_square_7_at_1_in_1000);
}

TEST_CASE("gibbs chain: what it shows is of the chains at inverse temperature 1, and all swaps are counted") {
  const auto rbm = machine(6, 4, 11);
  Rng rng(33);
  for (const std::vector<double>& beta : {std::vector<double>{}, std::vector{1.0, 0.5, 0.0}}) {
    GibbsChain<double> chain(rbm, 50, rng, {.inverse_temperatures = beta});
    chain.step(3);
    CHECK(compare_gradients(chain.visible_probability(), visible_probability(rbm, chain.hidden()).detach())
              .largest_error < 1e-14);
  }
  // Without interaction or bias every swap is as good as not.
  const Rbm<double> flat(zeros<double>({6, 4}), zeros<double>({6}), zeros<double>({4}));
  GibbsChain<double> chain(flat, 50, rng, {.inverse_temperatures = {1.0, 0.5, 0.0}});
  chain.step(4);
  CHECK(chain.swap_rate() == 1);
}

TEST_CASE("gibbs chain: thinned samples are the states at those steps") {
  const auto rbm = machine(6, 4, 11);
  Rng a(5), b(5);
  GibbsChain<double> first(rbm, 10, a), second(rbm, 10, b);
  const D samples = first.samples(3, 4);
  CHECK(samples.shape() == Shape{30, 6});
  for (std::ptrdiff_t i = 0; i < 3; ++i) {
    second.step(4);
    const D part = slice(samples, {range(10 * i, 10 * (i + 1))});
    CHECK(std::equal(part.span().begin(), part.span().end(), second.visible().data()));
  }
  CHECK_THROWS_AS(first.samples(3, 0), ValueError);
  CHECK_THROWS_AS(first.samples(std::size_t{1} << 62, 1), ShapeError);
  for (const std::vector<double>& bad : {std::vector{0.9}, std::vector{1.0, 1.0}, std::vector{1.0, -0.1},
                                         std::vector{1.0, std::nan("")}, std::vector{1.0, 0.5, 0.7}})
    CHECK_THROWS_AS(GibbsChain<double>(rbm, 10, a, {.inverse_temperatures = bad}), ValueError);
}

TEST_CASE("rbm: what does not fit is refused by name") {
  auto rbm = machine(4, 3, 1);
  Rng rng(1);
  const D wrong = zeros<double>({2, 5}), none = zeros<double>({0, 4}), v = zeros<double>({2, 4});
  D particles = zeros<double>({3, 5});
  CHECK_THROWS_WITH_AS(hidden_probability(rbm, wrong),
                       "hidden_probability: rows of 4 units are needed, got shape (2, 5)", ShapeError);
  CHECK_THROWS_AS(visible_probability(rbm, wrong), ShapeError);
  CHECK_THROWS_AS(free_energy(rbm, wrong), ShapeError);
  CHECK_THROWS_AS(energy(rbm, v, zeros<double>({3, 3})), ShapeError);
  CHECK_THROWS_AS(sample_hidden(rbm, wrong, rng), ShapeError);
  CHECK_THROWS_AS(sample_visible(rbm, wrong, rng), ShapeError);
  CHECK_THROWS_AS(contrastive_divergence(rbm, wrong, {}, rng), ShapeError);
  CHECK_THROWS_AS(contrastive_divergence(rbm, none, {}, rng), ShapeError);
  CHECK_THROWS_AS(contrastive_divergence(rbm, v, {.k = 0}, rng), ValueError);
  CHECK_THROWS_AS(contrastive_divergence(rbm, v, {.particles = &particles}, rng), ShapeError);
  CHECK_THROWS_AS(GibbsChain<double>(rbm, wrong, rng), ShapeError);
  CHECK_THROWS_AS(Rbm<double>(zeros<double>({4, 3}), zeros<double>({3}), zeros<double>({3})), ShapeError);
}

TEST_CASE("gibbs chain: a state that does not fit is refused and changes nothing") {
  Rng rng(3);
  const Rbm<double> rbm(4, 3, rng);
  GibbsChain<double> chain(rbm, 2, rng);
  chain.step(3);
  const auto before = chain.state();
  auto bad = before;
  bad.replicas = {};
  CHECK_THROWS_AS(chain.set_state(bad), ShapeError);
  bad = before;
  bad.hidden = zeros<double>({2, 4});
  CHECK_THROWS_AS(chain.set_state(bad), ShapeError);
  bad = before;
  bad.probability = zeros<double>({1, 4});
  CHECK_THROWS_AS(chain.set_state(bad), ShapeError);
  CHECK(chain.state().rng == before.rng);
  CHECK(std::ranges::equal(chain.visible().span(), before.replicas.span()));
}

TEST_CASE("rbm: states and probabilities outside of [0, 1] are errors, in every function that takes them for such") {
  Rng rng(21);
  Rbm<double> rbm(3, 2, rng);
  for (const double bad : {1.5, -1e-9, std::nan(""), std::numeric_limits<double>::infinity()}) {
    Tensor<double> v({2, 3}, {0, 1, 0.5, 0, bad, 1}), h({1, 2}, {0, bad});
    const Tensor<double> good = zeros<double>({2, 3});
    const auto refused = [](const std::string& name, const auto& call) {
      check_bad<ValueError>(call, {name, "is not in [0, 1]"});
    };
    refused("contrastive_divergence: ", [&] { contrastive_divergence(rbm, v, {}, rng); });
    refused("contrastive_divergence: particles: ", [&] { contrastive_divergence(rbm, good, {.particles = &v}, rng); });
    refused("reconstruction_cross_entropy: ", [&] { reconstruction_cross_entropy(rbm, v); });
    refused("free_energy_gap: ", [&] { free_energy_gap(rbm, good, v); });
    refused("sample_hidden: ", [&] { sample_hidden(rbm, v, rng); });
    refused("sample_visible: ", [&] { sample_visible(rbm, h, rng); });
    refused("base_rate_bias: ", [&] { base_rate_bias(v); });
    CHECK_THROWS_AS(contrastive_divergence(rbm, good, {.sparsity_target = 0.1, .sparsity_cost = -1}, rng), ValueError);
    CHECK_THROWS_AS(contrastive_divergence(rbm, good, {.sparsity_target = bad, .sparsity_cost = 1}, rng), ValueError);
  }
  CHECK(!rbm.W.grad().defined());
}
