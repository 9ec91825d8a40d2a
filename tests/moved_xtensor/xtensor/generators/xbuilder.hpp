// Stands for xtensor 0.26, which keeps it here.
#define XTENSOR_FROM_ITS_NEW_PLACE
#include <xtensor/xbuilder.hpp>
#undef XTENSOR_FROM_ITS_NEW_PLACE
