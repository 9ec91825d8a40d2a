#include <xtape/data/model.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <set>

namespace xtape::data {
namespace {

template <class T> bool same_bits(const Tensor<T>& a, const Tensor<T>& b) {
  return a.shape() == b.shape() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace

template <class T> void save_model(const std::string& path, const nn::NamedTensors<T>& tensors) {
  TensorFile<T> file;
  std::set<std::string> names;
  std::set<const detail::TensorImpl*> written;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second) throw ValueError(fmt::format("save_model: two tensors are called '{}'", name));
    if (written.insert(tensor.impl().get()).second) file.tensors.emplace(name, tensor);
  }
  write_safetensors(path, file);
}

template <class T> void load_model(const std::string& path, const nn::NamedTensors<T>& tensors) {
  const auto file = read_safetensors<T>(path);
  const auto fail = [&](const std::string& what) { throw DataError(fmt::format("load_model: {}: {}", path, what)); };
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
  for (const auto& [name, tensor] : tensors)
    if (file.tensors.contains(name)) Tensor<T>(tensor).assign(file.tensors.at(name));
}

template void save_model(const std::string&, const nn::NamedTensors<float>&);
template void save_model(const std::string&, const nn::NamedTensors<double>&);
template void load_model(const std::string&, const nn::NamedTensors<float>&);
template void load_model(const std::string&, const nn::NamedTensors<double>&);

}  // namespace xtape::data
