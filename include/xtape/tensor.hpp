#pragma once
/// \file tensor.hpp  The value that flows through a model.

#include <xtape/detail/tensor_impl.hpp>
#include <xtape/detail/xtensor.hpp>
#include <xtape/error.hpp>
#include <xtape/shape.hpp>

#include <concepts>
#include <initializer_list>
#include <span>
#include <type_traits>

namespace xtape {

template <class T> class Tensor;

namespace detail {
template <class T> inline constexpr bool is_tensor = false;
template <class T> inline constexpr bool is_tensor<Tensor<T>> = true;

/// Keeps a tensor's elements alive for as long as an xtensor expression over them lives. xtensor takes
/// an object with one operator() for the destructor of a buffer, stores it and never calls it.
struct KeepAlive {
  Handle<Storage> storage;
  void operator()() const noexcept {}
};

// Spelled out to the last parameter: xtensor's defaults depend on the user's compiler flags.
using XShape = xt::svector<std::size_t, 4, std::allocator<std::size_t>, true>;
template <class V>
using XArray = xt::xarray_container<xt::uvector<V, std::allocator<V>>, xt::layout_type::row_major, XShape>;

[[noreturn]] void throw_not_scalar(const Shape& shape);
[[noreturn]] void throw_undefined();
[[noreturn]] void throw_element_count(const Shape& shape, std::size_t given);
[[noreturn]] void throw_grad_shape(const Shape& tensor, const Shape& given);
[[noreturn]] void throw_assign_shape(const Shape& leaf, const Shape& given);
/// Makes the elements of a leaf writable, without changing what others see, and counts the change.
/// Throws TapeError if the tensor was recorded as an op's result.
void prepare_assign(TensorImpl& leaf, bool keep_values);
/// Marks a leaf. Throws TapeError on the result of a recorded op.
void set_requires_grad(TensorImpl& leaf, bool requires_grad);
bool is_recorded(const TensorImpl& impl) noexcept;
}  // namespace detail

/// An xtensor expression: anything of xtensor's with a shape and elements.
template <class E>
concept XExpression = xt::is_xexpression<std::remove_cvref_t<E>>::value;

/// Elements as an xtensor array: `xt::xarray` in row-major order, with a layout that no compiler flag changes.
using IndexArray = detail::XArray<std::size_t>;

/// A cheap handle on contiguous, row-major elements and a shape; T is float or double.
///
/// Copies share the elements. Tensors are immutable but for leaves, which `assign` and the optimisers
/// update in place; a view or an array() taken before keeps the old values. A default-constructed
/// tensor is undefined: it has no elements and stands for "no gradient".
template <class T> class Tensor {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "xtape::Tensor<T>: T is float or double");

 public:
  using value_type = T;
  /// What array() returns: an xtensor expression over the elements that keeps them alive.
  using Array = xt::xarray_adaptor<xt::xbuffer_adaptor<const T*, xt::no_ownership, detail::KeepAlive>,
                                   xt::layout_type::row_major, detail::XShape>;

  Tensor() noexcept = default;
  /// A 0-d tensor.
  explicit Tensor(T value) : Tensor(WithoutValues{}, Shape{}) { *writable() = value; }
  /// Evaluates an xtensor expression, converting its elements to T.
  template <XExpression E> Tensor(const E& expression) : Tensor(WithoutValues{}, Shape(expression.shape())) {
    write(expression);
  }
  /// Copies `values`, in row-major order. Throws ShapeError if their number is not that of the shape.
  Tensor(const Shape& shape, std::span<const T> values) : Tensor(WithoutValues{}, shape) {
    if (values.size() != size()) detail::throw_element_count(shape, values.size());
    std::copy(values.begin(), values.end(), writable());
  }
  Tensor(const Shape& shape, std::initializer_list<T> values)
      : Tensor(shape, std::span<const T>(values.begin(), values.size())) {}

  bool defined() const noexcept { return static_cast<bool>(impl_); }
  const Shape& shape() const { return get().shape; }
  std::size_t shape(std::ptrdiff_t axis) const { return shape()[normalise_axis("shape", axis, shape())]; }
  /// Number of axes.
  std::size_t dimension() const { return get().shape.size(); }
  /// Number of elements.
  std::size_t size() const { return get().size; }

  const T* data() const { return static_cast<const T*>(get().data); }
  std::span<const T> span() const { return {data(), size()}; }
  /// The elements as an xtensor expression, without a copy.
  Array array() const {
    const auto& impl = get();
    return Array(typename Array::storage_type(data(), size(), detail::KeepAlive{impl.storage}),
                 detail::XShape(impl.shape.begin(), impl.shape.end()));
  }
  /// The value of a tensor with one element. Throws ShapeError on any other.
  T item() const {
    if (size() != 1) detail::throw_not_scalar(shape());
    return *data();
  }

  /// True if gradients flow to it: a leaf made by parameter(), or the result of a recorded op.
  bool requires_grad() const { return get().requires_grad || detail::is_recorded(get()); }
  /// Makes a leaf a parameter, or a constant again. Throws TapeError on the result of a recorded op.
  void set_requires_grad(bool requires_grad) { detail::set_requires_grad(get(), requires_grad); }
  /// What backward() has accumulated; undefined if nothing.
  Tensor grad() const { return Tensor(get().grad); }
  void set_grad(const Tensor& gradient) {
    if (gradient.defined() && gradient.shape() != shape()) detail::throw_grad_shape(shape(), gradient.shape());
    get().grad = gradient.impl_;
  }
  void zero_grad() { get().grad = {}; }
  /// The same elements without history: a constant to every tape.
  Tensor detach() const { return Tensor(detail::TensorImpl::view(get(), shape())); }
  /// A constant with elements of its own. A copy of the handle (`a.weight = b.weight`) and detach() share the elements,
  /// so that an assignment to one is seen in the other; of a copy() nothing is. parameter(x) copies too, and requires a
  /// gradient.
  Tensor copy() const { return Tensor(shape(), span()); }

  /// Writes new values of the same shape into a leaf. A tape that has recorded it will refuse to sweep.
  /// Throws TapeError on the result of a recorded op, ShapeError on another shape.
  template <XExpression E> void assign(const E& expression) {
    if (Shape(expression.shape()) != shape()) detail::throw_assign_shape(shape(), Shape(expression.shape()));
    // Evaluated first: the expression may read the very elements that it replaces.
    assign(Tensor(expression));
  }
  void assign(const Tensor& values) {
    if (values.shape() != shape()) detail::throw_assign_shape(shape(), values.shape());
    const Tensor keep = values.detach();
    detail::prepare_assign(get(), false);
    std::copy(keep.data(), keep.data() + size(), writable());
  }
  /// In-place access to a leaf's elements for optimisers; counts as an assignment.
  std::span<T> modify() {
    detail::prepare_assign(get(), true);
    return {writable(), size()};
  }

  // For the library's own use.
  explicit Tensor(detail::Handle<detail::TensorImpl> impl) noexcept : impl_(std::move(impl)) {}
  const detail::Handle<detail::TensorImpl>& impl() const noexcept { return impl_; }
  detail::Handle<detail::TensorImpl> take_impl() && noexcept { return std::move(impl_); }

 private:
  struct WithoutValues {};
  Tensor(WithoutValues, const Shape& shape) : impl_(detail::TensorImpl::make(detail::dtype_of<T>, shape)) {}
  T* writable() const { return static_cast<T*>(get().data); }
  detail::TensorImpl& get() const {
    if (!impl_) detail::throw_undefined();
    return *impl_;
  }
  template <class E> void write(const E& expression) {
    using Target = xt::xarray_adaptor<xt::xbuffer_adaptor<T*, xt::no_ownership, std::allocator<T>>,
                                      xt::layout_type::row_major, detail::XShape>;
    Target target(typename Target::storage_type(writable(), size()), detail::XShape(shape().begin(), shape().end()));
    xt::noalias(target) = expression;
  }

  detail::Handle<detail::TensorImpl> impl_;
};

template <XExpression E> Tensor(const E&) -> Tensor<typename E::value_type>;

/// A tensor while it is being made, by an op that computes it: the only one whose elements may be written freely.
template <class T> class Fresh {
 public:
  /// Not initialised. Throws MemoryError or ShapeError, in the op's name, if memory cannot hold it.
  Fresh(const char* op, const Shape& shape) : impl_(detail::make_result(op, detail::dtype_of<T>, shape)) {}
  explicit Fresh(const Shape& shape) : impl_(detail::TensorImpl::make(detail::dtype_of<T>, shape)) {}
  T* data() noexcept { return static_cast<T*>(impl_->data); }
  const Shape& shape() const noexcept { return impl_->shape; }
  std::size_t size() const noexcept { return impl_->size; }
  std::span<T> span() noexcept { return {data(), size()}; }
  /// On the elements of a sum that the sweep has lent (Wanted::sum_so_far), to add to it.
  static Fresh onto(Tensor<T> sum) noexcept { return Fresh(std::move(sum).take_impl()); }
  /// The tensor, which from now on is read only.
  Tensor<T> finished() && noexcept { return Tensor<T>(std::move(impl_)); }

 private:
  explicit Fresh(detail::Handle<detail::TensorImpl> impl) noexcept : impl_(std::move(impl)) {}
  detail::Handle<detail::TensorImpl> impl_;
};

/// A leaf that requires a gradient, on the values of `value`.
template <class T> Tensor<T> parameter(const Tensor<T>& value) {
  // Leaves are written in place, so a parameter has elements of its own.
  Tensor<T> leaf(value.shape(), value.span());
  leaf.set_requires_grad(true);
  return leaf;
}
template <XExpression E> auto parameter(const E& expression) { return parameter(Tensor(expression)); }

/// A constant tensor whose elements all have one value.
template <class T> Tensor<T> full(const Shape& shape, T value) {
  Fresh<T> result(shape);
  std::fill_n(result.data(), result.size(), value);
  return std::move(result).finished();
}
/// A constant tensor of zeros, as full() makes it.
template <class T> Tensor<T> zeros(const Shape& shape) { return full(shape, T(0)); }
/// A constant tensor of ones, as full() makes it.
template <class T> Tensor<T> ones(const Shape& shape) { return full(shape, T(1)); }

}  // namespace xtape
