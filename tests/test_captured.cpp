// Functions that have captured the very tensor that they are to be differentiated by: an error, and no false alarms.

#include <doctest/doctest.h>
#include <xtape/xtape.hpp>

#include <functional>
#include <string>
#include <vector>

#include "message.hpp"

using namespace xtape;
using D = Tensor<double>;
using Ds = std::vector<D>;

TEST_CASE("transforms: a function that has captured the tensor it is differentiated by is an error that says so") {
  const D v({2}, {1, 1});
  for (const bool of_parameter : {false, true})
    for (const bool on_tape : {false, true})
      for (const bool recorded : {false, true}) {
        if (recorded && !on_tape) continue;
        CAPTURE(of_parameter);
        CAPTURE(on_tape);
        CAPTURE(recorded);
        std::optional<Tape> tape;
        if (on_tape) tape.emplace();
        const D leaf = of_parameter || recorded ? parameter(D({2}, {1, 2})) : D({2}, {1, 2});
        const D x = recorded ? leaf * 1.0 : leaf;
        const auto f = [&](const D&) { return sum(x * x * x); };
        const auto g = [&](const D&) { return x * x; };
        const auto many = [&](const Ds& p) { return sum(p[1] * x * x); };
        const D other({2}, {3, 4});
        const std::pair<const char*, std::function<void()>> calls[] = {
            {"grad: ", [&] { grad(f, x); }},
            {"grad: ",
             [&] {
               grad(many, Ds{x, other});
             }},
            {"value_and_grad: ", [&] { value_and_grad(f, x); }},
            {"vjp: ", [&] { vjp(g, x, v); }},
            {"jvp: ", [&] { jvp(g, x, v); }},
            {"jvp: ",
             [&] {
               jvp(many, Ds{x, other}, Ds{v, v});
             }},
            {"jacobian: ", [&] { jacobian(g, x); }},
            {"hessian: ", [&] { hessian(f, x); }},
            {"hvp: ", [&] { hvp(f, x, v); }},
            {"hvp: ",
             [&] {
               hvp(many, Ds{x, other}, Ds{v, v});
             }},
            {"grad: ", [&] { grad([&](const D&) { return slice(x, {1}); }, x); }},
            {"jacobian: ", [&] { jacobian([&](const D&) { return x; }, x); }}};
        for (const auto& [begins, call] : calls) {
          const std::string text = message<TapeError>(call);
          CHECK_MESSAGE(text.starts_with(begins), text);
          CHECK_MESSAGE(text.find("Compute with the argument") != std::string::npos, text);
        }
        // Nothing is left behind.
        CHECK(grad([](const D& z) { return sum(z * z); }, x).data()[1] == 4);
        CHECK((leaf * 2.0).requires_grad() == (on_tape && leaf.requires_grad()));
      }
  // A network's parameters, which its function takes from where they are.
  Rng rng(1);
  const nn::Sequential<double> net{nn::Linear<double>(3, 4, rng), tanh<double>, nn::Linear<double>(4, 1, rng)};
  const D in = init::normal<double>({5, 3}, 0.0, 1.0, rng);
  const auto parameters = net.parameters();
  const std::string text =
      message<TapeError>([&] { hvp([&](const Ds&) { return sum(square(net(in))); }, parameters, parameters); });
  CHECK_MESSAGE(text.starts_with("hvp: the function does not use its argument number 0"), text);
  CHECK_MESSAGE(text.find("tape.gradient(loss, net.parameters())") != std::string::npos, text);
}

TEST_CASE("transforms: a tensor that is captured as a constant, or not used at all, is no error") {
  const D x = parameter(D({2}, {1, 2})), v({2}, {1, 1});
  const auto zero = [](const D& t) { return max(abs(t)).item() == 0; };
  for (const bool on_tape : {false, true}) {
    CAPTURE(on_tape);
    std::optional<Tape> tape;
    if (on_tape) tape.emplace();
    // Beside the argument, which is what derivatives within derivatives do.
    CHECK(grad([&](const D& z) { return sum(z * z * x); }, x).data()[1] == 8);
    CHECK(grad([&](const Ds& p) { return sum(p[0] * p[1] * x); }, Ds{x, v})[0].data()[1] == 2);
    // Without its history.
    CHECK(zero(grad([&](const D&) { return sum(x.detach() * x.detach()); }, x)));
    CHECK(zero(hessian([&](const D&) { return sum(x.detach()); }, x)));
    // Its values, its shape, a comparison.
    CHECK(zero(grad([&](const D&) { return D(x.data()[0] + static_cast<double>(x.size())); }, x)));
    CHECK(zero(grad([&](const D&) { return sum(where(x > 1.5, v, 0.0)); }, x)));
    // Computed, but not for the result.
    CHECK(zero(grad(
        [&](const D&) {
          static_cast<void>(x * x);
          return sum(v);
        },
        x)));
    // A function of nothing, of an integer part, of another tensor; linear ones.
    CHECK(zero(grad([&](const D&) { return D(3.0); }, x)));
    CHECK(zero(grad([&](const D& z) { return sum(floor(z) * x); }, x)));
    CHECK(zero(grad([&](const D&) { return sum(v * v); }, x)));
    CHECK(zero(hvp([&](const D& z) { return sum(z * x); }, x, v)));
    CHECK(zero(jvp([&](const D&) { return v * v; }, x, v)));
    // The variable of an outer derivative is a constant of the inner one.
    CHECK(grad([](const D& z) { return sum(grad([&](const D& w) { return sum(w * z * z); }, z) * z); }, x).data()[1] ==
          12);
  }
  // What was looked for is a constant again.
  Tape tape;
  const D constant({2}, {1, 2});
  static_cast<void>(grad([&](const D& z) { return sum(z * constant); }, constant));
  CHECK_FALSE((constant * 2.0).requires_grad());
}
