// Compiled with -ffp-contract=off, and only + - * / and sqrt are used, which IEEE 754 rounds correctly
// everywhere: the digits are the same bytes on every machine.
#include <xtape/data/digits.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace xtape::data {
namespace {

constexpr std::size_t side = 28;

struct Point {
  double x, y;
  bool corner = false;  // the pen turns here, otherwise the curve is smooth
};
Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y}; }
Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
Point operator*(double s, Point a) { return {s * a.x, s * a.y}; }

using Stroke = std::vector<Point>;  // points that the pen passes through
using Glyph = std::vector<Stroke>;  // x to the right, y downwards, a digit about 1 high around (0.5, 0.5)

constexpr bool corner = true;

/// The ways to write digit d.
const std::vector<Glyph>& glyphs(std::size_t d) {
  // clang-format off
  static const std::array<std::vector<Glyph>, 10> table{{
      // 0: oval; narrow; begun with a small overhang
      {{{{.54, .01}, {.30, .12}, {.17, .5}, {.28, .88}, {.5, .99}, {.74, .86}, {.83, .5}, {.7, .12}, {.5, .01}}},
       {{{.58, .02}, {.40, .1}, {.28, .5}, {.36, .9}, {.5, .99}, {.65, .9}, {.72, .5}, {.66, .12}, {.52, .03}}},
       {{{.72, .08}, {.5, .02}, {.24, .26}, {.18, .68}, {.4, .98}, {.7, .82}, {.82, .42}, {.66, .1}, {.46, .06}}}},
      // 1: bare; bent; with a flag; with flag and base
      {{{{.5, 0}, {.5, 1}}},
       {{{.54, 0}, {.5, .5}, {.49, 1}}},
       {{{.36, .2}, {.53, 0, corner}, {.53, 1}}},
       {{{.32, .24}, {.42, .14}, {.52, 0, corner}, {.52, 1}}, {{.28, .99}, {.78, 1}}}},
      // 2: angular; with a loop; with a wavy base
      {{{{.2, .24}, {.36, .05}, {.6, .03}, {.75, .22}, {.64, .5}, {.4, .76}, {.18, .97, corner}, {.5, .96},
         {.84, .97}}},
       {{{.22, .2}, {.42, .03}, {.68, .08}, {.72, .34}, {.52, .66}, {.27, .93}, {.16, .86}, {.28, .76}, {.5, .88},
         {.7, .97}, {.9, .88}}},
       {{{.22, .16}, {.45, .01}, {.72, .12}, {.7, .38}, {.45, .7}, {.2, .93, corner}, {.42, .88}, {.64, .97},
         {.86, .92}}}},
      // 3: with a cusp; with a flat top; with a small loop in the middle
      {{{{.22, .15}, {.45, .01}, {.72, .12}, {.68, .36}, {.42, .47, corner}, {.7, .55}, {.79, .77}, {.52, .98},
         {.2, .87}}},
       {{{.22, .04}, {.48, .03}, {.76, .03, corner}, {.46, .4, corner}, {.72, .52}, {.78, .76}, {.52, .98},
         {.2, .88}}},
       {{{.24, .12}, {.5, .01}, {.72, .16}, {.58, .4}, {.4, .48}, {.44, .41}, {.68, .52}, {.78, .76}, {.5, .99},
         {.22, .9}}}},
      // 4: open; closed; open and rounded
      {{{{.28, .04}, {.21, .34}, {.17, .57, corner}, {.5, .58}, {.88, .55}}, {{.72, .06}, {.69, .5}, {.66, 1}}},
       {{{.62, 0}, {.38, .32}, {.12, .66, corner}, {.5, .66}, {.9, .64}}, {{.63, 0}, {.63, .5}, {.63, 1}}},
       {{{.26, .03}, {.18, .32}, {.28, .54}, {.52, .55}, {.74, .48}}, {{.8, .02}, {.74, .46}, {.7, 1}}}},
      // 5: two strokes; one stroke; a swung one
      {{{{.3, .04}, {.26, .42, corner}, {.5, .36}, {.76, .52}, {.73, .82}, {.46, .98}, {.18, .88}},
        {{.3, .04}, {.82, .02}}},
       {{{.78, .03}, {.34, .05, corner}, {.28, .43, corner}, {.54, .38}, {.78, .58}, {.68, .88}, {.42, .98},
         {.2, .9}}},
       {{{.8, .03}, {.48, .04}, {.34, .1}, {.28, .4, corner}, {.56, .42}, {.72, .66}, {.56, .94}, {.2, .95}}}},
      // 6: round; upright with a narrow loop; with a curled top
      {{{{.66, .02}, {.4, .2}, {.23, .55}, {.27, .85}, {.5, .98}, {.75, .84}, {.71, .6}, {.48, .53}, {.26, .72}}},
       {{{.5, 0}, {.31, .4}, {.24, .75}, {.42, .97}, {.68, .88}, {.68, .66}, {.48, .58}, {.27, .76}}},
       {{{.76, .12}, {.6, .01}, {.34, .2}, {.2, .56}, {.3, .9}, {.56, .98}, {.76, .76}, {.6, .55}, {.36, .6},
         {.24, .74}}}},
      // 7: bare; with a bar; with a serif; bent, and bent with a bar
      {{{{.12, .06}, {.5, .05}, {.86, .03, corner}, {.62, .46}, {.44, 1}}},
       {{{.14, .06}, {.5, .04}, {.86, .03, corner}, {.58, .46}, {.42, 1}}, {{.32, .54}, {.56, .51}, {.78, .5}}},
       {{{.12, .22}, {.14, .06, corner}, {.5, .07}, {.86, .04, corner}, {.66, .4}, {.48, 1}}},
       {{{.1, .1}, {.34, .03}, {.58, .08}, {.88, .04, corner}, {.58, .42}, {.5, .7}, {.48, 1}}},
       {{{.12, .12}, {.36, .05}, {.86, .04, corner}, {.62, .42}, {.5, 1}}, {{.34, .5}, {.72, .47}}}},
      // 8: one stroke from the upper right; two rings; one stroke from the middle
      {{{{.72, .14}, {.5, .01}, {.28, .16}, {.4, .4}, {.66, .62}, {.7, .88}, {.48, .99}, {.26, .86}, {.34, .62},
         {.58, .42}, {.73, .22}, {.64, .05}}},
       {{{.5, .02}, {.3, .1}, {.29, .34}, {.5, .46}, {.71, .34}, {.7, .1}, {.5, .02}},
        {{.5, .46}, {.25, .6}, {.25, .88}, {.5, .99}, {.75, .88}, {.75, .6}, {.5, .46}}},
       {{{.5, .47}, {.3, .32}, {.34, .08}, {.56, .01}, {.71, .18}, {.56, .42}, {.3, .64}, {.28, .88}, {.5, .99},
         {.72, .86}, {.68, .6}, {.46, .44}}}},
      // 9: straight tail; tail bent to the left; one with a corner at the upper right
      {{{{.73, .2}, {.54, .02}, {.3, .12}, {.26, .38}, {.48, .52}, {.68, .4}, {.74, .18, corner}, {.72, .5},
         {.68, 1}}},
       {{{.74, .22}, {.54, .01}, {.28, .14}, {.27, .4}, {.5, .51}, {.7, .38}, {.75, .2, corner}, {.74, .6},
         {.6, .92}, {.3, .96}}},
       {{{.76, .06}, {.48, .03}, {.25, .22}, {.34, .46}, {.58, .4}, {.77, .06, corner}, {.66, .5}, {.52, 1}}}},
  }};
  // clang-format on
  return table[d];
}

// Not Rng's member of that kind, which is inline and could come out of a file compiled otherwise.
double between(Rng& rng, double low, double high) { return low + (high - low) * rng.uniform(); }

/// Bell-shaped on (-1, 1) with standard deviation 1/3: unlike a normal number never far out, so that no
/// digit becomes illegible.
double bell(Rng& rng) {
  const double a = rng.uniform(), b = rng.uniform(), c = rng.uniform();
  return (a + b + c) * (2.0 / 3.0) - 1.0;
}

/// A smooth random displacement of the plane: cubic B-splines over a lattice of random vectors.
class Warp {
 public:
  Warp(Rng& rng, double strength) {
    for (auto& node : nodes_) {
      node.x = strength * bell(rng);
      node.y = strength * bell(rng);
    }
  }
  Point operator()(Point p) const {
    const Axis h(p.x), v(p.y);
    Point sum{0.0, 0.0};
    for (std::size_t j = 0; j < 4; ++j)
      for (std::size_t i = 0; i < 4; ++i)
        sum = sum + h.weight[i] * v.weight[j] * nodes_[(v.first + j) * n + h.first + i];
    return p + sum;
  }

 private:
  static constexpr std::size_t n = 7;  // lattice nodes a side
  /// The four nodes near a coordinate and their weights; [-0.2, 1.2] is spread over the lattice.
  struct Axis {
    std::size_t first;
    std::array<double, 4> weight;
    explicit Axis(double coordinate) {
      const double at = std::clamp((coordinate + 0.2) / 1.4, 0.0, 0.999) * static_cast<double>(n - 3);
      first = static_cast<std::size_t>(at);
      const double t = at - static_cast<double>(first), u = 1.0 - t;
      weight = {u * u * u / 6.0, (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
                (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0, t * t * t / 6.0};
    }
  };
  std::array<Point, n * n> nodes_{};
};

/// Points close together on the Catmull-Rom spline through the stroke; at a corner and at the ends the
/// pen goes straight for the neighbour.
Stroke flatten(const Stroke& s) {
  constexpr int steps = 8;
  Stroke line{s[0]};
  for (std::size_t i = 0; i + 1 < s.size(); ++i) {
    const Point a = s[i], b = s[i + 1], straight = b - a;
    const Point leave = i == 0 || a.corner ? straight : 0.5 * (b - s[i - 1]);
    const Point arrive = i + 2 == s.size() || b.corner ? straight : 0.5 * (s[i + 2] - a);
    for (int k = 1; k <= steps; ++k) {
      const double t = static_cast<double>(k) / steps, u = 1.0 - t;
      line.push_back(u * u * (1.0 + 2.0 * t) * a + t * t * (1.0 + 2.0 * u) * b + t * u * u * leave -
                     t * t * u * arrive);
    }
  }
  return line;
}

/// A pen of varying width on a raster of pixels, x and y in pixels from the outer corner.
class Raster {
 public:
  explicit Raster(double softness) : softness_(softness) {}

  /// Draws from a to b with radius ra at a and rb at b. A pixel is as bright as the brightest stroke
  /// over it; the brightness falls from 1 to 0 over `softness` pixels across the edge.
  void line(Point a, Point b, double ra, double rb) {
    const double reach = std::max(ra, rb) + softness_;
    const std::size_t x0 = clip(std::min(a.x, b.x) - reach), x1 = clip(std::max(a.x, b.x) + reach + 1.0);
    const std::size_t y0 = clip(std::min(a.y, b.y) - reach), y1 = clip(std::max(a.y, b.y) + reach + 1.0);
    const Point along = b - a;
    const double length2 = along.x * along.x + along.y * along.y;
    for (std::size_t y = y0; y < y1; ++y)
      for (std::size_t x = x0; x < x1; ++x) {
        const Point p = Point{static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5} - a;
        const double t = length2 > 0.0 ? std::clamp((p.x * along.x + p.y * along.y) / length2, 0.0, 1.0) : 0.0;
        const Point off = p - t * along;
        const double distance = std::sqrt(off.x * off.x + off.y * off.y);
        const double ink = std::clamp((ra + t * (rb - ra) - distance) / softness_ + 0.5, 0.0, 1.0);
        double& pixel = ink_[y * side + x];
        pixel = std::max(pixel, ink);
      }
  }

  void store(std::span<float> pixels) const {
    for (std::size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<float>(static_cast<int>(ink_[i] * 255.0 + 0.5)) / 255.0F;
  }

 private:
  static std::size_t clip(double v) { return static_cast<std::size_t>(std::clamp(v, 0.0, static_cast<double>(side))); }
  double softness_;
  std::array<double, side * side> ink_{};
};

struct Box {
  Point low{1e9, 1e9}, high{-1e9, -1e9};
  void include(Point p) {
    low = {std::min(low.x, p.x), std::min(low.y, p.y)};
    high = {std::max(high.x, p.x), std::max(high.y, p.y)};
  }
};

void draw(std::size_t digit, Rng& rng, std::span<float> pixels) {
  const auto& ways = glyphs(digit);
  const Glyph& glyph = ways[rng.below(ways.size())];

  // The hand: everything in units of the digit's height.
  const Warp warp(rng, 0.26);
  const double slant = 0.10 + 0.40 * bell(rng);  // shear: x moves by that much of y
  const double turn = 0.20 * bell(rng);          // tangent of half the angle
  const double cosine = (1.0 - turn * turn) / (1.0 + turn * turn), sine = 2.0 * turn / (1.0 + turn * turn);
  const double width = between(rng, 0.70, 1.15);
  const double jitter = between(rng, 0.02, 0.075);

  std::vector<Stroke> lines;
  Box box;
  for (Stroke stroke : glyph) {
    for (Point& p : stroke) {
      p.x += jitter * bell(rng);
      p.y += jitter * bell(rng);
    }
    stroke = flatten(stroke);
    for (Point& p : stroke) {
      const Point q = warp(p) - Point{0.5, 0.5};
      const Point sheared{width * q.x - slant * q.y, q.y};
      p = {cosine * sheared.x - sine * sheared.y, sine * sheared.x + cosine * sheared.y};
      box.include(p);
    }
    lines.push_back(std::move(stroke));
  }

  // The pen and the place: everything in pixels.
  const double pen = 1.25 + 0.55 * bell(rng), softness = between(rng, 0.9, 1.6);
  const double most = static_cast<double>(side) - 2.0 * (pen * 1.25 + 1.0);
  const double scale =
      std::min(18.0 + 3.5 * bell(rng), most / std::max(box.high.x - box.low.x, box.high.y - box.low.y));
  const auto place = [&](double low, double high) {
    const double room = 0.5 * (most - scale * (high - low));
    return 0.5 * static_cast<double>(side) + std::clamp(3.2 * bell(rng), -room, room) - scale * 0.5 * (low + high);
  };
  const double dx = place(box.low.x, box.high.x), dy = place(box.low.y, box.high.y);
  const Point shift{dx, dy};

  Raster raster(softness);
  for (const Stroke& line : lines) {
    const double begin = pen * (1.0 + 0.25 * bell(rng)), end = pen * (1.0 + 0.25 * bell(rng));  // the pen's pressure
    const auto radius = [&](std::size_t i) {
      return begin + (end - begin) * (static_cast<double>(i) / static_cast<double>(line.size() - 1));
    };
    for (std::size_t i = 0; i + 1 < line.size(); ++i)
      raster.line(scale * line[i] + shift, scale * line[i + 1] + shift, radius(i), radius(i + 1));
  }
  raster.store(pixels);
}

enum class Part : std::uint64_t { train, valid, test };

/// Streams apart from the low-numbered ones that users choose, one for each block of ten labels and one
/// for each digit of each part.
Rng stream(std::uint64_t seed, Part part, bool labels, std::size_t i) {
  constexpr std::uint64_t tag = std::uint64_t{0xd161} << 48;
  return Rng(seed, tag + (static_cast<std::uint64_t>(part) << 45) + (std::uint64_t{labels} << 44) + i);
}

Dataset make(std::size_t count, std::uint64_t seed, Part part) {
  Dataset set{.pixels = std::vector<float>(count * side * side),
              .labels = std::vector<std::int32_t>(count),
              .rows = side,
              .cols = side,
              .classes = 10};
  std::array<std::int32_t, 10> order{};
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 10 == 0) {
      std::iota(order.begin(), order.end(), 0);
      stream(seed, part, true, i / 10).shuffle(std::span<std::int32_t>(order));
    }
    set.labels[i] = order[i % 10];
    Rng rng = stream(seed, part, false, i);
    draw(static_cast<std::size_t>(set.labels[i]), rng, std::span(set.pixels).subspan(i * side * side, side * side));
  }
  return set;
}

}  // namespace

Dataset digits(std::size_t count, std::uint64_t seed) { return make(count, seed, Part::train); }

Splits builtin_digits(std::uint64_t seed, std::size_t n_train, std::size_t n_valid, std::size_t n_test) {
  return {make(n_train, seed, Part::train), make(n_valid, seed, Part::valid), make(n_test, seed, Part::test),
          "built-in digits"};
}

}  // namespace xtape::data
