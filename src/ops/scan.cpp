#include "scan.hpp"

#include <xtape/ops/arithmetic.hpp>

#include "../kernels/scan.hpp"
#include "reduce.hpp"

namespace xtape {
namespace {

// What a scan along an axis needs: the result's shape, which is the input's, and how the axis lies in it.
struct ScanPlan {
  const Shape& shape;
  detail::Group group;
};
template <class T> ScanPlan plan_scan(const char* op, const Tensor<T>& x, std::ptrdiff_t axis) {
  return {x.shape(), detail::group_of(op, x.shape(), axis, true)};
}

// y_i = x_0 + ... + x_i, or from the other end. Its transpose is the sum from the opposite end.
template <class T> struct Cumsum {
  using value_type = T;
  static constexpr OpTraits traits{.name = "cumsum", .kind = Kind::linear};
  std::ptrdiff_t axis;
  bool reverse;

  ScanPlan plan(const Tensor<T>& x) const { return plan_scan("cumsum", x, axis); }
  void evaluate(Fresh<T>& y, const ScanPlan& plan, const Tensor<T>& x) const {
    const detail::Group& group = plan.group;
    kernels::cumsum(x.data(), y.data(), group.outer, group.n, group.inner, reverse);
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(cumsum(p.dy, axis, {.reverse = !reverse})); }
};

// y_i = x_0 ... x_i, or from the other end.
template <class T> struct Cumprod {
  using value_type = T;
  static constexpr OpTraits traits{.name = "cumprod", .reads_result = true};
  std::ptrdiff_t axis;
  bool reverse;

  ScanPlan plan(const Tensor<T>& x) const { return plan_scan("cumprod", x, axis); }
  void evaluate(Fresh<T>& y, const ScanPlan& plan, const Tensor<T>& x) const {
    const detail::Group& group = plan.group;
    kernels::cumprod(x.data(), y.data(), group.outer, group.n, group.inner, reverse);
  }
  // y_i = x_i y_(i-1): the recurrence whose first y is x_0 = x_0 times 1.
  Gradients pull(const Pull<T>& p, const Tensor<T>& x) const {
    const Tensor<T> g = recurrence(detail::shift(x, axis, {.back = !reverse}), p.dy, axis, {.reverse = !reverse});
    return Gradients(g * detail::shift(p.y, axis, {.back = reverse, .fill = 1}));
  }
};

// y_i = a_i y_(i-1) + b_i, or from the other end. With g_i = dy_i + a_(i+1) g_(i+1), a recurrence too:
// da_i = g_i y_(i-1), db_i = g_i.
template <class T> struct Recurrence {
  using value_type = T;
  static constexpr OpTraits traits{.name = "recurrence", .reads_result = true};
  std::ptrdiff_t axis;
  bool reverse;

  ScanPlan plan(const Tensor<T>& a, const Tensor<T>& b) const {
    if (a.shape() != b.shape())
      throw ShapeError(fmt::format("recurrence: shapes {} and {} differ", to_string(a.shape()), to_string(b.shape())));
    return plan_scan("recurrence", a, axis);
  }
  void evaluate(Fresh<T>& y, const ScanPlan& plan, const Tensor<T>& a, const Tensor<T>& b) const {
    const detail::Group& group = plan.group;
    kernels::recurrence(a.data(), b.data(), y.data(), group.outer, group.n, group.inner, reverse);
  }
  static bool keeps(std::size_t input, std::uint64_t) { return input == 0; }
  Gradients pull(const Pull<T>& p, const Tensor<T>& a, const Tensor<T>&) const {
    const Tensor<T> g = recurrence(detail::shift(a, axis, {.back = !reverse}), p.dy, axis, {.reverse = !reverse});
    return p.gradients([&] { return g * detail::shift(p.y, axis, {.back = reverse}); }, [&] { return g; });
  }
};

// y_i = x_(i-1), or x_(i+1). `filled`: something else than 0 stands in the place that becomes free, so that the shift
// is not linear but affine.
template <class T, bool filled> struct Shift {
  using value_type = T;
  static constexpr OpTraits traits{.name = "shift", .kind = filled ? Kind::general : Kind::linear};
  std::ptrdiff_t axis;
  detail::ShiftOptions options;

  ScanPlan plan(const Tensor<T>& x) const { return plan_scan("shift", x, axis); }
  void evaluate(Fresh<T>& y, const ScanPlan& plan, const Tensor<T>& x) const {
    if (x.size() == 0) return;
    const detail::Group& group = plan.group;
    const std::size_t block = group.n * group.inner, moved = block - group.inner;
    for (std::size_t o = 0; o < group.outer; ++o) {
      const T* from = x.data() + o * block;
      T* to = y.data() + o * block;
      std::copy_n(from + (options.back ? group.inner : 0), moved, to + (options.back ? 0 : group.inner));
      std::fill_n(to + (options.back ? moved : 0), group.inner, static_cast<T>(options.fill));
    }
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(detail::shift(p.dy, axis, {.back = !options.back})); }
};

}  // namespace

template <class T> Tensor<T> cumsum(const Tensor<T>& x, std::ptrdiff_t axis, const ScanOptions& options) {
  return apply(Cumsum<T>{axis, options.reverse}, x);
}

template <class T> Tensor<T> cumprod(const Tensor<T>& x, std::ptrdiff_t axis, const ScanOptions& options) {
  return apply(Cumprod<T>{axis, options.reverse}, x);
}

template <class T>
Tensor<T> recurrence(const Tensor<T>& a, const Tensor<T>& b, std::ptrdiff_t axis, const ScanOptions& options) {
  return apply(Recurrence<T>{axis, options.reverse}, a, b);
}

template <class T> Tensor<T> detail::shift(const Tensor<T>& x, std::ptrdiff_t axis, const ShiftOptions& options) {
  return options.fill == 0 ? apply(Shift<T, false>{axis, options}, x) : apply(Shift<T, true>{axis, options}, x);
}

#define XTAPE_SCAN(T)                                                                                    \
  template Tensor<T> cumsum(const Tensor<T>&, std::ptrdiff_t, const ScanOptions&);                       \
  template Tensor<T> cumprod(const Tensor<T>&, std::ptrdiff_t, const ScanOptions&);                      \
  template Tensor<T> recurrence(const Tensor<T>&, const Tensor<T>&, std::ptrdiff_t, const ScanOptions&); \
  template Tensor<T> detail::shift(const Tensor<T>&, std::ptrdiff_t, const detail::ShiftOptions&);
XTAPE_INSTANTIATE(XTAPE_SCAN)

}  // namespace xtape
