#include <xtape/ops/cast.hpp>

#include "common.hpp"

#include <algorithm>

namespace xtape {

template <class To, class T> Tensor<To> cast(const Tensor<T>& x) {
  if constexpr (std::is_same_v<To, T>) {
    return detail::unchanged("cast", x);
  } else {
    Tensor<To> y = Tensor<To>::uninitialised(x.shape());
    std::ranges::transform(x.span(), y.mutable_data(), [](T value) { return static_cast<To>(value); });
    return record("cast", std::move(y), {x}, [](const Tensor<To>& dy) { return Gradients(cast<T>(dy)); });
  }
}

#define XTAPE_CAST(T)                               \
  template Tensor<T> cast<T>(const Tensor<float>&); \
  template Tensor<T> cast<T>(const Tensor<double>&);
XTAPE_INSTANTIATE(XTAPE_CAST)

}  // namespace xtape
