// Trains a digit classifier: a multi-layer perceptron or a small convolutional net, by stochastic gradient
// descent with momentum. Validation data picks the epoch, test data judges it.

#include <xtape/viz/png.hpp>
#include <xtape/xtape.hpp>

#include <fmt/format.h>

#include "common.hpp"

namespace {

using namespace xtape;

struct Options : examples::CommonOptions {
  std::string model = "conv";
  std::size_t epochs = 5, batch = 64, seeds = 1;
  double learning_rate = 0.0, momentum = 0.9;  // rate 0: the model's own
};

// From the pixels, (n, rows * cols), to the logits, (n, classes). The first parameter is shown as pictures.
using Model = nn::Sequential<float>;

Model make_mlp(const data::Dataset& set, Rng& rng) {
  const nn::Linear<float> hidden(set.features(), 100, rng), output(100, set.classes, rng);
  return Model{hidden, relu<float>, output};
}

Model make_conv(const data::Dataset& set, Rng& rng) {
  // 5x5 kernels and pooling by 2, twice over.
  const auto after = [](std::size_t side) { return ((side - 4) / 2 - 4) / 2; };
  if (set.rows < 16 || set.cols < 16) throw ShapeError("conv: images of at least 16 x 16 are needed");
  const auto as_images = [rows = set.rows, cols = set.cols](const Tensor<float>& pixels) {
    return reshape(pixels, Shape{pixels.shape(0), 1, rows, cols});
  };
  const auto pool = [](const Tensor<float>& x) { return max_pool2d(x); };
  const auto flat = [](const Tensor<float>& x) { return flatten(x); };
  const nn::Conv2d<float> conv1(1, 16, 5, rng), conv2(16, 32, 5, rng);
  const nn::Linear<float> dense1(32 * after(set.rows) * after(set.cols), 128, rng), dense2(128, set.classes, rng);
  return Model{as_images, conv1, relu<float>, pool, conv2, relu<float>, pool, flat, dense1, relu<float>, dense2};
}

struct Evaluation {
  double loss = 0, accuracy = 0;
  std::vector<std::size_t> confusion;  // (true, predicted)
};

Evaluation evaluate(const Model& model, const data::Dataset& set) {
  Evaluation result;
  result.confusion.resize(set.classes * set.classes);
  std::size_t right = 0;
  for (const auto& [x, label] : data::batches(set, 256)) {
    const auto logits = model(x);
    result.loss += static_cast<double>(cross_entropy(logits, label).item()) * static_cast<double>(label.size());
    const auto predicted = argmax(logits, 1);
    for (std::size_t i = 0; i < label.size(); ++i) {
      const auto truth = static_cast<std::size_t>(label[i]);
      right += predicted(i) == truth;
      ++result.confusion[truth * set.classes + predicted(i)];
    }
  }
  result.loss /= static_cast<double>(set.size());
  result.accuracy = static_cast<double>(right) / static_cast<double>(set.size());
  return result;
}

std::vector<Tensor<float>> copies(const std::vector<Tensor<float>>& tensors) {
  std::vector<Tensor<float>> result;
  for (const auto& tensor : tensors) result.emplace_back(tensor.shape(), tensor.span());
  return result;
}

// Trains one model and leaves it with the parameters of its best epoch.
struct Outcome {
  Model model;
  std::size_t best_epoch = 0;
  Evaluation valid, test;
  double seconds = 0;
};

Outcome train(const Options& options, const data::Splits& data, std::uint64_t seed, examples::Csv& csv) {
  Rng rng(seed);
  Outcome outcome;
  outcome.model = options.model == "mlp" ? make_mlp(data.train, rng) : make_conv(data.train, rng);
  const Model& model = outcome.model;
  const double rate = options.learning_rate > 0 ? options.learning_rate : (options.model == "mlp" ? 0.1 : 0.05);
  optim::Sgd sgd{model.parameters(), {.learning_rate = rate, .momentum = options.momentum}};

  auto best = copies(model.parameters());
  examples::Progress progress;
  const examples::Stopwatch total;
  const std::size_t steps = (data.train.size() + options.batch - 1) / options.batch;
  for (std::size_t epoch = 1, step = 0; epoch <= options.epochs; ++epoch) {
    const examples::Stopwatch watch;
    double loss_sum = 0;
    std::size_t right = 0, seen = 0;
    for (const auto& [x, label] : data::batches(data.train, options.batch, rng)) {
      // The rate falls linearly to a twentieth: large steps first, small ones to settle.
      sgd.options.learning_rate = schedule::linear(rate, rate / 20, schedule::progress(step++, steps * options.epochs));
      Tape tape;
      const auto logits = model(x);
      const auto loss = cross_entropy(logits, label);
      tape.backward(loss);
      sgd.step();
      loss_sum += static_cast<double>(loss.item()) * static_cast<double>(label.size());
      const auto predicted = argmax(logits, 1);
      for (std::size_t i = 0; i < label.size(); ++i) right += predicted(i) == static_cast<std::size_t>(label[i]);
      seen += label.size();
      progress.update(fmt::format(
          "epoch {}/{}  {:3.0f} %  loss {:.4f}  accuracy {:.2f} %  {:.0f} images/s", epoch, options.epochs,
          100.0 * static_cast<double>(seen) / static_cast<double>(data.train.size()),
          loss_sum / static_cast<double>(seen), 100.0 * static_cast<double>(right) / static_cast<double>(seen),
          static_cast<double>(seen) / watch.seconds()));
      if (!std::isfinite(loss_sum))
        throw ValueError(
            fmt::format("the loss is no longer a number in epoch {}; try a smaller --learning-rate", epoch));
    }
    const double speed = static_cast<double>(seen) / watch.seconds();
    const Evaluation valid = evaluate(model, data.valid);
    const double loss = loss_sum / static_cast<double>(seen),
                 accuracy = static_cast<double>(right) / static_cast<double>(seen);
    progress.finish(
        fmt::format("epoch {}/{}  loss {:.4f}  accuracy {:.2f} %  validation {:.4f}  {:.2f} %  {:.0f} images/s", epoch,
                    options.epochs, loss, 100 * accuracy, valid.loss, 100 * valid.accuracy, speed));
    csv.row({static_cast<double>(seed), static_cast<double>(epoch), loss, accuracy, valid.loss, valid.accuracy,
             watch.seconds()});
    if (outcome.best_epoch == 0 || valid.accuracy > outcome.valid.accuracy) {
      outcome.best_epoch = epoch;
      outcome.valid = valid;
      best = copies(model.parameters());
    }
  }
  outcome.seconds = total.seconds();
  auto parameters = model.parameters();
  for (std::size_t i = 0; i < best.size(); ++i) parameters[i].assign(best[i]);
  outcome.test = evaluate(model, data.test);
  return outcome;
}

// The first layer's weights as tiles: one a hidden unit of the MLP, one a kernel of the net.
viz::Image filters(const Options& options, const Model& model, const data::Dataset& set) {
  const Tensor<float>& first = model.parameters()[0];
  if (options.model == "mlp")
    return viz::grid(transpose(first).span(), first.shape()[1], set.rows, set.cols,
                     {.scale = 2, .normalise = viz::Normalise::per_tile, .palette = viz::Palette::diverging});
  return viz::grid(
      first.span(), first.shape()[0], first.shape()[2], first.shape()[3],
      {.scale = 12, .padding = 4, .normalise = viz::Normalise::per_tile, .palette = viz::Palette::diverging});
}

int train_all(const Options& options) {
  const data::Splits data = examples::load_data(options);
  fmt::print("{}: {} training, {} validation, {} test images of {} x {}\n", data.name, data.train.size(),
             data.valid.size(), data.test.size(), data.train.rows, data.train.cols);
  examples::Csv csv(examples::out_path(options, "metrics.csv"),
                    {"seed", "epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "seconds"});
  std::vector<Outcome> outcomes;
  for (std::size_t i = 0; i < options.seeds; ++i) {
    if (options.seeds > 1) fmt::print("seed {}\n", options.seed + i);
    outcomes.push_back(train(options, data, options.seed + i, csv));
  }

  fmt::print("\n{:>6} {:>11} {:>12} {:>9} {:>9}\n", "seed", "best epoch", "validation", "test", "seconds");
  std::vector<double> valid, test;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const Outcome& o = outcomes[i];
    valid.push_back(100 * o.valid.accuracy);
    test.push_back(100 * o.test.accuracy);
    fmt::print("{:>6} {:>11} {:>10.2f} % {:>7.2f} % {:>9.1f}\n", options.seed + i, o.best_epoch, valid.back(),
               test.back(), o.seconds);
  }
  if (outcomes.size() > 1) {
    const auto [valid_mean, valid_error] = examples::mean_error(valid);
    const auto [test_mean, test_error] = examples::mean_error(test);
    fmt::print("  mean {:>11} {:>10.2f} % {:>7.2f} %\n    +- {:>11} {:>10.2f} % {:>7.2f} %   (standard error)\n", "",
               valid_mean, test_mean, "", valid_error, test_error);
  }

  const Outcome& last = outcomes.back();
  viz::write_png(examples::out_path(options, "filters.png"), filters(options, last.model, data.train));
  viz::write_png(examples::out_path(options, "confusion.png"),
                 viz::confusion_matrix(last.test.confusion, data.test.classes));
  fmt::print("\nwritten to {}: metrics.csv, filters.png, confusion.png\n", options.out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a digit classifier and shows its filters and its mistakes.", "train_classifier"};
  Options options;
  options.add_to(app, "out/classifier");
  app.add_option("--model", options.model, "mlp: 784-100-10; conv: two convolutions and two dense layers")
      ->check(CLI::IsMember({"mlp", "conv"}))
      ->capture_default_str();
  app.add_option("--epochs", options.epochs, "passes over the training data")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "images in a step")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--learning-rate", options.learning_rate, "at the start (default: 0.1 for mlp, 0.05 for conv)")
      ->check(examples::positive());
  app.add_option("--momentum", options.momentum, "of the updates")
      ->check(examples::between(0.0, 0.999))
      ->capture_default_str();
  app.add_option("--seeds", options.seeds, "train that many models, from consecutive seeds")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  return examples::run(app, argc, argv, options, [&] { return train_all(options); });
}
