#pragma once
/// \file op.hpp  An op is a value: a struct whose members are its options and whose methods are its rules. apply() is
/// the one door through which ops run, the library's own and a user's alike.
///
///     template <class T> struct Scale {
///       using value_type = T;
///       static constexpr OpTraits traits{.name = "scale", .kind = Kind::elementwise | Kind::linear};
///       T factor;
///       Shape shape(const Tensor<T>& x) const { return x.shape(); }
///       void evaluate(Fresh<T>& y, const Tensor<T>& x) const;
///       Gradients pull(const Pull<T>& p) const { return Gradients(scale(p.dy, factor)); }
///     };
///     template <class T> Tensor<T> scale(const Tensor<T>& x, T factor) { return apply(Scale<T>{factor}, x); }

#include <xtape/integers.hpp>
#include <xtape/record.hpp>
#include <xtape/tape.hpp>

#include <array>
#include <tuple>
#include <utility>
#include <vector>

namespace xtape {

/// What the library knows of an op beside its rules.
struct OpTraits {
  const char* name;  ///< on the tape and at the beginning of errors; an op of several names has a method name()
  Kind kind = Kind::general;
  bool reads_result = false;   ///< the pull rule takes the op's own result, as Pull::y
  bool takes_uniform = false;  ///< Pull::dy may be a single element that stands for a tensor full of it
  bool differentiable = true;  ///< false: it is never recorded and has no pull rule, as a comparison
};

/// The state of an op that keeps none from its value to its gradient.
struct Nothing {};

/// What a pull rule is given beside the op's inputs. `State` is the op's, if it has one.
template <class T, class State = Nothing> struct Pull {
  const Tensor<T>& dy;  ///< the gradient of the result
  const Tensor<T>& y;   ///< the result, if the op's traits say that it is read
  const State& state;   ///< what evaluate() left for the gradient
  Wanted wanted;        ///< the inputs whose gradients somebody asked for
  /// One function without arguments for each tensor among the inputs; only those of wanted inputs are called.
  template <class... F> Gradients gradients(F&&... functions) const {
    return wanted.gradients(std::forward<F>(functions)...);
  }
};

/// An op as a value. It has
///   value_type             the element type of its result
///   traits                 an OpTraits
///   shape(inputs...)       the result's shape, or a reference to it. All checks of the inputs are here
///   evaluate(y, inputs...) writes the result into a Fresh tensor. If the op has a type `State`, a State* follows y:
///                          what the gradient needs is left there. It is null if nobody will ask for a gradient; a
///                          member `needed` of it has a bit for each tensor whose gradient may be asked for
///   pull(p, inputs...)     the gradients of its tensors, written in tensor ops, so that every order follows. If it is
///                          pull(p), it reads none of the inputs, which are then not kept
/// and may have
///   fused_pull(p, ...)     the same gradients in one pass: called where nothing records
///   keeps(i, needed)       does the gradient of any tensor whose bit is set in `needed` read input i?
///   takes_uniform(needed)  is Pull::dy taken uniform also where these gradients alone are needed?
///   plan(inputs...)        in the place of shape(): a struct with a member `shape` and what else follows from shapes
///                          alone; evaluate() takes it behind y
///   view(inputs...)        in the place of shape() and evaluate(): a tensor on the elements of an input
/// An input is a Tensor, a std::vector of tensors, Integers, an Rng, or anything else that copies cheaply; tensors come
/// first. To the pull rule, tensors that keeps() denies are undefined, as are those of a linear op.
template <class Op>
concept OpValue = requires {
  typename Op::value_type;
  Op::traits.name;
};

namespace detail {

template <class Op> struct StateOf { using type = Nothing; };
template <class Op>
requires requires { typename Op::State; }
struct StateOf<Op> {
  using type = typename Op::State;
};

template <class Op> using PullOf = Pull<typename Op::value_type, typename StateOf<Op>::type>;
/// A pull rule that takes inputs beside its first argument has them kept.
template <class Op> inline constexpr bool reads_inputs = !requires(const Op& op, const PullOf<Op>& p) { op.pull(p); };

template <class Op> const char* name_of(const Op& op) noexcept {
  if constexpr (requires { op.name(); })
    return op.name();
  else
    return Op::traits.name;
}

/// What a node keeps of an op: the op, its state, and the inputs that its pull rule reads.
template <class Op, class... In> struct Recorded {
  using T = typename Op::value_type;
  using State = typename StateOf<Op>::type;
  [[no_unique_address]] Op op;
  [[no_unique_address]] State state;
  [[no_unique_address]] std::conditional_t<reads_inputs<Op>, std::tuple<In...>, std::tuple<>> inputs;

  static Gradients run(void* self, Handle<TensorImpl> gradient, const Handle<TensorImpl>& output, Wanted wanted) {
    const auto& r = *static_cast<const Recorded*>(self);
    const Tensor<T> dy(std::move(gradient)), y(output);
    const Pull<T, State> p{dy, y, r.state, wanted};
    return std::apply([&](const auto&... in) { return r.pull(p, in...); }, r.inputs);
  }
  static constexpr PullbackType type(bool takes_uniform) {
    return {&run,
            [](void* self) noexcept { static_cast<Recorded*>(self)->~Recorded(); },
            Op::traits.reads_result,
            !std::is_trivially_destructible_v<Recorded>,
            takes_uniform,
            Op::traits.kind};
  }

 private:
  template <class... Read> Gradients pull(const Pull<T, State>& p, const Read&... in) const {
    if constexpr (requires { op.fused_pull(p, in...); })
      if (!Tape::recording()) return op.fused_pull(p, in...);
    return op.pull(p, in...);
  }
};
template <class R, bool takes_uniform> inline constexpr PullbackType recorded_type = R::type(takes_uniform);

template <class R, class Op> const PullbackType* type_of(const Op& op, [[maybe_unused]] std::uint64_t needed) {
  if constexpr (requires { op.takes_uniform(needed); })
    if (!op.takes_uniform(needed)) return &recorded_type<R, false>;
  return &recorded_type<R, Op::traits.takes_uniform>;
}

/// Which of the inputs need a gradient on the thread's active tape: a bit for each, the last for all from the 64th on.
std::uint64_t needed_gradients(const Inputs& inputs);

/// Input number `index` of the tuple that a node keeps: an undefined tensor if no gradient that is needed reads it.
template <class Op, class In>
std::remove_cvref_t<In> kept(const Op& op, In&& input, std::size_t index, std::uint64_t needed) {
  if constexpr (is_tensor<std::remove_cvref_t<In>>) {
    if constexpr (has(Op::traits.kind, Kind::linear)) return {};
    if constexpr (requires { op.keeps(index, needed); }) {
      if (!op.keeps(index, needed)) return {};
    } else if constexpr (has(Op::traits.kind, Kind::bilinear)) {
      if ((needed & ~(std::uint64_t{1} << index)) == 0) return {};
    }
  }
  return std::forward<In>(input);
}

template <class In> inline constexpr bool is_list = false;
template <class T> inline constexpr bool is_list<std::vector<Tensor<T>>> = true;

/// The tensors among an op's inputs, in their order.
template <class... In> auto tensors_of(const In&... in) {
  if constexpr ((is_list<In> || ...)) {
    std::vector<Inputs::Input> list;
    const auto add = [&]<class Each>(const Each& input) {
      if constexpr (is_list<Each>)
        list.insert(list.end(), input.begin(), input.end());
      else if constexpr (is_tensor<Each>)
        list.emplace_back(input);
    };
    (add(in), ...);
    return list;
  } else {
    std::array<Inputs::Input, (std::size_t{is_tensor<In>} + ... + 0)> list;
    std::size_t count = 0;
    const auto add = [&]<class Each>(const Each& input) {
      if constexpr (is_tensor<Each>) list[count++] = input;
    };
    (add(in), ...);
    return list;
  }
}

/// The result of an op, and its state if `state` is not null. `plan`: what plan() gave, if the op has that.
template <class Op, class State, class Plan, class... In>
Tensor<typename Op::value_type> evaluated(const Op& op, State* state, const Shape& shape, const Plan& plan, In&... in) {
  Fresh<typename Op::value_type> y(name_of(op), shape);
  constexpr bool plans = !std::is_same_v<Plan, Shape>, keeps_state = !std::is_same_v<State, Nothing>;
  if constexpr (plans && keeps_state)
    op.evaluate(y, plan, state, in...);
  else if constexpr (plans)
    op.evaluate(y, plan, in...);
  else if constexpr (keeps_state)
    op.evaluate(y, state, in...);
  else
    op.evaluate(y, in...);
  return std::move(y).finished();
}
template <class Op, class State, class... In>
Tensor<typename Op::value_type> evaluate_op(const Op& op, State* state, In&... in) {
  if constexpr (requires { op.view(in...); }) {
    return op.view(in...);
  } else if constexpr (requires { op.plan(in...); }) {
    const auto plan = op.plan(in...);
    return evaluated(op, state, plan.shape, plan, in...);
  } else {
    const Shape& shape = op.shape(in...);
    return evaluated(op, state, shape, shape, in...);
  }
}

template <class Op, std::size_t... I, class... In>
Tensor<typename Op::value_type> apply_to(Op& op, std::index_sequence<I...>, In&&... in) {
  using R = Recorded<Op, std::remove_cvref_t<In>...>;
  const auto tensors = tensors_of(in...);
  const Inputs inputs{std::span<const Inputs::Input>(tensors)};
  const std::uint64_t needed = needed_gradients(inputs);
  typename R::State state{};
  if constexpr (requires { state.needed; }) state.needed = needed;
  Tensor<typename Op::value_type> y = evaluate_op(op, needed != 0 ? &state : nullptr, in...);
  if (needed == 0) return y;
  void* const place = pullback_storage(sizeof(R), alignof(R));
  R* recorded;
  if constexpr (reads_inputs<Op>) {
    std::tuple<std::remove_cvref_t<In>...> read{kept(op, std::forward<In>(in), I, needed)...};
    recorded = ::new (place) R{std::move(op), std::move(state), std::move(read)};
  } else {
    recorded = ::new (place) R{std::move(op), std::move(state), {}};
  }
  const Op& kept_op = recorded->op;
  return Tensor<typename Op::value_type>(
      append(name_of(kept_op), std::move(y).take_impl(), inputs, recorded, type_of<R>(kept_op, needed)));
}

}  // namespace detail

/// Runs an op on its inputs, through whatever the thread is doing: computes the result, and if a tape is recording and
/// an input needs a gradient, records the op. Throws what the op's rules throw. The op is written in the call:
/// apply(Scale<T>{2}, x).
template <class Op, class... In>
requires OpValue<Op> Tensor<typename Op::value_type> apply(Op&& op, In&&... in) {
  if constexpr (Op::traits.differentiable)
    return detail::apply_to(op, std::index_sequence_for<In...>(), std::forward<In>(in)...);
  else
    return detail::evaluate_op(op, static_cast<Nothing*>(nullptr), in...);
}

}  // namespace xtape
