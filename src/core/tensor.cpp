#include <xtape/format.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <new>

namespace xtape::detail {

Handle<TensorImpl> TensorImpl::make(DType dtype, const Shape& shape) {
  const std::size_t elements = shape.elements();
  Handle<TensorImpl> impl(new (allocate(sizeof(TensorImpl))) TensorImpl(dtype, shape, elements));
  count_tensors(1);
  try {
    impl->storage = Storage::make(impl->size * impl->element_bytes());
  } catch (const MemoryError& error) {
    throw MemoryError(fmt::format("{}, for a tensor of shape {}", error.what(), to_string(shape)));
  }
  impl->data = impl->storage->data();
  return impl;
}

Handle<TensorImpl> TensorImpl::view(const TensorImpl& of, const Shape& shape, std::size_t first_element) {
  const std::size_t elements = shape.elements();
  Handle<TensorImpl> impl(new (allocate(sizeof(TensorImpl))) TensorImpl(of.dtype, shape, elements));
  count_tensors(1);
  impl->storage = of.storage;
  impl->data = static_cast<std::byte*>(of.data) + first_element * of.element_bytes();
  return impl;
}

Handle<TensorImpl> make_result(const char* op, DType dtype, const Shape& shape) {
  try {
    return TensorImpl::make(dtype, shape);
  } catch (const MemoryError& error) {
    throw MemoryError(fmt::format("{}: {}", op, error.what()));
  } catch (const ShapeError& error) {
    throw ShapeError(fmt::format("{}: {}", op, error.what()));
  }
}

Handle<TensorImpl> filled(DType dtype, const Shape& shape, double value) {
  return dtype == DType::float32 ? full(shape, static_cast<float>(value)).impl() : full(shape, value).impl();
}

void destroy(TensorImpl* impl) noexcept {
  // A gradient may have a gradient, and so on: without recursion.
  while (impl) {
    TensorImpl* const gradient = impl->grad.detach();
    impl->~TensorImpl();
    deallocate(impl, sizeof(TensorImpl));
    count_tensors(-1);
    impl = gradient && gradient->refs.decrement() ? gradient : nullptr;
  }
}

void throw_not_scalar(const Shape& shape) {
  throw ShapeError(fmt::format("item: a tensor of one element is needed, got shape {}", to_string(shape)));
}
void throw_undefined() {
  throw Error(
      "tensor: undefined (default-constructed) tensor used; grad() of a tensor that no sweep has reached is one");
}
void throw_element_count(const Shape& shape, std::size_t given) {
  throw ShapeError(fmt::format("tensor: shape {} needs {} values, got {}", to_string(shape), shape.elements(), given));
}
void throw_grad_shape(const Shape& tensor, const Shape& given) {
  throw ShapeError(fmt::format("set_grad: a tensor of shape {} cannot have a gradient of shape {}", to_string(tensor),
                               to_string(given)));
}
void throw_assign_shape(const Shape& leaf, const Shape& given) {
  throw ShapeError(
      fmt::format("assign: a leaf of shape {} cannot take values of shape {}", to_string(leaf), to_string(given)));
}

}  // namespace xtape::detail

namespace xtape {
namespace {

// One axis after the other, innermost last. With edges, of a longer axis only so many elements at its ends: three of
// the last two axes, one of the others.
template <class T>
void append_values(std::string& text, const Tensor<T>& x, std::size_t axis, std::size_t first, bool edges, int digits) {
  if (axis == x.dimension()) {
    const T value = x.data()[first];
    if (std::isnan(value))
      text += "nan";  // fmt would write the sign
    else
      fmt::format_to(std::back_inserter(text), "{:.{}g}", value, digits);
    return;
  }
  const std::size_t extent = x.shape()[axis], edge = axis + 2 < x.dimension() ? 1 : 3;
  std::size_t below = 1;
  for (std::size_t i = axis + 1; i < x.dimension(); ++i) below *= x.shape()[i];
  text += '[';
  for (std::size_t i = 0; i < extent; ++i) {
    if (i > 0) text += ", ";
    if (edges && extent > 2 * edge && i == edge) {
      text += "..., ";
      i = extent - edge;
    }
    append_values(text, x, axis + 1, first + i * below, edges, digits);
  }
  text += ']';
}

}  // namespace

template <class T> std::string to_string(const Tensor<T>& x, int digits) {
  if (digits < 1) throw ValueError(fmt::format("to_string: at least 1 digit is needed, got {}", digits));
  if (!x.defined()) return "undefined";
  constexpr std::size_t most = 1000;
  std::string text;
  append_values(text, x, 0, 0, x.size() > most, digits);
  return x.size() > most ? text + " of shape " + to_string(x.shape()) : text;
}
template std::string to_string(const Tensor<float>&, int);
template std::string to_string(const Tensor<double>&, int);

}  // namespace xtape
