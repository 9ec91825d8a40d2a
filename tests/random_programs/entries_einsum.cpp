// Einstein summation with any subscripts.
#include <xtape/ops/einsum.hpp>

#include "program.hpp"

#include <algorithm>
#include <map>

namespace xtape::test {
namespace {

constexpr std::size_t most_products = 20000;

// Which letter stands for which extent; 1 gives way to others.
using Letters = std::map<char, std::size_t>;

// One subscript for the operand, with letters of equal extents where drawn.
std::string draw_subscript(Draw& draw, const Shape& shape, Letters& letters) {
  std::string result;
  std::size_t digits = draw.choice(choice_limit);
  for (const std::size_t extent : shape) {
    std::string fitting;
    for (const auto& [letter, n] : letters) {
      // Twice in one operand stands for its diagonal: both extents are the same.
      const auto before = result.find(letter);
      const bool fits = before == std::string::npos ? n == extent || n == 1 || extent == 1 : shape[before] == extent;
      if (fits) fitting.push_back(letter);
    }
    const bool known = !fitting.empty() && digits % 4 != 0;
    const char letter = known ? fitting[digits / 4 % fitting.size()] : static_cast<char>('a' + letters.size());
    if (!known || letters[letter] == 1) letters[letter] = extent;
    result.push_back(letter);
    digits = digits / 5 + 7 * result.size();
  }
  return result;
}

// Some of the letters in any order.
std::string draw_output(Draw& draw, const Letters& letters) {
  std::string result;
  std::size_t digits = draw.choice(choice_limit);
  for (const auto& [letter, n] : letters) {
    if (digits % 2 == 0 && result.size() < 4) result.insert(digits / 2 % 2 ? 0 : result.size(), 1, letter);
    digits = digits / 2 + (digits % 2 ? 0 : 1024);
  }
  return result;
}

// Without an output: the letters that occur once, in alphabetical order.
std::string implied_output(const std::vector<std::string>& subscripts, const Letters& letters) {
  std::string result;
  for (const auto& [letter, n] : letters) {
    std::ptrdiff_t occurrences = 0;
    for (const std::string& s : subscripts) occurrences += std::ranges::count(s, letter);
    if (occurrences == 1) result.push_back(letter);
  }
  return result;
}

std::optional<Step> draw_einsum(Draw& draw) {
  const std::size_t count = draw.of<std::size_t>({2, 1, 2, 3});
  std::vector<std::size_t> lines;
  std::vector<std::string> subscripts;
  Letters letters;
  for (std::size_t k = 0; k < count; ++k) {
    lines.push_back(draw.matching([](const Shape& s) { return s.size() < 4; }, Shape{2, 3}));
    subscripts.push_back(draw_subscript(draw, draw.shape(lines.back()), letters));
  }
  std::size_t products = 1;
  for (const auto& [letter, n] : letters) products *= std::max<std::size_t>(n, 1);
  if (products > most_products || letters.size() > 8) return {};
  const std::size_t how = draw.choice(4);
  const bool implied = how == 3;
  const std::string output = implied ? implied_output(subscripts, letters) : draw_output(draw, letters);
  if (output.size() > 5) return {};

  // As written: the output's first letter may be an ellipsis, where it is the first of every operand that has it.
  std::vector<std::string> written = subscripts;
  std::string written_output = output;
  const auto leads = [&](const std::string& s) {
    const auto last = s.rfind(output[0]);
    return last == std::string::npos || last == 0;
  };
  if (how == 2 && !output.empty() && std::ranges::all_of(subscripts, leads))
    for (std::string* s : {&written[0], &written[count > 1 ? 1 : 0], &written[count - 1], &written_output})
      if (!s->empty() && (*s)[0] == output[0]) s->replace(0, 1, "...");
  std::string text = fmt::format("{}", fmt::join(written, ","));
  if (!implied) text += "->" + written_output;

  return step(
      lines, fmt::format("einsum(\"{}\", {{{}}})", text, Draw::names(lines)),
      [text](const auto& t) { return einsum(text, t); },
      [=](const std::vector<Values>& t) {
        Shape shape, summed;
        std::string order = output;
        for (const char letter : output) shape.push_back(letters.at(letter));
        for (const auto& [letter, n] : letters)
          if (output.find(letter) == std::string::npos) order.push_back(letter), summed.push_back(n);
        return tabulate<Jet>(shape, [&](const Index& outer) {
          return sum_of(tabulate<Jet>(summed, [&](const Index& inner) {
                          Index all = outer;
                          all.insert(all.end(), inner.begin(), inner.end());
                          Jet product = 1;
                          for (std::size_t k = 0; k < t.size(); ++k) {
                            Index i;
                            for (const char letter : subscripts[k]) i.push_back(all[order.find(letter)]);
                            product = product * at(t[k], i);
                          }
                          return product;
                        }).values);
        });
      });
}

}  // namespace

std::vector<Entry> einsum_entries() { return {{"einsum", draw_einsum}}; }

}  // namespace xtape::test
