// Functions of two tensors, with broadcasting. Their pullbacks are tensor ops; summing a gradient down to
// a broadcast input is left to the sweep.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>

#include <xtape/functions.hpp>
#include <xtape/map.hpp>

#include "../kernels/compensated.hpp"
#include "broadcast.hpp"
#include "gradients.hpp"

namespace xtape {
namespace detail {
namespace {

// Runs g with an input as what it is: a formula like dy * b need not make a tensor of a number b.
// That of pow compares its operands, which numbers among themselves do not do as tensors would.
template <class F, class T, class G> Tensor<T> with(const Tensor<T>& x, T number, G&& g) {
  if constexpr (std::is_same_v<F, fn::Pow>)
    return g(x.defined() ? x : Tensor<T>(number));
  else
    return x.defined() ? g(x) : g(number);
}

// An operand whose tensor is undefined is a number, which broadcasts to every shape.
template <class T> const Shape* shape_of(const Tensor<T>& x) { return x.defined() ? &x.shape() : nullptr; }
template <class T> const T* data_of(const Tensor<T>& x, const T& number) { return x.defined() ? x.data() : &number; }

// A function of functions/binary.hpp as an op. A number is no tensor among the inputs, but a member.
template <class F, class T> struct Binary {
  using value_type = T;
  static constexpr OpTraits traits{.name = F::name, .kind = kind_of_function<F>(), .takes_uniform = F::uses_inputs};
  T a_number, b_number;  // where the tensor is undefined

  LoopPlan plan(const Tensor<T>& a, const Tensor<T>& b) const {
    const std::array<const Shape*, 2> shapes{shape_of(a), shape_of(b)};
    return plan_loop(F::name, shapes.data(), 2);
  }
  void evaluate(Fresh<T>& y, const LoopPlan& plan, const Tensor<T>& a, const Tensor<T>& b) const {
    using B = simd::Batch<T>;
    run_loop<T, 2, 1>(plan, {data_of(a, a_number), data_of(b, b_number)}, {y.data()},
                      [](const std::array<B, 2>& v) { return std::array<B, 1>{F{}.value(v[0], v[1])}; });
  }

  // x * 2 keeps nothing of x: only the gradient of the other factor would need it.
  static bool keeps(std::size_t input, std::uint64_t needed) {
    if constexpr (!F::uses_inputs)
      return false;
    else
      return input == 0 ? F::pull_a_reads_a || (needed & 2U) != 0 : F::pull_b_reads_b || (needed & 1U) != 0;
  }
  // A uniform dy does not tell the shape of y: only both inputs do.
  static bool takes_uniform(std::uint64_t needed) { return keeps(0, needed) && keeps(1, needed); }

  Gradients pull(const Pull<T>& p) const requires(!F::uses_inputs) {
    return p.gradients([&] { return F{}.pull_a(p.dy, 0, 0); }, [&] { return F{}.pull_b(p.dy, 0, 0); });
  }
  Gradients pull(const Pull<T>& p, const Tensor<T>& a, const Tensor<T>& b) const requires(F::uses_inputs) {
    return p.gradients([&] { return with<F>(b, b_number, [&](const auto& v) { return F{}.pull_a(p.dy, a, v); }); },
                       [&] { return with<F>(a, a_number, [&](const auto& u) { return F{}.pull_b(p.dy, u, b); }); });
  }
  Gradients fused_pull(const Pull<T>& p, const Tensor<T>& a, const Tensor<T>& b) const requires(F::uses_inputs) {
    return p.gradients([&] { return in_one_pass<true>(p.dy, a, b, !p.wanted[1]); },
                       [&] { return in_one_pass<false>(p.dy, a, b, true); });
  }

 private:
  // dy times the derivative by a or by b. May be written over dy if nothing else needs that.
  template <bool by_a>
  Tensor<T> in_one_pass(const Tensor<T>& dy, const Tensor<T>& a, const Tensor<T>& b, bool overwrite) const {
    using B = simd::Batch<T>;
    const std::array<const Shape*, 3> shapes{&dy.shape(), shape_of(a), shape_of(b)};
    const LoopPlan plan = plan_loop(F::name, shapes.data(), 3);
    Fresh<T> dx = overwrite ? gradient_from(dy, plan.shape) : Fresh<T>(plan.shape);
    run_loop<T, 3, 1>(plan, {dy.data(), data_of(a, a_number), data_of(b, b_number)}, {dx.data()},
                      [](const std::array<B, 3>& v) {
                        const Lane<T> g{v[0], {}}, p{v[1], {}}, q{v[2], {}};
                        if constexpr (by_a)
                          return std::array<B, 1>{F{}.pull_a(g, p, q).value};
                        else
                          return std::array<B, 1>{F{}.pull_b(g, p, q).value};
                      });
    return std::move(dx).finished();
  }
};

template <class F, class T> Tensor<T> binary(Operand<T>& a, Operand<T>& b) {
  return xtape::apply(Binary<F, T>{a.number, b.number}, std::move(a.tensor), std::move(b.tensor));
}

// y = x where the condition is not 0, else y: NaN is not 0. The condition is no tensor to the tape, which asks it for
// no gradient. A number in the place of x or y makes the op affine.
template <class T> struct Where {
  using value_type = T;
  static constexpr OpTraits traits{.name = "where", .kind = Kind::elementwise};
  T x_number, y_number;  // where the tensor is undefined

  LoopPlan plan(const Tensor<T>& x, const Tensor<T>& y, const Operand<T>& condition) const {
    const std::array<const Shape*, 3> shapes{condition.shape(), shape_of(x), shape_of(y)};
    return plan_loop("where", shapes.data(), 3);
  }
  void evaluate(Fresh<T>& result, const LoopPlan& plan, const Tensor<T>& x, const Tensor<T>& y,
                const Operand<T>& condition) const {
    using B = simd::Batch<T>;
    run_loop<T, 3, 1>(
        plan, {condition.data(), data_of(x, x_number), data_of(y, y_number)}, {result.data()},
        [](const std::array<B, 3>& v) { return std::array<B, 1>{xsimd::select(v[0] == B(T(0)), v[2], v[1])}; });
  }
  static bool keeps(std::size_t, std::uint64_t) { return false; }
  Gradients pull(const Pull<T>& p, const Tensor<T>&, const Tensor<T>&, const Operand<T>& condition) const {
    return p.gradients([&] { return where<T>(condition, p.dy, 0); }, [&] { return where<T>(condition, 0, p.dy); });
  }
};

// 1 where the comparison holds, else 0.
template <class T> struct Compare {
  using value_type = T;
  static constexpr OpTraits traits{.name = "compare", .kind = Kind::elementwise, .differentiable = false};
  Comparison comparison;
  T a_number, b_number;  // where the tensor is undefined
  const char* name() const {
    constexpr const char* names[] = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"};
    return names[static_cast<std::size_t>(comparison)];
  }

  LoopPlan plan(const Tensor<T>& a, const Tensor<T>& b) const {
    const std::array<const Shape*, 2> shapes{shape_of(a), shape_of(b)};
    return plan_loop(name(), shapes.data(), 2);
  }
  void evaluate(Fresh<T>& y, const LoopPlan& plan, const Tensor<T>& a, const Tensor<T>& b) const {
    using B = simd::Batch<T>;
    // `holds` compares so that NaN gives false; not_equal is what equal is not.
    const auto loop = [&](auto holds, T yes = 1, T no = 0) {
      run_loop<T, 2, 1>(plan, {data_of(a, a_number), data_of(b, b_number)}, {y.data()}, [=](const std::array<B, 2>& v) {
        return std::array<B, 1>{xsimd::select(holds(v[0], v[1]), B(yes), B(no))};
      });
    };
    switch (comparison) {
      case Comparison::less: return loop([](const B& u, const B& v) { return u < v; });
      case Comparison::less_equal: return loop([](const B& u, const B& v) { return u <= v; });
      case Comparison::greater: return loop([](const B& u, const B& v) { return u > v; });
      case Comparison::greater_equal: return loop([](const B& u, const B& v) { return u >= v; });
      case Comparison::equal: return loop([](const B& u, const B& v) { return u == v; });
      default: return loop([](const B& u, const B& v) { return u == v; }, 0, 1);
    }
  }
};

}  // namespace
}  // namespace detail

namespace fn {
// What pull() formulas call: a function that has no name of its own among the ops.
template <class F, class A, class C>
requires Operands<A, C>
static auto apply(const F&, const A& a, const C& b) {
  using T = xtape::detail::joined_element<A, C>;
  xtape::detail::Operand<T> p(a), q(b);
  return xtape::detail::binary<F>(p, q);
}
}  // namespace fn

namespace detail {
template <class T> Tensor<T> add(Operand<T> a, Operand<T> b) { return binary<fn::Add>(a, b); }
template <class T> Tensor<T> subtract(Operand<T> a, Operand<T> b) { return binary<fn::Subtract>(a, b); }
template <class T> Tensor<T> multiply(Operand<T> a, Operand<T> b) { return binary<fn::Multiply>(a, b); }
template <class T> Tensor<T> divide(Operand<T> a, Operand<T> b) { return binary<fn::Divide>(a, b); }
template <class T> Tensor<T> maximum(Operand<T> a, Operand<T> b) { return binary<fn::Maximum>(a, b); }
template <class T> Tensor<T> minimum(Operand<T> a, Operand<T> b) { return binary<fn::Minimum>(a, b); }
template <class T> Tensor<T> atan2(Operand<T> y, Operand<T> x) { return binary<fn::Atan2>(y, x); }
template <class T> Tensor<T> hypot(Operand<T> a, Operand<T> b) { return binary<fn::Hypot>(a, b); }
template <class T> Tensor<T> logaddexp(Operand<T> a, Operand<T> b) { return binary<fn::Logaddexp>(a, b); }
template <class T> Tensor<T> pow(Operand<T> a, Operand<T> b) {
  return b.is_number() ? pow_number(a.tensor, static_cast<double>(b.number)) : binary<fn::Pow>(a, b);
}

template <class T> Tensor<T> where(Operand<T> condition, Operand<T> x, Operand<T> y) {
  return xtape::apply(Where<T>{x.number, y.number}, std::move(x.tensor), std::move(y.tensor), std::move(condition));
}

template <class T> Tensor<T> compare(Comparison comparison, const Operand<T>& a, const Operand<T>& b) {
  return xtape::apply(Compare<T>{comparison, a.number, b.number}, a.tensor, b.tensor);
}

template <class T> Tensor<T> scaled(const Tensor<T>& dy, const Tensor<T>& slope, bool overwrite) {
  using B = simd::Batch<T>;
  const bool uniform = dy.size() == 1;
  if (slope.size() == 1 && !uniform) {
    if (overwrite && *slope.data() == T(1)) return dy;  // a recorded gradient must be a tensor of its own
    Fresh<T> dx(dy.shape());                            // not over dy, which other inputs' gradients need
    run_long_row<T, 2, 1>(dy.size(), {dy.data(), slope.data()}, {1, 0}, {dx.data()},
                          [](const std::array<B, 2>& v) { return std::array<B, 1>{v[0] * v[1]}; });
    return std::move(dx).finished();
  }
  if (overwrite && uniform && *dy.data() == T(1)) return slope;  // of a sum that is the loss
  Fresh<T> dx = overwrite ? Fresh<T>::onto(slope) : Fresh<T>(slope.shape());
  const std::size_t step = uniform ? 0 : 1;
  run_long_row<T, 2, 1>(slope.size(), {slope.data(), dy.data()}, {1, step}, {dx.data()},
                        [](const std::array<B, 2>& v) { return std::array<B, 1>{v[0] * v[1]}; });
  return std::move(dx).finished();
}

#define XTAPE_BINARY(T)                                                \
  template Tensor<T> add(Operand<T>, Operand<T>);                      \
  template Tensor<T> subtract(Operand<T>, Operand<T>);                 \
  template Tensor<T> multiply(Operand<T>, Operand<T>);                 \
  template Tensor<T> divide(Operand<T>, Operand<T>);                   \
  template Tensor<T> pow(Operand<T>, Operand<T>);                      \
  template Tensor<T> maximum(Operand<T>, Operand<T>);                  \
  template Tensor<T> minimum(Operand<T>, Operand<T>);                  \
  template Tensor<T> atan2(Operand<T>, Operand<T>);                    \
  template Tensor<T> hypot(Operand<T>, Operand<T>);                    \
  template Tensor<T> logaddexp(Operand<T>, Operand<T>);                \
  template Tensor<T> where(Operand<T>, Operand<T>, Operand<T>);        \
  template Tensor<T> scaled(const Tensor<T>&, const Tensor<T>&, bool); \
  template Tensor<T> compare(Comparison, const Operand<T>&, const Operand<T>&);
XTAPE_INSTANTIATE(XTAPE_BINARY)

// ---- what the sweep asks for ---------------------------------------------------------------------------

namespace {
template <class T> void add_into(TensorImpl& into, const TensorImpl& gradient) {
  using B = simd::Batch<T>;
  auto* sum = static_cast<T*>(into.data);
  run_long_row<T, 2, 1>(into.size, {sum, static_cast<const T*>(gradient.data)}, {1, 1}, {sum},
                        [](const std::array<B, 2>& v) { return std::array<B, 1>{v[0] + v[1]}; });
}
}  // namespace

Handle<TensorImpl> add_gradients(const Handle<TensorImpl>& a, const Handle<TensorImpl>& b) {
  return a->dtype == DType::float32 ? (Tensor<float>(a) + Tensor<float>(b)).impl()
                                    : (Tensor<double>(a) + Tensor<double>(b)).impl();
}

float* rest_for_addition(TensorImpl& into) {
  constexpr std::uint32_t few = 32;  // whose rounding errors are left as they are
  const std::uint32_t before = into.version++;
  if (into.dtype != DType::float32 || before < few) return nullptr;
  // The rest of a sum that somebody has written since is none.
  if (!into.rest || into.rest->version != before) into.rest = filled(DType::float32, into.shape, 0.0);
  into.rest->version = into.version;
  return static_cast<float*>(into.rest->data);
}

void add_in_place(TensorImpl& into, const TensorImpl& gradient) {
  if (float* const rest = rest_for_addition(into)) {
    using B = simd::Batch<float>;
    auto* const sum = static_cast<float*>(into.data);
    run_long_row<float, 3, 2>(into.size, {sum, rest, static_cast<const float*>(gradient.data)}, {1, 1, 1}, {sum, rest},
                              [](const std::array<B, 3>& v) {
                                std::array<B, 2> both{v[0], v[1]};
                                kernels::add_exactly(both[0], both[1], v[2]);
                                return both;
                              });
    return;
  }
  into.dtype == DType::float32 ? add_into<float>(into, gradient) : add_into<double>(into, gradient);
}

}  // namespace detail

namespace detail {
void throw_map_order() {
  throw TapeError("map: only first and second derivatives; write the function with ops for higher ones");
}
}  // namespace detail

}  // namespace xtape
