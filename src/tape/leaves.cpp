// What may be done to a leaf depends on the tapes that have recorded it.
#include "recording.hpp"

#include <xtape/error.hpp>
#include <xtape/tensor.hpp>

#include <cstring>

namespace xtape::detail {

void prepare_assign(TensorImpl& leaf, bool keep_values) {
  if (is_recorded(leaf))
    throw TapeError(
        "assign: only leaves change; this tensor is the result of a recorded op: use detach() for a copy without "
        "history, or compute a new tensor");
  if (!leaf.storage->refs.unique()) {
    const Handle<Storage> old = leaf.storage;
    const std::size_t bytes = leaf.size * leaf.element_bytes();
    leaf.storage = Storage::make(bytes);
    if (keep_values && bytes > 0) std::memcpy(leaf.storage->data(), leaf.data, bytes);
    leaf.data = leaf.storage->data();
  }
  ++leaf.version;
}

void set_requires_grad(TensorImpl& leaf, bool requires_grad) {
  if (is_recorded(leaf))
    throw TapeError("set_requires_grad: only leaves can be told; this tensor is the result of a recorded op");
  leaf.requires_grad = requires_grad;
}

}  // namespace xtape::detail
