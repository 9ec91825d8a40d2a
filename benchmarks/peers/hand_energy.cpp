// Contrastive divergence by hand.

#include <cmath>

#include "hand_kernels.hpp"

namespace bench {

using namespace hand;

namespace {

struct MachineState {
  Machine problem;
  Weight w, b, a;
  // Below one another: data and fantasies; hidden probabilities and, negated, those of the fantasies. One product of
  // both gives the gradient of W.
  Buffer v, h;
  Buffer sample, uniform;
  Random random{1};

  explicit MachineState(const Machine& p)
      : problem(p),
        w(p.w),
        b(Floats(Machine::visible)),
        a(Floats(p.hidden)),
        v(2 * p.batch * Machine::visible),
        h(2 * p.batch * p.hidden),
        sample(p.batch * p.hidden),
        uniform(Machine::visible) {}
};

// Inputs x become probabilities sigmoid(x + bias), and `state`, unless null, draws from them; it may be x itself.
void half_step(std::size_t rows, std::size_t columns, float* x, const float* __restrict bias, float* state,
               float* __restrict uniform, Random& random) {
  for (std::size_t i = 0; i < rows; ++i, x += columns) {
    for (std::size_t j = 0; j < columns; ++j) x[j] = 1.F / (1.F + std::exp(-(x[j] + bias[j])));
    if (!state) continue;
    random.fill(uniform, columns);
    float* __restrict to = state + i * columns;
    if (to == x)
      for (std::size_t j = 0; j < columns; ++j) to[j] = uniform[j] < to[j] ? 1.F : 0.F;
    else
      for (std::size_t j = 0; j < columns; ++j) to[j] = uniform[j] < x[j] ? 1.F : 0.F;
  }
}

// sum over the first rows - sum over the others, over the number of rows, negated: a bias's gradient
void bias_gradient(std::size_t rows, std::size_t columns, const float* x, float sign, float* g) {
  std::fill_n(g, columns, 0.F);
  const float scale = 1.F / static_cast<float>(rows);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) g[j] -= (x[i * columns + j] + sign * x[(rows + i) * columns + j]) * scale;
}

void step(MachineState& s, const float* data, std::size_t n) {
  constexpr std::size_t visible = Machine::visible;
  const std::size_t hidden = s.problem.hidden;
  float *v0 = s.v, *vk = s.v + n * visible, *h0 = s.h, *hk = s.h + n * hidden;
  std::copy_n(data, n * visible, v0);
  gemm(false, false, n, hidden, visible, v0, s.w.w, h0);
  half_step(n, hidden, h0, s.a.w, s.sample, s.uniform, s.random);
  for (std::size_t k = 1;; ++k) {
    gemm(false, true, n, visible, hidden, s.sample, s.w.w, vk);
    half_step(n, visible, vk, s.b.w, vk, s.uniform, s.random);
    const bool last = k == s.problem.k;
    float* h = last ? hk : s.sample.data();
    gemm(false, false, n, hidden, visible, vk, s.w.w, h);
    half_step(n, hidden, h, s.a.w, last ? nullptr : h, s.uniform, s.random);
    if (last) break;
  }
  for (std::size_t i = 0; i < n * hidden; ++i) hk[i] = -hk[i];

  const float scale = 1.F / static_cast<float>(n), rate = s.problem.learning_rate, momentum = s.problem.momentum;
  bias_gradient(n, visible, s.v, -1.F, s.b.g);
  bias_gradient(n, hidden, s.h, 1.F, s.a.g);
  if (momentum == 0.F) {
    gemm(true, false, visible, hidden, 2 * n, s.v, s.h, s.w.w, 1.F, rate * scale);
  } else {
    gemm(true, false, visible, hidden, 2 * n, s.v, s.h, s.w.g, 0.F, -scale);
    s.w.update(rate, momentum);
  }
  s.b.update(rate, momentum);
  s.a.update(rate, momentum);
}

// Its products of matrices alone, of whatever the buffers hold.
void products(const MachineState& s, std::size_t n) {
  constexpr std::size_t visible = Machine::visible;
  const std::size_t hidden = s.problem.hidden;
  float *vk = s.v + n * visible, *hk = s.h + n * hidden;
  gemm(false, false, n, hidden, visible, s.v, s.w.w, s.h);
  for (std::size_t k = 0; k < s.problem.k; ++k) {
    gemm(false, true, n, visible, hidden, s.sample, s.w.w, vk);
    gemm(false, false, n, hidden, visible, vk, s.w.w, hk);
  }
  gemm(true, false, visible, hidden, 2 * n, s.v, s.h, s.w.g);
}

}  // namespace

Running contrastive_divergence(const Machine& problem) {
  return running(
      MachineState(problem),
      [](MachineState& s) {
        const auto [rows, batch] = std::pair(s.problem.rows, s.problem.batch);
        for (std::size_t i = 0; i < rows; i += batch) {
          const std::size_t n = std::min(batch, rows - i);
          if (s.problem.products_only)
            products(s, n);
          else
            step(s, &s.problem.v[i * Machine::visible], n);
        }
      },
      [](const MachineState& s) { return machine_numbers(s.problem, s.w.w.span(), s.b.w.span(), s.a.w.span()); });
}

}  // namespace bench
