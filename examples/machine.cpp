#include "machine.hpp"

#include <xtape/data/safetensors.hpp>
#include <xtape/mpi/gradient_average.hpp>

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

namespace examples {
using namespace xtape;

void MachineTraining::add_to(CLI::App& app) {
  Training::add_to(app);
  app.add_option("--k", k, "Gibbs steps of contrastive divergence")->transform(whole(1, 10000))->capture_default_str();
  app.add_flag("--persistent", persistent, "chains go on from batch to batch instead of starting at the data");
  app.add_option("--weight-decay", weight_decay, "on the weights, not on the biases")
      ->transform(between(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--sparsity-target", sparsity_target, "wanted mean activity of a hidden unit")
      ->transform(between(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--sparsity-cost", sparsity_cost, "how strongly it is wanted")
      ->transform(between(0.0, 1000.0))
      ->capture_default_str();
  app.add_option("--weights", deviation, "standard deviation of the first weights")
      ->transform(between(0.0, 10.0))
      ->capture_default_str();
}

Rbm<float> train_machine(const data::Dataset& set, const MachineTraining& training, Rng& rng,
                         const AfterEpoch& after_epoch, Resumable* run, const mpi::World& world) {
  if (world.size() > 1 && training.sparsity_cost > 0)
    throw ValueError("--sparsity-cost: one process only, since it needs all images of a batch in one place");
  Rbm<float> rbm(set.features(), training.hidden, rng, static_cast<float>(training.deviation));
  // Two optimisers, since biases do not decay.
  optim::Sgd<float> weights({rbm.W}, {.momentum = training.momentum, .weight_decay = training.weight_decay});
  optim::Sgd<float> biases({rbm.b, rbm.a}, {.momentum = training.momentum});
  mpi::GradientAverage<float> sum(world, rbm.parameters());  // each process's part is divided by the whole batch's size
  Tensor<float> particles, own_particles;                    // all chains, as far as they are needed; this process's
  Rows chains;
  data::BatchStream stream(set, training.batch, rng, world.shard());
  std::optional<data::TrainingState::Scope> scope;
  if (run) {
    scope.emplace(run->state, "machine");
    run->state.parameters("W, b, a", rbm.parameters());
    run->state.keep("weights", weights);
    run->state.keep("biases", biases);
    run->state.keep("particles", particles, {std::min(training.batch, set.size()), set.features()});
    run->state.keep("batches", stream);
    run->state.keep("rng", rng);
  }
  world.broadcast(rbm.parameters());
  if (particles.defined()) {
    chains = world.shard().rows(particles.shape()[0]);
    own_particles = part_of(particles, chains);
  }
  while (stream.epochs() < training.epochs) {
    const double rate = training.rate(stream.steps(), set.size());
    const auto x = stream.next().x;
    if (training.persistent && !own_particles.defined()) {
      own_particles = Tensor<float>(x.shape(), x.span());
      chains = stream.rows();
    }
    weights.options.learning_rate = biases.options.learning_rate = rate;
    contrastive_divergence(rbm, x,
                           {.k = training.k,
                            .particles = training.persistent ? &own_particles : nullptr,
                            .sparsity_target = static_cast<float>(training.sparsity_target),
                            .sparsity_cost = static_cast<float>(training.sparsity_cost),
                            .rows = stream.rows(),
                            .particle_rows = chains},
                           rng);
    double wishes = run ? run->wish() : 0;
    sum.finish(std::span(&wishes, 1));
    weights.step();
    biases.step();
    if (training.persistent && (Resumable::will_write(wishes) || stream.between_epochs()))
      particles = world.gather(own_particles);
    if (stream.between_epochs()) {
      for (const auto& parameter : rbm.parameters())
        if (!std::isfinite(xtape::sum(parameter.detach()).item()))
          throw ValueError(fmt::format("epoch {}: a parameter is no longer a number; try a smaller --learning-rate",
                                       stream.epochs()));
      if (after_epoch) after_epoch(stream.epochs(), rbm, rate);
    }
    if (run) run->after_step(wishes);
  }
  return rbm;
}

void save_machine(const std::string& path, const Machine& machine) {
  data::write_safetensors<float>(path, {{{"W", machine.rbm.W}, {"b", machine.rbm.b}, {"a", machine.rbm.a}},
                                        {{"model", "restricted Boltzmann machine"},
                                         {"rows", std::to_string(machine.rows)},
                                         {"cols", std::to_string(machine.cols)}}});
}

Machine load_machine(const std::string& path) {
  const auto file = data::read_safetensors<float>(path);
  const auto tensor = [&](const char* name) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end()) throw DataError(fmt::format("{}: there is no tensor {} in it", path, name));
    return found->second;
  };
  const auto number = [&](const char* name) {
    const auto found = file.metadata.find(name);
    std::size_t value = 0;
    if (found != file.metadata.end())
      std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
    return value;
  };
  try {
    Machine machine{{tensor("W"), tensor("b"), tensor("a")}, number("rows"), number("cols")};
    if (machine.rows == 0 || machine.cols == 0 || machine.rbm.visible() / machine.rows != machine.cols ||
        machine.rbm.visible() % machine.rows != 0)
      throw DataError(fmt::format("{}: {} visible units are not pictures of {} x {}", path, machine.rbm.visible(),
                                  machine.rows, machine.cols));
    for (const auto& parameter : machine.rbm.parameters())
      for (const float x : parameter.span())
        if (!std::isfinite(x)) throw DataError(fmt::format("{}: a parameter is not a finite number", path));
    return machine;
  } catch (const ShapeError& e) {
    throw DataError(fmt::format("{}: {}", path, e.what()));
  }
}

LogPartition estimate_log_partition(const Rbm<float>& rbm, const Tensor<float>& data, std::size_t chains,
                                    std::size_t temperatures, Rng& rng) {
  LogPartition result;
  if (std::min(rbm.visible(), rbm.hidden()) <= 20) {
    result.exact = true;
    result.base_rates.log_z = log_partition(rbm);
    result.base_rates.effective_chains = std::numeric_limits<double>::infinity();
    result.fair_coins = result.reverse = result.base_rates;
    return result;
  }
  const auto path = annealing_path(temperatures);
  const Tensor<float> base = base_rate_bias(data);
  const AisOptions<float> from_data{.chains = chains, .path = path, .base_bias = base};
  result.base_rates = annealed_importance_sampling(rbm, from_data, rng);
  result.fair_coins = annealed_importance_sampling(rbm, {.chains = chains, .path = path}, rng);
  // Chains that start at the data and at twenty temperatures forget it.
  std::vector<double> beta;
  for (int t = 0; t < 20; ++t) beta.push_back(1.0 - 0.5 * t / 19.0);
  Tensor<float> start = zeros<float>({chains, rbm.visible()});
  for (std::size_t i = 0; i < chains; ++i)
    std::copy_n(data.data() + rng.below(data.shape()[0]) * rbm.visible(), rbm.visible(),
                start.modify().data() + i * rbm.visible());
  GibbsChain<float> chain(rbm, start, rng, {.inverse_temperatures = beta});
  chain.step(std::max<std::size_t>(temperatures / 20, 100));
  result.reverse = reverse_annealed_importance_sampling(rbm, chain.visible(), from_data, rng);
  return result;
}

}  // namespace examples
