#pragma once
/// \file data/batches.hpp  Going through a data set in shuffled batches.

#include <xtape/data/dataset.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/rng.hpp>
#include <xtape/shard.hpp>
#include <xtape/tensor.hpp>

#include <vector>

namespace xtape::data {

/// Pixels (n, rows * cols) in [0, 1], and n labels.
struct Batch {
  Tensor<float> x;
  Labels label;
};

/// One pass over a data set. Every image comes once; the last batch may be short. The data set must outlive it.
///     for (auto [x, label] : data::batches(train, 32, rng)) ...
/// With a shard, the shard's rows of each batch alone, which may be none; the order of all is drawn as without.
class Batches {
 public:
  class Iterator {
   public:
    Iterator(const Batches* batches, std::size_t start) : batches_(batches), start_(start) {}
    Batch operator*() const { return batches_->at(start_); }
    Iterator& operator++() {
      start_ = batches_->next(start_);
      return *this;
    }
    bool operator==(const Iterator& other) const { return start_ == other.start_; }

   private:
    const Batches* batches_;
    std::size_t start_;
  };

  Batches(const Dataset& set, std::size_t batch_size, std::vector<std::size_t> order, const Shard& shard = {});
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, order_.size()}; }
  /// Number of batches.
  std::size_t size() const { return (order_.size() + batch_size_ - 1) / batch_size_; }
  /// Which rows of it batch number i gives: all, or the shard's.
  Rows rows(std::size_t i) const {
    const std::size_t start = i * batch_size_;
    return shard_.rows(next(start) - start);
  }

 private:
  Batch at(std::size_t start) const;
  std::size_t next(std::size_t start) const { return std::min(order_.size(), start + batch_size_); }

  const Dataset* set_;
  std::size_t batch_size_;
  std::vector<std::size_t> order_;
  Shard shard_;
};

/// In an order drawn from rng. Throws ValueError for a batch size of 0, and for a shard that is none of its count.
Batches batches(const Dataset& set, std::size_t batch_size, Rng& rng, const Shard& shard = {});
/// In the data set's own order. Throws as the other.
Batches batches(const Dataset& set, std::size_t batch_size, const Shard& shard = {});

/// Batches without end, a new order drawn for each pass over the data set: the same batches as those of a loop over
/// batches(set, batch_size, rng) in a loop over epochs. But where it is can be kept, and gone on with in the middle of
/// an epoch. The data set and the generator must outlive it.
///     data::BatchStream stream(train, 32, rng);
///     while (stream.epochs() < 20) { auto [x, label] = stream.next(); ... }
/// With a shard, its rows of each batch alone. Its state does not depend on the shard.
class BatchStream {
 public:
  /// Throws ValueError for a batch size of 0, for a data set without pictures, and for a shard that is none of its
  /// count.
  BatchStream(const Dataset& set, std::size_t batch_size, Rng& rng, const Shard& shard = {});

  Batch next();
  /// Which rows of its batch next() has given last.
  const Rows& rows() const { return rows_; }
  /// Complete passes so far.
  std::size_t epochs() const { return epochs_; }
  /// Batches so far, over all passes.
  std::size_t steps() const { return epochs_ * per_epoch_ + done_; }
  /// Was the last batch the last of its pass? So it is before the first one, too.
  bool between_epochs() const { return done_ == 0; }

  /// Where it is. Of the generator only what the present pass's order was drawn from: it has a state of its own.
  struct State {
    std::size_t epochs, batches;  ///< complete passes; batches since
    Rng::State order;
    bool operator==(const State&) const = default;
  };
  State state() const { return {epochs_, done_, order_.state()}; }
  /// For the same data set and batch size. Throws ValueError if a pass has not so many batches.
  void set_state(const State& state);

 private:
  const Dataset* set_;
  std::size_t batch_size_;
  Rng* rng_;
  Shard shard_;
  Rows rows_;
  Batches batches_;  // of the present pass, or of the last between two
  std::size_t per_epoch_, epochs_ = 0, done_ = 0;
  Rng order_;  // where the generator was when the present pass began
};

/// All pixels of a data set, (n, rows * cols).
Tensor<float> images(const Dataset& set);

}  // namespace xtape::data
