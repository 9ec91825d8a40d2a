// Losses, and dropout.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/random.hpp>

#include "program.hpp"

namespace xtape::test {
namespace {

std::optional<Step> draw_cross_entropy(Draw& draw) {
  const std::size_t x =
      draw.matching([](const Shape& s) { return s.size() == 2 && s[0] > 0 && s[1] > 0; }, Shape{3, 4});
  std::vector<std::size_t> labels;
  std::size_t digits = draw.choice(choice_limit);
  for (std::size_t i = 0; i < draw.shape(x)[0]; ++i, digits = digits * 7 / 5 + i)
    labels.push_back(digits % draw.shape(x)[1]);
  return step(
      {x}, fmt::format("cross_entropy({}, std::vector{{{}}})", Draw::name(x), fmt::join(labels, ", ")),
      [labels](const auto& t) { return cross_entropy(t[0], labels); },
      [labels](const std::vector<Values>& t) {
        Jet loss = 0;
        const std::size_t classes = t[0].shape[1];
        for (std::size_t i = 0; i < labels.size(); ++i) {
          const auto row = t[0].values.begin() + static_cast<std::ptrdiff_t>(i * classes);
          const std::vector<Jet> logits(row, row + static_cast<std::ptrdiff_t>(classes));
          loss += logsumexp_of(logits) - logits[labels[i]];
        }
        return Values{{}, {loss / labels.size()}};
      });
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
      {"cross_entropy", draw_cross_entropy},
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
