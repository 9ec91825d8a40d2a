#pragma once
/// \file map.hpp  One fused elementwise op for a function of the user's.

#include <xtape/detail/loop.hpp>
#include <xtape/functions.hpp>
#include <xtape/record.hpp>
#include <xtape/tape.hpp>

#include <utility>

namespace xtape {
namespace detail {

[[noreturn]] void throw_map_order();

/// dy df/dx_k, as a function of (dy, x...) that can be mapped and differentiated like f itself.
template <std::size_t K, class F> struct PartialOf {
  F f;
  template <class V, class... X> V operator()(const V& dy, const X&... x) const {
    return partial(dy, std::index_sequence_for<X...>{}, x...);
  }

 private:
  template <class V, std::size_t... I, class... X>
  V partial(const V& dy, std::index_sequence<I...>, const X&... x) const {
    return dy * f(Dual<V, 1>{x, {constant<V>(I == K ? 1 : 0)}}...).partial[0];
  }
};

template <int Order, class T, class F, std::size_t... I>
Tensor<T> map_recorded(const F& f, std::index_sequence<I...>, const std::array<Tensor<T>, sizeof...(I)>& x);

template <int Order, std::size_t K, class T, class F, std::size_t N>
Tensor<T> map_partial(const F& f, const Tensor<T>& dy, const std::array<Tensor<T>, N>& x) {
  std::array<Tensor<T>, N + 1> inputs;
  inputs[0] = dy;
  std::copy(x.begin(), x.end(), inputs.begin() + 1);
  return map_recorded<Order, T>(PartialOf<K, F>{f}, std::make_index_sequence<N + 1>{}, inputs);
}

template <int Order, class T, class F, std::size_t... I>
Tensor<T> map_recorded(const F& f, std::index_sequence<I...>, const std::array<Tensor<T>, sizeof...(I)>& x) {
  constexpr std::size_t K = sizeof...(I);
  static_assert(K < max_loop_inputs);
  using B = simd::Batch<T>;
  const std::array<const Shape*, K> shapes{&x[I].shape()...};
  const LoopPlan plan = plan_loop("map", shapes.data(), K);
  Tensor<T> y = Tensor<T>::uninitialised(plan.out);
  run_loop<T, K, 1>(
      plan, {x[I].data()...}, {y.mutable_data()},
      [&f](const std::array<B, K>& v) {
        return std::array<B, 1>{f(Lane<T>{v[I], {}}...).value};
      },
      costly_grain);
  return record("map", std::move(y), {x[I]...}, [f, x](const Tensor<T>& dy, Wanted wanted) {
    if (Tape::recording()) {
      if constexpr (Order > 0) return wanted.gradients([&] { return map_partial<Order - 1, I>(f, dy, x); }...);
    }
    // One pass: f on dual numbers gives all partial derivatives.
    const std::array<const Shape*, K + 1> in_shapes{&x[I].shape()..., &dy.shape()};
    const LoopPlan back = plan_loop("map", in_shapes.data(), K + 1);
    std::array<Tensor<T>, K> dx{(wanted[I] ? Tensor<T>::uninitialised(dy.shape()) : Tensor<T>())...};
    run_loop<T, K + 1, K>(
        back, {x[I].data()..., dy.data()}, {(wanted[I] ? dx[I].mutable_data() : nullptr)...},
        [&f](const std::array<B, K + 1>& v) {
          const auto seed = [](std::size_t i, std::size_t k) { return B(T(i == k ? 1 : 0)); };
          std::array<Dual<B, K>, K> duals;
          for (std::size_t i = 0; i < K; ++i) {
            duals[i].value = v[i];
            for (std::size_t k = 0; k < K; ++k) duals[i].partial[k] = seed(i, k);
          }
          const Dual<B, K> result = f(duals[I]...);
          return std::array<B, K>{(v[K] * result.partial[I])...};
        },
        costly_grain);
    // Recorded all the same where a further derivative is not available, so that asking for it is an error.
    const auto deeper = [&](const Tensor<T>& g) {
      return g.defined() ? record("map", g, {dy, x[I]...}, [](const Tensor<T>&) -> Gradients { throw_map_order(); })
                         : g;
    };
    return Gradients(deeper(dx[I])...);
  });
}

}  // namespace detail

/// y_i = f(x_i, ...) elementwise over one to six tensors, broadcast together, as a single op: forward
/// evaluates f on SIMD batches, backward evaluates it on dual numbers over SIMD batches, one pass each.
///     auto y = map([](auto x, auto w, auto b) { return sigmoid(x * w + b) * tanh(x); }, x, w, b);
///
/// f is a generic lambda that may use numbers, + - * /, comparisons with select(), and the functions of
/// functions.hpp, listed in docs/map.md. The derivative is exact (the chain rule on each operation), to second order; a
/// third derivative throws TapeError: write that function with ops. Throws ShapeError if the shapes do not broadcast.
template <class F, class T, class... More> Tensor<T> map(const F& f, const Tensor<T>& x, const Tensor<More>&... more) {
  static_assert(sizeof...(More) < 6, "map: at most six tensors");
  static_assert((std::is_same_v<T, More> && ...), "map: tensors of one element type; cast the others");
  return detail::map_recorded<1, T>(f, std::make_index_sequence<1 + sizeof...(More)>{},
                                    std::array<Tensor<T>, 1 + sizeof...(More)>{x, more...});
}

}  // namespace xtape
