#include <xtape/data/model.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <set>
#include <string_view>

namespace xtape::data {
namespace {

template <class T> bool same_bits(const Tensor<T>& a, const Tensor<T>& b) {
  return a.shape() == b.shape() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

constexpr const char* model_format = "xtape model";

/// What load_model refuses by its own name, whichever of the two has found it.
template <class T> TensorFile<T> read_file(const std::string& path) {
  constexpr std::string_view reader = "read_safetensors: ";
  const auto renamed = [&](std::string_view what) {
    return fmt::format("load_model: {}", what.starts_with(reader) ? what.substr(reader.size()) : what);
  };
  try {
    return read_safetensors<T>(path);
  } catch (const DataError& error) {
    throw DataError(renamed(error.what()));
  } catch (const MemoryError& error) {
    throw MemoryError(renamed(error.what()));
  }
}

/// Is it known how the file's weights are laid out?
template <class Fail>
void check_mark(const std::map<std::string, std::string>& metadata, const LoadModelOptions& options, const Fail& fail) {
  const auto text = [&](const char* name) {
    const auto found = metadata.find(name);
    return found == metadata.end() ? std::string() : found->second;
  };
  if (text("format") == model_format) {
    if (text("version") != "1")
      fail(fmt::format("has version '{}' of the format; this program knows 1", text("version")));
  } else if (!options.unmarked) {
    fail(
        "it has no mark of save_model's: another library may have written it, and lay weights out otherwise (PyTorch's "
        "linear layers are transposed, which square ones do not show). If its weights are (inputs, outputs), as those "
        "of files that xtape wrote before it had the mark, load it with .unmarked = true");
  }
}

}  // namespace

template <class T> void save_model(const std::string& path, const nn::NamedTensors<T>& tensors) {
  TensorFile<T> file{.metadata = {{"format", model_format}, {"version", "1"}}};
  std::set<std::string> names;
  std::set<const detail::TensorImpl*> written;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second) throw ValueError(fmt::format("save_model: two tensors are called '{}'", name));
    if (written.insert(tensor.impl().get()).second) file.tensors.emplace(name, tensor);
  }
  write_safetensors(path, file);
}

template <class T>
void load_model(const std::string& path, const nn::NamedTensors<T>& tensors, const LoadModelOptions& options) {
  const auto fail = [&](const std::string& what) { throw DataError(fmt::format("load_model: {}: {}", path, what)); };
  const auto file = read_file<T>(path);
  check_mark(file.metadata, options, fail);
  std::set<std::string> names;
  // Of each tensor what the file has under the first of its names that is there: tied weights have several.
  std::map<const detail::TensorImpl*, const std::pair<const std::string, Tensor<T>>*> values;
  for (const auto& [name, tensor] : tensors)
    if (const auto found = file.tensors.find(name); found != file.tensors.end())
      values.try_emplace(tensor.impl().get(), &*found);
  for (const auto& [name, tensor] : tensors) {
    names.insert(name);
    const auto found = file.tensors.find(name);
    const auto value = values.find(tensor.impl().get());
    if (found == file.tensors.end() && value != values.end()) continue;
    if (found == file.tensors.end())
      fail(fmt::format("there is no tensor '{}' in it, the model's has shape {}", name, to_string(tensor.shape())));
    if (found->second.shape() != tensor.shape())
      fail(fmt::format("tensor '{}' has shape {}, the model's has {}", name, to_string(found->second.shape()),
                       to_string(tensor.shape())));
    if (!same_bits(found->second, value->second->second))
      fail(fmt::format("tensors '{}' and '{}' differ, the model's are one", value->second->first, name));
  }
  for (const auto& [name, tensor] : file.tensors)
    if (!names.contains(name))
      fail(fmt::format("it holds a tensor '{}' of shape {}, which the model has not", name, to_string(tensor.shape())));
  for (const auto& [name, integers] : file.integers)
    fail(fmt::format("it holds integers '{}' of shape {}, which the model has not", name, to_string(integers.shape())));
  for (const auto& [name, tensor] : tensors)
    if (file.tensors.contains(name)) Tensor<T>(tensor).assign(file.tensors.at(name));
}

template void save_model(const std::string&, const nn::NamedTensors<float>&);
template void save_model(const std::string&, const nn::NamedTensors<double>&);
template void load_model(const std::string&, const nn::NamedTensors<float>&, const LoadModelOptions&);
template void load_model(const std::string&, const nn::NamedTensors<double>&, const LoadModelOptions&);

}  // namespace xtape::data
