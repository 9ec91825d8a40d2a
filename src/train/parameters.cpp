#include <xtape/parameters.hpp>

#include "distinct.hpp"

namespace xtape {

template <class T> std::vector<Tensor<T>> distinct(const std::vector<Tensor<T>>& tensors) {
  const detail::DistinctPlaces places(tensors);
  std::vector<Tensor<T>> result;
  result.reserve(places.size());
  for (const std::size_t i : places) result.push_back(tensors[i]);
  return result;
}

template <class T> std::size_t parameter_count(const std::vector<Tensor<T>>& parameters) {
  std::size_t count = 0;
  for (const std::size_t i : detail::DistinctPlaces(parameters)) count += parameters[i].size();
  return count;
}

template std::vector<Tensor<float>> distinct(const std::vector<Tensor<float>>&);
template std::vector<Tensor<double>> distinct(const std::vector<Tensor<double>>&);
template std::size_t parameter_count(const std::vector<Tensor<float>>&);
template std::size_t parameter_count(const std::vector<Tensor<double>>&);

}  // namespace xtape
