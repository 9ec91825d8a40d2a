// Trains a digit classifier: a multi-layer perceptron or a small convolutional net, by stochastic gradient
// descent with momentum. Validation data picks the epoch, test data judges it.

#include <xtape/mpi/gradient_average.hpp>
#include <xtape/viz/png.hpp>
#include <xtape/xtape.hpp>

#include <fmt/format.h>

#include <array>

#include "page.hpp"
#include "pictures.hpp"
#include "resumable.hpp"

namespace {

using namespace xtape;

struct Options : examples::CommonOptions {
  examples::ResumeOptions resume;
  examples::PageOptions page;
  std::string model = "conv";
  std::size_t epochs = 5, batch = 64, seeds = 1;
  double learning_rate = 0.0, momentum = 0.9;  // rate 0: the model's own
};

// From the pixels, (n, rows * cols), to the logits, (n, classes). The first parameter is shown as pictures.
using Model = nn::Sequential<float>;

constexpr std::size_t mlp_units = 100;

Model make_mlp(const data::Dataset& set, Rng& rng) {
  const nn::Linear<float> hidden(set.features(), mlp_units, rng), output(mlp_units, set.classes, rng);
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

Evaluation evaluate(const Model& model, const data::Dataset& set, const mpi::World& world) {
  std::vector<double> counts(set.classes * set.classes + 1);  // (true, predicted), and the sum of the losses
  for (const auto& [x, label] : data::batches(set, 256, world.shard())) {
    if (label.size() == 0) continue;
    const auto logits = model(x);
    counts.back() += static_cast<double>(cross_entropy(logits, label).item()) * static_cast<double>(label.size());
    const auto predicted = argmax(logits, 1);
    for (std::size_t i = 0; i < label.size(); ++i)
      ++counts[static_cast<std::size_t>(label[i]) * set.classes + predicted(i)];
  }
  world.sum(counts);
  Evaluation result{counts.back() / static_cast<double>(set.size()), 0, {counts.begin(), counts.end() - 1}};
  for (std::size_t i = 0; i < set.classes; ++i)
    result.accuracy += static_cast<double>(result.confusion[i * (set.classes + 1)]);
  result.accuracy /= static_cast<double>(set.size());
  return result;
}

std::vector<Tensor<float>> copies(const std::vector<Tensor<float>>& tensors) {
  std::vector<Tensor<float>> result;
  for (const auto& tensor : tensors) result.emplace_back(tensor.shape(), tensor.span());
  return result;
}

// The first layer's weights as tiles: one a hidden unit of the MLP, one a kernel of the net.
viz::GridOptions filter_options(const Options& options) {
  viz::GridOptions result{.normalise = viz::Normalise::per_tile, .palette = viz::Palette::diverging};
  result.scale = options.model == "mlp" ? 2 : 12;
  result.padding = options.model == "mlp" ? 1 : 4;
  return result;
}

viz::Image filters(const Options& options, const Model& model, const data::Dataset& set) {
  const Tensor<float>& first = model.parameters()[0];
  if (options.model == "mlp")
    return viz::grid(transpose(first).span(), first.shape()[1], set.rows, set.cols, filter_options(options));
  return viz::grid(first.span(), first.shape()[0], first.shape()[2], first.shape()[3], filter_options(options));
}

// What became of each seed so far.
struct Outcomes {
  std::vector<double> best_epoch, valid, test, seconds;  // accuracies in percent

  // Of all seeds but the last at most, which ends the run.
  void keep_in(data::TrainingState& state, std::size_t seeds) {
    state.keep("test", test, {.most = seeds - 1});
    const auto as_many = data::ListLength::exactly(test.size());
    state.keep("best epochs", best_epoch, as_many);
    state.keep("validation", valid, as_many);
    state.keep("seconds", seconds, as_many);
  }
};

// Trains one model, adds what becomes of it, and returns it with the parameters of its best epoch. Each process works
// on its rows of each batch, and all have the same gradients and figures.
Model train(const Options& options, const data::Splits& data, std::uint64_t seed, bool last, examples::Csv& csv,
            examples::Page& page, Outcomes& outcomes, examples::Resumable& run, const mpi::World& world) {
  Rng rng(seed);
  const Model model = options.model == "mlp" ? make_mlp(data.train, rng) : make_conv(data.train, rng);
  const double rate = options.learning_rate > 0 ? options.learning_rate : (options.model == "mlp" ? 0.1 : 0.05);
  optim::Sgd sgd{model.parameters(), {.learning_rate = rate, .momentum = options.momentum, .check_complete = true}};

  mpi::GradientAverage<float> average(world, model.parameters());
  data::BatchStream stream(data.train, options.batch, rng, world.shard());
  auto best = copies(model.parameters());
  std::size_t best_epoch = 0, seen = 0;
  double best_accuracy = 0, loss_sum = 0, right_sum = 0, seconds = 0;
  const auto scope = run.state.scope("training");
  run.state.parameters("model", model.parameters());
  run.state.parameters("best model", best);
  run.state.keep("sgd", sgd);
  run.state.keep("batches", stream);
  run.state.keep("rng", rng);
  run.state.keep("best epoch", best_epoch, options.epochs);
  run.state.keep("best accuracy", best_accuracy);
  run.state.keep("loss", loss_sum);
  run.state.keep("right", right_sum);
  run.state.keep("seen", seen, data.train.size());
  run.state.keep("seconds", seconds);

  world.broadcast(model.parameters());

  examples::Progress progress;
  examples::Stopwatch watch;
  std::size_t seen_before = seen;  // in this epoch, before an interruption
  const std::size_t steps = (data.train.size() + options.batch - 1) / options.batch;
  while (stream.epochs() < options.epochs) {
    const std::size_t epoch = stream.epochs() + 1;
    // The rate falls linearly to a twentieth: large steps first, small ones to settle.
    sgd.options.learning_rate =
        schedule::linear(rate, rate / 20, schedule::progress(stream.steps(), steps * options.epochs));
    std::array<double, 3> figures{0, 0, run.wish()};
    auto& [loss_of_batch, right, wishes] = figures;
    const auto [x, label] = stream.next();
    Tape tape;
    if (label.size() > 0) {  // not more processes than images
      const auto logits = model(x);
      const auto loss = cross_entropy(logits, label);
      average.start(tape, stream.rows().share());
      tape.backward(loss);
      loss_of_batch = static_cast<double>(loss.item()) * static_cast<double>(label.size());
      const auto predicted = argmax(logits, 1);
      for (std::size_t i = 0; i < label.size(); ++i) right += predicted(i) == static_cast<std::size_t>(label[i]);
    }
    average.finish(figures);  // from here on they are the whole batch's
    sgd.step();
    loss_sum += loss_of_batch;
    right_sum += right;
    seen += stream.rows().of;
    const double loss = loss_sum / static_cast<double>(seen), accuracy = right_sum / static_cast<double>(seen),
                 speed = static_cast<double>(seen - seen_before) / watch.seconds();
    progress.update(fmt::format(
        "epoch {}/{}  {:3.0f} %  loss {:.4f}  accuracy {:.2f} %  {:.0f} images/s", epoch, options.epochs,
        100.0 * static_cast<double>(seen) / static_cast<double>(data.train.size()), loss, 100.0 * accuracy, speed));
    if (!std::isfinite(loss_sum))
      throw ValueError(fmt::format("the loss is no longer a number in epoch {}; try a smaller --learning-rate", epoch));
    if (stream.between_epochs()) {
      const Evaluation valid = evaluate(model, data.valid, world);
      progress.finish(
          fmt::format("epoch {}/{}  loss {:.4f}  accuracy {:.2f} %  validation {:.4f}  {:.2f} %  {:.0f} images/s",
                      epoch, options.epochs, loss, 100 * accuracy, valid.loss, 100 * valid.accuracy, speed));
      csv.row({static_cast<double>(seed), static_cast<double>(epoch), loss, accuracy, valid.loss, valid.accuracy,
               watch.seconds()});
      page.add({loss, valid.loss, 100 * accuracy, 100 * valid.accuracy});
      page.picture("filters", filters(options, model, data.train));
      page.write();
      if (best_epoch == 0 || valid.accuracy > best_accuracy) {
        best_epoch = epoch;
        best_accuracy = valid.accuracy;
        for (std::size_t i = 0; i < best.size(); ++i) best[i].assign(model.parameters()[i]);
      }
      seconds += watch.seconds();
      watch = {};
      loss_sum = right_sum = 0;
      seen = seen_before = 0;
      if (last && epoch == options.epochs) run.finish();
    }
    run.after_step(wishes);
  }
  auto parameters = model.parameters();
  for (std::size_t i = 0; i < best.size(); ++i) parameters[i].assign(best[i]);
  outcomes.best_epoch.push_back(static_cast<double>(best_epoch));
  outcomes.valid.push_back(100 * best_accuracy);
  outcomes.test.push_back(100 * evaluate(model, data.test, world).accuracy);
  outcomes.seconds.push_back(seconds);
  return model;
}

void save(const std::string& path, const Options& options, const Model& model) {
  data::TensorFile<float> file{{}, {{"model", options.model}}};
  const auto& parameters = model.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) file.tensors[fmt::format("parameter {}", i)] = parameters[i];
  data::write_safetensors(path, file);
}

int train_all(const Options& options, const mpi::World& world) {
  const data::Splits data = examples::load_data(options);
  if (options.model == "mlp")
    examples::check_picture("filters.png", mlp_units, data.train.rows, data.train.cols, filter_options(options));
  examples::say("{}: {} training, {} validation, {} test images of {} x {}\n", data.name, data.train.size(),
                data.valid.size(), data.test.size(), data.train.rows, data.train.cols);
  examples::Resumable run(options, options.resume, world);
  run.data(data);
  examples::Csv csv(examples::out_path(options, "metrics.csv"),
                    {"seed", "epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "seconds"},
                    run.state);
  examples::Page page(
      options, options.page,
      {{"cross-entropy", "nats", {"training", "validation"}}, {"accuracy", "%", {"training", "validation"}}});
  page.keep_in(run.state);
  Outcomes outcomes;
  outcomes.keep_in(run.state, options.seeds);
  Model model;
  while (outcomes.test.size() < options.seeds) {
    const std::size_t i = outcomes.test.size();
    if (options.seeds > 1) examples::say("seed {}\n", options.seed + i);
    if (i > 0) page.next_model();
    model = train(options, data, options.seed + i, i + 1 == options.seeds, csv, page, outcomes, run, world);
  }
  const Evaluation tested = evaluate(model, data.test, world);
  if (!world.first()) return 0;

  examples::say("\n{:>6} {:>11} {:>12} {:>9} {:>9}\n", "seed", "best epoch", "validation", "test", "seconds");
  const auto &valid = outcomes.valid, &test = outcomes.test;
  for (std::size_t i = 0; i < test.size(); ++i)
    examples::say("{:>6} {:>11} {:>10.2f} % {:>7.2f} % {:>9.1f}\n", options.seed + i, outcomes.best_epoch[i], valid[i],
                  test[i], outcomes.seconds[i]);
  if (test.size() > 1) {
    const auto [valid_mean, valid_error] = examples::mean_error(valid);
    const auto [test_mean, test_error] = examples::mean_error(test);
    examples::say("  mean {:>11} {:>10.2f} % {:>7.2f} %\n    +- {:>11} {:>10.2f} % {:>7.2f} %   (standard error)\n", "",
                  valid_mean, test_mean, "", valid_error, test_error);
  }

  save(examples::out_path(options, "classifier.safetensors"), options, model);
  const auto weights = filters(options, model, data.train);
  const auto mistakes = viz::confusion_matrix(tested.confusion, data.test.classes);
  viz::write_png(examples::out_path(options, "filters.png"), weights);
  viz::write_png(examples::out_path(options, "confusion.png"), mistakes);
  page.picture("filters", weights);
  page.picture("confusion matrix of the test images", mistakes);
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < test.size(); ++i)
    rows.push_back({fmt::format("{}", options.seed + i), fmt::format("{:.0f}", outcomes.best_epoch[i]),
                    fmt::format("{:.2f} %", valid[i]), fmt::format("{:.2f} %", test[i]),
                    fmt::format("{:.1f}", outcomes.seconds[i])});
  page.table("result", {"seed", "best epoch", "validation", "test", "seconds"}, rows);
  page.write();
  examples::say("\nwritten to {}: metrics.csv, classifier.safetensors, filters.png, confusion.png, report.html\n",
                options.out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a digit classifier and shows its filters and its mistakes.", "train_classifier"};
  Options options;
  options.add_to(app, "out/classifier",
                 {"metrics.csv", "classifier.safetensors", "filters.png", "confusion.png", "report.html"});
  app.add_option("--model", options.model, "mlp: 784-100-10; conv: two convolutions and two dense layers")
      ->check(CLI::IsMember({"mlp", "conv"}))
      ->capture_default_str();
  app.add_option("--epochs", options.epochs, "passes over the training data")
      ->transform(examples::whole(1, 100000))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "images in a step")
      ->transform(examples::whole(1, 1000000))
      ->capture_default_str();
  app.add_option("--learning-rate", options.learning_rate, "at the start (default: 0.1 for mlp, 0.05 for conv)")
      ->transform(examples::positive());
  app.add_option("--momentum", options.momentum, "of the updates")
      ->transform(examples::between(0.0, 0.999))
      ->capture_default_str();
  app.add_option("--seeds", options.seeds, "train that many models, from consecutive seeds")
      ->transform(examples::whole(1, 1000))
      ->capture_default_str();
  options.resume.add_to(app);
  options.page.add_to(app);
  return examples::run(app, argc, argv, options, [&](const mpi::World& world) { return train_all(options, world); });
}
