#include "gemm_onednn.hpp"

namespace xtape::kernels {

bool onednn_gemm(bool, bool, std::size_t, std::size_t, std::size_t, const float*, std::size_t, const float*,
                 std::size_t, float, float*, std::size_t) {
  return false;
}

}  // namespace xtape::kernels
