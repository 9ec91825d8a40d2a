#include <xtape/data/prefetch.hpp>
#include <xtape/error.hpp>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace xtape::data {

// A tensor's memory goes to the free lists of the thread that drops it. Batches made here and dropped there would fill
// the other thread's lists without end, so that thread copies a batch and sends it back.
struct Prefetched::Impl {
  Source source;
  std::size_t ahead;
  std::mutex mutex;
  std::condition_variable made, taken;  // something is there for the caller; for the second thread
  std::deque<Batch> ready;
  std::vector<Batch> returned;
  std::exception_ptr error;
  bool ended = false, stop = false;
  std::thread thread;  // last: it uses all the others

  void run() {
    std::unique_lock lock(mutex);
    while (!stop && !ended) {
      returned.clear();
      if (ready.size() >= ahead) {
        taken.wait(lock);
        continue;
      }
      lock.unlock();
      std::optional<Batch> batch;
      std::exception_ptr thrown;
      try {
        batch = source();
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      ended = !batch;
      error = thrown;
      if (batch) ready.push_back(*std::move(batch));
      made.notify_one();
    }
    taken.wait(lock, [&] { return stop; });
    ready.clear();
    returned.clear();
  }
};

namespace {

Batch copy_of(const Batch& batch) {
  return {{batch.x.shape(), batch.x.span()},
          Labels(batch.label.shape(), [&](std::size_t i) { return batch.label[i]; })};
}

}  // namespace

Prefetched::Prefetched(Source source, const PrefetchOptions& options) : impl_(std::make_unique<Impl>()) {
  if (options.ahead == 0) throw ValueError("prefetched: 0 batches ahead");
  impl_->source = std::move(source);
  impl_->ahead = options.ahead;
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Prefetched::~Prefetched() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->taken.notify_one();
  impl_->thread.join();
}

std::optional<Batch> Prefetched::next() {
  std::unique_lock lock(impl_->mutex);
  impl_->made.wait(lock, [&] { return !impl_->ready.empty() || impl_->ended; });
  if (impl_->ready.empty()) {
    if (impl_->error) std::rethrow_exception(impl_->error);
    return std::nullopt;
  }
  Batch batch = std::move(impl_->ready.front());
  impl_->ready.pop_front();
  lock.unlock();
  impl_->taken.notify_one();
  Batch copy = copy_of(batch);
  lock.lock();
  impl_->returned.push_back(std::move(batch));
  return copy;
}

Prefetched prefetched(Batches batches, std::function<Batch(Batch)> prepare, const PrefetchOptions& options) {
  const auto all = std::make_shared<const Batches>(std::move(batches));  // where its iterators find it
  return Prefetched(
      [all, at = all->begin(), prepare = std::move(prepare)]() mutable -> std::optional<Batch> {
        if (at == all->end()) return std::nullopt;
        Batch batch = *at;
        ++at;
        return prepare ? prepare(std::move(batch)) : std::move(batch);
      },
      options);
}

}  // namespace xtape::data
