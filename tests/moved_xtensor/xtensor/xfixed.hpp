// Stands for xtensor 0.26, which has nothing here.
#ifndef XTENSOR_FROM_ITS_NEW_PLACE
#error "xtensor 0.26 has no xtensor/xfixed.hpp"
#endif
#include_next <xtensor/xfixed.hpp>
