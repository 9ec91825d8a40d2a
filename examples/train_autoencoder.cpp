// Trains an autoencoder with one hidden layer on digits, plain or denoising, and shows what it has learned.

#include <xtape/viz/png.hpp>

#include <fmt/format.h>

#include "autoencoder.hpp"
#include "machine.hpp"
#include "page.hpp"
#include "pictures.hpp"

namespace {

using namespace xtape;

struct Options : examples::CommonOptions {
  examples::ResumeOptions resume;
  examples::PageOptions page;
  examples::AutoencoderTraining training;
  std::string binarise = "none";
};

int train(const Options& options) {
  const auto& training = options.training;
  const data::Splits splits = examples::load_data(options);
  examples::check_filters("filters.png", training.hidden, splits.train.rows, splits.train.cols);
  examples::check_tiles("reconstructions.png", 60, splits.train.rows, splits.train.cols, 20);
  examples::Resumable run(options, options.resume);
  run.data(splits);
  Rng rng(options.seed);
  const auto train = examples::binarise(splits.train, options.binarise, rng);
  const auto valid = examples::binarise(splits.valid, options.binarise, rng);
  examples::say("{}: {} training, {} validation images of {} x {}\n", splits.name, train.size(), valid.size(),
                train.rows, train.cols);
  const auto x_train = images(data::head(train, 10'000)), x_valid = images(valid);

  examples::Csv csv(examples::out_path(options, "metrics.csv"),
                    {"epoch", "learning_rate", "train_loss", "valid_loss", "seconds"}, run.state);
  examples::EpochReport report(training.epochs, train.size());
  examples::LossCurves losses;
  report.keep_in(run.state);
  losses.keep_in(run.state, options.training.epochs);
  examples::Page page(options, options.page, {{"loss", training.loss + " an image", {"training", "validation"}}});
  page.keep_in(run.state);
  const auto show = [&](const examples::Autoencoder& now, std::size_t epoch) {
    page.picture("filters", examples::filters(now.W, train.rows, train.cols));
    page.table("so far", {},
               {{"epochs", fmt::format("{} of {}", epoch, training.epochs)},
                {"seconds", fmt::format("{:.1f}", report.seconds())}});
    page.write();
  };
  const auto model = examples::train_autoencoder(
      train, training, rng,
      [&](std::size_t epoch, const examples::Autoencoder& now, double rate) {
        const double seconds = report.training_ends();
        const double train_loss = examples::reconstruction_loss(now, x_train, training.loss);
        const double valid_loss = examples::reconstruction_loss(now, x_valid, training.loss);
        csv.row({static_cast<double>(epoch), rate, train_loss, valid_loss, seconds});
        losses.add(train_loss, valid_loss);
        page.add({train_loss, valid_loss});
        show(now, epoch);
        report.say(epoch, fmt::format("{} {:.2f}, validation {:.2f}", training.loss, train_loss, valid_loss));
        if (epoch == training.epochs) run.finish();
      },
      &run);

  examples::say("\nbest epoch {}: {} {:.2f} an image, validation {:.2f}\n", losses.best + 1, training.loss,
                losses.train[losses.best], losses.valid[losses.best]);
  examples::Summary summary(examples::out_path(options, "summary.csv"));
  losses.summarise(summary, "loss");
  summary.add("seconds", report.seconds());

  data::TensorFile<float> file{{{"W", model.W}, {"b", model.b}, {"c", model.c}}, {{"model", "autoencoder"}}};
  if (model.V.defined()) file.tensors["V"] = model.V;
  data::write_safetensors(examples::out_path(options, "autoencoder.safetensors"), file);
  viz::write_png(examples::out_path(options, "filters.png"), examples::filters(model.W, train.rows, train.cols));
  const auto shown = images(data::head(valid, 20)), given = examples::dropped(shown, training.drop, rng);
  std::vector lines{shown, sigmoid(model.logits(given)).detach()};
  if (training.drop > 0) lines.insert(lines.begin() + 1, given);
  const auto reconstructions = examples::lines_of_tiles(lines, train.rows, train.cols);
  viz::write_png(examples::out_path(options, "reconstructions.png"), reconstructions);
  page.picture("validation images and their reconstructions", reconstructions);
  show(model, training.epochs);
  losses.write(
      examples::out_path(options, "curves.png"),
      fmt::format("Autoencoder, {} hidden units, {:.0f} % of the inputs dropped", training.hidden, 100 * training.drop),
      training.loss + " an image");
  examples::say(
      "\nwritten to {}: metrics.csv, summary.csv, autoencoder.safetensors, filters.png, reconstructions.png, "
      "report.html\n",
      options.out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains an autoencoder with one hidden layer on digits, plain or denoising.", "train_autoencoder"};
  Options options;
  options.add_to(app, "out/autoencoder",
                 {"metrics.csv", "summary.csv", "autoencoder.safetensors", "filters.png", "reconstructions.png",
                  "curves.png", "report.html"});
  options.training.add_to(app);
  options.resume.add_to(app);
  options.page.add_to(app);
  examples::add_binarise_option(app, options.binarise);
  return examples::run(app, argc, argv, options, [&] { return train(options); });
}
