#include "autoencoder.hpp"

#include <fmt/format.h>

#include <cmath>
#include <optional>

namespace examples {
using namespace xtape;

namespace {

// Of an image, summed over its pixels: `of` is what the input was made from.
Tensor<float> loss_of(const Tensor<float>& logits, const Tensor<float>& of, const std::string& loss) {
  const auto pixels = static_cast<float>(of.shape()[1]);
  return (loss == "squared" ? mse_loss(sigmoid(logits), of) : binary_cross_entropy_with_logits(logits, of)) * pixels;
}

}  // namespace

Autoencoder::Autoencoder(std::size_t pixels, std::size_t units, bool tied, Rng& rng)
    : W(parameter(init::normal<float>({pixels, units}, 0.F, 0.1F, rng))),
      b(parameter(zeros<float>({units}))),
      c(parameter(zeros<float>({pixels}))) {
  if (!tied) V = parameter(init::normal<float>({units, pixels}, 0.F, 0.1F, rng));
}

Tensor<float> Autoencoder::hidden(const Tensor<float>& x) const { return sigmoid(matmul(x, W) + b); }

Tensor<float> Autoencoder::logits(const Tensor<float>& x) const {
  return (V.defined() ? matmul(hidden(x), V) : matmul(hidden(x), W, {.transpose_b = true})) + c;
}

std::vector<Tensor<float>> Autoencoder::parameters() const {
  return V.defined() ? std::vector{W, b, V, c} : std::vector{W, b, c};
}

void AutoencoderTraining::add_to(CLI::App& app) {
  Training::add_to(app);
  app.add_flag("--tied,!--untied", tied, "decoder weights are the encoder's, transposed (default), or their own");
  app.add_option("--loss", loss, "cross-entropy or squared")
      ->check(CLI::IsMember({"cross-entropy", "squared"}))
      ->capture_default_str();
  app.add_option("--drop", drop, "share of the inputs set to 0: a denoising autoencoder")
      ->transform(between(0.0, 0.99))
      ->capture_default_str();
}

Tensor<float> dropped(const Tensor<float>& x, double rate, Rng& rng) {
  if (rate == 0) return x;
  return x * (init::uniform<float>(x.shape(), 0.F, 1.F, rng) >= static_cast<float>(rate));
}

double reconstruction_loss(const Autoencoder& model, const Tensor<float>& x, const std::string& loss) {
  return static_cast<double>(loss_of(model.logits(x), x, loss).item());
}

Autoencoder train_autoencoder(const data::Dataset& set, const AutoencoderTraining& training, Rng& rng,
                              const AfterAutoencoderEpoch& after_epoch, Resumable* run) {
  Autoencoder model(set.features(), training.hidden, training.tied, rng);
  optim::Sgd<float> sgd(model.parameters(), {.momentum = training.momentum, .check_complete = true});
  data::BatchStream stream(set, training.batch, rng);
  std::optional<data::TrainingState::Scope> scope;
  if (run) {
    scope.emplace(run->state, "autoencoder");
    run->state.parameters("parameters", model.parameters());
    run->state.keep("sgd", sgd);
    run->state.keep("batches", stream);
    run->state.keep("rng", rng);
  }
  while (stream.epochs() < training.epochs) {
    const std::size_t epoch = stream.epochs() + 1;
    sgd.options.learning_rate = training.rate(stream.steps(), set.size());
    {
      const auto x = stream.next().x;
      Tape tape;
      const auto loss = loss_of(model.logits(dropped(x, training.drop, rng)), x, training.loss);
      tape.backward(loss);
      sgd.step();
      if (!std::isfinite(loss.item()))
        throw ValueError(
            fmt::format("the loss is no longer a number in epoch {}; try a smaller --learning-rate", epoch));
    }
    if (after_epoch && stream.between_epochs()) after_epoch(epoch, model, sgd.options.learning_rate);
    if (run) run->after_step();
  }
  return model;
}

}  // namespace examples
