#pragma once
/// \file detail/same_layout.hpp  Refuses flags that change the layout of what passes between a user's file and the
/// library.
///
/// With -D_GLIBCXX_DEBUG a std::vector is larger, with the old ABI a std::string smaller: a Plot, a Dataset or
/// the Gradients of a pullback would be read in the wrong places. So each file that includes xtape needs a name that
/// the library has only if it was built alike; the linker says what is missing.

#include <version>

#ifdef _GLIBCXX_DEBUG
#define XTAPE_CONTAINERS needs_an_xtape_built_with_D_GLIBCXX_DEBUG
#else
#define XTAPE_CONTAINERS needs_an_xtape_built_without_D_GLIBCXX_DEBUG
#endif
#ifdef _LIBCPP_VERSION
#define XTAPE_STRINGS needs_an_xtape_built_with_libcxx
#elif defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
#define XTAPE_STRINGS needs_an_xtape_built_with_D_GLIBCXX_USE_CXX11_ABI_0
#else
#define XTAPE_STRINGS needs_an_xtape_built_with_libstdcxx_and_its_new_strings
#endif

namespace xtape::detail {

extern const char XTAPE_CONTAINERS, XTAPE_STRINGS;
// Kept even where the linker drops what nobody uses (--gc-sections).
#if __has_cpp_attribute(gnu::retain)
[[gnu::used, gnu::retain]]
#else
[[gnu::used]]
#endif
static const char* const built_alike[] = {&XTAPE_CONTAINERS, &XTAPE_STRINGS};

struct Padded {
  char first;
  double second;
};
static_assert(sizeof(Padded) > sizeof(char) + sizeof(double), "xtape: -fpack-struct changes what the library takes");

}  // namespace xtape::detail
