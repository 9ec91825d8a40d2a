// Rows of the reductions and of the softmax family.
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/softmax.hpp>

#include "op_table_reference.hpp"

#include <algorithm>

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
      {{0, 2}, {{{2, 3, 4}}, {{3, 1, 2}}, {{2, 2, 3, 2}}}},
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

template <class F, class R> Row along_axis(std::string name, F f, R of_slice) {
  return {.name = std::move(name),
          .domains = {{.low = -3, .high = 3}},
          .cases = {{[f](const auto& x) { return f(x[0], -1); },
                     along(-1, of_slice),
                     {{{2, 3}}, {{5}}, {{1}}, {{2, 19}}, {{0, 3}}, {{2, 0}}}},
                    {[f](const auto& x) { return f(x[0], 0); }, along(0, of_slice), {{{3, 2}}, {{4}}, {{2, 2, 3}}}},
                    {[f](const auto& x) { return f(x[0], 1); }, along(1, of_slice), {{{2, 3, 2}}, {{2, 1}}}},
                    {[f](const auto& x) { return f(x[0], -2); }, along(-2, of_slice), {{{2, 3, 2, 2}}}}},
          .refused = {{[f](const auto& x) { return f(x[0], 2); }, {{2, 3}}},
                      {[f](const auto& x) { return f(x[0], -1); }, {{}}}}};
}

template <class T> Tensor<T> to_tensor(const IndexArray& indices) { return Tensor<T>(indices); }

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
       .records = {"sum", "reshape", "divide"},
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
      {.name = "var", .cases = reduction(variance(0), variance_of(0)), .refused = refused_axes(variance(1))},
      {.name = "norm",
       .domains = {{.low = -2, .high = 2, .kinks = {0}, .margin = 0.2}},
       .cases = reduction(norm_,
                          [](const std::vector<Real>& v) -> Real {
                            Real s = 0;
                            for (const Real e : v) s += e * e;
                            return std::sqrt(s);
                          }),
       .refused = refused_axes(norm_)},
      {.name = "argmax",
       .cases =
           {{[]<class T>(const Tensors<T>& x) { return to_tensor<T>(argmax(x[0], 1)); },
             reduced(1, false,
                     [](const auto& v) -> Real { return static_cast<Real>(std::ranges::max_element(v) - v.begin()); }),
             {{{2, 3}}, {{2, 5, 3}}, {{0, 2}}}},
            {[]<class T>(const Tensors<T>& x) { return to_tensor<T>(argmax(x[0], -3)); },
             reduced(0, false,
                     [](const auto& v) -> Real { return static_cast<Real>(std::ranges::max_element(v) - v.begin()); }),
             {{{4, 2, 3}}}},
            {[]<class T>(const Tensors<T>& x) { return Tensor<T>(static_cast<T>(argmax(x[0]))); },
             reduced(all_axes, false,
                     [](const auto& v) -> Real { return static_cast<Real>(std::ranges::max_element(v) - v.begin()); }),
             {{{2, 3}}, {{}}, {{19}}}}},
       .flags = not_differentiable,
       .refused = {{[]<class T>(const Tensors<T>& x) { return to_tensor<T>(argmax(x[0], 2)); }, {{2, 3}}},
                   {[]<class T>(const Tensors<T>& x) { return to_tensor<T>(argmax(x[0], 1)); }, {{3, 0}}},
                   {[]<class T>(const Tensors<T>& x) { return Tensor<T>(static_cast<T>(argmax(x[0]))); }, {{0, 2}}}}},
      along_axis(
          "softmax", [](const auto& x, std::ptrdiff_t axis) { return softmax(x, axis); }, softmax_of),
      along_axis(
          "log_softmax", [](const auto& x, std::ptrdiff_t axis) { return log_softmax(x, axis); }, log_softmax_of),
  };
  for (Row& row : rows)
    if (row.name == "var")
      row.cases.push_back({[](const auto& x) { return var(x[0], 0, {.ddof = 1}); },
                           reduced(0, false, variance_of(1)),
                           {{{3, 2}}, {{4}}}});
  return rows;
}

}  // namespace xtape::test
