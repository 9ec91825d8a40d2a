#pragma once
// Between the cases' floats and libtorch's tensors.

#include <torch/types.h>

#include "cases.hpp"

namespace bench {

inline torch::Tensor tensor(const Floats& values, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape).clone();
}
inline torch::Tensor parameter(const Floats& values, at::IntArrayRef shape) {
  return tensor(values, shape).requires_grad_();
}
inline torch::Tensor tensor(const bench::Labels& values) {
  return torch::from_blob(const_cast<std::int64_t*>(values.data()), {static_cast<std::int64_t>(values.size())},
                          torch::kInt64)
      .clone();
}
// Of a contiguous tensor.
inline std::span<const float> span(const torch::Tensor& values) {
  TORCH_CHECK(values.is_contiguous());
  return {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())};
}
inline Number digest(std::string name, const torch::Tensor& values) {
  return digest(std::move(name), span(values.detach().contiguous()));
}
inline std::int64_t extent(std::size_t n) { return static_cast<std::int64_t>(n); }

}  // namespace bench
