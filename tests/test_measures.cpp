// Measures of a machine, and annealed importance sampling, against enumeration.

#include <doctest/doctest.h>
#include <xtape/energy/ais.hpp>
#include <xtape/energy/gibbs.hpp>
#include <xtape/energy/measures.hpp>
#include <xtape/ops/reduce.hpp>

#include "small_machine.hpp"

#include <algorithm>

using namespace small_machine;

namespace {

// log Z from all pairs, with plain loops.
double brute_log_partition(const Rbm<double>& rbm) {
  double largest = -1e300, total = 0;
  std::vector<double> exponents;
  const D v = all_states(rbm.visible()), h = all_states(rbm.hidden());
  for (std::size_t s = 0; s < v.shape()[0]; ++s)
    for (std::size_t t = 0; t < h.shape()[0]; ++t) {
      double e = 0;
      for (std::size_t i = 0; i < rbm.visible(); ++i) {
        const double vi = v.data()[s * rbm.visible() + i];
        e += rbm.b.data()[i] * vi;
        for (std::size_t j = 0; j < rbm.hidden(); ++j)
          e += vi * rbm.W.data()[i * rbm.hidden() + j] * h.data()[t * rbm.hidden() + j];
      }
      for (std::size_t j = 0; j < rbm.hidden(); ++j) e += rbm.a.data()[j] * h.data()[t * rbm.hidden() + j];
      exponents.push_back(e);
      largest = std::max(largest, e);
    }
  for (const double e : exponents) total += std::exp(e - largest);
  return largest + std::log(total);
}

template <class T> Tensor<T> as(const D& x) { return Tensor<T>(x.array()); }

}  // namespace

TEST_CASE("log_partition: every pair enumerated, whichever side is smaller") {
  for (const auto& [visible, hidden] : {std::pair{4UL, 3UL}, {3UL, 5UL}, {1UL, 1UL}, {9UL, 2UL}}) {
    const auto rbm = machine(visible, hidden, 10 * visible + hidden);
    CHECK(log_partition(rbm) == doctest::Approx(brute_log_partition(rbm)).epsilon(1e-13));
    const Rbm<float> single(as<float>(rbm.W), as<float>(rbm.b), as<float>(rbm.a));
    CHECK(log_partition(single) == doctest::Approx(brute_log_partition(rbm)).epsilon(1e-6));
  }
}

TEST_CASE("log_partition: beyond what e^x holds, and with more states than one block") {
  // Independent units: log Z = sum softplus(b) + sum softplus(a).
  const Rbm<double> far(zeros<double>({12, 800}), full<double>({12}, 500.0), full<double>({800}, 3.0));
  CHECK(log_partition(far) == doctest::Approx(12 * 500.0 + 800 * std::log1p(std::exp(3.0))).epsilon(1e-14));
  const Rbm<double> low(zeros<double>({12, 3}), full<double>({12}, -2000.0), full<double>({3}, 1000.0));
  CHECK(log_partition(low) == doctest::Approx(3000.0).epsilon(1e-14));
  CHECK_THROWS_WITH_AS(log_partition(Rbm<double>(zeros<double>({21, 22}), zeros<double>({21}), zeros<double>({22}))),
                       "log_partition: 21 visible and 22 hidden units; one side must have at most 20", ValueError);
}

TEST_CASE("average_log_likelihood: of all states, weighted, it is minus the entropy") {
  const auto rbm = machine(5, 3, 4);
  const auto p = exact_distribution(rbm);
  const D v = all_states(5);
  const double log_z = log_partition(rbm);
  double entropy = 0, negative = 0;
  for (std::size_t s = 0; s < p.size(); ++s) {
    const auto i = static_cast<std::ptrdiff_t>(s);
    entropy -= p[s] * std::log(p[s]);
    negative += p[s] * average_log_likelihood(rbm, slice(v, {range(i, i + 1)}), log_z);
  }
  CHECK(negative == doctest::Approx(-entropy).epsilon(1e-12));
}

TEST_CASE("pseudo-likelihood: from the joint distribution, exactly; one unit at a time, without bias") {
  const auto rbm = machine(6, 3, 4);
  const auto p = exact_distribution(rbm);
  Rng rng(2);
  const D v = exact_samples(rbm, 50, rng);
  double expected = 0;
  for (std::size_t r = 0; r < 50; ++r) {
    std::size_t s = 0;
    for (std::size_t i = 0; i < 6; ++i) s |= static_cast<std::size_t>(v.data()[r * 6 + i]) << i;
    for (std::size_t i = 0; i < 6; ++i) expected += std::log(p[s] / (p[s] + p[s ^ (std::size_t{1} << i)])) / 50;
  }
  CHECK(pseudo_log_likelihood(rbm, v) == doctest::Approx(expected).epsilon(1e-12));
  double mean = 0, squares = 0;
  constexpr int draws = 4000;
  for (int i = 0; i < draws; ++i) {
    const double x = stochastic_pseudo_log_likelihood(rbm, v, rng);
    mean += x / draws;
    squares += x * x / draws;
  }
  const double error = std::sqrt((squares - mean * mean) / draws);
  CHECK(std::abs(mean - expected) < 5 * error);
  CHECK(error > 0);
  CHECK_THROWS_WITH_AS(pseudo_log_likelihood(rbm, full<double>({2, 6}, 0.5)),
                       "pseudo_log_likelihood: 0.5 at row 0, unit 0 is not binary", ValueError);
  CHECK_THROWS_AS(stochastic_pseudo_log_likelihood(rbm, full<double>({2, 6}, std::nan("")), rng), ValueError);
  // Where a conditional probability is e^-2000, its logarithm is still right.
  const Rbm<double> sure(zeros<double>({2, 1}), full<double>({2}, 2000.0), zeros<double>({1}));
  CHECK(pseudo_log_likelihood(sure, zeros<double>({1, 2})) == -4000);
  CHECK(pseudo_log_likelihood(sure, ones<double>({1, 2})) == 0);
}

TEST_CASE("reconstruction cross-entropy and free-energy gap, written out") {
  const auto rbm = machine(4, 3, 4);
  Rng rng(2);
  const D v = init::uniform({5, 4}, 0.0, 1.0, rng), other = init::uniform({3, 4}, 0.0, 1.0, rng);
  const D r = visible_probability(rbm, hidden_probability(rbm, v)).detach();
  CHECK(reconstruction_cross_entropy(rbm, v) ==
        doctest::Approx(-sum(v * log(r) + (1 - v) * log(1 - r)).item() / 5).epsilon(1e-13));
  CHECK(free_energy_gap(rbm, v, other) ==
        doctest::Approx(mean(free_energy(rbm, v)).item() - mean(free_energy(rbm, other)).item()).epsilon(1e-13));
  CHECK_THROWS_AS(average_log_likelihood(rbm, v, 0), ValueError);  // grey
  for (const D& wrong : {zeros<double>({2, 5}), zeros<double>({0, 4}), zeros<double>({4})}) {
    CHECK_THROWS_AS(reconstruction_cross_entropy(rbm, wrong), ShapeError);
    CHECK_THROWS_AS(free_energy_gap(rbm, v, wrong), ShapeError);
    CHECK_THROWS_AS(pseudo_log_likelihood(rbm, wrong), ShapeError);
    CHECK_THROWS_AS(average_log_likelihood(rbm, wrong, 0), ShapeError);
  }
}

TEST_CASE("annealed importance sampling: within three standard errors of log Z, forward and reverse, from two bases") {
  for (const std::uint64_t seed : {1UL, 2UL, 3UL, 4UL, 5UL, 6UL}) {
    const auto rbm = machine(10, 6, seed);
    const double exact = log_partition(rbm);
    Rng rng(seed);
    const D samples = exact_samples(rbm, 400, rng);
    std::vector<double> path(400);
    for (std::size_t i = 0; i < path.size(); ++i) path[i] = static_cast<double>(i) / 399;
    for (const D& base : {D(), base_rate_bias(samples)}) {
      const AisOptions<double> options{.chains = 400, .path = path, .base_bias = base};
      for (const AisEstimate& estimate : {annealed_importance_sampling(rbm, options, rng),
                                          reverse_annealed_importance_sampling(rbm, samples, options, rng)}) {
        CAPTURE(seed);
        CHECK(std::abs(estimate.log_z - exact) < 3 * estimate.standard_error);
        CHECK(estimate.standard_error < 0.1);
        CHECK(estimate.standard_error > 0);
        CHECK(estimate.log_weights.size() == 400);
        CHECK(estimate.effective_chains > 100);
        CHECK(estimate.effective_chains <= 400);
      }
    }
  }
}

TEST_CASE("annealed importance sampling: the mean weight is unbiased at any length of the path, the logarithm is not") {
  // Two temperatures: plain importance sampling. Moved with the old kernel first, or moved before weighed, the mean
  // would be another.
  const auto rbm = machine(6, 3, 8);
  const double exact = log_partition(rbm);
  const D leaning({6}, {1.0, -0.5, 0.3, 0.0, -1.0, 0.7});
  for (const std::vector<double>& path :
       {std::vector{0.0, 1.0}, std::vector{0.0, 0.5, 1.0}, std::vector{0.0, 0.3, 0.9, 1.0}}) {
    for (const D& bias : {D(), leaning}) {
      Rng rng(9);
      // log Z of the base, and of hidden units left alone.
      const double base = 3 * std::log(2.0) + (bias.defined() ? sum(softplus(bias)).item() : 6 * std::log(2.0));
      const auto estimate =
          annealed_importance_sampling(rbm, {.chains = 200'000, .path = path, .base_bias = bias}, rng);
      CHECK(std::abs(estimate.log_z - exact) < 4 * estimate.standard_error);
      double mean_log = 0;
      for (const double w : estimate.log_weights) mean_log += w / 200'000;
      CHECK(base + mean_log < exact - 0.1);  // Jensen: forward logarithms fall short
      const D samples = exact_samples(rbm, 200'000, rng);
      const D before(samples.shape(), samples.span());
      const auto reverse = reverse_annealed_importance_sampling(rbm, samples, {.path = path, .base_bias = bias}, rng);
      CHECK(std::equal(before.span().begin(), before.span().end(), samples.data()));  // the caller's samples are kept
      CHECK(std::abs(reverse.log_z - exact) < 4 * reverse.standard_error);
      mean_log = 0;
      for (const double w : reverse.log_weights) mean_log += w / 200'000;
      CHECK(base - mean_log > exact + 0.1);  // and reverse ones overshoot: the two bracket log Z
    }
  }
}

TEST_CASE("annealed importance sampling: the standard error is what estimates spread by, the weights what it says") {
  const auto rbm = machine(8, 4, 5);
  const double exact = log_partition(rbm);
  Rng rng(14);
  double squares = 0;
  constexpr int runs = 300;
  for (int i = 0; i < runs; ++i) {
    const auto estimate = annealed_importance_sampling(rbm, {.chains = 100, .path = {0, 0.25, 0.5, 0.75, 1}}, rng);
    const double z = (estimate.log_z - exact) / estimate.standard_error;
    squares += z * z / runs;
    double sum_w = 0, sum_squares = 0;
    for (const double w : estimate.log_weights) {
      sum_w += std::exp(w);
      sum_squares += std::exp(2 * w);
    }
    CHECK(estimate.effective_chains == doctest::Approx(sum_w * sum_w / sum_squares));
  }
  CHECK(squares > 0.7);
  CHECK(squares < 1.5);
}

TEST_CASE("annealed importance sampling: without a path, 10,000 temperatures evenly spaced") {
  const auto rbm = machine(3, 2, 5);
  std::vector<double> path;
  for (int i = 0; i < 10'000; ++i) path.push_back(i / 9999.0);
  Rng a(1), b(1);
  CHECK(annealed_importance_sampling(rbm, {.chains = 3}, a).log_weights ==
        annealed_importance_sampling(rbm, {.chains = 3, .path = path}, b).log_weights);
}

TEST_CASE("annealed importance sampling: with the machine as its own base nothing is left to estimate") {
  const D b({5}, {0.5, -1, 2, 0, 3});
  const Rbm<double> rbm(zeros<double>({5, 3}), b, zeros<double>({3}));
  Rng rng(1);
  const auto estimate = annealed_importance_sampling(rbm, {.chains = 10, .path = {0, 0.5, 1}, .base_bias = b}, rng);
  CHECK(estimate.log_z == doctest::Approx(log_partition(rbm)).epsilon(1e-14));
  CHECK(estimate.standard_error == doctest::Approx(0));
  CHECK(estimate.effective_chains == doctest::Approx(10));
}

TEST_CASE("annealed importance sampling: in float as in double; same seed, same bits; huge weights overflow nothing") {
  const auto rbm = machine(20, 8, 3);
  const Rbm<float> single(as<float>(rbm.W), as<float>(rbm.b), as<float>(rbm.a));
  const double exact = log_partition(rbm);
  Rng a(4), b(4);
  const auto first = annealed_importance_sampling(single, {.chains = 200}, a);
  const auto second = annealed_importance_sampling(single, {.chains = 200}, b);
  CHECK(std::abs(first.log_z - exact) < 3 * first.standard_error + 1e-3);
  CHECK(first.log_weights == second.log_weights);
  const Rbm<float> huge(full<float>({4, 3}, 300.F), full<float>({4}, 200.F), full<float>({3}, 100.F));
  const auto estimate = annealed_importance_sampling(huge, {.chains = 20, .path = {0, 0.5, 1}}, a);
  CHECK(std::isfinite(estimate.log_z));
}

TEST_CASE("annealed importance sampling: what cannot be is refused") {
  const auto rbm = machine(4, 3, 1);
  Rng rng(1);
  for (const std::vector<double>& path : {std::vector{0.0}, std::vector{0.0, 0.5}, std::vector{0.1, 1.0},
                                          std::vector{0.0, 0.5, 0.5, 1.0}, std::vector{0.0, std::nan(""), 1.0}})
    CHECK_THROWS_AS(annealed_importance_sampling(rbm, {.chains = 5, .path = path}, rng), ValueError);
  CHECK_THROWS_AS(annealed_importance_sampling(rbm, {.chains = 0}, rng), ValueError);
  CHECK_THROWS_AS(annealed_importance_sampling(rbm, {.chains = 5, .base_bias = zeros<double>({5})}, rng), ShapeError);
  CHECK_THROWS_AS(reverse_annealed_importance_sampling(rbm, zeros<double>({3, 5}), {}, rng), ShapeError);
  CHECK_THROWS_AS(reverse_annealed_importance_sampling(rbm, full<double>({3, 4}, 0.5), {}, rng), ValueError);
  CHECK_THROWS_AS(base_rate_bias(zeros<double>({0, 5})), ShapeError);
  CHECK_THROWS_AS(annealing_path(29), ValueError);
  for (const std::size_t count : {30UL, 100UL, 14'500UL}) {
    const auto path = annealing_path(count);
    CHECK(path.size() == count);
    CHECK(path.front() == 0);
    CHECK(path.back() == 1);
    for (std::size_t i = 1; i < count; ++i) CHECK_UNARY(path[i] > path[i - 1]);
    const auto below = [&](double beta) {
      return static_cast<std::size_t>(std::lower_bound(path.begin(), path.end(), beta) - path.begin());
    };
    CHECK(below(0.5) == count / 29);
    CHECK(below(0.9) == count / 29 + 8 * count / 29);
  }
}

TEST_CASE("base_rate_bias: smoothed, and finite where a pixel is always on or off") {
  const D v({4, 3}, {0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 1});
  const D c = base_rate_bias(v);
  CHECK(c.data()[0] == doctest::Approx(std::log(1.0 / 5)));
  CHECK(c.data()[1] == doctest::Approx(std::log(5.0 / 1)));
  CHECK(c.data()[2] == doctest::Approx(std::log(4.0 / 2)));
}

TEST_CASE("free-energy gap between data and samples: near 0 where the chains sample the model") {
  const auto rbm = machine(6, 3, 12);
  Rng rng(13);
  GibbsChain<double> chain(rbm, 5000, rng);
  chain.step(50);
  CHECK(std::abs(free_energy_gap(rbm, exact_samples(rbm, 5000, rng), chain.visible())) < 0.15);
  GibbsChain<double> young(rbm, 5000, rng);
  CHECK(free_energy_gap(rbm, exact_samples(rbm, 5000, rng), young.visible()) < -0.5);
}
