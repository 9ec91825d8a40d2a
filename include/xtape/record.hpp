#pragma once
/// \file record.hpp  The short way onto a tape: record() a value with the pullback that belongs to it. An op with
/// rules, see op.hpp, can do more.

#include <xtape/tensor.hpp>

#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace xtape {

/// The tensors that an op's result depends on: `{x, w}`, or a list of tensors. float and double may mix.
class Inputs {
 public:
  struct Input {
    detail::TensorImpl* impl = nullptr;
    Input() = default;
    template <class T> Input(const Tensor<T>& tensor) : impl(tensor.impl().get()) {}
  };
  // The list lives as long as the call it is written in.
  Inputs(std::initializer_list<Input> inputs) : size_(inputs.size()) { first_ = std::data(inputs); }
  /// The list must outlive the call to record().
  explicit Inputs(std::span<const Input> inputs) : first_(inputs.data()), size_(inputs.size()) {}
  std::size_t size() const noexcept { return size_; }
  detail::TensorImpl* operator[](std::size_t i) const noexcept { return first_[i].impl; }

 private:
  const Input* first_ = nullptr;
  std::size_t size_;
};

/// What a pullback returns: one gradient per input, in their order. An undefined tensor stands for zero.
/// A gradient may have the shape of the output where its input was broadcast: it is summed down to the
/// input's shape when it is accumulated. One of a single element, with as many axes as the input, stands for a tensor
/// full of it.
class Gradients {
 public:
  Gradients() = default;
  template <class... T> explicit Gradients(const Tensor<T>&... gradients) { (add(gradients.impl()), ...); }
  template <class T> explicit Gradients(const std::vector<Tensor<T>>& gradients) {
    for (const auto& gradient : gradients) add(gradient.impl());
  }
  std::size_t size() const noexcept { return size_; }
  detail::Handle<detail::TensorImpl>& operator[](std::size_t i) noexcept {
    return i < inline_count ? few_[i] : more_[i - inline_count];
  }
  void add(detail::Handle<detail::TensorImpl> gradient) {
    if (size_ < inline_count)
      few_[size_] = std::move(gradient);
    else
      more_.push_back(std::move(gradient));
    ++size_;
  }

 private:
  static constexpr std::size_t inline_count = 4;
  std::array<detail::Handle<detail::TensorImpl>, inline_count> few_;
  std::vector<detail::Handle<detail::TensorImpl>> more_;
  std::size_t size_ = 0;
};

namespace detail {
/// What the inputs of a node have got so far of the gradients that a sweep sums up.
class Sums {
 public:
  /// An input's sum, lent to its pullback; null if there is none yet that may be written.
  virtual Handle<TensorImpl> lend(std::size_t input) = 0;

 protected:
  ~Sums() = default;
};
}  // namespace detail

/// Tells a pullback which gradients somebody asked for, so that it computes no other.
class Wanted {
 public:
  explicit Wanted(std::uint64_t mask, bool last = false, detail::Sums* sums = nullptr) noexcept
      : mask_(mask), last_(last), sums_(sums) {}
  bool operator[](std::size_t input) const noexcept { return input >= 64 || ((mask_ >> input) & 1) != 0; }
  /// True if the pullback will not run again: it may overwrite what only it holds.
  bool last() const noexcept { return last_; }
  /// For a gradient that is 0 but in a few places: the sum of the gradients that others have given the input, if there
  /// is one and nobody else sees it, or else an undefined tensor. The pullback adds its own part in place, and returns
  /// the whole as the input's gradient; of many such parts each then costs no more than its own size.
  /// Where the sweep is recorded, the whole must be recorded with the sum as one of its inputs.
  template <class T> Tensor<T> sum_so_far(std::size_t input) const {
    return sums_ ? Tensor<T>(sums_->lend(input)) : Tensor<T>();
  }
  /// One function without arguments per input; only those of wanted inputs are called.
  template <class... F> Gradients gradients(F&&... functions) const {
    Gradients result;
    std::size_t input = 0;
    (result.add((*this)[input++] ? functions().impl() : detail::Handle<detail::TensorImpl>{}), ...);
    return result;
  }

 private:
  std::uint64_t mask_;
  bool last_;
  detail::Sums* sums_;
};

/// What kind of function an op is, of its tensors together. A transform takes the default rule of the kind for what an
/// op gives no rule of its own. Kinds may be joined: an addition is elementwise and linear.
enum class Kind : unsigned {
  general = 0,
  elementwise = 1,  ///< y_i depends on x_i alone, of each of the inputs, which broadcast
  linear = 2,       ///< linear in all tensors together: the pull rule reads none of them. A number that stands in the
                    ///< place of a tensor, as in x + 1, counts as a constant
  bilinear = 4,     ///< linear in each of two tensors: the gradient of one reads the other, and not itself
};
constexpr Kind operator|(Kind a, Kind b) {
  return static_cast<Kind>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(Kind kinds, Kind kind) {
  return (static_cast<unsigned>(kinds) & static_cast<unsigned>(kind)) == static_cast<unsigned>(kind);
}

namespace detail {

/// How to run and to destroy a pullback whose type the tape has forgotten.
struct PullbackType {
  Gradients (*run)(void* pullback, Handle<TensorImpl> gradient, const Handle<TensorImpl>& output, Wanted wanted);
  void (*destroy)(void* pullback) noexcept;
  bool takes_output;
  bool owns;           // something with a destructor: it may hold tensors
  bool takes_uniform;  // dy may be a single element that stands for a tensor full of it
  Kind kind = Kind::general;
};

template <class T, class F>
Gradients run_pullback(void* pullback, Handle<TensorImpl> gradient, const Handle<TensorImpl>& output, Wanted wanted) {
  auto& f = *static_cast<F*>(pullback);
  const Tensor<T> dy(std::move(gradient));
  using D = const Tensor<T>&;
  if constexpr (std::is_invocable_r_v<Gradients, F&, D, D, Wanted>)
    return f(dy, Tensor<T>(output), wanted);
  else if constexpr (std::is_invocable_r_v<Gradients, F&, D, D>)
    return f(dy, Tensor<T>(output));
  else if constexpr (std::is_invocable_r_v<Gradients, F&, D, Wanted>)
    return f(dy, wanted);
  else {
    static_assert(std::is_invocable_r_v<Gradients, F&, D>,
                  "record: a pullback takes (dy), (dy, y), (dy, wanted) or (dy, y, wanted) and returns Gradients");
    return f(dy);
  }
}

/// True if F says so by a member: static constexpr bool takes_uniform = true.
template <class F> constexpr bool takes_uniform() {
  if constexpr (requires { F::takes_uniform; })
    return F::takes_uniform;
  else
    return false;
}

template <class T, class F>
inline constexpr PullbackType pullback_type = {&run_pullback<T, F>,
                                               [](void* pullback) noexcept { static_cast<F*>(pullback)->~F(); },
                                               std::is_invocable_v<F&, const Tensor<T>&, const Tensor<T>&, Wanted> ||
                                                   std::is_invocable_v<F&, const Tensor<T>&, const Tensor<T>&>,
                                               !std::is_trivially_destructible_v<F>, takes_uniform<F>()};

/// True if a tape is recording on this thread and one of the inputs needs a gradient on it.
bool must_record(const Inputs& inputs);
/// Room for a pullback in the active tape's arena.
void* pullback_storage(std::size_t bytes, std::size_t alignment);
/// Appends a node to the active tape and links the value to it; takes over the pullback.
Handle<TensorImpl> append(const char* name, Handle<TensorImpl> value, const Inputs& inputs, void* pullback,
                          const PullbackType* type);

}  // namespace detail

/// Records that `value` was computed from `inputs`, on the thread's active tape, and returns it as a
/// recorded tensor. Without a tape, or if no input needs a gradient, returns `value` as it is.
///
/// `name`: a string that lives as long as the tape (a literal).
/// `pullback`: maps the gradient dL/dvalue to the gradients of the inputs:
///     Gradients pullback(const Tensor<T>& dy [, const Tensor<T>& value] [, Wanted wanted])
/// with dy of value's shape. Write it in tensor ops, and gradients of gradients need no extra rule. Take
/// the op's own result as the second argument instead of capturing it: a captured copy has no history.
template <class T, class F> Tensor<T> record(const char* name, Tensor<T> value, const Inputs& inputs, F&& pullback) {
  if (!detail::must_record(inputs)) return value;
  using Pullback = std::decay_t<F>;
  void* place = detail::pullback_storage(sizeof(Pullback), alignof(Pullback));
  auto* closure = ::new (place) Pullback(std::forward<F>(pullback));
  return Tensor<T>(
      detail::append(name, std::move(value).take_impl(), inputs, closure, &detail::pullback_type<T, Pullback>));
}

}  // namespace xtape
