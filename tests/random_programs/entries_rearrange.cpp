// Ops that pad, turn, shift and repeat elements, and those of diagonals.
#include <xtape/ops/shape.hpp>

#include "program.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

bool has_axes(const Shape& s) { return s.size() > 0; }
bool has_matrices(const Shape& s) { return s.size() > 1; }
std::ptrdiff_t modulo(std::ptrdiff_t i, std::ptrdiff_t n) { return (i % n + n) % n; }

std::optional<Step> draw_pad(Draw& draw) {
  const bool reflect = draw.flag();
  const std::size_t x = draw.matching([=](const Shape& s) { return !reflect || s.elements() > 0; }, Shape{2, 3});
  const Shape from = draw.shape(x);
  PadWidths widths;
  std::vector<std::string> texts;
  Shape shape;
  std::size_t digits = draw.choice(choice_limit);
  for (const std::size_t extent : from) {
    const std::size_t before = digits % 3, after = digits / 3 % 4;
    digits = digits / 5 + 11;
    widths.push_back({before, after});
    texts.push_back(fmt::format("{{{}, {}}}", before, after));
    shape.push_back(before + extent + after);
  }
  const double value = draw.of<double>({0, 1.5});
  const PadOptions options{.mode = reflect ? PadMode::reflect : PadMode::constant, .value = value};
  return step(
      {x},
      fmt::format("pad({}, {{{}}}, {{.mode = PadMode::{}, .value = {}}})", Draw::name(x), fmt::join(texts, ", "),
                  reflect ? "reflect" : "constant", value),
      [=](const auto& t) { return pad(t[0], widths, options); },
      [=](const std::vector<Values>& t) {
        return tabulate<Jet>(shape, [&](Index i) {
          for (std::size_t d = 0; d < i.size(); ++d) {
            const auto n = static_cast<std::ptrdiff_t>(from[d]);
            std::ptrdiff_t place = static_cast<std::ptrdiff_t>(i[d]) - widths[d].before;
            if (!reflect && (place < 0 || place >= n)) return Jet(value);
            // There and back again takes 2 n - 2 steps.
            if (n > 1) place = modulo(place, 2 * n - 2);
            i[d] = static_cast<std::size_t>(n == 1 ? 0 : place < n ? place : 2 * n - 2 - place);
          }
          return at(t[0], i);
        });
      });
}

std::optional<Step> draw_flip(Draw& draw) {
  const std::size_t x = draw.any();
  const Shape from = draw.shape(x);
  const Axes axes = draw.axes(from.size());
  return step(
      {x}, fmt::format("flip({}, {})", Draw::name(x), draw.text(axes)),
      [axes](const auto& t) { return flip(t[0], axes); }, moved<Jet>(from, [=](Index i) {
        for (std::size_t d = 0; d < i.size(); ++d)
          if (contains(axes, d, from)) i[d] = from[d] - 1 - i[d];
        return i;
      }));
}

// Along one axis, or along several by different shifts, or in row-major order.
std::optional<Step> draw_roll(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::size_t how = draw.choice(3);
  const std::ptrdiff_t a = draw.axis(from.size()), b = draw.axis(from.size());
  const std::ptrdiff_t by = draw.of<std::ptrdiff_t>({1, -1, 2, 7, -5, 0}), then = draw.of<std::ptrdiff_t>({-1, 2, 1});
  const Shifts shifts = how == 1 ? Shifts{by, then} : Shifts(by);
  const Axes axes = how == 0 ? Axes{a} : how == 1 ? Axes{a, b} : all_axes;
  const std::string text = how == 1 ? fmt::format("{{{}, {}}}", by, then) : fmt::format("{}", by);
  return step(
      {x}, fmt::format("roll({}, {}, {})", Draw::name(x), text, draw.text(axes)),
      [=](const auto& t) { return roll(t[0], shifts, axes); },
      [=](const std::vector<Values>& t) {
        if (how == 2) {
          Values y = t[0];
          const auto n = static_cast<std::ptrdiff_t>(y.values.size());
          for (std::ptrdiff_t i = 0; i < n; ++i)
            y.values[static_cast<std::size_t>(modulo(i + by, n))] = t[0].values[static_cast<std::size_t>(i)];
          return y;
        }
        return tabulate<Jet>(from, [&](Index i) {
          const auto back = [&](std::ptrdiff_t axis, std::ptrdiff_t shift) {
            std::size_t& place = i[from_front(axis, from)];
            place = static_cast<std::size_t>(modulo(static_cast<std::ptrdiff_t>(place) - shift,
                                                    static_cast<std::ptrdiff_t>(from[from_front(axis, from)])));
          };
          back(a, by);
          if (how == 1) back(b, then);
          return at(t[0], i);
        });
      });
}

std::optional<Step> draw_tile(Draw& draw) {
  const std::size_t x = draw.any();
  const Shape from = draw.shape(x);
  const std::size_t rank = draw.choice(4);
  if (from.size() > 4) return {};
  Shape repetitions, shape;
  for (std::size_t d = 0; d < rank; ++d) repetitions.push_back(draw.of<std::size_t>({2, 1, 3, 1, 2, 1, 2, 0}));
  const std::size_t result_rank = std::max(rank, from.size());
  for (std::size_t d = 0; d < result_rank; ++d) {
    const std::size_t back = result_rank - d;
    shape.push_back((back <= from.size() ? from[from.size() - back] : 1) *
                    (back <= rank ? repetitions[rank - back] : 1));
  }
  return step(
      {x}, fmt::format("tile({}, {{{}}})", Draw::name(x), fmt::join(repetitions.begin(), repetitions.end(), ", ")),
      [=](const auto& t) { return tile(t[0], repetitions); }, moved<Jet>(shape, [=](Index i) {
        for (std::size_t d = 0; d < from.size(); ++d) i[i.size() - from.size() + d] %= from[d];
        return i;
      }));
}

std::optional<Step> draw_repeat(Draw& draw) {
  const std::size_t x = draw.matching(has_axes, Shape{2, 3});
  const Shape from = draw.shape(x);
  const std::size_t count = draw.of<std::size_t>({2, 3, 1, 2, 3, 0});
  const std::ptrdiff_t axis = draw.axis(from.size());
  const std::size_t along_axis = from_front(axis, from);
  Shape shape = from;
  shape[along_axis] *= count;
  return step(
      {x}, fmt::format("repeat({}, {}, {})", Draw::name(x), count, axis),
      [=](const auto& t) { return repeat(t[0], count, axis); }, moved<Jet>(shape, [=](Index i) {
        i[along_axis] /= count;
        return i;
      }));
}

// How many elements the diagonal has, and where its first one is.
struct Line {
  std::size_t length, row, column;
  Line(std::size_t rows, std::size_t columns, std::ptrdiff_t offset)
      : row(static_cast<std::size_t>(std::max<std::ptrdiff_t>(-offset, 0))),
        column(static_cast<std::size_t>(std::max<std::ptrdiff_t>(offset, 0))) {
    length = row < rows && column < columns ? std::min(rows - row, columns - column) : 0;
  }
};
std::ptrdiff_t draw_offset(Draw& draw) { return draw.of<std::ptrdiff_t>({0, 1, -1, 2, 0, 1, -1, -9}); }

std::optional<Step> draw_diagonal(Draw& draw) {
  const std::size_t x = draw.matching(has_matrices, Shape{3, 3});
  const Shape from = draw.shape(x);
  const std::ptrdiff_t offset = draw_offset(draw), a = draw.axis(from.size()), b = draw.axis(from.size());
  const std::size_t rows = from_front(a, from), columns = from_front(b, from);
  if (rows == columns) return {};
  const Line line(from[rows], from[columns], offset);
  Shape shape;
  for (std::size_t d = 0; d < from.size(); ++d)
    if (d != rows && d != columns) shape.push_back(from[d]);
  shape.push_back(line.length);
  return step(
      {x}, fmt::format("diagonal({}, {}, {}, {})", Draw::name(x), offset, a, b),
      [=](const auto& t) { return diagonal(t[0], offset, a, b); }, moved<Jet>(shape, [=](const Index& i) {
        Index source;
        std::size_t next = 0;
        for (std::size_t d = 0; d < from.size(); ++d)
          source.push_back(d == rows ? line.row + i.back() : d == columns ? line.column + i.back() : i[next++]);
        return source;
      }));
}

std::optional<Step> draw_diag(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() == 1 || s.size() == 2; }, Shape{3});
  const Shape from = draw.shape(x);
  const std::ptrdiff_t offset = draw.of<std::ptrdiff_t>({0, 1, -2, -1});
  const auto text = fmt::format("diag({}, {})", Draw::name(x), offset);
  const auto op = [offset](const auto& t) { return diag(t[0], offset); };
  if (from.size() == 2) {
    const Line line(from[0], from[1], offset);
    return step({x}, text, op, moved<Jet>(Shape{line.length}, [line](const Index& i) {
                  return Index{line.row + i[0], line.column + i[0]};
                }));
  }
  const std::size_t n = from[0] + static_cast<std::size_t>(std::abs(offset));
  return step({x}, text, op, [=](const std::vector<Values>& t) {
    const Line line(n, n, offset);
    return tabulate<Jet>({n, n}, [&](const Index& i) {
      return i[0] + line.column == i[1] + line.row ? t[0].values[std::min(i[0], i[1])] : Jet(0);
    });
  });
}

template <class F> Entry triangle(const char* name, bool lower, F f) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.matching(has_matrices, Shape{3, 3});
            const std::ptrdiff_t offset = draw_offset(draw);
            return step(
                {x}, fmt::format("{}({}, {})", name, Draw::name(x), offset),
                [=](const auto& t) { return f(t[0], offset); },
                [=](const std::vector<Values>& t) {
                  return tabulate<Jet>(t[0].shape, [&](const Index& i) {
                    const std::ptrdiff_t above =
                        static_cast<std::ptrdiff_t>(i.back()) - static_cast<std::ptrdiff_t>(i[i.size() - 2]) - offset;
                    return (lower ? above <= 0 : above >= 0) ? at(t[0], i) : Jet(0);
                  });
                });
          }};
}

}  // namespace

std::vector<Entry> rearrange_entries() {
  return {
      {"pad", draw_pad},
      {"flip", draw_flip},
      {"roll", draw_roll},
      {"tile", draw_tile},
      {"repeat", draw_repeat},
      {"diagonal", draw_diagonal},
      {"diag", draw_diag},
      triangle("tril", true, [](const auto& x, std::ptrdiff_t offset) { return tril(x, offset); }),
      triangle("triu", false, [](const auto& x, std::ptrdiff_t offset) { return triu(x, offset); }),
  };
}

}  // namespace xtape::test
