#pragma once
/// \file map.hpp  One fused elementwise op for a function of the user's.

#include <xtape/detail/loop.hpp>
#include <xtape/detail/strict_math.hpp>
#include <xtape/functions.hpp>
#include <xtape/op.hpp>

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

/// dy times a slope of a map's second derivative. Recorded, so that asking for a further derivative is an error.
template <class T> struct MapAtLastOrder {
  using value_type = T;
  static constexpr OpTraits traits{.name = "map"};
  Tensor<T> slope;
  template <class... X> Tensor<T> view(const Tensor<T>& dy, const X&...) const { return scaled(dy, slope, false); }
  Gradients pull(const Pull<T>&) const { throw_map_order(); }
};

/// A formula of the user's as an op. Its slopes by the inputs that need a gradient are found with its value, and
/// backward they are multiplied by dy; a recorded sweep maps dy df/dx in its place, `Order` times.
template <int Order, class T, class F, std::size_t K> struct Map {
  using value_type = T;
  using B = simd::Batch<T>;
  using Index = std::make_index_sequence<K>;
  static constexpr OpTraits traits{.name = "map", .kind = Kind::elementwise, .takes_uniform = true};
  struct State {
    std::uint64_t needed = 0;
    std::array<Tensor<T>, K> slope;
  };
  F f;

  template <class... X> LoopPlan plan(const X&... x) const {
    const std::array<const Shape*, K> shapes{&x.shape()...};
    return plan_loop("map", shapes.data(), K);
  }
  template <class... X> void evaluate(Fresh<T>& y, const LoopPlan& plan, State* state, const X&... x) const {
    // A plain loop for values alone. Not of second derivatives, which are seldom the end of it: it would double their
    // code.
    if constexpr (Order > 0)
      if (!state) return evaluate_values(y, plan, x...);
    State unused;
    evaluate_slopes(y, plan, state ? *state : unused, Index(), {x.data()...}, {&x.shape()...});
  }
  template <class... X>
  requires(sizeof...(X) == K) Gradients pull(const Pull<T, State>& p, const X&... x)
  const { return pull_recorded(p, Index(), x...); }
  template <class... X>
  requires(sizeof...(X) == K) Gradients fused_pull(const Pull<T, State>& p, const X&...)
  const { return pull_slopes(p, Index()); }

 private:
  template <class... X> void evaluate_values(Fresh<T>& y, const LoopPlan& plan, const X&... x) const {
    run_loop<T, K, 1, true>(
        plan, {x.data()...}, {y.data()},
        [this](const std::array<B, K>& v) { return std::array<B, 1>{value(v, Index())}; }, costly_grain);
  }
  template <std::size_t... I> B value(const std::array<B, K>& v, std::index_sequence<I...>) const {
    return f(Lane<T>{v[I], {}}...).value;
  }
  // One pass: f on dual numbers gives the value and all slopes.
  template <std::size_t... I>
  void evaluate_slopes(Fresh<T>& y, const LoopPlan& plan, State& state, std::index_sequence<I...>,
                       const std::array<const T*, K>& x, const std::array<const Shape*, K>& shapes) const {
    // `found`, if not null, is told which slopes are uniform.
    const auto formula = [this](unsigned* found) {
      return [this, found](const std::array<B, K>& v) {
        const Dual<B, K> result = f(seeded<K>(v[I], I)...);
        if (found) *found = result.uniform;
        return std::array<B, K + 1>{result.value, partial_of(result, I)...};
      };
    };
    // A slope that is the same everywhere is kept as one element, found by the first ones.
    unsigned uniform = 0;
    std::array<T, K + 1> first{};
    if (y.size() > 0) run_row_once<T, K, K + 1>(1, x, {}, {&first[0], &first[I + 1]...}, formula(&uniform));
    std::array<T*, K + 1> out{y.data()};
    for (std::size_t i = 0; i < K; ++i) {
      if (((state.needed >> i) & 1U) == 0) continue;
      if (((uniform >> i) & 1U) != 0 && *shapes[i] == plan.shape) {
        state.slope[i] = full(single_element(plan.shape.size()), first[i + 1]);
        if (y.size() != 1) continue;
      }
      Fresh<T> slope("map", plan.shape);
      out[i + 1] = slope.data();
      state.slope[i] = std::move(slope).finished();
    }
    run_loop<T, K, K + 1, true>(plan, x, out, formula(nullptr), costly_grain);
  }

  template <std::size_t... I> Gradients pull_slopes(const Pull<T, State>& p, std::index_sequence<I...>) const {
    return p.gradients([&] { return scaled(p.dy, p.state.slope[I], p.wanted.last()); }...);
  }
  template <std::size_t... I, class... X>
  Gradients pull_recorded(const Pull<T, State>& p, std::index_sequence<I...>, const X&... x) const {
    if constexpr (Order > 0)
      return p.gradients([&] {
        const PartialOf<I, F> partial{f};
        return apply(Map<Order - 1, T, PartialOf<I, F>, K + 1>{partial}, p.dy, x...);
      }...);
    else
      return p.gradients([&] { return apply(MapAtLastOrder<T>{p.state.slope[I]}, p.dy, x...); }...);
  }
};

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
  using Formula = detail::CompiledFor<F, Arch>;
  return apply(detail::Map<1, T, Formula, 1 + sizeof...(More)>{Formula{f}}, x, more...);
}

}  // namespace xtape
