#include <xtape/data/augment.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <utility>

namespace xtape::data {
namespace {

struct Turn {
  double cosine, sine;
};

/// Exactly 0, 1 and -1 at multiples of 90 degrees.
Turn turn(double degrees) {
  const double reduced = std::remainder(degrees, 360.0), quarters = std::nearbyint(reduced / 90);
  const double rest = (reduced - 90 * quarters) * std::numbers::pi / 180;
  const double c = std::cos(rest), s = std::sin(rest);
  switch ((static_cast<int>(quarters) + 4) % 4) {
    case 0: return {c, s};
    case 1: return {-s, c};
    case 2: return {-c, -s};
    default: return {s, -c};
  }
}

/// Where the pixels of a frame come from.
struct Motion {
  Turn turn;
  double down, right;
};

/// An image of one channel, surrounded by `fill`.
template <class T> struct Image {
  const T* pixels;
  std::size_t rows, cols;
  double fill;

  /// Between -1 and rows, -1 and cols.
  double at(std::ptrdiff_t row, std::ptrdiff_t col) const {
    const auto r = static_cast<std::size_t>(row), c = static_cast<std::size_t>(col);  // -1 becomes the largest
    return r < rows && c < cols ? static_cast<double>(pixels[r * cols + c]) : fill;
  }
  // A neighbour of no weight is not looked at: it may be NaN.
  double along_row(std::ptrdiff_t row, std::ptrdiff_t col, double beyond) const {
    return beyond == 0 ? at(row, col) : std::lerp(at(row, col), at(row, col + 1), beyond);
  }
  double at(double row, double col) const {
    if (!(row > -1 && row < static_cast<double>(rows) && col > -1 && col < static_cast<double>(cols))) return fill;
    const double top = std::floor(row), left = std::floor(col);
    const auto r = static_cast<std::ptrdiff_t>(top), c = static_cast<std::ptrdiff_t>(left);
    return row == top ? along_row(r, c, col - left)
                      : std::lerp(along_row(r, c, col - left), along_row(r + 1, c, col - left), row - top);
  }
};

template <class T> void resample(const Image<T>& image, const Motion& motion, T* out) {
  const double centre_row = (static_cast<double>(image.rows) - 1) / 2,
               centre_col = (static_cast<double>(image.cols) - 1) / 2;
  const auto [c, s] = motion.turn;
  for (std::size_t row = 0; row < image.rows; ++row) {
    const double r = static_cast<double>(row) - centre_row - motion.down;
    for (std::size_t col = 0; col < image.cols; ++col) {
      const double q = static_cast<double>(col) - centre_col - motion.right;
      *out++ = static_cast<T>(image.at(s * q + c * r + centre_row, c * q - s * r + centre_col));
    }
  }
}

template <class T> void check(const char* function, const Tensor<T>& images, std::size_t axes) {
  if (images.dimension() < axes)
    throw ShapeError(fmt::format("{}: images of {} axes or more are needed, got shape {}", function, axes,
                                 to_string(images.shape())));
  if (images.requires_grad()) throw TapeError(fmt::format("{}: no gradient flows through; detach() it", function));
}

/// All images from `first` on for so many pixels, moved alike.
template <class T>
void resample_all(const Tensor<T>& images, std::size_t first, std::size_t pixels, const Motion& motion, double fill,
                  Fresh<T>& out) {
  const std::size_t rows = images.shape(-2), cols = images.shape(-1), size = rows * cols;
  for (std::size_t at = first; at < first + pixels; at += size)
    resample({images.data() + at, rows, cols, fill}, motion, out.data() + at);
}

}  // namespace

template <class T>
Tensor<T> shifted(const Tensor<T>& images, double down, double right, const ResampleOptions& options) {
  check("shifted", images, 2);
  if (!std::isfinite(down) || !std::isfinite(right))
    throw ValueError(fmt::format("shifted: down {} and right {} must be finite", down, right));
  Fresh<T> out("shifted", images.shape());
  resample_all(images, 0, images.size(), {turn(0), down, right}, options.fill, out);
  return std::move(out).finished();
}

template <class T> Tensor<T> rotated(const Tensor<T>& images, double degrees, const ResampleOptions& options) {
  check("rotated", images, 2);
  if (!std::isfinite(degrees)) throw ValueError(fmt::format("rotated: {} degrees must be finite", degrees));
  Fresh<T> out("rotated", images.shape());
  resample_all(images, 0, images.size(), {turn(degrees), 0, 0}, options.fill, out);
  return std::move(out).finished();
}

template <class T> Tensor<T> augmented(const Tensor<T>& images, const AugmentOptions& options, Rng& rng) {
  check("augmented", images, 3);
  for (const double range : {options.shift, options.rotation})
    if (!(range >= 0 && std::isfinite(range)))
      throw ValueError(fmt::format("augmented: shift {} and rotation {} must be finite and not negative", options.shift,
                                   options.rotation));
  Fresh<T> out("augmented", images.shape());
  const auto draw = [&rng](double range) { return range * (2 * rng.uniform() - 1); };
  const std::size_t count = images.shape(0);
  for (std::size_t i = 0; i < count; ++i) {
    const double degrees = draw(options.rotation), down = draw(options.shift), right = draw(options.shift);
    const std::size_t pixels = images.size() / count;
    resample_all(images, i * pixels, pixels, {turn(degrees), down, right}, options.fill, out);
  }
  return std::move(out).finished();
}

#define XTAPE_AUGMENT(T)                                                                \
  template Tensor<T> shifted(const Tensor<T>&, double, double, const ResampleOptions&); \
  template Tensor<T> rotated(const Tensor<T>&, double, const ResampleOptions&);         \
  template Tensor<T> augmented(const Tensor<T>&, const AugmentOptions&, Rng&);
XTAPE_AUGMENT(float)
XTAPE_AUGMENT(double)

}  // namespace xtape::data
