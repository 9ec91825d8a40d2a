// The cases in xtape: nets of growing size.

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/reduce.hpp>

#include <cmath>

#include "training.hpp"

namespace bench {

namespace {

// Uniform with the deviation that keeps a signal's size through relu (He et al. 2015).
Weight he_weight(const Shape& shape, std::size_t inputs) {
  const float bound = std::sqrt(6.F / static_cast<float>(inputs));
  return weight("W", shape, uniform(41, shape.elements(), -bound, bound));
}
Weight near_identity(std::size_t n) {
  Floats values = uniform(42, n * n, -1e-3F, 1e-3F);
  for (std::size_t i = 0; i < n; ++i) values[i * n + i] += 1.F;
  return weight("W", {n, n}, values);
}
Weight bias(std::size_t n) { return weight("b", {n}, Floats(n)); }

}  // namespace

Running net(const Net& p) {
  std::vector<Weight> weights;
  for (std::size_t i = 0, in = p.inputs; i < p.layers; ++i, in = p.hidden) {
    weights.push_back(in == p.hidden ? near_identity(in) : he_weight({in, p.hidden}, in));
    weights.push_back(bias(p.hidden));
  }
  weights.push_back(he_weight({p.hidden, Net::classes}, p.hidden));
  weights.push_back(bias(Net::classes));
  const Tensor<float> x(Shape{p.batch, p.inputs}, p.x);
  const std::array label{xtape::Labels(p.label[0]), xtape::Labels(p.label[1])};
  return training(weights, 1e-5, Net::momentum, Pass::full, [x, label](const auto& w, std::size_t step) {
    Tensor<float> y = x;
    for (std::size_t i = 0; i + 2 < w.size(); i += 2) y = relu(xtape::matmul(y, w[i]) + w[i + 1]);
    return cross_entropy(xtape::matmul(y, w[w.size() - 2]) + w.back(), label[step % 2]);
  });
}

Running picture_net(const PictureNet& p) {
  using P = PictureNet;
  constexpr std::size_t taps = P::kernel * P::kernel;
  const Tensor<float> x(Shape{p.batch, 1, p.side, p.side}, p.x);
  const std::array label{xtape::Labels(p.label[0]), xtape::Labels(p.label[1])};
  return training({he_weight({P::c1, 1, P::kernel, P::kernel}, taps), bias(P::c1),
                   he_weight({P::c2, P::c1, P::kernel, P::kernel}, P::c1 * taps), bias(P::c2),
                   he_weight({P::c2, P::classes}, P::c2), bias(P::classes)},
                  P::learning_rate, P::momentum, Pass::full, [x, label](const auto& w, std::size_t step) {
                    const Conv2dOptions same{.padding = P::padding};
                    const auto p1 = max_pool2d(relu(conv2d(x, w[0], w[1], same)));
                    const auto p2 = max_pool2d(relu(conv2d(p1, w[2], w[3], same)));
                    return cross_entropy(xtape::matmul(global_avg_pool2d(p2), w[4]) + w[5], label[step % 2]);
                  });
}

}  // namespace bench
