#include "hand_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace bench::hand {
namespace {

blasint as_int(std::size_t n) { return static_cast<blasint>(n); }

}  // namespace

void gemm(bool transpose_a, bool transpose_b, std::size_t m, std::size_t n, std::size_t k, const float* a,
          const float* b, float* c, float beta, float alpha) {
  cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
              as_int(m), as_int(n), as_int(k), alpha, a, as_int(transpose_a ? m : k), b, as_int(transpose_b ? k : n),
              beta, c, as_int(n));
}

void dense(std::size_t rows, std::size_t in, std::size_t out, const float* x, const float* w, float* y) {
  if (rows == 1)
    cblas_sgemv(CblasRowMajor, CblasTrans, as_int(in), as_int(out), 1.F, w, as_int(out), x, 1, 0.F, y, 1);
  else
    gemm(false, false, rows, out, in, x, w, y);
}

void dense_input_gradient(std::size_t rows, std::size_t in, std::size_t out, const float* dy, const float* w,
                          float* dx) {
  if (rows == 1)
    cblas_sgemv(CblasRowMajor, CblasNoTrans, as_int(in), as_int(out), 1.F, w, as_int(out), dy, 1, 0.F, dx, 1);
  else
    gemm(false, true, rows, in, out, dy, w, dx);
}

void dense_weight_gradient(std::size_t rows, std::size_t in, std::size_t out, const float* x, const float* dy,
                           float* dw) {
  if (rows > 1) return gemm(true, false, in, out, rows, x, dy, dw);
  for (std::size_t i = 0; i < in; ++i)
    for (std::size_t j = 0; j < out; ++j) dw[i * out + j] = x[i] * dy[j];
}

void bias_relu(std::size_t rows, std::size_t columns, float* y, const float* bias) {
  for (std::size_t i = 0; i < rows; ++i, y += columns)
    for (std::size_t j = 0; j < columns; ++j) y[j] = larger(y[j] + bias[j], 0.F);
}

void relu_gradient(std::size_t count, const float* y, float* dy) {
  for (std::size_t i = 0; i < count; ++i) dy[i] = y[i] > 0.F ? dy[i] : 0.F;
}

void column_sums(std::size_t rows, std::size_t columns, const float* x, float* out) {
  std::fill_n(out, columns, 0.F);
  for (std::size_t i = 0; i < rows; ++i, x += columns)
    for (std::size_t j = 0; j < columns; ++j) out[j] += x[j];
}

float cross_entropy(std::size_t rows, std::size_t classes, float* x, const float* bias, const std::int64_t* label) {
  float loss = 0.F;
  const float scale = 1.F / static_cast<float>(rows);
  for (std::size_t i = 0; i < rows; ++i, x += classes) {
    float largest = x[0] + bias[0], total = 0.F;
    for (std::size_t j = 0; j < classes; ++j) largest = larger(largest, x[j] += bias[j]);
    const float at_label = x[label[i]];
    for (std::size_t j = 0; j < classes; ++j) total += x[j] = std::exp(x[j] - largest);
    for (std::size_t j = 0; j < classes; ++j) x[j] *= scale / total;
    x[label[i]] -= scale;
    loss += std::log(total) + largest - at_label;
  }
  return loss * scale;
}

float cross_entropy_value(std::size_t rows, std::size_t classes, const float* x, const float* bias,
                          const std::int64_t* label) {
  float loss = 0.F;
  for (std::size_t i = 0; i < rows; ++i, x += classes) {
    float largest = x[0] + bias[0], total = 0.F;
    for (std::size_t j = 0; j < classes; ++j) largest = larger(largest, x[j] + bias[j]);
    for (std::size_t j = 0; j < classes; ++j) total += std::exp(x[j] + bias[j] - largest);
    loss += std::log(total) + largest - x[label[i]] - bias[label[i]];
  }
  return loss / static_cast<float>(rows);
}

void Weight::update(float learning_rate, float momentum) const {
  float *weight = w, *velocity = v;
  const float* gradient = g;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const float step = velocity[i] * momentum + gradient[i];
    velocity[i] = step;
    weight[i] -= learning_rate * step;
  }
}

Random::Random(std::uint64_t seed) {
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t lane = 0; lane < 8; ++lane)
      state_[i][lane] = static_cast<std::uint32_t>(labels(seed, 32, std::int64_t{1} << 24)[i * 8 + lane] * 255 + 1);
}

void Random::fill(float* out, std::size_t count) {
  Lanes a = state_[0], b = state_[1], c = state_[2], d = state_[3];
  for (std::size_t i = 0; i < count; i += 8) {
    // 23 random bits behind the point of a float in [1, 2)
    const Lanes bits = ((a + d) >> 9) | 0x3F800000U;
    float values[8];
    std::memcpy(values, &bits, sizeof values);
    for (std::size_t lane = 0; lane < 8; ++lane) out[i + lane] = values[lane] - 1.F;
    const Lanes t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >> 21);
  }
  state_[0] = a;
  state_[1] = b;
  state_[2] = c;
  state_[3] = d;
}

Convolution::Convolution(std::size_t channels, std::size_t side, std::size_t out_channels, std::size_t kernel,
                         std::size_t padding)
    : c_(channels),
      side_(side),
      o_(out_channels),
      k_(kernel),
      pad_(padding),
      out_(side + 2 * padding - kernel + 1),
      patches_(c_ * k_ * k_ * out_ * out_) {}

Convolution::Valid Convolution::valid(std::size_t p) const {
  return {p < pad_ ? pad_ - p : 0, std::min(out_, side_ + pad_ - p)};
}

void Convolution::patches(const float* image) const {
  float* to = patches_;
  for (std::size_t c = 0; c < c_; ++c, image += side_ * side_) {
    for (std::size_t p = 0; p < k_; ++p) {
      for (std::size_t q = 0; q < k_; ++q, to += out_ * out_) {
        const auto [row, last_row] = valid(p);
        const auto [column, last_column] = valid(q);
        if (pad_ > 0) std::fill_n(to, out_ * out_, 0.F);
        for (std::size_t i = row; i < last_row; ++i)
          std::copy_n(image + (i + p - pad_) * side_ + column + q - pad_, last_column - column, to + i * out_ + column);
      }
    }
  }
}

void Convolution::add_patches(float* image) const {
  const float* from = patches_;
  std::fill_n(image, c_ * side_ * side_, 0.F);
  for (std::size_t c = 0; c < c_; ++c, image += side_ * side_) {
    for (std::size_t p = 0; p < k_; ++p) {
      for (std::size_t q = 0; q < k_; ++q, from += out_ * out_) {
        const auto [row, last_row] = valid(p);
        const auto [column, last_column] = valid(q);
        for (std::size_t i = row; i < last_row; ++i) {
          float* to = image + (i + p - pad_) * side_ + q - pad_;
          for (std::size_t j = column; j < last_column; ++j) to[j] += from[i * out_ + j];
        }
      }
    }
  }
}

void Convolution::forward(std::size_t n, const float* x, const float* w, float* y) const {
  for (std::size_t i = 0; i < n; ++i, x += c_ * side_ * side_, y += o_ * out_ * out_) {
    patches(x);
    gemm(false, false, o_, out_ * out_, c_ * k_ * k_, w, patches_, y);
  }
}

void Convolution::weight_gradient(std::size_t n, const float* x, const float* dy, float* dw) const {
  for (std::size_t i = 0; i < n; ++i, x += c_ * side_ * side_, dy += o_ * out_ * out_) {
    patches(x);
    gemm(false, true, o_, c_ * k_ * k_, out_ * out_, dy, patches_, dw, i == 0 ? 0.F : 1.F);
  }
}

void Convolution::input_gradient(std::size_t n, const float* w, const float* dy, float* dx) const {
  for (std::size_t i = 0; i < n; ++i, dy += o_ * out_ * out_, dx += c_ * side_ * side_) {
    gemm(true, false, c_ * k_ * k_, out_ * out_, o_, w, dy, patches_);
    add_patches(dx);
  }
}

}  // namespace bench::hand
