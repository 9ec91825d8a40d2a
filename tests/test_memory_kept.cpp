// What a tape holds on to: of each op no more than its pullback reads, and of a sweep no more than a few gradients.

#include <doctest/doctest.h>
#include <xtape/xtape.hpp>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

using namespace xtape;

namespace {

using Floats = Tensor<float>;
constexpr std::size_t side = 64, count = side * side;
constexpr double buffer = count * sizeof(float);

double bytes_held() { return static_cast<double>(memory_use().bytes); }

struct Kept {
  std::string op;
  double floats;  // for each float of the input
  std::function<Floats(const Floats&)> f;
};

}  // namespace

TEST_CASE("memory: an op keeps what its pullback reads, and no more") {
  Rng rng(1);
  const Floats c = init::uniform<float>({side, side}, 0.1F, 0.9F, rng), w = parameter(c);
  const Floats taps = init::uniform<float>({1, 1, 3, 3}, 0.F, 1.F, rng), filter = parameter(taps);
  const Labels labels(Shape{side}, [](std::size_t i) { return static_cast<int>(i); });
  const Floats scale = parameter(ones<float>({side})), shift = parameter(zeros<float>({side}));
  const auto picture = [](const Floats& x) { return reshape(x, {1, 1, side, side}); };
  using X = const Floats&;
  const std::vector<Kept> ops = {
      {"add", 0, [&](X x) { return x + x; }},
      {"subtract", 0, [&](X x) { return c - x; }},
      {"multiply by a number", 0, [&](X x) { return 2 * x; }},
      {"multiply by a constant", 0, [&](X x) { return x * c; }},
      {"divide by a number", 0, [&](X x) { return x / 2; }},
      {"divide by a constant", 0, [&](X x) { return x / c; }},
      {"negate", 0, [&](X x) { return -x; }},
      {"floor", 0, [&](X x) { return floor(x); }},
      {"round", 0, [&](X x) { return round(x); }},
      {"reshape", 0, [&](X x) { return reshape(x, {count}); }},
      {"transpose", 0, [&](X x) { return transpose(x); }},
      {"slice", 0, [&](X x) { return slice(x, {range(1, 9)}); }},
      {"concatenate", 0,
       [&](X x) {
         return concatenate<float>({x, x}, 0);
       }},
      {"sum", 0, [&](X x) { return sum(x, 1); }},
      {"mean", 0, [&](X x) { return mean(x); }},
      {"cumsum", 0, [&](X x) { return cumsum(x, 1); }},
      {"where", 0, [&](X x) { return where(c, x, 0); }},
      {"matmul by a constant", 0, [&](X x) { return matmul(x, c); }},
      {"conv2d by a constant", 0, [&](X x) { return conv2d(picture(x), taps); }},
      {"avg_pool2d", 0, [&](X x) { return avg_pool2d(picture(x)); }},
      {"max_pool2d", 0.25, [&](X x) { return max_pool2d(picture(x)); }},
      {"multiply by a parameter", 1, [&](X x) { return x * w; }},
      {"multiply by itself", 1, [&](X x) { return x * x; }},
      {"divide a constant", 1, [&](X x) { return c / x; }},
      {"matmul by a parameter", 1, [&](X x) { return matmul(x, w); }},
      {"conv2d by a parameter", 1, [&](X x) { return conv2d(picture(x), filter); }},
      {"square", 1, [&](X x) { return square(x); }},
      {"pow", 1, [&](X x) { return pow(x, 3); }},
      {"sqrt", 1, [&](X x) { return sqrt(x); }},
      {"exp", 1, [&](X x) { return exp(x); }},
      {"log", 1, [&](X x) { return log(x); }},
      {"abs", 1, [&](X x) { return abs(x); }},
      {"relu", 1, [&](X x) { return relu(x); }},
      {"sigmoid", 1, [&](X x) { return sigmoid(x); }},
      {"tanh", 1, [&](X x) { return tanh(x); }},
      {"softplus", 1, [&](X x) { return softplus(x); }},
      {"gelu", 1, [&](X x) { return gelu(x); }},
      {"gelu_tanh", 1, [&](X x) { return gelu_tanh(x); }},
      {"clip", 1, [&](X x) { return clip(x, 0.2, 0.8); }},
      {"maximum", 1, [&](X x) { return maximum(x, 0.5F); }},
      {"dropout", 1, [&](X x) { return dropout(x, 0.5, rng); }},
      {"softmax", 1, [&](X x) { return softmax(x); }},
      {"log_softmax", 1, [&](X x) { return log_softmax(x); }},
      {"logsumexp", 1, [&](X x) { return logsumexp(x, 1); }},
      {"norm", 1, [&](X x) { return norm(x, 1); }},
      {"var", 1, [&](X x) { return var(x, 1); }},
      {"prod", 1, [&](X x) { return prod(x, 1); }},
      {"sort", 1, [&](X x) { return sort(x); }},
      {"mse_loss", 1, [&](X x) { return mse_loss(x, c); }},
      {"l1_loss", 1, [&](X x) { return l1_loss(x, c); }},
      {"cross_entropy", 1, [&](X x) { return cross_entropy(x, labels); }},
      {"binary_cross_entropy_with_logits", 1, [&](X x) { return binary_cross_entropy_with_logits(x, c); }},
      {"cumprod", 2, [&](X x) { return cumprod(x, 1); }},                               // factors and products
      {"map", 2, [&](X x) { return map([](auto u) { return exp(u) * sin(u); }, x); }},  // the slope, and so too
      {"standardise", 2, [&](X x) { return standardise(x, 1); }},  // the result, and the input for second derivatives
      {"layer_norm", 2, [&](X x) { return layer_norm(x, scale, shift); }},
  };
  for (const Kept& op : ops) {
    Tape tape;
    const double before = bytes_held();
    // Neither the op's input, an op's result, nor its own result is in anybody's hands.
    static_cast<void>(op.f(w + 0.25F));
    const double kept = (bytes_held() - before) / buffer;
    CHECK_MESSAGE(std::abs(kept - op.floats) < 0.1, op.op, " keeps ", kept, ", expected ", op.floats);
  }
}

namespace {

// By how many buffers a backward sweep over `steps` of y = f(y) goes above what the forward pass has left.
template <class F> double backward_buffers(std::size_t steps, const Floats& x, F f) {
  Tape tape;
  Floats loss;
  {
    Floats y = f(x);
    for (std::size_t i = 1; i < steps; ++i) y = f(y);
    loss = sum(y);
  }
  const double before = bytes_held();
  reset_peak_memory();
  tape.backward(loss);
  return (static_cast<double>(memory_use().peak_bytes) - before) / buffer;
}

}  // namespace

TEST_CASE("memory: a sweep needs a few buffers more than the forward pass, however long") {
  Rng rng(1);
  Floats x = parameter(init::uniform<float>({side, side}, 0.1F, 0.9F, rng));
  Floats w = parameter(init::uniform<float>({side, side}, 0.F, 0.03F, rng));
  const auto most = [&](const auto& f) {
    double largest = 0;
    for (const std::size_t steps : {3, 30, 300}) {
      largest = std::max(largest, backward_buffers(steps, x, f));
      x.zero_grad();
      w.zero_grad();
    }
    return largest;
  };
  CHECK(most([](const Floats& y) { return y + 0.1F; }) < 1.1);  // one gradient goes all the way
  CHECK(most([](const Floats& y) { return 0.5F * y; }) < 2.1);  // the old and the new
  CHECK(most([](const Floats& y) { return relu(y); }) < 1.1);   // written over
  CHECK(most([](const Floats& y) { return tanh(y); }) < 1.1);
  CHECK(most([&](const Floats& y) { return matmul(y, w); }) < 4.1);  // and w's, whole and in the making
  CHECK(most([&](const Floats& y) { return y * w + y; }) < 5.1);
}

TEST_CASE("memory: a gradient that somebody holds is not written over") {
  const Floats x = parameter(full<float>({3}, 0.5F)), seed = full<float>({3}, 2.F);
  Floats seen;
  std::vector<Floats> parts;
  {
    Tape tape;
    const auto y = square(x), z = exp(y), shared = y + z;  // y and z get one gradient between them
    const auto result = exp(shared);
    tape.hook(shared, [&](const Floats& dy) { seen = dy; });
    parts = tape.vjp(result, seed, std::vector<Floats>{x, y, z, shared});
  }
  const float e = std::exp(0.25F), s = 0.25F + e, slope = 2 * std::exp(s);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(seed.data()[i] == 2);
    CHECK(seen.data()[i] == doctest::Approx(slope));
    CHECK(parts[3].data()[i] == doctest::Approx(slope));
    CHECK(parts[2].data()[i] == doctest::Approx(slope));
    CHECK(parts[1].data()[i] == doctest::Approx(slope * (1 + e)));
    CHECK(parts[0].data()[i] == doctest::Approx(slope * (1 + e)));
  }
}

TEST_CASE("memory: a sweep frees what it has passed; retain_graph keeps it") {
  const Floats x = parameter(full<float>({side, side}, 0.5F));
  for (const bool retain : {false, true}) {
    Tape tape;
    const double before = bytes_held();
    const auto loss = sum(tanh(tanh(tanh(x))));
    CHECK((bytes_held() - before) / buffer == doctest::Approx(2).epsilon(0.01));  // x itself, and two results
    static_cast<void>(tape.gradient(loss, {x}, {.retain_graph = retain}));
    CHECK((bytes_held() - before) / buffer == doctest::Approx(retain ? 2 : 0).epsilon(0.01));
  }
}
