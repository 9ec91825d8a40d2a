#pragma once
/// \file safetensors.hpp  Tensors by name in a safetensors file: a trained model's parameters, kept.
///
/// The format is that of Hugging Face's library of the same name, so Python reads what is written here.
/// A file is never trusted: nothing in it can crash the reader or make it ask for memory out of proportion to
/// the file's size.

#include <xtape/tensor.hpp>

#include <map>
#include <string>

namespace xtape::data {

/// Tensors by name, as a model's parameters; metadata: free text by name.
template <class T> struct TensorFile {
  std::map<std::string, Tensor<T>> tensors;
  std::map<std::string, std::string> metadata;
};

/// Writes `file` in the safetensors format, as F32 for float and F64 for double, tensors in the order of
/// their names. The file appears whole or not at all: it is written under another name in the same folder,
/// flushed to the disk and then renamed, replacing what was there or what a symbolic link there leads to.
/// Throws DataError with the path and the reason if the file cannot be written, if a tensor is undefined, if
/// a name or text is not UTF-8, if a tensor is called "__metadata__", or if the names, shapes and metadata
/// take more than 100 MB.
template <class T> void write_safetensors(const std::string& path, const TensorFile<T>& file);

/// Reads a safetensors file whose tensors are all F32 or F64. The tensors are leaves that require no gradient.
/// F32 is read as double exactly; F64 as float would lose digits and is refused: read it as double.
/// Throws DataError with the path, the reason and the place if the file is missing, empty, truncated, longer
/// than its header says or not of this format, or if a tensor is of another type.
template <class T> TensorFile<T> read_safetensors(const std::string& path);

extern template void write_safetensors(const std::string&, const TensorFile<float>&);
extern template void write_safetensors(const std::string&, const TensorFile<double>&);
extern template TensorFile<float> read_safetensors(const std::string&);
extern template TensorFile<double> read_safetensors(const std::string&);

}  // namespace xtape::data
