#pragma once
// Trainings of the example programs that are small enough to be run many times.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xtape/data/digits.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"
#include "paths.hpp"

// Few digits, in the course's format: programs start fast, and most kills hit the training.
inline void write_digits(const std::string& folder, std::uint64_t seed, std::size_t train, std::size_t others) {
  const auto splits = xtape::data::builtin_digits(seed, train, others, others);
  for (const auto& [name, set] : {std::pair("digitstrain.txt", &splits.train),
                                  {"digitsvalid.txt", &splits.valid},
                                  {"digitstest.txt", &splits.test}}) {
    std::string text;
    for (std::size_t i = 0; i < set->size(); ++i)
      text += fmt::format("{},{}\n", fmt::join(set->image(i), ","), set->labels[i]);
    write_file((std::filesystem::path(folder) / name).string(), text);
  }
}
inline std::string few_digits() {
  static const Folder folder;
  static const bool written = (write_digits(folder.string(), 1, 300, 50), true);
  return written ? folder.string() : "";
}

// A training small enough to be run many times, and the files that tell its outcome.
struct Training {
  std::string program, arguments;
  std::vector<std::string> files = {};
  bool on_digits = true;

  std::vector<std::string> command(const std::string& folder, const std::string& more = "") const {
    std::vector<std::string> words{std::string(XTAPE_PROGRAMS) + "/" + program};
    std::istringstream text(arguments + " " + more);
    for (std::string word; text >> word;) words.push_back(word);
    words.insert(words.end(), {"--out", folder});
    if (on_digits && std::ranges::find(words, "--data") == words.end())
      words.insert(words.end(), {"--data", few_digits()});
    return words;
  }
};

inline const std::vector<Training> trainings = {
    {"train_classifier",
     "--model mlp --epochs 2 --batch 50 --seeds 2",
     {"metrics.csv", "classifier.safetensors", "filters.png", "confusion.png"}},
    {"train_rbm",
     "--persistent --k 2 --hidden 20 --epochs 3 --batch 40 --momentum 0.5 --final-learning-rate 0 --binarise sample "
     "--weight-decay 0.001 --sample-steps 5",
     {"metrics.csv", "summary.csv", "rbm.safetensors", "filters.png", "samples.png"}},
    {"train_autoencoder",
     "--hidden 10 --epochs 3 --batch 40 --drop 0.3 --momentum 0.5 --untied",
     {"metrics.csv", "summary.csv", "autoencoder.safetensors", "reconstructions.png"}},
    {"pretrain",
     "--methods none,rbm,denoising --hidden 10 --seeds 2 --epochs 2 --pretrain-epochs 1,2 --rates 0.5,1 --batch 300",
     {"metrics.csv", "summary.csv"}},
    {"gaussian_process", "--points 25 --steps 10 --restarts 3", {"summary.csv", "posterior.csv"}, false}};
