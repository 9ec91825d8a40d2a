#pragma once
/// \file version.hpp  The version, of the headers and of the library.

/// The version of the headers.
#define XTAPE_VERSION_MAJOR 0
#define XTAPE_VERSION_MINOR 1
#define XTAPE_VERSION_PATCH 0
/// The same as a number to compare: `#if XTAPE_VERSION >= 10200` asks for 1.2.0 or later.
#define XTAPE_VERSION (XTAPE_VERSION_MAJOR * 10000 + XTAPE_VERSION_MINOR * 100 + XTAPE_VERSION_PATCH)

namespace xtape {

/// The version of the library that the program runs with, "0.1.0".
const char* version() noexcept;

}  // namespace xtape
