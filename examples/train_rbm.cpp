// Trains a restricted Boltzmann machine on digits by contrastive divergence, and shows what it has learned.

#include <xtape/mpi/world.hpp>
#include <xtape/viz/png.hpp>

#include <fmt/format.h>

#include "machine.hpp"
#include "page.hpp"
#include "pictures.hpp"

namespace {

using namespace xtape;

struct Options : examples::CommonOptions {
  examples::ResumeOptions resume;
  examples::PageOptions page;
  examples::MachineTraining training;
  std::string binarise = "none";
  std::size_t ais_temperatures = 0, ais_chains = 100, sample_steps = 1000;
};

// Binary images: as the machine has seen them if those were binary, else cut at a half.
Tensor<float> binary_images(const data::Dataset& set, const Options& options) {
  return images(options.binarise == "none" ? data::binarised(set) : set);
}

// By annealed importance sampling.
void measure_likelihood(const Options& options, const Rbm<float>& rbm, const Tensor<float>& train,
                        const Tensor<float>& test, Rng& rng, examples::Summary& summary) {
  const auto z = examples::estimate_log_partition(rbm, train, options.ais_chains, options.ais_temperatures, rng);
  const double exact_pseudo = pseudo_log_likelihood(rbm, test);
  summary.add("log_z", z.base_rates.log_z);
  summary.add("log_z_standard_error", z.base_rates.standard_error);
  summary.add("log_z_effective_chains", z.base_rates.effective_chains);
  summary.add("log_z_from_uniform", z.fair_coins.log_z);
  summary.add("log_z_reverse", z.reverse.log_z);
  summary.add("train_log_likelihood", average_log_likelihood(rbm, train, z.base_rates.log_z));
  summary.add("test_log_likelihood", average_log_likelihood(rbm, test, z.base_rates.log_z));
  summary.add("test_pseudo_log_likelihood", exact_pseudo);
  if (z.exact) {
    examples::say("log Z {:.3f}, exact\n", z.value());
  } else {
    examples::say("\n{:<32} {:>18} {:>16} {:>9}\n", "annealed importance sampling", "log Z", "chains that count",
                  "test");
    for (const auto& [name, estimate] : {std::pair("from the data's base rates", &z.base_rates),
                                         {"from fair coins", &z.fair_coins},
                                         {"reverse, from samples", &z.reverse}})
      examples::say("{:<32} {:>18} {:>17} {:>9.2f}\n", name,
                    fmt::format("{:.2f} +- {:.2f}", estimate->log_z, estimate->standard_error),
                    fmt::format("{:.0f} of {}", estimate->effective_chains, estimate->log_weights.size()),
                    average_log_likelihood(rbm, test, estimate->log_z));
  }
  examples::say("average log-likelihood of binary images{}: training {:.2f}, test {:.2f} nats\n",
                z.exact ? "" : ", by the largest forward log Z", average_log_likelihood(rbm, train, z.value()),
                average_log_likelihood(rbm, test, z.value()));
  examples::say("pseudo-log-likelihood of the test images, exact: {:.2f} nats\n", exact_pseudo);
}

// The mean over all rows of what `measure` says of some: each process takes its part.
template <class Measure> double mean_of(const mpi::World& world, const Tensor<float>& x, const Measure& measure) {
  const Rows rows = world.shard().rows(x.shape()[0]);
  double mean = rows.size == 0 ? 0 : rows.share() * measure(examples::part_of(x, rows));
  world.sum(std::span(&mean, 1));
  return mean;
}

int train(const Options& options, const mpi::World& world) {
  const data::Splits splits = examples::load_data(options);
  const std::size_t rows = splits.train.rows, cols = splits.train.cols;
  examples::check_filters("filters.png", options.training.hidden, rows, cols);
  examples::check_tiles("reconstructions.png", 40, rows, cols, 20);
  if (options.sample_steps > 0) examples::check_tiles("samples.png", 100, rows, cols);
  examples::Resumable run(options, options.resume, world);
  run.data(splits);
  Rng rng(options.seed);
  const auto train = examples::binarise(splits.train, options.binarise, rng);
  const auto valid = examples::binarise(splits.valid, options.binarise, rng);
  examples::say("{}: {} training, {} validation images of {} x {}, pixels {}\n", splits.name, train.size(),
                valid.size(), train.rows, train.cols,
                options.binarise == "none"     ? "as they are"
                : options.binarise == "sample" ? "sampled"
                                               : "cut at a half");

  const auto valid_binary = binary_images(valid, options);  // likelihoods are of binary images
  const auto x_train = images(data::head(train, 10'000)), x_valid = images(valid);

  examples::Csv csv(examples::out_path(options, "metrics.csv"),
                    {"epoch", "learning_rate", "train_cross_entropy", "valid_cross_entropy", "free_energy_gap",
                     "pseudo_log_likelihood", "seconds"},
                    run.state);
  examples::EpochReport report(options.training.epochs, train.size());
  examples::LossCurves losses;
  report.keep_in(run.state);
  losses.keep_in(run.state, options.training.epochs);
  examples::Page page(options, options.page,
                      {{"reconstruction", "cross-entropy, nats an image", {"training", "validation"}},
                       {"free energy of validation less training images", "nats", {"gap"}},
                       {"pseudo-log-likelihood of validation images", "nats", {"stochastic"}}});
  page.keep_in(run.state);
  const Rbm<float> rbm = examples::train_machine(
      train, options.training, rng,
      [&](std::size_t epoch, const Rbm<float>& machine, double rate) {
        const double seconds = report.training_ends();
        const auto error_of = [&](const Tensor<float>& x) { return reconstruction_cross_entropy(machine, x); };
        const double train_error = mean_of(world, x_train, error_of), valid_error = mean_of(world, x_valid, error_of);
        const double gap =
            mean_of(world, x_train, [&](const Tensor<float>& x) { return free_energy_gap(machine, x, x_valid); });
        const double pseudo = stochastic_pseudo_log_likelihood(machine, valid_binary, rng);
        csv.row({static_cast<double>(epoch), rate, train_error, valid_error, gap, pseudo, seconds});
        losses.add(train_error, valid_error);
        page.add({train_error, valid_error, gap, pseudo});
        page.picture("filters", examples::filters(machine.W, train.rows, train.cols));
        page.table("so far", {},
                   {{"epochs", fmt::format("{} of {}", epoch, options.training.epochs)},
                    {"seconds", fmt::format("{:.1f}", report.seconds())}});
        page.write();
        report.say(
            epoch,
            fmt::format("cross-entropy {:.2f}, validation {:.2f}  free-energy gap {:.2f}  pseudo-likelihood {:.1f}",
                        train_error, valid_error, gap, pseudo));
        if (epoch == options.training.epochs) run.finish();
      },
      &run, world);
  if (!world.first()) return 0;

  examples::Summary summary(examples::out_path(options, "summary.csv"));
  losses.summarise(summary, "cross_entropy");
  summary.add("seconds", report.seconds());
  examples::say("\nbest epoch {}: cross-entropy {:.2f} nats an image, validation {:.2f}\n", losses.best + 1,
                losses.train[losses.best], losses.valid[losses.best]);

  examples::save_machine(examples::out_path(options, "rbm.safetensors"), {rbm, train.rows, train.cols});
  viz::write_png(examples::out_path(options, "filters.png"), examples::filters(rbm.W, train.rows, train.cols));
  const auto shown = images(data::head(valid, 20));
  const auto reconstructions = examples::lines_of_tiles(
      {shown, visible_probability(rbm, hidden_probability(rbm, shown)).detach()}, train.rows, train.cols);
  viz::write_png(examples::out_path(options, "reconstructions.png"), reconstructions);
  page.picture("validation images and their reconstructions", reconstructions);
  losses.write(examples::out_path(options, "curves.png"),
               fmt::format("RBM, {} hidden units, {}CD-{}", rbm.hidden(),
                           options.training.persistent ? "persistent " : "", options.training.k),
               "reconstruction cross-entropy, nats an image");

  GibbsChain<float> chain(rbm, 100, rng);
  if (options.sample_steps > 0) {
    chain.step(options.sample_steps);
    const auto samples = examples::tiles(chain.visible_probability(), train.rows, train.cols);
    viz::write_png(examples::out_path(options, "samples.png"), samples);
    page.picture(fmt::format("samples after {} steps", options.sample_steps), samples);
    // As far apart as the machine's world is from the data's.
    const double gap = free_energy_gap(rbm, valid_binary, chain.visible());
    summary.add("free_energy_data_minus_samples", gap);
    examples::say("free energy of validation images - of samples after {} steps: {:.1f} nats\n", options.sample_steps,
                  gap);
  }

  page.write();

  if (options.ais_temperatures > 0)
    measure_likelihood(options, rbm, binary_images(train, options),
                       binary_images(examples::binarise(splits.test, options.binarise, rng), options), rng, summary);
  examples::say(
      "\nwritten to {}: metrics.csv, summary.csv, rbm.safetensors, filters.png, reconstructions.png, report.html{}\n",
      options.out, options.sample_steps > 0 ? ", samples.png" : "");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a restricted Boltzmann machine on digits by contrastive divergence.", "train_rbm"};
  Options options;
  options.add_to(app, "out/rbm",
                 {"metrics.csv", "summary.csv", "rbm.safetensors", "filters.png", "reconstructions.png", "curves.png",
                  "samples.png", "report.html"});
  options.training.add_to(app);
  options.resume.add_to(app);
  options.page.add_to(app);
  examples::add_binarise_option(app, options.binarise);
  app.add_option("--sample-steps", options.sample_steps, "Gibbs steps before 100 samples are shown; 0: none")
      ->transform(examples::whole(0, 10000000))
      ->capture_default_str();
  app.add_option("--ais", options.ais_temperatures,
                 "temperatures of annealed importance sampling for the likelihood; 0: none, else at least 100")
      ->transform(examples::whole(0, 1000000))
      ->capture_default_str();
  app.add_option("--ais-chains", options.ais_chains, "its chains")
      ->transform(examples::whole(2, 10000))
      ->capture_default_str();
  return examples::run(app, argc, argv, options, [&](const mpi::World& world) {
    if (options.ais_temperatures > 0 && options.ais_temperatures < 100)
      throw ValueError("--ais: at least 100 temperatures");
    return train(options, world);
  });
}
