#pragma once
/// \file mpi/world.hpp  The processes that train one model together, on one machine or on many: see docs/scaling.md.
/// In a library of its own, xtape_mpi. Where that was built without MPI there is one process.

#include <xtape/error.hpp>
#include <xtape/shard.hpp>
#include <xtape/tensor.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace xtape::mpi {

/// Processes that cannot work together.
class MpiError : public Error {
 public:
  using Error::Error;
};

/// All processes that mpirun has started, from its construction to its end. Without mpirun this process is alone, MPI
/// is not touched, and everything below costs nothing.
///
/// One a process, made at the program's beginning and used on one thread. What is said to be called by all must be, in
/// the same order; else the processes wait for each other for ever.
///
/// An error on one process ends all: an exception that leaves main() does, and one that leaves the world's scope; to
/// say what is wrong in one line, catch it within the scope and call fail().
class World {
 public:
  /// Joins MPI if the environment says that a launcher of MPI started this process (OMPI_COMM_WORLD_SIZE, PMI_SIZE or
  /// PMIX_RANK is set), and if nobody has yet. Throws MpiError if MPI has ended before, or if it was started as one of
  /// several by a library built without MPI.
  World();
  /// Waits for the others to come to the same, and leaves MPI.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  /// One process, whoever started it: for what can be run in several, but is not.
  static const World& alone();

  std::size_t rank() const noexcept { return rank_; }
  std::size_t size() const noexcept { return size_; }
  /// The process that prints and writes files.
  bool first() const noexcept { return rank_ == 0; }
  /// This process's part of every batch.
  Shard shard() const noexcept { return {rank_, size_}; }

  // All below but fail() are called by all.

  /// Gives all processes the values of the first one, in place: optimisers made before see them. Throws ShapeError if
  /// the tensors' sizes are not the first process's.
  template <class T> void broadcast(const std::vector<Tensor<T>>& leaves) const;
  template <class V>
  requires std::is_trivially_copyable_v<V>
  void broadcast(std::span<V> values) const { broadcast_bytes(values.data(), values.size_bytes()); }
  /// Adds up over all processes; all get the same bits.
  void sum(std::span<double> values) const;
  /// On the first process the rows of all, in the processes' order; on the others an undefined tensor. x: (n, ...),
  /// with an n of its own on each process.
  template <class T> Tensor<T> gather(const Tensor<T>& x) const;

  /// Throws MpiError on all processes, unless all give the same text: `mpi: --hidden differs: 100 on processes 0 and 2,
  /// 50 on process 1`. For what all must have alike before they work together: settings, a checksum of the data, a
  /// checkpoint. Each process may have been started with a command of its own, and would otherwise run on with models,
  /// batches or numbers of steps that are not the others'.
  void agree(std::string_view what, std::string_view text) const;

  /// Prints a line on stderr and ends all processes, this one and so mpirun with that status. If all processes call it
  /// within a second, as they do where all find the same wrong, the first one alone prints.
  [[noreturn]] void fail(const std::string& message, int status = 1) const;

 private:
  struct Alone {};
  explicit World(Alone) {}
  void broadcast_bytes(void* bytes, std::size_t count) const;

  std::size_t rank_ = 0, size_ = 1;
  bool joined_ = false;
  int exceptions_ = 0;  // on their way when it was made
};

}  // namespace xtape::mpi
