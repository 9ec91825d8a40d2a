#include <xtape/ops/cast.hpp>

#include "common.hpp"

#include <algorithm>

namespace xtape {
namespace {

// Each element as the nearest number of another type.
template <class To, class T> struct Cast {
  using value_type = To;
  static constexpr OpTraits traits{.name = "cast", .kind = Kind::elementwise | Kind::linear};
  const Shape& shape(const Tensor<T>& x) const { return x.shape(); }
  void evaluate(Fresh<To>& y, const Tensor<T>& x) const {
    std::ranges::transform(x.span(), y.data(), [](T value) { return static_cast<To>(value); });
  }
  Gradients pull(const Pull<To>& p) const { return Gradients(cast<T>(p.dy)); }
};

}  // namespace

template <class To, class T> Tensor<To> cast(const Tensor<T>& x) {
  if constexpr (std::is_same_v<To, T>)
    return detail::unchanged("cast", x);
  else
    return apply(Cast<To, T>{}, x);
}

#define XTAPE_CAST(T)                               \
  template Tensor<T> cast<T>(const Tensor<float>&); \
  template Tensor<T> cast<T>(const Tensor<double>&);
XTAPE_INSTANTIATE(XTAPE_CAST)

}  // namespace xtape
