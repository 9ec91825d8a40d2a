#include <xtape/ops/loss.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/softmax.hpp>

#include <xtape/detail/loop.hpp>
#include <xtape/functions.hpp>

#include "../kernels/reduce.hpp"
#include "../kernels/softmax.hpp"
#include "common.hpp"

#include <algorithm>

namespace xtape {
namespace {

template <class T> void check_target(const char* op, const Tensor<T>& x, const detail::Operand<T>& target) {
  if (!target.is_number() && target.tensor.shape() != x.shape())
    throw ShapeError(fmt::format("{}: target of shape {} for an input of shape {}", op,
                                 to_string(target.tensor.shape()), to_string(x.shape())));
}

// A target given as a number stands for a tensor of it.
template <class T> Tensor<T> target_tensor(const Tensor<T>& x, const detail::Operand<T>& target) {
  return target.is_number() ? full(x.shape(), target.number) : target.tensor;
}

// mean_i f(x_i, t_i)
template <class T, class F> Tensor<T> mean_loss(const Tensor<T>& x, const Tensor<T>& t, const F& f) {
  using B = simd::Batch<T>;
  const Tensor<T> terms = Tensor<T>::uninitialised(x.shape());
  detail::run_long_row<T, 2, 1>(x.size(), {x.data(), t.data()}, {1, 1}, {terms.mutable_data()},
                                [&f](const std::array<B, 2>& v) { return std::array<B, 1>{f(v[0], v[1])}; });
  return Tensor<T>(kernels::mean(terms.data(), terms.size()));
}

// Throws unless there is a label, one of the classes, for each row.
void check_labels(const char* op, const char* what, const Shape& shape, const Labels& labels) {
  if (shape.size() != 2 || shape[0] != labels.size() || shape[0] == 0)
    throw ShapeError(fmt::format("{}: {} (n, classes) and n > 0 labels are needed, got {} and {} labels", op, what,
                                 to_string(shape), labels.size()));
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < 0 || static_cast<std::uint64_t>(labels[i]) >= shape[1])
      throw ValueError(fmt::format("{}: label {} at row {} is not one of {} classes", op, labels[i], i, shape[1]));
}

// Throws on an element outside [0, 1].
template <class T> void check_probabilities(const char* op, const Tensor<T>& p, const char* advice = "") {
  for (const T value : p.span())
    if (value < T(0) || value > T(1)) throw ValueError(fmt::format("{}: {} is not a probability{}", op, value, advice));
}

}  // namespace

template <class T> Tensor<T> cross_entropy(const Tensor<T>& logits, const Labels& labels) {
  check_labels("cross_entropy", "logits", logits.shape(), labels);
  const std::size_t rows = logits.shape()[0], classes = logits.shape()[1];
  const Tensor<T> terms = Tensor<T>::uninitialised({rows}), shifts = Tensor<T>::uninitialised({2, rows});
  T *const maximum = shifts.mutable_data(), *const rest = maximum + rows;
  const bool finite =
      kernels::cross_entropy(logits.data(), labels.begin(), rows, classes, terms.mutable_data(), maximum, rest);
  if (!finite) {  // at limits
    const NoGrad pause;
    const Tensor<T> log_p = log_softmax(logits, 1);
    for (std::size_t i = 0; i < rows; ++i)
      terms.mutable_data()[i] = -log_p.data()[i * classes + static_cast<std::size_t>(labels[i])];
  }
  Tensor<T> y(kernels::mean(terms.data(), rows));
  return record("cross_entropy", std::move(y), {logits},
                [logits, labels, shifts, finite, rows, classes](const Tensor<T>& dy) {
                  if (finite && !Tape::recording()) {
                    const Tensor<T> dx = Tensor<T>::uninitialised(logits.shape());
                    kernels::cross_entropy_gradient(logits.data(), labels.begin(), shifts.data(), shifts.data() + rows,
                                                    dy.item() / static_cast<T>(rows), rows, classes, dx.mutable_data());
                    return Gradients(dx);
                  }
                  Tensor<T> onehot = zeros<T>(logits.shape());
                  for (std::size_t i = 0; i < rows; ++i)
                    onehot.mutable_data()[i * classes + static_cast<std::size_t>(labels[i])] = T(1);
                  // p - 1 = expm1(log p) keeps its digits for a label that is nearly certain.
                  const Tensor<T> log_p = log_softmax(logits, 1);
                  return Gradients(where(onehot, expm1(log_p), exp(log_p)) * (dy / static_cast<T>(rows)));
                });
}

template <class T> Tensor<T> nll_loss(const Tensor<T>& log_probabilities, const Labels& labels) {
  const Shape& shape = log_probabilities.shape();
  check_labels("nll_loss", "log-probabilities", shape, labels);
  if (log_probabilities.size() > 0xffffffffU)
    throw ShapeError(fmt::format("nll_loss: shape {} has more than 2^32 elements", to_string(shape)));
  const detail::Indices at(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i)
    at.data()[i] = static_cast<std::uint32_t>(i * shape[1] + static_cast<std::size_t>(labels[i]));
  return -mean(detail::gather_flat(log_probabilities, at, Shape{labels.size()}));
}

template <class T> Tensor<T> kl_divergence(const Tensor<T>& p, const Tensor<T>& q) {
  const Shape& shape = p.shape();
  if (shape.empty() || shape != q.shape() || p.size() == 0)
    throw ShapeError(fmt::format("kl_divergence: probabilities of one shape (..., n) are needed, got {} and {}",
                                 to_string(shape), to_string(q.shape())));
  check_probabilities("kl_divergence", p);
  check_probabilities("kl_divergence", q);
  const T classes = static_cast<T>(shape.back());
  Tensor<T> y = mean_loss(p, q, [classes](const auto& u, const auto& v) {
    using B = std::remove_cvref_t<decltype(u)>;
    const B zero(T(0)), one(T(1)), ratio = (u - v) / v;
    // log p - log q of nearly equal ones by their difference.
    const B log_ratio = xsimd::select(xsimd::abs(ratio) < B(T(0.5)), xsimd::log1p(ratio), simd::log(u) - simd::log(v));
    return xsimd::select(u == zero, zero, B(classes) * u * log_ratio);
  });
  return record("kl_divergence", std::move(y), {p, q}, [p, q, classes](const Tensor<T>& dy, Wanted wanted) {
    const Tensor<T> g = dy * (classes / static_cast<T>(p.size()));
    // Where p = 0 nothing is divided by 0, nor is its logarithm taken, for the sake of the second derivatives.
    const bool zeros = std::ranges::count(p.span(), T(0)) > 0;
    const Tensor<T> zero = zeros ? equal(p, 0) : Tensor<T>();
    const auto at_zero = [&](double value, const Tensor<T>& x) { return zeros ? where(zero, value, x) : x; };
    const Tensor<T> v = at_zero(1, q);
    return wanted.gradients([&] { return g * at_zero(0, log(at_zero(1, p)) - log(v) + 1); },
                            [&] { return -(g * at_zero(0, p / v)); });
  });
}

namespace detail {

template <class T> Tensor<T> l1_loss(const Tensor<T>& x, const Operand<T>& target) {
  check_target("l1_loss", x, target);
  return mean(abs(subtract<T>(x, target)));
}

template <class T> Tensor<T> huber_loss(const Tensor<T>& x, const Operand<T>& target, double delta) {
  check_target("huber_loss", x, target);
  if (!(delta > 0)) throw ValueError(fmt::format("huber_loss: delta must be positive, not {}", delta));
  const Tensor<T> t = target_tensor(x, target);
  Tensor<T> y = mean_loss(x, t, [delta](const auto& v, const auto& u) {
    using B = std::remove_cvref_t<decltype(v)>;
    const B d = xsimd::abs(v - u), c(static_cast<T>(delta)), half(T(0.5));
    return xsimd::select(d > c, c * (d - half * c), half * d * d);
  });
  return record("huber_loss", std::move(y), {x, t}, [x, t, delta](const Tensor<T>& dy, Wanted wanted) {
    const Tensor<T> dx = dy / static_cast<T>(x.size()) * clip(x - t, -delta, delta);
    return wanted.gradients([&] { return dx; }, [&] { return -dx; });
  });
}

template <class T> Tensor<T> hinge_loss(const Tensor<T>& x, const Operand<T>& target) {
  check_target("hinge_loss", x, target);
  const Tensor<T> t = target_tensor(x, target);
  for (const T label : t.span())
    if (label != T(-1) && label != T(1)) throw ValueError(fmt::format("hinge_loss: label {} is not -1 or 1", label));
  return mean(relu(1 - t * x));
}

template <class T> Tensor<T> mse_loss(const Tensor<T>& x, const Operand<T>& target) {
  check_target("mse_loss", x, target);
  return mean(square(subtract<T>(x, target)));
}

template <class T> Tensor<T> binary_cross_entropy(const Tensor<T>& p, const Operand<T>& target) {
  check_target("binary_cross_entropy", p, target);
  const Tensor<T> t = target_tensor(p, target);
  check_probabilities("binary_cross_entropy", p, "; from logits take binary_cross_entropy_with_logits");
  Tensor<T> y = mean_loss(p, t, [](const auto& q, const auto& u) {
    using B = std::remove_cvref_t<decltype(q)>;
    const B zero(T(0)), one(T(1));
    return -(xsimd::select(u == zero, zero, u * simd::log(q)) +
             xsimd::select(u == one, zero, (one - u) * xsimd::log1p(-q)));
  });
  return record("binary_cross_entropy", std::move(y), {p, t}, [p, t](const Tensor<T>& dy, Wanted wanted) {
    const Tensor<T> g = dy / static_cast<T>(p.size());
    // a / b, and 0 where both are 0, as in every derivative of it.
    const auto ratio = [](const Tensor<T>& a, const Tensor<T>& b) {
      const Tensor<T> zero = equal(a, 0) * equal(b, 0);
      return where(zero, 0, a / where(zero, 1, b));
    };
    return wanted.gradients([&] { return g * (ratio(1 - t, 1 - p) - ratio(t, p)); },
                            [&] { return g * (log1p(-p) - log(p)); });
  });
}

template <class T> Tensor<T> binary_cross_entropy_with_logits(const Tensor<T>& x, const Operand<T>& target) {
  check_target("binary_cross_entropy_with_logits", x, target);
  const Tensor<T> t = target_tensor(x, target);
  // softplus(x) - t x with the linear parts taken together: exact where t is 0 or 1, also at x = +-inf.
  Tensor<T> y = mean_loss(x, t, [](const auto& v, const auto& u) {
    using B = std::remove_cvref_t<decltype(v)>;
    const B zero(T(0)), weight = xsimd::select(v > zero, B(T(1)) - u, -u);
    return xsimd::select(weight == zero, zero, weight * v) + xsimd::log1p(simd::exp(-xsimd::abs(v)));
  });
  return record("binary_cross_entropy_with_logits", std::move(y), {x, t}, [x, t](const Tensor<T>& dy, Wanted wanted) {
    const Tensor<T> g = dy / static_cast<T>(x.size());
    // sigmoid(x) - t, without cancellation where t is 0 or 1.
    return wanted.gradients([&] { return g * ((1 - t) * sigmoid(x) - t * sigmoid(-x)); }, [&] { return -(g * x); });
  });
}

}  // namespace detail

#define XTAPE_LOSS(T)                                                                           \
  template Tensor<T> cross_entropy(const Tensor<T>&, const Labels&);                            \
  template Tensor<T> nll_loss(const Tensor<T>&, const Labels&);                                 \
  template Tensor<T> kl_divergence(const Tensor<T>&, const Tensor<T>&);                         \
  template Tensor<T> detail::l1_loss(const Tensor<T>&, const detail::Operand<T>&);              \
  template Tensor<T> detail::huber_loss(const Tensor<T>&, const detail::Operand<T>&, double);   \
  template Tensor<T> detail::hinge_loss(const Tensor<T>&, const detail::Operand<T>&);           \
  template Tensor<T> detail::mse_loss(const Tensor<T>&, const detail::Operand<T>&);             \
  template Tensor<T> detail::binary_cross_entropy(const Tensor<T>&, const detail::Operand<T>&); \
  template Tensor<T> detail::binary_cross_entropy_with_logits(const Tensor<T>&, const detail::Operand<T>&);
XTAPE_INSTANTIATE(XTAPE_LOSS)

}  // namespace xtape
