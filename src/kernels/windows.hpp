#pragma once
// Pooling over small windows on SIMD batches, a row of windows at a time.
//
// An image is first dealt out into phases: phase p holds the padded columns p, p + stride, ... Then the elements at one
// place of all windows in a row lie side by side, whatever the stride, at an offset from the row's start that depends
// on the place alone.

#include <xtape/detail/memory.hpp>
#include <xtape/detail/simd.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "pool_size.hpp"
#include "terms.hpp"
#include "total.hpp"

namespace xtape::kernels {

// Calls f<B>(i, done) for batches B that cover [0, n), or numbers where n is small: the last batch begins with `done`
// elements that have been there before.
template <class T, std::size_t size = simd::Batch<T>::size, class F> void for_batches(std::size_t n, const F& f) {
  if constexpr (size == 1) {
    for (std::size_t i = 0; i < n; ++i) f.template operator()<T>(i, 0);
  } else {
    using B = xsimd::make_sized_batch_t<T, size>;
    if constexpr (!std::is_void_v<B>)
      if (n >= size) {
        std::size_t i = 0;
        for (; i + size <= n; i += size) f.template operator()<B>(i, 0);
        if (i < n) f.template operator()<B>(n - size, i + size - n);
        return;
      }
    for_batches<T, size / 2>(n, f);
  }
}
// The same operations on batches and on numbers.
template <class B, class T> B load(const T* p) {
  if constexpr (std::is_same_v<B, T>)
    return *p;
  else
    return B::load_unaligned(p);
}
template <class B, class T> void store(const B& x, T* p) {
  if constexpr (std::is_same_v<B, T>)
    *p = x;
  else
    x.store_unaligned(p);
}
template <class M, class B> B choose(const M& mask, const B& yes, const B& no) {
  if constexpr (std::is_same_v<M, bool>)
    return mask ? yes : no;
  else
    return xsimd::select(mask, yes, no);
}

// Larger windows are left to for_windows.
inline constexpr std::size_t largest_window = 16;
inline bool is_small(const PoolSize<Sliding>& s) {
  return s.rows.window <= largest_window && s.columns.window <= largest_window;
}

// The phases of one image at a time.
template <class T> class Phases {
 public:
  explicit Phases(const PoolSize<Sliding>& s)
      : size_(s),
        step_(s.columns.out > 1 ? s.columns.stride : 1),
        height_(s.rows.extent + 2 * s.rows.pad),
        pitch_((s.columns.extent + 2 * s.columns.pad + step_ - 1) / step_) {
    for (std::size_t r = 0, place = 0; r < s.rows.window; ++r)
      for (std::size_t c = 0; c < s.columns.window; ++c)
        offsets_[place++] = ((c % step_) * height_ + r) * pitch_ + c / step_;
    if (step_ > 1 || s.rows.pad > 0 || s.columns.pad > 0)
      memory_ = xtape::detail::Storage::make(step_ * height_ * pitch_ * sizeof(T));
  }

  // From the start of a row of windows to each place in the first of them.
  const std::size_t* offsets() const { return offsets_.data(); }
  std::size_t row(std::size_t i) const { return i * size_.rows.stride * pitch_; }

  // The phases of an image, with `padding` around it; and of zeros. Without need for a copy, the image itself.
  const T* of(const T* image, T padding) const {
    if (!memory_) return image;
    if (size_.rows.pad > 0 || size_.columns.pad > 0) fill(padding);
    for_elements([image](std::size_t at, T& element) { element = image[at]; });
    return data();
  }
  T* zeros(T* image) const {
    if (!memory_) return image;
    fill(T(0));
    return data();
  }
  // Deals them back into the image; what lies in the padding is dropped.
  void gather(T* image) const {
    if (memory_) for_elements([image](std::size_t at, const T& element) { image[at] = element; });
  }

 private:
  T* data() const { return static_cast<T*>(memory_->data()); }
  void fill(T value) const { std::fill_n(data(), step_ * height_ * pitch_, value); }

  // f(place in the image, its element) for all places.
  template <class F> void for_elements(const F& f) const {
    const std::size_t width = size_.columns.extent;
    if (size_.columns.pad == 0 && width % step_ == 0)
      return for_run(0, size_.rows.pad, size_.rows.extent * width, 0, f);
    for (std::size_t r = 0; r < size_.rows.extent; ++r)
      for_run(r * width, r + size_.rows.pad, width, size_.columns.pad, f);
  }
  // The same for n places that follow each other, the first of them in a padded row and column.
  template <class F>
  void for_run(std::size_t at, std::size_t row, std::size_t n, std::size_t column, const F& f) const {
    const std::size_t apart = height_ * pitch_;
    T* const to = data() + row * pitch_;
    std::size_t i = 0;
    const auto one = [&] {
      f(at + i, to[(column + i) % step_ * apart + (column + i) / step_]);
      ++i;
    };
    while (i < n && (column + i) % step_ != 0) one();
    if (step_ == 2) {  // where the compiler's shuffles pay
      T *const even = to + (column + i) / 2, *const odd = even + apart;
      const std::size_t first = at + i, pairs = (n - i) / 2;
      for (std::size_t k = 0; k < pairs; ++k) {
        f(first + 2 * k, even[k]);
        f(first + 2 * k + 1, odd[k]);
      }
      i += 2 * pairs;
    } else if (step_ == 1) {
      T* const all = to + column;
      for (; i < n; ++i) f(at + i, all[i]);
    }
    while (i < n) one();
  }

  PoolSize<Sliding> size_;
  std::size_t step_, height_, pitch_;
  std::array<std::size_t, largest_window * largest_window> offsets_;
  xtape::detail::Handle<xtape::detail::Storage> memory_;
};

// Calls f<places>(places) with the number of places in a window, as a constant too where it is a common one.
template <class F> void for_places(const PoolSize<Sliding>& s, const F& f) {
  const std::size_t places = s.rows.window * s.columns.window;
  if (places == 4) return f.template operator()<4>(places);
  if (places == 9) return f.template operator()<9>(places);
  f.template operator()<0>(places);
}

// y = the first largest element of each window, or its first NaN; with `coded`, code = that element's place in the
// window, counted by rows. The window is small.
template <bool coded, class T> void max_windows(const PoolSize<Sliding>& s, const T* x, T* y, T* code) {
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  const Phases<T> phases(s);
  const std::size_t* const offset = phases.offsets();
  const bool padded = s.rows.pad > 0 || s.columns.pad > 0;
  for_places(s, [&]<std::size_t fixed>(std::size_t count) {
    const std::size_t places = fixed ? fixed : count;
    for (std::size_t n = 0; n < s.count; ++n) {
      const T* const image = phases.of(x + n * s.image_elements(), lowest);
      for (std::size_t i = 0; i < s.rows.out; ++i, y += s.columns.out, code += coded ? s.columns.out : 0) {
        const T* const row = image + phases.row(i);
        for_batches<T>(s.columns.out, [&]<class B>(std::size_t k, std::size_t) {
          B best = load<B>(row + offset[0] + k), taken(T(0));
          for (std::size_t place = 1; place < places; ++place) {
            const B v = load<B>(row + offset[place] + k);
            const auto larger = !(v <= best) && (best == best);
            best = choose(larger, v, best);
            if constexpr (coded) taken = choose(larger, B(static_cast<T>(place)), taken);
          }
          store(best, y + k);
          if constexpr (coded) store(taken, code + k);
        });
        // Among -inf alone the first is not the padding, but the first in the image.
        if constexpr (coded)
          for (std::size_t k = 0; padded && k < s.columns.out; ++k)
            if (y[k] == lowest)
              code[k] = static_cast<T>((s.rows(i).first + s.rows.pad - i * s.rows.stride) * s.columns.window +
                                       s.columns(k).first + s.columns.pad - k * s.columns.stride);
      }
    }
  });
}

// dx += f<B>(window, place) for the places of each window; B holds windows that follow each other.
template <class T, class F> void spread_windows(const PoolSize<Sliding>& s, T* dx, const F& f) {
  const Phases<T> phases(s);
  const std::size_t* const offset = phases.offsets();
  const std::size_t places = s.rows.window * s.columns.window;
  std::size_t window = 0;
  for (std::size_t n = 0; n < s.count; ++n, dx += s.image_elements()) {
    T* const image = phases.zeros(dx);
    for (std::size_t i = 0; i < s.rows.out; ++i, window += s.columns.out)
      for (std::size_t place = 0; place < places; ++place) {
        T* const to = image + phases.row(i) + offset[place];
        for_batches<T>(s.columns.out, [&]<class B>(std::size_t k, std::size_t done) {
          B term = f.template operator()<B>(window + k, place);
          if constexpr (!std::is_same_v<B, T>)
            if (done > 0) term = xsimd::select(first_lanes<B>(done), B(T(0)), term);
          store(load<B>(to + k) + term, to + k);
        });
      }
    phases.gather(dx);
  }
}

// dx, zeros at first: each dy added at the place coded by max_windows.
template <class T> void max_windows_gradient(const PoolSize<Sliding>& s, const T* dy, const T* code, T* dx) {
  spread_windows(s, dx, [&]<class B>(std::size_t window, std::size_t place) {
    return choose(load<B>(code + window) == B(static_cast<T>(place)), load<B>(dy + window), B(T(0)));
  });
}

// The place in x of the element that each code stands for.
template <class T> void places_of_codes(const PoolSize<Sliding>& s, const T* code, std::uint32_t* at) {
  for (std::size_t n = 0; n < s.count; ++n)
    for (std::size_t i = 0; i < s.rows.out; ++i)
      for (std::size_t k = 0; k < s.columns.out; ++k) {
        const auto place = static_cast<std::size_t>(*code++);
        *at++ = static_cast<std::uint32_t>(
            n * s.image_elements() + (i * s.rows.stride + place / s.columns.window - s.rows.pad) * s.columns.extent +
            (k * s.columns.stride + place % s.columns.window - s.columns.pad));
      }
}

// Terms that are added to one place one by one; of more there are sums of sums.
inline constexpr std::size_t short_sum = 16;

template <class T> bool all_finite(const T* x, std::size_t n) {
  using B = simd::Batch<T>;
  constexpr std::size_t chains = 4;
  if (n < B::size) return std::all_of(x, x + n, [](T v) { return std::isfinite(v); });
  const B zero(T(0));
  std::array<B, chains> odd;  // NaN where a number was not finite
  odd.fill(zero);
  const auto check = [&](std::size_t at, B& sum) { sum = simd::fma(B::load_unaligned(x + at), zero, sum); };
  std::size_t i = 0;
  for (; i + chains * B::size <= n; i += chains * B::size)
    for (std::size_t c = 0; c < chains; ++c) check(i + c * B::size, odd[c]);
  for (; i + B::size <= n; i += B::size) check(i, odd[0]);
  check(n - B::size, odd[1]);  // some of them again
  return xsimd::hadd((odd[0] + odd[1]) + (odd[2] + odd[3])) == T(0);
}

// The sum of a window's elements through `places`, divided by their number, where it leaves the range of T.
template <class T> T wide_mean(const T* image, std::size_t width, const Window& rows, const Window& columns, T places) {
  Wide<T> total = 0;
  for (std::size_t r = rows.first; r < rows.last; ++r)
    for (std::size_t c = columns.first; c < columns.last; ++c) total += static_cast<Wide<T>>(image[r * width + c]);
  return static_cast<T>(total / static_cast<Wide<T>>(places));
}

// y = the mean of each window, of which the padding counts as zeros. The window is small.
template <class T> void mean_windows(const PoolSize<Sliding>& s, const T* x, T* y) {
  const Phases<T> phases(s);
  const std::size_t* const offset = phases.offsets();
  for_places(s, [&]<std::size_t fixed>(std::size_t count) {
    const std::size_t places = fixed ? fixed : count;
    for (std::size_t n = 0; n < s.count; ++n) {
      const T* const image = phases.of(x + n * s.image_elements(), T(0));
      for (std::size_t i = 0; i < s.rows.out; ++i, y += s.columns.out) {
        const T* const row = image + phases.row(i);
        for_batches<T>(s.columns.out, [&]<class B>(std::size_t k, std::size_t) {
          B sum = load<B>(row + offset[0] + k);
          for (std::size_t place = 1; place < std::min(places, short_sum); ++place)
            sum += load<B>(row + offset[place] + k);
          for (std::size_t first = short_sum; !fixed && first < places; first += short_sum) {
            B part = load<B>(row + offset[first] + k);
            for (std::size_t place = first + 1; place < std::min(places, first + short_sum); ++place)
              part += load<B>(row + offset[place] + k);
            sum += part;
          }
          store(sum / B(static_cast<T>(places)), y + k);
        });
      }
      const std::size_t windows = s.rows.out * s.columns.out;
      T* const means = y - windows;
      if (all_finite(means, windows)) continue;
      for (std::size_t at = 0; at < windows; ++at)
        if (!std::isfinite(means[at]))
          means[at] = wide_mean(x + n * s.image_elements(), s.columns.extent, s.rows(at / s.columns.out),
                                s.columns(at % s.columns.out), static_cast<T>(places));
    }
  });
}

// The same where windows overlap much: what a row of windows gives to each column is added up first, and then given to
// all rows that the windows have.
template <class T> void mean_windows_gradient_by_rows(const PoolSize<Sliding>& s, const T* dy, T* dx) {
  const T places = static_cast<T>(s.rows.window * s.columns.window);
  const std::size_t width = s.columns.extent + 2 * s.columns.pad;
  const auto memory = xtape::detail::Storage::make(width * sizeof(T));
  T* const line = static_cast<T*>(memory->data());
  for (std::size_t n = 0; n < s.count; ++n, dx += s.image_elements())
    for (std::size_t i = 0; i < s.rows.out; ++i, dy += s.columns.out) {
      std::fill_n(line, width, T(0));
      for (std::size_t c = 0; c < s.columns.window; ++c)
        for (std::size_t k = 0; k < s.columns.out; ++k) line[k * s.columns.stride + c] += dy[k];
      const Window rows = s.rows(i);
      for (std::size_t r = rows.first; r < rows.last; ++r)
        for (std::size_t c = 0; c < s.columns.extent; ++c)
          dx[r * s.columns.extent + c] += line[c + s.columns.pad] / places;
    }
}

// The transpose of mean_windows; dx starts at 0.
template <class T> void mean_windows_gradient(const PoolSize<Sliding>& s, const T* dy, T* dx) {
  if (s.overlap() > static_cast<double>(short_sum)) return mean_windows_gradient_by_rows(s, dy, dx);
  const T places = static_cast<T>(s.rows.window * s.columns.window);
  spread_windows(s, dx, [&]<class B>(std::size_t window, std::size_t) { return load<B>(dy + window) / B(places); });
}

}  // namespace xtape::kernels
