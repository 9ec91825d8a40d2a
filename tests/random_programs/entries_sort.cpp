// Elements in order of size.
#include <xtape/ops/sort.hpp>

#include "program.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

std::vector<Jet> sorted(std::vector<Jet> v, bool descending) {
  std::ranges::stable_sort(v, [=](const Jet& a, const Jet& b) { return descending ? less(b, a) : less(a, b); });
  return v;
}
bool has_axes(const Shape& s) { return s.size() > 0; }

std::optional<Step> draw_sort(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const std::ptrdiff_t axis = draw.axis(draw.shape(x).size());
  const bool descending = draw.flag();
  return step(
      {x}, fmt::format("sort({}, {}, {{.descending = {}}})", Draw::name(x), axis, descending),
      [=](const auto& t) { return sort(t[0], axis, {.descending = descending}); },
      along<Jet>(axis, [descending](const std::vector<Jet>& v) { return sorted(v, descending); }));
}

std::optional<Step> draw_topk(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  Shape shape = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(shape.size());
  std::size_t& extent = shape[from_front(axis, shape)];
  extent = std::min<std::size_t>(extent, draw.of<std::size_t>({1, 2, 3, 5, 0}));
  const std::size_t k = extent;
  const bool largest = !draw.flag();
  return step(
      {x}, fmt::format("topk({}, {}, {}, {{.largest = {}}}).values", Draw::name(x), k, axis, largest),
      [=](const auto& t) { return topk(t[0], k, axis, {.largest = largest}).values; },
      [=](const std::vector<Values>& t) {
        const Values all = along<Jet>(axis, [largest](const std::vector<Jet>& v) { return sorted(v, largest); })(t);
        return tabulate<Jet>(shape, [&](const Index& i) { return at(all, i); });
      });
}

}  // namespace

std::vector<Entry> sort_entries() { return {{"sort", draw_sort}, {"topk", draw_topk}}; }

}  // namespace xtape::test
