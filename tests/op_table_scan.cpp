// Rows of the running results along an axis.
#include <xtape/ops/scan.hpp>

#include "op_table_reference.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

using Slice = std::vector<Real>;

const std::vector<std::pair<std::ptrdiff_t, std::vector<Shape>>> settings{
    {0, {{5}, {1}, {0}, {37}, {3, 2}, {3, 0}, {2, 3, 2}}},
    {-1, {{2, 3}, {2, 2, 4}, {0, 3}, {3, 1}}},
    {1, {{2, 4, 3}, {2, 3}, {1, 2, 2, 2}}},
    {-2, {{2, 3, 2}, {3, 2}}},
};

// y_i = f(y_(i-1), x_i), with f(0 or 1, x_0) = x_0.
template <class F> auto running(F f, bool reverse) {
  return [=](Slice v) {
    if (reverse) std::ranges::reverse(v);
    for (std::size_t i = 1; i < v.size(); ++i) v[i] = f(v[i - 1], v[i]);
    if (reverse) std::ranges::reverse(v);
    return v;
  };
}

template <class F, class R> Row scan(std::string name, unsigned flags, std::vector<std::string> helpers, F f, R step) {
  Row row{.name = std::move(name),
          .domains = {{.low = -1.2, .high = 1.6, .kinks = {0}, .margin = 0.5}},
          .flags = flags,
          .helpers = std::move(helpers),
          .refused = {{[f](const auto& x) { return f(x[0], 2, {}); }, {{2, 3}}},
                      {[f](const auto& x) { return f(x[0], -3, {.reverse = true}); }, {{2, 3}}},
                      {[f](const auto& x) { return f(x[0], 0, {}); }, {{}}}}};
  for (const auto& [axis, shapes] : settings)
    for (const bool reverse : {false, true}) {
      Case which{[f, axis = axis, reverse](const auto& x) { return f(x[0], axis, {.reverse = reverse}); },
                 along(axis, running(step, reverse)),
                 {}};
      for (const Shape& shape : shapes) which.shapes.push_back({shape});
      row.cases.push_back(which);
    }
  return row;
}

Reference recurrence_of(std::ptrdiff_t axis, bool reverse) {
  return [=](const Arrays& x) {
    const std::size_t along = from_front(axis, x[0].shape), n = x[0].shape[along];
    return tabulate(x[0].shape, [&](Index i) {
      const std::size_t last = i[along];
      Real y = 0;
      for (std::size_t k = 0; k <= (reverse ? n - 1 - last : last); ++k) {
        i[along] = reverse ? n - 1 - k : k;
        y = at(x[0], i) * y + at(x[1], i);
      }
      return y;
    });
  };
}

Row recurrence_row() {
  Row row{.name = "recurrence",
          .helpers = {"shift"},
          .refused = {{[](const auto& x) { return recurrence(x[0], x[1], 0); }, {{2, 3}, {3}}},
                      {[](const auto& x) { return recurrence(x[0], x[1], 2); }, {{2, 3}, {2, 3}}},
                      {[](const auto& x) { return recurrence(x[0], x[1], 0); }, {{}, {}}}}};
  for (const auto& [axis, shapes] : settings)
    for (const bool reverse : {false, true}) {
      Case which{[axis = axis, reverse](const auto& x) { return recurrence(x[0], x[1], axis, {.reverse = reverse}); },
                 recurrence_of(axis, reverse),
                 {}};
      for (const Shape& shape : shapes)
        if (shape.elements() < 30) which.shapes.push_back({shape, shape});
      row.cases.push_back(which);
    }
  return row;
}

}  // namespace

std::vector<Row> scan_rows() {
  return {
      scan(
          "cumsum", linear, {},
          [](const auto& x, std::ptrdiff_t axis, const ScanOptions& options) { return cumsum(x, axis, options); },
          [](Real y, Real x) { return y + x; }),
      scan(
          "cumprod", none, {"shift"},
          [](const auto& x, std::ptrdiff_t axis, const ScanOptions& options) { return cumprod(x, axis, options); },
          [](Real y, Real x) { return y * x; }),
      recurrence_row(),
  };
}

}  // namespace xtape::test
