#pragma once
/// \file image.hpp  Pictures in memory: tiles of digits or filters, confusion matrices, a little text.

#include <xtape/detail/same_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace xtape::viz {

/// 8 bits a channel, rows from the top, channels interleaved.
struct Image {
  std::size_t width = 0, height = 0;
  std::size_t channels = 1;          ///< 1 (grey) or 3 (RGB)
  std::vector<std::uint8_t> pixels;  ///< height * width * channels
};

/// What is mapped onto the full range of brightness or colour.
enum class Normalise {
  none,      ///< GridOptions::low to high
  per_tile,  ///< each tile's own smallest to largest finite value
  global,    ///< the smallest to largest finite value of all tiles
};

enum class Palette {
  grey,       ///< black at the low end, white at the high end
  diverging,  ///< blue below 0, white at 0, red above; the range is widened to be symmetric about 0
};

struct GridOptions {
  std::size_t columns = 0;       ///< tiles a row; 0: as square as can be
  std::size_t scale = 1;         ///< a value becomes scale x scale pixels
  std::size_t padding = 1;       ///< pixels between the tiles and around all
  std::uint8_t background = 64;  ///< grey level of the padding
  Normalise normalise = Normalise::none;
  Palette palette = Palette::grey;
  float low = 0.0F, high = 1.0F;  ///< the range for Normalise::none
};

/// Of a picture that grid() makes.
struct GridSize {
  std::size_t width = 0, height = 0;  ///< pixels
  std::size_t columns = 0;            ///< tiles a row
};
/// How large grid() draws so many tiles of rows x cols. Before hours of work, it says whether the picture can be made:
/// it throws what grid() would.
GridSize grid_size(std::size_t count, std::size_t rows, std::size_t cols, const GridOptions& options = {});

/// `count` pictures of rows x cols (values: count * rows * cols, row-major) as tiles in reading order,
/// grey or RGB according to the palette. Values beyond the range get its end's colour, NaN is black; where
/// the range is a single value, that value is drawn mid-grey, or by its sign.
/// Throws ShapeError if the sizes disagree or one is 0, ValueError for a scale of 0, for low >= high, for
/// bounds that are not finite, or for a picture of more than 2^28 pixels or with a side of more than a million.
Image grid(std::span<const float> values, std::size_t count, std::size_t rows, std::size_t cols,
           GridOptions options = {});

/// A confusion matrix with the counts written in the cells (counts: classes * classes, row-major; row: the
/// true class, column: the predicted one). Right ones are blue, wrong ones red, the stronger the larger
/// their share of the row.
/// Throws ShapeError if the sizes disagree, ValueError unless 1 <= classes <= 100.
Image confusion_matrix(std::span<const std::size_t> counts, std::size_t classes);

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
};

/// Width and height in pixels of a line of text as draw_text draws it; the height is a capital's.
std::size_t text_width(std::string_view text, std::size_t scale = 1);
std::size_t text_height(std::size_t scale = 1);

/// Draws a line of text with its upper left corner at pixel (x, y); whatever is outside is cut off. The
/// letters are 5 x 7 pixels times scale, and some reach two more below: ASCII letters, digits and
/// .,:;-+=/%()<>!?_'#*; any other byte is drawn as a box. A grey image takes the colour's green.
/// Throws ShapeError if image.pixels has not the size that the other members say.
void draw_text(Image& image, std::size_t x, std::size_t y, std::string_view text, Colour colour = {},
               std::size_t scale = 1);

}  // namespace xtape::viz
