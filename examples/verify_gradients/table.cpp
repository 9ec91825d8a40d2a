#include "table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace derivation {
namespace {

constexpr int page = 119;  // columns of the whole table
constexpr int reading_width = 13;
constexpr std::size_t letters = 8;  // with more configurations than that, their letters are counted instead
constexpr std::array<const char*, references> titles{"tape", "differences", "enumeration"};
constexpr std::array<int, references> widths{9, 12, 12};

std::string error_text(double error) {
  if (std::isnan(error)) return "–";
  return error == 0 ? "0" : fmt::format("{:.1e}", error);
}

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::right: return "RIGHT";
    case Verdict::wrong: return "WRONG";
    default: return "UNCLEAR";
  }
}

std::string coloured(const Style& style, const std::string& verdict, const std::string& padded) {
  return verdict == "RIGHT" ? style.good(padded) : verdict == "WRONG" ? style.bad(padded) : padded;
}

}  // namespace

void Table::add(const Claim& claim, const Case& place, const Expected& expected, const Measured& measured) {
  const Entry entry{place, expected, measured, judge(measured)};
  for (Line& line : lines_)
    if (line.claim.row == claim.row && line.claim.reading == claim.reading && line.claim.formula == claim.formula) {
      line.entries.push_back(entry);
      return;
    }
  lines_.push_back({claim, {entry}});
}

bool Table::as_expected(const Line& line) {
  return std::all_of(line.entries.begin(), line.entries.end(), [](const Entry& e) { return e.as_expected(); });
}

Tally Table::tally() const {
  Tally tally;
  for (const Line& line : lines_)
    for (const Entry& entry : line.entries) {
      ++tally.cases;
      tally.unexpected += !entry.as_expected();
    }
  tally.lines = static_cast<int>(lines_.size());
  return tally;
}

// One verdict for all cases: a formula is WRONG if one case shows that it is.
std::string Table::verdict(const Line& line) {
  const auto any = [&](auto&& holds) { return std::any_of(line.entries.begin(), line.entries.end(), holds); };
  if (any([](const Entry& e) { return e.verdict == Verdict::unclear; })) return as_expected(line) ? "KINK" : "UNCLEAR";
  if (any([](const Entry& e) { return e.verdict == Verdict::wrong; })) return "WRONG";
  return any([](const Entry& e) { return !e.is_hidden(); }) ? "RIGHT" : "HIDDEN";
}

// Of a right formula the largest error. Of a wrong one the smallest that shows the mistake.
double Table::shown_error(const Line& line, Reference reference) {
  const bool smallest = verdict(line) == "WRONG";
  double shown = Measured::none;
  for (const Entry& e : line.entries)
    if (!smallest || e.verdict == Verdict::wrong)
      shown = smallest ? std::fmin(shown, e.measured.error[reference]) : std::fmax(shown, e.measured.error[reference]);
  return shown;
}

// A letter for each configuration, or how often each letter occurs.
std::string Table::cells(const Line& line) const {
  std::string result;
  std::map<char, int> count;
  for (std::size_t c = 0; c < configurations_.size(); ++c) {
    char cell = ' ';
    bool any_hidden = false, any_shown = false;
    for (const Entry& e : line.entries) {
      if (e.place.configuration != c || cell == '!') continue;
      (e.is_hidden() ? any_hidden : any_shown) = true;
      cell = !e.as_expected() ? '!' : e.verdict == Verdict::right ? 'R' : e.verdict == Verdict::unclear ? 'k' : 'W';
    }
    if (cell != '!' && any_hidden) cell = any_shown ? 'w' : 'h';
    result += cell;
    ++count[cell];
  }
  if (configurations_.size() <= letters) return result;
  result.clear();
  for (const auto& [cell, n] : count) result += fmt::format("{}{}{}", result.empty() ? "" : " ", n, cell);
  return result;
}

// "s = 1 (1, 2)": what hides the mistake, and in which configurations.
std::string Table::hidden_where(const Line& line) const {
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
  for (const Entry& e : line.entries) {
    if (!e.is_hidden()) continue;
    auto reason =
        std::find_if(reasons.begin(), reasons.end(), [&](auto& r) { return r.first == e.expected.hidden_by; });
    if (reason == reasons.end()) reason = reasons.insert(reasons.end(), {e.expected.hidden_by, {}});
    auto& where = reason->second;
    const std::string configuration = fmt::format("{}", e.place.configuration + 1);
    if (std::find(where.begin(), where.end(), configuration) == where.end()) where.push_back(configuration);
  }
  std::vector<std::string> texts;
  for (const auto& [reason, where] : reasons)
    texts.push_back(configurations_.size() > 1 ? fmt::format("{} ({})", reason, fmt::join(where, ", ")) : reason);
  return fmt::format("{}", fmt::join(texts, "; "));
}

// Columns of the letters: none for one configuration.
int Table::cells_width() const {
  if (configurations_.size() == 1) return 0;
  if (configurations_.size() <= letters) return static_cast<int>(configurations_.size());
  std::size_t width = std::string("cases").size();
  for (const Line& line : lines_) width = std::max(width, cells(line).size());
  return static_cast<int>(width);
}

int Table::formula_width() const {
  int width = page - 5 - reading_width - (cells_width() > 0 ? 2 + cells_width() : 0) - 2 - 8 - 10;
  for (const Reference r : columns_) width -= widths[r];
  return width;
}

// The columns behind the formula, as far as the verdict.
std::string Table::columns(const std::vector<std::string>& errors, const std::string& letters_or_numbers) const {
  std::string text;
  for (std::size_t r = 0; r < columns_.size(); ++r) text += fmt::format("{:>{}}", errors[r], widths[columns_[r]]);
  if (cells_width() > 0) text += fmt::format("  {:<{}}", letters_or_numbers, cells_width());
  return text + "  ";
}

std::string Table::header() const {
  std::string numbers;
  for (std::size_t c = 0; c < configurations_.size(); ++c) numbers += fmt::format("{}", c + 1);
  if (configurations_.size() > letters) numbers = "cases";
  std::vector<std::string> names;
  for (const Reference r : columns_) names.push_back(titles[r]);
  return fmt::format("{:<{}}{}verdict", "", 5 + reading_width + formula_width(), columns(names, numbers));
}

std::string Table::line_text(const Line& line, const Style& style) const {
  std::vector<std::string> errors;
  for (const Reference r : columns_) errors.push_back(error_text(shown_error(line, r)));
  const std::string word = verdict(line);
  std::string text =
      fmt::format("     {:<{}}{:<{}}{}{} {}\n", line.claim.reading, reading_width, line.claim.formula, formula_width(),
                  columns(errors, cells(line)), coloured(style, word, fmt::format("{:<7}", word)),
                  as_expected(line) ? style.dim("expected") : style.alarm("UNEXPECTED"));
  const std::string hides = hidden_where(line);
  if (!hides.empty() && !configurations_[0].empty())
    text += style.dim(fmt::format("{:{}}looks right where {}", "", 5 + reading_width, hides)) + "\n";
  return text;
}

// One case by itself, on two lines: its verdict, then where the error is largest.
std::string Table::entry_text(const Entry& e, const Style& style) const {
  std::vector<std::string> errors;
  for (const Reference r : columns_) errors.push_back(error_text(e.measured.error[r]));
  const std::string word = e.is_hidden() ? "HIDDEN" : name(e.verdict);
  const std::string unexpected = e.as_expected() ? "" : " " + style.alarm("UNEXPECTED");
  const std::string place = fmt::format("{} {}", configurations_[e.place.configuration], e.place.variant);
  std::string text = fmt::format("       {:<{}}{}{}{}\n", place, 5 + reading_width + formula_width() - 7,
                                 columns(errors, ""), coloured(style, word, word), unexpected);
  std::string where = e.measured.worst;
  if (e.verdict == Verdict::unclear)
    where += fmt::format("; tape and differences are {:.1e} apart", e.measured.tape_and_differences);
  return text + style.dim(fmt::format("         {}", where)) + "\n";
}

std::vector<Table::Line> Table::sorted() const {
  std::vector<Line> lines = lines_;
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.claim.row < b.claim.row; });
  return lines;
}

std::string Table::to_string(const Style& style, bool verbose) const {
  std::string text = style.bold(title_) + "\n";
  if (!configurations_[0].empty()) {
    std::string configurations;
    for (std::size_t c = 0; c < configurations_.size(); ++c) {
      // Wrapped so that the list stays on the page.
      const std::string item = fmt::format("  {} {}", c + 1, configurations_[c]);
      const auto last_line = configurations.size() - (configurations.rfind('\n') + 1);
      if (last_line + item.size() + 2 > page) configurations += "\n";
      configurations += item;
    }
    text += configurations + "\n";
  }
  text += style.dim(header()) + "\n";

  const std::vector<Line> lines = sorted();
  for (std::size_t l = 0; l < lines.size(); ++l) {
    const Claim& claim = lines[l].claim;
    if (l == 0 || lines[l - 1].claim.row != claim.row)
      text += style.bold(fmt::format("{:>3}  {}", claim.label, claim.quantity)) + "\n";
    text += line_text(lines[l], style);
    if (verbose)
      for (const Entry& entry : lines[l].entries) text += entry_text(entry, style);
    if (l + 1 == lines.size() || lines[l + 1].claim.row != claim.row)
      for (const Note& note : notes_)
        if (note.row == claim.row) text += style.dim(fmt::format("     {}", note.text)) + "\n";
  }
  return text;
}

std::string Table::printed_formulas() const {
  std::vector<std::pair<std::string, std::vector<std::string>>> words{
      {"right", {}}, {"wrong", {}}, {"ambiguous", {}}, {"wrong, but hidden in these configurations", {}}};
  const std::vector<Line> lines = sorted();
  for (std::size_t first = 0, end = 0; first < lines.size(); first = end) {
    bool right = false, wrong = false, hides = false;
    for (end = first; end < lines.size() && lines[end].claim.row == lines[first].claim.row; ++end) {
      const Source source = lines[end].claim.source;
      if (source != Source::printed && source != Source::either) continue;
      const std::string word = verdict(lines[end]);
      right = right || word == "RIGHT";
      wrong = wrong || word == "WRONG";
      hides = hides || word == "HIDDEN";
    }
    if (right || wrong || hides)
      words[right && (wrong || hides) ? 2 : right ? 0 : wrong ? 1 : 3].second.push_back(lines[first].claim.label);
  }
  std::vector<std::string> texts;
  for (const auto& [word, rows] : words)
    if (!rows.empty()) texts.push_back(fmt::format("{}: {}", word, fmt::join(rows, " ")));
  return fmt::format("{}", fmt::join(texts, "; "));
}

}  // namespace derivation
