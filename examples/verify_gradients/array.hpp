#pragma once
// Numbers with indices that start at 1, so that the loops below read like the formulas on paper.

#include <xtape/tensor.hpp>

#include <array>
#include <concepts>
#include <span>
#include <stdexcept>
#include <vector>

namespace derivation {

template <std::size_t rank> class Array {
 public:
  Array() = default;
  template <std::same_as<int>... I>
  requires(sizeof...(I) == rank) explicit Array(I... extents) : extents_{extents...} {
    std::size_t size = 1;
    for (const int extent : extents_) size *= static_cast<std::size_t>(extent);
    values_.resize(size);
  }

  // a(1), m(2, 3), y(1, 2, 3). Throws std::out_of_range beyond 1 ... extent.
  template <std::same_as<int>... I>
  requires(sizeof...(I) == rank) double& operator()(I... index) { return values_[offset({index...})]; }
  template <std::same_as<int>... I>
  requires(sizeof...(I) == rank) double operator()(I... index) const { return values_[offset({index...})]; }

  int extent(std::size_t axis) const { return extents_[axis]; }
  int size() const { return static_cast<int>(values_.size()); }
  // All of them, the last index running fastest.
  std::vector<double>& values() { return values_; }
  const std::vector<double>& values() const { return values_; }

 private:
  std::size_t offset(const std::array<int, rank>& index) const {
    std::size_t result = 0;
    for (std::size_t axis = 0; axis < rank; ++axis) {
      if (index[axis] < 1 || index[axis] > extents_[axis]) throw std::out_of_range("index outside 1 ... extent");
      result = result * static_cast<std::size_t>(extents_[axis]) + static_cast<std::size_t>(index[axis] - 1);
    }
    return result;
  }

  std::array<int, rank> extents_{};
  std::vector<double> values_;
};

using Vector = Array<1>;  // v(i)
using Matrix = Array<2>;  // a(i, j)
using Maps = Array<3>;    // y(c, m, n): element (m, n) of map c; w(c, p, q): of kernel c

// The same numbers for the tape.
template <std::size_t rank> xtape::Tensor<double> to_tensor(const Array<rank>& a, const xtape::Shape& shape) {
  return {shape, std::span<const double>(a.values())};
}

}  // namespace derivation
