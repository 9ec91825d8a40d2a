// Gradients that are zero but in a few places: the sweep adds them up in place, with every order of derivative as
// before, and very many of them without losing digits. And sweeps that cost what they reach, not what the tape holds.

#include <doctest/doctest.h>
#include <xtape/xtape.hpp>

#include <chrono>
#include <functional>
#include <vector>

using namespace xtape;
using D = Tensor<double>;
using F = Tensor<float>;

namespace {

using Values = std::vector<double>;
Values values(const D& x) { return {x.data(), x.data() + x.size()}; }

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Each takes x of T rows apart into T tensors.
struct TakenApart {
  const char* name;
  std::function<std::vector<D>(const D&)> f;
};
template <class G> std::vector<D> each(const D& x, const G& g) {
  std::vector<D> parts;
  for (std::size_t t = 0; t < x.shape(0); ++t) parts.push_back(g(static_cast<std::ptrdiff_t>(t)));
  return parts;
}
const std::vector<TakenApart> ways = {
    {"split", [](const D& x) { return split(x, static_cast<std::ptrdiff_t>(x.shape(0))); }},
    {"unstack", [](const D& x) { return unstack(x); }},
    {"slice", [](const D& x) { return each(x, [&](auto t) { return slice(x, {t}); }); }},
    {"index_select", [](const D& x) { return each(x, [&](auto t) { return index_select(x, 0, {t}); }); }},
    {"gather",
     [](const D& x) {
       return each(x, [&](auto t) {
         return gather(x, Integers(Shape{1, x.shape(1)}, [&](std::size_t) { return t; }), 0);
       });
     }},
    {"embedding", [](const D& x) { return each(x, [&](auto t) { return embedding(x, Integers{t}); }); }},
    {"diagonal", [](const D& x) { return each(x, [&](auto t) { return diagonal(x, -t); }); }},
    {"max",
     [](const D& x) {
       // The largest of each row but the first t.
       return each(x, [&](auto t) { return max(x, 1) * static_cast<double>(t + 1); });
     }},
    {"masked_select", [](const D& x) {
       return each(x, [&](auto t) {
         std::vector<double> mask(x.size());
         std::fill_n(mask.begin() + t * 8, 8, 1.0);  // a row of the test below
         return masked_select(x, D(x.shape(), mask));
       });
     }}};

D loss_of(const std::vector<D>& parts) {
  D loss(0.0);
  for (std::size_t t = 0; t < parts.size(); ++t)
    if (parts[t].size() > 0) loss = loss + sum(square(parts[t]) * parts[t]) * static_cast<double>(t % 3 + 1);
  return loss;
}

}  // namespace

TEST_CASE("sparse gradients: of parts are those of each part alone, to third order, into any kind of tensor") {
  Rng rng(1);
  const auto differs = [](const D& a, const D& b) { return max(abs(a - b)).item() / (1 + max(abs(b)).item()); };
  const D x0 = init::normal<double>({5, 8}, 0.0, 1.0, rng), v = init::normal<double>({5, 8}, 0.0, 1.0, rng);
  for (const auto& way : ways) {
    CAPTURE(way.name);
    const auto f = [&](const D& x) { return loss_of(way.f(x)); };
    // One part at a time: no sum is lent.
    const auto alone = [&](const D& x) {
      D sum = zeros<double>(x.shape());
      for (std::size_t t = 0; t < 5; ++t)
        sum = sum + grad(
                        [&](const D& at) {
                          const auto parts = way.f(at);
                          return parts[t].size() > 0
                                     ? xtape::sum(square(parts[t]) * parts[t]) * static_cast<double>(t % 3 + 1)
                                     : D(0.0);
                        },
                        x);
      return sum;
    };
    const D expected = alone(x0);
    // Of a parameter into grad(), twice; of an intermediate result; as a target.
    D x = parameter(x0);
    for (int i = 1; i <= 2; ++i) {
      Tape tape;
      tape.backward(f(x));
      CHECK(differs(x.grad(), expected * static_cast<double>(i)) < 1e-14);
    }
    Tape tape;
    const D h = x * 1.0, y = f(h) + sum(h);
    const auto both = tape.gradient(y, {h, x}, {.retain_graph = true});
    CHECK(differs(both[0], expected + 1) < 1e-14);
    CHECK(values(both[1]) == values(both[0]));
    // A sum that somebody holds is not written.
    const D held = x.grad();
    const Values before = values(held);
    tape.backward(f(x));
    CHECK(values(held) == before);
    CHECK(differs(x.grad(), expected * 3.0) < 1e-14);
    // The sweep of a sweep, and again.
    CHECK(gradcheck(f, x0, {.second_order = true}).passed);
    const D second = hvp(f, x0, v), third = hvp([&](const D&z) { return sum(grad(f, z) * v); }, x0, v);
    const D second_alone = grad([&](const D& z) { return sum(alone(z) * v); }, x0);
    CHECK(differs(second, second_alone) < 1e-13);
    CHECK(differs(third, hvp([&](const D& z) { return sum(alone(z) * v); }, x0, v)) < 1e-13);
  }
}

TEST_CASE("sparse gradients: taking a tensor apart costs its size, not its square, also where the sweep is recorded") {
  for (const auto& way : ways) {
    if (std::string_view(way.name) == "max" || std::string_view(way.name) == "masked_select")
      continue;  // dense forward
    for (const bool recorded : {false, true}) {
      const auto time = [&](std::size_t count) {
        const D x = parameter(full<double>({count, 64}, 0.5));
        double best = 1e9;
        for (int i = 0; i < 3; ++i)
          best = std::min(best, seconds_of([&] {
                            Tape tape;
                            static_cast<void>(tape.gradient(loss_of(way.f(x)), {x}, {.create_graph = recorded}));
                          }));
        return best;
      };
      // Sixteen times as many parts take sixteen times the time, and a few times that where they leave the cache. It
      // was a thousand times.
      const double few = time(250), many = time(4000);
      CHECK_MESSAGE(many < 300 * few, way.name, recorded ? ", recorded: " : ": ", few, " s, and ", many, " s");
    }
  }
}

TEST_CASE("sparse gradients: a custom op adds its part to the sum so far") {
  D x = parameter(D({3}, {1, 2, 3}));
  int lent = 0;
  const auto pick = [&](std::size_t i) {
    return record("pick", D({1}, {x.data()[i]}), {x}, [&lent, i](const D& dy, Wanted wanted) {
      const D sum = wanted.sum_so_far<double>(0);
      lent += sum.defined();
      auto dx = Fresh<double>::onto(sum.defined() ? sum : zeros<double>({3}));
      dx.data()[i] += dy.data()[0];
      return Gradients(std::move(dx).finished());
    });
  };
  Tape tape;
  tape.backward(sum(pick(0) * 2.0 + pick(1) * 3.0 + pick(0) * 4.0));
  CHECK(values(x.grad()) == Values{6, 3, 0});
  CHECK(lent == 2);
}

TEST_CASE("gradients: very many float ones of one tensor add up without losing digits") {
  constexpr int count = 300'000;
  const auto check = [](const F& gradient, double expected, const char* what) {
    CHECK_MESSAGE(std::abs(gradient.data()[0] / expected - 1) < 2e-7, what, ": ", gradient.data()[0], " instead of ",
                  expected);
  };
  const double tenth = static_cast<double>(0.1F);
  const F v = full<float>({5}, 0.1F);
  const auto sweep = [&](const F& x, const auto& part) {
    Tape tape;
    std::vector<F> parts;
    for (int i = 0; i < count; ++i) parts.push_back(part(x));
    tape.backward(sum(concatenate(parts, 0)));
  };
  {
    const F x = parameter(ones<float>({5}));
    sweep(x, [&](const F& t) { return t * v; });
    check(x.grad(), count * tenth, "dense");
  }
  {
    const F x = parameter(ones<float>({5})), tenth_of = full<float>({1}, 0.1F);
    sweep(x, [&](const F& t) { return slice(t, {range(0, 1)}) * tenth_of; });
    check(x.grad(), count * tenth, "slices");
  }
  {
    const F x = parameter(ones<float>({5})), tenth_of = full<float>({1}, 0.1F);
    sweep(x, [&](const F& t) { return index_select(t, 0, {0}) * tenth_of; });
    check(x.grad(), count * tenth, "index_select");
  }
  {
    const F x = parameter(ones<float>({5})), tenth_of = full<float>({1}, 0.1F);
    sweep(x, [&](const F& t) { return gather(t, {0}, 0) * tenth_of; });
    check(x.grad(), count * tenth, "gather");
  }
  F x = parameter(ones<float>({5}));  // by as many sweeps, into grad()
  for (int i = 0; i < count; ++i) {
    Tape tape;
    tape.backward(sum(x * v));
  }
  check(x.grad(), count * tenth, "grad()");
  // Who writes the gradient in between takes its rest away, too.
  F gradient = x.grad();
  x.zero_grad();
  for (int i = 0; i < 100; ++i) {
    Tape tape;
    tape.backward(sum(x * full<float>({5}, 1e7F + 1.0F)));
  }
  gradient = x.grad();
  for (float& g : gradient.modify()) g = 0;
  x.set_grad(gradient);
  gradient = {};
  Tape tape;
  tape.backward(sum(x * full<float>({5}, 1e-10F)));
  CHECK(x.grad().data()[0] == 1e-10F);
  // An infinite sum stays one.
  x.zero_grad();
  Tape other;
  F y(0.0F);
  for (int i = 0; i < 100; ++i)
    y = y + sum(x * full<float>({5}, i == 50 ? std::numeric_limits<float>::infinity() : 1e38F));
  other.backward(y);
  CHECK(std::isinf(x.grad().data()[0]));
}

TEST_CASE("tape: a sweep of one late op on a long tape costs what it reaches") {
  const D x = parameter(ones<double>({1})), z = parameter(ones<double>({1}));
  Tape tape;
  const D early = x * 2.0;
  for (int i = 0; i < 1'000'000; ++i) static_cast<void>(z * 2.0);
  const D late = early * x, last = z * z;
  const auto best = [&](const auto& f) {
    double seconds = 1e9;
    for (int i = 0; i < 5; ++i) seconds = std::min(seconds, seconds_of(f));
    return seconds;
  };
  // It was 20 ms.
  CHECK(best([&] { CHECK(tape.gradient(late, {x}, {.retain_graph = true})[0].item() == 4); }) < 0.002);
  CHECK(best([&] { CHECK(tape.gradient(last, {z}, {.retain_graph = true})[0].item() == 2); }) < 0.002);
  CHECK(best([&] { tape.backward(late, {.retain_graph = true}); }) < 0.002);
  int calls = 0;
  tape.hook(x, [&](const D&) { ++calls; });
  CHECK(best([&] { tape.backward(late, {.retain_graph = true}); }) < 0.002);
  CHECK(calls == 5);
}
