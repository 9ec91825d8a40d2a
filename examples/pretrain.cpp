// Does pretraining help? A classifier, pixels - hidden sigmoid units - softmax, is fine-tuned from random weights and
// from those of a restricted Boltzmann machine, an autoencoder and a denoising autoencoder. Each method gets the
// learning rate and the length of pretraining that suit it best on validation data; test data judge.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "autoencoder.hpp"
#include "machine.hpp"
#include "page.hpp"
#include "pictures.hpp"

namespace {

using namespace xtape;

const std::vector<std::string> all_methods = {"none", "rbm", "autoencoder", "denoising"};

struct Options : examples::CommonOptions {
  examples::ResumeOptions resume;
  examples::PageOptions page;
  std::vector<std::string> methods = all_methods;
  std::vector<double> rates = {0.1, 0.5};
  std::vector<std::size_t> pretrain_epochs = {10};
  std::size_t hidden = 100, seeds = 5, epochs = 200, batch = 32, k = 1;
  double pretrain_rate = 0.1, drop = 0.1;
};

// The first layer.
struct Layer {
  Tensor<float> W, b;
};

Layer pretrained(const Options& options, const std::string& method, std::size_t epochs, const data::Dataset& train,
                 std::uint64_t seed, examples::Resumable& run) {
  Rng rng(seed, 1);
  if (method == "none")
    return {init::normal<float>({train.features(), options.hidden}, 0.F, 0.1F, rng), zeros<float>({options.hidden})};
  examples::Training common;
  common.hidden = options.hidden;
  common.epochs = epochs;
  common.batch = options.batch;
  common.learning_rate = options.pretrain_rate;
  if (method == "rbm") {
    const auto rbm = examples::train_machine(train, {common, options.k}, rng, {}, &run);
    return {rbm.W, rbm.a};
  }
  const auto model =
      examples::train_autoencoder(train, {common, method == "denoising" ? options.drop : 0.0}, rng, {}, &run);
  return {model.W, model.b};
}

struct Classifier {
  Tensor<float> W1, b1, W2, b2;
  Tensor<float> logits(const Tensor<float>& x) const { return matmul(sigmoid(matmul(x, W1) + b1), W2) + b2; }
  double accuracy(const data::Dataset& set) const {
    std::size_t right = 0;
    for (const auto& [x, label] : data::batches(set, 500)) {
      const auto predicted = argmax(logits(x), 1);
      for (std::size_t i = 0; i < label.size(); ++i) right += predicted(i) == static_cast<std::size_t>(label[i]);
    }
    return static_cast<double>(right) / static_cast<double>(set.size());
  }
};

struct Outcome {
  std::size_t best_epoch = 0;
  double valid = 0, test = 0;      // in percent, at the best epoch on validation data
  std::vector<double> curve = {};  // validation accuracy after each epoch; all 0 if the loss went out of range
};

// All methods see the same batches and start with the same second layer for a seed: their differences are paired.
Outcome fine_tune(const Options& options, const Layer& first, double rate, const data::Splits& data, std::uint64_t seed,
                  examples::Resumable& run) {
  Rng rng(seed, 2);
  const Classifier model{parameter(first.W.detach()), parameter(first.b.detach()),
                         parameter(init::normal<float>({options.hidden, data.train.classes}, 0.F, 0.1F, rng)),
                         parameter(zeros<float>({data.train.classes}))};
  optim::Sgd sgd{{model.W1, model.b1, model.W2, model.b2}, {.learning_rate = rate, .check_complete = true}};
  data::BatchStream stream(data.train, options.batch, rng);
  Outcome outcome;
  const auto scope = run.state.scope("fine-tuning");
  run.state.parameters("model", std::vector{model.W1, model.b1, model.W2, model.b2});
  run.state.keep("sgd", sgd);
  run.state.keep("batches", stream);
  run.state.keep("rng", rng);
  const std::size_t epochs = std::min(stream.epochs(), options.epochs);
  run.state.keep("best epoch", outcome.best_epoch, epochs);
  run.state.keep("validation", outcome.valid);
  run.state.keep("test", outcome.test);
  run.state.keep("curve", outcome.curve, data::ListLength::exactly(epochs));
  while (stream.epochs() < options.epochs) {
    {
      const auto [x, label] = stream.next();
      Tape tape;
      const auto loss = cross_entropy(model.logits(x), label);
      tape.backward(loss);
      sgd.step();
      if (!std::isfinite(loss.item())) return {.curve = std::vector<double>(options.epochs, 0.0)};
    }
    if (stream.between_epochs()) {
      outcome.curve.push_back(100 * model.accuracy(data.valid));
      if (outcome.best_epoch == 0 || outcome.curve.back() > outcome.valid) {
        outcome.best_epoch = stream.epochs();
        outcome.valid = outcome.curve.back();
        outcome.test = 100 * model.accuracy(data.test);
      }
    }
    run.after_step();
  }
  return outcome;
}

// A method with one choice of settings, and how it fared with each seed.
struct Trial {
  std::string method;
  std::size_t pretrain_epochs;
  double rate;
  std::vector<Outcome> outcomes;

  bool diverged() const {
    return std::any_of(outcomes.begin(), outcomes.end(), [](const Outcome& o) { return o.best_epoch == 0; });
  }
  std::vector<double> each(double Outcome::*figure) const {
    std::vector<double> values;
    for (const auto& outcome : outcomes) values.push_back(outcome.*figure);
    return values;
  }
};

// Figures of finished trials in a row, and back.
void append(std::vector<double>& figures, const Outcome& outcome) {
  figures.insert(figures.end(), {static_cast<double>(outcome.best_epoch), outcome.valid, outcome.test});
  figures.insert(figures.end(), outcome.curve.begin(), outcome.curve.end());
}
Outcome outcome_at(const std::vector<double>& figures, std::size_t index, std::size_t epochs) {
  const double* const at = figures.data() + index * (3 + epochs);
  if (!(at[0] >= 0 && at[0] <= static_cast<double>(epochs)))
    throw DataError(fmt::format("the checkpoint has {} as the best of {} epochs", at[0], epochs));
  return {static_cast<std::size_t>(at[0]), at[1], at[2], {at + 3, at + 3 + epochs}};
}

// Mean and standard error, as printed.
std::string text(const std::vector<double>& values) {
  if (values.empty()) return "";
  const auto [mean, error] = examples::mean_error(values);
  return values.size() > 1 ? fmt::format("{:.2f} +- {:.2f}", mean, error) : fmt::format("{:.2f}", mean);
}

void show(examples::Page& page, const std::vector<Trial>& trials) {
  std::vector<std::vector<std::string>> rows;
  for (const Trial& trial : trials)
    rows.push_back({trial.method, fmt::format("{}", trial.pretrain_epochs), fmt::format("{}", trial.rate),
                    fmt::format("{}", trial.outcomes.size()), text(trial.each(&Outcome::valid)),
                    text(trial.each(&Outcome::test))});
  page.table("methods", {"pretraining", "its epochs", "learning rate", "seeds", "validation %", "test %"}, rows);
  page.write();
}

std::vector<Trial> run_trials(const Options& options, const data::Splits& data, examples::Page& page) {
  std::vector<Trial> trials;
  for (const auto& method : options.methods)
    for (const std::size_t epochs : method == "none" ? std::vector<std::size_t>{0} : options.pretrain_epochs)
      for (const double rate : options.rates) trials.push_back({method, epochs, rate, {}});

  examples::Resumable run(options, options.resume);
  run.data(data);
  examples::Csv csv(examples::out_path(options, "metrics.csv"),
                    {"method", "pretrain_epochs", "learning_rate", "seed", "best_epoch", "valid_accuracy",
                     "test_accuracy", "seconds"},
                    run.state);
  examples::Progress progress;
  const examples::Stopwatch total;
  const std::size_t runs = trials.size() * options.seeds;
  std::vector<double> figures;  // of all runs so far
  std::size_t done = 0;
  run.state.keep("done", done, runs);
  run.state.keep("figures", figures, data::ListLength::exactly(done * (3 + options.epochs)));
  for (std::size_t i = 0; i < done; ++i)
    trials[i % trials.size()].outcomes.push_back(outcome_at(figures, i, options.epochs));
  // First layers of this seed: those of a method and a length serve at every rate.
  std::map<std::pair<std::string, std::size_t>, Layer> layers;
  for (const Trial& trial : trials) layers[{trial.method, trial.pretrain_epochs}] = {};
  for (auto& [which, layer] : layers) {
    run.state.keep(fmt::format("W {} {}", which.first, which.second), layer.W, {data.train.features(), options.hidden});
    run.state.keep(fmt::format("b {} {}", which.first, which.second), layer.b, {options.hidden});
    if (layer.W.defined() != layer.b.defined())
      throw DataError(fmt::format("the checkpoint has half of the first layer of {}", which.first));
  }
  const std::size_t done_before = done;
  show(page, trials);
  while (done < runs) {
    const std::uint64_t seed = options.seed + done / trials.size();
    Trial& trial = trials[done % trials.size()];
    const examples::Stopwatch watch;
    Layer& first = layers.at({trial.method, trial.pretrain_epochs});
    if (!first.W.defined()) first = pretrained(options, trial.method, trial.pretrain_epochs, data.train, seed, run);
    const Outcome outcome = fine_tune(options, first, trial.rate, data, seed, run);
    csv.row(trial.method, {static_cast<double>(trial.pretrain_epochs), trial.rate, static_cast<double>(seed),
                           static_cast<double>(outcome.best_epoch), outcome.valid, outcome.test, watch.seconds()});
    append(figures, outcome);
    trial.outcomes.push_back(outcome);
    show(page, trials);
    if (++done % trials.size() == 0) {
      progress.finish(fmt::format("seed {} of {} done", done / trials.size(), options.seeds));
      for (auto& [which, layer] : layers) layer = {};
    } else {
      progress.update(fmt::format("run {}/{}  {} left", done, runs,
                                  examples::duration(total.seconds() / static_cast<double>(done - done_before) *
                                                     static_cast<double>(runs - done))));
    }
    if (done < runs)
      run.after_step();
    else
      run.finish();
  }
  return trials;
}

std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (std::size_t i = 0; i < a.size(); ++i) result.push_back(a[i] - b[i]);
  return result;
}

void report(const Options& options, const std::vector<Trial>& trials, examples::Page& page) {
  // The best of each method on validation data.
  std::map<std::string, const Trial*> chosen;
  for (const Trial& trial : trials) {
    const Trial*& best = chosen[trial.method];
    const auto valid = [](const Trial& t) { return examples::mean_error(t.each(&Outcome::valid)).mean; };
    if (!best || valid(trial) > valid(*best)) best = &trial;
  }
  examples::say("\n{:<12} {:>15} {:>14} {:>16} {:>16}\n", "pretraining", "its epochs", "learning rate", "validation %",
                "test %");
  for (const Trial& trial : trials)
    examples::say("{:<12} {:>15} {:>14} {:>16} {:>16}{}\n", trial.method, trial.pretrain_epochs, trial.rate,
                  text(trial.each(&Outcome::valid)), text(trial.each(&Outcome::test)),
                  trial.diverged()                 ? "  diverged"
                  : chosen[trial.method] == &trial ? "  chosen"
                                                   : "");

  examples::Summary summary(examples::out_path(options, "summary.csv"));
  std::vector<viz::Series> curves;
  const auto plain = chosen.find("none");
  if (plain != chosen.end() && chosen.size() > 1)
    examples::say("\ntest accuracy against random weights, paired by seed:\n");
  for (const auto& method : options.methods) {
    const Trial& best = *chosen[method];
    const auto valid = examples::mean_error(best.each(&Outcome::valid)),
               test = examples::mean_error(best.each(&Outcome::test));
    summary.add(method + "_valid", valid.mean);
    summary.add(method + "_valid_error", valid.error);
    summary.add(method + "_test", test.mean);
    summary.add(method + "_test_error", test.error);
    summary.add(method + "_pretrain_epochs", static_cast<double>(best.pretrain_epochs));
    summary.add(method + "_rate", best.rate);
    if (plain != chosen.end() && method != "none") {
      const auto gain = differences(best.each(&Outcome::test), plain->second->each(&Outcome::test));
      examples::say("  {:<12} {} points\n", method, text(gain));
      summary.add(method + "_gain", examples::mean_error(gain).mean);
      summary.add(method + "_gain_error", examples::mean_error(gain).error);
    }
    viz::Series curve{.label = method == "none" ? "random" : method};
    for (std::size_t epoch = 0; epoch < options.epochs; ++epoch) {
      double mean = 0;
      for (const auto& outcome : best.outcomes) mean += outcome.curve[epoch] / static_cast<double>(options.seeds);
      curve.x.push_back(static_cast<double>(epoch + 1));
      curve.y.push_back(mean);
    }
    curves.push_back(std::move(curve));
  }
  examples::write_curves(examples::out_path(options, "curves.png"),
                         {.title = fmt::format("{} hidden units, mean of {} seeds", options.hidden, options.seeds),
                          .x_label = "epoch of fine-tuning",
                          .y_label = "validation accuracy, %",
                          .series = curves});
  for (std::size_t epoch = 0; epoch < options.epochs; ++epoch) {
    std::vector<double> values;
    for (const auto& curve : curves) values.push_back(curve.y[epoch]);
    page.add(values);
  }
  page.write();
  examples::say("\nwritten to {}: metrics.csv, summary.csv, report.html\n", options.out);
}

int compare(const Options& options) {
  for (const auto& method : options.methods)
    if (std::count(options.methods.begin(), options.methods.end(), method) > 1)
      throw ValueError(fmt::format("--methods: {} is listed twice", method));
  const data::Splits data = examples::load_data(options);
  examples::say("{}: {} training, {} validation, {} test images; {}-{}-{}, {} seeds\n", data.name, data.train.size(),
                data.valid.size(), data.test.size(), data.train.features(), options.hidden, data.train.classes,
                options.seeds);
  std::vector<std::string> labels;
  for (const auto& method : options.methods) labels.push_back(method == "none" ? "random" : method);
  examples::Page page(options, options.page, {{"validation accuracy, mean of the seeds", "%", labels}});
  report(options, run_trials(options, data, page), page);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Compares ways to pretrain a digit classifier.", "pretrain"};
  Options options;
  options.add_to(app, "out/pretrain", {"metrics.csv", "summary.csv", "curves.png", "report.html"});
  app.add_option("--methods", options.methods, "some of none, rbm, autoencoder, denoising")
      ->delimiter(',')
      ->check(CLI::IsMember(all_methods))
      ->capture_default_str();
  app.add_option("--hidden", options.hidden, "hidden units")
      ->transform(examples::whole(1, 100000))
      ->capture_default_str();
  app.add_option("--seeds", options.seeds, "runs of each, from consecutive seeds")
      ->transform(examples::whole(1, 1000))
      ->capture_default_str();
  app.add_option("--epochs", options.epochs, "of fine-tuning")
      ->transform(examples::whole(1, 100000))
      ->capture_default_str();
  app.add_option("--rates", options.rates, "learning rates of fine-tuning to choose from")
      ->delimiter(',')
      ->transform(examples::positive())
      ->capture_default_str();
  app.add_option("--pretrain-epochs", options.pretrain_epochs, "lengths of pretraining to choose from")
      ->delimiter(',')
      ->transform(examples::whole(1, 100000))
      ->capture_default_str();
  app.add_option("--pretrain-rate", options.pretrain_rate, "learning rate of pretraining")
      ->transform(examples::positive())
      ->capture_default_str();
  app.add_option("--k", options.k, "Gibbs steps of contrastive divergence")
      ->transform(examples::whole(1, 10000))
      ->capture_default_str();
  app.add_option("--drop", options.drop, "share of the inputs dropped for the denoising autoencoder")
      ->transform(examples::between(0.0, 0.99))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "images in a step")
      ->transform(examples::whole(1, 1000000))
      ->capture_default_str();
  options.resume.add_to(app);
  options.page.add_to(app);
  return examples::run(app, argc, argv, options, [&] { return compare(options); });
}
