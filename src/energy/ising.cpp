#include <xtape/energy/ising.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include <array>
#include <cmath>
#include <vector>

#include "../ops/common.hpp"

namespace xtape {
namespace {

void check_model(const char* function, const IsingModel& model) {
  constexpr double limit = 1e6;
  const auto check = [&](const char* name, double value) {
    if (!(std::abs(value) <= limit))
      throw ValueError(
          fmt::format("{}: {} is {}, expected a number of at most 1e6 in magnitude", function, name, value));
  };
  check("h", model.h);
  check("beta", model.beta);
  check("eta", model.eta);
}

template <class T> void check_images(const char* function, const Tensor<T>& x) {
  const std::size_t axes = x.dimension();
  if ((axes != 2 && axes != 3) || x.shape()[axes - 1] == 0 || x.shape()[axes - 2] == 0)
    throw ShapeError(fmt::format("{}: images of (rows, cols) or (n, rows, cols) are needed, got shape {}", function,
                                 to_string(x.shape())));
}

template <class T> void check_same(const char* function, const Tensor<T>& x, const Tensor<T>& y) {
  check_images(function, x);
  if (x.shape() != y.shape())
    throw ShapeError(
        fmt::format("{}: x and y differ in shape: {} and {}", function, to_string(x.shape()), to_string(y.shape())));
}

// Images of -1 and +1 as bytes. Each has a border of zeros, so that sites at the edge need no case of their own.
class Spins {
 public:
  template <class T>
  Spins(const char* function, const char* name, const Tensor<T>& x)
      : images(x.dimension() == 3 ? x.shape()[0] : 1),
        rows(x.shape()[x.dimension() - 2]),
        cols(x.shape()[x.dimension() - 1]),
        stride(cols + 2),
        spins_(images * (rows + 2) * stride) {
    const T* from = x.data();
    for (std::size_t i = 0; i < images; ++i)
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c, ++from) {
          if (*from != T(1) && *from != T(-1))
            throw ValueError(fmt::format("{}: {} holds {}, expected -1 and +1 only", function, name, *from));
          row(i, r)[c] = *from > 0 ? 1 : -1;
        }
  }

  std::int8_t* row(std::size_t image, std::size_t r) { return spins_.data() + at(image, r); }
  const std::int8_t* row(std::size_t image, std::size_t r) const { return spins_.data() + at(image, r); }
  // Sum over the neighbours of a site of this class's images, -4 to 4.
  int neighbours(const std::int8_t* site) const {
    const auto down = static_cast<std::ptrdiff_t>(stride);
    return site[-down] + site[down] + site[-1] + site[1];
  }

  template <class T> Tensor<T> tensor(const Shape& shape) const {
    Fresh<T> result("ising", shape);
    T* to = result.data();
    for (std::size_t i = 0; i < images; ++i)
      for (std::size_t r = 0; r < rows; ++r, to += cols) std::copy_n(row(i, r), cols, to);
    return std::move(result).finished();
  }

  const std::size_t images, rows, cols, stride;

 private:
  std::size_t at(std::size_t image, std::size_t r) const { return (image * (rows + 2) + r + 1) * stride + 1; }
  std::vector<std::int8_t> spins_;
};

// All that an update needs to know of a site is the sum over its neighbours and what was seen: a table of
// f(β sum + η y - h). The argument is monotone in the sum even where it is rounded, so that a decision by its
// sign is that of some exact energy and cannot cycle.
template <class V> class SiteTable {
 public:
  template <class F> SiteTable(const IsingModel& model, F&& f) {
    for (const int y : {-1, 1})
      for (int sum = -4; sum <= 4; ++sum) values_[index(sum, y)] = f((model.beta * sum + model.eta * y) - model.h);
  }
  V operator()(int sum, int y) const { return values_[index(sum, y)]; }

 private:
  static std::size_t index(int sum, int y) { return static_cast<std::size_t>(sum + 4 + (y > 0 ? 9 : 0)); }
  std::array<V, 18> values_{};
};

// E of one image. The sums are counts, hence exact.
double image_energy(const IsingModel& model, const Spins& x, const Spins& y, std::size_t image) {
  std::int64_t spins = 0, pairs = 0, agreement = 0;
  for (std::size_t r = 0; r < x.rows; ++r) {
    const std::int8_t *const row = x.row(image, r), *const below = row + x.stride, *const seen = y.row(image, r);
    for (std::size_t c = 0; c < x.cols; ++c) {
      spins += row[c];
      pairs += row[c] * (row[c + 1] + below[c]);
      agreement += row[c] * seen[c];
    }
  }
  return model.h * static_cast<double>(spins) - model.beta * static_cast<double>(pairs) -
         model.eta * static_cast<double>(agreement);
}

}  // namespace

template <class T> Tensor<T> energy(const IsingModel& model, const Tensor<T>& x, const Tensor<T>& y) {
  check_model("energy", model);
  check_same("energy", x, y);
  const std::size_t axes = x.dimension(), rows = x.shape()[axes - 2], cols = x.shape()[axes - 1];
  const Tensor<T> s = reshape(x, {-1, rows, cols});
  const Tensor<T> vertical = slice(s, {all(), range(1, Range::open)}) * slice(s, {all(), range(0, -1)});
  const Tensor<T> horizontal = slice(s, {all(), all(), range(1, Range::open)}) * slice(s, {all(), all(), range(0, -1)});
  const Tensor<T> pairs = sum(vertical, {1, 2}) + sum(horizontal, {1, 2});
  const Tensor<T> fields = sum(s * (model.h - model.eta * reshape(y, {-1, rows, cols})), {1, 2});
  const Tensor<T> e = fields - model.beta * pairs;
  return axes == 2 ? reshape(e, Shape{}) : e;
}

template <class T> Tensor<T> energy_difference(const IsingModel& model, const Tensor<T>& x, const Tensor<T>& y) {
  check_model("energy_difference", model);
  check_same("energy_difference", x, y);
  const Spins spins("energy_difference", "x", x), seen("energy_difference", "y", y);
  const SiteTable<T> difference(model, [](double field) { return static_cast<T>(-2 * field); });
  Fresh<T> result("energy_difference", x.shape());
  T* to = result.data();
  for (std::size_t i = 0; i < spins.images; ++i)
    for (std::size_t r = 0; r < spins.rows; ++r)
      for (std::size_t c = 0; c < spins.cols; ++c)
        *to++ = difference(spins.neighbours(spins.row(i, r) + c), seen.row(i, r)[c]);
  return std::move(result).finished();
}

template <class T>
IcmResult<T> icm(const IsingModel& model, const Tensor<T>& y, const IcmOptions<std::type_identity_t<T>>& options) {
  check_model("icm", model);
  check_images("icm", y);
  if (options.max_sweeps == 0) throw ValueError("icm: max_sweeps is at least 1");
  const Spins seen("icm", "y", y);
  Spins x = seen;
  // Rounding is no reason to change a site: with beta = 0.1 and eta = 0.3 three neighbours against y are a tie.
  const double tie = 1e-14 * (4 * std::abs(model.beta) + std::abs(model.eta) + std::abs(model.h));
  const SiteTable<int> sign(model, [&](double field) { return field > tie ? 1 : field < -tie ? -1 : 0; });
  const std::size_t step = options.order == SweepOrder::raster ? 1 : 2;

  IcmResult<T> result;
  std::vector<double> energies;
  const auto note_energies = [&] {
    for (std::size_t i = 0; i < x.images; ++i) energies.push_back(image_energy(model, x, seen, i));
  };
  note_energies();
  while (!result.converged && result.sweeps < options.max_sweeps) {
    bool changed = false;
    for (std::size_t i = 0; i < x.images; ++i)
      for (std::size_t colour = 0; colour < step; ++colour)
        for (std::size_t r = 0; r < x.rows; ++r) {
          std::int8_t* const row = x.row(i, r);
          const std::int8_t* const y_row = seen.row(i, r);
          for (std::size_t c = (r + colour) % step; c < x.cols; c += step) {
            const int wanted = sign(x.neighbours(row + c), y_row[c]);
            if (wanted == 0 || wanted == row[c]) continue;
            row[c] = static_cast<std::int8_t>(wanted);
            changed = true;
          }
        }
    ++result.sweeps;
    result.converged = !changed;
    note_energies();
    if (options.after_sweep) options.after_sweep(x.tensor<T>(y.shape()));
  }
  result.x = x.tensor<T>(y.shape());
  const Shape trace = y.dimension() == 2 ? Shape{result.sweeps + 1} : Shape{result.sweeps + 1, x.images};
  result.energy = Tensor<double>(trace, std::span<const double>(energies));
  return result;
}

template <class T>
GibbsDenoiseResult<T> gibbs_denoise(const IsingModel& model, const Tensor<T>& y,
                                    const GibbsDenoiseOptions<std::type_identity_t<T>>& options, Rng& rng) {
  check_model("gibbs_denoise", model);
  check_images("gibbs_denoise", y);
  if (options.sweeps == 0) throw ValueError("gibbs_denoise: sweeps is at least 1");
  const Spins seen("gibbs_denoise", "y", y);
  Spins x = seen;
  const SiteTable<double> probability(model, [](double field) { return 1 / (1 + std::exp(-2 * field)); });

  std::vector<double> total(y.size());  // of the probabilities
  std::vector<double> draws((x.cols + 1) / 2);
  const auto sweep = [&](double weight) {
    for (std::size_t i = 0; i < x.images; ++i)
      for (std::size_t colour = 0; colour < 2; ++colour)
        for (std::size_t r = 0; r < x.rows; ++r) {
          std::int8_t* const row = x.row(i, r);
          const std::int8_t* const y_row = seen.row(i, r);
          double* const row_total = total.data() + (i * x.rows + r) * x.cols;
          rng.fill_uniform(std::span<double>(draws));
          for (std::size_t c = (r + colour) % 2; c < x.cols; c += 2) {
            const double p = probability(x.neighbours(row + c), y_row[c]);
            row[c] = draws[c / 2] < p ? 1 : -1;
            row_total[c] += weight * p;
          }
        }
    if (options.after_sweep) options.after_sweep(x.tensor<T>(y.shape()));
  };
  for (std::size_t i = 0; i < options.burn_in; ++i) sweep(0);
  for (std::size_t i = 0; i < options.sweeps; ++i) sweep(1);

  Fresh<T> signs("gibbs_denoise", y.shape()), means("gibbs_denoise", y.shape());
  for (std::size_t m = 0; m < y.size(); ++m) {
    const double mean = 2 * (total[m] / static_cast<double>(options.sweeps)) - 1;
    means.data()[m] = static_cast<T>(mean);
    signs.data()[m] = mean > 0 ? T(1) : mean < 0 ? T(-1) : y.data()[m];
  }
  return {.x = std::move(signs).finished(), .mean = std::move(means).finished(), .state = x.tensor<T>(y.shape())};
}

#define XTAPE_ISING(T)                                                                                             \
  template Tensor<T> energy(const IsingModel&, const Tensor<T>&, const Tensor<T>&);                                \
  template Tensor<T> energy_difference(const IsingModel&, const Tensor<T>&, const Tensor<T>&);                     \
  template IcmResult<T> icm(const IsingModel&, const Tensor<T>&, const IcmOptions<T>&);                            \
  template GibbsDenoiseResult<T> gibbs_denoise(const IsingModel&, const Tensor<T>&, const GibbsDenoiseOptions<T>&, \
                                               Rng&);
XTAPE_INSTANTIATE(XTAPE_ISING)

}  // namespace xtape
