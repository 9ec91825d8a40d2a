#pragma once
// Sums of very many terms, with what rounding leaves out kept beside them.

#include <xtape/detail/simd.hpp>

#include <cmath>

namespace xtape::kernels {

inline float or_zero_if_nan(float x) { return std::isnan(x) ? 0.0F : x; }
inline simd::Batch<float> or_zero_if_nan(const simd::Batch<float>& x) {
  return xsimd::select(x == x, x, simd::Batch<float>(0.0F));
}

// sum + rest += term, where sum is the nearest to the whole and rest what is left: the error of the addition, which is
// exact (D. E. Knuth, The Art of Computer Programming 2, 4.2.2, theorem B). Of infinite sums there is no rest.
template <class V> void add_exactly(V& sum, V& rest, const V& term) {
  const V more = term + rest, total = sum + more, added = total - sum;
  rest = or_zero_if_nan((sum - (total - added)) + (more - added));
  sum = total;
}

}  // namespace xtape::kernels
