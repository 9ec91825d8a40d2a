#include "gemm_onednn.hpp"

#include <dnnl.h>
#include <omp.h>

namespace xtape::kernels {
namespace {

// oneDNN would share a product among OpenMP's threads: those of the calling thread are one for as long as this lives.
class OneOmpThread {
 public:
  OneOmpThread() noexcept : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneOmpThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneOmpThread(const OneOmpThread&) = delete;
  OneOmpThread& operator=(const OneOmpThread&) = delete;

 private:
  int before_;
};

}  // namespace

bool onednn_gemm(bool transpose_a, bool transpose_b, std::size_t n, std::size_t m, std::size_t k, const float* a,
                 std::size_t lda, const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc) {
  // Below, its call costs more than its kernels gain. Doubles, because the product of extents may overflow.
  constexpr double least_products = 24 * 24 * 24;
  if (static_cast<double>(n) * static_cast<double>(m) * static_cast<double>(k) < least_products) return false;
  const OneOmpThread one;
  const auto as_dim = [](std::size_t extent) { return static_cast<dnnl_dim_t>(extent); };
  return dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', as_dim(n), as_dim(m), as_dim(k), 1.0F, a,
                    as_dim(lda), b, as_dim(ldb), beta, c, as_dim(ldc)) == dnnl_success;
}

}  // namespace xtape::kernels
