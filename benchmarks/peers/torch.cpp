// The cases in libtorch: single ops and chains of them.

#include <ATen/Parallel.h>

#include "torch_common.hpp"

namespace bench {

void set_threads(int threads) {
  at::set_num_threads(threads);
  at::set_num_interop_threads(1);
}

// Its memory is not counted, and how its time grows is not measured.
std::size_t peak_bytes(const std::function<void()>&) { return 0; }
Running net(const Net&) { return {}; }
Running picture_net(const PictureNet&) { return {}; }

namespace {

using torch::Tensor;

// loss(inputs), and the gradients of those of them that are parameters.
using Inputs = std::vector<std::pair<std::string, Tensor>>;

template <class Loss> Running scalar_case(Inputs inputs, Pass pass, Loss loss) {
  struct State {
    Inputs inputs;
    Tensor loss;
  };
  if (pass == Pass::forward)
    return running(
        State{std::move(inputs), {}},
        [loss](State& s) {
          const torch::NoGradGuard pause;
          s.loss = loss(s.inputs);
        },
        [](const State& s) { return Numbers{digest("loss", s.loss)}; });
  return running(
      State{std::move(inputs), {}},
      [loss](State& s) {
        for (auto& [name, x] : s.inputs) x.mutable_grad() = Tensor();
        s.loss = loss(s.inputs);
        s.loss.backward();
      },
      [](const State& s) {
        Numbers numbers{digest("loss", s.loss)};
        for (const auto& [name, x] : s.inputs)
          if (x.requires_grad()) numbers.push_back(digest("d" + name, x.grad()));
        return numbers;
      });
}

// f(inputs), and the gradients of those of them that are parameters from a given dy.
template <class F> Running one_op(Inputs inputs, Tensor dy, Pass pass, F f) {
  struct State {
    Inputs inputs;
    Tensor dy, y;
  };
  State state{std::move(inputs), std::move(dy), {}};
  if (pass == Pass::forward)
    return running(
        std::move(state),
        [f](State& s) {
          const torch::NoGradGuard pause;
          s.y = Tensor();
          s.y = f(s.inputs);
        },
        [](const State& s) { return Numbers{digest("y", s.y)}; });
  return running(
      std::move(state),
      [f](State& s) {
        for (auto& [name, x] : s.inputs) x.mutable_grad() = Tensor();
        s.y = Tensor();
        s.y = f(s.inputs);
        s.y.backward(s.dy);
      },
      [](const State& s) {
        Numbers numbers{digest("y", s.y)};
        for (const auto& [name, x] : s.inputs)
          if (x.requires_grad()) numbers.push_back(digest("d" + name, x.grad()));
        return numbers;
      });
}

}  // namespace

Running chain(const Chain& problem, Pass pass) {
  const std::int64_t n = Chain::size;
  return scalar_case({{"x", parameter(problem.x, {n})}, {"w", tensor(problem.w, {n})}, {"b", tensor(problem.b, {n})}},
                     pass, [](const Inputs& in) {
                       Tensor y = in[0].second;
                       for (std::size_t i = 0; i < Chain::repeats; ++i)
                         y = torch::relu(y * in[1].second + in[2].second);
                       return y.sum();
                     });
}

Running fused(const Elementwise& problem, Pass pass) { return unfused(problem, pass); }

Running unfused(const Elementwise& problem, Pass pass) {
  const std::int64_t n = extent(problem.x.size());
  return scalar_case(
      {{"x", parameter(problem.x, {n})}, {"w", parameter(problem.w, {n})}, {"b", parameter(problem.b, {n})}}, pass,
      [](const Inputs& in) {
        const auto &x = in[0].second, &w = in[1].second, &b = in[2].second;
        return (torch::sigmoid(x * w + b) * torch::tanh(x)).sum();
      });
}

Running problem1(const Problem1& problem, Pass pass) {
  using P = Problem1;
  const std::int64_t n = extent(problem.batch), side = P::side, kernel = P::kernel, filters = P::filters;
  return scalar_case({{"x", tensor(problem.x, {n, 1, side, side})},
                      {"w", parameter(problem.w, {filters, 1, kernel, kernel})},
                      {"g", tensor(problem.g, {n, extent(P::features)})}},
                     pass, [](const Inputs& in) {
                       const auto pooled = torch::max_pool2d(torch::conv2d(in[0].second, in[1].second), {2, 2}, {1, 1});
                       return (torch::softmax(pooled.flatten(1), 1) * in[2].second).sum();
                     });
}

Running softmax(const Rows& problem, Pass pass) {
  const std::array<std::int64_t, 2> shape{Rows::rows, Rows::columns};
  return one_op({{"x", parameter(problem.x, shape)}}, tensor(problem.dy, shape), pass,
                [](const Inputs& in) { return torch::softmax(in[0].second, 1); });
}

Running log_softmax(const Rows& problem, Pass pass) {
  const std::array<std::int64_t, 2> shape{Rows::rows, Rows::columns};
  return one_op({{"x", parameter(problem.x, shape)}}, tensor(problem.dy, shape), pass,
                [](const Inputs& in) { return torch::log_softmax(in[0].second, 1); });
}

Running max_pool(const Pool& problem) {
  const std::int64_t n = Pool::n, c = Pool::c, side = Pool::side;
  return one_op({{"x", tensor(problem.x, {n, c, side, side})}}, {}, Pass::forward, [](const Inputs& in) {
    return torch::max_pool2d(in[0].second, {2, 2});
  });
}

Running matmul(const Matmul& problem, Pass pass) {
  const std::int64_t n = extent(problem.n);
  return one_op({{"a", parameter(problem.a, {n, n})}, {"b", parameter(problem.b, {n, n})}}, tensor(problem.dy, {n, n}),
                pass, [](const Inputs& in) { return torch::matmul(in[0].second, in[1].second); });
}

Running conv(const Conv& problem, Pass pass) {
  const std::int64_t n = extent(problem.n), c = extent(problem.c), side = extent(problem.side), o = extent(problem.o),
                     kernel = extent(problem.kernel), out = extent(problem.out_side);
  return one_op({{"x", tensor(problem.x, {n, c, side, side}).requires_grad_(problem.input_gradient)},
                 {"w", parameter(problem.w, {o, c, kernel, kernel})}},
                tensor(problem.dy, {n, o, out, out}), pass, [padding = extent(problem.padding)](const Inputs& in) {
                  return torch::conv2d(in[0].second, in[1].second, {}, 1, padding);
                });
}

}  // namespace bench
