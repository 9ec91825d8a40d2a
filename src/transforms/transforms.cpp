#include <xtape/transforms.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "../ops/common.hpp"
#include "sweep.hpp"

#include <optional>

namespace xtape {
namespace {

template <class T> using Tensors = std::vector<Tensor<T>>;
using detail::FunctionOf;
using detail::FunctionOfMany;

// Whether a sweep is the last of a call: nobody differentiates its result, unless it is on the caller's tape.
enum class Last { no, yes };

// One call of a transform: the tape it works on, and the variables it differentiates by. The tape is the active one,
// with every sweep recorded, or one of its own.
template <class T> class Transform {
 public:
  // `passed`: what the caller of the transform has passed for x.
  Transform(const char* name, const Tensors<T>& x, const Tensors<T>& passed)
      : name_(name), recorded_(Tape::recording()), passed_(passed) {
    if (!recorded_) tape_.emplace();
    recording_ = detail::active_recording();
    first_ = recording_->nodes().size();
    for (const auto& tensor : x) x_.push_back(variable(tensor));
  }
  Transform(const char* name, const Tensors<T>& x) : Transform(name, x, x) {}
  // Nobody differentiates by these leaves any more; later sweeps over the active tape need not reach them.
  ~Transform() {
    for (auto& leaf : leaves_) leaf.set_requires_grad(false);
  }
  Transform(const Transform&) = delete;
  Transform& operator=(const Transform&) = delete;

  // A tensor apart from the caller's, on the same elements. On the active tape the caller's is what it is made from.
  Tensor<T> variable(const Tensor<T>& x) {
    Tensor<T> made = recorded_ ? reshape(x, x.shape()) : x.detach();
    if (made.requires_grad()) return made;
    made.set_requires_grad(true);
    leaves_.push_back(made);
    return made;
  }

  const Tensors<T>& x() const noexcept { return x_; }

  Tensor<T> value(const FunctionOfMany<T>& f) const {
    const Tensor<T> y = [&] {
      const LookFor look(*recording_, passed_);
      return f(x_);
    }();
    if (!y.defined()) throw Error(fmt::format("{}: the function returned an undefined tensor", name_));
    check_captured(y);
    return y;
  }
  Tensor<T> scalar(const FunctionOfMany<T>& f) const {
    Tensor<T> y = value(f);
    if (y.size() != 1)
      throw ShapeError(
          fmt::format("{}: the function must return one element, got shape {}; sum it, or take jacobian() or vjp()",
                      name_, to_string(y.shape())));
    return y;
  }

  // sum_i seed_i dy_i/dx for each x; undefined where there is none.
  Tensors<T> pull(const Tensor<T>& y, const Tensor<T>& seed, const Tensors<T>& x, Last last,
                  bool retain = false) const {
    std::vector<detail::Handle<detail::TensorImpl>> of;
    for (const auto& tensor : x) of.push_back(tensor.impl());
    const BackwardOptions options{.create_graph = recorded_ || last == Last::no, .retain_graph = retain};
    Tensors<T> result;
    for (auto& gradient : detail::gradients_of(*recording_, y.impl(), seed.impl(), of, options, first_))
      result.emplace_back(std::move(gradient));
    return result;
  }

  // As the caller gets it: zeros for what is undefined, and no link to a tape that ends here.
  Tensor<T> result(const Tensor<T>& y, const Shape& shape) const {
    if (!y.defined()) return zeros<T>(shape);
    return recorded_ ? y : y.detach();
  }
  Tensors<T> results(Tensors<T> gradients) const {
    for (std::size_t i = 0; i < gradients.size(); ++i) gradients[i] = result(gradients[i], x_[i].shape());
    return gradients;
  }

 private:
  // While one is in scope, what is computed from the tensors is recorded, even if they are constants.
  struct LookFor {
    std::vector<const detail::TensorImpl*>& all;
    std::size_t before;
    LookFor(detail::Recording& recording, const Tensors<T>& tensors) : all(recording.looked_for()), before(all.size()) {
      for (const auto& tensor : tensors) all.push_back(tensor.impl().get());
    }
    ~LookFor() { all.resize(before); }
    LookFor(const LookFor&) = delete;
    LookFor& operator=(const LookFor&) = delete;
  };
  // A function that is computed from the very tensor that was passed, and not from the variable that stands for it, has
  // the derivative zero, which nobody can have meant.
  void check_captured(const Tensor<T>& y) const {
    std::vector<detail::Handle<detail::TensorImpl>> tensors;
    for (const auto* list : {&x_, &passed_})
      for (const auto& tensor : *list) tensors.push_back(tensor.impl());
    const std::vector<bool> used = recording_->uses(y.impl(), tensors, first_);
    for (std::size_t k = 0; k < x_.size(); ++k)
      if (!used[k] && used[x_.size() + k])
        throw TapeError(fmt::format(
            "{}: the function does not use its argument{}, but has captured the tensor that was passed for it; that is "
            "a constant here, and the derivative would be zero. Compute with the argument. By a network's own "
            "parameters differentiate with tape.gradient(loss, net.parameters()), for higher orders with "
            "{{.create_graph = true}}. What is meant as a constant is captured as x.detach()",
            name_, x_.size() == 1 ? "" : fmt::format(" number {}", k)));
  }

  const char* name_;
  bool recorded_;  // on the caller's tape
  Tensors<T> passed_;
  std::optional<Tape> tape_;
  detail::Recording* recording_;
  std::size_t first_;  // the first node that is this call's
  Tensors<T> x_, leaves_;
};

template <class T> FunctionOfMany<T> of_first(const FunctionOf<T>& f) {
  return [&f](const Tensors<T>& x) { return f(x[0]); };
}

void check_shape(const char* name, const char* what, const Shape& given, const Shape& expected) {
  if (given != expected)
    throw ShapeError(
        fmt::format("{}: the {} has shape {}, expected {}", name, what, to_string(given), to_string(expected)));
}
template <class T> void check_directions(const char* name, const Tensors<T>& v, const Tensors<T>& x) {
  if (v.size() != x.size()) throw ShapeError(fmt::format("{}: {} directions for {} tensors", name, v.size(), x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) check_shape(name, "direction", v[i].shape(), x[i].shape());
}

template <class T>
ValueAndGrads<T> value_and_gradients(const char* name, const FunctionOfMany<T>& f, const Tensors<T>& x,
                                     const Tensors<T>& passed) {
  const Transform<T> transform(name, x, passed);
  const Tensor<T> y = transform.scalar(f);
  return {transform.result(y, y.shape()), transform.results(transform.pull(y, {}, transform.x(), Last::yes))};
}

template <class T> Tensor<T> jacobian_of(const char* name, const FunctionOf<T>& g, const Tensor<T>& x) {
  const Transform<T> transform(name, {x});
  const Tensor<T> y = transform.value(of_first<T>(g));
  if (y.dimension() + x.dimension() > max_rank)
    throw ShapeError(fmt::format("{}: {} and {} together have more than {} axes", name, to_string(y.shape()),
                                 to_string(x.shape()), max_rank));
  Shape shape = y.shape();
  for (const std::size_t extent : x.shape()) shape.push_back(extent);
  if (shape.elements() == 0) return zeros<T>(shape);
  static_cast<void>(result_of<T>(name, shape));  // refused at once, not after as many sweeps as there is memory for

  Tensors<T> rows;
  for (std::size_t i = 0; i < y.size(); ++i) {
    Tensor<T> seed = zeros<T>(y.shape());
    seed.modify()[i] = T(1);
    const auto row = transform.results(transform.pull(y, seed, transform.x(), Last::yes, true));
    rows.push_back(reshape(row[0], {1, -1}));
  }
  return transform.result(reshape(concatenate(rows), shape), shape);
}

}  // namespace

template <class T> Tensors<T> grad(const FunctionOfMany<T>& f, const Tensors<T>& x) {
  return value_and_gradients<T>("grad", f, x, x).gradients;
}
template <class T> Tensor<T> grad(const FunctionOf<T>& f, const Tensor<T>& x) {
  return value_and_gradients<T>("grad", of_first<T>(f), {x}, {x}).gradients[0];
}

template <class T> ValueAndGrads<T> value_and_grad(const FunctionOfMany<T>& f, const Tensors<T>& x) {
  return value_and_gradients<T>("value_and_grad", f, x, x);
}
template <class T> ValueAndGrad<T> value_and_grad(const FunctionOf<T>& f, const Tensor<T>& x) {
  const auto both = value_and_gradients<T>("value_and_grad", of_first<T>(f), {x}, {x});
  return {both.value, both.gradients[0]};
}

template <class T> Tensors<T> vjp(const FunctionOfMany<T>& g, const Tensors<T>& x, const Tensor<T>& u) {
  const Transform<T> transform("vjp", x);
  const Tensor<T> y = transform.value(g);
  check_shape("vjp", "left vector", u.shape(), y.shape());
  return transform.results(transform.pull(y, u, transform.x(), Last::yes));
}
template <class T> Tensor<T> vjp(const FunctionOf<T>& g, const Tensor<T>& x, const Tensor<T>& u) {
  return vjp<T>(of_first<T>(g), Tensors<T>{x}, u)[0];
}

template <class T> Tensor<T> jvp(const FunctionOfMany<T>& g, const Tensors<T>& x, const Tensors<T>& v) {
  check_directions("jvp", v, x);
  Transform<T> transform("jvp", x);
  const Tensor<T> y = transform.value(g);
  const Tensor<T> u = transform.variable(zeros<T>(y.shape()));
  const auto w = transform.pull(y, u, transform.x(), Last::no);
  // The sum of the inputs' parts, each of them a sweep: <dw_k/du, v_k>.
  Tensor<T> product;
  for (std::size_t k = 0; k < w.size(); ++k) {
    if (!w[k].defined()) continue;
    const Tensor<T> part = transform.pull(w[k], v[k], {u}, Last::yes, true)[0];
    if (part.defined()) product = product.defined() ? product + part : part;
  }
  return transform.result(product, y.shape());
}
template <class T> Tensor<T> jvp(const FunctionOf<T>& g, const Tensor<T>& x, const Tensor<T>& v) {
  return jvp<T>(of_first<T>(g), Tensors<T>{x}, Tensors<T>{v});
}

template <class T> Tensor<T> jacobian(const FunctionOf<T>& g, const Tensor<T>& x) {
  return jacobian_of<T>("jacobian", g, x);
}

template <class T> Tensor<T> hessian(const FunctionOf<T>& f, const Tensor<T>& x) {
  // A tape records while f's gradient is taken, so it is recorded too.
  const FunctionOfMany<T> of_many = of_first<T>(f);
  return jacobian_of<T>(
      "hessian",
      [&](const Tensor<T>& at) { return value_and_gradients<T>("hessian", of_many, {at}, {x}).gradients[0]; }, x);
}

template <class T> Tensors<T> hvp(const FunctionOfMany<T>& f, const Tensors<T>& x, const Tensors<T>& v) {
  check_directions("hvp", v, x);
  const Transform<T> transform("hvp", x);
  const auto g = transform.pull(transform.scalar(f), {}, transform.x(), Last::no);
  Tensor<T> slope;  // of f along v
  for (std::size_t k = 0; k < g.size(); ++k) {
    if (!g[k].defined()) continue;
    const Tensor<T> part = sum(g[k] * v[k]);
    slope = slope.defined() ? slope + part : part;
  }
  if (!slope.defined()) return transform.results(Tensors<T>(x.size()));
  return transform.results(transform.pull(slope, {}, transform.x(), Last::yes));
}
template <class T> Tensor<T> hvp(const FunctionOf<T>& f, const Tensor<T>& x, const Tensor<T>& v) {
  return hvp<T>(of_first<T>(f), Tensors<T>{x}, Tensors<T>{v})[0];
}

#define XTAPE_TRANSFORMS(T)                                                               \
  template Tensor<T> grad(const FunctionOf<T>&, const Tensor<T>&);                        \
  template Tensors<T> grad(const FunctionOfMany<T>&, const Tensors<T>&);                  \
  template ValueAndGrad<T> value_and_grad(const FunctionOf<T>&, const Tensor<T>&);        \
  template ValueAndGrads<T> value_and_grad(const FunctionOfMany<T>&, const Tensors<T>&);  \
  template Tensor<T> vjp(const FunctionOf<T>&, const Tensor<T>&, const Tensor<T>&);       \
  template Tensors<T> vjp(const FunctionOfMany<T>&, const Tensors<T>&, const Tensor<T>&); \
  template Tensor<T> jvp(const FunctionOf<T>&, const Tensor<T>&, const Tensor<T>&);       \
  template Tensor<T> jvp(const FunctionOfMany<T>&, const Tensors<T>&, const Tensors<T>&); \
  template Tensor<T> jacobian(const FunctionOf<T>&, const Tensor<T>&);                    \
  template Tensor<T> hessian(const FunctionOf<T>&, const Tensor<T>&);                     \
  template Tensor<T> hvp(const FunctionOf<T>&, const Tensor<T>&, const Tensor<T>&);       \
  template Tensors<T> hvp(const FunctionOfMany<T>&, const Tensors<T>&, const Tensors<T>&);
XTAPE_INSTANTIATE(XTAPE_TRANSFORMS)

}  // namespace xtape
