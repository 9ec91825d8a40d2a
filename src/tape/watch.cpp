// Hooks on gradients.
#include "watch.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace xtape::detail {

Watch::Watch(const TapeOptions& options) {
  if (options.profile) profiler.emplace();
  if (options.anomaly) anomaly.emplace();
}

void Watch::recorded(std::size_t index, const char* name, const TensorImpl& value, const Inputs& inputs) {
  if (anomaly) anomaly->recorded(index, name, value, inputs);
  if (profiler) profiler->recorded(name, value);
}

Handle<TensorImpl> Watch::hooked(std::uint32_t index, const char* name, Handle<TensorImpl> gradient) {
  const auto hooks = node_hooks.find(index);
  if (hooks == node_hooks.end()) return gradient;
  return run_hooks(hooks->second, std::move(gradient), {name, index, Step::output});
}

Handle<TensorImpl> Watch::run_hooks(Hooks& hooks, Handle<TensorImpl> gradient, const Step& step) const {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    Handle<TensorImpl> replaced = hooks[i](gradient);
    if (!replaced) continue;
    if (replaced->shape != gradient->shape)
      throw TapeError(fmt::format("hook: returned a gradient of shape {} for a tensor of shape {}",
                                  to_string(replaced->shape), to_string(gradient->shape)));
    if (anomaly)
      anomaly->check_gradient(step, "as a hook returned it", *replaced, AnomalySearch::is_finite(gradient.get()));
    gradient = std::move(replaced);
  }
  return gradient;
}

void Watch::clear() noexcept {
  node_hooks.clear();
  source_hooks.clear();
  if (anomaly) anomaly->clear();
}

std::size_t Watch::place_of_source(const TensorImpl* source) const noexcept {
  const auto found = std::find_if(source_hooks.begin(), source_hooks.end(),
                                  [source](const SourceHooks& hooks) { return hooks.source.get() == source; });
  return static_cast<std::size_t>(found - source_hooks.begin());
}

Hooks& Watch::hooks_of_source(const Handle<TensorImpl>& source) {
  const std::size_t place = place_of_source(source.get());
  if (place == source_hooks.size()) source_hooks.push_back({source, {}});
  return source_hooks[place].hooks;
}

}  // namespace xtape::detail
