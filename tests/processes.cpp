// What several processes do together, checked by each of them: mpirun -n N xtape_processes. test_mpi.cpp starts it.
//   --throw RANK   that process fails while the others wait for it
//   --leave RANK   the same by an exception that leaves the world's scope
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <xtape/energy/contrastive_divergence.hpp>
#include <xtape/init.hpp>
#include <xtape/mpi/gradient_average.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/optim.hpp>

#include <fmt/format.h>

#include <limits>
#include <optional>
#include <string>

#include "files.hpp"

using namespace xtape;

namespace {

std::optional<mpi::World> joined;
const mpi::World& world() { return *joined; }

template <class T> Tensor<T> part_of(const Tensor<T>& x, const Rows& rows) {
  const auto first = static_cast<std::ptrdiff_t>(rows.first);
  return slice(x, {range(first, first + static_cast<std::ptrdiff_t>(rows.size))});
}

// Do all processes have the first one's bits?
template <class T> bool same_everywhere(const Tensor<T>& x) {
  std::vector<T> first(x.data(), x.data() + x.size());
  world().broadcast(std::span(first));
  double differ = std::equal(first.begin(), first.end(), x.data()) ? 0 : 1;
  world().sum(std::span(&differ, 1));
  return differ == 0;
}

template <class T> double distance(const Tensor<T>& x, const Tensor<T>& y) {
  REQUIRE(x.shape() == y.shape());
  double largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(x.data()[i] - y.data()[i])));
  return largest;
}

// Three layers; all processes make the same one.
template <class T> struct Net {
  Rng rng{11};
  std::vector<Tensor<T>> parameters;
  Net() {
    for (const std::size_t size : {40U, 30U, 20U}) {
      parameters.push_back(parameter(init::normal<T>({size, size - 10}, T(0), T(0.3), rng)));
      parameters.push_back(parameter(init::normal<T>({size - 10}, T(0), T(0.3), rng)));
    }
  }
  // Mean over the rows.
  Tensor<T> loss(const Tensor<T>& x) const {
    Tensor<T> y = x;
    for (std::size_t i = 0; i < parameters.size(); i += 2) y = tanh(matmul(y, parameters[i]) + parameters[i + 1]);
    return mean(square(y)) * static_cast<T>(y.shape()[1]);
  }
};

template <class T> void check_average(std::size_t rows, std::size_t piece_bytes) {
  CAPTURE(rows);
  CAPTURE(piece_bytes);
  const Net<T> whole, parts;
  Rng rng(5);
  mpi::GradientAverage<T> average(world(), parts.parameters, {.piece_bytes = piece_bytes});
  optim::Sgd<T> sgd(whole.parameters, {.learning_rate = 0.3, .momentum = 0.9}),
      shared(parts.parameters, {.learning_rate = 0.3, .momentum = 0.9});
  const double precision = 40 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (int step = 0; step < 4; ++step) {
    const Tensor<T> x = init::normal<T>({rows, 40}, T(0), T(1), rng);
    {
      Tape tape;
      tape.backward(whole.loss(x));
    }
    const Rows own = world().shard().rows(rows);
    double figures[] = {0, static_cast<double>(own.size)};
    if (own.size > 0) {
      Tape tape;
      const auto loss = parts.loss(part_of(x, own));
      average.start(tape, own.share());
      tape.backward(loss);
      figures[0] = own.share() * static_cast<double>(loss.item());
    }
    average.finish(figures);
    CHECK(figures[0] == doctest::Approx(static_cast<double>(whole.loss(x).item())).epsilon(1e-6));
    CHECK(figures[1] == static_cast<double>(rows));
    for (std::size_t i = 0; i < whole.parameters.size(); ++i) {
      CHECK(distance(whole.parameters[i].grad(), parts.parameters[i].grad()) < precision);
      CHECK(same_everywhere(parts.parameters[i].grad()));
    }
    sgd.step();
    shared.step();
  }
}

}  // namespace

TEST_CASE("processes: the average is the whole batch's gradient, equal parts, unequal ones and none") {
  for (const std::size_t rows : {8U, 7U, 2U, 1U})
    for (const std::size_t piece_bytes : {std::size_t{1}, std::size_t{2000}, std::size_t{1} << 20}) {
      check_average<double>(rows, piece_bytes);
      check_average<float>(rows, piece_bytes);
    }
}

TEST_CASE("processes: pieces follow from the size asked for") {
  const Net<float> net;
  const auto pieces = [&](std::size_t bytes) {
    return mpi::GradientAverage<float>(world(), net.parameters, {.piece_bytes = bytes}).pieces();
  };
  CHECK(pieces(1) == 6);
  CHECK(pieces(1000000) == 1);
  // From the back: 10 + 200 elements and a flag each, 20 + 600, 30 + 1200.
  CHECK(pieces(4 * 212) == 3);
  CHECK(pieces(4 * 835) == 2);
  mpi::GradientAverage<float> none(world(), {});
  CHECK(none.pieces() == 0);
  double figure = 1;
  none.finish(std::span(&figure, 1));
  CHECK(figure == static_cast<double>(world().size()));
}

TEST_CASE("processes: a gradient that some have counts, one that none has stays away") {
  Tensor<double> some = parameter(Tensor<double>({2}, {1, 2})), none = parameter(Tensor<double>({3}, {1, 2, 3}));
  Tensor<double> frozen = parameter(Tensor<double>(1.0));
  frozen.set_requires_grad(false);
  mpi::GradientAverage<double> average(world(), {some, none, frozen});
  const std::size_t last = world().size() - 1;
  for (int step = 0; step < 2; ++step) {
    if (world().rank() == last) {
      Tape tape;
      const auto y = sum(some * some * frozen);
      average.start(tape, 0.5);
      tape.backward(y);
    }
    average.finish();
    REQUIRE(some.grad().defined());
    CHECK(some.grad().data()[1] == 2);
    CHECK(!none.grad().defined());
    CHECK(!frozen.grad().defined());
    some.zero_grad();
  }
}

TEST_CASE("processes: gradients of several sweeps, and gradients that no sweep has made") {
  Tensor<double> x = parameter(Tensor<double>({2}, {1, 2})), y = parameter(Tensor<double>(3.0));
  mpi::GradientAverage<double> average(world(), {x, y});
  const auto each = static_cast<double>(world().rank() + 1), size = static_cast<double>(world().size());
  {
    Tape first;
    first.backward(sum(x * x));
  }
  y.set_grad(Tensor<double>(each));
  Tape last;
  const auto loss = sum(x) * 3.0;
  average.start(last, each);
  last.backward(loss);
  average.finish();
  const double weights = size * (size + 1) / 2;
  CHECK(x.grad().data()[0] == weights * 5);
  CHECK(x.grad().data()[1] == weights * 7);
  CHECK(y.grad().item() == size * (size + 1) * (2 * size + 1) / 6);  // each times each
  y.set_grad(Tensor<double>(each));
  average.finish();
  CHECK(y.grad().item() == weights);
}

TEST_CASE("processes: start() twice and a second sweep are errors") {
  Tensor<double> x = parameter(Tensor<double>({2}, {1, 2}));
  mpi::GradientAverage<double> average(world(), {x});
  {
    Tape tape;
    const auto y = sum(x * x);
    average.start(tape, 0.5);
    check_bad<TapeError>([&] { average.start(tape, 1); }, {"start() was called before"});
    tape.backward(y, {.retain_graph = true});
    check_bad<TapeError>([&] { tape.backward(y, {.retain_graph = true}); }, {"a second sweep"});
    average.finish();
    check_bad<TapeError>([&] { tape.backward(y); }, {"a second sweep"});
  }
  CHECK(x.grad().data()[0] == static_cast<double>(world().size()));
}

TEST_CASE("processes: broadcast, sum, gather") {
  const auto rank = static_cast<float>(world().rank());
  Tensor<float> a = parameter(Tensor<float>({2}, {rank, rank + 1})), b = parameter(Tensor<float>(rank + 7));
  const std::vector<Tensor<float>> leaves{a, b};
  world().broadcast(leaves);
  CHECK(a.data()[0] == 0);
  CHECK(a.data()[1] == 1);
  CHECK(b.item() == 7);
  std::uint64_t number = world().first() ? 0x123456789abcdef0 : 1;
  world().broadcast(std::span(&number, 1));
  CHECK(number == 0x123456789abcdef0);

  std::vector<double> values{1, static_cast<double>(rank)};
  world().sum(values);
  const auto size = static_cast<double>(world().size());
  CHECK(values[0] == size);
  CHECK(values[1] == size * (size - 1) / 2);

  // As many rows as the rank says, so none of the first.
  const std::size_t n = world().rank();
  const Tensor<double> all = world().gather(full<double>({n, 3}, static_cast<double>(rank)));
  CHECK(all.defined() == world().first());
  if (!all.defined()) return;
  CHECK(all.shape() == Shape{world().size() * (world().size() - 1) / 2, 3});
  for (std::size_t i = 0, row = 0; i < world().size(); ++i)
    for (std::size_t k = 0; k < i; ++k, ++row)
      for (std::size_t j = 0; j < 3; ++j) CHECK(all.data()[3 * row + j] == static_cast<double>(i));
}

TEST_CASE("processes: what is the same on all agrees, and what is not is told with who has it") {
  world().agree("a setting", "100");
  world().agree("nothing", "");
  if (world().size() == 1) return;
  for (const std::size_t odd : {std::size_t{0}, world().size() - 1}) {
    std::string said;
    try {
      world().agree("--hidden", world().rank() == odd ? std::string("5\xc3\xa4") : std::string("100"));
    } catch (const mpi::MpiError& error) {
      said = error.what();
    }
    CHECK_MESSAGE(said.starts_with("mpi: --hidden differs: "), said);
    CHECK_MESSAGE(said.find(fmt::format("5\xc3\xa4 on process {}", odd)) != std::string::npos, said);
    CHECK_MESSAGE(said.find("100 on process") != std::string::npos, said);
  }
}

TEST_CASE("processes: contrastive divergence of the parts is the whole's, with chains of their own") {
  for (const bool persistent : {false, true})
    for (const std::size_t rows : {9U, 3U}) {
      Rng start(3);
      Rbm<double> whole(12, 7, start, 0.5);
      Rbm<double> part(whole.W.detach(), whole.b.detach(), whole.a.detach());
      mpi::GradientAverage<double> sum(world(), part.parameters());
      Tensor<double> particles = init::uniform<double>({5, 12}, 0, 1, start) < 0.5;
      const Rows chains = world().shard().rows(5), own = world().shard().rows(rows);
      Tensor<double> own_particles = part_of(particles, chains);
      Rng rng(4), own_rng(4);
      for (int step = 0; step < 5; ++step) {
        const Tensor<double> v = init::uniform<double>({rows, 12}, 0, 1, start);
        contrastive_divergence(whole, v, {.k = 2, .particles = persistent ? &particles : nullptr}, rng);
        contrastive_divergence(part, part_of(v, own),
                               {.k = 2,
                                .particles = persistent ? &own_particles : nullptr,
                                .rows = own,
                                .particle_rows = persistent ? chains : Rows{}},
                               own_rng);
        sum.finish();
        CHECK(own_rng.state() == rng.state());
        for (std::size_t i = 0; i < 3; ++i)
          CHECK(distance(whole.parameters()[i].grad(), part.parameters()[i].grad()) < 1e-14);
        for (const auto& machine : {whole, part})
          for (Tensor<double> p : machine.parameters()) {
            p.assign(p.detach() - 0.2 * p.grad());
            p.zero_grad();
          }
        if (persistent) {
          const auto all = world().gather(own_particles);
          if (world().first()) CHECK(distance(all, particles) == 0);
        }
      }
    }
}

int main(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[1] : "";
  const std::size_t chosen = argc > 2 ? std::stoul(argv[2]) : 0;
  if (what == "--throw" || what == "--leave") {
    try {
      const mpi::World here;
      double all = 0;
      try {
        if (here.rank() == chosen) throw std::runtime_error("planted");
        here.sum(std::span(&all, 1));
      } catch (const std::exception& error) {
        if (what == "--throw") here.fail(error.what(), 3);
        throw;
      }
    } catch (const std::exception&) {
      return 4;  // by one process alone: the world ends several
    }
    return 0;
  }
  joined.emplace();
  doctest::Context context(argc, argv);
  double status = context.run();
  world().sum(std::span(&status, 1));
  joined.reset();
  return status == 0 ? 0 : 1;
}
