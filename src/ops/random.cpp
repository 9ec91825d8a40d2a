#include <xtape/ops/random.hpp>

#include <xtape/detail/loop.hpp>
#include <xtape/ops/arithmetic.hpp>

#include "common.hpp"

namespace xtape {

namespace {

// y = x m, with m_i = 0 with probability `rate`, else 1 / (1 - rate): drawn anew each time, and kept for the gradient.
template <class T> struct Dropout {
  using value_type = T;
  static constexpr OpTraits traits{.name = "dropout", .kind = Kind::elementwise | Kind::linear};
  double rate;
  struct State {
    Tensor<T> mask;
  };

  Shape shape(const Tensor<T>& x, Rng&) const {
    if (!(rate >= 0.0 && rate < 1.0)) throw ValueError(fmt::format("dropout: the rate {} is not in [0, 1)", rate));
    return x.shape();
  }
  void evaluate(Fresh<T>& y, State* state, const Tensor<T>& x, Rng& rng) const {
    using B = simd::Batch<T>;
    Fresh<T> mask("dropout", x.shape());
    rng.fill_uniform(mask.span());
    // The mask takes the place of the draws.
    const T keep = static_cast<T>(1.0 / (1.0 - rate));
    for (T& m : mask.span()) m = m < static_cast<T>(rate) ? T(0) : keep;
    detail::run_long_row<T, 2, 1>(y.size(), {x.data(), mask.data()}, {1, 1}, {y.data()},
                                  [](const std::array<B, 2>& v) { return std::array<B, 1>{v[0] * v[1]}; });
    if (state) state->mask = std::move(mask).finished();
  }
  Gradients pull(const Pull<T, State>& p) const { return Gradients(p.dy * p.state.mask); }
};

}  // namespace

template <class T> Tensor<T> dropout(const Tensor<T>& x, double rate, Rng& rng) {
  return rate == 0.0 ? detail::unchanged("dropout", x) : apply(Dropout<T>{rate}, x, rng);
}

template Tensor<float> dropout(const Tensor<float>&, double, Rng&);
template Tensor<double> dropout(const Tensor<double>&, double, Rng&);

}  // namespace xtape
