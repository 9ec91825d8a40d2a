#include <xtape/detail/same_layout.hpp>
#include <xtape/version.hpp>

namespace xtape {

// XTAPE_PROJECT_VERSION is meson.build's.
const char* version() noexcept { return XTAPE_PROJECT_VERSION; }

// How this library was built, see detail/same_layout.hpp.
extern const char detail::XTAPE_CONTAINERS = 0;
extern const char detail::XTAPE_STRINGS = 0;

}  // namespace xtape
