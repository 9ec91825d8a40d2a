#include <xtape/detail/loop.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

namespace xtape::detail {
namespace {

[[noreturn]] void throw_mismatch(const char* op, const Shape* const* inputs, std::size_t count) {
  std::string shapes;
  for (std::size_t k = 0; k < count; ++k)
    if (inputs[k]) shapes += (shapes.empty() ? "" : " and ") + to_string(*inputs[k]);
  throw ShapeError(fmt::format("{}: shapes {} do not broadcast", op, shapes));
}

}  // namespace

LoopPlan plan_loop(const char* op, const Shape* const* inputs, std::size_t count) {
  LoopPlan plan;
  const Shape* first = nullptr;
  bool same = true;
  for (std::size_t k = 0; k < count; ++k) {
    if (!inputs[k]) continue;
    if (!first)
      first = inputs[k];
    else if (!(*inputs[k] == *first))
      same = false;
  }
  if (same) {  // one long row
    plan.shape = first ? *first : Shape{};
    plan.rank = 1;
    plan.extent[0] = plan.shape.elements();
    for (std::size_t k = 0; k < count; ++k) plan.stride[k][0] = inputs[k] ? 1 : 0;
    return plan;
  }

  for (std::size_t k = 0; k < count; ++k) {
    if (!inputs[k]) continue;
    // Extents equal or 1, aligned at the last axis.
    const Shape& in = *inputs[k];
    const Shape before = plan.shape;
    const Shape& longer = before.size() >= in.size() ? before : in;
    const Shape& shorter = before.size() >= in.size() ? in : before;
    plan.shape = longer;
    const std::size_t offset = longer.size() - shorter.size();
    for (std::size_t i = 0; i < shorter.size(); ++i) {
      const std::size_t m = longer[offset + i], n = shorter[i];
      if (m != n && m != 1 && n != 1) throw_mismatch(op, inputs, count);
      plan.shape[offset + i] = m == 1 ? n : m;
    }
  }
  try {
    static_cast<void>(plan.shape.elements());
  } catch (const ShapeError& error) {
    throw ShapeError(fmt::format("{}: {}", op, error.what()));
  }

  // Strides of each input along each axis of the output; 0 where it is broadcast.
  std::array<std::array<std::size_t, max_rank>, max_loop_inputs> full{};
  const std::size_t rank = plan.shape.size();
  for (std::size_t k = 0; k < count; ++k) {
    if (!inputs[k]) continue;
    const Shape& in = *inputs[k];
    std::size_t stride = 1;
    for (std::size_t i = in.size(); i-- > 0;) {
      full[k][i + rank - in.size()] = in[i] == 1 ? 0 : stride;
      stride *= in[i];
    }
  }
  // Merge an axis into the one after it where every input walks the two as one.
  plan.rank = 0;
  for (std::size_t i = 0; i < rank; ++i) {
    if (plan.shape[i] == 1) continue;
    bool merges = plan.rank > 0;
    for (std::size_t k = 0; k < count && merges; ++k)
      merges = plan.stride[k][plan.rank - 1] == full[k][i] * plan.shape[i];
    if (!merges) plan.extent[plan.rank++] = 1;
    plan.extent[plan.rank - 1] *= plan.shape[i];
    for (std::size_t k = 0; k < count; ++k) plan.stride[k][plan.rank - 1] = full[k][i];
  }
  if (plan.rank == 0) {  // a single element
    plan.rank = 1;
    plan.extent[0] = 1;
    for (std::size_t k = 0; k < count; ++k) plan.stride[k][0] = 0;
  }
  return plan;
}

}  // namespace xtape::detail
