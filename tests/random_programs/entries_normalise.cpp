// Layers that normalise.
#include <xtape/ops/normalise.hpp>

#include "program.hpp"

namespace xtape::test {
namespace {

Jet variance_of(const std::vector<Jet>& v) {
  const Jet mean = mean_of(v);
  Jet s = 0;
  for (const Jet& x : v) s += (x - mean) * (x - mean);
  return s / v.size();
}

// (x - mean) / sqrt(var + epsilon) over the axes.
JetReference standardised(const Axes& axes, double epsilon) {
  return [=](const std::vector<Values>& t) {
    const Values mean = reduced<Jet>(axes, true, mean_of)({t[0]});
    const Values variance = reduced<Jet>(axes, true, variance_of)({t[0]});
    return tabulate<Jet>(t[0].shape,
                         [&](const Index& i) { return (at(t[0], i) - at(mean, i)) / sqrt(at(variance, i) + epsilon); });
  };
}

double draw_epsilon(Draw& draw) { return draw.of<double>({0.1, 1, 1e-3, 1e-5}); }
bool nonempty(const Shape& s) { return s.elements() > 0; }

std::optional<Step> draw_standardise(Draw& draw) {
  const std::size_t x = draw.matching(nonempty, Shape{2, 3});
  const Axes axes = draw.axes(draw.shape(x).size());
  const StandardiseOptions options{.epsilon = draw_epsilon(draw)};
  return step(
      {x}, fmt::format("standardise({}, {}, {{.epsilon = {}}})", Draw::name(x), draw.text(axes), options.epsilon),
      [=](const auto& t) { return standardise(t[0], axes, options); }, standardised(axes, options.epsilon));
}

std::optional<Step> draw_layer_norm(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() > 0 && nonempty(s); }, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::size_t normalised = 1 + draw.choice(from.size());
  Shape last;
  Axes axes;
  for (std::size_t d = from.size() - normalised; d < from.size(); ++d) {
    last.push_back(from[d]);
    axes.push_back(static_cast<std::ptrdiff_t>(d));
  }
  const auto same = [&](const Shape& s) { return s == last; };
  const std::size_t gamma = draw.matching(same, last), beta = draw.matching(same, last);
  const StandardiseOptions options{.epsilon = draw_epsilon(draw)};
  return step(
      {x, gamma, beta},
      fmt::format("layer_norm({}, {{.epsilon = {}}})", Draw::names({x, gamma, beta}), options.epsilon),
      [=](const auto& t) { return layer_norm(t[0], t[1], t[2], options); },
      [=](const std::vector<Values>& t) {
        const Values y = standardised(axes, options.epsilon)({t[0]});
        return tabulate<Jet>(y.shape, [&](const Index& i) { return at(t[1], i) * at(y, i) + at(t[2], i); });
      });
}

std::optional<Step> draw_batch_norm(Draw& draw) {
  const auto batch = [](const Shape& s) {
    return s.size() >= 2 && s.size() <= 4 && nonempty(s) && s.elements() / s[1] > 1;
  };
  const std::size_t x = draw.matching(batch, Shape{3, 2});
  const Shape from = draw.shape(x), channels{from[1]};
  const auto same = [&](const Shape& s) { return s == channels; };
  const std::size_t gamma = draw.matching(same, channels), beta = draw.matching(same, channels);
  const BatchNormOptions options{.training = !draw.flag(), .epsilon = draw_epsilon(draw)};
  Axes axes{0};
  for (std::size_t d = 2; d < from.size(); ++d) axes.push_back(static_cast<std::ptrdiff_t>(d));
  return step(
      {x, gamma, beta},
      fmt::format("batch_norm({}, state, {{.training = {}, .epsilon = {}}})  /* a state of mean 0.25, variance 2 */",
                  Draw::names({x, gamma, beta}), options.training, options.epsilon),
      [=]<class T>(const Tensors<T>& t) {
        BatchNormState<T> state(from[1]);
        state.mean = full(channels, T(0.25));
        state.variance = full(channels, T(2));
        return batch_norm(t[0], t[1], t[2], state, options);
      },
      [=](const std::vector<Values>& t) {
        const Values y = options.training ? standardised(axes, options.epsilon)({t[0]}) : each<Jet>([&](const Jet& v) {
          return (v - 0.25) / sqrt(Jet(2 + options.epsilon));
        })({t[0]});
        return tabulate<Jet>(from, [&](const Index& i) { return t[1].values[i[1]] * at(y, i) + t[2].values[i[1]]; });
      });
}

}  // namespace

std::vector<Entry> normalise_entries() {
  return {{"standardise", draw_standardise}, {"layer_norm", draw_layer_norm}, {"batch_norm", draw_batch_norm}};
}

}  // namespace xtape::test
