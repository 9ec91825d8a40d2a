#pragma once
/// \file detail/operand.hpp  What may stand beside a tensor in an elementwise op: a tensor of the same
/// element type, a number, or an xtensor expression.

#include <xtape/tensor.hpp>

#include <bit>
#include <cstdint>
#include <limits>

namespace xtape {
namespace detail {

/// A tensor or a number (which broadcasts to any shape, without being made a tensor).
template <class T> struct Operand {
  Tensor<T> tensor;  // undefined for a number
  T number{};

  Operand(Tensor<T> t) : tensor(std::move(t)) {
    if (!tensor.defined()) throw_undefined();
  }
  template <XExpression E> Operand(const E& expression) : tensor(expression) {}
  template <class S>
  requires(!std::is_same_v<S, T>) Operand(const Tensor<S>&) {
    static_assert(std::is_same_v<S, T>,
                  "xtape: tensors of float and double do not mix: write cast<float>(x) or cast<double>(x)");
  }
  template <class S>
  requires std::is_arithmetic_v<S> Operand(S value) : number(static_cast<T>(value)) {
    // An input that is seen: a tape that searches for the first infinity must know that it was put in. Told by its
    // exponent's bits: under -ffast-math in the user's file any comparison says finite.
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    constexpr Bits exponent = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
    if ((std::bit_cast<Bits>(number) & exponent) == exponent) tensor = Tensor<T>(number);
  }

  bool is_number() const noexcept { return !tensor.defined(); }
  const T* data() const { return is_number() ? &number : tensor.data(); }
  const Shape* shape() const { return is_number() ? nullptr : &tensor.shape(); }
};

template <class A> inline constexpr bool may_join = is_tensor<A> || std::is_arithmetic_v<A> || XExpression<A>;

template <class... A> struct JoinedElement {};
template <class T, class... A> struct JoinedElement<Tensor<T>, A...> { using type = T; };
template <class First, class... A>
requires(!is_tensor<First>) struct JoinedElement<First, A...> : JoinedElement<A...> {
};

/// The element type of the first tensor among A.
template <class... A> using joined_element = typename JoinedElement<std::remove_cvref_t<A>...>::type;

}  // namespace detail

/// Arguments of an elementwise op: at least one tensor. Constrained overloads on forwarding references win
/// over xtensor's own greedy operators, so that `tensor + array` is a Tensor and not a lazy expression.
template <class... A>
concept Operands = (detail::is_tensor<std::remove_cvref_t<A>> || ...) &&
                   (detail::may_join<std::remove_cvref_t<A>> && ...);

}  // namespace xtape
