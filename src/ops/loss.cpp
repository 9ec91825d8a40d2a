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

template <class T> void check_target(const char* op, const Tensor<T>& x, const Tensor<T>& target) {
  if (target.shape() != x.shape())
    throw ShapeError(fmt::format("{}: target of shape {} for an input of shape {}", op, to_string(target.shape()),
                                 to_string(x.shape())));
}
template <class T> void check_target(const char* op, const Tensor<T>& x, const detail::Operand<T>& target) {
  if (!target.is_number()) check_target(op, x, target.tensor);
}

// A target given as a number stands for a tensor of it.
template <class T> Tensor<T> target_tensor(const Tensor<T>& x, const detail::Operand<T>& target) {
  return target.is_number() ? full(x.shape(), target.number) : target.tensor;
}

// y = mean_i f(x_i, t_i)
template <class T, class F>
void mean_loss(const char* op, Fresh<T>& y, const Tensor<T>& x, const Tensor<T>& t, const F& f) {
  using B = simd::Batch<T>;
  Fresh<T> terms(op, x.shape());
  detail::run_long_row<T, 2, 1>(x.size(), {x.data(), t.data()}, {1, 1}, {terms.data()},
                                [&f](const std::array<B, 2>& v) { return std::array<B, 1>{f(v[0], v[1])}; });
  *y.data() = kernels::mean(terms.data(), terms.size());
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

// -mean_i log softmax(x_i)_label(i).    dx_ij = dy / n (softmax(x_i)_j - [j = label(i)])
template <class T> struct CrossEntropy {
  using value_type = T;
  static constexpr OpTraits traits{.name = "cross_entropy"};
  // The largest logit of each row, and behind them the logarithms of what is left of the sums. `finite`: no row is at a
  // limit, so that they are enough for the gradient.
  struct State {
    Tensor<T> shifts;
    bool finite = false;
  };

  Shape shape(const Tensor<T>& logits, const Labels& labels) const {
    check_labels(traits.name, "logits", logits.shape(), labels);
    return {};
  }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& logits, const Labels& labels) const {
    const std::size_t rows = logits.shape()[0], classes = logits.shape()[1];
    Fresh<T> terms(traits.name, {rows}), shifts(traits.name, {2, rows});
    T *const maximum = shifts.data(), *const rest = maximum + rows;
    const bool finite =
        kernels::cross_entropy(logits.data(), labels.begin(), rows, classes, terms.data(), maximum, rest);
    if (!finite) {  // at limits
      const NoGrad pause;
      const Tensor<T> log_p = log_softmax(logits, 1);
      for (std::size_t i = 0; i < rows; ++i)
        terms.data()[i] = -log_p.data()[i * classes + static_cast<std::size_t>(labels[i])];
    }
    *y.data() = kernels::mean(terms.data(), rows);
    if (state) *state = {std::move(shifts).finished(), finite};
  }

  Gradients pull(const Pull<T, State>& p, const Tensor<T>& logits, const Labels& labels) const {
    const std::size_t rows = logits.shape()[0], classes = logits.shape()[1];
    Fresh<T> labelled(traits.name, logits.shape());
    std::fill_n(labelled.data(), labelled.size(), T(0));
    for (std::size_t i = 0; i < rows; ++i) labelled.data()[i * classes + static_cast<std::size_t>(labels[i])] = T(1);
    const Tensor<T> onehot = std::move(labelled).finished();
    // p - 1 = expm1(log p) keeps its digits for a label that is nearly certain.
    const Tensor<T> log_p = log_softmax(logits, 1);
    return Gradients(where(onehot, expm1(log_p), exp(log_p)) * (p.dy / static_cast<T>(rows)));
  }
  Gradients fused_pull(const Pull<T, State>& p, const Tensor<T>& logits, const Labels& labels) const {
    if (!p.state.finite) return pull(p, logits, labels);
    const std::size_t rows = logits.shape()[0], classes = logits.shape()[1];
    const T* const shifts = p.state.shifts.data();
    Fresh<T> dx(traits.name, logits.shape());
    kernels::cross_entropy_gradient(logits.data(), labels.begin(), shifts, shifts + rows,
                                    p.dy.item() / static_cast<T>(rows), rows, classes, dx.data());
    return Gradients(std::move(dx).finished());
  }
};

// y_i = x_i,label(i), under the name of the op that takes elements from their places.
template <class T> struct AtLabels {
  using value_type = T;
  static constexpr OpTraits traits{.name = "gather_flat", .kind = Kind::linear};
  Shape whole;

  Shape shape(const Tensor<T>& x, const Labels& labels) const {
    check_labels("nll_loss", "log-probabilities", x.shape(), labels);
    detail::check_countable("nll_loss", x.shape());
    return {labels.size()};
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& x, const Labels& labels) const {
    for (std::size_t i = 0; i < labels.size(); ++i) y.data()[i] = x.data()[place(i, labels)];
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>&, const Labels& labels) const {
    const detail::Indices at(labels.size());
    for (std::size_t i = 0; i < labels.size(); ++i) at.data()[i] = static_cast<std::uint32_t>(place(i, labels));
    return Gradients(detail::scatter_flat(p.dy, at, whole, p.wanted.template sum_so_far<T>(0)));
  }

 private:
  std::size_t place(std::size_t i, const Labels& labels) const {
    return i * whole[1] + static_cast<std::size_t>(labels[i]);
  }
};

// n mean_i p_i log(p_i / q_i) over rows of n probabilities, where p_i = 0 counts 0.
// dp_i = g (log p_i - log q_i + 1), dq_i = -g p_i / q_i with g = dy n / size
template <class T> struct KlDivergence {
  using value_type = T;
  static constexpr OpTraits traits{.name = "kl_divergence"};

  Shape shape(const Tensor<T>& p, const Tensor<T>& q) const {
    if (p.shape().empty() || p.shape() != q.shape() || p.size() == 0)
      throw ShapeError(fmt::format("kl_divergence: probabilities of one shape (..., n) are needed, got {} and {}",
                                   to_string(p.shape()), to_string(q.shape())));
    check_probabilities(traits.name, p);
    check_probabilities(traits.name, q);
    return {};
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& p, const Tensor<T>& q) const {
    const T classes = static_cast<T>(p.shape().back());
    mean_loss(traits.name, y, p, q, [classes](const auto& u, const auto& v) {
      using B = std::remove_cvref_t<decltype(u)>;
      const B zero(T(0)), ratio = (u - v) / v;
      // log p - log q of nearly equal ones by their difference.
      const B log_ratio =
          xsimd::select(xsimd::abs(ratio) < B(T(0.5)), xsimd::log1p(ratio), simd::log(u) - simd::log(v));
      return xsimd::select(u == zero, zero, B(classes) * u * log_ratio);
    });
  }
  Gradients pull(const Pull<T>& pull, const Tensor<T>& p, const Tensor<T>& q) const {
    const T classes = static_cast<T>(p.shape().back());
    const Tensor<T> g = pull.dy * (classes / static_cast<T>(p.size()));
    // Where p = 0 nothing is divided by 0, nor is its logarithm taken, for the sake of the second derivatives.
    const bool zeros = std::ranges::count(p.span(), T(0)) > 0;
    const Tensor<T> zero = zeros ? equal(p, 0) : Tensor<T>();
    const auto at_zero = [&](double value, const Tensor<T>& x) { return zeros ? where(zero, value, x) : x; };
    const Tensor<T> v = at_zero(1, q);
    return pull.gradients([&] { return g * at_zero(0, log(at_zero(1, p)) - log(v) + 1); },
                          [&] { return -(g * at_zero(0, p / v)); });
  }
};

// mean_i h(x_i - t_i) with h(d) = d^2 / 2 up to |d| = delta, and delta (|d| - delta / 2) beyond.
// dx_i = dy / n (x_i - t_i), clipped to [-delta, delta], = -dt_i
template <class T> struct HuberLoss {
  using value_type = T;
  static constexpr OpTraits traits{.name = "huber_loss"};
  double delta;

  Shape shape(const Tensor<T>& x, const Tensor<T>& t) const {
    check_target(traits.name, x, t);
    if (!(delta > 0)) throw ValueError(fmt::format("huber_loss: delta must be positive, not {}", delta));
    return {};
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& x, const Tensor<T>& t) const {
    mean_loss(traits.name, y, x, t, [delta = delta](const auto& v, const auto& u) {
      using B = std::remove_cvref_t<decltype(v)>;
      const B d = xsimd::abs(v - u), c(static_cast<T>(delta)), half(T(0.5));
      return xsimd::select(d > c, c * (d - half * c), half * d * d);
    });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x, const Tensor<T>& t) const {
    const Tensor<T> dx = p.dy / static_cast<T>(x.size()) * clip(x - t, -delta, delta);
    return p.gradients([&] { return dx; }, [&] { return -dx; });
  }
};

// -mean_i (t_i log p_i + (1 - t_i) log(1 - p_i)), where 0 log 0 = 0.
// dp_i = dy / n ((1 - t_i) / (1 - p_i) - t_i / p_i), dt_i = dy / n (log(1 - p_i) - log p_i)
template <class T> struct BinaryCrossEntropy {
  using value_type = T;
  static constexpr OpTraits traits{.name = "binary_cross_entropy"};

  Shape shape(const Tensor<T>& p, const Tensor<T>& t) const {
    check_target(traits.name, p, t);
    check_probabilities(traits.name, p, "; from logits take binary_cross_entropy_with_logits");
    return {};
  }
  void evaluate(Fresh<T>& y, const Tensor<T>& p, const Tensor<T>& t) const {
    mean_loss(traits.name, y, p, t, [](const auto& q, const auto& u) {
      using B = std::remove_cvref_t<decltype(q)>;
      const B zero(T(0)), one(T(1));
      return -(xsimd::select(u == zero, zero, u * simd::log(q)) +
               xsimd::select(u == one, zero, (one - u) * xsimd::log1p(-q)));
    });
  }
  Gradients pull(const Pull<T>& pull, const Tensor<T>& p, const Tensor<T>& t) const {
    const Tensor<T> g = pull.dy / static_cast<T>(p.size());
    // a / b, and 0 where both are 0, as in every derivative of it.
    const auto ratio = [](const Tensor<T>& a, const Tensor<T>& b) {
      const Tensor<T> zero = equal(a, 0) * equal(b, 0);
      return where(zero, 0, a / where(zero, 1, b));
    };
    return pull.gradients([&] { return g * (ratio(1 - t, 1 - p) - ratio(t, p)); },
                          [&] { return g * (log1p(-p) - log(p)); });
  }
};

// mean_i (softplus(x_i) - t_i x_i).    dx_i = dy / n (sigmoid(x_i) - t_i), dt_i = -dy / n x_i
template <class T> struct BinaryCrossEntropyWithLogits {
  using value_type = T;
  static constexpr OpTraits traits{.name = "binary_cross_entropy_with_logits"};

  Shape shape(const Tensor<T>& x, const Tensor<T>& t) const {
    check_target(traits.name, x, t);
    return {};
  }
  // The linear parts are taken together: exact where t is 0 or 1, also at x = +-inf.
  void evaluate(Fresh<T>& y, const Tensor<T>& x, const Tensor<T>& t) const {
    mean_loss(traits.name, y, x, t, [](const auto& v, const auto& u) {
      using B = std::remove_cvref_t<decltype(v)>;
      const B zero(T(0)), weight = xsimd::select(v > zero, B(T(1)) - u, -u);
      return xsimd::select(weight == zero, zero, weight * v) + xsimd::log1p(simd::exp(-xsimd::abs(v)));
    });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& x, const Tensor<T>& t) const {
    const Tensor<T> g = p.dy / static_cast<T>(x.size());
    // sigmoid(x) - t, without cancellation where t is 0 or 1.
    return p.gradients([&] { return g * ((1 - t) * sigmoid(x) - t * sigmoid(-x)); }, [&] { return -(g * x); });
  }
};

}  // namespace

template <class T> Tensor<T> cross_entropy(const Tensor<T>& logits, const Labels& labels) {
  return apply(CrossEntropy<T>{}, logits, labels);
}

template <class T> Tensor<T> nll_loss(const Tensor<T>& log_probabilities, const Labels& labels) {
  return -mean(apply(AtLabels<T>{log_probabilities.shape()}, log_probabilities, labels));
}

template <class T> Tensor<T> kl_divergence(const Tensor<T>& p, const Tensor<T>& q) {
  return apply(KlDivergence<T>{}, p, q);
}

namespace detail {

template <class T> Tensor<T> l1_loss(const Tensor<T>& x, const Operand<T>& target) {
  check_target("l1_loss", x, target);
  return mean(abs(subtract<T>(x, target)));
}

template <class T> Tensor<T> huber_loss(const Tensor<T>& x, const Operand<T>& target, double delta) {
  return xtape::apply(HuberLoss<T>{delta}, x, target_tensor(x, target));
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
  return xtape::apply(BinaryCrossEntropy<T>{}, p, target_tensor(p, target));
}

template <class T> Tensor<T> binary_cross_entropy_with_logits(const Tensor<T>& x, const Operand<T>& target) {
  return xtape::apply(BinaryCrossEntropyWithLogits<T>{}, x, target_tensor(x, target));
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
