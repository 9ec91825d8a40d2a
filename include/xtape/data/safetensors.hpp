#pragma once
/// \file safetensors.hpp  Tensors by name in a safetensors file: a trained model's parameters, kept.
///
/// The format is that of Hugging Face's library of the same name, so Python reads what is written here.
/// A file is never trusted: nothing in it can crash the reader or make it ask for memory out of proportion to
/// the file's size.

#include <xtape/integers.hpp>
#include <xtape/tensor.hpp>

#include <map>
#include <string>

namespace xtape::data {

/// Tensors by name, as a model's parameters; metadata: free text by name; and what is whole numbers, by name.
template <class T> struct TensorFile {
  std::map<std::string, Tensor<T>> tensors = {};
  std::map<std::string, std::string> metadata = {};
  std::map<std::string, Integers> integers = {};
};

/// Writes `file` in the safetensors format, as F32 for float and F64 for double, integers before them as I64, each in
/// the order of their names. The file appears whole or not at all: it is written under another name in the same folder,
/// flushed to the disk and then renamed, replacing what was there or what a symbolic link there leads to.
/// Throws DataError with the path and the reason if the file cannot be written, if a tensor is undefined, if
/// a name or text is not UTF-8, if a tensor is called "__metadata__", if a name is among tensors and integers, or if
/// the names, shapes and metadata take more than 100 MB.
template <class T> void write_safetensors(const std::string& path, const TensorFile<T>& file);

/// Reads a whole safetensors file: F16, BF16, F32 and F64 as tensors, leaves that require no gradient; I8 to I64, U8 to
/// U64 and BOOL as integers. All are exact: F64 as float would lose digits and is refused, read it as double; so is an
/// integer that int64 does not hold. Another type (F8_E4M3, ...) is refused by name: read the others by theirs.
/// Throws DataError with the path, the reason and the place if the file is missing, not a regular file, empty,
/// truncated, longer than its header says or not of this format, or if a tensor is refused; MemoryError that names the
/// file if memory does not suffice.
template <class T> TensorFile<T> read_safetensors(const std::string& path);

/// Reads one tensor, and nothing of the others but what the header says of them: they may be of any type.
/// Throws as above, and DataError if there is none of that name, or if it is of another kind.
template <class T> Tensor<T> read_safetensors(const std::string& path, const std::string& name);
Integers read_safetensors_integers(const std::string& path, const std::string& name);

extern template void write_safetensors(const std::string&, const TensorFile<float>&);
extern template void write_safetensors(const std::string&, const TensorFile<double>&);
extern template TensorFile<float> read_safetensors(const std::string&);
extern template TensorFile<double> read_safetensors(const std::string&);
extern template Tensor<float> read_safetensors(const std::string&, const std::string&);
extern template Tensor<double> read_safetensors(const std::string&, const std::string&);

}  // namespace xtape::data
