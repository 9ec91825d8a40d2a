// A tape as text and as a graph.
#include <xtape/tape.hpp>

#include "../core/text.hpp"
#include "recording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace xtape {
namespace {

std::size_t bytes_of(const Shape& shape, detail::DType dtype) {
  return shape.elements() * (dtype == detail::DType::float32 ? 4 : 8);
}

// What the tensors of a tape are called: by the user's names, or else sources by number, in the order of their use.
class Names {
 public:
  Names(const detail::Recording& recording, const std::vector<TensorName>& given) {
    for (const auto& [tensor, name] : given) {
      if (!tensor) continue;
      if (recording.links(*tensor))
        nodes_.insert_or_assign(tensor->link.node, name);
      else
        given_.insert_or_assign(tensor.get(), name);
    }
    for (const auto& node : recording.nodes())
      for (const auto& input : recording.inputs(node))
        if (input.leaf && places_.try_emplace(input.leaf.get(), sources_.size()).second) sources_.push_back(&input);
  }

  // Each parameter, or tensor of an enclosing tape, once.
  const std::vector<const detail::Edge*>& sources() const noexcept { return sources_; }
  std::size_t place(const detail::TensorImpl* source) const { return places_.at(source); }
  std::string of_source(const detail::TensorImpl* source) const {
    if (const auto given = given_.find(source); given != given_.end()) return given->second;
    return fmt::format("{} {}", source->requires_grad ? "parameter" : "outer", place(source));
  }
  // Empty without a name.
  std::string of_node(std::size_t index) const {
    const auto given = nodes_.find(index);
    return given == nodes_.end() ? std::string() : given->second;
  }

 private:
  std::unordered_map<const detail::TensorImpl*, std::string> given_;
  std::unordered_map<std::size_t, std::string> nodes_;
  std::unordered_map<const detail::TensorImpl*, std::size_t> places_;
  std::vector<const detail::Edge*> sources_;
};

}  // namespace

std::string Tape::dump(const std::vector<TensorName>& given) const {
  const Names names(*recording_, given);
  const auto& nodes = recording_->nodes();
  struct Line {
    std::string number, op, shape, bytes, state, inputs;
  };
  std::vector<Line> lines;
  std::size_t number = 0, op = 0, shape = 0;  // widths
  for (const auto& node : nodes) {
    Line line{fmt::format("#{}", lines.size()),
              node.name,
              to_string(node.shape()),
              detail::bytes_text(bytes_of(node.shape(), node.dtype)),
              !node.pullback ? "freed"
              : node.output  ? "kept"
                             : "",
              ""};
    if (const std::string name = names.of_node(lines.size()); !name.empty()) line.op = name + " = " + line.op;
    for (const auto& input : recording_->inputs(node)) {
      const auto is = recording_->shape_of(input);
      if (!is) continue;  // a number
      line.inputs += line.inputs.empty() ? "" : ", ";
      if (input.is_node())
        line.inputs += fmt::format("#{}", input.at);
      else
        line.inputs += (input.leaf ? names.of_source(input.leaf.get()) : "constant") + " " + to_string(is->shape);
    }
    number = std::max(number, line.number.size());
    op = std::max(op, line.op.size());
    shape = std::max(shape, line.shape.size());
    lines.push_back(std::move(line));
  }
  std::string text;
  for (const Line& line : lines)
    text += fmt::format("{:>{}}  {:{}}  {:{}}  {:>8}  {:5}  <- {}\n", line.number, number, line.op, op, line.shape,
                        shape, line.bytes, line.state, line.inputs);
  return text;
}

std::string Tape::to_dot(const std::vector<TensorName>& given) const {
  const Names names(*recording_, given);
  const auto label = [](const std::string& name, const detail::InputShape& is) {
    return fmt::format("label=\"{}\\n{}\\n{}\"", detail::escaped(name), to_string(is.shape),
                       detail::bytes_text(bytes_of(is.shape, is.dtype)));
  };
  std::string text =
      "digraph tape {\n"
      "  node [fontname=\"Helvetica\", fontsize=11, shape=box, style=\"rounded,filled\", fillcolor=\"#e8eef7\"];\n"
      "  edge [fontname=\"Helvetica\", fontsize=9];\n";
  for (const auto* source : names.sources())
    text +=
        fmt::format("  p{} [{}, shape=box, style=filled, fillcolor=\"#fbe3c0\"];\n", names.place(source->leaf.get()),
                    label(names.of_source(source->leaf.get()), *recording_->shape_of(*source)));
  std::size_t index = 0, constants = 0;
  for (const auto& node : recording_->nodes()) {
    std::string name = node.name;
    if (const std::string called = names.of_node(index); !called.empty()) name = called + " = " + name;
    text += fmt::format("  n{} [{}];\n", index, label(name, {node.shape(), node.dtype}));
    for (const auto& input : recording_->inputs(node)) {
      const auto is = recording_->shape_of(input);
      if (!is) continue;  // a number
      std::string from;
      if (input.is_node()) {
        from = fmt::format("n{}", input.at);
      } else if (input.leaf) {
        from = fmt::format("p{}", names.place(input.leaf.get()));
      } else {
        from = fmt::format("c{}", constants++);
        text += fmt::format("  {} [{}, shape=box, style=dashed];\n", from, label("constant", *is));
      }
      text +=
          fmt::format("  {} -> n{} [label=\"{}\"];\n", from, index, detail::bytes_text(bytes_of(is->shape, is->dtype)));
    }
    ++index;
  }
  return text + "}\n";
}

std::string to_string(const Tape& tape) { return tape.dump(); }

}  // namespace xtape
