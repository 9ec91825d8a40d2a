// Misuse of tapes, gradients and optimisers: each is an error that says what to do, and leaves all as it was.

#include <doctest/doctest.h>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/optim.hpp>
#include <xtape/tape.hpp>

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "message.hpp"

using namespace xtape;

namespace {

using D = Tensor<double>;

// One misuse: what is done, and words that its message must have.
struct Misuse {
  const char* what;
  std::function<void()> done;
  std::vector<std::string> words;
};

template <class E = TapeError> void check(const Misuse& misuse) {
  const std::string text = message<E>(misuse.done);
  CAPTURE(misuse.what);
  for (const auto& word : misuse.words) CHECK_MESSAGE(text.find(word) != std::string::npos, text);
}

}  // namespace

TEST_CASE("misuse: of backward(), each said with what to do, and the tape as it was") {
  const D x = parameter(D({3}, {1, 2, 3}));
  D elsewhere;
  {
    Tape ended;
    elsewhere = sum(x * x);
  }
  const D before = sum(x * x);
  Tape tape;
  const D y = x * x, loss = sum(y);
  const auto in_another_thread = [](const std::function<void()>& f) {
    return [f] {
      std::optional<TapeError> thrown;
      std::thread([&] {
        try {
          f();
        } catch (const TapeError& error) {
          thrown = error;
        }
      }).join();
      if (thrown) throw *thrown;
    };
  };
  const std::vector<std::string> not_here{"was not recorded on this tape", "parameter()", "innermost"};
  const Misuse all[] = {
      {"not one element, no seed", [&] { tape.backward(y); }, {"backward: ", "seed", "(3,)", "sum it"}},
      {"an undefined seed is none", [&] { tape.backward(y, D()); }, {"backward: ", "seed", "(3,)"}},
      {"a seed of another shape",
       [&] {
         tape.backward(y, ones<double>({1, 3}));
       },
       {"backward: ", "the seed's shape (1, 3) is not (3,)"}},
      {"recorded before the tape was there", [&] { tape.backward(before); }, not_here},
      {"recorded on a tape that has ended", [&] { tape.backward(elsewhere); }, not_here},
      {"a constant", [&] { tape.backward(D(1.0)); }, not_here},
      {"detached", [&] { tape.backward(loss.detach()); }, not_here},
      {"computed under NoGrad",
       [&] {
         const NoGrad pause;
         tape.backward(sum(x * x));
       },
       not_here},
      {"undefined", [&] { tape.backward(D()); }, {"backward: ", "undefined"}},
      {"from another thread",
       in_another_thread([&] { tape.backward(loss); }),
       {"backward: ", "thread that made it", "one tape per thread"}},
      {"gradient from another thread",
       in_another_thread([&] { tape.gradient(loss, {x}); }),
       {"gradient: ", "thread that made it"}},
      {"gradient by a constant",
       [&] {
         tape.gradient(loss, {x, D(1.0)});
       },
       {"gradient: input 1", "parameter()", "compute it from one on this tape"}},
      {"gradient by an undefined tensor", [&] { tape.gradient(loss, {D()}); }, {"gradient: input 0", "parameter()"}},
      {"gradient by what was computed before", [&] { tape.gradient(loss, {before}); }, {"gradient: input 0"}},
      {"create_graph of an outer tape",
       [&] {
         const Tape inner;
         tape.gradient(loss, {x}, {.create_graph = true});
       },
       {"create_graph", "innermost"}},
      {"create_graph under NoGrad",
       [&] {
         const NoGrad pause;
         tape.gradient(loss, {x}, {.create_graph = true});
       },
       {"create_graph", "NoGrad"}},
      {"mixed tapes: an inner tape's result on the outer one",
       [&] {
         const Tape inner;
         tape.backward(loss * sum(x));
       },
       not_here},
  };
  for (const Misuse& misuse : all) {
    check(misuse);
    CHECK(!x.grad().defined());
    CHECK(tape.size() == 2);
    CHECK(Tape::recording());
  }
  tape.backward(loss);
  CHECK(x.grad().data()[2] == 6);
  check({"swept before", [&] { tape.backward(loss); }, {"sum: swept before", "retain_graph = true"}});
  check({"swept in part", [&] { tape.gradient(sum(y), {x}); }, {"multiply: swept before", "retain_graph = true"}});
  CHECK(x.grad().data()[2] == 6);
  tape.clear();
  check({"of a cleared tape", [&] { tape.backward(loss); }, not_here});
}

TEST_CASE("misuse: writing into what a tape has recorded") {
  D x = parameter(D({2}, {1, 2})), c({2}, {3, 4});
  Tape tape;
  D y = x * c;
  const D loss = sum(y);
  check({"the result of an op", [&] { y.assign(zeros<double>({2})); }, {"assign: only leaves change", "detach()"}});
  check({"in place", [&] { y.modify(); }, {"assign: only leaves change", "detach()"}});
  check({"an op's result as a parameter", [&] { y.set_requires_grad(true); }, {"set_requires_grad: only leaves"}});
  check<ShapeError>({"another shape",
                     [&] { x.assign(zeros<double>({3})); },
                     {"assign: a leaf of shape (2,) cannot take values of shape (3,)"}});
  CHECK(x.data()[0] == 1);
  x.assign(D({2}, {5, 6}));
  check({"a parameter, before the sweep",
         [&] { tape.backward(loss); },
         {"multiply: its input 0 of shape (2,) was modified", "sweep before you update parameters"}});
  CHECK(!x.grad().defined());
  // With the new values on a new tape all is well.
  tape.clear();
  tape.backward(sum(x * c));
  CHECK(x.grad().data()[1] == 4);
}

TEST_CASE("misuse: gradients of another shape, and of no tensor") {
  D x = parameter(D({2}, {1, 2})), undefined;
  check<ShapeError>({"set_grad",
                     [&] { x.set_grad(zeros<double>({3})); },
                     {"set_grad: a tensor of shape (2,) cannot have a gradient of shape (3,)"}});
  CHECK(!x.grad().defined());
  check<Error>({"no gradient yet", [&] { x.grad().item(); }, {"undefined", "no sweep has reached"}});
  for (const auto& use : std::vector<std::function<void()>>{
           [&] { undefined.shape(); }, [&] { undefined.item(); }, [&] { undefined.requires_grad(); },
           [&] { undefined.zero_grad(); }, [&] { undefined.set_grad(x); }, [&] { undefined.detach(); },
           [&] { parameter(undefined); }, [&] { undefined.assign(x); }, [&] { x.assign(undefined); },
           [&] { undefined.set_requires_grad(true); }, [&] { x + undefined; }, [&] { matmul(undefined, x); }})
    check<Error>({"an undefined tensor", use, {"undefined (default-constructed) tensor"}});
}

TEST_CASE("misuse: of optimisers") {
  const auto each = [](const std::string& name, const std::function<std::function<void()>(std::vector<D>)>& make) {
    D w = parameter(D(1.0)), other = parameter(D(2.0));
    check({"a constant", [&] { make({w, D(1.0)}); }, {name + ": tensor 1 is not a parameter", "parameter()"}});
    check({"an undefined tensor", [&] { make({D()}); }, {name + ": tensor 0 is not a parameter"}});
    {
      Tape tape;
      check({"an op's result", [&] { make({w * 2.0}); }, {name + ": tensor 0 is not a parameter"}});
    }
    const auto step = make({w, other});
    check({"no sweep yet", step, {name + ": no parameter has a gradient", "backward()"}});
    CHECK(w.item() == 1);
    {
      Tape tape;
      tape.backward(square(w));
    }
    step();  // the loss does not depend on the other one, which stays
    CHECK(w.item() < 1);
    CHECK(other.item() == 2);
    check({"twice for one sweep", step, {name + ": no parameter has a gradient", "backward()"}});
    // A parameter turned into a constant has no gradient, and stays.
    CHECK_NOTHROW(make({})());
  };
  each("sgd", [](std::vector<D> p) -> std::function<void()> {
    return [o = std::make_shared<optim::Sgd<double>>(std::move(p), optim::SgdOptions{.learning_rate = 0.1})] {
      o->step();
    };
  });
  each("adam", [](std::vector<D> p) -> std::function<void()> {
    return [o = std::make_shared<optim::Adam<double>>(std::move(p), optim::AdamOptions{.learning_rate = 0.1})] {
      o->step();
    };
  });
}

TEST_CASE("misuse: a loss that is NaN has gradients that are NaN; a tape that searches for anomalies names the op") {
  const D x = parameter(D({2}, {-1, 4}));
  {
    Tape tape;
    const D loss = sum(sqrt(x));
    CHECK(std::isnan(loss.item()));
    const D g = tape.gradient(loss, {x})[0];
    CHECK(std::isnan(g.data()[0]));
    CHECK(g.data()[1] == 0.25);  // what does not depend on it is right
  }
  Tape tape{{.anomaly = true}};
  const std::string text = message<AnomalyError>([&] { sum(sqrt(x)); });
  CHECK_MESSAGE(text.starts_with("sqrt: forward: nan"), text);
}

TEST_CASE("misuse: a sweep of the same tape from inside its sweep") {
  const D x = parameter(D(3.0));
  Tape tape;
  const D y = x * x, z = y * x;
  double inner = 0;
  tape.hook(y, [&](const D&) {
    if (std::exchange(inner, 1) == 0) inner = tape.gradient(y, {x}, {.retain_graph = true})[0].item();
  });
  tape.backward(z);
  CHECK(inner == 6);
  CHECK(x.grad().item() == 27);
}
