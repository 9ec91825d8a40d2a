// The ways to compute a convolution, each against plain loops: whatever the sizes, and whatever is not finite.
#include <xtape/detail/memory.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../src/kernels/conv.hpp"

namespace kernels = xtape::kernels;
using kernels::ConvSize;

namespace {

std::string described(const ConvSize& s) {
  return fmt::format(
      "{} images of {}x{}x{}, {} filters of {}x{}, stride {},{}, padding {},{}, dilation {},{}, groups {}", s.images,
      s.channels, s.height, s.width, s.filters, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.pad_h, s.pad_w,
      s.dilation_h, s.dilation_w, s.groups);
}

// Fills in the size of the output; false if there is none.
bool complete(ConvSize& s) {
  const std::size_t tall = s.height + 2 * s.pad_h, broad = s.width + 2 * s.pad_w;
  const std::size_t reach_h = s.dilation_h * (s.kernel_h - 1) + 1, reach_w = s.dilation_w * (s.kernel_w - 1) + 1;
  if (tall < reach_h || broad < reach_w) return false;
  s.out_h = (tall - reach_h) / s.stride_h + 1;
  s.out_w = (broad - reach_w) / s.stride_w + 1;
  return true;
}

// Calls f(place in x, in w, in y) for every product.
template <class F> void for_products(const ConvSize& s, const F& f) {
  for (std::size_t n = 0; n < s.images; ++n)
    for (std::size_t o = 0; o < s.filters; ++o)
      for (std::size_t i = 0; i < s.out_h; ++i)
        for (std::size_t j = 0; j < s.out_w; ++j)
          for (std::size_t c = 0; c < s.channels; ++c)
            for (std::size_t p = 0; p < s.kernel_h; ++p)
              for (std::size_t q = 0; q < s.kernel_w; ++q) {
                const std::size_t row = i * s.stride_h + p * s.dilation_h - s.pad_h;
                const std::size_t column = j * s.stride_w + q * s.dilation_w - s.pad_w;
                if (row >= s.height || column >= s.width) continue;  // above and left the place has wrapped around
                f(((n * s.channels + c) * s.height + row) * s.width + column,
                  s.weights_of(n) + ((o * s.channels + c) * s.kernel_h + p) * s.kernel_w + q,
                  ((n * s.filters + o) * s.out_h + i) * s.out_w + j);
              }
}

template <class T> struct Arrays {
  std::vector<T> x, w, y;  // of the sizes of image, weights and output
  explicit Arrays(const ConvSize& s, T value = 0)
      : x(s.images * s.image_elements(), value),
        w(s.groups * s.weight_elements(), value),
        y(s.images * s.result_elements(), value) {}
};

// The three results of inputs x, w and dy = y: y, dw and dx; and the sums of the products' magnitudes.
struct Expected {
  Arrays<long double> result, magnitude;
  template <class T> Expected(const ConvSize& s, const Arrays<T>& in) : result(s), magnitude(s) {
    for_products(s, [&](std::size_t x, std::size_t w, std::size_t y) {
      const auto add = [](auto& sums, auto& sizes, std::size_t at, long double a, long double b) {
        sums[at] += a * b;
        sizes[at] += std::abs(a * b);
      };
      add(result.y, magnitude.y, y, in.x[x], in.w[w]);
      add(result.x, magnitude.x, x, in.y[y], in.w[w]);
      add(result.w, magnitude.w, w, in.x[x], in.y[y]);
    });
  }
};

// Whether all are right to a few roundings of what was added up, and NaN or infinite where the sums are.
template <class T>
bool right(const std::vector<T>& got, const std::vector<long double>& sums, const std::vector<long double>& magnitude) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    const long double value = got[i];
    const bool same = std::isnan(sums[i]) ? std::isnan(value)
                      : std::isinf(sums[i])
                          ? value == sums[i]
                          : std::abs(value - sums[i]) <= 8 * std::numeric_limits<T>::epsilon() * magnitude[i];
    if (!same) return false;
  }
  return true;
}

template <class T> using Kernel = void (*)(const ConvSize&, const T*, const T*, T*);
template <class T> struct Way {
  const char* name;
  Kernel<T> value, input_gradient, weight_gradient;  // null if there is none
  bool (*fits)(const ConvSize&);
};
template <class T> std::vector<Way<T>> ways() {
  const auto always = [](const ConvSize&) { return true; };
  return {
      {"chosen", kernels::conv2d<T>, kernels::conv2d_input_gradient<T>, kernels::conv2d_weight_gradient<T>, always},
      {"columns", kernels::columns::conv2d<T>, kernels::columns::conv2d_input_gradient<T>,
       kernels::columns::conv2d_weight_gradient<T>, always},
      {"lanes", kernels::lanes::conv2d<T>, kernels::lanes::conv2d_input_gradient<T>,
       kernels::lanes::conv2d_weight_gradient<T>, kernels::lanes::fits<T>},
      {"rows", kernels::rows::conv2d<T>, nullptr, kernels::rows::conv2d_weight_gradient<T>, kernels::rows::fits<T>}};
}

// Checks all ways that fit, and counts them.
template <class T> std::size_t check(const ConvSize& s, const Arrays<T>& in) {
  const Expected expected(s, in);
  std::size_t checked = 0;
  for (const Way<T>& way : ways<T>()) {
    if (!way.fits(s)) continue;
    CAPTURE(way.name);
    CAPTURE(described(s));
    CAPTURE(sizeof(T));
    Arrays<T> out(s, T(7));  // all of it is written
    way.value(s, in.x.data(), in.w.data(), out.y.data());
    CHECK(right(out.y, expected.result.y, expected.magnitude.y));
    way.weight_gradient(s, in.x.data(), in.y.data(), out.w.data());
    CHECK(right(out.w, expected.result.w, expected.magnitude.w));
    if (way.input_gradient) {
      way.input_gradient(s, in.y.data(), in.w.data(), out.x.data());
      CHECK(right(out.x, expected.result.x, expected.magnitude.x));
    }
    ++checked;
  }
  return checked;
}

template <class T> Arrays<T> random(const ConvSize& s, std::mt19937& engine) {
  std::normal_distribution<T> normal;
  Arrays<T> in(s);
  for (auto* values : {&in.x, &in.w, &in.y})
    for (T& v : *values) v = normal(engine);
  return in;
}

}  // namespace

TEST_CASE_TEMPLATE("conv: all ways agree with plain loops, whatever the sizes", T, float, double) {
  std::mt19937 engine(1);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine); };
  std::size_t checked = 0;
  for (std::size_t width = 1; width <= 40; ++width)
    for (const std::size_t filters : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 9U, 16U, 17U, 33U}) {
      ConvSize s{};
      s.groups = 1 + below(3);
      s.images = s.groups * (1 + below(2));
      s.channels = 1 + below(9);
      s.height = 1 + below(6);
      s.width = width;
      s.filters = filters;
      s.kernel_h = 1 + below(3);
      s.kernel_w = 1 + below(5);
      s.stride_h = 1 + below(3);
      s.stride_w = below(2) == 0 ? 1 : 1 + below(3);
      s.pad_h = below(3);
      s.pad_w = below(4);
      s.dilation_h = 1 + below(2);
      s.dilation_w = 1 + below(3);
      if (complete(s)) checked += check<T>(s, random<T>(s, engine));
    }
  CHECK(checked > 1000);
}

TEST_CASE_TEMPLATE("conv: sums longer than are added up at once", T, float, double) {
  std::mt19937 engine(2);
  for (ConvSize s : {ConvSize{2, 40, 5, 21, 3, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1, 1},       // 360 taps
                     ConvSize{1, 2, 20, 40, 5, 3, 2, 0, 0, 1, 1, 0, 0, 1, 1, 1},       // 702 positions
                     ConvSize{1, 17, 4, 18, 300, 2, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1}}) {  // 300 filters
    REQUIRE(complete(s));
    CHECK(check<T>(s, random<T>(s, engine)) >= 3);
  }
}

TEST_CASE_TEMPLATE("conv: NaN and infinity reach what plain loops make of them, and nothing else", T, float, double) {
  std::mt19937 engine(3);
  const auto anywhere = [&](const std::vector<T>& v) {
    return std::uniform_int_distribution<std::size_t>(0, v.size() - 1)(engine);
  };
  for (const T value : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()})
    for (const std::size_t padding : {0U, 1U})
      for (const std::size_t filters : {2U, 9U})
        for (std::size_t repeat = 0; repeat < 10; ++repeat) {
          ConvSize s{2, 3, 4, 19, filters, 3, 2, 0, 0, 1, 1, padding, padding, 1, 1, 1};
          REQUIRE(complete(s));
          const Arrays<T> finite = random<T>(s, engine);
          Arrays<T> in = finite;
          in.x[anywhere(in.x)] = value;
          check<T>(s, in);
          if (padding != 0) continue;  // its zeros meet infinite weights
          in = finite;
          in.w[anywhere(in.w)] = value;
          check<T>(s, in);
          in = finite;
          in.y[anywhere(in.y)] = value;
          check<T>(s, in);
        }
}

TEST_CASE("conv: no way asks the system for memory again") {
  std::mt19937 engine(4);
  ConvSize s{4, 9, 8, 20, 9, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1, 2};
  REQUIRE(complete(s));
  const auto in = random<float>(s, engine);
  Arrays<float> out(s);
  const auto all = [&] {
    for (const auto& way : ways<float>()) {
      way.value(s, in.x.data(), in.w.data(), out.y.data());
      way.weight_gradient(s, in.x.data(), in.y.data(), out.w.data());
      if (way.input_gradient) way.input_gradient(s, in.y.data(), in.w.data(), out.x.data());
    }
  };
  all();
  const std::size_t before = xtape::detail::system_allocations();
  all();
  CHECK(xtape::detail::system_allocations() == before);
}
