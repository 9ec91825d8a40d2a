#include <xtape/mpi/gradient_average.hpp>
#include <xtape/parameters.hpp>

#include "transport.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace xtape::mpi {

template <class T> struct GradientAverage<T>::Impl {
  // A parameter's gradient in the buffer, followed by one element that says whether there is one.
  struct Slot {
    Tensor<T> parameter;
    std::size_t at, piece;
    bool sent = false;
  };
  // Slots [first, last), elements [begin, end).
  struct Piece {
    std::size_t first, last, begin, end, missing;
  };

  const World& world;
  std::vector<Slot> slots;  // in the order of the buffer
  std::vector<Piece> pieces;
  // With room for figures behind the last piece. Never given back while MPI may write it.
  std::unique_ptr<T[]> buffer;
  std::size_t room = 0;
  transport::Sums<T> sums;
  std::size_t started = 0;  // pieces on their way
  bool announced = false;   // between start() and finish()
  double weight = 1;

  explicit Impl(const World& of) : world(of) {}
  ~Impl() {
    if (started > 0) static_cast<void>(buffer.release());
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void lay_out(const std::vector<Tensor<T>>& parameters, std::size_t piece_bytes) {
    std::size_t at = 0, begin = 0, first = 0;
    for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
      slots.push_back({*parameter, at, pieces.size()});
      at += parameter->size() + 1;
      const bool last = slots.size() == parameters.size();
      if (!last && (at - begin) * sizeof(T) < piece_bytes) continue;
      pieces.push_back({first, slots.size(), begin, at, slots.size() - first});
      first = slots.size();
      begin = at;
    }
    make_room(at);
  }
  void make_room(std::size_t elements) {
    if (elements <= room) return;
    auto larger = std::make_unique<T[]>(elements);
    std::copy_n(buffer.get(), room, larger.get());
    buffer = std::move(larger);
    room = elements;
  }

  void take(Slot& slot, const Tensor<T>& gradient, const Tensor<T>& more) {
    T* const to = buffer.get() + slot.at;
    const std::size_t n = slot.parameter.size();
    const T factor = static_cast<T>(weight);
    if (!gradient.defined())
      std::fill_n(to, n, T(0));
    else if (more.defined())
      std::transform(gradient.data(), gradient.data() + n, more.data(), to,
                     [factor](T x, T y) { return factor * (x + y); });
    else
      std::transform(gradient.data(), gradient.data() + n, to, [factor](T x) { return factor * x; });
    to[n] = gradient.defined() ? T(1) : T(0);
    slot.sent = true;
    --pieces[slot.piece].missing;
  }
  // The last piece waits for finish(): figures go with it. All processes start them in the same order.
  void start_what_is_complete() {
    for (; started + 1 < pieces.size() && pieces[started].missing == 0; ++started) {
      const Piece& piece = pieces[started];
      if (world.size() > 1) sums.start(buffer.get() + piece.begin, piece.end - piece.begin);
    }
  }
  void arrived(std::size_t place, const Tensor<T>& gradient) {
    Slot& slot = slots[place];
    if (!announced || slot.sent)
      throw TapeError(
          "gradient average: a second sweep on a tape given to start(); announce the last sweep of a step, on a tape "
          "of its own");
    take(slot, gradient, slot.parameter.grad());
    start_what_is_complete();
    sums.progress();
  }
  void wait_for(std::size_t piece) {
    if (world.size() > 1) sums.wait(piece);
  }
  void give_back(const Piece& piece) {
    for (std::size_t i = piece.first; i < piece.last; ++i) {
      Slot& slot = slots[i];
      const std::span<const T> sum(buffer.get() + slot.at, slot.parameter.size());
      if (buffer[slot.at + sum.size()] > T(0))
        slot.parameter.set_grad(Tensor<T>(slot.parameter.shape(), sum));
      else
        slot.parameter.zero_grad();
    }
  }
};

template <class T>
GradientAverage<T>::GradientAverage(const World& world, std::vector<Tensor<T>> parameters,
                                    const GradientAverageOptions& options)
    : impl_(std::make_unique<Impl>(world)) {
  impl_->lay_out(distinct(parameters), options.piece_bytes);
}
template <class T> GradientAverage<T>::~GradientAverage() = default;

template <class T> std::size_t GradientAverage<T>::pieces() const noexcept { return impl_->pieces.size(); }

// One process, whose gradients are what is wanted already.
template <class T> bool GradientAverage<T>::trivial() const noexcept {
  return impl_->world.size() == 1 && impl_->weight == 1;
}

template <class T> void GradientAverage<T>::start(Tape& tape, double weight) {
  if (impl_->announced) throw TapeError("gradient average: start() was called before, and finish() was not");
  impl_->announced = true;
  impl_->weight = weight;
  if (trivial()) return;
  for (std::size_t i = 0; i < impl_->slots.size(); ++i)
    if (impl_->slots[i].parameter.requires_grad())
      tape.hook(impl_->slots[i].parameter,
                [impl = impl_.get(), i](const Tensor<T>& gradient) { impl->arrived(i, gradient); });
}

template <class T> void GradientAverage<T>::finish(std::span<double> figures) {
  const auto begin = std::chrono::steady_clock::now();
  Impl& average = *impl_;
  if (!trivial()) {
    for (auto& slot : average.slots)
      if (!slot.sent) average.take(slot, slot.parameter.grad(), {});
    average.start_what_is_complete();
    const std::size_t last = average.pieces.empty() ? 0 : average.pieces.back().begin,
                      end = average.pieces.empty() ? 0 : average.pieces.back().end;
    // No piece but the last is written here, so the buffer may only move while none is on its way.
    if (average.room < end + figures.size()) {
      for (std::size_t i = 0; i < average.started; ++i) average.wait_for(i);
      average.make_room(end + figures.size());
    }
    std::transform(figures.begin(), figures.end(), average.buffer.get() + end,
                   [](double x) { return static_cast<T>(x); });
    if (average.world.size() > 1) transport::sum(average.buffer.get() + last, end - last + figures.size());
    for (std::size_t i = 0; i < average.started; ++i) {
      average.wait_for(i);
      average.give_back(average.pieces[i]);
    }
    if (!average.pieces.empty()) average.give_back(average.pieces.back());
    std::copy_n(average.buffer.get() + end, figures.size(), figures.begin());
    average.sums.clear();
    average.started = 0;
    for (auto& slot : average.slots) slot.sent = false;
    for (auto& piece : average.pieces) piece.missing = piece.last - piece.first;
  }
  average.weight = 1;
  average.announced = false;
  waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

template class GradientAverage<float>;
template class GradientAverage<double>;

}  // namespace xtape::mpi
