// Losses, likelihoods, and dropout.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/likelihood.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/random.hpp>
#include <xtape/ops/softmax.hpp>

#include "program.hpp"

namespace xtape::test {
namespace {

// The mean over rows of f(row, label).
template <class F, class R> Entry labelled_loss(const char* name, F f, R of_row) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x =
                draw.matching([](const Shape& s) { return s.size() == 2 && s[0] > 0 && s[1] > 0; }, Shape{3, 4});
            std::vector<std::size_t> labels;
            std::size_t digits = draw.choice(choice_limit);
            for (std::size_t i = 0; i < draw.shape(x)[0]; ++i, digits = digits * 7 / 5 + i)
              labels.push_back(digits % draw.shape(x)[1]);
            return step(
                {x}, fmt::format("{}({}, std::vector{{{}}})", name, Draw::name(x), fmt::join(labels, ", ")),
                [f, labels](const auto& t) { return f(t[0], labels); },
                [of_row, labels](const std::vector<Values>& t) {
                  Jet loss = 0;
                  const std::size_t classes = t[0].shape[1];
                  for (std::size_t i = 0; i < labels.size(); ++i) {
                    const auto row = t[0].values.begin() + static_cast<std::ptrdiff_t>(i * classes);
                    loss += of_row(std::vector<Jet>(row, row + static_cast<std::ptrdiff_t>(classes)), labels[i]);
                  }
                  return Values{{}, {loss / labels.size()}};
                });
          }};
}

// Of two tensors of distributions along the last axis.
std::optional<Step> draw_kl_divergence(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() > 0 && s.elements() > 0; }, Shape{3, 4});
  const Shape shape = draw.shape(x);
  const std::size_t y = draw.matching([&](const Shape& s) { return s == shape; }, shape);
  return step(
      {x, y}, fmt::format("kl_divergence(softmax(sin({})), softmax(sin({})))", Draw::name(x), Draw::name(y)),
      [](const auto& t) { return kl_divergence(softmax(sin(t[0])), softmax(sin(t[1]))); },
      [shape](const std::vector<Values>& t) {
        // sum p log p / q = sum_j p_j (x_j - y_j) - lse(x) + lse(y)
        Jet total = 0;
        const std::size_t classes = shape.back(), rows = shape.elements() / classes;
        for (std::size_t i = 0; i < rows; ++i) {
          std::vector<Jet> a, b;
          for (std::size_t j = 0; j < classes; ++j) {
            a.push_back(sin(t[0].values[i * classes + j]));
            b.push_back(sin(t[1].values[i * classes + j]));
          }
          total += logsumexp_of(b) - logsumexp_of(a);
          for (std::size_t j = 0; j < classes; ++j) total += exp(a[j] - logsumexp_of(a)) * (a[j] - b[j]);
        }
        return Values{{}, {total / rows}};
      });
}

std::optional<Step> draw_bernoulli(Draw& draw) {
  const std::size_t x = draw.any(), t = draw.broadcastable(draw.shape(x));
  return step(
      {x, t}, fmt::format("bernoulli_log_likelihood({}, {})", Draw::name(x), Draw::name(t)),
      [](const auto& v) { return bernoulli_log_likelihood(v[0], v[1]); },
      each<Jet>([](const Jet& a, const Jet& b) { return b * a - log1p(exp(a)); }));
}

std::optional<Step> draw_gaussian(Draw& draw) {
  const std::size_t x = draw.any(), mean = draw.broadcastable(draw.shape(x));
  const std::size_t variance = draw.broadcastable(joined_shape<Jet>({{draw.shape(x), {}}, {draw.shape(mean), {}}}));
  return step(
      {x, mean, variance}, fmt::format("gaussian_log_likelihood({})", Draw::names({x, mean, variance})),
      [](const auto& v) { return gaussian_log_likelihood(v[0], v[1], v[2]); },
      each<Jet>([](const Jet& a, const Jet& m, const Jet& v) {
        constexpr long double log_two_pi = 1.8378770664093454835606594728112353L;
        return -0.5L * (log_two_pi + v + (a - m) * (a - m) / exp(v));
      }));
}

// The mean of f(x, target) over all elements.
template <class F, class R> Entry mean_loss(const char* name, const char* text, F f, R reference) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.any();
            const Shape shape = draw.shape(x);
            if (shape.elements() == 0) return {};
            const std::size_t t = draw.matching([&](const Shape& s) { return s == shape; }, shape);
            return step(
                {x, t}, fmt::format(fmt::runtime(text), Draw::name(x), Draw::name(t)),
                [f](const auto& v) { return f(v[0], v[1]); },
                [reference](const std::vector<Values>& v) {
                  return Values{{}, {mean_of(each<Jet>(reference)(v).values)}};
                });
          }};
}

Jet logistic(const Jet& x) { return 1 / (1 + exp(-x)); }

std::optional<Step> draw_dropout(Draw& draw) {
  const std::size_t x = draw.any(), seed = draw.choice(choice_limit);
  const Shape shape = draw.shape(x);
  Rng draws(seed);
  std::vector<double> uniform(shape.elements());
  draws.fill_uniform<double>(uniform);
  Step result = step(
      {x}, fmt::format("dropout({}, 0.25, rng)  /* rng: Rng{{{}}} */", Draw::name(x), seed),
      [seed](const auto& t) {
        Rng rng(seed);
        return dropout(t[0], 0.25, rng);
      },
      [uniform, shape](const std::vector<Values>& t) {
        Values y{shape, {}};
        for (std::size_t i = 0; i < uniform.size(); ++i)
          y.values.push_back(uniform[i] < 0.25 ? Jet(0) : t[0].values[i] / 0.75);
        return y;
      });
  result.in_float = false;  // float draws other numbers
  return result;
}

}  // namespace

std::vector<Entry> loss_entries() {
  return {
      labelled_loss(
          "cross_entropy", [](const auto& x, const auto& labels) { return cross_entropy(x, labels); },
          [](const std::vector<Jet>& row, std::size_t label) { return logsumexp_of(row) - row[label]; }),
      labelled_loss(
          "nll_loss", [](const auto& x, const auto& labels) { return nll_loss(x, labels); },
          [](const std::vector<Jet>& row, std::size_t label) { return -row[label]; }),
      {"kl_divergence", draw_kl_divergence},
      mean_loss(
          "l1_loss", "l1_loss({}, {})", [](const auto& x, const auto& t) { return l1_loss(x, t); },
          [](const Jet& x, const Jet& t) { return abs(x - t); }),
      mean_loss(
          "huber_loss", "huber_loss({}, {}, {{.delta = 0.75}})",
          [](const auto& x, const auto& t) { return huber_loss(x, t, {.delta = 0.75}); },
          [](const Jet& x, const Jet& t) {
            const Jet d = abs(x - t);
            return less(d, 0.75) ? 0.5 * d * d : 0.75 * (d - 0.375);
          }),
      mean_loss(
          "hinge_loss", "hinge_loss({0}, where({1} > 0, ones, -ones))",
          []<class T>(const Tensor<T>& x, const Tensor<T>& t) {
            return hinge_loss(x, where(t > 0, ones<T>(t.shape()), -ones<T>(t.shape())));
          },
          [](const Jet& x, const Jet& t) { return larger(0, less(0, t) ? 1 - x : 1 + x); }),
      {"bernoulli_log_likelihood", draw_bernoulli},
      {"gaussian_log_likelihood", draw_gaussian},
      mean_loss(
          "mse_loss", "mse_loss({}, {})", [](const auto& x, const auto& t) { return mse_loss(x, t); },
          [](const Jet& x, const Jet& t) { return (x - t) * (x - t); }),
      mean_loss(
          "binary_cross_entropy", "binary_cross_entropy(0.1 + 0.8 * sigmoid({}), sigmoid({}))",
          [](const auto& x, const auto& t) { return binary_cross_entropy(0.1 + 0.8 * sigmoid(x), sigmoid(t)); },
          [](const Jet& x, const Jet& t) {
            const Jet p = 0.1 + 0.8 * logistic(x);
            return -(logistic(t) * log(p) + logistic(-t) * log(1 - p));
          }),
      mean_loss(
          "binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits({}, {})",
          [](const auto& x, const auto& t) { return binary_cross_entropy_with_logits(x, t); },
          [](const Jet& x, const Jet& t) { return log1p(exp(x)) - t * x; }),
      {"dropout", draw_dropout},
  };
}

}  // namespace xtape::test
