// The cases by hand: elementwise, matrices, dense layers.

#include <cmath>

#include "hand_kernels.hpp"

namespace bench {

using namespace hand;

void set_threads(int threads) { openblas_set_num_threads(threads); }

// Its memory is not counted, and how its time grows is not measured.
std::size_t peak_bytes(const std::function<void()>&) { return 0; }
Running net(const Net&) { return {}; }
Running picture_net(const PictureNet&) { return {}; }

namespace {

// out_i = f(in_i, ...): one op, one pass.
template <class F, class... In> void each(std::size_t n, float* __restrict out, F f, const In*... in) {
  for (std::size_t i = 0; i < n; ++i) out[i] = f(in[i]...);
}

}  // namespace

Running chain(const Chain& problem, Pass pass) {
  constexpr std::size_t n = Chain::size;
  struct State {
    Buffer x, w, b, values, dx;  // values: after each of the 999 ops
    float loss = 0.F;
  };
  State state{problem.x, problem.w, problem.b, Buffer(3 * Chain::repeats * n), Buffer(n)};
  const auto forward = [](State& s) {
    const float *y = s.x, *w = s.w, *b = s.b;
    float* next = s.values;
    for (std::size_t i = 0; i < Chain::repeats; ++i) {
      each(
          n, next, [](float p, float q) { return p * q; }, y, w);
      each(
          n, next + n, [](float p, float q) { return p + q; }, next, b);
      each(
          n, next + 2 * n, [](float p) { return larger(p, 0.F); }, next + n);
      y = next + 2 * n;
      next += 3 * n;
    }
    s.loss = 0.F;
    for (std::size_t j = 0; j < n; ++j) s.loss += y[j];
  };
  if (pass == Pass::forward)
    return running(std::move(state), forward, [](const State& s) { return Numbers{digest("loss", {&s.loss, 1})}; });
  return running(
      std::move(state),
      [forward](State& s) {
        forward(s);
        std::fill_n(s.dx.data(), n, 1.F);
        float* __restrict d = s.dx;
        for (std::size_t i = Chain::repeats; i-- > 0;) {
          const float *y = s.values + (3 * i + 2) * n, *w = s.w;
          for (std::size_t j = 0; j < n; ++j) d[j] = y[j] > 0.F ? d[j] : 0.F;
          for (std::size_t j = 0; j < n; ++j) d[j] *= w[j];
        }
      },
      [](const State& s) {
        return Numbers{digest("loss", {&s.loss, 1}), digest("dx", s.dx.span())};
      });
}

namespace {

struct ElementwiseState {
  Buffer x, w, b, dx, dw, db;
  Buffer product, sum, gate, tanh, y, d;  // unfused only
  float loss = 0.F;
};

Numbers elementwise_loss(const ElementwiseState& s) { return {digest("loss", {&s.loss, 1})}; }
Numbers elementwise_numbers(const ElementwiseState& s) {
  return {digest("loss", {&s.loss, 1}), digest("dx", s.dx.span()), digest("dw", s.dw.span()),
          digest("db", s.db.span())};
}

// The loss and its gradients in one pass. A function: only of parameters does GCC believe __restrict.
float value_and_gradients(std::size_t n, const float* __restrict x, const float* __restrict w,
                          const float* __restrict b, float* __restrict dx, float* __restrict dw, float* __restrict db) {
  float loss = 0.F;
  for (std::size_t i = 0; i < n; ++i) {
    const float gate = 1.F / (1.F + std::exp(-(x[i] * w[i] + b[i]))), t = std::tanh(x[i]);
    const float d = gate * (1.F - gate) * t;
    loss += gate * t;
    dx[i] = d * w[i] + gate * (1.F - t * t);
    dw[i] = d * x[i];
    db[i] = d;
  }
  return loss;
}

}  // namespace

Running fused(const Elementwise& problem, Pass pass) {
  const std::size_t n = problem.x.size();
  ElementwiseState state{problem.x, problem.w, problem.b, Buffer(n), Buffer(n), Buffer(n), {}, {}, {}, {}, {}, {}};
  if (pass == Pass::forward)
    return running(
        std::move(state),
        [n](ElementwiseState& s) {
          const float *x = s.x, *w = s.w, *b = s.b;
          float loss = 0.F;
          for (std::size_t i = 0; i < n; ++i) loss += std::tanh(x[i]) / (1.F + std::exp(-(x[i] * w[i] + b[i])));
          s.loss = loss;
        },
        elementwise_loss);
  return running(
      std::move(state),
      [](ElementwiseState& s) { s.loss = value_and_gradients(s.x.size(), s.x, s.w, s.b, s.dx, s.dw, s.db); },
      elementwise_numbers);
}

Running unfused(const Elementwise& problem, Pass pass) {
  const std::size_t n = problem.x.size();
  ElementwiseState state{problem.x, problem.w, problem.b, Buffer(n), Buffer(n), Buffer(n),
                         Buffer(n), Buffer(n), Buffer(n), Buffer(n), Buffer(n), Buffer(n)};
  const auto forward = [n](ElementwiseState& s) {
    const auto multiply = [](float p, float q) { return p * q; };
    each(n, s.product, multiply, s.x.data(), s.w.data());
    each(
        n, s.sum, [](float p, float q) { return p + q; }, s.product.data(), s.b.data());
    each(
        n, s.gate, [](float p) { return 1.F / (1.F + std::exp(-p)); }, s.sum.data());
    each(
        n, s.tanh, [](float p) { return std::tanh(p); }, s.x.data());
    each(n, s.y, multiply, s.gate.data(), s.tanh.data());
    float loss = 0.F;
    for (std::size_t i = 0; i < n; ++i) loss += s.y[i];
    s.loss = loss;
  };
  if (pass == Pass::forward) return running(std::move(state), forward, elementwise_loss);
  return running(
      std::move(state),
      [n, forward](ElementwiseState& s) {
        forward(s);
        const auto multiply = [](float p, float q) { return p * q; };
        // dy = 1: the product's gradients are its factors themselves.
        each(
            n, s.db, [](float t, float g) { return t * g * (1.F - g); }, s.tanh.data(), s.gate.data());
        each(n, s.dw, multiply, s.db.data(), s.x.data());
        each(
            n, s.d, [](float g, float t) { return g * (1.F - t * t); }, s.gate.data(), s.tanh.data());
        each(
            n, s.dx, [](float d, float w, float e) { return d * w + e; }, s.db.data(), s.w.data(), s.d.data());
      },
      elementwise_numbers);
}

namespace {

struct RowsState {
  Buffer x, dy, y, dx;
};

Running rows_case(const Rows& problem, Pass pass, bool logarithm) {
  constexpr std::size_t n = Rows::columns, count = Rows::rows * n;
  RowsState state{problem.x, problem.dy, Buffer(count), Buffer(count)};
  const auto forward = [logarithm](RowsState& s) {
    for (std::size_t i = 0; i < Rows::rows; ++i) {
      const float* x = s.x + i * n;
      float* __restrict y = s.y + i * n, largest = x[0], total = 0.F;
      for (std::size_t j = 0; j < n; ++j) largest = larger(largest, x[j]);
      if (logarithm) {
        for (std::size_t j = 0; j < n; ++j) total += std::exp(x[j] - largest);
        const float shift = largest + std::log(total);
        for (std::size_t j = 0; j < n; ++j) y[j] = x[j] - shift;
      } else {
        for (std::size_t j = 0; j < n; ++j) total += y[j] = std::exp(x[j] - largest);
        for (std::size_t j = 0; j < n; ++j) y[j] *= 1.F / total;
      }
    }
  };
  if (pass == Pass::forward)
    return running(std::move(state), forward, [](const RowsState& s) { return Numbers{digest("y", s.y.span())}; });
  return running(
      std::move(state),
      [forward, logarithm](RowsState& s) {
        forward(s);
        for (std::size_t i = 0; i < Rows::rows; ++i) {
          const float *y = s.y + i * n, *dy = s.dy + i * n;
          float* __restrict dx = s.dx + i * n, total = 0.F;
          if (logarithm) {
            for (std::size_t j = 0; j < n; ++j) total += dy[j];
            for (std::size_t j = 0; j < n; ++j) dx[j] = dy[j] - std::exp(y[j]) * total;
          } else {
            for (std::size_t j = 0; j < n; ++j) total += dy[j] * y[j];
            for (std::size_t j = 0; j < n; ++j) dx[j] = y[j] * (dy[j] - total);
          }
        }
      },
      [](const RowsState& s) {
        return Numbers{digest("y", s.y.span()), digest("dx", s.dx.span())};
      });
}

}  // namespace

Running softmax(const Rows& problem, Pass pass) { return rows_case(problem, pass, false); }
Running log_softmax(const Rows& problem, Pass pass) { return rows_case(problem, pass, true); }

Running matmul(const Matmul& problem, Pass pass) {
  struct State {
    std::size_t n;
    Buffer a, b, dy, y, da, db;
  };
  const std::size_t n = problem.n;
  State state{n, problem.a, problem.b, problem.dy, Buffer(n * n), Buffer(n * n), Buffer(n * n)};
  const auto forward = [](State& s) { gemm(false, false, s.n, s.n, s.n, s.a, s.b, s.y); };
  if (pass == Pass::forward)
    return running(std::move(state), forward, [](const State& s) { return Numbers{digest("y", s.y.span())}; });
  return running(
      std::move(state),
      [forward](State& s) {
        forward(s);
        gemm(false, true, s.n, s.n, s.n, s.dy, s.b, s.da);
        gemm(true, false, s.n, s.n, s.n, s.a, s.dy, s.db);
      },
      [](const State& s) {
        return Numbers{digest("y", s.y.span()), digest("da", s.da.span()), digest("db", s.db.span())};
      });
}

Running mlp(const Mlp& problem, Pass pass) {
  using M = Mlp;
  struct State {
    Mlp problem;
    Buffer x, h, dh, logits;
    Weight w1, b1, w2, b2;
    std::size_t steps = 0;
    float loss = 0.F;
  };
  const std::size_t n = problem.batch;
  State state{problem,
              problem.x,
              Buffer(n * M::hidden),
              Buffer(n * M::hidden),
              Buffer(n * M::classes),
              problem.w1,
              problem.b1,
              problem.w2,
              problem.b2};
  const auto logits = [n](State& s) {
    dense(n, M::inputs, M::hidden, s.x, s.w1.w, s.h);
    bias_relu(n, M::hidden, s.h, s.b1.w);
    dense(n, M::hidden, M::classes, s.h, s.w2.w, s.logits);
  };
  if (pass == Pass::forward)
    return running(
        std::move(state),
        [n, logits](State& s) {
          logits(s);
          s.loss = cross_entropy_value(n, M::classes, s.logits, s.b2.w, s.problem.label[0].data());
        },
        [](const State& s) {
          return Numbers{digest("loss", {&s.loss, 1})};
        });
  return running(
      std::move(state),
      [n, logits](State& s) {
        logits(s);
        s.loss = cross_entropy(n, M::classes, s.logits, s.b2.w, s.problem.label[s.steps++ % 2].data());
        column_sums(n, M::classes, s.logits, s.b2.g);
        dense_weight_gradient(n, M::hidden, M::classes, s.h, s.logits, s.w2.g);
        dense_input_gradient(n, M::hidden, M::classes, s.logits, s.w2.w, s.dh);
        relu_gradient(n * M::hidden, s.h, s.dh);
        column_sums(n, M::hidden, s.dh, s.b1.g);
        dense_weight_gradient(n, M::inputs, M::hidden, s.x, s.dh, s.w1.g);
        for (const auto* w : {&s.w1, &s.b1, &s.w2, &s.b2}) w->update(M::learning_rate, M::momentum);
      },
      [](const State& s) {
        return Numbers{digest("loss", {&s.loss, 1}), digest_change("W1", s.w1.w.span(), s.problem.w1),
                       digest_change("b1", s.b1.w.span(), s.problem.b1),
                       digest_change("W2", s.w2.w.span(), s.problem.w2),
                       digest_change("b2", s.b2.w.span(), s.problem.b2)};
      });
}

Running autoencoder(const Autoencoder& problem, Pass pass) {
  using A = Autoencoder;
  struct State {
    Autoencoder problem;
    Buffer x, h, dh, logits;
    Weight w1, b1, w2, b2;
    float loss = 0.F;
  };
  const std::size_t n = problem.batch;
  State state{problem,
              problem.x,
              Buffer(n * A::hidden),
              Buffer(n * A::hidden),
              Buffer(n * A::inputs),
              problem.w1,
              problem.b1,
              problem.w2,
              problem.b2};
  // The loss; the logits become its gradient, if wanted.
  const auto forward = [n](State& s, bool gradient) {
    dense(n, A::inputs, A::hidden, s.x, s.w1.w, s.h);
    for (std::size_t i = 0; i < n; ++i) {
      float* h = s.h + i * A::hidden;
      for (std::size_t j = 0; j < A::hidden; ++j) h[j] = 1.F / (1.F + std::exp(-(h[j] + s.b1.w[j])));
    }
    dense(n, A::hidden, A::inputs, s.h, s.w2.w, s.logits);
    float loss = 0.F;
    const float scale = 1.F / static_cast<float>(n * A::inputs);
    for (std::size_t i = 0; i < n; ++i) {
      float* __restrict y = s.logits + i * A::inputs;
      const float *x = s.x + i * A::inputs, *b = s.b2.w;
      for (std::size_t j = 0; j < A::inputs; ++j) {
        const float z = y[j] + b[j], e = std::exp(-std::abs(z));
        loss += larger(z, 0.F) + std::log(1.F + e) - x[j] * z;
        if (gradient) y[j] = ((z > 0.F ? 1.F : e) / (1.F + e) - x[j]) * scale;
      }
    }
    s.loss = loss * scale;
  };
  if (pass == Pass::forward)
    return running(
        std::move(state), [forward](State& s) { forward(s, false); },
        [](const State& s) {
          return Numbers{digest("loss", {&s.loss, 1})};
        });
  return running(
      std::move(state),
      [n, forward](State& s) {
        forward(s, true);
        column_sums(n, A::inputs, s.logits, s.b2.g);
        dense_weight_gradient(n, A::hidden, A::inputs, s.h, s.logits, s.w2.g);
        dense_input_gradient(n, A::hidden, A::inputs, s.logits, s.w2.w, s.dh);
        for (std::size_t i = 0; i < n * A::hidden; ++i) s.dh[i] *= s.h[i] * (1.F - s.h[i]);
        column_sums(n, A::hidden, s.dh, s.b1.g);
        dense_weight_gradient(n, A::inputs, A::hidden, s.x, s.dh, s.w1.g);
        for (const auto* w : {&s.w1, &s.b1, &s.w2, &s.b2}) w->update(A::learning_rate, A::momentum);
      },
      [](const State& s) {
        return Numbers{digest("loss", {&s.loss, 1}), digest_change("W1", s.w1.w.span(), s.problem.w1),
                       digest_change("b1", s.b1.w.span(), s.problem.b1),
                       digest_change("W2", s.w2.w.span(), s.problem.w2),
                       digest_change("b2", s.b2.w.span(), s.problem.b2)};
      });
}

}  // namespace bench
