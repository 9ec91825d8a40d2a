// Reductions, softmax.
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
Jet norm_of(const Slice& v) {
  Jet s = 0;
  for (const Jet& x : v) s += x * x;
  // The norm has a kink at 0, and large derivatives near it; it is 0 all along a line of zeros.
  if (s == Jet(0)) return 0;
  if (s.value < 1e-6) nearest_kink = 0;
  return sqrt(s);
}

std::size_t reduced_elements(const Shape& shape, const Axes& axes) {
  std::size_t n = 1;
  for (std::size_t d = 0; d < shape.size(); ++d)
    if (contains(axes, d, shape)) n *= shape[d];
  return n;
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
  Entry variance{
      "var", [](Draw& draw) -> std::optional<Step> {
        const std::size_t x = draw.any();
        const Axes axes = draw.axes(draw.shape(x).size());
        const VarianceOptions options{.keepdims = draw.flag(), .ddof = draw.choice(2)};
        if (reduced_elements(draw.shape(x), axes) <= options.ddof) return {};
        return step(
            {x},
            fmt::format("var({}, {}, {{.keepdims = {}, .ddof = {}}})", Draw::name(x), draw.text(axes), options.keepdims,
                        options.ddof),
            [=](const auto& t) { return var(t[0], axes, options); },
            reduced<Jet>(axes, options.keepdims, [d = options.ddof](const Slice& v) { return variance_of(v, d); }));
      }};
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
          "norm", 0, [](const auto& x, const Axes& a, bool keep) { return norm(x, a, {.keepdims = keep}); }, norm_of),
      std::move(variance),
      softmax_like(
          "softmax", [](const auto& x, std::ptrdiff_t axis) { return softmax(x, axis); }, softmax_of),
      softmax_like(
          "log_softmax", [](const auto& x, std::ptrdiff_t axis) { return log_softmax(x, axis); }, log_softmax_of),
  };
}

}  // namespace xtape::test
