#pragma once
// What a sweep does with the gradients that it passes on, whatever their element type is.

#include <xtape/detail/tensor_impl.hpp>

namespace xtape::detail {

Handle<TensorImpl> add_gradients(const Handle<TensorImpl>& a, const Handle<TensorImpl>& b);  // a recorded op
void add_in_place(TensorImpl& into, const TensorImpl& gradient);
Handle<TensorImpl> sum_to_shape(const Handle<TensorImpl>& gradient, const Shape& shape);     // a recorded op
Handle<TensorImpl> spread_to_shape(const Handle<TensorImpl>& gradient, const Shape& shape);  // a recorded op
// Of a gradient that another is about to be added to: what rounding has left out of it, or null if nothing is kept of
// that, for there have been few additions, or it is in double. Counts the addition.
float* rest_for_addition(TensorImpl& into);

}  // namespace xtape::detail
