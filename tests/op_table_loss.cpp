// Rows of the losses and of dropout.
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
  const std::vector<std::size_t> three{2, 0, 2};
  return {
      {.name = "cross_entropy",
       .domains = {{.low = -3, .high = 3}},
       .cases = {{[three](const auto& x) { return cross_entropy(x[0], three); },
                  cross_entropy_of(three),
                  {{{3, 3}}, {{3, 5}}}},
                 {[](const auto& x) { return cross_entropy(x[0], xt::xarray<int>{1}); },
                  cross_entropy_of({1}),
                  {{{1, 2}}, {{1, 19}}}},
                 {[](const auto& x) {
                    return cross_entropy(x[0], std::vector<std::uint8_t>{0, 0});
                  },
                  cross_entropy_of({0, 0}),
                  {{{2, 1}}, {{2, 4}}}}},
       .refused = {{[three](const auto& x) { return cross_entropy(x[0], three); }, {{2, 3}}},
                   {[three](const auto& x) { return cross_entropy(x[0], three); }, {{3}}},
                   {[three](const auto& x) { return cross_entropy(x[0], three); }, {{3, 3, 1}}},
                   {[](const auto& x) { return cross_entropy(x[0], std::vector<int>{}); }, {{0, 3}}}}},
      loss(
          "mse_loss", {"subtract", "square", "sum", "divide"}, {{}},
          [](const auto& x, const auto& t) { return mse_loss(x, t); },
          [](Real x, Real t) { return (x - t) * (x - t); }),
      loss(
          "binary_cross_entropy", {}, {probability},
          [](const auto& p, const auto& t) { return binary_cross_entropy(p, t); },
          [](Real p, Real t) { return -times_log(t, p) - times_log(1 - t, 1 - p); }),
      loss(
          "binary_cross_entropy_with_logits", {}, {{.low = -3, .high = 3, .kinks = {0}}, probability},
          [](const auto& x, const auto& t) { return binary_cross_entropy_with_logits(x, t); },
          [](Real x, Real t) { return std::log1p(std::exp(x)) - t * x; }),
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
