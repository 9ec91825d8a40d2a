// Rows of the ops that pad, turn and repeat.
#include <xtape/ops/shape.hpp>

#include "op_table_reference.hpp"

#include <limits>

namespace xtape::test {
namespace {

using Signed = std::ptrdiff_t;

Signed extent(const Shape& shape, std::size_t axis) { return static_cast<Signed>(shape[axis]); }

// i, brought into [0, n) by steps of n.
std::size_t modulo(Signed i, Signed n) {
  while (i < 0) i += n;
  while (i >= n) i -= n;
  return static_cast<std::size_t>(i);
}

// y[i] = x[source(i, shape of x)] of x's shape.
template <class F> Reference turned(F source) {
  return [=](const Arrays& x) {
    return tabulate(x[0].shape, [&](const Index& i) { return at(x[0], source(i, x[0].shape)); });
  };
}

Reference padded(std::vector<std::pair<Signed, Signed>> widths, bool reflect, Real value) {
  return [=](const Arrays& x) {
    const Shape& in = x[0].shape;
    Shape shape;
    for (std::size_t d = 0; d < in.size(); ++d)
      shape.push_back(static_cast<std::size_t>(extent(in, d) + widths[d].first + widths[d].second));
    return tabulate(shape, [&](Index i) -> Real {
      for (std::size_t d = 0; d < in.size(); ++d) {
        const Signed last = extent(in, d) - 1;
        Signed k = static_cast<Signed>(i[d]) - widths[d].first;
        if (!reflect && (k < 0 || k > last)) return value;
        while (k < 0 || k > last) k = last == 0 ? 0 : k < 0 ? -k : 2 * last - k;
        i[d] = static_cast<std::size_t>(k);
      }
      return at(x[0], i);
    });
  };
}

Reference triangle(bool lower, Signed offset) {
  return [=](const Arrays& x) {
    return tabulate(x[0].shape, [&](const Index& i) -> Real {
      const Signed above = static_cast<Signed>(i.back()) - static_cast<Signed>(i[i.size() - 2]);
      return (lower ? above <= offset : above >= offset) ? at(x[0], i) : 0;
    });
  };
}

template <class F> Row triangle_row(std::string name, bool lower, F f) {
  Row row{.name = std::move(name),
          .flags = linear,
          .refused = {{[f](const auto& x) { return f(x[0], 0); }, {{3}}},
                      {[f](const auto& x) { return f(x[0], 0); }, {{}}}}};
  for (const Signed offset : {0, 1, -1, 2, -2, 7, -7})
    row.cases.push_back({[f, offset](const auto& x) { return f(x[0], offset); },
                         triangle(lower, offset),
                         {{{3, 3}}, {{2, 4}}, {{4, 2}}, {{2, 3, 2}}, {{1, 1}}, {{0, 3}}, {{3, 0}}}});
  return row;
}

}  // namespace

std::vector<Row> rearrange_rows() {
  const auto first_axis = [](Signed n) {
    return [n](Index i, const Shape& shape) {
      i[0] = modulo(static_cast<Signed>(i[0]) - n, extent(shape, 0));
      return i;
    };
  };
  return {
      {.name = "pad",
       .cases = {{[](const auto& x) {
                    return pad(x[0], {{1, 2}});
                  },
                  padded({{1, 2}}, false, 0),
                  {{{3}}, {{1}}, {{0}}}},
                 {[](const auto& x) {
                    return pad(x[0], {{0, 1}, {2, 0}}, {.value = 1.5});
                  },
                  padded({{0, 1}, {2, 0}}, false, 1.5L),
                  {{{2, 3}}, {{1, 1}}, {{0, 2}}, {{2, 0}}}},
                 {[](const auto& x) {
                    return pad(x[0], {{1, 0}, {0, 0}, {1, 1}}, {.value = -2});
                  },
                  padded({{1, 0}, {0, 0}, {1, 1}}, false, -2),
                  {{{2, 2, 2}}}},
                 {[](const auto& x) { return pad(x[0], {}, {.value = 3}); }, reshaped({}), {{{}}}},
                 {[](const auto& x) {
                    return pad(x[0], {{2, 1}}, {.mode = PadMode::reflect});
                  },
                  padded({{2, 1}}, true, 0),
                  {{{3}}, {{4}}, {{2}}, {{1}}}},
                 {[](const auto& x) {
                    return pad(x[0], {{7, 8}}, {.mode = PadMode::reflect});
                  },
                  padded({{7, 8}}, true, 0),
                  {{{3}}, {{2}}, {{4}}}},
                 {[](const auto& x) {
                    return pad(x[0], {{1, 1}, {2, 0}, {0, 0}}, {.mode = PadMode::reflect});
                  },
                  padded({{1, 1}, {2, 0}, {0, 0}}, true, 0),
                  {{{2, 3, 2}}, {{2, 3, 0}}}},
                 {[](const auto& x) {
                    return pad(x[0], {{0, 0}, {0, 0}}, {.mode = PadMode::reflect});
                  },
                  reshaped({2, 3}),
                  {{{2, 3}}}}},
       .flags = linear,
       .records = {"pad", "index_select"},
       .helpers = {"slice", "add_slices"},
       .refused = {{[](const auto& x) {
                      return pad(x[0], {{1, 1}});
                    },
                    {{2, 3}}},
                   {[](const auto& x) {
                      return pad(x[0], {{1, 1}});
                    },
                    {{}}},
                   {[](const auto& x) {
                      return pad(x[0], {{1, -1}});
                    },
                    {{3}}},
                   {[](const auto& x) {
                      return pad(x[0], {{0, 1}}, {.mode = PadMode::reflect});
                    },
                    {{0}}},
                   {[](const auto& x) {
                      constexpr auto most = std::numeric_limits<Signed>::max();
                      return pad(x[0], {{most, most}}, {.mode = PadMode::reflect});
                    },
                    {{3}}}}},
      {.name = "flip",
       .cases = {{[](const auto& x) { return flip(x[0]); },
                  turned([](Index i, const Shape& s) {
                    for (std::size_t d = 0; d < i.size(); ++d) i[d] = s[d] - 1 - i[d];
                    return i;
                  }),
                  {{{5}}, {{2, 3}}, {{2, 3, 2}}, {{}}, {{1}}, {{0, 2}}}},
                 {[](const auto& x) { return flip(x[0], -1); },
                  turned([](Index i, const Shape& s) {
                    i.back() = s[s.size() - 1] - 1 - i.back();
                    return i;
                  }),
                  {{{2, 3}}, {{19}}, {{2, 0}}, {{2, 2, 9}}}},
                 {[](const auto& x) {
                    return flip(x[0], {0, 2});
                  },
                  turned([](Index i, const Shape& s) {
                    i[0] = s[0] - 1 - i[0];
                    i[2] = s[2] - 1 - i[2];
                    return i;
                  }),
                  {{{2, 3, 2}}}},
                 {[](const auto& x) { return flip(x[0], Axes{}); }, reshaped({2, 3}), {{{2, 3}}}}},
       .flags = linear,
       .refused = {{[](const auto& x) { return flip(x[0], 2); }, {{2, 3}}},
                   {[](const auto& x) {
                      return flip(x[0], {0, -2});
                    },
                    {{2, 3}}}}},
      {.name = "roll",
       .cases = {{[](const auto& x) { return roll(x[0], 2); },
                  [](const Arrays& x) {
                    Array y = x[0];
                    for (std::size_t i = 0; i < y.values.size(); ++i)
                      y.values[(i + 2) % y.values.size()] = x[0].values[i];
                    return y;
                  },
                  {{{5}}, {{2, 3}}, {{}}, {{1}}, {{0, 3}}}},
                 {[](const auto& x) { return roll(x[0], 3, 0); }, reshaped({3}), {{{3}}}},
                 {[](const auto& x) { return roll(x[0], 1, 0); },
                  turned(first_axis(1)),
                  {{{3, 2}}, {{4}}, {{1, 2}}, {{0, 2}}}},
                 {[](const auto& x) { return roll(x[0], -5, 0); }, turned(first_axis(-5)), {{{3, 2}}, {{4}}}},
                 {[](const auto& x) {
                    return roll(x[0], {1, 2}, {0, 0});
                  },
                  turned(first_axis(3)),
                  {{{4, 2}}, {{2, 2}}}},
                 {[](const auto& x) {
                    return roll(x[0], {1, -2}, {0, -1});
                  },
                  turned([](const Index& i, const Shape& s) {
                    return Index{modulo(static_cast<Signed>(i[0]) - 1, extent(s, 0)), i[1],
                                 modulo(static_cast<Signed>(i[2]) + 2, extent(s, 2))};
                  }),
                  {{{2, 2, 3}}, {{3, 1, 2}}}},
                 {[](const auto& x) {
                    return roll(x[0], 1, {0, 1});
                  },
                  turned([](const Index& i, const Shape& s) {
                    return Index{modulo(static_cast<Signed>(i[0]) - 1, extent(s, 0)),
                                 modulo(static_cast<Signed>(i[1]) - 1, extent(s, 1))};
                  }),
                  {{{2, 3}}}}},
       .flags = linear,
       .records = {"roll", "reshape"},
       .refused = {{[](const auto& x) {
                      return roll(x[0], {1, 2});
                    },
                    {{2, 3}}},
                   {[](const auto& x) {
                      return roll(x[0], {1, 2}, 0);
                    },
                    {{2, 3}}},
                   {[](const auto& x) { return roll(x[0], 1, 2); }, {{2, 3}}}}},
      {.name = "tile",
       .cases = {{[](const auto& x) { return tile(x[0], {2}); },
                  [](const Arrays& x) {
                    Shape shape = x[0].shape.empty() ? Shape{1} : x[0].shape;
                    const std::size_t n = shape.back();
                    shape.back() = 2 * n;
                    return tabulate(shape, [&](Index i) {
                      i.back() %= n;
                      return at(x[0], i);
                    });
                  },
                  {{{3}}, {{2, 3}}, {{1}}, {{}}, {{2, 0}}}},
                 {[](const auto& x) {
                    return tile(x[0], {2, 1, 3});
                  },
                  [](const Arrays& x) {
                    return tabulate({2, 2, 6}, [&](const Index& i) { return at(x[0], {0, i[1], i[2] % 2}); });
                  },
                  {{{2, 2}}}},
                 {[](const auto& x) {
                    return tile(x[0], {3, 2});
                  },
                  [](const Arrays& x) {
                    return tabulate({2, 6, 4}, [&](const Index& i) { return at(x[0], {i[0], i[1] % 2, i[2] % 2}); });
                  },
                  {{{2, 2, 2}}}},
                 {[](const auto& x) { return tile(x[0], {0}); },
                  [](const Arrays&) {
                    return Array{{0}, {}};
                  },
                  {{{3}}}},
                 {[](const auto& x) { return tile(x[0], {}); }, reshaped({2}), {{{2}}}},
                 {[](const auto& x) {
                    return tile(x[0], {1, 1});
                  },
                  reshaped({1, 2}),
                  {{{2}}}}},
       .flags = linear,
       .records = {"reshape", "broadcast_to"},
       .refused = {{[](const auto& x) { return tile(x[0], {~std::size_t{0}}); }, {{3}}}}},
      {.name = "repeat",
       .cases = {{[](const auto& x) { return repeat(x[0], 2, 0); },
                  [](const Arrays& x) {
                    Shape shape = x[0].shape;
                    shape[0] *= 2;
                    Array y{shape, {}};
                    const std::size_t row = x[0].shape[0] == 0 ? 0 : x[0].values.size() / x[0].shape[0];
                    for (std::size_t i = 0; i < shape[0]; ++i)
                      for (std::size_t k = 0; k < row; ++k) y.values.push_back(x[0].values[i / 2 * row + k]);
                    return y;
                  },
                  {{{3}}, {{1}}, {{2, 3}}, {{0, 2}}, {{2, 0}}}},
                 {[](const auto& x) { return repeat(x[0], 3, -2); },
                  [](const Arrays& x) {
                    return tabulate({2, 6, 3}, [&](const Index& i) { return at(x[0], {i[0], i[1] / 3, i[2]}); });
                  },
                  {{{2, 2, 3}}}},
                 {[](const auto& x) { return repeat(x[0], 0, 0); },
                  [](const Arrays&) {
                    return Array{{0, 2}, {}};
                  },
                  {{{3, 2}}}},
                 {[](const auto& x) { return repeat(x[0], 1, 1); }, reshaped({2, 3}), {{{2, 3}}}}},
       .flags = linear,
       .helpers = {"sum", "reshape"},
       .refused = {{[](const auto& x) { return repeat(x[0], 2, 2); }, {{2, 3}}},
                   {[](const auto& x) { return repeat(x[0], 2, 0); }, {{}}},
                   {[](const auto& x) { return repeat(x[0], ~std::size_t{0}, 0); }, {{2, 3}}}}},
      {.name = "diagonal",
       .cases = {{[](const auto& x) { return diagonal(x[0]); },
                  moved({2},
                        [](const Index& i) {
                          return Index{i[0], i[0]};
                        }),
                  {{{2, 3}}, {{2, 2}}, {{3, 2}}}},
                 {[](const auto& x) { return diagonal(x[0], 1); },
                  moved({2},
                        [](const Index& i) {
                          return Index{i[0], i[0] + 1};
                        }),
                  {{{2, 4}}, {{3, 3}}}},
                 {[](const auto& x) { return diagonal(x[0], -2); },
                  moved({2},
                        [](const Index& i) {
                          return Index{i[0] + 2, i[0]};
                        }),
                  {{{4, 2}}, {{5, 2}}}},
                 {[](const auto& x) { return diagonal(x[0], 0, -2, -1); },
                  moved({2, 3},
                        [](const Index& i) {
                          return Index{i[0], i[1], i[1]};
                        }),
                  {{{2, 3, 3}}, {{2, 3, 4}}}},
                 {[](const auto& x) { return diagonal(x[0], 1, 2, 0); },
                  moved({3, 2},
                        [](const Index& i) {
                          return Index{i[1] + 1, i[0], i[1]};
                        }),
                  {{{3, 3, 2}}, {{4, 3, 2}}}},
                 {[](const auto& x) { return diagonal(x[0], 3); },
                  [](const Arrays&) {
                    return Array{{0}, {}};
                  },
                  {{{2, 3}}, {{4, 2}}, {{0, 4}}}}},
       .flags = linear,
       .records = {"slice"},
       .helpers = {"unslice"},
       .refused = {{[](const auto& x) { return diagonal(x[0]); }, {{3}}},
                   {[](const auto& x) { return diagonal(x[0], 0, 1, -1); }, {{2, 3}}},
                   {[](const auto& x) { return diagonal(x[0], 0, 0, 2); }, {{2, 3}}}}},
      {.name = "diag",
       .cases =
           {{[](const auto& x) { return diag(x[0]); },
             [](const Arrays& x) {
               const std::size_t n = x[0].values.size();
               return tabulate({n, n}, [&](const Index& i) -> Real { return i[0] == i[1] ? x[0].values[i[0]] : 0; });
             },
             {{{3}}, {{1}}, {{0}}}},
            {[](const auto& x) { return diag(x[0], 2); },
             [](const Arrays& x) {
               const std::size_t n = x[0].values.size() + 2;
               return tabulate({n, n},
                               [&](const Index& i) -> Real { return i[0] + 2 == i[1] ? x[0].values[i[0]] : 0; });
             },
             {{{2}}, {{0}}}},
            {[](const auto& x) { return diag(x[0], -1); },
             [](const Arrays& x) {
               const std::size_t n = x[0].values.size() + 1;
               return tabulate({n, n},
                               [&](const Index& i) -> Real { return i[0] == i[1] + 1 ? x[0].values[i[1]] : 0; });
             },
             {{{3}}}},
            {[](const auto& x) { return diag(x[0], -1); },
             moved({2},
                   [](const Index& i) {
                     return Index{i[0] + 1, i[0]};
                   }),
             {{{3, 3}}, {{3, 2}}}}},
       .flags = linear,
       .records = {"slice", "unslice"},
       .refused = {{[](const auto& x) { return diag(x[0]); }, {{}}},
                   {[](const auto& x) { return diag(x[0]); }, {{2, 2, 2}}}}},
      triangle_row("tril", true, [](const auto& x, Signed offset) { return tril(x, offset); }),
      triangle_row("triu", false, [](const auto& x, Signed offset) { return triu(x, offset); }),
  };
}

}  // namespace xtape::test
