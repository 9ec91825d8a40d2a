// Rows of the ops that pick and order elements.
#include <xtape/ops/index.hpp>
#include <xtape/ops/sort.hpp>

#include "op_table_reference.hpp"

#include <algorithm>
#include <numeric>

namespace xtape::test {
namespace {

using List = xt::xarray<int>;

std::size_t from_front(int index, std::size_t extent) {
  return static_cast<std::size_t>(index < 0 ? index + static_cast<int>(extent) : index);
}
std::size_t flat_of(const Index& i, const Shape& shape) {
  std::size_t flat = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) flat = flat * shape[d] + i[d];
  return flat;
}

Reference gathered(const List& list, std::size_t axis) {
  return [=](const Arrays& x) {
    const Shape shape(list.shape());
    return tabulate(shape, [&](Index i) {
      i[axis] = from_front(list.flat(flat_of(i, shape)), x[0].shape[axis]);
      return x[0].values[flat_of(i, x[0].shape)];
    });
  };
}
Reference scattered(const List& list, std::size_t axis) {
  return [=](const Arrays& x) {
    Array y = x[0];
    static_cast<void>(tabulate(x[1].shape, [&](Index i) -> Real {
      const Real source = x[1].values[flat_of(i, x[1].shape)];
      i[axis] = from_front(list.flat(flat_of(i, x[1].shape)), y.shape[axis]);
      y.values[flat_of(i, y.shape)] += source;
      return 0;
    }));
    return y;
  };
}
Reference selected(std::vector<int> list, std::size_t axis) {
  return [=](const Arrays& x) {
    Shape shape = x[0].shape;
    shape[axis] = list.size();
    return tabulate(shape, [&](Index i) {
      i[axis] = from_front(list[i[axis]], x[0].shape[axis]);
      return x[0].values[flat_of(i, x[0].shape)];
    });
  };
}
Reference added(std::vector<int> list, std::size_t axis) {
  return [=](const Arrays& x) {
    Array y = x[0];
    static_cast<void>(tabulate(x[1].shape, [&](Index i) -> Real {
      const Real source = x[1].values[flat_of(i, x[1].shape)];
      i[axis] = from_front(list[i[axis]], y.shape[axis]);
      y.values[flat_of(i, y.shape)] += source;
      return 0;
    }));
    return y;
  };
}

Case gather_case(const List& list, std::ptrdiff_t axis, std::size_t front, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return gather(x[0], list, axis); }, gathered(list, front), std::move(shapes)};
}
Case scatter_case(const List& list, std::ptrdiff_t axis, std::size_t front, std::vector<Shape> shapes) {
  const Shape source(list.shape());
  std::vector<std::vector<Shape>> both;
  for (const Shape& shape : shapes) both.push_back({shape, source});
  return {[=](const auto& x) { return scatter_add(x[0], list, x[1], axis); }, scattered(list, front), both};
}
Case select_case(std::vector<int> list, std::ptrdiff_t axis, std::size_t front,
                 std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return index_select(x[0], axis, list); }, selected(list, front), std::move(shapes)};
}
Case add_case(std::vector<int> list, std::ptrdiff_t axis, std::size_t front, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return index_add(x[0], axis, list, x[1]); }, added(list, front), std::move(shapes)};
}

// Which of n values come first, by an order that keeps equals as they are.
std::vector<std::size_t> order_of(const std::vector<Real>& v, bool descending) {
  std::vector<std::size_t> order(v.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return descending ? v[a] > v[b] : v[a] < v[b]; });
  return order;
}
Reference sorted(std::ptrdiff_t axis, bool descending) {
  return along(axis, [=](const std::vector<Real>& v) {
    std::vector<Real> result;
    for (const std::size_t i : order_of(v, descending)) result.push_back(v[i]);
    return result;
  });
}
Reference argsorted(std::ptrdiff_t axis, bool descending) {
  return along(axis, [=](const std::vector<Real>& v) {
    std::vector<Real> result;
    for (const std::size_t i : order_of(v, descending)) result.push_back(static_cast<Real>(i));
    return result;
  });
}
// The first k along an axis of what a reference gives.
Reference first(Reference all, std::size_t k, std::size_t axis) {
  return [=](const Arrays& x) {
    const Array y = all(x);
    Shape shape = y.shape;
    shape[axis] = k;
    return tabulate(shape, [&](const Index& i) { return y.values[flat_of(i, y.shape)]; });
  };
}

template <class T> Tensor<T> to_tensor(const IndexArray& indices) { return Tensor<T>(indices); }

const xt::xarray<bool> mask_row{true, false, true};
const xt::xarray<bool> mask_table{{false, true, true}, {true, false, false}};
const xt::xarray<bool> mask_column = [] {
  xt::xarray<bool> mask = xt::zeros<bool>({2, 1});
  mask(0, 0) = true;
  return mask;
}();
const xt::xarray<bool> mask_nothing{false};

Reference chosen(const xt::xarray<bool>& mask) {
  return [=](const Arrays& x) {
    const Array m{Shape(mask.shape()), std::vector<Real>(mask.begin(), mask.end())};
    Array y{{0}, {}};
    static_cast<void>(tabulate(x[0].shape, [&](const Index& i) -> Real {
      if (at(m, i) != 0) y.values.push_back(at(x[0], i));
      return 0;
    }));
    y.shape[0] = y.values.size();
    return y;
  };
}
Reference filled(const xt::xarray<bool>& mask, Real value) {
  return [=](const Arrays& x) {
    const Array m{Shape(mask.shape()), std::vector<Real>(mask.begin(), mask.end())};
    return tabulate(x[0].shape, [&](const Index& i) { return at(m, i) != 0 ? value : at(x[0], i); });
  };
}
Case mask_case(const xt::xarray<bool>& mask, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return masked_select(x[0], mask); }, chosen(mask), std::move(shapes)};
}
Case fill_case(const xt::xarray<bool>& mask, double value, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return masked_fill(x[0], mask, value); }, filled(mask, value), std::move(shapes)};
}

Case one_hot_case(const List& labels, std::size_t classes) {
  return {[=]<class T>(const Tensors<T>&) { return one_hot<T>(labels, classes); },
          [=](const Arrays&) {
            Shape shape(labels.shape());
            shape.push_back(classes);
            return tabulate(shape, [&](Index i) -> Real {
              const std::size_t c = i.back();
              i.pop_back();
              return labels.flat(flat_of(i, Shape(labels.shape()))) == static_cast<int>(c);
            });
          },
          {std::vector<Shape>{}}};
}

Row order_row(std::string name, unsigned flags, const std::function<Case(std::ptrdiff_t, bool)>& make) {
  Row row{.name = std::move(name), .flags = flags};
  for (const bool descending : {false, true}) {
    Case last = make(-1, descending), front = make(0, descending), middle = make(1, descending);
    last.shapes = {{{7}}, {{2, 5}}, {{1}}, {{0}}, {{2, 0}}, {{0, 2}}, {{33}}};
    front.shapes = {{{4, 3}}, {{3, 2, 2}}};
    middle.shapes = {{{2, 4, 3}}, {{2, 1, 2}}};
    for (Case* each : {&last, &front, &middle}) row.cases.push_back(std::move(*each));
  }
  return row;
}

std::vector<Row> order_rows() {
  Row sorts = order_row("sort", none, [](std::ptrdiff_t axis, bool descending) {
    return Case{
        [=](const auto& x) { return sort(x[0], axis, {.descending = descending}); }, sorted(axis, descending), {}};
  });
  sorts.records = {"gather_flat"};
  sorts.helpers = {"scatter_flat"};
  sorts.refused = {{[](const auto& x) { return sort(x[0]); }, {{}}},
                   {[](const auto& x) { return sort(x[0], 2); }, {{2, 3}}}};
  Row argsorts = order_row("argsort", not_differentiable, [](std::ptrdiff_t axis, bool descending) {
    return Case{
        [=]<class T>(const Tensors<T>& x) { return to_tensor<T>(argsort(x[0], axis, {.descending = descending})); },
        argsorted(axis, descending),
        {}};
  });
  argsorts.refused = {{[]<class T>(const Tensors<T>& x) { return to_tensor<T>(argsort(x[0], -3)); }, {{2, 3}}}};
  Row tops{
      .name = "topk",
      .cases = {{[](const auto& x) { return topk(x[0], 3).values; },
                 first(sorted(-1, true), 3, 0),
                 {{{7}}, {{3}}, {{40}}}},
                {[](const auto& x) { return topk(x[0], 2, 1).values; },
                 first(sorted(1, true), 2, 1),
                 {{{2, 4, 3}}, {{3, 2}}, {{2, 5}}, {{0, 3}}}},
                {[](const auto& x) { return topk(x[0], 2, 0, {.largest = false}).values; },
                 first(sorted(0, false), 2, 0),
                 {{{4, 3}}, {{5}}}},
                {[](const auto& x) { return topk(x[0], 0).values; }, first(sorted(-1, true), 0, 0), {{{3}}, {{0}}}},
                {[](const auto& x) { return topk(x[0], 1, -2).values; }, first(sorted(-2, true), 1, 0), {{{4, 3}}}}},
      .records = {"gather_flat"},
      .helpers = {"scatter_flat"},
      .refused = {{[](const auto& x) { return topk(x[0], 4).values; }, {{2, 3}}},
                  {[](const auto& x) { return topk(x[0], ~std::size_t{0}).values; }, {{2, 3}}},
                  {[](const auto& x) { return topk(x[0], 1, 2).values; }, {{2, 3}}},
                  {[](const auto& x) { return topk(x[0], 1).values; }, {{}}}}};
  return {std::move(sorts), std::move(argsorts), std::move(tops)};
}

}  // namespace

std::vector<Row> index_rows() {
  const List triple{2, 0, -1};
  const List by_row{{0, 2}, {-1, 1}}, by_column{{1, 0, 1}}, none_of_three = xt::zeros<int>({2, 0});
  const List deep{{{1, 0}, {0, 0}, {1, -1}}, {{-2, 1}, {1, 1}, {0, 0}}};  // (2, 3, 2), along any axis of extent 2
  std::vector<Row> rows{
      {.name = "gather",
       .cases = {gather_case(triple, 0, 0, {{{3}}, {{5}}}), gather_case(by_row, -1, 1, {{{2, 3}}, {{2, 4}}}),
                 gather_case(by_column, 0, 0, {{{2, 3}}, {{4, 3}}}),
                 gather_case(none_of_three, 1, 1, {{{2, 3}}, {{2, 0}}}), gather_case(deep, 2, 2, {{{2, 3, 2}}}),
                 gather_case(deep, 1, 1, {{{2, 2, 2}}})},
       .flags = linear,
       .records = {"gather_flat"},
       .helpers = {"scatter_flat"},
       .refused = {{[=](const auto& x) { return gather(x[0], by_row, 1); }, {{3, 3}}, {{3, 3}, {2, 2}}},
                   {[=](const auto& x) { return gather(x[0], triple, 1); }, {{2, 3}}, {{2, 3}, {3}}},
                   {[=](const auto& x) { return gather(x[0], triple, 1); }, {{3}}},
                   {[=](const auto& x) { return gather(x[0], triple, 0); }, {{}}}}},
      {.name = "scatter_add",
       .cases = {scatter_case(triple, 0, 0, {{3}, {5}}), scatter_case(by_row, -1, 1, {{2, 3}, {2, 4}}),
                 scatter_case(by_column, 0, 0, {{2, 3}, {4, 3}}), scatter_case(none_of_three, 1, 1, {{2, 3}, {2, 0}}),
                 scatter_case(deep, 0, 0, {{2, 3, 2}}), scatter_case(deep, 1, 1, {{2, 2, 2}})},
       .flags = linear,
       .helpers = {"gather_flat", "scatter_flat"},
       .refused = {{[=](const auto& x) { return scatter_add(x[0], triple, x[1], 0); }, {{3}, {2}}},
                   {[=](const auto& x) { return scatter_add(x[0], by_row, x[1], 0); }, {{2, 3}, {2, 2}}},
                   {[=](const auto& x) { return scatter_add(x[0], triple, x[1], 1); }, {{3}, {3}}, {{3}}}}},
      {.name = "index_select",
       .cases = {select_case({2, 0, -1, 2}, 0, 0, {{{3}}, {{4}}, {{3, 2}}, {{3, 0}}}),
                 select_case({1, 1, -2}, -1, 1, {{{2, 2}}, {{3, 4}}}), select_case({0, 2}, 1, 1, {{{2, 3, 2}}}),
                 select_case({}, 0, 0, {{{3, 2}}, {{0, 2}}})},
       .flags = linear,
       .helpers = {"add_slices"},
       .refused = {{[](const auto& x) { return index_select(x[0], 2, {0}); }, {{2, 3}}},
                   {[](const auto& x) { return index_select(x[0], 0, {0}); }, {{}}},
                   {[=](const auto& x) { return index_select(x[0], 0, by_row); }, {{2, 3}}, {{2, 2}}}}},
      {.name = "index_add",
       .cases = {add_case({2, 0, -1, 2}, 0, 0, {{{3}, {4}}, {{4}, {4}}, {{3, 2}, {4, 2}}}),
                 add_case({1, 1, -2}, -1, 1, {{{2, 2}, {2, 3}}}), add_case({0, 2}, 1, 1, {{{2, 3, 2}, {2, 2, 2}}}),
                 add_case({}, 0, 0, {{{3, 2}, {0, 2}}})},
       .flags = linear,
       .helpers = {"index_select"},
       .refused = {{[](const auto& x) { return index_add(x[0], 0, {0}, x[1]); }, {{2, 3}, {2, 3}}},
                   {[](const auto& x) {
                      return index_add(x[0], 1, {0, 1}, x[1]);
                    },
                    {{2, 3}, {3, 2}}},
                   {[](const auto& x) { return index_add(x[0], 2, {0}, x[1]); }, {{2, 3}, {1, 3}}, {{2, 3}}},
                   {[=](const auto& x) { return index_add(x[0], 0, by_row, x[1]); }, {{2, 3}, {2, 3}}, {{2, 2}}}}},
      {.name = "embedding",
       .cases = {{[](const auto& x) {
                    return embedding(x[0], {2, 0, 2, -1});
                  },
                  selected({2, 0, 2, -1}, 0),
                  {{{3, 2}}, {{4, 1}}, {{3, 0}}}},
                 {[=](const auto& x) { return embedding(x[0], by_row); },
                  [=](const Arrays& x) {
                    return tabulate({2, 2, 3}, [&](const Index& i) {
                      return at(x[0], {from_front(by_row(i[0], i[1]), x[0].shape[0]), i[2]});
                    });
                  },
                  {{{4, 3}}, {{3, 3}}}},
                 {[](const auto& x) { return embedding(x[0], xt::xarray<int>(1)); },
                  moved({2},
                        [](const Index& i) {
                          return Index{1, i[0]};
                        }),
                  {{{3, 2}}}},
                 {[=](const auto& x) { return embedding(x[0], none_of_three); },
                  [](const Arrays&) {
                    return Array{{2, 0, 3}, {}};
                  },
                  {{{2, 3}}, {{0, 3}}}}},
       .flags = linear,
       .records = {"index_select", "reshape"},
       .helpers = {"add_slices"},
       .refused = {{[](const auto& x) { return embedding(x[0], {0}); }, {{3}}},
                   {[](const auto& x) { return embedding(x[0], {0}); }, {{2, 2, 2}}},
                   {[](const auto& x) {
                      return embedding(x[0], xt::xarray<int>(xt::zeros<int>({1, 1, 1, 1, 1, 1, 1, 1})));
                    },
                    {{3, 2}}}}},
      {.name = "one_hot",
       .cases = {one_hot_case({2, 0, 1, 2}, 3), one_hot_case({0}, 1), one_hot_case({{0, 3}, {1, 1}}, 4),
                 one_hot_case(xt::xarray<int>(1), 2), one_hot_case(none_of_three, 3), one_hot_case(none_of_three, 0)},
       .flags = not_differentiable,
       .refused = {{[]<class T>(const Tensors<T>&) {
                      return one_hot<T>(xt::xarray<int>(xt::zeros<int>({1, 1, 1, 1, 1, 1, 1, 1})), 2);
                    },
                    {},
                    {{1, 1, 1, 1, 1, 1, 1, 1}}}}},
      {.name = "masked_select",
       .cases = {mask_case(mask_row, {{{3}}, {{2, 3}}, {{0, 3}}}),
                 mask_case(mask_table, {{{2, 3}}, {{2, 2, 3}}}),
                 mask_case(mask_column, {{{2, 2}}, {{2, 0}}}),
                 mask_case(mask_nothing, {{{4}}, {{2, 2}}}),
                 {[](const auto& x) { return masked_select(x[0], 1); }, reshaped({6}), {{{2, 3}}, {{6}}}},
                 {[](const auto& x) { return masked_select(x[0], 1); }, reshaped({1}), {{{}}}}},
       .flags = linear,
       .records = {"gather_flat"},
       .helpers = {"scatter_flat"},
       .refused = {{[](const auto& x) { return masked_select(x[0], mask_row); }, {{2}}, {{2}, {3}}},
                   {[](const auto& x) { return masked_select(x[0], mask_table); }, {{3}}, {{3}, {2, 3}}},
                   {[](const auto& x) { return masked_select(x[0], mask_row); }, {{1}}, {{1}, {3}}}}},
      {.name = "masked_fill",
       .cases = {fill_case(mask_row, 1.5, {{{3}}, {{2, 3}}, {{0, 3}}}),
                 fill_case(mask_table, -2, {{{2, 3}}, {{2, 2, 3}}}), fill_case(mask_column, 0, {{{2, 2}}, {{2, 0}}}),
                 fill_case(mask_nothing, 7, {{{4}}, {{2, 2}}})},
       .flags = linear,
       .records = {"where"},
       .refused = {{[](const auto& x) { return masked_fill(x[0], mask_row, 0); }, {{2}}, {{2}, {3}}},
                   {[](const auto& x) { return masked_fill(x[0], mask_table, 0); }, {{3}}, {{3}, {2, 3}}}}},
  };
  for (Row& row : order_rows()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace xtape::test
