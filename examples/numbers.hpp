#pragma once
// Options' numbers. CLI11's own conversion takes 010 for 8, 0x10 for 16 and 2^64 for 2^64 - 1, and its ranges let NaN
// through. These read decimal digits alone, refuse what is out of range, and hand the number on as it is written
// shortest, so that what is recorded is what is used:
//     app.add_option("--epochs", epochs, "...")->transform(whole(1, 100000));

#include <CLI/CLI.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace examples {

// All of a text as a number of its type, in decimal; nothing if it is none, or does not fit the type.
std::optional<std::uint64_t> whole_number(std::string_view text);
std::optional<double> number(std::string_view text);

// For transform(), not for check(), which would leave the text to CLI11.
CLI::Validator whole(std::uint64_t low, std::uint64_t high = std::numeric_limits<std::uint64_t>::max());
CLI::Validator between(double low, double high);
CLI::Validator positive();

}  // namespace examples
