#pragma once
/// \file data/prefetch.hpp  Batches made ready on a thread of their own while the model computes.
///
///     for (auto [x, label] : data::prefetched(data::batches(train, 32, rng), augment)) ...

#include <xtape/data/batches.hpp>

#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>

namespace xtape::data {

struct PrefetchOptions {
  std::size_t ahead = 2;  ///< batches made before they are asked for
};

/// The batches of a source, which is called on a second thread: the same, in the same order, as without. What it throws
/// is thrown where its batch would have come. A batch is copied once when it is taken, so that each thread's memory
/// stays with it: worth it where making one takes longer than a copy, as augmentation does.
///
/// Whatever the source draws from or writes to is the second thread's until the end: give it a generator of its own,
/// such as rng.split().
class Prefetched {
 public:
  /// Gives one batch after the other, then nothing.
  using Source = std::function<std::optional<Batch>()>;

  /// Throws ValueError for options.ahead = 0.
  explicit Prefetched(Source source, const PrefetchOptions& options = {});
  /// Does not wait for more than the batch that is being made.
  ~Prefetched();
  Prefetched(const Prefetched&) = delete;
  Prefetched& operator=(const Prefetched&) = delete;

  /// The next batch, or nothing at the end. For one thread. Throws what the source has thrown, also if called again.
  std::optional<Batch> next();

  class Iterator {
   public:
    explicit Iterator(Prefetched& from) : from_(&from), batch_(from.next()) {}
    const Batch& operator*() const { return *batch_; }
    Iterator& operator++() {
      batch_.reset();  // its memory serves the next one
      batch_ = from_->next();
      return *this;
    }
    bool operator==(std::default_sentinel_t) const { return !batch_; }

   private:
    Prefetched* from_;
    std::optional<Batch> batch_;
  };
  /// Goes on from where next() is: there is only one pass.
  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One pass of batches, each put through `prepare`, if given, on the second thread. Their data set must outlive it.
Prefetched prefetched(Batches batches, std::function<Batch(Batch)> prepare = {}, const PrefetchOptions& options = {});

}  // namespace xtape::data
