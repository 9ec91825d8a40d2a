// Rows of the layers that normalise.
#include <xtape/ops/normalise.hpp>

#include "op_table_reference.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

// What standardises the slice of x that index i lies in, over the flagged axes.
struct Statistics {
  Real mean, variance;
};
template <class F> Statistics statistics_at(const Array& x, const Index& i, const F& is_reduced) {
  Shape slice;
  for (std::size_t d = 0; d < x.shape.size(); ++d) slice.push_back(is_reduced(d) ? x.shape[d] : 1);
  const Array values = tabulate(slice, [&](Index k) {
    for (std::size_t d = 0; d < k.size(); ++d)
      if (!is_reduced(d)) k[d] = i[d];
    return at(x, k);
  });
  const Real m = mean_of(values.values);
  Real s = 0;
  for (const Real v : values.values) s += (v - m) * (v - m);
  return {m, s / static_cast<Real>(values.values.size())};
}

Reference standardised(const Axes& axes, Real epsilon) {
  return [=](const Arrays& x) {
    return tabulate(x[0].shape, [&](const Index& i) {
      const auto [m, v] = statistics_at(x[0], i, [&](std::size_t d) { return contains(axes, d, x[0].shape); });
      return (at(x[0], i) - m) / std::sqrt(v + epsilon);
    });
  };
}

Reference layer_norm_of(Real epsilon) {
  return [=](const Arrays& x) {
    const std::size_t kept = x[0].shape.size() - x[1].shape.size();
    return tabulate(x[0].shape, [&](const Index& i) {
      const auto [m, v] = statistics_at(x[0], i, [kept](std::size_t d) { return d >= kept; });
      return (at(x[0], i) - m) / std::sqrt(v + epsilon) * at(x[1], i) + at(x[2], i);
    });
  };
}

Reference batch_norm_of(bool training, Real epsilon) {
  return [=](const Arrays& x) {
    return tabulate(x[0].shape, [&](const Index& i) {
      const std::size_t c = i[1];
      const auto [m, v] = training ? statistics_at(x[0], i, [](std::size_t d) { return d != 1; })
                                   : Statistics{0.25L * static_cast<Real>(c), 0.5L + static_cast<Real>(c)};
      return (at(x[0], i) - m) / std::sqrt(v + epsilon) * x[1].values[c] + x[2].values[c];
    });
  };
}

// A state with mean c/4 and variance c + 1/2 in channel c.
template <class T> BatchNormState<T> state_of(const Tensor<T>& gamma) {
  BatchNormState<T> state(gamma.size());
  const auto mean = state.mean.modify(), variance = state.variance.modify();
  for (std::size_t c = 0; c < mean.size(); ++c) {
    mean[c] = T(0.25) * static_cast<T>(c);
    variance[c] = static_cast<T>(c) + T(0.5);
  }
  return state;
}

template <class T> Tensor<T> batch_norm_with_state(const Tensors<T>& x, bool training, double epsilon) {
  BatchNormState<T> state = state_of(x[1]);
  return batch_norm(x[0], x[1], x[2], state, {.training = training, .epsilon = epsilon});
}

Case standardise_case(const Axes& axes, double epsilon, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return standardise(x[0], axes, {.epsilon = epsilon}); }, standardised(axes, epsilon),
          std::move(shapes)};
}
Case layer_norm_case(double epsilon, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return layer_norm(x[0], x[1], x[2], {.epsilon = epsilon}); }, layer_norm_of(epsilon),
          std::move(shapes)};
}
Case batch_norm_case(bool training, double epsilon, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return batch_norm_with_state(x, training, epsilon); }, batch_norm_of(training, epsilon),
          std::move(shapes)};
}

}  // namespace

std::vector<Row> normalise_rows() {
  const auto layer = [](const auto& x) { return layer_norm(x[0], x[1], x[2]); };
  const auto batch = [](const auto& x) { return batch_norm_with_state(x, true, 1e-5); };
  // gamma times standardised numbers does not cancel beta.
  const std::vector<Domain> affine{{}, {.low = 0.5, .high = 1.5}, {.low = 3.5, .high = 5}};
  return {
      {.name = "standardise",
       .cases = {standardise_case(all_axes, 0.1, {{{2, 3}}, {{5}}, {{1}}, {{}}, {{0}}, {{37}}}),
                 standardise_case(-1, 0.1, {{{2, 3}}, {{2, 2, 4}}, {{0, 3}}, {{3, 0}}}),
                 standardise_case({0, 2}, 0.1, {{{2, 2, 3}}, {{3, 2, 1, 2}}}),
                 standardise_case({0, -1}, 0.5, {{{2, 3, 2}}}), standardise_case(0, 0.1, {{{4, 2}}}),
                 standardise_case(1, 0, {{{2, 5}}})},
       .refused = {{[](const auto& x) { return standardise(x[0], 2); }, {{2, 3}}},
                   {[](const auto& x) {
                      return standardise(x[0], {0, -2});
                    },
                    {{2, 3}}}}},
      {.name = "layer_norm",
       .domains = affine,
       .cases = {layer_norm_case(0.1, {{{2, 3}, {3}, {3}},
                                       {{5}, {5}, {5}},
                                       {{2, 2, 3}, {2, 3}, {2, 3}},
                                       {{2, 2, 3}, {3}, {3}},
                                       {{0, 3}, {3}, {3}},
                                       {{2, 1}, {1}, {1}}}),
                 layer_norm_case(1e-5, {{{2, 5}, {5}, {5}}})},
       .records = {"standardise", "multiply", "add"},
       .refused = {{layer, {{2, 3}, {2}, {2}}},
                   {layer, {{2, 3}, {3}, {1}}},
                   {layer, {{2, 3}, {}, {}}},
                   {layer, {{3}, {2, 3}, {2, 3}}}}},
      {.name = "batch_norm",
       .domains = affine,
       .cases = {batch_norm_case(true, 0.1,
                                 {{{4, 2}, {2}, {2}},
                                  {{2, 3, 2}, {3}, {3}},
                                  {{2, 2, 2, 3}, {2}, {2}},
                                  {{1, 2, 3}, {2}, {2}},
                                  {{3, 1}, {1}, {1}},
                                  {{3, 0}, {0}, {0}}}),
                 batch_norm_case(true, 1e-5, {{{5, 2}, {2}, {2}}}),
                 batch_norm_case(false, 0.1,
                                 {{{4, 2}, {2}, {2}},
                                  {{2, 3, 2}, {3}, {3}},
                                  {{1, 2, 1, 3}, {2}, {2}},
                                  {{1, 2}, {2}, {2}},
                                  {{0, 2}, {2}, {2}}})},
       .records = {"standardise", "multiply", "add", "reshape", "subtract", "divide"},
       .refused = {{batch, {{4, 2}, {3}, {3}}},
                   {batch, {{4, 2}, {2}, {1}}},
                   {batch, {{4}, {4}, {4}}},
                   {batch, {{2, 2, 1, 1, 1}, {2}, {2}}},
                   {batch, {{1, 2}, {2}, {2}}, {{1, 2}}},
                   {batch, {{0, 2}, {2}, {2}}, {{0, 2}}}}},
  };
}

}  // namespace xtape::test
