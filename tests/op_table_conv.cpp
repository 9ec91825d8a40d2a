// Rows of convolution, its transpose and pooling.
#include <xtape/ops/conv.hpp>
#include <xtape/ops/pool.hpp>

#include "op_table_reference.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

// ---- references ------------------------------------------------------------------------------------------------

// Calls f(n, o, i, j, c, p, q, channel, row, column) for every product that a convolution adds up: weight (o, c, p, q)
// meets the image's element (n, channel, row, column) for result (n, o, i, j).
struct Geometry {
  Conv2dOptions options;
  Pair out(const Shape& x, const Shape& w) const {
    const auto& [s, pad, d, groups] = options;
    return {(x[2] + 2 * pad.h - d.h * (w[2] - 1) - 1) / s.h + 1, (x[3] + 2 * pad.w - d.w * (w[3] - 1) - 1) / s.w + 1};
  }
  template <class F> void products(const Shape& x, const Shape& w, const F& f) const {
    const auto& [s, pad, d, groups] = options;
    const Pair size = out(x, w);
    for (std::size_t n = 0; n < x[0]; ++n)
      for (std::size_t o = 0; o < w[0]; ++o)
        for (std::size_t i = 0; i < size.h; ++i)
          for (std::size_t j = 0; j < size.w; ++j)
            for (std::size_t c = 0; c < w[1]; ++c)
              for (std::size_t p = 0; p < w[2]; ++p)
                for (std::size_t q = 0; q < w[3]; ++q) {
                  const std::size_t row = i * s.h + p * d.h - pad.h, column = j * s.w + q * d.w - pad.w;
                  // Above and left of the image the unsigned place has wrapped around.
                  if (row < x[2] && column < x[3]) f(n, o, i, j, c, p, q, o * groups / w[0] * w[1] + c, row, column);
                }
  }
};

std::size_t flat(const Shape& s, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
  return ((a * s[1] + b) * s[2] + c) * s[3] + d;
}
Array zero_array(const Shape& shape) { return {shape, std::vector<Real>(shape.elements())}; }
Array plus_bias(Array y, const Arrays& x) {
  if (x.size() == 2) return y;
  return tabulate(y.shape, [&](const Index& i) { return at(y, i) + x[2].values[i[1]]; });
}

Reference convolution(const Geometry& g) {
  return [g](const Arrays& x) {
    const Shape &xs = x[0].shape, &ws = x[1].shape;
    const Pair size = g.out(xs, ws);
    Array y = zero_array({xs[0], ws[0], size.h, size.w});
    g.products(xs, ws,
               [&](auto n, auto o, auto i, auto j, auto c, auto p, auto q, auto channel, auto row, auto column) {
                 y.values[flat(y.shape, n, o, i, j)] +=
                     x[0].values[flat(xs, n, channel, row, column)] * x[1].values[flat(ws, o, c, p, q)];
               });
    return plus_bias(y, x);
  };
}
Reference input_gradient(const Geometry& g, const Shape& xs) {
  return [=](const Arrays& x) {
    const Shape &ys = x[0].shape, &ws = x[1].shape;
    Array dx = zero_array(xs);
    g.products(xs, ws,
               [&](auto n, auto o, auto i, auto j, auto c, auto p, auto q, auto channel, auto row, auto column) {
                 dx.values[flat(xs, n, channel, row, column)] +=
                     x[0].values[flat(ys, n, o, i, j)] * x[1].values[flat(ws, o, c, p, q)];
               });
    return dx;
  };
}
Reference weight_gradient(const Geometry& g, const Shape& ws) {
  return [=](const Arrays& x) {
    const Shape &xs = x[0].shape, &ys = x[1].shape;
    Array dw = zero_array(ws);
    g.products(xs, ws,
               [&](auto n, auto o, auto i, auto j, auto c, auto p, auto q, auto channel, auto row, auto column) {
                 dw.values[flat(ws, o, c, p, q)] +=
                     x[0].values[flat(xs, n, channel, row, column)] * x[1].values[flat(ys, n, o, i, j)];
               });
    return dw;
  };
}

// Each element of the result collects what reaches it: x at i s + p d - pad = row for a weight p, and so for columns.
Reference transposed(const ConvTranspose2dOptions& options) {
  return [options](const Arrays& x) {
    const auto& [s, pad, more, d, groups] = options;
    const Shape &xs = x[0].shape, &ws = x[1].shape;
    const Shape shape{xs[0], ws[1] * groups, (xs[2] - 1) * s.h + d.h * (ws[2] - 1) + 1 + more.h - 2 * pad.h,
                      (xs[3] - 1) * s.w + d.w * (ws[3] - 1) + 1 + more.w - 2 * pad.w};
    const Array y = tabulate(shape, [&, s = s, pad = pad, d = d, groups = groups](const Index& at_y) -> Real {
      const std::size_t group = at_y[1] / ws[1], filters = ws[0] / groups;
      Real sum = 0;
      for (std::size_t o = group * filters; o < (group + 1) * filters; ++o)
        for (std::size_t p = 0; p < ws[2]; ++p)
          for (std::size_t q = 0; q < ws[3]; ++q) {
            const std::size_t down = at_y[2] + pad.h, right = at_y[3] + pad.w;
            if (down < p * d.h || right < q * d.w) continue;
            const std::size_t i = (down - p * d.h) / s.h, j = (right - q * d.w) / s.w;
            if ((down - p * d.h) % s.h != 0 || (right - q * d.w) % s.w != 0 || i >= xs[2] || j >= xs[3]) continue;
            sum += at(x[0], {at_y[0], o, i, j}) * at(x[1], {o, at_y[1] % ws[1], p, q});
          }
      return sum;
    });
    return plus_bias(y, x);
  };
}

// f(elements inside the window, number of places in it) for each window.
template <class F> Reference pooled(const PoolOptions& options, F f) {
  return [=](const Arrays& x) {
    const Pair window = options.window, pad = options.padding;
    const Pair stride = options.stride == Pair(0) ? window : options.stride;
    const Shape& in = x[0].shape;
    const Pair size = Geometry{{.stride = stride, .padding = pad}}.out(in, {1, 1, window.h, window.w});
    return tabulate({in[0], in[1], size.h, size.w}, [&](const Index& i) -> Real {
      std::vector<Real> inside;
      for (std::size_t p = 0; p < window.h; ++p)
        for (std::size_t q = 0; q < window.w; ++q) {
          const std::size_t row = i[2] * stride.h + p - pad.h, column = i[3] * stride.w + q - pad.w;
          if (row < in[2] && column < in[3]) inside.push_back(at(x[0], {i[0], i[1], row, column}));
        }
      return f(inside, static_cast<Real>(window.h * window.w));
    });
  };
}

// The mean of the elements that a bin overlaps: row r is [r, r + 1) of [0, H), bin i is [i H / h, (i + 1) H / h).
Reference binned(const Pair& output) {
  return [output](const Arrays& x) {
    const Shape& in = x[0].shape;
    const auto overlap = [](std::size_t place, std::size_t extent, std::size_t bin, std::size_t bins) {
      return place * bins < (bin + 1) * extent && (place + 1) * bins > bin * extent;
    };
    return tabulate({in[0], in[1], output.h, output.w}, [&](const Index& i) -> Real {
      std::vector<Real> inside;
      for (std::size_t r = 0; r < in[2]; ++r)
        for (std::size_t c = 0; c < in[3]; ++c)
          if (overlap(r, in[2], i[2], output.h) && overlap(c, in[3], i[3], output.w))
            inside.push_back(at(x[0], {i[0], i[1], r, c}));
      return mean_of(inside);
    });
  };
}

// The reference of two directions, on sequences as images with one row.
Reference on_one_row(Reference of_images) {
  return [of_images](Arrays x) {
    for (Array& a : x)
      if (a.shape.size() == 3) a.shape = {a.shape[0], a.shape[1], 1, a.shape[2]};
    Array y = of_images(x);
    y.shape = {y.shape[0], y.shape[1], y.shape[3]};
    return y;
  };
}

Real largest_of(const std::vector<Real>& inside, Real) { return *std::ranges::max_element(inside); }
Real average_of(const std::vector<Real>& inside, Real places) { return sum_of(inside) / places; }

// ---- the ops as functions of options: (x, w) or (x, w, bias) ------------------------------------------------------

constexpr auto conv2d_of = [](const auto& x, const auto& o) {
  return x.size() == 2 ? conv2d(x[0], x[1], o) : conv2d(x[0], x[1], x[2], o);
};
constexpr auto conv1d_of = [](const auto& x, const auto& o) {
  return x.size() == 2 ? conv1d(x[0], x[1], o) : conv1d(x[0], x[1], x[2], o);
};
constexpr auto conv_transpose2d_of = [](const auto& x, const auto& o) {
  return x.size() == 2 ? conv_transpose2d(x[0], x[1], o) : conv_transpose2d(x[0], x[1], x[2], o);
};
constexpr auto conv_transpose1d_of = [](const auto& x, const auto& o) {
  return x.size() == 2 ? conv_transpose1d(x[0], x[1], o) : conv_transpose1d(x[0], x[1], x[2], o);
};
constexpr auto max_pool2d_of = [](const auto& x, const auto& o) { return max_pool2d(x[0], o); };
constexpr auto avg_pool2d_of = [](const auto& x, const auto& o) { return avg_pool2d(x[0], o); };
constexpr auto max_pool1d_of = [](const auto& x, const auto& o) { return max_pool1d(x[0], o); };
constexpr auto avg_pool1d_of = [](const auto& x, const auto& o) { return avg_pool1d(x[0], o); };

constexpr std::size_t most = ~std::size_t{0};

template <class F, class Options> Refused refuse(F f, Options options, std::vector<Shape> shapes) {
  return {[=](const auto& x) { return f(x, options); }, std::move(shapes)};
}
// A case without bias, and one with, whose length is given.
template <class F, class Options>
void add_cases(Row& row, F f, Options options, const Reference& reference, const Shape& x, const Shape& w,
               std::size_t bias) {
  const Op op{[=](const auto& inputs) { return f(inputs, options); }};
  row.cases.push_back({op, reference, {{x, w}}});
  row.cases.push_back({op, reference, {{x, w, {bias}}}});
}

// ---- convolution -------------------------------------------------------------------------------------------------

// One geometry, image and kernel: a case for each of the three ops of convolution.
struct ConvSetting {
  Conv2dOptions options;
  Shape image, kernel;
};
const std::vector<ConvSetting> conv_settings{
    {{}, {2, 2, 4, 5}, {3, 2, 3, 2}},
    {{.stride = 2}, {1, 2, 5, 6}, {2, 2, 2, 3}},
    {{.stride = {1, 2}, .padding = {2, 1}}, {2, 1, 3, 4}, {2, 1, 3, 2}},
    {{.stride = {3, 2}, .padding = 1}, {1, 1, 5, 4}, {1, 1, 2, 3}},
    {{.stride = 2, .padding = 1}, {1, 3, 4, 4}, {2, 3, 3, 3}},
    {{}, {2, 3, 2, 2}, {2, 3, 1, 1}},
    {{}, {1, 2, 3, 2}, {2, 2, 3, 2}},
    {{.padding = 2}, {1, 1, 1, 1}, {1, 1, 3, 3}},
    {{.dilation = 2}, {1, 2, 4, 5}, {2, 2, 2, 3}},
    {{.stride = {2, 1}, .padding = {1, 3}, .dilation = {1, 3}}, {1, 1, 4, 3}, {2, 1, 2, 3}},
    {{.padding = 4, .dilation = 4}, {1, 1, 2, 1}, {1, 1, 2, 3}},
    {{.groups = 2}, {2, 4, 3, 2}, {2, 2, 2, 2}},
    {{.padding = 1, .groups = 3}, {2, 3, 2, 3}, {3, 1, 3, 3}},
    {{.stride = 2, .dilation = 2, .groups = 2}, {1, 2, 4, 3}, {4, 1, 2, 2}},
    {{.groups = 2}, {2, 4, 1, 2}, {6, 2, 1, 1}},
};
// Nothing to add up, or nothing to add to.
const std::vector<ConvSetting> empty_conv_settings{
    {{}, {0, 1, 3, 3}, {2, 1, 2, 2}},
    {{.padding = 1, .groups = 2}, {2, 0, 3, 2}, {2, 0, 2, 2}},
    {{}, {1, 2, 3, 3}, {0, 2, 2, 2}},
    {{.padding = 1}, {1, 1, 0, 2}, {1, 1, 2, 2}},
};

Row conv2d_row() {
  const std::vector<Shape> fitting{{1, 4, 3, 3}, {4, 2, 2, 2}}, ungrouped{{1, 2, 3, 3}, {3, 2, 2, 2}};
  Row row{.name = "conv2d",
          .records = {"conv2d", "reshape", "add"},
          .refused = {refuse(conv2d_of, Conv2dOptions{}, {{1, 2, 4, 4}, {3, 1, 2, 2}}),
                      refuse(conv2d_of, Conv2dOptions{}, {{1, 2, 3, 3}, {3, 2, 4, 2}}),
                      refuse(conv2d_of, Conv2dOptions{}, {{2, 3, 3}, {3, 2, 2, 2}}),
                      refuse(conv2d_of, Conv2dOptions{}, {{1, 2, 3, 3}, {3, 2, 0, 2}}),
                      refuse(conv2d_of, Conv2dOptions{}, {{1, 2, 3, 3}, {3, 2, 2, 2}, {2}}),
                      refuse(conv2d_of, Conv2dOptions{}, {{1, 2, 3, 3}, {3, 2, 2, 2}, {3, 1}}),
                      refuse(conv2d_of, Conv2dOptions{.stride = 0}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.padding = std::size_t{1} << 63}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.padding = most}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.padding = std::size_t{1} << 40}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.dilation = {1, 0}}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.dilation = 3}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.dilation = most}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.dilation = most / 2 + 2}, {{1, 2, 9, 9}, {3, 2, 3, 3}}),
                      refuse(conv2d_of, Conv2dOptions{.groups = 0}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{.groups = 2}, ungrouped),
                      refuse(conv2d_of, Conv2dOptions{}, fitting),
                      refuse(conv2d_of, Conv2dOptions{.groups = 4}, fitting),
                      refuse(conv2d_of, Conv2dOptions{.groups = 2}, {{1, 3, 3, 3}, {2, 1, 2, 2}}),
                      refuse(conv2d_of, Conv2dOptions{.groups = most}, fitting)}};
  for (const auto& [options, image, kernel] : conv_settings)
    add_cases(row, conv2d_of, options, convolution({options}), image, kernel, kernel[0]);
  for (const auto& [options, image, kernel] : empty_conv_settings)
    add_cases(row, conv2d_of, options, convolution({options}), image, kernel, kernel[0]);
  return row;
}

Row conv2d_gradient_row(bool of_input) {
  Row row{.name = of_input ? "conv2d_input_gradient" : "conv2d_weight_gradient"};
  for (const auto* settings : {&conv_settings, &empty_conv_settings})
    for (const auto& [options, image, kernel] : *settings) {
      const Geometry geometry{options};
      const Pair size = geometry.out(image, kernel);
      const Shape out{image[0], kernel[0], size.h, size.w};
      if (of_input)
        row.cases.push_back({[options = options, shape = image](const auto& x) {
                               return conv2d_input_gradient(x[0], x[1], shape, options);
                             },
                             input_gradient(geometry, image),
                             {{out, kernel}}});
      else
        row.cases.push_back({[options = options, shape = kernel](const auto& x) {
                               return conv2d_weight_gradient(x[0], x[1], shape, options);
                             },
                             weight_gradient(geometry, kernel),
                             {{image, out}}});
    }
  // Shapes given as such, and the shapes that the message mentions beside them.
  const auto refuse_shape = [&](const Shape& given, const Conv2dOptions& options, const std::vector<Shape>& inputs,
                                const std::vector<Shape>& mentioned) {
    if (of_input)
      row.refused.push_back(
          {[=](const auto& x) { return conv2d_input_gradient(x[0], x[1], given, options); }, inputs, mentioned});
    else
      row.refused.push_back(
          {[=](const auto& x) { return conv2d_weight_gradient(x[0], x[1], given, options); }, inputs, mentioned});
  };
  const std::size_t huge = std::size_t{1} << 60;
  if (of_input) {
    refuse_shape({1, 2, 4, 4}, {}, {{1, 3, 4, 4}, {3, 2, 2, 2}}, {{1, 3, 4, 4}, {1, 3, 3, 3}, {1, 2, 4, 4}});
    refuse_shape({1, 2, 4}, {}, {{1, 3, 3, 3}, {3, 2, 2, 2}}, {{1, 2, 4}, {3, 2, 2, 2}});
    refuse_shape({1, 4, 4, 4}, {.groups = 2}, {{1, 3, 3, 3}, {3, 2, 2, 2}}, {{1, 4, 4, 4}, {3, 2, 2, 2}});
    refuse_shape({1, 2, 4, 4}, {.dilation = 2}, {{1, 3, 3, 3}, {3, 2, 2, 2}}, {{1, 3, 3, 3}, {1, 3, 2, 2}});
    refuse_shape({0, 2, most, 4}, {}, {{0, 3, 3, 3}, {3, 2, 2, 2}}, {{0, 2, most, 4}, {3, 2, 2, 2}});
    refuse_shape({0, 2, 4, huge}, {}, {{0, 3, 3, 3}, {3, 2, 2, 2}}, {{0, 2, 4, huge}, {3, 2, 2, 2}});
  } else {
    refuse_shape({3, 2, 2, 2}, {}, {{1, 2, 4, 4}, {1, 3, 4, 4}}, {{1, 3, 4, 4}, {1, 3, 3, 3}, {3, 2, 2, 2}});
    refuse_shape({3, 1, 2, 2}, {}, {{1, 2, 4, 4}, {1, 3, 3, 3}}, {{1, 2, 4, 4}, {3, 1, 2, 2}});
    refuse_shape({3, 2, 2, 2}, {.groups = 2}, {{1, 4, 4, 4}, {1, 3, 3, 3}}, {{1, 4, 4, 4}, {3, 2, 2, 2}});
    refuse_shape({3, 2, most, 1}, {.padding = 5}, {{0, 2, 4, 4}, {0, 3, 3, 3}}, {{0, 2, 4, 4}, {3, 2, most, 1}});
    refuse_shape({0, 2, huge, 1}, {}, {{1, 2, 4, 4}, {1, 0, 3, 3}}, {{1, 2, 4, 4}, {0, 2, huge, 1}});
  }
  return row;
}

Row conv1d_row() {
  const std::vector<Shape> fitting{{1, 2, 3}, {4, 2, 2}};
  Row row{.name = "conv1d",
          .records = {"conv2d", "reshape", "add"},
          .refused = {refuse(conv1d_of, Conv1dOptions{}, {{1, 2, 3}, {4, 3, 2}}),
                      refuse(conv1d_of, Conv1dOptions{}, {{2, 3}, {4, 2, 2}}),
                      refuse(conv1d_of, Conv1dOptions{}, {{1, 2, 1, 3}, {4, 2, 1, 2}}),
                      refuse(conv1d_of, Conv1dOptions{}, {{1, 2, 3}, {4, 2, 4}}),
                      refuse(conv1d_of, Conv1dOptions{}, {{1, 2, 3}, {4, 2, 2}, {2}}),
                      refuse(conv1d_of, Conv1dOptions{.stride = 0}, fitting),
                      refuse(conv1d_of, Conv1dOptions{.padding = most}, fitting),
                      refuse(conv1d_of, Conv1dOptions{.dilation = most}, fitting),
                      refuse(conv1d_of, Conv1dOptions{.groups = 2}, fitting)}};
  const auto add = [&](const Conv1dOptions& o, const Shape& x, const Shape& w) {
    const Conv2dOptions wide{{1, o.stride}, {0, o.padding}, {1, o.dilation}, o.groups};
    add_cases(row, conv1d_of, o, on_one_row(convolution({wide})), x, w, w[0]);
  };
  add({}, {2, 2, 5}, {3, 2, 3});
  add({.stride = 2, .padding = 1}, {1, 2, 5}, {2, 2, 2});
  add({.padding = 2, .dilation = 2}, {2, 1, 3}, {2, 1, 3});
  add({.stride = 3, .dilation = 2, .groups = 2}, {1, 4, 7}, {2, 2, 2});
  add({}, {1, 1, 1}, {1, 1, 1});
  add({}, {0, 1, 2}, {2, 1, 2});
  add({}, {2, 0, 2}, {2, 0, 2});
  return row;
}

// ---- its transpose -----------------------------------------------------------------------------------------------

Row conv_transpose2d_row() {
  const std::vector<Shape> fitting{{1, 3, 2, 2}, {3, 2, 2, 2}};
  using Options = ConvTranspose2dOptions;
  const auto f = conv_transpose2d_of;
  Row row{
      .name = "conv_transpose2d",
      .records = {"conv_transpose2d", "reshape", "add"},
      .refused = {refuse(f, Options{}, {{1, 2, 2, 2}, {3, 2, 2, 2}}), refuse(f, Options{}, {{3, 2, 2}, {3, 2, 2, 2}}),
                  refuse(f, Options{}, {{1, 3, 2, 2}, {3, 2, 2}}), refuse(f, Options{}, {{1, 3, 0, 2}, {3, 2, 2, 2}}),
                  refuse(f, Options{}, {{1, 3, 2, 2}, {3, 2, 2, 0}}),
                  refuse(f, Options{}, {{1, 3, 2, 2}, {3, 2, 2, 2}, {3}}),
                  refuse(f, Options{.stride = {1, 0}}, fitting), refuse(f, Options{.padding = 2}, fitting),
                  refuse(f, Options{.padding = most}, fitting), refuse(f, Options{.output_padding = 1}, fitting),
                  refuse(f, Options{.stride = {2, 3}, .output_padding = {2, 2}}, fitting),
                  refuse(f, Options{.dilation = 0}, fitting), refuse(f, Options{.dilation = most}, fitting),
                  refuse(f, Options{.stride = most}, fitting),
                  refuse(f, Options{.stride = most, .output_padding = most - 1}, fitting),
                  refuse(f, Options{.groups = 2}, fitting), refuse(f, Options{.groups = 0}, fitting),
                  refuse(f, Options{.groups = most / 2}, {{1, 0, 2, 2}, {0, 3, 2, 2}})}};
  const auto add = [&](const Options& o, const Shape& x, const Shape& w) {
    add_cases(row, f, o, transposed(o), x, w, w[1] * o.groups);
  };
  add({}, {2, 2, 2, 3}, {2, 3, 3, 2});
  add({.stride = 2}, {1, 2, 3, 2}, {2, 1, 2, 3});
  add({.stride = {3, 2}, .padding = {0, 1}, .output_padding = {2, 1}}, {1, 1, 2, 2}, {1, 2, 2, 3});
  add({.padding = 1, .dilation = {2, 1}}, {2, 1, 2, 3}, {1, 2, 2, 2});
  add({.stride = 2, .padding = 2, .output_padding = 1, .dilation = 2, .groups = 2}, {1, 4, 3, 2}, {4, 1, 2, 3});
  add({.stride = 3, .groups = 3}, {1, 3, 2, 1}, {3, 2, 1, 2});
  add({}, {2, 3, 2, 1}, {3, 2, 1, 1});
  add({}, {1, 1, 1, 1}, {1, 1, 1, 1});
  add({.stride = 2}, {0, 1, 2, 2}, {1, 1, 2, 2});
  add({.stride = 2, .groups = 2}, {2, 0, 2, 1}, {0, 1, 2, 2});
  add({}, {1, 2, 2, 2}, {2, 0, 2, 2});
  return row;
}

Row conv_transpose1d_row() {
  const std::vector<Shape> fitting{{1, 3, 2}, {3, 2, 2}};
  using Options = ConvTranspose1dOptions;
  const auto f = conv_transpose1d_of;
  Row row{.name = "conv_transpose1d",
          .records = {"conv_transpose2d", "reshape", "add"},
          .refused = {refuse(f, Options{}, {{1, 2, 2}, {3, 2, 2}}), refuse(f, Options{}, {{3, 2}, {3, 2, 2}}),
                      refuse(f, Options{}, {{1, 3, 0}, {3, 2, 2}}), refuse(f, Options{}, {{1, 3, 2}, {3, 2, 2}, {3}}),
                      refuse(f, Options{.stride = 2, .output_padding = 2}, fitting),
                      refuse(f, Options{.padding = 2}, fitting), refuse(f, Options{.dilation = 0}, fitting),
                      refuse(f, Options{.stride = most}, fitting), refuse(f, Options{.groups = 2}, fitting)}};
  const auto add = [&](const Options& o, const Shape& x, const Shape& w) {
    const ConvTranspose2dOptions wide{{1, o.stride}, {0, o.padding}, {0, o.output_padding}, {1, o.dilation}, o.groups};
    add_cases(row, f, o, on_one_row(transposed(wide)), x, w, w[1] * o.groups);
  };
  add({}, {2, 2, 3}, {2, 3, 2});
  add({.stride = 3, .padding = 1, .output_padding = 2, .dilation = 2, .groups = 2}, {2, 4, 2}, {4, 1, 2});
  add({}, {1, 1, 1}, {1, 1, 1});
  add({}, {0, 1, 2}, {1, 1, 2});
  return row;
}

// ---- pooling -----------------------------------------------------------------------------------------------------

template <class F>
Row pool2d_row(std::string name, unsigned flags, std::vector<std::string> helpers, F f,
               Real (*of_window)(const std::vector<Real>&, Real)) {
  const std::vector<std::pair<PoolOptions, std::vector<std::vector<Shape>>>> settings{
      {{}, {{{2, 2, 4, 6}}, {{1, 1, 5, 3}}, {{0, 1, 2, 2}}, {{1, 0, 2, 2}}}},
      {{.window = {2, 3}, .stride = 1}, {{{1, 2, 3, 4}}}},
      {{.window = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}, {{{2, 1, 4, 3}}}},
      {{.window = 3, .stride = 2, .padding = 1}, {{{1, 2, 5, 4}}, {{1, 1, 1, 1}}}},
      {{.window = 2, .stride = 3}, {{{1, 1, 5, 6}}}},
      {{.window = 4, .padding = 2}, {{{1, 1, 3, 3}}, {{1, 1, 1, 2}}}},
      {{.window = 1}, {{{2, 1, 2, 2}}}},
      {{.window = {1, 20}, .stride = {1, 3}}, {{{1, 1, 2, 23}}}},
      {{.window = {18, 2}, .stride = {1, 2}, .padding = {9, 0}}, {{{1, 1, 2, 4}}}},
  };
  Row row{.name = std::move(name),
          .flags = flags,
          .helpers = std::move(helpers),
          .refused = {refuse(f, PoolOptions{}, {{2, 3, 4}}), refuse(f, PoolOptions{.window = {4, 2}}, {{1, 1, 3, 3}}),
                      refuse(f, PoolOptions{.window = 0}, {{1, 1, 3, 3}}),
                      refuse(f, PoolOptions{.window = 2, .padding = 2}, {{1, 1, 3, 3}}),
                      refuse(f, PoolOptions{.window = most, .padding = most / 2}, {{1, 1, 3, 3}}),
                      refuse(f, PoolOptions{}, {{1, 1, 0, 3}})}};
  for (const auto& [options, shapes] : settings)
    row.cases.push_back(
        {[f, options = options](const auto& x) { return f(x, options); }, pooled(options, of_window), shapes});
  return row;
}

template <class F>
Row pool1d_row(std::string name, unsigned flags, std::vector<std::string> records, F f,
               Real (*of_window)(const std::vector<Real>&, Real)) {
  Row row{.name = std::move(name),
          .flags = flags,
          .records = std::move(records),
          .refused = {refuse(f, Pool1dOptions{}, {{2, 3}}), refuse(f, Pool1dOptions{}, {{2, 3, 1, 4}}),
                      refuse(f, Pool1dOptions{.window = 4}, {{1, 1, 3}}),
                      refuse(f, Pool1dOptions{.window = 0}, {{1, 1, 3}}),
                      refuse(f, Pool1dOptions{.window = 3, .padding = 2}, {{1, 1, 3}}),
                      refuse(f, Pool1dOptions{}, {{1, 2, 0}})}};
  const auto add = [&](const Pool1dOptions& o, std::vector<std::vector<Shape>> shapes) {
    row.cases.push_back(
        {[=](const auto& x) { return f(x, o); },
         on_one_row(pooled({{1, o.window}, {1, o.stride ? o.stride : o.window}, {0, o.padding}}, of_window)),
         std::move(shapes)});
  };
  add({}, {{{2, 3, 4}}, {{1, 1, 5}}, {{0, 1, 2}}, {{2, 0, 2}}});
  add({.window = 3, .stride = 2, .padding = 1}, {{{2, 2, 5}}, {{1, 1, 1}}});
  add({.window = 2, .stride = 1}, {{{1, 2, 4}}});
  return row;
}

Row adaptive_avg_pool2d_row() {
  const auto f = [](const auto& x, const Pair& output) { return adaptive_avg_pool2d(x[0], output); };
  Row row{.name = "adaptive_avg_pool2d",
          .flags = linear,
          .helpers = {"adaptive_avg_unpool2d"},
          .refused = {refuse(f, Pair(2), {{2, 3, 4}}), refuse(f, Pair(2), {{1, 2, 0, 4}}),
                      refuse(f, Pair(2), {{1, 2, 4, 0}}), refuse(f, Pair(1, most), {{1, 2, 3, 4}}),
                      refuse(f, Pair(0xffffffffU), {{1, 2, 3, 4}}),
                      refuse(f, Pair(std::size_t{1} << 32, 1), {{0, 2, 3, 4}})}};
  for (const Pair output : {Pair(1), Pair(2), Pair(3, 2), Pair(2, 7), Pair(4), Pair(0, 2), Pair(2, 0)})
    row.cases.push_back({[=](const auto& x) { return f(x, output); },
                         binned(output),
                         {{{2, 1, 4, 4}}, {{1, 2, 5, 3}}, {{1, 1, 1, 1}}, {{1, 1, 2, 19}}, {{0, 1, 2, 2}}}});
  return row;
}

template <class F, class R>
Row global_row(std::string name, std::vector<std::string> records, unsigned flags, F f, R of) {
  return {.name = std::move(name),
          .cases = {{f,
                     reduced({2, 3}, false, of),
                     {{{2, 3, 2, 4}}, {{1, 1, 1, 1}}, {{1, 2, 5, 1}}, {{0, 1, 2, 2}}, {{2, 0, 2, 2}}}}},
          .flags = flags,
          .records = std::move(records),
          .refused = {{f, {{2, 3, 4}}}, {f, {{1, 2, 0, 3}}}, {f, {{1, 2, 3, 0}}}}};
}

}  // namespace

std::vector<Row> conv_rows() {
  return {
      conv2d_row(),
      conv2d_gradient_row(true),
      conv2d_gradient_row(false),
      conv1d_row(),
      conv_transpose2d_row(),
      conv_transpose1d_row(),
      pool2d_row("max_pool2d", none, {"scatter_flat", "gather_flat"}, max_pool2d_of, largest_of),
      pool2d_row("avg_pool2d", linear, {"avg_unpool2d"}, avg_pool2d_of, average_of),
      pool1d_row("max_pool1d", none, {"max_pool2d", "reshape"}, max_pool1d_of, largest_of),
      pool1d_row("avg_pool1d", linear, {"avg_pool2d", "reshape"}, avg_pool1d_of, average_of),
      adaptive_avg_pool2d_row(),
      global_row(
          "global_avg_pool2d", {"mean"}, linear, [](const auto& x) { return global_avg_pool2d(x[0]); },
          [](const std::vector<Real>& v) { return mean_of(v); }),
      global_row(
          "global_max_pool2d", {"max"}, none, [](const auto& x) { return global_max_pool2d(x[0]); },
          [](const std::vector<Real>& v) { return *std::ranges::max_element(v); }),
  };
}

}  // namespace xtape::test
