#pragma once
/// \file data/batches.hpp  Going through a data set in shuffled batches.

#include <xtape/data/dataset.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/rng.hpp>
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

  Batches(const Dataset& set, std::size_t batch_size, std::vector<std::size_t> order);
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, order_.size()}; }
  /// Number of batches.
  std::size_t size() const { return (order_.size() + batch_size_ - 1) / batch_size_; }

 private:
  Batch at(std::size_t start) const;
  std::size_t next(std::size_t start) const { return std::min(order_.size(), start + batch_size_); }

  const Dataset* set_;
  std::size_t batch_size_;
  std::vector<std::size_t> order_;
};

/// In an order drawn from rng. Throws ValueError for a batch size of 0.
Batches batches(const Dataset& set, std::size_t batch_size, Rng& rng);
/// In the data set's own order. Throws ValueError for a batch size of 0.
Batches batches(const Dataset& set, std::size_t batch_size);

/// All pixels of a data set, (n, rows * cols).
Tensor<float> images(const Dataset& set);

}  // namespace xtape::data
