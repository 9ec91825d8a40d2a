#include <xtape/ops/random.hpp>

#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>

#include "common.hpp"

namespace xtape {

template <class T> Tensor<T> dropout(const Tensor<T>& x, double rate, Rng& rng) {
  if (!(rate >= 0.0 && rate < 1.0)) throw ValueError(fmt::format("dropout: the rate {} is not in [0, 1)", rate));
  if (rate == 0.0) return detail::unchanged("dropout", x);
  const Tensor<T> draw = init::uniform(x.shape(), T(0), T(1), rng);
  // The mask holds 0 or 1 / (1 - rate), and takes the place of the draws.
  const T keep = static_cast<T>(1.0 / (1.0 - rate));
  T* mask = draw.mutable_data();
  for (std::size_t i = 0; i < draw.size(); ++i) mask[i] = mask[i] < static_cast<T>(rate) ? T(0) : keep;
  Tensor<T> y;
  {
    const NoGrad pause;
    y = x * draw;
  }
  return record("dropout", std::move(y), {x}, [draw](const Tensor<T>& dy) { return Gradients(dy * draw); });
}

template Tensor<float> dropout(const Tensor<float>&, double, Rng&);
template Tensor<double> dropout(const Tensor<double>&, double, Rng&);

}  // namespace xtape
