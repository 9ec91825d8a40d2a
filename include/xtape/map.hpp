#pragma once
/// \file map.hpp  One fused elementwise op for a function of the user's.

#include <xtape/detail/loop.hpp>
#include <xtape/detail/strict_math.hpp>
#include <xtape/functions.hpp>
#include <xtape/record.hpp>
#include <xtape/tape.hpp>

#include <array>
#include <utility>

namespace xtape {
namespace detail {

[[noreturn]] void throw_map_order();
/// dy slope, where each may be a single element that stands for a tensor full of it; written into slope itself if that
/// may be overwritten.
template <class T> Tensor<T> scaled(const Tensor<T>& dy, const Tensor<T>& slope, bool overwrite);

/// dy df/dx_k, as a function of (dy, x...) that can be mapped and differentiated like f itself.
template <std::size_t K, class F> struct PartialOf {
  F f;
  template <class V, class... X> V operator()(const V& dy, const X&... x) const {
    return partial(dy, std::index_sequence_for<X...>{}, x...);
  }

 private:
  template <class V, std::size_t... I, class... X>
  V partial(const V& dy, std::index_sequence<I...>, const X&... x) const {
    return dy * partial_of(f(Dual<V, 1>{x, {constant<V>(1)}, I == K ? 1U : 0U}...), 0);
  }
};

/// f, with the instruction set that it is compiled for in the name of all that is made of it: where files of different
/// -march call map with one function, the linker must not take one's code for the other's.
template <class F, class Arch> struct CompiledFor {
  F f;
  template <class... X> auto operator()(const X&... x) const { return f(x...); }
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

/// Of a map: its slopes by the inputs that need a gradient were found with its value.
template <int Order, class T, class F, std::size_t K> struct MapPullback {
  static constexpr bool takes_uniform = true;
  F f;
  std::array<Tensor<T>, K> x, slope;

  Gradients operator()(const Tensor<T>& dy, Wanted wanted) const {
    return run(dy, wanted, std::make_index_sequence<K>{});
  }

 private:
  template <std::size_t... I> Gradients run(const Tensor<T>& dy, Wanted wanted, std::index_sequence<I...>) const {
    if (!Tape::recording()) return wanted.gradients([&] { return scaled(dy, slope[I], wanted.last()); }...);
    if constexpr (Order > 0)
      return wanted.gradients([&] { return map_partial<Order - 1, I>(f, dy, x); }...);
    else  // Recorded all the same, so that asking for a further derivative is an error.
      return wanted.gradients([&] {
        return record("map", scaled(dy, slope[I], false), {dy, x[I]...},
                      [](const Tensor<T>&) -> Gradients { throw_map_order(); });
      }...);
  }
};

/// The shape of one element with `rank` axes.
inline Shape single_element(std::size_t rank) {
  Shape shape;
  for (std::size_t i = 0; i < rank; ++i) shape.push_back(1);
  return shape;
}

/// Input number `input` of K as a dual number: its derivative by itself is 1.
template <std::size_t K, class B> Dual<B, K> seeded(const B& value, std::size_t input) noexcept {
  return make_dual<B, K>(
      value, 1U << input, [](std::size_t) { return constant<B>(1); }, 1U << input);
}

template <int Order, class T, class F, std::size_t... I>
Tensor<T> map_recorded(const F& f, std::index_sequence<I...>, const std::array<Tensor<T>, sizeof...(I)>& x) {
  constexpr std::size_t K = sizeof...(I);
  static_assert(K <= max_loop_inputs);
  using B = simd::Batch<T>;
  const std::array<const Shape*, K> shapes{&x[I].shape()...};
  const LoopPlan plan = plan_loop("map", shapes.data(), K);
  Tensor<T> y = Tensor<T>::uninitialised(plan.shape);
  const std::array<bool, K> wanted{must_record({x[I]})...};
  // A plain loop for values alone. Not of second derivatives, which are seldom the end of it: it would double their
  // code.
  if constexpr (Order > 0)
    if ((!wanted[I] && ...)) {
      run_loop<T, K, 1, true>(
          plan, {x[I].data()...}, {y.mutable_data()},
          [&f](const std::array<B, K>& v) {
            return std::array<B, 1>{f(Lane<T>{v[I], {}}...).value};
          },
          costly_grain);
      return y;
    }
  // One pass: f on dual numbers gives the value and all slopes. `found`, if not null, is told which are uniform.
  const auto formula = [&f](unsigned* found) {
    return [&f, found](const std::array<B, K>& v) {
      const Dual<B, K> result = f(seeded<K>(v[I], I)...);
      if (found) *found = result.uniform;
      return std::array<B, K + 1>{result.value, partial_of(result, I)...};
    };
  };
  // A slope that is the same everywhere is kept as one element, found by the first ones.
  unsigned uniform = 0;
  std::array<T, K + 1> first{};
  if (y.size() > 0)
    run_row_once<T, K, K + 1>(1, {x[I].data()...}, {}, {&first[0], &first[I + 1]...}, formula(&uniform));
  const auto make_slope = [&](std::size_t i) {
    if (!wanted[i]) return Tensor<T>();
    if (((uniform >> i) & 1U) == 0 || x[i].shape() != plan.shape) return Tensor<T>::uninitialised(plan.shape);
    return full(single_element(plan.shape.size()), first[i + 1]);
  };
  const std::array<Tensor<T>, K> slope{make_slope(I)...};
  const auto filled = [&](std::size_t i) {
    return wanted[i] && slope[i].size() == y.size() ? slope[i].mutable_data() : nullptr;
  };
  run_loop<T, K, K + 1, true>(plan, {x[I].data()...}, {y.mutable_data(), filled(I)...}, formula(nullptr), costly_grain);
  return record("map", std::move(y), {x[I]...}, MapPullback<Order, T, F, K>{f, x, slope});
}

}  // namespace detail

/// y_i = f(x_i, ...) elementwise over one to six tensors, broadcast together, as a single op in one pass over SIMD
/// batches: on a tape over dual numbers, which give the slopes along with the value. They are kept, one array for each
/// input that needs a gradient, and backward they are multiplied by dy.
///     auto y = map([](auto x, auto w, auto b) { return sigmoid(x * w + b) * tanh(x); }, x, w, b);
///
/// f is a generic lambda that may use numbers, + - * /, comparisons with select(), and the functions of
/// functions.hpp, listed in docs/map.md. The derivative is exact (the chain rule on each operation), to second order; a
/// third derivative throws TapeError: write that function with ops. Throws ShapeError if the shapes do not broadcast.
template <class F, class T, class... More, class Arch = xsimd::default_arch>
Tensor<T> map(const F& f, const Tensor<T>& x, const Tensor<More>&... more) {
  static_assert(sizeof...(More) < 6, "map: at most six tensors");
  static_assert(XTAPE_STRICT_MATH || sizeof(F) == 0,
                "xtape: map's formulas are wrong under -ffast-math and its parts (-ffinite-math-only, "
                "-fassociative-math, -freciprocal-math, -fno-signed-zeros): put the calls of map into a file compiled "
                "with -fno-fast-math, or write the formula with xtape's ops, which are right under any flags");
  detail::refuse_fast_math();
  static_assert((std::is_same_v<T, More> && ...), "map: tensors of one element type; cast the others");
  return detail::map_recorded<1, T>(detail::CompiledFor<F, Arch>{f}, std::make_index_sequence<1 + sizeof...(More)>{},
                                    std::array<Tensor<T>, 1 + sizeof...(More)>{x, more...});
}

}  // namespace xtape
