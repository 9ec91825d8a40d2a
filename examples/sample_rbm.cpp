// Draws samples from a restricted Boltzmann machine by Gibbs sampling: many chains, many steps, shown as pictures of
// p(v|h).

#include <xtape/viz/png.hpp>

#include <fmt/format.h>

#include <bit>

#include "machine.hpp"
#include "pictures.hpp"

namespace {

using namespace xtape;

struct Options : examples::CommonOptions {
  std::string model, start = "random";
  std::size_t chains = 100, steps = 1000, temperatures = 1;
  double hottest = 0.5;
};

examples::Machine machine_of(const Options& options, const data::Splits& splits, Rng& rng) {
  if (!options.model.empty()) return examples::load_machine(options.model);
  examples::MachineTraining training;
  training.k = 5;
  examples::say("no --model is given: training one, {} hidden units, CD-{}, {} epochs\n", training.hidden, training.k,
                training.epochs);
  examples::Progress progress;
  auto rbm = examples::train_machine(splits.train, training, rng, [&](std::size_t epoch, const Rbm<float>&, double) {
    progress.update(fmt::format("epoch {}/{}", epoch, training.epochs));
  });
  progress.finish("trained");
  return {std::move(rbm), splits.train.rows, splits.train.cols};
}

int sample(const Options& options) {
  const data::Splits splits = examples::load_data(options);
  const std::size_t shown = std::min<std::size_t>(10, options.chains), most_lines = 2 + std::bit_width(options.steps);
  examples::check_tiles("samples.png", options.chains, splits.test.rows, splits.test.cols);
  examples::check_tiles("steps.png", most_lines * shown, splits.test.rows, splits.test.cols, shown);
  Rng rng(options.seed);
  const auto machine = machine_of(options, splits, rng);
  const auto& rbm = machine.rbm;
  if (splits.test.rows != machine.rows || splits.test.cols != machine.cols)
    throw DataError(fmt::format("the machine is for pictures of {} x {}, the data are {} x {}", machine.rows,
                                machine.cols, splits.test.rows, splits.test.cols));
  const auto data = images(data::binarised(splits.test));

  GibbsOptions gibbs;
  for (std::size_t t = 0; options.temperatures > 1 && t < options.temperatures; ++t)
    gibbs.inverse_temperatures.push_back(
        schedule::linear(1, options.hottest, schedule::progress(t, options.temperatures - 1)));
  const auto start = [&] {
    if (options.start == "random") return GibbsChain<float>(rbm, options.chains, rng, gibbs);
    const auto rows = data::head(data::shuffled(data::binarised(splits.test), rng), options.chains);
    if (rows.size() < options.chains)
      throw ValueError(fmt::format("--start data: {} chains, but only {} test images", options.chains, rows.size()));
    return GibbsChain<float>(rbm, images(rows), rng, gibbs);
  };
  GibbsChain<float> chain = start();
  examples::say("{} hidden units; {} chains from {}, {} steps{}\n", rbm.hidden(), options.chains,
                options.start == "random" ? "fair coins" : "test images", options.steps,
                options.temperatures > 1 ? fmt::format(", each at {} temperatures", options.temperatures) : "");

  examples::Csv csv(examples::out_path(options, "metrics.csv"),
                    {"step", "free_energy_data_minus_samples", "pixels_on", "swap_rate", "seconds"});
  examples::Progress progress;
  const examples::Stopwatch watch;
  const double on = mean(data).item();
  std::vector<Tensor<float>> film;  // ten chains, at steps that double
  examples::say("{:>8} {:>34} {:>11} {:>10}\n", "step", "free energy of data - of samples", "pixels on", "swaps");
  std::vector<double> at, gaps;
  // Steps 1, 2, 4, ... and the last.
  for (std::size_t done = 0, next = 1; done < options.steps; next = 2 * done) {
    for (const std::size_t stop = std::min(next, options.steps); done < stop;) {
      const std::size_t part = std::min<std::size_t>(stop - done, 50);
      chain.step(part);
      done += part;
      progress.update(fmt::format(
          "step {}/{}  {} left", done, options.steps,
          examples::duration(watch.seconds() / static_cast<double>(done) * static_cast<double>(options.steps - done))));
    }
    const double gap = free_energy_gap(rbm, data, chain.visible()), share = mean(chain.visible()).item();
    csv.row({static_cast<double>(done), gap, share, chain.swap_rate(), watch.seconds()});
    progress.finish(fmt::format("{:>8} {:>34.1f} {:>11.3f} {:>10.3f}", done, gap, share, chain.swap_rate()));
    at.push_back(static_cast<double>(done));
    gaps.push_back(gap);
    const auto& p = chain.visible_probability();
    film.emplace_back(Shape{shown, rbm.visible()}, p.span().first(shown * rbm.visible()));
  }
  examples::say("of the test images {:.3f} of the pixels are on\n", on);

  examples::Summary summary(examples::out_path(options, "summary.csv"));
  summary.add("free_energy_data_minus_samples", gaps.back());
  summary.add("swap_rate", chain.swap_rate());
  const auto path = [&](const char* file) { return examples::out_path(options, file); };
  viz::write_png(path("samples.png"), examples::tiles(chain.visible_probability(), machine.rows, machine.cols));
  viz::write_png(path("states.png"), examples::tiles(chain.visible(), machine.rows, machine.cols));
  viz::write_png(path("steps.png"), examples::lines_of_tiles(film, machine.rows, machine.cols));
  examples::write_curves(path("curves.png"), {.title = "How far the chains are from the data",
                                              .x_label = "Gibbs steps",
                                              .y_label = "mean F(data) - mean F(samples), nats",
                                              .series = {{.label = "gap", .x = at, .y = gaps}},
                                              .log_x = true});
  examples::say(
      "\nwritten to {}: samples.png (p(v|h)), states.png, steps.png (a line for each step above), metrics.csv\n",
      options.out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Draws samples from a restricted Boltzmann machine by Gibbs sampling.", "sample_rbm"};
  Options options;
  options.add_to(app, "out/samples",
                 {"metrics.csv", "summary.csv", "samples.png", "states.png", "steps.png", "curves.png"});
  app.add_option("--model", options.model, "file written by train_rbm (default: a machine is trained first)");
  app.add_option("--chains", options.chains, "chains side by side")
      ->transform(examples::whole(1, 100000))
      ->capture_default_str();
  app.add_option("--steps", options.steps, "Gibbs steps")
      ->transform(examples::whole(1, 100000000))
      ->capture_default_str();
  app.add_option("--start", options.start, "random: fair coins; data: test images")
      ->check(CLI::IsMember({"random", "data"}))
      ->capture_default_str();
  app.add_option("--temperatures", options.temperatures, "of parallel tempering; 1: none")
      ->transform(examples::whole(1, 1000))
      ->capture_default_str();
  app.add_option("--hottest", options.hottest, "inverse temperature of the hottest replica")
      ->transform(examples::between(0.0, 0.999))
      ->capture_default_str();
  return examples::run(app, argc, argv, options, [&] { return sample(options); });
}
