// The cases in xtape: single ops and chains of them.

#include <xtape/map.hpp>
#include <xtape/memory.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>
#include <xtape/tape.hpp>
#include <xtape/threads.hpp>

#include "cases.hpp"

namespace bench {

using namespace xtape;

void set_threads(int threads) { set_num_threads(static_cast<std::size_t>(threads)); }

std::size_t peak_bytes(const std::function<void()>& step) {
  reset_peak_memory();
  step();
  return static_cast<std::size_t>(memory_use().peak_bytes);
}

Running chain(const Chain& problem, Pass pass) {
  struct State {
    Tensor<float> x, w, b, loss;
  };
  const Shape shape{Chain::size};
  State state{
      parameter(Tensor<float>(shape, problem.x)), Tensor<float>(shape, problem.w), Tensor<float>(shape, problem.b), {}};
  const auto loss = [](const State& s) {
    auto y = s.x;
    for (std::size_t i = 0; i < Chain::repeats; ++i) y = relu(y * s.w + s.b);
    return sum(y);
  };
  if (pass == Pass::forward)
    return running(
        state, [loss](State& s) { s.loss = loss(s); },
        [](const State& s) { return Numbers{digest("loss", s.loss.span())}; });
  return running(
      state,
      [loss](State& s) {
        s.x.zero_grad();
        Tape tape;
        s.loss = loss(s);
        tape.backward(s.loss);
      },
      [](const State& s) {
        return Numbers{digest("loss", s.loss.span()), digest("dx", s.x.grad().span())};
      });
}

namespace {

// sum(f(x, w, b)), and the gradients.
template <class F> Running elementwise(const Elementwise& problem, Pass pass, F f) {
  struct State {
    Tensor<float> x, w, b, loss;
  };
  const Shape shape{problem.x.size()};
  State state{parameter(Tensor<float>(shape, problem.x)),
              parameter(Tensor<float>(shape, problem.w)),
              parameter(Tensor<float>(shape, problem.b)),
              {}};
  if (pass == Pass::forward)
    return running(
        state, [f](State& s) { s.loss = sum(f(s.x, s.w, s.b)); },
        [](const State& s) { return Numbers{digest("loss", s.loss.span())}; });
  return running(
      state,
      [f](State& s) {
        for (auto* p : {&s.x, &s.w, &s.b}) p->zero_grad();
        Tape tape;
        s.loss = sum(f(s.x, s.w, s.b));
        tape.backward(s.loss);
      },
      [](const State& s) {
        return Numbers{digest("loss", s.loss.span()), digest("dx", s.x.grad().span()), digest("dw", s.w.grad().span()),
                       digest("db", s.b.grad().span())};
      });
}

// f(inputs), and the gradients of those of them that are parameters from a given dy.
template <class F>
Running one_op(std::vector<std::pair<std::string, Tensor<float>>> inputs, Tensor<float> dy, Pass pass, F f) {
  struct State {
    std::vector<std::pair<std::string, Tensor<float>>> inputs;
    Tensor<float> dy, y;
  };
  State state{std::move(inputs), std::move(dy), {}};
  if (pass == Pass::forward)
    return running(
        state,
        [f](State& s) {
          s.y = {};
          s.y = f(s.inputs);
        },
        [](const State& s) { return Numbers{digest("y", s.y.span())}; });
  return running(
      state,
      [f](State& s) {
        for (auto& [name, x] : s.inputs) x.zero_grad();
        Tape tape;
        s.y = {};
        s.y = f(s.inputs);
        tape.backward(s.y, s.dy);
      },
      [](const State& s) {
        Numbers numbers{digest("y", s.y.span())};
        for (const auto& [name, x] : s.inputs)
          if (x.requires_grad()) numbers.push_back(digest("d" + name, x.grad().span()));
        return numbers;
      });
}

Tensor<float> rows_of(const Floats& values) { return Tensor<float>(Shape{Rows::rows, Rows::columns}, values); }

}  // namespace

Running fused(const Elementwise& problem, Pass pass) {
  return elementwise(problem, pass, [](const auto& x, const auto& w, const auto& b) {
    return map([](auto p, auto q, auto r) { return sigmoid(p * q + r) * tanh(p); }, x, w, b);
  });
}

Running unfused(const Elementwise& problem, Pass pass) {
  return elementwise(problem, pass,
                     [](const auto& x, const auto& w, const auto& b) { return sigmoid(x * w + b) * tanh(x); });
}

Running problem1(const Problem1& problem, Pass pass) {
  using P = Problem1;
  struct State {
    Tensor<float> x, w, g, loss;
  };
  State state{Tensor<float>(Shape{problem.batch, 1, P::side, P::side}, problem.x),
              parameter(Tensor<float>(Shape{P::filters, 1, P::kernel, P::kernel}, problem.w)),
              Tensor<float>(Shape{problem.batch, P::features}, problem.g),
              {}};
  const auto loss = [](const State& s) {
    return sum(softmax(flatten(max_pool2d(conv2d(s.x, s.w), {.window = 2, .stride = 1}))) * s.g);
  };
  if (pass == Pass::forward)
    return running(
        state, [loss](State& s) { s.loss = loss(s); },
        [](const State& s) { return Numbers{digest("loss", s.loss.span())}; });
  return running(
      state,
      [loss](State& s) {
        s.w.zero_grad();
        Tape tape;
        s.loss = loss(s);
        tape.backward(s.loss);
      },
      [](const State& s) {
        return Numbers{digest("loss", s.loss.span()), digest("dw", s.w.grad().span())};
      });
}

Running softmax(const Rows& problem, Pass pass) {
  return one_op({{"x", parameter(rows_of(problem.x))}}, rows_of(problem.dy), pass,
                [](const auto& in) { return xtape::softmax(in[0].second); });
}

Running log_softmax(const Rows& problem, Pass pass) {
  return one_op({{"x", parameter(rows_of(problem.x))}}, rows_of(problem.dy), pass,
                [](const auto& in) { return xtape::log_softmax(in[0].second); });
}

Running max_pool(const Pool& problem) {
  return one_op({{"x", Tensor<float>(Shape{Pool::n, Pool::c, Pool::side, Pool::side}, problem.x)}}, {}, Pass::forward,
                [](const auto& in) { return max_pool2d(in[0].second); });
}

Running matmul(const Matmul& problem, Pass pass) {
  const Shape shape{problem.n, problem.n};
  return one_op({{"a", parameter(Tensor<float>(shape, problem.a))}, {"b", parameter(Tensor<float>(shape, problem.b))}},
                Tensor<float>(shape, problem.dy), pass,
                [](const auto& in) { return xtape::matmul(in[0].second, in[1].second); });
}

Running conv(const Conv& problem, Pass pass) {
  const auto [n, c, side, o, kernel, padding] =
      std::array{problem.n, problem.c, problem.side, problem.o, problem.kernel, problem.padding};
  Tensor<float> x(Shape{n, c, side, side}, problem.x);
  if (problem.input_gradient) x = parameter(x);
  return one_op({{"x", x}, {"w", parameter(Tensor<float>(Shape{o, c, kernel, kernel}, problem.w))}},
                Tensor<float>(Shape{n, o, problem.out_side, problem.out_side}, problem.dy), pass,
                [options = Conv2dOptions{.padding = padding}](const auto& in) {
                  return conv2d(in[0].second, in[1].second, options);
                });
}

}  // namespace bench
