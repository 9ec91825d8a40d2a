#pragma once
#include <xtape/viz/image.hpp>

namespace xtape::viz {

// One pixel; a grey image takes the colour's green.
inline void set_pixel(Image& image, std::size_t x, std::size_t y, Colour colour) {
  std::uint8_t* const pixel = image.pixels.data() + (y * image.width + x) * image.channels;
  if (image.channels == 1) {
    pixel[0] = colour.green;
  } else {
    pixel[0] = colour.red;
    pixel[1] = colour.green;
    pixel[2] = colour.blue;
  }
}

}  // namespace xtape::viz
