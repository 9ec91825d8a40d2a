#include "process.hpp"

#include <xtape/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sstream>

namespace examples {
namespace {

int output_error = 0;  // of the first write that failed

// How many bytes at the beginning are one character of UTF-8 that is no control character; 0: none is.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) >= 0x20 && byte(0) != 0x7f ? 1 : 0;
  const std::size_t size = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < size) return 0;
  std::uint32_t code = byte(0) & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fU);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool control = code < 0xa0, half = code >= 0xd800 && code < 0xe000;
  return control || half || code < least[size] || code > 0x10ffff ? 0 : size;
}

}  // namespace

void prepare_process() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != descriptor) _exit(2);
  for (const int number : {SIGXFSZ, SIGPIPE}) std::signal(number, SIG_IGN);
}

void parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    std::ostringstream text;
    app.exit(success, text, text);
    write_output(text.str());
    finish_output();
    throw;
  }
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t size = character(text);
    if (size > 0)
      result += text.substr(0, size);
    else if (text[0] == '\n')
      result += "\\n";
    else
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    text.remove_prefix(size > 0 ? size : 1);
  }
  return result;
}

void complain(std::string_view line) { std::fputs((printable(line) + "\n").c_str(), stderr); }

void write_output(std::string_view text) {
  if (output_error != 0) return;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) output_error = errno;
}

void flush_output() {
  errno = 0;
  if (output_error == 0 && std::fflush(stdout) != 0) output_error = errno;
}

void finish_output() {
  flush_output();
  if (output_error != 0)
    throw xtape::DataError(fmt::format("standard output could not be written: {}", std::strerror(output_error)));
}

}  // namespace examples
