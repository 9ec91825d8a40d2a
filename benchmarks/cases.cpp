#include "cases.hpp"

#include <algorithm>
#include <cmath>

namespace bench {
namespace {

// splitmix64 (Steele, Lea & Flood 2014) as a function of position.
std::uint64_t hash(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t z = (seed << 40) + (i + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

// On [0, 1), exact in float.
float fraction(std::uint64_t seed, std::uint64_t i) { return static_cast<float>(hash(seed, i) >> 40) * 0x1p-24F; }

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

Floats uniform(std::uint64_t seed, std::size_t count, float low, float high) {
  Floats result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = low + (high - low) * fraction(seed, i);
  return result;
}

Labels labels(std::uint64_t seed, std::size_t count, std::int64_t classes) {
  Labels result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<std::int64_t>(hash(seed, i) >> 40) % classes;
  return result;
}

Floats binary_rows(std::uint64_t seed, std::size_t rows, std::size_t columns) {
  Floats result(rows * columns);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      const bool pattern = fraction(seed + 100, i % 10 * columns + j) < 0.3F;
      const bool flipped = fraction(seed, i * columns + j) < 0.1F;
      result[i * columns + j] = pattern != flipped ? 1.F : 0.F;
    }
  }
  return result;
}

Number digest(std::string name, std::span<const float> values) {
  double squares = 0, projection = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    squares += value * value;
    projection += value * (2 * static_cast<double>(fraction(99, i)) - 1);
  }
  return {std::move(name), std::sqrt(squares), projection};
}

Number digest_change(std::string name, std::span<const float> now, std::span<const float> before) {
  Floats change(now.size());
  std::transform(now.begin(), now.end(), before.begin(), change.begin(), std::minus<>());
  return digest(std::move(name), change);
}

Numbers machine_numbers(const Machine& machine, std::span<const float> w, std::span<const float> b,
                        std::span<const float> a) {
  const std::size_t visible = Machine::visible, hidden = machine.hidden,
                    rows = std::min<std::size_t>(machine.rows, 100);
  double error = 0;
  std::vector<double> mean(visible);
  for (std::size_t n = 0; n < rows; ++n) {
    const float* v = &machine.v[n * visible];
    std::vector<double> h(a.begin(), a.end());
    for (std::size_t i = 0; i < visible; ++i)
      for (std::size_t j = 0; v[i] != 0 && j < hidden; ++j) h[j] += static_cast<double>(w[i * hidden + j]);
    std::transform(h.begin(), h.end(), h.begin(), sigmoid);
    for (std::size_t i = 0; i < visible; ++i) {
      double x = static_cast<double>(b[i]);
      for (std::size_t j = 0; j < hidden; ++j) x += h[j] * static_cast<double>(w[i * hidden + j]);
      mean[i] += sigmoid(x) / static_cast<double>(rows);
      error -= std::log(sigmoid(v[i] != 0 ? x : -x)) / static_cast<double>(rows);
    }
  }
  const auto norm_of_change = [](std::string name, std::span<const float> now, std::span<const float> before) {
    return Number{name, digest_change(name, now, before).norm, 0};
  };
  return {{"error", error, error},
          digest("mean_reconstruction", Floats(mean.begin(), mean.end())),
          norm_of_change("W", w, machine.w),
          norm_of_change("b", b, Floats(b.size())),
          norm_of_change("a", a, Floats(a.size()))};
}

std::vector<Case> cases() {
  std::vector<Case> list;
  // Three steps, so that momentum counts; a forward pass changes nothing.
  const auto add = [&list](const std::string& name, const std::function<Running(Pass)>& start) {
    list.push_back({name, 3, [start] { return start(Pass::full); }});
    list.push_back({name + "/forward", 1, [start] { return start(Pass::forward); }});
  };
  add("chain/999", [](Pass pass) { return chain(Chain(), pass); });
  for (const std::size_t n : {1000, 100000, 1000000})
    add("fused/" + std::to_string(n), [n](Pass pass) { return fused(Elementwise(n), pass); });
  add("unfused/1000000", [](Pass pass) { return unfused(Elementwise(1000000), pass); });
  for (const std::size_t n : {1, 32})
    add("problem1/" + std::to_string(n), [n](Pass pass) { return problem1(Problem1(n), pass); });
  for (const std::size_t n : {1, 32, 128})
    add("mlp/" + std::to_string(n), [n](Pass pass) { return mlp(Mlp(n), pass); });
  add("autoencoder/32", [](Pass pass) { return autoencoder(Autoencoder(32), pass); });
  add("convnet/64", [](Pass pass) { return convnet(Convnet(64), pass); });
  add("softmax", [](Pass pass) { return softmax(Rows(), pass); });
  add("log_softmax", [](Pass pass) { return log_softmax(Rows(), pass); });
  list.push_back({"max_pool/forward", 1, [] { return max_pool(Pool()); }});
  for (const std::size_t n : {512, 1024})
    add("matmul/" + std::to_string(n), [n](Pass pass) { return matmul(Matmul(n), pass); });
  add("conv/1x28_16", [](Pass pass) { return conv({64, 1, 28, 16, 5, 0, false}, pass); });
  add("conv/16x12_32", [](Pass pass) { return conv({64, 16, 12, 32, 5, 0, true}, pass); });
  add("conv/64x56_64", [](Pass pass) { return conv({16, 64, 56, 64, 3, 1, true}, pass); });

  const auto grow = [&list](const std::string& name, std::size_t first, std::size_t last, const auto& start) {
    for (std::size_t n = first; n <= last; n *= 2)
      list.push_back({"growth/" + name + "/" + std::to_string(n), 0, [start, n] { return start(n); }});
  };
  grow("batch", 1, 4096, [](std::size_t n) { return net({n, 784, 100, 1}); });
  grow("hidden", 32, 4096, [](std::size_t n) { return net({32, 784, n, 1}); });
  grow("depth", 1, 1024, [](std::size_t n) { return net({128, 64, 64, n}); });
  grow("side", 8, 256, [](std::size_t n) { return picture_net({8, n}); });

  struct Shape {
    std::string name;
    std::size_t rows, batch, hidden, k;
    float learning_rate, momentum;
    std::size_t steps;
  };
  // One batch again and again, for a while: random draws even out over the steps. Then epochs of many.
  std::vector<Shape> machines = {
      {"cd1/100/32", 32, 32, 100, 1, 0.01F, 0.5F, 200},
      {"cd10/100/32", 32, 32, 100, 10, 0.01F, 0.5F, 200},
      {"cd1/500/128", 128, 128, 500, 1, 0.01F, 0.5F, 200},
  };
  for (const std::size_t hidden : {100, 500})
    for (const std::size_t batch : {32, 100})
      machines.push_back(
          {"epoch/" + std::to_string(hidden) + "/" + std::to_string(batch), 10000, batch, hidden, 1, 0.1F, 0.F, 1});
  for (const auto& m : machines) {
    const auto start = [m](bool products_only) {
      Machine machine(m.rows, m.batch, m.hidden, m.k, m.learning_rate, m.momentum);
      machine.products_only = products_only;
      return contrastive_divergence(machine);
    };
    list.push_back({m.name, m.steps, [start] { return start(false); }});
    list.push_back({m.name + "/products", 0, [start] { return start(true); }});
  }
  return list;
}

}  // namespace bench
