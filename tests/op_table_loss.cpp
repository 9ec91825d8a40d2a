// Rows of the losses and of dropout.
#include <xtape/ops/likelihood.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/random.hpp>

#include "op_table_reference.hpp"

namespace xtape::test {
namespace {

// The mean of f(x_i, t_i) over all elements.
template <class F> Reference mean_over(F f) {
  return [f](const Arrays& x) {
    std::vector<Real> terms;
    for (std::size_t i = 0; i < x[0].values.size(); ++i) terms.push_back(f(x[0].values[i], x[1].values[i]));
    return Array{{}, {mean_of(terms)}};
  };
}
// The same with a target that is not an input.
template <class F> Reference mean_against(Real target, F f) {
  return [=](const Arrays& x) {
    return mean_over(f)({x[0], {x[0].shape, std::vector<Real>(x[0].values.size(), target)}});
  };
}

// A loss of two tensors of one shape; the target may be a number or an xtensor expression.
template <class F, class R>
Row loss(std::string name, std::vector<std::string> records, std::vector<Domain> domains, F f, R term) {
  const std::vector<std::vector<Shape>> pairs{
      {{2, 3}, {2, 3}}, {{}, {}}, {{1}, {1}}, {{19}, {19}}, {{2, 1, 2}, {2, 1, 2}}};
  return {.name = std::move(name),
          .domains = std::move(domains),
          .cases = {{[f](const auto& x) { return f(x[0], x[1]); }, mean_over(term), pairs},
                    {[f](const auto& x) { return f(x[0], 0.25); }, mean_against(0.25L, term), {{{2, 3}}, {{}}}},
                    {[f](const auto& x) {
                       return f(x[0], xt::xarray<double>{0, 1, 1} * 1.0);
                     },
                     [term](const Arrays& x) {
                       return mean_over(term)({x[0], {{3}, {0, 1, 1}}});
                     },
                     {{{3}}}}},
          .records = std::move(records),
          .refused = {{[f](const auto& x) { return f(x[0], x[1]); }, {{2, 3}, {3}}},
                      {[f](const auto& x) { return f(x[0], x[1]); }, {{2, 3}, {3, 2}}},
                      {[f](const auto& x) {
                         return f(x[0], xt::xarray<double>{0, 1, 1} * 1.0);
                       },
                       {{1, 3}}}}};
}

// A loss of labels, of which three stand for rows of {3, 3} and {3, 5}.
template <class F>
Row labelled(std::string name, std::vector<std::string> records, F f,
             Reference (*reference)(const std::vector<std::size_t>&)) {
  const std::vector<std::size_t> three{2, 0, 2};
  return {.name = std::move(name),
          .domains = {{.low = -3, .high = 3}},
          .cases = {{[=](const auto& x) { return f(x[0], three); }, reference(three), {{{3, 3}}, {{3, 5}}}},
                    {[=](const auto& x) { return f(x[0], xt::xarray<int>{1}); }, reference({1}), {{{1, 2}}, {{1, 19}}}},
                    {[=](const auto& x) {
                       return f(x[0], std::vector<std::uint8_t>{0, 0});
                     },
                     reference({0, 0}),
                     {{{2, 1}}, {{2, 4}}}}},
          .records = std::move(records),
          .refused = {{[=](const auto& x) { return f(x[0], three); }, {{2, 3}}},
                      {[=](const auto& x) { return f(x[0], three); }, {{3}}},
                      {[=](const auto& x) { return f(x[0], three); }, {{3, 3, 1}}},
                      {[=](const auto& x) { return f(x[0], std::vector<int>{}); }, {{0, 3}}}}};
}

Reference nll_of(const std::vector<std::size_t>& labels) {
  return [labels](const Arrays& x) {
    std::vector<Real> terms;
    for (std::size_t i = 0; i < labels.size(); ++i) terms.push_back(-at(x[0], {i, labels[i]}));
    return Array{{}, {mean_of(terms)}};
  };
}
Reference cross_entropy_of(const std::vector<std::size_t>& labels) {
  return [labels](const Arrays& x) {
    std::vector<Real> terms;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      std::vector<Real> row;
      for (std::size_t j = 0; j < x[0].shape[1]; ++j) row.push_back(at(x[0], {i, j}));
      terms.push_back(logsumexp_of(row) - row[labels[i]]);
    }
    return Array{{}, {mean_of(terms)}};
  };
}

// y log p, where 0 log 0 = 0.
Real times_log(Real y, Real p) { return y == 0 ? 0 : y * std::log(p); }

Real gaussian(Real x, Real m, Real v) {
  return -(std::log(2 * std::acos(-1.0L)) + v + (x - m) * (x - m) / std::exp(v)) / 2;
}

// The mask is part of the op's definition as a function of x: read off from what it does to ones.
template <class T> Tensor<T> seeded_dropout(const Tensor<T>& x, double rate) {
  Rng rng(11);
  return dropout(x, rate, rng);
}
Reference masked(double rate) {
  return [rate](const Arrays& x) {
    const Tensor<double> mask = seeded_dropout(ones<double>(x[0].shape), rate);
    Array y = x[0];
    for (std::size_t i = 0; i < y.values.size(); ++i)
      y.values[i] *= mask.data()[i] == 0 ? 0 : 1 / (1 - static_cast<Real>(rate));
    return y;
  };
}

}  // namespace

std::vector<Row> loss_rows() {
  const Domain probability{.low = 0.25, .high = 0.75};
  return {
      labelled(
          "cross_entropy", {}, [](const auto& x, const auto& labels) { return cross_entropy(x, labels); },
          cross_entropy_of),
      labelled(
          "nll_loss", {"gather_flat", "mean", "negate"},
          [](const auto& x, const auto& labels) { return nll_loss(x, labels); }, nll_of),
      {.name = "kl_divergence",
       .domains = {{.low = 0.4, .high = 0.9}},
       .cases =
           {{[](const auto& x) { return kl_divergence(x[0], x[1]); },
             [](const Arrays& x) {
               Real s = 0;
               for (std::size_t i = 0; i < x[0].values.size(); ++i)
                 s += x[0].values[i] * std::log(x[0].values[i] / x[1].values[i]);
               return Array{{}, {s * static_cast<Real>(x[0].shape.back()) / static_cast<Real>(x[0].values.size())}};
             },
             {{{2, 3}, {2, 3}}, {{4}, {4}}, {{1}, {1}}, {{2, 2, 3}, {2, 2, 3}}, {{1, 19}, {1, 19}}}}},
       .refused = {{[](const auto& x) { return kl_divergence(x[0], x[1]); }, {{2, 3}, {3}}},
                   {[](const auto& x) { return kl_divergence(x[0], x[1]); }, {{}, {}}},
                   {[](const auto& x) { return kl_divergence(x[0], x[1]); }, {{0, 2}, {0, 2}}}}},
      loss(
          "l1_loss", {"subtract", "abs", "mean"}, {{.low = 1.3, .high = 2}, {.low = -1, .high = 0.9}},
          [](const auto& x, const auto& t) { return l1_loss(x, t); }, [](Real x, Real t) { return std::abs(x - t); }),
      loss(
          "huber_loss", {},
          {{.low = -4, .high = 4, .kinks = {-1.5, -1.25, -0.5, 1.5, 1.75, 2.5}}, {.low = -0.02, .high = 0.02}},
          [](const auto& x, const auto& t) { return huber_loss(x, t, {.delta = 1.5}); },
          [](Real x, Real t) {
            const Real d = std::abs(x - t);
            return d <= 1.5L ? d * d / 2 : 1.5L * (d - 0.75L);
          }),
      {.name = "hinge_loss",
       .domains = {{.low = -3, .high = 3, .kinks = {-1, 1}}},
       .cases = {{[](const auto& x) {
                    return hinge_loss(x[0], xt::xarray<double>{1, -1, -1, 1, 1, -1, 1});
                  },
                  [](const Arrays& x) {
                    return mean_over([](Real v, Real t) { return std::max(0.0L, 1 - t * v); })(
                        {x[0], {{7}, {1, -1, -1, 1, 1, -1, 1}}});
                  },
                  {{{7}}}},
                 {[](const auto& x) { return hinge_loss(x[0], -1); },
                  mean_against(-1, [](Real v, Real t) { return std::max(0.0L, 1 - t * v); }),
                  {{{2, 3}}, {{}}, {{19}}}}},
       .records = {"multiply", "subtract", "relu", "mean"},
       .refused = {{[](const auto& x) { return hinge_loss(x[0], x[1]); }, {{2, 3}, {3}}},
                   {[](const auto& x) { return hinge_loss(x[0], x[1]); }, {{2, 3}, {3, 2}}}}},
      {.name = "bernoulli_log_likelihood",
       .domains = {{.low = -3, .high = 3, .kinks = {0}}, probability},
       .cases = {{[](const auto& x) { return bernoulli_log_likelihood(x[0], x[1]); },
                  each([](Real x, Real t) { return t * x - log1p_exp(x); }),
                  {{{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{3}, {2, 1}}, {{}, {}}, {{19}, {}}, {{0, 3}, {3}}}},
                 {[](const auto& x) { return bernoulli_log_likelihood(x[0], 1); },
                  each([](Real x) { return x - log1p_exp(x); }),
                  {{{2, 3}}, {{}}}},
                 {[](const auto& x) {
                    return bernoulli_log_likelihood(x[0], xt::xarray<double>{0, 1, 1} * 1.0);
                  },
                  [](const Arrays& x) {
                    return each([](Real v, Real t) { return t * v - log1p_exp(v); })({x[0], {{3}, {0, 1, 1}}});
                  },
                  {{{2, 3}}}}},
       .flags = elementwise | broadcasting,
       .refused = {{[](const auto& x) { return bernoulli_log_likelihood(x[0], x[1]); }, {{2, 3}, {2}}}}},
      {.name = "gaussian_log_likelihood",
       .cases = {{[](const auto& x) { return gaussian_log_likelihood(x[0], x[1], x[2]); },
                  each(gaussian),
                  {{{2, 3}, {2, 3}, {2, 3}}, {{2, 3}, {3}, {}}, {{3}, {2, 1}, {1}}, {{}, {}, {}}, {{0, 3}, {3}, {}}}},
                 {[](const auto& x) { return gaussian_log_likelihood(x[0], 0.5, x[1]); },
                  each([](Real x, Real v) { return gaussian(x, 0.5L, v); }),
                  {{{2, 3}, {3}}, {{19}, {19}}}},
                 {[](const auto& x) { return gaussian_log_likelihood(1, x[0], -0.5); },
                  each([](Real m) { return gaussian(1, m, -0.5L); }),
                  {{{2, 3}}, {{}}}}},
       .flags = elementwise | broadcasting,
       .refused = {{[](const auto& x) { return gaussian_log_likelihood(x[0], x[1], x[2]); }, {{2, 3}, {2}, {1}}}}},
      loss(
          "mse_loss", {"subtract", "square", "mean"}, {{}}, [](const auto& x, const auto& t) { return mse_loss(x, t); },
          [](Real x, Real t) { return (x - t) * (x - t); }),
      loss(
          "binary_cross_entropy", {}, {probability},
          [](const auto& p, const auto& t) { return binary_cross_entropy(p, t); },
          [](Real p, Real t) { return -times_log(t, p) - (t == 1 ? 0 : (1 - t) * std::log1p(-p)); }),
      loss(
          "binary_cross_entropy_with_logits", {}, {{.low = -3, .high = 3, .kinks = {0}}, probability},
          [](const auto& x, const auto& t) { return binary_cross_entropy_with_logits(x, t); },
          [](Real x, Real t) { return log1p_exp(x) - t * x; }),
      {.name = "dropout",
       .cases = {{[](const auto& x) { return seeded_dropout(x[0], 0.5); },
                  masked(0.5),
                  {{{4, 5}}, {{}}, {{1}}, {{0, 3}}, {{37}}}},
                 {[](const auto& x) { return seeded_dropout(x[0], 0.2); }, masked(0.2), {{{19}}}},
                 {[](const auto& x) { return seeded_dropout(x[0], 0); }, masked(0), {{{2, 3}}}}},
       .flags = linear,
       .no_float = "the masks of float and double are drawn from different bits"},
  };
}

}  // namespace xtape::test
