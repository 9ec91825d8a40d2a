#pragma once
// The first place of each tensor in a list.

#include <xtape/tensor.hpp>

#include <algorithm>
#include <span>
#include <vector>

namespace xtape::detail {

// Places of a list at which a tensor stands that stood at none before, in rising order. In the pool's memory: gradients
// are clipped in every step.
class DistinctPlaces {
 public:
  template <class T> explicit DistinctPlaces(const std::vector<Tensor<T>>& tensors) {
    struct Place {
      const TensorImpl* of;
      std::size_t index;
    };
    if (tensors.empty()) return;
    const Handle<Storage> memory = Storage::make(tensors.size() * sizeof(Place));
    const std::span places(static_cast<Place*>(memory->data()), tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) places[i] = {tensors[i].impl().get(), i};
    std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
      return a.of != b.of ? std::less<>{}(a.of, b.of) : a.index < b.index;
    });
    const auto last =
        std::unique(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.of == b.of; });
    const auto count = static_cast<std::size_t>(last - places.begin());
    storage_ = Storage::make(count * sizeof(std::size_t));
    indices_ = {static_cast<std::size_t*>(storage_->data()), count};
    std::transform(places.begin(), last, indices_.begin(), [](const Place& place) { return place.index; });
    std::sort(indices_.begin(), indices_.end());
  }
  auto begin() const noexcept { return indices_.begin(); }
  auto end() const noexcept { return indices_.end(); }
  std::size_t size() const noexcept { return indices_.size(); }

 private:
  Handle<Storage> storage_;
  std::span<std::size_t> indices_;
};

}  // namespace xtape::detail
