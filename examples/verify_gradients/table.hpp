#pragma once
// The table of formulas and verdicts.

#include "measure.hpp"

#include <string>
#include <vector>

namespace derivation {

// Where a formula comes from. A printed formula that can be read in several ways has several lines; `either`
// is a reading of the printed formula that is also the right formula.
enum class Source { printed, corrected, either, wanted };

struct Claim {
  int row;               // its place in the table; lines of one row stand together
  std::string label;     // "4", or "+" for what the solution lacks
  std::string quantity;  // "∂Loss/∂Y"
  Source source;
  std::string reading;  // "printed", "corrected", ...: at most 12 columns
  std::string formula;
};

// What the verdict has to be. hidden_by: why a wrong formula looks right in this case.
struct Expected {
  Verdict verdict;
  std::string hidden_by;
};
inline Expected right() { return {Verdict::right, {}}; }
inline Expected wrong() { return {Verdict::wrong, {}}; }
inline Expected hidden(std::string by) { return {Verdict::right, std::move(by)}; }
inline Expected wrong_unless(bool hides, std::string by) { return hides ? hidden(std::move(by)) : wrong(); }
// At a kink the tape's gradient is one of many and differences give another.
inline Expected kink() { return {Verdict::unclear, {}}; }

// One case: a configuration, by its place among the table's, and what varies within it, such as the loss.
struct Case {
  std::size_t configuration;
  std::string variant;
};

// Colour on a terminal, none in a pipe or if NO_COLOR is set.
struct Style {
  bool colour = false;
  std::string bold(const std::string& text) const { return code("1", text); }
  std::string dim(const std::string& text) const { return code("2", text); }
  std::string good(const std::string& text) const { return code("32", text); }
  std::string bad(const std::string& text) const { return code("31", text); }
  std::string alarm(const std::string& text) const { return code("1;7;31", text); }

 private:
  std::string code(const char* number, const std::string& text) const {
    return colour ? std::string("\033[") + number + "m" + text + "\033[0m" : text;
  }
};

// A number of verdicts, for the summary.
struct Tally {
  int lines = 0, cases = 0, unexpected = 0;
};

class Table {
 public:
  // A single configuration without a name is not mentioned.
  Table(std::string title, std::vector<std::string> configurations, std::vector<Reference> columns)
      : title_(std::move(title)), configurations_(std::move(configurations)), columns_(std::move(columns)) {}

  void add(const Claim& claim, const Case& place, const Expected& expected, const Measured& measured);
  // A remark below a row.
  void note(int row, std::string text) { notes_.push_back({row, std::move(text)}); }

  Tally tally() const;
  std::string to_string(const Style& style, bool verbose) const;
  // "right 1 3 6 10; wrong 4 5 7 8 9 11; ambiguous 2": what the printed formulas are worth.
  std::string printed_formulas() const;

 private:
  struct Entry {
    Case place;
    Expected expected;
    Measured measured;
    Verdict verdict;
    bool as_expected() const { return verdict == expected.verdict; }
    bool is_hidden() const { return as_expected() && !expected.hidden_by.empty(); }
  };
  struct Line {
    Claim claim;
    std::vector<Entry> entries;
  };
  struct Note {
    int row;
    std::string text;
  };
  static bool as_expected(const Line& line);
  static std::string verdict(const Line& line);
  static double shown_error(const Line& line, Reference reference);
  std::string cells(const Line& line) const;
  std::string hidden_where(const Line& line) const;
  int cells_width() const;
  int formula_width() const;
  std::string columns(const std::vector<std::string>& errors, const std::string& letters_or_numbers) const;
  std::string header() const;
  std::string line_text(const Line& line, const Style& style) const;
  std::string entry_text(const Entry& entry, const Style& style) const;
  std::vector<Line> sorted() const;

  std::string title_;
  std::vector<std::string> configurations_;
  std::vector<Reference> columns_;
  std::vector<Line> lines_;
  std::vector<Note> notes_;
};

}  // namespace derivation
