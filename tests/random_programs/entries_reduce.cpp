// Reductions, softmax.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/softmax.hpp>

#include "program.hpp"

namespace xtape::test {
namespace {

using Slice = std::vector<Jet>;

Jet extreme_of(const Slice& v, bool greatest) {
  Jet best = v.at(0);
  for (const Jet& x : v) best = greatest ? larger(best, x) : smaller(best, x);
  return best;
}
Jet variance_of(const Slice& v, std::size_t ddof) {
  Jet s = 0;
  for (const Jet& x : v) s += (x - mean_of(v)) * (x - mean_of(v));
  return s / (v.size() - ddof);
}
// sqrt(s) of a sum of so many squares: it has a kink at 0, also all along a line of zeros, and large derivatives near
// it.
Jet root_of(const Jet& s, std::size_t squares) {
  if (s == Jet(0)) {
    if (squares > 1) nearest_kink = 0;
    return 0;
  }
  if (s.value < 1e-6) nearest_kink = 0;
  return sqrt(s);
}
Jet norm_of(const Slice& v, double p) {
  if (p == std::numeric_limits<double>::infinity() || p == -std::numeric_limits<double>::infinity()) {
    Slice sizes;
    for (const Jet& x : v) sizes.push_back(abs(x));
    return sizes.empty() ? Jet(0) : extreme_of(sizes, p > 0);
  }
  Jet s = 0;
  if (p == 2) {
    for (const Jet& x : v) s += x * x;
    return root_of(s, v.size());
  }
  for (const Jet& x : v) {
    const Jet size = abs(x);
    if (p == 0 || p == 1) {
      s += p == 1 ? size : Jet(size == Jet(0) ? 0 : 1);
    } else {
      // Next to 0 derivatives are large, of a high power for a low p.
      if (size.value < 1e-2) nearest_kink = 0;
      s += pow(size, static_cast<long double>(p));
    }
  }
  return p == 0 || p == 1 || v.empty() ? s : pow(s, 1 / static_cast<long double>(p));
}

std::size_t reduced_elements(const Shape& shape, const Axes& axes) {
  std::size_t n = 1;
  for (std::size_t d = 0; d < shape.size(); ++d)
    if (contains(axes, d, shape)) n *= shape[d];
  return n;
}

std::optional<Step> draw_variance(Draw& draw, bool root) {
  const std::size_t x = draw.any();
  const Axes axes = draw.axes(draw.shape(x).size());
  const VarianceOptions options{.keepdims = draw.flag(), .ddof = draw.choice(2)};
  if (reduced_elements(draw.shape(x), axes) <= options.ddof) return {};
  return step(
      {x},
      fmt::format("{}({}, {}, {{.keepdims = {}, .ddof = {}}})", root ? "stddev" : "var", Draw::name(x), draw.text(axes),
                  options.keepdims, options.ddof),
      [=](const auto& t) { return root ? stddev(t[0], axes, options) : var(t[0], axes, options); },
      reduced<Jet>(axes, options.keepdims, [=](const Slice& v) {
        const Jet variance = variance_of(v, options.ddof);
        return root ? root_of(variance, v.size()) : variance;
      }));
}

// Of the orders other than 2, 1, 0 and the infinite ones elements next to 0 are pushed away.
std::optional<Step> draw_norm(Draw& draw) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::size_t x = draw.any();
  const Axes axes = draw.axes(draw.shape(x).size());
  const bool keepdims = draw.flag();
  const double p = draw.of<double>({2, 1, 3, inf, 2, 1.5, -inf, 0, -1, 0.5});
  const bool pushed = p == 3 || p == 1.5 || p == -1 || p == 0.5;
  if (p < 0 && reduced_elements(draw.shape(x), axes) == 0) return {};
  return step(
      {x},
      fmt::format("norm({}, {}, {{.order = {}, .keepdims = {}}})",
                  fmt::format(fmt::runtime(pushed ? "{0} + 0.2 * sign({0} + 0.05)" : "{}"), Draw::name(x)),
                  draw.text(axes), p, keepdims),
      [=](const auto& t) {
        return norm(pushed ? t[0] + 0.2 * sign(t[0] + 0.05) : t[0], axes, {.order = p, .keepdims = keepdims});
      },
      [=](std::vector<Values> t) {
        if (pushed) t = {each<Jet>([](const Jet& v) { return less(v, -0.05) ? v - 0.2 : v + 0.2; })(t)};
        return reduced<Jet>(axes, keepdims, [p](const Slice& v) { return norm_of(v, p); })(t);
      });
}

// f(x, axes, options) with `least` elements or more to each result.
template <class F, class R> Entry reduction(const char* name, std::size_t least, F f, R reference) {
  return {
      name, [=](Draw& draw) -> std::optional<Step> {
        const std::size_t x = draw.any();
        const Axes axes = draw.axes(draw.shape(x).size());
        const bool keepdims = draw.flag();
        if (reduced_elements(draw.shape(x), axes) < least) return {};
        return step(
            {x},
            fmt::format("{}({}, {}{})", name, Draw::name(x), draw.text(axes), keepdims ? ", {.keepdims = true}" : ""),
            [f, axes, keepdims](const auto& t) { return f(t[0], axes, keepdims); },
            reduced<Jet>(axes, keepdims, reference));
      }};
}

template <class F, class R> Entry softmax_like(const char* name, F f, R of_slice) {
  return {name, [=](Draw& draw) -> std::optional<Step> {
            const std::size_t x = draw.matching([](const Shape& s) { return s.size() > 0; }, Shape{2, 3});
            const std::ptrdiff_t axis = draw.axis(draw.shape(x).size());
            return step(
                {x}, fmt::format("{}({}, {})", name, Draw::name(x), axis),
                [f, axis](const auto& t) { return f(t[0], axis); }, along<Jet>(axis, of_slice));
          }};
}

}  // namespace

std::vector<Entry> reduce_entries() {
  const auto softmax_of = [](const Slice& v) {
    Slice result;
    for (const Jet& x : v) result.push_back(exp(x) / exp(logsumexp_of(v)));
    return result;
  };
  const auto log_softmax_of = [](const Slice& v) {
    Slice result;
    for (const Jet& x : v) result.push_back(x - logsumexp_of(v));
    return result;
  };
  const auto prod_of = [](const Slice& v) {
    Jet product = 1;
    for (const Jet& x : v) product = product * x;
    return product;
  };
  return {
      reduction(
          "sum", 0, [](const auto& x, const Axes& a, bool keep) { return sum(x, a, {.keepdims = keep}); }, sum_of),
      reduction(
          "mean", 1, [](const auto& x, const Axes& a, bool keep) { return mean(x, a, {.keepdims = keep}); }, mean_of),
      reduction(
          "max", 1, [](const auto& x, const Axes& a, bool keep) { return max(x, a, {.keepdims = keep}); },
          [](const Slice& v) { return extreme_of(v, true); }),
      reduction(
          "min", 1, [](const auto& x, const Axes& a, bool keep) { return min(x, a, {.keepdims = keep}); },
          [](const Slice& v) { return extreme_of(v, false); }),
      reduction(
          "logsumexp", 1, [](const auto& x, const Axes& a, bool keep) { return logsumexp(x, a, {.keepdims = keep}); },
          logsumexp_of),
      reduction(
          "prod", 0, [](const auto& x, const Axes& a, bool keep) { return prod(x, a, {.keepdims = keep}); }, prod_of),
      {"norm", draw_norm},
      {"var", [](Draw& draw) { return draw_variance(draw, false); }},
      {"stddev", [](Draw& draw) { return draw_variance(draw, true); }},
      softmax_like(
          "softmax", [](const auto& x, std::ptrdiff_t axis) { return softmax(x, axis); }, softmax_of),
      softmax_like(
          "log_softmax", [](const auto& x, std::ptrdiff_t axis) { return log_softmax(x, axis); }, log_softmax_of),
  };
}

}  // namespace xtape::test
