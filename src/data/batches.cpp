#include <xtape/data/batches.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace xtape::data {
namespace {

std::vector<std::size_t> in_order(const Dataset& set) {
  std::vector<std::size_t> order(set.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

}  // namespace

Batches::Batches(const Dataset& set, std::size_t batch_size, std::vector<std::size_t> order, const Shard& shard)
    : set_(&set), batch_size_(batch_size), order_(std::move(order)), shard_(shard) {
  if (batch_size == 0) throw ValueError("batches: the batch size is 0");
  if (shard.index >= shard.count)
    throw ValueError(fmt::format("batches: shard {} of {}; they are counted from 0", shard.index, shard.count));
}

Batch Batches::at(std::size_t start) const {
  const Rows own = shard_.rows(next(start) - start);
  const std::span<const std::size_t> rows(order_.data() + start + own.first, own.size);
  const std::size_t features = set_->features();
  Fresh<float> x("batches", {rows.size(), features});
  float* out = x.data();
  for (const std::size_t row : rows) {
    const auto image = set_->image(row);
    out = std::copy(image.begin(), image.end(), out);
  }
  return {std::move(x).finished(), Labels(Shape{rows.size()}, [&](std::size_t i) { return set_->labels[rows[i]]; })};
}

Batches batches(const Dataset& set, std::size_t batch_size, Rng& rng, const Shard& shard) {
  auto order = in_order(set);
  rng.shuffle(std::span(order));
  return {set, batch_size, std::move(order), shard};
}

BatchStream::BatchStream(const Dataset& set, std::size_t batch_size, Rng& rng, const Shard& shard)
    : set_(&set),
      batch_size_(batch_size),
      rng_(&rng),
      shard_(shard),
      batches_(batches(set, batch_size, shard)),
      per_epoch_(batches_.size()) {
  if (per_epoch_ == 0) throw ValueError("batch stream: the data set has no pictures");
}

Batch BatchStream::next() {
  if (done_ == 0) {
    order_ = *rng_;
    batches_ = batches(*set_, batch_size_, *rng_, shard_);
  }
  rows_ = batches_.rows(done_);
  const Batch batch = *Batches::Iterator(&batches_, done_ * batch_size_);
  if (++done_ == per_epoch_) {
    done_ = 0;
    ++epochs_;
  }
  return batch;
}

void BatchStream::set_state(const State& state) {
  if (state.batches >= per_epoch_)
    throw ValueError(fmt::format("batch stream: batch {} of a pass, which has {} of them", state.batches, per_epoch_));
  epochs_ = state.epochs;
  done_ = state.batches;
  order_ = Rng::from_state(state.order);
  Rng order = order_;
  if (done_ > 0) batches_ = batches(*set_, batch_size_, order, shard_);
}

Tensor<float> images(const Dataset& set) { return {{set.size(), set.features()}, std::span<const float>(set.pixels)}; }

Batches batches(const Dataset& set, std::size_t batch_size, const Shard& shard) {
  return {set, batch_size, in_order(set), shard};
}

}  // namespace xtape::data
