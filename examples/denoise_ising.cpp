// Cleans noisy binary images with the Ising model: digits with some of their pixels flipped, or a picture of the
// user's. Iterated conditional modes go downhill to a local minimum of the energy; Gibbs sampling averages over
// all clean images, each with its probability.

#include <xtape/viz/png.hpp>
#include <xtape/xtape.hpp>

#include <fmt/format.h>

#include "common.hpp"
#include "pictures.hpp"

namespace {

using namespace xtape;

struct Options : examples::CommonOptions {
  std::string input;  // empty: digits
  std::size_t images = 100, enlarge = 3, sweeps = 100;
  double flip = 0.1;
  IsingModel model;
  std::string method = "both", order = "raster";
};

// White is +1, black -1.
struct Pictures {
  Tensor<float> clean;  // undefined where nobody knows it
  Tensor<float> noisy;  // (n, rows, cols)
};

// Before memory is asked for. The product is one of doubles, which does not wrap.
void check_size(double pixels) {
  constexpr double most = 30e6;  // some 2 GB in all
  if (pixels > most) throw ValueError(fmt::format("{:.0f} pixels are more than {:.0f}", pixels, most));
}

// Test digits, evenly spaced, for the course's are sorted by class.
Pictures noisy_digits(const Options& options) {
  const data::Dataset all = examples::load_data(options).test;
  if (options.images > all.size())
    throw ValueError(fmt::format("--images {}: there are {} test images", options.images, all.size()));
  const std::size_t n = options.images, k = options.enlarge, rows = k * all.rows, cols = k * all.cols;
  check_size(static_cast<double>(n * all.features()) * static_cast<double>(k * k));
  std::vector<float> clean, noisy;
  Rng rng(options.seed, 2);
  for (std::size_t i = 0; i < n; ++i) {
    const auto image = all.image(i * all.size() / n);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) {
        clean.push_back(image[r / k * all.cols + c / k] >= 0.5F ? 1.F : -1.F);
        noisy.push_back(rng.uniform() < options.flip ? -clean.back() : clean.back());
      }
  }
  const Shape shape{n, rows, cols};
  return {{shape, std::span<const float>(clean)}, {shape, std::span<const float>(noisy)}};
}

Pictures read_input(const std::string& path) {
  const viz::Image image = viz::read_png(path);
  check_size(static_cast<double>(image.width) * static_cast<double>(image.height));
  std::vector<float> spins;
  for (std::size_t i = 0; i < image.pixels.size(); i += image.channels) {
    const std::uint8_t* const p = &image.pixels[i];
    // Colours count by their brightness (ITU-R BT.601).
    const int thousandths = image.channels == 1 ? 1000 * p[0] : 299 * p[0] + 587 * p[1] + 114 * p[2];
    spins.push_back(thousandths >= 127'500 ? 1.F : -1.F);
  }
  return {{}, {Shape{1, image.height, image.width}, std::span<const float>(spins)}};
}

// Shares of wrong pixels.
struct Wrong {
  double total = 0, worst = 0;  // of all images, of the worst one
};
Wrong wrong(const Tensor<float>& x, const Tensor<float>& clean) {
  const std::size_t images = x.shape()[0], sites = x.size() / images;
  Wrong result;
  for (std::size_t i = 0; i < images; ++i) {
    std::size_t count = 0;
    for (std::size_t m = i * sites; m < (i + 1) * sites; ++m) count += x.data()[m] != clean.data()[m];
    const double share = static_cast<double>(count) / static_cast<double>(sites);
    result.total += share / static_cast<double>(images);
    result.worst = std::max(result.worst, share);
  }
  return result;
}

// Mean energy of an image, and the share of wrong pixels, 0 if unknown.
struct Point {
  double energy = 0, wrong = 0;
};

struct Outcome {
  std::string method;
  Tensor<float> x;
  std::vector<Point> trace;  // before the first sweep and after each: of ICM's x, of the Gibbs chain's state
  double seconds = 0;
};

double mean_energy(const Options& options, const Tensor<float>& x, const Tensor<float>& noisy) {
  return mean(energy(options.model, Tensor<double>(x.array()), Tensor<double>(noisy.array()))).item();
}

Outcome clean_up(const std::string& method, const Options& options, const Pictures& pictures,
                 examples::Progress& progress) {
  Outcome result;
  result.method = method;
  double tracing = 0;  // what only the figures take
  const auto note = [&](const Tensor<float>& x) {
    const examples::Stopwatch watch;
    result.trace.push_back(
        {mean_energy(options, x, pictures.noisy), pictures.clean.defined() ? wrong(x, pictures.clean).total : 0.0});
    progress.update(fmt::format("{} sweep {}/{}  energy {:.1f}", method, result.trace.size() - 1, options.sweeps,
                                result.trace.back().energy));
    tracing += watch.seconds();
  };
  note(pictures.noisy);
  const examples::Stopwatch watch;
  tracing = 0;
  if (method == "icm") {
    const auto order = options.order == "raster" ? SweepOrder::raster : SweepOrder::checkerboard;
    result.x =
        icm(options.model, pictures.noisy, {.max_sweeps = options.sweeps, .order = order, .after_sweep = note}).x;
  } else {
    Rng rng(options.seed, 3);
    const std::size_t burn_in = options.sweeps / 4;
    result.x = gibbs_denoise(options.model, pictures.noisy,
                             {.burn_in = burn_in, .sweeps = options.sweeps - burn_in, .after_sweep = note}, rng)
                   .x;
  }
  result.seconds = watch.seconds() - tracing;
  return result;
}

// A row a sweep, two columns a method. What came to rest early stays as it is.
void write_metrics(const Options& options, const std::vector<Outcome>& outcomes, bool known) {
  std::vector<std::string> columns{"sweep"};
  std::size_t rows = 0;
  for (const auto& outcome : outcomes) {
    columns.push_back(outcome.method + "_energy");
    if (known) columns.push_back(outcome.method + "_wrong");
    rows = std::max(rows, outcome.trace.size());
  }
  examples::Csv csv(examples::out_path(options, "metrics.csv"), columns);
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<double> row{static_cast<double>(i)};
    for (const auto& outcome : outcomes) {
      const Point& point = outcome.trace[std::min(i, outcome.trace.size() - 1)];
      row.push_back(point.energy);
      if (known) row.push_back(point.wrong);
    }
    csv.row(row);
  }
}

// Of a picture of so many images, and of one that shows so many versions side by side.
viz::GridOptions own_grid(std::size_t images) { return {.padding = images == 1 ? 0U : 1U, .low = -1.F}; }
viz::GridOptions comparing_grid(std::size_t versions) { return {.columns = versions, .padding = 4, .low = -1.F}; }
constexpr std::size_t most_compared = 6;

// Before the sweeps.
void check_pictures(const Options& options, const Pictures& pictures) {
  const Shape shape = pictures.noisy.shape();
  const std::size_t versions = (pictures.clean.defined() ? 2 : 1) + (options.method == "both" ? 2 : 1);
  examples::check_picture("noisy.png", shape[0], shape[1], shape[2], own_grid(shape[0]));
  examples::check_picture("comparison.png", std::min(shape[0], most_compared) * versions, shape[1], shape[2],
                          comparing_grid(versions));
}

// Each version as a picture of its own, and a few images of all versions side by side.
void write_pictures(const Options& options, const std::vector<std::pair<std::string, Tensor<float>>>& versions) {
  const Shape shape = versions.front().second.shape();
  const std::size_t images = shape[0], rows = shape[1], cols = shape[2], sites = rows * cols;
  std::string files = "metrics.csv", names;
  for (const auto& [name, x] : versions) {
    viz::write_png(examples::out_path(options, name + ".png"),
                   viz::grid(x.span(), images, rows, cols, own_grid(images)));
    files += ", " + name + ".png";
    names += (names.empty() ? "" : ", ") + name;
  }
  const std::size_t shown = std::min(images, most_compared);
  std::vector<float> side_by_side;
  for (std::size_t i = 0; i < shown; ++i)
    for (const auto& [name, x] : versions) {
      const float* const image = x.data() + i * images / shown * sites;
      side_by_side.insert(side_by_side.end(), image, image + sites);
    }
  viz::write_png(examples::out_path(options, "comparison.png"),
                 viz::grid(side_by_side, shown * versions.size(), rows, cols, comparing_grid(versions.size())));
  examples::say("\nwritten to {}: {}, comparison.png ({} from left to right)\n", options.out, files, names);
}

void write_summary(const Options& options, const Pictures& pictures, const std::vector<Outcome>& outcomes) {
  examples::Summary summary(examples::out_path(options, "summary.csv"));
  summary.add("noisy_wrong", 100 * wrong(pictures.noisy, pictures.clean).total);
  for (const Outcome& outcome : outcomes) {
    const Wrong after = wrong(outcome.x, pictures.clean);
    summary.add(outcome.method + "_wrong", 100 * after.total);
    summary.add(outcome.method + "_worst_wrong", 100 * after.worst);
  }
}

int denoise(const Options& options) {
  const Pictures pictures = options.input.empty() ? noisy_digits(options) : read_input(options.input);
  const bool known = pictures.clean.defined();
  check_pictures(options, pictures);
  const Shape& shape = pictures.noisy.shape();
  examples::say("{}: {} of {} x {}; h = {}, beta = {}, eta = {}; energies are means of an image\n\n",
                !known                 ? options.input
                : options.data.empty() ? "built-in digits"
                                       : options.data,
                shape[0] == 1 ? "1 image" : fmt::format("{} images", shape[0]), shape[1], shape[2], options.model.h,
                options.model.beta, options.model.eta);
  if (known) examples::say("{:>46}{:>20}\n", "wrong before", "wrong after");
  examples::say("{:<6} {:>7} {:>8}", "method", "sweeps", "seconds");
  if (known) examples::say("       {0:>9} {1:>9} {0:>9} {1:>9}", "all", "worst");
  examples::say(" {:>14} {:>13}\n", "energy before", "energy after");

  std::vector<Outcome> outcomes;
  std::vector<std::pair<std::string, Tensor<float>>> versions;
  if (known) versions.emplace_back("clean", pictures.clean);
  versions.emplace_back("noisy", pictures.noisy);
  for (const std::string method : {"icm", "gibbs"}) {
    if (options.method != "both" && options.method != method) continue;
    examples::Progress progress;
    const Outcome& outcome = outcomes.emplace_back(clean_up(method, options, pictures, progress));
    versions.emplace_back(method, outcome.x);
    std::string line = fmt::format("{:<6} {:>7} {:>8.3f}", method, outcome.trace.size() - 1, outcome.seconds);
    if (known) {
      const Wrong before = wrong(pictures.noisy, pictures.clean), after = wrong(outcome.x, pictures.clean);
      line += fmt::format("       {:>7.2f} % {:>7.2f} % {:>7.2f} % {:>7.2f} %", 100 * before.total, 100 * before.worst,
                          100 * after.total, 100 * after.worst);
    }
    progress.finish(line + fmt::format(" {:>14.1f} {:>13.1f}", outcome.trace.front().energy,
                                       mean_energy(options, outcome.x, pictures.noisy)));
  }
  write_metrics(options, outcomes, known);
  if (known) write_summary(options, pictures, outcomes);
  write_pictures(options, versions);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Cleans noisy binary images with the Ising model E = h sum x - beta sum x x' - eta sum x y.",
               "denoise_ising"};
  Options options;
  options.add_to(app, "out/ising",
                 {"metrics.csv", "summary.csv", "clean.png", "noisy.png", "icm.png", "gibbs.png", "comparison.png"});
  auto* const input = app.add_option("--input", options.input, "a noisy PNG of yours, cut to black and white at half");
  for (auto* const of_digits :
       {app.add_option("--images", options.images, "test digits to spoil and clean")
            ->transform(examples::whole(1, 1000000))
            ->capture_default_str(),
        app.add_option("--enlarge", options.enlarge, "pixels across that a digit's pixel becomes")
            ->transform(examples::whole(1, 100))
            ->capture_default_str(),
        app.add_option("--flip", options.flip, "share of the pixels that are flipped")
            ->transform(examples::between(0, 1))
            ->capture_default_str(),
        app.get_option("--data")})
    input->excludes(of_digits);
  app.add_option("--h", options.model.h, "bias towards black")
      ->transform(examples::between(-1e6, 1e6))
      ->capture_default_str();
  app.add_option("--beta", options.model.beta, "how much neighbours want to be alike")
      ->transform(examples::between(-1e6, 1e6))
      ->capture_default_str();
  app.add_option("--eta", options.model.eta, "how much a pixel wants to be what was seen")
      ->transform(examples::between(-1e6, 1e6))
      ->capture_default_str();
  app.add_option("--sweeps", options.sweeps, "icm: at most; gibbs: in all, of which the first quarter does not count")
      ->transform(examples::whole(1, 1000000))
      ->capture_default_str();
  app.add_option("--method", options.method, "icm: the energy's local minimum; gibbs: each pixel's likelier value")
      ->check(CLI::IsMember({"icm", "gibbs", "both"}))
      ->capture_default_str();
  app.add_option("--order", options.order, "icm's order of the pixels")
      ->check(CLI::IsMember({"raster", "checkerboard"}))
      ->capture_default_str();
  return examples::run(app, argc, argv, options, [&] { return denoise(options); });
}
