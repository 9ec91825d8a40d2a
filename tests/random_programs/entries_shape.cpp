// Ops that move elements.
#include <xtape/ops/shape.hpp>

#include "program.hpp"

#include <algorithm>
#include <numeric>

namespace xtape::test {
namespace {

template <class F> Step view(std::size_t x, std::string text, const Shape& shape, const F& f) {
  return step(
      {x}, std::move(text), [f](const auto& t) { return f(t[0]); }, reshaped<Jet>(shape));
}

// The prime factors of the number of elements, dealt out to as many axes as drawn.
std::optional<Step> draw_reshape(Draw& draw) {
  const std::size_t x = draw.any();
  std::size_t rest = draw.shape(x).elements(), deal = draw.choice(choice_limit);
  if (rest == 0) return {};
  Shape shape;
  const std::size_t rank = rest == 1 ? draw.choice(4) : 1 + draw.choice(4);
  for (std::size_t i = 0; i < rank; ++i) shape.push_back(1);
  for (std::size_t factor = 2; rest > 1; ++factor)
    for (; rest % factor == 0; rest /= factor, deal = deal * 5 / 3 + 1) shape[deal % rank] *= factor;
  NewShape asked = shape;
  if (rank > 0 && draw.flag()) asked[deal % rank] = -1;
  return view(x, fmt::format("reshape({}, {{{}}})", Draw::name(x), fmt::join(asked.begin(), asked.end(), ", ")), shape,
              [asked](const auto& t) { return reshape(t, asked); });
}

std::optional<Step> draw_flatten(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() > 0; }, Shape{2, 3});
  const Shape& from = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(from.size());
  Shape shape;
  for (std::size_t d = 0; d < from_front(axis, from); ++d) shape.push_back(from[d]);
  shape.push_back(std::accumulate(from.begin() + shape.size(), from.end(), std::size_t{1}, std::multiplies<>()));
  return view(x, fmt::format("flatten({}, {})", Draw::name(x), axis), shape,
              [axis](const auto& t) { return flatten(t, axis); });
}

std::optional<Step> draw_squeeze(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return std::ranges::count(s, 1U) > 0; }, Shape{2, 1, 3});
  const Shape& from = draw.shape(x);
  Axes axes = draw.axes(from.size());
  Shape shape;
  Axes allowed;  // those of extent 1
  for (std::size_t d = 0; d < from.size(); ++d) {
    const bool gone = from[d] == 1 && contains(axes, d, from);
    if (!gone) shape.push_back(from[d]);
    if (gone) allowed.push_back(static_cast<std::ptrdiff_t>(d));
  }
  if (!axes.is_all()) axes = allowed;
  return view(x, fmt::format("squeeze({}, {})", Draw::name(x), draw.text(axes)), shape,
              [axes](const auto& t) { return squeeze(t, axes); });
}

std::optional<Step> draw_expand_dims(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() < 5; }, Shape{3});
  const Shape& from = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(from.size() + 1);
  const std::size_t at =
      static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::ptrdiff_t>(from.size()) + 1 : axis);
  std::vector<std::size_t> extents(from.begin(), from.end());
  extents.insert(extents.begin() + static_cast<std::ptrdiff_t>(at), 1);
  return view(x, fmt::format("expand_dims({}, {})", Draw::name(x), axis), Shape(extents),
              [axis](const auto& t) { return expand_dims(t, axis); });
}

std::optional<Step> draw_transpose(Draw& draw) {
  const std::size_t x = draw.any();
  const Shape& from = draw.shape(x);
  const std::size_t rank = from.size();
  std::vector<std::size_t> order(rank);
  std::iota(order.begin(), order.end(), 0);
  std::size_t digits = draw.choice(choice_limit);
  Axes axes = all_axes;
  if (digits % 4 == 0) {
    std::ranges::reverse(order);
  } else {
    for (std::size_t i = rank; i > 1; digits /= i--) std::swap(order[i - 1], order[digits % i]);
    axes = Axes{};
    for (const std::size_t a : order) axes.push_back(static_cast<std::ptrdiff_t>(a));
    if (rank > 0 && draw.flag()) axes[0] -= static_cast<std::ptrdiff_t>(rank);
  }
  Shape shape;
  for (const std::size_t a : order) shape.push_back(from[a]);
  return step(
      {x}, fmt::format("transpose({}, {})", Draw::name(x), draw.text(axes)),
      [axes](const auto& t) { return transpose(t[0], axes); }, moved<Jet>(shape, [order](const Index& i) {
        Index source(i.size());
        for (std::size_t d = 0; d < i.size(); ++d) source[order[d]] = i[d];
        return source;
      }));
}

std::optional<Step> draw_broadcast_to(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() < 4; }, Shape{1, 3});
  const Shape& from = draw.shape(x);
  Shape shape = draw.shape_of_rank(draw.choice(5 - from.size()));
  for (const std::size_t extent : from) shape.push_back(extent == 1 ? draw.of<std::size_t>({2, 3, 1}) : extent);
  return step(
      {x}, fmt::format("broadcast_to({}, {{{}}})", Draw::name(x), fmt::join(shape.begin(), shape.end(), ", ")),
      [shape](const auto& t) { return broadcast_to(t[0], shape); },
      moved<Jet>(shape, [](const Index& i) { return i; }));
}

// Two or three tensors joined along an axis.
std::optional<Step> draw_concatenate(Draw& draw) {
  const std::size_t first = draw.matching([](const Shape& s) { return s.size() > 0; }, Shape{2, 3});
  const Shape shape = draw.shape(first);
  const std::ptrdiff_t axis = draw.axis(shape.size());
  const std::size_t along_axis = from_front(axis, shape);
  const auto fits = [&](const Shape& s) {
    if (s.size() != shape.size()) return false;
    for (std::size_t d = 0; d < s.size(); ++d)
      if (d != along_axis && s[d] != shape[d]) return false;
    return true;
  };
  std::vector<std::size_t> lines{first};
  for (std::size_t more = 1 + draw.choice(2); more > 0; --more) {
    Shape other = shape;
    other[along_axis] = draw.of<std::size_t>({1, 2, 3, 2, 0});
    lines.push_back(draw.matching(fits, other));
  }
  return step(
      lines, fmt::format("concatenate<double>({{{}}}, {})", Draw::names(lines), axis),
      [axis](const auto& t) { return concatenate(t, axis); },
      [along_axis](const std::vector<Values>& x) {
        Shape joined = x[0].shape;
        for (std::size_t k = 1; k < x.size(); ++k) joined[along_axis] += x[k].shape[along_axis];
        return tabulate<Jet>(joined, [&](Index i) {
          std::size_t k = 0;
          for (; i[along_axis] >= x[k].shape[along_axis]; ++k) i[along_axis] -= x[k].shape[along_axis];
          // Not at(): an extent of 1 along the axis is no broadcast, but its index is 0 all the same.
          return at(x[k], i);
        });
      });
}

std::optional<Step> draw_stack(Draw& draw) {
  const std::size_t first = draw.matching([](const Shape& s) { return s.size() < 4; }, Shape{3});
  const Shape shape = draw.shape(first);
  const std::ptrdiff_t axis = draw.axis(shape.size() + 1);
  const std::size_t place =
      static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::ptrdiff_t>(shape.size()) + 1 : axis);
  std::vector<std::size_t> lines{first};
  for (std::size_t more = draw.choice(3); more > 0; --more)
    lines.push_back(draw.matching([&](const Shape& s) { return s == shape; }, shape));
  return step(
      lines, fmt::format("stack<double>({{{}}}, {})", Draw::names(lines), axis),
      [axis](const auto& t) { return stack(t, axis); },
      [place](const std::vector<Values>& x) {
        std::vector<std::size_t> extents(x[0].shape.begin(), x[0].shape.end());
        extents.insert(extents.begin() + static_cast<std::ptrdiff_t>(place), x.size());
        return tabulate<Jet>(Shape(extents), [&](Index i) {
          const std::size_t k = i[place];
          i.erase(i.begin() + static_cast<std::ptrdiff_t>(place));
          return at(x[k], i);
        });
      });
}

// One index or range of a slice, and the elements it takes.
struct Cut {
  SliceIndex index = all();
  std::string text = "all()";
  std::vector<std::size_t> taken{};
};

Cut draw_cut(Draw& draw, std::size_t extent) {
  const auto n = static_cast<std::ptrdiff_t>(extent);
  Cut cut;
  const std::size_t how = draw.choice(choice_limit);
  const auto place = static_cast<std::ptrdiff_t>(how / 8);
  if (how % 8 == 1 && n > 0) {
    const std::ptrdiff_t i = place % (2 * n) - n;
    cut = {i, fmt::format("{}", i), {static_cast<std::size_t>((i + n) % n)}};
  } else if (how % 8 > 3 && n > 0) {
    // Whole steps from a first element to beyond the last, forward or backward.
    const std::ptrdiff_t first = place % n, step = 1 + place / 8 % 3, count = 1 + place / 3 % n;
    const bool forward = how % 8 != 7;
    std::ptrdiff_t at = first;
    for (std::ptrdiff_t c = 0; c < count && at >= 0 && at < n; ++c, at += forward ? step : -step)
      cut.taken.push_back(static_cast<std::size_t>(at));
    const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(cut.taken.back()), by = forward ? step : -step;
    // The stop: one beyond the last; backward before the first it must be left open.
    const Range range{how % 8 == 6 ? first - n : first, forward ? last + 1 : last == 0 ? Range::open : last - 1, by};
    cut.index = range;
    cut.text = range.stop == Range::open ? fmt::format("Range{{{}, Range::open, {}}}", range.start, by)
                                         : fmt::format("range({}, {}, {})", range.start, range.stop, by);
  } else {
    for (std::size_t i = 0; i < extent; ++i) cut.taken.push_back(i);
  }
  return cut;
}

std::optional<Step> draw_slice(Draw& draw) {
  const std::size_t x = draw.any();
  const Shape& from = draw.shape(x);
  const std::size_t rank = from.size(), named = std::min<std::size_t>(rank, 1 + draw.choice(4));
  std::vector<Cut> cuts;
  for (std::size_t d = 0; d < rank; ++d) {
    Cut whole;
    for (std::size_t i = 0; i < from[d]; ++i) whole.taken.push_back(i);
    cuts.push_back(d < named ? draw_cut(draw, from[d]) : whole);
  }
  Shape shape;
  std::vector<std::string> texts;
  for (std::size_t d = 0; d < rank; ++d) {
    if (!cuts[d].index.drops_axis) shape.push_back(cuts[d].taken.size());
    if (d < named) texts.push_back(cuts[d].text);
  }
  return step(
      {x}, fmt::format("slice({}, {{{}}})", Draw::name(x), fmt::join(texts, ", ")),
      [cuts, named](const auto& t) {
        // slice() takes a written list.
        switch (named) {
          case 0: return slice(t[0], {});
          case 1: return slice(t[0], {cuts[0].index});
          case 2: return slice(t[0], {cuts[0].index, cuts[1].index});
          case 3: return slice(t[0], {cuts[0].index, cuts[1].index, cuts[2].index});
          default: return slice(t[0], {cuts[0].index, cuts[1].index, cuts[2].index, cuts[3].index});
        }
      },
      moved<Jet>(shape, [cuts](const Index& i) {
        Index source;
        std::size_t next = 0;
        for (const Cut& cut : cuts) source.push_back(cut.taken[cut.index.drops_axis ? 0 : i[next++]]);
        return source;
      }));
}

std::optional<Step> draw_detach(Draw& draw) {
  const std::size_t x = draw.any();
  return step(
      {x}, fmt::format("{}.detach()", Draw::name(x)), [](const auto& t) { return t[0].detach(); },
      each<Jet>([](const Jet& v) { return Jet(v.value); }));
}

}  // namespace

std::vector<Entry> shape_entries() {
  return {{"reshape", draw_reshape},
          {"flatten", draw_flatten},
          {"squeeze", draw_squeeze},
          {"expand_dims", draw_expand_dims},
          {"transpose", draw_transpose},
          {"broadcast_to", draw_broadcast_to},
          {"concatenate", draw_concatenate},
          {"stack", draw_stack},
          {"slice", draw_slice},
          {"detach", draw_detach}};
}

}  // namespace xtape::test
