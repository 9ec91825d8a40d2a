// The search for the first NaN or infinity.
#include "source_line.hpp"
#include "watch.hpp"

#include <xtape/error.hpp>

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace xtape::detail {
namespace {

// What of a tensor is not finite.
struct NonFinite {
  std::size_t nans = 0, infinities = 0;
  std::size_t first_nan = 0, first_infinity = 0;  // places in row-major order

  bool finite() const noexcept { return nans + infinities == 0; }
};

template <class T> NonFinite search(const T* values, std::size_t size) noexcept {
  NonFinite found;
  for (std::size_t i = 0; i < size; ++i) {
    if (std::isnan(values[i])) {
      if (found.nans++ == 0) found.first_nan = i;
    } else if (std::isinf(values[i])) {
      if (found.infinities++ == 0) found.first_infinity = i;
    }
  }
  return found;
}
NonFinite search(const TensorImpl& x) noexcept {
  return x.dtype == DType::float32 ? search(static_cast<const float*>(x.data), x.size)
                                   : search(static_cast<const double*>(x.data), x.size);
}

// "nan at (0, 2)": the first NaN, or else the first infinity.
std::string first_of(const TensorImpl& x, const NonFinite& found) {
  std::size_t place = found.nans > 0 ? found.first_nan : found.first_infinity;
  const double value = x.dtype == DType::float32 ? static_cast<double>(static_cast<const float*>(x.data)[place])
                                                 : static_cast<const double*>(x.data)[place];
  Shape index = x.shape;
  for (std::size_t axis = x.shape.size(); axis-- > 0;) {
    index[axis] = place % x.shape[axis];
    place /= x.shape[axis];
  }
  return fmt::format("{} at {}", std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf", to_string(index));
}

std::string describe(const TensorImpl& x, const NonFinite& found, const std::string& what) {
  return fmt::format("{} of {} of shape {}, {} of {} elements not finite", first_of(x, found), what, to_string(x.shape),
                     found.nans + found.infinities, x.size);
}

}  // namespace

void AnomalySearch::recorded(std::size_t index, const char* name, const TensorImpl& value, const Inputs& inputs) {
  Origin origin{call_stack(), {}, true};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]) continue;
    const NonFinite found = search(*inputs[i]);
    origin.finite = origin.finite && found.finite();
    origin.inputs += fmt::format("{}{} {}", origin.inputs.empty() ? "" : ", ", to_string(inputs[i]->shape),
                                 found.finite() ? "finite" : "with " + first_of(*inputs[i], found));
  }
  const NonFinite found = search(value);
  if (found.nans > 0 || (found.infinities > 0 && origin.finite)) {
    const std::string what = describe(value, found, "the output");
    // A pullback may put right what it computes on its way: what it returns is judged.
    if (pullbacks_ == 0)
      throw AnomalyError(
          fmt::format("{}: forward: {}; inputs: {}; {}", name, what, origin.inputs, called_at(origin.stack)));
    if (suspect_.empty()) suspect_ = fmt::format("; first within the pullback, {}: {}", name, what);
  }
  origins_.resize(index);
  origins_.push_back(std::move(origin));
}

Gradients AnomalySearch::run(const Recording& recording, std::uint32_t index, Handle<TensorImpl> gradient,
                             const Handle<TensorImpl>& output, Wanted wanted) {
  const Node node = recording.nodes()[index];
  const NonFinite incoming = search(*gradient);
  const std::string came_in = incoming.finite() ? "finite" : "with " + first_of(*gradient, incoming);

  const Inside inside(*this);
  Gradients gradients = node.type->run(node.pullback, std::move(gradient), output, wanted);
  for (std::size_t i = 0; i < std::min<std::size_t>(gradients.size(), node.edge_count); ++i) {
    if (!gradients[i] || !wanted[i]) continue;
    const NonFinite found = search(*gradients[i]);
    const Origin& origin = origins_[index];
    if (found.nans > 0 || (found.infinities > 0 && incoming.finite() && origin.finite))
      throw AnomalyError(fmt::format("{}: backward: {}{}; incoming gradient: {} {}; inputs: {}; {}", node.name,
                                     describe(*gradients[i], found, fmt::format("the gradient of input {}", i)),
                                     suspect_, to_string(node.shape()), came_in, origin.inputs,
                                     called_at(origin.stack)));
  }
  return gradients;
}

bool AnomalySearch::is_finite(const TensorImpl* x) noexcept { return search(*x).finite(); }

void AnomalySearch::check_gradient(const Step& step, const char* what, const TensorImpl& gradient,
                                   bool of_finite) const {
  const NonFinite found = search(gradient);
  if (found.nans == 0 && (found.infinities == 0 || !of_finite)) return;
  const bool at_op = step.node < origins_.size();
  const std::string of = !at_op                       ? ""
                         : step.input == Step::output ? " of the output"
                                                      : fmt::format(" of input {}", step.input);
  throw AnomalyError(fmt::format("{}: backward: {}; made of {}{}", step.op,
                                 describe(gradient, found, fmt::format("the gradient{}, {},", of, what)),
                                 of_finite ? "finite gradients" : "gradients not all finite",
                                 at_op ? "; " + called_at(origins_[step.node].stack) : ""));
}

}  // namespace xtape::detail
