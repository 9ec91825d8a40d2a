// Rows of the reductions and of the softmax family.
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/softmax.hpp>

#include "op_table_reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace xtape::test {
namespace {

// A reduction over all axes, one, neighbours, some apart, negative ones and none; with and without keepdims.
// f(x, axes, keepdims) is the op, `of_slice` its value on the elements reduced to one result.
template <class F, class R> std::vector<Case> reduction(F f, R of_slice) {
  const std::vector<std::pair<Axes, std::vector<std::vector<Shape>>>> settings{
      {all_axes, {{{2, 3}}, {{}}, {{1}}, {{37}}, {{2, 3, 4}}}},
      {0, {{{3, 2}}, {{5}}, {{37, 2}}, {{3, 0}}, {{1, 3}}}},
      {-1, {{{2, 3}}, {{2, 2, 5}}, {{0, 2}}, {{3, 1}}}},
      {1, {{{2, 3, 2}}, {{2, 3}}, {{1, 4, 1}}}},
      {{0, 2}, {{{2, 3, 4}}, {{3, 1, 2}}, {{2, 3, 2}}, {{2, 2, 3, 2}}}},
      {{-2, 0}, {{{3, 2, 2}}, {{2, 2, 2, 3}}}},
      {{0, -1}, {{{2, 3, 2, 2}}}},
      {{0, 1, 2}, {{{2, 3, 2}}}},
      {Axes{}, {{{2, 3}}, {{}}}},
  };
  std::vector<Case> cases;
  for (const auto& [axes, shapes] : settings)
    for (const bool keepdims : {false, true})
      cases.push_back({[f, axes = axes, keepdims](const auto& x) { return f(x[0], axes, keepdims); },
                       reduced(axes, keepdims, of_slice), shapes});
  return cases;
}

// Axes that no reduction may take.
template <class F> std::vector<Refused> refused_axes(F f) {
  return {{[f](const auto& x) { return f(x[0], 2, false); }, {{2, 3}}},
          {[f](const auto& x) {
             return f(x[0], {0, -3}, true);
           },
           {{2, 3}}},
          {[f](const auto& x) {
             return f(x[0], {1, -1}, false);
           },
           {{2, 3}}},
          {[f](const auto& x) { return f(x[0], 0, false); }, {{}}}};
}

template <class F> std::vector<Refused> refused_empty(F f) {
  std::vector<Refused> all = refused_axes(f);
  all.push_back({[f](const auto& x) { return f(x[0], all_axes, false); }, {{0}}});
  all.push_back({[f](const auto& x) { return f(x[0], 1, true); }, {{3, 0}}});
  return all;
}

std::vector<Real> softmax_of(const std::vector<Real>& v) {
  std::vector<Real> s;
  for (const Real e : v) s.push_back(std::exp(e - logsumexp_of(v)));
  return s;
}
std::vector<Real> log_softmax_of(const std::vector<Real>& v) {
  std::vector<Real> s;
  for (const Real e : v) s.push_back(e - logsumexp_of(v));
  return s;
}

template <class T> Tensor<T> to_tensor(const IndexArray& indices) { return Tensor<T>(indices); }

// A norm of the given order; its value on a slice.
template <class R>
Row norm_of_order(double order, std::vector<std::string> records, std::vector<std::string> helpers, R of_slice) {
  return {.name = fmt::format("norm of order {}", order),
          // The sizes do not tie, either.
          .domains = {{.low = -1.2, .high = 2.2, .kinks = {0.35}, .margin = 0.95}},
          .cases = reduction([order](const auto& x, const Axes& axes,
                                     bool keep) { return norm(x, axes, {.order = order, .keepdims = keep}); },
                             of_slice),
          .records = std::move(records),
          .helpers = std::move(helpers)};
}
auto power_sum(Real p) {
  return [p](const std::vector<Real>& v) -> Real {
    Real s = 0;
    for (const Real e : v) s += std::pow(std::abs(e), p);
    return v.empty() ? 0 : std::pow(s, 1 / p);
  };
}
auto size_extreme(bool greatest) {
  return [greatest](const std::vector<Real>& v) -> Real {
    Real best = v.empty() ? 0 : std::abs(v[0]);
    for (const Real e : v) best = greatest ? std::max(best, std::abs(e)) : std::min(best, std::abs(e));
    return best;
  };
}

// argmax or argmin, of which `best` is the place in a slice.
template <class F, class R> Row place_of_extreme(std::string name, F f, R best) {
  const auto place = [best](const auto& v) -> Real { return static_cast<Real>(best(v) - v.begin()); };
  return {.name = std::move(name),
          .cases = {{[f]<class T>(const Tensors<T>& x) { return to_tensor<T>(f(x[0], 1)); },
                     reduced(1, false, place),
                     {{{2, 3}}, {{2, 5, 3}}, {{0, 2}}}},
                    {[f]<class T>(const Tensors<T>& x) { return to_tensor<T>(f(x[0], -3)); },
                     reduced(0, false, place),
                     {{{4, 2, 3}}}},
                    {[f]<class T>(const Tensors<T>& x) { return Tensor<T>(static_cast<T>(f(x[0]))); },
                     reduced(all_axes, false, place),
                     {{{2, 3}}, {{}}, {{19}}}}},
          .flags = not_differentiable,
          .refused = {{[f]<class T>(const Tensors<T>& x) { return to_tensor<T>(f(x[0], 2)); }, {{2, 3}}},
                      {[f]<class T>(const Tensors<T>& x) { return to_tensor<T>(f(x[0], 1)); }, {{3, 0}}},
                      {[f]<class T>(const Tensors<T>& x) { return Tensor<T>(static_cast<T>(f(x[0]))); }, {{0, 2}}}}};
}

template <class F, class R> Row along_axis(std::string name, F f, R of_slice) {
  Row row{.name = std::move(name),
          .domains = {{.low = -3, .high = 3}},
          .cases = {{[f](const auto& x) { return f(x[0], -1); },
                     along(-1, of_slice),
                     {{{2, 3}}, {{5}}, {{1}}, {{2, 19}}, {{0, 3}}, {{2, 0}}}},
                    {[f](const auto& x) { return f(x[0], 0); }, along(0, of_slice), {{{3, 2}}, {{4}}, {{2, 2, 3}}}},
                    {[f](const auto& x) { return f(x[0], 1); }, along(1, of_slice), {{{2, 3, 2}}, {{2, 1}}}},
                    {[f](const auto& x) { return f(x[0], -2); }, along(-2, of_slice), {{{2, 3, 2, 2}}}}},
          .refused = {{[f](const auto& x) { return f(x[0], 2); }, {{2, 3}}},
                      {[f](const auto& x) { return f(x[0], -1); }, {{}}}}};
  // Each axis of each rank.
  const Shape longest{2, 3, 1, 2, 2};
  for (std::size_t rank = 1; rank <= longest.size(); ++rank) {
    Shape shape;
    for (std::size_t i = 0; i < rank; ++i) shape.push_back(longest[i]);
    for (std::size_t i = 0; i < rank; ++i) {
      const auto front = static_cast<std::ptrdiff_t>(i),
                 axis = i % 2 ? front : front - static_cast<std::ptrdiff_t>(rank);
      row.cases.push_back({[f, axis](const auto& x) { return f(x[0], axis); }, along(axis, of_slice), {{shape}}});
    }
  }
  return row;
}

}  // namespace

std::vector<Row> reduce_rows() {
  const auto sum_ = [](const auto& x, const Axes& axes, bool keep) { return sum(x, axes, {.keepdims = keep}); };
  const auto mean_ = [](const auto& x, const Axes& axes, bool keep) { return mean(x, axes, {.keepdims = keep}); };
  const auto max_ = [](const auto& x, const Axes& axes, bool keep) { return max(x, axes, {.keepdims = keep}); };
  const auto min_ = [](const auto& x, const Axes& axes, bool keep) { return min(x, axes, {.keepdims = keep}); };
  const auto norm_ = [](const auto& x, const Axes& axes, bool keep) { return norm(x, axes, {.keepdims = keep}); };
  const auto logsumexp_ = [](const auto& x, const Axes& axes, bool keep) {
    return logsumexp(x, axes, {.keepdims = keep});
  };
  const auto variance = [](std::size_t ddof) {
    return
        [ddof](const auto& x, const Axes& axes, bool keep) { return var(x, axes, {.keepdims = keep, .ddof = ddof}); };
  };
  const auto variance_of = [](Real ddof) {
    return [ddof](const std::vector<Real>& v) -> Real {
      Real s = 0;
      for (const Real e : v) s += (e - mean_of(v)) * (e - mean_of(v));
      return s / (static_cast<Real>(v.size()) - ddof);
    };
  };

  constexpr double inf = std::numeric_limits<double>::infinity();
  const auto root_of = [](auto f) { return [f](const std::vector<Real>& v) { return std::sqrt(f(v)); }; };
  const auto prod_ = [](const auto& x, const Axes& axes, bool keep) { return prod(x, axes, {.keepdims = keep}); };
  const auto stddev_ = [](std::size_t ddof) {
    return [ddof](const auto& x, const Axes& axes, bool keep) {
      return stddev(x, axes, {.keepdims = keep, .ddof = ddof});
    };
  };

  // The row without the shapes of so many elements.
  const auto without = [](Row row, auto unwanted) {
    for (Case& which : row.cases)
      std::erase_if(which.shapes, [=](const std::vector<Shape>& s) { return unwanted(s[0].elements()); });
    std::erase_if(row.cases, [](const Case& which) { return which.shapes.empty(); });
    return row;
  };
  const auto nothing = [](std::size_t elements) { return elements == 0; };

  std::vector<Row> rows{
      {.name = "sum",
       .domains = {{.low = -1, .high = 3}},  // evenly spread about 0 the samples would cancel
       .cases = reduction(sum_, sum_of),
       .flags = linear,
       .records = {"sum", "reshape"},
       .refused = refused_axes(sum_)},
      {.name = "mean",
       .domains = {{.low = -1, .high = 3}},
       .cases = reduction(mean_, mean_of),
       .flags = linear,
       .records = {"mean"},
       .refused = refused_axes(mean_)},
      {.name = "max",
       .cases = reduction(max_, [](const auto& v) { return *std::ranges::max_element(v); }),
       .records = {"max", "transpose"},
       .helpers = {"scatter_flat", "gather_flat"},
       .refused = refused_empty(max_)},
      {.name = "min",
       .cases = reduction(min_, [](const auto& v) { return *std::ranges::min_element(v); }),
       .records = {"min", "transpose"},
       .helpers = {"scatter_flat", "gather_flat"},
       .refused = refused_empty(min_)},
      {.name = "logsumexp",
       .cases = reduction(logsumexp_, logsumexp_of),
       .records = {"logsumexp", "transpose"},
       .refused = refused_axes(logsumexp_)},
      // A small range: the rounding of the variance is what differences by the elements near the mean show.
      {.name = "var",
       .domains = {{.low = -0.5, .high = 0.5}},
       .cases = reduction(variance(0), variance_of(0)),
       .refused = refused_axes(variance(1))},
      {.name = "norm",
       .domains = {{.low = -2, .high = 2, .kinks = {0}, .margin = 0.2}},
       .cases = reduction(norm_,
                          [](const std::vector<Real>& v) -> Real {
                            Real s = 0;
                            for (const Real e : v) s += e * e;
                            return std::sqrt(s);
                          }),
       .refused = refused_axes(norm_)},
      norm_of_order(1, {"abs", "sum", "reshape"}, {}, power_sum(1)),
      norm_of_order(inf, {"abs", "max", "sum", "transpose"}, {"scatter_flat", "gather_flat"}, size_extreme(true)),
      norm_of_order(0, {"norm"}, {}, [](const std::vector<Real>& v) { return static_cast<Real>(v.size()); }),
      norm_of_order(3, {"norm", "sum"}, {}, power_sum(3)),
      norm_of_order(1.5, {"norm", "sum"}, {}, power_sum(1.5L)),
      norm_of_order(0.75, {"norm", "sum"}, {}, power_sum(0.75L)),
      // Of nothing, orders below 0 make no sense.
      without(norm_of_order(-1.5, {"norm"}, {}, power_sum(-1.5L)), nothing),
      without(norm_of_order(-inf, {"abs", "min", "transpose"}, {"scatter_flat", "gather_flat"}, size_extreme(false)),
              nothing),
      // Of so many factors differences are not exact enough.
      without(Row{.name = "prod",
                  .domains = {{.low = -1.6, .high = 1.6, .kinks = {0}, .margin = 0.8}},
                  .cases = reduction(prod_,
                                     [](const std::vector<Real>& v) {
                                       Real p = 1;
                                       for (const Real e : v) p *= e;
                                       return p;
                                     }),
                  .records = {"prod", "transpose"},
                  .helpers = {"shift"},
                  .refused = refused_axes(prod_)},
              [](std::size_t elements) { return elements >= 24; }),
      {.name = "stddev",
       .domains = {{.low = -4, .high = 4}},
       .cases = reduction(stddev_(0), root_of(variance_of(0))),
       .records = {"stddev"},
       .refused = refused_axes(stddev_(1))},
      place_of_extreme(
          "argmax", [](const auto& x, auto... axis) { return argmax(x, axis...); },
          [](const auto& v) { return std::ranges::max_element(v); }),
      place_of_extreme(
          "argmin", [](const auto& x, auto... axis) { return argmin(x, axis...); },
          [](const auto& v) { return std::ranges::min_element(v); }),
      along_axis(
          "softmax", [](const auto& x, std::ptrdiff_t axis) { return softmax(x, axis); }, softmax_of),
      along_axis(
          "log_softmax", [](const auto& x, std::ptrdiff_t axis) { return log_softmax(x, axis); }, log_softmax_of),
  };
  for (Row& row : rows) {
    if (row.name == "var")
      row.cases.push_back({[](const auto& x) { return var(x[0], 0, {.ddof = 1}); },
                           reduced(0, false, variance_of(1)),
                           {{{3, 2}}, {{4}}}});
    if (row.name == "stddev")
      row.cases.push_back({[](const auto& x) { return stddev(x[0], 0, {.ddof = 1}); },
                           reduced(0, false, root_of(variance_of(1))),
                           {{{3, 2}}, {{4}}}});
  }
  return rows;
}

}  // namespace xtape::test
