// Rows of the ops on axes: their order and number, cutting them, spanning grids; and of the change of element type.
#include <xtape/ops/cast.hpp>
#include <xtape/ops/shape.hpp>

#include <algorithm>

#include "op_table_reference.hpp"

namespace xtape::test {
namespace {

// The part of an axis from `start` on.
Reference part(std::size_t axis, std::size_t start, std::size_t length) {
  return [=](const Arrays& x) {
    Shape shape = x[0].shape;
    shape[axis] = length;
    return tabulate(shape, [&](Index i) {
      i[axis] += start;
      std::size_t flat = 0;
      for (std::size_t d = 0; d < i.size(); ++d) flat = flat * x[0].shape[d] + i[d];
      return x[0].values[flat];
    });
  };
}

// Results of more tensors than one: the one that a case looks at.
template <class F> Case pick(F f, std::size_t k, Reference reference, std::vector<std::vector<Shape>> shapes) {
  return {[f, k](const auto& x) { return f(x)[k]; }, std::move(reference), std::move(shapes)};
}

// Vector k, along an axis of a grid.
Reference along_grid(std::size_t k, std::vector<std::size_t> vector_of_axis) {
  return [=](const Arrays& x) {
    Shape grid;
    std::size_t axis = 0;
    for (std::size_t d = 0; d < vector_of_axis.size(); ++d) {
      grid.push_back(x[vector_of_axis[d]].values.size());
      if (vector_of_axis[d] == k) axis = d;
    }
    return tabulate(grid, [&](const Index& i) { return x[k].values[i[axis]]; });
  };
}

}  // namespace

std::vector<Row> axes_rows() {
  const auto second_first = [](const Index& i) { return Index{i[1], i[0]}; };
  return {
      {.name = "moveaxis",
       .cases = {{[](const auto& x) { return moveaxis(x[0], 0, -1); },
                  moved({3, 4, 2},
                        [](const Index& i) {
                          return Index{i[2], i[0], i[1]};
                        }),
                  {{{2, 3, 4}}}},
                 {[](const auto& x) {
                    return moveaxis(x[0], {0, 1}, {-1, -2});
                  },
                  moved({4, 3, 2},
                        [](const Index& i) {
                          return Index{i[2], i[1], i[0]};
                        }),
                  {{{2, 3, 4}}}},
                 {[](const auto& x) {
                    return moveaxis(x[0], {3, 0}, {0, 2});
                  },
                  moved({2, 3, 1, 4},
                        [](const Index& i) {
                          return Index{i[2], i[1], i[3], i[0]};
                        }),
                  {{{1, 3, 4, 2}}}},
                 {[](const auto& x) { return moveaxis(x[0], Axes{}, Axes{}); }, reshaped({2, 3}), {{{2, 3}}}},
                 {[](const auto& x) { return moveaxis(x[0], Axes{}, Axes{}); }, reshaped({}), {{{}}}}},
       .flags = linear,
       .records = {"transpose"},
       .refused = {{[](const auto& x) {
                      return moveaxis(x[0], {0, 1}, 0);
                    },
                    {{2, 3}}},
                   {[](const auto& x) { return moveaxis(x[0], 0, 2); }, {{2, 3}}},
                   {[](const auto& x) { return moveaxis(x[0], -3, 0); }, {{2, 3}}},
                   {[](const auto& x) {
                      return moveaxis(x[0], {0, -2}, {0, 1});
                    },
                    {{2, 3}}},
                   {[](const auto& x) {
                      return moveaxis(x[0], {0, 1}, {1, 1});
                    },
                    {{2, 3}}}}},
      {.name = "swapaxes",
       .cases = {{[](const auto& x) { return swapaxes(x[0], 0, 1); }, moved({3, 2}, second_first), {{{2, 3}}}},
                 {[](const auto& x) { return swapaxes(x[0], 0, -1); },
                  moved({4, 3, 2},
                        [](const Index& i) {
                          return Index{i[2], i[1], i[0]};
                        }),
                  {{{2, 3, 4}}}},
                 {[](const auto& x) { return swapaxes(x[0], -1, -1); }, reshaped({2, 3}), {{{2, 3}}}},
                 {[](const auto& x) { return swapaxes(x[0], 0, 1); }, reshaped({3, 0}), {{{0, 3}}}}},
       .flags = linear,
       .records = {"transpose"},
       .refused = {{[](const auto& x) { return swapaxes(x[0], 0, 2); }, {{2, 3}}},
                   {[](const auto& x) { return swapaxes(x[0], 0, 0); }, {{}}}}},
      {.name = "atleast_1d",
       .cases = {{[](const auto& x) { return atleast_1d(x[0]); }, reshaped({1}), {{{}}}},
                 {[](const auto& x) { return atleast_1d(x[0]); }, reshaped({2, 3}), {{{2, 3}}}}},
       .flags = linear,
       .records = {"reshape"}},
      {.name = "atleast_2d",
       .cases = {{[](const auto& x) { return atleast_2d(x[0]); }, reshaped({1, 1}), {{{}}}},
                 {[](const auto& x) { return atleast_2d(x[0]); }, reshaped({1, 3}), {{{3}}}},
                 {[](const auto& x) { return atleast_2d(x[0]); }, reshaped({2, 3, 1}), {{{2, 3, 1}}}}},
       .flags = linear,
       .records = {"reshape"}},
      {.name = "atleast_3d",
       .cases = {{[](const auto& x) { return atleast_3d(x[0]); }, reshaped({1, 1, 1}), {{{}}}},
                 {[](const auto& x) { return atleast_3d(x[0]); }, reshaped({1, 3, 1}), {{{3}}}},
                 {[](const auto& x) { return atleast_3d(x[0]); }, reshaped({2, 3, 1}), {{{2, 3}}}},
                 {[](const auto& x) { return atleast_3d(x[0]); }, reshaped({2, 1, 2, 1}), {{{2, 1, 2, 1}}}}},
       .flags = linear,
       .records = {"reshape"}},
      {.name = "split",
       .cases = {pick([](const auto& x) { return split(x[0], 2); }, 1, part(0, 2, 2), {{{4}}, {{4, 3}}}),
                 pick([](const auto& x) { return split(x[0], 3, -1); }, 1, part(1, 1, 1), {{{2, 3}}}),
                 pick(
                     [](const auto& x) {
                       return split(x[0], {1, 0, 3}, 1);
                     },
                     2, part(1, 1, 3), {{{2, 4, 2}}}),
                 pick(
                     [](const auto& x) {
                       return split(x[0], {1, 0, 3}, 1);
                     },
                     1, part(1, 1, 0), {{{2, 4, 2}}}),
                 pick([](const auto& x) { return split(x[0], {3}); }, 0, part(0, 0, 3), {{{3, 2}}}),
                 pick(
                     [](const auto& x) {
                       return split(x[0], std::vector<int>{2, 3});
                     },
                     0, part(0, 0, 2), {{{5}}}),
                 pick([](const auto& x) { return split(x[0], 3); }, 2, part(0, 0, 0), {{{0, 2}}}),
                 {[](const auto& x) {
                    const auto parts = split(x[0], {2, 1}, -1);
                    return concatenate<typename std::decay_t<decltype(x[0])>::value_type>({parts[1], parts[0]}, -1);
                  },
                  [](const Arrays& x) {
                    return tabulate(x[0].shape, [&](Index i) {
                      i.back() = (i.back() + 2) % 3;
                      return at(x[0], i);
                    });
                  },
                  {{{2, 3}}, {{3}}}}},
       .flags = linear,
       .records = {"slice", "concatenate"},
       .helpers = {"unslice"},
       .refused = {{[](const auto& x) { return split(x[0], 2)[0]; }, {{3, 2}}},
                   {[](const auto& x) { return split(x[0], 0)[0]; }, {{3, 2}}},
                   {[](const auto& x) { return split(x[0], -1)[0]; }, {{3, 2}}},
                   {[](const auto& x) {
                      return split(x[0], {2, 2})[0];
                    },
                    {{3, 2}}},
                   {[](const auto& x) { return split(x[0], {2})[0]; }, {{3, 2}}},
                   {[](const auto& x) {
                      return split(x[0], {-1, 4})[0];
                    },
                    {{3, 2}}},
                   {[](const auto& x) { return split(x[0], {})[0]; }, {{3, 2}}},
                   {[](const auto& x) { return split(x[0], 1, 2)[0]; }, {{3, 2}}},
                   {[](const auto& x) { return split(x[0], 1)[0]; }, {{}}}}},
      {.name = "unstack",
       .cases = {{[](const auto& x) {
                    auto parts = unstack(x[0]);
                    std::ranges::reverse(parts);
                    return stack(parts);
                  },
                  [](const Arrays& x) {
                    return tabulate(x[0].shape, [&](Index i) {
                      i[0] = x[0].shape[0] - 1 - i[0];
                      return at(x[0], i);
                    });
                  },
                  {{{2, 3}}, {{3}}, {{4, 0}}, {{2, 1, 2}}}},
                 {[](const auto& x) {
                    auto parts = unstack(x[0], -1);
                    if (!parts.empty()) parts.back() = parts.front();
                    return stack(parts, -1);
                  },
                  [](const Arrays& x) {
                    return tabulate(x[0].shape, [&](Index i) {
                      if (i.back() == x[0].shape.back() - 1) i.back() = 0;
                      return at(x[0], i);
                    });
                  },
                  {{{2, 3}}, {{3}}}}},
       .flags = linear,
       .records = {"slice", "concatenate", "reshape"},
       .helpers = {"unslice"},
       .refused = {{[](const auto& x) { return unstack(x[0], 2)[0]; }, {{3, 2}}},
                   {[](const auto& x) { return unstack(x[0])[0]; }, {{}}}}},
      {.name = "meshgrid",
       .cases = {pick([](const auto& x) { return meshgrid(x); }, 0, along_grid(0, {1, 0}), {{{2}, {3}}, {{}, {2}}}),
                 pick([](const auto& x) { return meshgrid(x); }, 1, along_grid(1, {1, 0, 2}), {{{2}, {3}, {2}}}),
                 pick([](const auto& x) { return meshgrid(x); }, 0, along_grid(0, {0}), {{{3}}}),
                 pick([](const auto& x) { return meshgrid(x, {.indexing = Indexing::ij}); }, 1, along_grid(1, {0, 1}),
                      {{{2}, {3}}, {{2}, {0}}}),
                 pick([](const auto& x) { return meshgrid(x, {.indexing = Indexing::ij}); }, 2,
                      along_grid(2, {0, 1, 2}), {{{2}, {1}, {3}}})},
       .flags = linear,
       .records = {"reshape", "broadcast_to"},
       .refused = {{[](const auto& x) { return meshgrid(x)[0]; }, {{2}, {2, 3}}, {{2, 3}}}}},
      {.name = "broadcast_tensors",
       .cases =
           {pick([](const auto& x) { return broadcast_tensors(x); }, 0,
                 [](const Arrays& x) { return tabulate(joined_shape(x), [&](const Index& i) { return at(x[0], i); }); },
                 {{{3, 1}, {2}}, {{}, {2, 3}}, {{2}, {2}, {1, 1}}, {{1}, {0}}}),
            pick([](const auto& x) { return broadcast_tensors(x); }, 2,
                 [](const Arrays& x) { return tabulate(joined_shape(x), [&](const Index& i) { return at(x[2], i); }); },
                 {{{3, 1}, {2}, {2, 1, 1}}})},
       .flags = linear,
       .records = {"broadcast_to"},
       .refused = {{[](const auto& x) { return broadcast_tensors(x)[0]; }, {{2}, {3}}}}},
      {.name = "cast",
       .cases = {{[]<class T>(const Tensors<T>& x) { return cast<T>(cast<float>(cast<double>(x[0]))); },
                  each([](Real v) { return v; }),
                  {{{2, 3}}, {{}}, {{1}}, {{0, 2}}}},
                 {[]<class T>(const Tensors<T>& x) { return cast<T>(x[0]); },
                  each([](Real v) { return v; }),
                  {{{2, 3}}, {{0, 2}}}}},
       .flags = elementwise | through_float},
  };
}

}  // namespace xtape::test
