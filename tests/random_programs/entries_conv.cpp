// Convolution, its transpose and its gradients, of images and of sequences.
#include <xtape/ops/conv.hpp>

#include "windows.hpp"

namespace xtape::test {
namespace {

enum class Conv { forward, transposed, input_gradient, weight_gradient };

// All of convolution adds up products over n, o, i, j, c, p, q: f(image, weight, output) for the flat places of each.
template <class F>
void convolve(const Windows& w, std::size_t groups, const Shape& x, const Shape& kernel, const Shape& y, const F& f) {
  const auto flat = [](const Shape& s, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    return ((a * s[1] + b) * s[2] + c) * s[3] + d;
  };
  for (std::size_t n = 0; n < x[0]; ++n)
    for (std::size_t o = 0; o < kernel[0]; ++o)
      for (std::size_t c = 0; c < kernel[1]; ++c)
        for (std::size_t i = 0; i < y[2]; ++i)
          for (std::size_t j = 0; j < y[3]; ++j)
            w.places(x, i, j, [&](std::size_t p, std::size_t q, std::size_t row, std::size_t column) {
              const std::size_t channel = o / (kernel[0] / groups) * kernel[1] + c;
              f(flat(x, n, channel, row, column), flat(kernel, o, c, p, q), flat(y, n, o, i, j));
            });
}

std::string text_of(const Windows& w, std::size_t groups, const Pair& output_padding, bool one_row) {
  const auto pair = [one_row](const Pair& p) {
    return one_row ? fmt::format("{}", p.w) : fmt::format("{{{}, {}}}", p.h, p.w);
  };
  return fmt::format("{{.stride = {}, .padding = {}, {}.dilation = {}, .groups = {}}}", pair(w.stride), pair(w.padding),
                     output_padding == Pair(0) ? "" : fmt::format(".output_padding = {}, ", pair(output_padding)),
                     pair(w.dilation), groups);
}

template <class T> Tensor<T> forward(const Tensors<T>& t, const Windows& w, std::size_t groups, bool one_row) {
  if (one_row) {
    const Conv1dOptions options{
        .stride = w.stride.w, .padding = w.padding.w, .dilation = w.dilation.w, .groups = groups};
    return t.size() == 3 ? conv1d(t[0], t[1], t[2], options) : conv1d(t[0], t[1], options);
  }
  const Conv2dOptions options{.stride = w.stride, .padding = w.padding, .dilation = w.dilation, .groups = groups};
  return t.size() == 3 ? conv2d(t[0], t[1], t[2], options) : conv2d(t[0], t[1], options);
}
template <class T>
Tensor<T> transposed(const Tensors<T>& t, const Windows& w, std::size_t groups, const Pair& more, bool one_row) {
  if (one_row) {
    const ConvTranspose1dOptions options{.stride = w.stride.w,
                                         .padding = w.padding.w,
                                         .output_padding = more.w,
                                         .dilation = w.dilation.w,
                                         .groups = groups};
    return t.size() == 3 ? conv_transpose1d(t[0], t[1], t[2], options) : conv_transpose1d(t[0], t[1], options);
  }
  const ConvTranspose2dOptions options{
      .stride = w.stride, .padding = w.padding, .output_padding = more, .dilation = w.dilation, .groups = groups};
  return t.size() == 3 ? conv_transpose2d(t[0], t[1], t[2], options) : conv_transpose2d(t[0], t[1], options);
}

// Strides, paddings and dilations; the window's size is the kernel's.
Windows draw_options(Draw& draw, const Shape& kernel, bool one_row) {
  Windows w{.size = {kernel[2], kernel[3]},
            .stride = {1 + draw.choice(3), 1 + draw.choice(2)},
            .padding = {draw.choice(3), draw.choice(2)},
            .dilation = {draw.of<std::size_t>({1, 1, 2}), draw.of<std::size_t>({1, 2, 1, 3})}};
  if (one_row) w.stride.h = w.dilation.h = 1, w.padding.h = 0;
  return w;
}

// A list of a bias for `channels`, or of nothing.
std::vector<std::size_t> draw_bias(Draw& draw, std::size_t channels) {
  if (!draw.flag()) return {};
  return {draw.matching([&](const Shape& s) { return s == Shape{channels}; }, Shape{channels})};
}
Values with_bias(Values y, const std::vector<Values>& t) {
  if (t.size() == 2) return y;
  const Shape shape = y.shape;
  return tabulate<Jet>(shape, [&](const Index& i) { return at(y, i) + t[2].values[i[1]]; });
}

std::optional<Step> draw_conv(Draw& draw, Conv which, bool one_row, const char* name) {
  // Image and kernel are lines, or only their shapes count. `first` is the image; of the transpose, the output.
  const std::size_t first =
      draw.matching([=](const Shape& s) { return is_image(s, one_row); }, lowered({2, 2, 4, 3}, one_row));
  const Shape given = lifted(draw.shape(first));
  const bool backwards = which == Conv::transposed;
  const std::size_t wanted_groups = draw.of<std::size_t>({1, 2, 1, 3});
  const std::size_t groups = given[1] > 0 && given[1] % wanted_groups == 0 ? wanted_groups : 1;
  const std::size_t extra = draw.of<std::size_t>({2, 1, 3});
  const Shape fresh{backwards ? given[1] : groups * extra, backwards ? extra : given[1] / groups,
                    one_row ? 1 : draw.of<std::size_t>({2, 1, 3}), draw.of<std::size_t>({2, 3, 1})};
  const std::size_t k = draw.matching(
      [&](const Shape& s) {
        if (!is_image(s, one_row)) return false;
        const Shape kernel = lifted(s);
        const bool fits = backwards ? kernel[0] == given[1] && kernel[1] > 0
                                    : kernel[1] * groups == given[1] && kernel[0] % groups == 0;
        return fits && kernel[2] <= 3 && kernel[3] <= 3;
      },
      lowered(fresh, one_row));
  const Shape kernel = lifted(draw.shape(k));
  const Windows w = draw_options(draw, kernel, one_row);
  std::vector<std::size_t> lines{first, k};

  if (backwards) {
    const Pair more{one_row ? 0 : draw.choice(w.stride.h), draw.choice(w.stride.w)};
    const auto extent = [](std::size_t n, std::size_t s, std::size_t pad, std::size_t d, std::size_t q, std::size_t o) {
      const std::size_t full = (n - 1) * s + d * (q - 1) + 1 + o;
      return full > 2 * pad ? full - 2 * pad : 0;
    };
    const Shape image{given[0], kernel[1] * groups,
                      extent(given[2], w.stride.h, w.padding.h, w.dilation.h, kernel[2], more.h),
                      extent(given[3], w.stride.w, w.padding.w, w.dilation.w, kernel[3], more.w)};
    if (image[2] == 0 || image[3] == 0) return {};
    for (const std::size_t bias : draw_bias(draw, image[1])) lines.push_back(bias);
    return step(
        lines, fmt::format("{}({}, {})", name, draw.names(lines), text_of(w, groups, more, one_row)),
        [=](const auto& t) { return transposed(t, w, groups, more, one_row); },
        [=](const std::vector<Values>& t) {
          Values result{image, std::vector<Jet>(image.elements())};
          convolve(w, groups, image, kernel, given, [&](std::size_t a, std::size_t b, std::size_t c) {
            result.values[a] += t[0].values[c] * t[1].values[b];
          });
          result = with_bias(std::move(result), t);
          result.shape = lowered(image, one_row);
          return result;
        });
  }

  if (!w.fit(given)) return {};
  const Shape y = w.out(given, kernel[0]);
  if (which == Conv::forward) {
    for (const std::size_t bias : draw_bias(draw, kernel[0])) lines.push_back(bias);
    return step(
        lines, fmt::format("{}({}, {})", name, draw.names(lines), text_of(w, groups, 0, one_row)),
        [=](const auto& t) { return forward(t, w, groups, one_row); },
        [=](const std::vector<Values>& t) {
          Values result{y, std::vector<Jet>(y.elements())};
          convolve(w, groups, given, kernel, y, [&](std::size_t a, std::size_t b, std::size_t c) {
            result.values[c] += t[0].values[a] * t[1].values[b];
          });
          result = with_bias(std::move(result), t);
          result.shape = lowered(y, one_row);
          return result;
        });
  }
  const std::size_t dy = draw.matching([&](const Shape& s) { return s == y; }, y);
  const bool by_input = which == Conv::input_gradient;
  const Shape result_shape = by_input ? given : kernel;
  lines = by_input ? std::vector{dy, k} : std::vector{first, dy};
  const Conv2dOptions options{.stride = w.stride, .padding = w.padding, .dilation = w.dilation, .groups = groups};
  return step(
      lines,
      fmt::format("{}({}, {{{}}}, {})", name, draw.names(lines),
                  fmt::join(result_shape.begin(), result_shape.end(), ", "), text_of(w, groups, 0, false)),
      [=](const auto& t) {
        return by_input ? conv2d_input_gradient(t[0], t[1], given, options)
                        : conv2d_weight_gradient(t[0], t[1], kernel, options);
      },
      [=](const std::vector<Values>& t) {
        Values result{result_shape, std::vector<Jet>(result_shape.elements())};
        convolve(w, groups, given, kernel, y, [&](std::size_t a, std::size_t b, std::size_t c) {
          if (by_input)
            result.values[a] += t[0].values[c] * t[1].values[b];
          else
            result.values[b] += t[0].values[a] * t[1].values[c];
        });
        return result;
      });
}

}  // namespace

std::vector<Entry> conv_entries() {
  const auto entry = [](const char* name, Conv which, bool one_row) {
    return Entry{name, [=](Draw& draw) { return draw_conv(draw, which, one_row, name); }};
  };
  return {
      entry("conv2d", Conv::forward, false),
      entry("conv1d", Conv::forward, true),
      entry("conv_transpose2d", Conv::transposed, false),
      entry("conv_transpose1d", Conv::transposed, true),
      entry("conv2d_input_gradient", Conv::input_gradient, false),
      entry("conv2d_weight_gradient", Conv::weight_gradient, false),
  };
}

}  // namespace xtape::test
