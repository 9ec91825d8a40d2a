// Any ops on tensors of any shapes, with any axes and options: the bytes are the program.
#include <xtape/xtape.hpp>

#include <cmath>
#include <limits>
#include <type_traits>

#include "targets.hpp"

namespace xtape::fuzz {
namespace {

constexpr std::ptrdiff_t lowest = std::numeric_limits<std::ptrdiff_t>::min();
constexpr std::ptrdiff_t highest = std::numeric_limits<std::ptrdiff_t>::max();

// Takes the bytes one after the other, and zeros beyond the end.
class Source {
 public:
  explicit Source(Bytes bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::size_t byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t first = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return first;
  }
  bool flag() { return byte() % 2 != 0; }
  // Mostly small, of either sign; else one at the edge of what the type holds.
  std::ptrdiff_t number() {
    constexpr std::ptrdiff_t edges[] = {lowest,  lowest + 1,  -(std::ptrdiff_t{1} << 32), highest - 1,
                                        highest, highest / 2, std::ptrdiff_t{1} << 60,    std::ptrdiff_t{1} << 62};
    const std::size_t b = byte();
    return b < 224 ? static_cast<std::ptrdiff_t>(b % 14) - 5 : edges[b % 8];
  }
  // An extent, a stride or a padding: small, or too large for any memory.
  std::size_t extent() {
    const std::size_t b = byte();
    return b < 224 ? b % 6 : ~std::size_t{0} >> (b % 4);
  }
  double real() {
    constexpr double special[] = {0,      -0.0, 1,   -1,   0.5,      1e300,     -1e300,
                                  1e-310, 1e-8, 100, -100, INFINITY, -INFINITY, NAN};
    const std::size_t b = byte();
    return b < 192 ? (static_cast<double>(b) - 96) / 32 : special[b % std::size(special)];
  }
  Shape shape() {
    Shape result;
    for (std::size_t rank = byte() % 10; rank > 0; --rank) result.push_back(extent());
    return result;
  }
  Axes axes() {
    const std::size_t count = byte() % 11;
    if (count == 10) return all_axes;
    Axes result;
    for (std::size_t i = 0; i < count; ++i) result.push_back(number());
    return result;
  }
  Range range() { return {flag() ? number() : Range::open, flag() ? number() : Range::open, number()}; }
  SliceIndex index() { return flag() ? SliceIndex(range()) : SliceIndex(number()); }

 private:
  Bytes bytes_;
};

template <class T> class Program {
 public:
  explicit Program(Source& source) : from_(source) {}

  void run() {
    Tape tape;
    for (int step = 0; step < 12 && !from_.empty(); ++step) {
      try {
        keep(apply());
      } catch (const Error&) {
        // Refused; the program goes on with what it has.
      }
    }
    Tensor<T> total(T(0));
    for (const auto& x : pool_) total = total + sum(x);
    sweep(tape, total, 2);
  }

 private:
  static constexpr std::size_t largest = 256;

  void keep(Tensor<T> x) {
    if (!x.defined()) return;
    for (std::size_t i = 0; i < x.size(); ++i) static_cast<void>(std::isnan(x.data()[i]));  // reads every element
    if (x.size() <= largest) pool_.push_back(std::move(x));
  }
  // dy/dx for all leaves; then again, of the sum of the gradients.
  void sweep(Tape& tape, const Tensor<T>& y, int order) {
    if (order == 0 || leaves_.empty() || !y.requires_grad()) return;
    const auto gradients = tape.gradient(y, leaves_, {.create_graph = order > 1});
    Tensor<T> total(T(0));
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      if (gradients[i].shape() != leaves_[i].shape()) wrong("gradient: not of its input's shape");
      total = total + sum(gradients[i]);
    }
    sweep(tape, total, order - 1);
  }

  Tensor<T> leaf() {
    const Shape shape = from_.shape();
    if (shape.elements() > largest) return {};
    std::vector<T> values(shape.elements());
    for (T& value : values) value = static_cast<T>(from_.real());
    Tensor<T> x(shape, values);
    if (from_.flag()) return x;
    leaves_.push_back(parameter(x));
    return leaves_.back();
  }
  Tensor<T> any() {
    const std::size_t b = from_.byte();
    if (pool_.empty() || b > 250) {
      Tensor<T> x = leaf();
      if (!x.defined()) throw ShapeError("fuzz: no leaf of that size");
      return x;
    }
    return pool_[b % pool_.size()];
  }
  std::vector<Tensor<T>> some() {
    std::vector<Tensor<T>> tensors;
    for (std::size_t n = from_.byte() % 4; n > 0; --n) tensors.push_back(any());
    return tensors;
  }
  Pair pair() { return {from_.extent(), from_.extent()}; }
  Conv2dOptions conv() {
    const bool plain = from_.flag();
    return {.stride = pair(),
            .padding = pair(),
            .dilation = plain ? Pair(1) : pair(),
            .groups = plain ? 1 : from_.extent()};
  }
  Pool1dOptions pooling1d() { return {.window = from_.extent(), .stride = from_.extent(), .padding = from_.extent()}; }
  PoolOptions pooling() { return {.window = pair(), .stride = pair(), .padding = pair()}; }
  Labels labels() {
    std::vector<std::ptrdiff_t> list(from_.byte() % 6);
    for (auto& label : list) label = from_.number();
    return list;
  }

  Tensor<T> apply() {
    switch (from_.byte() % 20) {
      case 0: return leaf();
      case 1: return unary();
      case 2: return binary();
      case 3: return reduction();
      case 4: return moved();
      case 5: return sliced();
      case 6: return joined();
      case 7: return product();
      case 8: return convolved();
      case 9: return loss();
      case 10: return from_.flag() ? softmax(any(), from_.number()) : log_softmax(any(), from_.number());
      case 11: return pooled();
      case 12: return rearranged();
      case 13: return indexed();
      case 14: return ordered();
      case 15: return summed();
      case 16: return normalised();
      case 17: return solved();
      case 18: return factored();
      default: return other();
    }
  }
  Tensor<T> unary() {
    using F = Tensor<T> (*)(const Tensor<T>&);
    constexpr F functions[] = {
        square,   sqrt,  abs,  sign, exp,   expm1, log,        log1p, sin,  cos,   tanh,        sech_squared, sigmoid,
        softplus, relu,  gelu, silu, erf,   erfc,  tan,        asin,  acos, atan,  sinh,        cosh,         asinh,
        acosh,    atanh, exp2, log2, log10, cbrt,  reciprocal, floor, ceil, round, log_sigmoid, softsign};
    const std::size_t which = from_.byte() % (std::size(functions) + 4);
    const Tensor<T> x = any();
    if (which < std::size(functions)) return functions[which](x);
    switch (which - std::size(functions)) {
      case 0: return leaky_relu(x, from_.real());
      case 1: return elu(x, from_.real());
      case 2: return clip(x, from_.real(), from_.real());
      default: return -x;
    }
  }
  Tensor<T> binary() {
    const std::size_t which = from_.byte() % 23;
    const Tensor<T> a = any(), b = any();
    switch (which) {
      case 0: return a + b;
      case 1: return a - b;
      case 2: return a * b;
      case 3: return a / b;
      case 4: return pow(a, b);
      case 5: return maximum(a, b);
      case 6: return minimum(a, b);
      case 7: return where(any(), a, b);
      case 8: return a < b;
      case 9: return a <= b;
      case 10: return equal(a, b);
      case 11: return not_equal(a, b);
      case 12: return a * from_.real();
      case 13: return from_.real() / a;
      case 14: return pow(a, from_.real());
      case 15: return pow(from_.real(), a);
      case 16: return map([](auto x, auto y) { return select(x < y, x * y, sin(x) - y); }, a, b);
      case 17: return atan2(a, b);
      case 18: return hypot(a, b);
      case 19: return logaddexp(a, b);
      case 20: return bernoulli_log_likelihood(a, b);
      case 21: return gaussian_log_likelihood(a, b, any());
      default: return where(a > b, from_.real(), b);
    }
  }
  Tensor<T> reduction() {
    const std::size_t which = from_.byte() % 10;
    const Tensor<T> x = any();
    const Axes axes = from_.axes();
    const bool keepdims = from_.flag();
    switch (which) {
      case 0: return sum(x, axes, {.keepdims = keepdims});
      case 1: return mean(x, axes, {.keepdims = keepdims});
      case 2: return max(x, axes, {.keepdims = keepdims});
      case 3: return min(x, axes, {.keepdims = keepdims});
      case 4: return logsumexp(x, axes, {.keepdims = keepdims});
      case 5: return var(x, axes, {.keepdims = keepdims, .ddof = from_.extent()});
      case 6: return norm(x, axes, {.order = from_.flag() ? 2 : from_.real(), .keepdims = keepdims});
      case 7: return stddev(x, axes, {.keepdims = keepdims, .ddof = from_.extent()});
      case 8: return prod(x, axes, {.keepdims = keepdims});
      default:
        static_cast<void>(argmax(x)), static_cast<void>(argmin(x, from_.number()));
        return Tensor<T>(argmax(x, from_.number()));
    }
  }
  Tensor<T> moved() {
    const std::size_t which = from_.byte() % 9;
    const Tensor<T> x = any();
    switch (which) {
      case 0: {
        NewShape shape{};
        for (std::size_t n = from_.byte() % 10; n > 0; --n) shape.push_back(from_.number());
        return reshape(x, shape);
      }
      case 1: return flatten(x, from_.number());
      case 2: return squeeze(x, from_.axes());
      case 3: return expand_dims(x, from_.number());
      case 4: return transpose(x, from_.axes());
      case 5: return moveaxis(x, from_.axes(), from_.axes());
      case 6: return swapaxes(x, from_.number(), from_.number());
      case 7: return from_.flag() ? atleast_3d(x) : atleast_2d(x);
      default: return broadcast_to(x, from_.shape());
    }
  }
  Tensor<T> sliced() {
    const Tensor<T> x = any();
    switch (from_.byte() % 5) {
      case 0: return slice(x, {});
      case 1: return slice(x, {from_.index()});
      case 2: return slice(x, {from_.index(), from_.index()});
      case 3: return slice(x, {from_.index(), from_.index(), from_.index()});
      default: return slice(x, {from_.index(), from_.index(), from_.index(), from_.index(), from_.index()});
    }
  }
  Tensor<T> joined() {
    const auto tensors = some();
    return from_.flag() ? concatenate(tensors, from_.number()) : stack(tensors, from_.number());
  }
  Tensor<T> product() {
    const std::size_t which = from_.byte() % 5;
    const Tensor<T> a = any(), b = any();
    if (which == 4) return trace(a, from_.number());
    if (which == 0) return dot(a, b);
    if (which == 1) return outer(a, b);
    return matmul(a, b, {.transpose_a = from_.flag(), .transpose_b = from_.flag()});
  }
  Tensor<T> convolved() {
    const std::size_t which = from_.byte() % 8;
    const Tensor<T> a = any(), b = any();
    if (which > 5)
      return conv_transpose2d(a, b,
                              {.stride = pair(),
                               .padding = pair(),
                               .output_padding = pair(),
                               .dilation = pair(),
                               .groups = from_.extent()});
    if (which == 5)
      return conv_transpose1d(a, b,
                              {.stride = from_.extent(),
                               .padding = from_.extent(),
                               .output_padding = from_.extent(),
                               .dilation = from_.extent(),
                               .groups = from_.extent()});
    if (which == 4)
      return conv1d(
          a, b,
          {.stride = from_.extent(), .padding = from_.extent(), .dilation = from_.extent(), .groups = from_.extent()});
    if (which == 0) return conv2d(a, b, conv());
    if (which == 1) return conv2d(a, b, any(), conv());
    if (which == 2) return conv2d_input_gradient(a, b, from_.shape(), conv());
    return conv2d_weight_gradient(a, b, from_.shape(), conv());
  }
  Tensor<T> loss() {
    const std::size_t which = from_.byte() % 10;
    const Tensor<T> x = any();
    if (which == 5) return nll_loss(x, labels());
    if (which == 6) return kl_divergence(x, any());
    if (which == 7) return l1_loss(x, any());
    if (which == 8) return huber_loss(x, any(), {.delta = from_.real()});
    if (which == 9) return hinge_loss(x, any());
    if (which == 0) return cross_entropy(x, labels());
    if (which == 1) return mse_loss(x, any());
    if (which == 2) return binary_cross_entropy(x, any());
    if (which == 3) return binary_cross_entropy_with_logits(x, any());
    return binary_cross_entropy_with_logits(x, from_.real());
  }
  Tensor<T> pooled() {
    const std::size_t which = from_.byte() % 7;
    const Tensor<T> x = any();
    switch (which) {
      case 0: return max_pool2d(x, pooling());
      case 1: return avg_pool2d(x, pooling());
      case 2: return max_pool1d(x, pooling1d());
      case 3: return avg_pool1d(x, pooling1d());
      case 4: return adaptive_avg_pool2d(x, pair());
      case 5: return global_avg_pool2d(x);
      default: return global_max_pool2d(x);
    }
  }
  // One of the results, if there are any.
  Tensor<T> one_of(const std::vector<Tensor<T>>& results) {
    const std::size_t b = from_.byte();
    return results.empty() ? Tensor<T>() : results[b % results.size()];
  }
  Tensor<T> rearranged() {
    const std::size_t which = from_.byte() % 13;
    const Tensor<T> x = any();
    switch (which) {
      case 0: return one_of(from_.flag() ? split(x, from_.number(), from_.number()) : split(x, list(), from_.number()));
      case 1: {
        PadWidths widths;
        for (std::size_t n = from_.byte() % 5; n > 0; --n) widths.push_back({from_.number(), from_.number()});
        const auto mode = from_.flag() ? PadMode::reflect : PadMode::constant;
        return pad(x, widths, {.mode = mode, .value = from_.real()});
      }
      case 2: return flip(x, from_.axes());
      case 3: return roll(x, from_.number(), from_.axes());
      case 4: return roll(x, {from_.number(), from_.number()}, {from_.number(), from_.number()});
      case 5: return tile(x, from_.shape());
      case 6: return repeat(x, from_.extent(), from_.number());
      case 7: return diagonal(x, from_.number(), from_.number(), from_.number());
      case 8: return diag(x, from_.number());
      case 9: return tril(x, from_.number());
      case 10: return triu(x, from_.number());
      case 11: return one_of(meshgrid(some(), {.indexing = from_.flag() ? Indexing::ij : Indexing::xy}));
      default: return one_of(broadcast_tensors(some()));
    }
  }
  std::vector<std::ptrdiff_t> list() {
    std::vector<std::ptrdiff_t> result(from_.byte() % 6);
    for (auto& value : result) value = from_.number();
    return result;
  }
  Integers integers() {
    if (from_.flag()) return list();
    const Shape shape = from_.shape();
    if (shape.elements() > largest) throw ShapeError("fuzz: no indices of that size");
    return {shape, [this](std::size_t) { return from_.number(); }};
  }
  Tensor<T> indexed() {
    const std::size_t which = from_.byte() % 8;
    const Tensor<T> x = any();
    switch (which) {
      case 0: return gather(x, integers(), from_.number());
      case 1: return scatter_add(x, integers(), any(), from_.number());
      case 2: return index_select(x, from_.number(), integers());
      case 3: return index_add(x, from_.number(), integers(), any());
      case 4: return embedding(x, integers());
      case 5: return one_hot<T>(integers(), from_.extent());
      case 6: return masked_select(x, any());
      default: return masked_fill(x, any(), from_.real());
    }
  }
  Tensor<T> ordered() {
    const std::size_t which = from_.byte() % 6;
    const Tensor<T> x = any();
    switch (which) {
      case 0: return sort(x, from_.number(), {.descending = from_.flag()});
      case 1: return Tensor<T>(argsort(x, from_.number(), {.descending = from_.flag()}));
      case 2: return topk(x, from_.extent(), from_.number(), {.largest = from_.flag()}).values;
      case 3: return cumsum(x, from_.number(), {.reverse = from_.flag()});
      case 4: return cumprod(x, from_.number(), {.reverse = from_.flag()});
      default: return recurrence(x, any(), from_.number(), {.reverse = from_.flag()});
    }
  }
  // Any text, mostly of the characters that mean something.
  Tensor<T> summed() {
    std::string subscripts;
    constexpr std::string_view characters = "abcij,,->.. A";
    for (std::size_t n = from_.byte() % 20; n > 0; --n) {
      const std::size_t b = from_.byte();
      subscripts.push_back(b < 240 ? characters[b % characters.size()] : static_cast<char>(b));
    }
    constexpr const char* sensible[] = {"ij,jk->ik", "ii->i", "...i,i", "ab,cb,ad->dc", "i,i->"};
    const std::size_t b = from_.byte();
    return einsum(b % 2 != 0 ? std::string(sensible[b / 2 % std::size(sensible)]) : subscripts, some());
  }
  Tensor<T> normalised() {
    const std::size_t which = from_.byte() % 4;
    const Tensor<T> x = any();
    if (which == 0) return standardise(x, from_.axes(), {.epsilon = from_.real()});
    if (which == 1) return layer_norm(x, any(), any(), {.epsilon = from_.real()});
    if (which == 2) return cast<T>(cast<std::conditional_t<std::is_same_v<T, double>, float, double>>(x));
    BatchNormState<T> state(from_.byte() % 5);
    return batch_norm(x, any(), any(), state,
                      {.training = from_.flag(), .momentum = from_.real(), .epsilon = from_.real()});
  }
  Tensor<T> solved() {
    const std::size_t which = from_.byte() % 7;
    const Tensor<T> a = any();
    switch (which) {
      case 0: return solve(a, any());
      case 1:
        return triangular_solve(a, any(),
                                {.upper = from_.flag(), .transpose = from_.flag(), .unit_diagonal = from_.flag()});
      case 2: return cholesky_solve(a, any());
      case 3: return inverse(a);
      case 4: return det(a);
      case 5: return slogdet(a).log_abs_det;
      default: return cholesky_log_det(a);
    }
  }
  Tensor<T> factored() {
    const std::size_t which = from_.byte() % 8;
    const Tensor<T> a = any();
    switch (which) {
      case 0: return cholesky(a);
      case 1: return qr(a).q;
      case 2: return qr(a).r;
      case 3: return eigh(a).vectors;
      case 4: return eigvalsh(a);
      case 5: return svd(a).u;
      case 6: return svd(a).s;
      default: {
        constexpr MatrixNorm norms[] = {MatrixNorm::frobenius, MatrixNorm::nuclear, MatrixNorm::spectral};
        return matrix_norm(a, {.order = norms[from_.byte() % std::size(norms)]});
      }
    }
  }
  Tensor<T> other() {
    const std::size_t which = from_.byte() % 5;
    Tensor<T> x = any();
    Rng rng(from_.byte());
    switch (which) {
      case 0: return dropout(x, from_.real(), rng);
      case 1: return x.detach();
      case 2: x.assign(any()); return {};
      case 3: return Tensor<T>(x.item());
      default: return full(from_.shape(), static_cast<T>(from_.real()));
    }
  }

  Source& from_;
  std::vector<Tensor<T>> pool_, leaves_;
};

}  // namespace

void ops(Bytes bytes, const std::string&) {
  Source source(bytes);
  if (source.flag())
    Program<float>(source).run();
  else
    Program<double>(source).run();
}

}  // namespace xtape::fuzz
