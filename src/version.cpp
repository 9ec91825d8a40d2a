#include <xtape/version.hpp>

namespace xtape {

// XTAPE_PROJECT_VERSION is meson.build's.
const char* version() noexcept { return XTAPE_PROJECT_VERSION; }

}  // namespace xtape
