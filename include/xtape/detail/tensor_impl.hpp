#pragma once
/// \file detail/tensor_impl.hpp  What a Tensor handle points to. Not typed, so that the tape can hold
/// float and double tensors alike.

#include <xtape/detail/memory.hpp>
#include <xtape/shape.hpp>

namespace xtape::detail {

enum class DType : std::uint8_t { float32, float64 };
template <class T> inline constexpr DType dtype_of = sizeof(T) == 4 ? DType::float32 : DType::float64;

/// Where a tensor was recorded: node number `node` of the recording `recording`. Recordings are numbered
/// from 1 and never reused, so a link to a tape that is gone is recognised. All that a tensor knows of tapes.
struct TapeLink {
  std::uint64_t recording = 0;
  std::uint32_t node = 0;
};

struct TensorImpl {
  RefCount refs;
  DType dtype;
  bool requires_grad = false;
  std::uint32_t version = 0;  // counts assignments to a leaf, and what is added to a gradient
  Shape shape;
  std::size_t size = 0;
  void* data = nullptr;  // within storage; contiguous, row-major
  Handle<Storage> storage;
  Handle<TensorImpl> grad;
  Handle<TensorImpl> rest;  // of a gradient of very many parts: what rounding has left out of it so far
  TapeLink link;

  TensorImpl(DType type, const Shape& extents, std::size_t elements) : dtype(type), shape(extents), size(elements) {}

  std::size_t element_bytes() const noexcept { return dtype == DType::float32 ? 4 : 8; }
  /// True if nobody else can see the elements: they may be overwritten.
  bool exclusive() const noexcept { return refs.unique() && storage->refs.unique() && link.recording == 0; }

  /// A tensor with storage of its own, not initialised.
  static Handle<TensorImpl> make(DType dtype, const Shape& shape);
  /// A tensor on the same elements, with no history; `shape` must have as many elements.
  static Handle<TensorImpl> view(const TensorImpl& of, const Shape& shape, std::size_t first_element = 0);
};
/// An uninitialised tensor for an op's result. Throws MemoryError or ShapeError in the op's name.
Handle<TensorImpl> make_result(const char* op, DType dtype, const Shape& shape);
/// A tensor full of one value.
Handle<TensorImpl> filled(DType dtype, const Shape& shape, double value);
inline void retain(TensorImpl* impl) noexcept { impl->refs.increment(); }
void destroy(TensorImpl* impl) noexcept;
inline void release(TensorImpl* impl) noexcept {
  if (impl->refs.decrement()) destroy(impl);
}

}  // namespace xtape::detail
