#pragma once
// What the programs with a restricted Boltzmann machine share: its training, its file, its samples.

#include <xtape/mpi/world.hpp>
#include <xtape/xtape.hpp>

#include <functional>
#include <string>

#include "common.hpp"
#include "resumable.hpp"

namespace examples {

struct MachineTraining : Training {
  std::size_t k = 1;
  bool persistent = false;
  double weight_decay = 0, sparsity_target = 0, sparsity_cost = 0, deviation = 0.1;

  void add_to(CLI::App& app);
};

// A part of a batch, or of the chains.
inline xtape::Tensor<float> part_of(const xtape::Tensor<float>& x, const xtape::Rows& rows) {
  const auto first = static_cast<std::ptrdiff_t>(rows.first);
  return slice(x, {xtape::range(first, first + static_cast<std::ptrdiff_t>(rows.size))});
}

// Called after every epoch, with its number, from 1.
using AfterEpoch = std::function<void(std::size_t epoch, const xtape::Rbm<float>& rbm, double learning_rate)>;

// Contrastive divergence over shuffled batches; with `persistent` as many chains as images in a batch, which start
// as images. Throws ValueError once a parameter is no longer a number. While it trains, all that it needs to go
// on is kept in a run, if one is given. Several processes share each batch, and each has a part of the chains.
xtape::Rbm<float> train_machine(const xtape::data::Dataset& set, const MachineTraining& training, xtape::Rng& rng,
                                const AfterEpoch& after_epoch = {}, Resumable* run = nullptr,
                                const xtape::mpi::World& world = xtape::mpi::World::alone());

// A machine, and the size of the pictures that it was trained on.
struct Machine {
  xtape::Rbm<float> rbm;
  std::size_t rows, cols;
};
void save_machine(const std::string& path, const Machine& machine);
// Throws DataError if the file holds no such machine.
Machine load_machine(const std::string& path);

// log Z of a machine: exact if one side has at most 20 units, else by annealed importance sampling.
struct LogPartition {
  bool exact = false;
  xtape::AisEstimate base_rates;  // forward, from the base rates of the data
  xtape::AisEstimate fair_coins;  // forward, from fair coins
  xtape::AisEstimate reverse;     // from samples of long tempered chains that start at the data
  // Forward estimates fall short: the largest is the best.
  double value() const { return std::max(base_rates.log_z, fair_coins.log_z); }
};
LogPartition estimate_log_partition(const xtape::Rbm<float>& rbm, const xtape::Tensor<float>& data, std::size_t chains,
                                    std::size_t temperatures, xtape::Rng& rng);

}  // namespace examples
