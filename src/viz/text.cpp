#include <xtape/error.hpp>
#include <xtape/viz/image.hpp>

#include <fmt/format.h>

#include "pixel.hpp"

#include <algorithm>
#include <array>

namespace xtape::viz {
namespace {

constexpr std::size_t glyph_width = 5, glyph_height = 7, advance = glyph_width + 1;

struct Glyph {
  char character;
  std::string_view rows;  // from the top, a blank between two of them; the seventh stands on the baseline
};

constexpr std::array font{
    Glyph{'0', ".##.. #..#. #..#. #..#. #..#. #..#. .##.."},
    Glyph{'1', "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###."},
    Glyph{'2', ".###. #...# ....# ..##. .#... #.... #####"},
    Glyph{'3', ".###. #...# ....# ..##. ....# #...# .###."},
    Glyph{'4', "...#. ..##. .#.#. #..#. ##### ...#. ...#."},
    Glyph{'5', "##### #.... ####. ....# ....# #...# .###."},
    Glyph{'6', ".###. #.... #.... ####. #...# #...# .###."},
    Glyph{'7', "##### ....# ...#. ..#.. ..#.. .#... .#..."},
    Glyph{'8', ".###. #...# #...# .###. #...# #...# .###."},
    Glyph{'9', ".###. #...# #...# .#### ....# ....# .###."},
    Glyph{'A', ".###. #...# #...# ##### #...# #...# #...#"},
    Glyph{'B', "####. #...# #...# ####. #...# #...# ####."},
    Glyph{'C', ".###. #...# #.... #.... #.... #...# .###."},
    Glyph{'D', "####. #...# #...# #...# #...# #...# ####."},
    Glyph{'E', "##### #.... #.... ####. #.... #.... #####"},
    Glyph{'F', "##### #.... #.... ####. #.... #.... #...."},
    Glyph{'G', ".###. #...# #.... #.### #...# #...# .###."},
    Glyph{'H', "#...# #...# #...# ##### #...# #...# #...#"},
    Glyph{'I', ".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###."},
    Glyph{'J', "..### ...#. ...#. ...#. ...#. #..#. .##.."},
    Glyph{'K', "#...# #..#. #.#.. ##... #.#.. #..#. #...#"},
    Glyph{'L', "#.... #.... #.... #.... #.... #.... #####"},
    Glyph{'M', "#...# ##.## #.#.# #.#.# #...# #...# #...#"},
    Glyph{'N', "#...# ##..# ##..# #.#.# #..## #..## #...#"},
    Glyph{'O', ".###. #...# #...# #...# #...# #...# .###."},
    Glyph{'P', "####. #...# #...# ####. #.... #.... #...."},
    Glyph{'Q', ".###. #...# #...# #...# #.#.# #..#. .##.#"},
    Glyph{'R', "####. #...# #...# ####. #.#.. #..#. #...#"},
    Glyph{'S', ".#### #.... #.... .###. ....# ....# ####."},
    Glyph{'T', "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#.."},
    Glyph{'U', "#...# #...# #...# #...# #...# #...# .###."},
    Glyph{'V', "#...# #...# #...# #...# .#.#. .#.#. ..#.."},
    Glyph{'W', "#...# #...# #...# #.#.# #.#.# ##.## #...#"},
    Glyph{'X', "#...# #...# .#.#. ..#.. .#.#. #...# #...#"},
    Glyph{'Y', "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#.."},
    Glyph{'Z', "##### ....# ...#. ..#.. .#... #.... #####"},
    Glyph{'a', "..... ..... .###. ....# .#### #...# .####"},
    Glyph{'b', "#.... #.... ####. #...# #...# #...# ####."},
    Glyph{'c', "..... ..... .###. #.... #.... #...# .###."},
    Glyph{'d', "....# ....# .#### #...# #...# #...# .####"},
    Glyph{'e', "..... ..... .###. #...# ##### #.... .###."},
    Glyph{'f', "..##. .#..# .#... ###.. .#... .#... .#..."},
    Glyph{'g', "..... ..... .#### #...# #...# #...# .#### ....# .###."},
    Glyph{'h', "#.... #.... ####. #...# #...# #...# #...#"},
    Glyph{'i', "..#.. ..... .##.. ..#.. ..#.. ..#.. .###."},
    Glyph{'j', "...#. ..... ..##. ...#. ...#. ...#. ...#. #..#. .##.."},
    Glyph{'k', "#.... #.... #..#. #.#.. ##... #.#.. #..#."},
    Glyph{'l', ".##.. ..#.. ..#.. ..#.. ..#.. ..#.. .###."},
    Glyph{'m', "..... ..... ##.#. #.#.# #.#.# #.#.# #.#.#"},
    Glyph{'n', "..... ..... ####. #...# #...# #...# #...#"},
    Glyph{'o', "..... ..... .###. #...# #...# #...# .###."},
    Glyph{'p', "..... ..... ####. #...# #...# #...# ####. #.... #...."},
    Glyph{'q', "..... ..... .#### #...# #...# #...# .#### ....# ....#"},
    Glyph{'r', "..... ..... #.##. ##..# #.... #.... #...."},
    Glyph{'s', "..... ..... .#### #.... .###. ....# ####."},
    Glyph{'t', ".#... .#... ###.. .#... .#... .#..# ..##."},
    Glyph{'u', "..... ..... #...# #...# #...# #...# .####"},
    Glyph{'v', "..... ..... #...# #...# #...# .#.#. ..#.."},
    Glyph{'w', "..... ..... #...# #.#.# #.#.# #.#.# .#.#."},
    Glyph{'x', "..... ..... #...# .#.#. ..#.. .#.#. #...#"},
    Glyph{'y', "..... ..... #...# #...# #...# #...# .#### ....# .###."},
    Glyph{'z', "..... ..... ##### ...#. ..#.. .#... #####"},
    Glyph{' ', "..... ..... ..... ..... ..... ..... ....."},
    Glyph{'.', "..... ..... ..... ..... ..... .##.. .##.."},
    Glyph{',', "..... ..... ..... ..... ..... .##.. ..#.. .#..."},
    Glyph{':', "..... ..... .##.. .##.. ..... .##.. .##.."},
    Glyph{';', "..... ..... .##.. .##.. ..... .##.. ..#.. .#..."},
    Glyph{'-', "..... ..... ..... ##### ..... ..... ....."},
    Glyph{'+', "..... ..#.. ..#.. ##### ..#.. ..#.. ....."},
    Glyph{'=', "..... ..... ##### ..... ##### ..... ....."},
    Glyph{'/', "....# ....# ...#. ..#.. .#... #.... #...."},
    Glyph{'%', "##..# ##..# ...#. ..#.. .#... #..## #..##"},
    Glyph{'(', "...#. ..#.. .#... .#... .#... ..#.. ...#."},
    Glyph{')', ".#... ..#.. ...#. ...#. ...#. ..#.. .#..."},
    Glyph{'<', "...#. ..#.. .#... #.... .#... ..#.. ...#."},
    Glyph{'>', ".#... ..#.. ...#. ....# ...#. ..#.. .#..."},
    Glyph{'!', "..#.. ..#.. ..#.. ..#.. ..#.. ..... ..#.."},
    Glyph{'?', ".###. #...# ....# ...#. ..#.. ..... ..#.."},
    Glyph{'_', "..... ..... ..... ..... ..... ..... #####"},
    Glyph{'\'', "..#.. ..#.. ..#.. ..... ..... ..... ....."},
    Glyph{'#', ".#.#. .#.#. ##### .#.#. ##### .#.#. .#.#."},
    Glyph{'*', "..... ..#.. #.#.# .###. #.#.# ..#.. ....."},
};
constexpr std::string_view unknown = "##### #...# #...# #...# #...# #...# #####";

constexpr bool well_formed() {
  return std::all_of(font.begin(), font.end(), [](const Glyph& g) {
    if ((g.rows.size() + 1) % advance != 0 || g.rows.size() + 1 < advance * glyph_height) return false;
    for (std::size_t i = 0; i < g.rows.size(); ++i) {
      const bool gap = i % advance == glyph_width;
      if (gap != (g.rows[i] == ' ') || (!gap && g.rows[i] != '#' && g.rows[i] != '.')) return false;
    }
    return true;
  });
}
static_assert(well_formed());

std::string_view rows_of(char character) {
  const auto* const found =
      std::find_if(font.begin(), font.end(), [&](const Glyph& g) { return g.character == character; });
  return found == font.end() ? unknown : found->rows;
}

}  // namespace

std::size_t text_width(std::string_view text, std::size_t scale) {
  return text.empty() ? 0 : (text.size() * advance - 1) * scale;
}

std::size_t text_height(std::size_t scale) { return glyph_height * scale; }

void draw_text(Image& image, std::size_t x, std::size_t y, std::string_view text, Colour colour, std::size_t scale) {
  if ((image.channels != 1 && image.channels != 3) ||
      image.pixels.size() != image.width * image.height * image.channels)
    throw ShapeError(fmt::format("draw_text: {} bytes do not make an image of {} x {} with {} channels",
                                 image.pixels.size(), image.height, image.width, image.channels));
  const auto put = [&](std::size_t px, std::size_t py) {
    if (px < image.width && py < image.height) set_pixel(image, px, py, colour);
  };
  for (std::size_t i = 0; i < text.size() && x + i * advance * scale < image.width; ++i) {
    const std::string_view rows = rows_of(text[i]);
    for (std::size_t v = 0; v < (rows.size() + 1) / advance * scale; ++v)
      for (std::size_t u = 0; u < glyph_width * scale; ++u)
        if (rows[v / scale * advance + u / scale] == '#') put(x + i * advance * scale + u, y + v);
  }
}

}  // namespace xtape::viz
