// Ops that pick elements by lists of indices or by masks.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/index.hpp>

#include "program.hpp"

namespace xtape::test {
namespace {

// Indices into an axis of n, from the front or the back, with repetitions.
struct Picks {
  Shape shape;
  std::vector<std::ptrdiff_t> written;
  std::ptrdiff_t n;

  Picks(Draw& draw, const Shape& of, std::size_t extent) : shape(of), n(static_cast<std::ptrdiff_t>(extent)) {
    std::size_t digits = draw.choice(choice_limit);
    for (std::size_t i = 0; i < of.elements(); ++i, digits = digits * 5 / 3 + i) {
      const auto place = static_cast<std::ptrdiff_t>(digits % choice_limit);
      written.push_back(place % 4 == 3 ? place / 4 % n - n : place / 4 % n);
    }
  }
  Integers list() const {
    return {shape, [this](std::size_t i) { return written[i]; }};
  }
  std::string text() const { return fmt::format("/* {} */ {{{}}}", to_string(shape), fmt::join(written, ", ")); }
  std::size_t operator[](const Index& i) const {
    std::size_t flat = 0;
    for (std::size_t d = 0; d < i.size(); ++d) flat = flat * shape[d] + i[d];
    return static_cast<std::size_t>(written[flat] < 0 ? written[flat] + n : written[flat]);
  }
};

bool has_axes(const Shape& s) { return s.size() > 0 && s.elements() > 0; }

std::optional<Step> draw_gather(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  Shape shape = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(shape.size());
  const std::size_t along_axis = from_front(axis, shape), n = shape[along_axis];
  shape[along_axis] = draw.of<std::size_t>({2, 3, 1, 5, 0});
  const Picks picks(draw, shape, n);
  return step(
      {x}, fmt::format("gather({}, {}, {})", Draw::name(x), picks.text(), axis),
      [=](const auto& t) { return gather(t[0], picks.list(), axis); }, moved<Jet>(shape, [=](Index i) {
        i[along_axis] = picks[i];
        return i;
      }));
}

// Adds source[i] to x[target(i)].
template <class F> JetReference added(F target) {
  return [target](const std::vector<Values>& t) {
    Values y = t[0];
    tabulate<Jet>(t[1].shape, [&](const Index& i) {
      const Index to = target(i);
      std::size_t flat = 0;
      for (std::size_t d = 0; d < to.size(); ++d) flat = flat * y.shape[d] + to[d];
      y.values[flat] += at(t[1], i);
      return Jet(0);
    });
    return y;
  };
}

std::optional<Step> draw_scatter_add(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(from.size());
  const std::size_t along_axis = from_front(axis, from);
  Shape shape = from;
  shape[along_axis] = draw.of<std::size_t>({2, 3, 1, 5, 0});
  const std::size_t source = draw.matching([&](const Shape& s) { return s == shape; }, shape);
  const Picks picks(draw, shape, from[along_axis]);
  return step(
      {x, source}, fmt::format("scatter_add({}, {}, {}, {})", Draw::name(x), picks.text(), Draw::name(source), axis),
      [=](const auto& t) { return scatter_add(t[0], picks.list(), t[1], axis); }, added([=](Index i) {
        i[along_axis] = picks[i];
        return i;
      }));
}

std::optional<Step> draw_index_select(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  Shape shape = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(shape.size());
  const std::size_t along_axis = from_front(axis, shape), n = shape[along_axis];
  shape[along_axis] = draw.of<std::size_t>({2, 3, 1, 5, 0});
  const Picks picks(draw, {shape[along_axis]}, n);
  return step(
      {x}, fmt::format("index_select({}, {}, {})", Draw::name(x), axis, picks.text()),
      [=](const auto& t) { return index_select(t[0], axis, picks.list()); }, moved<Jet>(shape, [=](Index i) {
        i[along_axis] = picks[{i[along_axis]}];
        return i;
      }));
}

std::optional<Step> draw_index_add(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::ptrdiff_t axis = draw.axis(from.size());
  const std::size_t along_axis = from_front(axis, from);
  Shape shape = from;
  shape[along_axis] = draw.of<std::size_t>({2, 3, 1, 5, 0});
  const std::size_t source = draw.matching([&](const Shape& s) { return s == shape; }, shape);
  const Picks picks(draw, {shape[along_axis]}, from[along_axis]);
  return step(
      {x, source}, fmt::format("index_add({}, {}, {}, {})", Draw::name(x), axis, picks.text(), Draw::name(source)),
      [=](const auto& t) { return index_add(t[0], axis, picks.list(), t[1]); }, added([=](Index i) {
        i[along_axis] = picks[{i[along_axis]}];
        return i;
      }));
}

std::optional<Step> draw_embedding(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() == 2 && s[0] > 0; }, Shape{4, 2});
  const Shape lookups = draw.shape_of_rank(draw.choice(3));
  const Picks picks(draw, lookups, draw.shape(x)[0]);
  Shape shape = lookups;
  shape.push_back(draw.shape(x)[1]);
  return step(
      {x}, fmt::format("embedding({}, {})", Draw::name(x), picks.text()),
      [=](const auto& t) { return embedding(t[0], picks.list()); }, moved<Jet>(shape, [=](Index i) {
        const std::size_t column = i.back();
        i.pop_back();
        return Index{picks[i], column};
      }));
}

std::optional<Step> draw_one_hot(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::size_t classes = from.back(), label = draw.choice(classes);
  return step(
      {x}, fmt::format("{} * one_hot<double>({{{}}}, {})", Draw::name(x), label, classes),
      [=]<class T>(const Tensors<T>& t) { return t[0] * one_hot<T>(std::vector{label}, classes); },
      [=](const std::vector<Values>& t) {
        Shape shape = from;
        if (from.size() == 1) shape = {1, classes};
        return tabulate<Jet>(shape, [&](const Index& i) { return i.back() == label ? at(t[0], i) : Jet(0); });
      });
}

// A drawn mask, of x's shape or of a row: one computed from values could select more or fewer elements in the
// reference's runs beside the point.
std::optional<Step> draw_masked_select(Draw& draw) {
  const std::size_t x = draw.any();
  const Shape from = draw.shape(x);
  std::size_t digits = draw.choice(choice_limit);
  const bool row = from.size() > 1 && draw.flag();
  const Shape mask_shape = row ? Shape{from.back()} : from;
  std::vector<int> mask;
  for (std::size_t i = 0; i < mask_shape.elements(); ++i, digits = digits * 7 / 5 + i) mask.push_back(digits / 2 % 2);
  return step(
      {x},
      fmt::format("masked_select({}, Tensor<double>({{{}}}, {{{}}}))", Draw::name(x),
                  fmt::join(mask_shape.begin(), mask_shape.end(), ", "), fmt::join(mask, ", ")),
      [=]<class T>(const Tensors<T>& t) {
        return masked_select(t[0], Tensor<T>(mask_shape, std::vector<T>(mask.begin(), mask.end())));
      },
      [=](const std::vector<Values>& t) {
        Values y{{0}, {}};
        for (std::size_t i = 0; i < t[0].values.size(); ++i)
          if (mask[i % mask.size()]) y.values.push_back(t[0].values[i]);
        y.shape = {y.values.size()};
        return y;
      });
}

std::optional<Step> draw_masked_fill(Draw& draw) {
  const std::size_t x = draw.any();
  const Shape from = draw.shape(x);
  const std::size_t condition = draw.matching(
      [&](const Shape& s) {
        if (s.size() > from.size()) return false;
        for (std::size_t d = 1; d <= s.size(); ++d)
          if (s[s.size() - d] != 1 && s[s.size() - d] != from[from.size() - d]) return false;
        return true;
      },
      from);
  return step(
      {x, condition}, fmt::format("masked_fill({}, {} > 0.2, -0.5)", Draw::name(x), Draw::name(condition)),
      [](const auto& t) { return masked_fill(t[0], t[1] > 0.2, -0.5); },
      each<Jet>([](const Jet& v, const Jet& c) { return less(0.2, c) ? Jet(-0.5) : v; }));
}

}  // namespace

std::vector<Entry> index_entries() {
  return {{"gather", draw_gather},
          {"scatter_add", draw_scatter_add},
          {"index_select", draw_index_select},
          {"index_add", draw_index_add},
          {"embedding", draw_embedding},
          {"one_hot", draw_one_hot},
          {"masked_select", draw_masked_select},
          {"masked_fill", draw_masked_fill}};
}

}  // namespace xtape::test
