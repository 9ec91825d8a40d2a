#pragma once
// What is measured, by every implementation alike: the cases' names, sizes and inputs, and the numbers by which the
// implementations are compared before anything is timed.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bench {

using Floats = std::vector<float>;
using Labels = std::vector<std::int64_t>;

// ---- inputs: number i of a seed is a function of both, so that a program in any language makes the same

// Uniform on [low, high).
Floats uniform(std::uint64_t seed, std::size_t count, float low, float high);
// Uniform on 0, ..., classes - 1.
Labels labels(std::uint64_t seed, std::size_t count, std::int64_t classes);
// Rows of 0 and 1 with something to learn: ten patterns, a tenth of the bits flipped.
Floats binary_rows(std::uint64_t seed, std::size_t rows, std::size_t columns);

// ---- numbers to compare

// Of many figures two: their Euclidean norm, and their product with fixed random signs and weights, which tells where
// they are apart although their norms agree.
struct Number {
  std::string name;
  double norm, projection;
};
using Numbers = std::vector<Number>;
Number digest(std::string name, std::span<const float> values);
// Of what training has changed.
Number digest_change(std::string name, std::span<const float> now, std::span<const float> before);

// ---- a case

// A case set up: what is timed, and the numbers it has come to.
struct Running {
  std::function<void()> step;
  std::function<Numbers()> numbers;
};
// From a state, step(state) and numbers(state).
template <class State, class Step, class Read> Running running(State state, Step step, Read read) {
  auto shared = std::make_shared<State>(std::move(state));
  return {[shared, step] { step(*shared); }, [shared, read] { return Numbers(read(*shared)); }};
}

// Forward alone records nothing. Full is forward and backward, and the update where the case trains.
enum class Pass { forward, full };

struct Case {
  std::string name;
  std::size_t checked_steps;  // after which the numbers are compared; 0: there are none
  std::function<Running()> start;
};
std::vector<Case> cases();

// ---- the problems; all in float

// y <- relu(y w + b), 333 times: 999 ops on ten elements. The loss is sum y, the gradient dx.
struct Chain {
  static constexpr std::size_t size = 10, repeats = 333;
  Floats x = uniform(1, size, 0.5F, 1.5F), w = uniform(2, size, 0.997F, 1.F), b = uniform(3, size, 0.F, 0.01F);
};
// sum(sigmoid(x w + b) tanh(x)), elementwise; gradients of x, w and b.
struct Elementwise {
  explicit Elementwise(std::size_t n)
      : x(uniform(4, n, -1.F, 2.F)), w(uniform(5, n, -1.F, 1.F)), b(uniform(6, n, -1.F, 1.F)) {}
  Floats x, w, b;
};
// softmax(flatten(max_pool(conv(x, w), window 2, stride 1))), loss sum(softmax * g); gradient of w.
struct Problem1 {
  static constexpr std::size_t side = 28, filters = 2, kernel = 5, conv_side = 24, pool_side = 23;
  static constexpr std::size_t features = filters * pool_side * pool_side;
  explicit Problem1(std::size_t n)
      : batch(n), x(uniform(7, n * side * side, 0.F, 1.F)), g(uniform(8, n * features, -1.F, 1.F)) {}
  std::size_t batch;
  Floats x, w = uniform(9, filters*kernel*kernel, -0.5F, 0.5F), g;
};
// Training steps see two sets of labels in turn, so that no repetition drives the gradients towards zero.
struct Training {
  Training(std::size_t n, std::size_t features)
      : batch(n), x(uniform(10, n * features, 0.F, 1.F)), label{labels(11, n, 10), labels(12, n, 10)} {}
  static constexpr float learning_rate = 0.01F, momentum = 0.9F;
  std::size_t batch;
  Floats x;
  std::array<Labels, 2> label;
};
// relu(x W1 + b1) W2 + b2, cross-entropy, SGD with momentum.
struct Mlp : Training {
  static constexpr std::size_t inputs = 784, hidden = 100, classes = 10;
  explicit Mlp(std::size_t n) : Training(n, inputs) {}
  Floats w1 = uniform(13, inputs*hidden, -0.06F, 0.06F), b1 = uniform(14, hidden, -0.1F, 0.1F);
  Floats w2 = uniform(15, hidden*classes, -0.17F, 0.17F), b2 = uniform(16, classes, -0.1F, 0.1F);
};
// 1->16 5x5, relu, pool 2, 16->32 5x5, relu, pool 2, dense 128, relu, dense 10, cross-entropy, SGD with momentum.
struct Convnet : Training {
  static constexpr std::size_t side = 28, kernel = 5, c1 = 16, c2 = 32, side1 = 24, pooled1 = 12, side2 = 8,
                               pooled2 = 4;
  static constexpr std::size_t features = c2 * pooled2 * pooled2, hidden = 128, classes = 10;
  explicit Convnet(std::size_t n) : Training(n, side * side) {}
  Floats k1 = uniform(17, c1*kernel*kernel, -0.3F, 0.3F), d1 = uniform(18, c1, -0.1F, 0.1F);
  Floats k2 = uniform(19, c2*c1*kernel*kernel, -0.1F, 0.1F), d2 = uniform(20, c2, -0.1F, 0.1F);
  Floats w1 = uniform(21, features*hidden, -0.1F, 0.1F), b1 = uniform(22, hidden, -0.1F, 0.1F);
  Floats w2 = uniform(23, hidden*classes, -0.15F, 0.15F), b2 = uniform(24, classes, -0.1F, 0.1F);
};
// sigmoid(x W1 + b1) W2 + b2 as logits, binary cross-entropy with x, mean over all pixels, SGD with momentum.
struct Autoencoder {
  static constexpr std::size_t inputs = 784, hidden = 100;
  static constexpr float learning_rate = 1.F, momentum = 0.9F;
  explicit Autoencoder(std::size_t n) : batch(n), x(uniform(25, n * inputs, 0.F, 1.F)) {}
  std::size_t batch;
  Floats x;
  Floats w1 = uniform(26, inputs*hidden, -0.06F, 0.06F), b1 = uniform(27, hidden, -0.1F, 0.1F);
  Floats w2 = uniform(28, hidden*inputs, -0.17F, 0.17F), b2 = uniform(29, inputs, -0.1F, 0.1F);
};
// Nets of any size, for how time grows with it. `layers` of relu(x W + b) and a last one to ten classes, cross-entropy,
// SGD with momentum. Square weights are near the identity: however deep the net, nothing vanishes or overflows.
struct Net : Training {
  static constexpr std::size_t classes = 10;
  Net(std::size_t n, std::size_t input_units, std::size_t hidden_units, std::size_t count)
      : Training(n, input_units), inputs(input_units), hidden(hidden_units), layers(count) {}
  std::size_t inputs, hidden, layers;
};
// 1->8 5x5, relu, pool 2, 8->16 5x5, relu, pool 2, each with padding 2, means of the channels, dense 10, cross-entropy,
// SGD with momentum.
struct PictureNet : Training {
  static constexpr std::size_t kernel = 5, padding = 2, c1 = 8, c2 = 16, classes = 10;
  PictureNet(std::size_t n, std::size_t image_side) : Training(n, image_side * image_side), side(image_side) {}
  std::size_t side;
};
// softmax or log_softmax of rows; the gradient from a given dy.
struct Rows {
  static constexpr std::size_t rows = 1024, columns = 1000;
  Floats x = uniform(30, rows*columns, -4.F, 4.F), dy = uniform(31, rows*columns, -1.F, 1.F);
};
// Window 2, stride 2.
struct Pool {
  static constexpr std::size_t n = 64, c = 16, side = 24, pooled = 12;
  Floats x = uniform(32, n* c* side* side, -1.F, 1.F);
};
// Square matrices; both gradients from a given dy.
struct Matmul {
  explicit Matmul(std::size_t size)
      : n(size),
        a(uniform(33, n * n, -1.F, 1.F)),
        b(uniform(34, n * n, -1.F, 1.F)),
        dy(uniform(35, n * n, -1.F, 1.F)) {}
  std::size_t n;
  Floats a, b, dy;
};
// (n, c, side, side) * (o, c, kernel, kernel); gradients of w and, if wanted, of x from a given dy.
struct Conv {
  std::size_t n, c, side, o, kernel, padding;
  bool input_gradient;
  std::size_t out_side = side + 2 * padding - kernel + 1;
  Floats x = uniform(36, n*c*side*side, -1.F, 1.F), w = uniform(37, o*c*kernel*kernel, -1.F, 1.F);
  Floats dy = uniform(38, n* o* out_side* out_side, -1.F, 1.F);
};
// Contrastive divergence with k Gibbs steps on a machine of binary units: gradients are means over the batch, hidden
// units stand as probabilities in both statistics, all states of the chain are samples. A step goes
// through all rows once, batch by batch.
struct Machine {
  Machine(std::size_t row_count, std::size_t batch_size, std::size_t hidden_units, std::size_t gibbs_steps, float rate,
          float with_momentum)
      : rows(row_count),
        batch(batch_size),
        hidden(hidden_units),
        k(gibbs_steps),
        learning_rate(rate),
        momentum(with_momentum) {}
  static constexpr std::size_t visible = 784;
  std::size_t rows, batch, hidden, k;
  float learning_rate, momentum;
  bool products_only = false;  // the products of matrices alone: the floor, which only the program by hand measures
  Floats v = binary_rows(39, rows, visible);
  Floats w = uniform(40, visible* hidden, -0.017F, 0.017F);  // deviation 0.01; biases start at 0
};
// What training has come to, for figures that depend on random draws: of the mean-field reconstruction
// r = sigmoid(sigmoid(v W + a) W^T + b) of the first rows the cross-entropy and the mean image, and of the biases and
// weights the norm of the change.
Numbers machine_numbers(const Machine& machine, std::span<const float> w, std::span<const float> b,
                        std::span<const float> a);

// ---- what an implementation defines; an empty Running where it has nothing

void set_threads(int threads);
// Bytes in tensors at a step's peak, all that was there before it included; 0 if the implementation does not count
// them.
std::size_t peak_bytes(const std::function<void()>& step);
Running chain(const Chain& problem, Pass pass);
Running fused(const Elementwise& problem, Pass pass);    // in one pass if the implementation can
Running unfused(const Elementwise& problem, Pass pass);  // op by op
Running problem1(const Problem1& problem, Pass pass);
Running mlp(const Mlp& problem, Pass pass);
Running convnet(const Convnet& problem, Pass pass);
Running autoencoder(const Autoencoder& problem, Pass pass);
Running net(const Net& problem);
Running picture_net(const PictureNet& problem);
Running softmax(const Rows& problem, Pass pass);
Running log_softmax(const Rows& problem, Pass pass);
Running max_pool(const Pool& problem);
Running matmul(const Matmul& problem, Pass pass);
Running conv(const Conv& problem, Pass pass);
Running contrastive_divergence(const Machine& machine);

}  // namespace bench
