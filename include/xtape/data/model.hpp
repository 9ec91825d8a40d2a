#pragma once
/// \file data/model.hpp  A model's parameters and buffers in a safetensors file, each by its name.
///
///     data::save_model(path, net);
///     data::load_model(path, net);   // into a model of the same layers

#include <xtape/nn.hpp>

#include <string>

namespace xtape::data {

/// Writes tensors as write_safetensors does, with a mark in the metadata, `format: xtape model` and `version: 1`: by it
/// load_model knows that weights are laid out as xtape's are. A tensor with several names (tied weights) is written
/// once, under its first. Throws as write_safetensors does; also ValueError if a name comes twice.
template <class T> void save_model(const std::string& path, const nn::NamedTensors<T>& tensors);

struct LoadModelOptions {
  /// Take a file without save_model's mark, too, as if its weights were laid out as xtape's: nn::Linear's (inputs,
  /// outputs). For files that xtape wrote before it had the mark, and for those of write_safetensors. Not for
  /// PyTorch's: its linear weights are (outputs, inputs), which nobody notices where the two are equal.
  bool unmarked = false;
};

/// Reads the tensors' values from such a file, in place: optimisers that were made before see them. The file must hold
/// tensors of these names and shapes and no others; float32 is read as double, float64 as float refused. Of a tensor
/// with several names one must be there; if more are, they must be equal.
/// Throws DataError and changes nothing, if not; the message has the tensor's name and both shapes. So it does for a
/// file without save_model's mark, unless options say how it is laid out. Throws as read_safetensors does.
template <class T>
void load_model(const std::string& path, const nn::NamedTensors<T>& tensors, const LoadModelOptions& options = {});

/// Of an nn::Sequential, or of anything else that lists its named_tensors().
template <class Model>
requires requires(const Model& m) { m.named_tensors(); }
void save_model(const std::string& path, const Model& model) { save_model(path, model.named_tensors()); }
template <class Model>
requires requires(const Model& m) { m.named_tensors(); }
void load_model(const std::string& path, const Model& model, const LoadModelOptions& options = {}) {
  load_model(path, model.named_tensors(), options);
}

extern template void save_model(const std::string&, const nn::NamedTensors<float>&);
extern template void save_model(const std::string&, const nn::NamedTensors<double>&);
extern template void load_model(const std::string&, const nn::NamedTensors<float>&, const LoadModelOptions&);
extern template void load_model(const std::string&, const nn::NamedTensors<double>&, const LoadModelOptions&);

}  // namespace xtape::data
