// The cases in xtape: training steps.

#include <xtape/energy/contrastive_divergence.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/shape.hpp>

#include "training.hpp"

namespace bench {

using namespace xtape;

Running mlp(const Mlp& p, Pass pass) {
  const Tensor<float> x(Shape{p.batch, Mlp::inputs}, p.x);
  const std::array label{xtape::Labels(p.label[0]), xtape::Labels(p.label[1])};
  return training({weight("W1", {Mlp::inputs, Mlp::hidden}, p.w1), weight("b1", {Mlp::hidden}, p.b1),
                   weight("W2", {Mlp::hidden, Mlp::classes}, p.w2), weight("b2", {Mlp::classes}, p.b2)},
                  Mlp::learning_rate, Mlp::momentum, pass, [x, label](const auto& w, std::size_t step) {
                    const auto h = relu(xtape::matmul(x, w[0]) + w[1]);
                    return cross_entropy(xtape::matmul(h, w[2]) + w[3], label[step % 2]);
                  });
}

Running convnet(const Convnet& p, Pass pass) {
  using C = Convnet;
  const Tensor<float> x(Shape{p.batch, 1, C::side, C::side}, p.x);
  const std::array label{xtape::Labels(p.label[0]), xtape::Labels(p.label[1])};
  return training({weight("K1", {C::c1, 1, C::kernel, C::kernel}, p.k1), weight("d1", {C::c1}, p.d1),
                   weight("K2", {C::c2, C::c1, C::kernel, C::kernel}, p.k2), weight("d2", {C::c2}, p.d2),
                   weight("W1", {C::features, C::hidden}, p.w1), weight("b1", {C::hidden}, p.b1),
                   weight("W2", {C::hidden, C::classes}, p.w2), weight("b2", {C::classes}, p.b2)},
                  C::learning_rate, C::momentum, pass, [x, label](const auto& w, std::size_t step) {
                    const auto p1 = max_pool2d(relu(conv2d(x, w[0], w[1])));
                    const auto p2 = max_pool2d(relu(conv2d(p1, w[2], w[3])));
                    const auto h = relu(xtape::matmul(flatten(p2), w[4]) + w[5]);
                    return cross_entropy(xtape::matmul(h, w[6]) + w[7], label[step % 2]);
                  });
}

Running autoencoder(const Autoencoder& p, Pass pass) {
  using A = Autoencoder;
  const Tensor<float> x(Shape{p.batch, A::inputs}, p.x);
  return training({weight("W1", {A::inputs, A::hidden}, p.w1), weight("b1", {A::hidden}, p.b1),
                   weight("W2", {A::hidden, A::inputs}, p.w2), weight("b2", {A::inputs}, p.b2)},
                  A::learning_rate, A::momentum, pass, [x](const auto& w, std::size_t) {
                    const auto h = sigmoid(xtape::matmul(x, w[0]) + w[1]);
                    return binary_cross_entropy_with_logits(xtape::matmul(h, w[2]) + w[3], x);
                  });
}

Running contrastive_divergence(const Machine& problem) {
  if (problem.products_only) return {};
  struct State {
    Machine problem;
    Tensor<float> v;
    Rbm<float> rbm;
    optim::Sgd<float> sgd;
    Rng rng{1};
  };
  const Rbm<float> rbm(Tensor<float>(Shape{Machine::visible, problem.hidden}, problem.w),
                       zeros<float>({Machine::visible}), zeros<float>({problem.hidden}));
  return running(
      State{problem,
            Tensor<float>(Shape{problem.rows, Machine::visible}, problem.v),
            rbm,
            {rbm.parameters(), {.learning_rate = problem.learning_rate, .momentum = problem.momentum}}},
      [](State& s) {
        const auto [rows, batch] = std::pair(s.problem.rows, s.problem.batch);
        for (std::size_t i = 0; i < rows; i += batch) {
          const auto v = slice(s.v, {range(i, std::min(i + batch, rows))});
          xtape::contrastive_divergence(s.rbm, v, {.k = s.problem.k, .reconstruction_error = false}, s.rng);
          s.sgd.step();
        }
      },
      [](const State& s) { return machine_numbers(s.problem, s.rbm.W.span(), s.rbm.b.span(), s.rbm.a.span()); });
}

}  // namespace bench
