#pragma once
/// \file png.hpp  PNG files.

#include <xtape/viz/image.hpp>

#include <string>
#include <vector>

namespace xtape::viz {

/// Writes `image` as an 8-bit grey or RGB PNG. The file appears whole or not at all: it is written under
/// another name in the same folder and then renamed, replacing what was there.
/// Throws DataError with the path and the reason if the image is empty, inconsistent or longer than a million pixels,
/// or if the file cannot be written.
void write_png(const std::string& path, const Image& image);

/// The bytes of such a file. Throws DataError as write_png does.
std::vector<unsigned char> encode_png(const Image& image);

/// Reads any PNG as 8-bit grey, or as 8-bit RGB if it has colour (or a palette).
///
/// Samples are scaled linearly from the file's depth, 1 to 16 bits, and rounded to the nearest: 0x80ff of 16 bits is
/// 128. A gAMA chunk g other than 1/2.2 changes them to sample^(1 / (2.2 g)), which looks alike on a display of
/// exponent 2.2; without such a chunk, and with an sRGB chunk, they stay as they are. Transparent parts, whether by
/// alpha or by a transparent colour, are laid on black, in light and not in samples: with alpha a, (sample^2.2 a)^(1
/// / 2.2), so 200 at alpha 128 is 146. This is what the PNG specification recommends (W3C, "Portable Network
/// Graphics", 13.12 sample depth rescaling, 13.13 decoder gamma handling, 13.16 alpha channel processing); many viewers
/// multiply samples and show 100 there. A background colour and a colour profile in the file are not used.
///
/// Throws DataError with the path, the reason and, for a damaged file, the place (byte) if the file is missing, is not
/// a regular file, is no PNG, is truncated or damaged, or has more than 2^28 pixels; MemoryError that names the file.
Image read_png(const std::string& path);

}  // namespace xtape::viz
