// Compiled as if xtensor were 0.26, whose headers moved: everything that xtape's headers and the tests take of it.

#include <xtape/xtape.hpp>

#include "flags_other.hpp"
#include "xtensor_headers.hpp"

#ifdef XTENSOR_FROM_ITS_NEW_PLACE
#error "a header of the stand-in was left early"
#endif

namespace other_flags {

xtape::Tensor<double> from_new_headers() {
  const xt::xtensor<double, 2> x{{1, 2}, {3, 4}};
  return xtape::Tensor<double>(xt::view(x, 1)) + xt::xarray<double>(xt::exp(xt::zeros<double>({2})));
}

}  // namespace other_flags
