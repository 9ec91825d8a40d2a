#pragma once
// What every program needs of its process: open descriptors, signals that do not kill silently, and an output that is
// safe to look at and that is known to have arrived.

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <type_traits>

namespace examples {

// First of all, before anything opens a file. Descriptors 0 to 2 that the caller has closed lead to /dev/null, lest the
// first file opened be taken for standard output. A file that grows beyond the limit, and an output that nobody reads,
// are errors of the write in place of signals that kill.
void prepare_process();

// Parses the options. For --help, prints it and throws CLI::Success.
void parse(CLI::App& app, int argc, char** argv);

// Text from outside (a path, an option, a message of a file's content) as it may be shown on a terminal: control
// characters, and bytes that are no UTF-8, become \x1b and the like, line ends \n.
std::string printable(std::string_view text);

// A line on standard error, quoted. Nothing is left to be done if that is gone, too.
void complain(std::string_view line);

// To standard output, as it is. What cannot be written is remembered, and the program goes on: its files are worth
// more.
void write_output(std::string_view text);
void flush_output();
// Throws DataError with the reason if something could not be written.
void finish_output();

// fmt::print to standard output, with printable() around all that is text.
template <class... Parts> void say(fmt::format_string<const Parts&...> format, const Parts&... parts) {
  [[maybe_unused]] const auto shown = [](const auto& part) {
    if constexpr (std::is_convertible_v<decltype(part), std::string_view>)
      return printable(part);
    else
      return part;
  };
  write_output(fmt::format(fmt::runtime(format), shown(parts)...));
}

}  // namespace examples
