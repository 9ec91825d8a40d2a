#pragma once
// The one-layer autoencoder that train_autoencoder shows and pretrain compares: r = σ(V h + c), h = σ(W v + b).

#include <xtape/xtape.hpp>

#include <functional>
#include <string>

#include "common.hpp"
#include "resumable.hpp"

namespace examples {

struct Autoencoder {
  xtape::Tensor<float> W, b;  // encoder: (pixels, hidden), (hidden,)
  xtape::Tensor<float> V, c;  // decoder: (hidden, pixels), (pixels,); V is undefined where the weights are tied, V = Wᵀ

  Autoencoder(std::size_t pixels, std::size_t hidden, bool tied, xtape::Rng& rng);
  xtape::Tensor<float> hidden(const xtape::Tensor<float>& x) const;  // (n, pixels) -> (n, hidden)
  xtape::Tensor<float> logits(const xtape::Tensor<float>& x) const;  // of the reconstruction: (n, pixels)
  std::vector<xtape::Tensor<float>> parameters() const;
};

struct AutoencoderTraining : Training {
  double drop = 0;
  bool tied = true;
  std::string loss = "cross-entropy";

  void add_to(CLI::App& app);
};

// Called after every epoch, with its number, from 1.
using AfterAutoencoderEpoch = std::function<void(std::size_t epoch, const Autoencoder& model, double learning_rate)>;

// Stochastic gradient descent on the loss of an image, summed over its pixels. With drop > 0 a denoising autoencoder
// (Vincent et al. 2008): that share of the inputs is set to 0, and the whole image is to be reconstructed.
// Throws ValueError once the loss is no longer a number. While it trains, all that it needs to go on is kept in a run,
// if one is given.
Autoencoder train_autoencoder(const xtape::data::Dataset& set, const AutoencoderTraining& training, xtape::Rng& rng,
                              const AfterAutoencoderEpoch& after_epoch = {}, Resumable* run = nullptr);

// Pixels set to 0, each with probability `rate`.
xtape::Tensor<float> dropped(const xtape::Tensor<float>& x, double rate, xtape::Rng& rng);

// Mean over the images of their cross-entropy, nats, or of their squared error, both summed over pixels.
double reconstruction_loss(const Autoencoder& model, const xtape::Tensor<float>& x, const std::string& loss);

}  // namespace examples
