#include "gemm_onednn.hpp"

namespace xtape::kernels {

bool onednn_gemm(bool, bool, std::size_t, std::size_t, std::size_t, const float*, const float*, float, float*) {
  return false;
}

}  // namespace xtape::kernels
