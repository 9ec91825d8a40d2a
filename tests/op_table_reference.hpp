#pragma once
// What the rows' references are made of: plain loops over indices in long double. E, if not that, is an element
// that carries derivatives along.

#include "op_table.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>

namespace xtape::test {

using Index = std::vector<std::size_t>;

/// The array of f(index) over all indices of the shape.
template <class E = Real, class F> ArrayOf<E> tabulate(const Shape& shape, const F& f) {
  ArrayOf<E> result{shape, {}};
  const std::size_t size = shape.elements();
  Index index(shape.size());
  for (std::size_t i = 0; i < size; ++i) {
    result.values.push_back(f(index));
    for (std::size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
  }
  return result;
}

/// x[index], broadcast: aligned at the last axis, extents of 1 repeated.
template <class E> E at(const ArrayOf<E>& x, const Index& index) {
  std::size_t flat = 0;
  const std::size_t skipped = index.size() - x.shape.size();
  for (std::size_t d = 0; d < x.shape.size(); ++d)
    flat = flat * x.shape[d] + (x.shape[d] == 1 ? 0 : index[skipped + d]);
  return x.values[flat];
}

inline Real at(const Array& x, const Index& index) { return at<Real>(x, index); }

/// The shape that arrays broadcast to.
template <class E> Shape joined_shape(const std::vector<ArrayOf<E>>& arrays) {
  Shape result;
  for (const auto& x : arrays)
    while (result.size() < x.shape.size()) result.push_back(1);
  for (const auto& x : arrays)
    for (std::size_t d = 0; d < x.shape.size(); ++d)
      if (x.shape[d] != 1) result[result.size() - x.shape.size() + d] = x.shape[d];
  return result;
}

inline Shape joined_shape(const Arrays& arrays) { return joined_shape<Real>(arrays); }

/// f elementwise over one to three arrays, broadcast together.
template <class E = Real, class F> ReferenceOf<E> each(F f) {
  return [f](const std::vector<ArrayOf<E>>& x) {
    return tabulate<E>(joined_shape(x), [&](const Index& i) -> E {
      if constexpr (std::invocable<F, E>)
        return f(at(x[0], i));
      else if constexpr (std::invocable<F, E, E>)
        return f(at(x[0], i), at(x[1], i));
      else
        return f(at(x[0], i), at(x[1], i), at(x[2], i));
    });
  };
}

inline std::size_t from_front(std::ptrdiff_t axis, const Shape& shape) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::ptrdiff_t>(shape.size()) : axis);
}

/// True if the axis is one of `axes`.
inline bool contains(const Axes& axes, std::size_t axis, const Shape& shape) {
  for (const std::ptrdiff_t a : axes)
    if (from_front(a, shape) == axis) return true;
  return axes.is_all();
}

/// f(slice) for each slice of x along `axes`, its elements in row-major order.
template <class E = Real, class F> ReferenceOf<E> reduced(const Axes& axes, bool keepdims, F f) {
  return [=](const std::vector<ArrayOf<E>>& x) {
    const Shape& in = x[0].shape;
    Shape slots, kept, slice;  // slots: the kept extents, 1 where reduced; slice: the other way round
    for (std::size_t d = 0; d < in.size(); ++d) {
      const bool gone = contains(axes, d, in);
      slots.push_back(gone ? 1 : in[d]);
      slice.push_back(gone ? in[d] : 1);
      if (!gone || keepdims) kept.push_back(gone ? 1 : in[d]);
    }
    auto result = tabulate<E>(slots, [&](const Index& slot) -> E {
      const auto values = tabulate<E>(slice, [&](Index i) {
        for (std::size_t d = 0; d < i.size(); ++d) i[d] += slot[d];
        return at(x[0], i);
      });
      return f(values.values);
    });
    result.shape = kept;
    return result;
  };
}

/// f(slice) along one axis, for an f that gives as many elements as it gets.
template <class E = Real, class F> ReferenceOf<E> along(std::ptrdiff_t axis, F f) {
  return [=](const std::vector<ArrayOf<E>>& x) {
    const std::size_t a = from_front(axis, x[0].shape);
    return tabulate<E>(x[0].shape, [&](Index i) -> E {
      const std::size_t place = i[a];
      std::vector<E> slice;
      for (i[a] = 0; i[a] < x[0].shape[a]; ++i[a]) slice.push_back(at(x[0], i));
      return f(slice)[place];
    });
  };
}

/// y[i] = x[source(i)], with y of a given shape.
template <class E = Real, class F> ReferenceOf<E> moved(const Shape& shape, F source) {
  return [=](const std::vector<ArrayOf<E>>& x) {
    return tabulate<E>(shape, [&](const Index& i) { return at(x[0], source(i)); });
  };
}

/// The same elements under another shape.
template <class E = Real> ReferenceOf<E> reshaped(const Shape& shape) {
  return [=](const std::vector<ArrayOf<E>>& x) { return ArrayOf<E>{shape, x[0].values}; };
}

// Of a slice. Written for exactness, not speed.
inline constexpr auto sum_of = []<class E>(const std::vector<E>& v) {
  E s = 0;
  for (const E& e : v) s += e;
  return s;
};
inline constexpr auto mean_of = []<class E>(const std::vector<E>& v) {
  return sum_of(v) / static_cast<Real>(v.size());
};
inline constexpr auto logsumexp_of = []<class E>(const std::vector<E>& v) {
  using std::exp, std::log;
  E s = 0;
  if constexpr (std::is_same_v<E, Real>) {  // numbers of any size
    Real most = v.empty() ? 0 : v[0];
    for (const Real e : v) most = std::max(most, e);
    for (const Real e : v) s += exp(e - most);
    return most + log(s);
  } else {
    for (const E& e : v) s += exp(e);
    return log(s);
  }
};
/// log(1 + e^x)
inline Real log1p_exp(Real x) { return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace xtape::test
