// The cases by hand: images.

#include <cmath>
#include <cstring>

#include "hand_kernels.hpp"

namespace bench {

using namespace hand;

namespace {

// Eight floats side by side.
using Vector = float __attribute__((vector_size(32)));
Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }

struct Problem1State {
  Problem1 problem;
  Buffer x, w, g, y, dy, features, dw;
  float loss = 0.F;
};

using P1 = Problem1;
constexpr std::size_t vectors = P1::conv_side / 8;  // in a row of the convolution's output
constexpr std::size_t map_size = P1::conv_side * P1::conv_side, pooled_size = P1::pool_side * P1::pool_side;

// Both filters over one image.
void convolve(const float* x, const float* w, float* y) {
  for (std::size_t i = 0; i < P1::conv_side; ++i) {
    Vector sum[P1::filters][vectors] = {};
    for (std::size_t p = 0; p < P1::kernel; ++p) {
      for (std::size_t q = 0; q < P1::kernel; ++q) {
        const float* from = x + (i + p) * P1::side + q;
        for (std::size_t f = 0; f < P1::filters; ++f)
          for (std::size_t j = 0; j < vectors; ++j)
            sum[f][j] += load(from + 8 * j) * w[(f * P1::kernel + p) * P1::kernel + q];
      }
    }
    for (std::size_t f = 0; f < P1::filters; ++f)
      for (std::size_t j = 0; j < vectors; ++j) store(y + f * map_size + i * P1::conv_side + 8 * j, sum[f][j]);
  }
}

// Adds the filters' gradients from one image.
void convolve_gradient(const float* x, const float* dy, float* dw) {
  for (std::size_t p = 0; p < P1::kernel; ++p) {
    Vector sum[P1::filters][P1::kernel] = {};
    for (std::size_t i = 0; i < P1::conv_side; ++i)
      for (std::size_t j = 0; j < P1::conv_side; j += 8)
        for (std::size_t f = 0; f < P1::filters; ++f)
          for (std::size_t q = 0; q < P1::kernel; ++q)
            sum[f][q] += load(dy + f * map_size + i * P1::conv_side + j) * load(x + (i + p) * P1::side + j + q);
    for (std::size_t f = 0; f < P1::filters; ++f)
      for (std::size_t q = 0; q < P1::kernel; ++q)
        for (std::size_t lane = 0; lane < 8; ++lane) dw[(f * P1::kernel + p) * P1::kernel + q] += sum[f][q][lane];
  }
}

// Windows of 2, stride 1.
void pool(const float* y, float* __restrict to) {
  for (std::size_t i = 0; i < P1::pool_side; ++i, y += P1::conv_side, to += P1::pool_side) {
    const float* below = y + P1::conv_side;
    for (std::size_t j = 0; j < P1::pool_side; ++j)
      to[j] = larger(larger(y[j], y[j + 1]), larger(below[j], below[j + 1]));
  }
}

// The first maximum of a window takes its gradient.
void pool_gradient(const float* y, const float* d, float* dy) {
  std::fill_n(dy, map_size, 0.F);
  float first[P1::pool_side], second[P1::pool_side], third[P1::pool_side], fourth[P1::pool_side];
  for (std::size_t i = 0; i < P1::pool_side; ++i, y += P1::conv_side, dy += P1::conv_side, d += P1::pool_side) {
    const float* below = y + P1::conv_side;
    float* dy_below = dy + P1::conv_side;
    for (std::size_t j = 0; j < P1::pool_side; ++j) {
      const float top = larger(y[j], y[j + 1]), bottom = larger(below[j], below[j + 1]);
      const float up = top >= bottom ? d[j] : 0.F, down = d[j] - up;
      first[j] = y[j] >= y[j + 1] ? up : 0.F;
      second[j] = up - first[j];
      third[j] = below[j] >= below[j + 1] ? down : 0.F;
      fourth[j] = down - third[j];
    }
    for (std::size_t j = 0; j < P1::pool_side; ++j) dy[j] += first[j];
    for (std::size_t j = 0; j < P1::pool_side; ++j) dy[j + 1] += second[j];
    for (std::size_t j = 0; j < P1::pool_side; ++j) dy_below[j] += third[j];
    for (std::size_t j = 0; j < P1::pool_side; ++j) dy_below[j + 1] += fourth[j];
  }
}

// f becomes softmax(f), or the gradient of its product with g; returns the product.
float softmax_times(float* __restrict f, const float* __restrict g, bool gradient) {
  float largest = f[0], total = 0.F, product = 0.F;
  for (std::size_t i = 0; i < P1::features; ++i) largest = larger(largest, f[i]);
  for (std::size_t i = 0; i < P1::features; ++i) {
    f[i] = std::exp(f[i] - largest);
    total += f[i];
    product += f[i] * g[i];
  }
  product /= total;
  if (gradient)
    for (std::size_t i = 0; i < P1::features; ++i) f[i] *= (g[i] - product) / total;
  return product;
}

}  // namespace

Running problem1(const Problem1& problem, Pass pass) {
  constexpr std::size_t weights = P1::filters * P1::kernel * P1::kernel;
  Problem1State state{problem,
                      problem.x,
                      problem.w,
                      problem.g,
                      Buffer(P1::filters * map_size),
                      Buffer(P1::filters * map_size),
                      Buffer(P1::features),
                      Buffer(weights)};
  const auto step = [pass](Problem1State& s) {
    s.loss = 0.F;
    std::fill_n(s.dw.data(), weights, 0.F);
    for (std::size_t n = 0; n < s.problem.batch; ++n) {
      const float* x = s.x + n * P1::side * P1::side;
      convolve(x, s.w, s.y);
      for (std::size_t f = 0; f < P1::filters; ++f) pool(s.y + f * map_size, s.features + f * pooled_size);
      s.loss += softmax_times(s.features, s.g + n * P1::features, pass == Pass::full);
      if (pass == Pass::forward) continue;
      for (std::size_t f = 0; f < P1::filters; ++f)
        pool_gradient(s.y + f * map_size, s.features + f * pooled_size, s.dy + f * map_size);
      convolve_gradient(x, s.dy, s.dw);
    }
  };
  if (pass == Pass::forward)
    return running(std::move(state), step, [](const Problem1State& s) {
      return Numbers{digest("loss", {&s.loss, 1})};
    });
  return running(std::move(state), step, [](const Problem1State& s) {
    return Numbers{digest("loss", {&s.loss, 1}), digest("dw", s.dw.span())};
  });
}

Running max_pool(const Pool& problem) {
  struct State {
    Buffer x, y;
  };
  return running(
      State{problem.x, Buffer(problem.x.size() / 4)},
      [](State& s) {
        const float* x = s.x;
        float* __restrict y = s.y;
        for (std::size_t i = 0; i < Pool::n * Pool::c * Pool::pooled; ++i, x += 2 * Pool::side, y += Pool::pooled)
          for (std::size_t j = 0; j < Pool::pooled; ++j)
            y[j] = larger(larger(x[2 * j], x[2 * j + 1]), larger(x[Pool::side + 2 * j], x[Pool::side + 2 * j + 1]));
      },
      [](const State& s) { return Numbers{digest("y", s.y.span())}; });
}

Running conv(const Conv& problem, Pass pass) {
  struct State {
    Conv problem;
    Convolution conv;
    Buffer x, w, dy, y, dx, dw;
  };
  State state{problem,
              Convolution(problem.c, problem.side, problem.o, problem.kernel, problem.padding),
              problem.x,
              problem.w,
              problem.dy,
              Buffer(problem.dy.size()),
              Buffer(problem.x.size()),
              Buffer(problem.w.size())};
  const auto forward = [](State& s) { s.conv.forward(s.problem.n, s.x, s.w, s.y); };
  if (pass == Pass::forward)
    return running(std::move(state), forward, [](const State& s) { return Numbers{digest("y", s.y.span())}; });
  return running(
      std::move(state),
      [forward](State& s) {
        forward(s);
        s.conv.weight_gradient(s.problem.n, s.x, s.dy, s.dw);
        if (s.problem.input_gradient) s.conv.input_gradient(s.problem.n, s.w, s.dy, s.dx);
      },
      [](const State& s) {
        Numbers numbers{digest("y", s.y.span())};
        if (s.problem.input_gradient) numbers.push_back(digest("dx", s.dx.span()));
        numbers.push_back(digest("dw", s.dw.span()));
        return numbers;
      });
}

namespace {

// A layer of the net: convolution, bias, relu and pooling by 2. Relu and pooling change places: a quarter of the work.
struct ConvLayer {
  std::size_t n, side, channels;  // of the convolution's output
  Convolution conv;
  Weight w, b;
  Buffer y, pooled, dpooled;
  std::vector<std::uint8_t> winner;  // of each window

  ConvLayer(std::size_t batch, std::size_t in_channels, std::size_t in_side, std::size_t out_side,
            const Floats& weights, const Floats& bias)
      : n(batch),
        side(out_side),
        channels(bias.size()),
        conv(in_channels, in_side, channels, in_side - out_side + 1, 0),
        w(weights),
        b(bias),
        y(n * channels * side * side),
        pooled(y.size() / 4),
        dpooled(y.size() / 4),
        winner(y.size() / 4) {}

  void forward(const float* x) {
    conv.forward(n, x, w.w, y);
    const std::size_t half = side / 2;
    for (std::size_t map = 0; map < n * channels; ++map) {
      const float bias = b.w[map % channels];
      for (std::size_t i = 0; i < half; ++i) {
        const float *top = y + map * side * side + 2 * i * side, *bottom = top + side;
        float* __restrict to = pooled + (map * half + i) * half;
        std::uint8_t* __restrict who = &winner[(map * half + i) * half];
        for (std::size_t j = 0; j < half; ++j) {
          const float a = top[2 * j], c = top[2 * j + 1], d = bottom[2 * j], e = bottom[2 * j + 1];
          const float up = larger(a, c), down = larger(d, e);
          const int up_winner = a >= c ? 0 : 1, down_winner = d >= e ? 2 : 3;
          to[j] = larger(larger(up, down) + bias, 0.F);
          who[j] = static_cast<std::uint8_t>(up >= down ? up_winner : down_winner);
        }
      }
    }
  }
  // dpooled becomes the gradients of weights and bias; y that of the convolution's output.
  void backward(const float* x) {
    relu_gradient(pooled.size(), pooled, dpooled);
    const std::size_t half = side / 2;
    std::fill_n(b.g.data(), channels, 0.F);
    for (std::size_t map = 0; map < n * channels; ++map) {
      float total = 0.F;
      for (std::size_t i = 0; i < half; ++i) {
        float *top = y + map * side * side + 2 * i * side, *bottom = top + side;
        const float* d = dpooled + (map * half + i) * half;
        const std::uint8_t* who = &winner[(map * half + i) * half];
        for (std::size_t j = 0; j < half; ++j) {
          top[2 * j] = who[j] == 0 ? d[j] : 0.F;
          top[2 * j + 1] = who[j] == 1 ? d[j] : 0.F;
          bottom[2 * j] = who[j] == 2 ? d[j] : 0.F;
          bottom[2 * j + 1] = who[j] == 3 ? d[j] : 0.F;
          total += d[j];
        }
      }
      b.g[map % channels] += total;
    }
    conv.weight_gradient(n, x, y, w.g);
  }
};

}  // namespace

Running convnet(const Convnet& problem, Pass pass) {
  using C = Convnet;
  struct State {
    Convnet problem;
    Buffer x;
    ConvLayer first, second;
    Weight w1, b1, w2, b2;
    Buffer h, dh, logits;
    std::size_t steps = 0;
    float loss = 0.F;
  };
  const std::size_t n = problem.batch;
  State state{problem,
              problem.x,
              ConvLayer(n, 1, C::side, C::side1, problem.k1, problem.d1),
              ConvLayer(n, C::c1, C::pooled1, C::side2, problem.k2, problem.d2),
              problem.w1,
              problem.b1,
              problem.w2,
              problem.b2,
              Buffer(n * C::hidden),
              Buffer(n * C::hidden),
              Buffer(n * C::classes)};
  const auto logits = [n](State& s) {
    s.first.forward(s.x);
    s.second.forward(s.first.pooled);
    dense(n, C::features, C::hidden, s.second.pooled, s.w1.w, s.h);
    bias_relu(n, C::hidden, s.h, s.b1.w);
    dense(n, C::hidden, C::classes, s.h, s.w2.w, s.logits);
  };
  if (pass == Pass::forward)
    return running(
        std::move(state),
        [n, logits](State& s) {
          logits(s);
          s.loss = cross_entropy_value(n, C::classes, s.logits, s.b2.w, s.problem.label[0].data());
        },
        [](const State& s) {
          return Numbers{digest("loss", {&s.loss, 1})};
        });
  return running(
      std::move(state),
      [n, logits](State& s) {
        logits(s);
        s.loss = cross_entropy(n, C::classes, s.logits, s.b2.w, s.problem.label[s.steps++ % 2].data());
        column_sums(n, C::classes, s.logits, s.b2.g);
        dense_weight_gradient(n, C::hidden, C::classes, s.h, s.logits, s.w2.g);
        dense_input_gradient(n, C::hidden, C::classes, s.logits, s.w2.w, s.dh);
        relu_gradient(n * C::hidden, s.h, s.dh);
        column_sums(n, C::hidden, s.dh, s.b1.g);
        dense_weight_gradient(n, C::features, C::hidden, s.second.pooled, s.dh, s.w1.g);
        dense_input_gradient(n, C::features, C::hidden, s.dh, s.w1.w, s.second.dpooled);
        s.second.backward(s.first.pooled);
        s.second.conv.input_gradient(n, s.second.w.w, s.second.y, s.first.dpooled);
        s.first.backward(s.x);
        for (const auto* w : {&s.first.w, &s.first.b, &s.second.w, &s.second.b, &s.w1, &s.b1, &s.w2, &s.b2})
          w->update(C::learning_rate, C::momentum);
      },
      [](const State& s) {
        const C& p = s.problem;
        return Numbers{digest("loss", {&s.loss, 1}),
                       digest_change("K1", s.first.w.w.span(), p.k1),
                       digest_change("d1", s.first.b.w.span(), p.d1),
                       digest_change("K2", s.second.w.w.span(), p.k2),
                       digest_change("d2", s.second.b.w.span(), p.d2),
                       digest_change("W1", s.w1.w.span(), p.w1),
                       digest_change("b1", s.b1.w.span(), p.b1),
                       digest_change("W2", s.w2.w.span(), p.w2),
                       digest_change("b2", s.b2.w.span(), p.b2)};
      });
}

}  // namespace bench
