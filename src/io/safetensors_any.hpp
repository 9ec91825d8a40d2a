#pragma once
// Safetensors files that hold float and double tensors side by side and prove by a checksum that they are whole.

#include <xtape/tensor.hpp>

#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "output_file.hpp"

namespace xtape::data {

using AnyTensor = std::variant<Tensor<float>, Tensor<double>>;

struct AnyTensorFile {
  std::map<std::string, AnyTensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// The last tensor in the file, F32 of shape (2,): the high and the low half of the CRC-32 of all bytes before its
/// elements. No other tensor may have its name.
inline constexpr const char* checksum_name = "checksum";

/// Writes everything, with the checksum. Throws as write_safetensors does.
void write_any(detail::OutputFile& out, const AnyTensorFile& file);

/// Reads what write_any has written, without the checksum's tensor. Throws DataError that begins with `function` as
/// read_safetensors does; if the metadata's `format` and `version` are others; if the checksum is not there or wrong.
AnyTensorFile read_any(std::string_view function, const std::string& path, std::string_view format, unsigned version);

}  // namespace xtape::data
