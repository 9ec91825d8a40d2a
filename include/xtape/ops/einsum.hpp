#pragma once
/// \file ops/einsum.hpp  Sums of products in Einstein's notation.

#include <xtape/tensor.hpp>

#include <initializer_list>
#include <string_view>
#include <vector>

namespace xtape {

/// NumPy's einsum: einsum("bij,jk->bik", {x, w}). One letter names an axis; the products over all letters are summed
/// over those that the output lacks. The gradient by an operand is again an einsum of dy and the others.
///
/// - "ii" twice in one operand: the diagonal; both extents are the same.
/// - Without "->": the letters that occur once, in alphabetical order (capitals first), after the ellipsis.
/// - "...": the axes not named, aligned at the last one. The output of "->" must keep them.
/// - An axis of extent 1 broadcasts.
///
/// Two operands at a time are contracted, the cheapest pair first, by a matrix product where they share a summed
/// letter. Throws ValueError on subscripts that make no sense or do not match the number of operands, ShapeError if the
/// shapes do not fit them or an intermediate result has more than max_rank axes. Messages show subscripts and shapes.
///     einsum("ij,jk->ki", {A, M});  // = [[8, 13], [13, 17], [18, 21]]
///     einsum("ii", {A});  // = 7
template <class T> Tensor<T> einsum(std::string_view subscripts, const std::vector<Tensor<T>>& operands);
template <class T> Tensor<T> einsum(std::string_view subscripts, std::initializer_list<Tensor<T>> operands) {
  return einsum(subscripts, std::vector<Tensor<T>>(operands));
}

}  // namespace xtape
