#pragma once
// What the ops' sources share.

#include <xtape/error.hpp>
#include <xtape/op.hpp>
#include <xtape/tape.hpp>
#include <xtape/tensor.hpp>

#include "gradients.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace xtape::detail {

// An owned list of integers in the pool's memory: the places that a maximum was taken from.
class Indices {
 public:
  Indices() = default;
  explicit Indices(std::size_t size) : storage_(Storage::make(size * sizeof(std::uint32_t))), size_(size) {}
  std::size_t size() const noexcept { return size_; }
  std::uint32_t* data() const noexcept { return static_cast<std::uint32_t*>(storage_->data()); }

 private:
  Handle<Storage> storage_;
  std::size_t size_ = 0;
};
// Throws ShapeError if Indices cannot count the elements of the shape.
inline void check_countable(const char* op, const Shape& shape) {
  if (shape.elements() > 0xffffffffU)
    throw ShapeError(fmt::format("{}: shape {} has more than 2^32 elements", op, to_string(shape)));
}

// A new tensor on the elements of x, without history.
template <class T> Tensor<T> view(const Tensor<T>& x, const Shape& shape, std::size_t first_element = 0) {
  return Tensor<T>(TensorImpl::view(*x.impl(), shape, first_element));
}

// x under a handle of its own, recorded in the op's name: what an op returns that has nothing to do. If it were x
// itself, a gradient by it, a hook on it and assign() to it would be those of x.
template <class T> struct Unchanged {
  using value_type = T;
  static constexpr OpTraits traits{.name = "unchanged", .kind = Kind::elementwise | Kind::linear};
  const char* op;
  const char* name() const { return op; }
  const Shape& shape(const Tensor<T>& x) const { return x.shape(); }
  Tensor<T> view(const Tensor<T>& x) const { return detail::view(x, x.shape()); }
  Gradients pull(const Pull<T>& p) const { return Gradients(p.dy); }
};
template <class T> Tensor<T> unchanged(const char* op, const Tensor<T>& x) { return apply(Unchanged<T>{op}, x); }

// True if memory can address a tensor of this shape.
inline bool is_addressable(const Shape& shape) {
  try {
    static_cast<void>(shape.elements());
    return true;
  } catch (const ShapeError&) {
    return false;
  }
}
// A tensor for an op's result. If memory cannot hold it, the error begins with the op's name.
template <class T> Tensor<T> result_of(const char* op, const Shape& shape) {
  return Tensor<T>(make_result(op, dtype_of<T>, shape));
}
inline constexpr const char* too_many_elements = "more elements than memory can address";

// dy, reduced to `shape` by summing what was broadcast.
template <class T> Tensor<T> sum_to(const Tensor<T>& x, const Shape& shape);

// y[i] = x[at[i]]: each result takes one element of x; and its transpose, y[at[i]] += x[i].
// Both are linear and each other's pullback. at.size() results; `shape` is the result's.
// Into zeros, or in place into a sum that the sweep has lent (Wanted::sum_so_far).
template <class T> Tensor<T> gather_flat(const Tensor<T>& x, const Indices& at, const Shape& shape);
template <class T>
Tensor<T> scatter_flat(const Tensor<T>& x, const Indices& at, const Shape& shape, const Tensor<T>& sum = {});

// Ops that put the elements of a part into a larger tensor, the transposes of those that take it. `Into` has
//   name, whole          the op's name, and the shape of the larger tensor
//   put(y, part)         puts the part into y, which is full of zeros
//   add(y, part, rest)   adds it to what y holds; `rest` is what rounding has left out so far, or null
//   take(dy)             the transpose, in tensor ops: what of a gradient by the whole is the part's
template <class T, class Into> struct Part {
  using value_type = T;
  static constexpr OpTraits traits{.name = Into::name, .kind = Kind::linear};
  Into into;
  const Shape& shape(const Tensor<T>&) const { return into.whole; }
  void evaluate(Fresh<T>& y, const Tensor<T>& part) const {
    std::fill_n(y.data(), y.size(), T(0));
    into.put(y, part);
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(into.take(p.dy)); }
};
// In place into a sum that the sweep has lent (Wanted::sum_so_far).
template <class T, class Into> struct PartOfSum {
  using value_type = T;
  static constexpr OpTraits traits{.name = Into::name, .kind = Kind::linear};
  Into into;
  const Shape& shape(const Tensor<T>&, const Tensor<T>& sum) const { return sum.shape(); }
  Tensor<T> view(const Tensor<T>& part, const Tensor<T>& sum) const {
    Fresh<T> y = Fresh<T>::onto(sum);
    into.add(y, part, rest_for_addition(*sum.impl()));
    return std::move(y).finished();
  }
  Gradients pull(const Pull<T>& p) const {
    return p.gradients([&] { return into.take(p.dy); }, [&] { return p.dy; });
  }
};
// The sum with the part added, or the part alone among zeros if there is no sum.
template <class T, class Into> Tensor<T> add_part(Into into, const Tensor<T>& part, const Tensor<T>& sum) {
  return sum.defined() ? apply(PartOfSum<T, Into>{std::move(into)}, part, sum)
                       : apply(Part<T, Into>{std::move(into)}, part);
}

}  // namespace xtape::detail

// Instantiates a function template for both element types.
#define XTAPE_INSTANTIATE(macro) macro(float) macro(double)
