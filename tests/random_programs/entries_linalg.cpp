// Products of matrices, convolution and pooling.
#include <xtape/ops/conv.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/pool.hpp>

#include "program.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

std::optional<Step> draw_matmul(Draw& draw) {
  const auto matrices = [](const Shape& s) { return s.size() == 2 || s.size() == 3; };
  const std::size_t a = draw.matching(matrices, Shape{2, 3});
  const MatmulOptions options{.transpose_a = draw.flag(), .transpose_b = draw.flag()};
  const auto extent = [](const Shape& s, bool last) { return s[s.size() - (last ? 1 : 2)]; };
  const std::size_t k = extent(draw.shape(a), !options.transpose_a), m = draw.of<std::size_t>({2, 3, 1, 4});
  const std::size_t batch = draw.shape(a).size() == 3 ? draw.shape(a)[0] : 1;
  const auto fits = [&](const Shape& s) {
    return matrices(s) && extent(s, options.transpose_b) == k &&
           (s.size() == 2 || s[0] == 1 || s[0] == batch || batch == 1);
  };
  Shape other = options.transpose_b ? Shape{m, k} : Shape{k, m};
  if (draw.choice(3) == 2) other = {batch == 1 ? 2 : batch, other[0], other[1]};
  const std::size_t b = draw.matching(fits, other);
  return step(
      {a, b},
      fmt::format("matmul({}, {}, {{.transpose_a = {}, .transpose_b = {}}})", Draw::name(a), Draw::name(b),
                  options.transpose_a, options.transpose_b),
      [options](const auto& t) { return matmul(t[0], t[1], options); },
      [=](const std::vector<Values>& x) {
        const Shape &sa = x[0].shape, &sb = x[1].shape;
        const bool ta = options.transpose_a, tb = options.transpose_b;
        Shape shape{extent(sa, ta), extent(sb, !tb)};
        if (sa.size() == 3 || sb.size() == 3) {
          const std::size_t first = sa.size() == 3 ? sa[0] : 1, second = sb.size() == 3 ? sb[0] : 1;
          shape = {first == 1 ? second : first, shape[0], shape[1]};
        }
        return tabulate<Jet>(shape, [&](const Index& i) {
          const std::size_t n = i.size() == 3 ? i[0] : 0, row = i[i.size() - 2], column = i.back();
          Jet s = 0;
          for (std::size_t l = 0; l < extent(sa, !ta); ++l)
            s += at(x[0], ta ? Index{n, l, row} : Index{n, row, l}) *
                 at(x[1], tb ? Index{n, column, l} : Index{n, l, column});
          return s;
        });
      });
}

std::optional<Step> draw_dot(Draw& draw) {
  const std::size_t a = draw.matching([](const Shape& s) { return s.size() == 1; }, Shape{3});
  const std::size_t b = draw.matching([&](const Shape& s) { return s == draw.shape(a); }, draw.shape(a));
  return step(
      {a, b}, fmt::format("dot({}, {})", Draw::name(a), Draw::name(b)), [](const auto& t) { return dot(t[0], t[1]); },
      [](const std::vector<Values>& x) {
        Jet s = 0;
        for (std::size_t i = 0; i < x[0].values.size(); ++i) s += x[0].values[i] * x[1].values[i];
        return Values{{}, {s}};
      });
}

std::optional<Step> draw_outer(Draw& draw) {
  const auto vectors = [](const Shape& s) { return s.size() == 1; };
  const std::size_t a = draw.matching(vectors, Shape{3}), b = draw.matching(vectors, Shape{2});
  return step(
      {a, b}, fmt::format("outer({}, {})", Draw::name(a), Draw::name(b)),
      [](const auto& t) { return outer(t[0], t[1]); },
      [](const std::vector<Values>& x) {
        return tabulate<Jet>({x[0].shape[0], x[1].shape[0]},
                             [&](const Index& i) { return x[0].values[i[0]] * x[1].values[i[1]]; });
      });
}

// ---- windows ----

struct Windows {
  Pair size, stride, padding;
  Shape out(const Shape& x, std::size_t channels) const {
    return {x[0], channels, (x[2] + 2 * padding.h - size.h) / stride.h + 1,
            (x[3] + 2 * padding.w - size.w) / stride.w + 1};
  }
  // f(p, q, row, column) for each place of window (i, j) that lies in the image.
  template <class F> void places(const Shape& x, std::size_t i, std::size_t j, const F& f) const {
    for (std::size_t p = 0; p < size.h; ++p)
      for (std::size_t q = 0; q < size.w; ++q) {
        const std::size_t row = i * stride.h + p, column = j * stride.w + q;
        if (row >= padding.h && row < x[2] + padding.h && column >= padding.w && column < x[3] + padding.w)
          f(p, q, row - padding.h, column - padding.w);
      }
  }
};

bool is_image(const Shape& s) { return s.size() == 4 && s[2] > 0 && s[3] > 0; }
bool is_kernel(const Shape& s) { return is_image(s) && s[2] <= 3 && s[3] <= 3; }

std::optional<Windows> draw_windows(Draw& draw, const Shape& image, const Shape& kernel) {
  const Windows w{.size = {kernel[2], kernel[3]},
                  .stride = {1 + draw.choice(3), 1 + draw.choice(2)},
                  .padding = {draw.choice(3), draw.choice(2)}};
  if (w.size.h > image[2] + 2 * w.padding.h || w.size.w > image[3] + 2 * w.padding.w) return {};
  return w;
}
std::string text_of(const Windows& w) {
  return fmt::format("{{.stride = {{{}, {}}}, .padding = {{{}, {}}}}}", w.stride.h, w.stride.w, w.padding.h,
                     w.padding.w);
}

enum class Conv { forward, with_bias, input_gradient, weight_gradient };

// All of convolution adds up products over n, o, i, j, c, p, q: f(image, weight, output) for the flat places of each.
template <class F> void convolve(const Windows& w, const Shape& x, const Shape& kernel, const F& f) {
  const Shape y = w.out(x, kernel[0]);
  const auto flat = [](const Shape& s, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    return ((a * s[1] + b) * s[2] + c) * s[3] + d;
  };
  for (std::size_t n = 0; n < x[0]; ++n)
    for (std::size_t o = 0; o < kernel[0]; ++o)
      for (std::size_t c = 0; c < x[1]; ++c)
        for (std::size_t i = 0; i < y[2]; ++i)
          for (std::size_t j = 0; j < y[3]; ++j)
            w.places(x, i, j, [&](std::size_t p, std::size_t q, std::size_t row, std::size_t column) {
              f(flat(x, n, c, row, column), flat(kernel, o, c, p, q), flat(y, n, o, i, j));
            });
}
Values zeros_of(const Shape& shape) { return {shape, std::vector<Jet>(shape.elements())}; }

std::optional<Step> draw_conv(Draw& draw, Conv which) {
  // Image and kernel are lines, or only their shapes count.
  const std::size_t x = draw.matching(is_image, Shape{2, 2, 4, 3});
  const Shape image = draw.shape(x);
  const Shape fresh{draw.of<std::size_t>({2, 1, 3}), image[1], draw.of<std::size_t>({2, 1, 3}),
                    draw.of<std::size_t>({2, 3, 1})};
  const std::size_t k = draw.matching([&](const Shape& s) { return is_kernel(s) && s[1] == image[1]; }, fresh);
  const Shape kernel = draw.shape(k);
  const auto drawn = draw_windows(draw, image, kernel);
  if (!drawn) return {};
  const Windows w = *drawn;
  const Conv2dOptions options{.stride = w.stride, .padding = w.padding};
  const Shape y = w.out(image, kernel[0]);
  const auto list = [](const Shape& s) { return fmt::format("{{{}}}", fmt::join(s.begin(), s.end(), ", ")); };
  if (which == Conv::forward || which == Conv::with_bias) {
    std::vector<std::size_t> lines{x, k};
    const bool bias = which == Conv::with_bias;
    if (bias) lines.push_back(draw.matching([&](const Shape& s) { return s == Shape{kernel[0]}; }, Shape{kernel[0]}));
    return step(
        lines,
        fmt::format("conv2d({}, {}, {}{})", Draw::name(x), Draw::name(k),
                    bias ? Draw::name(lines[2]) + ", " : std::string(), text_of(w)),
        [options](const auto& t) {
          return t.size() == 3 ? conv2d(t[0], t[1], t[2], options) : conv2d(t[0], t[1], options);
        },
        [=](const std::vector<Values>& t) {
          Values result = zeros_of(y);
          convolve(w, image, kernel, [&](std::size_t a, std::size_t b, std::size_t c) {
            result.values[c] += t[0].values[a] * t[1].values[b];
          });
          if (t.size() == 2) return result;
          return tabulate<Jet>(y, [&](const Index& i) { return at(result, i) + t[2].values[i[1]]; });
        });
  }
  const std::size_t dy = draw.matching([&](const Shape& s) { return s == y; }, y);
  if (which == Conv::input_gradient)
    return step(
        {dy, k},
        fmt::format("conv2d_input_gradient({}, {}, {}, {})", Draw::name(dy), Draw::name(k), list(image), text_of(w)),
        [=](const auto& t) { return conv2d_input_gradient(t[0], t[1], image, options); },
        [=](const std::vector<Values>& t) {
          Values result = zeros_of(image);
          convolve(w, image, kernel, [&](std::size_t a, std::size_t b, std::size_t c) {
            result.values[a] += t[0].values[c] * t[1].values[b];
          });
          return result;
        });
  return step(
      {x, dy},
      fmt::format("conv2d_weight_gradient({}, {}, {}, {})", Draw::name(x), Draw::name(dy), list(kernel), text_of(w)),
      [=](const auto& t) { return conv2d_weight_gradient(t[0], t[1], kernel, options); },
      [=](const std::vector<Values>& t) {
        Values result = zeros_of(kernel);
        convolve(w, image, kernel, [&](std::size_t a, std::size_t b, std::size_t c) {
          result.values[b] += t[0].values[a] * t[1].values[c];
        });
        return result;
      });
}

template <class F, class R> Entry pooling(const char* name, F f, R of_window) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.matching(is_image, Shape{2, 1, 4, 5});
            const Shape image = draw.shape(x);
            const Pair window{1 + (draw.choice(3) + 1) % 3, 1 + (draw.choice(3) + 1) % 3};
            const Pair stride{draw.choice(4), draw.choice(3)};
            const Pair padding{draw.choice(window.h / 2 + 1), draw.choice(window.w / 2 + 1)};
            const Windows w{window, {stride.h ? stride.h : window.h, stride.w ? stride.w : window.w}, padding};
            if (window.h > image[2] + 2 * padding.h || window.w > image[3] + 2 * padding.w) return {};
            const PoolOptions options{.window = window, .stride = stride, .padding = padding};
            return step(
                {x},
                fmt::format("{}({}, {{.window = {{{}, {}}}, .stride = {{{}, {}}}, .padding = {{{}, {}}}}})", name,
                            Draw::name(x), window.h, window.w, stride.h, stride.w, padding.h, padding.w),
                [=](const auto& t) { return f(t[0], options); },
                [=](const std::vector<Values>& t) {
                  return tabulate<Jet>(w.out(image, image[1]), [&](const Index& i) {
                    std::vector<Jet> inside;
                    w.places(image, i[2], i[3], [&](std::size_t, std::size_t, std::size_t row, std::size_t column) {
                      inside.push_back(at(t[0], Index{i[0], i[1], row, column}));
                    });
                    return of_window(inside, window.h * window.w);
                  });
                });
          }};
}

}  // namespace

std::vector<Entry> linalg_entries() {
  const auto convolution = [](const char* name, Conv which) {
    return Entry{name, [which](Draw& draw) { return draw_conv(draw, which); }};
  };
  return {{"matmul", draw_matmul},
          {"dot", draw_dot},
          {"outer", draw_outer},
          convolution("conv2d", Conv::forward),
          convolution("conv2d with bias", Conv::with_bias),
          convolution("conv2d_input_gradient", Conv::input_gradient),
          convolution("conv2d_weight_gradient", Conv::weight_gradient),
          pooling(
              "max_pool2d", [](const auto& x, const PoolOptions& o) { return max_pool2d(x, o); },
              [](const std::vector<Jet>& v, std::size_t) {
                Jet best = v.at(0);
                for (const Jet& x : v) best = larger(best, x);
                return best;
              }),
          pooling(
              "avg_pool2d", [](const auto& x, const PoolOptions& o) { return avg_pool2d(x, o); },
              [](const std::vector<Jet>& v, std::size_t n) { return sum_of(v) / n; })};
}

}  // namespace xtape::test
