#include <xtape/ops/pool.hpp>

#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "../kernels/parallel.hpp"
#include "../kernels/pool.hpp"
#include "common.hpp"

namespace xtape {
namespace {

constexpr const char* images_needed = "(N, C, H, W) images are needed";
constexpr const char* image_is_empty = "the image is empty";

// fail(what) throws a ShapeError that says what is wrong and what was given.
auto failure(const char* op, const Shape& x, const PoolOptions& options) {
  return [=](const char* what) {
    throw ShapeError(fmt::format("{}: {}: image {}, window ({}, {}), stride ({}, {}), padding ({}, {})", op, what,
                                 to_string(x), options.window.h, options.window.w, options.stride.h, options.stride.w,
                                 options.padding.h, options.padding.w));
  };
}
auto failure(const char* op, const Shape& x, const Pool1dOptions& options) {
  return [=](const char* what) {
    throw ShapeError(fmt::format("{}: {}: sequence {}, window {}, stride {}, padding {}", op, what, to_string(x),
                                 options.window, options.stride, options.padding));
  };
}

template <class Fail>
kernels::PoolSize<kernels::Sliding> pool_size(const Shape& x, const PoolOptions& options, const Fail& fail) {
  if (x.size() != 4) fail(images_needed);
  const auto along = [&](std::size_t extent, std::size_t window, std::size_t stride, std::size_t pad) {
    if (window == 0) fail("the window is empty");
    if (pad > window / 2) fail("the padding is more than half the window");
    if (extent == 0) fail(image_is_empty);
    // Written without sums that could wrap around. With that, every window holds part of the image.
    if (pad > (std::size_t{1} << 40)) fail("the padding is larger than 2^40");
    if (window > extent && window - extent > 2 * pad) fail("the window is larger than the padded image");
    const std::size_t step = stride ? stride : window;
    return kernels::Sliding{extent, (extent + 2 * pad - window) / step + 1, window, step, pad};
  };
  const Pair &window = options.window, &stride = options.stride, &pad = options.padding;
  const kernels::PoolSize<kernels::Sliding> size{x[0] * x[1], along(x[2], window.h, stride.h, pad.h),
                                                 along(x[3], window.w, stride.w, pad.w)};
  if (x.elements() > 0xffffffffU) fail("more than 2^32 elements");
  return size;
}

// Calls f(size of the part, its first image's elements, its first result) for parts of the images, on several threads.
template <class Axis, class F> void for_images(const kernels::PoolSize<Axis>& size, const F& f) {
  const std::size_t image = size.image_elements(), results = size.rows.out * size.columns.out;
  kernels::parallel_for(size.count, kernels::grain(4 * image), [&](std::size_t first, std::size_t last) {
    kernels::PoolSize<Axis> part = size;
    part.count = last - first;
    f(part, first * image, first * results);
  });
}

Shape pooled_shape(const Shape& x, std::size_t out_h, std::size_t out_w) { return {x[0], x[1], out_h, out_w}; }

// How averages are taken: of windows or of bins.
struct Windows {
  using Size = kernels::PoolSize<kernels::Sliding>;
  static constexpr const char *name = "avg_pool2d", *transpose = "avg_unpool2d";
  PoolOptions options;
  Size size(const Shape& x) const { return pool_size(x, options, failure(name, x, options)); }
};
struct Bins {
  using Size = kernels::PoolSize<kernels::Bins>;
  static constexpr const char *name = "adaptive_avg_pool2d", *transpose = "adaptive_avg_unpool2d";
  Pair output;
  Size size(const Shape& x) const {
    const auto fail = [&](const char* what) {
      throw ShapeError(
          fmt::format("adaptive_avg_pool2d: {}: image {}, output ({}, {})", what, to_string(x), output.h, output.w));
    };
    if (x.size() != 4) fail(images_needed);
    if (x[2] == 0 || x[3] == 0) fail(image_is_empty);
    // The edges of the bins are computed in 64 bits.
    if (std::max({x[2], x[3], output.h, output.w}) > 0xffffffffU) fail("an extent is larger than 2^32 - 1");
    if (!detail::is_addressable(pooled_shape(x, output.h, output.w))) fail(detail::too_many_elements);
    return {x[0] * x[1], {x[2], output.h}, {x[3], output.w}};
  }
};

template <class T, class How> Tensor<T> unpooled(const Tensor<T>& dy, const How& how, const Shape& image);

// The mean of each window or bin.
template <class T, class How> struct AvgPool2d {
  using value_type = T;
  static constexpr OpTraits traits{.name = How::name, .kind = Kind::linear};
  How how;
  Shape image;

  struct Plan {
    Shape shape;
    typename How::Size size;
  };
  Plan plan(const Tensor<T>& x) const {
    const auto size = how.size(x.shape());
    return {pooled_shape(x.shape(), size.rows.out, size.columns.out), size};
  }
  void evaluate(Fresh<T>& y, const Plan& plan, const Tensor<T>& x) const {
    for_images(plan.size, [&](const auto& part, std::size_t from, std::size_t to) {
      kernels::avg_pool2d(part, x.data() + from, y.data() + to);
    });
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(unpooled(p.dy, how, image)); }
};

// Its transpose, which spreads dy evenly over each window or bin.
template <class T, class How> struct AvgUnpool2d {
  using value_type = T;
  static constexpr OpTraits traits{.name = How::transpose, .kind = Kind::linear};
  How how;
  Shape image;

  const Shape& shape(const Tensor<T>&) const { return image; }
  void evaluate(Fresh<T>& dx, const Tensor<T>& dy) const {
    std::fill_n(dx.data(), dx.size(), T(0));
    for_images(how.size(image), [&](const auto& part, std::size_t to, std::size_t from) {
      kernels::avg_unpool2d(part, dy.data() + from, dx.data() + to);
    });
  }
  Gradients pull(const Pull<T>& p) const { return Gradients(apply(AvgPool2d<T, How>{how, image}, p.dy)); }
};
template <class T, class How> Tensor<T> unpooled(const Tensor<T>& dy, const How& how, const Shape& image) {
  return apply(AvgUnpool2d<T, How>{how, image}, dy);
}

PoolOptions of_one_row(const Pool1dOptions& options) {
  return {.window = {1, options.window}, .stride = {1, options.stride}, .padding = {0, options.padding}};
}

// pool2d of x as images with one row.
template <class T, class F>
Tensor<T> pooled1d(const char* op, const Tensor<T>& x, const Pool1dOptions& options, const F& pool2d) {
  const auto fail = failure(op, x.shape(), options);
  if (x.dimension() != 3) fail("(N, C, L) sequences are needed");
  pool_size({x.shape()[0], x.shape()[1], 1, x.shape()[2]}, of_one_row(options), fail);
  return squeeze(pool2d(expand_dims(x, 2), of_one_row(options)), 2);
}

void check_global(const char* op, const Shape& x) {
  const char* wrong = x.size() != 4 ? images_needed : x[2] == 0 || x[3] == 0 ? image_is_empty : nullptr;
  if (wrong) throw ShapeError(fmt::format("{}: {}: image {}", op, wrong, to_string(x)));
}

// The largest element of each window; of equals the first.
template <class T> struct MaxPool2d {
  using value_type = T;
  static constexpr OpTraits traits{.name = "max_pool2d"};
  PoolOptions options;

  // Where the maxima were: places in the image, or for small windows codes of places in them.
  struct State {
    kernels::PoolSize<kernels::Sliding> size;
    Shape image;
    detail::Indices at;
    Tensor<T> code;
  };
  struct Plan {
    Shape shape;
    kernels::PoolSize<kernels::Sliding> size;
  };
  Plan plan(const Tensor<T>& x) const {
    const auto size = pool_size(x.shape(), options, failure("max_pool2d", x.shape(), options));
    return {pooled_shape(x.shape(), size.rows.out, size.columns.out), size};
  }

  void evaluate(Fresh<T>& y, const Plan& plan, State* state, const Tensor<T>& x) const {
    const auto& size = plan.size;
    const bool small = kernels::is_small(size);
    if (small && !state) {
      for_images(size, [&](const auto& part, std::size_t from, std::size_t to) {
        kernels::max_windows<false, T>(part, x.data() + from, y.data() + to, nullptr);
      });
    } else if (small) {
      Fresh<T> code("max_pool2d", plan.shape);
      for_images(size, [&](const auto& part, std::size_t from, std::size_t to) {
        kernels::max_windows<true>(part, x.data() + from, y.data() + to, code.data() + to);
      });
      *state = {size, x.shape(), {}, std::move(code).finished()};
    } else {
      const detail::Indices at(y.size());
      for_images(size, [&](const auto& part, std::size_t from, std::size_t to) {
        kernels::max_pool2d(part, x.data() + from, y.data() + to, at.data() + to);
        // Counted from the part's start so far.
        const std::size_t results = part.count * part.rows.out * part.columns.out;
        for (std::size_t i = 0; from != 0 && i < results; ++i) at.data()[to + i] += static_cast<std::uint32_t>(from);
      });
      if (state) *state = {size, x.shape(), at, {}};
    }
  }

  Gradients pull(const Pull<T, State>& p) const {
    const State& state = p.state;
    if (!state.code.defined()) return Gradients(detail::scatter_flat(p.dy, state.at, state.image));
    const detail::Indices at(state.code.size());
    kernels::places_of_codes(state.size, state.code.data(), at.data());
    return Gradients(detail::scatter_flat(p.dy, at, state.image));
  }
  Gradients fused_pull(const Pull<T, State>& p) const {
    const State& state = p.state;
    if (!state.code.defined() || state.size.overlap() > static_cast<double>(kernels::short_sum)) return pull(p);
    Fresh<T> dx("max_pool2d", state.image);
    std::fill_n(dx.data(), dx.size(), T(0));
    for_images(state.size, [&](const auto& part, std::size_t to, std::size_t from) {
      kernels::max_windows_gradient(part, p.dy.data() + from, state.code.data() + from, dx.data() + to);
    });
    return Gradients(std::move(dx).finished());
  }
};

}  // namespace

template <class T> Tensor<T> max_pool2d(const Tensor<T>& x, const PoolOptions& options) {
  return apply(MaxPool2d<T>{options}, x);
}

template <class T> Tensor<T> avg_pool2d(const Tensor<T>& x, const PoolOptions& options) {
  return apply(AvgPool2d<T, Windows>{{options}, x.shape()}, x);
}

template <class T> Tensor<T> adaptive_avg_pool2d(const Tensor<T>& x, const Pair& output) {
  return apply(AvgPool2d<T, Bins>{{output}, x.shape()}, x);
}

template <class T> Tensor<T> global_avg_pool2d(const Tensor<T>& x) {
  check_global("global_avg_pool2d", x.shape());
  return mean(x, {2, 3});
}
template <class T> Tensor<T> global_max_pool2d(const Tensor<T>& x) {
  check_global("global_max_pool2d", x.shape());
  return max(x, {2, 3});
}

template <class T> Tensor<T> max_pool1d(const Tensor<T>& x, const Pool1dOptions& options) {
  return pooled1d("max_pool1d", x, options, max_pool2d<T>);
}
template <class T> Tensor<T> avg_pool1d(const Tensor<T>& x, const Pool1dOptions& options) {
  return pooled1d("avg_pool1d", x, options, avg_pool2d<T>);
}

#define XTAPE_POOL(T)                                                    \
  template Tensor<T> max_pool2d(const Tensor<T>&, const PoolOptions&);   \
  template Tensor<T> avg_pool2d(const Tensor<T>&, const PoolOptions&);   \
  template Tensor<T> adaptive_avg_pool2d(const Tensor<T>&, const Pair&); \
  template Tensor<T> global_avg_pool2d(const Tensor<T>&);                \
  template Tensor<T> global_max_pool2d(const Tensor<T>&);                \
  template Tensor<T> max_pool1d(const Tensor<T>&, const Pool1dOptions&); \
  template Tensor<T> avg_pool1d(const Tensor<T>&, const Pool1dOptions&);
XTAPE_INSTANTIATE(XTAPE_POOL)

}  // namespace xtape
