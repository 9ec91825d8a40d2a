#pragma once
/// \file transforms.hpp  Functions of functions: gradients, Jacobians, Hessians and their products with vectors, and
/// checkpoint(), which trades time for memory.
///
/// f maps tensors to one element, g to any shape; both are callables of `const Tensor<T>&`, or of
/// `const std::vector<Tensor<T>>&` where several tensors are given. They get tensors of their own: a tensor that a
/// function uses from outside, even the x itself that is passed, is a constant of the derivative taken here. A function
/// that uses that x and not its argument is a TapeError: its derivative would be zero.
///
/// Without a tape that records, results are plain values, and nothing stays behind. With one, all that is computed goes
/// onto it, so results can be differentiated again, by x, by u and v, and by every tensor that f uses from outside:
/// transforms nest to any order that the ops allow. Under NoGrad results are plain values.
///
/// A function that does not depend on x has derivative zero. All throw ShapeError, named after the transform, on shapes
/// that do not fit; what f throws passes through and leaves every tape usable.

#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

#include <array>
#include <functional>
#include <type_traits>
#include <vector>

namespace xtape {

/// A function and its gradient at one point: `auto [value, gradient] = value_and_grad(f, x);`
template <class T> struct ValueAndGrad { Tensor<T> value, gradient; };
/// The same with a gradient by each of several tensors.
template <class T> struct ValueAndGrads {
  Tensor<T> value;
  std::vector<Tensor<T>> gradients;
};

namespace detail {
// T comes from the tensors alone; any callable that fits converts.
template <class T> using FunctionOf = std::type_identity_t<std::function<Tensor<T>(const Tensor<T>&)>>;
template <class T> using FunctionOfMany = std::type_identity_t<std::function<Tensor<T>(const std::vector<Tensor<T>>&)>>;
template <class T> using RandomFunction = std::type_identity_t<std::function<Tensor<T>(const Tensor<T>&, Rng&)>>;
template <class T>
using RandomFunctionOfMany = std::type_identity_t<std::function<Tensor<T>(const std::vector<Tensor<T>>&, Rng&)>>;

template <class T, std::size_t N> std::vector<Tensor<T>> to_vector(const Tensor<T> (&tensors)[N]) {
  return {tensors, tensors + N};
}
template <std::size_t N, class T> std::array<Tensor<T>, N> to_array(std::vector<Tensor<T>> tensors) {
  std::array<Tensor<T>, N> result;
  std::move(tensors.begin(), tensors.end(), result.begin());
  return result;
}
}  // namespace detail

/// df/dx        f: x.shape -> one element; the result has x's shape
/// Throws ShapeError if f gives more than one element: sum it, or take jacobian() or vjp().
template <class T> Tensor<T> grad(const detail::FunctionOf<T>& f, const Tensor<T>& x);
/// df/dx_k for each of several tensors:    auto [gw, gb] = grad(f, {w, b});
template <class T> std::vector<Tensor<T>> grad(const detail::FunctionOfMany<T>& f, const std::vector<Tensor<T>>& x);
template <class T, std::size_t N>
std::array<Tensor<T>, N> grad(const detail::FunctionOfMany<T>& f, const Tensor<T> (&x)[N]) {
  return detail::to_array<N>(grad(f, detail::to_vector(x)));
}
/// The gradient as a function, for nesting: grad(grad(grad(f)))(x) is the third derivative.
template <class F> auto grad(F f) {
  return [f = std::move(f)]<class T>(const Tensor<T>& x) { return grad(detail::FunctionOf<T>(std::cref(f)), x); };
}

/// f(x) and df/dx at the cost of the latter.
template <class T> ValueAndGrad<T> value_and_grad(const detail::FunctionOf<T>& f, const Tensor<T>& x);
template <class T> ValueAndGrads<T> value_and_grad(const detail::FunctionOfMany<T>& f, const std::vector<Tensor<T>>& x);
template <class T, std::size_t N>
ValueAndGrads<T> value_and_grad(const detail::FunctionOfMany<T>& f, const Tensor<T> (&x)[N]) {
  return value_and_grad(f, detail::to_vector(x));
}

/// u'J: sum_i u_i dg_i/dx        u: the shape of g(x); the result has x's shape. One sweep.
template <class T> Tensor<T> vjp(const detail::FunctionOf<T>& g, const Tensor<T>& x, const Tensor<T>& u);
template <class T>
std::vector<Tensor<T>> vjp(const detail::FunctionOfMany<T>& g, const std::vector<Tensor<T>>& x, const Tensor<T>& u);
template <class T, std::size_t N>
std::array<Tensor<T>, N> vjp(const detail::FunctionOfMany<T>& g, const Tensor<T> (&x)[N],
                             const std::type_identity_t<Tensor<T>>& u) {
  return detail::to_array<N>(vjp(g, detail::to_vector(x), u));
}

/// Jv: sum_j dg/dx_j v_j        v: x's shape; the result has the shape of g(x)
/// By two backward sweeps: u'J is linear in u, and its derivative by u along v is Jv.
template <class T> Tensor<T> jvp(const detail::FunctionOf<T>& g, const Tensor<T>& x, const Tensor<T>& v);
template <class T>
Tensor<T> jvp(const detail::FunctionOfMany<T>& g, const std::vector<Tensor<T>>& x, const std::vector<Tensor<T>>& v);
template <class T, std::size_t N>
Tensor<T> jvp(const detail::FunctionOfMany<T>& g, const Tensor<T> (&x)[N], const Tensor<T> (&v)[N]) {
  return jvp(g, detail::to_vector(x), detail::to_vector(v));
}

/// J_ij = dg_i/dx_j        of shape g(x).shape + x.shape
/// g runs once; a backward sweep for each element of g(x). Throws ShapeError if that makes more than max_rank axes.
template <class T> Tensor<T> jacobian(const detail::FunctionOf<T>& g, const Tensor<T>& x);

/// H_ij = d^2 f / dx_i dx_j        of shape x.shape + x.shape
/// f and its gradient run once; a backward sweep for each element of x. For large x take hvp().
template <class T> Tensor<T> hessian(const detail::FunctionOf<T>& f, const Tensor<T>& x);

/// Hv: the gradient of <df/dx, v>        v: x's shape, as the result. H itself is never formed: two sweeps.
template <class T> Tensor<T> hvp(const detail::FunctionOf<T>& f, const Tensor<T>& x, const Tensor<T>& v);
template <class T>
std::vector<Tensor<T>> hvp(const detail::FunctionOfMany<T>& f, const std::vector<Tensor<T>>& x,
                           const std::vector<Tensor<T>>& v);
template <class T, std::size_t N>
std::array<Tensor<T>, N> hvp(const detail::FunctionOfMany<T>& f, const Tensor<T> (&x)[N], const Tensor<T> (&v)[N]) {
  return detail::to_array<N>(hvp(f, detail::to_vector(x), detail::to_vector(v)));
}

/// y = f(x), keeping x instead of what f computes on the way; the backward sweep runs f again.
///
/// Gradients reach x and every parameter or recorded tensor that f uses. They are the gradients without checkpoint, to
/// the bit, but where one tensor gets several of its contributions from within f and others from later ops: those from
/// within are added up first. Checkpoints nest, and have derivatives of every order; a recorded sweep (create_graph)
/// keeps what f computes on the second run. Where nothing is recorded this is f(x).
///
/// f is copied and kept until the tape lets go of the node, and must compute the same again:
///   - what it captures by reference must live as long. Capture tensors by value, which costs a count;
///   - what it writes outside, such as running statistics, is written twice;
///   - random numbers must come from the Rng handed to checkpoint, of which the second run gets a copy as it was.
///     A generator that f captures has moved on by then: a dropout mask would differ.
/// Throws TapeError in the sweep if a parameter that f uses was modified, if f uses other tensors on its second run, or
/// if that gives another result, to the bit; and where checkpoints within each other have nearly used up the stack.
template <class T> Tensor<T> checkpoint(const detail::FunctionOf<T>& f, const Tensor<T>& x);
template <class T> Tensor<T> checkpoint(const detail::FunctionOfMany<T>& f, const std::vector<Tensor<T>>& x);
template <class T, std::size_t N> Tensor<T> checkpoint(const detail::FunctionOfMany<T>& f, const Tensor<T> (&x)[N]) {
  return checkpoint(f, detail::to_vector(x));
}
/// The same for an f that draws random numbers:
///     checkpoint([=](const auto& x, Rng& r) { return dropout(matmul(x, w), 0.5, r); }, x, rng)
template <class T> Tensor<T> checkpoint(const detail::RandomFunction<T>& f, const Tensor<T>& x, Rng& rng);
template <class T>
Tensor<T> checkpoint(const detail::RandomFunctionOfMany<T>& f, const std::vector<Tensor<T>>& x, Rng& rng);
template <class T, std::size_t N>
Tensor<T> checkpoint(const detail::RandomFunctionOfMany<T>& f, const Tensor<T> (&x)[N], Rng& rng) {
  return checkpoint(f, detail::to_vector(x), rng);
}

}  // namespace xtape
