#pragma once
/// \file tape.hpp  The recording of a computation, and the backward sweep over it.

#include <xtape/record.hpp>

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

namespace detail {
class Recording;
/// One of the tensors that a sweep is asked for the gradients of, and where the gradient goes.
struct SweepTarget {
  const Handle<TensorImpl>* of = nullptr;
  Handle<TensorImpl> gradient = {};
};
}  // namespace detail
struct Profile;

/// What a tape does beside recording. Both cost time, so both are off unless asked for.
struct TapeOptions {
  /// The first op, forward or backward, that makes a NaN or an infinity throws AnomalyError; see docs/debugging.md.
  ///
  /// Every recorded op's output is searched, every gradient that a pullback or a hook returns, and the sums that the
  /// sweep makes of them. NaN is always reported, infinity if the op made it of finite inputs and, backward, of
  /// finite gradients: a mask of -inf is no anomaly.
  /// Ops that are not recorded, because no input needs a gradient, are not searched.
  bool anomaly = false;
  /// Time and bytes of each op, for profile().
  bool profile = false;
};

/// What a tensor is called in dump() and to_dot(): {W1, "W1"}.
struct TensorName {
  template <class T> TensorName(const Tensor<T>& named, std::string as) : tensor(named.impl()), name(std::move(as)) {}
  detail::Handle<detail::TensorImpl> tensor;
  std::string name;
};

/// How a sweep treats the tape.
struct BackwardOptions {
  /// Record the sweep itself, so that its gradients can be differentiated again. Implies retain_graph.
  bool create_graph = false;
  /// Keep what the sweep has passed, for another one. Otherwise memory is freed as the sweep goes.
  bool retain_graph = false;
};

/// Records the ops of this thread for as long as it is in scope.
///
/// An op is recorded if one of its inputs needs a gradient: a parameter, or the result of an op recorded
/// before. Nodes lie in execution order, so the reverse of it is a topological order.
///
/// Tapes nest: ops go onto the innermost one. For that tape a tensor recorded on an enclosing tape is an
/// input like a parameter: `gradient` reaches it and stops there. A tensor whose tape has ended or was
/// cleared is a constant. A tape belongs to the thread that made it. Another one may destroy it: nothing more is
/// recorded then, and what it holds is freed by its own thread, with that thread's next op, tape or end.
class Tape {
 public:
  explicit Tape(const TapeOptions& options = {});
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Adds dy/dp to p.grad() for every parameter p that y depends on. y has one element.
  /// Throws TapeError if y has more, was not recorded here or was swept already, if a parameter, or a constant
  /// that a pullback may need, was modified since an op took it, or if called on another thread.
  template <class T> void backward(const Tensor<T>& y, const BackwardOptions& options = {}) {
    sweep(y.impl(), {}, nullptr, options);
  }
  /// The same for y of any shape: adds sum_i seed_i dy_i/dp. seed has y's shape.
  template <class T> void backward(const Tensor<T>& y, const Tensor<T>& seed, const BackwardOptions& options = {}) {
    sweep(y.impl(), seed.impl(), nullptr, options);
  }

  /// dy/dx for each x, a parameter or an intermediate result; touches no grad(). Zeros where y does not
  /// depend on x. Throws as backward does, and if x needs no gradient at all.
  ///     auto [gx, gw] = tape.gradient(y, {x, w});
  template <class T, std::size_t N>
  std::array<Tensor<T>, N> gradient(const Tensor<T>& y, const Tensor<T> (&x)[N], const BackwardOptions& options = {}) {
    return gradient_by_few(y, {}, x, options);
  }
  template <class T>
  std::vector<Tensor<T>> gradient(const Tensor<T>& y, const std::vector<Tensor<T>>& x,
                                  const BackwardOptions& options = {}) {
    return gradient_by_list(y, {}, x, options);
  }
  /// The vector-Jacobian product sum_i seed_i dy_i/dx for each x, for y of any shape; seed has y's shape.
  template <class T, std::size_t N>
  std::array<Tensor<T>, N> vjp(const Tensor<T>& y, const Tensor<T>& seed, const Tensor<T> (&x)[N],
                               const BackwardOptions& options = {}) {
    return gradient_by_few(y, seed, x, options);
  }
  template <class T>
  std::vector<Tensor<T>> vjp(const Tensor<T>& y, const Tensor<T>& seed, const std::vector<Tensor<T>>& x,
                             const BackwardOptions& options = {}) {
    return gradient_by_list(y, seed, x, options);
  }

  /// Calls f(gradient) in every sweep that computes a gradient of x, a parameter or a tensor recorded here, as soon
  /// as all of it is there: before x's own pullback runs, before it is added to grad(), before gradient() returns it.
  /// A parameter's is there when the sweep has passed the first op that used it, and not only at the sweep's end.
  ///     tape.hook(h, [](const Tensor<float>& dh) { return clip(dh, -1, 1); });
  /// f returns nothing, or a gradient to go on with instead (an undefined tensor: the same). Of several hooks on x
  /// each sees what the one before returned. Ops in f are recorded if the sweep is (create_graph). Hooks end with
  /// clear(). The sweeps of checkpoints and transforms call no hook of a parameter: only yours do.
  /// An exception in f ends the sweep; the tape stays usable, but nodes that the sweep has passed may be freed, and
  /// of backward() those parameters' grad() that were reached before keep what was added, in part or in whole:
  /// zero_grad() them before another sweep.
  /// Throws TapeError if x needs no gradient here or if called on another thread, and in the sweep if f returns
  /// another shape than x's.
  template <class T, class F> void hook(const Tensor<T>& x, F f) {
    add_hook(x.impl(), [f = std::move(f)](const Impl& gradient) mutable -> Impl {
      if constexpr (std::is_void_v<std::invoke_result_t<F&, const Tensor<T>&>>) {
        f(Tensor<T>(gradient));
        return {};
      } else {
        return Tensor<T>(f(Tensor<T>(gradient))).take_impl();
      }
    });
  }

  /// Forgets everything recorded, keeping the memory for what comes next. Throws TapeError during a sweep, or if
  /// called on another thread.
  void clear();
  /// Number of nodes.
  std::size_t size() const noexcept;
  /// The parameters of type T that the recorded ops have used, each once, in the order of their first use. Of those
  /// that an optimiser should know see Sgd::unknown.
  template <class T> std::vector<Tensor<T>> parameters() const {
    std::vector<Tensor<T>> found;
    for (Impl& source : parameters_of(detail::dtype_of<T>)) found.emplace_back(std::move(source));
    return found;
  }
  /// The recorded ops' names, in execution order.
  std::vector<std::string_view> op_names() const;

  /// What is recorded, a line for each op: its number, name, output's shape and bytes, and its inputs: the numbers of
  /// ops, parameters, constants. "kept": the output is held for the pullback; "freed": a sweep has passed.
  ///     fmt::print("{}", tape.dump({{W, "W"}, {b, "b"}}));
  std::string dump(const std::vector<TensorName>& names = {}) const;
  /// The same as a graph for Graphviz: `dot -Tpng`.
  std::string to_dot(const std::vector<TensorName>& names = {}) const;
  /// What the ops have cost since the tape was made, see profile.hpp. Throws TapeError without TapeOptions::profile.
  Profile profile() const;

  /// True if ops of this thread are being recorded.
  static bool recording() noexcept;

 private:
  using Impl = detail::Handle<detail::TensorImpl>;
  using Target = detail::SweepTarget;
  void add_hook(const Impl& x, std::function<Impl(const Impl&)> hook);
  std::vector<Impl> parameters_of(detail::DType dtype) const;
  void sweep(const Impl& y, const Impl& seed, std::span<Target>* targets, const BackwardOptions& options);

  // Without a vector, which would come from malloc.
  template <class T, std::size_t N>
  std::array<Tensor<T>, N> gradient_by_few(const Tensor<T>& y, const Tensor<T>& seed, const Tensor<T> (&x)[N],
                                           const BackwardOptions& options) {
    std::array<Target, N> targets;
    std::array<Tensor<T>, N> result;
    gradient_into<T>(y, seed, x, targets, result, options);
    return result;
  }
  template <class T>
  std::vector<Tensor<T>> gradient_by_list(const Tensor<T>& y, const Tensor<T>& seed, const std::vector<Tensor<T>>& x,
                                          const BackwardOptions& options) {
    std::vector<Target> targets(x.size());
    std::vector<Tensor<T>> result(x.size());
    gradient_into<T>(y, seed, x, targets, result, options);
    return result;
  }
  template <class T>
  void gradient_into(const Tensor<T>& y, const Tensor<T>& seed, std::span<const Tensor<T>> x, std::span<Target> targets,
                     std::span<Tensor<T>> result, const BackwardOptions& options) {
    for (std::size_t i = 0; i < x.size(); ++i) targets[i].of = &x[i].impl();
    sweep(y.impl(), seed.impl(), &targets, options);
    for (std::size_t i = 0; i < x.size(); ++i) result[i] = Tensor<T>(std::move(targets[i].gradient));
  }

  detail::Recording* recording_;
};

/// dump(), for fmt too: fmt::print("{}", tape).
std::string to_string(const Tape& tape);

/// While one is in scope, ops of this thread are not recorded, until a new Tape is opened inside. Tapes and NoGrads
/// may end in any order.
class NoGrad {
 public:
  NoGrad() noexcept;
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  std::uint64_t opened_;  // numbered among tapes and pauses
};

}  // namespace xtape
