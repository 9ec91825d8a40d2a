// Models kept in files by their parameters' names.

#include <xtape/data/model.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/init.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/optim.hpp>

#include <doctest/doctest.h>

#include <algorithm>

#include "files.hpp"

using namespace xtape;
using namespace xtape::data;

namespace {

template <class T> bool equal_bits(const Tensor<T>& a, const Tensor<T>& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.span(), b.span());
}

template <class T> nn::Sequential<T> model(std::uint64_t seed, std::size_t hidden = 4) {
  Rng rng{seed};
  return nn::Sequential<T>{nn::Linear<T>(3, hidden, rng), nn::BatchNorm<T>(hidden), relu<T>,
                           nn::Linear<T>(hidden, 2, rng)};
}

}  // namespace

TEST_CASE_TEMPLATE("model: saved and loaded, buffers too, seen by optimisers", T, float, double) {
  const Folder folder;
  const std::string path = folder / "net.safetensors";
  Rng rng{3};
  const auto x = init::normal<T>({8, 3}, 0, 1, rng);
  auto net = model<T>(1), other = model<T>(2);
  optim::Sgd<T> sgd{other.parameters(), {.learning_rate = 1}};
  net(x);  // BatchNorm sees a batch
  save_model(path, net);
  load_model(path, other);
  net.set_training(false);
  other.set_training(false);
  CHECK(equal_bits(net(x), other(x)));
  CHECK(other.parameters()[0].requires_grad());
  CHECK(other.parameters()[0].impl().get() != net.parameters()[0].impl().get());
  auto weight = other.parameters()[0];
  weight.set_grad(weight.detach());
  sgd.step();
  CHECK(std::ranges::all_of(other.parameters()[0].span(), [](T w) { return w == 0; }));

  std::vector<std::string> names;
  for (const auto& [name, tensor] : read_safetensors<T>(path).tensors) names.push_back(name);
  CHECK(names == std::vector<std::string>{"0.bias", "0.weight", "1.beta", "1.gamma", "1.mean", "1.variance", "3.bias",
                                          "3.weight"});
}

TEST_CASE("model: a file that does not fit is refused by name and shapes, and changes nothing") {
  const Folder folder;
  const std::string path = folder / "net.safetensors";
  const auto net = model<double>(1);
  const auto before = net.parameters()[0].detach();
  const auto refused = [&](const TensorFile<double>& file, const std::string& part) {
    write_safetensors(path, file);
    check_bad([&] { load_model(path, net); }, {"load_model: " + path + ": ", part});
    CHECK(equal_bits(net.parameters()[0].detach(), before));
  };
  save_model(path, model<double>(2, 5));
  check_bad([&] { load_model(path, net); }, {"tensor '0.weight' has shape (3, 5), the model's has (3, 4)"});
  save_model(path, model<double>(2));
  const auto whole = read_safetensors<double>(path);
  auto file = whole;
  file.tensors.erase("3.bias");
  refused(file, "there is no tensor '3.bias' in it, the model's has shape (2,)");
  file = whole;
  file.tensors["4.weight"] = Tensor<double>({1, 2}, {1, 2});
  refused(file, "it holds a tensor '4.weight' of shape (1, 2), which the model has not");
  file = whole;
  file.tensors["1.variance"] = Tensor<double>({1, 4}, {1, 2, 3, 4});
  refused(file, "tensor '1.variance' has shape (1, 4), the model's has (4,)");

  save_model(path, net);
  check_bad([&] { load_model(path, model<float>(1)); }, {path, "is F64", "read it as double"});
  save_model(path, model<float>(2));
  load_model(path, net);  // exactly
  CHECK(!equal_bits(net.parameters()[0].detach(), before));
  check_bad([&] { load_model(folder / "none", net); }, {folder / "none", "No such file"});
  check_bad<ValueError>(
      [&] {
        save_model<double>(path, {{"w", before}, {"w", before}});
      },
      {"save_model: two tensors are called 'w'"});
  check_bad([&] { save_model<double>(path, {{"w", Tensor<double>()}}); }, {"tensor 'w' is undefined"});
}

TEST_CASE("model: a file of another library, whose square weights would be transposed, is refused unless told") {
  const Folder folder;
  const std::string path = folder / "square.safetensors";
  Rng rng{5};
  const nn::Sequential<float> net{nn::Linear<float>(3, 3, rng)};
  save_model(path, net);
  auto file = read_safetensors<float>(path);
  CHECK(file.metadata.at("format") == "xtape model");
  load_model(path, net);
  const auto before = net.parameters()[0].detach();
  file.tensors.at("0.weight") = Tensor<float>({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  for (const std::map<std::string, std::string>& metadata :
       {std::map<std::string, std::string>{}, {{"format", "pt"}}}) {
    file.metadata = metadata;
    write_safetensors(path, file);
    check_bad([&] { load_model(path, net); }, {"load_model: " + path, "no mark", "transposed", ".unmarked = true"});
    CHECK(equal_bits(net.parameters()[0].detach(), before));
  }
  load_model(path, net, {.unmarked = true});  // as files were written before there was the mark
  CHECK(net.parameters()[0].data()[1] == 2);
  file.metadata = {{"format", "xtape model"}, {"version", "2"}};
  write_safetensors(path, file);
  check_bad([&] { load_model(path, net); }, {"has version '2' of the format; this program knows 1"});
}
