#pragma once
// What the fuzzers feed with bytes. The same functions replay the corpus in the normal test suite.

#include <cstdint>
#include <span>
#include <string>

namespace xtape::fuzz {

using Bytes = std::span<const std::uint8_t>;

/// Takes any bytes. Returns or throws an xtape::Error: whatever else happens is a bug. `folder`: for its files.
struct Target {
  const char* name;
  void (*run)(Bytes bytes, const std::string& folder);
};

void idx(Bytes bytes, const std::string& folder);          ///< read_idx; the first two bytes: where the labels begin
void course(Bytes bytes, const std::string& folder);       ///< read_course, of plain text
void gzip(Bytes bytes, const std::string& folder);         ///< the same readers, of a compressed file
void safetensors(Bytes bytes, const std::string& folder);  ///< read_safetensors; what is read must survive writing
void npy(Bytes bytes, const std::string& folder);          ///< read_npy, likewise
void npz(Bytes bytes, const std::string& folder);          ///< read_npz, likewise
void png(Bytes bytes, const std::string& folder);          ///< read_png, with checksums put right; and write_png
void options(Bytes bytes, const std::string& folder);      ///< a command line of the programs that train
void ops(Bytes bytes, const std::string& folder);          ///< a program of ops with any shapes, axes and options

inline constexpr Target targets[] = {{"idx", idx}, {"course", course}, {"gzip", gzip}, {"safetensors", safetensors},
                                     {"npy", npy}, {"npz", npz},       {"png", png},   {"options", options},
                                     {"ops", ops}};

/// Reports a wrong answer: throws a std::logic_error, which no target may let out.
[[noreturn]] void wrong(const std::string& what);

}  // namespace xtape::fuzz
