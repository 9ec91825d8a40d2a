#include <xtape/data/model.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <set>

namespace xtape::data {

template <class T> void save_model(const std::string& path, const nn::NamedTensors<T>& tensors) {
  TensorFile<T> file;
  for (const auto& [name, tensor] : tensors)
    if (!file.tensors.emplace(name, tensor).second)
      throw ValueError(fmt::format("save_model: two tensors are called '{}'", name));
  write_safetensors(path, file);
}

template <class T> void load_model(const std::string& path, const nn::NamedTensors<T>& tensors) {
  const auto file = read_safetensors<T>(path);
  const auto fail = [&](const std::string& what) { throw DataError(fmt::format("load_model: {}: {}", path, what)); };
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    names.insert(name);
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end())
      fail(fmt::format("there is no tensor '{}' in it, the model's has shape {}", name, to_string(tensor.shape())));
    if (found->second.shape() != tensor.shape())
      fail(fmt::format("tensor '{}' has shape {}, the model's has {}", name, to_string(found->second.shape()),
                       to_string(tensor.shape())));
  }
  for (const auto& [name, tensor] : file.tensors)
    if (!names.contains(name))
      fail(fmt::format("it holds a tensor '{}' of shape {}, which the model has not", name, to_string(tensor.shape())));
  for (const auto& [name, tensor] : tensors) Tensor<T>(tensor).assign(file.tensors.at(name));
}

template void save_model(const std::string&, const nn::NamedTensors<float>&);
template void save_model(const std::string&, const nn::NamedTensors<double>&);
template void load_model(const std::string&, const nn::NamedTensors<float>&);
template void load_model(const std::string&, const nn::NamedTensors<double>&);

}  // namespace xtape::data
