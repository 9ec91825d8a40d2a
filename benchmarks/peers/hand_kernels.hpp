#pragma once
// What one writes without a library of tensors: OpenBLAS, and loops that the compiler turns into vectors.

#include <cblas.h>

#include <algorithm>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "cases.hpp"

namespace bench::hand {

// Floats that begin on a cache line, allocated once.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : values_(allocate(size)), size_(size) {}
  Buffer(const Floats& from) : Buffer(from.size()) { std::copy(from.begin(), from.end(), data()); }
  float* data() const { return values_.get(); }
  operator float*() const { return data(); }
  std::size_t size() const { return size_; }
  std::span<const float> span() const { return {data(), size_}; }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(float* values) const { ::operator delete[](values, alignment); }
  };
  static std::unique_ptr<float[], Free> allocate(std::size_t size) {
    std::unique_ptr<float[], Free> values(static_cast<float*>(::operator new[](size * sizeof(float), alignment)));
    std::fill_n(values.get(), size, 0.F);
    return values;
  }
  std::unique_ptr<float[], Free> values_;
  std::size_t size_ = 0;
};

// std::max takes references, which GCC 12 does not always see through.
inline float larger(float a, float b) { return a > b ? a : b; }

// C = alpha op(A) op(B) + beta C, row-major without gaps. C: (m, n), k the inner extent.
void gemm(bool transpose_a, bool transpose_b, std::size_t m, std::size_t n, std::size_t k, const float* a,
          const float* b, float* c, float beta = 0.F, float alpha = 1.F);
// Y = X W, by GEMV for a single row. X: (rows, in), W: (in, out)
void dense(std::size_t rows, std::size_t in, std::size_t out, const float* x, const float* w, float* y);
// dX = dY W^T
void dense_input_gradient(std::size_t rows, std::size_t in, std::size_t out, const float* dy, const float* w,
                          float* dx);
// dW = X^T dY
void dense_weight_gradient(std::size_t rows, std::size_t in, std::size_t out, const float* x, const float* dy,
                           float* dw);

// y = relu(y + bias), row by row
void bias_relu(std::size_t rows, std::size_t columns, float* y, const float* bias);
// dy = 0 where y is
void relu_gradient(std::size_t count, const float* y, float* dy);
// out_j = sum_i x_ij
void column_sums(std::size_t rows, std::size_t columns, const float* x, float* out);
// x + bias becomes the gradient of the mean cross-entropy, which is returned.
float cross_entropy(std::size_t rows, std::size_t classes, float* x, const float* bias, const std::int64_t* label);
// The same without the gradient.
float cross_entropy_value(std::size_t rows, std::size_t classes, const float* x, const float* bias,
                          const std::int64_t* label);

// A weight, its gradient and its velocity.
struct Weight {
  Weight(const Floats& values) : w(values), g(values.size()), v(values.size()) {}
  Buffer w, g, v;
  // v = momentum v + g, w -= learning_rate v, in one pass
  void update(float learning_rate, float momentum) const;
};

// Eight generators xoshiro128+ (Blackman & Vigna 2018) side by side.
class Random {
 public:
  explicit Random(std::uint64_t seed);
  // Uniform on [0, 1). Writes up to the next multiple of 8.
  void fill(float* out, std::size_t count);

 private:
  using Lanes = std::uint32_t __attribute__((vector_size(32)));
  Lanes state_[4];
};

// (n, c, side, side) * (o, c, kernel, kernel) by patches of one image at a time and GEMM.
class Convolution {
 public:
  Convolution(std::size_t channels, std::size_t side, std::size_t out_channels, std::size_t kernel,
              std::size_t padding);
  void forward(std::size_t n, const float* x, const float* w, float* y) const;
  void weight_gradient(std::size_t n, const float* x, const float* dy, float* dw) const;
  void input_gradient(std::size_t n, const float* w, const float* dy, float* dx) const;

 private:
  // The rows of output for which row + p is inside the image, for an offset p of the kernel.
  struct Valid {
    std::size_t first, last;
  };
  Valid valid(std::size_t p) const;
  void patches(const float* image) const;
  void add_patches(float* image) const;
  std::size_t c_, side_, o_, k_, pad_, out_;
  Buffer patches_;  // (c k k, out out)
};

}  // namespace bench::hand
