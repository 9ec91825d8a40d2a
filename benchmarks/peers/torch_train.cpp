// The cases in libtorch: training steps.

#include <torch/optim/sgd.h>

#include "torch_common.hpp"

namespace bench {
namespace {

using torch::Tensor;

struct Weight {
  std::string name;
  Tensor value;
  Floats start;
};

Weight weight(std::string name, at::IntArrayRef shape, const Floats& values) {
  return {std::move(name), parameter(values, shape), values};
}

// Trains weights by gradient descent with momentum on loss(weights, number of the step).
template <class Loss>
Running training(std::vector<Weight> weights, double learning_rate, double momentum, Pass pass, Loss loss) {
  struct State {
    std::vector<Weight> weights;
    std::vector<Tensor> parameters;
    torch::optim::SGD sgd;
    std::size_t steps = 0;
    float loss = 0.F;
  };
  std::vector<Tensor> parameters;
  for (const auto& w : weights) parameters.push_back(w.value);
  State state{std::move(weights), parameters,
              torch::optim::SGD(parameters, torch::optim::SGDOptions(learning_rate).momentum(momentum))};
  if (pass == Pass::forward)
    return running(
        std::move(state),
        [loss](State& s) {
          const torch::NoGradGuard pause;
          s.loss = loss(s.parameters, 0).template item<float>();
        },
        [](const State& s) {
          return Numbers{digest("loss", {&s.loss, 1})};
        });
  return running(
      std::move(state),
      [loss](State& s) {
        s.sgd.zero_grad();
        const Tensor value = loss(s.parameters, s.steps++);
        value.backward();
        s.sgd.step();
        s.loss = value.template item<float>();
      },
      [](const State& s) {
        Numbers numbers{digest("loss", {&s.loss, 1})};
        for (const auto& w : s.weights) numbers.push_back(digest_change(w.name, span(w.value.detach()), w.start));
        return numbers;
      });
}

}  // namespace

Running mlp(const Mlp& p, Pass pass) {
  const std::int64_t in = Mlp::inputs, hidden = Mlp::hidden, classes = Mlp::classes;
  const Tensor x = tensor(p.x, {extent(p.batch), in});
  const std::array label{tensor(p.label[0]), tensor(p.label[1])};
  return training({weight("W1", {in, hidden}, p.w1), weight("b1", {hidden}, p.b1),
                   weight("W2", {hidden, classes}, p.w2), weight("b2", {classes}, p.b2)},
                  Mlp::learning_rate, Mlp::momentum, pass, [x, label](const auto& w, std::size_t step) {
                    const auto h = torch::relu(torch::addmm(w[1], x, w[0]));
                    return torch::cross_entropy_loss(torch::addmm(w[3], h, w[2]), label[step % 2]);
                  });
}

Running convnet(const Convnet& p, Pass pass) {
  using C = Convnet;
  const std::int64_t n = extent(p.batch), side = C::side, kernel = C::kernel, c1 = C::c1, c2 = C::c2,
                     features = C::features, hidden = C::hidden, classes = C::classes;
  const Tensor x = tensor(p.x, {n, 1, side, side});
  const std::array label{tensor(p.label[0]), tensor(p.label[1])};
  return training(
      {weight("K1", {c1, 1, kernel, kernel}, p.k1), weight("d1", {c1}, p.d1),
       weight("K2", {c2, c1, kernel, kernel}, p.k2), weight("d2", {c2}, p.d2), weight("W1", {features, hidden}, p.w1),
       weight("b1", {hidden}, p.b1), weight("W2", {hidden, classes}, p.w2), weight("b2", {classes}, p.b2)},
      C::learning_rate, C::momentum, pass, [x, label](const auto& w, std::size_t step) {
        const auto p1 = torch::max_pool2d(torch::relu(torch::conv2d(x, w[0], w[1])), {2, 2});
        const auto p2 = torch::max_pool2d(torch::relu(torch::conv2d(p1, w[2], w[3])), {2, 2});
        const auto h = torch::relu(torch::addmm(w[5], p2.flatten(1), w[4]));
        return torch::cross_entropy_loss(torch::addmm(w[7], h, w[6]), label[step % 2]);
      });
}

Running autoencoder(const Autoencoder& p, Pass pass) {
  using A = Autoencoder;
  const std::int64_t in = A::inputs, hidden = A::hidden;
  const Tensor x = tensor(p.x, {extent(p.batch), in});
  return training({weight("W1", {in, hidden}, p.w1), weight("b1", {hidden}, p.b1), weight("W2", {hidden, in}, p.w2),
                   weight("b2", {in}, p.b2)},
                  A::learning_rate, A::momentum, pass, [x](const auto& w, std::size_t) {
                    const auto h = torch::sigmoid(torch::addmm(w[1], x, w[0]));
                    return torch::binary_cross_entropy_with_logits(torch::addmm(w[3], h, w[2]), x);
                  });
}

// Without autograd, which has nothing to offer here: gradients are written down, in place where that saves memory.
Running contrastive_divergence(const Machine& problem) {
  if (problem.products_only) return {};
  struct State {
    Machine problem;
    Tensor v, w, b, a, dw, db, da;  // the last three: velocities
  };
  const std::int64_t visible = Machine::visible, hidden = extent(problem.hidden);
  State state{problem,
              tensor(problem.v, {extent(problem.rows), visible}),
              tensor(problem.w, {visible, hidden}),
              torch::zeros({visible}),
              torch::zeros({hidden}),
              torch::zeros({visible, hidden}),
              torch::zeros({visible}),
              torch::zeros({hidden})};
  torch::manual_seed(1);
  return running(
      std::move(state),
      [](State& s) {
        const torch::NoGradGuard pause;
        const auto rows = extent(s.problem.rows), batch = extent(s.problem.batch);
        const double rate = s.problem.learning_rate, momentum = s.problem.momentum;
        for (std::int64_t i = 0; i < rows; i += batch) {
          const Tensor v0 = s.v.narrow(0, i, std::min(batch, rows - i));
          const Tensor h0 = torch::addmm(s.a, v0, s.w).sigmoid_();
          Tensor h = torch::bernoulli(h0), v;
          for (std::size_t k = 1;; ++k) {
            v = torch::bernoulli(torch::addmm(s.b, h, s.w.t()).sigmoid_());
            h = torch::addmm(s.a, v, s.w).sigmoid_();
            if (k == s.problem.k) break;
            h = torch::bernoulli(h);
          }
          const double scale = 1.0 / static_cast<double>(v0.size(0));
          s.dw.addmm_(v0.t(), h0, momentum, scale).addmm_(v.t(), h, 1, -scale);
          s.db.mul_(momentum).add_(v0.sum(0) - v.sum(0), scale);
          s.da.mul_(momentum).add_(h0.sum(0) - h.sum(0), scale);
          s.w.add_(s.dw, rate);
          s.b.add_(s.db, rate);
          s.a.add_(s.da, rate);
        }
      },
      [](const State& s) { return machine_numbers(s.problem, span(s.w), span(s.b), span(s.a)); });
}

}  // namespace bench
