// Rows of the ops that move elements.
#include <xtape/ops/shape.hpp>

#include "op_table_reference.hpp"

namespace xtape::test {
namespace {

// The place that a NumPy index, which may be negative, has on an axis.
std::size_t wrapped(std::size_t extent, std::ptrdiff_t index) {
  return static_cast<std::size_t>(index < 0 ? index + static_cast<std::ptrdiff_t>(extent) : index);
}

// Arrays joined along an axis: element i of the axis comes from the array that i falls into.
Reference joined(std::size_t axis) {
  return [axis](const Arrays& x) {
    Shape shape = x[0].shape;
    shape[axis] = 0;
    for (const Array& part : x) shape[axis] += part.shape[axis];
    return tabulate(shape, [&](Index i) -> Real {
      std::size_t k = 0;
      for (; i[axis] >= x[k].shape[axis]; ++k) i[axis] -= x[k].shape[axis];
      return at({x[k].shape, x[k].values}, i);
    });
  };
}
// Arrays stacked along a new axis.
Reference stacked(std::size_t axis) {
  return [axis](const Arrays& x) {
    Shape shape;
    for (std::size_t d = 0; d <= x[0].shape.size(); ++d)
      shape.push_back(d == axis ? x.size() : x[0].shape[d < axis ? d : d - 1]);
    return tabulate(shape, [&](Index i) -> Real {
      const std::size_t k = i[axis];
      i.erase(i.begin() + static_cast<std::ptrdiff_t>(axis));
      return at(x[k], i);
    });
  };
}

}  // namespace

std::vector<Row> shape_rows() {
  const auto second_first_third = [](const Index& i) { return Index{i[1], i[0], i[2]}; };
  return {
      {.name = "reshape",
       .cases = {{[](const auto& x) {
                    return reshape(x[0], {3, 4});
                  },
                  reshaped({3, 4}),
                  {{{2, 6}}, {{12}}, {{2, 3, 2}}}},
                 {[](const auto& x) {
                    return reshape(x[0], {-1, 2});
                  },
                  reshaped({3, 2}),
                  {{{6}}, {{2, 3}}}},
                 {[](const auto& x) { return reshape(x[0], {}); }, reshaped({}), {{{1}}, {{1, 1}}, {{}}}},
                 {[](const auto& x) {
                    return reshape(x[0], {0, 5});
                  },
                  reshaped({0, 5}),
                  {{{3, 0}}}}},
       .flags = linear,
       .refused = {{[](const auto& x) { return reshape(x[0], {5}); }, {{2, 3}}},
                   {[](const auto& x) {
                      return reshape(x[0], {-1, 4});
                    },
                    {{2, 3}}},
                   {[](const auto& x) {
                      return reshape(x[0], {-1, -1});
                    },
                    {{2, 3}}},
                   {[](const auto& x) {
                      return reshape(x[0], {-2, -3});
                    },
                    {{2, 3}}},
                   {[](const auto& x) {
                      return reshape(x[0], {-1, 0});
                    },
                    {{0, 3}}}}},
      {.name = "flatten",
       .cases = {{[](const auto& x) { return flatten(x[0]); },
                  reshaped({2, 12}),
                  {{{2, 3, 4}}, {{2, 12}}, {{2, 3, 2, 2}}}},
                 {[](const auto& x) { return flatten(x[0], 0); }, reshaped({6}), {{{2, 3}}, {{6}}, {{3, 1, 2}}}},
                 {[](const auto& x) { return flatten(x[0], -2); }, reshaped({2, 6}), {{{2, 3, 2}}}},
                 {[](const auto& x) { return flatten(x[0]); }, reshaped({0, 6}), {{{0, 3, 2}}}},
                 {[](const auto& x) { return flatten(x[0]); }, reshaped({1}), {{{}}}}},
       .flags = linear,
       .records = {"reshape"},
       .refused = {{[](const auto& x) { return flatten(x[0], 2); }, {{2, 3}}},
                   {[](const auto& x) { return flatten(x[0]); }, {{3}}},
                   {[](const auto& x) { return flatten(x[0], 2); }, {{}}}}},
      {.name = "squeeze",
       .cases = {{[](const auto& x) { return squeeze(x[0]); }, reshaped({2, 3}), {{{1, 2, 1, 3, 1}}, {{2, 3}}}},
                 {[](const auto& x) { return squeeze(x[0]); }, reshaped({}), {{{1, 1}}, {{}}}},
                 {[](const auto& x) {
                    return squeeze(x[0], {0, -1});
                  },
                  reshaped({1, 4}),
                  {{{1, 1, 4, 1}}}},
                 {[](const auto& x) { return squeeze(x[0], 1); }, reshaped({3, 2}), {{{3, 1, 2}}}}},
       .flags = linear,
       .records = {"reshape"},
       .refused = {{[](const auto& x) { return squeeze(x[0], 1); }, {{1, 3}}},
                   {[](const auto& x) { return squeeze(x[0], 2); }, {{1, 3}}}}},
      {.name = "expand_dims",
       .cases = {{[](const auto& x) { return expand_dims(x[0], 0); }, reshaped({1, 2, 3}), {{{2, 3}}}},
                 {[](const auto& x) { return expand_dims(x[0], 1); }, reshaped({2, 1, 3}), {{{2, 3}}}},
                 {[](const auto& x) { return expand_dims(x[0], -1); }, reshaped({2, 3, 1}), {{{2, 3}}}},
                 {[](const auto& x) { return expand_dims(x[0], -2); }, reshaped({2, 1, 3}), {{{2, 3}}}},
                 {[](const auto& x) { return expand_dims(x[0], 0); }, reshaped({1}), {{{}}}}},
       .flags = linear,
       .records = {"reshape"},
       .refused = {{[](const auto& x) { return expand_dims(x[0], 3); }, {{2, 3}}},
                   {[](const auto& x) { return expand_dims(x[0], -4); }, {{2, 3}}}}},
      {.name = "transpose",
       .cases = {{[](const auto& x) { return transpose(x[0]); },
                  moved({3, 2},
                        [](const Index& i) {
                          return Index{i[1], i[0]};
                        }),
                  {{{2, 3}}}},
                 {[](const auto& x) { return transpose(x[0]); },
                  moved({4, 3, 2},
                        [](const Index& i) {
                          return Index{i[2], i[1], i[0]};
                        }),
                  {{{2, 3, 4}}}},
                 {[](const auto& x) { return transpose(x[0]); }, reshaped({5}), {{{5}}}},
                 {[](const auto& x) { return transpose(x[0]); }, reshaped({}), {{{}}}},
                 {[](const auto& x) { return transpose(x[0]); }, reshaped({3, 0}), {{{0, 3}}}},
                 {[](const auto& x) {
                    return transpose(x[0], {2, 0, 1});
                  },
                  moved({4, 2, 3},
                        [](const Index& i) {
                          return Index{i[1], i[2], i[0]};
                        }),
                  {{{2, 3, 4}}}},
                 {[](const auto& x) {
                    return transpose(x[0], {0, -1, 1});
                  },
                  moved({2, 19, 3},
                        [](const Index& i) {
                          return Index{i[0], i[2], i[1]};
                        }),
                  {{{2, 3, 19}}}},
                 {[](const auto& x) {
                    return transpose(x[0], {3, 1, 0, 2});
                  },
                  moved({3, 2, 2, 2},
                        [](const Index& i) {
                          return Index{i[2], i[1], i[3], i[0]};
                        }),
                  {{{2, 2, 2, 3}}}}},
       .flags = linear,
       .refused = {{[](const auto& x) {
                      return transpose(x[0], {0, 0});
                    },
                    {{2, 3}}},
                   {[](const auto& x) { return transpose(x[0], {0}); }, {{2, 3}}},
                   {[](const auto& x) {
                      return transpose(x[0], {0, 2});
                    },
                    {{2, 3}}}}},
      {.name = "permute",
       .cases = {{[](const auto& x) {
                    return permute(x[0], {1, 0, 2});
                  },
                  moved({3, 2, 4}, second_first_third),
                  {{{2, 3, 4}}}}},
       .flags = linear,
       .records = {"transpose"}},
      {.name = "broadcast_to",
       .cases = {{[](const auto& x) {
                    return broadcast_to(x[0], {2, 3, 4});
                  },
                  [](const Arrays& x) {
                    return tabulate({2, 3, 4}, [&](const Index& i) { return at(x[0], i); });
                  },
                  {{{3, 1}}, {{}}, {{4}}, {{2, 1, 4}}, {{1}}, {{2, 3, 4}}}},
                 {[](const auto& x) {
                    return broadcast_to(x[0], {2, 0});
                  },
                  [](const Arrays&) {
                    return Array{{2, 0}, {}};
                  },
                  {{{1}}, {{2, 1}}, {{0}}}}},
       .flags = linear,
       .refused = {{[](const auto& x) {
                      return broadcast_to(x[0], {2, 4});
                    },
                    {{3}}},
                   {[](const auto& x) { return broadcast_to(x[0], {1}); }, {{3}}},
                   {[](const auto& x) { return broadcast_to(x[0], {3}); }, {{1, 3}}},
                   {[](const auto& x) {
                      return broadcast_to(x[0], {std::size_t{1} << 40, std::size_t{1} << 40, 2});
                    },
                    {{2}}},
                   {[](const auto& x) {
                      return broadcast_to(x[0], {std::size_t{1} << 40, std::size_t{1} << 40, 0});
                    },
                    {{0}}}}},
      {.name = "concatenate",
       .cases = {{[](const auto& x) { return concatenate(x); },
                  joined(0),
                  {{{2, 3}, {1, 3}}, {{2}, {3}, {1}, {4}, {2}}, {{2, 2}}, {{0, 3}, {2, 3}}}},
                 {[](const auto& x) { return concatenate(x, -1); }, joined(1), {{{2, 3}, {2, 1}, {2, 0}, {2, 2}}}},
                 {[](const auto& x) { return concatenate(x, 1); }, joined(1), {{{2, 1, 2}, {2, 3, 2}}}}},
       .flags = linear,
       .refused = {{[](const auto& x) { return concatenate(x); }, {{2, 3}, {2, 4}}},
                   {[](const auto& x) { return concatenate(x, 1); }, {{2, 3}, {2}}},
                   {[](const auto& x) { return concatenate(x, 2); }, {{2, 3}, {2, 3}}},
                   {[](const auto& x) { return concatenate(x); }, {{}, {}}},
                   {[](const auto& x) { return concatenate(x); }, {}}}},
      {.name = "stack",
       .cases = {{[](const auto& x) { return stack(x); }, stacked(0), {{{2, 3}, {2, 3}}, {{}, {}, {}}, {{2}}}},
                 {[](const auto& x) { return stack(x, 1); }, stacked(1), {{{2, 3}, {2, 3}, {2, 3}}}},
                 {[](const auto& x) { return stack(x, -1); }, stacked(2), {{{2, 3}, {2, 3}}}}},
       .flags = linear,
       .records = {"reshape", "concatenate"},
       .refused = {{[](const auto& x) { return stack(x); }, {{2, 3}, {2, 4}}},
                   {[](const auto& x) { return stack(x, 3); }, {{2, 3}, {2, 3}}},
                   {[](const auto& x) { return stack(x); }, {}}}},
      {.name = "slice",
       .cases = {{[](const auto& x) { return slice(x[0], {range(1, 3)}); },
                  moved({2, 3},
                        [](const Index& i) {
                          return Index{i[0] + 1, i[1]};
                        }),
                  {{{4, 3}}}},
                 {[](const auto& x) {
                    return slice(x[0], {all(), range(0, 5, 2)});
                  },
                  moved({2, 3},
                        [](const Index& i) {
                          return Index{i[0], 2 * i[1]};
                        }),
                  {{{2, 5}}, {{2, 6}}}},
                 {[](const auto& x) {
                    return slice(x[0], {range(-2, Range::open), range(Range::open, Range::open, -1)});
                  },
                  moved({2, 5},
                        [](const Index& i) {
                          return Index{i[0] + 2, 4 - i[1]};
                        }),
                  {{{4, 5}}}},
                 {[](const auto& x) {
                    return slice(x[0], {range(4, 0, -2), range(-100, 100)});
                  },
                  moved({2, 3},
                        [](const Index& i) {
                          return Index{4 - 2 * i[0], i[1]};
                        }),
                  {{{5, 3}}}},
                 {[](const auto& x) { return slice(x[0], {1}); },
                  moved({2, 2},
                        [](const Index& i) {
                          return Index{1, i[0], i[1]};
                        }),
                  {{{3, 2, 2}}}},
                 {[](const auto& x) {
                    return slice(x[0], {all(), -1, range(1, -1)});
                  },
                  moved({2, 2},
                        [](const Index& i) {
                          return Index{i[0], wrapped(3, -1), i[1] + 1};
                        }),
                  {{{2, 3, 4}}}},
                 {[](const auto& x) {
                    return slice(x[0], {0, -2});
                  },
                  moved({},
                        [](const Index&) {
                          return Index{0, wrapped(3, -2)};
                        }),
                  {{{2, 3}}}},
                 {[](const auto& x) { return slice(x[0], {range(2, 1)}); },
                  [](const Arrays&) {
                    return Array{{0, 3}, {}};
                  },
                  {{{4, 3}}, {{0, 3}}}},
                 {[](const auto& x) {
                    return slice(x[0], {all(), range(3, 3)});
                  },
                  [](const Arrays&) {
                    return Array{{2, 0}, {}};
                  },
                  {{{2, 3}}}},
                 {[](const auto& x) { return slice(x[0], {}); }, reshaped({}), {{{}}}}},
       .flags = linear,
       .helpers = {"unslice"},
       .refused = {{[](const auto& x) {
                      return slice(x[0], {all(), all()});
                    },
                    {{3}}},
                   {[](const auto& x) { return slice(x[0], {2}); }, {{2, 3}}},
                   {[](const auto& x) {
                      return slice(x[0], {all(), -4});
                    },
                    {{2, 3}}},
                   {[](const auto& x) { return slice(x[0], {range(0, 2, 0)}); }, {{2, 3}}}}},
  };
}

}  // namespace xtape::test
