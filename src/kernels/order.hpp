#pragma once
// The order of elements by size.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace xtape::kernels {

template <class T> struct Keyed {
  T value;
  std::uint32_t place;
};

struct Order {
  bool descending = false, nan_first = false;
};

// The places of n elements, `step` apart, brought into order in `work` (n of them); the first `count` are right.
template <class T>
void order_line(const T* in, std::size_t n, std::size_t step, std::size_t count, const Order& order, Keyed<T>* work) {
  std::size_t nans = 0;
  for (std::size_t i = 0; i < n; ++i) nans += std::isnan(in[i * step]);
  const std::size_t numbers = n - nans;
  // NaN apart, in the order given: what is left can be compared.
  Keyed<T>* number = work + (order.nan_first ? nans : 0);
  Keyed<T>* nan = work + (order.nan_first ? 0 : numbers);
  Keyed<T>* const first = number;
  for (std::size_t i = 0; i < n; ++i) {
    const T value = in[i * step];
    *(std::isnan(value) ? nan : number)++ = {value, static_cast<std::uint32_t>(i)};
  }
  const std::size_t before = order.nan_first ? nans : 0;
  const std::size_t wanted = std::min(numbers, count - std::min(count, before));
  const auto arrange = [&](auto smaller) {
    // No two compare equal: the order of equal values is that of their places.
    const auto less = [&](const Keyed<T>& a, const Keyed<T>& b) {
      return smaller(a.value, b.value) || (a.value == b.value && a.place < b.place);
    };
    if (wanted < numbers) std::nth_element(first, first + wanted, first + numbers, less);
    std::sort(first, first + wanted, less);
  };
  if (order.descending)
    arrange([](T a, T b) { return a > b; });
  else
    arrange([](T a, T b) { return a < b; });
}

}  // namespace xtape::kernels
