#pragma once
/// \file png.hpp  PNG files.

#include <xtape/viz/image.hpp>

#include <string>
#include <vector>

namespace xtape::viz {

/// Writes `image` as an 8-bit grey or RGB PNG. The file appears whole or not at all: it is written under
/// another name in the same folder and then renamed, replacing what was there.
/// Throws DataError with the path and the reason if the image is empty or inconsistent, or if the file
/// cannot be written.
void write_png(const std::string& path, const Image& image);

/// The bytes of such a file. Throws DataError as write_png does.
std::vector<unsigned char> encode_png(const Image& image);

/// Reads any PNG as 8-bit grey, or as 8-bit RGB if it has colour; transparent parts are laid on black.
/// Throws DataError with the path, the reason and, for a damaged file, the place (byte) if the file is
/// missing, is no PNG, is truncated or damaged, or has more than 2^28 pixels.
Image read_png(const std::string& path);

}  // namespace xtape::viz
