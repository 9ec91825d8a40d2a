// How long a training step takes in several processes, and what of it is computing and what is communication:
//     mpirun -n 2 bench_scaling BATCH STEPS [PIECE_BYTES]
// Prints, from the first process, lines of words and numbers: tools/scaling runs it and makes tables of them. BATCH is
// of all processes together. With BATCH 0, the time of an all-reduce by its size.
#include <xtape/mpi/gradient_average.hpp>
#include <xtape/xtape.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>

using namespace xtape;

namespace {

constexpr std::size_t side = 28, classes = 10;

// The shortest of many short rounds, in seconds a step, each as long as the slowest process's: others' work on the
// machine makes some longer.
double seconds_a_step(const mpi::World& world, std::size_t steps, const std::function<void()>& step) {
  double best = 1e9;
  std::vector<double> times(world.size());
  for (int round = -2; round < 30; ++round) {
    world.sum(times);  // together
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < steps; ++i) step();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::fill(times.begin(), times.end(), 0.0);
    times[world.rank()] = time.count() / static_cast<double>(steps);
    world.sum(times);
    if (round >= 0) best = std::min(best, *std::max_element(times.begin(), times.end()));
  }
  return best;
}

using Model = nn::Sequential<float>;

Model mlp(std::size_t hidden, Rng& rng) {
  const nn::Linear<float> first(side * side, hidden, rng), last(hidden, classes, rng);
  return Model{first, relu<float>, last};
}
Model deep(Rng& rng) {
  const nn::Linear<float> first(side * side, 1024, rng), second(1024, 1024, rng), last(1024, classes, rng);
  return Model{first, relu<float>, second, relu<float>, last};
}
// As train_classifier has it.
Model conv(Rng& rng) {
  const auto as_images = [](const Tensor<float>& x) { return reshape(x, Shape{x.shape(0), 1, side, side}); };
  const auto pool = [](const Tensor<float>& x) { return max_pool2d(x); };
  const auto flat = [](const Tensor<float>& x) { return flatten(x); };
  const nn::Conv2d<float> conv1(1, 16, 5, rng), conv2(16, 32, 5, rng);
  const nn::Linear<float> dense1(512, 128, rng), dense2(128, classes, rng);
  return Model{as_images, conv1, relu<float>, pool, conv2, relu<float>, pool, flat, dense1, relu<float>, dense2};
}

struct Case {
  std::string name;
  std::vector<Tensor<float>> parameters;
  // Leaves this process's gradient in grad(); announces it, if there is somebody to be told.
  std::function<void(mpi::GradientAverage<float>*)> gradient;
};

void measure(const mpi::World& world, const Case& model, std::size_t batch, std::size_t steps,
             std::size_t piece_bytes) {
  mpi::GradientAverage<float> average(world, model.parameters, {.piece_bytes = piece_bytes});
  optim::Sgd<float> sgd(model.parameters, {.learning_rate = 1e-6, .momentum = 0.9});
  std::size_t size = 0;
  for (const auto& p : model.parameters) size += p.size();
  const double compute = seconds_a_step(world, steps, [&] {
    model.gradient(nullptr);
    sgd.step();
  });
  model.gradient(nullptr);
  const double reduce = seconds_a_step(world, steps, [&] { average.finish(); });  // of the same, over and over
  sgd.zero_grad();
  const double step = seconds_a_step(world, steps, [&] {
    model.gradient(&average);
    average.finish();
    sgd.step();
  });
  if (world.first())
    fmt::print("step {} {} {} {} {} {:.3f} {:.3f} {:.3f}\n", model.name, world.size(), batch, size, average.pieces(),
               1e6 * compute, 1e6 * reduce, 1e6 * step);
}

}  // namespace

int main(int argc, char** argv) {
  const mpi::World world;
  const auto number = [&](int i, std::size_t otherwise) { return argc > i ? std::stoul(argv[i]) : otherwise; };
  const std::size_t batch = number(1, 256), steps = number(2, 20), piece_bytes = number(3, std::size_t{1} << 20);
  if (batch == 0) {
    for (std::size_t n = 1; n <= (std::size_t{1} << 20); n *= 4) {
      std::vector<double> values(n, 1e-300);
      const double time = seconds_a_step(world, n < 10000 ? 10 * steps : steps, [&] { world.sum(values); });
      if (world.first()) fmt::print("sum {} {} {:.3f}\n", world.size(), 8 * n, 1e6 * time);
    }
    return 0;
  }
  const Rows rows = world.shard().rows(batch);
  if (rows.size == 0) world.fail("bench_scaling: fewer images than processes");
  Rng rng(1);
  const auto x = init::uniform<float>({rows.size, side * side}, 0, 1, rng);
  const Labels label({rows.size}, [](std::size_t i) { return i % classes; });
  const auto classifier = [&](const std::string& name, const Model& net) {
    return Case{name, net.parameters(), [net, &x, &label, &rows](mpi::GradientAverage<float>* average) {
                  Tape tape;
                  const auto loss = cross_entropy(net(x), label);
                  if (average) average->start(tape, rows.share());
                  tape.backward(loss);
                }};
  };
  measure(world, classifier("mlp", mlp(100, rng)), batch, steps, piece_bytes);
  measure(world, classifier("conv", conv(rng)), batch, std::max<std::size_t>(steps / 10, 2), piece_bytes);
  measure(world, classifier("deep", deep(rng)), batch, std::max<std::size_t>(steps / 10, 2), piece_bytes);
  Rbm<float> rbm(side * side, 100, rng);
  const Case machine{"rbm", rbm.parameters(), [&](mpi::GradientAverage<float>*) {
                       contrastive_divergence(rbm, x, {.reconstruction_error = false, .rows = rows}, rng);
                     }};
  measure(world, machine, batch, steps, piece_bytes);
}
