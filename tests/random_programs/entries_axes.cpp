// Ops that move axes, cut along them, and join or broadcast several tensors.
#include <xtape/ops/shape.hpp>

#include "program.hpp"

#include <algorithm>
#include <numeric>

namespace xtape::test {
namespace {

bool has_axes(const Shape& s) { return s.size() > 0; }

// Axis d of the result is axis order[d] of x.
JetReference permuted(const Shape& from, const std::vector<std::size_t>& order) {
  Shape shape;
  for (const std::size_t a : order) shape.push_back(from[a]);
  return moved<Jet>(shape, [order](const Index& i) {
    Index source(i.size());
    for (std::size_t d = 0; d < i.size(); ++d) source[order[d]] = i[d];
    return source;
  });
}

std::optional<Step> draw_moveaxis(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::size_t count = std::min<std::size_t>(from.size(), 1 + draw.choice(2));
  std::vector<std::size_t> sources, destinations;
  Axes source, destination;
  for (std::size_t k = 0; k < count; ++k) {
    const std::ptrdiff_t a = draw.axis(from.size()), b = draw.axis(from.size());
    if (std::ranges::count(sources, from_front(a, from)) || std::ranges::count(destinations, from_front(b, from)))
      break;
    source.push_back(a), sources.push_back(from_front(a, from));
    destination.push_back(b), destinations.push_back(from_front(b, from));
  }
  // Whatever is not named fills the free places in order.
  std::vector<std::size_t> order(from.size(), from.size());
  for (std::size_t k = 0; k < sources.size(); ++k) order[destinations[k]] = sources[k];
  std::size_t next = 0;
  for (std::size_t& a : order) {
    while (std::ranges::count(sources, next)) ++next;
    if (a == from.size()) a = next++;
  }
  return step(
      {x}, fmt::format("moveaxis({}, {}, {})", Draw::name(x), draw.text(source), draw.text(destination)),
      [=](const auto& t) { return moveaxis(t[0], source, destination); }, permuted(from, order));
}

std::optional<Step> draw_swapaxes(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::ptrdiff_t a = draw.axis(from.size()), b = draw.axis(from.size());
  std::vector<std::size_t> order(from.size());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[from_front(a, from)], order[from_front(b, from)]);
  return step(
      {x}, fmt::format("swapaxes({}, {}, {})", Draw::name(x), a, b),
      [=](const auto& t) { return swapaxes(t[0], a, b); }, permuted(from, order));
}

std::optional<Step> draw_atleast(Draw& draw) {
  const std::size_t x = draw.any(), least = 1 + draw.choice(3);
  const Shape from = draw.shape(x);
  Shape shape = from;
  if (from.size() < least) {
    const std::size_t n = from.size() > 0 ? from[0] : 1;
    shape = least == 1 ? Shape{1} : least == 2 ? Shape{1, n} : from.size() == 2 ? Shape{n, from[1], 1} : Shape{1, n, 1};
  }
  return step(
      {x}, fmt::format("atleast_{}d({})", least, Draw::name(x)),
      [least](const auto& t) {
        return least == 1 ? atleast_1d(t[0]) : least == 2 ? atleast_2d(t[0]) : atleast_3d(t[0]);
      },
      reshaped<Jet>(shape));
}

std::optional<Step> draw_split(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{4, 3});
  const Shape from = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(from.size());
  const std::size_t along_axis = from_front(axis, from), n = from[along_axis];
  const std::size_t equal = 1 + draw.choice(3), cut = draw.choice(n + 1), which = draw.choice(choice_limit);
  const bool by_count = n % equal == 0 && draw.flag();
  const std::vector<std::size_t> extents = by_count ? std::vector(equal, n / equal) : std::vector{cut, n - cut};
  const Parts parts = by_count ? Parts(equal) : Parts(extents);
  const std::size_t part = which % extents.size();
  const std::size_t first =
      std::accumulate(extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(part), std::size_t{0});
  Shape shape = from;
  shape[along_axis] = extents[part];
  const std::string how = by_count ? fmt::format("{}", equal) : fmt::format("{{{}}}", fmt::join(extents, ", "));
  return step(
      {x}, fmt::format("split({}, {}, {})[{}]", Draw::name(x), how, axis, part),
      [=](const auto& t) { return split(t[0], parts, axis)[part]; }, moved<Jet>(shape, [=](Index i) {
        i[along_axis] += first;
        return i;
      }));
}

std::optional<Step> draw_unstack(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return has_axes(s) && s.elements() > 0; }, Shape{4, 3});
  const Shape from = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(from.size());
  const std::size_t along_axis = from_front(axis, from), part = draw.choice(choice_limit) % from[along_axis];
  Shape shape;
  for (std::size_t i = 0; i < from.size(); ++i)
    if (i != along_axis) shape.push_back(from[i]);
  return step(
      {x}, fmt::format("unstack({}, {})[{}]", Draw::name(x), axis, part),
      [=](const auto& t) { return unstack(t[0], axis)[part]; }, moved<Jet>(shape, [=](Index i) {
        i.insert(i.begin() + static_cast<std::ptrdiff_t>(along_axis), part);
        return i;
      }));
}

std::optional<Step> draw_meshgrid(Draw& draw) {
  std::vector<std::size_t> lines;
  for (std::size_t n = draw.of<std::size_t>({2, 1, 3}); n > 0; --n)
    lines.push_back(draw.matching([](const Shape& s) { return s.size() == 1; }, Shape{1 + n}));
  const bool ij = draw.flag();
  const std::size_t which = draw.choice(lines.size());
  return step(
      lines,
      fmt::format("meshgrid<double>({{{}}}, {{.indexing = Indexing::{}}})[{}]", Draw::names(lines), ij ? "ij" : "xy",
                  which),
      [=](const auto& t) { return meshgrid(t, {.indexing = ij ? Indexing::ij : Indexing::xy})[which]; },
      [=](const std::vector<Values>& t) {
        // The axis that vector k runs along.
        const auto axis = [&](std::size_t k) { return !ij && t.size() > 1 && k < 2 ? 1 - k : k; };
        Shape shape;
        for (std::size_t d = 0; d < t.size(); ++d) shape.push_back(t[axis(d)].shape[0]);
        return tabulate<Jet>(shape, [&](const Index& i) { return t[which].values[i[axis(which)]]; });
      });
}

std::optional<Step> draw_broadcast_tensors(Draw& draw) {
  const std::size_t x = draw.any(), y = draw.broadcastable(draw.shape(x)), which = draw.choice(2);
  return step(
      {x, y}, fmt::format("broadcast_tensors<double>({{{}}})[{}]", Draw::names({x, y}), which),
      [which](const auto& t) { return broadcast_tensors(t)[which]; },
      each<Jet>([which](const Jet& a, const Jet& b) { return which == 0 ? a : b; }));
}

}  // namespace

std::vector<Entry> axes_entries() {
  return {{"moveaxis", draw_moveaxis},
          {"swapaxes", draw_swapaxes},
          {"atleast", draw_atleast},
          {"split", draw_split},
          {"unstack", draw_unstack},
          {"meshgrid", draw_meshgrid},
          {"broadcast_tensors", draw_broadcast_tensors}};
}

}  // namespace xtape::test
