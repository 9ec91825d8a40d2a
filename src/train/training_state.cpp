#include <xtape/data/training_state.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "../io/input_file.hpp"
#include "../io/safetensors_any.hpp"

namespace xtape::data {
namespace {

constexpr const char *function = "training_state", *format = "xtape training state";
constexpr unsigned version = 1;
constexpr std::string_view setting_prefix = "setting ", text_prefix = "value ";

// Numbers as texts that read back to the bit, with a blank between them.
template <class... N> std::string join(const N&... numbers) {
  const std::string texts[] = {fmt::format("{}", numbers)...};
  return fmt::format("{}", fmt::join(texts, " "));
}

// False unless the text is such numbers, as many as there are arguments, and nothing else.
template <class... N> bool split(std::string_view text, N&... numbers) {
  const char *at = text.data(), *const end = at + text.size();
  bool first = true;
  const auto next = [&](auto& number) {
    if (!std::exchange(first, false) && (at == end || *at++ != ' ')) return false;
    const auto [after, error] = std::from_chars(at, end, number);
    at = after;
    return error == std::errc{};
  };
  return (next(numbers) && ...) && at == end;
}

}  // namespace

struct TrainingState::Impl {
  using Save = std::function<void(AnyTensorFile&)>;

  std::string path;                   // of the file read
  std::optional<AnyTensorFile> file;  // what was read, without what has been taken out
  std::map<std::string, std::string> settings;
  std::set<std::string> names;
  std::vector<std::pair<std::string, Save>> kept;
  std::string prefix;     // of the scopes entered
  bool restoring = true;  // of the innermost scope: does the file hold something of it?

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(fmt::format("{}: {}: {}", function, path, what));
  }
  [[noreturn]] void fail_missing(const std::string& name) const {
    fail(fmt::format("there is no '{}' in it: another program, or another version of it, has written it", name));
  }

  bool has_more(const std::string& with_prefix) const {
    const auto any = [&](const auto& map, const std::string& start) {
      const auto found = map.lower_bound(start);
      return found != map.end() && found->first.starts_with(start);
    };
    return file && (any(file->tensors, with_prefix) || any(file->metadata, std::string(text_prefix) + with_prefix));
  }

  std::string take_text(const std::string& name) {
    const auto found = file->metadata.find(std::string(text_prefix) + name);
    if (found == file->metadata.end()) fail_missing(name);
    std::string text = std::move(found->second);
    file->metadata.erase(found);
    return text;
  }

  template <class... N> void take_numbers(const std::string& name, N&... numbers) {
    if (const auto text = take_text(name); !split(text, numbers...))
      fail(fmt::format("'{}' is '{}', expected {}", name, text,
                       sizeof...(N) == 1 ? std::string("a number") : fmt::format("{} numbers", sizeof...(N))));
  }

  template <class T> Tensor<T> take_tensor(const std::string& name) {
    const auto found = file->tensors.find(name);
    if (found == file->tensors.end()) fail_missing(name);
    const auto* const tensor = std::get_if<Tensor<T>>(&found->second);
    if (!tensor) fail(fmt::format("tensor '{}' is of another type than this run's, which is F{}", name, 8 * sizeof(T)));
    const Tensor<T> result = *tensor;
    file->tensors.erase(found);
    return result;
  }

  // A tensor that may be undefined: then it is not in the file.
  template <class T> Tensor<T> take_if_there(const std::string& name) {
    return file->tensors.contains(name) ? take_tensor<T>(name) : Tensor<T>();
  }

  // Reads by restore(full name) if there is something to read, and writes by save(file, full name) from now on.
  template <class Restore, class SaveAs> void add(const std::string& name, const Restore& restore, const SaveAs& save) {
    // Points and slashes join names, to names that nothing else must have.
    if (name.empty() || name.find_first_of("./") != std::string::npos || name == checksum_name)
      throw ValueError(fmt::format("{}: '{}' is no name for what is kept", function, name));
    const std::string full = prefix + name;
    if (!names.insert(full).second) throw ValueError(fmt::format("{}: '{}' is kept twice", function, full));
    try {
      if (file && restoring) restore(full);
      kept.emplace_back(full, [full, save](AnyTensorFile& out) { save(out, full); });
    } catch (const DataError&) {
      names.erase(full);
      throw;
    } catch (const Error& error) {  // a state that does not fit
      names.erase(full);
      fail(fmt::format("'{}': {}", full, error.what()));
    }
  }

  static void put_text(AnyTensorFile& out, const std::string& name, std::string text) {
    out.metadata.emplace(std::string(text_prefix) + name, std::move(text));
  }
  template <class T> static void put_if_defined(AnyTensorFile& out, const std::string& name, const Tensor<T>& tensor) {
    if (tensor.defined()) out.tensors.emplace(name, tensor);
  }
};

TrainingState::TrainingState() : impl_(std::make_unique<Impl>()) {}
TrainingState::~TrainingState() = default;

void TrainingState::read(const std::string& path) {
  if (impl_->file || !impl_->names.empty() || !impl_->settings.empty())
    throw ValueError(fmt::format("{}: a file is read once, and before anything is kept", function));
  impl_->file = detail::naming(function, path, [&] { return read_any(function, path, format, version); });
  impl_->path = path;
}

void TrainingState::write(const std::string& path) {
  if (const auto& file = impl_->file) {
    const auto refuse = [&](std::string_view what) {
      impl_->fail(fmt::format("it holds '{}', which this run does not keep", what));
    };
    if (!file->tensors.empty()) refuse(file->tensors.begin()->first);
    for (const auto& [name, text] : file->metadata)
      if (name.starts_with(text_prefix))
        refuse(std::string_view(name).substr(text_prefix.size()));
      else if (name.starts_with(setting_prefix))
        refuse(name);
  }
  AnyTensorFile out;
  out.metadata = {{"format", format}, {"version", std::to_string(version)}};
  for (const auto& [name, value] : impl_->settings) out.metadata.emplace(std::string(setting_prefix) + name, value);
  for (const auto& [name, save] : impl_->kept) save(out);
  detail::OutputFile target(function, path, detail::Temporary::reclaimed);
  write_any(target, out);
  target.commit();
}

void TrainingState::setting(const std::string& name, const std::string& value) {
  if (!impl_->settings.emplace(name, value).second)
    throw ValueError(fmt::format("{}: setting {} is given twice", function, name));
  if (!impl_->file) return;
  const auto found = impl_->file->metadata.find(std::string(setting_prefix) + name);
  if (found == impl_->file->metadata.end())
    impl_->fail(fmt::format("setting {} is not in it, this run's is {}", name, value));
  if (found->second != value)
    impl_->fail(fmt::format("setting {} is {}, this run's is {}", name, found->second, value));
  impl_->file->metadata.erase(found);
}

template <class T> void TrainingState::parameters(const std::string& name, const std::vector<Tensor<T>>& tensors) {
  const auto element = [](const std::string& full, std::size_t i) { return fmt::format("{}.{}", full, i); };
  impl_->add(
      name,
      [&](const std::string& full) {
        std::size_t count = 0;
        impl_->take_numbers(full, count);
        if (count != tensors.size())
          impl_->fail(fmt::format("'{}' has {} tensors, this run's has {}", full, count, tensors.size()));
        std::vector<Tensor<T>> values;
        for (std::size_t i = 0; i < count; ++i) {
          values.push_back(impl_->take_tensor<T>(element(full, i)));
          if (values[i].shape() != tensors[i].shape())
            impl_->fail(fmt::format("tensor '{}' has shape {}, this run's has {}", element(full, i),
                                    to_string(values[i].shape()), to_string(tensors[i].shape())));
        }
        for (std::size_t i = 0; i < count; ++i) Tensor<T>(tensors[i]).assign(values[i]);
      },
      [tensors, element](AnyTensorFile& out, const std::string& full) {
        Impl::put_text(out, full, join(tensors.size()));
        for (std::size_t i = 0; i < tensors.size(); ++i) out.tensors.emplace(element(full, i), tensors[i]);
      });
}

template <class T> void TrainingState::keep(const std::string& name, Tensor<T>& tensor) {
  keep_if(name, tensor, static_cast<const Shape*>(nullptr));
}
template <class T> void TrainingState::keep(const std::string& name, Tensor<T>& tensor, const Shape& shape) {
  keep_if(name, tensor, &shape);
}
template <class T> void TrainingState::keep_if(const std::string& name, Tensor<T>& tensor, const Shape* shape) {
  impl_->add(
      name,
      [&](const std::string& full) {
        int defined = 0;
        impl_->take_numbers(full, defined);
        const Tensor<T> value = defined != 0 ? impl_->take_tensor<T>(full) : Tensor<T>();
        if (shape && value.defined() && value.shape() != *shape)
          impl_->fail(fmt::format("tensor '{}' has shape {}, this run's has {}", full, to_string(value.shape()),
                                  to_string(*shape)));
        tensor = value;
      },
      [&tensor](AnyTensorFile& out, const std::string& full) {
        Impl::put_text(out, full, join(static_cast<int>(tensor.defined())));
        Impl::put_if_defined(out, full, tensor);
      });
}

template <class T> void TrainingState::keep(const std::string& name, optim::Sgd<T>& sgd) {
  impl_->add(
      name,
      [&](const std::string& full) {
        auto state = sgd.state();
        auto& o = state.options;
        int nesterov = 0;
        impl_->take_numbers(full, o.learning_rate, o.momentum, nesterov, o.weight_decay);
        o.nesterov = nesterov != 0;
        for (std::size_t i = 0; i < state.velocity.size(); ++i)
          state.velocity[i] = impl_->take_if_there<T>(fmt::format("{}.velocity.{}", full, i));
        sgd.set_state(state);
      },
      [&sgd](AnyTensorFile& out, const std::string& full) {
        const auto state = sgd.state();
        const auto& o = state.options;
        Impl::put_text(out, full, join(o.learning_rate, o.momentum, static_cast<int>(o.nesterov), o.weight_decay));
        for (std::size_t i = 0; i < state.velocity.size(); ++i)
          Impl::put_if_defined(out, fmt::format("{}.velocity.{}", full, i), state.velocity[i]);
      });
}

template <class T> void TrainingState::keep(const std::string& name, optim::Adam<T>& adam) {
  const auto part = [](const std::string& full, const char* what, std::size_t i) {
    return fmt::format("{}.{}.{}", full, what, i);
  };
  impl_->add(
      name,
      [&](const std::string& full) {
        auto state = adam.state();
        auto& o = state.options;
        impl_->take_numbers(full, o.learning_rate, o.beta1, o.beta2, o.epsilon, o.weight_decay);
        for (std::size_t i = 0; i < state.moments.size(); ++i) {
          auto& m = state.moments[i];
          impl_->take_numbers(part(full, "steps", i), m.steps);
          m.mean = impl_->take_if_there<T>(part(full, "mean", i));
          m.square = impl_->take_if_there<T>(part(full, "square", i));
        }
        adam.set_state(state);
      },
      [&adam, part](AnyTensorFile& out, const std::string& full) {
        const auto state = adam.state();
        const auto& o = state.options;
        Impl::put_text(out, full, join(o.learning_rate, o.beta1, o.beta2, o.epsilon, o.weight_decay));
        for (std::size_t i = 0; i < state.moments.size(); ++i) {
          const auto& m = state.moments[i];
          Impl::put_text(out, part(full, "steps", i), join(m.steps));
          Impl::put_if_defined(out, part(full, "mean", i), m.mean);
          Impl::put_if_defined(out, part(full, "square", i), m.square);
        }
      });
}

template <class T> void TrainingState::keep(const std::string& name, GibbsChain<T>& chain) {
  impl_->add(
      name,
      [&](const std::string& full) {
        auto state = chain.state();
        auto& r = state.rng;
        impl_->take_numbers(full, r.seed, r.stream, r.words, state.steps, state.proposed, state.swapped);
        state.replicas = impl_->take_tensor<T>(full + ".replicas");
        state.hidden = impl_->take_if_there<T>(full + ".hidden");
        state.probability = impl_->take_if_there<T>(full + ".probability");
        chain.set_state(state);
      },
      [&chain](AnyTensorFile& out, const std::string& full) {
        const auto state = chain.state();
        const auto& r = state.rng;
        Impl::put_text(out, full, join(r.seed, r.stream, r.words, state.steps, state.proposed, state.swapped));
        Impl::put_if_defined(out, full + ".replicas", state.replicas);
        Impl::put_if_defined(out, full + ".hidden", state.hidden);
        Impl::put_if_defined(out, full + ".probability", state.probability);
      });
}

void TrainingState::keep(const std::string& name, BatchStream& batches) {
  impl_->add(
      name,
      [&](const std::string& full) {
        BatchStream::State state{};
        auto& r = state.order;
        impl_->take_numbers(full, state.epochs, state.batches, r.seed, r.stream, r.words);
        batches.set_state(state);
      },
      [&batches](AnyTensorFile& out, const std::string& full) {
        const auto state = batches.state();
        const auto& r = state.order;
        Impl::put_text(out, full, join(state.epochs, state.batches, r.seed, r.stream, r.words));
      });
}

void TrainingState::keep(const std::string& name, Rng& rng) {
  impl_->add(
      name,
      [&](const std::string& full) {
        Rng::State r{};
        impl_->take_numbers(full, r.seed, r.stream, r.words);
        rng = Rng::from_state(r);
      },
      [&rng](AnyTensorFile& out, const std::string& full) {
        const auto r = rng.state();
        Impl::put_text(out, full, join(r.seed, r.stream, r.words));
      });
}

void TrainingState::keep(const std::string& name, bool& value) {
  impl_->add(
      name,
      [&](const std::string& full) {
        int number = 0;
        impl_->take_numbers(full, number);
        value = number != 0;
      },
      [&value](AnyTensorFile& out, const std::string& full) {
        Impl::put_text(out, full, join(static_cast<int>(value)));
      });
}

void TrainingState::keep(const std::string& name, std::size_t& value) {
  keep(name, value, std::numeric_limits<std::size_t>::max());
}
void TrainingState::keep(const std::string& name, std::size_t& value, std::size_t most) {
  impl_->add(
      name,
      [&](const std::string& full) {
        std::size_t number = 0;
        impl_->take_numbers(full, number);
        if (number > most) impl_->fail(fmt::format("'{}' is {}, in this run at most {}", full, number, most));
        value = number;
      },
      [&value](AnyTensorFile& out, const std::string& full) { Impl::put_text(out, full, join(value)); });
}

void TrainingState::keep(const std::string& name, double& value) {
  impl_->add(
      name, [&](const std::string& full) { impl_->take_numbers(full, value); },
      [&value](AnyTensorFile& out, const std::string& full) { Impl::put_text(out, full, join(value)); });
}

void TrainingState::keep(const std::string& name, std::vector<double>& values) { keep(name, values, ListLength()); }
void TrainingState::keep(const std::string& name, std::vector<double>& values, const ListLength& length) {
  impl_->add(
      name,
      [&](const std::string& full) {
        const auto tensor = impl_->take_tensor<double>(full);
        if (tensor.shape().size() != 1)
          impl_->fail(fmt::format("tensor '{}' has shape {}, this run's is a list", full, to_string(tensor.shape())));
        if (tensor.size() < length.least || tensor.size() > length.most)
          impl_->fail(fmt::format("list '{}' has {} numbers, this run's {} {}", full, tensor.size(),
                                  length.least == length.most ? "has" : "has at most", length.most));
        values.assign(tensor.span().begin(), tensor.span().end());
      },
      [&values](AnyTensorFile& out, const std::string& full) {
        out.tensors.emplace(full, Tensor<double>({values.size()}, std::span<const double>(values)));
      });
}

void TrainingState::keep(const std::string& name, std::string& text) {
  impl_->add(
      name, [&](const std::string& full) { text = impl_->take_text(full); },
      [&text](AnyTensorFile& out, const std::string& full) { Impl::put_text(out, full, text); });
}

TrainingState::Scope::Scope(TrainingState& state, const std::string& name)
    : state_(state), outer_(state.impl_->prefix), kept_(state.impl_->kept.size()), restoring_(state.impl_->restoring) {
  if (name.empty() || name.find('/') != std::string::npos)
    throw ValueError(fmt::format("{}: '{}' is no name for a scope", function, name));
  state.impl_->prefix += name + "/";
  state.impl_->restoring = restoring_ && state.impl_->has_more(state.impl_->prefix);
}

TrainingState::Scope::~Scope() {
  auto& impl = *state_.impl_;
  for (; impl.kept.size() > kept_; impl.kept.pop_back()) impl.names.erase(impl.kept.back().first);
  impl.prefix = outer_;
  impl.restoring = restoring_;
}

#define XTAPE_TRAINING_STATE(T)                                                               \
  template void TrainingState::parameters(const std::string&, const std::vector<Tensor<T>>&); \
  template void TrainingState::keep(const std::string&, Tensor<T>&);                          \
  template void TrainingState::keep(const std::string&, Tensor<T>&, const Shape&);            \
  template void TrainingState::keep(const std::string&, optim::Sgd<T>&);                      \
  template void TrainingState::keep(const std::string&, optim::Adam<T>&);                     \
  template void TrainingState::keep(const std::string&, GibbsChain<T>&);
XTAPE_TRAINING_STATE(float)
XTAPE_TRAINING_STATE(double)

}  // namespace xtape::data
