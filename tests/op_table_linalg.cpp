// Rows of the products of matrices, convolution and pooling.
#include <xtape/ops/conv.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/pool.hpp>

#include "op_table_reference.hpp"

#include <algorithm>
#include <limits>

namespace xtape::test {
namespace {

// NumPy's product: the axes before the last two broadcast; a vector is a row on the left, a column on the right.
Reference product(bool transpose_a, bool transpose_b) {
  return [=](const Arrays& x) {
    const bool row = x[0].shape.size() == 1, column = x[1].shape.size() == 1;
    const bool ta = transpose_a && !row, tb = transpose_b && !column;
    const auto last = [](const Shape& s, std::size_t back) { return s[s.size() - back]; };
    const auto batch = [](const Shape& s) {
      Array array;
      for (std::size_t i = 0; i + 2 < s.size(); ++i) array.shape.push_back(s[i]);
      return array;
    };
    Shape shape = joined_shape({batch(x[0].shape), batch(x[1].shape)});
    const std::size_t batches = shape.size();
    if (!row) shape.push_back(last(x[0].shape, ta ? 1 : 2));
    if (!column) shape.push_back(last(x[1].shape, tb ? 2 : 1));
    const std::size_t inner = last(x[0].shape, row || !ta ? 1 : 2);
    return tabulate(shape, [&](const Index& i) {
      const Index outer(i.begin(), i.begin() + static_cast<std::ptrdiff_t>(batches));
      const auto of = [&](const Array& a, bool vector, bool swapped, std::size_t r, std::size_t c, std::size_t k) {
        if (vector) return a.values[k];
        Index place = outer;
        place.push_back(swapped ? c : r);
        place.push_back(swapped ? r : c);
        return at(a, Index(place.end() - static_cast<std::ptrdiff_t>(a.shape.size()), place.end()));
      };
      Real s = 0;
      for (std::size_t k = 0; k < inner; ++k)
        s += of(x[0], row, ta, row ? 0 : i[batches], k, k) * of(x[1], column, tb, k, column ? 0 : i.back(), k);
      return s;
    });
  };
}

Case matmul_case(bool transpose_a, bool transpose_b, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return matmul(x[0], x[1], {.transpose_a = transpose_a, .transpose_b = transpose_b}); },
          product(transpose_a, transpose_b), std::move(shapes)};
}

// The element of an image that weight (p, q) meets for result (i, j), or 0 in the padding.
struct Geometry {
  Pair stride = 1, padding = 0;
  Pair out(const Shape& image, const Shape& kernel) const {
    return {(image[2] + 2 * padding.h - kernel[2]) / stride.h + 1,
            (image[3] + 2 * padding.w - kernel[3]) / stride.w + 1};
  }
  // Calls f(n, o, i, j, c, p, q, row, column) for every product that the convolution adds up.
  template <class F> void products(const Shape& x, const Shape& w, const F& f) const {
    const Pair size = out(x, w);
    for (std::size_t n = 0; n < x[0]; ++n)
      for (std::size_t o = 0; o < w[0]; ++o)
        for (std::size_t i = 0; i < size.h; ++i)
          for (std::size_t j = 0; j < size.w; ++j)
            for (std::size_t c = 0; c < w[1]; ++c)
              for (std::size_t p = 0; p < w[2]; ++p)
                for (std::size_t q = 0; q < w[3]; ++q) {
                  const std::size_t row = i * stride.h + p - padding.h, column = j * stride.w + q - padding.w;
                  // Above and left of the image the unsigned place has wrapped around.
                  if (row < x[2] && column < x[3]) f(n, o, i, j, c, p, q, row, column);
                }
  }
};

std::size_t flat(const Shape& s, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
  return ((a * s[1] + b) * s[2] + c) * s[3] + d;
}
Array zero_array(const Shape& shape) { return {shape, std::vector<Real>(shape.elements())}; }

Reference convolution(const Geometry& g) {
  return [g](const Arrays& x) {
    const Shape &xs = x[0].shape, &ws = x[1].shape;
    const Pair size = g.out(xs, ws);
    Array y = zero_array({xs[0], ws[0], size.h, size.w});
    if (x.size() == 3) y = tabulate(y.shape, [&](const Index& i) { return x[2].values[i[1]]; });
    g.products(xs, ws, [&](auto n, auto o, auto i, auto j, auto c, auto p, auto q, auto row, auto column) {
      y.values[flat(y.shape, n, o, i, j)] +=
          x[0].values[flat(xs, n, c, row, column)] * x[1].values[flat(ws, o, c, p, q)];
    });
    return y;
  };
}
Reference input_gradient(const Geometry& g, const Shape& xs) {
  return [=](const Arrays& x) {
    const Shape &ys = x[0].shape, &ws = x[1].shape;
    Array dx = zero_array(xs);
    g.products(xs, ws, [&](auto n, auto o, auto i, auto j, auto c, auto p, auto q, auto row, auto column) {
      dx.values[flat(xs, n, c, row, column)] += x[0].values[flat(ys, n, o, i, j)] * x[1].values[flat(ws, o, c, p, q)];
    });
    return dx;
  };
}
Reference weight_gradient(const Geometry& g, const Shape& ws) {
  return [=](const Arrays& x) {
    const Shape &xs = x[0].shape, &ys = x[1].shape;
    Array dw = zero_array(ws);
    g.products(xs, ws, [&](auto n, auto o, auto i, auto j, auto c, auto p, auto q, auto row, auto column) {
      dw.values[flat(ws, o, c, p, q)] += x[0].values[flat(xs, n, c, row, column)] * x[1].values[flat(ys, n, o, i, j)];
    });
    return dw;
  };
}

// One geometry, image and kernel: a case for each of the three ops of convolution.
struct ConvSetting {
  Geometry geometry;
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
};
Conv2dOptions options_of(const Geometry& g) { return {.stride = g.stride, .padding = g.padding}; }

Row conv2d_row() {
  Row row{.name = "conv2d",
          .records = {"conv2d", "reshape", "add"},
          .refused = {{[](const auto& x) { return conv2d(x[0], x[1]); }, {{1, 2, 4, 4}, {3, 1, 2, 2}}},
                      {[](const auto& x) { return conv2d(x[0], x[1]); }, {{1, 2, 3, 3}, {3, 2, 4, 2}}},
                      {[](const auto& x) { return conv2d(x[0], x[1]); }, {{2, 3, 3}, {3, 2, 2, 2}}},
                      {[](const auto& x) { return conv2d(x[0], x[1], {.stride = 0}); }, {{1, 2, 3, 3}, {3, 2, 2, 2}}},
                      {[](const auto& x) { return conv2d(x[0], x[1]); }, {{1, 2, 3, 3}, {3, 2, 0, 2}}},
                      {[](const auto& x) { return conv2d(x[0], x[1], {.padding = std::size_t{1} << 63}); },
                       {{1, 2, 3, 3}, {3, 2, 4, 4}}},
                      {[](const auto& x) { return conv2d(x[0], x[1], {.padding = ~std::size_t{0}}); },
                       {{1, 2, 3, 3}, {3, 2, 4, 4}}},
                      {[](const auto& x) { return conv2d(x[0], x[1], x[2]); },
                       {{1, 2, 3, 3}, {3, 2, 2, 2}, {2}},
                       {{3, 2, 2, 2}, {2}}}}};
  for (const auto& [geometry, image, kernel] : conv_settings) {
    const Conv2dOptions options = options_of(geometry);
    row.cases.push_back(
        {[options](const auto& x) { return conv2d(x[0], x[1], options); }, convolution(geometry), {{image, kernel}}});
    row.cases.push_back({[options](const auto& x) { return conv2d(x[0], x[1], x[2], options); },
                         convolution(geometry),
                         {{image, kernel, {kernel[0]}}}});
  }
  row.cases.push_back(
      {[](const auto& x) { return conv2d(x[0], x[1]); }, convolution({}), {{{0, 1, 3, 3}, {2, 1, 2, 2}}}});
  return row;
}

Row conv2d_gradient_row(bool of_input) {
  Row row{.name = of_input ? "conv2d_input_gradient" : "conv2d_weight_gradient"};
  for (const auto& [geometry, image, kernel] : conv_settings) {
    const Conv2dOptions options = options_of(geometry);
    const Pair size = geometry.out(image, kernel);
    const Shape out{image[0], kernel[0], size.h, size.w};
    if (of_input)
      row.cases.push_back(
          {[options, shape = image](const auto& x) { return conv2d_input_gradient(x[0], x[1], shape, options); },
           input_gradient(geometry, image),
           {{out, kernel}}});
    else
      row.cases.push_back(
          {[options, shape = kernel](const auto& x) { return conv2d_weight_gradient(x[0], x[1], shape, options); },
           weight_gradient(geometry, kernel),
           {{image, out}}});
  }
  if (of_input)
    row.refused = {{[](const auto& x) {
                      return conv2d_input_gradient(x[0], x[1], {1, 2, 4, 4});
                    },
                    {{1, 3, 4, 4}, {3, 2, 2, 2}},
                    {{1, 3, 4, 4}, {1, 3, 3, 3}}},
                   {[](const auto& x) {
                      return conv2d_input_gradient(x[0], x[1], {1, 2, 4});
                    },
                    {{1, 3, 3, 3}, {3, 2, 2, 2}},
                    {{1, 2, 4}, {3, 2, 2, 2}}}};
  else
    row.refused = {{[](const auto& x) {
                      return conv2d_weight_gradient(x[0], x[1], {3, 2, 2, 2});
                    },
                    {{1, 2, 4, 4}, {1, 3, 4, 4}},
                    {{1, 3, 4, 4}, {1, 3, 3, 3}}},
                   {[](const auto& x) {
                      return conv2d_weight_gradient(x[0], x[1], {3, 1, 2, 2});
                    },
                    {{1, 2, 4, 4}, {1, 3, 3, 3}},
                    {{1, 2, 4, 4}, {3, 1, 2, 2}}}};
  return row;
}

// f(elements inside the window, number of places in it) for each window.
template <class F> Reference pooled(const PoolOptions& options, F f) {
  return [=](const Arrays& x) {
    const Pair window = options.window, pad = options.padding;
    const Geometry g{.stride = options.stride == Pair(0) ? window : options.stride, .padding = pad};
    const Shape& in = x[0].shape;
    const Pair size = g.out(in, {1, 1, window.h, window.w});
    return tabulate({in[0], in[1], size.h, size.w}, [&](const Index& i) -> Real {
      std::vector<Real> inside;
      for (std::size_t p = 0; p < window.h; ++p)
        for (std::size_t q = 0; q < window.w; ++q) {
          const std::size_t row = i[2] * g.stride.h + p - pad.h, column = i[3] * g.stride.w + q - pad.w;
          if (row < in[2] && column < in[3]) inside.push_back(at(x[0], {i[0], i[1], row, column}));
        }
      return f(inside, static_cast<Real>(window.h * window.w));
    });
  };
}

template <class F, class R>
Row pooling(std::string name, unsigned flags, std::vector<std::string> helpers, F f, R of_window) {
  const std::vector<std::pair<PoolOptions, std::vector<std::vector<Shape>>>> settings{
      {{}, {{{2, 2, 4, 6}}, {{1, 1, 5, 3}}, {{0, 1, 2, 2}}}},
      {{.window = {2, 3}, .stride = 1}, {{{1, 2, 3, 4}}}},
      {{.window = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}, {{{2, 1, 4, 3}}}},
      {{.window = 3, .stride = 2, .padding = 1}, {{{1, 2, 5, 4}}, {{1, 1, 1, 1}}}},
      {{.window = 2, .stride = 3}, {{{1, 1, 5, 6}}}},
      {{.window = 4, .padding = 2}, {{{1, 1, 3, 3}}, {{1, 1, 1, 2}}}},
      {{.window = 1}, {{{2, 1, 2, 2}}}},
  };
  Row row{.name = std::move(name),
          .flags = flags,
          .helpers = std::move(helpers),
          .refused = {{[f](const auto& x) { return f(x[0], {}); }, {{2, 3, 4}}},
                      {[f](const auto& x) {
                         return f(x[0], {.window = {4, 2}});
                       },
                       {{1, 1, 3, 3}}},
                      {[f](const auto& x) { return f(x[0], {.window = 0}); }, {{1, 1, 3, 3}}},
                      {[f](const auto& x) { return f(x[0], {.window = 2, .padding = 2}); }, {{1, 1, 3, 3}}},
                      {[f](const auto& x) { return f(x[0], {.window = 2, .padding = 1}); }, {{1, 1, 0, 3}}}}};
  for (const auto& [options, shapes] : settings)
    row.cases.push_back(
        {[f, options = options](const auto& x) { return f(x[0], options); }, pooled(options, of_window), shapes});
  return row;
}

Row trace_row() {
  Row row{.name = "trace",
          .flags = linear,
          .records = {"reshape", "slice", "sum"},
          .refused = {{[](const auto& x) { return trace(x[0]); }, {{3}}},
                      {[](const auto& x) { return trace(x[0], 1); }, {Shape{}}}}};
  for (const std::ptrdiff_t offset : {0, 1, -1, 2, -2, 5, -5})
    row.cases.push_back({[=](const auto& x) { return trace(x[0], offset); },
                         [=](const Arrays& x) {
                           const Shape& s = x[0].shape;
                           Shape batch;
                           for (std::size_t i = 0; i + 2 < s.size(); ++i) batch.push_back(s[i]);
                           return tabulate(batch, [&](Index index) {
                             Real sum = 0;
                             index.resize(s.size());
                             for (std::size_t i = 0; i < s[s.size() - 2]; ++i)
                               for (std::size_t j = 0; j < s.back(); ++j)
                                 if (static_cast<std::ptrdiff_t>(j) - static_cast<std::ptrdiff_t>(i) == offset) {
                                   index[s.size() - 2] = i;
                                   index[s.size() - 1] = j;
                                   sum += at(x[0], index);
                                 }
                             return sum;
                           });
                         },
                         {{{3, 3}}, {{2, 4}}, {{4, 2}}, {{1, 1}}, {{2, 3, 3}}, {{2, 1, 3, 2}}, {{0, 0}}, {{2, 0, 3}}}});
  return row;
}

}  // namespace

std::vector<Row> linalg_rows() {
  return {
      {.name = "matmul",
       .cases = {matmul_case(false, false,
                             {{{2, 3}, {3, 2}},
                              {{1, 4}, {4, 1}},
                              {{5, 9}, {9, 3}},
                              {{2, 2, 3}, {2, 3, 2}},
                              {{2, 2, 3}, {3, 2}},
                              {{2, 3}, {2, 3, 2}},
                              {{1, 2, 3}, {2, 3, 2}},
                              {{2, 2, 3}, {1, 3, 2}},
                              {{2, 0}, {0, 3}},
                              {{0, 3}, {3, 2}},
                              {{2, 3}, {3, 0}},
                              {{2, 2}, {2, 2}},
                              {{0, 2, 3}, {3, 2}},
                              {{3}, {3}},
                              {{3}, {3, 2}},
                              {{2, 3}, {3}},
                              {{2, 2, 3}, {3}},
                              {{2}, {2, 1, 2, 2}},
                              {{0}, {0}},
                              {{0}, {0, 2}},
                              {{2, 2, 1, 3}, {3, 2}},
                              {{2, 1, 2, 2}, {3, 2, 1}},
                              {{2, 3}, {2, 1, 3, 1}},
                              {{1, 1, 1, 2, 2}, {2, 2}},
                              {{2, 0, 2, 2}, {1, 2, 2}}}),
                 matmul_case(true, false,
                             {{{3, 2}, {3, 4}},
                              {{2, 3, 2}, {2, 3, 4}},
                              {{2, 3, 2}, {3, 2}},
                              {{3, 2}, {2, 3, 2}},
                              {{2, 2}, {2, 2}},
                              {{0, 2}, {0, 3}},
                              {{2, 3, 2}, {1, 3, 2}},
                              {{3}, {3, 2}},
                              {{3, 2}, {3}},
                              {{2, 1, 3, 2}, {2, 3, 1}}}),
                 matmul_case(false, true,
                             {{{2, 3}, {4, 3}},
                              {{2, 2, 3}, {2, 4, 3}},
                              {{2, 2, 3}, {2, 3}},
                              {{2, 3}, {2, 2, 3}},
                              {{2, 2}, {2, 2}},
                              {{1, 2, 3}, {2, 2, 3}},
                              {{3}, {2, 3}},
                              {{2, 3}, {3}},
                              {{2, 2, 3}, {2, 1, 2, 3}}}),
                 matmul_case(true, true,
                             {{{3, 2}, {4, 3}},
                              {{2, 3, 2}, {2, 4, 3}},
                              {{2, 3, 2}, {2, 3}},
                              {{3, 2}, {2, 2, 3}},
                              {{2, 2}, {2, 2}}})},
       .records = {"matmul", "reshape"},
       .refused = {{[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3}, {4, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1], {.transpose_a = true}); }, {{2, 3}, {3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1], {.transpose_b = true}); }, {{2, 3}, {3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 2, 3}, {3, 3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2}, {3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{3, 2}, {3}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2}, {3}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3}, {}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{}, {3}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3, 2, 3}, {2, 1, 3, 2, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3, 2, 3}, {2, 3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 2, 3}, {0, 3, 2}}}}},
      {.name = "dot",
       .cases = {{[](const auto& x) { return dot(x[0], x[1]); },
                  [](const Arrays& x) {
                    Real s = 0;
                    for (std::size_t i = 0; i < x[0].values.size(); ++i) s += x[0].values[i] * x[1].values[i];
                    return Array{{}, {s}};
                  },
                  {{{3}, {3}}, {{1}, {1}}, {{37}, {37}}, {{0}, {0}}}}},
       .refused = {{[](const auto& x) { return dot(x[0], x[1]); }, {{3}, {4}}},
                   {[](const auto& x) { return dot(x[0], x[1]); }, {{2, 2}, {2, 2}}},
                   {[](const auto& x) { return dot(x[0], x[1]); }, {{}, {}}}}},
      {.name = "outer",
       .cases = {{[](const auto& x) { return outer(x[0], x[1]); },
                  [](const Arrays& x) {
                    return tabulate({x[0].shape[0], x[1].shape[0]},
                                    [&](const Index& i) { return x[0].values[i[0]] * x[1].values[i[1]]; });
                  },
                  {{{2}, {3}}, {{1}, {1}}, {{3}, {19}}, {{4}, {4}}, {{0}, {2}}, {{2}, {0}}}}},
       .refused = {{[](const auto& x) { return outer(x[0], x[1]); }, {{3}, {2, 2}}},
                   {[](const auto& x) { return outer(x[0], x[1]); }, {{}, {2}}}}},
      trace_row(),
      conv2d_row(),
      conv2d_gradient_row(true),
      conv2d_gradient_row(false),
      pooling(
          "max_pool2d", none, {"scatter_flat", "gather_flat"},
          [](const auto& x, const PoolOptions& options) { return max_pool2d(x, options); },
          [](const std::vector<Real>& inside, Real) { return *std::ranges::max_element(inside); }),
      pooling(
          "avg_pool2d", linear, {"avg_unpool2d"},
          [](const auto& x, const PoolOptions& options) { return avg_pool2d(x, options); },
          [](const std::vector<Real>& inside, Real places) { return sum_of(inside) / places; }),
  };
}

}  // namespace xtape::test
