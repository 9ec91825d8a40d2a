// Running sums and products.
#include <xtape/ops/scan.hpp>

#include "program.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

bool has_axes(const Shape& s) { return s.size() > 0; }

// f(x, axis, options): of_slice gives the running results from the front.
template <class F, class R> Entry scan(const char* name, F f, R of_slice) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.matching(has_axes, Shape{2, 3});
            const std::ptrdiff_t axis = draw.axis(draw.shape(x).size());
            const ScanOptions options{.reverse = draw.flag()};
            return step(
                {x}, fmt::format("{}({}, {}, {{.reverse = {}}})", name, Draw::name(x), axis, options.reverse),
                [=](const auto& t) { return f(t[0], axis, options); },
                along<Jet>(axis, [of_slice, options](std::vector<Jet> v) {
                  if (options.reverse) std::ranges::reverse(v);
                  v = of_slice(v);
                  if (options.reverse) std::ranges::reverse(v);
                  return v;
                }));
          }};
}

std::optional<Step> draw_recurrence(Draw& draw) {
  const std::size_t a = draw.matching(has_axes, Shape{2, 3});
  const Shape shape = draw.shape(a);
  const std::size_t b = draw.matching([&](const Shape& s) { return s == shape; }, shape);
  const std::ptrdiff_t axis = draw.axis(shape.size());
  const bool reverse = draw.flag();
  return step(
      {a, b}, fmt::format("recurrence({}, {}, {}, {{.reverse = {}}})", Draw::name(a), Draw::name(b), axis, reverse),
      [=](const auto& t) { return recurrence(t[0], t[1], axis, {.reverse = reverse}); },
      [=](const std::vector<Values>& t) {
        const std::size_t along_axis = from_front(axis, shape), n = shape[along_axis];
        return tabulate<Jet>(shape, [&](Index i) {
          const std::size_t end = i[along_axis];
          Jet y = 0;
          for (std::size_t k = 0; k < n; ++k) {
            i[along_axis] = reverse ? n - 1 - k : k;
            y = at(t[0], i) * y + at(t[1], i);
            if (i[along_axis] == end) break;
          }
          return y;
        });
      });
}

}  // namespace

std::vector<Entry> scan_entries() {
  return {
      scan(
          "cumsum", [](const auto& x, std::ptrdiff_t axis, const ScanOptions& o) { return cumsum(x, axis, o); },
          [](std::vector<Jet> v) {
            for (std::size_t i = 1; i < v.size(); ++i) v[i] += v[i - 1];
            return v;
          }),
      scan(
          "cumprod", [](const auto& x, std::ptrdiff_t axis, const ScanOptions& o) { return cumprod(x, axis, o); },
          [](std::vector<Jet> v) {
            for (std::size_t i = 1; i < v.size(); ++i) v[i] = v[i - 1] * v[i];
            return v;
          }),
      {"recurrence", draw_recurrence},
  };
}

}  // namespace xtape::test
