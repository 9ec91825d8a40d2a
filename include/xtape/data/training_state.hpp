#pragma once
/// \file data/training_state.hpp  All that a training run needs to go on after a crash, in one file. (checkpoint() in
/// transforms.hpp is something else: it trades time for memory.)
///
///     data::TrainingState state;
///     if (go_on) state.read(path);                  // first, then what is kept takes its values from the file
///     state.setting("hidden units", "100");         // must be the same in the run that goes on
///     state.parameters("net", net.parameters());
///     state.keep("adam", adam);
///     state.keep("rng", rng);
///     state.keep("batches", stream);
///     while (stream.epochs() < epochs) {
///       auto [x, label] = stream.next();
///       ...
///       adam.step();
///       if (it_is_time) state.write(path);          // what all of them are now
///     }
///
/// A run that goes on so ends with the bits of one that was never interrupted, on the same machine and with as many
/// threads.

#include <xtape/data/batches.hpp>
#include <xtape/energy/gibbs.hpp>
#include <xtape/optim.hpp>
#include <xtape/rng.hpp>
#include <xtape/tensor.hpp>

#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace xtape::data {

/// How many numbers a list that is read may hold.
struct ListLength {
  std::size_t least = 0, most = std::numeric_limits<std::size_t>::max();
  /// So many and no others.
  static ListLength exactly(std::size_t count) { return {count, count}; }
};

/// Remembers what belongs to a run. After read(), whatever is kept is given the file's value at once; write() writes
/// what everything is at that time. Kept objects must live until the last write(), or until their scope ends.
///
/// The file is a safetensors file with a version and a CRC-32 of its content. It appears whole or not at all, like
/// those of write_safetensors; until it is whole it is called PATH.partial. Nothing in a file can crash the reader.
/// All DataErrors below begin with `training_state: PATH: `.
class TrainingState {
 public:
  TrainingState();
  ~TrainingState();
  TrainingState(const TrainingState&) = delete;
  TrainingState& operator=(const TrainingState&) = delete;

  /// Once, and before anything is kept; else throws ValueError. Throws DataError if the file is missing, not a training
  /// state, of another version of the format, truncated or damaged.
  void read(const std::string& path);
  /// Throws DataError, and leaves the file that is there alone, if the new one cannot be written; if the one read holds
  /// something that this run does not keep.
  void write(const std::string& path);

  // All below throw ValueError if the name is taken, and DataError if a file was read and holds nothing of the name, or
  // something of another kind; the message shows both shapes or both values.
  //
  // A checksum tells damage, not intent: a file may hold any numbers. What a run uses as an index, as a count or beside
  // other lists says what it may be, by `most`, a length or a shape, and is refused otherwise.

  /// Something on which the run depends but which it does not change.
  void setting(const std::string& name, const std::string& value);

  /// Leaves, read in place: optimisers that were made before see them. A network's buffers() are kept so, too.
  template <class T> void parameters(const std::string& name, const std::vector<Tensor<T>>& tensors);
  /// A handle, rebound to a new leaf without gradient when read. Of any shape; may be undefined.
  template <class T> void keep(const std::string& name, Tensor<T>& tensor);
  /// Of this shape alone, or undefined.
  template <class T> void keep(const std::string& name, Tensor<T>& tensor, const Shape& shape);
  template <class T> void keep(const std::string& name, optim::Sgd<T>& optimiser);
  template <class T> void keep(const std::string& name, optim::Adam<T>& optimiser);
  /// Its machine is not among what is kept.
  template <class T> void keep(const std::string& name, GibbsChain<T>& chain);
  /// Its generator is not among what is kept.
  void keep(const std::string& name, BatchStream& batches);
  void keep(const std::string& name, Rng& rng);
  void keep(const std::string& name, bool& value);
  void keep(const std::string& name, std::size_t& value);
  /// A count or an index that is at most `most` in every run like this one.
  void keep(const std::string& name, std::size_t& value, std::size_t most);
  void keep(const std::string& name, double& value);
  void keep(const std::string& name, std::vector<double>& values);
  /// A list of such a length.
  void keep(const std::string& name, std::vector<double>& values, const ListLength& length);
  void keep(const std::string& name, std::string& text);  ///< UTF-8

  /// What is kept while it lives has names of its own, and is forgotten with it: a part of a run, such as one of
  /// several trainings. If a file was read that holds nothing of the part, or the part is entered once more, it begins
  /// anew. Scopes end in the reverse of their order.
  class Scope {
   public:
    /// Throws ValueError if the name is empty or holds a slash.
    Scope(TrainingState& state, const std::string& name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    TrainingState& state_;
    std::string outer_;
    std::size_t kept_;
    bool restoring_;
  };
  [[nodiscard]] Scope scope(const std::string& name) { return {*this, name}; }

 private:
  template <class T> void keep_if(const std::string& name, Tensor<T>& tensor, const Shape* shape);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace xtape::data
