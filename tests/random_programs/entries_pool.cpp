// Pooling of images and of sequences.
#include <xtape/ops/pool.hpp>

#include "windows.hpp"

namespace xtape::test {
namespace {

Jet largest_of(const std::vector<Jet>& v) {
  Jet best = v.at(0);
  for (const Jet& x : v) best = larger(best, x);
  return best;
}

// f(x, PoolOptions), or f(x, Pool1dOptions) of sequences.
template <class F, class R> Entry pooling(const char* name, bool one_row, F f, R of_window) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x =
                draw.matching([=](const Shape& s) { return is_image(s, one_row); }, lowered({2, 1, 4, 5}, one_row));
            const Shape image = lifted(draw.shape(x));
            const Pair window{one_row ? 1 : 1 + (draw.choice(3) + 1) % 3, 1 + (draw.choice(3) + 1) % 3};
            const Pair stride{one_row ? 0 : draw.choice(4), draw.choice(3)};
            const Pair padding{draw.choice(window.h / 2 + 1), draw.choice(window.w / 2 + 1)};
            const Windows w{window, {stride.h ? stride.h : window.h, stride.w ? stride.w : window.w}, padding};
            if (!w.fit(image)) return {};
            const Shape y = w.out(image, image[1]);
            const auto reference = [=](const std::vector<Values>& t) {
              const Values lifted_input{image, t[0].values};
              Values result = tabulate<Jet>(y, [&](const Index& i) {
                std::vector<Jet> inside;
                w.places(image, i[2], i[3], [&](std::size_t, std::size_t, std::size_t row, std::size_t column) {
                  inside.push_back(at(lifted_input, Index{i[0], i[1], row, column}));
                });
                return of_window(inside, window.h * window.w);
              });
              result.shape = lowered(y, one_row);
              return result;
            };
            if constexpr (requires(Tensor<double> t) { f(t, Pool1dOptions{}); }) {
              const Pool1dOptions options{.window = window.w, .stride = stride.w, .padding = padding.w};
              return step(
                  {x},
                  fmt::format("{}({}, {{.window = {}, .stride = {}, .padding = {}}})", name, Draw::name(x), window.w,
                              stride.w, padding.w),
                  [=](const auto& t) { return f(t[0], options); }, reference);
            } else {
              const PoolOptions options{.window = window, .stride = stride, .padding = padding};
              return step(
                  {x},
                  fmt::format("{}({}, {{.window = {{{}, {}}}, .stride = {{{}, {}}}, .padding = {{{}, {}}}}})", name,
                              Draw::name(x), window.h, window.w, stride.h, stride.w, padding.h, padding.w),
                  [=](const auto& t) { return f(t[0], options); }, reference);
            }
          }};
}

std::optional<Step> draw_adaptive(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return is_image(s, false); }, Shape{2, 1, 4, 5});
  const Shape image = draw.shape(x);
  const Pair output{draw.of<std::size_t>({2, 1, 3, 4, 0}), draw.of<std::size_t>({2, 3, 1, 7})};
  return step(
      {x}, fmt::format("adaptive_avg_pool2d({}, {{{}, {}}})", Draw::name(x), output.h, output.w),
      [=](const auto& t) { return adaptive_avg_pool2d(t[0], output); },
      [=](const std::vector<Values>& t) {
        return tabulate<Jet>({image[0], image[1], output.h, output.w}, [&](const Index& i) {
          std::vector<Jet> bin;
          for (std::size_t row = i[2] * image[2] / output.h; row * output.h < (i[2] + 1) * image[2]; ++row)
            for (std::size_t column = i[3] * image[3] / output.w; column * output.w < (i[3] + 1) * image[3]; ++column)
              bin.push_back(at(t[0], Index{i[0], i[1], row, column}));
          return mean_of(bin);
        });
      });
}

template <class F, class R> Entry global(const char* name, F f, R of_channel) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.matching([](const Shape& s) { return is_image(s, false); }, Shape{2, 1, 4, 5});
            return step(
                {x}, fmt::format("{}({})", name, Draw::name(x)), [f](const auto& t) { return f(t[0]); },
                reduced<Jet>(Axes{2, 3}, false, of_channel));
          }};
}

}  // namespace

std::vector<Entry> pool_entries() {
  const auto largest = [](const std::vector<Jet>& v, std::size_t) { return largest_of(v); };
  const auto average = [](const std::vector<Jet>& v, std::size_t n) { return sum_of(v) / n; };
  return {
      pooling(
          "max_pool2d", false, [](const auto& x, const PoolOptions& o) { return max_pool2d(x, o); }, largest),
      pooling(
          "avg_pool2d", false, [](const auto& x, const PoolOptions& o) { return avg_pool2d(x, o); }, average),
      pooling(
          "max_pool1d", true, [](const auto& x, const Pool1dOptions& o) { return max_pool1d(x, o); }, largest),
      pooling(
          "avg_pool1d", true, [](const auto& x, const Pool1dOptions& o) { return avg_pool1d(x, o); }, average),
      {"adaptive_avg_pool2d", draw_adaptive},
      global(
          "global_avg_pool2d", [](const auto& x) { return global_avg_pool2d(x); }, mean_of),
      global(
          "global_max_pool2d", [](const auto& x) { return global_max_pool2d(x); }, largest_of),
  };
}

}  // namespace xtape::test
