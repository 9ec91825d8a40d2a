// Fits a Gaussian process to noisy observations of a function on the line: the kernel's hyper-parameters maximise the
// log marginal likelihood, with gradients from the tape (Rasmussen & Williams 2006, chapters 2 and 5).

#include <xtape/xtape.hpp>

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <sstream>

#include "pictures.hpp"
#include "resumable.hpp"

namespace {

using namespace xtape;
using Vector = Tensor<double>;

struct Options : examples::CommonOptions {
  examples::ResumeOptions resume;
  std::size_t points = 40, steps = 300, restarts = 4;
  double learning_rate = 0.1, signal = 1, length = 0.8, noise = 0.2;
};

struct Observations {
  std::vector<double> x, y;
};

// The logs of signal variance, length scale and noise variance, as one parameter.
Vector logs(double signal, double length, double noise) {
  return parameter(Vector({3}, {2 * std::log(signal), std::log(length), 2 * std::log(noise)}));
}

// The covariance of the function's values at x (n,) and at z (m,): s exp(-(x - z)^2 / (2 l^2))
Vector kernel(const Vector& theta, const Vector& x, const Vector& z) {
  const Vector variance = exp(slice(theta, {0})), length = exp(slice(theta, {1}));
  return variance * exp(square(expand_dims(x, 1) - expand_dims(z, 0)) / (-2.0 * square(length)));
}

// The Cholesky factor of the observations' covariance, noise included. A trace of the signal's variance is added, lest
// rounding make the matrix indefinite where the fit takes the noise for nothing.
Vector factor(const Vector& theta, const Vector& x) {
  const std::size_t n = x.size();
  std::vector<double> unit(n * n);
  for (std::size_t i = 0; i < n; ++i) unit[i * (n + 1)] = 1;
  const Vector noise = exp(slice(theta, {2})) + 1e-9 * exp(slice(theta, {0}));
  return cholesky(kernel(theta, x, x) + noise * Vector({n, n}, unit));
}

// log p(y | x) = -1/2 yᵀ K⁻¹ y - 1/2 log |K| - n/2 log 2 pi
Vector log_likelihood(const Vector& theta, const Vector& x, const Vector& y) {
  const Vector l = factor(theta, x), half = triangular_solve(l, y);
  return -0.5 *
         (dot(half, half) + cholesky_log_det(l) + static_cast<double>(y.size()) * std::log(2 * std::numbers::pi));
}

// Draws a function from the process itself, and observes it with noise.
Observations generate(const Options& options) {
  Rng rng(options.seed);
  Observations data;
  std::vector<double> normal;
  for (std::size_t i = 0; i < options.points; ++i) data.x.push_back(rng.uniform(-4, 4));
  std::sort(data.x.begin(), data.x.end());
  for (std::size_t i = 0; i < options.points; ++i) normal.push_back(rng.normal());
  const Vector x({options.points}, data.x);
  const Vector y = matmul(factor(logs(options.signal, options.length, options.noise), x), Vector(x.shape(), normal));
  data.y.assign(y.data(), y.data() + y.size());
  return data;
}

// Two numbers a line, with a comma between them; the first line may be a heading: text without a digit.
Observations read(const std::string& path) {
  const auto fail = [&](const std::string& what) { throw DataError(fmt::format("{}: {}", path, what)); };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail("is a folder, expected a file");
  std::ifstream file(path);
  if (!file) fail("cannot be opened");
  Observations data;
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    std::istringstream text(line);
    double x = 0, y = 0;
    char comma = 0, rest = 0;
    const bool good =
        text >> x >> comma >> y && comma == ',' && !(text >> rest) && std::isfinite(x) && std::isfinite(y);
    const bool heading = number == 1 && line.find_first_of("0123456789") == std::string::npos;
    if (!good && !heading) fail(fmt::format("line {}: expected two numbers and a comma", number));
    if (good) data.x.push_back(x), data.y.push_back(y);
  }
  if (data.x.size() < 3) fail(fmt::format("{} points are too few, 3 are needed", data.x.size()));
  if (data.x.size() > 5000) fail(fmt::format("{} points are too many, 5000 can be fitted", data.x.size()));
  return data;
}

struct Fit {
  Vector theta;
  double log_likelihood = -std::numeric_limits<double>::infinity();
};

// Adam from several starts, from long length scales to short ones; the best likelihood wins.
Fit fit(const Options& options, const Vector& x, const Vector& y, double spread, double range,
        examples::Resumable& run) {
  Fit best;
  std::size_t start = 0;
  run.state.keep("start", start, options.restarts);
  run.state.keep("best", best.theta, {3});
  run.state.keep("best likelihood", best.log_likelihood);
  examples::Progress progress;
  while (start < options.restarts) {
    const double share = std::pow(2.0, -1.0 - static_cast<double>(start));
    const Vector theta = logs(spread, share * range / 2, spread / 3);
    optim::Adam<double> adam({theta}, {.learning_rate = options.learning_rate, .check_complete = true});
    double value = 0;
    std::size_t step = 0;
    {
      const auto scope = run.state.scope("fit");
      run.state.parameters("theta", std::vector{theta});
      run.state.keep("adam", adam);
      run.state.keep("step", step, options.steps);
      for (;;) {
        adam.options.learning_rate = schedule::linear(options.learning_rate, 0.01 * options.learning_rate,
                                                      schedule::progress(step, options.steps));
        Tape tape;
        const Vector likelihood = log_likelihood(theta, x, y);
        value = likelihood.item();
        progress.update(fmt::format("start {}  step {}  log likelihood {:.3f}", start + 1, step, value));
        if (step == options.steps) break;
        tape.backward(-likelihood);
        adam.step();
        ++step;
        run.after_step();
      }
    }
    progress.finish(
        fmt::format("start {} of {}, from length scale {:>8.4f}: log marginal likelihood {:>10.3f}, length scale "
                    "{:.4f}",
                    start + 1, options.restarts, share * range / 2, value, std::exp(theta.data()[1])));
    if (value > best.log_likelihood) best = {theta, value};
    if (++start < options.restarts)
      run.after_step();
    else
      run.finish();
  }
  if (!best.theta.defined()) {
    // Where the first start began, before any step: finite, unless the observations are to blame.
    if (std::isfinite(log_likelihood(logs(spread, range / 4, spread / 3), x, y).item()))
      throw ValueError(
          fmt::format("--learning-rate {}: from every start the likelihood stops being a number; try a smaller one",
                      options.learning_rate));
    throw ValueError("the likelihood is not finite; are the observations beyond reason?");
  }
  return best;
}

// Of new observations.
struct Posterior {
  std::vector<double> x, mean, deviation;
};
Posterior predict(const Fit& best, const Vector& x, const Vector& y, const std::vector<double>& places, double centre) {
  const Vector z({places.size()}, places), l = factor(best.theta, x);
  const Vector across = kernel(best.theta, x, z);
  const Vector mean = matmul(cholesky_solve(l, y), across) + centre;
  const Vector explained = sum(square(triangular_solve(l, across)), 0);
  const Vector variance = exp(slice(best.theta, {0})) + exp(slice(best.theta, {2})) - explained;
  const Vector deviation = sqrt(maximum(variance, 0));  // below 0 by rounding where the noise is as good as none
  return {places, {mean.data(), mean.data() + mean.size()}, {deviation.data(), deviation.data() + deviation.size()}};
}

int run(const Options& options) {
  const Observations data = options.data.empty() ? generate(options) : read(options.data);
  const std::size_t n = data.x.size();
  double centre = 0, squares = 0;
  for (const double v : data.y) centre += v / static_cast<double>(n);
  for (const double v : data.y) squares += (v - centre) * (v - centre) / static_cast<double>(n);
  if (options.data.empty()) centre = 0;  // the process that drew it has mean 0
  const auto [low, high] = std::minmax_element(data.x.begin(), data.x.end());
  const double range = *high - *low;
  if (!(range > 0 && squares > 0 && std::isfinite(range) && std::isfinite(squares)))
    throw ValueError("the points must differ, in x and in y");
  const Vector x({n}, data.x), y = Vector({n}, data.y) - centre;
  examples::say("{}: {} points, x from {:.4g} to {:.4g}\n\n",
                options.data.empty() ? "a function drawn from the process" : options.data, n, *low, *high);

  examples::Resumable run(options, options.resume);
  run.data(fmt::format("{} points", n), {data.x, data.y});
  const Fit best = fit(options, x, y, std::sqrt(squares), range, run);
  const std::array<double, 3> found{std::exp(best.theta.data()[0] / 2), std::exp(best.theta.data()[1]),
                                    std::exp(best.theta.data()[2] / 2)};
  examples::say("\n{:<16} {:>12} {:>14} {:>12} {:>16}\n", "", "signal", "length scale", "noise", "log likelihood");
  const auto row = [](const char* name, double signal, double length, double noise, double value) {
    examples::say("{:<16} {:>12.4f} {:>14.4f} {:>12.4f} {:>16.3f}\n", name, signal, length, noise, value);
  };
  examples::Summary summary(examples::out_path(options, "summary.csv"));
  row("fitted", found[0], found[1], found[2], best.log_likelihood);
  summary.add("log_likelihood", best.log_likelihood);
  if (options.data.empty()) {
    const double truth = log_likelihood(logs(options.signal, options.length, options.noise), x, y).item();
    row("true", options.signal, options.length, options.noise, truth);
    summary.add("true_log_likelihood", truth);
  }
  summary.add("signal", found[0]);
  summary.add("length_scale", found[1]);
  summary.add("noise", found[2]);

  constexpr double within = 1.959964;  // standard deviations: 95 % of a normal distribution
  const Posterior seen = predict(best, x, y, data.x, centre);
  std::size_t inside = 0;
  for (std::size_t i = 0; i < n; ++i) inside += std::abs(data.y[i] - seen.mean[i]) <= within * seen.deviation[i];
  examples::say("\n{} of {} observations lie in the 95 % band\n", inside, n);
  summary.add("inside_band", static_cast<double>(inside) / static_cast<double>(n));

  std::vector<double> places;
  for (int i = 0; i <= 400; ++i) places.push_back(*low + range * (1.2 * i / 400 - 0.1));
  const Posterior posterior = predict(best, x, y, places, centre);
  examples::Csv csv(examples::out_path(options, "posterior.csv"), {"x", "mean", "low", "high"});
  viz::Series curve{.label = "posterior, 95 %", .x = posterior.x, .y = posterior.mean, .band = true};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const double error = within * posterior.deviation[i];
    curve.error.push_back(error);
    csv.row({places[i], posterior.mean[i], posterior.mean[i] - error, posterior.mean[i] + error});
  }
  examples::write_curves(
      examples::out_path(options, "posterior.png"),
      {.title = fmt::format("signal {:.3g}, length scale {:.3g}, noise {:.3g}", found[0], found[1], found[2]),
       .x_label = "x",
       .y_label = "y",
       .series = {curve, {.label = "observations", .x = data.x, .y = data.y, .points = true}}});
  examples::say("\nwritten to {}: summary.csv, posterior.csv, posterior.png\n", options.out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Fits a Gaussian process to points by maximising its marginal likelihood.", "gaussian_process"};
  Options options;
  options.add_to(app, "out/gaussian_process", {"summary.csv", "posterior.csv", "posterior.png"}, false);
  auto* const data =
      app.add_option("--data", options.data, "a file of points, a line `x,y` each (default: drawn at random)");
  for (auto* const of_drawn : {app.add_option("--points", options.points, "points to draw")
                                   ->transform(examples::whole(3, 5000))
                                   ->capture_default_str(),
                               app.add_option("--signal", options.signal, "standard deviation of the drawn function")
                                   ->transform(examples::between(1e-6, 1e6))
                                   ->capture_default_str(),
                               app.add_option("--length", options.length, "its length scale; x lies in [-4, 4]")
                                   ->transform(examples::between(1e-6, 1e6))
                                   ->capture_default_str(),
                               app.add_option("--noise", options.noise, "standard deviation of the drawn noise")
                                   ->transform(examples::between(1e-6, 1e6))
                                   ->capture_default_str()})
    data->excludes(of_drawn);
  app.add_option("--steps", options.steps, "of Adam, from each start")
      ->transform(examples::whole(1, 1000000))
      ->capture_default_str();
  app.add_option("--restarts", options.restarts, "starts, from long length scales to short ones")
      ->transform(examples::whole(1, 20))
      ->capture_default_str();
  app.add_option("--learning-rate", options.learning_rate, "at the start, falling to a hundredth")
      ->transform(examples::positive())
      ->capture_default_str();
  options.resume.add_to(app);
  return examples::run(app, argc, argv, options, [&] { return run(options); });
}
