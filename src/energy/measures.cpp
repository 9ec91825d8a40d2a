#include <xtape/energy/measures.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include "common.hpp"

#include <cmath>

namespace xtape {
namespace {

template <class T> Tensor<double> in_double(const Tensor<T>& x) { return Tensor<double>(x.array()); }

// mean F(v), all in double: single free energies may be far larger than what they differ by.
template <class T> double mean_free_energy(const char* op, const Rbm<T>& rbm, const Tensor<T>& v) {
  const NoGrad pause;
  detail::check_some_rows(op, v, rbm.visible());
  detail::check_unit_interval(op, v);
  const Rbm<double> wide(in_double(rbm.W), in_double(rbm.b), in_double(rbm.a));
  return mean(free_energy(wide, in_double(v))).item();
}

// log(1 + e^-|x|): what softplus(x) has beside max(x, 0).
template <class B> B softplus_tail(const B& x) { return xsimd::log1p(simd::exp(-xsimd::abs(x))); }

// log p(v_i | v without i) from the hidden units' input u (biases added) and their sum of tails: the log of
// 1 / (1 + e^(F(v) - F(v'))), v' being v with unit i flipped. Inputs may be large: of max(u + d, 0) and max(u, 0) the
// difference is summed, not each.
template <class T> double log_conditional(const Rbm<T>& rbm, const T* v, std::size_t i, const T* u, double tails) {
  using B = simd::Batch<T>;
  const T change = T(1) - 2 * v[i];
  const auto moved = [c = B(change), zero = B(T(0))](const B& a, const B& w) {
    const B d = c * w, there = a + d;
    const B linear = xsimd::select(there > zero, xsimd::select(a > zero, d, there), xsimd::select(a > zero, -a, zero));
    return linear + softplus_tail(there);
  };
  const T sum = kernels::sum_of(u, rbm.W.data() + i * rbm.hidden(), rbm.hidden(), moved);
  const double gap =
      static_cast<double>(change) * static_cast<double>(rbm.b.data()[i]) + (static_cast<double>(sum) - tails);
  return gap > 0 ? -gap - std::log1p(std::exp(-gap)) : -std::log1p(std::exp(gap));
}

// mean over rows of f(row v, its hidden units' input u with bias, the sum of their tails).
template <class T, class F> double mean_over_rows(const char* op, const Rbm<T>& rbm, const Tensor<T>& v, const F& f) {
  detail::check_some_rows(op, v, rbm.visible());
  detail::check_binary(op, v);
  const std::size_t rows = v.shape()[0], hidden = rbm.hidden();
  using B = simd::Batch<T>;
  Fresh<T> x(op, {rows, hidden});
  detail::hidden_input(rbm, rows, v.data(), x.data());
  const Tensor<T> u = std::move(x).finished() + rbm.a.detach();
  double total = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    const T* row = u.data() + r * hidden;
    const T tails = kernels::sum_of(row, row, hidden, [](const B& a, const B&) { return softplus_tail(a); });
    total += f(v.data() + r * rbm.visible(), row, static_cast<double>(tails));
  }
  return total / static_cast<double>(rows);
}

}  // namespace

template <class T> double reconstruction_cross_entropy(const Rbm<T>& rbm, const Tensor<T>& v) {
  const NoGrad pause;
  detail::check_some_rows("reconstruction_cross_entropy", v, rbm.visible());
  detail::check_unit_interval("reconstruction_cross_entropy", v);
  const Tensor<T> h = hidden_probability(rbm, v);
  Fresh<T> x("reconstruction_cross_entropy", v.shape());
  detail::visible_input(rbm, v.shape()[0], h.data(), x.data());
  const auto mean_loss = binary_cross_entropy_with_logits(std::move(x).finished() + rbm.b, v).item();
  return static_cast<double>(mean_loss) * static_cast<double>(rbm.visible());
}

template <class T> double free_energy_gap(const Rbm<T>& rbm, const Tensor<T>& data, const Tensor<T>& other) {
  return mean_free_energy("free_energy_gap", rbm, data) - mean_free_energy("free_energy_gap", rbm, other);
}

template <class T> double pseudo_log_likelihood(const Rbm<T>& rbm, const Tensor<T>& v) {
  return mean_over_rows("pseudo_log_likelihood", rbm, v, [&](const T* row, const T* u, double tails) {
    double sum = 0;
    for (std::size_t i = 0; i < rbm.visible(); ++i) sum += log_conditional(rbm, row, i, u, tails);
    return sum;
  });
}

template <class T> double stochastic_pseudo_log_likelihood(const Rbm<T>& rbm, const Tensor<T>& v, Rng& rng) {
  return mean_over_rows("stochastic_pseudo_log_likelihood", rbm, v, [&](const T* row, const T* u, double tails) {
    if (rbm.visible() == 0) return 0.0;
    const std::size_t i = rng.below(rbm.visible());
    return static_cast<double>(rbm.visible()) * log_conditional(rbm, row, i, u, tails);
  });
}

template <class T> double log_partition(const Rbm<T>& rbm) {
  constexpr std::size_t most = 20;
  if (std::min(rbm.visible(), rbm.hidden()) > most)
    throw ValueError(fmt::format("log_partition: {} visible and {} hidden units; one side must have at most {}",
                                 rbm.visible(), rbm.hidden(), most));
  const NoGrad pause;
  const Tensor<double> W = in_double(rbm.W), b = in_double(rbm.b), a = in_double(rbm.a);
  // Z is the sum over v of e^-F(v); seen from the other side the machine is (Wᵀ, a, b).
  const bool by_visible = rbm.visible() <= rbm.hidden();
  const Tensor<double>&mine = by_visible ? b : a, &others = by_visible ? a : b;
  const std::size_t units = mine.size(), other_units = others.size(), count = std::size_t{1} << units;
  const std::size_t block = std::min<std::size_t>(count, 1024);
  Fresh<double> states("log_partition", {block, units}), input("log_partition", {block, other_units});
  std::vector<double> exponents(count);
  for (std::size_t first = 0; first < count; first += block) {
    for (std::size_t r = 0; r < block; ++r)
      for (std::size_t i = 0; i < units; ++i)
        states.data()[r * units + i] = static_cast<double>(((first + r) >> i) & 1);
    kernels::gemm(false, !by_visible, block, other_units, units, states.data(), W.data(), 0.0, input.data());
    for (std::size_t r = 0; r < block; ++r)
      exponents[first + r] = kernels::dot(units, states.data() + r * units, mine.data()) +
                             kernels::softplus_sum(input.data() + r * other_units, others.data(), other_units, 1.0);
  }
  return logsumexp(Tensor<double>({count}, std::span<const double>(exponents))).item();
}

template <class T> double average_log_likelihood(const Rbm<T>& rbm, const Tensor<T>& v, double log_z) {
  detail::check_rows("average_log_likelihood", v, rbm.visible());
  detail::check_binary("average_log_likelihood", v);
  return -mean_free_energy("average_log_likelihood", rbm, v) - log_z;
}

#define XTAPE_MEASURES(T)                                                                  \
  template double reconstruction_cross_entropy(const Rbm<T>&, const Tensor<T>&);           \
  template double free_energy_gap(const Rbm<T>&, const Tensor<T>&, const Tensor<T>&);      \
  template double pseudo_log_likelihood(const Rbm<T>&, const Tensor<T>&);                  \
  template double stochastic_pseudo_log_likelihood(const Rbm<T>&, const Tensor<T>&, Rng&); \
  template double log_partition(const Rbm<T>&);                                            \
  template double average_log_likelihood(const Rbm<T>&, const Tensor<T>&, double);
XTAPE_INSTANTIATE(XTAPE_MEASURES)

}  // namespace xtape
