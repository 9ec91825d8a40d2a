#pragma once
/// \file mpi/gradient_average.hpp  The gradients of several processes made one, while the backward sweep goes on.
///
///     mpi::World world;
///     mpi::GradientAverage average(world, net.parameters());
///     data::BatchStream stream(train, 64, rng, world.shard());  // this process's rows of each batch
///     world.broadcast(net.parameters());
///     while (...) {
///       auto [x, label] = stream.next();
///       if (label.size() > 0) {  // a short last batch may leave nothing for some
///         Tape tape;
///         auto loss = cross_entropy(net(x), label);
///         average.start(tape, stream.rows().share());
///         tape.backward(loss);
///       }
///       average.finish();
///       sgd.step();
///     }

#include <xtape/mpi/world.hpp>
#include <xtape/tape.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace xtape::mpi {

struct GradientAverageOptions {
  /// Gradients set off in pieces of at least so many bytes, as soon as the sweep has made them. What is left at the
  /// sweep's end is the last piece: all, if they are fewer.
  std::size_t piece_bytes = std::size_t{1} << 20;
};

/// Adds up every parameter's gradient over all processes, each times its process's weight: with the shares of the batch
/// as weights and losses that are means over the part, the result is the gradient of the mean over the whole batch. All
/// processes get the same bits, and the same bits again in another run with as many processes.
///
/// One flat buffer holds all gradients, in the reverse of the parameters' order, which is about the one in which a
/// sweep makes them; it is added up by one all-reduce in a few large pieces. The parameters, and their order, must be
/// the same on all processes; one that is listed twice travels once. In one process nothing is done.
template <class T> class GradientAverage {
 public:
  /// The world must outlive it.
  GradientAverage(const World& world, std::vector<Tensor<T>> parameters, const GradientAverageOptions& options = {});
  ~GradientAverage();
  GradientAverage(const GradientAverage&) = delete;
  GradientAverage& operator=(const GradientAverage&) = delete;

  /// Before the sweep that completes a step's gradients: each sets off from within the sweep, by a hook. What was in
  /// grad() before goes with it, so that gradients may be summed over several sweeps; the last one alone is announced.
  /// The tape is not swept once this object has ended. Until finish(), nothing else of World is called: the processes
  /// are not in step. Throws TapeError if it was called before and finish() was not; in a sweep, if that is the second
  /// one on the tape.
  void start(Tape& tape, double weight);
  /// By all, once a step; by a process that had nothing to do, without start(). What has not set off does so now, with
  /// the weight given to start(), or 1: gradients that were written into grad() by other means than a sweep. Waits, and
  /// leaves the sums in grad(); a parameter that has no gradient on any process still has none.
  /// `figures` are added up on the way, in T's precision; their number must be the same on all processes.
  void finish(std::span<double> figures = {});

  /// Seconds that this process has spent in finish(): what of the communication did not overlap, and waiting for
  /// processes that were later.
  double waited() const noexcept { return waited_; }
  /// In how many pieces the gradients travel.
  std::size_t pieces() const noexcept;

 private:
  struct Impl;
  bool trivial() const noexcept;

  std::unique_ptr<Impl> impl_;
  double waited_ = 0;
};

template <class T> GradientAverage(const World&, std::vector<Tensor<T>>) -> GradientAverage<T>;
template <class T> GradientAverage(const World&, std::vector<Tensor<T>>, GradientAverageOptions) -> GradientAverage<T>;

}  // namespace xtape::mpi
